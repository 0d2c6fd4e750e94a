//! A log begins again under another `log_id`, with everything that it still holds and under the same sequences. Needed
//! when nobody can say any more that this log is the one that it claims to be: its guard is gone, or a centre has
//! frames of it that were never here.
//!
//! ```text
//! guard: the new log, `previous` the old one ─▶ each segment written again, oldest first ─▶ guard: the new log alone
//! ```
//!
//! A segment is replaced by a rename, so a crash leaves segments of both logs, and recovery goes on where it stopped. Until
//! all are replaced nothing is read, and nothing new is written. Only the header and the chain of hashes change: bodies,
//! sequences and offsets stay.

use model::frame::{encode_frame, hash_of_frame, hash_of_log_start};
use model::host::Entropy;
use model::{LogId, Sequence};

use crate::contents::contents_of;
use crate::disk::DiskFile;
use crate::error::SpoolError;
use crate::guard::GUARD_STEP;
use crate::read::load;
use crate::scan::{Step, Walk};
use crate::segment::{SEGMENT_HEADER_BYTES, SPARE_NAME, SegmentHeader, Versioned};
use crate::{OpenSegment, Spool, to_usize};

/// Draws the name of a new log.
pub(crate) fn draw_log_id(entropy: &dyn Entropy) -> LogId {
    let mut bits = [0; 16];
    entropy.fill(&mut bits);
    LogId(bits)
}

impl Spool {
    /// Begins again under a new `log_id`. Each destination is sent what it has not acked, under the sequences that it
    /// had; what a destination has acked stays acked.
    ///
    /// This writes every segment once, so it takes as long as the disk needs for that.
    ///
    /// # Errors
    /// Nothing has changed, or [`SpoolError::Failing`]: then each [`Self::commit`] tries to finish it, as a restart does.
    pub fn begin_new_log(&mut self, entropy: &dyn Entropy) -> Result<LogId, SpoolError> {
        // What waits in memory belongs to it already.
        self.commit()?;
        for destination in &mut self.destinations {
            destination.floor = destination.acked;
        }
        self.write_cursor()?;
        // What is recycled later must not bring the name of this log back.
        self.reclaim()?;
        let log_id = draw_log_id(entropy);
        self.renew_as(log_id, self.log_id)?;
        self.renew_rest()?;
        Ok(log_id)
    }

    /// Makes durable that segments of `previous` are to be written again as `log_id`.
    pub(crate) fn renew_as(&mut self, log_id: LogId, previous: LogId) -> Result<(), SpoolError> {
        let bound = Sequence(self.durable.0.saturating_add(GUARD_STEP));
        self.write_guard(log_id, Some(previous), bound)?;
        (self.log_id, self.previous) = (log_id, Some(previous));
        Ok(())
    }

    /// Goes on with what [`Self::begin_new_log`] left to do.
    pub(crate) fn renew_rest(&mut self) -> Result<(), SpoolError> {
        if self.previous.is_none() {
            return Ok(());
        }
        if let Err(error) = self.renew_segments() {
            self.write_errors += 1;
            let text = error.full_text();
            self.failing = Some(text.clone());
            return Err(SpoolError::Failing(text));
        }
        self.failing = None;
        tracing::info!(log_id = %self.log_id, "spool goes on as another log");
        Ok(())
    }

    fn renew_segments(&mut self) -> Result<(), SpoolError> {
        // The files that are open are replaced.
        self.cache = crate::ReadCache::default();
        self.spare = None;
        let mut hash = hash_of_log_start(self.log_id);
        for index in 0..self.segments.len() {
            hash = self.renew_segment(index, hash)?;
        }
        if let Some(OpenSegment { offset, .. }) = self.open.take()
            && let Some(newest) = self.segments.back()
        {
            let name = newest.name();
            let file =
                self.disk.open(&name).map_err(SpoolError::io(format!("opening `{name}`")))?;
            self.open = Some(OpenSegment { file, offset });
        }
        let bound = self.guard.bound();
        // Written twice: a disk that forgets its last blocks and keeps the end of the renewal, which was on its way, must
        // not lose the renames before it.
        self.write_guard(self.log_id, self.previous, bound)?;
        self.write_guard(self.log_id, None, bound)?;
        self.last_hash = hash;
        self.previous = None;
        Ok(())
    }

    /// Writes one segment again behind the frame with hash `prev`; returns the hash of its last frame.
    fn renew_segment(&mut self, index: usize, prev: [u8; 32]) -> Result<[u8; 32], SpoolError> {
        let Some(segment) = self.segments.get(index) else { return Ok(prev) };
        let name = segment.name();
        let what = || SpoolError::io(format!("writing `{name}` again"));
        let mut bytes = {
            let file = self.disk.open(&name).map_err(what())?;
            load(file.as_ref(), segment.bytes).map_err(what())?
        };
        let last = (index + 1 < self.segments.len()).then(|| self.last_of(index));
        let header = match SegmentHeader::decode(&bytes) {
            Versioned::Valid(header) if Some(header.salt) == segment.salt => header,
            // No frame of it can be read; what it held becomes a loss when it is met. A header that names another log must
            // not stay all the same.
            Versioned::Valid(header) if header.log_id != self.log_id => {
                overwrite(&mut bytes, 0, &vec![0; to_usize(SEGMENT_HEADER_BYTES)]);
                self.replace_segment(&name, &bytes)?;
                return Ok(prev);
            }
            _ => return Ok(prev),
        };
        if header.log_id == self.log_id {
            return Ok(contents_of(&bytes, segment, last, prev).hash);
        }
        let source = bytes.clone();
        let header = SegmentHeader { log_id: self.log_id, prev_hash: prev, ..header }.encode();
        overwrite(&mut bytes, 0, &header);
        let mut hash = prev;
        let mut walk = Walk {
            bytes: &source,
            offset: SEGMENT_HEADER_BYTES,
            expected: segment.first,
            salt: segment.salt,
            last,
        };
        loop {
            let at = to_usize(walk.offset);
            match walk.step() {
                Some(Step::Frame(frame)) => {
                    let mut again = Vec::with_capacity(frame.bytes.len());
                    encode_frame(&frame.header, &hash, frame.body, &mut again)
                        .expect("a frame that was read has a body that fits");
                    hash = hash_of_frame(&again);
                    overwrite(&mut bytes, at, &again);
                }
                Some(Step::Damage { .. } | Step::Skipped { .. }) => {}
                Some(Step::Tail { .. }) | None => break,
            }
        }
        self.replace_segment(&name, &bytes)?;
        Ok(hash)
    }

    /// Puts `bytes` in the place of a segment, by a rename.
    fn replace_segment(&mut self, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let what = || SpoolError::io(format!("writing `{name}` again"));
        let write = |file: &dyn DiskFile| {
            file.write_all_at(bytes, 0).map_err(what())?;
            file.sync_data().map_err(what())
        };
        let written =
            self.disk.create(SPARE_NAME).map_err(what()).and_then(|file| write(file.as_ref()));
        match written {
            Err(error) if error.is_full() && self.has_reserve => {
                write(self.reserve_as_spare()?.as_ref())?;
            }
            result => result?,
        }
        self.disk.rename(SPARE_NAME, name).map_err(what())?;
        self.disk.sync_dir().map_err(what())
    }
}

fn overwrite(bytes: &mut [u8], at: usize, piece: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + piece.len()) {
        place.copy_from_slice(piece);
    }
}
