//! From rows of a store to figures: reads through the contract of stores, so whichever engine holds them. The energy
//! arithmetic itself is `energy`'s, exact and row by row. Must never know an engine, MQTT, HTTP or a terminal.

mod columns;
pub mod kpi;
mod meanings;
mod meter_scan;
pub mod plant;
pub mod query;
pub mod readings;
pub mod report;
pub mod service;
pub mod soundness;
mod workbook;

#[cfg(test)]
mod tests;

pub use kpi::{KPIS, Kpi, KpiFigures, kpi};
pub use plant::{FiguresError, PlantFiles, PlantHash};
pub use readings::{Metered, ReadError, StoreView};
pub use service::{Answer, FigureService};
