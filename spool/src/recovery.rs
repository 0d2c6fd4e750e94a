//! From what a crash left to a log that can go on: a pure function of the bytes (I6), which may be repeated and killed
//! at any point (I7). Must never touch a file before it knows that all versions are its own.

use std::collections::VecDeque;

use model::frame::hash_of_log_start;
use model::host::Entropy;
use model::record::{Loss, LossReason};
use model::{FrameHeader, LogId, Sequence};

use crate::config::{SEGMENT_BYTES_MAX, SpoolConfig};
use crate::contents::{Contents, contents_of};
use crate::cursor::{Cursor, Cursors};
use crate::disk::{Disk, LockError, StdDisk};
use crate::error::SpoolError;
use crate::losses::{LOSSES_MAX, LossCount, LossList, loss_of};
use crate::read::{ReadCache, load};
use crate::segment::{
    SEGMENT_HEADER_BYTES, SEGMENT_VERSION, SPARE_NAME, Salts, Segment, SegmentHeader, Versioned,
    create_spare, parse_name,
};
use crate::{Draft, OpenSegment, Spool, to_u64, to_usize};

/// What was found when the spool was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whether the log was made just now.
    pub is_new: bool,
    /// Last sequence found durable, before anything was written.
    pub durable: Sequence,
    /// How far the cursor says that the centre has acked.
    pub acked: Sequence,
    /// Bodies of the dictionaries in the newest readable segment, distinct, latest last.
    pub dictionaries: Vec<Vec<u8>>,
    /// Body of the latest HISTORY record that does not stand behind damage: its marks are not ahead of durable samples.
    pub history: Option<Vec<u8>>,
    /// Damage found now; each range has a LOSS record.
    pub losses: Vec<Loss>,
    /// What was cut off at the end: a commit that did not finish.
    pub torn_tail: Option<TornTail>,
    /// Whether the disk has less free space than the quota may still need.
    pub space_short: bool,
}

/// The end of a commit that did not finish; no caller was ever told that it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// First sequence cut off; the next record gets it again.
    pub first: Sequence,
    /// What could still be read in headers.
    pub readable: LossCount,
}

impl Spool {
    /// Opens the spool in the directory of `config`, or makes it.
    pub fn open_dir(
        config: SpoolConfig,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Recovery), SpoolError> {
        config.check()?;
        let disk = StdDisk::new(&config.dir)
            .map_err(SpoolError::io(format!("making `{}`", config.dir_text())))?;
        Self::open(Box::new(disk), config, entropy)
    }

    /// Opens the spool on `disk`, or makes it.
    pub fn open(
        disk: Box<dyn Disk>,
        config: SpoolConfig,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Recovery), SpoolError> {
        config.check()?;
        let lock = disk.lock().map_err(|error| match error {
            LockError::Held { holder } => SpoolError::Locked { dir: config.dir_text(), holder },
            LockError::Io(source) => {
                SpoolError::io(format!("locking `{}`", config.dir_text()))(source)
            }
        })?;
        let names = disk.list().map_err(SpoolError::io("listing the spool directory"))?;
        let (segments, mut log_id, prev_hash) = survey(disk.as_ref(), &names)?;
        let cursors = Cursors::load(disk.as_ref(), &names)?;
        log_id = log_id.or(cursors.newest().map(|cursor| cursor.log_id));
        // Nothing was touched up to here.

        let is_new = segments.is_empty() && log_id.is_none();
        let log_id = log_id.unwrap_or_else(|| {
            let mut bits = [0; 16];
            entropy.fill(&mut bits);
            LogId(bits)
        });
        let cursor = cursors.newest().filter(|cursor| cursor.log_id == log_id);
        let acked = cursor.map_or(Sequence(0), |cursor| cursor.acked);
        let mut spool = Self {
            disk,
            _lock: lock,
            log_id,
            salts: Salts::new(entropy),
            segments,
            open: None,
            spare: None,
            retired: Vec::new(),
            cursors,
            losses: LossList::new(cursor.map(|cursor| cursor.settled).unwrap_or_default()),
            preamble: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            durable: Sequence(0),
            acked,
            last_hash: hash_of_log_start(log_id),
            cache: ReadCache::default(),
            failing: None,
            refused: LossCount::default(),
            write_errors: 0,
            written_bytes: 0,
            longest_bytes: 0,
            is_ready: false,
            config,
        };
        let space_short = spool.check_space(is_new)?;
        spool.adopt_spare(&names)?;
        let mut recovery = Recovery {
            is_new,
            durable: Sequence(0),
            acked,
            dictionaries: Vec::new(),
            history: None,
            losses: Vec::new(),
            torn_tail: None,
            space_short,
        };
        if is_new {
            spool.start_segment_or_fail()?;
        } else {
            spool.recover(cursor, prev_hash, &mut recovery)?;
        }
        if let Err(error) = spool.write_cursor() {
            tracing::warn!(error = error.full_text(), "spool cursor not written");
        }
        spool.is_ready = true;
        Ok((spool, recovery))
    }

    /// A new spool must fit; one that exists goes on with the space there is.
    fn check_space(&self, is_new: bool) -> Result<bool, SpoolError> {
        let free = self.disk.free_bytes().map_err(SpoolError::io("asking for free space"))?;
        let quota = self.config.quota_bytes;
        if free.saturating_add(self.file_bytes()) >= quota {
            return Ok(false);
        }
        if is_new {
            return Err(SpoolError::NoSpace { quota, free, dir: self.config.dir_text() });
        }
        tracing::warn!(free, quota, "the disk has less free space than the spool quota may need");
        Ok(true)
    }

    fn adopt_spare(&mut self, names: &[String]) -> Result<(), SpoolError> {
        if !names.iter().any(|name| name == SPARE_NAME) {
            return Ok(());
        }
        let file =
            self.disk.open(SPARE_NAME).map_err(SpoolError::io("opening the next segment"))?;
        let bytes = self.config.segment_bytes;
        let fits = self.file_bytes() + bytes <= self.config.quota_bytes;
        if fits && file.len().is_ok_and(|length| length == bytes) {
            self.spare = Some(file);
            return Ok(());
        }
        drop(file);
        self.disk.remove(SPARE_NAME).map_err(SpoolError::io("removing the part of a segment"))
    }

    fn recover(
        &mut self,
        cursor: Option<Cursor>,
        prev_hash: Option<[u8; 32]>,
        recovery: &mut Recovery,
    ) -> Result<(), SpoolError> {
        let mut must_change = true;
        let mut damage = Vec::new();
        let mut cut = None;
        if let Some(newest) = self.segments.back() {
            let name = newest.name();
            let file =
                self.disk.open(&name).map_err(SpoolError::io(format!("opening `{name}`")))?;
            let bytes = load(file.as_ref(), newest.bytes)
                .map_err(SpoolError::io(format!("reading `{name}`")))?;
            let mut contents =
                contents_of(&bytes, newest, None, prev_hash.unwrap_or(self.last_hash));
            must_change = !contents.damage.is_empty();
            // A killed process may have left frames in the page cache only (I1).
            let end = (contents.end_offset, newest.bytes);
            let file = match file.sync_data() {
                Ok(()) => file,
                Err(error) => {
                    tracing::warn!(%error, "fdatasync failed at start; the newest segment is copied");
                    self.copy_newest(&name, &bytes, end.0)?
                }
            };
            self.disk.sync_dir().map_err(SpoolError::io("fsync of the spool directory"))?;
            self.look_back(&mut contents);
            (self.durable, self.last_hash) = (contents.end, contents.hash);
            self.open = Some(OpenSegment { file, offset: contents.end_offset });
            self.adopt(&contents, recovery);
            (damage, cut) = (contents.damage, contents.cut);
        }
        let durable = cursor.map_or(Sequence(0), |cursor| cursor.durable.max(cursor.acked));
        if durable > self.durable {
            // Frames that were durable are gone: that is damage, and their sequences must not be used again (I2).
            damage.push((self.durable.next(), durable, cut.take().unwrap_or_default()));
            self.durable = durable;
            must_change = true;
        }
        recovery.torn_tail = cut.map(|headers| {
            let samples = headers.iter().map(|header| u64::from(header.samples)).sum();
            let readable = LossCount { frames: to_u64(headers.len()), samples };
            TornTail { first: self.durable.next(), readable }
        });
        self.acked = self.acked.min(self.durable);
        recovery.durable = self.durable;
        recovery.losses = self.add_damage(damage);
        if must_change {
            // What can be read stays as it is; the LOSS records stand in the next segment.
            self.open = None;
            if let Err(error) = self.start_segment_or_fail() {
                tracing::error!(
                    error = error.full_text(),
                    "spool cannot write; records wait in memory"
                );
            }
        } else {
            self.after_start();
        }
        Ok(())
    }

    /// Where the newest segment is damaged, its preamble may be: what it should have said stands in the one before.
    fn look_back(&self, contents: &mut Contents) {
        let mut is_damaged = !contents.damage.is_empty();
        for index in (0..self.segments.len().saturating_sub(1)).rev() {
            let Some(segment) = self.segments.get(index).filter(|_| is_damaged) else { break };
            let bytes =
                self.disk.open(&segment.name()).and_then(|file| load(file.as_ref(), segment.bytes));
            let last = Some(self.last_of(index));
            let older = contents_of(&bytes.unwrap_or_default(), segment, last, [0; 32]);
            contents.dictionaries.splice(0..0, older.dictionaries);
            contents.losses.splice(0..0, older.losses);
            contents.history = contents.history.take().or(older.history);
            is_damaged = !older.damage.is_empty();
        }
    }

    /// Takes over what the records of the newest segment say.
    fn adopt(&mut self, contents: &Contents, recovery: &mut Recovery) {
        for (sequence, loss) in &contents.losses {
            if *sequence > self.acked {
                self.losses.restore(loss.clone(), *sequence);
            }
        }
        let mut dictionaries: Vec<&Draft> = Vec::new();
        for draft in &contents.dictionaries {
            dictionaries.retain(|known| known.body != draft.body);
            dictionaries.push(draft);
        }
        recovery.dictionaries = dictionaries.iter().map(|draft| draft.body.clone()).collect();
        recovery.history = contents.history.as_ref().map(|draft| draft.body.clone());
        // Until the caller sets it: a new segment must not be without dictionaries.
        let preamble = dictionaries.into_iter().chain(&contents.history).cloned().collect();
        if let Err(error) = self.set_preamble(preamble) {
            tracing::warn!(%error, "dictionaries do not fit the new segment size");
        }
    }

    /// Adds the damage that is not known yet, as far as the list has room; the rest is found when it is read.
    fn add_damage(&mut self, damage: Vec<(Sequence, Sequence, Vec<FrameHeader>)>) -> Vec<Loss> {
        let mut added = Vec::new();
        for (first, last, headers) in damage {
            for (first, last) in self.losses.uncovered(first.max(self.acked.next()), last) {
                if self.losses.len() + 1 >= LOSSES_MAX {
                    return added;
                }
                tracing::error!(
                    first = first.0,
                    last = last.0,
                    "spool records are damaged and given up"
                );
                let loss = loss_of(first, last, LossReason::Corrupt, &headers);
                self.losses.add(loss.clone());
                added.push(loss);
            }
        }
        added
    }

    /// Writes what was read to another file: a second fdatasync on the first one would lie.
    fn copy_newest(
        &mut self,
        name: &str,
        bytes: &[u8],
        end: u64,
    ) -> Result<Box<dyn crate::DiskFile>, SpoolError> {
        self.spare = None;
        let what = || format!("copying `{name}`");
        let file = create_spare(self.disk.as_ref(), to_u64(bytes.len()))?;
        let valid = bytes.get(..to_usize(end)).unwrap_or(bytes);
        file.write_all_at(valid, 0).map_err(SpoolError::io(what()))?;
        file.sync_data().map_err(SpoolError::io(what()))?;
        self.disk.rename(SPARE_NAME, name).map_err(SpoolError::io(what()))?;
        Ok(file)
    }
}

/// The segments by their headers, oldest first, the log they belong to, and the hash before the newest one.
#[expect(clippy::type_complexity, reason = "three results of one pass over the headers, used once")]
fn survey(
    disk: &dyn Disk,
    names: &[String],
) -> Result<(VecDeque<Segment>, Option<LogId>, Option<[u8; 32]>), SpoolError> {
    let mut firsts: Vec<(Sequence, &String)> =
        names.iter().filter_map(|name| Some((parse_name(name)?, name))).collect();
    firsts.sort_unstable();
    let mut segments = VecDeque::with_capacity(firsts.len());
    let mut newest: Option<(LogId, Option<[u8; 32]>)> = None;
    for (first, name) in firsts.into_iter().rev() {
        let file = disk.open(name).map_err(SpoolError::io(format!("opening `{name}`")))?;
        let bytes = load(file.as_ref(), SEGMENT_HEADER_BYTES).unwrap_or_default();
        let length = file.len().map_err(SpoolError::io(format!("reading `{name}`")))?;
        let header = match SegmentHeader::decode(&bytes) {
            Versioned::Valid(header) => Some(header),
            Versioned::Unknown(found) => {
                let (file, expected) = (name.clone(), SEGMENT_VERSION);
                return Err(SpoolError::Version { file, found, expected });
            }
            Versioned::Damaged => None,
        };
        if let Some(header) = header {
            let is_newest = segments.is_empty();
            let (expected, _) =
                *newest.get_or_insert((header.log_id, is_newest.then_some(header.prev_hash)));
            let found = header.log_id;
            if found != expected {
                return Err(SpoolError::Foreign { file: name.clone(), found, expected });
            }
        }
        let header = header.filter(|header| header.first == first);
        let length = header.map_or(length, |header| header.segment_bytes).min(SEGMENT_BYTES_MAX);
        segments.push_front(Segment::new(first, length, header.map(|header| header.salt)));
    }
    Ok((segments, newest.map(|(log_id, _)| log_id), newest.and_then(|(_, hash)| hash)))
}
