//! The spool against a disk that forgets, a disk that fails, and a simple model of what must hold. Must never need
//! the real clock; the few tests on the real file system say so.

mod dictionary;
mod faults;
mod flips;
mod losses;
mod model;
mod open;
mod sim;

use ::model::host::Entropy;
use ::model::{RecordType, Sequence, Timestamp};

use crate::{Draft, Recovery, Spool, SpoolConfig, SpoolError};
use sim::SimDisk;

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

/// All that can be read from `from` on.
pub(crate) fn read_all(spool: &mut Spool, from: u64) -> Vec<crate::StoredFrame> {
    let mut frames: Vec<crate::StoredFrame> = Vec::new();
    let mut at = Sequence(from);
    loop {
        let more = spool.read_from(at, 100_000).unwrap();
        let Some(last) = more.last() else { return frames };
        at = last.header.sequence.next();
        frames.extend(more);
    }
}
