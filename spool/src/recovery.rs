//! From what a crash left to a log that can go on: a pure function of the bytes (I6), which may be repeated and killed
//! at any point (I7).

use std::collections::VecDeque;

use model::frame::hash_of_log_start;
use model::host::Entropy;
use model::record::{Loss, LossReason};
use model::{DestinationId, FrameHeader, LogId, Sequence, Timestamp};

use crate::config::{SEGMENT_BYTES_MAX, SpoolConfig};
use crate::contents::{Contents, contents_of};
use crate::cursor::{Cursor, Cursors};
use crate::destination::Destination;
use crate::disk::{Disk, LockError, StdDisk};
use crate::error::SpoolError;
use crate::guard::Guard;
use crate::losses::{LossCount, LossList, LossTotals, loss_of};
use crate::marks::merged;
use crate::read::{ReadCache, load};
use crate::renew::draw_log_id;
use crate::segment::{
    SEGMENT_HEADER_BYTES, SEGMENT_VERSION, SPARE_NAME, Salts, Segment, SegmentHeader, Versioned,
    parse_name,
};
use crate::{Draft, OpenSegment, Spool, to_u64, to_usize};

/// What was found when the spool was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whether the log was made just now.
    pub is_new: bool,
    /// Last sequence found durable, before anything was written.
    pub durable: Sequence,
    /// How far the cursor says that every destination has acked.
    pub acked: Sequence,
    /// Bodies of the dictionaries in the newest readable segment, distinct, latest last.
    pub dictionaries: Vec<Vec<u8>>,
    /// Bodies of the HISTORY records that do not stand behind damage, oldest first: their marks are not ahead of durable
    /// samples.
    pub history: Vec<Vec<u8>>,
    /// First sequence of the newest segment, as it was found.
    pub newest_segment: Sequence,
    /// Latest source time of a sample in it.
    pub newest_sample: Option<Timestamp>,
    /// Damage found now; each range has a LOSS record.
    pub losses: Vec<Loss>,
    /// The sequences that were passed over because the last run did not end in order: they may have left. They have a
    /// LOSS record `skipped`.
    pub skipped: Option<(Sequence, Sequence)>,
    /// The log whose frames are in this one now: its guard was missing, or it was being taken over when the last run
    /// ended.
    pub renewed_from: Option<LogId>,
    /// What was cut off at the end: a commit that did not finish.
    pub torn_tail: Option<TornTail>,
    /// Whether the disk has less free space than the quota may still need.
    pub space_short: bool,
}

/// The end of a commit that did not finish; no caller was ever told that it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// First sequence cut off.
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
        let survey = survey(disk.as_ref(), &names)?;
        let cursors = Cursors::load(disk.as_ref(), &names)?;
        let guard = Guard::load(disk.as_ref(), &names)?;
        let identity = identify(&guard, &survey, &cursors, entropy)?;
        // Nothing was touched up to here.

        let Identity { log_id, previous, is_new } = identity;
        let of_this = |cursor: &&Cursor| [Some(log_id), previous].contains(&Some(cursor.log_id));
        let cursor = cursors.newest().filter(of_this).cloned();
        let oldest = survey.segments.front().map_or(Sequence(1), |segment| segment.first);
        let (destinations, losses) = destinations_of(&config.destinations, cursor.as_ref(), oldest);
        let mut spool = Self {
            disk,
            _lock: lock,
            log_id,
            salts: Salts::new(entropy),
            segments: survey.segments,
            open: None,
            spare: None,
            has_reserve: false,
            retired: Vec::new(),
            cursors,
            guard,
            previous,
            destinations,
            losses,
            preamble: Vec::new(),
            marks: None,
            found_marks: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            durable: Sequence(0),
            last_frame: Sequence(0),
            last_hash: hash_of_log_start(log_id),
            cache: ReadCache::default(),
            failing: None,
            refused: LossCount::default(),
            write_errors: 0,
            written_bytes: 0,
            longest_bytes: 0,
            is_ready: false,
            is_behind_error: false,
            config,
        };
        spool.adopt_spare(&names)?;
        spool.adopt_reserve(&names)?;
        let space_short = spool.check_space(is_new)?;
        let mut recovery = Recovery {
            is_new,
            durable: Sequence(0),
            acked: spool.acked_by_all(),
            dictionaries: Vec::new(),
            history: Vec::new(),
            newest_segment: spool.newest_segment(),
            newest_sample: None,
            losses: Vec::new(),
            skipped: None,
            renewed_from: previous,
            torn_tail: None,
            space_short,
        };
        if is_new {
            spool.make_first_room()?;
            spool.start_segment_or_fail()?;
        } else {
            spool.recover(cursor.as_ref(), survey.prev_hash, &mut recovery)?;
        }
        if let Err(error) = spool.write_cursor() {
            tracing::warn!(error = error.full_text(), "spool cursor not written");
        }
        spool.is_ready = true;
        Ok((spool, recovery))
    }

    /// A new spool must fit with its reserve; one that exists goes on with the space there is.
    fn check_space(&self, is_new: bool) -> Result<bool, SpoolError> {
        let free = self.disk.free_bytes().map_err(SpoolError::io("asking for free space"))?;
        let (quota, segment) = (self.config.quota_bytes, self.config.segment_bytes);
        let reserve = if is_new && !self.has_reserve { segment } else { 0 };
        if free.saturating_add(self.file_bytes()) >= quota.saturating_add(reserve) {
            return Ok(false);
        }
        if is_new {
            return Err(self.config.no_space(free));
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
        let fits = self.file_bytes() + self.config.segment_bytes <= self.config.quota_bytes;
        if fits && self.may_become_segment(file.as_ref()) {
            self.spare = Some(file);
            return Ok(());
        }
        drop(file);
        self.disk.remove(SPARE_NAME).map_err(SpoolError::io("removing the part of a segment"))
    }

    /// Whether a file has the size of a segment and no header of another log. Such a header would be back if the disk
    /// forgot the one that is written over it, and the whole spool would be refused as a mixture of two.
    pub(crate) fn may_become_segment(&self, file: &dyn crate::DiskFile) -> bool {
        if !file.len().is_ok_and(|length| length == self.config.segment_bytes) {
            return false;
        }
        let bytes = load(file, SEGMENT_HEADER_BYTES).unwrap_or_default();
        match SegmentHeader::decode(&bytes) {
            Versioned::Valid(header) => header.log_id == self.log_id,
            Versioned::Unknown(_) => false,
            Versioned::Damaged => true,
        }
    }

    fn recover(
        &mut self,
        cursor: Option<&Cursor>,
        prev_hash: Option<[u8; 32]>,
        recovery: &mut Recovery,
    ) -> Result<(), SpoolError> {
        let mut damage = Vec::new();
        let mut cut = None;
        let mut must_change = true;
        if let Some(contents) = self.read_newest(prev_hash, recovery)? {
            let counted = cursor.map_or(Sequence(0), |cursor| cursor.durable);
            for (_, loss) in contents.losses.iter().filter(|(at, _)| *at > counted) {
                self.count_refused(loss);
            }
            must_change = !contents.damage.is_empty();
            (damage, cut) = (contents.damage, contents.cut);
        }
        if let Some(cursor) = cursor {
            // What no destination took over, and is gone from the old end of the log.
            damage.push((Sequence(1), Sequence(self.oldest().0.saturating_sub(1)), Vec::new()));
            let acked = cursor.destinations.iter().map(|(known, _)| known.acked).max();
            let durable = cursor.durable.max(acked.unwrap_or_default());
            if durable > self.durable {
                // Frames that were durable are gone: that is damage, and their sequences must not be used again (I2).
                damage.push((self.durable.next(), durable, cut.take().unwrap_or_default()));
                (self.durable, self.last_frame) = (durable, durable);
                must_change = true;
            }
        }
        recovery.torn_tail = cut.map(|headers| {
            let samples = headers.iter().map(|header| u64::from(header.samples)).sum();
            let frames = to_u64(headers.len());
            let readable = LossCount { frames, samples, frames_uncounted: 0 };
            TornTail { first: self.durable.next(), readable }
        });
        for destination in &mut self.destinations {
            destination.acked = destination.acked.min(self.durable);
        }
        recovery.durable = self.durable;
        recovery.losses = self.add_damage(&damage);
        let is_tail_damaged = damage.iter().any(|(_, last, _)| *last == self.durable);
        self.go_on(recovery, must_change, is_tail_damaged);
        Ok(())
    }

    /// Makes the log ready for new frames. What fails here is tried again by each commit; records wait in memory.
    fn go_on(&mut self, recovery: &mut Recovery, mut must_change: bool, is_tail_damaged: bool) {
        let tell = |error: &SpoolError| {
            let error = error.full_text();
            tracing::error!(error, "spool cannot write; records wait in memory");
        };
        if let Some(previous) = self.previous {
            for destination in &mut self.destinations {
                destination.floor = destination.floor.max(destination.acked);
            }
            // Under another `log_id` nothing that left can be mistaken, so no sequence is passed over.
            tracing::warn!(%previous, log_id = %self.log_id, "spool begins again as another log with what it holds");
            if let Err(error) =
                self.renew_as(self.log_id, previous).and_then(|()| self.renew_rest())
            {
                return tell(&error);
            }
        } else {
            // Behind a last frame that cannot be read no chain of hashes goes on, so at least one sequence is passed over:
            // then the LOSS says so, and whoever sees another chain without one knows that it is another spool.
            let least = Sequence(self.durable.0 + u64::from(is_tail_damaged));
            let last = self.guard.bound().max(least);
            if last > self.durable {
                recovery.skipped = Some((self.durable.next(), last));
                must_change |= !self.skip(self.durable.next(), last);
            }
        }
        // What can be read stays as it is. Where it is damaged, the LOSS records stand in the next segment.
        let result = if must_change {
            self.open = None;
            self.start_segment_or_fail()
        } else {
            self.push_losses();
            let result = self.write_pending();
            if let Err(error) = &result {
                self.seal_after(error);
            }
            self.after_start();
            result
        };
        if let Err(error) = result {
            tell(&error);
        }
    }

    /// Passes over sequences that may have left (I2); says whether each destination has room for the LOSS.
    fn skip(&mut self, first: Sequence, last: Sequence) -> bool {
        self.durable = last;
        tracing::warn!(
            first = first.0,
            last = last.0,
            "the last run did not end in order: sequences that may have been sent are passed over"
        );
        let mut has_room = true;
        for (destination, list) in self.destinations.iter().zip(&mut self.losses) {
            for (first, last) in list.uncovered(first.max(destination.acked.next()), last) {
                if list.has_room(1) {
                    list.add(loss_of(first, last, LossReason::Skipped, &[]));
                } else {
                    has_room = false;
                }
            }
        }
        has_room
    }

    /// Reads the newest segment, makes it durable as it was found and opens it for writing.
    fn read_newest(
        &mut self,
        prev_hash: Option<[u8; 32]>,
        recovery: &mut Recovery,
    ) -> Result<Option<Contents>, SpoolError> {
        let Some(newest) = self.segments.back() else { return Ok(None) };
        let name = newest.name();
        let file = self.disk.open(&name).map_err(SpoolError::io(format!("opening `{name}`")))?;
        let bytes = load(file.as_ref(), newest.bytes)
            .map_err(SpoolError::io(format!("reading `{name}`")))?;
        let mut contents = contents_of(&bytes, newest, None, prev_hash.unwrap_or(self.last_hash));
        // A killed process may have left frames in the page cache only (I1).
        let end = contents.end_offset;
        let file = match file.sync_data() {
            Ok(()) => file,
            Err(error) => {
                tracing::warn!(%error, "fdatasync failed at start; the newest segment is copied");
                self.copy_newest(&name, &bytes, end)?
            }
        };
        self.disk.sync_dir().map_err(SpoolError::io("fsync of the spool directory"))?;
        self.look_back(&mut contents);
        (self.durable, self.last_hash) = (contents.end, contents.hash);
        self.last_frame = contents.end;
        self.open = Some(OpenSegment { file, offset: end });
        self.adopt(&contents, recovery);
        Ok(Some(contents))
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
            contents.history.splice(0..0, older.history);
            is_damaged = !older.damage.is_empty();
        }
    }

    /// Takes over what the records of the newest segment say.
    fn adopt(&mut self, contents: &Contents, recovery: &mut Recovery) {
        for (sequence, loss) in &contents.losses {
            for (destination, list) in self.destinations.iter().zip(&mut self.losses) {
                if *sequence <= destination.acked || !loss.concerns(&destination.id) {
                    continue;
                }
                if loss.range().is_some() {
                    list.restore(loss, *sequence);
                }
            }
        }
        let mut dictionaries: Vec<&Draft> = Vec::new();
        for draft in &contents.dictionaries {
            dictionaries.retain(|known| known.body != draft.body);
            dictionaries.push(draft);
        }
        recovery.dictionaries = dictionaries.iter().map(|draft| draft.body.clone()).collect();
        recovery.newest_sample = contents.newest_sample;
        recovery.history = contents.history.iter().map(|draft| draft.body.clone()).collect();
        // Until the caller sets them: a new segment must not be without dictionaries and marks.
        if let Err(error) = self.set_preamble(dictionaries.into_iter().cloned().collect()) {
            tracing::warn!(%error, "dictionaries do not fit the new segment size");
        }
        self.found_marks = merged(&contents.history, self.mark_body_bytes_max());
    }

    /// Adds the damage that is not known yet, as far as the list has room; the rest is found when it is read.
    fn add_damage(&mut self, damage: &[(Sequence, Sequence, Vec<FrameHeader>)]) -> Vec<Loss> {
        let mut added: Vec<Loss> = Vec::new();
        for (destination, list) in self.destinations.iter().zip(&mut self.losses) {
            for (first, last, headers) in damage {
                for (first, last) in list.uncovered((*first).max(destination.acked.next()), *last) {
                    if !list.has_room(1) {
                        break;
                    }
                    let loss = loss_of(first, last, LossReason::Corrupt, headers);
                    list.add(loss.clone());
                    if !added.contains(&loss) {
                        let (first, last) = (first.0, last.0);
                        tracing::error!(first, last, "spool records are damaged and given up");
                        added.push(loss);
                    }
                }
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
        let file = self.make_spare(to_u64(bytes.len()))?;
        let valid = bytes.get(..to_usize(end)).unwrap_or(bytes);
        file.write_all_at(valid, 0).map_err(SpoolError::io(what()))?;
        file.sync_data().map_err(SpoolError::io(what()))?;
        self.disk.rename(SPARE_NAME, name).map_err(SpoolError::io(what()))?;
        Ok(file)
    }
}

/// What the headers of the segments say.
struct Survey {
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The logs that they belong to, with the name of one segment each; that of the newest segment first.
    logs: Vec<(LogId, String)>,
    /// The hash before the newest segment.
    prev_hash: Option<[u8; 32]>,
}

fn survey(disk: &dyn Disk, names: &[String]) -> Result<Survey, SpoolError> {
    let mut firsts: Vec<(Sequence, &String)> =
        names.iter().filter_map(|name| Some((parse_name(name)?, name))).collect();
    firsts.sort_unstable();
    let segments = VecDeque::with_capacity(firsts.len());
    let mut survey = Survey { segments, logs: Vec::new(), prev_hash: None };
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
            if survey.segments.is_empty() {
                survey.prev_hash = Some(header.prev_hash);
            }
            if survey.logs.iter().all(|(log_id, _)| *log_id != header.log_id) {
                survey.logs.push((header.log_id, name.clone()));
            }
        }
        let header = header.filter(|header| header.first == first);
        let length = header.map_or(length, |header| header.segment_bytes).min(SEGMENT_BYTES_MAX);
        survey.segments.push_front(Segment::new(first, length, header.map(|header| header.salt)));
    }
    Ok(survey)
}

/// Which log this is.
struct Identity {
    log_id: LogId,
    /// The log whose segments are to be written again under `log_id`.
    previous: Option<LogId>,
    is_new: bool,
}

/// The guard names the log. Without it nobody knows which sequences may have left, so what is here goes on as another
/// log.
fn identify(
    guard: &Guard,
    survey: &Survey,
    cursors: &Cursors,
    entropy: &dyn Entropy,
) -> Result<Identity, SpoolError> {
    let newest = survey.logs.first().map(|(log_id, _)| *log_id);
    let known = newest.or(cursors.newest().map(|cursor| cursor.log_id));
    let is_empty = survey.segments.is_empty();
    let identity = match (guard.mark(), known) {
        (_, None) if is_empty => {
            return Ok(Identity { log_id: draw_log_id(entropy), previous: None, is_new: true });
        }
        (Some(mark), _) => Identity { log_id: mark.log_id, previous: mark.previous, is_new: false },
        (None, previous) => Identity { log_id: draw_log_id(entropy), previous, is_new: false },
    };
    let ours = [Some(identity.log_id), identity.previous];
    match survey.logs.iter().find(|(log_id, _)| !ours.contains(&Some(*log_id))) {
        Some((found, file)) => {
            let expected = guard.mark().map_or(known.unwrap_or(*found), |mark| mark.log_id);
            Err(SpoolError::Foreign { file: file.clone(), found: *found, expected })
        }
        None => Ok(identity),
    }
}

/// The destinations of the configuration with what the cursor says of them. One that it does not know begins with the
/// oldest frame that is held.
fn destinations_of(
    ids: &[DestinationId],
    cursor: Option<&Cursor>,
    oldest: Sequence,
) -> (Vec<Destination>, Vec<LossList>) {
    let begin = cursor.map_or(Sequence(0), |_| Sequence(oldest.0.saturating_sub(1)));
    let each = ids.iter().map(|id| {
        let known = cursor.and_then(|cursor| cursor.of(id)).cloned();
        let (destination, settled) =
            known.unwrap_or_else(|| (Destination::new(id.clone(), begin), LossTotals::default()));
        (destination, LossList::new(settled, ids.len()))
    });
    each.unzip()
}
