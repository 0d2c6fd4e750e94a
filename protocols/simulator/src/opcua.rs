//! The OPC UA side of the plant: its meters as nodes with live values and history.

mod grid;
mod history;
mod nodes;
mod server;

pub(crate) use grid::Grid;
pub(crate) use server::{Endpoint, OpcUaServer, start};

#[cfg(test)]
mod tests;
