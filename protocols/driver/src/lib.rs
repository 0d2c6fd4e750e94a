//! The contract between the gateway and a protocol, and the parts that protocols share. The gateway hands over what was
//! configured and gets back a plan and a task per port; a protocol hands over samples and says how its devices do. Must
//! never know a concrete protocol, the spool or MQTT.
//!
//! | part | who needs it |
//! |---|---|
//! | [`poll_until_stopped`], [`PollGroup`], [`Schedule`] | whoever polls: one request at a time, intervals per point |
//! | [`Breaker`], [`Backoff`] | whoever waits for a device that does not answer |
//! | [`SilenceWatch`] | whoever is sent values: connected, but no data |
//! | [`SerialSettings`], [`SerialLine`] | whoever shares a pair of wires |
//! | [`history`] | whoever reads back what a device remembers |
//! | [`Scaling`] | whoever turns raw numbers into units |

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

mod contract;
mod scaling;

mod backoff;
mod breaker;
mod silence;

mod poll;
mod schedule;

mod serial;

pub mod history;

pub use backoff::{Backoff, jitter};
pub use breaker::Breaker;
pub use contract::{
    DeviceSpec, EMISSIONS_QUEUED_MAX, Emission, Exclusive, Fault, HistoryFrom, Observer, Plan,
    PointSpec, Port, PortLink, PortSpec, Protocol, Stopped,
};
pub use poll::{Outcome, PollGroup, Polled, Round, poll_groups, poll_until_stopped};
pub use scaling::{RawKind, Scaling};
pub use schedule::{Due, Schedule};
pub use serial::{SerialLine, SerialSettings};
pub use silence::SilenceWatch;
