//! The rim: what the spool asks of a directory, and the real one.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::SpoolConfig;
use crate::error::SpoolError;
use crate::segment::parse_name;

/// Name of the lock file.
const LOCK_NAME: &str = "lock";
/// A process id has at most so many digits; a shorter one is followed by spaces, so that it covers what stood there.
const LOCK_COLUMNS: usize = 10;
/// Readings are for the gateway alone: rights of the directory and of each file in it.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Why the directory could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("held by process {holder}")]
    Held {
        /// What it wrote into the lock file.
        holder: String,
    },
    /// The disk failed.
    #[error("lock file failed")]
    Io(#[from] io::Error),
}

/// One directory. A simulation implements it too, with a disk that forgets.
pub trait Disk: Send {
    /// Takes the exclusive lock; it is given back when the guard is dropped.
    fn lock(&self) -> Result<Box<dyn Send>, LockError>;
    /// Names of the files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, in place of one that may be there.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, in place of one that may be there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that may still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One file of a [`Disk`].
pub trait DiskFile: Send {
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Whether it is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at `offset`; fewer bytes than asked only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`; after an error any part of them may stand there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the bytes and the length durable. After an error it must not be called again on this file.
    fn sync_data(&self) -> io::Result<()>;
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct StdDisk {
    dir: PathBuf,
}

impl StdDisk {
    /// Uses `dir`, and makes it when it is not there.
    pub fn new(dir: impl AsRef<Path>) -> io::Result<Self> {
        let dir = dir.as_ref().to_path_buf();
        for parent in create_dir(&dir)? {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { dir })
    }
}

/// Makes `dir` with all that is missing above it; returns the directories that got an entry by this.
fn create_dir(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_missing = |level: &&Path| !level.as_os_str().is_empty() && !level.is_dir();
    let missing = dir.ancestors().take_while(is_missing).count();
    std::fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    if std::fs::metadata(&dir)?.permissions().mode() & 0o077 != 0
        && let Err(error) = std::fs::set_permissions(&dir, Permissions::from_mode(DIR_MODE))
    {
        tracing::warn!(dir = %dir.display(), %error, "others may read the spool: chmod 0700 on its folder");
    }
    Ok(dir.ancestors().skip(1).take(missing).map(Path::to_path_buf).collect())
}

impl Disk for StdDisk {
    fn lock(&self) -> Result<Box<dyn Send>, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.dir.join(LOCK_NAME))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                let holder = text.trim();
                let holder = if holder.is_empty() { "unknown" } else { holder }.to_owned();
                return Err(LockError::Held { holder });
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // Only a help for people, and over what stands there: on a full disk the lock must not need room.
        let text = format!("{:<LOCK_COLUMNS$}\n", std::process::id());
        if let Err(error) =
            file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(text.as_bytes()))
        {
            tracing::warn!(%error, "the process id is not in the lock file");
        }
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.dir.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.dir.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes_at(&self.dir)
    }
}

/// Bytes that may still be written in `dir`.
fn free_bytes_at(dir: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(dir)?;
    // On 32-bit gateways these are 32 bits.
    #[cfg_attr(
        target_pointer_width = "64",
        expect(clippy::useless_conversion, reason = "the width depends on the target")
    )]
    let (blocks, size) = (u64::from(stat.blocks_available()), u64::from(stat.fragment_size()));
    Ok(blocks.saturating_mul(size))
}

impl SpoolConfig {
    /// What the first start in this directory would say about the room on its disk. Nothing where a spool is there
    /// already or the disk cannot be asked; changes nothing.
    #[must_use]
    pub fn first_start_lacks_room(&self) -> Option<SpoolError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return None,
            entries => entries.into_iter().flatten().flatten(),
        };
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        if names.any(|name| parse_name(&name).is_some()) {
            return None;
        }
        let dir = std::path::absolute(&self.dir).ok()?;
        let free = free_bytes_at(dir.ancestors().find(|level| level.is_dir())?).ok()?;
        let is_short = free < self.quota_bytes.saturating_add(self.segment_bytes);
        is_short.then(|| self.no_space(free))
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + crate::to_u64(done)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entry of a new directory lives in its parent, which must be synced, or a power cut takes all below it.
    #[test]
    fn every_directory_that_got_an_entry_is_known() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let check = |dir: &str, expected: &[&str]| {
            let expected: Vec<PathBuf> = expected.iter().map(|level| root.join(level)).collect();
            assert_eq!(create_dir(&root.join(dir)).unwrap(), expected, "{dir}");
            assert!(root.join(dir).is_dir());
        };
        check("a/b/c/d", &["a/b/c", "a/b", "a", ""]);
        check("a/b/c/d", &[]);
        check("a/b/e", &["a/b"]);
        StdDisk::new(root.join("x/y/z")).unwrap();
        check("x/y/z", &[]);
    }

    #[test]
    fn a_first_start_that_would_lack_room_is_known_before() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("not/there/yet");
        let config = |quota_bytes| SpoolConfig::new(&dir, quota_bytes);
        assert!(config(12 << 20).first_start_lacks_room().is_none());
        let error = config(1 << 62).first_start_lacks_room().unwrap();
        assert!(matches!(error, SpoolError::NoSpace { .. }), "{error}");
        assert!(!dir.exists());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("0000000000000001.seg"), "").unwrap();
        assert!(config(1 << 62).first_start_lacks_room().is_none(), "no first start");
    }

    /// A gateway that starts on a full disk must not fail at its lock file.
    #[test]
    fn the_lock_file_keeps_its_length() {
        let root = tempfile::tempdir().unwrap();
        let disk = StdDisk::new(root.path()).unwrap();
        let path = root.path().join(LOCK_NAME);
        drop(disk.lock().unwrap());
        let first = std::fs::read_to_string(&path).unwrap();
        assert_eq!(first.trim(), std::process::id().to_string());
        let held = disk.lock().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert!(matches!(disk.lock(), Err(LockError::Held { holder }) if holder == first.trim()));
        drop(held);
    }

    #[test]
    fn nobody_else_reads_what_is_in_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("spool");
        // As a person or an older program made it.
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        let disk = StdDisk::new(&dir).unwrap();
        let _lock = disk.lock().unwrap();
        disk.create("1.seg").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!([mode(&dir.join("1.seg")), mode(&dir.join("lock"))], [0o600, 0o600]);
    }
}
