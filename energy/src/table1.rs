//! Table 1 of the platform standard: energy by kind and source, totals on both bases, 万元产值 and 增加值 energy. Must
//! never print.

use model::{CommitNumber, text};
use serde::Serialize;

use crate::coefficient::{Basis, EnergyClass, MissingCoefficient, Rule};
use crate::fact::{Flow, Measure};
use crate::figure::{Explanations, Figure};
use crate::id::{KindId, SubjectId};
use crate::index::{Class, Coverage};
use crate::number::Number;
use crate::period::Period;
use crate::plant::{EnergyKind, SteamRule, Treatment};
use crate::sheet::{Measured, Sheet, TCE, Term};
use crate::source::{Inputs, NotCounted, Quantity, SourceError};
use crate::tce::{BasisChoice, CoefficientUse, Converter, PerBasis};

/// Unit of the money of the statistical forms.
const MONEY: &str = "万元";

/// Table 1 for one period.
#[derive(Debug, Clone, Serialize)]
pub struct Table1 {
    /// The period.
    pub period: Period,
    /// The enterprise.
    pub subject: SubjectId,
    /// Its name.
    pub subject_name: String,
    /// The bases asked for.
    pub basis: BasisChoice,
    /// The ingest commit up to which readings were taken.
    pub commit: Option<CommitNumber>,
    /// Which coefficients were used, per basis.
    pub coefficient_sets: PerBasis<String>,
    /// By which rules each kind was converted.
    pub rules: Vec<KindRule>,
    /// One row per kind and source, in the order of the plant file.
    pub rows: Vec<Row>,
    /// Primary, secondary, media.
    pub subtotals: Vec<Subtotal>,
    /// 综合能耗.
    pub totals: PerBasis<Figure>,
    /// Gross industrial output value.
    pub gross_output_value: Figure,
    /// Industrial value added.
    pub value_added: Figure,
    /// 万元产值综合能耗.
    pub output_value_intensity: PerBasis<Figure>,
    /// 万元增加值综合能耗.
    pub value_added_intensity: PerBasis<Figure>,
    /// Coefficients that are needed and not there.
    pub missing_coefficients: Vec<MissingCoefficient>,
    /// What stands behind each figure.
    #[serde(skip)]
    pub explanations: Explanations,
}

/// How a kind is converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindRule {
    /// The kind.
    pub kind: KindId,
    /// Its rule set.
    pub rule_set: String,
    /// The edition.
    pub edition: String,
    /// Whether it is converted.
    pub treatment: Treatment,
    /// For steam, how.
    pub steam_rule: Option<SteamRule>,
}

/// One row: a kind from one source (来源渠道).
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The kind.
    pub kind: KindId,
    /// Its name.
    pub name: String,
    /// Purchased, own or exported.
    pub source: Flow,
    /// Its class.
    pub class: EnergyClass,
    /// Its unit.
    pub unit: model::Unit,
    /// How much.
    pub quantity: Figure,
    /// In coal equivalent; absent for what is made on site and enters no total.
    pub converted: PerBasis<Cell>,
    /// What was given too and does not count (trap 25).
    pub not_counted: Vec<NotCounted>,
}

/// A quantity in coal equivalent with its coefficient.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// The coefficient; `None` when it is missing.
    pub coefficient: Option<CoefficientUse>,
    /// Tonnes per unit of the kind, as the forms print it; `None` when the coefficient is missing.
    pub tce_per_unit: Option<Number>,
    /// The tonnes.
    pub tce: Figure,
}

impl Cell {
    /// The tonnes as a summand; `None` where the site's rule does not convert the kind, so that nothing of it can be
    /// missing.
    pub(crate) fn counted(&self) -> Option<&Figure> {
        let excluded = self.coefficient.as_ref().is_some_and(|used| used.rule == Rule::Excluded);
        (!excluded).then_some(&self.tce)
    }
}

/// The sum of one class.
#[derive(Debug, Clone, Serialize)]
pub struct Subtotal {
    /// The class.
    pub class: EnergyClass,
    /// The tonnes.
    pub tce: PerBasis<Figure>,
}

/// Computes Table 1 of the enterprise.
///
/// # Errors
/// When a quantity is given at two levels of the plant, so that a total would count it twice. A missing coefficient is
/// no error of the whole: it is listed, and the figures that need it have no value.
///
/// # Source
/// T/ZJREA draft, Table 1; GB/T 2589-2020 for 综合能耗 = Σ (eᵢ × kᵢ).
pub fn table1(
    inputs: &Inputs<'_>,
    period: Period,
    basis: BasisChoice,
) -> Result<Table1, SourceError> {
    let plant = inputs.plant;
    let mut given = Vec::new();
    for kind in &plant.kinds {
        given.extend(quantities(inputs, kind, period)?);
    }
    let counted = given.iter().filter(|(_, flow, _)| *flow != Flow::Own).map(|(kind, ..)| *kind);
    let converter = Converter::new(plant, counted, period, basis);
    let on =
        PerBasis::of(basis, |basis| Measured { basis, coefficient_set: converter.set_id(basis) });
    let mut sheet = Sheet::new(period, inputs.commit);
    let rows: Vec<Row> = given
        .into_iter()
        .map(|(kind, flow, quantity)| row(&mut sheet, &converter, &on, basis, kind, flow, quantity))
        .collect();
    let base = base(period);
    let totals = per_basis(&on, basis, |on| {
        sheet.sum(
            format!("{base}/total/{}", on.basis),
            TCE,
            Some(on),
            &terms(&rows, on.basis, None),
        )
    });
    let subtotals = subtotals(&mut sheet, &rows, &on, basis);
    let gross_output_value = money(&mut sheet, inputs, &Measure::GrossOutputValue);
    let value_added = money(&mut sheet, inputs, &Measure::ValueAdded);
    let mut intensity = |name: &str, under: &Figure| {
        PerBasis::of(basis, |basis| {
            let over = totals.get(basis).expect("there is a total for each basis asked for");
            sheet.quotient(format!("{base}/{name}/{basis}"), over, under)
        })
    };
    let output_value_intensity = intensity("output_value_intensity", &gross_output_value);
    let value_added_intensity = intensity("value_added_intensity", &value_added);
    Ok(Table1 {
        period,
        subject: plant.enterprise.clone(),
        subject_name: plant.name.clone(),
        basis,
        commit: inputs.commit,
        coefficient_sets: per_basis(&on, basis, |on| on.coefficient_set.clone()),
        rules: rules(&plant.kinds),
        rows,
        subtotals,
        totals,
        gross_output_value,
        value_added,
        output_value_intensity,
        value_added_intensity,
        missing_coefficients: converter.missing(),
        explanations: sheet.explanations,
    })
}

fn base(period: Period) -> String {
    format!("table1/{period}")
}

pub(crate) fn per_basis<T>(
    on: &PerBasis<Measured>,
    choice: BasisChoice,
    mut make: impl FnMut(&Measured) -> T,
) -> PerBasis<T> {
    PerBasis::of(choice, |basis| {
        make(on.get(basis).expect("what is measured on is made for each basis asked for"))
    })
}

/// What is used or sold and comes from nowhere.
fn not_bought(kind: &EnergyKind) -> Quantity {
    let id = &kind.id;
    Quantity::missing(format!(
        "it is used or sold, and no purchase is given: state `purchased:{id}`, 0 where none is \
         bought, or `own:{id}` where it is made on site"
    ))
}

/// The rows of a kind: what it has meters or facts for. A kind that is neither bought nor made is unknown, not zero.
fn quantities<'a>(
    inputs: &Inputs<'_>,
    kind: &'a EnergyKind,
    period: Period,
) -> Result<Vec<(&'a EnergyKind, Flow, Quantity)>, SourceError> {
    let enterprise = &inputs.plant.enterprise;
    let mut found = Vec::new();
    for flow in [Flow::Purchased, Flow::Own, Flow::Exported] {
        if let Some(quantity) = inputs.quantity(enterprise, flow, kind, period)? {
            found.push((kind, flow, quantity));
        }
    }
    if !found.iter().any(|(_, flow, _)| matches!(flow, Flow::Purchased | Flow::Own)) {
        let used = !found.is_empty() || inputs.has(enterprise, Flow::Consumed, kind);
        let quantity = if used { not_bought(kind) } else { Quantity::unknown() };
        found.insert(0, (kind, Flow::Purchased, quantity));
    }
    Ok(found)
}

fn row(
    sheet: &mut Sheet,
    converter: &Converter,
    on: &PerBasis<Measured>,
    choice: BasisChoice,
    kind: &EnergyKind,
    flow: Flow,
    quantity: Quantity,
) -> Row {
    let base = base(sheet.period);
    let name = match flow {
        Flow::Purchased => format!("{base}/{}", kind.id),
        other => format!("{base}/{}/{other}", kind.id),
    };
    let not_counted = quantity.not_counted.clone();
    let mut figure = sheet.quantity(format!("{name}/quantity"), kind.unit.symbol(), quantity);
    let cells = if flow == Flow::Own {
        sheet.remark(
            &mut figure,
            text!(
                en: "made on site from energy that is counted already: enters no total",
                zh: "由已计入的能源自产，不计入合计",
            ),
        );
        PerBasis { equivalent: None, equal_value: None }
    } else {
        per_basis(on, choice, |on| {
            let coefficient = converter.get(&kind.id, on.basis);
            let tce = converter.tce(kind, on.basis, figure.exact());
            let name = format!("{name}/{}", on.basis);
            let tce = sheet.converted(name, &figure, on, tce, coefficient);
            let tce_per_unit = converter.tce_per_unit(kind, on.basis);
            Cell { coefficient: coefficient.map(CoefficientUse::from), tce_per_unit, tce }
        })
    };
    Row {
        kind: kind.id.clone(),
        name: kind.name.clone(),
        source: flow,
        class: kind.class,
        unit: kind.unit,
        quantity: figure,
        converted: cells,
        not_counted,
    }
}

/// Purchased less exported, of one class or of all.
fn terms(rows: &[Row], basis: Basis, class: Option<EnergyClass>) -> Vec<Term<'_>> {
    let of_class = rows.iter().filter(|row| class.is_none_or(|class| row.class == class));
    of_class
        .filter_map(|row| {
            let figure = row.converted.get(basis)?.counted()?;
            Some(Term { figure, minus: row.source == Flow::Exported })
        })
        .collect()
}

fn subtotals(
    sheet: &mut Sheet,
    rows: &[Row],
    on: &PerBasis<Measured>,
    choice: BasisChoice,
) -> Vec<Subtotal> {
    let base = base(sheet.period);
    let counts = |row: &Row| row.converted.iter().any(|cell| cell.counted().is_some());
    [EnergyClass::Primary, EnergyClass::Secondary, EnergyClass::Medium]
        .into_iter()
        .filter(|class| rows.iter().any(|row| row.class == *class && counts(row)))
        .map(|class| Subtotal {
            class,
            tce: per_basis(on, choice, |on| {
                let name = format!("{base}/subtotal/{class}/{}", on.basis);
                sheet.sum(name, TCE, Some(on), &terms(rows, on.basis, Some(class)))
            }),
        })
        .collect()
}

/// A declared amount of money of the enterprise.
fn money(sheet: &mut Sheet, inputs: &Inputs<'_>, measure: &Measure) -> Figure {
    let name = format!("{}/{measure}", base(sheet.period));
    declared(sheet, inputs, &inputs.plant.enterprise, measure, name, MONEY)
}

/// A quantity that only a person can give.
pub(crate) fn declared(
    sheet: &mut Sheet,
    inputs: &Inputs<'_>,
    subject: &SubjectId,
    measure: &Measure,
    name: String,
    unit: &str,
) -> Figure {
    let found = inputs.facts.declared(subject, measure, sheet.period);
    let quantity = found.map_or_else(
        || Quantity {
            class: Class::Declared,
            coverage: Coverage { covered: 0, expected: 1 },
            ..Quantity::unknown()
        },
        |found| Quantity::declared(&found),
    );
    sheet.quantity(name, unit, quantity)
}

fn rules(kinds: &[EnergyKind]) -> Vec<KindRule> {
    let rule = |kind: &EnergyKind| KindRule {
        kind: kind.id.clone(),
        rule_set: kind.rule_set.clone(),
        edition: kind.edition.clone(),
        treatment: kind.treatment,
        steam_rule: kind.steam.as_ref().map(|steam| steam.rule),
    };
    kinds.iter().map(rule).collect()
}
