//! Reads declared facts from CSV and checks them against the plant. Must never decide which source enters a total.

use std::sync::Arc;

use config::csv_table::{self, Columns, Row};
use config::{Problem, Problems, SourceFile, meant};
use model::{Localized, Unit, text};

use super::flows::Seen;
use super::{Fact, Facts, Measure, PriceBase, Status, stock};
use crate::number::Number;
use crate::period::Period;
use crate::plant::Plant;

const CODE_FIELD: &str = "EN-C303";
const CODE_REFERENCE: &str = "EN-C304";
const CODE_UNIT: &str = "EN-C305";
const CODE_TWICE: &str = "EN-C306";
const CODE_PRICES: &str = "EN-C307";
const CODE_NOTE: &str = "EN-C308";
/// The money of the statistical forms, and what one yuan is of it.
const MONEY: &str = "万元";
const YUAN: &str = "元";

const COLUMNS: Columns = Columns {
    required: &["subject", "period", "measure", "value", "unit"],
    optional: &["note", "source", "override_reason", "status", "price_base", "batch"],
};

/// Reads all files.
pub(super) fn facts(plant: &Plant, files: &[Arc<SourceFile>]) -> Result<Facts, Problems> {
    let mut problems = Problems::default();
    let mut facts = Facts::default();
    let mut seen = Seen::default();
    for file in files {
        for row in csv_table::read(file, &COLUMNS, &mut problems) {
            if let Some(fact) = fact(plant, &row, &mut problems) {
                seen.row(plant, &fact, &row, &mut problems);
                insert(&mut facts, fact, &row, &mut problems);
            }
        }
    }
    seen.finish(plant, &mut problems);
    if problems.is_fatal() {
        return Err(problems);
    }
    facts.warnings = problems;
    Ok(facts)
}

fn fact(plant: &Plant, row: &Row, problems: &mut Problems) -> Option<Fact> {
    for column in COLUMNS.required {
        row.required(CODE_FIELD, column, problems);
    }
    let subject = row.parse(CODE_FIELD, "subject", problems);
    let period = row.parse::<Period>(CODE_FIELD, "period", problems);
    let measure = row.parse(CODE_FIELD, "measure", problems);
    let value = row.parse::<Number>(CODE_FIELD, "value", problems);
    let (subject, period, measure, value) = (subject?, period?, measure?, value?);
    if plant.subject(&subject).is_none() {
        let known: Vec<_> = plant.subjects.iter().map(|one| one.id.as_str()).collect();
        let problem = row.problem(CODE_REFERENCE, format!("there is no subject `{subject}`"));
        problems.push(problem.help(meant(subject.as_str(), &known, "known here:")));
        return None;
    }
    let other = match period {
        Period::Year(_) | Period::Month(..) => None,
        Period::Day(_) => Some("the day"),
        Period::Days(..) => Some("the range"),
    };
    if let Some(what) = other {
        let message = format!("`period`: expected a year or a month, found {what} `{period}`");
        problems.push(row.problem(CODE_FIELD, message));
        return None;
    }
    if value < Number::zero() && measure != Measure::ValueAdded {
        let message = format!("`value`: expected a number not below zero, found `{value}`");
        problems.push(row.problem(CODE_FIELD, message));
        return None;
    }
    let unit = row.get("unit")?;
    let factor = match factor(plant, &measure, unit) {
        Ok(factor) => factor,
        Err(problem) => {
            problems.push(problem.at_row(row));
            return None;
        }
    };
    let is_money = matches!(measure, Measure::GrossOutputValue | Measure::ValueAdded);
    let is_energy = matches!(measure, Measure::Energy(..));
    let status = row.parse::<Status>(CODE_FIELD, "status", problems);
    let price_base = row.parse::<PriceBase>(CODE_FIELD, "price_base", problems);
    belongs(row, "price_base", is_money, &measure, problems);
    belongs(row, "batch", is_energy, &measure, problems);
    let mut fact = Fact {
        subject,
        period,
        measure,
        written: format!("{value} {unit}"),
        value: &value * &factor,
        note: row.get("note").map(str::to_owned),
        document: row.get("source").map(str::to_owned),
        override_reason: row.get("override_reason").map(str::to_owned),
        status: status.unwrap_or_default(),
        price_base,
        batch: row.get("batch").map(str::to_owned),
        remarks: Vec::new(),
        place: row.place(),
    };
    fact.remarks.extend(said_in_note(&fact, row, is_money, problems));
    Some(fact)
}

/// A column that says nothing of other measures is filled for one of them.
fn belongs(
    row: &Row,
    column: &'static str,
    belongs: bool,
    measure: &Measure,
    problems: &mut Problems,
) {
    if belongs || row.get(column).is_none() {
        return;
    }
    let (en, zh) = if column == "batch" {
        ("energy, such as `purchased:raw_coal`", "能源量，例如 `purchased:raw_coal`")
    } else {
        ("`gross_output_value` and `value_added`", "`gross_output_value` 和 `value_added`")
    };
    let message = text!(
        en: "`{column}` belongs to {en}, and `{measure}` is neither",
        zh: "`{column}` 只用于{zh}，`{measure}` 不是",
    );
    let help = text!(en: "leave it blank in this row", zh: "本行请留空");
    problems.push(row.problem(CODE_FIELD, message).help(help));
}

/// A note that says what only a column can say: it changes no figure, so it is told and stands beside the figure.
fn said_in_note(
    fact: &Fact,
    row: &Row,
    is_money: bool,
    problems: &mut Problems,
) -> Option<Localized> {
    let note = fact.note.as_deref()?;
    let lower = note.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let forecast = says(&["预计", "预测", "forecast"]) && row.get("status").is_none();
    let prices = is_money
        && row.get("price_base").is_none()
        && says(&["不变价", "当年价", "现价", "constant price", "current price"]);
    let (column, value) = match (forecast, prices) {
        (true, _) => ("status", "forecast".to_owned()),
        (false, true) => ("price_base", price_base_of(note).to_string()),
        (false, false) => return None,
    };
    let message = text!(
        en: "the note says `{note}`, and the column `{column}` is blank: the value counts like any other",
        zh: "备注写有 `{note}`，但“{column}”列为空：该值按普通数据处理",
    );
    let help = text!(
        en: "write `{value}` in the column `{column}`",
        zh: "请在“{column}”列填写 `{value}`",
    );
    problems.push(row.problem(CODE_NOTE, message).help(help).warning());
    Some(text!(
        en: "a note on it says `{note}`, which the column `{column}` does not state",
        zh: "其备注写有 `{note}`，而“{column}”列未注明",
    ))
}

/// The price base that a note names: the year in it, if there is one.
fn price_base_of(note: &str) -> PriceBase {
    let is_digit = |c: char| c.is_ascii_digit();
    let year = note.split(|c| !is_digit(c)).find(|digits| digits.len() == 4);
    let year = year.filter(|_| !note.contains("当年价") && !note.contains("现价"));
    year.and_then(|year| year.parse().ok()).map_or(PriceBase::Current, PriceBase::Constant)
}

/// Why a measure cannot be counted in a unit.
struct Unfit {
    code: &'static str,
    message: String,
    help: Option<String>,
}

impl Unfit {
    fn at_row(self, row: &Row) -> Problem {
        let problem = row.problem(self.code, self.message);
        match self.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

/// How many of the measure's own unit one `unit` is.
fn factor(plant: &Plant, measure: &Measure, unit: &str) -> Result<Number, Unfit> {
    let own = match measure {
        Measure::Energy(_, id) => {
            let Some(kind) = plant.kind(id) else {
                let known: Vec<_> = plant.kinds.iter().map(|kind| kind.id.as_str()).collect();
                return Err(unknown("energy kind", id.as_str(), &known));
            };
            let factor = unit.parse().ok().and_then(|unit| kind.factor_from(unit));
            return factor.ok_or_else(|| unfit(measure, kind.unit.symbol(), unit));
        }
        Measure::Output(id) | Measure::QualifiedOutput(id) => {
            let found = plant.products.iter().find(|product| product.id == *id);
            let known: Vec<_> = plant.products.iter().map(|product| product.id.as_str()).collect();
            found.ok_or_else(|| unknown("product", id.as_str(), &known))?.unit
        }
        Measure::GrossOutputValue | Measure::ValueAdded => {
            return match unit {
                MONEY => Ok(Number::from(1)),
                YUAN => Ok(Number::new(1, -4)),
                _ => Err(unfit(measure, MONEY, unit)),
            };
        }
    };
    let found = unit.parse::<Unit>().ok().and_then(|unit| crate::convert::factor(unit, own));
    found.ok_or_else(|| unfit(measure, own.symbol(), unit))
}

fn unfit(measure: &Measure, own: &str, found: &str) -> Unfit {
    Unfit {
        code: CODE_UNIT,
        message: format!(
            "`unit`: `{measure}` is counted in `{own}`, and `{found}` does not convert exactly into it"
        ),
        help: Some(match measure {
            Measure::Energy(..) => format!(
                "give it in `{own}`, or state a `conversion` for this energy kind in the plant file"
            ),
            _ => format!("give it in `{own}`"),
        }),
    }
}

fn unknown(what: &str, found: &str, known: &[&str]) -> Unfit {
    Unfit {
        code: CODE_REFERENCE,
        message: format!("there is no {what} `{found}` in the plant file"),
        help: Some(if known.is_empty() {
            format!("it has no {what}")
        } else {
            meant(found, known, "known here:")
        }),
    }
}

/// A year and one of its months would count the same time twice, and so would the same period twice, unless each is of
/// another batch. Months at different prices do not add up to a year.
fn insert(facts: &mut Facts, fact: Fact, row: &Row, problems: &mut Problems) {
    if let Some(problem) = stock::contradicts(facts, &fact, row) {
        problems.push(problem);
        return;
    }
    let key = (fact.subject.clone(), fact.measure.clone());
    let is_stock = matches!(fact.measure, Measure::Energy(flow, _) if flow.is_stock());
    let periods = facts.by_key.entry(key).or_default();
    let year = Period::Year(fact.period.year());
    let of_year = || periods.values().flatten().filter(|one| one.period.year() == year.year());
    let (measure, subject, period) = (&fact.measure, &fact.subject, fact.period);
    let twice = of_year().find(|other| {
        let same = other.period == period;
        let both_batches = same && other.batch.is_some() && fact.batch.is_some();
        if both_batches {
            return other.batch == fact.batch;
        }
        // The stock of a year and that of its months are of different instants, or the same.
        same || (!is_stock && (other.period == year || period == year))
    });
    if let Some(other) = twice {
        let (other_period, place) = (other.period, &other.place);
        let message = text!(
            en: "`{measure}` of `{subject}` for {period} is declared already for {other_period}, in {place}",
            zh: "`{subject}` 的 `{measure}` {period} 已在 {place} 申报（{other_period}）",
        );
        let help = if other.period == period && other.batch != fact.batch {
            text!(
                en: "give every row of the period its `batch`, or none",
                zh: "同一期间的各行要么都填“批次”，要么都不填",
            )
        } else if other.status != fact.status {
            text!(
                en: "delete the forecast once the actual figure is there",
                zh: "有了实际数据后请删除预计数据",
            )
        } else {
            text!(
                en: "give each period once, and either a year or its months",
                zh: "每个期间只填一次；同一年要么填年，要么填各月",
            )
        };
        problems.push(row.problem(CODE_TWICE, message).help(help));
        return;
    }
    let priced = |one: &&Fact| one.price_base.is_some() && fact.price_base.is_some();
    if let Some(other) = of_year().filter(priced).find(|one| one.price_base != fact.price_base) {
        let base = |one: &Fact| one.price_base.map_or_else(String::new, |base| base.to_string());
        let (here, there, place) = (base(&fact), base(other), &other.place);
        let message = text!(
            en: "`price_base`: `{here}` for {period}, and `{there}` in {place}: these do not add up to a year",
            zh: "`price_base`：{period} 为 `{here}`，{place} 为 `{there}`，不能相加为全年",
        );
        let help = text!(en: "give a year at one price base", zh: "同一年请采用同一价格基准");
        problems.push(row.problem(CODE_PRICES, message).help(help));
        return;
    }
    periods.entry(fact.period).or_default().push(fact);
}
