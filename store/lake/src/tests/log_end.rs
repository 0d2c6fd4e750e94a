//! The end of the log: what proves it, what readers are told where nothing does, and that no file is deleted or moved
//! without the proof.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use contract::{DamagedRange, Readings, Request, RowChoice};
use nix::sys::stat::Mode;

use super::{Plant, Site, plant, rows};
use crate::lock::place;
use crate::{Lake, LakeError, Snapshot};

const COMMITS: u64 = 5;
/// Rows of a commit.
const ROWS: usize = 6;

/// What is done to a file, with its name.
type Harm = (&'static str, fn(&Path));
/// What is put behind the newest entry, by its name: how far behind, and how, from the bytes of that entry.
type Behind = (&'static str, u64, fn(&Path, &[u8]));

/// A table of some commits, closed.
async fn table() -> (Site, Plant) {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    lake.put_dictionary(&north.dictionary).await.unwrap();
    for sequence in 1..=COMMITS {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    lake.settle().await.unwrap();
    (site, north)
}

fn pipe(path: &Path) {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

/// Path and identity of every file of a table but the lock.
fn files(dir: &Path) -> BTreeSet<(PathBuf, u64, u64)> {
    let mut found = BTreeSet::new();
    for folder in ["_delta_log", "_data", "_nengliu", "_nengliu/dictionaries", ""] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if !metadata.is_dir() && entry.file_name() != "lock" {
                found.insert((entry.path(), metadata.ino(), metadata.len()));
            }
        }
    }
    found
}

/// What a reader of rows gets: how many, and what it is told.
fn read(dir: &Path, as_of: Option<u64>) -> (usize, Vec<DamagedRange>) {
    let snapshot = Snapshot::open(dir).unwrap();
    let as_of = as_of.map(model::CommitNumber);
    let request = Request { choice: RowChoice::All, as_of, ..Request::default() };
    let mut rows = Readings::rows(&snapshot, &request).unwrap();
    let count = rows.by_ref().map(|batch| batch.unwrap().num_rows()).sum();
    (count, rows.damaged())
}

/// Expects that a reader gets so many commits and is told that newer ones may be missing, because of this file.
fn check_doubt(dir: &Path, commits: u64, path: &Path, case: &str) {
    let (count, damaged) = read(dir, None);
    assert_eq!(count, usize::try_from(commits).unwrap() * ROWS, "{case}");
    let [range] = damaged.as_slice() else { panic!("{case}: {damaged:?}") };
    let text = range.to_string();
    assert!(range.is_of_end() && text.contains("may be missing"), "{case}: {text}");
    assert!(text.contains(&path.display().to_string()), "{case}: {text}");
    let named = Snapshot::open(dir).unwrap();
    assert!(named.log_damage().iter().any(|one| one.path == path), "{case}");
    // What was asked as of an older commit is all there.
    if commits > 1 {
        assert_eq!(read(dir, Some(commits - 1)).1, [], "{case}");
    }
}

async fn refused(site: &Site, case: &str) -> LakeError {
    let before = files(site.path());
    let error = Lake::open(site.path(), site.options()).await.expect_err(case);
    assert_eq!(files(site.path()), before, "{case}: {error}");
    error
}

/// An outsider removed the head and the newest entries: `serve` moved the data files of commits that were acknowledged, and
/// `query` ended with fewer rows, no word and exit code 0.
#[tokio::test]
async fn without_a_proved_end_nothing_is_deleted_or_moved_and_readers_are_told() {
    let harms: [Harm; 7] = [
        ("missing", |path| fs::remove_file(path).unwrap()),
        ("emptied", |path| fs::write(path, "").unwrap()),
        ("cut", |path| fs::write(path, &fs::read(path).unwrap()[..40]).unwrap()),
        ("one bit off", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[20] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a pipe", |path| {
            fs::remove_file(path).unwrap();
            pipe(path);
        }),
        ("of another table", |path| {
            let other = crate::head::Head { version: 0, seal: crate::entry::Seal::of(b"other") };
            crate::head::create(&crate::disk::LocalDisk, path.ancestors().nth(2).unwrap(), other)
                .unwrap();
        }),
    ];
    for (name, harm) in harms {
        for gone in [1, 2, COMMITS] {
            let case = format!("head {name}, {gone} entries gone");
            if name == "of another table" && gone == COMMITS {
                // Then it is the entry that is not the one of the head.
                continue;
            }
            let (site, _) = table().await;
            let (head, newest) = (place::head(site.path()), site.snapshot().table_version());
            let entries: Vec<PathBuf> =
                (newest + 1 - gone..=newest).map(|one| place::entry(site.path(), one)).collect();
            let kept: Vec<Vec<u8>> = entries.iter().map(|path| fs::read(path).unwrap()).collect();
            harm(&head);
            for path in &entries {
                fs::remove_file(path).unwrap();
            }
            check_doubt(site.path(), COMMITS - gone, &head, &case);
            let error = refused(&site, &case).await;
            let is_right = match gone {
                1 => matches!(error, LakeError::Unproven { files: 1, .. }),
                _ => matches!(error, LakeError::Unlisted { .. }),
            };
            assert!(is_right, "{case}: {error}");
            // Put back, all rows are there; the head is made again.
            entries.iter().zip(kept).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
            if head.is_dir() {
                fs::remove_dir(&head).unwrap();
            }
            drop(site.open().await);
            let all = usize::try_from(COMMITS).unwrap() * ROWS;
            assert_eq!(read(site.path(), None), (all, Vec::new()), "{case}");
        }
    }
}

/// The way on where there is no backup.
#[tokio::test]
async fn a_file_in_no_entry_that_is_moved_away_lets_the_table_go_on() {
    let (site, north) = table().await;
    let newest = site.snapshot().table_version();
    fs::remove_file(place::entry(site.path(), newest)).unwrap();
    fs::remove_file(place::head(site.path())).unwrap();
    let error = refused(&site, "one entry gone").await;
    let LakeError::Unproven { first, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains("nothing was deleted or moved"), "{error}");
    fs::rename(first, site.path().join("kept")).unwrap();
    let mut lake = site.open().await;
    let damage = lake.damage().await.unwrap();
    assert!(damage.iter().any(|one| one.path == place::head(site.path())), "{damage:?}");
    lake.commit(north.draft(COMMITS, 2)).await.unwrap();
    drop(lake);
    drop(site.open().await);
    assert_eq!(rows(&site.snapshot()).len(), usize::try_from(COMMITS).unwrap() * ROWS);
    assert!(site.snapshot().log_damage().is_empty());
}

/// What expires is deleted only by a writer that opened the table with a proved end.
#[tokio::test]
async fn without_a_proved_end_nothing_expires() {
    let (site, north) = table().await;
    let mut lake = site.open().await;
    for sequence in COMMITS + 1..=16 {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    assert!(lake.settle().await.unwrap().merged_files > 0);
    drop(lake);
    fs::remove_file(place::head(site.path())).unwrap();
    site.clock.forward(site.keep.age * 2);
    let mut lake = site.open().await;
    assert_eq!(lake.settle().await.unwrap().expired_data_files, 0);
    lake.commit(north.draft(17, 2)).await.unwrap();
    drop(lake);
    let mut lake = site.open().await;
    assert!(lake.settle().await.unwrap().expired_data_files > 0);
}

/// A power cut leaves a head that lags behind: that is no damage, and what is left of a commit is removed as ever.
#[tokio::test]
async fn a_head_that_lags_behind_proves_the_log() {
    let (site, north) = table().await;
    let older = fs::read(place::head(site.path())).unwrap();
    let mut lake = site.open().await;
    lake.commit(north.draft(COMMITS + 1, 2)).await.unwrap();
    drop(lake);
    fs::write(place::head(site.path()), older).unwrap();
    let left = crate::file::file_name(0, model::CommitNumber(COMMITS + 2), 9);
    let live = site.snapshot().files().remove(0);
    fs::copy(live, place::data_file(site.path(), &left)).unwrap();
    let all = usize::try_from(COMMITS + 1).unwrap() * ROWS;
    assert_eq!(read(site.path(), None), (all, Vec::new()));
    let mut lake = site.open().await;
    assert_eq!(lake.damage().await.unwrap(), []);
    assert!(!place::data_file(site.path(), &left).exists());
}

/// A table of which only the first entry is left looks like one that is being made, but for its data files.
#[tokio::test]
async fn a_log_that_lost_all_but_its_first_entry_is_no_new_table() {
    let (site, _) = table().await;
    for version in 1..=site.snapshot().table_version() {
        fs::remove_file(place::entry(site.path(), version)).unwrap();
    }
    fs::remove_file(place::head(site.path())).unwrap();
    check_doubt(site.path(), 0, &place::head(site.path()), "first entry left");
    refused(&site, "first entry left").await;
}

/// An outsider put an empty or cut entry behind the newest one: no row was read, and `serve` did not start.
#[tokio::test]
async fn what_stands_behind_the_proved_end_costs_no_row_and_is_left_alone() {
    let cases: [Behind; 7] = [
        ("empty", 1, |path, _| fs::write(path, "").unwrap()),
        ("cut", 1, |path, newest| fs::write(path, &newest[..newest.len() / 2]).unwrap()),
        ("the newest again", 1, |path, newest| fs::write(path, newest).unwrap()),
        ("far behind", 90_000, |path, newest| fs::write(path, newest).unwrap()),
        ("of another program", 1, |path, _| {
            fs::write(path, "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n").unwrap();
        }),
        ("a folder", 1, |path, _| fs::create_dir(path).unwrap()),
        ("a pipe", 1, |path, _| pipe(path)),
    ];
    for (case, step, put) in cases {
        let (site, north) = table().await;
        let end = site.snapshot().table_version();
        let newest = fs::read(place::entry(site.path(), end)).unwrap();
        let behind = place::entry(site.path(), end + step);
        put(&behind, &newest);
        let named = place::entry(site.path(), end + 1);
        check_doubt(site.path(), COMMITS, &named, case);
        let error = refused(&site, case).await;
        assert!(matches!(&error, LakeError::Beyond { end: known, .. } if *known == end), "{error}");
        assert_eq!(error.path(), Some(named.as_path()), "{case}");
        assert!(fs::symlink_metadata(&behind).is_ok(), "{case}: it is left alone");
        // Moved away, the table goes on.
        fs::rename(&behind, site.path().join("kept")).unwrap();
        let mut lake = site.open().await;
        lake.commit(north.draft(COMMITS + 1, 2)).await.unwrap();
        let all = usize::try_from(COMMITS + 1).unwrap() * ROWS;
        assert_eq!(read(site.path(), None), (all, Vec::new()), "{case}");
    }
}

/// An outsider emptied the newest entry: no row was read, and the advice was to begin a new lake.
#[tokio::test]
async fn newest_entries_that_are_lost_cost_their_own_rows_alone() {
    let harms: [Harm; 5] = [
        ("missing", |path| fs::remove_file(path).unwrap()),
        ("empty", |path| fs::write(path, "").unwrap()),
        ("cut", |path| fs::write(path, &fs::read(path).unwrap()[..100]).unwrap()),
        ("the one before", |path| {
            let before = path.with_file_name(format!("{:020}.json", COMMITS - 1));
            fs::copy(before, path).unwrap();
        }),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    for (case, harm) in harms {
        let (site, north) = table().await;
        let newest = site.snapshot().table_version();
        assert_eq!(newest, COMMITS);
        let path = place::entry(site.path(), newest);
        let (kept, copy) = (fs::read(&path).unwrap(), site.path().join("kept"));
        harm(&path);
        check_doubt(site.path(), COMMITS - 1, &path, case);
        let error = refused(&site, case).await;
        assert!(matches!(error, LakeError::EndLost { end, .. } if end == newest - 1), "{error}");
        assert_eq!(error.path(), Some(path.as_path()), "{case}");
        let all = usize::try_from(COMMITS).unwrap() * ROWS;
        if case != "cut" {
            // Put back, all is well.
            if path.is_dir() {
                fs::remove_dir(&path).unwrap();
            }
            fs::write(&path, kept).unwrap();
            drop(site.open().await);
            assert_eq!(read(site.path(), None), (all, Vec::new()), "{case}");
            continue;
        }
        // The way on without a backup.
        fs::rename(&path, copy).unwrap();
        fs::rename(place::head(site.path()), site.path().join("kept head")).unwrap();
        let LakeError::Unproven { first, .. } = refused(&site, case).await else { panic!() };
        fs::rename(first, site.path().join("kept data")).unwrap();
        let mut lake = site.open().await;
        lake.commit(north.draft(COMMITS, 2)).await.unwrap();
        assert_eq!(read(site.path(), None), (all, Vec::new()), "{case}");
    }
}
