//! Between the broker and the store: admits what gateways send, commits it, and acknowledges what is durable. Must never
//! know a device, or which store it commits to.
//!
//! ```text
//! broker (embedded, or by URL) ─▶ inbox (bounded) ─▶ admit ─▶ committer: one commit per interval
//!                              ◀─ outbox: commit acks, live topics ◀──────────────┘
//! ```
//!
//! What the inbox has no room for, and what admission does not take, is dropped and counted: the gateways keep each frame
//! until its commit ack and send it again.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

pub mod admit;
pub mod damper;
mod error;
pub mod quarantine;
pub mod settings;
pub mod status;

mod broker;
mod committer;
mod inbox;
mod outbox;
mod run;

pub use error::{IngestEnded, IngestError};
pub use run::{Ingest, IngestHost};
pub use settings::{BrokerSettings, IngestSettings, UrlBroker};
pub use status::{
    CommitNotice, DamageStatus, DamagedPartStatus, IngestStatus, LogStatus, LostFramesStatus,
};
