//! Energy per 10k yuan of output value and of value added: the last rows of Table 1 alone.

use energy::{BasisChoice, Inputs, Period, SourceError};
use serde_json::json;

use super::{Kpi, KpiFigures};
use crate::report;

pub(super) struct Intensity;

impl Kpi for Intensity {
    fn name(&self) -> &'static str {
        "intensity"
    }

    fn compute(
        &self,
        inputs: &Inputs<'_>,
        period: Period,
        basis: BasisChoice,
    ) -> Result<KpiFigures, SourceError> {
        let table = energy::table1(inputs, period, basis)?;
        Ok(KpiFigures {
            report: report::intensity(&table),
            json: json!(table),
            missing: table.missing_coefficients,
            explanations: table.explanations,
        })
    }
}
