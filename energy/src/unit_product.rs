//! Unit-product energy (单位产品综合能耗): the energy of each line with its share of shared equipment, per qualified product.
//! What the lines do not use is shown, so that lines and the rest are the enterprise. Must never divide by all output.

use model::{CommitNumber, Localized, text};
use serde::Serialize;

use crate::coefficient::MissingCoefficient;
use crate::fact::{Flow, Measure};
use crate::figure::{Explanations, Figure};
use crate::id::{KindId, ProductId, SubjectId};
use crate::number::{Number, portion};
use crate::period::Period;
use crate::plant::{Allocation, EnergyKind, Product, Subject};
use crate::sheet::{Measured, Sheet, TCE, Term};
use crate::source::{Inputs, Quantity, SourceError};
use crate::table1::{Cell, declared, per_basis, table1};
use crate::tce::{BasisChoice, CoefficientUse, Converter, PerBasis};

/// Digits after the point to which a share that is no finite decimal is rounded; shares still sum to the whole.
const SHARE_DIGITS: u32 = 12;

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
    /// What it makes, where it makes something.
    pub product: Option<LineProduct>,
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
    /// Both.
    pub quantity: Figure,
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
    let mut rows: Vec<(&Subject, Vec<LineUse<'_>>)> = Vec::new();
    for line in plant.lines() {
        rows.push((line, line_uses(inputs, line, period)?));
    }
    let used = || rows.iter().flat_map(|(_, uses)| uses).filter(|one| one.origin.converts());
    let made = used().any(|one| one.origin == Origin::Both);
    let purchased = enterprise.rows.iter().filter(|row| row.source != Flow::Own);
    // The same kinds as Table 1 and the same set id, unless a line uses a kind that the enterprise does not buy.
    let kinds: Vec<&EnergyKind> = plant
        .kinds
        .iter()
        .filter(|kind| {
            purchased.clone().any(|row| row.kind == kind.id)
                || used().any(|one| one.kind.id == kind.id)
        })
        .collect();
    let converter = Converter::new(plant, kinds, period, basis);
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
        missing_coefficients: converter.missing(),
        explanations: sheet.explanations,
    })
}

fn base(period: Period) -> String {
    format!("unit-product/{period}")
}

/// What a line uses of one kind.
struct LineUse<'a> {
    kind: &'a EnergyKind,
    own: Option<Quantity>,
    /// Shared equipment, its quantity, and the line's part of it.
    allocated: Vec<(&'a Allocation, Quantity, Option<Number>)>,
    origin: Origin,
}

/// Where the enterprise has a kind from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It is bought.
    Bought,
    /// It is made on site, and is in the fuel that made it already (energy-consumed media, own steam).
    Made,
    /// Both; of what a line uses nobody knows which.
    Both,
}

impl Origin {
    /// Where the kind of a line is from. A purchase that is stated as zero is none; an unknown one is one.
    fn of(inputs: &Inputs<'_>, kind: &EnergyKind, period: Period) -> Result<Self, SourceError> {
        let enterprise = &inputs.plant.enterprise;
        if !inputs.has(enterprise, Flow::Own, kind) {
            return Ok(Self::Bought);
        }
        let bought = inputs.quantity(enterprise, Flow::Purchased, kind, period)?;
        let none = bought.is_none_or(|bought| bought.value.is_some_and(|value| value.is_zero()));
        Ok(if none { Self::Made } else { Self::Both })
    }

    /// Whether it counts in coal equivalent.
    fn converts(self) -> bool {
        self != Self::Made
    }

    fn remark(self) -> Option<Localized> {
        match self {
            Self::Bought => None,
            Self::Made => Some(text!(
                en: "made on site: physical use only, its energy is in the fuel that made it",
                zh: "自产：只列实物量，其能耗已计入生产它的燃料",
            )),
            Self::Both => Some(text!(
                en: "bought and made on site: all of it counts at its coefficient, and what was lost in making it stays undistributed",
                zh: "外购与自产并存：全部按其系数折标，自产损失列入未分摊",
            )),
        }
    }
}

fn line_uses<'a>(
    inputs: &Inputs<'a>,
    line: &Subject,
    period: Period,
) -> Result<Vec<LineUse<'a>>, SourceError> {
    let mut uses = Vec::new();
    for kind in &inputs.plant.kinds {
        let own = inputs.quantity(&line.id, Flow::Consumed, kind, period)?;
        let mut allocated = Vec::new();
        let keys = inputs.plant.allocations.iter().filter(|key| key.energy_kind == kind.id);
        for key in keys.filter(|key| key.shares.iter().any(|share| share.to == line.id)) {
            let whole = inputs.quantity(&key.from, Flow::Consumed, kind, period)?;
            let whole = whole.unwrap_or_else(Quantity::unknown);
            let part = whole.value.as_ref().and_then(|value| share(key, &line.id, value));
            allocated.push((key, whole, part));
        }
        if own.is_some() || !allocated.is_empty() {
            let origin = Origin::of(inputs, kind, period)?;
            uses.push(LineUse { kind, own, allocated, origin });
        }
    }
    Ok(uses)
}

/// A line's part of a quantity: the difference of running totals, so that all parts sum to the whole exactly.
fn share(key: &Allocation, line: &SubjectId, quantity: &Number) -> Option<Number> {
    let whole: Number = key.shares.iter().map(|share| &share.weight).sum();
    let digits = SHARE_DIGITS.max(quantity.places());
    let mut running = Number::zero();
    let mut before = Number::zero();
    let mut part = Number::zero();
    for share in &key.shares {
        running = &running + &share.weight;
        let upto = portion(quantity, &running, &whole, digits)?;
        if share.to == *line {
            part = part + (&upto - &before);
        }
        before = upto;
    }
    Some(part)
}

struct Making<'a> {
    inputs: &'a Inputs<'a>,
    converter: &'a Converter,
    on: &'a PerBasis<Measured>,
    basis: BasisChoice,
    sheet: &'a mut Sheet,
}

impl Making<'_> {
    fn line(&mut self, line: &Subject, uses: Vec<LineUse<'_>>) -> Line {
        let base = format!("{}/{}", base(self.sheet.period), line.id);
        let product = self.inputs.plant.products.iter().find(|product| product.line == line.id);
        let outputs = product.map(|product| self.outputs(&base, line, product));
        let qualified = outputs.as_ref().map(|(qualified, _)| qualified.clone());
        let kinds: Vec<LineKind> =
            uses.into_iter().map(|one| self.kind(&base, line, one, qualified.as_ref())).collect();
        let tce = per_basis(self.on, self.basis, |on| {
            let terms: Vec<Term<'_>> = kinds
                .iter()
                .filter_map(|kind| {
                    let figure = kind.converted.get(on.basis)?.counted()?;
                    Some(Term { figure, minus: false })
                })
                .collect();
            self.sheet.sum(format!("{base}/energy/{}", on.basis), TCE, Some(on), &terms)
        });
        let product = product.zip(outputs).map(|(product, (qualified_output, output))| {
            let energy_per_product = per_basis(self.on, self.basis, |on| {
                let over = tce.get(on.basis).expect("each basis asked for has a total");
                self.sheet.quotient(format!("{base}/{}", on.basis), over, &qualified_output)
            });
            LineProduct {
                product: product.id.clone(),
                name: product.name.clone(),
                qualified_output,
                output,
                energy_per_product,
            }
        });
        Line { line: line.id.clone(), name: line.name.clone(), kinds, tce, product }
    }

    fn outputs(&mut self, base: &str, line: &Subject, product: &Product) -> (Figure, Figure) {
        let mut one = |measure: Measure, name: &str| {
            let name = format!("{base}/{name}");
            declared(self.sheet, self.inputs, &line.id, &measure, name, product.unit.symbol())
        };
        let qualified = one(Measure::QualifiedOutput(product.id.clone()), "qualified_output");
        (qualified, one(Measure::Output(product.id.clone()), "output"))
    }

    fn kind(
        &mut self,
        base: &str,
        line: &Subject,
        one: LineUse<'_>,
        qualified: Option<&Figure>,
    ) -> LineKind {
        let kind = one.kind;
        let unit = kind.unit.symbol();
        let base = format!("{base}/{}", kind.id);
        let own = one.own.map(|own| self.sheet.quantity(format!("{base}/own"), unit, own));
        let allocated: Vec<Figure> = one
            .allocated
            .into_iter()
            .map(|(key, whole, part)| self.allocated(&base, line, kind, key, whole, part))
            .collect();
        let terms: Vec<Term<'_>> =
            own.iter().chain(&allocated).map(|figure| Term { figure, minus: false }).collect();
        let mut quantity = self.sheet.sum(format!("{base}/quantity"), unit, None, &terms);
        let converted = if one.origin.converts() {
            per_basis(self.on, self.basis, |on| {
                let coefficient = self.converter.get(&kind.id, on.basis);
                let tce = self.converter.tce(kind, on.basis, quantity.exact());
                let name = format!("{base}/{}", on.basis);
                let tce = self.sheet.converted(name, &quantity, on, tce, coefficient);
                let tce_per_unit = self.converter.tce_per_unit(kind, on.basis);
                Cell { coefficient: coefficient.map(CoefficientUse::from), tce_per_unit, tce }
            })
        } else {
            PerBasis { equivalent: None, equal_value: None }
        };
        if let Some(note) = one.origin.remark() {
            self.sheet.remark(&mut quantity, note);
        }
        let per_product =
            qualified.map(|under| self.sheet.quotient(base.clone(), &quantity, under));
        LineKind {
            kind: kind.id.clone(),
            name: kind.name.clone(),
            own,
            allocated,
            quantity,
            converted,
            per_product,
        }
    }

    fn allocated(
        &mut self,
        base: &str,
        line: &Subject,
        kind: &EnergyKind,
        key: &Allocation,
        whole: Quantity,
        part: Option<Number>,
    ) -> Figure {
        let all: Number = key.shares.iter().map(|share| &share.weight).sum();
        let mine: Number =
            key.shares.iter().filter(|share| share.to == line.id).map(|share| &share.weight).sum();
        let unit = kind.unit.symbol();
        let text = |value: Option<&Number>| value.map_or_else(|| "–".to_owned(), Number::to_string);
        let formula = format!(
            "{} {unit} of `{}` × {mine} ÷ {all} = {} {unit}",
            text(whole.value.as_ref()),
            key.from,
            text(part.as_ref())
        );
        let name = format!("{base}/allocated/{}", key.from);
        let figure = self.sheet.quantity(name, unit, Quantity { value: part, ..whole });
        self.sheet.formula(&figure.name, formula);
        figure
    }
}
