//! Energy per unit of product, line by line.

use energy::unit_product::unit_product;
use energy::{BasisChoice, Inputs, Period, SourceError};
use serde_json::json;

use super::{Kpi, KpiFigures};
use crate::report;

pub(super) struct UnitProduct;

impl Kpi for UnitProduct {
    fn name(&self) -> &'static str {
        "unit-product"
    }

    fn compute(
        &self,
        inputs: &Inputs<'_>,
        period: Period,
        basis: BasisChoice,
    ) -> Result<KpiFigures, SourceError> {
        let products = unit_product(inputs, period, basis)?;
        Ok(KpiFigures {
            report: report::unit_products(&products, &inputs.plant.name),
            json: json!(products),
            missing: products.missing_coefficients,
            explanations: products.explanations,
        })
    }
}
