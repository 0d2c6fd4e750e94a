//! A table whose files were lost, replaced or edited: what is refused, what is named, and what is never deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use contract::DraftFault;
use model::Sequence;

use super::{Plant, Site, plant, rows, rows_of_batch};
use crate::lock::place;
use crate::{CommitDraft, Lake, LakeError, LostFrames, Selection, Snapshot};

/// A table of so many commits, closed.
async fn table(commits: u64) -> (Site, Plant) {
    let (site, north) = (Site::new(), plant("north", 1));
    let mut lake = site.open().await;
    lake.put_dictionary(&north.dictionary).await.unwrap();
    commit(&mut lake, &north, 1..=commits).await;
    (site, north)
}

async fn commit(lake: &mut Lake, plant: &Plant, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        lake.commit(plant.draft(sequence, 2)).await.unwrap();
        lake.settle().await.unwrap();
    }
}

/// Expects that reader and writer name the file, that nothing is deleted, and that all is well when it is put back.
async fn refused_until_put_back(site: &Site, path: &Path, rows_before: usize) {
    let (kept, files) = (fs::read(path).unwrap(), site.data_files());
    fs::remove_file(path).unwrap();
    let unread = Snapshot::open(site.path()).unwrap_err();
    assert_eq!(unread.path(), Some(path), "{unread}");
    assert!(unread.to_string().contains("missing"), "{unread}");
    let refused = Lake::open(site.path(), site.options()).await.unwrap_err();
    assert_eq!(refused.path(), Some(path), "{refused}");
    assert_eq!(site.data_files(), files, "no data file may be deleted");
    fs::write(path, kept).unwrap();
    drop(site.open().await);
    assert_eq!(rows(&site.snapshot()).len(), rows_before);
}

/// Trial brk-02: `query` gave less than half of the rows, and `serve` deleted the files of all later commits.
#[tokio::test]
async fn a_gap_in_the_log_is_named_and_deletes_nothing() {
    let (site, _) = table(30).await;
    for version in [0, 1, 12, 29] {
        refused_until_put_back(&site, &place::entry(site.path(), version), 180).await;
    }
}

/// The same behind a checkpoint.
#[tokio::test]
async fn a_gap_behind_the_checkpoint_is_named_and_one_before_it_costs_no_row() {
    let (site, _) = table(120).await;
    let checkpoint = crate::chain::read(site.path()).unwrap().checkpoint.unwrap();
    refused_until_put_back(&site, &place::entry(site.path(), checkpoint + 1), 720).await;
    let covered = place::entry(site.path(), checkpoint - 5);
    fs::remove_file(&covered).unwrap();
    let snapshot = site.snapshot();
    assert_eq!(rows(&snapshot).len(), 720);
    assert!(snapshot.log_damage().iter().any(|one| one.path == covered));
    let damage = site.open().await.damage().await.unwrap();
    assert!(damage.iter().any(|one| one.path == covered), "{damage:?}");
}

#[tokio::test]
async fn a_log_that_is_older_than_the_data_files_is_no_reason_to_delete_them() {
    let (site, _) = table(3).await;
    let copy = |folder: &str| {
        let names = fs::read_dir(site.path().join(folder)).unwrap();
        names
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect::<Vec<(PathBuf, Vec<u8>)>>()
    };
    let (log, own) = (copy("_delta_log"), copy("_nengliu"));
    let mut lake = site.open().await;
    commit(&mut lake, &plant("north", 1), 4..=9).await;
    drop(lake);
    let files = site.data_files();
    // A backup that held the log and not the data.
    fs::remove_dir_all(place::log(site.path())).unwrap();
    fs::create_dir(place::log(site.path())).unwrap();
    for (path, bytes) in log.into_iter().chain(own) {
        fs::write(path, bytes).unwrap();
    }
    let refused = Lake::open(site.path(), site.options()).await.unwrap_err();
    assert!(
        matches!(&refused, LakeError::Unlisted { files, .. } if files.0.len() == 6),
        "{refused}"
    );
    assert_eq!(site.data_files(), files);
}

/// Copies every file below a directory; links are made again as they are.
fn copy_table(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy_table(&entry.path(), &target),
            kind if kind.is_symlink() => {
                std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
            }
            _ => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Puts another table into the place of the one that is written.
fn replace(site: &Site, by: &Path) {
    let aside = site.path().join("../").join(format!("aside-{}", rand_name(by)));
    fs::rename(site.path(), &aside).unwrap();
    fs::rename(by, site.path()).unwrap();
    fs::remove_dir_all(aside).unwrap();
}

fn rand_name(of: &Path) -> String {
    of.file_name().unwrap().to_string_lossy().into_owned()
}

/// Trial brk-03: the folder was replaced by its copy of ten seconds ago; 33 600 samples were missing and nobody counted.
#[tokio::test]
async fn a_table_that_goes_back_under_its_writer_is_noticed() {
    let (site, north) = (Site::new(), plant("north", 1));
    let key = (north.gateway.clone(), north.log_id);
    let mut lake = site.open().await;
    commit(&mut lake, &north, 1..=5).await;
    let before = tempfile::tempdir().unwrap().keep();
    copy_table(site.path(), &before);
    commit(&mut lake, &north, 6..=9).await;
    replace(&site, &before);

    let mut next = north.draft(10, 2);
    next.watermarks[0].stood = Sequence(9);
    let noticed = lake.commit(next.clone()).await.unwrap_err();
    assert!(matches!(noticed, LakeError::Changed { .. }), "{noticed}");
    // What the table says now is what is asked for again; a draft that would leave a hole is refused.
    assert_eq!(lake.watermarks().await.unwrap()[&key].durable_upto, Sequence(5));
    let refused = lake.commit(next).await.unwrap_err();
    let LakeError::Draft(refused) = &refused else { panic!("{refused}") };
    assert!(matches!(refused.fault, DraftFault::DoesNotJoin { .. }), "{refused}");
    assert_eq!(rows(&site.snapshot()).len(), 30);
    commit(&mut lake, &north, 6..=10).await;
    assert_eq!(rows(&site.snapshot()).len(), 60);
    assert_eq!(site.data_files().len(), 10, "nothing is left of the commit that was refused");
    // The lock is that of the new folder.
    let second = Lake::open(site.path(), site.options()).await.unwrap_err();
    assert!(matches!(second, LakeError::Locked { .. }), "{second}");
}

#[tokio::test]
async fn a_table_that_is_swapped_under_its_writer_is_noticed() {
    let (site, north) = table(3).await;
    let mut lake = site.open().await;
    commit(&mut lake, &north, 4..=4).await;
    let id = lake.table_id().await.unwrap();
    let (other, south) = (Site::new(), plant("south", 2));
    let mut their_lake = other.open().await;
    commit(&mut their_lake, &south, 1..=4).await;
    drop(their_lake);
    let by = tempfile::tempdir().unwrap().keep();
    copy_table(other.path(), &by);
    replace(&site, &by);
    let noticed = lake.commit(north.draft(5, 2)).await.unwrap_err();
    assert!(matches!(noticed, LakeError::Changed { .. }), "{noticed}");
    assert_ne!(lake.table_id().await.unwrap(), id);
    assert!(!lake.watermarks().await.unwrap().contains_key(&(north.gateway, north.log_id)));
}

/// A relative of brk-03: not the whole folder, but its history is edited while the table is written.
#[tokio::test]
async fn an_entry_that_is_edited_under_its_writer_is_named_at_the_next_commit() {
    let edit = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.replace("\"seq\":3", "\"seq\":4") + " ").unwrap();
    };
    let cut = |path: &Path| fs::write(path, &fs::read(path).unwrap()[..100]).unwrap();
    let replace =
        |path: &Path| drop(fs::copy(path.with_file_name("00000000000000000002.json"), path));
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    for harm in [&edit as &dyn Fn(&Path), &cut, &replace, &remove] {
        let (site, north) = table(3).await;
        let mut lake = site.open().await;
        commit(&mut lake, &north, 4..=6).await;
        let path = place::entry(site.path(), 3);
        harm(&path);
        assert!(lake.damage().await.unwrap().is_empty());
        commit(&mut lake, &north, 7..=7).await;
        let damage = lake.damage().await.unwrap();
        assert_eq!(damage.len(), 1, "{damage:?}");
        // A gap is named by the entry that is missing, or by the one behind it that does not join.
        let behind = place::entry(site.path(), 4);
        assert!([&path, &behind].contains(&&damage[0].path), "{damage:?}");
        // Its writer knows what it said: readers have a checkpoint in its place, and no commit is refused.
        lake.settle().await.unwrap();
        assert_eq!(rows(&site.snapshot()).len(), 7 * 6);
        commit(&mut lake, &north, 8..=8).await;
        drop(lake);
        let mut lake = site.open().await;
        commit(&mut lake, &north, 9..=9).await;
        assert_eq!(rows(&site.snapshot()).len(), 9 * 6);
    }
}

/// A backup that was put back entry by entry, or links each file, changes nothing.
#[tokio::test]
async fn an_entry_that_is_replaced_by_itself_is_no_damage() {
    let (site, north) = table(3).await;
    let mut lake = site.open().await;
    let (path, copy) = (place::entry(site.path(), 2), site.path().join("copy"));
    fs::copy(&path, &copy).unwrap();
    fs::rename(copy, path).unwrap();
    fs::hard_link(place::entry(site.path(), 3), site.path().join("backup")).unwrap();
    commit(&mut lake, &north, 4..=5).await;
    assert!(lake.damage().await.unwrap().is_empty());
    lake.settle().await.unwrap();
    assert!(!place::checkpoint(site.path(), 5).exists());
}

/// Another program appends to the table: its entry has no seal, and what it says cannot be proved.
#[tokio::test]
async fn an_entry_of_another_program_is_noticed_and_named() {
    let (site, north) = table(2).await;
    let mut lake = site.open().await;
    commit(&mut lake, &north, 3..=3).await;
    let foreign = place::entry(site.path(), 4);
    fs::write(&foreign, "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n").unwrap();
    let noticed = lake.commit(north.draft(4, 2)).await.unwrap_err();
    assert!(matches!(noticed, LakeError::Changed { .. }), "{noticed}");
    let named = lake.commit(north.draft(4, 2)).await.unwrap_err();
    assert_eq!(named.path(), Some(foreign.as_path()), "{named}");
    fs::remove_file(foreign).unwrap();
    commit(&mut lake, &north, 4..=5).await;
    assert_eq!(rows(&site.snapshot()).len(), 30);
}

#[tokio::test]
async fn the_newest_entry_is_put_back_by_the_writer_that_wrote_it() {
    let (site, north) = table(2).await;
    let mut lake = site.open().await;
    commit(&mut lake, &north, 3..=4).await;
    let newest = place::entry(site.path(), 4);
    fs::remove_file(&newest).unwrap();
    commit(&mut lake, &north, 5..=5).await;
    fs::write(place::entry(site.path(), 5), "{}").unwrap();
    commit(&mut lake, &north, 6..=6).await;
    assert_eq!(rows(&site.snapshot()).len(), 36);
    assert!(site.snapshot().verify().unwrap().is_empty());
}

/// Trial brk-04: a file that was missing or damaged ended the whole query, also for rows that were not in it.
#[tokio::test]
async fn a_damaged_file_is_named_with_the_rows_that_it_held_and_the_others_are_read() {
    for remove in [false, true] {
        let (site, north) = table(5).await;
        let bad = site.snapshot().live_files(&Selection::default()).remove(2);
        if remove {
            fs::remove_file(bad.path()).unwrap();
        } else {
            let mut bytes = fs::read(bad.path()).unwrap();
            bytes[200] ^= 4;
            fs::write(bad.path(), bytes).unwrap();
        }
        let snapshot = site.snapshot();
        let mut scan = snapshot.scan(&Selection::default());
        let read: Vec<_> = scan.by_ref().flat_map(|batch| rows_of_batch(&batch)).collect();
        assert_eq!(read.len(), 24);
        assert!(read.iter().all(|row| row.8 != 3), "INV-4: rows of frame 3 were made up");
        let [damage] = scan.damage() else { panic!("{:?}", scan.damage()) };
        assert_eq!(damage.path, bad.path());
        let lost = damage.lost.as_ref().unwrap();
        assert_eq!((lost.rows, lost.times), (6, bad.times()));
        let points = ("steelworks/site-1/north/energy", "steelworks/site-1/north/power");
        assert_eq!((lost.points.0.as_str(), lost.points.1.as_str()), points);
        let first = Sequence(3);
        let generation = model::Generation(1);
        let log = Some((north.gateway.clone(), north.log_id));
        assert_eq!(lost.frames, [LostFrames { log, generation, first, last: first }]);
        let text = damage.to_string();
        assert!(text.contains("6 rows cannot be read"), "{text}");
        assert!(text.contains("frames 3 to 3 of gateway `north`, log "), "{text}");
        let (sound, damage) = snapshot.verified_files(&Selection::default());
        assert_eq!((sound.len(), damage.len()), (4, 1));
        // What does not touch the file does not hear of it.
        let other = Selection { to: Some(lost.times.0), ..Selection::default() };
        assert_eq!(snapshot.verified_files(&other).1, []);
        // So does its writer.
        if remove {
            let told = site.open().await.damage().await.unwrap();
            let [told] = told.as_slice() else { panic!("{told:?}") };
            let text = told.to_string();
            let path = bad.path().display().to_string();
            assert!(text.contains("frames 3 to 3 of gateway `north`, log "), "{text}");
            assert!(text.contains(&path), "{text}");
        }
    }
}

#[tokio::test]
async fn a_damaged_dictionary_is_named_and_the_others_are_read() {
    let (site, north) = table(1).await;
    let mut lake = site.open().await;
    let south = plant("south", 2);
    let hash = lake.put_dictionary(&north.dictionary).await.unwrap();
    lake.put_dictionary(&south.dictionary).await.unwrap();
    let path = place::dictionaries(site.path()).join(format!("{hash}.json"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("energy", "enemy")).unwrap();
    let kept = lake.dictionaries().await.unwrap();
    assert_eq!(kept.sound.keys().collect::<Vec<_>>(), [&south.dictionary.hash()]);
    assert_eq!(kept.damage.iter().map(|one| one.path.as_path()).collect::<Vec<_>>(), [path]);
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_refuses_a_commit_before_it_writes() {
    let (site, north) = table(2).await;
    let mut lake = site.open().await;
    site.disk.free.store(1_000, Ordering::Relaxed);
    let files = site.data_files();
    let refused = lake.commit(north.draft(3, 2)).await.unwrap_err();
    assert!(matches!(refused, LakeError::Full { free: 1_000, .. }), "{refused}");
    assert!(refused.is_disk_full());
    assert_eq!(site.data_files(), files);
    // A draft that is a replay needs no room.
    lake.commit(CommitDraft::clone(&north.draft(2, 2))).await.unwrap();
    site.disk.free.store(0, Ordering::Relaxed);
    commit(&mut lake, &north, 3..=3).await;
}
