//! A plant that *serves* real protocols: Modbus TCP, Modbus RTU on a pseudo-terminal and OPC UA with history. Seeded and
//! repeatable; it knows its own integral, the exact energy that each meter should show. Must never know the gateway.
//!
//! [`Plant`] is the pure model. [`Simulation::start`] serves one; [`write_demo_files`] writes what a gateway and the
//! figures need to read it; [`expected`] says what Table 1 of a month should show. [`Flood`] is for measurements.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

mod demo;
mod device;
mod error;
mod modbus;
mod month;
mod opcua;
mod plant;
mod simulation;

pub use demo::{DemoFiles, SITE, write_demo_files};
pub use error::SimulatorError;
pub use modbus::{Flood, FloodCount};
pub use month::Month;
pub use plant::{METERS, Meter, PRODUCTS, Plant, Product};
pub use simulation::{Expected, Running, Simulation, SimulationConfig, expected};
