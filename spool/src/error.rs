//! What can go wrong with the spool.

use std::io;

use model::{LogId, Sequence};
use thiserror::Error;

use crate::config::QUOTA_SEGMENTS_MIN;
use crate::destination::DESTINATIONS_MAX;
use crate::losses::LOSSES_MAX;

/// Why the spool could not do what was asked.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The segment size is out of range.
    #[error(
        "spool segment of {found} bytes: expected a multiple of 4096 from {min} to {max} bytes"
    )]
    SegmentBytes {
        /// What was configured.
        found: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// The quota is too small.
    #[error(
        "spool quota of {found} bytes is too small: expected at least {expected} bytes ({QUOTA_SEGMENTS_MIN} segments \
         of {segment_bytes} bytes)"
    )]
    QuotaTooSmall {
        /// What was configured.
        found: u64,
        /// The least.
        expected: u64,
        /// Size of a segment.
        segment_bytes: u64,
    },
    /// The list of destinations is not usable.
    #[error(
        "spool with {found} destinations, {distinct} of them distinct: expected 1 to {DESTINATIONS_MAX}, each once"
    )]
    Destinations {
        /// How many were given.
        found: usize,
        /// How many of them differ.
        distinct: usize,
    },
    /// The disk cannot hold the quota and the reserve.
    #[error(
        "spool quota of {quota} bytes and its reserve of {reserve} bytes do not fit: {free} bytes are free in `{dir}`; free \
         some space or set a smaller quota"
    )]
    NoSpace {
        /// The quota.
        quota: u64,
        /// One segment beside it, for a disk that becomes full.
        reserve: u64,
        /// What is free.
        free: u64,
        /// Where.
        dir: String,
    },
    /// Another process has the spool open.
    #[error("spool `{dir}` is in use by process {holder}; stop it first")]
    Locked {
        /// The directory.
        dir: String,
        /// Its process id, or `unknown`.
        holder: String,
    },
    /// A newer program wrote the file; nothing was touched.
    #[error(
        "`{file}` has version {found}, expected {expected}; update this program or choose another spool directory"
    )]
    Version {
        /// The file.
        file: String,
        /// Version found.
        found: u32,
        /// Version known.
        expected: u32,
    },
    /// A segment of another log lies in the directory; nothing was touched.
    #[error(
        "`{file}` belongs to log {found}, the others to {expected}; move it out of the spool directory"
    )]
    Foreign {
        /// The file.
        file: String,
        /// Its log.
        found: LogId,
        /// The log of the newest segment.
        expected: LogId,
    },
    /// The record is too long for the segment size.
    #[error("record of {found} bytes is too long: at most {max} bytes fit this segment size")]
    RecordTooLong {
        /// Bytes of its frame.
        found: u64,
        /// The most.
        max: u64,
    },
    /// The preamble is too long for the segment size.
    #[error("preamble of {found} bytes is too long: at most {max} bytes fit this segment size")]
    PreambleTooLong {
        /// Bytes of its frames.
        found: u64,
        /// The most.
        max: u64,
    },
    /// The disk fails and the memory that may be used meanwhile is full; the record was dropped and counted.
    #[error("record dropped: the disk fails and {max} bytes of records already wait in memory")]
    MemoryFull {
        /// The bound.
        max: u64,
    },
    /// No segment can be written; the records stay in memory. `commit` tries again with a new file.
    #[error("spool cannot write: {0}; records wait in memory, which is bounded")]
    Failing(String),
    /// The centre acknowledges what was never durable here: another gateway uses this log, or an old copy of the spool
    /// was put back.
    #[error("commit ack for sequence {upto}, but only {durable} is durable here")]
    AckBeyondDurable {
        /// What was acked.
        upto: Sequence,
        /// What is durable.
        durable: Sequence,
    },
    /// The acknowledgement is of another frame than the one that stands here under this sequence.
    #[error("commit ack for sequence {upto} has the hash of another frame than the one here")]
    AckOfAnotherLog {
        /// What was acked.
        upto: Sequence,
    },
    /// An acknowledgement of what was never sent, because frames before it are not acked yet.
    #[error("commit ack for sequence {upto}, but only frames up to {deliverable} were sent")]
    AckOfUnsent {
        /// What was acked.
        upto: Sequence,
        /// The last frame that was sent.
        deliverable: Sequence,
    },
    /// An acknowledgement that anybody could have made.
    #[error("commit ack for sequence {upto} is without the hash of its frame; update the centre")]
    AckWithoutHash {
        /// What was acked.
        upto: Sequence,
    },
    /// Too many damaged ranges; reading goes on when the centre has acked up to them.
    #[error("more than {LOSSES_MAX} separate ranges are lost and not yet acked")]
    LossesFull,
    /// The disk failed.
    #[error("{what} failed")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SpoolError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// The text with that of its source, for a state that outlives the error.
    pub(crate) fn full_text(&self) -> String {
        match self {
            Self::Io { what, source } => format!("{what} failed: {source}"),
            Self::Failing(text) => text.clone(),
            other => other.to_string(),
        }
    }
}
