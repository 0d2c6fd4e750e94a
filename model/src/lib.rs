//! The nouns of Nengliu: identifiers, points, samples, quality, units, records, frames, topics and the wire codec.
//!
//! This crate does no I/O and never asks for the time: value in, value out. It must never know a protocol, a
//! store, a broker or a configuration file.

pub mod ack;
pub mod codec;
pub mod decimal;
pub mod dictionary;
pub mod error_chain;
#[cfg(feature = "fixtures")]
pub mod fixtures;
pub mod frame;
pub mod host;
pub mod id;
pub mod localized;
pub mod quality;
pub mod record;
pub mod rounded;
pub mod sample;
pub mod text;
pub mod time;
pub mod topic;
pub mod unit;
pub mod wire;

pub use ack::{Ack, AckFault, DurabilityClass};
pub use decimal::Decimal;
pub use dictionary::{
    Dictionary, DictionaryHash, Place, PlaceError, PlaceInSite, PointInfo, PointKind, PointState,
    ValueType,
};
pub use error_chain::error_chain;
pub use frame::{Frame, FrameHash, FrameHeader, RecordType};
pub use id::{
    CommitNumber, DestinationId, Epoch, GatewayId, Generation, LogId, PointId, PointIndex,
    Sequence, SequenceRange, StoreId,
};
pub use localized::{Language, Localized};
pub use quality::Quality;
pub use record::{Boot, Clock, Cursor, HistoryMarks, Loss, LossReason};
pub use sample::{Batch, Sample, SampleFlags, Value};
pub use text::Text;
pub use time::Timestamp;
pub use unit::Unit;
pub use wire::Lane;
