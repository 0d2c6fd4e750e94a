//! What the log of the table says at one version: which files are live, which were merged into others and when, and where
//! the application transactions stand. Pure; knows nothing of files and of what a transaction means.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::LakeError;
use crate::entry::{Action, Entry, Metadata, READER_VERSION, Removed, Seal, WRITER_VERSION};
use crate::facts::FileFacts;
use crate::schema::{LAYOUT, LAYOUT_PROPERTY};

/// The table at one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LogState {
    pub(crate) version: u64,
    /// Of the entry at this version.
    pub(crate) seal: Seal,
    /// When that entry was written, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) metadata: Metadata,
    /// Live files by name.
    pub(crate) files: BTreeMap<String, Arc<FileFacts>>,
    /// Files that were merged into others, by name, until their deletion is durable.
    pub(crate) removed: BTreeMap<String, Removed>,
    /// Application transactions by name.
    pub(crate) transactions: BTreeMap<String, i64>,
    /// Reader and writer version of the protocol.
    pub(crate) protocol: (i64, i64),
}

impl LogState {
    /// Goes on by one entry, which must be the next one of this very history.
    pub(crate) fn follow(&mut self, path: &Path, entry: Entry) -> Result<(), LakeError> {
        let info = &entry.info;
        let first = self.metadata.id.is_empty();
        let version = if first { 0 } else { self.version + 1 };
        let wrong = |what| Err(LakeError::damaged(path, what));
        if info.version != version {
            return wrong(format!("it is entry {}, expected entry {version}", info.version));
        }
        if info.previous != self.seal {
            return wrong(
                "it does not follow the entry before it: one of the two was replaced".into(),
            );
        }
        if !first && info.table != self.metadata.id {
            return wrong(format!("it is of table {}, not of {}", info.table, self.metadata.id));
        }
        (self.version, self.seal, self.at_ms) = (version, info.seal, info.at_ms);
        entry.actions.into_iter().for_each(|action| self.apply(action));
        Ok(())
    }

    pub(crate) fn apply(&mut self, action: Action) {
        match action {
            Action::Add { name, facts, .. } => {
                self.removed.remove(&name);
                self.files.insert(name, facts);
            }
            Action::Remove { name, removed } => {
                self.files.remove(&name);
                self.removed.insert(name, removed);
            }
            Action::Transaction { name, version } => {
                self.transactions.insert(name, version);
            }
            Action::Metadata(metadata) => self.metadata = metadata,
            Action::Protocol { reader, writer } => self.protocol = (reader, writer),
        }
    }

    /// Whether the log ever named this data file, as far as it is kept.
    pub(crate) fn names(&self, file: &str) -> bool {
        self.files.contains_key(file) || self.removed.contains_key(file)
    }

    /// Refuses a table of another layout or of a newer protocol.
    pub(crate) fn checked(self, dir: &Path) -> Result<Self, LakeError> {
        let layout = self.metadata.configuration.get(LAYOUT_PROPERTY);
        if layout.is_none_or(|layout| layout != LAYOUT) {
            return Err(LakeError::Layout { dir: dir.to_owned(), found: layout.cloned() });
        }
        let (reader, writer) = self.protocol;
        if reader > READER_VERSION || writer > WRITER_VERSION {
            return Err(LakeError::Protocol { dir: dir.to_owned(), reader, writer });
        }
        Ok(self)
    }
}
