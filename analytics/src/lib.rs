//! From rows of a store to figures: the only place where polars is named. The energy arithmetic itself is `energy`'s,
//! exact and without polars. Must never know MQTT, HTTP or a terminal.

mod meanings;
pub mod plant;
pub mod query;
pub mod readings;
pub mod report;
pub mod rows;
mod windows;

#[cfg(test)]
mod tests;

pub use plant::{FiguresError, PlantFiles};
pub use readings::{LakeView, ReadError};
