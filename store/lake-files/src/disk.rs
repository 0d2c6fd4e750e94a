//! The calls to the disk that durability depends on, behind a trait so that a test can count them and make them fail,
//! and the ways to create files and directories durably. Knows nothing of what the files mean.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Mode of the files of a table: the group may read, others see nothing.
const FILE_MODE: u32 = 0o640;
/// Mode of the directories of a table.
pub const DIRECTORY_MODE: u32 = 0o750;

/// Writes bytes and makes files and directories durable.
pub trait Disk: Debug + Send + Sync {
    /// Writes all of `bytes`.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Returns once the file's content and length would survive a power cut.
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Returns once the names in the directory would survive a power cut.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Bytes that this process may still write on the file system of `directory`.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;
}

/// The disk of the machine.
#[derive(Debug)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        free_bytes(directory)
    }
}

/// Bytes that this process may still write on the file system of `directory`.
///
/// # Errors
/// When the directory is not there, or the system does not say.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(directory)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Options that create a file of the table, which must not exist.
pub fn create_new() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE);
    options
}

/// What to do when a file of that name is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfThere {
    /// It stays, and the call fails with `AlreadyExists`.
    Refuse,
    /// The new file takes its place.
    Replace,
}

/// Whether a name is that of a file on its way to its final name; `object_store` hides the same names from lists.
pub fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, digits)| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Creates a file whole or not at all: it is written and synced under another name first, so that no reader, and no
/// reader after a power cut, finds a part of it.
pub fn publish(disk: &dyn Disk, path: &Path, bytes: &[u8], if_there: IfThere) -> io::Result<()> {
    let (mut file, staged) = create_staged(path)?;
    let written =
        disk.write(&mut file, bytes).and_then(|()| disk.sync_file(&file)).and_then(|()| {
            match if_there {
                // A hard link fails where the name is taken; a rename would replace it.
                IfThere::Refuse => fs::hard_link(&staged, path).map_err(without_links),
                IfThere::Replace => fs::rename(&staged, path),
            }
        });
    if written.is_err() || if_there == IfThere::Refuse {
        // Gone already when another process cleaned up; then there is nothing to do.
        drop(fs::remove_file(&staged));
    }
    written?;
    disk.sync_directory(parent(path))
}

/// A file system without hard links says that the right to make one is missing.
fn without_links(error: io::Error) -> io::Error {
    if error.raw_os_error() != Some(nix::errno::Errno::EPERM as i32) {
        return error;
    }
    io::Error::new(
        io::ErrorKind::Unsupported,
        "its file system has no hard links: put the lake on another one, such as ext4 or xfs",
    )
}

fn create_staged(path: &Path) -> io::Result<(File, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        let staged = PathBuf::from(staged);
        match create_new().open(&staged) {
            Ok(file) => return Ok((file, staged)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Creates a directory and all missing ones above it, each durable in its parent.
pub fn create_directories(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = parent(directory);
    create_directories(disk, above)?;
    match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    disk.sync_directory(above)
}

/// The directory that holds `path`.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file being written through a [`Disk`], for writers that stream.
#[derive(Debug)]
pub struct DiskFile<'a> {
    /// Through which every byte goes.
    pub disk: &'a dyn Disk,
    /// Open for writing, at its end.
    pub file: File,
}

impl Write for DiskFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write(&mut self.file, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
