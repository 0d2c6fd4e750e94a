//! Table 1 of the platform standard: energy by kind and source, totals on both bases, 万元产值 and 增加值 energy. Must
//! never print.

use model::{CommitNumber, Localized, text};
use serde::Serialize;

use crate::coefficient::{Basis, EnergyClass, MissingCoefficient, Rule};
use crate::fact::{Flow, Measure};
use crate::figure::{Explanations, Figure};
use crate::flows::Flows;
use crate::id::{KindId, SubjectId};
use crate::index::{Class, Coverage};
use crate::number::Number;
use crate::period::Period;
use crate::plant::{EnergyKind, SteamRule, Treatment};
use crate::sheet::{Measured, Sheet, TCE, Term};
use crate::source::{Inputs, NotCounted, Quantity, SourceError};
use crate::tce::{BasisChoice, CoefficientUse, Converter, PerBasis};

mod origin;

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
    /// 综合能耗, with own primary energy.
    pub totals: PerBasis<Figure>,
    /// The same without own primary energy.
    pub totals_without_generated: PerBasis<Figure>,
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
    /// Purchased, generated, own, in stock or exported.
    pub source: Flow,
    /// The class whose subtotal it belongs to: primary for own primary energy and its export, else that of its kind.
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
    let mut flows = Vec::new();
    for kind in &plant.kinds {
        flows.push(inputs.flows(kind, period)?);
    }
    origin::check(inputs, period, &mut flows);
    let counts = |flows: &&Flows<'_>| flows.given.iter().any(|(flow, _)| *flow != Flow::Own);
    let counted = flows.iter().filter(counts).map(|flows| flows.kind);
    let converter = Converter::new(inputs, counted, period, basis);
    let on =
        PerBasis::of(basis, |basis| Measured { basis, coefficient_set: converter.set_id(basis) });
    let mut sheet = Sheet::new(period, inputs.commit);
    let mut rows = Vec::new();
    for flows in &flows {
        for (flow, quantity) in &flows.given {
            let quantity = quantity.clone();
            let row = row(&mut sheet, &converter, &on, basis, flows.kind, *flow, quantity);
            rows.push(Row { class: flows.class(*flow), ..row });
        }
    }
    let base = base(period);
    let mut total = |name: &str, generated: bool| {
        per_basis(&on, basis, |on| {
            let name = format!("{base}/{name}/{}", on.basis);
            let of = |row: &&Row| generated || !is_generated(row, &flows);
            let terms = terms(rows.iter().filter(of), on.basis);
            let mut figure = sheet.sum(name, TCE, Some(on), &terms);
            judge(&mut sheet, &mut figure, &flows, &terms);
            figure
        })
    };
    let totals = total("total", true);
    let totals_without_generated = total("total_without_generated", false);
    let subtotals = subtotals(&mut sheet, &rows, &flows, &on, basis);
    let gross_output_value = money(&mut sheet, inputs, &Measure::GrossOutputValue);
    let mut value_added = money(&mut sheet, inputs, &Measure::ValueAdded);
    let doubtful_money = more_added(&gross_output_value, &value_added);
    if let Some(note) = &doubtful_money {
        sheet.remark(&mut value_added, note.clone());
    }
    let mut intensity = |name: &str, under: &Figure| {
        PerBasis::of(basis, |basis| {
            let over = totals.get(basis).expect("there is a total for each basis asked for");
            sheet.quotient(format!("{base}/{name}/{basis}"), over, under)
        })
    };
    let output_value_intensity = intensity("output_value_intensity", &gross_output_value);
    let mut value_added_intensity = intensity("value_added_intensity", &value_added);
    for figure in value_added_intensity.iter_mut() {
        if let Some(note) = &doubtful_money {
            sheet.remark(figure, note.clone());
        }
    }
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
        totals_without_generated,
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

fn row(
    sheet: &mut Sheet,
    converter: &Converter<'_>,
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
            let within = |part| converter.flow(flow, kind, part);
            let made = converter.convert(kind, on.basis, figure.exact(), &within);
            let name = format!("{name}/{}", on.basis);
            let tce = sheet.converted(name, &figure, on, &made);
            Cell { coefficient: made.printed, tce_per_unit: made.tce_per_unit, tce }
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

/// What is added up: exports and what is left in stock are taken off.
fn terms<'a>(rows: impl Iterator<Item = &'a Row>, basis: Basis) -> Vec<Term<'a>> {
    rows.filter_map(|row| {
        let figure = row.converted.get(basis)?.counted()?;
        let minus = matches!(row.source, Flow::Exported | Flow::ClosingStock);
        Some(Term { figure, minus })
    })
    .collect()
}

/// Whether a row is own primary energy or taken off it.
fn is_generated(row: &Row, flows: &[Flows<'_>]) -> bool {
    let exported = || {
        let of = flows.iter().find(|flows| flows.kind.id == row.kind);
        of.is_some_and(|flows| flows.export == Flow::Generated)
    };
    row.source == Flow::Generated || (row.source == Flow::Exported && exported())
}

/// Refuses a total of flows that cannot all be true, and says what is doubtful in another.
fn judge(sheet: &mut Sheet, total: &mut Figure, flows: &[Flows<'_>], terms: &[Term<'_>]) {
    let refused: Vec<Localized> = flows.iter().flat_map(|flows| flows.refused.clone()).collect();
    if !refused.is_empty() {
        sheet.refuse(total, &refused);
        return;
    }
    if total.exact().is_some_and(|value| *value < Number::zero()) {
        let less: Vec<&str> =
            terms.iter().filter(|term| term.minus).map(|term| term.figure.name.as_str()).collect();
        let less = less.join("`, `");
        let why = text!(
            en: "more is taken off than is counted, so that it would be negative: check `{less}`",
            zh: "扣除量大于计入量，合计将为负数：请核对 `{less}`"
        );
        sheet.refuse(total, &[why]);
        return;
    }
    for one in flows {
        sheet.lacks(total, &one.lacking);
        for doubt in &one.doubts {
            sheet.remark(total, doubt.clone());
        }
    }
}

/// Value added is a part of output value.
fn more_added(output: &Figure, added: &Figure) -> Option<Localized> {
    let both = output.exact().zip(added.exact());
    let more = both.is_some_and(|(output, added)| output.is_positive() && added > output);
    let (output, added) = (output.text(), added.text());
    (more && output != added).then(|| {
        text!(
            en: "value added, {added}, is more than gross output value, {output}: check both",
            zh: "工业增加值 {added} 大于工业总产值 {output}：请核对"
        )
    })
}

fn subtotals(
    sheet: &mut Sheet,
    rows: &[Row],
    flows: &[Flows<'_>],
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
                let of_class = rows.iter().filter(|row| row.class == class);
                let mut figure = sheet.sum(name, TCE, Some(on), &terms(of_class, on.basis));
                let of_class = flows.iter().filter(|flows| flows.is_in(class));
                for one in of_class {
                    sheet.refuse(&mut figure, &one.refused);
                    sheet.lacks(&mut figure, &one.lacking);
                }
                figure
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
