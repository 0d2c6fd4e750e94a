//! Table 1 (表1 能源消耗统计表) and the energy per 10k yuan as grids. Must never compute.
//!
//! # Source
//! T/ZJREA draft, Table 1: rows by energy kind and source channel, 综合能耗, 工业总产值, 工业增加值, 万元产值综合能耗.

use energy::Figure;
use energy::coefficient::{Basis, EnergyClass, Evidence, Rule};
use energy::fact::Flow;
use energy::source::NotCounted;
use energy::table1::{Cell as Converted, Row, Table1};

use super::grid::{Cell, Grid, remarks};

pub(super) fn basis_name(basis: Basis) -> &'static str {
    match basis {
        Basis::Equivalent => "当量值 equivalent",
        Basis::EqualValue => "等价值 equal_value",
    }
}

fn class_name(class: EnergyClass) -> &'static str {
    match class {
        EnergyClass::Primary => "一次能源小计 primary",
        EnergyClass::Secondary => "二次能源小计 secondary",
        EnergyClass::Medium => "耗能工质小计 media",
    }
}

/// Table 1 as a grid.
#[must_use]
pub fn table1(table: &Table1) -> Grid {
    let bases = table.basis.bases();
    let mut header: Vec<String> =
        ["能源 energy", "来源渠道 source", "数量 quantity", "单位 unit", "覆盖率 coverage"]
            .map(str::to_owned)
            .to_vec();
    for basis in bases {
        header.push(format!("折标系数 {}", basis_name(*basis)));
        header.push(format!("tce {}", basis_name(*basis)));
    }
    header.push("说明 note".to_owned());
    let mut rows: Vec<Vec<Cell>> = table.rows.iter().map(|row| energy_row(row, bases)).collect();
    for subtotal in &table.subtotals {
        rows.push(sum_row(class_name(subtotal.class), bases, |basis| subtotal.tce.get(basis)));
    }
    rows.push(sum_row("综合能耗 total", bases, |basis| table.totals.get(basis)));
    if table.rows.iter().any(|row| row.source == Flow::Generated) {
        let name = "综合能耗（不含自产一次能源） total without own primary energy";
        rows.push(sum_row(name, bases, |basis| table.totals_without_generated.get(basis)));
    }
    rows.extend(value_rows(table));
    let title = format!("表1 能源消耗统计表 Table 1 · {} · {}", named(table), table.period);
    Grid { title, header, rows, notes: notes(table) }
}

/// The energy per 10k yuan of output and of value added as a grid.
#[must_use]
pub fn intensity(table: &Table1) -> Grid {
    let header = ["指标 figure", "数值 value", "单位 unit", "覆盖率 coverage", "说明 note"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = Vec::new();
    for basis in table.basis.bases() {
        let named = [
            ("综合能耗", table.totals.get(*basis)),
            ("万元产值综合能耗", table.output_value_intensity.get(*basis)),
            ("万元增加值综合能耗", table.value_added_intensity.get(*basis)),
        ];
        let shown = named.into_iter().filter_map(|(name, figure)| Some((name, figure?)));
        rows.extend(
            shown.map(|(name, figure)| {
                figure_row(&format!("{name} ({})", basis_name(*basis)), figure)
            }),
        );
    }
    rows.push(figure_row("工业总产值 gross output value", &table.gross_output_value));
    rows.push(figure_row("工业增加值 value added", &table.value_added));
    let title =
        format!("万元产值综合能耗 energy per 10k yuan · {} · {}", named(table), table.period);
    Grid { title, header, rows, notes: notes(table) }
}

/// The name of the enterprise, or its id where it has none.
fn named(table: &Table1) -> &str {
    if table.subject_name.is_empty() { table.subject.as_str() } else { &table.subject_name }
}

fn figure_row(name: &str, figure: &Figure) -> Vec<Cell> {
    vec![
        Cell::text(name),
        Cell::figure(figure),
        Cell::text(&figure.unit),
        Cell::coverage(figure),
        Cell::notes([figure]),
    ]
}

fn energy_row(row: &Row, bases: &[Basis]) -> Vec<Cell> {
    let mut cells = vec![
        Cell::text(&row.name),
        Cell::text(row.source.to_string()),
        Cell::figure(&row.quantity),
        Cell::text(row.unit.symbol()),
        Cell::coverage(&row.quantity),
    ];
    for basis in bases {
        let converted = row.converted.get(*basis);
        let coefficient = converted.and_then(|cell: &Converted| cell.coefficient.as_ref());
        cells.push(coefficient.map_or(Cell::Empty, |used| Cell::Measured {
            digits: used.kgce_per_unit.to_string(),
            unit: format!("kgce/{}", used.unit),
        }));
        cells.push(converted.map_or(Cell::Empty, |cell| Cell::figure(&cell.tce)));
    }
    let figures = std::iter::once(&row.quantity).chain(row.converted.iter().map(|cell| &cell.tce));
    let used = row.converted.iter().filter_map(|cell| cell.coefficient.as_ref());
    let doubts = used.filter_map(|used| doubt(used.evidence?).map(str::to_owned));
    let not_counted = row.not_counted.iter().map(not_counted);
    cells.push(Cell::texts(figures.flat_map(remarks).chain(doubts).chain(not_counted)));
    cells
}

/// What must be said beside a figure that such a coefficient went into.
fn doubt(evidence: Evidence) -> Option<&'static str> {
    match evidence {
        Evidence::Printed | Evidence::Secondary | Evidence::Measured => None,
        Evidence::Unverified => Some("系数未核实 unverified coefficient"),
        Evidence::Assumed => Some("系数为假定值 assumed coefficient"),
        Evidence::Illustrative => {
            Some("系数为示例值，不可用于上报 illustrative coefficient, not for a report")
        }
    }
}

/// A coefficient with everything that it takes to audit a total made with it.
///
/// # Source
/// GB/T 2589: the equal value of electricity is a dated number per authority, so its year and its document stand beside
/// it.
fn coefficient(row: &Row, basis: Basis) -> Option<String> {
    let used = row.converted.get(basis)?.coefficient.as_ref()?;
    let mut text =
        format!("{} {}: {} kgce/{}", row.name, basis_name(basis), used.kgce_per_unit, used.unit);
    match &used.rule {
        Rule::Row => {}
        Rule::Mean => text.push_str(", 加权平均 mean of"),
        Rule::SingleValue => text.push_str(", 单一值 single_value: the one value of both bases"),
        Rule::Enthalpy { steam_kj_per_kg, feed_kj_per_kg } => {
            let enthalpy = format!(
                ", 按焓值 by enthalpy {steam_kj_per_kg} kJ/kg less feed water {feed_kj_per_kg} kJ/kg"
            );
            text.push_str(&enthalpy);
        }
        Rule::Excluded => text.push_str(", 不折算 not converted by the site's rule"),
    }
    if let Some(year) = used.data_year {
        text = format!("{text}, 数据年份 data year {year}");
    }
    for notice in &used.notices {
        text = format!("{text}, {notice}");
    }
    if let Some(evidence) = used.evidence {
        text = format!("{text}, 证据 evidence {evidence}");
    }
    Some(text)
}

/// What was given too and does not count stays in sight (trap of metered and declared at once).
fn not_counted(other: &NotCounted) -> String {
    let NotCounted { value, difference, reason, .. } = other;
    format!("不计入 not counted: {value} (差值 difference {difference}): {reason}")
}

fn sum_row<'a>(
    name: &str,
    bases: &[Basis],
    figure: impl Fn(Basis) -> Option<&'a Figure>,
) -> Vec<Cell> {
    let mut cells = vec![Cell::text(name), Cell::text(""), Cell::text(""), Cell::text("tce")];
    let figures = || bases.iter().filter_map(|basis| figure(*basis));
    cells.push(figures().next().map_or(Cell::text(""), Cell::coverage));
    for basis in bases {
        cells.push(Cell::text(""));
        cells.push(figure(*basis).map_or(Cell::Empty, Cell::figure));
    }
    cells.push(Cell::notes(figures()));
    cells
}

/// Output value, value added and the quotients: one figure a row, its value in the column of its basis.
fn value_rows(table: &Table1) -> Vec<Vec<Cell>> {
    let bases = table.basis.bases();
    let none = || Cell::text("");
    let money = [
        ("工业总产值 gross output value", &table.gross_output_value),
        ("工业增加值 value added", &table.value_added),
    ];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (name, figure) in money {
        let (value, unit) = (Cell::figure(figure), Cell::text(&figure.unit));
        let mut cells = vec![Cell::text(name), none(), value, unit, Cell::coverage(figure)];
        cells.extend(bases.iter().flat_map(|_| [none(), none()]));
        cells.push(Cell::notes([figure]));
        rows.push(cells);
    }
    let quotients = [
        ("万元产值综合能耗 per 万元 of output", &table.output_value_intensity),
        ("万元增加值综合能耗 per 万元 of value added", &table.value_added_intensity),
    ];
    for (name, per_basis) in quotients {
        let coverage = per_basis.iter().next().map_or_else(none, Cell::coverage);
        let mut cells = vec![Cell::text(name), none(), none(), Cell::text("tce/万元"), coverage];
        for basis in bases {
            cells.extend([none(), per_basis.get(*basis).map_or(Cell::Empty, Cell::figure)]);
        }
        cells.push(Cell::notes(per_basis.iter()));
        rows.push(cells);
    }
    rows
}

fn notes(table: &Table1) -> Vec<String> {
    let mut notes = Vec::new();
    for basis in table.basis.bases() {
        if let Some(set) = table.coefficient_sets.get(*basis) {
            notes.push(format!("{}: 折标系数集 coefficient set {set}", basis_name(*basis)));
        }
    }
    if let Some(commit) = table.commit {
        notes.push(format!("截至入库提交 as of ingest commit {commit}"));
    }
    for rule in &table.rules {
        let mut text = format!("{}: {} {}", rule.kind, rule.rule_set, rule.edition);
        if let Some(steam) = rule.steam_rule {
            text = format!("{text}, steam rule {steam}");
        }
        notes.push(format!("{text}, {}", rule.treatment));
    }
    for basis in table.basis.bases() {
        let mut of_basis: Vec<String> =
            table.rows.iter().filter_map(|row| coefficient(row, *basis)).collect();
        // What is bought and sold has one coefficient.
        of_basis.dedup();
        notes.extend(of_basis);
    }
    for missing in &table.missing_coefficients {
        notes.push(format!("缺少系数 missing coefficient: {missing}"));
    }
    notes
}
