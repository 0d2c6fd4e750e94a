//! Reads declared facts from CSV and checks them against the plant. Must never decide which source enters a total.

use std::sync::Arc;

use config::csv_table::{self, Columns, Row};
use config::{Problem, Problems, SourceFile, meant};
use model::Unit;

use super::{Fact, Facts, Measure};
use crate::number::Number;
use crate::period::Period;
use crate::plant::Plant;

const CODE_FIELD: &str = "EN-C303";
const CODE_REFERENCE: &str = "EN-C304";
const CODE_UNIT: &str = "EN-C305";
const CODE_TWICE: &str = "EN-C306";
/// The money of the statistical forms, and what one yuan is of it.
const MONEY: &str = "万元";
const YUAN: &str = "元";

const COLUMNS: Columns = Columns {
    required: &["subject", "period", "measure", "value", "unit"],
    optional: &["note", "override_reason", "batch"],
};

/// Reads all files.
pub(super) fn facts(plant: &Plant, files: &[Arc<SourceFile>]) -> Result<Facts, Problems> {
    let mut problems = Problems::default();
    let mut facts = Facts::default();
    for file in files {
        for row in csv_table::read(file, &COLUMNS, &mut problems) {
            if let Some(fact) = fact(plant, &row, &mut problems) {
                insert(&mut facts, fact, &row, &mut problems);
            }
        }
    }
    if problems.is_fatal() { Err(problems) } else { Ok(facts) }
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
    Some(Fact {
        subject,
        period,
        measure,
        written: format!("{value} {unit}"),
        value: &value * &factor,
        note: row.get("note").map(str::to_owned),
        override_reason: row.get("override_reason").map(str::to_owned),
        batch: row.get("batch").map(str::to_owned),
        place: row.place(),
    })
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

/// A year and one of its months would count the same time twice, and so would the same period twice, but for two batches.
fn insert(facts: &mut Facts, fact: Fact, row: &Row, problems: &mut Problems) {
    let key = (fact.subject.clone(), fact.measure.clone());
    let periods = facts.by_key.entry(key).or_default();
    let year = Period::Year(fact.period.year());
    // A month with and without a batch may be the sum and one of its parts.
    let another_batch =
        |other: &Fact| other.batch.is_some() && fact.batch.is_some() && other.batch != fact.batch;
    let overlapping = periods.iter().find_map(|(period, others)| {
        let nested =
            period.year() == fact.period.year() && (*period == year || fact.period == year);
        let other = if *period == fact.period {
            others.iter().find(|other| !another_batch(other))
        } else {
            others.first().filter(|_| nested)
        };
        Some((period, other?))
    });
    if let Some((period, other)) = overlapping {
        let message = format!(
            "`{}` of `{}` for {} is declared already for {period}, in {}",
            fact.measure, fact.subject, fact.period, other.place
        );
        let help = "give each period once, and either a year or its months";
        problems.push(row.problem(CODE_TWICE, message).help(help));
        return;
    }
    periods.entry(fact.period).or_default().push(fact);
}
