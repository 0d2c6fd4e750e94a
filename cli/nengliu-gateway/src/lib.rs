//! The composition root of the edge: which protocols a gateway speaks, the real clock and chance, and how problems are
//! shown. `nengliu demo` runs the same gateway in its own process. Must never know a store or polars.

pub mod commands;
mod host;
mod load;
mod render;

pub use host::{SystemClock, SystemEntropy, host};
pub use load::{LoadError, load, protocols};
pub use render::{problems_as_json, render_problem, render_problems};
