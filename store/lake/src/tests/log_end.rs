//! The end of the log: what proves it, what readers are told where nothing does, and that no file is deleted or moved
//! without the proof.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use contract::{DamagedRange, Readings, Request, RowChoice};
use model::host::Clock;
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
            let LakeError::Unproven { files, .. } = &error else { panic!("{case}: {error}") };
            assert_eq!(files.0.len() as u64, gone, "{case}: each is named, {error}");
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
    let LakeError::Unproven { files, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains("nothing was deleted or moved"), "{error}");
    fs::rename(&files.0[0], site.path().join("kept")).unwrap();
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

/// A power cut leaves a head that lags behind: that is no damage. What is left of a commit may be one whose entry was lost,
/// so it stays.
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
    let left = place::data_file(site.path(), &left);
    let mut lake = site.open().await;
    assert_eq!(lake.damage().await.unwrap(), []);
    assert!(left.exists());
    // Its commit number and the number of its attempt are used again by nobody.
    lake.commit(north.draft(COMMITS + 2, 2)).await.unwrap();
    drop(lake);
    assert!(left.exists());
    date(&site, &left, site.keep.age * 2);
    drop(site.open().await);
    assert!(left.exists(), "whatever its age");
    let all = usize::try_from(COMMITS + 2).unwrap() * ROWS;
    assert_eq!(read(site.path(), None), (all, Vec::new()));
}

/// Lets a file have been written so long ago, by the clock of the site.
fn date(site: &Site, path: &Path, ago: Duration) {
    let now = Duration::from_micros(u64::try_from(site.clock.now().0).unwrap());
    let time = SystemTime::UNIX_EPOCH + now.checked_sub(ago).unwrap();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A backup that is copied over the lake, or into which each night is copied, holds files that were merged and deleted long
/// ago: `serve` did not start.
#[tokio::test]
async fn files_that_a_backup_brings_back_are_left_alone_and_cost_nothing() {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    let mut backup = std::collections::BTreeMap::new();
    for sequence in 1..=40 {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
        lake.settle().await.unwrap();
        for name in site.data_files() {
            let path = place::data_file(site.path(), &name);
            backup.entry(path.clone()).or_insert_with(|| fs::read(path).unwrap());
        }
    }
    site.clock.forward(site.keep.age * 2);
    lake.settle().await.unwrap();
    drop(lake);
    let all = (40 * ROWS, Vec::new());
    // Files that the log remembers as removed, and such as a checkpoint has let it forget.
    let gone: Vec<_> = backup.iter().filter(|(path, _)| !path.exists()).collect();
    assert!(gone.len() >= 32, "{}", gone.len());
    let mut left = Vec::new();
    for (path, bytes) in gone {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (level, commit) = crate::file::parse_name(name).unwrap();
        let forgotten = place::data_file(site.path(), &crate::file::file_name(level, commit, 900));
        for path in [path, &forgotten] {
            fs::write(path, bytes).unwrap();
            date(&site, path, Duration::ZERO);
        }
        if level == 0 {
            left.push(forgotten);
        }
    }
    assert_eq!(read(site.path(), None), all);
    let mut lake = site.open().await;
    assert_eq!(lake.damage().await.unwrap(), []);
    assert!(left.len() >= 30 && left.iter().all(|path| path.exists()));
    for sequence in 41..=60 {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
        lake.settle().await.unwrap();
    }
    drop(lake);
    assert_eq!(read(site.path(), None), (60 * ROWS, Vec::new()));
    for path in &left {
        date(&site, path, site.keep.age * 2);
    }
    drop(site.open().await);
    assert!(left.iter().all(|path| path.exists()), "whatever their age");
    assert_eq!(read(site.path(), None), (60 * ROWS, Vec::new()));
}

/// `cp -al` before an upgrade: the head of the copy went on with that of its original, and the other way round.
#[tokio::test]
async fn a_copy_of_hard_links_stays_what_it_was() {
    let (site, north) = table().await;
    let all = usize::try_from(COMMITS).unwrap() * ROWS;
    let copies: Vec<Site> = (0..3).map(|_| Site::new()).collect();
    let link = |to: &Site| {
        for folder in ["_delta_log", "_data", "_nengliu", "_nengliu/dictionaries"] {
            fs::create_dir_all(to.path().join(folder)).unwrap();
            for entry in fs::read_dir(site.path().join(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() && entry.file_name() != "lock" {
                    let target = to.path().join(folder).join(entry.file_name());
                    fs::hard_link(entry.path(), target).unwrap();
                }
            }
        }
    };
    link(&copies[0]);
    let mut lake = site.open().await;
    // And one of a lake that is written.
    link(&copies[1]);
    lake.commit(north.draft(COMMITS + 1, 2)).await.unwrap();
    link(&copies[2]);
    drop(lake);
    for (copy, rows) in copies.iter().zip([all, all, all + ROWS]) {
        assert_eq!(read(copy.path(), None), (rows, Vec::new()));
        let mut lake = copy.open().await;
        let next = u64::try_from(rows / ROWS).unwrap() + 1;
        lake.commit(north.draft(next, 2)).await.unwrap();
        assert_eq!(lake.damage().await.unwrap(), []);
    }
    assert_eq!(read(site.path(), None), (all + ROWS, Vec::new()));
    drop(site.open().await);
}

/// The entry behind a head that lags was cut; once it was moved away as the error says, its rows were deleted.
#[tokio::test]
async fn the_rows_of_an_entry_that_was_moved_away_are_kept() {
    let (site, north) = table().await;
    let older = fs::read(place::head(site.path())).unwrap();
    let mut lake = site.open().await;
    lake.commit(north.draft(COMMITS + 1, 2)).await.unwrap();
    drop(lake);
    fs::write(place::head(site.path()), older).unwrap();
    let entry = place::entry(site.path(), site.snapshot().table_version());
    let whole = fs::read(&entry).unwrap();
    fs::write(&entry, &whole[..whole.len() / 2]).unwrap();
    let error = refused(&site, "newest entry cut").await;
    let LakeError::Beyond { files, .. } = &error else { panic!("{error}") };
    let data = files.0.clone();
    assert_eq!(data.len(), 1, "{error}");
    assert!(error.to_string().contains(&data[0].display().to_string()), "{error}");
    fs::remove_file(&entry).unwrap();
    drop(site.open().await);
    assert!(data[0].exists(), "nothing of it was deleted");
    fs::write(&entry, &whole).unwrap();
    let all = usize::try_from(COMMITS + 1).unwrap() * ROWS;
    assert_eq!(read(site.path(), None), (all, Vec::new()), "put back, its rows are there");
}

/// A group that is chosen later, or changed, gets what is there already.
#[tokio::test]
async fn a_group_gets_the_folder_and_the_files_that_are_there() {
    let (site, _) = table().await;
    // Another group than that of the files, where this process may choose one.
    let own = fs::metadata(site.path()).unwrap().gid();
    let probe = tempfile::NamedTempFile::new().unwrap();
    let may_choose = std::os::unix::fs::chown(probe.path(), None, Some(own + 1)).is_ok();
    let group = if may_choose { own + 1 } else { own };
    let mut options = site.options();
    options.group = Some(group);
    drop(Lake::open(site.path(), options).await.unwrap());
    for part in ["", "_delta_log", "_data", "_nengliu", "_nengliu/dictionaries"] {
        let folder = site.path().join(part);
        let found = fs::metadata(&folder).unwrap();
        assert_eq!((found.gid(), found.permissions().mode() & 0o777), (group, 0o750), "{part}");
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if !part.is_empty() && entry.file_type().unwrap().is_file() {
                assert_eq!(entry.metadata().unwrap().gid(), group, "{:?}", entry.path());
            }
        }
    }
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
        let LakeError::Unproven { files, .. } = refused(&site, case).await else { panic!() };
        fs::rename(&files.0[0], site.path().join("kept data")).unwrap();
        let mut lake = site.open().await;
        lake.commit(north.draft(COMMITS, 2)).await.unwrap();
        assert_eq!(read(site.path(), None), (all, Vec::new()), "{case}");
    }
}
