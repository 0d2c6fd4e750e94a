//! Why a batch has no bytes, or bytes no batch.

use thiserror::Error;

use crate::id::PointIndex;
use crate::time::Timestamp;

use super::CODEC_VERSION;

/// Why a batch cannot be encoded, or why bytes are not a batch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// A newer program wrote it.
    #[error("batch version {found} is unknown: expected {CODEC_VERSION}; update this program")]
    Version {
        /// The version found.
        found: u8,
    },
    /// More of something than is accepted.
    #[error("batch has too many {what}: found {found}, at most {max} are accepted")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many there may be.
        max: u64,
    },
    /// The bytes end before the batch does.
    #[error("batch is cut: its bytes end too early")]
    Truncated,
    /// The batch ends before the bytes do.
    #[error("batch is damaged: bytes are left over after its end")]
    Trailing,
    /// Values are held in a way that this program does not know.
    #[error("batch is damaged: form {found} of values is unknown")]
    Form {
        /// The form found.
        found: u64,
    },
    /// A newer program wrote it.
    #[error("flags {found} of a sample are unknown; update this program")]
    Flags {
        /// The flags found.
        found: u64,
    },
    /// Parts that contradict each other.
    #[error("batch is damaged: {what} does not fit the rest")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// Samples are not in the order (point, source time), or two share both.
    #[error("sample {} of point {} is out of order or there twice", source_time, point.0)]
    Order {
        /// Its point.
        point: PointIndex,
        /// Its source time.
        source_time: Timestamp,
    },
    /// A Bad sample with a value, or another one without (INV-1).
    #[error("sample {} of point {}: a value is there exactly if the quality is not Bad", source_time, point.0)]
    ValueAgainstQuality {
        /// Its point.
        point: PointIndex,
        /// Its source time.
        source_time: Timestamp,
    },
    /// A double that is NaN or infinite.
    #[error("sample {} of point {}: a value must be a finite number", source_time, point.0)]
    NotFinite {
        /// Its point.
        point: PointIndex,
        /// Its source time.
        source_time: Timestamp,
    },
    /// A point with values of two kinds in one batch.
    #[error("point {}: all values must be of one kind: decimal, float, bool or text", point.0)]
    MixedValues {
        /// The point.
        point: PointIndex,
    },
}
