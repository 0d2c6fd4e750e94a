//! One writer per table: a lock on a file that names its holder. Must never know what the holder writes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::LakeError;

/// The lock; held as long as this value lives, also by work that outlives the [`crate::Lake`] that started it.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock of the table in `dir`, or says who has it.
    pub(crate) fn take(dir: &Path, path: &Path) -> Result<Self, LakeError> {
        let io = |action| LakeError::io(action, path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The holder may be between locking and writing; an unknown process is still a refusal.
                if file.read_to_string(&mut pid).is_err() || pid.trim().is_empty() {
                    pid.replace_range(.., "unknown");
                }
                return Err(LakeError::Locked { dir: dir.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        file.set_len(0).map_err(io("clear lock file"))?;
        writeln!(file, "{}", std::process::id()).map_err(io("write lock file"))?;
        Ok(Self { _file: file })
    }
}

/// Names below a table's directory that are ours and not Delta's.
pub(crate) mod place {
    use std::path::{Path, PathBuf};

    /// Our own folder; Delta ignores names with a leading underscore.
    pub(crate) fn own(dir: &Path) -> PathBuf {
        dir.join("_nengliu")
    }

    pub(crate) fn lock(dir: &Path) -> PathBuf {
        own(dir).join("lock")
    }

    pub(crate) fn dictionaries(dir: &Path) -> PathBuf {
        own(dir).join("dictionaries")
    }

    pub(crate) fn log(dir: &Path) -> PathBuf {
        dir.join("_delta_log")
    }

    pub(crate) fn entry(dir: &Path, version: u64) -> PathBuf {
        log(dir).join(format!("{version:020}.json"))
    }
}
