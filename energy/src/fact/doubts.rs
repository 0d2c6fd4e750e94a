//! What is doubtful of declared facts and is told without changing a value: notes that a column should state, values of
//! another size than those of other periods, and facts that no figure is made from.

use std::collections::BTreeMap;

use config::Problems;
use config::csv_table::Row;
use model::{Localized, text};

use super::{Fact, Facts, Flow, Measure, PriceBase};
use crate::id::SubjectId;
use crate::number::Number;
use crate::period::Period;
use crate::plant::{EnergyKind, MeterRole, Plant};

const CODE_NOTE: &str = "EN-C308";
const CODE_UNUSED: &str = "EN-C309";
/// By what a value is wrong where a unit is taken for another (kWh for 万kWh, kg for t) or digits slip.
const FACTORS: [i64; 4] = [10_000, 1_000, 100, 10];
/// How far a value may lie from another one times a factor, in either direction. Windows of two factors do not overlap.
const WINDOW: i64 = 2;
/// How many months lie at most between periods that are compared: a works of 1978 is another one than that of 1959.
const MONTHS_MAX: i32 = 60;
/// Values that lie within this factor of one another are of one size.
const SAME_SIZE: i64 = 3;

/// A note that says what only a column can say. One that is a word of the column counts as if it stood there; another one
/// stands beside the figure. Either is told.
pub(super) fn note(fact: &mut Fact, row: &Row, is_money: bool, problems: &mut Problems) {
    let Some(note) = fact.note.clone() else { return };
    let lower = note.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let forecast = says(&["预计", "预测", "forecast"]) && row.get("status").is_none();
    let prices = is_money
        && row.get("price_base").is_none()
        && says(&["不变价", "当年价", "现价", "constant price", "current price"]);
    let (column, value) = match (forecast, prices) {
        (true, _) => ("status", "forecast".to_owned()),
        (false, true) => ("price_base", price_base_of(&note).to_string()),
        (false, false) => return,
    };
    let status = note.parse().ok().filter(|_| forecast);
    let base: Option<PriceBase> = note.parse().ok().filter(|_| prices);
    let taken = status.is_some() || base.is_some();
    fact.status = status.unwrap_or(fact.status);
    fact.price_base = fact.price_base.or(base);
    let message = if taken {
        text!(
            en: "the note says `{note}`, and the column `{column}` is blank: taken as `{value}`",
            zh: "备注写有 `{note}`，而“{column}”列为空：按 `{value}` 处理",
        )
    } else {
        text!(
            en: "the note says `{note}`, and the column `{column}` is blank: the value counts like any other",
            zh: "备注写有 `{note}`，而“{column}”列为空：该值按普通数据处理",
        )
    };
    let help = text!(
        en: "write `{value}` in the column `{column}`",
        zh: "请在“{column}”列填写 `{value}`",
    );
    problems.push(row.problem_in("note", CODE_NOTE, message).help(help).warning());
    if !taken {
        fact.remarks.push(text!(
            en: "a note on it says `{note}`, which the column `{column}` does not state",
            zh: "其备注写有 `{note}`，而“{column}”列未注明",
        ));
    }
}

/// The price base that a note names: the year in it, if there is one.
fn price_base_of(note: &str) -> PriceBase {
    let is_digit = |c: char| c.is_ascii_digit();
    let year = note.split(|c| !is_digit(c)).find(|digits| digits.len() == 4);
    let year = year.filter(|_| !note.contains("当年价") && !note.contains("现价"));
    year.and_then(|year| year.parse().ok()).map_or(PriceBase::Current, PriceBase::Constant)
}

/// Notes beside each value of another size than those of other periods what it is compared with.
pub(super) fn slips(facts: &mut Facts) {
    for ((_, measure), by_period) in &mut facts.by_key {
        // A stock may be empty at one end of a period and full at the other.
        if matches!(measure, Measure::Energy(flow, _) if flow.is_stock()) {
            continue;
        }
        let all: Vec<Fact> = by_period.values().flatten().cloned().collect();
        let all: Vec<&Fact> = all.iter().collect();
        for fact in by_period.values_mut().flatten() {
            if let Some(slip) = slip(fact, &all) {
                let text = slip.text(fact);
                fact.remarks.push(text);
            }
        }
    }
}

/// Names the facts that no figure is made from, once for each subject and measure.
pub(super) fn unused(plant: &Plant, facts: &Facts, rows: &[Row], problems: &mut Problems) {
    let mut first: BTreeMap<String, &Row> = BTreeMap::new();
    for row in rows {
        first.entry(row.place()).or_insert(row);
    }
    for by_period in facts.by_key.values() {
        let Some(fact) = by_period.values().flatten().next() else { continue };
        let Some(help) = why_unused(plant, facts, fact) else { continue };
        let Some(row) = first.get(&fact.place) else { continue };
        let (measure, subject, count) =
            (&fact.measure, &fact.subject, by_period.values().flatten().count());
        let message = text!(
            en: "no figure is made from `{measure}` of `{subject}` ({count} rows)",
            zh: "没有指标使用 `{subject}` 的 `{measure}`（{count} 行）",
        );
        problems.push(row.problem_in("measure", CODE_UNUSED, message).help(help).warning());
    }
}

/// Where a measure of a subject would count, when it does not; `None` when a figure is made from it.
fn why_unused(plant: &Plant, facts: &Facts, fact: &Fact) -> Option<Localized> {
    let subject = &fact.subject;
    match &fact.measure {
        Measure::GrossOutputValue | Measure::ValueAdded => {
            let enterprise = &plant.enterprise;
            (subject != enterprise).then(|| {
                text!(
                    en: "money counts for the enterprise `{enterprise}` alone",
                    zh: "产值和增加值只按企业 `{enterprise}` 统计",
                )
            })
        }
        Measure::Output(id) | Measure::QualifiedOutput(id) => {
            let product = plant.products.iter().find(|product| product.id == *id)?;
            let line = &product.line;
            (subject != line).then(|| {
                text!(
                    en: "`{id}` is made by `{line}`: its output counts there",
                    zh: "`{id}` 由 `{line}` 生产，产量应填在该产线",
                )
            })
        }
        Measure::Energy(Flow::Consumed, kind) => {
            let in_line = plant.lines().any(|line| plant.is_within(subject, &line.id));
            let shared = plant
                .allocations
                .iter()
                .any(|key| key.energy_kind == *kind && plant.is_within(subject, &key.from));
            let makes = plant.kinds.iter().any(|made| is_maker(plant, facts, made, subject));
            (!in_line && !shared && !makes).then(|| {
                text!(
                    en: "what is used counts for lines, for equipment that is shared among them, and for what makes another kind (`made_by`); the total is made from `purchased:{kind}`",
                    zh: "消费量只用于产线、参与分摊的公用设备和生产其他能源的设备（`made_by`）；综合能耗按 `purchased:{kind}`（外购）计算",
                )
            })
        }
        Measure::Energy(..) => None,
    }
}

/// Whether a subject is, or lies in, what makes a kind.
fn is_maker(plant: &Plant, facts: &Facts, made: &EnergyKind, subject: &SubjectId) -> bool {
    let stated = made.made_by.iter().flatten().any(|maker| plant.is_within(subject, maker));
    let own = Measure::Energy(Flow::Own, made.id.clone());
    let metered = plant.meters.iter().any(|meter| {
        (&meter.subject, meter.role) == (subject, MeterRole::Own) && meter.energy_kind == made.id
    });
    stated || metered || facts.has(subject, &own)
}

/// A value of another size than those of other periods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slip<'a> {
    /// How many times as large, or as small.
    factor: i64,
    /// Whether it is larger.
    larger: bool,
    /// The value of the nearest period of the usual size.
    usual: &'a Fact,
}

impl Slip<'_> {
    /// What is said beside the figure.
    pub(super) fn text(&self, fact: &Fact) -> Localized {
        let (written, period, factor) = (&fact.written, fact.period, self.factor);
        let (other, other_period) = (&self.usual.written, self.usual.period);
        if self.larger {
            text!(
                en: "{written} declared for {period} is about {factor} times the {other} of {other_period}: check value and unit",
                zh: "{period} 申报的 {written} 约为 {other_period} 的 {other} 的 {factor} 倍，请核对数值和单位"
            )
        } else {
            text!(
                en: "{written} declared for {period} is about 1/{factor} of the {other} of {other_period}: check value and unit",
                zh: "{period} 申报的 {written} 约为 {other_period} 的 {other} 的 1/{factor}，请核对数值和单位"
            )
        }
    }
}

/// The slip of one of the facts of a subject and measure, if it seems to be one.
///
/// 850, 870, 8 600 000 → the third, by 10 000, against the second
pub(super) fn slip<'a>(fact: &Fact, all: &[&'a Fact]) -> Option<Slip<'a>> {
    let size = yearly(fact);
    let others: Vec<(&Fact, Number)> = all
        .iter()
        .filter(|other| {
            other.period != fact.period && distance(other.period, fact.period) <= MONTHS_MAX
        })
        .map(|other| (*other, yearly(other)))
        .filter(|(_, size)| size.is_positive())
        .collect();
    if !size.is_positive() || others.is_empty() {
        return None;
    }
    let same = others.iter().filter(|(_, other)| is_near(&size, other, SAME_SIZE)).count();
    for factor in FACTORS {
        // A tenth is also what a summer is of a winter, so that hardly any other period may be of that size.
        let few = if factor == 10 { same.saturating_mul(6) } else { same.saturating_mul(3) };
        for larger in [true, false] {
            let step = Number::from(factor);
            let fits = |other: &Number| {
                if larger {
                    is_near(&size, &(other * &step), WINDOW)
                } else {
                    is_near(&(&size * &step), other, WINDOW)
                }
            };
            let usual: Vec<&Fact> =
                others.iter().filter(|(_, other)| fits(other)).map(|(other, _)| *other).collect();
            if usual.len().saturating_mul(2) > others.len() && few <= others.len() {
                let nearest =
                    usual.into_iter().min_by_key(|other| distance(other.period, fact.period));
                return nearest.map(|usual| Slip { factor, larger, usual });
            }
        }
    }
    None
}

/// What the value is for a year, without its sign.
fn yearly(fact: &Fact) -> Number {
    let months = if fact.period.months().is_empty() { 12 } else { 1 };
    &fact.value.abs() * &Number::from(months)
}

fn is_near(one: &Number, other: &Number, factor: i64) -> bool {
    let factor = Number::from(factor);
    *one <= other * &factor && *other <= one * &factor
}

fn distance(one: Period, other: Period) -> i32 {
    let months = |period: Period| {
        let day = period.days().0;
        i32::from(day.year()) * 12 + i32::from(day.month())
    };
    (months(one) - months(other)).abs()
}
