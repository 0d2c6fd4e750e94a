//! The spool against a disk that forgets, a disk that fails, and a simple model of what must hold.

mod destinations;
mod dictionary;
mod faults;
mod flips;
mod forgetting;
mod losses;
mod model;
mod open;
mod passed_over;
mod renew;
mod reserve;

use ::model::host::Entropy;
use ::model::{DestinationId, FrameHash, Loss, RecordType, Sequence, Timestamp};

use crate::sim::SimDisk;
use crate::{DestinationIndex, Draft, Recovery, Spool, SpoolConfig, SpoolError, StoredFrame};

pub(crate) const SEGMENT: u64 = 64 << 10;

/// Chance that is the same in each run.
pub(crate) struct Fixed(pub(crate) u8);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

pub(crate) fn config(segments: u64) -> SpoolConfig {
    SpoolConfig {
        dir: "/simulated".into(),
        quota_bytes: segments * SEGMENT,
        segment_bytes: SEGMENT,
        destinations: vec![DestinationId::default()],
    }
}

/// The only destination of most tests.
pub(crate) const HERE: DestinationIndex = DestinationIndex(0);

impl Spool {
    pub(crate) fn read_here(
        &mut self,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<StoredFrame>, SpoolError> {
        self.read_from(HERE, from, bytes_max)
    }

    /// An ack of somebody who has the frame.
    pub(crate) fn ack_here(&mut self, upto: Sequence) -> Result<Sequence, SpoolError> {
        let frames = self.read_from(HERE, upto, 1)?;
        let frame = frames.first().filter(|frame| frame.header.sequence == upto);
        let hash = frame.map(|frame| FrameHash(::model::frame::hash_of_frame(&frame.bytes)));
        self.ack(HERE, upto, hash)
    }

    pub(crate) fn losses_here(&self) -> Vec<Loss> {
        self.losses(HERE)
    }
}

pub(crate) fn open(disk: &SimDisk, segments: u64) -> Result<(Spool, Recovery), SpoolError> {
    // A new run draws new salts.
    Spool::open(Box::new(disk.clone()), config(segments), &Fixed(disk.runs()))
}

/// A DATA record whose body is told apart by `number`.
pub(crate) fn data(number: u64, length: usize) -> Draft {
    let mut body = number.to_le_bytes().repeat(length.div_ceil(8));
    body.truncate(length);
    let time = Timestamp(i64::try_from(number).unwrap() + 1);
    let samples = u32::try_from(number % 100).unwrap() + 1;
    Draft { record_type: RecordType::Data, samples, ts_min: time, ts_max: time, body }
}

pub(crate) fn record(record_type: RecordType, text: &str) -> Draft {
    let ts = Timestamp(0);
    Draft { record_type, samples: 0, ts_min: ts, ts_max: ts, body: text.as_bytes().to_vec() }
}

/// The sequences that were passed over are no damage.
pub(crate) fn losses_but_skipped(spool: &Spool) -> Vec<Loss> {
    let mut losses = spool.losses(HERE);
    losses.retain(|loss| loss.reason != ::model::record::LossReason::Skipped);
    losses
}

/// The DATA records among them.
pub(crate) fn data_of(frames: Vec<StoredFrame>) -> Vec<StoredFrame> {
    let is_data = |frame: &StoredFrame| frame.header.record_type == RecordType::Data;
    frames.into_iter().filter(is_data).collect()
}

/// All that can be read from `from` on.
pub(crate) fn read_all(spool: &mut Spool, from: u64) -> Vec<crate::StoredFrame> {
    let mut frames: Vec<crate::StoredFrame> = Vec::new();
    let mut at = Sequence(from);
    loop {
        let more = spool.read_here(at, 100_000).unwrap();
        let Some(last) = more.last() else { return frames };
        at = last.header.sequence.next();
        frames.extend(more);
    }
}
