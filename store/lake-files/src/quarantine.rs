//! Live data files that cannot be read, and the note of them beside the table, `_nengliu/damaged.json`.
//!
//! A file in quarantine stays where it is, as evidence, and stays live: its rows are named as lost to whoever reads. No
//! merge touches it. It is read again once it is another file or has another length or date than before, and once an
//! hour; when all its checksums are right, for example because it was put back from a backup, it leaves the quarantine.
//!
//! The note serves the next start of the writer and `nengliu quarantine list`. Readers take no notice of it: they prove
//! each file themselves. So a note that is lost or damaged costs nothing but time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use model::Timestamp;
use serde_json::{Value, json};

use crate::disk::{Disk, IfThere, parent, publish};
use crate::lock::place;
use crate::{LakeError, regular};

/// Time after which a file in quarantine is read again although it looks the same: the disk may have recovered.
pub const READ_AGAIN_AFTER: Duration = Duration::from_hours(1);
/// Files that are looked at in one call, so that thousands of missing files slow down no commit.
const LOOKS_MAX: usize = 16;
/// Version of the note.
const VERSION: u64 = 1;

/// What a directory says of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Look {
    /// `None` where there is no file.
    pub fn at(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let modified = (found.mtime(), found.mtime_nsec());
        Some(Self { inode: found.ino(), bytes: found.len(), modified })
    }
}

/// What is noted of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// What is wrong with it.
    pub what: String,
    /// When it was found.
    pub since: Timestamp,
}

#[derive(Debug)]
struct Held {
    noted: Noted,
    look: Option<Look>,
    /// Monotonic time from which on it is read again, however it looks.
    again_at: Duration,
}

/// The files, by name.
#[derive(Debug, Default)]
pub struct Quarantine {
    held: BTreeMap<String, Held>,
    /// Whether the note says something else than this.
    is_changed: bool,
    last_look: Option<String>,
}

impl Quarantine {
    /// How many.
    pub fn count(&self) -> usize {
        self.held.len()
    }

    /// Whether a file is in it.
    pub fn holds(&self, name: &str) -> bool {
        self.held.contains_key(name)
    }

    /// Names and what is wrong.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Noted)> {
        self.held.iter().map(|(name, held)| (name.as_str(), &held.noted))
    }

    /// Takes over what a note says; such a file is read at the next occasion.
    pub fn adopt(&mut self, notes: BTreeMap<String, Noted>) {
        for (name, noted) in notes {
            self.held.entry(name).or_insert(Held { noted, look: None, again_at: Duration::ZERO });
        }
    }

    /// Puts a file in, or notes that it still is as it was. Returns whether it is new here.
    pub fn hold(
        &mut self,
        name: &str,
        noted: Noted,
        look: Option<Look>,
        again_at: Duration,
    ) -> bool {
        if let Some(held) = self.held.get_mut(name) {
            (held.look, held.again_at) = (look, again_at);
            if held.noted.what != noted.what {
                held.noted.what = noted.what;
                self.is_changed = true;
            }
            return false;
        }
        self.held.insert(name.to_owned(), Held { noted, look, again_at });
        self.is_changed = true;
        true
    }

    /// Lets a file go; whether it was here.
    pub fn release(&mut self, name: &str) -> bool {
        let was_held = self.held.remove(name).is_some();
        self.is_changed |= was_held;
        was_held
    }

    /// Forgets what the table names no longer.
    pub fn retain(&mut self, is_live: impl Fn(&str) -> bool) {
        let before = self.held.len();
        self.held.retain(|name, _| is_live(name));
        self.is_changed |= self.held.len() < before;
    }

    /// A file that is to be read again, of the next ones in turn.
    pub fn due(&mut self, now: Duration, look: impl Fn(&str) -> Option<Look>) -> Option<String> {
        for _ in 0..self.held.len().min(LOOKS_MAX) {
            let after = self.last_look.take().map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.held.range::<String, _>((after, Bound::Unbounded)).next();
            let (name, held) = next.or_else(|| self.held.first_key_value())?;
            self.last_look = Some(name.clone());
            if held.again_at <= now || held.look != look(name) {
                return self.last_look.clone();
            }
        }
        None
    }

    /// What the note must say now; `None` when it does.
    pub fn unsaid(&self) -> Option<BTreeMap<String, Noted>> {
        let noted = |(name, held): (&String, &Held)| (name.clone(), held.noted.clone());
        self.is_changed.then(|| self.held.iter().map(noted).collect())
    }

    /// That the note is not to be had, so that it is made again.
    pub fn write_again(&mut self) {
        self.is_changed = true;
    }

    /// That the note says all of this now.
    pub fn said(&mut self) {
        self.is_changed = false;
    }
}

/// Reads the note of the table in `dir`; empty where there is none.
pub fn read(dir: &Path) -> Result<BTreeMap<String, Noted>, LakeError> {
    let path = place::damaged(dir);
    let Some(bytes) = regular::if_there(regular::read(&path))? else { return Ok(BTreeMap::new()) };
    let noted = std::str::from_utf8(&bytes).ok().and_then(parse);
    noted.ok_or_else(|| LakeError::damaged(&path, "it does not have its own checksum"))
}

/// Replaces the note durably; where there is nothing to note, there is no file.
pub fn write(
    disk: &dyn Disk,
    dir: &Path,
    noted: &BTreeMap<String, Noted>,
) -> Result<(), LakeError> {
    let path = place::damaged(dir);
    if !noted.is_empty() {
        let text = text(noted);
        return publish(disk, &path, text.as_bytes(), IfThere::Replace)
            .map_err(LakeError::io("write", &path));
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LakeError::io("remove", &path)(error))
        }
        _ => disk.sync_directory(parent(&path)).map_err(LakeError::io("sync", parent(&path))),
    }
}

/// One file a line, and at the end the CRC-32C of everything before it.
fn text(noted: &BTreeMap<String, Noted>) -> String {
    let line = |(name, noted): (&String, &Noted)| {
        json!({ "file": name, "since_us": noted.since.0, "what": noted.what }).to_string()
    };
    let lines: Vec<String> = noted.iter().map(line).collect();
    let head = format!("{{\"v\":{VERSION},\"files\":[\n{}\n]", lines.join(",\n"));
    format!("{head},\"crc\":\"{:08x}\"}}\n", crc32c::crc32c(head.as_bytes()))
}

fn parse(found: &str) -> Option<BTreeMap<String, Noted>> {
    let note: Value = serde_json::from_str(found).ok()?;
    let files = note["files"].as_array()?.iter().map(|file| {
        let what = file["what"].as_str()?.to_owned();
        let since = Timestamp(file["since_us"].as_i64()?);
        Some((file["file"].as_str()?.to_owned(), Noted { what, since }))
    });
    let noted = files.collect::<Option<_>>()?;
    (text(&noted) == found).then_some(noted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(what: &str) -> Noted {
        Noted { what: what.to_owned(), since: Timestamp(7) }
    }

    #[test]
    fn a_note_is_what_it_was_or_damaged() {
        let files = [("a.parquet", "it is \"cut\""), ("b.parquet", "the file is missing")];
        let all = files.map(|(name, what)| (name.to_owned(), noted(what))).into();
        let text = text(&all);
        assert_eq!(parse(&text), Some(all));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(parse), None, "bit {bit}");
        }
    }

    #[test]
    fn many_files_are_looked_at_in_turn_and_a_few_at_a_time() {
        let mut quarantine = Quarantine::default();
        let count = LOOKS_MAX * 2 + 5;
        for number in 0..count {
            let name = format!("{number:03}");
            assert!(quarantine.hold(&name, noted("cut"), None, READ_AGAIN_AFTER));
        }
        let looks = std::cell::Cell::new(0);
        let mut turns = 0;
        let found = loop {
            looks.set(0);
            let due = quarantine.due(Duration::ZERO, |name| {
                looks.set(looks.get() + 1);
                let back = Look { inode: 1, bytes: 2, modified: (3, 4) };
                (name == format!("{:03}", count - 1)).then_some(back)
            });
            assert!(looks.get() <= LOOKS_MAX);
            turns += 1;
            if let Some(due) = due {
                break due;
            }
        };
        assert_eq!((found, turns), (format!("{:03}", count - 1), 3));
        // After the time each one is due, whatever it looks like.
        assert_eq!(quarantine.due(READ_AGAIN_AFTER, |_| None).as_deref(), Some("000"));
        quarantine.said();
        assert!(!quarantine.hold("001", noted("cut"), None, READ_AGAIN_AFTER));
        assert_eq!(quarantine.unsaid(), None, "nothing new");
        assert!(quarantine.release("001") && !quarantine.release("001"));
        assert_eq!(quarantine.unsaid().map(|all| all.len()), Some(count - 1));
    }
}
