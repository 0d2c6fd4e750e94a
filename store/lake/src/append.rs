//! Appends one entry to the log of the table, if the log still ends where its writer left it. Knows nothing of what the
//! entry says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Timestamp;

use crate::LakeError;
use crate::chain::read_entry;
use crate::damage::Damage;
use crate::disk::{Disk, IfThere, publish};
use crate::entry::{Action, Entry, Operation, Seal, decode, encode};
use crate::head::{self, Head};
use crate::history::History;
use crate::lock::{WriterLock, place};

/// An entry to be written, and the end of the log that it follows.
pub(crate) struct Append {
    pub(crate) disk: Arc<dyn Disk>,
    /// Held while this works, also when the call was dropped.
    pub(crate) lock: Arc<WriterLock>,
    pub(crate) dir: PathBuf,
    pub(crate) table: String,
    /// Version and seal of the newest entry, and its bytes where they are known.
    pub(crate) version: u64,
    pub(crate) seal: Seal,
    pub(crate) newest: Option<Arc<[u8]>>,
    /// The entries since the last checkpoint.
    pub(crate) history: History,
    pub(crate) now: Timestamp,
    pub(crate) operation: Operation,
    pub(crate) actions: Vec<Action>,
}

/// An entry that is durable.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) version: u64,
    pub(crate) entry: Entry,
    pub(crate) bytes: Arc<[u8]>,
    /// With this entry.
    pub(crate) history: History,
    /// What was found in the entries before it.
    pub(crate) edited: Option<Damage>,
}

impl Append {
    /// Writes the entry, durably.
    pub(crate) fn run(mut self) -> Result<Appended, LakeError> {
        self.check_end()?;
        let edited = self.history.check(&self.dir);
        let version = self.version + 1;
        let (bytes, seal) =
            encode(&self.table, version, self.seal, self.now, self.operation, &self.actions);
        let path = place::entry(&self.dir, version);
        let entry = decode(&path, &bytes)?;
        match publish(self.disk.as_ref(), &path, &bytes, IfThere::Refuse) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.changed(format!("entry {version} of its log is there already")));
            }
            written => written.map_err(LakeError::io("write", &path))?,
        }
        let head = Head { version, seal };
        // It may lag behind the log, so its failure costs nothing but the proof of the newest entry.
        let create = |_| head::create(self.disk.as_ref(), &self.dir, head);
        if let Err(error) = head::move_on(self.disk.as_ref(), &self.dir, head).or_else(create) {
            tracing::warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "the head of the table cannot be written"
            );
        }
        let mut history = self.history;
        history.push(&self.dir, version);
        Ok(Appended { version, entry, bytes: bytes.into(), history, edited })
    }

    /// Whether the newest entry is still the one that is to be followed.
    fn check_end(&self) -> Result<(), LakeError> {
        let path = place::entry(&self.dir, self.version);
        if !self.lock.is_at(&place::lock(&self.dir)) {
            return Err(self.changed("its lock file was replaced".to_owned()));
        }
        match read_entry(&path) {
            Ok(entry) if entry.info.seal == self.seal => Ok(()),
            Ok(_) => Err(self.changed(format!("entry {} of its log is another one", self.version))),
            Err(error) => self.put_back(&path, &error),
        }
    }

    /// A newest entry that was lost by itself is written again; when more is gone, the table is an older one.
    fn put_back(&self, path: &Path, lost: &LakeError) -> Result<(), LakeError> {
        let gone = || self.changed(format!("entry {} of its log is gone or damaged", self.version));
        let Some(bytes) = &self.newest else { return Err(gone()) };
        let entry = decode(path, bytes)?;
        let before = self.version.checked_sub(1).map(|before| place::entry(&self.dir, before));
        let joins = before.is_some_and(|before| {
            read_entry(&before).is_ok_and(|before| before.info.seal == entry.info.previous)
        });
        let has_files = entry.actions.iter().all(|action| match action {
            Action::Add { name, .. } => place::data_file(&self.dir, name).exists(),
            _ => true,
        });
        if !joins || !has_files {
            return Err(gone());
        }
        tracing::error!(
            file = %path.display(),
            error = lost as &(dyn std::error::Error + 'static),
            "the newest entry of the table's log was lost and is written again"
        );
        publish(self.disk.as_ref(), path, bytes, IfThere::Replace)
            .map_err(LakeError::io("write", path))
    }

    fn changed(&self, what: String) -> LakeError {
        LakeError::Changed { dir: self.dir.clone(), what }
    }
}
