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
use crate::disk::{Disk, create_directories, is_staged};
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
    if log::exists(dir)? {
        log::read(dir)?;
    }
    for folder in [place::own(dir), place::log(dir)] {
        create_directories(disk, &folder).map_err(LakeError::io("create", &folder))?;
    }
    WriterLock::take(dir, &place::lock(dir))
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

/// Reads the log, makes what it says durable, and deletes what a crash left behind.
///
/// A process that died between the name of an entry and the sync of its directory leaves an entry that is visible, but
/// may not survive a power cut; its watermark must not be announced before it does (INV-5).
pub(crate) fn recover(disk: &dyn Disk, dir: &Path) -> Result<LogState, LakeError> {
    let state = log::read(dir)?;
    let log = place::log(dir);
    for directory in [dir, &log] {
        disk.sync_directory(directory).map_err(LakeError::io("sync", directory))?;
    }
    let leftover = |name: &str| {
        let ours = parse_name(name).is_some();
        ours && !state.files.contains_key(name) && !state.removed.contains_key(name)
    };
    let removed = clean(dir, leftover)? + clean(&log, is_staged)?;
    if removed > 0 {
        tracing::warn!(files = removed, "removed what an unfinished commit left behind");
    }
    Ok(state)
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
