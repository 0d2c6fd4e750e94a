//! The folder of the demo: locked while a demo runs, emptied at the start, but never one that holds anything else or that
//! another program uses.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::plant::DemoError;

/// Says that a folder may be emptied by the demo; the running demo holds a lock on it and has its process id in it.
const MARKER: &str = ".nengliu-demo";
/// What the programs that a demo starts lock while they use the folder.
const LOCKS: [&str; 2] = ["lake/_nengliu/lock", "spool/lock"];

/// The folder; no other demo uses it as long as this value lives.
#[derive(Debug)]
pub(super) struct Folder {
    _lock: File,
}

impl Folder {
    /// Makes the folder, or empties it when it is of an earlier demo.
    ///
    /// # Errors
    /// When it is of something else, or in use: then nothing in it was touched.
    pub(super) fn take(path: &Path) -> Result<Self, DemoError> {
        let failed = |source| DemoError::Folder { path: path.to_owned(), source };
        let marker = path.join(MARKER);
        if path.exists() && !marker.exists() && fs::read_dir(path).map_err(failed)?.next().is_some()
        {
            return Err(DemoError::ForeignFolder { path: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(failed)?;
        let in_use = |holder| DemoError::InUse { path: path.to_owned(), holder };
        let mut lock = match locked(&marker).map_err(failed)? {
            Ok(lock) => lock,
            Err(holder) => return Err(in_use(holder)),
        };
        // A gateway or a centre of a demo that was killed, or one that was started on these files by hand.
        for name in LOCKS {
            let held = path.join(name);
            if held.exists()
                && let Err(holder) = locked(&held).map_err(failed)?
            {
                return Err(in_use(holder));
            }
        }
        empty(path).map_err(failed)?;
        let mut write = || {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())?;
            writeln!(lock, "this folder is emptied by `nengliu demo`")
        };
        write().map_err(failed)?;
        Ok(Self { _lock: lock })
    }
}

/// Locks a file, or says which process has it, in its own words.
fn locked(path: &Path) -> io::Result<Result<File, String>> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Ok(file)),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The holder may be about to write it.
            file.read_to_string(&mut text).ok();
            let id = text.split_whitespace().next().unwrap_or("unknown");
            Ok(Err(id.to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes everything but the marker.
fn empty(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let inside: PathBuf = entry.path();
        if entry.file_name() == MARKER {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(inside)?;
        } else {
            fs::remove_file(inside)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> DemoError {
        Folder::take(path).map(drop).unwrap_err()
    }

    /// First use, O3: a second demo emptied the folder of the one that ran.
    #[test]
    fn a_folder_in_use_is_refused_before_anything_in_it_is_touched() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("demo");
        let first = Folder::take(&path).unwrap();
        let (inside, own) = (path.join("lake/data"), std::process::id().to_string());
        fs::create_dir_all(path.join("lake/_nengliu")).unwrap();
        fs::write(&inside, "rows").unwrap();
        let error = refused(&path);
        assert!(matches!(&error, DemoError::InUse { holder, .. } if *holder == own), "{error}");
        assert!(inside.exists());
        drop(first);
        // A centre or a gateway still runs on the files of a demo that is gone.
        for name in LOCKS {
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            fs::write(path.join(name), "4711\n").unwrap();
            let held = locked(&path.join(name)).unwrap().unwrap();
            let error = refused(&path);
            assert!(matches!(&error, DemoError::InUse { holder, .. } if holder == "4711"));
            assert!(inside.exists());
            drop(held);
        }
        let again = Folder::take(&path).unwrap();
        assert!(!inside.exists() && path.join(MARKER).exists());
        drop(again);
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let thesis = folder.path().join("thesis.tex");
        fs::write(&thesis, "years").unwrap();
        assert!(matches!(refused(folder.path()), DemoError::ForeignFolder { .. }));
        assert!(thesis.exists() && !folder.path().join(MARKER).exists());
        // An empty one may be used.
        let empty = tempfile::tempdir().unwrap();
        Folder::take(empty.path()).unwrap();
    }
}
