//! What a crash, a full disk or a failing disk leaves behind.

use std::sync::atomic::Ordering;

use model::{CommitNumber, Sequence};

use super::{Site, plant, rows};
use crate::LakeError;

#[tokio::test]
async fn what_a_crash_left_behind_is_ignored_and_cleaned() {
    let site = Site::new();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    lake.commit(north.draft(1, 2)).await.unwrap();
    drop(lake);
    // Killed after the data file and before the log entry; and once more between a staged entry and its name.
    let live = site.data_files();
    let orphan = site.path().join("_data/0-000000000002-9.parquet");
    std::fs::copy(site.path().join("_data").join(&live[0]), &orphan).unwrap();
    let staged = site.path().join("_delta_log/00000000000000000002.json#3");
    std::fs::write(&staged, b"{").unwrap();
    let foreign = site.path().join("_data/notes.parquet");
    std::fs::write(&foreign, b"not ours").unwrap();
    assert_eq!(rows(&site.snapshot()).len(), 6, "a reader sees only what the log names");

    let mut lake = site.open().await;
    assert!(orphan.exists() && !staged.exists(), "its entry may have been lost");
    assert!(foreign.exists(), "what is not ours stays");
    assert_eq!(lake.commit_number().await.unwrap(), CommitNumber(1));
    lake.commit(north.draft(2, 2)).await.unwrap();
    assert_eq!(rows(&site.snapshot()).len(), 12);
}

/// Lets the disk fail during the commit of frame 2, commits it again, and expects exactly one copy of it.
async fn survives(fail: impl Fn(&Site)) {
    let site = Site::new();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    lake.commit(north.draft(1, 2)).await.unwrap();
    fail(&site);
    let error = lake.commit(north.draft(2, 2)).await.unwrap_err();
    assert!(!matches!(error, LakeError::Draft(_)), "{error}");
    site.disk.room.store(0, Ordering::Relaxed);
    let key = (north.gateway.clone(), north.log_id);
    let mark = lake.watermarks().await.unwrap()[&key].durable_upto;
    let snapshot = site.snapshot();
    assert_eq!(snapshot.watermarks()[&key].durable_upto, mark, "readers and writer agree");
    let expected = usize::try_from(mark.0).unwrap() * 6;
    assert_eq!(rows(&snapshot).len(), expected, "rows and watermark come together or not at all");

    lake.commit(north.draft(2, 2)).await.unwrap();
    lake.commit(north.draft(3, 2)).await.unwrap();
    let snapshot = site.snapshot();
    assert_eq!(rows(&snapshot).len(), 18, "INV-4");
    assert_eq!(snapshot.watermarks()[&key].durable_upto, Sequence(3));
    drop(lake);
    site.open().await;
    assert_eq!(site.data_files().len(), 3, "nothing is left behind");
}

#[tokio::test]
async fn a_disk_full_at_the_data_file_refuses_the_commit() {
    survives(|site| site.disk.room.store(100, Ordering::Relaxed)).await;
}

#[tokio::test]
async fn a_disk_full_at_the_log_entry_refuses_the_commit() {
    // Room for the data file of this draft, and for no entry after it.
    let probe = Site::new();
    probe.open().await.commit(plant("north", 1).draft(1, 2)).await.unwrap();
    let name = probe.data_files().remove(0);
    let bytes = std::fs::metadata(probe.path().join("_data").join(name)).unwrap().len();
    let room = i64::try_from(bytes).unwrap() + 100;
    survives(move |site| site.disk.room.store(room, Ordering::Relaxed)).await;
}

#[tokio::test]
async fn a_sync_that_fails_refuses_the_commit() {
    for which in 1..=2 {
        survives(|site| site.disk.sync_fails_in.store(which, Ordering::Relaxed)).await;
    }
    for which in 1..=2 {
        survives(|site| site.disk.directory_fails_in.store(which, Ordering::Relaxed)).await;
    }
}

#[tokio::test]
async fn a_commit_dropped_half_way_is_found_out() {
    let site = Site::new();
    let north = plant("north", 1);
    let mut lake = site.open().await;
    for sequence in 1..=20_u64 {
        // Polled a few times, then dropped: sometimes before the entry, sometimes after it.
        let polls = usize::try_from(sequence).unwrap();
        drop(poll_times(Box::pin(lake.commit(north.draft(sequence, 1))), polls).await);
        lake.commit(north.draft(sequence, 1)).await.unwrap();
        let expected = usize::try_from(sequence).unwrap() * 3;
        assert_eq!(rows(&site.snapshot()).len(), expected, "INV-4, after {polls} polls");
    }
}

/// Polls a future at most `times` times.
async fn poll_times<F: Future + Unpin>(mut future: F, times: usize) -> Option<F::Output> {
    for _ in 0..times {
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(context))
        });
        if let std::task::Poll::Ready(output) = polled.await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
