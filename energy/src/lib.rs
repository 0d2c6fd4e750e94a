//! The energy arithmetic: counters to 15-minute slots, facts, Table 1 and unit-product energy, in exact integers and
//! decimals.
//!
//! Value in, value out: texts, readings and periods go in, figures with their provenance come out. Must never know
//! polars, a store, a clock or how a figure is rendered.

pub mod coefficient;
pub mod convert;
mod csv_table;
pub mod fact;
pub mod id;
pub mod number;
pub mod period;
pub mod plant;
mod serial;

pub use coefficient::{Basis, Coefficient, MissingCoefficient, Registry, Resolved};
pub use number::{Number, Ratio};
pub use period::{Period, Span};
