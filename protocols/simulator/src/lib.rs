//! A plant that *serves* real protocols: Modbus TCP, Modbus RTU on a pseudo-terminal and OPC UA with history. Seeded and
//! repeatable; it knows its own integral, the exact energy that each meter should show. Must never know the gateway.

mod device;
mod error;
mod modbus;
mod opcua;
mod plant;

pub use error::SimulatorError;
pub use modbus::{Flood, FloodCount};

pub use plant::{METERS, Meter, PRODUCTS, Plant, Product};
