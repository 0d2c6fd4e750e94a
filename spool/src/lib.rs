//! A crash-safe, bounded disk log of opaque records for one destination or several.
//!
//! ```text
//! {dir}/lock                    held while open; holds the process id of the holder
//! {dir}/0000000000012c40.seg    first sequence in fixed-width hex; a header, then frames (model::frame); fixed size
//! {dir}/spare                   the next segment, written before it is needed
//! {dir}/reserve                 one more of this size, for a disk that is full while there is no spare
//! {dir}/cursors.a  cursors.b    two 4 KiB slots written in turn; advisory, they only move forward
//! {dir}/guard                   the log and the highest sequence that may be in use, in many copies
//! ```
//!
//! What it promises (numbers of the tests):
//! - I1 A frame can be read only after the fdatasync that covers it has returned (INV-2).
//! - I2 Sequences are dense within a `log_id`, but for ranges that a LOSS record names, and never used twice (INV-2),
//!   also on a disk that forgets up to 31 blocks although it said that they are durable.
//! - I3 acked ≤ durable ≤ appended.
//! - I4 A segment is recycled only when each destination has acked all its frames, with the hash of one of them, or a
//!   LOSS record that is durable covers them (INV-3).
//! - I5 Every committed sample is acked, pending, or covered by a LOSS record (INV-6).
//! - I6 Recovery is a pure function of the bytes: the longest valid prefix, and LOSS for every unreadable range in it.
//! - I7 Recovery may be repeated, and killed at any point.
//!
//! After an unclean end nobody can tell from the last blocks what had been sent, so the log goes on above the bound of
//! the guard and writes a LOSS `skipped` for the range between. When even the log cannot be trusted to be this one (the
//! guard is missing, or a centre has what was never here), it begins again under another `log_id` with what is held.
//!
//! A new segment gets its header, the preamble (dictionaries, history marks) and all unacknowledged LOSS records in
//! **one** fdatasync before it is given its name. So every segment can be read alone, and recovery reads only the
//! newest one. The marks are asked for at that moment, so those in a new segment are as new as the records before it, and
//! a segment that is freed takes none along.
//!
//! The quota counts all segment files. One segment is open, one is the spare; these two are the reserve for the
//! policy's own writes, the rest may hold sealed segments. When a segment is sealed and they are full, the oldest is
//! given up for the destinations that have not acked it: the LOSS record stands in the new segment, is durable, then the
//! cursor, then the file is recycled. All that this needs is made before the first record is taken, so that a full disk
//! finds it there: the spare, both slots of the cursor, the guard, and the `reserve`, which lies beside the quota.
//!
//! This crate must never know what a body means (LOSS apart, which it writes), nor a network, nor an async runtime.

mod append;
mod config;
mod contents;
mod cursor;
mod destination;
mod dictionary;
mod disk;
mod error;
mod guard;
mod losses;
mod marks;
mod read;
mod reclaim;
mod recovery;
mod renew;
mod reserve;
mod scan;
mod segment;
#[cfg(any(test, feature = "simulated-disk"))]
pub mod sim;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use model::{LogId, RecordType, Sequence, Timestamp};

pub use config::{
    QUOTA_SEGMENTS_MIN, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SpoolConfig,
};
pub use destination::{DESTINATIONS_MAX, DestinationIndex};
pub use disk::{Disk, DiskFile, LockError, StdDisk};
pub use error::SpoolError;
pub use losses::{LOSSES_MAX, LossCount, LossTotals};
pub use marks::MarkSource;
pub use read::StoredFrame;
pub use recovery::{Recovery, TornTail};
pub use status::{DestinationStatus, Status};

use cursor::Cursors;
use destination::Destination;
use guard::Guard;
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
    /// Whether the file for a full disk is there.
    has_reserve: bool,
    /// Acked or given up, file still there.
    retired: Vec<Segment>,
    cursors: Cursors,
    guard: Guard,
    /// The log whose frames are still to be written again under this one.
    previous: Option<LogId>,
    destinations: Vec<Destination>,
    /// What each destination lost.
    losses: Vec<LossList>,
    preamble: Vec<Draft>,
    /// Asked for the full set of history marks at the start of each segment.
    marks: Option<Box<dyn MarkSource>>,
    /// Those that were found, until the caller sets the preamble.
    found_marks: Vec<Draft>,
    pending: Vec<Pending>,
    pending_bytes: u64,
    /// Everything up to it is durable here, or was passed over.
    durable: Sequence,
    /// The newest durable frame.
    last_frame: Sequence,
    /// Its hash.
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
    /// The newest segment was sealed because a write to it failed.
    is_behind_error: bool,
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

    /// Writes the cursor, notes that the log ends here, and lets go of the directory. Dropping does the same, but
    /// cannot report an error.
    pub fn close(mut self) -> Result<(), SpoolError> {
        self.end()
    }

    /// After this no sequence above the last durable one is in use, so the next run goes on without a gap.
    fn end(&mut self) -> Result<(), SpoolError> {
        self.write_cursor()?;
        if self.previous.is_none() && self.guard.bound() != self.durable {
            self.write_guard(self.log_id, None, self.durable)?;
        }
        self.is_ready = false;
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.is_ready {
            return;
        }
        if let Err(error) = self.end() {
            tracing::warn!(%error, "spool not closed in order; some frames will be sent again");
        }
    }
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a usize has at most 64 bits")
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("sizes here are bounded by SEGMENT_BYTES_MAX")
}
