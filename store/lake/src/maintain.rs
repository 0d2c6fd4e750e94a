//! Keeps the table quick: merges small files beside the commits, writes checkpoints, removes what has expired. Must
//! never change a row.
//!
//! Files have levels. A commit makes one of level 0; [`FAN_IN`] of one level are merged into one of the next, sorted
//! by (point, ts). A file with [`SEALED_ROWS`] rows is merged no more, so the work per row is bounded by the levels it
//! passes. The merge runs on a thread of its own and only reads files that the log names; the writer alone enters its
//! result. A merged file keeps the commit number of every row and is entered with `dataChange = false`. A file that
//! cannot be read stays live and is left out for a while, so that one bad sector does not end all merging.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::Action;
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::table::state::DeltaTableState;
use model::CommitNumber;
use tokio::task::JoinHandle;

use crate::LakeError;
use crate::file::{self, DataFile, Written};
use crate::lake::{CHECKPOINT_COMMITS, Lake, data_file};
use crate::log::data_path;
use crate::merge::{BATCH_ROWS, Merger};

/// Files of one level that are merged into one of the next.
pub(crate) const FAN_IN: usize = 16;
/// Rows from which a file is merged no more.
pub(crate) const SEALED_ROWS: u64 = 4_000_000;
/// Expired files deleted in one call, so that a commit never waits long for them.
const DELETIONS_MAX: usize = 256;
/// How long a file that could not be read is left out of merges.
pub(crate) const UNREADABLE_FOR: Duration = Duration::from_hours(1);

/// What one call of [`Lake::maintain`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Files that were merged into one.
    pub merged_files: usize,
    /// Rows that were left out of it because the same row was in it already.
    pub removed_replays: u64,
    /// Files that are left out of merges now because they could not be read.
    pub unreadable_files: usize,
    /// Whether a merge is running now.
    pub merge_running: bool,
    /// Whether a checkpoint was written.
    pub checkpoint: bool,
    /// Expired files of the log that were deleted.
    pub expired_log_files: usize,
    /// Expired data files that were deleted.
    pub expired_data_files: usize,
}

/// A merge on its way.
#[derive(Debug)]
pub(crate) struct Merge {
    task: JoinHandle<Result<Merged, LakeError>>,
    sources: Vec<DataFile>,
    cancelled: Arc<AtomicBool>,
}

impl Drop for Merge {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The file that can stand for the sources of its merge.
#[derive(Debug)]
struct Merged {
    name: String,
    level: u32,
    commit: CommitNumber,
    /// `None` when it has no rows, which no file of ours is.
    written: Option<Written>,
    replays: u64,
}

impl Lake {
    /// Does what is due: enters a finished merge, starts the next one, writes a checkpoint, deletes what has expired.
    ///
    /// Call it after each commit, when the commit acks are out, and once a minute when nothing is committed. It takes
    /// about as long as a commit; merging itself goes on beside it. An error is no loss: nothing that was committed
    /// depends on it, and the next call tries again.
    pub async fn maintain(&mut self) -> Result<Maintained, LakeError> {
        self.do_what_is_due(false).await
    }

    async fn do_what_is_due(&mut self, wait: bool) -> Result<Maintained, LakeError> {
        let mut done = Maintained::default();
        // Each step is tried whatever became of the one before: on a full disk it is the deletions that help.
        let steps = [
            self.expire(&mut done).await,
            self.finish_merge(wait, &mut done).await,
            self.start_merge().await,
            self.checkpoint(&mut done).await,
        ];
        done.merge_running = self.merge.is_some();
        done.unreadable_files = self.unreadable.len();
        steps.into_iter().collect::<Result<(), LakeError>>()?;
        Ok(done)
    }

    /// Does what is due until nothing is, and waits for every merge. For tools and tests.
    pub async fn settle(&mut self) -> Result<Maintained, LakeError> {
        let mut all = Maintained::default();
        loop {
            let done = self.do_what_is_due(true).await?;
            all.merged_files += done.merged_files;
            all.removed_replays += done.removed_replays;
            all.checkpoint |= done.checkpoint;
            all.expired_log_files += done.expired_log_files;
            all.expired_data_files += done.expired_data_files;
            all.unreadable_files = done.unreadable_files;
            if !done.merge_running {
                return Ok(all);
            }
        }
    }

    /// Stops the running merge and waits until it let go of its files and of the lock.
    pub async fn close(mut self) {
        self.stop_merge().await;
    }

    pub(crate) async fn stop_merge(&mut self) {
        if let Some(mut merge) = self.merge.take() {
            merge.cancelled.store(true, Ordering::Relaxed);
            // How it ended is of no interest: its file is in no log entry.
            drop((&mut merge.task).await);
        }
    }

    async fn finish_merge(&mut self, wait: bool, done: &mut Maintained) -> Result<(), LakeError> {
        let Some(mut merge) = self.merge.take_if(|merge| wait || merge.task.is_finished()) else {
            return Ok(());
        };
        let ended = (&mut merge.task)
            .await
            .map_err(|source| LakeError::Worker { action: "merge files", source })?;
        let sources = std::mem::take(&mut merge.sources);
        let merged = match ended {
            Ok(merged) => merged,
            Err(error) => return self.leave_out(&sources, error),
        };
        let Some(written) = merged.written else { return Ok(()) };
        let now = self.options.clock.now();
        let mut actions: Vec<Action> =
            sources.iter().map(|file| Action::Remove(file::remove(file, now))).collect();
        actions.push(Action::Add(file::add(&merged.name, &written, now, false)));
        let operation = DeltaOperation::Optimize { predicate: None, target_size: 0 };
        done.merged_files = sources.len();
        done.removed_replays = merged.replays;
        self.enter(actions, Vec::new(), operation, |known| {
            known.files.retain(|file| !sources.contains(file));
            let gone = sources.into_iter().map(|file| (file.name, now.as_millis()));
            known.removed.extend(gone);
            known.files.push(data_file(merged.name, merged.level, merged.commit, &written));
            known.files.sort_by_key(|file| file.commit);
        })
        .await
    }

    /// Leaves the source that an error is about out of the merges to come; any other error, such as a full disk, is
    /// handed back.
    fn leave_out(&mut self, sources: &[DataFile], error: LakeError) -> Result<(), LakeError> {
        let is_at_fault =
            |file: &&DataFile| error.path() == Some(&data_path(&self.dir, &file.name));
        let Some(file) = sources.iter().find(is_at_fault) else { return Err(error) };
        tracing::error!(
            file = %data_path(&self.dir, &file.name).display(),
            rows = file.rows,
            error = &error as &(dyn std::error::Error + 'static),
            "a data file cannot be read and is not merged: put it back from a backup, it is tried again in {} minutes",
            UNREADABLE_FOR.as_secs() / 60,
        );
        self.unreadable.insert(file.name.clone(), self.options.clock.monotonic() + UNREADABLE_FOR);
        Ok(())
    }

    async fn start_merge(&mut self) -> Result<(), LakeError> {
        if self.merge.is_some() {
            return Ok(());
        }
        let now = self.options.clock.monotonic();
        self.unreadable.retain(|_, until| *until > now);
        let mut files = self.known().await?.files.clone();
        files.retain(|file| !self.unreadable.contains_key(&file.name));
        let Some(sources) = due(&files) else { return Ok(()) };
        let (level, commit) = (sources[0].level + 1, sources[FAN_IN - 1].commit);
        let name = self.name_file(level, commit);
        let paths: Vec<_> = sources.iter().map(|file| data_path(&self.dir, &file.name)).collect();
        let (path, disk) = (data_path(&self.dir, &name), Arc::clone(&self.options.disk));
        let cancelled = Arc::new(AtomicBool::new(false));
        // The lock lives as long as something may still write into the directory.
        let (stop, lock) = (Arc::clone(&cancelled), Arc::clone(&self.lock));
        let task = tokio::task::spawn_blocking(move || {
            let _lock = lock;
            let mut merger = Merger::open(&paths, BATCH_ROWS, &stop)?;
            let written = file::write(disk.as_ref(), &path, &mut merger)?;
            Ok(Merged { name, level, commit, written, replays: merger.replays })
        });
        self.merge = Some(Merge { task, sources, cancelled });
        Ok(())
    }

    async fn checkpoint(&mut self, done: &mut Maintained) -> Result<(), LakeError> {
        let log_store = Arc::clone(&self.log_store);
        let now = self.options.clock.now().as_millis();
        let kept = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let known = self.known().await?;
        let version = known.table.version();
        if version < known.checkpoint.unwrap_or(0) + CHECKPOINT_COMMITS {
            return Ok(());
        }
        let mut table = DeltaTable::new(Arc::clone(&log_store));
        table.state = Some(known.table.clone());
        create_checkpoint(&table, None).await.map_err(LakeError::delta("write a checkpoint"))?;
        known.checkpoint = Some(version);
        done.checkpoint = true;
        let cutoff = now.saturating_sub(kept);
        done.expired_log_files = cleanup_expired_logs_for(version, &log_store, cutoff, None)
            .await
            .map_err(LakeError::delta("delete expired entries"))?;
        // What the state was made from may be gone: it starts again from the checkpoint, or it is not known.
        match DeltaTableState::try_new(&log_store, Some(version)).await {
            Ok(table) => known.table = table,
            Err(error) => {
                self.known = None;
                return Err(LakeError::delta("read the checkpoint")(error));
            }
        }
        Ok(())
    }

    /// Deletes files that were merged into others longer ago than the retention.
    async fn expire(&mut self, done: &mut Maintained) -> Result<(), LakeError> {
        let now = self.options.clock.now().as_millis();
        let kept = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let dir = self.dir.clone();
        let known = self.known().await?;
        let expired: Vec<String> = known
            .removed
            .iter()
            .filter(|(_, when)| now.saturating_sub(**when) > kept)
            .map(|(name, _)| name.clone())
            .take(DELETIONS_MAX)
            .collect();
        for name in expired {
            let path = data_path(&dir, &name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LakeError::io("remove", &path)(error));
                }
                Err(_) => {}
                Ok(()) => done.expired_data_files += 1,
            }
            known.removed.remove(&name);
        }
        Ok(())
    }
}

/// The oldest [`FAN_IN`] files of the lowest level that has so many.
fn due(files: &[DataFile]) -> Option<Vec<DataFile>> {
    let mut levels: BTreeMap<u32, Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.rows < SEALED_ROWS) {
        levels.entry(file.level).or_default().push(file);
    }
    let level = levels.values().find(|level| level.len() >= FAN_IN)?;
    Some(level.iter().take(FAN_IN).map(|&file| file.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as (level, commit, rows); expects a level and the first and last commit of its files.
    fn check(files: &[(u32, u64, u64)], expected: Option<(u32, u64, u64)>) {
        let files: Vec<DataFile> = files
            .iter()
            .map(|&(level, commit, rows)| DataFile {
                name: format!("{level}-{commit}"),
                level,
                commit: CommitNumber(commit),
                rows,
                bytes: 1,
            })
            .collect();
        let found = due(&files).map(|files| {
            assert_eq!(files.len(), FAN_IN);
            (files[0].level, files[0].commit.0, files[FAN_IN - 1].commit.0)
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_oldest_files_of_the_lowest_full_level_are_merged() {
        let level = |level, commits: std::ops::Range<u64>, rows| {
            commits.map(move |commit| (level, commit, rows)).collect::<Vec<_>>()
        };
        check(&[], None);
        check(&level(0, 0..15, 9), None);
        check(&level(0, 0..20, 9), Some((0, 0, 15)));
        check(&[level(1, 0..16, 9), level(0, 20..30, 9)].concat(), Some((1, 0, 15)));
        check(&[level(1, 0..16, 9), level(0, 20..36, 9)].concat(), Some((0, 20, 35)));
        // Large files are left alone, and the others of their level go on without them.
        check(&level(2, 0..16, SEALED_ROWS), None);
        let sealed = level(2, 0..5, SEALED_ROWS);
        check(&[sealed, level(2, 5..21, 9)].concat(), Some((2, 5, 20)));
    }
}
