//! The writer's side: opens the table, commits rows and watermarks in one log entry, knows its state without reading
//! it again. Must never know when to merge files; `maintain` decides that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::{AdmittedFrame, CommitDraft, Committed, LogBook, LogKey, Plan, Watermark};
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, FinalizedCommit};
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use model::host::Clock;
use model::{CommitNumber, Dictionary, DictionaryHash, Generation};

use crate::disk::{Disk, LocalDisk};
use crate::file::{self, DataFile, Written, file_name, parse_name};
use crate::lock::WriterLock;
use crate::log::{self, LogState, data_path};
use crate::maintain::Merge;
use crate::open::{claim, create, log_store, recover};
use crate::snapshot::read_book;
use crate::{LakeError, dictionaries, rows};

/// Commits between two checkpoints: the cost of a commit grows with the log entries since the last one.
pub(crate) const CHECKPOINT_COMMITS: u64 = 100;

/// How a table is kept.
#[derive(Clone)]
pub struct LakeOptions {
    /// The wall clock: times of files in the log, and the age at which a merged file is deleted.
    pub clock: Arc<dyn Clock>,
    /// How long a file that was merged into another one stays for readers with an older snapshot. What the table was
    /// made with is the most that is kept over a restart of the writer.
    pub retention: Duration,
    pub(crate) disk: Arc<dyn Disk>,
}

impl LakeOptions {
    /// Readers may use a snapshot for this long unless the options say otherwise.
    pub const RETENTION_DEFAULT: Duration = Duration::from_mins(20);

    /// The usual options.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, retention: Self::RETENTION_DEFAULT, disk: Arc::new(LocalDisk) }
    }
}

impl fmt::Debug for LakeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeOptions").field("retention", &self.retention).finish_non_exhaustive()
    }
}

/// The table and the right to write it.
///
/// Every call may be dropped half-way (a `select!` that takes another branch): the next one reads the state again.
#[derive(Debug)]
pub struct Lake {
    pub(crate) dir: PathBuf,
    pub(crate) options: LakeOptions,
    pub(crate) lock: Arc<WriterLock>,
    pub(crate) log_store: LogStoreRef,
    /// What the table holds; `None` while the fate of a log entry is unknown.
    pub(crate) known: Option<Known>,
    /// The merge that runs beside the commits.
    pub(crate) merge: Option<Merge>,
    /// Files that could not be read, and the monotonic time until which no merge tries them again.
    pub(crate) unreadable: BTreeMap<String, Duration>,
    /// Version of the newest log entry that is durable for certain.
    durable: Option<u64>,
    attempts: u64,
}

/// The state of the table, kept up to date from commit to commit.
pub(crate) struct Known {
    pub(crate) table: DeltaTableState,
    pub(crate) book: LogBook,
    /// Live files of ours, in the order of their commits.
    pub(crate) files: Vec<DataFile>,
    /// Files that were merged into others, with the time in milliseconds since 1970.
    pub(crate) removed: BTreeMap<String, i64>,
    /// Version of the newest checkpoint.
    pub(crate) checkpoint: Option<u64>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("version", &self.table.version())
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl Lake {
    /// Opens the table in `dir`, or makes one, and holds its lock until dropped (or until a running merge noticed).
    ///
    /// Refuses, without touching anything, a table that is not ours, of another layout or of a newer Delta protocol.
    /// Needs a Tokio runtime.
    pub async fn open(dir: impl AsRef<Path>, options: LakeOptions) -> Result<Self, LakeError> {
        let dir = dir.as_ref();
        let dir = std::path::absolute(dir).map_err(LakeError::io("find", dir))?;
        let lock = {
            let (dir, disk) = (dir.clone(), Arc::clone(&options.disk));
            blocking("open the table", move || claim(disk.as_ref(), &dir)).await?
        };
        let log_store = log_store(&dir, &options)?;
        if !log::exists(&dir)? {
            create(&log_store, &options).await?;
        }
        let lock = Arc::new(lock);
        let mut lake = Self {
            dir,
            options,
            lock,
            log_store,
            known: None,
            merge: None,
            unreadable: BTreeMap::new(),
            durable: None,
            attempts: 0,
        };
        let known = lake.known().await?;
        tracing::info!(
            version = known.table.version(),
            commit = known.book.commit.0,
            files = known.files.len(),
            "table opened"
        );
        Ok(lake)
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
        &self,
        dictionary: &Dictionary,
    ) -> Result<DictionaryHash, LakeError> {
        let (dir, disk) = (self.dir.clone(), Arc::clone(&self.options.disk));
        let dictionary = dictionary.clone();
        let work = move || dictionaries::put(disk.as_ref(), &dir, &dictionary);
        blocking("keep a dictionary", work).await
    }

    /// The dictionary of that hash, where it is kept.
    pub fn dictionary(&self, hash: DictionaryHash) -> Result<Option<Dictionary>, LakeError> {
        dictionaries::get(&self.dir, hash)
    }

    /// All dictionaries that are kept beside the table.
    pub fn dictionaries(&self) -> Result<BTreeMap<DictionaryHash, Arc<Dictionary>>, LakeError> {
        dictionaries::all(&self.dir)
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
        let add = written
            .as_ref()
            .map(|written| Action::Add(file::add(&name, written, self.options.clock.now(), true)));
        let operation =
            DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        self.enter(add.into_iter().collect(), plan.transactions, operation, |known| {
            known.book = plan.after;
            if let Some(written) = written {
                committed.rows = written.range.rows;
                known.files.push(data_file(name, 0, commit, &written));
            }
        })
        .await?;
        Ok(committed)
    }

    async fn write_rows(
        &self,
        name: &str,
        draft: Arc<CommitDraft>,
        plan: Plan,
    ) -> Result<(Option<Written>, Plan), LakeError> {
        let (disk, path) = (Arc::clone(&self.options.disk), data_path(&self.dir, name));
        // A call that is dropped half-way leaves this work running; no other writer may come before it ends.
        let lock = Arc::clone(&self.lock);
        blocking("write rows", move || {
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
            let written = file::write(disk.as_ref(), &path, std::iter::once(Ok(batch)))?;
            Ok((written, plan))
        })
        .await
    }

    /// Appends one entry to the table's log and, when it is durable, lets `update` bring the known state after it.
    pub(crate) async fn enter(
        &mut self,
        actions: Vec<Action>,
        transactions: Vec<(String, i64)>,
        operation: DeltaOperation,
        update: impl FnOnce(&mut Known),
    ) -> Result<(), LakeError> {
        self.known().await?;
        // From here until the entry's fate is certain nothing is known, whatever ends this call.
        let Some(mut known) = self.known.take() else { return Ok(()) };
        let transactions = transactions
            .into_iter()
            .map(|(name, version)| Transaction::new(name, version))
            .collect();
        let properties = CommitProperties::default()
            .with_application_transactions(transactions)
            // `maintain` does both, so that a failure there is never taken for a failed commit.
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let expected = known.table.version() + 1;
        let finalized: FinalizedCommit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&known.table), Arc::clone(&self.log_store), operation)
            .await
            .map_err(LakeError::delta("enter a commit"))?;
        if finalized.version() != expected {
            // Another program, despite the lock, made entries of its own: read what it did.
            tracing::warn!(expected, found = finalized.version(), "table changed under its writer");
            return Ok(());
        }
        self.durable = Some(expected);
        known.table = finalized.snapshot();
        update(&mut known);
        self.known = Some(known);
        Ok(())
    }

    /// The state of the table, read from disk when it is not known.
    pub(crate) async fn known(&mut self) -> Result<&mut Known, LakeError> {
        if self.known.is_none() {
            self.stop_merge().await;
            let (dir, disk) = (self.dir.clone(), Arc::clone(&self.options.disk));
            let durable = self.durable;
            let read = move || recover(disk.as_ref(), &dir, durable);
            let state = blocking("read the table", read).await?;
            self.durable = Some(state.version);
            let table = DeltaTableState::try_new(&self.log_store, Some(state.version))
                .await
                .map_err(LakeError::delta("read the table"))?;
            self.known = Some(Known {
                table,
                book: read_book(&self.dir, &state)?,
                files: own_files(&state),
                checkpoint: state.checkpoint,
                removed: state.removed,
            });
        }
        Ok(self.known.as_mut().expect("was read just now"))
    }

    /// A name that no file of this table has or had.
    pub(crate) fn name_file(&mut self, level: u32, commit: CommitNumber) -> String {
        self.attempts += 1;
        file_name(level, commit, self.attempts)
    }
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
    written: &Written,
) -> DataFile {
    DataFile { name, level, commit, rows: written.range.rows, bytes: written.bytes }
}

/// The live files that this crate made; those of other programs are read, but never merged.
fn own_files(state: &LogState) -> Vec<DataFile> {
    let mut files: Vec<DataFile> = state
        .files
        .iter()
        .filter_map(|(name, info)| {
            let (level, commit) = parse_name(name)?;
            let (rows, bytes) = (info.rows?, info.bytes);
            Some(DataFile { name: name.clone(), level, commit, rows, bytes })
        })
        .collect();
    files.sort_by_key(|file| file.commit);
    files
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
