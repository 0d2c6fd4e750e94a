//! Durable frames in order, past any damage.

use std::io;

use model::frame::{FrameError, HEADER_BYTES, OVERHEAD_BYTES, decode_frame};
use model::record::LossReason;
use model::{Frame, FrameHeader, Sequence};

use crate::destination::DestinationIndex;
use crate::disk::DiskFile;
use crate::error::SpoolError;
use crate::losses::loss_of;
use crate::scan::{Step, Walk};
use crate::segment::Segment;
use crate::{Spool, to_u64, to_usize};

/// A frame read back, byte for byte as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    /// Its header.
    pub header: FrameHeader,
    /// All of it, as it goes on the wire.
    pub bytes: Vec<u8>,
}

impl StoredFrame {
    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let start = OVERHEAD_BYTES - 4;
        let end = start + to_usize(u64::from(self.header.body_len));
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// Where the last read ended, and the sealed segment it has open.
#[derive(Default)]
pub(crate) struct ReadCache {
    file: Option<(Sequence, Box<dyn DiskFile>)>,
    /// Segment, sequence and offset.
    place: Option<(Sequence, Sequence, u64)>,
}

impl ReadCache {
    /// Lets go of the segment that begins at `first`; its file will be used for other frames.
    pub(crate) fn forget(&mut self, first: Sequence) {
        self.file.take_if(|(segment, _)| *segment == first);
        self.place.take_if(|(segment, ..)| *segment == first);
    }
}

/// Bytes read from disk at once.
const CHUNK_BYTES: u64 = 256 * 1024;
const CHUNK_BYTES_MIN: u64 = 16 * 1024;
const BLOCK_BYTES: usize = 4096;
/// How often a block that cannot be read is tried again.
pub(crate) const READ_ROUNDS: u32 = 5;

struct Output {
    frames: Vec<StoredFrame>,
    bytes: usize,
    bytes_max: usize,
}

impl Output {
    /// Whether the frame still fitted; the first one always does.
    fn push(&mut self, frame: &Frame<'_>) -> bool {
        let bytes = self.bytes + frame.bytes.len();
        if bytes > self.bytes_max && !self.frames.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.frames.push(StoredFrame { header: frame.header, bytes: frame.bytes.to_vec() });
        true
    }
}

impl Spool {
    /// Durable frames from `from` on, in order, until `bytes_max` is reached; at least one when there is one.
    ///
    /// Ranges that the destination lost are left out. Damage that is met for the first time becomes a durable LOSS
    /// record at once.
    pub fn read_from(
        &mut self,
        to: DestinationIndex,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<StoredFrame>, SpoolError> {
        if self.previous.is_some() {
            return Err(SpoolError::Failing(
                "frames of an earlier log wait to be taken over".to_owned(),
            ));
        }
        let mut out = Output { frames: Vec::new(), bytes: 0, bytes_max };
        let mut at = from.max(self.oldest());
        while at <= self.durable {
            let list = self.losses.get(to.0);
            if let Some(loss) = list.and_then(|list| list.covering(at)) {
                at = loss.last.next();
                continue;
            }
            match self.read_segment(to, at, &mut out) {
                Ok(Some(next)) => at = next,
                Ok(None) => break,
                Err(_) if !out.frames.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(out.frames)
    }

    /// Reads on in the segment that holds `at`; tells where to go on, or `None` when `out` is full.
    fn read_segment(
        &mut self,
        to: DestinationIndex,
        at: Sequence,
        out: &mut Output,
    ) -> Result<Option<Sequence>, SpoolError> {
        let above = self.segments.partition_point(|segment| segment.first <= at);
        let index = above.saturating_sub(1);
        let last = self.last_of(index);
        let lost = self.losses.get(to.0).and_then(|list| list.next_first(at));
        let stop = lost.map_or(last, |next| last.min(Sequence(next.0 - 1)));
        let is_newest = index + 1 == self.segments.len();
        let segment = self.segments.get_mut(index).expect("`at` is not below the oldest segment");
        let place = self.cache.place;
        let file = match &self.open {
            Some(open) if is_newest => open.file.as_ref(),
            _ => sealed_file(self.disk.as_ref(), &mut self.cache.file, segment)?,
        };
        let (mut sequence, mut offset) = segment.place_below(at);
        if let Some((first, known, place)) = place
            && first == segment.first
            && (sequence..=at).contains(&known)
        {
            (sequence, offset) = (known, place);
        }
        let chunk = to_u64(out.bytes_max).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES);
        let mut window = Window { start: 0, bytes: Vec::new(), chunk };
        let mut is_full = false;
        while sequence <= stop {
            let frame = match window.frame_at(file, offset, segment.bytes) {
                Ok(Ok(frame))
                    if Some(frame.header.salt) == segment.salt
                        && frame.header.sequence == sequence =>
                {
                    frame
                }
                _ => return self.pass_damage(index, at, sequence, offset).map(Some),
            };
            if sequence >= at && !out.push(&frame) {
                is_full = true;
                break;
            }
            segment.remember(sequence, offset);
            offset += to_u64(frame.bytes.len());
            sequence = sequence.next();
        }
        self.cache.place = Some((segment.first, sequence, offset));
        Ok((!is_full).then_some(sequence))
    }

    /// What stands at `offset` is not the frame of `sequence`: finds where the segment can be read again, and records
    /// the loss of what lies between unless that is acked or known.
    fn pass_damage(
        &mut self,
        index: usize,
        at: Sequence,
        sequence: Sequence,
        offset: u64,
    ) -> Result<Sequence, SpoolError> {
        let last = self.last_of(index);
        let segment = self.segments.get(index).expect("the caller read from it");
        let (segment_first, name) = (segment.first, segment.name());
        let file = self.disk.open(&name).map_err(SpoolError::io(format!("opening `{name}`")))?;
        let bytes = load(file.as_ref(), segment.bytes)
            .map_err(SpoolError::io(format!("reading `{name}`")))?;
        let mut walk = Walk {
            bytes: &bytes,
            offset,
            expected: sequence,
            salt: segment.salt,
            last: Some(last),
        };
        let (damaged_last, headers) = match walk.step() {
            Some(Step::Damage { last, headers, .. }) => (last, Some(headers)),
            Some(Step::Skipped { last }) => (last, None),
            _ => {
                let source = io::Error::other("the disk failed for a moment, the bytes are there");
                return Err(SpoolError::io(format!("reading `{name}`"))(source));
            }
        };
        let resume = walk.offset;
        if let Some(headers) = headers {
            self.lose(sequence, damaged_last, &headers)?;
        }
        self.cache.place = Some((segment_first, damaged_last.next(), resume));
        if let Some(segment) = self.segments.iter_mut().find(|known| known.first == segment_first)
            && segment.index.last().is_none_or(|(known, _)| *known <= damaged_last)
        {
            segment.index.push((damaged_last.next(), resume));
        }
        Ok(at.max(damaged_last.next()))
    }

    /// Whether no frame ever had a sequence from `first` to `last`, as the bytes show: those before and behind stand
    /// side by side. Where the disk cannot tell, or another segment begins in between, the answer is no.
    pub fn is_passed_over(&self, first: Sequence, last: Sequence) -> bool {
        let above = self.segments.partition_point(|segment| segment.first <= first);
        let Some(index) = above.checked_sub(1) else { return false };
        let Some(segment) = self.segments.get(index) else { return false };
        let file = self.disk.open(&segment.name());
        let Ok(bytes) = file.and_then(|file| load(file.as_ref(), segment.bytes)) else {
            return false;
        };
        let (expected, offset) = segment.place_below(first);
        let (salt, end) = (segment.salt, Some(self.last_of(index)));
        let mut walk = Walk { bytes: &bytes, offset, expected, salt, last: end };
        while walk.expected <= first {
            let from = walk.expected;
            match walk.step() {
                Some(Step::Skipped { last: upto }) if upto >= first => {
                    return from <= first && last <= upto;
                }
                None | Some(Step::Tail { .. }) => return false,
                Some(_) => {}
            }
        }
        false
    }

    /// Records what cannot be read, durably, for each destination that has not acked it.
    fn lose(
        &mut self,
        first: Sequence,
        last: Sequence,
        headers: &[FrameHeader],
    ) -> Result<(), SpoolError> {
        let parts = |spool: &Self| -> Vec<(usize, Vec<(Sequence, Sequence)>)> {
            let each = spool.destinations.iter().zip(&spool.losses).enumerate();
            let parts = each.map(|(index, (destination, list))| {
                (index, list.uncovered(first.max(destination.acked.next()), last))
            });
            parts.filter(|(_, parts)| !parts.is_empty()).collect()
        };
        let lost = parts(self);
        if lost.is_empty() {
            return Ok(());
        }
        // Room for all of them first: what is read must not depend on where an error came.
        let has_room = |spool: &Self| {
            lost.iter().all(|(index, parts)| spool.losses[*index].has_room(parts.len()))
        };
        if !has_room(self) {
            for (destination, list) in self.destinations.iter().zip(&mut self.losses) {
                list.settle_passed(destination.acked);
            }
            self.write_cursor()?;
        }
        if !has_room(self) {
            return Err(SpoolError::LossesFull);
        }
        for (index, parts) in lost {
            for (first, last) in parts {
                let destination = self.destinations[index].id.as_str();
                let loss = loss_of(first, last, LossReason::Corrupt, headers);
                let (first, last) = (first.0, last.0);
                tracing::error!(first, last, destination, "spool records are damaged and given up");
                self.losses[index].add(loss);
            }
        }
        self.push_losses();
        self.commit().map(|_| ())
    }
}

fn sealed_file<'a>(
    disk: &dyn crate::Disk,
    cached: &'a mut Option<(Sequence, Box<dyn DiskFile>)>,
    segment: &Segment,
) -> Result<&'a dyn DiskFile, SpoolError> {
    if cached.as_ref().is_none_or(|(first, _)| *first != segment.first) {
        let name = segment.name();
        let file = disk.open(&name).map_err(SpoolError::io(format!("opening `{name}`")))?;
        *cached = Some((segment.first, file));
    }
    let (_, file) = cached.as_ref().expect("it was set above");
    Ok(file.as_ref())
}

/// A piece of a segment in memory.
struct Window {
    start: u64,
    bytes: Vec<u8>,
    chunk: u64,
}

impl Window {
    fn frame_at(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        end: u64,
    ) -> io::Result<Result<Frame<'_>, FrameError>> {
        let mut wanted = to_u64(HEADER_BYTES);
        loop {
            let have = self.start + to_u64(self.bytes.len());
            if offset < self.start || offset + wanted > have {
                self.start = offset;
                let left = end.saturating_sub(offset);
                let length = wanted.max(self.chunk).min(left);
                // A block that cannot be read must not hide the frame before it.
                self.fill(file, length).or_else(|_| self.fill(file, wanted.min(left)))?;
            }
            let from = to_usize(offset - self.start);
            let found = to_u64(self.bytes.len() - from);
            match decode_frame(self.bytes.get(from..).unwrap_or_default()) {
                Err(FrameError::Truncated { expected, .. })
                    if to_u64(expected) > wanted
                        && offset + to_u64(expected) <= end
                        && found >= wanted =>
                {
                    wanted = to_u64(expected);
                }
                _ => break,
            }
        }
        let from = to_usize(offset - self.start);
        Ok(decode_frame(self.bytes.get(from..).unwrap_or_default()))
    }

    fn fill(&mut self, file: &dyn DiskFile, length: u64) -> io::Result<()> {
        self.bytes = vec![0; to_usize(length)];
        let result = file.read_at(&mut self.bytes, self.start);
        self.bytes.truncate(result.as_ref().copied().unwrap_or(0));
        result.map(|_| ())
    }
}

/// All bytes of a segment. Blocks that cannot be read are taken as zeros: what stood there is damage, not an error.
pub(crate) fn load(file: &dyn DiskFile, bytes: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; to_usize(bytes)];
    let Err(error) = file.read_at(&mut buffer, 0) else { return Ok(buffer) };
    buffer.fill(0);
    let blocks = buffer.len().div_ceil(BLOCK_BYTES);
    let mut unread: Vec<usize> = (0..blocks).collect();
    // Several rounds, since a passing error must not cost data.
    for _ in 0..READ_ROUNDS {
        unread.retain(|index| {
            let start = index * BLOCK_BYTES;
            let end = buffer.len().min(start + BLOCK_BYTES);
            let block = buffer.get_mut(start..end).unwrap_or_default();
            let result = file.read_at(block, to_u64(start));
            if result.is_err() {
                block.fill(0);
            }
            result.is_err()
        });
    }
    if unread.len() < blocks { Ok(buffer) } else { Err(error) }
}
