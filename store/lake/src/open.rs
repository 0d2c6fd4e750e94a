//! Opening: the lock, the backend, a new table, and what a crash left behind. Must never know what a commit holds.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::logstore::{LogStoreRef, StorageConfig, logstore_with};
use deltalake_core::operations::create::CreateBuilder;
use url::Url;

use crate::LakeError;
use crate::disk::{Disk, IfThere, create_directories, is_staged, publish};
use crate::file::parse_name;
use crate::lake::{CHECKPOINT_COMMITS, LakeOptions};
use crate::lock::{WriterLock, place};
use crate::log::{self, LogState};
use crate::schema::{LAYOUT, LAYOUT_PROPERTY, delta_columns};
use crate::storage::DurableStore;

/// Added to the retention when the table is made, so that the log still names a removed file when its time has come.
const TOMBSTONE_MARGIN: Duration = Duration::from_mins(1);

/// Takes the lock, after making sure that what is there is ours.
pub(crate) fn claim(disk: &dyn Disk, dir: &Path) -> Result<WriterLock, LakeError> {
    let is_new = !log::exists(dir)?;
    if !is_new {
        log::read(dir)?;
    }
    for folder in [place::dictionaries(dir), place::log(dir)] {
        create_directories(disk, &folder).map_err(LakeError::io("create", &folder))?;
    }
    if is_new {
        sync_names(disk, dir)?;
    }
    WriterLock::take(dir, &place::lock(dir))
}

/// Makes the names of our own folders, of the directory and of all above it durable: a process that died after making
/// one of them and before its sync left it to us, who find it there.
fn sync_names(disk: &dyn Disk, dir: &Path) -> Result<(), LakeError> {
    for directory in [&place::own(dir), dir] {
        disk.sync_directory(directory).map_err(LakeError::io("sync", directory))?;
    }
    for above in dir.ancestors().skip(1) {
        match disk.sync_directory(above) {
            // Not ours to read, or of a file system that is never written: then we did not make what is in it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::ReadOnlyFilesystem
                ) => {}
            result => result.map_err(LakeError::io("sync", above))?,
        }
    }
    Ok(())
}

/// Delta's way to the disk: through ours.
pub(crate) fn log_store(dir: &Path, options: &LakeOptions) -> Result<LogStoreRef, LakeError> {
    let url = Url::from_directory_path(dir)
        .map_err(|()| LakeError::damaged(dir, "its path cannot be written as a URL"))?;
    let backend = Arc::new(DurableStore::new(Arc::clone(&options.disk)));
    logstore_with(backend, &url, StorageConfig::default()).map_err(LakeError::delta("open"))
}

/// Makes an empty table.
pub(crate) async fn create(
    log_store: &LogStoreRef,
    options: &LakeOptions,
) -> Result<(), LakeError> {
    let kept = (options.retention + TOMBSTONE_MARGIN).as_secs();
    let interval = format!("interval {kept} seconds");
    let checkpoints = CHECKPOINT_COMMITS.to_string();
    // `delta.setTransactionRetentionDuration` stays unset: it would let the watermark of a quiet gateway expire.
    let properties = [
        (LAYOUT_PROPERTY, LAYOUT),
        ("delta.checkpointInterval", &checkpoints),
        ("delta.enableExpiredLogCleanup", "true"),
        ("delta.logRetentionDuration", &interval),
        ("delta.deletedFileRetentionDuration", &interval),
    ];
    CreateBuilder::new()
        .with_log_store(Arc::clone(log_store))
        .with_table_name("nengliu_samples")
        .with_columns(delta_columns())
        .with_configuration(properties.map(|(key, value)| (key, Some(value))))
        // Ours is not a key that Delta knows.
        .with_raise_if_key_not_exists(false)
        .await
        .map_err(LakeError::delta("create the table"))?;
    Ok(())
}

/// Reads the log, makes what it says durable, and deletes what a crash left behind. Up to version `durable` all entries
/// are so for certain.
///
/// A process that died between the name of an entry and the sync of its directory, and a sync that failed, leave an
/// entry that is visible, but may not survive a power cut; its watermark must not be announced before it does (INV-5).
/// Each entry is durable before the next one is written, so only the newest can be in doubt.
pub(crate) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    durable: Option<u64>,
) -> Result<LogState, LakeError> {
    let state = log::read(dir)?;
    let log = place::log(dir);
    let leftover = |name: &str| {
        let ours = parse_name(name).is_some();
        ours && !state.files.contains_key(name) && !state.removed.contains_key(name)
    };
    let removed = clean(dir, leftover)? + clean(&log, is_staged)?;
    if removed > 0 {
        tracing::warn!(files = removed, "removed what an unfinished commit left behind");
    }
    disk.sync_directory(dir).map_err(LakeError::io("sync", dir))?;
    // Only an entry that is durable gets a checkpoint.
    if durable.max(state.checkpoint) < Some(state.version) {
        write_again(disk, &place::entry(dir, state.version))?;
    } else {
        disk.sync_directory(&log).map_err(LakeError::io("sync", &log))?;
    }
    Ok(state)
}

/// Puts a copy in the place of a log entry. To sync it once more would prove nothing: a system tells of a failed sync
/// once, and then holds for clean what never reached the disk.
fn write_again(disk: &dyn Disk, entry: &Path) -> Result<(), LakeError> {
    let bytes = fs::read(entry).map_err(LakeError::io("read", entry))?;
    publish(disk, entry, &[bytes.into()], IfThere::Replace).map_err(LakeError::io("renew", entry))
}

/// Deletes the files of a folder whose name `is_leftover`.
fn clean(folder: &Path, is_leftover: impl Fn(&str) -> bool) -> Result<u64, LakeError> {
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(LakeError::io("list", folder))? {
        let entry = entry.map_err(LakeError::io("list", folder))?;
        if is_leftover(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LakeError::io("remove", &path)(error));
                }
                _ => removed += 1,
            }
        }
    }
    Ok(removed)
}
