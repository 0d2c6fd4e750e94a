//! Keeps the table quick: merges small files beside the commits, writes checkpoints, removes what has expired. Never
//! changes a row.
//!
//! Files have levels. A commit makes one of level 0; [`FAN_IN`] of one level are merged into one of the next, sorted
//! as the table is. A file with [`SEALED_ROWS`] rows is merged no more, so the work per row is bounded by the levels it
//! passes. The merge runs on a thread of its own and only reads files that the log names; the writer alone enters its
//! result. A merged file keeps the commit number of every row and is entered with `dataChange = false`. A file that
//! cannot be read goes into `quarantine` and stays live, so that one bad sector does not end all merging.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::CommitNumber;
use tokio::task::JoinHandle;

use crate::chain::{self, Listing, Whole, read_entry};
use crate::disk::{Disk, IfThere, publish};
use crate::entry::{Action, Operation, Removed};
use crate::facts::FileFacts;
use crate::file::{self, DataFile, Packing};
use crate::lake::{CHECKPOINT_COMMITS, Known, Lake, blocking, data_file};
use crate::lock::place;
use crate::log::LogState;
use crate::merge::{BATCH_ROWS, Merger};
use crate::open::delete;
use crate::quarantine::Look;
use crate::{LakeError, checkpoint, view};

/// Files of one level that are merged into one of the next.
pub(crate) const FAN_IN: usize = 16;
/// Rows from which a file is merged no more.
pub(crate) const SEALED_ROWS: u64 = 4_000_000;
/// Expired files deleted in one call, so that a commit never waits long for them.
const DELETIONS_MAX: usize = 256;
/// Actions in a checkpoint for each commit before the next one: so the cost of a commit does not grow with the table or
/// with what is kept for readers of older versions.
const CHECKPOINT_ACTIONS_PER_COMMIT: usize = 64;

/// What one call of [`Lake::maintain`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Files that were merged into one.
    pub merged_files: usize,
    /// Rows that were left out of it because the same row was in it already.
    pub removed_replays: u64,
    /// Files that are in quarantine, and left out of merges, because they cannot be read.
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
    written: Option<FileFacts>,
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
            self.finish_check(wait).await,
            self.check_dictionaries().await,
            self.start_merge().await,
            self.checkpoint(&mut done).await,
            self.note_quarantine().await,
        ];
        self.start_check();
        done.merge_running = self.merge.is_some();
        done.unreadable_files = self.quarantine.count();
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
            if !done.merge_running && !self.checks.is_running() {
                return Ok(all);
            }
        }
    }

    /// Stops the running merge and waits until it let go of its files and of the lock.
    pub async fn close(mut self) {
        self.checks.stop().await;
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
        let Some(written) = merged.written.map(Arc::new) else { return Ok(()) };
        let before: u64 = sources.iter().map(|file| file.rows).sum();
        if written.extent.rows + merged.replays != before {
            let path = place::data_file(&self.dir, &merged.name);
            drop(fs::remove_file(&path));
            let found = written.extent.rows;
            return Err(LakeError::damaged(&path, format!("it has {found} of {before} rows")));
        }
        let now = self.options.clock.now();
        let Some(known) = &self.known else { return Ok(()) };
        let remove = |file: &DataFile| {
            let facts = known.state.files.get(&file.name)?;
            let when_ms = now.as_millis();
            let removed = Removed { when_ms, bytes: facts.bytes, tail: facts.tail };
            Some(Action::Remove { name: file.name.clone(), removed })
        };
        let mut actions: Vec<Action> = sources.iter().filter_map(remove).collect();
        let (name, facts) = (merged.name.clone(), Arc::clone(&written));
        actions.push(Action::Add { name: name.clone(), facts, data_change: false });
        done.merged_files = sources.len();
        done.removed_replays = merged.replays;
        let entered = self.enter(actions, Operation::Merge, |known| {
            known.files.retain(|file| !sources.contains(file));
            known.files.push(data_file(merged.name, merged.level, merged.commit, &written));
            known.files.sort_by_key(|file| file.commit);
        });
        let entered = entered.await;
        if let Err(LakeError::Changed { .. }) = entered {
            drop(fs::remove_file(place::data_file(&self.dir, &name)));
        }
        entered?;
        let dir = self.dir.clone();
        let hide = move || {
            for file in &sources {
                // A link that stays shows rows twice until the table is opened again.
                drop(view::hide(&dir, &file.name));
            }
            Ok(())
        };
        blocking("renew the links to live files", hide).await?;
        self.show(&name);
        Ok(())
    }

    /// Puts the source that an error is about into quarantine; any other error, such as a full disk, is handed back.
    fn leave_out(&mut self, sources: &[DataFile], error: LakeError) -> Result<(), LakeError> {
        let path = |file: &DataFile| place::data_file(&self.dir, &file.name);
        let is_at_fault = |file: &&DataFile| error.path() == Some(&path(file));
        match sources.iter().find(is_at_fault) {
            Some(file) if !error.is_of_process() => {
                let look = Look::at(&path(file));
                self.hold(&file.name, &error, look);
                Ok(())
            }
            _ => Err(error),
        }
    }

    async fn start_merge(&mut self) -> Result<(), LakeError> {
        if self.merge.is_some() {
            return Ok(());
        }
        self.known().await?;
        let Some(known) = &self.known else { return Ok(()) };
        let Some(sources) = due(&known.files, |name| self.quarantine.holds(name)) else {
            return Ok(());
        };
        // Of files that are not there any more nothing is merged.
        let facts = |file: &DataFile| {
            let facts = Arc::clone(known.state.files.get(&file.name)?);
            Some((place::data_file(&self.dir, &file.name), facts))
        };
        let paths: Vec<_> = sources.iter().filter_map(facts).collect();
        self.check_room(sources.iter().map(|file| file.bytes).sum())?;
        let (level, commit) = (sources[0].level + 1, sources[FAN_IN - 1].commit);
        let name = self.name_file(level, commit);
        let (path, disk) = (place::data_file(&self.dir, &name), Arc::clone(&self.options.disk));
        let now = self.options.clock.now();
        let cancelled = Arc::new(AtomicBool::new(false));
        // The lock lives as long as something may still write into the directory.
        let (stop, lock) = (Arc::clone(&cancelled), Arc::clone(&self.lock));
        let task = tokio::task::spawn_blocking(move || {
            let _lock = lock;
            let mut merger = Merger::open(&paths, BATCH_ROWS, &stop)?;
            let written = file::write(disk.as_ref(), &path, Packing::Tight, now, &mut merger)?;
            Ok(Merged { name, level, commit, written, replays: merger.replays })
        });
        self.merge = Some(Merge { task, sources, cancelled });
        Ok(())
    }

    async fn checkpoint(&mut self, done: &mut Maintained) -> Result<(), LakeError> {
        let disk = Arc::clone(&self.options.disk);
        let dir = self.dir.clone();
        let known = self.known().await?;
        if !checkpoint_is_due(known) {
            return Ok(());
        }
        let (state, damaged) = (known.state.clone(), known.checkpoint_damaged);
        let version = state.version;
        let mode = if damaged { IfThere::Replace } else { IfThere::Refuse };
        let write = move || write_checkpoint(disk.as_ref(), &dir, &state, mode);
        blocking("write a checkpoint", write).await?;
        let known = self.known().await?;
        known.checkpoint = Some(version);
        known.checkpoint_damaged = false;
        known.history.clear();
        done.checkpoint = true;
        let cutoff = self.cutoff_ms();
        let dir = self.dir.clone();
        let Some(whole) = self.known().await?.whole else { return Ok(()) };
        let expire = move || expire_log(whole, &dir, cutoff);
        done.expired_log_files = blocking("delete expired entries", expire).await?;
        Ok(())
    }

    /// What ended before this moment is kept no longer, in milliseconds since 1970.
    fn cutoff_ms(&self) -> i64 {
        let kept = i64::try_from(self.options.keep.age.as_millis()).unwrap_or(i64::MAX);
        self.options.clock.now().as_millis().saturating_sub(kept)
    }

    /// Deletes files that were merged into others: those beyond the age that is kept, and the oldest beyond the bytes.
    async fn expire(&mut self, done: &mut Maintained) -> Result<(), LakeError> {
        let (cutoff, bytes_max) = (self.cutoff_ms(), self.options.keep.bytes);
        let (dir, disk) = (self.dir.clone(), Arc::clone(&self.options.disk));
        let known = self.known().await?;
        let expired = expired(&known.state.removed, cutoff, bytes_max);
        // Without a proof of the log's end a newer entry may have named other files than this one.
        let Some(whole) = known.whole.filter(|_| !expired.is_empty()) else { return Ok(()) };
        let names = expired.clone();
        let delete = move || {
            let mut deleted = 0;
            for name in names {
                deleted += usize::from(delete(whole, &place::data_file(&dir, &name))?);
            }
            // The log forgets a file only when a power cut cannot bring it back.
            let data = place::data(&dir);
            disk.sync_directory(&data).map_err(LakeError::io("sync", &data))?;
            Ok(deleted)
        };
        done.expired_data_files = blocking("delete expired files", delete).await?;
        if let Some(known) = &mut self.known {
            known.state.removed.retain(|name, _| !expired.contains(name));
        }
        Ok(())
    }
}

/// The oldest removed files that need not be kept, at most [`DELETIONS_MAX`].
fn expired(removed: &BTreeMap<String, Removed>, cutoff_ms: i64, bytes_max: u64) -> Vec<String> {
    let bytes: u64 = removed.values().map(|removed| removed.bytes).sum();
    if bytes <= bytes_max && removed.values().all(|removed| removed.when_ms >= cutoff_ms) {
        return Vec::new();
    }
    let mut oldest: Vec<_> = removed.iter().collect();
    oldest.sort_by_key(|(_, removed)| removed.when_ms);
    let mut bytes_left = bytes;
    let expired = oldest.into_iter().take_while(|(_, removed)| {
        let over = bytes_left > bytes_max;
        bytes_left -= removed.bytes;
        over || removed.when_ms < cutoff_ms
    });
    expired.map(|(name, _)| name.clone()).take(DELETIONS_MAX).collect()
}

fn checkpoint_is_due(known: &Known) -> bool {
    let state = &known.state;
    let actions = state.files.len() + state.removed.len() + state.transactions.len();
    let interval = (actions / CHECKPOINT_ACTIONS_PER_COMMIT) as u64;
    let next = known.checkpoint.unwrap_or(0) + interval.max(CHECKPOINT_COMMITS);
    known.checkpoint_damaged || state.version >= next
}

fn write_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    state: &LogState,
    mode: IfThere,
) -> Result<(), LakeError> {
    let path = place::checkpoint(dir, state.version);
    let bytes = checkpoint::encode(&path, state)?;
    match publish(disk, &path, &bytes, mode) {
        // Of an earlier call that did not get to its end.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        written => written.map_err(LakeError::io("write", &path))?,
    }
    let path = place::last_checkpoint(dir);
    let actions = 2 + state.transactions.len() + state.files.len() + state.removed.len();
    let hint = chain::hint_text(state.version, actions);
    publish(disk, &path, hint.as_bytes(), IfThere::Replace).map_err(LakeError::io("write", &path))
}

/// Deletes, from the oldest on, the entries and checkpoints that no version since `cutoff_ms` needs. The newest two
/// checkpoints, and what follows the older one, always stay: one that is damaged costs nothing.
fn expire_log(whole: Whole, dir: &Path, cutoff_ms: i64) -> Result<usize, LakeError> {
    let listing = Listing::of(dir)?;
    let mut needed = None;
    for version in listing.checkpoints.iter().rev().skip(1) {
        let entry = read_entry(&place::entry(dir, *version));
        if entry.is_ok_and(|entry| entry.info.at_ms < cutoff_ms) {
            needed = Some(*version);
            break;
        }
    }
    let Some(needed) = needed else { return Ok(0) };
    let entries = listing.entries.range(..needed).map(|version| place::entry(dir, *version));
    let checkpoints = listing.checkpoints.range(..needed);
    let checkpoints = checkpoints.map(|version| place::checkpoint(dir, *version));
    let expired: Vec<PathBuf> = entries.chain(checkpoints).take(DELETIONS_MAX).collect();
    let mut deleted = 0;
    for path in expired {
        deleted += usize::from(delete(whole, &path)?);
    }
    Ok(deleted)
}

/// The oldest [`FAN_IN`] files of the lowest level that has so many.
fn due(files: &[DataFile], is_left_out: impl Fn(&str) -> bool) -> Option<Vec<DataFile>> {
    let mut levels: BTreeMap<u32, Vec<&DataFile>> = BTreeMap::new();
    let free = |file: &&DataFile| file.rows < SEALED_ROWS && !is_left_out(&file.name);
    for file in files.iter().filter(free) {
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
        let found = due(&files, |_| false).map(|files| {
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
