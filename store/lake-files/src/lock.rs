//! One writer per table: a lock on a file that names its holder, and says when that one ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::{LakeError, regular};

/// Second word in the lock file: the table was closed, and only work that it began still runs.
const ENDS: &str = "ends";

/// The lock; held as long as this value lives, also by work that outlives the [`crate::Lake`] that started it.
#[derive(Debug)]
pub struct WriterLock {
    file: File,
}

impl WriterLock {
    /// Takes the lock of the table in `dir`, or says who has it.
    pub fn take(dir: &Path, path: &Path) -> Result<Self, LakeError> {
        let io = |action| LakeError::io(action, path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o640);
        let mut file = regular::open_with(&mut options, path, "open lock file")?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The holder may be between locking and writing; an unknown process is still a refusal.
                if let Err(error) = file.read_to_string(&mut text) {
                    tracing::debug!(%error, "lock file cannot be read");
                }
                let mut words = text.split_whitespace();
                let pid = words.next().unwrap_or("unknown").to_owned();
                let ends = words.next() == Some(ENDS);
                return Err(LakeError::Locked { dir: dir.to_owned(), pid, ends });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        file.set_len(0).map_err(io("clear lock file"))?;
        writeln!(file, "{}", std::process::id()).map_err(io("write lock file"))?;
        Ok(Self { file })
    }

    /// Says in the lock file that the holder writes nothing new: who waits for the lock gets it soon.
    pub fn note_end(&self) {
        let mut file = &self.file;
        let noted = file.seek(SeekFrom::End(0)).and_then(|_| writeln!(file, "{ENDS}"));
        if let Err(error) = noted {
            tracing::debug!(%error, "lock file cannot be written");
        }
    }

    /// Whether the lock file at `path` is the one that is held: a directory that was replaced has another one.
    pub fn is_at(&self, path: &Path) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let held = self.file.metadata().map(identity);
        let found = std::fs::metadata(path).map(identity);
        matches!((held, found), (Ok(held), Ok(found)) if held == found)
    }
}

/// Names below a table's directory that are ours and not Delta's.
pub mod place {
    use std::path::{Path, PathBuf};

    /// The data files. Their names in the log are relative to the table; a leading underscore keeps programs that read
    /// a directory of Parquet files, rather than the table, away from files that were merged into others.
    pub const DATA: &str = "_data";

    /// The folder of the data files.
    pub fn data(dir: &Path) -> PathBuf {
        dir.join(DATA)
    }

    /// Path of the data file of that name.
    pub fn data_file(dir: &Path, name: &str) -> PathBuf {
        dir.join(DATA).join(name)
    }

    /// Our own folder; Delta ignores names with a leading underscore.
    pub fn own(dir: &Path) -> PathBuf {
        dir.join("_nengliu")
    }

    /// What the one writer locks.
    pub fn lock(dir: &Path) -> PathBuf {
        own(dir).join("lock")
    }

    /// What stood in the view under a name of ours and was no link of ours.
    pub fn set_aside(dir: &Path) -> PathBuf {
        own(dir).join("set-aside")
    }

    /// The note of the data files in quarantine.
    pub fn damaged(dir: &Path) -> PathBuf {
        own(dir).join("damaged.json")
    }

    /// The newest entry that its writer knew to be durable.
    pub fn head(dir: &Path) -> PathBuf {
        own(dir).join("head")
    }

    /// The table of the points.
    pub fn points(dir: &Path) -> PathBuf {
        own(dir).join("points.parquet")
    }

    /// The folder of the dictionaries.
    pub fn dictionaries(dir: &Path) -> PathBuf {
        own(dir).join("dictionaries")
    }

    /// The folder of the log, as Delta has it.
    pub fn log(dir: &Path) -> PathBuf {
        dir.join("_delta_log")
    }

    /// Entry `version` of the log.
    pub fn entry(dir: &Path, version: u64) -> PathBuf {
        log(dir).join(format!("{version:020}.json"))
    }

    /// The checkpoint of version `version`.
    pub fn checkpoint(dir: &Path, version: u64) -> PathBuf {
        log(dir).join(format!("{version:020}.checkpoint.parquet"))
    }

    /// Delta's hint at the newest checkpoint.
    pub fn last_checkpoint(dir: &Path) -> PathBuf {
        log(dir).join("_last_checkpoint")
    }
}
