//! The reader's side: one version of the table, for any process, without a lock. Must never write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{DictionaryUse, LogBook, LogKey, Watermark};
use model::{CommitNumber, Dictionary, DictionaryHash};

use crate::dictionaries;
use crate::log::{self, LogState, data_path};
use crate::{LakeError, lock::place};

/// One version of the table: rows and watermarks that became durable together.
///
/// The files it names stay readable for the writer's retention ([`crate::LakeOptions::retention`]) after they were
/// merged into others; a reader that works longer opens a new snapshot. "As of commit N" is the filter `commit <= N`
/// on the rows: it gives the same rows from every later snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    dir: PathBuf,
    state: LogState,
    book: LogBook,
}

impl Snapshot {
    /// Reads the newest version of the table in `dir`. Touches nothing but files.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, LakeError> {
        let dir = std::path::absolute(dir.as_ref()).map_err(LakeError::io("find", dir.as_ref()))?;
        let state = log::read(&dir)?;
        let book = read_book(&dir, &state)?;
        Ok(Self { dir, state, book })
    }

    /// The live Parquet files, absolute; their columns are those of [`crate::schema::schema`].
    pub fn files(&self) -> Vec<PathBuf> {
        self.state.files.keys().map(|name| data_path(&self.dir, name)).collect()
    }

    /// The last ingest commit in this version; 0 when there was none.
    pub fn commit_number(&self) -> CommitNumber {
        self.book.commit
    }

    /// The table's own version: every change of the table counts, also one that moves no rows.
    pub fn table_version(&self) -> u64 {
        self.state.version
    }

    /// How far each log is durable.
    pub fn watermarks(&self) -> &BTreeMap<LogKey, Watermark> {
        &self.book.logs
    }

    /// All dictionaries that are kept beside the table.
    pub fn dictionaries(&self) -> Result<BTreeMap<DictionaryHash, Arc<Dictionary>>, LakeError> {
        dictionaries::all(&self.dir)
    }

    /// Which dictionary the rows of which frames follow, in the order of commits. Rows of a log before its first use
    /// were written by a program that did not say so yet.
    pub fn dictionary_uses(&self) -> Vec<DictionaryUse> {
        self.book.dictionary_uses()
    }

    /// The newest version of the same table: files that this one names are deleted some time after they were merged.
    pub fn renewed(&self) -> Result<Self, LakeError> {
        Self::open(&self.dir)
    }

    /// The dictionary of that hash, where it is kept.
    pub fn dictionary(&self, hash: DictionaryHash) -> Result<Option<Dictionary>, LakeError> {
        dictionaries::get(&self.dir, hash)
    }
}

/// The book of logs from the table's transactions.
pub(crate) fn read_book(dir: &Path, state: &LogState) -> Result<LogBook, LakeError> {
    LogBook::from_transactions(&state.transactions).map_err(|name| {
        LakeError::damaged(&place::log(dir), format!("transaction `{name}` is not one of ours"))
    })
}
