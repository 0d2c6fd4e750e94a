//! Reads data files beside the commits to see whether they are sound: those that a reader in this process could not read,
//! those in quarantine that may be sound again, and the others in turn, one a minute. Dictionaries in turn, too. Never
//! changes a file.
//!
//! A merge finds damage in the files that it reads, but large files are merged no more and may lie unread for years:
//! their damage would be known when a figure lacks their rows, and when the backups are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::DictionaryHash;
use tokio::task::JoinHandle;

use crate::LakeError;
use crate::damage::{Damage, LogNames};
use crate::dictionaries;
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
    /// Set when the task is about to end.
    ends: Arc<AtomicBool>,
    /// A reader could not read it.
    is_suspect: bool,
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
    /// Files that a reader could not read and that are sound, with the time from which on such a reader is heard again.
    cleared: BTreeMap<String, Duration>,
    dictionaries: DictionaryChecks,
}

/// How the dictionaries in use looked when they were last read.
#[derive(Debug, Default)]
struct DictionaryChecks {
    looks: BTreeMap<DictionaryHash, Option<Look>>,
    last: Option<DictionaryHash>,
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
        let has_ended =
            |check: &Check| check.task.is_finished() || check.ends.load(Ordering::Relaxed);
        let ended = self.checks.running.take_if(|check| wait || has_ended(check));
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
            Some(Ok(())) => {
                self.leave_quarantine(&check.name);
                if check.is_suspect {
                    let again_at = self.options.clock.monotonic() + READ_AGAIN_AFTER;
                    self.checks.cleared.insert(check.name.clone(), again_at);
                }
            }
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
        self.checks.cleared.retain(|_, again_at| now < *again_at);
        let is_new = |name: &String| {
            known.state.files.contains_key(name)
                && !self.quarantine.holds(name)
                && !self.checks.cleared.contains_key(name)
        };
        let suspect = std::iter::from_fn(|| self.options.suspects.take()).find(is_new);
        let is_suspect = suspect.is_some();
        let due = suspect.or_else(|| self.quarantine.due(now, |name| Look::at(&path(name))));
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
        let (stop, ends) = (Arc::clone(&cancelled), Arc::new(AtomicBool::new(false)));
        let (over, suspects) = (Arc::clone(&ends), self.options.suspects.clone());
        let task = tokio::task::spawn_blocking(move || {
            let found = verify(&path, &facts, &stop);
            over.store(true, Ordering::Relaxed);
            if is_suspect || !suspects.is_empty() {
                suspects.wake();
            }
            found
        });
        self.checks.running = Some(Check { task, name, look, cancelled, ends, is_suspect });
    }

    /// Reads the dictionaries that rows follow: those that look otherwise than before, and one in turn.
    pub(crate) async fn check_dictionaries(&mut self) -> Result<(), LakeError> {
        let now = self.options.clock.monotonic();
        let Some(known) = self.known.as_ref().filter(|_| now >= self.checks.dictionaries.next_at)
        else {
            return Ok(());
        };
        let uses = known.book.dictionary_uses();
        let used: BTreeSet<DictionaryHash> = uses.into_iter().map(|one| one.dictionary).collect();
        let checks = &mut self.checks.dictionaries;
        checks.next_at = now + READ_EVERY;
        let after = checks.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next = used.range((after, Bound::Unbounded)).next().or_else(|| used.first());
        checks.last = next.copied();
        let (dir, turn, looks) = (self.dir.clone(), checks.last, checks.looks.clone());
        let read = move || {
            let look = |hash: DictionaryHash| (hash, Look::at(&dictionaries::path(&dir, hash)));
            let found: BTreeMap<_, _> = used.into_iter().map(look).collect();
            let is_due = |(hash, look): &(&DictionaryHash, &Option<Look>)| {
                turn == Some(**hash) || looks.get(*hash) != Some(*look)
            };
            let due = found.iter().filter(is_due);
            let faults: Vec<_> =
                due.map(|(hash, _)| (*hash, dictionaries::fault(&dir, *hash))).collect();
            Ok((found, faults))
        };
        let (looks, faults) = blocking("read dictionaries", read).await?;
        self.checks.dictionaries.looks = looks;
        for (hash, fault) in faults {
            let path = dictionaries::path(&self.dir, hash);
            let was_bad = self.damaged_dictionaries.iter().any(|one| one.path == path);
            self.damaged_dictionaries.retain(|one| one.path != path);
            let Some(fault) = fault else { continue };
            if !was_bad {
                tracing::error!(
                    "a dictionary is damaged: {fault}; put it back from a backup, or start `serve` again, which asks its gateway for it"
                );
            }
            self.damaged_dictionaries.push(fault);
        }
        Ok(())
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
