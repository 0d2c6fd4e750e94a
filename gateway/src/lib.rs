//! The edge daemon: plan → poll → shape → batch → keep → forward.
//!
//! Ports run protocol tasks and hand over emissions; one keeper thread owns the spool, cuts batches and makes them
//! durable; the uplink sends durable frames and frees them for the commit ack alone (INV-3). This crate must never
//! know a concrete protocol, polars or a store.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

pub mod batcher;
pub mod health;
pub mod keeper;
pub mod mqtt;
pub mod plan;
pub mod points;
pub mod poll_groups;
mod ports;
pub mod run;
pub mod settings;
pub mod status;
mod status_socket;
mod status_view;
pub mod supervise;
pub mod transport;
pub mod uplink;
mod uplink_open;
mod uplink_task;
mod uplinks;
mod verdict;

pub use plan::{GatewayPlan, plan};
pub use points::{PointTable, PointTableBuilder};
pub use run::{GatewayHandle, Host, RunError, UPLINK_DRAIN_TIMEOUT, start};
pub use settings::{Settings, UplinkSettings};
pub use status::GatewayStatus;
