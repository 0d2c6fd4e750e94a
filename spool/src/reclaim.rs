//! How room is made: acks, dropping the oldest, recycling.

use std::io;

use model::record::LossReason;
use model::{FrameHeader, Sequence};

use crate::Spool;
use crate::cursor::Cursor;
use crate::error::SpoolError;
use crate::losses::{LossList, loss_of};
use crate::read::{READ_ROUNDS, load};
use crate::reserve::remove_if_there;
use crate::scan::{Step, Walk};
use crate::segment::{SEGMENT_HEADER_BYTES, SPARE_NAME, create_zeros};

type Ranges = Vec<(Sequence, Sequence)>;

impl Spool {
    /// After a new segment began: frees what its LOSS records cover, and prepares the next one.
    pub(crate) fn after_start(&mut self) {
        self.retire();
        if let Err(error) = self.write_cursor().and_then(|()| self.reclaim()) {
            tracing::warn!(error = error.full_text(), "old segments not recycled yet");
        }
        self.ensure_spare();
        self.ensure_reserve();
    }

    /// Oldest sequence held; the next one when none is.
    pub(crate) fn oldest(&self) -> Sequence {
        self.segments.front().map_or(self.durable.next(), |segment| segment.first)
    }

    /// Bytes of all segment files.
    pub(crate) fn file_bytes(&self) -> u64 {
        let spare = if self.spare.is_some() { self.config.segment_bytes } else { 0 };
        self.segments.iter().chain(&self.retired).map(|segment| segment.bytes).sum::<u64>() + spare
    }

    /// Bytes of all segments, as if the open one were sealed now.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Before a drop: a LOSS record leaves out what is acked, so a restart must know of it.
    pub(crate) fn write_acked(&mut self) {
        if let Err(error) = self.write_cursor() {
            tracing::warn!(error = error.full_text(), "spool cursor not written");
        }
    }

    /// Adds to `losses` what must be given up, oldest first, so that all segments there are may be sealed.
    pub(crate) fn plan_drops(&self, losses: &mut [LossList]) {
        let mut bytes = self.sealed_bytes();
        for (index, segment) in self.segments.iter().enumerate() {
            if bytes <= self.config.sealed_bytes_max() {
                break;
            }
            bytes -= segment.bytes;
            self.plan_drop(index, losses);
        }
    }

    /// Gives a segment up for each destination that has not acked all of it.
    fn plan_drop(&self, index: usize, losses: &mut [LossList]) {
        let Some(segment) = self.segments.get(index) else { return };
        let last = self.last_of(index);
        let mut content: Option<(Vec<FrameHeader>, Ranges)> = None;
        for (destination, list) in self.destinations.iter().zip(losses) {
            let acked = destination.acked;
            let parts = list.uncovered(segment.first.max(acked.next()), last);
            if parts.is_empty() {
                continue;
            }
            let (headers, damaged) = content.get_or_insert_with(|| self.headers_of(index));
            for (first, last) in parts {
                give_up(list, first, last, headers, damaged);
                let (first, last) = (first.0, last.0);
                let destination = destination.id.as_str();
                tracing::error!(first, last, destination, "spool full: oldest records given up");
            }
            list.bound(acked, last);
        }
    }

    /// The readable headers of a segment, and the ranges that damage took.
    fn headers_of(&self, index: usize) -> (Vec<FrameHeader>, Ranges) {
        let (mut headers, mut damaged) = (Vec::new(), Vec::new());
        let Some(segment) = self.segments.get(index) else { return (headers, damaged) };
        let load_once = || load(self.disk.open(&segment.name())?.as_ref(), segment.bytes);
        // A segment that cannot be read is given up all the same, its samples uncounted; a passing error is not that.
        let bytes = (0..READ_ROUNDS).find_map(|_| load_once().ok()).unwrap_or_default();
        let mut walk = Walk {
            bytes: &bytes,
            offset: SEGMENT_HEADER_BYTES,
            expected: segment.first,
            salt: segment.salt,
            last: Some(self.last_of(index)),
        };
        while let Some(step) = walk.step() {
            match step {
                Step::Frame(frame) => headers.push(frame.header),
                Step::Damage { first, last, headers: found } => {
                    damaged.push((first, last));
                    headers.extend(found);
                }
                Step::Skipped { .. } => {}
                Step::Tail { .. } => break,
            }
        }
        (headers, damaged)
    }

    /// Takes the oldest segments off the list that are acked, or covered by LOSS records that are durable.
    pub(crate) fn retire(&mut self) {
        while self.segments.len() > 1 {
            let (oldest, last) = (self.oldest(), self.last_of(0));
            let mut each = self.destinations.iter().zip(&self.losses);
            let is_free = each.all(|(destination, losses)| {
                losses.durably_covers(oldest.max(destination.acked.next()), last, self.durable)
            });
            if !is_free {
                break;
            }
            self.retired.extend(self.segments.pop_front());
        }
    }

    /// Recycles retired segments: cursor durable first, then the files, then the directory.
    pub(crate) fn reclaim(&mut self) -> Result<(), SpoolError> {
        if self.retired.is_empty() {
            return Ok(());
        }
        self.write_cursor()?;
        let mut recycled = false;
        while let Some(segment) = self.retired.last() {
            self.cache.forget(segment.first);
            let name = segment.name();
            let keep =
                self.spare.is_none() && !recycled && segment.bytes == self.config.segment_bytes;
            let result =
                if keep { self.disk.rename(&name, SPARE_NAME) } else { self.disk.remove(&name) };
            match result {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SpoolError::io(format!("recycling `{name}`"))(error));
                }
                result => recycled |= keep && result.is_ok(),
            }
            self.retired.pop();
        }
        // Before the file is written again, no crash may bring its old name back.
        self.disk.sync_dir().map_err(SpoolError::io("fsync of the spool directory"))?;
        if recycled {
            let file = self.disk.open(SPARE_NAME);
            self.spare = Some(file.map_err(SpoolError::io("opening the recycled segment"))?);
        }
        Ok(())
    }

    /// Prepares the next segment. When the disk is full before the quota is, the oldest segment is given up for it; where
    /// only the open one is left, the reserve is taken.
    pub(crate) fn ensure_spare(&mut self) {
        if self.spare.is_none()
            && let Err(error) = self.try_spare()
        {
            tracing::warn!(error = error.full_text(), "the next segment is not prepared");
        }
    }

    fn try_spare(&mut self) -> Result<(), SpoolError> {
        self.reclaim()?;
        let bytes = self.config.segment_bytes;
        if self.spare.is_some() {
            return Ok(());
        }
        if self.file_bytes() + bytes > self.config.quota_bytes {
            // A power cut in the middle of a change of segments, or a smaller quota than before.
            return self.give_up_oldest();
        }
        match self.create_spare_if_free() {
            Ok(file) => {
                self.spare = Some(file);
                Ok(())
            }
            Err(error) if error.is_full() => {
                remove_if_there(self.disk.as_ref(), SPARE_NAME)?;
                if self.segments.len() < 2 && self.has_reserve {
                    self.spare = Some(self.reserve_as_spare()?);
                    return Ok(());
                }
                tracing::error!(
                    "disk is full before the spool quota is; oldest records are given up early"
                );
                self.give_up_oldest()
            }
            Err(error) => Err(error),
        }
    }

    fn create_spare_if_free(&self) -> Result<Box<dyn crate::DiskFile>, SpoolError> {
        let free = self.disk.free_bytes().map_err(SpoolError::io("asking for free space"))?;
        if free < self.config.segment_bytes {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(SpoolError::io("creating the next segment")(full));
        }
        create_zeros(self.disk.as_ref(), SPARE_NAME, self.config.segment_bytes)
    }

    /// Writes the LOSS record of the oldest segment to the open one, then recycles it.
    fn give_up_oldest(&mut self) -> Result<(), SpoolError> {
        if self.segments.len() < 2 || self.open.is_none() {
            let nothing = "there is no room, and no sealed segment to give up";
            return Err(SpoolError::Failing(nothing.to_owned()));
        }
        self.write_acked();
        let mut losses = self.losses.clone();
        self.plan_drop(0, &mut losses);
        self.losses = losses;
        self.push_losses();
        if let Err(error) = self.write_pending() {
            self.seal_after(&error);
            return Err(error);
        }
        self.retire();
        self.reclaim()
    }

    /// Writes the cursor when it has moved. Losses whose LOSS record is acked leave the list only when the cursor that
    /// says so is durable: a restart must find each of them in one place.
    pub(crate) fn write_cursor(&mut self) -> Result<(), SpoolError> {
        let mut losses = self.losses.clone();
        for (destination, list) in self.destinations.iter().zip(&mut losses) {
            list.settle(destination.acked);
        }
        let each = self.destinations.iter().cloned();
        let cursor = Cursor {
            generation: 0,
            log_id: self.log_id,
            durable: self.last_frame,
            oldest: self.oldest(),
            destinations: each.zip(losses.iter().map(LossList::settled)).collect(),
        };
        self.write_slots(cursor)?;
        self.losses = losses;
        Ok(())
    }
}

/// Adds `first..=last` to what is given up. What damage took is told apart, so that the rest is counted exactly.
fn give_up(
    list: &mut LossList,
    first: Sequence,
    last: Sequence,
    headers: &[FrameHeader],
    damaged: &[(Sequence, Sequence)],
) {
    let mut at = first;
    for (from, to) in damaged.iter().filter(|(from, to)| *to >= first && *from <= last) {
        let (from, to) = ((*from).max(first), (*to).min(last));
        let parts = [
            (at, from.0.checked_sub(1), LossReason::DropOldest),
            (from, Some(to.0), LossReason::Corrupt),
        ];
        for (first, last, reason) in parts {
            if let Some(last) = last.map(Sequence).filter(|last| *last >= first) {
                list.add(loss_of(first, last, reason, headers));
            }
        }
        at = to.next();
    }
    if at <= last {
        list.add(loss_of(at, last, LossReason::DropOldest, headers));
    }
}
