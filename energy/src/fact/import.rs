//! Reads declared facts from rows and checks them against the plant.

use std::sync::Arc;

use config::csv_table::{self, Row};
use config::{Problems, SourceFile, meant};
use model::text;

use super::columns::COLUMNS;
use super::flows::Seen;
use super::units::factor;
use super::{Fact, Facts, Measure, PriceBase, Status, doubts, stock, words};
use crate::id::SubjectId;
use crate::number::Number;
use crate::period::Period;
use crate::plant::Plant;

const CODE_FIELD: &str = "EN-C303";
pub(super) const CODE_REFERENCE: &str = "EN-C304";
const CODE_TWICE: &str = "EN-C306";
const CODE_PRICES: &str = "EN-C307";

/// Reads all files.
pub(super) fn facts(plant: &Plant, files: &[Arc<SourceFile>]) -> Result<Facts, Problems> {
    let mut problems = Problems::default();
    let mut facts = Facts::default();
    let mut seen = Seen::default();
    let mut rows = Vec::new();
    for file in files {
        for row in csv_table::read(file, &COLUMNS, &mut problems) {
            if let Some(fact) = fact(plant, &row, &mut problems) {
                seen.row(plant, &fact, &row, &mut problems);
                insert(&mut facts, fact, &row, &mut problems);
                rows.push(row);
            }
        }
    }
    seen.finish(plant, &mut problems);
    if problems.is_fatal() {
        return Err(problems);
    }
    doubts::slips(&mut facts);
    doubts::unused(plant, &facts, &rows, &mut problems);
    facts.warnings = problems;
    Ok(facts)
}

fn fact(plant: &Plant, row: &Row, problems: &mut Problems) -> Option<Fact> {
    for column in COLUMNS.required {
        row.required(CODE_FIELD, column, problems);
    }
    let subject = subject(plant, row, problems);
    let period = period(row, problems);
    let measure = measure(plant, row, problems);
    let value = value(row, problems);
    let (subject, period, measure, value) = (subject?, period?, measure?, value?);
    if value < Number::zero() && measure != Measure::ValueAdded {
        let message = text!(
            en: "`value`: expected a number not below zero, found `{value}`",
            zh: "`value`：应为不小于零的数，实为 `{value}`",
        );
        problems.push(row.problem_in("value", CODE_FIELD, message));
        return None;
    }
    let unit = row.get("unit")?;
    let factor = match factor(plant, &measure, unit) {
        Ok(factor) => factor,
        Err(unfit) => {
            let column = if unit_is_meant(unfit.code) { "unit" } else { "measure" };
            problems.push(row.problem_in(column, unfit.code, unfit.message).help(unfit.help));
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
    doubts::note(&mut fact, row, is_money, problems);
    batch(plant, &mut fact, row, problems);
    Some(fact)
}

/// A batch has a coefficient of its own; where no batch of the kind has one, the figure says so.
fn batch(plant: &Plant, fact: &mut Fact, row: &Row, problems: &mut Problems) {
    let (Measure::Energy(_, id), Some(batch)) = (&fact.measure, &fact.batch) else { return };
    let Some(kind) = plant.kind(id) else { return };
    let of_kind =
        plant.coefficients.rows().iter().filter(|row| row.energy_kind == kind.coefficient);
    let known: Vec<&str> = of_kind.filter_map(|row| row.batch.as_deref()).collect();
    if known.is_empty() {
        let name = &kind.name;
        fact.remarks.push(text!(
            en: "batch `{batch}` of {name} has no coefficient of its own",
            zh: "{name} 批次 `{batch}` 没有单独的折标系数",
        ));
    } else if !known.contains(&batch.as_str()) {
        let message = text!(
            en: "`batch`: no `[[coefficient]]` of `{id}` has batch `{batch}`",
            zh: "`batch`：`{id}` 没有批次 `{batch}` 的 `[[coefficient]]`",
        );
        let help = meant(batch, &known, "batches that have one:");
        problems.push(row.problem_in("batch", CODE_REFERENCE, message).help(help));
    }
}

fn unit_is_meant(code: &str) -> bool {
    code != CODE_REFERENCE
}

fn subject(plant: &Plant, row: &Row, problems: &mut Problems) -> Option<SubjectId> {
    let written = row.get("subject")?;
    let found = words::subject(plant, written);
    if found.is_none() {
        let mut known: Vec<&str> = plant.subjects.iter().map(|one| one.id.as_str()).collect();
        if !written.is_ascii() {
            known.extend(plant.subjects.iter().map(|one| one.name.as_str()));
        }
        let message = text!(
            en: "there is no subject `{written}`",
            zh: "没有对象 `{written}`",
        );
        let known_here = text!(en: "known here:", zh: "已有：");
        let help = config::suggested(written, &known, &known_here);
        problems.push(row.problem_in("subject", CODE_REFERENCE, message).help(help));
    }
    found
}

fn period(row: &Row, problems: &mut Problems) -> Option<Period> {
    let written = row.get("period")?;
    let message = match words::period(written) {
        Some(period @ (Period::Year(_) | Period::Month(..))) => return Some(period),
        Some(period @ Period::Day(_)) => text!(
            en: "`period`: expected a year or a month, found the day `{period}`",
            zh: "`period`：应为年或月，实为日期 `{period}`",
        ),
        Some(period) => text!(
            en: "`period`: expected a year or a month, found the range `{period}`",
            zh: "`period`：应为年或月，实为时段 `{period}`",
        ),
        None => text!(
            en: "`period`: `{written}` is not a period",
            zh: "`period`：`{written}` 不是有效的期间",
        ),
    };
    let help = words::period_help(written);
    problems.push(row.problem_in("period", CODE_FIELD, message).help(help));
    None
}

fn measure(plant: &Plant, row: &Row, problems: &mut Problems) -> Option<Measure> {
    let written = row.get("measure")?;
    let found = words::measure(plant, written);
    if found.is_none() {
        let wrong = super::MeasureError { text: written.to_owned() }.to_string();
        let message = text!(
            en: "`measure`: {wrong}",
            zh: "`measure`：`{written}` 不是有效的指标：应为 `外购:品种`、`消费:品种`、`自发:品种`、`自产:品种`、`期初库存:品种`、`期末库存:品种`、`外供:品种`、`产量:产品`、`合格品产量:产品`、`工业总产值` 或 `工业增加值`",
        );
        let problem = row.problem_in("measure", CODE_FIELD, message);
        problems.push(match words::measure_meant(plant, written) {
            Some(near) => {
                problem.help(text!(en: "did you mean `{near}`?", zh: "是否指 `{near}`？"))
            }
            None => problem,
        });
    }
    found
}

fn value(row: &Row, problems: &mut Problems) -> Option<Number> {
    let written = row.get("value")?;
    let found = words::number(written);
    if found.is_none() {
        let message = text!(
            en: "`value`: `{written}` is not a decimal number: expected digits with at most one point, e.g. `1200.5`",
            zh: "`value`：`{written}` 不是十进制数：应为数字，最多一个小数点，例如 `1200.5`",
        );
        let problem = row.problem_in("value", CODE_FIELD, message);
        problems.push(match words::number_help(written) {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
    found
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
    problems.push(row.problem_in(column, CODE_FIELD, message).help(help));
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
