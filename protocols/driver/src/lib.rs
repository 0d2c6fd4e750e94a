//! The contract between the gateway and a protocol. The gateway hands over what was configured and gets back a plan and
//! a task per port; a protocol hands over samples and says how its devices do. Must never know a concrete protocol,
//! the spool or MQTT.

mod backoff;
mod contract;
mod scaling;
mod schedule;

pub use backoff::Backoff;
pub use contract::{
    DeviceSpec, EMISSIONS_QUEUED_MAX, Emission, Fault, HistoryFrom, Observer, Plan, PointSpec,
    Port, PortLink, PortSpec, Protocol, Stopped,
};
pub use scaling::{RawKind, Scaling};
pub use schedule::{Due, Schedule};
