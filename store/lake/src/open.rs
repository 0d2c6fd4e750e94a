//! Opening: the lock, a new table, and what a crash left behind. Knows nothing of what a commit holds.
//!
//! A data file that no entry of the log names is one of these:
//!
//! | file | what it is | what is done where the log is proved whole up to the head |
//! |---|---|---|
//! | of the next commit | what an unfinished commit left, or, where the newest entry was lost behind a head that lags, a commit | left alone and named at each start; a process that knows its own last commit removes it |
//! | of an earlier commit | merged and expired long ago, and brought back by a backup | the same |
//! | merged, of no later commit | what an unfinished merge left: its rows are in the files that it was made of | removed |
//! | of a later commit | the log is older than the files | nothing; the table is refused |
//!
//! Where nothing proves the end of the log, nothing is deleted or moved, and a file of a commit that may be gone from the log
//! makes the table refused.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::CommitNumber;
use sha2::{Digest, Sha256};

use crate::chain::{self, Chain, Doubt, Whole};
use crate::disk::{DIRECTORY_MODE, Disk, IfThere, create_directories, is_staged, publish};
use crate::entry::{self, Action, Metadata, Operation, READER_VERSION, Seal, WRITER_VERSION};
use crate::file::{attempt_of, parse_name};
use crate::head::{self, Head};
use crate::history::History;
use crate::lake::{CHECKPOINT_COMMITS, LakeOptions};
use crate::lock::{WriterLock, place};
use crate::log::LogState;
use crate::schema::{DESCRIPTION, LAYOUT, LAYOUT_PROPERTY, STATISTICS, delta_schema};
use crate::verified::wrong_length;
use crate::{Damage, LakeError, Unnamed, regular, view};

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
    let folders = [place::own(dir), place::dictionaries(dir), place::log(dir), place::data(dir)];
    for folder in &folders {
        restrict(folder, options.group).map_err(LakeError::io("set the mode of", folder))?;
    }
    if let Some(group) = options.group {
        restrict(dir, Some(group)).map_err(LakeError::io("set the mode of", dir))?;
        for folder in &folders {
            hand_over(folder, group)?;
        }
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

/// Gives the files that were there before a group was chosen, or that came with another one, to this group.
fn hand_over(folder: &Path, group: u32) -> Result<(), LakeError> {
    for name in names_in(folder)? {
        let path = folder.join(name);
        let found = fs::symlink_metadata(&path).map_err(LakeError::io("measure", &path))?;
        if found.is_file() && found.gid() != group {
            let error = LakeError::io("give to the group of `[lake]`", &path);
            std::os::unix::fs::chown(&path, None, Some(group)).map_err(error)?;
        }
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
fn properties(options: &LakeOptions) -> BTreeMap<String, String> {
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

/// What the table says of itself under these options.
pub(crate) fn metadata(options: &LakeOptions, id: String, created_ms: i64) -> Metadata {
    let (description, schema) = (DESCRIPTION.to_owned(), delta_schema());
    Metadata { id, created_ms, description, schema, configuration: properties(options) }
}

/// Makes an empty table.
pub(crate) fn create(options: &LakeOptions, dir: &Path) -> Result<(), LakeError> {
    let now = options.clock.now();
    let id = new_id(options, dir);
    let metadata = metadata(options, id.clone(), now.as_millis());
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
    /// The highest number of an attempt in the name of a data file, so that no name is made twice.
    pub(crate) attempts: u64,
}

impl Recovered {
    pub(crate) fn history(&self, dir: &Path) -> History {
        History::of(dir, self.chain.checkpoint, self.chain.state.version)
    }
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
    let unnamed = UnnamedFiles::in_table(dir, &chain.state)?;
    match &chain.doubt {
        Some(Doubt::Beyond(Damage { path, what, .. })) => {
            let (path, what, files) = (path.clone(), what.clone(), unnamed.behind());
            return Err(LakeError::Beyond { path, what, end, files });
        }
        Some(Doubt::Lost(Damage { path, what, .. })) => {
            let (path, what, files) = (path.clone(), what.clone(), unnamed.behind());
            return Err(LakeError::EndLost { path, what, end, files });
        }
        Some(Doubt::NoHead(_)) | None => {}
    }
    chain.verify_old(dir, VERIFIED_ENTRIES_MAX)?;
    let state = &chain.state;
    let log = place::log(dir);
    let whole = chain.whole(durable);
    match whole {
        Some(_) if !unnamed.later.is_empty() => {
            return Err(LakeError::Unlisted { dir: dir.to_owned(), files: unnamed.behind() });
        }
        Some(whole) => {
            unnamed.remove(whole, durable.is_some())?;
            for name in names_in(&log)?.iter().filter(|name| is_staged(name)) {
                delete(whole, &log.join(name))?;
            }
        }
        None if unnamed.may_be_committed() => {
            let what = chain.doubt.as_ref().map(|doubt| doubt.damage().to_string());
            return Err(LakeError::Unproven {
                dir: dir.to_owned(),
                what: what.unwrap_or_else(|| "there is no head".to_owned()),
                files: unnamed.behind(),
            });
        }
        None => {}
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
    // A copy that was made of hard links must not be moved on with its original.
    if chain.head != Some(head) || head::is_shared(dir) {
        let path = place::head(dir);
        head::create(disk, dir, head).map_err(LakeError::io("write", &path))?;
    }
    if let Err(error) = view::renew(dir, state.files.keys()) {
        tracing::warn!(
            error = &error as &(dyn std::error::Error + 'static),
            "the links to the live data files cannot be kept: read the table, not its files"
        );
    }
    report(&chain.damage, chain.head.is_none().then(|| place::head(dir)).as_deref());
    Ok(Recovered { bad_files, whole, attempts: unnamed.attempts, chain })
}

/// Names what is damaged; `made` was, and is made anew.
fn report(damage: &[Damage], made: Option<&Path>) {
    for one in damage {
        if Some(one.path.as_path()) == made {
            tracing::warn!(file = %one.path.display(), "{}; the head was made again", one.what);
            continue;
        }
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

/// The data files that no entry of the log names.
#[derive(Debug, Default)]
struct UnnamedFiles {
    /// Of the next commit.
    next: Vec<PathBuf>,
    /// Of commits that the log has, which are in other files by now.
    earlier: Vec<PathBuf>,
    /// Merged from files of commits that the log has.
    merged: Vec<PathBuf>,
    /// Of commits after the next one.
    later: Vec<PathBuf>,
    /// The highest number of an attempt, of named files too.
    attempts: u64,
}

impl UnnamedFiles {
    fn in_table(dir: &Path, state: &LogState) -> Result<Self, LakeError> {
        let data = place::data(dir);
        let last = state.transactions.get("commit").and_then(|last| u64::try_from(*last).ok());
        let last = CommitNumber(last.unwrap_or(0));
        let mut unnamed = Self::default();
        let mut names = names_in(&data)?;
        names.sort();
        for name in names {
            let Some((level, commit)) = parse_name(&name) else { continue };
            unnamed.attempts = unnamed.attempts.max(attempt_of(&name).unwrap_or(0));
            if state.names(&name) {
                continue;
            }
            let kind = match level {
                0 if commit <= last => &mut unnamed.earlier,
                0 if commit == last.next() => &mut unnamed.next,
                1.. if commit <= last => &mut unnamed.merged,
                _ => &mut unnamed.later,
            };
            kind.push(data.join(name));
        }
        Ok(unnamed)
    }

    /// Those that may be of commits behind the end of the log.
    fn behind(&self) -> Unnamed {
        Unnamed(self.next.iter().chain(&self.later).chain(&self.merged).cloned().collect())
    }

    /// Whether one of them may be of a commit, or of a merge, whose entry is gone.
    fn may_be_committed(&self) -> bool {
        !(self.next.is_empty() && self.later.is_empty() && self.merged.is_empty())
    }

    /// Removes what an unfinished merge left; what an unfinished commit left only where this process knows what the last
    /// commit was. Names the others.
    fn remove(&self, whole: Whole, knows_last: bool) -> Result<(), LakeError> {
        let (next, kept) = if knows_last {
            (self.next.as_slice(), &[][..])
        } else {
            (&[][..], self.next.as_slice())
        };
        let mut removed = Vec::new();
        for path in self.merged.iter().chain(next) {
            if delete(whole, path)? {
                removed.push(path.clone());
            }
        }
        if !removed.is_empty() {
            let removed = Unnamed(removed);
            tracing::warn!("an unfinished commit or merge was removed: {removed}");
        }
        let kept = Unnamed(kept.iter().chain(&self.earlier).cloned().collect());
        if !kept.0.is_empty() && !knows_last {
            tracing::warn!(
                "an unfinished commit left them, or a backup brought them back: {kept}; they are not read; move them away once \
                 no backup has an entry that names them"
            );
        }
        Ok(())
    }
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
