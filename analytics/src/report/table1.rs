//! Table 1 (表1 能源消耗统计表) and the energy per output value as rows. Must never compute.
//!
//! # Source
//! T/ZJREA draft, Table 1: rows by energy kind and source channel, 综合能耗, 工业总产值, 工业增加值, 万元产值综合能耗,
//! 工业增加值综合能耗.

use energy::Figure;
use energy::coefficient::Basis;
use energy::fact::Flow;
use energy::table1::{Cell, Row as EnergyRow, Table1};
use energy::tce::PerBasis;
use model::{Localized, text};

use super::remarks;
use super::rows::{Coefficient, Form, OnBasis, Part, Report, Row};
use super::words;

/// Table 1.
#[must_use]
pub fn table1(table: &Table1) -> Report {
    let mut rows: Vec<Row> = table.rows.iter().map(energy_row).collect();
    rows.push(total_row(table));
    if table.rows.iter().any(|row| row.source == Flow::Generated) {
        let name = text!(en: "without own primary energy", zh: "不含自产一次能源");
        let row = Row::new(Part::Total, "total_without_generated", name);
        let origin = Some(text!(en: "computed", zh: "计算"));
        rows.push(Row { on: on_bases(&table.totals_without_generated), origin, ..row });
    }
    rows.extend(table.subtotals.iter().map(|subtotal| {
        let name = words::energy_class(subtotal.class);
        let row = Row::new(Part::Subtotal, format!("subtotal/{}", subtotal.class), name);
        Row { on: on_bases(&subtotal.tce), ..row }
    }));
    rows.extend(value_rows(table));
    finished(table, Form::Table1, rows)
}

/// The energy per output value and per value added.
#[must_use]
pub fn intensity(table: &Table1) -> Report {
    let mut rows = vec![total_row(table)];
    rows.extend(value_rows(table));
    finished(table, Form::Intensity, rows)
}

fn finished(table: &Table1, form: Form, mut rows: Vec<Row>) -> Report {
    number(&mut rows);
    rows.iter_mut().for_each(remarks::of_figures);
    Report {
        form,
        plant: named(table).to_owned(),
        period: table.period,
        bases: table.basis.bases(),
        rows,
        sets: sets(&table.coefficient_sets),
        rule_sets: rule_sets(table),
        commit: table.commit,
        sources: sources(table),
    }
}

/// 序号 of all rows but subtotals, and of the rows that a quotient is made of.
fn number(rows: &mut [Row]) {
    let mut next = 0;
    for row in rows.iter_mut().filter(|row| row.part != Part::Subtotal) {
        next += 1;
        row.number = Some(next);
    }
    let at = |rows: &[Row], item: &str| rows.iter().find(|row| row.item == item)?.number;
    for (quotient, under) in
        [("output_value_intensity", "gross_output_value"), ("value_added_intensity", "value_added")]
    {
        let (Some(over), Some(under)) = (at(rows, "total"), at(rows, under)) else { continue };
        for row in rows.iter_mut().filter(|row| row.item == quotient) {
            row.origin = Some(text!(en: "{over} / {under}", zh: "{over} / {under}"));
        }
    }
}

/// The name of the enterprise, or its id where it has none.
fn named(table: &Table1) -> &str {
    if table.subject_name.is_empty() { table.subject.as_str() } else { &table.subject_name }
}

pub(super) fn sets(sets: &PerBasis<String>) -> Vec<(Basis, String)> {
    let each = [Basis::Equivalent, Basis::EqualValue];
    each.into_iter().filter_map(|basis| Some((basis, sets.get(basis)?.clone()))).collect()
}

fn rule_sets(table: &Table1) -> Vec<String> {
    let mut all: Vec<String> =
        table.rules.iter().map(|rule| format!("{}-{}", rule.rule_set, rule.edition)).collect();
    all.sort();
    all.dedup();
    all
}

fn energy_row(row: &EnergyRow) -> Row {
    let name = words::named(&row.name, row.kind.as_str());
    let mut made = Row::new(Part::Energy, format!("{}/{}", row.kind, row.source), name);
    made.flow = Some((row.source.word(), words::flow(row.source)));
    made.figure = Some(row.quantity.clone());
    made.on = converted(&row.converted);
    for other in &row.not_counted {
        made.remark(None, remarks::not_counted(other));
    }
    made
}

/// Quantities in coal equivalent with their coefficients.
pub(super) fn converted(cells: &PerBasis<Cell>) -> Vec<OnBasis> {
    let each = [Basis::Equivalent, Basis::EqualValue];
    let converted = each.into_iter().filter_map(|basis| {
        let cell = cells.get(basis)?;
        let coefficient = match (&cell.coefficient, &cell.tce_per_unit) {
            (Some(_), Some(per_unit)) => Coefficient::Used(per_unit.clone()),
            _ => Coefficient::Missing,
        };
        Some(OnBasis { basis, coefficient, figure: cell.tce.clone() })
    });
    converted.collect()
}

/// Figures on each basis that are no conversions.
pub(super) fn on_bases(figures: &PerBasis<Figure>) -> Vec<OnBasis> {
    let each = [Basis::Equivalent, Basis::EqualValue];
    let on = each.into_iter().filter_map(|basis| {
        let figure = figures.get(basis)?.clone();
        Some(OnBasis { basis, coefficient: Coefficient::None, figure })
    });
    on.collect()
}

fn total_row(table: &Table1) -> Row {
    let name = text!(en: "Total energy", zh: "综合能耗");
    let mut row = Row::new(Part::Total, "total", name);
    row.on = on_bases(&table.totals);
    row.origin = Some(text!(en: "computed", zh: "计算"));
    row
}

/// Output value, value added and the quotients.
fn value_rows(table: &Table1) -> Vec<Row> {
    let money = |item: &str, name: Localized, figure: &Figure| Row {
        figure: Some(figure.clone()),
        ..Row::new(Part::Value, item, name)
    };
    let quotient = |item: &str, name: Localized, figures: &PerBasis<Figure>| Row {
        on: on_bases(figures),
        ..Row::new(Part::Value, item, name)
    };
    vec![
        money(
            "gross_output_value",
            text!(en: "Gross output value", zh: "工业总产值"),
            &table.gross_output_value,
        ),
        money("value_added", text!(en: "Value added", zh: "工业增加值"), &table.value_added),
        quotient(
            "output_value_intensity",
            text!(en: "Energy per output value", zh: "万元产值综合能耗"),
            &table.output_value_intensity,
        ),
        quotient(
            "value_added_intensity",
            text!(en: "Energy per value added", zh: "工业增加值综合能耗"),
            &table.value_added_intensity,
        ),
    ]
}

/// By which rules and with which coefficients, and what is missing.
fn sources(table: &Table1) -> Vec<Localized> {
    let mut all = Vec::new();
    for rule in &table.rules {
        let (kind, set, edition) = (&rule.kind, &rule.rule_set, &rule.edition);
        let treatment = rule.treatment;
        let steam = rule.steam_rule.map_or_else(String::new, |rule| format!(", {rule}"));
        all.push(text!(
            en: "{kind}: {set}-{edition}, {treatment}{steam}",
            zh: "{kind}：{set}-{edition}，{treatment}{steam}",
        ));
    }
    for basis in table.basis.bases() {
        for row in table.rows.iter().filter(|row| row.source != Flow::Own) {
            let used = row.converted.get(*basis).and_then(|cell| cell.coefficient.as_ref());
            let name = words::named(&row.name, row.kind.as_str());
            let text = used.map(|used| remarks::coefficient(&name, *basis, used));
            // What is bought and sold has one coefficient.
            all.extend(text.filter(|text| !all.contains(text)));
        }
    }
    let missing = table.missing_coefficients.iter();
    all.extend(
        missing
            .map(|missing| text!(en: "missing coefficient: {missing}", zh: "缺少系数：{missing}")),
    );
    all
}
