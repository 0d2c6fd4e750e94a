//! The sheet of Table 1 in the layout of the printed form: a column for each period, formulas with the values that they
//! give. Must never compute a figure.
//!
//! # Source
//! T/ZJREA draft, Table 1: 序号, 能源种类, 来源渠道, 折标系数 当量值 | 等价值, 单位, years.

use std::collections::BTreeMap;

use energy::coefficient::Basis;
use energy::{FigureValue, Number};
use model::{Language, Localized, text};
use rust_xlsxwriter::{Formula, Worksheet, XlsxError, utility::row_col_to_cell};

use super::super::across::{Across, across, compared};
use super::super::digits::{self, Digits, Scale};
use super::super::rows::{Coefficient, Part, Report, Row};
use super::super::words;
use super::{page, styles};

/// Rows of title and heads.
const FIRST_ROW: u32 = 4;
/// Columns before the coefficients.
const COEFFICIENTS_AT: u16 = 3;

/// Cells of figures, by the figures' names.
pub(super) type Cells = BTreeMap<String, (u32, u16)>;

pub(super) fn write(
    sheet: &mut Worksheet,
    reports: &[&Report],
    language: Language,
    compare: bool,
) -> Result<Cells, XlsxError> {
    let Some(first) = reports.first() else { return Ok(Cells::new()) };
    let rows = across(reports);
    let mut form = FormSheet {
        sheet,
        reports,
        rows: &rows,
        bases: first.bases,
        language,
        compare: compare && reports.len() == 2,
        cells: Cells::new(),
        energy: Vec::new(),
        notes: Vec::new(),
    };
    form.heads()?;
    form.body()?;
    form.end()?;
    Ok(form.cells)
}

struct FormSheet<'a> {
    sheet: &'a mut Worksheet,
    reports: &'a [&'a Report],
    rows: &'a [Across<'a>],
    bases: &'static [Basis],
    language: Language,
    compare: bool,
    cells: Cells,
    /// The rows of energy: where each stands, and its sign in the total.
    energy: Vec<(u32, Sign)>,
    /// What must be said, in the order of the letters.
    notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Added,
    TakenOff,
    NotCounted,
}

impl FormSheet<'_> {
    fn say(&self, text: &Localized) -> String {
        text.get(self.language).to_owned()
    }

    fn unit_at(&self) -> u16 {
        COEFFICIENTS_AT + u16::try_from(self.bases.len()).unwrap_or(2)
    }

    fn period_at(&self, at: usize) -> u16 {
        self.unit_at() + 1 + u16::try_from(at).unwrap_or(u16::MAX - 100)
    }

    fn last_column(&self) -> u16 {
        let periods = self.period_at(self.reports.len()) - 1;
        if self.compare { periods + 2 } else { periods }
    }

    fn widths(&self) -> Vec<f64> {
        let mut widths = vec![6.3, 24.0, 12.7];
        widths.extend(self.bases.iter().map(|_| 15.3));
        widths.push(13.0);
        widths.extend(self.reports.iter().map(|_| 17.3));
        if self.compare {
            widths.extend([15.3, 11.3]);
        }
        widths
    }

    fn heads(&mut self) -> Result<(), XlsxError> {
        for (at, width) in (0_u16..).zip(self.widths()) {
            self.sheet.set_column_width(at, width)?;
        }
        page::title_block(self.sheet, self.reports, self.last_column(), self.language)?;
        let head = styles::head();
        for (at, text) in [
            (0, text!(en: "No", zh: "序号")),
            (1, text!(en: "Energy", zh: "能源种类")),
            (2, text!(en: "Source", zh: "来源渠道")),
            (self.unit_at(), text!(en: "Unit", zh: "单位")),
        ] {
            self.sheet.merge_range(2, at, 3, at, text.get(self.language), &head)?;
        }
        let text = text!(en: "tce per unit 1)", zh: "折标系数1)（tce/计量单位）");
        let (first, last) = (COEFFICIENTS_AT, self.unit_at() - 1);
        page::merged(self.sheet, 2, first, last, text.get(self.language), &head)?;
        for (at, basis) in (first..).zip(self.bases) {
            let text = self.say(&words::basis(*basis));
            self.sheet.write_string_with_format(3, at, text, &head)?;
        }
        for (at, report) in self.reports.iter().enumerate() {
            let (at, text) = (self.period_at(at), self.say(&words::period(report.period)));
            self.sheet.merge_range(2, at, 3, at, &text, &head)?;
        }
        if self.compare {
            let at = self.period_at(2);
            let (rise, share) =
                (text!(en: "Change", zh: "增减"), text!(en: "Change %", zh: "增减率"));
            self.sheet.merge_range(2, at, 3, at, rise.get(self.language), &head)?;
            self.sheet.merge_range(2, at + 1, 3, at + 1, share.get(self.language), &head)?;
        }
        for row in 2..FIRST_ROW {
            self.sheet.set_row_height(row, 21)?;
        }
        self.sheet.set_freeze_panes(FIRST_ROW, 2)?;
        Ok(())
    }

    fn body(&mut self) -> Result<(), XlsxError> {
        let mut at = FIRST_ROW;
        let rows = self.rows;
        for row in rows.iter().filter(|one| one.row.part != Part::Subtotal) {
            let height = if row.row.figure.is_some() {
                self.row_of_quantity(at, row)?;
                1
            } else {
                self.rows_of_bases(at, row)?
            };
            for line in at..at + height {
                self.sheet.set_row_height(line, 21.75)?;
            }
            at += height;
        }
        Ok(())
    }

    /// The mark of what must be said of a row, ` a)`.
    fn mark(&mut self, row: &Across<'_>, basis: Option<Basis>) -> String {
        let mut marks = String::new();
        let mut texts: Vec<String> = Vec::new();
        for (one, report) in row.each.iter().zip(self.reports) {
            let Some(one) = one else { continue };
            let shown = one.remarks.iter().filter(|remark| match basis {
                Some(basis) => remark.basis.is_none_or(|of| of == basis),
                None => true,
            });
            for remark in shown {
                let text = self.say(&remark.text);
                // With several periods, whose it is.
                let text = if self.reports.len() > 1 {
                    format!("{}: {text}", words::period(report.period).get(self.language))
                } else {
                    text
                };
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
        }
        for text in texts {
            let at = self.notes.iter().position(|known| *known == text);
            let at = at.unwrap_or_else(|| {
                self.notes.push(text);
                self.notes.len() - 1
            });
            marks = format!("{marks} {})", letter(at));
        }
        marks
    }

    fn row_of_quantity(&mut self, at: u32, row: &Across<'_>) -> Result<(), XlsxError> {
        let centred = styles::centred();
        self.number(at, row)?;
        let name = format!("{}{}", self.say(&row.row.name), self.mark(row, None));
        self.sheet.write_string_with_format(at, 1, name, &styles::name())?;
        let source = row.row.flow.as_ref().map_or_else(|| "—".to_owned(), |flow| self.say(&flow.1));
        self.sheet.write_string_with_format(at, 2, source, &centred)?;
        let counted = self.coefficients(at, row)?;
        if row.row.part == Part::Energy {
            let taken_off = row.row.is_taken_off();
            let sign = match (counted, taken_off) {
                (false, _) => Sign::NotCounted,
                (true, false) => Sign::Added,
                (true, true) => Sign::TakenOff,
            };
            self.energy.push((at, sign));
        }
        let unit = row.row.figure.as_ref().map_or("", |figure| &figure.unit);
        let unit = words::unit(unit, self.language).replace("m3", "m³");
        self.sheet.write_string_with_format(at, self.unit_at(), unit, &centred)?;
        for (column, one) in row.each.iter().enumerate() {
            let figure = one.and_then(|one| one.figure.as_ref());
            self.value(at, column, figure, None)?;
        }
        self.difference(at, |row| row.figure.as_ref(), row)
    }

    /// The coefficients of a row; whether it is converted.
    fn coefficients(&mut self, at: u32, row: &Across<'_>) -> Result<bool, XlsxError> {
        let (first, last) = (COEFFICIENTS_AT, self.unit_at() - 1);
        let centred = styles::centred();
        if row.each.iter().flatten().all(|one| one.on.is_empty()) {
            let text = if row.row.part == Part::Energy {
                text!(en: "not counted", zh: "不计入")
            } else {
                text!(en: "—", zh: "—")
            };
            page::merged(self.sheet, at, first, last, text.get(self.language), &centred)?;
            return Ok(false);
        }
        for (column, basis) in (first..).zip(self.bases) {
            match coefficient_of(row, *basis) {
                Some(Coefficient::Used(used)) => {
                    let printed = digits::coefficient(&used, Digits::Form);
                    let format = styles::coefficient(styles::places(&printed));
                    write_number(self.sheet, at, column, &used.to_string(), &format)?;
                }
                Some(Coefficient::Missing | Coefficient::None) => {
                    let text = text!(en: "missing", zh: "缺");
                    self.sheet.write_string_with_format(
                        at,
                        column,
                        text.get(self.language),
                        &centred,
                    )?;
                }
                None => {
                    let text = text!(en: "see Trace", zh: "见溯源");
                    self.sheet.write_string_with_format(
                        at,
                        column,
                        text.get(self.language),
                        &centred,
                    )?;
                }
            }
        }
        Ok(true)
    }

    /// A total or a quotient: a row for each basis.
    fn rows_of_bases(&mut self, at: u32, row: &Across<'_>) -> Result<u32, XlsxError> {
        let height = u32::try_from(self.bases.len()).unwrap_or(1);
        let (name, centred) = (styles::name(), styles::centred());
        let text = format!("{}{}", self.say(&row.row.name), form_note(&row.row.item));
        if height > 1 {
            let number = row.number.map_or_else(String::new, |number| number.to_string());
            self.sheet.merge_range(at, 0, at + height - 1, 0, "", &centred)?;
            self.sheet.merge_range(at, 1, at + height - 1, 1, &text, &name)?;
            if let Ok(number) = number.parse::<u32>() {
                self.sheet.write_number_with_format(at, 0, number, &centred)?;
            }
        } else {
            self.number(at, row)?;
            self.sheet.write_string_with_format(at, 1, text, &name)?;
        }
        for (line, basis) in (at..).zip(self.bases) {
            let mark = self.mark(row, Some(*basis));
            let text = format!("{}{mark}", self.say(&words::basis(*basis)));
            self.sheet.write_string_with_format(line, 2, text, &centred)?;
            let (first, last) = (COEFFICIENTS_AT, self.unit_at() - 1);
            page::merged(self.sheet, line, first, last, "—", &centred)?;
            let unit = row.row.on.first().map_or("", |one| &one.figure.unit);
            let unit = words::unit(unit, self.language).replace("m3", "m³");
            self.sheet.write_string_with_format(line, self.unit_at(), unit, &centred)?;
            for (column, one) in row.each.iter().enumerate() {
                let formula = match row.row.item.as_str() {
                    "total" => self.total_formula(*basis, column),
                    "output_value_intensity" => self.quotient(column, *basis, "gross_output_value"),
                    "value_added_intensity" => self.quotient(column, *basis, "value_added"),
                    _ => None,
                };
                let figure = one.and_then(|one| one.on(*basis)).map(|one| &one.figure);
                self.value(line, column, figure, formula)?;
            }
            self.difference(line, |row| row.on(*basis).map(|one| &one.figure), row)?;
        }
        Ok(height)
    }

    fn number(&mut self, at: u32, row: &Across<'_>) -> Result<(), XlsxError> {
        match row.number {
            Some(number) => {
                self.sheet.write_number_with_format(at, 0, number, &styles::centred())?;
            }
            None => {
                self.sheet.write_blank(at, 0, &styles::centred())?;
            }
        }
        Ok(())
    }

    /// A figure of a period: as a formula that gives it, else as a number; unknown is never zero or empty.
    fn value(
        &mut self,
        row: u32,
        column: usize,
        figure: Option<&energy::Figure>,
        formula: Option<String>,
    ) -> Result<(), XlsxError> {
        let at = self.period_at(column);
        let Some(figure) = figure else {
            self.sheet.write_string_with_format(row, at, "—", &styles::centred())?;
            return Ok(());
        };
        self.cells.insert(figure.name.clone(), (row, at));
        let Some(printed) = digits::printed_in(figure, &Scale::own(figure), Digits::Form) else {
            let text = text!(en: "missing", zh: "缺");
            self.sheet.write_string_with_format(
                row,
                at,
                text.get(self.language),
                &styles::centred(),
            )?;
            return Ok(());
        };
        let format = styles::number(styles::places(&printed.number));
        match formula {
            Some(formula) => {
                let formula = Formula::new(formula).set_result(printed.exact);
                self.sheet.write_formula_with_format(row, at, formula, &format)?;
            }
            None => write_number(self.sheet, row, at, &printed.exact, &format)?,
        }
        Ok(())
    }

    /// `=SUMPRODUCT($D$5:$D$9,G$5:G$9)-…`, where that is the total exactly: a rule of a site may count otherwise.
    fn total_formula(&self, basis: Basis, column: usize) -> Option<String> {
        let report = self.reports.get(column)?;
        let total = report.rows.iter().find(|row| row.item == "total")?.on(basis)?;
        let coefficient_at = COEFFICIENTS_AT
            + u16::try_from(self.bases.iter().position(|one| *one == basis)?).ok()?;
        let mut sum = Number::zero();
        for row in self.rows.iter().filter(|one| one.row.part == Part::Energy) {
            let Some(one) = row.each.get(column).copied().flatten() else { continue };
            let Some(on) = one.on(basis) else { continue };
            let Some(Coefficient::Used(used)) = coefficient_of(row, basis) else {
                return None;
            };
            let product = one.figure.as_ref()?.exact()? * &used;
            if Some(&product) != on.figure.exact() {
                return None;
            }
            let taken_off = one.is_taken_off();
            sum = if taken_off { sum - product } else { sum + product };
        }
        if Some(&sum) != total.figure.exact() {
            return None;
        }
        let period = self.period_at(column);
        let mut formula = String::from("=");
        for (first, last, sign) in runs(&self.energy) {
            let range = |column: u16, dollar: &str| {
                let letters = letters_of(column);
                format!("{dollar}{letters}${}:{dollar}{letters}${}", first + 1, last + 1)
            };
            let sign = match (sign, formula.len()) {
                (Sign::TakenOff, _) => "-",
                (_, 1) => "",
                _ => "+",
            };
            formula = format!(
                "{formula}{sign}SUMPRODUCT({},{})",
                range(coefficient_at, "$"),
                range(period, "")
            );
        }
        (formula.len() > 1).then_some(formula)
    }

    /// `=IF(G$13>0,G$11/G$13,"")`.
    fn quotient(&self, column: usize, basis: Basis, under: &str) -> Option<String> {
        let report = self.reports.get(column)?;
        let row = |item: &str| report.rows.iter().find(|row| row.item == item);
        let over = self.cells.get(&row("total")?.on(basis)?.figure.name)?;
        let under = self.cells.get(&row(under)?.figure.as_ref()?.name)?;
        let (over, under) = (row_col_to_cell(over.0, over.1), row_col_to_cell(under.0, under.1));
        Some(format!("=IF({under}>0,{over}/{under},\"\")"))
    }

    fn difference<'r>(
        &mut self,
        at: u32,
        figure: impl Fn(&'r Row) -> Option<&'r energy::Figure>,
        row: &Across<'r>,
    ) -> Result<(), XlsxError> {
        if !self.compare {
            return Ok(());
        }
        let [before, after] = row.each.as_slice() else { return Ok(()) };
        let (first, column) = (self.period_at(0), self.period_at(2));
        let figures = before.and_then(&figure).zip(after.and_then(&figure));
        let values = figures.and_then(|(before, after)| {
            let found = compared(before, after).ok()?;
            let printed = digits::printed_in(after, &Scale::own(after), Digits::Form)?;
            Some((found, styles::places(&printed.number)))
        });
        let Some((found, places)) = values else {
            for column in [column, column + 1] {
                self.sheet.write_string_with_format(at, column, "—", &styles::centred())?;
            }
            return Ok(());
        };
        let (before, after) = (row_col_to_cell(at, first), row_col_to_cell(at, first + 1));
        let rise = digits::exact(&FigureValue::Ratio(found.difference));
        let formula = Formula::new(format!("={after}-{before}")).set_result(rise);
        let format = styles::number(places);
        self.sheet.write_formula_with_format(at, column, formula, &format)?;
        match found.percent {
            Some(percent) => {
                let result = digits::exact(&FigureValue::Ratio(percent));
                let formula = format!("=IF({before}>0,({after}-{before})/{before}*100,\"\")");
                let formula = Formula::new(formula).set_result(result);
                let format = styles::percent();
                self.sheet.write_formula_with_format(at, column + 1, formula, &format)?;
            }
            None => {
                self.sheet.write_string_with_format(at, column + 1, "—", &styles::centred())?;
            }
        }
        Ok(())
    }

    /// Who signs, the notes of the form and what must be said of these figures; then the page.
    fn end(&mut self) -> Result<(), XlsxError> {
        let rows: u32 = self.rows.iter().map(|one| self.height_of(one)).sum();
        let mut notes = form_notes(self.language);
        let said = (0..).zip(&self.notes).map(|(at, text)| format!("{}) {text}", letter(at)));
        let said: Vec<String> = said.collect();
        if !said.is_empty() {
            let head = text!(en: "Remarks: ", zh: "填报说明：");
            notes.push(format!("{}{}", head.get(self.language), said.join("  ")));
        }
        let wide: f64 = self.widths().iter().sum();
        let (end, last) = (FIRST_ROW + rows, self.last_column());
        let bottom = page::notes(self.sheet, end, last, wide, self.language, &notes)?;
        self.sheet.set_print_area(0, 0, bottom, last)?;
        let footer = page::provenance(self.reports, self.language);
        page::set_up(self.sheet, &footer, true, self.language);
        Ok(())
    }

    fn height_of(&self, row: &Across<'_>) -> u32 {
        match (row.row.part, &row.row.figure) {
            (Part::Subtotal, _) => 0,
            (_, Some(_)) => 1,
            (_, None) => u32::try_from(self.bases.len()).unwrap_or(1),
        }
    }
}

/// The coefficient of a row in all periods; `None` where they differ.
fn coefficient_of(row: &Across<'_>, basis: Basis) -> Option<Coefficient> {
    let each = row.each.iter().flatten().filter_map(|one| one.on(basis));
    let mut each = each.map(|one| &one.coefficient);
    let first = each.next()?;
    each.all(|one| one == first).then(|| first.clone())
}

/// Runs of rows with one sign; rows that are not counted do not break a run, as words count nothing in a SUMPRODUCT.
fn runs(energy: &[(u32, Sign)]) -> Vec<(u32, u32, Sign)> {
    let mut runs: Vec<(u32, u32, Sign)> = Vec::new();
    for (row, sign) in energy.iter().filter(|(_, sign)| *sign != Sign::NotCounted) {
        match runs.last_mut() {
            Some((_, last, known)) if known == sign => *last = *row,
            _ => runs.push((*row, *row, *sign)),
        }
    }
    runs
}

fn letters_of(column: u16) -> String {
    row_col_to_cell(0, column).trim_end_matches(char::is_numeric).to_owned()
}

/// `a`, `b`, … `z`, `aa`, …
fn letter(at: usize) -> String {
    letters_of(u16::try_from(at).unwrap_or_default()).to_ascii_lowercase()
}

pub(super) fn write_number(
    sheet: &mut Worksheet,
    row: u32,
    column: u16,
    digits: &str,
    format: &rust_xlsxwriter::Format,
) -> Result<(), XlsxError> {
    match digits.parse::<f64>() {
        Ok(number) => sheet.write_number_with_format(row, column, number, format)?,
        Err(_) => sheet.write_string_with_format(row, column, digits, format)?,
    };
    Ok(())
}

/// The mark of the form's own note at a name.
fn form_note(item: &str) -> &'static str {
    match item {
        "total" => " 2)",
        "output_value_intensity" => " 5)",
        "value_added_intensity" => " 6)",
        _ => "",
    }
}

/// What the notes of the form define.
///
/// # Source
/// T/ZJREA draft, Table 1, notes 1 to 6, in words of our own.
fn form_notes(language: Language) -> Vec<String> {
    [
        text!(
            en: "1) tce per unit: tonnes of coal equivalent of one unit of the row. 2) Total energy E = Σ(eᵢ × pᵢ): quantity of each kind times its coefficient, calorific or equal value.",
            zh: "注：1) 折标系数：该行一个计量单位的能源折合的吨标准煤。2) 综合能耗 E = Σ(eᵢ × pᵢ)：各种能源实物量乘以其当量值或等价值折标系数之和。",
        ),
        text!(
            en: "3) Calorific value: the heat that one unit holds. 4) Equal value: the energy that was spent to make one unit.",
            zh: "3) 当量值：一个计量单位的能源本身所含的热量。4) 等价值：为得到一个计量单位的该种能源所消耗的能源量。",
        ),
        text!(
            en: "5) Energy per output value: total energy (tce) / gross industrial output value (10^4 CNY). 6) Energy per value added: total energy (tce) / industrial value added (10^4 CNY).",
            zh: "5) 万元产值综合能耗：综合能耗（吨标准煤）除以工业总产值（万元）。6) 工业增加值综合能耗：综合能耗（吨标准煤）除以工业增加值（万元）。",
        ),
    ]
    .iter()
    .map(|note| note.get(language).to_owned())
    .collect()
}
