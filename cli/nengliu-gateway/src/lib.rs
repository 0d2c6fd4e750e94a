//! The composition root of the edge: which protocols a gateway speaks, and its commands. Must never know a store or
//! polars.

pub mod commands;
mod load;

pub use load::{LoadError, load, protocols};

/// The environment of a gateway that runs for real.
#[must_use]
pub fn host() -> gateway::Host {
    let clock = std::sync::Arc::new(program::SystemClock::default());
    gateway::Host { clock, entropy: std::sync::Arc::new(program::SystemEntropy) }
}
