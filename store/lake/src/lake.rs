//! The writer's side: opens the table, commits rows and watermarks in one log entry, knows its state without reading
//! it again. Knows nothing of when to merge files; `maintain` decides that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use contract::{AdmittedFrame, CommitDraft, Committed, LogBook, LogKey, Plan, Watermark};
use model::host::Clock;
use model::{CommitNumber, Dictionary, DictionaryHash, Generation};
use tokio::task::JoinHandle;

use crate::append::{Append, Appended};
use crate::chain::{self, Whole};
use crate::check::Checks;
use crate::damage::Damage;
use crate::dictionaries::{self, KeptDictionaries};
use crate::disk::{Disk, LocalDisk};
use crate::entry::{Action, Operation};
use crate::facts::FileFacts;
use crate::file::{self, DataFile, Packing, file_name, parse_name};
use crate::history::History;
use crate::lock::{WriterLock, place};
use crate::log::LogState;
use crate::maintain::Merge;
use crate::open::{Recovered, claim, create, metadata, recover};
use crate::quarantine::{self, Look, Quarantine};
use crate::snapshot::{quarantined, read_book};
use crate::suspects::Suspects;
use crate::{LakeError, rows, view};

/// Commits between two checkpoints, at least: the cost of opening a table grows with the entries since the last one.
pub(crate) const CHECKPOINT_COMMITS: u64 = 100;

/// How long files and log entries that are no longer needed stay for readers of older versions; whichever is reached
/// first ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Since they were replaced.
    pub age: Duration,
    /// Bytes of replaced data files, together.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { age: Duration::from_hours(24), bytes: 20 << 30 }
    }
}

/// How a table is kept.
#[derive(Clone)]
pub struct LakeOptions {
    /// The wall clock: times of files in the log, and the age at which a replaced file is deleted.
    pub clock: Arc<dyn Clock>,
    /// How long replaced files stay for readers with an older snapshot.
    pub keep: Keep,
    /// Bytes that must be free before a commit is begun.
    pub free_bytes_min: u64,
    /// The group that may read the table; that of the process when `None`.
    pub group: Option<u32>,
    /// What readers in this process cannot read, see [`crate::Snapshot::telling`].
    pub suspects: Suspects,
    pub(crate) disk: Arc<dyn Disk>,
}

impl LakeOptions {
    /// Free bytes below which no commit is begun, unless the options say otherwise.
    pub const FREE_BYTES_MIN_DEFAULT: u64 = 64 << 20;

    /// The usual options.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            keep: Keep::default(),
            free_bytes_min: Self::FREE_BYTES_MIN_DEFAULT,
            group: None,
            suspects: Suspects::default(),
            disk: Arc::new(LocalDisk),
        }
    }
}

impl fmt::Debug for LakeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeOptions").field("keep", &self.keep).finish_non_exhaustive()
    }
}

/// Time for what a closed table began to end: one write of rows or of a log entry on a slow disk.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Time between two looks at the lock of a table that ends.
const ENDS_LOOK: Duration = Duration::from_millis(50);

/// The table and the right to write it.
///
/// Every call may be dropped half-way (a `select!` that takes another branch): the next one waits for what was begun and
/// reads the state again.
#[derive(Debug)]
pub struct Lake {
    pub(crate) dir: PathBuf,
    pub(crate) options: LakeOptions,
    pub(crate) lock: Arc<WriterLock>,
    /// What the table holds; `None` while the fate of a log entry is unknown.
    pub(crate) known: Option<Known>,
    /// The merge that runs beside the commits.
    pub(crate) merge: Option<Merge>,
    /// Live data files that cannot be read.
    pub(crate) quarantine: Quarantine,
    /// What is read to find and to end damage.
    pub(crate) checks: Checks,
    /// Dictionaries that were damaged when they were last read; their gateways send them again.
    pub(crate) damaged_dictionaries: Vec<Damage>,
    /// The log entry that is being written.
    appending: Option<JoinHandle<Result<Appended, LakeError>>>,
    /// Version of the newest log entry that is durable for certain.
    durable: Option<u64>,
    attempts: u64,
}

/// The state of the table, kept up to date from commit to commit.
pub(crate) struct Known {
    pub(crate) state: LogState,
    pub(crate) book: LogBook,
    /// Live files, in the order of their commits.
    pub(crate) files: Vec<DataFile>,
    /// Version of the newest checkpoint that is sound.
    pub(crate) checkpoint: Option<u64>,
    /// Whether a checkpoint must be written soon, because one, or an entry behind it, is damaged.
    pub(crate) checkpoint_damaged: bool,
    /// The entries behind the checkpoint.
    pub(crate) history: History,
    /// The newest log entry, to put it back if it goes missing; `None` until one was written.
    entry: Option<Arc<[u8]>>,
    damage: Vec<Damage>,
    /// The proof that allows to delete what has expired; `None` where the table was opened without one.
    pub(crate) whole: Option<Whole>,
}

impl Known {
    /// An entry of the log was edited or removed by somebody else. What it said is known, so a checkpoint makes the table
    /// readable again.
    fn was_edited(&mut self, damage: Damage) {
        if self.damage.iter().all(|known| known.path != damage.path) {
            tracing::error!(
                file = %damage.path.display(),
                "the log changed under its writer: {damage}; a checkpoint is written in its place, nothing was lost"
            );
            self.damage.push(damage);
        }
        self.checkpoint_damaged = true;
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("version", &self.state.version)
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl Lake {
    /// Opens the table in `dir`, or makes one, and holds its lock until dropped and until what it began has ended: a commit
    /// whose call was dropped, a merge. Where another writer closed the table and only such work still runs, it waits for
    /// that, 10 s at most.
    ///
    /// Refuses, without touching anything, a table that is not ours, of another layout, of a newer Delta protocol, or whose
    /// log has a gap. Needs a Tokio runtime.
    pub async fn open(dir: impl AsRef<Path>, options: LakeOptions) -> Result<Self, LakeError> {
        let dir = dir.as_ref();
        let dir = std::path::absolute(dir).map_err(LakeError::io("find", dir))?;
        let lock = Self::locked(&dir, &options).await?;
        let mut lake = Self {
            dir,
            options,
            lock: Arc::new(lock),
            known: None,
            merge: None,
            quarantine: Quarantine::default(),
            checks: Checks::default(),
            damaged_dictionaries: Vec::new(),
            appending: None,
            durable: None,
            attempts: 0,
        };
        let known = lake.known().await?;
        tracing::info!(
            version = known.state.version,
            commit = known.book.commit.0,
            files = known.files.len(),
            "table opened"
        );
        lake.renew_properties().await?;
        if let Err(error) = lake.note_quarantine().await {
            tracing::warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "the damaged files of the table are not noted yet"
            );
        }
        Ok(lake)
    }

    /// The lock of the table, which is made where there is none.
    async fn locked(dir: &Path, options: &LakeOptions) -> Result<WriterLock, LakeError> {
        let mut waited = Duration::ZERO;
        loop {
            let (dir, options) = (dir.to_owned(), options.clone());
            let opened = blocking("open the table", move || {
                let lock = claim(&options, &dir)?;
                if !chain::exists(&dir)? {
                    create(&options, &dir)?;
                }
                Ok(lock)
            });
            match opened.await {
                Err(LakeError::Locked { ends: true, .. }) if waited < ENDS_WITHIN => {
                    tokio::time::sleep(ENDS_LOOK).await;
                    waited += ENDS_LOOK;
                }
                opened => return opened,
            }
        }
    }

    /// Lets the table say what the options say, since other programs follow its retention, and what its columns mean.
    async fn renew_properties(&mut self) -> Result<(), LakeError> {
        let known = self.known().await?.state.metadata.clone();
        let metadata = metadata(&self.options, known.id.clone(), known.created_ms);
        if metadata == known {
            return Ok(());
        }
        self.enter(vec![Action::Metadata(metadata)], Operation::Properties, |_| {}).await
    }

    /// The identity of the table.
    pub async fn table_id(&mut self) -> Result<String, LakeError> {
        Ok(self.known().await?.state.metadata.id.clone())
    }

    /// What is damaged in the table, as far as its writer came upon it: in the log when it was opened, and the data files
    /// in quarantine. Their rows stay in the table and are named as lost.
    pub async fn damage(&mut self) -> Result<Vec<Damage>, LakeError> {
        self.known().await?;
        let Some(known) = &self.known else { return Ok(Vec::new()) };
        let mut damage = known.damage.clone();
        if self.quarantine.count() > 0 {
            damage.extend(quarantined(
                &self.dir,
                &known.state,
                &known.book,
                self.quarantine.iter(),
            ));
        }
        damage.extend(self.damaged_dictionaries.iter().cloned());
        Ok(damage)
    }

    /// How far each log is durable. After an error this may lie above what was last reported: ask again.
    pub async fn watermarks(&mut self) -> Result<&BTreeMap<LogKey, Watermark>, LakeError> {
        Ok(&self.known().await?.book.logs)
    }

    /// The last commit; 0 when there was none.
    pub async fn commit_number(&mut self) -> Result<CommitNumber, LakeError> {
        Ok(self.known().await?.book.commit)
    }

    /// The generation that the next new log will get.
    pub async fn next_generation(&mut self) -> Result<Generation, LakeError> {
        Ok(self.known().await?.book.next_generation())
    }

    /// Data files that a reader of the newest version has to open.
    pub async fn live_files(&mut self) -> Result<usize, LakeError> {
        Ok(self.known().await?.files.len())
    }

    /// Keeps a dictionary beside the table, durable when this returns.
    pub async fn put_dictionary(
        &mut self,
        dictionary: &Dictionary,
    ) -> Result<DictionaryHash, LakeError> {
        let (dir, disk) = (self.dir.clone(), Arc::clone(&self.options.disk));
        let dictionary = dictionary.clone();
        let work = move || dictionaries::put(disk.as_ref(), &dir, &dictionary);
        let hash = blocking("keep a dictionary", work).await?;
        let path = dictionaries::path(&self.dir, hash);
        self.damaged_dictionaries.retain(|damage| damage.path != path);
        Ok(hash)
    }

    /// The dictionary of that hash, where it is kept.
    pub fn dictionary(&self, hash: DictionaryHash) -> Result<Option<Dictionary>, LakeError> {
        dictionaries::get(&self.dir, hash)
    }

    /// All sound dictionaries that are kept beside the table, and those that are damaged.
    pub async fn dictionaries(&mut self) -> Result<KeptDictionaries, LakeError> {
        let dir = self.dir.clone();
        let kept = dictionaries::all(&dir, &self.known().await?.book)?;
        self.damaged_dictionaries.clone_from(&kept.damage);
        Ok(kept)
    }

    /// Makes a draft durable: rows and watermarks in one log entry, synced to disk before this returns (INV-5).
    ///
    /// Frames at or below their watermark are left out, and a draft that is nothing but a replay writes nothing
    /// (INV-4). Call [`Lake::maintain`] afterwards, once the commit acks are out.
    ///
    /// # Errors
    /// A draft error means that nothing was written. After any other error the entry may or may not be there; nothing
    /// must be acknowledged for it. The next call reads the state again, and [`Lake::watermarks`] then says which.
    pub async fn commit(
        &mut self,
        draft: impl Into<Arc<CommitDraft>>,
    ) -> Result<Committed, LakeError> {
        let draft = draft.into();
        let book = &self.known().await?.book;
        let plan = book.plan(&draft)?;
        let mut committed = summary(&draft, &plan);
        if plan.transactions.is_empty() {
            return Ok(committed);
        }
        let commit = plan.after.commit;
        let name = self.name_file(0, commit);
        let (written, plan) = self.write_rows(&name, draft, plan).await?;
        let transactions = plan.transactions.iter().cloned();
        let mut actions: Vec<Action> =
            transactions.map(|(name, version)| Action::Transaction { name, version }).collect();
        if let Some(facts) = &written {
            let facts = Arc::clone(facts);
            actions.push(Action::Add { name: name.clone(), facts, data_change: true });
            committed.rows = written.as_ref().map_or(0, |facts| facts.extent.rows);
        }
        let file = written.as_ref().map(|facts| data_file(name.clone(), 0, commit, facts));
        let entered = self.enter(actions, Operation::Append, |known| {
            known.book = plan.after;
            known.files.extend(file);
        });
        let entered = entered.await;
        if let Err(LakeError::Changed { .. }) = entered {
            // This entry was not written, so nothing ever named the file.
            drop(std::fs::remove_file(place::data_file(&self.dir, &name)));
        }
        entered?;
        if written.is_some() {
            self.show(&name);
        }
        Ok(committed)
    }

    /// Puts a file into the view; how that ends changes nothing.
    pub(crate) fn show(&self, name: &str) {
        if let Err(error) = view::show(&self.dir, name) {
            tracing::debug!(
                error = &error as &(dyn std::error::Error + 'static),
                name,
                "a data file has no link"
            );
        }
    }

    /// Refuses to begin what the disk has no room for.
    pub(crate) fn check_room(&self, more: u64) -> Result<(), LakeError> {
        let (dir, needed) = (&self.dir, self.options.free_bytes_min.saturating_add(more));
        let free = self.options.disk.free_bytes(dir).map_err(LakeError::io("measure", dir))?;
        if free < needed {
            return Err(LakeError::Full { dir: dir.clone(), free, needed });
        }
        Ok(())
    }

    async fn write_rows(
        &self,
        name: &str,
        draft: Arc<CommitDraft>,
        plan: Plan,
    ) -> Result<(Option<Arc<FileFacts>>, Plan), LakeError> {
        self.check_room(0)?;
        let path = place::data_file(&self.dir, name);
        let (disk, now) = (Arc::clone(&self.options.disk), self.options.clock.now());
        // A call that is dropped half-way leaves this work running; no other writer may come before it ends.
        let lock = Arc::clone(&self.lock);
        let mut waiting = Waiting { path: path.clone(), alive: Some(Arc::new(())) };
        let alive = waiting.alive.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let written = blocking("write rows", move || {
            let _lock = lock;
            let frames: Vec<(&AdmittedFrame, Generation)> = draft
                .frames
                .iter()
                .zip(&plan.admitted)
                .filter_map(|(frame, generation)| Some((frame, (*generation)?)))
                .collect();
            let batch = rows::build(&frames, plan.after.commit)?;
            if batch.num_rows() == 0 {
                return Ok((None, plan));
            }
            let written = file::write(disk.as_ref(), &path, Packing::Quick, now, once(Ok(batch)))?;
            if alive.strong_count() == 0 {
                remove_unwanted(&path);
            }
            Ok((written.map(Arc::new), plan))
        })
        .await;
        waiting.alive = None;
        written
    }

    /// Appends one entry to the table's log and, when it is durable, lets `update` bring the known state after it.
    pub(crate) async fn enter(
        &mut self,
        actions: Vec<Action>,
        operation: Operation,
        update: impl FnOnce(&mut Known),
    ) -> Result<(), LakeError> {
        self.known().await?;
        // From here until the entry's fate is certain nothing is known, whatever ends this call.
        let Some(mut known) = self.known.take() else { return Ok(()) };
        let append = Append {
            disk: Arc::clone(&self.options.disk),
            lock: Arc::clone(&self.lock),
            dir: self.dir.clone(),
            table: known.state.metadata.id.clone(),
            version: known.state.version,
            seal: known.state.seal,
            newest: known.entry.clone(),
            history: std::mem::take(&mut known.history),
            now: self.options.clock.now(),
            operation,
            actions,
        };
        self.appending = Some(tokio::task::spawn_blocking(move || append.run()));
        match self.appended().await {
            Some(Ok(appended)) => {
                self.durable = Some(appended.version);
                let path = place::entry(&self.dir, appended.version);
                known.state.follow(&path, appended.entry)?;
                known.entry = Some(appended.bytes);
                known.history = appended.history;
                if let Some(damage) = appended.edited {
                    known.was_edited(damage);
                }
                update(&mut known);
                self.known = Some(known);
                Ok(())
            }
            Some(Err(error)) => {
                if let LakeError::Changed { what, .. } = &error {
                    tracing::error!(
                        table = %self.dir.display(),
                        "the table changed under its writer: {what}; it is read again, and what is missing is asked for"
                    );
                    self.durable = None;
                }
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Waits for the log entry that is being written, also one whose call was dropped.
    async fn appended(&mut self) -> Option<Result<Appended, LakeError>> {
        let ended = self.appending.as_mut()?.await;
        self.appending = None;
        let action = "append to the log";
        Some(ended.unwrap_or_else(|source| Err(LakeError::Worker { action, source })))
    }

    /// The state of the table, read from disk when it is not known.
    pub(crate) async fn known(&mut self) -> Result<&mut Known, LakeError> {
        if self.known.is_none() {
            self.stop_merge().await;
            self.checks.stop().await;
            // Its outcome is read from the disk.
            drop(self.appended().await);
            if !self.lock.is_at(&place::lock(&self.dir)) {
                let (options, dir) = (self.options.clone(), self.dir.clone());
                let claimed = blocking("lock the table again", move || {
                    if !chain::exists(&dir)? {
                        return Err(LakeError::NoTable { dir });
                    }
                    claim(&options, &dir)
                });
                self.lock = Arc::new(claimed.await?);
                self.durable = None;
            }
            let (dir, disk) = (self.dir.clone(), Arc::clone(&self.options.disk));
            let durable = self.durable;
            let read = move || {
                let recovered = recover(disk.as_ref(), &dir, durable)?;
                Ok((recovered.history(&dir), recovered))
            };
            let (history, Recovered { chain, bad_files, whole, attempts }) =
                blocking("read the table", read).await?;
            self.attempts = self.attempts.max(attempts);
            self.durable = Some(chain.state.version);
            let log = place::log(&self.dir);
            let checkpoint_damaged = chain.damage.iter().any(|damage| {
                let name = damage.path.file_name().unwrap_or_default().to_string_lossy();
                damage.path.starts_with(&log) && name.contains("checkpoint")
            });
            let dir = self.dir.clone();
            let note =
                blocking("read the note of damage", move || Ok(quarantine::read(&dir))).await?;
            let mut damage = chain.damage;
            match note {
                Ok(noted) => self.quarantine.adopt(noted),
                Err(error) => {
                    damage.push(Damage::of_error(&error));
                    self.quarantine.write_again();
                }
            }
            self.quarantine.retain(|name| chain.state.files.contains_key(name));
            self.known = Some(Known {
                book: read_book(&self.dir, &chain.state)?,
                files: own_files(&chain.state),
                state: chain.state,
                checkpoint: chain.checkpoint,
                checkpoint_damaged,
                history,
                entry: None,
                damage,
                whole,
            });
            for (name, error) in bad_files {
                let look = Look::at(&place::data_file(&self.dir, &name));
                self.hold(&name, &error, look);
            }
        }
        Ok(self.known.as_mut().expect("was read just now"))
    }

    /// A name that no file of this table has or had.
    pub(crate) fn name_file(&mut self, level: u32, commit: CommitNumber) -> String {
        self.attempts += 1;
        file_name(level, commit, self.attempts)
    }
}

/// Whoever waits for rows to be written. One who stops waiting leaves no file behind that no log entry will ever name,
/// whether it was written before or is written after.
struct Waiting {
    path: PathBuf,
    /// `None` once the rows are there.
    alive: Option<Arc<()>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.alive.take().is_some() {
            remove_unwanted(&self.path);
        }
    }
}

fn remove_unwanted(path: &Path) {
    // Where it cannot be removed, the next opening of the table names it.
    drop(std::fs::remove_file(path));
}

fn summary(draft: &CommitDraft, plan: &Plan) -> Committed {
    let of_frames = draft.frames.iter().map(|frame| (frame.gateway.clone(), frame.log_id));
    let of_moves = draft.watermarks.iter().map(|step| (step.gateway.clone(), step.log_id));
    let keys: BTreeSet<LogKey> = of_frames.chain(of_moves).collect();
    let generations = keys
        .into_iter()
        .filter_map(|key| {
            let generation = plan.after.logs.get(&key)?.generation;
            Some((key, generation))
        })
        .collect();
    let replayed_frames = plan.admitted.iter().filter(|generation| generation.is_none()).count();
    Committed {
        commit: plan.after.commit,
        rows: 0,
        replayed_frames: replayed_frames as u64,
        generations,
    }
}

pub(crate) fn data_file(
    name: String,
    level: u32,
    commit: CommitNumber,
    facts: &FileFacts,
) -> DataFile {
    DataFile { name, level, commit, rows: facts.extent.rows, bytes: facts.bytes }
}

/// The live files.
fn own_files(state: &LogState) -> Vec<DataFile> {
    let of = |(name, facts): (&String, &Arc<FileFacts>)| {
        let (level, commit) = parse_name(name)?;
        Some(data_file(name.clone(), level, commit, facts))
    };
    let mut files: Vec<DataFile> = state.files.iter().filter_map(of).collect();
    files.sort_by_key(|file| file.commit);
    files
}

impl Drop for Lake {
    fn drop(&mut self) {
        self.lock.note_end();
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(source) => Err(LakeError::Worker { action, source }),
    }
}
