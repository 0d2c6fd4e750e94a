//! Damaged data files: found without anybody asking for their rows, known at once after a restart, left out of merges,
//! and read again once they are sound.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::{Readings, Request, RowChoice, Store};
use model::Sequence;

use super::{Site, plant, rows};
use crate::lock::place;
use crate::maintain::FAN_IN;
use crate::quarantine::READ_AGAIN_AFTER;
use crate::{Damage, Lake};

const ROWS: u64 = 6;

/// A table of so many commits, none of them merged.
async fn table(commits: u64) -> (Site, Lake) {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    lake.put_dictionary(&north.dictionary).await.unwrap();
    for sequence in 1..=commits {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    (site, lake)
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[200] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// Maintains the table for so many minutes.
async fn minutes(site: &Site, lake: &mut Lake, count: u64) {
    for _ in 0..count {
        lake.settle().await.unwrap();
        site.clock.forward(Duration::from_mins(1));
    }
}

fn check_is(damage: &[Damage], path: &Path, sequence: u64) {
    let [damage] = damage else { panic!("{damage:?}") };
    let lost = damage.lost.as_ref().unwrap();
    assert_eq!((damage.path.as_path(), lost.rows), (path, ROWS));
    let [frames] = lost.frames.as_slice() else { panic!("{damage}") };
    assert_eq!((frames.first, frames.last), (Sequence(sequence), Sequence(sequence)));
    assert_eq!(frames.log.as_ref().unwrap().0.as_str(), "north");
}

/// The data file of a commit.
fn file_of(site: &Site, commit: usize) -> PathBuf {
    let mut files = site.snapshot().files();
    files.sort();
    files.remove(commit - 1)
}

#[tokio::test]
async fn a_flipped_bit_is_found_though_nobody_reads_the_row() {
    let (site, mut lake) = table(5).await;
    minutes(&site, &mut lake, 6).await;
    assert_eq!(lake.damage().await.unwrap(), []);
    assert!(!place::damaged(site.path()).exists());
    flip(&file_of(&site, 3));
    minutes(&site, &mut lake, 6).await;
    check_is(&lake.damage().await.unwrap(), &file_of(&site, 3), 3);
    assert_eq!(site.snapshot().files().len(), 5, "its rows are not given up");
}

/// An outsider damaged files: filling the live topics met them at the start of `serve`, and its status knew of none for
/// minutes.
#[tokio::test]
async fn what_a_reader_in_the_same_process_cannot_read_is_checked_before_all_others() {
    let (site, mut lake) = table(9).await;
    minutes(&site, &mut lake, 1).await;
    let bad = [file_of(&site, 4), file_of(&site, 8)];
    for path in &bad {
        flip(path);
    }
    let suspects = lake.options.suspects.clone();
    let snapshot = site.snapshot().telling(suspects).renewed().unwrap();
    let read = || {
        let request = Request { choice: RowChoice::All, ..Request::default() };
        let mut rows = Readings::rows(&snapshot, &request).unwrap();
        let read: usize = rows.by_ref().map(|batch| batch.unwrap().num_rows()).sum();
        (read, rows.damaged().len())
    };
    assert_eq!(read(), (7 * 6, 2));
    // No time passes: the reader wakes whoever maintains the store, and each check the next one.
    for _ in 0..3 {
        let wants = Store::wants_maintenance(&mut lake);
        tokio::time::timeout(Duration::from_secs(30), wants).await.expect("it is told");
        lake.maintain().await.unwrap();
    }
    let damage = lake.damage().await.unwrap();
    assert_eq!(damage.iter().map(|one| one.path.clone()).collect::<Vec<_>>(), bad);
    assert_eq!(site.snapshot().quarantined().unwrap().len(), 2, "and it is noted");
    // They are known: to read them again makes no work.
    lake.settle().await.unwrap();
    assert_eq!(read(), (7 * 6, 2));
    lake.maintain().await.unwrap();
    assert!(!lake.checks.is_running());
}

/// A dictionary is found in turn as a data file is, though no gateway connects and no figure is computed.
#[tokio::test]
async fn a_dictionary_that_is_damaged_under_a_running_writer_is_named() {
    let (site, mut lake) = table(2).await;
    let path = fs::read_dir(place::dictionaries(site.path())).unwrap().next().unwrap();
    let path = path.unwrap().path();
    let sound = fs::read(&path).unwrap();
    let date = fs::metadata(&path).unwrap().modified().unwrap();
    minutes(&site, &mut lake, 2).await;
    let same_look = || {
        let mut bytes = sound.clone();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
    };
    let harms: [(&dyn Fn(), &str); 4] = [
        (&|| fs::remove_file(&path).unwrap(), "the file is missing"),
        (&|| fs::write(&path, "{}").unwrap(), "it does not have its hash"),
        (&same_look, "it does not have its hash"),
        (
            &|| {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            },
            "it is a folder",
        ),
    ];
    for (harm, what) in harms {
        harm();
        minutes(&site, &mut lake, 2).await;
        let damage = lake.damage().await.unwrap();
        let [one] = damage.as_slice() else { panic!("{damage:?}") };
        assert_eq!(one.path, path);
        assert!(one.what.contains(what), "{one}");
        let glance = site.snapshot().damage_at_a_glance().unwrap();
        assert!(glance.iter().any(|found| found.path == path), "{glance:?}");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        fs::write(&path, &sound).unwrap();
        minutes(&site, &mut lake, 2).await;
        assert_eq!(lake.damage().await.unwrap(), []);
    }
}

#[tokio::test]
async fn damage_is_known_at_once_after_a_restart_and_merges_leave_it_out() {
    let (site, mut lake) = table(5).await;
    let (path, kept) = (file_of(&site, 3), site.path().join("kept"));
    let sound = rows(&site.snapshot());
    fs::copy(&path, &kept).unwrap();
    flip(&path);
    minutes(&site, &mut lake, 6).await;
    drop(lake);

    let mut lake = site.open().await;
    check_is(&lake.damage().await.unwrap(), &path, 3);
    let noted = site.snapshot().quarantined().unwrap();
    let damage: Vec<Damage> = noted.iter().map(|(_, damage)| damage.clone()).collect();
    check_is(&damage, &path, 3);
    let since = noted[0].0;
    let north = plant("north", 1);
    let fan_in = u64::try_from(FAN_IN).unwrap();
    for sequence in 6..=fan_in {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    assert_eq!(lake.settle().await.unwrap().merged_files, 0, "one of them is left out");
    site.clock.forward(READ_AGAIN_AFTER * 3);
    lake.settle().await.unwrap();
    assert_eq!(site.snapshot().quarantined().unwrap()[0].0, since, "since it was found");
    check_is(&lake.damage().await.unwrap(), &path, 3);

    // Put back from a backup it is sound by itself, and nothing is left of the quarantine.
    fs::rename(kept, &path).unwrap();
    let done = lake.settle().await.unwrap();
    assert_eq!((done.unreadable_files, done.merged_files), (0, FAN_IN));
    assert_eq!(lake.damage().await.unwrap(), []);
    assert!(!place::damaged(site.path()).exists());
    let all = rows(&site.snapshot());
    assert!(sound.iter().all(|row| all.contains(row)), "INV-4");
}

/// A disk that reads well again leaves length and date as they were.
#[tokio::test]
async fn a_file_that_looks_the_same_is_read_again_after_an_hour() {
    let (site, mut lake) = table(2).await;
    let path = file_of(&site, 1);
    let (sound, date) =
        (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let dated = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
    };
    let mut bad = sound.clone();
    bad[200] ^= 4;
    dated(&bad);
    minutes(&site, &mut lake, 3).await;
    check_is(&lake.damage().await.unwrap(), &path, 1);
    dated(&sound);
    minutes(&site, &mut lake, 3).await;
    check_is(&lake.damage().await.unwrap(), &path, 1);
    site.clock.forward(READ_AGAIN_AFTER);
    lake.settle().await.unwrap();
    assert_eq!(lake.damage().await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_note_is_named_and_made_again() {
    let (site, mut lake) = table(3).await;
    let (path, note) = (file_of(&site, 2), place::damaged(site.path()));
    flip(&path);
    minutes(&site, &mut lake, 4).await;
    drop(lake);
    let whole = fs::read(&note).unwrap();
    for bad in [&whole[..whole.len() / 2], b"", b"{}"] {
        fs::write(&note, bad).unwrap();
        assert!(site.snapshot().quarantined().is_err());
        let mut lake = site.open().await;
        let damage = lake.damage().await.unwrap();
        assert!(damage.iter().any(|one| one.path == note), "{damage:?}");
        // The next round finds the file again.
        minutes(&site, &mut lake, 4).await;
        let damage = lake.damage().await.unwrap();
        assert!(damage.iter().any(|one| one.path == path), "{damage:?}");
        drop(lake);
        check_is(&site.open().await.damage().await.unwrap(), &path, 2);
    }
}

#[tokio::test]
async fn a_note_that_cannot_be_written_is_written_later() {
    let (site, lake) = table(2).await;
    let (path, note) = (file_of(&site, 1), place::damaged(site.path()));
    fs::create_dir(&note).unwrap();
    fs::remove_file(&path).unwrap();
    drop(lake);
    let mut lake = site.open().await;
    check_is(
        &lake
            .damage()
            .await
            .unwrap()
            .into_iter()
            .filter(|one| one.path != note)
            .collect::<Vec<_>>(),
        &path,
        1,
    );
    assert!(lake.maintain().await.is_err(), "it is told");
    fs::remove_dir(&note).unwrap();
    lake.settle().await.unwrap();
    assert_eq!(site.snapshot().quarantined().unwrap().len(), 1);
}
