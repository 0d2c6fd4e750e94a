//! Reads the table's log from its folder and proves that it is whole: each entry by its seal, each after the one before
//! it, the end by the head. Never writes, and knows nothing of what a transaction means.
//!
//! What is needed to know the newest version that the head proves must be there and sound, else the table is refused with
//! the name of the file; where the newest entries alone are lost, readers may have the version before them. What is not
//! needed (an old checkpoint, an entry that a checkpoint covers) is reported as damage beside the state, and so is whatever
//! lies behind the proved end and cannot be followed. Where there is no head, the state is that of the newest entry, and
//! nothing proves that it is the newest one: see [`Whole`].

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::entry::{Entry, Seal, decode};
use crate::file::parse_name;
use crate::head::{self, Head};
use crate::lock::place;
use crate::log::LogState;
use crate::schema::{LAYOUT, LAYOUT_PROPERTY};
use crate::{Damage, LakeError, checkpoint, regular};

/// How often a reader starts again when the writer deleted an expired file of the log under its hands.
const ATTEMPTS_MAX: u32 = 5;
/// Damaged files of the log that are named one by one.
const DAMAGE_MAX: usize = 64;

/// The table at its newest version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    pub(crate) state: LogState,
    /// Version of the checkpoint that this was read from.
    pub(crate) checkpoint: Option<u64>,
    /// The oldest entry that is there.
    pub(crate) first: u64,
    /// The head, where it is one of this history.
    pub(crate) head: Option<Head>,
    /// What is damaged in the log and was not needed.
    pub(crate) damage: Vec<Damage>,
    /// Why newer entries than those that were read may have been there; among `damage`, too.
    pub(crate) doubt: Option<Doubt>,
}

/// Why the newest entry that could be read may not be the newest one of the table.
#[derive(Debug, Clone)]
pub(crate) enum Doubt {
    /// There is no head, or none that can be read, so the log may have ended later.
    NoHead(Damage),
    /// The newest entries that the head proves are damaged or missing.
    Lost(Damage),
    /// Behind the end that the head proves is something that cannot be followed.
    Beyond(Damage),
}

impl Doubt {
    pub(crate) fn damage(&self) -> &Damage {
        match self {
            Self::NoHead(damage) | Self::Lost(damage) | Self::Beyond(damage) => damage,
        }
    }
}

/// That the log was read without a gap up to the newest entry that its writer knew to be durable, so that a file which no
/// entry names was never committed. Whoever removes a file that came before this process has to show one; only
/// [`Chain::whole`] makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole(());

/// Versions for which the folder of the log has a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) entries: BTreeSet<u64>,
    pub(crate) checkpoints: BTreeSet<u64>,
}

impl Listing {
    /// Of a folder; empty where there is none.
    pub(crate) fn of(dir: &Path) -> Result<Self, LakeError> {
        let log = place::log(dir);
        let mut listing = Self::default();
        let entries = match fs::read_dir(&log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
            entries => entries.map_err(LakeError::io("list", &log))?,
        };
        for entry in entries {
            let name = entry.map_err(LakeError::io("list", &log))?.file_name();
            let name = name.to_string_lossy();
            listing.entries.extend(version_before(&name, ".json"));
            listing.checkpoints.extend(version_before(&name, ".checkpoint.parquet"));
        }
        Ok(listing)
    }

    /// Whether a file of the log is older than all of its kind.
    fn is_past(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kinds = [(".json", &self.entries), (".checkpoint.parquet", &self.checkpoints)];
        kinds.into_iter().any(|(ending, there)| {
            version_before(&name, ending)
                .is_some_and(|version| there.first().is_none_or(|first| version < *first))
        })
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.checkpoints.is_empty()
    }
}

/// Whether there are data files of ours, live or not.
fn has_data(dir: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(place::data(dir)) else { return false };
    entries.any(|entry| {
        entry.is_ok_and(|entry| parse_name(&entry.file_name().to_string_lossy()).is_some())
    })
}

fn version_before(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    if digits.len() != 20 {
        return None;
    }
    digits.parse().ok()
}

/// Whether there is a table at all. One that lost its whole log is a table.
pub(crate) fn exists(dir: &Path) -> Result<bool, LakeError> {
    Ok(!Listing::of(dir)?.is_empty() || place::head(dir).exists())
}

/// Reads the log up to its newest entry and checks that the table is one of ours.
pub(crate) fn read(dir: &Path) -> Result<Chain, LakeError> {
    if !exists(dir)? {
        return Err(LakeError::NoTable { dir: dir.to_owned() });
    }
    let mut attempt = 1;
    loop {
        match read_once(dir) {
            // A gap is what a reader sees, too, when the writer deletes what a newer checkpoint covers.
            Err(LakeError::Damaged { .. }) if attempt < ATTEMPTS_MAX => attempt += 1,
            Err(LakeError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
            // It may be the moment between two steps of the writer.
            Ok(chain) if chain.doubt.is_some() && attempt < ATTEMPTS_MAX => attempt += 1,
            Ok(mut chain) => {
                chain.state = chain.state.checked(dir)?;
                return Ok(chain);
            }
        }
    }
}

fn read_once(dir: &Path) -> Result<Chain, LakeError> {
    // The head first: the log may grow meanwhile, but must never end before it.
    let (head, no_head) = match head::read(dir) {
        Ok(Some(head)) => (Some(head), None),
        Ok(None) => (None, None),
        Err(error) if error.is_of_reader() => return Err(error),
        Err(error) => (None, Some(Damage::of_error(&error))),
    };
    let listing = Listing::of(dir)?;
    let mut failed = None;
    let starts = listing.checkpoints.iter().rev().map(|version| Some(*version));
    for start in starts.chain([None]) {
        let begun = match start {
            Some(version) => match begin_at(dir, version, &listing) {
                Err(error) if error.is_of_reader() => return Err(error),
                begun => begun,
            },
            None => Ok(LogState::default()),
        };
        // The newest problem is the one to mend; older starts may do without the file.
        let (ended, problem) = match begun {
            Ok(state) => go_on(dir, state, &listing),
            Err(error) => (None, Some(error)),
        };
        let accepted = match ended {
            Some(state) => accept(dir, state, start, &listing, head, problem),
            None => Err(problem),
        };
        match accepted {
            Ok(chain) => {
                let damage = failed.iter().map(Damage::of_error).collect();
                return Ok(chain.with_old_damage(dir, &listing, damage).doubting(dir, no_head));
            }
            Err(problem) => failed = failed.or(problem),
        }
    }
    Err(failed.unwrap_or_else(|| missing(&place::entry(dir, 0), "the table's log begins with it")))
}

/// The state of a checkpoint, if it is sound and of this history.
fn begin_at(dir: &Path, version: u64, listing: &Listing) -> Result<LogState, LakeError> {
    let path = place::checkpoint(dir, version);
    let bytes = regular::read(&path)?;
    let sealed = bytes.clone();
    let state = match checkpoint::decode(&path, sealed, version) {
        Ok(state) => state,
        Err(error) => {
            let stated = checkpoint::configuration_of(bytes);
            let found = stated.map(|mut stated| stated.remove(LAYOUT_PROPERTY));
            return Err(match found {
                Some(found) if found.as_deref() != Some(LAYOUT) => {
                    LakeError::Layout { dir: dir.to_owned(), found }
                }
                _ => error,
            });
        }
    };
    if listing.entries.contains(&version)
        && let Ok(entry) = read_entry(&place::entry(dir, version))
        && entry.info.version == version
        && entry.info.seal != state.seal
    {
        return Err(LakeError::damaged(&path, "it does not belong to the history of this log"));
    }
    Ok(state)
}

/// Applies all entries that follow: how far they go, and why they go no further where there is more.
fn go_on(
    dir: &Path,
    mut state: LogState,
    listing: &Listing,
) -> (Option<LogState>, Option<LakeError>) {
    loop {
        let is_new = state.metadata.id.is_empty();
        let next = if is_new { 0 } else { state.version + 1 };
        let path = place::entry(dir, next);
        let followed = match read_entry(&path) {
            Ok(entry) => state.follow(&path, entry),
            Err(error) if error.is_not_found() => {
                let later = listing.entries.range(next..).next();
                let problem = match later {
                    _ if is_new => Some(missing(&path, "the table's log begins with it")),
                    Some(later) => {
                        Some(missing(&path, &format!("entry {later} of the log is there")))
                    }
                    None => None,
                };
                return ((!is_new).then_some(state), problem);
            }
            Err(error) => Err(foreign_or(dir, &path, error)),
        };
        if let Err(error) = followed {
            return ((!is_new).then_some(state), Some(error));
        }
    }
}

/// Checks the end of a history against the head and what lies behind it. The error says why it is not to be taken, if
/// there is more to say than that.
fn accept(
    dir: &Path,
    state: LogState,
    checkpoint: Option<u64>,
    listing: &Listing,
    head: Option<Head>,
    problem: Option<LakeError>,
) -> Result<Chain, Option<LakeError>> {
    let path = place::entry(dir, state.version + 1);
    match head {
        Some(head) if head.version > state.version => {
            let problem = problem.unwrap_or_else(|| {
                let head_path = place::head(dir);
                let head_path = head_path.display();
                let what =
                    format!("the head of the table, `{head_path}`, is at entry {}", head.version);
                missing(&path, &what)
            });
            // With a later entry, too, it is a gap: to end there would leave out more than the newest versions.
            let is_gap = listing.entries.range(state.version + 2..).next().is_some()
                || listing.checkpoints.range(state.version + 1..).next().is_some();
            if is_gap || !is_of_file(&problem) {
                return Err(Some(problem));
            }
            let mut damage = Damage::of_error(&problem);
            let (first, last) = (state.version + 1, head.version);
            damage.what =
                format!("{}; versions {first} to {last} of the table cannot be read", damage.what);
            let doubt = Some(Doubt::Lost(damage));
            return Ok(Chain::of(state, checkpoint, listing, Some(head), doubt));
        }
        Some(head) if head.version == state.version && head.seal != state.seal => {
            let path = place::entry(dir, state.version);
            return Err(Some(LakeError::damaged(&path, "it is not the entry that was committed")));
        }
        _ => {}
    }
    let problem = problem.or_else(|| {
        let beyond = listing.checkpoints.range(state.version + 1..).next()?;
        Some(missing(&path, &format!("there is a checkpoint of version {beyond}")))
    });
    let doubt = match problem {
        None => None,
        // Everything up to the head is there, and what cannot be followed comes behind it.
        Some(problem) if head.is_some() && is_of_file(&problem) => {
            Some(Doubt::Beyond(Damage::of_error(&problem)))
        }
        Some(problem) => return Err(Some(problem)),
    };
    Ok(Chain::of(state, checkpoint, listing, head, doubt))
}

/// Whether an error is about the content of a file, and not about who reads it.
fn is_of_file(error: &LakeError) -> bool {
    match error {
        LakeError::Damaged { .. } | LakeError::Layout { .. } => true,
        LakeError::Io { .. } => !error.is_of_reader(),
        _ => false,
    }
}

impl Chain {
    fn of(
        state: LogState,
        checkpoint: Option<u64>,
        listing: &Listing,
        head: Option<Head>,
        doubt: Option<Doubt>,
    ) -> Self {
        let first = listing.entries.first().copied().unwrap_or(state.version);
        Self { state, checkpoint, first, head, damage: Vec::new(), doubt }
    }

    /// Adds what is wrong with names that were not needed: holes, and a hint that points nowhere.
    fn with_old_damage(mut self, dir: &Path, listing: &Listing, damage: Vec<Damage>) -> Self {
        self.damage = damage;
        self.damage.extend(self.doubt.iter().map(Doubt::damage).cloned());
        let needed = self.checkpoint.map_or(0, |version| version + 1);
        let holes = (self.first..needed).filter(|version| !listing.entries.contains(version));
        for version in holes.take(DAMAGE_MAX) {
            self.damage.push(Damage::of_file(
                place::entry(dir, version),
                "is missing: a checkpoint covers it, so only versions of the table before it cannot be read",
            ));
        }
        match hint(dir) {
            Ok(Some(version)) if !listing.checkpoints.contains(&version) => {
                // The writer may have replaced both while they were looked at.
                if Listing::of(dir).is_ok_and(|again| !again.checkpoints.contains(&version)) {
                    let path = place::checkpoint(dir, version);
                    let what = "is missing, though `_last_checkpoint` names it";
                    self.damage.push(Damage::of_file(path, what));
                }
            }
            Ok(None) if self.checkpoint.is_some() => {
                let path = place::last_checkpoint(dir);
                self.damage.push(Damage::of_file(path, "is missing, though there are checkpoints"));
            }
            Ok(_) => {}
            Err(what) => self.damage.push(Damage::of_file(place::last_checkpoint(dir), what)),
        }
        self
    }

    /// A table has a head before its first commit; only damage, or a copy without it, has none.
    fn doubting(mut self, dir: &Path, unreadable: Option<Damage>) -> Self {
        let path = place::head(dir);
        let what = match (self.head, unreadable) {
            (Some(head), _) if self.is_of_this_history(dir, head) => return self,
            (Some(_), _) => "it is the head of another table or history".to_owned(),
            (None, Some(damage)) => damage.what,
            // The moment in which a table is made.
            (None, None) if self.state.version == 0 && !has_data(dir) => return self,
            (None, None) => "the file is missing".to_owned(),
        };
        self.head = None;
        let what = format!("{what}, so nothing proves that the newest entries are there");
        let damage = Damage::of_file(path, what);
        self.damage.push(damage.clone());
        self.doubt = self.doubt.or(Some(Doubt::NoHead(damage)));
        self
    }

    /// Whether the entry that a head names is in this history; as far as it can be seen, for it may have expired.
    fn is_of_this_history(&self, dir: &Path, head: Head) -> bool {
        if head.version >= self.state.version {
            return true;
        }
        read_entry(&place::entry(dir, head.version)).map_or(true, |entry| {
            entry.info.version != head.version || entry.info.seal == head.seal
        })
    }

    /// The proof that the log is whole, where there is one: a head that it reaches, or the newest version that this very
    /// process knew to be durable. A table that is being made has no head, and nothing to lose.
    pub(crate) fn whole(&self, durable: Option<u64>) -> Option<Whole> {
        let reaches = durable.is_some_and(|durable| durable <= self.state.version);
        let is_whole = match self.doubt {
            None => true,
            Some(Doubt::NoHead(_)) => reaches,
            Some(Doubt::Lost(_) | Doubt::Beyond(_)) => false,
        };
        is_whole.then_some(Whole(()))
    }

    /// Reads the entries that a checkpoint covers, at most the newest `entries_max`, and the older checkpoints among
    /// them, and adds what is damaged there.
    pub(crate) fn verify_old(&mut self, dir: &Path, entries_max: u64) -> Result<(), LakeError> {
        let listing = Listing::of(dir)?;
        let Some(checkpoint) = self.checkpoint else { return Ok(()) };
        let oldest = self.first.max(checkpoint.saturating_sub(entries_max));
        let mut found = Vec::new();
        // From the checkpoint back: each entry says which one it follows.
        let mut expected = None::<Seal>;
        for version in listing.entries.range(oldest..=checkpoint).rev() {
            let path = place::entry(dir, *version);
            expected = match read_entry(&path) {
                Ok(entry) if entry.info.version != *version => {
                    let what = format!("it is entry {} under another name", entry.info.version);
                    found.push(Damage::of_file(path, what));
                    None
                }
                Ok(entry) if expected.is_some_and(|seal| seal != entry.info.seal) => {
                    found.push(Damage::of_file(
                        path,
                        "it is not the one that the next entry follows",
                    ));
                    None
                }
                Ok(entry) => Some(entry.info.previous),
                Err(error) => {
                    found.push(Damage::of_error(&error));
                    None
                }
            };
            if !listing.entries.contains(&version.saturating_sub(1)) {
                expected = None;
            }
        }
        for version in listing.checkpoints.range(oldest..checkpoint) {
            if let Err(error) = begin_at(dir, *version, &listing) {
                found.push(Damage::of_error(&error));
            }
        }
        found.retain(|one| !self.damage.iter().any(|known| known.path == one.path));
        if !found.is_empty() {
            // A writer may have deleted what had expired while it was read, from the oldest on.
            let again = Listing::of(dir)?;
            found.retain(|one| one.path.exists() || !again.is_past(&one.path));
        }
        self.damage.extend(found.into_iter().take(DAMAGE_MAX));
        Ok(())
    }
}

/// The version that `_last_checkpoint` names; the error says what is wrong with the file.
fn hint(dir: &Path) -> Result<Option<u64>, String> {
    let read = regular::if_there(regular::read(&place::last_checkpoint(dir)));
    let Some(bytes) = read.map_err(|error| Damage::of_error(&error).what)? else { return Ok(None) };
    parse_hint(&bytes).map(Some).ok_or_else(|| "it does not have its own checksum".to_owned())
}

/// The content of `_last_checkpoint`.
pub(crate) fn hint_text(version: u64, actions: usize) -> String {
    let head = format!(r#"{{"version":{version},"size":{actions}"#);
    format!(r#"{head},"nengliu":"{:08x}"}}"#, crc32c::crc32c(head.as_bytes()))
}

fn parse_hint(bytes: &[u8]) -> Option<u64> {
    let hint: Value = serde_json::from_slice(bytes).ok()?;
    let (version, size) = (hint["version"].as_u64()?, hint["size"].as_u64()?);
    (hint_text(version, usize::try_from(size).ok()?).as_bytes() == bytes).then_some(version)
}

/// Reads one entry, proved by its seal.
pub(crate) fn read_entry(path: &Path) -> Result<Entry, LakeError> {
    decode(path, &regular::read(path)?)
}

/// An entry without a seal may be of a program that makes none.
fn foreign_or(dir: &Path, path: &Path, error: LakeError) -> LakeError {
    let Ok(Ok(text)) = regular::read(path).map(String::from_utf8) else { return error };
    if text.contains(r#""seal":""#) {
        return error;
    }
    let metadata = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|action| action.get("metaData").cloned());
    match metadata {
        Some(metadata) => {
            let found = metadata["configuration"][LAYOUT_PROPERTY].as_str().map(str::to_owned);
            LakeError::Layout { dir: dir.to_owned(), found }
        }
        None => error,
    }
}

fn missing(path: &Path, evidence: &str) -> LakeError {
    LakeError::damaged(path, format!("the file is missing, though {evidence}"))
}
