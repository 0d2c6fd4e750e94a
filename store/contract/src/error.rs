//! What a store refuses a draft for, and how it says that something else went wrong.

use model::{GatewayId, LogId, PointIndex, Sequence, Timestamp};
use thiserror::Error;

/// Why a store or a reader of it failed, in the engine's own words.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// A rule of a draft that was broken, with the frame that broke it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("frame {sequence} of log {log_id} of gateway `{gateway}`: {fault}")]
pub struct DraftError {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its spool.
    pub log_id: LogId,
    /// The frame.
    pub sequence: Sequence,
    /// What is wrong.
    pub fault: DraftFault,
}

/// What can be wrong with a frame of a draft, or with where its log goes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DraftFault {
    /// A sample names a point that its dictionary does not have.
    #[error("point index {} is outside its dictionary of {points} points", index.0)]
    UnknownPoint {
        /// The index.
        index: PointIndex,
        /// How many points there are.
        points: usize,
    },
    /// A sample's value is of another type than its point.
    #[error("value of point index {} is a {found}: its dictionary says {expected}", index.0)]
    ValueType {
        /// The point.
        index: PointIndex,
        /// What the dictionary says.
        expected: &'static str,
        /// What the sample has.
        found: &'static str,
    },
    /// A time, of the source or of the gateway, that not every store can hold.
    #[error("time {found} is outside {} to {}", Timestamp::MIN, Timestamp::MAX)]
    Time {
        /// The time.
        found: Timestamp,
    },
    /// Frames of one log must come in order, each once.
    #[error("comes after frame {previous} of the same log: expected ascending sequences")]
    Order {
        /// The frame before it in the draft.
        previous: Sequence,
    },
    /// A frame above the watermark would be sent again and stored twice.
    #[error("lies above the watermark of its draft, {durable_upto}")]
    AboveWatermark {
        /// The watermark that the draft asks for; 0 when it asks for none.
        durable_upto: Sequence,
    },
    /// A count that no table holds.
    #[error("number {found} is too large: at most {} can be stored", i64::MAX)]
    TooLarge {
        /// The number.
        found: u64,
    },
    /// The draft was made for a log that stands further than the store says: the store lost what lies between.
    #[error(
        "continues a log from {stood}, which stands at {durable_upto} in the store: expected the store to hold \
         everything up to {stood}; open the store again, the gateway sends what is missing"
    )]
    DoesNotJoin {
        /// Where the log stood for the maker of the draft.
        stood: Sequence,
        /// Where it stands in the store.
        durable_upto: Sequence,
    },
}
