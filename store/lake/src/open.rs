//! Opening: the lock, a new table, and what a crash left behind. Knows nothing of what a commit holds.
//!
//! A data file is a leftover only if the log, proved whole up to the head, never named it, and if it is one that an
//! unfinished commit or an unfinished merge leaves: at most one of each. Anything else means that the log is not the one
//! that the files belong to, or that it may lack its end; then nothing is deleted or moved, and the table is refused.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::CommitNumber;
use sha2::{Digest, Sha256};

use crate::chain::{self, Chain, Doubt, Whole};
use crate::disk::{DIRECTORY_MODE, Disk, IfThere, create_directories, is_staged, publish};
use crate::entry::{self, Action, Metadata, Operation, READER_VERSION, Seal, WRITER_VERSION};
use crate::file::parse_name;
use crate::head::{self, Head};
use crate::lake::{CHECKPOINT_COMMITS, LakeOptions};
use crate::lock::{WriterLock, place};
use crate::log::LogState;
use crate::schema::{LAYOUT, LAYOUT_PROPERTY, STATISTICS, delta_schema};
use crate::verified::wrong_length;
use crate::{Damage, LakeError, regular, view};

/// Entries below the checkpoint that are verified when a table is opened for writing.
const VERIFIED_ENTRIES_MAX: u64 = 2_000;
/// Mode of the directories when a group was chosen: what is made in them belongs to that group.
const GROUP_DIRECTORY_MODE: u32 = 0o2750;

/// Takes the lock, after making sure that what is there is ours.
pub(crate) fn claim(options: &LakeOptions, dir: &Path) -> Result<WriterLock, LakeError> {
    let is_new = !chain::exists(dir)?;
    if !is_new {
        chain::read(dir)?;
    }
    let disk = options.disk.as_ref();
    for folder in [place::dictionaries(dir), place::log(dir), place::data(dir)] {
        create_directories(disk, &folder).map_err(LakeError::io("create", &folder))?;
    }
    for folder in [place::own(dir), place::dictionaries(dir), place::log(dir), place::data(dir)] {
        restrict(&folder, options.group).map_err(LakeError::io("set the mode of", &folder))?;
    }
    if is_new {
        sync_names(disk, dir)?;
    }
    WriterLock::take(dir, &place::lock(dir))
}

/// Others see nothing of the table; a group may read it.
fn restrict(folder: &Path, group: Option<u32>) -> io::Result<()> {
    let found = fs::metadata(folder)?.permissions().mode() & 0o7777;
    let wanted = if group.is_some() { GROUP_DIRECTORY_MODE } else { DIRECTORY_MODE };
    if let Some(group) = group {
        std::os::unix::fs::chown(folder, None, Some(group))?;
    }
    if found != wanted || group.is_some() {
        fs::set_permissions(folder, fs::Permissions::from_mode(wanted))?;
    }
    Ok(())
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

/// The properties of the table under these options.
pub(crate) fn properties(options: &LakeOptions) -> BTreeMap<String, String> {
    let interval = format!("interval {} seconds", options.keep.age.as_secs());
    let checkpoints = CHECKPOINT_COMMITS.to_string();
    // `delta.setTransactionRetentionDuration` stays unset: it would let the watermark of a quiet gateway expire.
    [
        (LAYOUT_PROPERTY, LAYOUT),
        ("delta.checkpointInterval", &checkpoints),
        ("delta.dataSkippingStatsColumns", STATISTICS),
        ("delta.enableExpiredLogCleanup", "true"),
        ("delta.logRetentionDuration", &interval),
        ("delta.deletedFileRetentionDuration", &interval),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Makes an empty table.
pub(crate) fn create(options: &LakeOptions, dir: &Path) -> Result<(), LakeError> {
    let now = options.clock.now();
    let id = new_id(options, dir);
    let metadata = Metadata {
        id: id.clone(),
        created_ms: now.as_millis(),
        schema: delta_schema(),
        configuration: properties(options),
    };
    let actions = [
        Action::Protocol { reader: READER_VERSION, writer: WRITER_VERSION },
        Action::Metadata(metadata),
    ];
    let (bytes, _) = entry::encode(&id, 0, Seal::default(), now, Operation::Create, &actions);
    let path = place::entry(dir, 0);
    publish(options.disk.as_ref(), &path, &bytes, IfThere::Refuse)
        .map_err(LakeError::io("write", &path))
}

/// An identity that no other table has: from the moment, the process and the place, in the form of a UUID.
fn new_id(options: &LakeOptions, dir: &Path) -> String {
    let mut hash = Sha256::new();
    let (now, monotonic) = (options.clock.now().0, options.clock.monotonic());
    hash.update(format!("{now} {monotonic:?} {} {}", std::process::id(), dir.display()));
    let digits = Seal::of(&hash.finalize()).to_string();
    // Version 8: "custom" (RFC 9562, section 5.8).
    let part = |range| digits.get(range).unwrap_or_default();
    let (third, fourth) = (part(13..16), part(17..20));
    format!("{}-{}-8{third}-8{fourth}-{}", part(0..8), part(8..12), part(20..32))
}

/// A table that was opened for writing.
pub(crate) struct Recovered {
    pub(crate) chain: Chain,
    /// Live data files that are not as the log says, by name.
    pub(crate) bad_files: Vec<(String, LakeError)>,
    /// The proof that allows to delete what has expired; `None` where the end of the log was not proved.
    pub(crate) whole: Option<Whole>,
}

/// Reads the log, makes what it says durable, and removes what a crash left behind. Up to version `durable` all entries
/// are so for certain.
///
/// A process that died between the name of an entry and the sync of its directory, and a sync that failed, leave an
/// entry that is visible, but may not survive a power cut; its watermark must not be announced before it does (INV-5).
/// Each entry is durable before the next one is written, so only the newest can be in doubt.
pub(crate) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    durable: Option<u64>,
) -> Result<Recovered, LakeError> {
    let mut chain = chain::read(dir)?;
    let end = chain.state.version;
    match &chain.doubt {
        Some(Doubt::Beyond(Damage { path, what, .. })) => {
            return Err(LakeError::Beyond { path: path.clone(), what: what.clone(), end });
        }
        Some(Doubt::Lost(Damage { path, what, .. })) => {
            return Err(LakeError::EndLost { path: path.clone(), what: what.clone(), end });
        }
        Some(Doubt::NoHead(_)) | None => {}
    }
    chain.verify_old(dir, VERIFIED_ENTRIES_MAX)?;
    let state = &chain.state;
    let log = place::log(dir);
    let whole = chain.whole(durable);
    let leftovers = leftovers_in(dir, state)?;
    match (whole, &chain.doubt) {
        (Some(whole), _) => leftovers.remove(whole, &log)?,
        (None, doubt) if !leftovers.data.is_empty() => {
            let what = doubt.as_ref().map(|doubt| doubt.damage().to_string());
            return Err(LakeError::Unproven {
                dir: dir.to_owned(),
                what: what.unwrap_or_else(|| "there is no head".to_owned()),
                files: leftovers.data.len(),
                first: leftovers.data.into_iter().next().unwrap_or_default(),
            });
        }
        (None, _) => {}
    }
    let bad_files = bad_files(dir, state);
    let data = place::data(dir);
    disk.sync_directory(&data).map_err(LakeError::io("sync", &data))?;
    // Only an entry that is durable gets a checkpoint.
    if durable.max(chain.checkpoint) < Some(state.version) {
        write_again(disk, &place::entry(dir, state.version))?;
    } else {
        disk.sync_directory(&log).map_err(LakeError::io("sync", &log))?;
    }
    let head = Head { version: state.version, seal: state.seal };
    if chain.head != Some(head) {
        let path = place::head(dir);
        head::create(disk, dir, head).map_err(LakeError::io("write", &path))?;
    }
    if let Err(error) = view::renew(dir, state.files.keys()) {
        tracing::warn!(
            error = &error as &(dyn std::error::Error + 'static),
            "the links to the live data files cannot be kept: read the table, not its files"
        );
    }
    report(&chain.damage);
    Ok(Recovered { chain, bad_files, whole })
}

fn report(damage: &[Damage]) {
    for one in damage {
        tracing::error!(
            file = %one.path.display(),
            "damage in the table: {one}; nothing was deleted, put the file back from a backup"
        );
    }
}

/// Puts a copy in the place of a log entry. To sync it once more would prove nothing: a system tells of a failed sync
/// once, and then holds for clean what never reached the disk.
fn write_again(disk: &dyn Disk, entry: &Path) -> Result<(), LakeError> {
    let bytes = regular::read(entry)?;
    publish(disk, entry, &bytes, IfThere::Replace).map_err(LakeError::io("renew", entry))
}

/// What an unfinished commit, an unfinished merge or an unfinished entry leaves.
struct Leftovers {
    data: Vec<PathBuf>,
}

impl Leftovers {
    /// Removes them, and entries that never got their names.
    fn remove(&self, whole: Whole, log: &Path) -> Result<(), LakeError> {
        for path in &self.data {
            delete(whole, path)?;
        }
        if !self.data.is_empty() {
            let files = self.data.len();
            tracing::warn!(files, "removed what an unfinished commit or merge left behind");
        }
        for name in names_in(log)?.iter().filter(|name| is_staged(name)) {
            delete(whole, &log.join(name))?;
        }
        Ok(())
    }
}

/// The data files that no entry names, if they are as few as an unfinished commit and an unfinished merge leave.
fn leftovers_in(dir: &Path, state: &LogState) -> Result<Leftovers, LakeError> {
    let data = place::data(dir);
    let last = state.transactions.get("commit").and_then(|last| u64::try_from(*last).ok());
    let last = CommitNumber(last.unwrap_or(0));
    let (mut committing, mut merging, mut unlisted) = (Vec::new(), Vec::new(), Vec::new());
    for name in names_in(&data)? {
        match parse_name(&name) {
            None => {}
            Some(_) if state.names(&name) => {}
            Some((0, commit)) if commit == last.next() => committing.push(name),
            Some((level, commit)) if level > 0 && commit <= last => merging.push(name),
            Some(_) => unlisted.push(name),
        }
    }
    let is_too_many = !unlisted.is_empty() || committing.len() > 1 || merging.len() > 1;
    let names = unlisted.into_iter().chain(committing).chain(merging);
    let found: Vec<PathBuf> = names.map(|name| data.join(name)).collect();
    if is_too_many {
        let (files, first) = (found.len(), found.into_iter().next().unwrap_or_default());
        return Err(LakeError::Unlisted { dir: dir.to_owned(), files, first });
    }
    Ok(Leftovers { data: found })
}

/// The live data files that are missing or have another length, which is all that can be seen without reading them.
pub(crate) fn bad_files(dir: &Path, state: &LogState) -> Vec<(String, LakeError)> {
    let bad = state.files.iter().filter_map(|(name, facts)| {
        let path = place::data_file(dir, name);
        let error = match regular::look(&path) {
            Ok(found) if found.len() == facts.bytes => return None,
            Ok(found) => wrong_length(&path, found.len(), facts.bytes),
            Err(error) if error.is_not_found() => LakeError::damaged(&path, "the file is missing"),
            Err(error) => error,
        };
        Some((name.clone(), error))
    });
    bad.collect()
}

fn names_in(folder: &Path) -> Result<Vec<String>, LakeError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(LakeError::io("list", folder))? {
        let name = entry.map_err(LakeError::io("list", folder))?.file_name();
        names.extend(OsStr::to_str(&name).map(str::to_owned));
    }
    Ok(names)
}

/// Deletes a file of the table that came before this process; whether there was one.
pub(crate) fn delete(_: Whole, path: &Path) -> Result<bool, LakeError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LakeError::io("remove", path)(error)),
    }
}
