//! Table 1 of the energy balance.

use energy::{BasisChoice, Inputs, Period, SourceError};
use serde_json::json;

use super::{Kpi, KpiFigures};
use crate::report;

pub(super) struct Table1;

impl Kpi for Table1 {
    fn name(&self) -> &'static str {
        "table1"
    }

    fn compute(
        &self,
        inputs: &Inputs<'_>,
        period: Period,
        basis: BasisChoice,
    ) -> Result<KpiFigures, SourceError> {
        let table = energy::table1(inputs, period, basis)?;
        Ok(KpiFigures {
            report: report::table1(&table),
            json: json!(table),
            missing: table.missing_coefficients,
            explanations: table.explanations,
        })
    }
}
