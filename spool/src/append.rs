//! From drafts to durable frames: append, group commit, and the change to a new segment.

use model::frame::encode_frame;
use model::record::{JsonRecord, Loss};
use model::{FrameHeader, RecordType, Sequence};

use crate::error::SpoolError;
use crate::guard::GUARD_STEP;
use crate::losses::{LossCount, LossList};
use crate::segment::{SPARE_NAME, Segment, SegmentHeader};
use crate::{Draft, OpenSegment, Pending, Spool, to_u64};

/// Kept free at the end of the open segment for LOSS records of the policy.
pub(crate) const LOSS_RESERVE_BYTES: u64 = 4096;

impl Spool {
    /// Gives the record its sequence and keeps it in memory until [`Self::commit`].
    ///
    /// When it does not fit the open segment, what waits is committed first and the next segment begins. A disk error
    /// there is not returned here: the record is kept, and the next `commit` tells.
    ///
    /// # Errors
    /// [`SpoolError::RecordTooLong`]; [`SpoolError::MemoryFull`] when the disk fails and the memory bound is reached.
    /// In both cases the record is not taken; in the second it is counted as refused.
    pub fn append(&mut self, draft: Draft) -> Result<Sequence, SpoolError> {
        let (bytes, max) = (draft.frame_bytes(), self.config.share_bytes());
        if bytes > max || draft.body.len() > model::frame::BODY_BYTES_MAX {
            return Err(SpoolError::RecordTooLong { found: bytes, max });
        }
        if self.open.is_some() {
            let made_room = if !self.fits_open(bytes) {
                self.roll()
            } else if self.pending_bytes + bytes > max {
                self.commit().map(|_| ())
            } else {
                Ok(())
            };
            if let Err(error) = made_room {
                tracing::error!(
                    error = error.full_text(),
                    "spool cannot write; records wait in memory"
                );
            }
        }
        if self.pending_bytes + bytes > max {
            self.refused.frames += 1;
            self.refused.samples += u64::from(draft.samples);
            return Err(SpoolError::MemoryFull { max });
        }
        Ok(self.push(draft))
    }

    /// A LOSS record without a range is the caller's: readings that never had a sequence. It counts in the totals.
    pub(crate) fn count_refused(&mut self, loss: &Loss) {
        if loss.range().is_none() {
            self.losses.iter_mut().for_each(|list| list.count_refused(loss));
        }
    }

    /// Writes what waits in memory and makes it durable with one fdatasync; returns the last durable sequence.
    ///
    /// After a write or fsync error the segment is sealed at its last good frame and its descriptor is never used for
    /// writing again; what waits goes to a new file. When that fails too, the records stay in memory and each later
    /// call tries a new file.
    pub fn commit(&mut self) -> Result<Sequence, SpoolError> {
        self.renew_rest()?;
        if self.open.is_some() {
            match self.write_pending() {
                Ok(()) => return Ok(self.durable),
                Err(error) => self.seal_after(&error),
            }
        }
        self.start_segment_or_fail()?;
        Ok(self.durable)
    }

    /// Sets the records that stand at the start of each later segment (the dictionaries in use; history marks where no
    /// [`crate::MarkSource`] is set), so that any segment can be read alone. They get sequences of their own there. Nothing is written now.
    pub fn set_preamble(&mut self, drafts: Vec<Draft>) -> Result<(), SpoolError> {
        let found = drafts.iter().map(Draft::frame_bytes).sum();
        let max = self.config.share_bytes();
        if found > max {
            return Err(SpoolError::PreambleTooLong { found, max });
        }
        self.preamble = drafts;
        self.found_marks = Vec::new();
        Ok(())
    }

    fn fits_open(&self, bytes: u64) -> bool {
        let size = self.segments.back().map_or(0, |segment| segment.bytes);
        let used = self.open.as_ref().map_or(0, |open| open.offset);
        used + self.pending_bytes + bytes + LOSS_RESERVE_BYTES <= size
    }

    pub(crate) fn push(&mut self, draft: Draft) -> Sequence {
        let sequence = self.next_sequence();
        let bytes = draft.frame_bytes();
        self.pending_bytes += bytes;
        self.longest_bytes = self.longest_bytes.max(bytes);
        self.pending.push(Pending { sequence, draft });
        sequence
    }

    /// Puts ranges that have no LOSS record yet behind what waits.
    pub(crate) fn push_losses(&mut self) {
        let mut losses = std::mem::take(&mut self.losses);
        for (index, list) in losses.iter_mut().enumerate() {
            let named = self.named(index).cloned();
            list.record(named.as_ref(), false, |draft| self.push(draft));
        }
        self.losses = losses;
    }

    /// What a LOSS record of this destination calls it; nothing where it is the only one.
    pub(crate) fn named(&self, index: usize) -> Option<&model::DestinationId> {
        let destination = self.destinations.get(index).filter(|_| self.destinations.len() > 1);
        destination.map(|destination| &destination.id)
    }

    /// Makes durable that sequences up to `last` are in use, before a frame of theirs is written (I2).
    fn guard_upto(&mut self, last: Sequence) -> Result<(), SpoolError> {
        let is_ours = self.guard.mark().is_some_and(|mark| mark.log_id == self.log_id);
        if is_ours && last <= self.guard.bound() {
            return Ok(());
        }
        let bound = Sequence(last.0.saturating_add(GUARD_STEP));
        self.write_guard(self.log_id, self.previous, bound)
    }

    pub(crate) fn seal_after(&mut self, error: &SpoolError) {
        self.write_errors += 1;
        tracing::warn!(
            error = error.full_text(),
            durable = self.durable.0,
            "spool segment sealed after an error"
        );
        self.open = None;
        self.is_behind_error = true;
    }

    /// Writes what waits behind the durable frames of the open segment.
    pub(crate) fn write_pending(&mut self) -> Result<(), SpoolError> {
        let Some(last) = self.pending.last().map(|pending| pending.sequence) else {
            return Ok(());
        };
        self.guard_upto(last)?;
        let (Some(open), Some(segment)) = (&mut self.open, self.segments.back_mut()) else {
            return Err(SpoolError::Failing("there is no open segment".to_owned()));
        };
        let salt = segment.salt.expect("a segment is opened only with its salt known");
        let mut encoder = Encoder { bytes: Vec::new(), salt, hash: self.last_hash };
        let mut places = Vec::with_capacity(self.pending.len());
        for Pending { sequence, draft } in &self.pending {
            places.push((*sequence, open.offset + to_u64(encoder.bytes.len())));
            encoder.put(*sequence, draft);
        }
        let written = to_u64(encoder.bytes.len());
        if open.offset + written > segment.bytes {
            return Err(SpoolError::Failing("the LOSS records do not fit the segment".to_owned()));
        }
        open.file
            .write_all_at(&encoder.bytes, open.offset)
            .map_err(SpoolError::io("writing frames"))?;
        open.file.sync_data().map_err(SpoolError::io("fdatasync of a segment"))?;
        for (sequence, offset) in places {
            segment.remember(sequence, offset);
        }
        open.offset += written;
        self.written_bytes += written;
        self.last_hash = encoder.hash;
        self.now_durable();
        Ok(())
    }

    fn now_durable(&mut self) {
        if let Some(newest) = self.pending.last() {
            self.durable = newest.sequence;
            self.last_frame = newest.sequence;
        }
        for Pending { draft, .. } in std::mem::take(&mut self.pending) {
            if draft.record_type == RecordType::Loss
                && let Ok(loss) = Loss::from_record(&draft.body)
            {
                self.count_refused(&loss);
            }
        }
        self.pending_bytes = 0;
    }

    /// Commits what waits and begins the next segment.
    fn roll(&mut self) -> Result<(), SpoolError> {
        let before = self.segments.back().map(|segment| segment.first);
        self.commit()?;
        // The policy acts while there is still a segment that it can write to.
        self.ensure_spare();
        if self.open.is_some() && self.segments.back().map(|segment| segment.first) != before {
            return Ok(());
        }
        self.open = None;
        self.start_segment_or_fail()
    }

    pub(crate) fn start_segment_or_fail(&mut self) -> Result<(), SpoolError> {
        match self.start_segment() {
            Ok(()) => {
                if std::mem::take(&mut self.is_behind_error) {
                    self.outlast_rename();
                }
                if self.failing.take().is_some() {
                    tracing::warn!("spool writes again");
                }
                self.after_start();
                Ok(())
            }
            Err(error) => {
                self.write_errors += 1;
                let text = error.full_text();
                self.failing = Some(text.clone());
                Err(SpoolError::Failing(text))
            }
        }
    }

    /// Writes the guard again, so that a disk that forgets its last writes does not forget the rename of a new segment
    /// alone. The segment before may hold frames whose write failed, or so it was said; they would be back under the
    /// sequences that the new one uses.
    fn outlast_rename(&mut self) {
        let bound = self.guard.bound();
        if let Err(error) = self.write_guard(self.log_id, self.previous, bound) {
            tracing::warn!(error = error.full_text(), "spool guard not written");
        }
    }

    /// Begins a new segment with what waits, the preamble, and all LOSS records, also for what the policy gives up
    /// now; all durable in one step, before the file has its name. On error nothing has changed.
    fn start_segment(&mut self) -> Result<(), SpoolError> {
        let first = self.durable.next();
        if self.segments.back().is_some_and(|segment| segment.first == first) {
            // It holds no durable frame, and the new file takes its name.
            self.segments.pop_back();
        }
        if self.sealed_bytes() > self.config.sealed_bytes_max() {
            self.write_acked();
        }
        let mut losses: Vec<LossList> = self.losses.clone();
        self.plan_drops(&mut losses);
        let records: usize = losses.iter().map(LossList::len).sum();
        let marks = self.mark_records();
        let frames = self.pending.len() + self.preamble.len() + marks.len() + records;
        self.guard_upto(Sequence(self.durable.0.saturating_add(to_u64(frames))))?;
        let file = self.take_spare()?;

        let salt = self.salts.draw();
        let segment_bytes = self.config.segment_bytes;
        let prev_hash = self.last_hash;
        let header = SegmentHeader { segment_bytes, log_id: self.log_id, first, salt, prev_hash };
        let mut segment = Segment::new(first, segment_bytes, Some(salt));
        let mut encoder = Encoder { bytes: header.encode(), salt, hash: prev_hash };
        let mut durable = self.durable;
        let mut put = |draft: &Draft| {
            durable = durable.next();
            segment.remember(durable, to_u64(encoder.bytes.len()));
            encoder.put(durable, draft);
            durable
        };
        self.pending.iter().for_each(|pending| {
            put(&pending.draft);
        });
        self.preamble.iter().chain(&marks).for_each(|draft| {
            put(draft);
        });
        for (index, list) in losses.iter_mut().enumerate() {
            list.record(self.named(index), true, |draft| put(&draft));
        }
        let offset = to_u64(encoder.bytes.len());
        if offset > segment_bytes {
            return Err(SpoolError::Failing(format!(
                "{offset} bytes wait, but a segment has {segment_bytes}"
            )));
        }
        file.write_all_at(&encoder.bytes, 0).map_err(SpoolError::io("writing the next segment"))?;
        file.sync_data().map_err(SpoolError::io("fdatasync of the next segment"))?;
        self.disk
            .rename(SPARE_NAME, &segment.name())
            .map_err(SpoolError::io("naming the next segment"))?;
        self.disk.sync_dir().map_err(SpoolError::io("fsync of the spool directory"))?;

        self.written_bytes += offset;
        self.now_durable();
        if durable > self.durable || frames > 0 {
            self.last_frame = durable;
        }
        self.durable = durable;
        self.last_hash = encoder.hash;
        self.losses = losses;
        self.segments.push_back(segment);
        self.open = Some(OpenSegment { file, offset });
        Ok(())
    }

    fn take_spare(&mut self) -> Result<Box<dyn crate::DiskFile>, SpoolError> {
        if self.spare.is_none() {
            self.reclaim()?;
        }
        if let Some(file) = self.spare.take() {
            return Ok(file);
        }
        self.make_spare(self.config.segment_bytes)
    }

    /// First sequence of the newest segment: another one says that the preamble and the marks were written again.
    #[must_use]
    pub fn newest_segment(&self) -> Sequence {
        self.segments.back().map_or(Sequence(0), |segment| segment.first)
    }

    /// Bytes written to segments and cursors since the start, the zeros of new files not counted.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Records that were refused because memory was full while the disk failed.
    pub fn refused(&self) -> LossCount {
        self.refused
    }
}

/// Turns drafts into frames, one behind the other.
struct Encoder {
    bytes: Vec<u8>,
    salt: u32,
    hash: [u8; 32],
}

impl Encoder {
    fn put(&mut self, sequence: Sequence, draft: &Draft) {
        let header = FrameHeader {
            record_type: draft.record_type,
            sequence,
            samples: draft.samples,
            ts_min: draft.ts_min,
            ts_max: draft.ts_max,
            salt: self.salt,
            body_len: 0,
        };
        let start = self.bytes.len();
        encode_frame(&header, &self.hash, &draft.body, &mut self.bytes)
            .expect("the length of the body was checked when it was taken");
        self.hash = model::frame::hash_of_frame(self.bytes.get(start..).unwrap_or_default());
    }
}
