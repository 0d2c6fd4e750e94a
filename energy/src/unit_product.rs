//! Unit-product energy (单位产品综合能耗): the energy of each line with its share of shared equipment, per qualified product.
//! What the lines do not use is shown, so that lines and the rest are the enterprise. Must never divide by all output.

use model::{CommitNumber, text};
use serde::Serialize;

use crate::coefficient::MissingCoefficient;
use crate::fact::Flow;
use crate::figure::{Explanations, Figure};
use crate::id::{KindId, ProductId, SubjectId};
use crate::number::Number;
use crate::period::Period;
use crate::plant::EnergyKind;
use crate::sheet::{Measured, Sheet, TCE, Term};
use crate::source::{Inputs, SourceError};
use crate::table1::{Cell, per_basis, table1};
use crate::tce::{BasisChoice, Converter, KindCoefficient, PerBasis};

mod making;
mod products;
mod uses;
mod within;

use making::Making;
use uses::Counted;

/// Unit-product energy of all lines in one period.
#[derive(Debug, Clone, Serialize)]
pub struct UnitProduct {
    /// The period.
    pub period: Period,
    /// The bases asked for.
    pub basis: BasisChoice,
    /// The ingest commit up to which readings were taken.
    pub commit: Option<CommitNumber>,
    /// Which coefficients were used, per basis.
    pub coefficient_sets: PerBasis<String>,
    /// The lines.
    pub lines: Vec<Line>,
    /// The enterprise's total less that of the lines.
    pub undistributed: PerBasis<Figure>,
    /// The enterprise's total, as in Table 1.
    pub totals: PerBasis<Figure>,
    /// The coefficients that the lines' energy was converted by.
    pub coefficients: Vec<KindCoefficient>,
    /// Coefficients that are needed and not there.
    pub missing_coefficients: Vec<MissingCoefficient>,
    /// What stands behind each figure.
    #[serde(skip)]
    pub explanations: Explanations,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The line.
    pub line: SubjectId,
    /// Its name.
    pub name: String,
    /// Its energy by kind.
    pub kinds: Vec<LineKind>,
    /// Its energy.
    pub tce: PerBasis<Figure>,
    /// What it makes, where that is one product.
    pub product: Option<LineProduct>,
    /// What it makes, where those are several: its energy is divided among them by `weight` × qualified output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<ProductPart>,
}

/// One energy kind of a line.
#[derive(Debug, Clone, Serialize)]
pub struct LineKind {
    /// The kind.
    pub kind: KindId,
    /// Its name.
    pub name: String,
    /// What the line uses itself.
    pub own: Option<Figure>,
    /// Its shares of shared equipment.
    pub allocated: Vec<Figure>,
    /// Its shares of what was used to make other kinds that it uses, such as the coal of own steam.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<Figure>,
    /// All of these.
    pub quantity: Figure,
    /// What of it was bought or generated, where the rest was made on site: this is converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<Figure>,
    /// In coal equivalent; absent for a kind that is made on site alone.
    pub converted: PerBasis<Cell>,
    /// Per qualified product.
    pub per_product: Option<Figure>,
}

/// What a line makes.
#[derive(Debug, Clone, Serialize)]
pub struct LineProduct {
    /// The product.
    pub product: ProductId,
    /// Its name.
    pub name: String,
    /// What passed inspection: the denominator.
    pub qualified_output: Figure,
    /// All that was made, for comparison.
    pub output: Figure,
    /// Energy per qualified product.
    pub energy_per_product: PerBasis<Figure>,
}

/// One of several products of a line.
#[derive(Debug, Clone, Serialize)]
pub struct ProductPart {
    /// The product, with its energy per qualified product.
    #[serde(flatten)]
    pub product: LineProduct,
    /// Its part of the energy of the line; the parts sum to it exactly.
    pub energy: PerBasis<Figure>,
    /// Each kind per qualified product.
    pub kinds: Vec<Figure>,
}

/// Computes unit-product energy.
///
/// # Errors
/// When a quantity is given at two levels of the plant.
///
/// # Source
/// GB/T 2589-2020 6.5 (单位产品综合能耗): qualified product (合格产品) only.
pub fn unit_product(
    inputs: &Inputs<'_>,
    period: Period,
    basis: BasisChoice,
) -> Result<UnitProduct, SourceError> {
    let enterprise = table1(inputs, period, basis)?;
    let plant = inputs.plant;
    let rows = uses::find(inputs, period)?;
    let used = || rows.iter().flat_map(|(_, uses)| uses);
    let converted = || used().filter(|one| one.counted != Counted::Nothing);
    let made =
        used().any(|one| matches!(one.counted, Counted::Part(..)) || !one.remarks.is_empty());
    let purchased = enterprise.rows.iter().filter(|row| row.source != Flow::Own);
    // The same kinds as Table 1 and the same set id, unless a line uses a kind that the enterprise does not buy.
    let kinds: Vec<&EnergyKind> = plant
        .kinds
        .iter()
        .filter(|kind| {
            purchased.clone().any(|row| row.kind == kind.id)
                || converted().any(|one| one.kind.id == kind.id)
        })
        .collect();
    let converter = Converter::new(inputs, kinds.iter().copied(), period, basis);
    let on =
        PerBasis::of(basis, |basis| Measured { basis, coefficient_set: converter.set_id(basis) });
    let mut sheet = Sheet::new(period, inputs.commit);
    sheet.explanations = enterprise.explanations;
    let mut making = Making { inputs, converter: &converter, on: &on, basis, sheet: &mut sheet };
    let lines: Vec<Line> = rows.into_iter().map(|(line, uses)| making.line(line, uses)).collect();
    let undistributed = per_basis(&on, basis, |on| {
        let total = enterprise.totals.get(on.basis).expect("each basis asked for has a total");
        let parts = lines.iter().filter_map(|line| line.tce.get(on.basis));
        let mut terms = vec![Term { figure: total, minus: false }];
        terms.extend(parts.map(|figure| Term { figure, minus: true }));
        let name = format!("{}/undistributed/{}", base(period), on.basis);
        let mut figure = sheet.sum(name, TCE, Some(on), &terms);
        if figure.exact().is_some_and(|rest| *rest < Number::zero()) {
            let note = if made {
                text!(
                    en: "the lines use more than the enterprise bought: what it makes itself, or the meters are wrong",
                    zh: "各产线用能超过企业外购：来自自产，或计量有误",
                )
            } else {
                text!(
                    en: "the lines use more than the enterprise bought: check the meters",
                    zh: "各产线用能超过企业外购：请检查计量",
                )
            };
            sheet.remark(&mut figure, note);
        }
        figure
    });
    Ok(UnitProduct {
        period,
        basis,
        commit: inputs.commit,
        coefficient_sets: per_basis(&on, basis, |on| on.coefficient_set.clone()),
        lines,
        undistributed,
        totals: enterprise.totals,
        coefficients: converter.coefficients(kinds.iter().copied(), basis),
        missing_coefficients: missing(enterprise.missing_coefficients, converter.missing()),
        explanations: sheet.explanations,
    })
}

fn base(period: Period) -> String {
    format!("unit-product/{period}")
}

fn missing(
    of_enterprise: Vec<MissingCoefficient>,
    of_lines: Vec<MissingCoefficient>,
) -> Vec<MissingCoefficient> {
    let mut all = of_enterprise;
    for one in of_lines {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}
