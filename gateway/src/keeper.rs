//! The keeper: one thread that owns the spool. It gathers emissions, cuts them into batches, makes them durable and
//! only then shows them to the uplink (INV-2). Must never know MQTT or a protocol.

mod ack_watch;
mod clock_watch;
mod command;
mod commit_timer;
mod delivery;
mod fitness;
mod keeping;
mod last;
mod marks;
mod refusals;
mod segment_size;
mod stored;
mod telling;
#[cfg(test)]
mod tests;
mod thread;

pub use command::{DestinationView, KeeperClosed, KeeperHandle, KeeperStatus, OpenInfo, SpoolView};
pub use last::LastSamples;
pub use thread::{Keeper, KeeperError, KeeperSettings};
