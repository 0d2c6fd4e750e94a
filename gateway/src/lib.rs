//! The edge daemon: plan → poll → shape → batch → keep → forward.
//!
//! Ports run protocol tasks and hand over emissions to the keeper, a crate of its own; uplink tasks carry out what its
//! state machine decides, over MQTT. This crate must never know a concrete protocol, polars or a store.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

pub mod health;
pub mod mqtt;
pub mod online;
pub mod plan;
pub mod poll_groups;
mod ports;
pub mod run;
pub mod settings;
pub mod status;
mod status_socket;
mod status_view;
pub mod supervise;
pub mod transport;
mod uplink_task;
mod uplinks;
mod verdict;

pub use keeper::{Host, KeeperError};
pub use plan::{GatewayPlan, plan};
pub use run::{GatewayHandle, RunError, UPLINK_DRAIN_TIMEOUT, start};
pub use settings::{Settings, UplinkSettings};
pub use status::GatewayStatus;
