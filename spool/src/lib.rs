//! A crash-safe, bounded disk log of opaque records for one destination.
//!
//! ```text
//! {dir}/lock                    held while open; holds the process id of the holder
//! {dir}/0000000000012c40.seg    first sequence in fixed-width hex; a header, then frames (model::frame); fixed size
//! {dir}/spare                   the next segment, written before it is needed
//! {dir}/cursors.a  cursors.b    two 4 KiB slots written in turn; advisory, they only move forward
//! ```
//!
//! What it promises (numbers of the tests):
//! - I1 A frame can be read only after the fdatasync that covers it has returned (INV-2).
//! - I2 Sequences are dense within a `log_id` and never used twice (INV-2).
//! - I3 acked ≤ durable ≤ appended.
//! - I4 A segment is recycled only when all its frames are acked, or covered by a LOSS record that is durable (INV-3).
//! - I5 Every committed sample is acked, pending, or counted in a LOSS record (INV-6).
//! - I6 Recovery is a pure function of the bytes: the longest valid prefix, and LOSS for every unreadable range in it.
//! - I7 Recovery may be repeated, and killed at any point.
//!
//! A new segment gets its header, the preamble (dictionaries, history marks) and all unacknowledged LOSS records in
//! **one** fdatasync before it is given its name. So every segment can be read alone, and recovery reads only the
//! newest one.
//!
//! The quota counts all segment files. One segment is open, one is the spare; these two are the reserve for the
//! policy's own writes, the rest may hold sealed segments. When a segment is sealed and they are full, the oldest is
//! given up: its LOSS record stands in the new segment, is durable, then the cursor, then the file is recycled.
//!
//! This crate must never know what a body means (LOSS apart, which it writes), nor a network, nor an async runtime.

mod append;
mod config;
mod contents;
mod cursor;
mod dictionary;
mod disk;
mod error;
mod losses;
mod read;
mod reclaim;
mod recovery;
mod scan;
mod segment;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use model::record::Loss;
use model::{LogId, RecordType, Sequence, Timestamp};

pub use config::{
    QUOTA_SEGMENTS_MIN, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SpoolConfig,
};
pub use disk::{Disk, DiskFile, LockError, StdDisk};
pub use error::SpoolError;
pub use losses::{LOSSES_MAX, LossCount, LossTotals};
pub use read::StoredFrame;
pub use recovery::{Recovery, TornTail};
pub use status::Status;

use cursor::Cursors;
use losses::LossList;
use read::ReadCache;
use segment::{Salts, Segment};

/// A record as the caller gives it; sequence, salt and hash are the spool's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What the body is.
    pub record_type: RecordType,
    /// Samples in the body.
    pub samples: u32,
    /// Earliest source time in the body.
    pub ts_min: Timestamp,
    /// Latest source time in the body.
    pub ts_max: Timestamp,
    /// The body.
    pub body: Vec<u8>,
}

impl Draft {
    fn frame_bytes(&self) -> u64 {
        to_u64(model::frame::frame_bytes(self.body.len()))
    }
}

/// A record in memory that has its sequence and is not yet durable.
struct Pending {
    sequence: Sequence,
    draft: Draft,
}

/// The segment that is being written.
struct OpenSegment {
    file: Box<dyn DiskFile>,
    /// End of the durable frames in it.
    offset: u64,
}

/// The log. One thread owns it; everything is synchronous.
pub struct Spool {
    disk: Box<dyn Disk>,
    _lock: Box<dyn Send>,
    config: SpoolConfig,
    log_id: LogId,
    salts: Salts,
    /// Oldest first; the newest is the open one when `open` is there.
    segments: VecDeque<Segment>,
    open: Option<OpenSegment>,
    spare: Option<Box<dyn DiskFile>>,
    /// Acked or given up, file still there.
    retired: Vec<Segment>,
    cursors: Cursors,
    losses: LossList,
    preamble: Vec<Draft>,
    pending: Vec<Pending>,
    pending_bytes: u64,
    durable: Sequence,
    acked: Sequence,
    /// Hash of the newest durable frame.
    last_hash: [u8; 32],
    cache: ReadCache,
    /// Why there is no open segment; records stay in memory meanwhile.
    failing: Option<String>,
    refused: LossCount,
    write_errors: u64,
    written_bytes: u64,
    /// Bytes of the longest frame so far: so much may stay unused at the end of a segment.
    longest_bytes: u64,
    /// Whether recovery is done: before, no cursor must be written.
    is_ready: bool,
}

impl Spool {
    /// The life of this log.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The sequence that the next record will get.
    fn next_sequence(&self) -> Sequence {
        self.pending.last().map_or(self.durable, |pending| pending.sequence).next()
    }

    /// Last sequence of the segment at `index`, durable ones only.
    fn last_of(&self, index: usize) -> Sequence {
        self.segments
            .get(index + 1)
            .map_or(self.durable, |segment| Sequence(segment.first.0.saturating_sub(1)))
    }

    /// The ranges given up whose LOSS record is not acked yet, oldest first.
    pub fn losses(&self) -> Vec<Loss> {
        self.losses.unacked(self.acked).cloned().collect()
    }

    /// Those of [`Self::losses`] that reach above `watermark`: what the centre must hear of to pass them.
    pub fn losses_above(&self, watermark: Sequence) -> Vec<Loss> {
        let unacked = self.losses.unacked(self.acked);
        unacked.filter(|loss| loss.last > watermark).cloned().collect()
    }

    /// Writes the cursor and lets go of the directory. Dropping does the same, but cannot tell of an error.
    pub fn close(mut self) -> Result<(), SpoolError> {
        self.write_cursor()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.is_ready {
            return;
        }
        if let Err(error) = self.write_cursor() {
            tracing::warn!(%error, "spool cursor not written; some frames will be sent again");
        }
    }
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a usize has at most 64 bits")
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("sizes here are bounded by SEGMENT_BYTES_MAX")
}
