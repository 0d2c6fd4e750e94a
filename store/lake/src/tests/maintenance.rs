//! Merging, checkpoints and deletion: the rows stay, the files do not.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{CommitNumber, Sequence};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use url::Url;

use model::host::Clock;

use super::{Site, plant, rows};
use crate::entry::{Action, Operation};
use crate::file::{self, Packing};
use crate::lake::data_file;
use crate::maintain::FAN_IN;
use crate::selection::Selection;

#[tokio::test]
async fn merging_keeps_every_row_and_its_commit() {
    let site = Site::new();
    let (north, south) = (plant("north", 1), plant("south", 2));
    let mut lake = site.open().await;
    for sequence in 1..=u64::try_from(FAN_IN).unwrap() {
        let mut draft = north.draft(sequence, 5);
        draft.frames.push(south.frame(sequence, 5));
        draft.watermarks.push(south.upto(sequence));
        lake.commit(draft).await.unwrap();
    }
    let before = site.snapshot();
    let rows_before = rows(&before);
    let done = lake.settle().await.unwrap();
    assert_eq!((done.merged_files, done.removed_replays), (FAN_IN, 0));
    let after = site.snapshot();
    assert_eq!((before.files().len(), after.files().len()), (FAN_IN, 1));
    assert_eq!(rows(&after), rows_before, "INV-4: same rows, same commit numbers");
    assert_eq!(after.watermarks(), before.watermarks());
    assert_eq!(after.commit_number(), before.commit_number());
    // "As of commit 3" is a filter that merging does not change.
    let as_of = |rows: Vec<super::Row>| rows.into_iter().filter(|row| row.9 <= 3).count();
    assert_eq!((as_of(rows_before), as_of(rows(&after))), (90, 90));
    drop(lake);
    assert_eq!(site.open().await.live_files().await.unwrap(), 1);
}

#[tokio::test]
async fn merging_drops_replays_and_nothing_else() {
    let site = Site::new();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    for sequence in 1..u64::try_from(FAN_IN).unwrap() {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    let expected = rows(&site.snapshot());
    // A second file with the rows of the first: what a store without watermarks would have made of a replay.
    let first = site.snapshot().live_files(&Selection::default()).remove(0);
    let batches = first.open().unwrap().read(vec![0], None, 8_192).unwrap();
    let batches = batches.map(|batch| Ok(batch.unwrap()));
    let name = lake.name_file(0, CommitNumber(1));
    let path = site.path().join("_data").join(&name);
    let facts = file::write(site.disk.as_ref(), &path, Packing::Quick, site.clock.now(), batches);
    let facts = Arc::new(facts.unwrap().unwrap());
    let file = data_file(name.clone(), 0, CommitNumber(1), &facts);
    let add = Action::Add { name, facts, data_change: true };
    lake.enter(vec![add], Operation::Append, |known| known.files.push(file)).await.unwrap();
    assert_eq!(rows(&site.snapshot()).len(), expected.len() + 6);
    let done = lake.settle().await.unwrap();
    assert_eq!((done.merged_files, done.removed_replays), (FAN_IN, 6));
    assert_eq!(rows(&site.snapshot()), expected);
}

/// Spoils the second of enough files for two merges; expects all others to be merged, and this one too once it is back.
async fn merging_goes_on_without(spoil: impl Fn(&Path)) {
    let site = Site::new();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    let commits = u64::try_from(FAN_IN).unwrap() + 1;
    for sequence in 1..=commits {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    let expected = rows(&site.snapshot());
    let name = lake.known().await.unwrap().files[1].name.clone();
    let (path, kept) = (site.path().join("_data").join(&name), site.path().join("kept"));
    std::fs::copy(&path, &kept).unwrap();
    spoil(&path);
    let done = lake.settle().await.unwrap();
    assert_eq!((done.merged_files, done.unreadable_files), (FAN_IN, 1));
    assert!(site.snapshot().files().contains(&path), "its rows are not given up");
    assert_eq!(lake.live_files().await.unwrap(), 2);

    // Put back from a backup, it is merged with those that follow.
    std::fs::rename(kept, path).unwrap();
    assert_eq!(rows(&site.snapshot()), expected, "INV-4");
    for sequence in commits + 1..commits + u64::try_from(FAN_IN).unwrap() {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    let done = lake.settle().await.unwrap();
    assert_eq!((done.merged_files, done.unreadable_files), (FAN_IN, 0));
    assert_eq!(lake.live_files().await.unwrap(), 2);
    assert_eq!(rows(&site.snapshot()).len(), expected.len() + (FAN_IN - 1) * 6);
}

#[tokio::test]
async fn merging_goes_on_without_a_file_that_is_gone() {
    merging_goes_on_without(|path| std::fs::remove_file(path).unwrap()).await;
}

#[tokio::test]
async fn merging_goes_on_without_a_file_that_is_cut() {
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    merging_goes_on_without(cut).await;
}

#[tokio::test]
async fn merging_goes_on_without_a_file_with_a_bad_sector() {
    let spoil = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[4..600].fill(0);
        std::fs::write(path, bytes).unwrap();
    };
    merging_goes_on_without(spoil).await;
}

#[tokio::test]
async fn a_full_disk_is_no_fault_of_the_files_that_are_merged() {
    let site = Site::new();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    for sequence in 1..=u64::try_from(FAN_IN).unwrap() {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    site.disk.room.store(100, Ordering::Relaxed);
    lake.settle().await.unwrap_err();
    site.disk.room.store(0, Ordering::Relaxed);
    let done = lake.settle().await.unwrap();
    assert_eq!((done.merged_files, done.unreadable_files), (FAN_IN, 0));
}

#[tokio::test]
async fn an_old_snapshot_reads_on_until_the_retention_ends() {
    let site = Site::new();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    for sequence in 1..=u64::try_from(FAN_IN).unwrap() {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
    }
    let old = site.snapshot();
    let expected = rows(&old);
    lake.settle().await.unwrap();
    site.clock.forward(site.keep.age);
    assert_eq!(lake.maintain().await.unwrap().expired_data_files, 0);
    // A restart of the writer must not take the files away either.
    drop(lake);
    let mut lake = site.open().await;
    assert_eq!(rows(&old), expected);
    site.clock.forward(Duration::from_secs(1));
    assert_eq!(lake.maintain().await.unwrap().expired_data_files, FAN_IN);
    assert!(!old.files()[0].exists());
    assert_eq!(rows(&site.snapshot()), expected);
}

/// Trial int-07: after 43 minutes version 1 was gone, and a snapshot of an open session after 20. What was the newest version
/// at some moment within the time that is kept opens by its number in another program, with all its files; what is older
/// is gone.
#[tokio::test]
async fn a_version_opens_by_its_number_as_long_as_its_files_are_kept() {
    let mut site = Site::new();
    // More than lies between two checkpoints, the newest two of which always stay.
    site.keep.age = Duration::from_secs(110);
    let north = plant("north", 1);
    let mut lake = site.open().await;
    let table = Url::from_directory_path(site.path()).unwrap();
    let kept_ms = i64::try_from(site.keep.age.as_millis()).unwrap();
    let (mut versions, mut tried) = (Vec::new(), 0);
    for sequence in 1..=300 {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
        lake.settle().await.unwrap();
        let version = lake.known().await.unwrap().state.version;
        versions.push((site.clock.now().as_millis(), version, sequence * 6));
        site.clock.forward(Duration::from_secs(1));
        if sequence % 24 != 0 {
            continue;
        }
        lake.maintain().await.unwrap();
        let since = site.clock.now().as_millis() - kept_ms;
        let oldest = versions.partition_point(|(at, ..)| *at < since);
        // What was the newest at the begin of the time that is kept, and one of later.
        for at in [oldest.saturating_sub(1), oldest + 20] {
            let (_, version, expected) = versions[at];
            let old =
                deltalake_core::open_table_with_version(table.clone(), version).await.unwrap();
            let files: Vec<String> = old.get_file_uris().unwrap().collect();
            let read = |file: &String| {
                let file = std::fs::File::open(file).unwrap();
                let file = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
                u64::try_from(file.metadata().file_metadata().num_rows()).unwrap()
            };
            assert_eq!(files.iter().map(read).sum::<u64>(), expected, "version {version}");
            tried += 1;
        }
    }
    assert_eq!(tried, 24);
    let gone = deltalake_core::open_table_with_version(table, versions[1].1).await;
    assert!(gone.is_err(), "the log goes as the files do");
}

#[tokio::test]
async fn three_hundred_commits_leave_few_files_and_a_short_log() {
    let mut site = Site::new();
    site.keep.age = Duration::from_millis(1);
    let (north, quiet) = (plant("north", 1), plant("quiet", 9));
    let mut lake = site.open().await;
    // A gateway that is heard once must still be known when its entry is long gone from the log.
    lake.commit(quiet.draft(7, 1)).await.unwrap();
    let mut most = 0;
    let mut checkpoints = 0;
    for sequence in 1..=300 {
        lake.commit(north.draft(sequence, 2)).await.unwrap();
        let done = lake.settle().await.unwrap();
        site.clock.forward(Duration::from_secs(1));
        checkpoints += u32::from(done.checkpoint);
        most = most.max(lake.live_files().await.unwrap());
    }
    assert!(most <= 33, "{most} live files");
    assert_eq!(checkpoints, 3);
    let log_files = std::fs::read_dir(site.path().join("_delta_log")).unwrap().count();
    // The newest two checkpoints and what follows the older one stay.
    assert!(log_files < 220, "{log_files} files in the log");
    let snapshot = site.snapshot();
    assert_eq!(rows(&snapshot).len(), 3 + 300 * 6);
    assert_eq!(snapshot.commit_number(), CommitNumber(301));
    let mark = snapshot.watermarks()[&(quiet.gateway.clone(), quiet.log_id)];
    assert_eq!(mark.durable_upto, Sequence(7), "a quiet gateway's watermark does not expire");
    site.clock.forward(Duration::from_mins(1));
    lake.maintain().await.unwrap();
    assert_eq!(site.data_files().len(), snapshot.files().len(), "merged files are deleted");
    drop(lake);
    let mut lake = site.open().await;
    assert_eq!(lake.watermarks().await.unwrap(), snapshot.watermarks());
    assert_eq!(rows(&site.snapshot()), rows(&snapshot));
    drop(lake);
    // The reference implementation reads checkpoint and entries as we do.
    let table = Url::from_directory_path(site.path()).unwrap();
    let table = deltalake_core::open_table(table).await.unwrap();
    let files: BTreeSet<_> = table.get_file_uris().unwrap().collect();
    let expected = snapshot.files().into_iter().map(|path| path.display().to_string());
    assert_eq!(files, expected.collect());
    let ours = crate::chain::read(site.path()).unwrap();
    assert_eq!((ours.checkpoint, ours.damage.len()), (Some(300), 0));
    assert_eq!(table.version(), Some(ours.state.version));
    // The commit; of each of two logs its watermark, its generation and the begin of its dictionary.
    assert_eq!(ours.state.transactions.len(), 7);
    let (state, log_store) = (table.snapshot().unwrap(), table.log_store());
    for (name, version) in ours.state.transactions {
        assert_eq!(state.transaction_version(&log_store, &name).await.unwrap(), Some(version));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_beside_a_writer_always_see_whole_commits() {
    let site = Arc::new(Site::new());
    let north = plant("north", 1);
    let mut lake = site.open().await;
    let reader = {
        let (site, key) = (Arc::clone(&site), (north.gateway.clone(), north.log_id));
        tokio::task::spawn_blocking(move || {
            let mut last = 0;
            while last < 120 {
                let snapshot = site.snapshot();
                let upto = snapshot.watermarks().get(&key).map_or(0, |mark| mark.durable_upto.0);
                assert_eq!(rows(&snapshot).len(), usize::try_from(upto).unwrap() * 3);
                assert!(upto >= last, "a watermark went back");
                last = upto;
            }
        })
    };
    // On another thread: a lake can be handed from task to task.
    let writer = tokio::spawn(async move {
        for sequence in 1..=120 {
            lake.commit(north.draft(sequence, 1)).await.unwrap();
            lake.maintain().await.unwrap();
        }
    });
    writer.await.unwrap();
    reader.await.unwrap();
}
