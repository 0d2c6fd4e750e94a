//! From emissions to acknowledged frames: batches, one thread that owns the spool and makes them durable, and the state
//! machine that decides what is sent and what is freed.
//!
//! ```text
//! emissions ─▶ batcher ─▶ keeper thread ─▶ spool ═▶ view ─▶ uplink (pure): open, send, free, begin another log
//! ```
//!
//! Nothing is shown to an uplink before it is durable (INV-2). Must never know MQTT, a protocol or a configuration file.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

mod ack_watch;
mod batcher;
mod board;
mod clock_watch;
mod command;
mod commit_timer;
mod delivery;
mod fitness;
mod host;
mod keeping;
mod last;
mod marks;
mod points;
mod refusals;
mod segment_size;
mod settings;
mod status;
mod stored;
mod telling;
#[cfg(test)]
mod tests;
mod thread;
pub mod uplink;
mod uplink_open;

pub use board::{Failure, TaskBoard, TaskState, TaskStatus};
pub use command::{DestinationView, KeeperClosed, KeeperHandle, KeeperStatus, OpenInfo, SpoolView};
pub use host::Host;
pub use last::LastSamples;
pub use points::{GATEWAY_POINTS_MAX, PointTable, PointTableBuilder, TablePoint};
pub use settings::{KeeperSettings, SpoolSettings};
pub use status::{ClockStatus, DestinationStatus, SpoolFindings, SpoolStatus, UnfitPoint};
pub use thread::{Keeper, KeeperError};
