//! The figures that a plant has: each is a [`Kpi`], and this is the list of them. Must never render.
//!
//! A new one is a file beside this one and a line in [`KPIS`]: commands, `explain`, the service and its JSON find it there.

mod intensity;
mod table1;
mod unit_product;

use energy::{BasisChoice, Explanations, Inputs, MissingCoefficient, Period, SourceError};
use serde_json::Value;

use crate::report::Report;

/// One kind of figures.
pub trait Kpi: Send + Sync {
    /// Its name in commands and files, and the first part of the names of figures that it alone has.
    fn name(&self) -> &'static str;
    /// Computes it for a period.
    ///
    /// # Errors
    /// When a quantity is given twice.
    fn compute(
        &self,
        inputs: &Inputs<'_>,
        period: Period,
        basis: BasisChoice,
    ) -> Result<KpiFigures, SourceError>;
}

/// What a [`Kpi`] gives.
#[derive(Debug, Clone)]
pub struct KpiFigures {
    /// For people.
    pub report: Report,
    /// For programs, without the name of its form.
    pub json: Value,
    /// What stands behind each figure.
    pub explanations: Explanations,
    /// Coefficients that are missing.
    pub missing: Vec<MissingCoefficient>,
}

/// All of them.
pub const KPIS: &[&dyn Kpi] = &[&table1::Table1, &intensity::Intensity, &unit_product::UnitProduct];

/// The one of that name.
#[must_use]
pub fn kpi(name: &str) -> Option<&'static dyn Kpi> {
    KPIS.iter().copied().find(|kpi| kpi.name() == name)
}

/// All of them, first the one that a figure of that name says it is of.
pub fn kpis_for(figure: &str) -> impl Iterator<Item = &'static dyn Kpi> {
    let first = figure.split('/').next().unwrap_or_default().replace('_', "-");
    let named = kpi(&first);
    let others = KPIS.iter().copied().filter(move |kpi| kpi.name() != first);
    named.into_iter().chain(others)
}
