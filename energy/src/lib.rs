//! The energy arithmetic: counters to 15-minute slots, facts, Table 1 and unit-product energy, in exact integers and
//! decimals.
//!
//! Value in, value out: texts, readings and periods go in, figures with their provenance come out. Must never know
//! polars, a store, a clock or how a figure is rendered.

pub mod coefficient;
pub mod convert;
pub mod fact;
pub mod figure;
mod flows;
pub mod id;
pub mod index;
mod made;
pub mod number;
pub mod period;
pub mod plant;
pub mod put_aside;
pub mod readings;
pub mod resets;
mod serial;
mod sheet;
pub mod source;
pub mod table1;
pub mod tce;
pub mod unit_product;
mod validate;

pub use coefficient::{Basis, Coefficient, MissingCoefficient, Registry, Resolved};
pub use fact::{Fact, Facts};
pub use figure::{Explanation, Explanations, Figure, FigureValue, explain};
pub use index::{
    Bound, BoundSource, Class, Coverage, EventFinding, Finished, GapCause, Index, IndexBuilder,
    Learned, NotUsed, OpenGap, PeriodEnergy, Segment, Slot,
};
pub use number::{Number, Ratio};
pub use period::{Period, Span};
pub use plant::Plant;
pub use put_aside::{Aside, PutAside};
pub use readings::{MeterReadings, Reading, ReadingsError};
pub use source::{Inputs, Meters, SourceError};
pub use table1::{Table1, table1};
pub use tce::{BasisChoice, PerBasis};
pub use unit_product::{UnitProduct, unit_product};

#[cfg(test)]
mod tests;
