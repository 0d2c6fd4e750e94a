//! Whether the log entries since the last checkpoint are still the files that were read or written: by their identity,
//! length and times, so that a commit asks for this at the cost of one `stat` each. Bits that a disk flips by itself change
//! none of these; they are found by whoever reads the entry.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::chain::{self, Doubt};
use crate::damage::Damage;
use crate::lock::place;

/// Entries that are looked at before a commit, the newest ones: checkpoints of a very large table are further apart.
const ENTRIES_MAX: u64 = 1_000;

/// A file as it was: device, inode, length, seconds and nanoseconds of its last change. That time is set by the system alone,
/// so a copy that keeps all other times is noticed, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, u64, i64, i64);

impl Stamp {
    fn of(dir: &Path, version: u64) -> Option<Self> {
        let file = fs::metadata(place::entry(dir, version)).ok()?;
        Some(Self(file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
    }
}

/// The entries behind the newest checkpoint, as their files were when they were proved.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<(u64, Option<Stamp>)>);

impl History {
    /// The entries behind `checkpoint` up to `newest`, which are proved.
    pub(crate) fn of(dir: &Path, checkpoint: Option<u64>, newest: u64) -> Self {
        let first = checkpoint.map_or(0, |version| version + 1);
        let first = first.max((newest + 1).saturating_sub(ENTRIES_MAX));
        Self((first..=newest).map(|version| (version, Stamp::of(dir, version))).collect())
    }

    /// An entry that was written just now.
    pub(crate) fn push(&mut self, dir: &Path, version: u64) {
        self.0.push_back((version, Stamp::of(dir, version)));
        if self.0.len() as u64 > ENTRIES_MAX {
            self.0.pop_front();
        }
    }

    /// What is wrong with the entries, where one is another file than it was. One that was only touched, or put back as it
    /// was, proves itself and is as good as before.
    pub(crate) fn check(&mut self, dir: &Path) -> Option<Damage> {
        let is_same = |(version, stamp): &(u64, Option<Stamp>)| Stamp::of(dir, *version) == *stamp;
        if self.0.iter().all(is_same) {
            return None;
        }
        match chain::read(dir) {
            Err(error) => return Some(Damage::of_error(&error)),
            Ok(chain) => {
                if let Some(Doubt::Beyond(damage) | Doubt::Lost(damage)) = chain.doubt {
                    return Some(damage);
                }
            }
        }
        for (version, stamp) in &mut self.0 {
            *stamp = Stamp::of(dir, *version);
        }
        None
    }

    /// A checkpoint holds all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
