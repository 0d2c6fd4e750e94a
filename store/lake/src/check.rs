//! Reads data files beside the commits to see whether they are sound: those in quarantine that may be sound again, and
//! the others in turn, one a minute. Never changes a file.
//!
//! A merge finds damage in the files that it reads, but large files are merged no more and may lie unread for years:
//! their damage would be known when a figure lacks their rows, and when the backups are gone.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::LakeError;
use crate::damage::{Damage, LogNames};
use crate::facts::FileFacts;
use crate::lake::{Lake, blocking};
use crate::lock::place;
use crate::quarantine::{self, Look, Noted, READ_AGAIN_AFTER};
use crate::selection::Selection;
use crate::verified::DataReader;

/// Time between two sound files that are read: some 100 MB a minute at most.
const READ_EVERY: Duration = Duration::from_mins(1);

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Check {
    task: JoinHandle<Found>,
    name: String,
    look: Option<Look>,
    cancelled: Arc<AtomicBool>,
}

impl Drop for Check {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// `None` when it was cancelled.
type Found = Option<Result<(), LakeError>>;

/// Which files are read when.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    running: Option<Check>,
    last: Option<String>,
    next_at: Duration,
}

impl Checks {
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(mut check) = self.running.take() {
            check.cancelled.store(true, Ordering::Relaxed);
            // Whatever it found is found again.
            drop((&mut check.task).await);
        }
    }
}

impl Lake {
    /// Takes over what a check found.
    pub(crate) async fn finish_check(&mut self, wait: bool) -> Result<(), LakeError> {
        let ended = self.checks.running.take_if(|check| wait || check.task.is_finished());
        let Some(mut check) = ended else { return Ok(()) };
        let found = (&mut check.task)
            .await
            .map_err(|source| LakeError::Worker { action: "read a data file", source })?;
        let is_live =
            self.known.as_ref().is_some_and(|known| known.state.files.contains_key(&check.name));
        match found {
            // It was merged meanwhile, and may have been deleted.
            _ if !is_live => {}
            None => {}
            Some(Ok(())) => self.leave_quarantine(&check.name),
            Some(Err(error)) if error.is_of_process() => return Err(error),
            Some(Err(error)) => self.hold(&check.name, &error, check.look),
        }
        Ok(())
    }

    /// Lets a file go, if it was in quarantine.
    fn leave_quarantine(&mut self, name: &str) {
        if self.quarantine.release(name) {
            let path = place::data_file(&self.dir, name);
            tracing::info!(file = %path.display(), "a data file is sound again");
        }
    }

    /// Begins to read the next file, if one is due.
    pub(crate) fn start_check(&mut self) {
        if self.checks.is_running() {
            return;
        }
        let Some(known) = &self.known else { return };
        let now = self.options.clock.monotonic();
        let path = |name: &str| place::data_file(&self.dir, name);
        let due = self.quarantine.due(now, |name| Look::at(&path(name)));
        let due = due.or_else(|| {
            if now < self.checks.next_at {
                return None;
            }
            self.checks.next_at = now + READ_EVERY;
            let after = self.checks.last.take().map_or(Bound::Unbounded, Bound::Excluded);
            let next = known.state.files.range::<String, _>((after, Bound::Unbounded)).next();
            let (name, _) = next.or_else(|| known.state.files.first_key_value())?;
            self.checks.last = Some(name.clone());
            // One in quarantine has its own time.
            (!self.quarantine.holds(name)).then(|| name.clone())
        });
        let Some(name) = due else { return };
        let Some(facts) = known.state.files.get(&name).map(Arc::clone) else { return };
        let path = path(&name);
        let look = Look::at(&path);
        let cancelled = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&cancelled);
        let task = tokio::task::spawn_blocking(move || verify(&path, &facts, &stop));
        self.checks.running = Some(Check { task, name, look, cancelled });
    }

    /// Puts a live file into the quarantine, or notes that it is still to stay there.
    pub(crate) fn hold(&mut self, name: &str, error: &LakeError, look: Option<Look>) {
        let what = Damage::of_error(error).what;
        let clock = &self.options.clock;
        let (since, again_at) = (clock.now(), clock.monotonic() + READ_AGAIN_AFTER);
        let is_new = self.quarantine.hold(name, Noted { what, since }, look, again_at);
        if let Some(damage) = is_new.then(|| self.damage_of(name, error)).flatten() {
            tracing::error!(
                rows = damage.lost.as_ref().map_or(0, |lost| lost.rows),
                "a data file cannot be read and is in quarantine: {damage}; nothing was deleted, put it back from a backup"
            );
        }
    }

    fn damage_of(&self, name: &str, error: &LakeError) -> Option<Damage> {
        let known = self.known.as_ref()?;
        let facts = known.state.files.get(name)?;
        Some(Damage::of_data(error, facts, &LogNames::of(&known.book)))
    }

    /// Brings the note beside the table up to date. It is tried again with the next maintenance when it fails.
    pub(crate) async fn note_quarantine(&mut self) -> Result<(), LakeError> {
        let Some(noted) = self.quarantine.unsaid() else { return Ok(()) };
        let (dir, disk) = (self.dir.clone(), Arc::clone(&self.options.disk));
        let write = move || quarantine::write(disk.as_ref(), &dir, &noted);
        blocking("note damaged files", write).await?;
        self.quarantine.said();
        Ok(())
    }
}

fn verify(path: &Path, facts: &FileFacts, cancelled: &AtomicBool) -> Found {
    let file = match DataReader::open(path, facts.bytes, facts.tail) {
        Ok(file) => file,
        Err(error) => return Some(Err(error)),
    };
    for group in file.groups(&Selection::default()) {
        if cancelled.load(Ordering::Relaxed) {
            return None;
        }
        if let Err(error) = file.verify(&[group.index], None) {
            return Some(Err(error));
        }
    }
    Some(Ok(()))
}
