//! Collects the figures of a table with their explanations: names, sums, quotients. Must never know which table it is.

use std::collections::BTreeMap;

use model::{CommitNumber, Language, Localized, text};

use crate::coefficient::{Basis, Rule};
use crate::fact::{Fact, PriceBase, Status};
use crate::figure::{Explanation, Explanations, Figure, FigureValue};
use crate::index::{Class, Coverage, NotUsed};
use crate::number::{Number, Ratio};
use crate::period::Period;
use crate::source::{MeterPart, Quantity};
use crate::tce::Conversion;

/// The unit of coal equivalent in all tables.
pub(crate) const TCE: &str = "tce";

/// Share of its inputs, in percent, below which a figure that lacks none says so (NECC acceptance: completeness ≥ 90 %).
const COVERAGE_PERCENT_MIN: u64 = 90;

/// The figures of one table in the making.
pub(crate) struct Sheet {
    pub(crate) period: Period,
    pub(crate) commit: Option<CommitNumber>,
    pub(crate) explanations: Explanations,
    /// What must be said of every figure that is made from a figure, by its name.
    carried: BTreeMap<String, Vec<Localized>>,
}

/// What a figure in coal equivalent is measured on.
#[derive(Clone)]
pub(crate) struct Measured {
    pub(crate) basis: Basis,
    pub(crate) coefficient_set: String,
}

/// One summand.
#[derive(Clone, Copy)]
pub(crate) struct Term<'a> {
    pub(crate) figure: &'a Figure,
    /// Whether it is taken off.
    pub(crate) minus: bool,
}

/// What must be said of a figure that has a value: that it is of a part only, or that little of it was read.
fn shortfall(complete: bool, coverage: Option<Coverage>) -> Option<Localized> {
    let share = coverage.map_or_else(String::new, |coverage| format!("{} %", coverage.percent()));
    if !complete && coverage.is_some_and(Coverage::is_full) {
        return Some(text!(en: "part of its inputs is missing", zh: "部分数据缺失"));
    }
    if !complete {
        return Some(text!(
            en: "part of its inputs is missing, {share} is there",
            zh: "部分数据缺失，已有 {share}",
        ));
    }
    let low = |coverage: Coverage| {
        coverage.covered.saturating_mul(100)
            < coverage.expected.saturating_mul(COVERAGE_PERCENT_MIN)
    };
    coverage.filter(|coverage| low(*coverage)).map(|_| {
        text!(
            en: "readings cover {share} of the time; what lies between them is known as a sum",
            zh: "读数覆盖 {share} 的时间，其间用量仅知合计",
        )
    })
}

/// What was read by meters and not used for its quality, together by quality.
fn put_aside(meters: &[MeterPart]) -> impl Iterator<Item = NotUsed> {
    let mut by_quality = BTreeMap::<&str, u64>::new();
    for one in meters.iter().flat_map(|meter| &meter.not_used) {
        *by_quality.entry(&one.quality).or_default() += one.readings;
    }
    by_quality
        .into_iter()
        .map(|(quality, readings)| NotUsed { quality: quality.to_owned(), readings })
}

impl Sheet {
    pub(crate) fn new(period: Period, commit: Option<CommitNumber>) -> Self {
        Self { period, commit, explanations: Explanations::new(), carried: BTreeMap::new() }
    }

    fn blank(&self, name: String, unit: impl Into<String>) -> Figure {
        Figure {
            name,
            value: None,
            unit: unit.into(),
            period: self.period,
            basis: None,
            coefficient_set: None,
            coverage: None,
            coverage_percent: None,
            class: None,
            price_base: None,
            complete: false,
            notes: Vec::new(),
        }
    }

    fn explained(&mut self, figure: Figure, formula: String, inputs: Vec<String>) -> Figure {
        let explanation = Explanation {
            figure: figure.clone(),
            formula,
            inputs,
            meters: Vec::new(),
            declared: Vec::new(),
            not_counted: Vec::new(),
            coefficients: Vec::new(),
            commit: self.commit,
        };
        self.explanations.insert(figure.name.clone(), explanation);
        figure
    }

    /// A quantity straight from meters and facts.
    pub(crate) fn quantity(&mut self, name: String, unit: &str, quantity: Quantity) -> Figure {
        let mut notes = match (&quantity.value, quantity.missing.as_slice()) {
            (Some(_), _) => {
                let short = shortfall(quantity.complete, Some(quantity.coverage));
                let aside = short.is_some().then(|| put_aside(&quantity.meters));
                let aside = aside.into_iter().flatten().map(|one| one.to_string().into());
                short.into_iter().chain(aside).collect()
            }
            (None, []) => {
                vec![text!(en: "nothing is known for this period", zh: "该时段无数据")]
            }
            (None, missing) => {
                let missing = Localized::join(missing, "; ");
                let (english, chinese) =
                    (missing.get(Language::English), missing.get(Language::Chinese));
                vec![text!(en: "unknown: {english}", zh: "未知：{chinese}")]
            }
        };
        notes.extend(quantity.doubts.iter().cloned());
        let figure = Figure {
            value: quantity.value.clone().map(FigureValue::Exact),
            notes,
            complete: quantity.complete,
            price_base: quantity.declared.iter().find_map(|fact| fact.price_base),
            ..self.covered(name, unit, Some(quantity.coverage), Some(quantity.class))
        };
        let formula = quantity_formula(&quantity, unit);
        let mut figure = self.explained(figure, formula, Vec::new());
        self.carried.insert(figure.name.clone(), of_facts(&quantity.declared));
        self.carry(&mut figure, &[]);
        if let Some(explanation) = self.explanations.get_mut(&figure.name) {
            explanation.meters = quantity.meters;
            explanation.declared = quantity.declared;
            explanation.not_counted = quantity.not_counted;
        }
        figure
    }

    fn covered(
        &self,
        name: String,
        unit: &str,
        coverage: Option<Coverage>,
        class: Option<Class>,
    ) -> Figure {
        Figure {
            coverage,
            coverage_percent: coverage.map(Coverage::percent),
            class,
            ..self.blank(name, unit)
        }
    }

    /// A quantity converted.
    pub(crate) fn converted(
        &mut self,
        name: String,
        from: &Figure,
        on: &Measured,
        conversion: &Conversion,
    ) -> Figure {
        // Of what is not converted, nothing can be missing.
        let excluded = conversion.used.iter().any(|used| used.rule == Rule::Excluded);
        let lacking = conversion.used.is_empty() && !conversion.notes.is_empty();
        let of_quantity = if excluded || lacking { &[][..] } else { &from.notes[..] };
        let notes: Vec<Localized> = of_quantity.iter().chain(&conversion.notes).cloned().collect();
        let (value, formula) = match &conversion.tce {
            Some((value, formula)) => (Some(FigureValue::Exact(value.clone())), formula.clone()),
            None => (None, Localized::join(&notes, "; ").to_string()),
        };
        let figure = Figure {
            complete: from.complete && value.is_some(),
            value,
            notes,
            basis: Some(on.basis),
            coefficient_set: Some(on.coefficient_set.clone()),
            ..self.covered(name, TCE, from.coverage, from.class)
        };
        let mut figure = self.explained(figure, formula, vec![from.name.clone()]);
        self.carried.insert(figure.name.clone(), conversion.carried.clone());
        self.carry(&mut figure, &[from]);
        if let Some(explanation) = self.explanations.get_mut(&figure.name) {
            explanation.coefficients.clone_from(&conversion.used);
        }
        figure
    }

    /// A sum. One unknown summand makes it unknown: missing is never zero (INV-8).
    pub(crate) fn sum(
        &mut self,
        name: String,
        unit: &str,
        on: Option<&Measured>,
        terms: &[Term<'_>],
    ) -> Figure {
        let unknown: Vec<&str> = terms
            .iter()
            .filter(|term| term.figure.exact().is_none())
            .map(|term| term.figure.name.as_str())
            .collect();
        let signed = |term: &Term<'_>| {
            let value = term.figure.exact().cloned().unwrap_or_else(Number::zero);
            if term.minus { -value } else { value }
        };
        let value = (unknown.is_empty() && !terms.is_empty())
            .then(|| FigureValue::Exact(terms.iter().map(signed).sum()));
        let figures = || terms.iter().map(|term| term.figure);
        let complete = value.is_some() && figures().all(|figure| figure.complete);
        let coverage = figures().filter_map(|figure| figure.coverage).reduce(Coverage::and);
        let note = if terms.is_empty() {
            Some(text!(en: "nothing belongs to it", zh: "无相关数据"))
        } else if unknown.is_empty() {
            shortfall(complete, coverage)
        } else {
            let unknown = unknown.join(", ");
            Some(text!(en: "unknown: {unknown}", zh: "未知：{unknown}"))
        };
        let figure = Figure {
            notes: note.into_iter().collect(),
            complete,
            basis: on.map(|on| on.basis),
            coefficient_set: on.map(|on| on.coefficient_set.clone()),
            ..self.covered(
                name,
                unit,
                coverage,
                figures().filter_map(|figure| figure.class).reduce(Class::and),
            )
        };
        let figure = Figure { value, ..figure };
        let formula = format!("{} = {}", sum_text(terms), figure.text());
        let inputs = figures().map(|figure| figure.name.clone()).collect();
        let mut figure = self.explained(figure, formula, inputs);
        self.carry(&mut figure, &figures().collect::<Vec<_>>());
        figure
    }

    /// A quotient; undefined, never infinite or zero, when the denominator is missing, incomplete or not above zero.
    pub(crate) fn quotient(&mut self, name: String, over: &Figure, under: &Figure) -> Figure {
        let (top, bottom) = (&over.name, &under.name);
        let undefined = match (over.exact(), under.exact()) {
            (None, _) => Some(text!(en: "unknown: {top}", zh: "未知：{top}")),
            (_, None) => {
                Some(text!(en: "undefined: `{bottom}` is missing", zh: "无法计算：缺少 `{bottom}`"))
            }
            (_, Some(value)) if !value.is_positive() => {
                let found = under.text();
                Some(text!(
                    en: "undefined: `{bottom}` is {found}, not above zero",
                    zh: "无法计算：`{bottom}` 为 {found}，不大于零",
                ))
            }
            (_, Some(_)) if !under.complete => {
                let share = under.coverage.map(|one| (one.covered, one.expected));
                let (covered, expected) = share.unwrap_or_default();
                Some(text!(
                    en: "undefined: `{bottom}` is declared for a part, {covered} of {expected} months",
                    zh: "无法计算：`{bottom}` 仅填报了 {expected} 个月中的 {covered} 个月",
                ))
            }
            _ => None,
        };
        let ratio = match (&undefined, over.exact(), under.exact()) {
            (None, Some(top), Some(bottom)) => Ratio::new(top.clone(), bottom.clone()),
            _ => None,
        };
        let unit = format!("{}/{}", over.unit, under.unit);
        let figure = Figure {
            complete: ratio.is_some() && over.complete,
            value: ratio.map(FigureValue::Ratio),
            notes: undefined
                .or_else(|| shortfall(over.complete, over.coverage))
                .into_iter()
                .collect(),
            basis: over.basis,
            coefficient_set: over.coefficient_set.clone(),
            price_base: under.price_base.or(over.price_base),
            ..self.covered(name, &unit, over.coverage, class_of_quotient(over, under))
        };
        let formula = format!("{} ÷ {} = {}", over.text(), under.text(), figure.text());
        let inputs = vec![over.name.clone(), under.name.clone()];
        let mut figure = self.explained(figure, formula, inputs);
        self.carry(&mut figure, &[over, under]);
        if let Some(note) = unlike(over, under).filter(|_| figure.value.is_some()) {
            self.remark(&mut figure, note);
        }
        figure
    }

    /// Says of a figure what must be said of those that it is made from.
    fn carry(&mut self, figure: &mut Figure, inputs: &[&Figure]) {
        let mut notes = self.carried.remove(&figure.name).unwrap_or_default();
        for note in inputs.iter().filter_map(|input| self.carried.get(&input.name)).flatten() {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        for note in &notes {
            self.remark(figure, note.clone());
        }
        self.carried.insert(figure.name.clone(), notes);
    }

    /// Adds a note to a figure, once.
    pub(crate) fn remark(&mut self, figure: &mut Figure, note: impl Into<Localized>) {
        let note = note.into();
        if !figure.notes.contains(&note) {
            figure.notes.push(note);
        }
        if let Some(explanation) = self.explanations.get_mut(&figure.name) {
            explanation.figure.notes.clone_from(&figure.notes);
        }
    }

    /// A part of a figure, in its unit and as well known as it is.
    pub(crate) fn part(
        &mut self,
        name: String,
        of: &Figure,
        value: Option<Number>,
        formula: String,
    ) -> Figure {
        let figure = Figure {
            name,
            complete: of.complete && value.is_some(),
            value: value.map(FigureValue::Exact),
            ..of.clone()
        };
        self.explained(figure, formula, vec![of.name.clone()])
    }

    /// Says what a figure with a value lacks.
    pub(crate) fn lacks(&mut self, figure: &mut Figure, what: &[Localized]) {
        if what.is_empty() {
            return;
        }
        figure.complete = false;
        for one in what {
            self.remark(figure, one.clone());
        }
        self.changed(figure);
    }

    /// Takes the value of a figure away, as what it is made of cannot be true.
    pub(crate) fn refuse(&mut self, figure: &mut Figure, why: &[Localized]) {
        if why.is_empty() {
            return;
        }
        figure.value = None;
        figure.complete = false;
        figure.notes = why.to_vec();
        self.changed(figure);
        if let Some(explanation) = self.explanations.get_mut(&figure.name) {
            let of = explanation.formula.split(" = ").next().unwrap_or_default();
            explanation.formula = format!("{of} = –");
        }
    }

    fn changed(&mut self, figure: &Figure) {
        if let Some(explanation) = self.explanations.get_mut(&figure.name) {
            explanation.figure.clone_from(figure);
        }
    }

    /// Replaces the formula of a figure.
    pub(crate) fn formula(&mut self, name: &str, formula: String) {
        if let Some(explanation) = self.explanations.get_mut(name) {
            explanation.formula = formula;
        }
    }
}

/// What must be said of every figure that is made from these facts: that it is a forecast, at which prices, what is
/// doubtful of them.
fn of_facts(facts: &[Fact]) -> Vec<Localized> {
    let mut notes = Vec::new();
    let forecast = || facts.iter().filter(|fact| fact.status == Status::Forecast);
    if forecast().next().is_some() {
        notes.push(if forecast().count() == facts.len() {
            text!(en: "forecast", zh: "预计")
        } else {
            let mut periods: Vec<String> = forecast().map(|fact| fact.period.to_string()).collect();
            periods.dedup();
            let periods = periods.join(", ");
            text!(en: "partly forecast: {periods}", zh: "部分为预计：{periods}")
        });
    }
    notes.extend(facts.iter().find_map(|fact| fact.price_base).map(PriceBase::text));
    for remark in facts.iter().flat_map(|fact| &fact.remarks) {
        if !notes.contains(remark) {
            notes.push(remark.clone());
        }
    }
    notes
}

/// A forecast of either part makes a quotient one; else it is found as what is divided.
fn class_of_quotient(over: &Figure, under: &Figure) -> Option<Class> {
    let assumed = under.class == Some(Class::Assumed);
    if assumed { under.class } else { over.class }
}

/// What must be said of a quotient of which one part has happened and the other is expected.
fn unlike(over: &Figure, under: &Figure) -> Option<Localized> {
    let is_forecast = |figure: &Figure| figure.class == Some(Class::Assumed);
    let (top, bottom) = (&over.name, &under.name);
    match (is_forecast(over), is_forecast(under)) {
        (true, false) => Some(text!(
            en: "`{top}` is a forecast, `{bottom}` is actual",
            zh: "`{top}` 为预计，`{bottom}` 为实际",
        )),
        (false, true) => Some(text!(
            en: "`{bottom}` is a forecast, `{top}` is actual",
            zh: "`{bottom}` 为预计，`{top}` 为实际",
        )),
        _ => None,
    }
}

fn sum_text(terms: &[Term<'_>]) -> String {
    let mut text = String::new();
    for (index, term) in terms.iter().enumerate() {
        let value = term.figure.value.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
        let sign = match (index, term.minus) {
            (0, false) => "",
            (0, true) => "−",
            (_, false) => " + ",
            (_, true) => " − ",
        };
        text.push_str(sign);
        text.push_str(&value);
    }
    text
}

fn quantity_formula(quantity: &Quantity, unit: &str) -> String {
    let metered = quantity.meters.iter().filter_map(|part| {
        let energy = part.energy.as_ref()?;
        let value = energy.energy.as_ref()?;
        let factor = if part.factor == Number::from(1) {
            String::new()
        } else {
            format!(" × {}", part.factor)
        };
        Some(format!("{} {value} {}{factor}", part.meter, part.unit))
    });
    let declared =
        quantity.declared.iter().map(|fact| format!("{} ({})", fact.written, fact.place));
    let parts: Vec<String> = if quantity.class == Class::Declared {
        declared.collect()
    } else {
        metered.chain(declared).collect()
    };
    let value = quantity.value.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
    if parts.is_empty() { value } else { format!("{} = {value} {unit}", parts.join(" + ")) }
}
