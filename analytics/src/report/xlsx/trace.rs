//! The second sheet: where each figure comes from, one row a figure, its value linked to the cell of the form. Must never
//! compute a figure.

use energy::{Explanation, Figure, FigureValue};
use model::{Language, Localized, text};
use rust_xlsxwriter::{Formula, Worksheet, XlsxError, utility::row_col_to_cell};

use super::super::digits::{self, Digits};
use super::super::rows::{Coefficient, Row};
use super::super::words;
use super::form::{Cells, write_number};
use super::{Traced, page, styles};

const FIRST_ROW: u32 = 3;
/// Longest text of a cell; Excel takes 32 767 letters.
const TEXT_MAX: usize = 2_000;
/// Points of one line.
const LINE_POINTS: f64 = 13.5;
/// The highest row that Excel takes.
const ROW_POINTS_MAX: f64 = 409.0;

pub(super) fn write(
    sheet: &mut Worksheet,
    tables: &[Traced<'_>],
    cells: &Cells,
    form: &str,
    language: Language,
) -> Result<(), XlsxError> {
    let columns = columns();
    let last = 13;
    let title = text!(en: "Trace: where each figure comes from", zh: "溯源：每个数字一行");
    let big = styles::plain().set_font_size(13).set_bold();
    sheet.write_string_with_format(0, 0, title.get(language), &big)?;
    let what = text!(
        en: "Values are linked to the form. Coefficients of evidence `illustrative` are not for a report.",
        zh: "数值列引用报表；证据为“示例”的系数不可用于上报。",
    );
    let small = styles::plain().set_font_size(9);
    sheet.write_string_with_format(1, 0, what.get(language), &small)?;
    for (at, (head, width)) in (0_u16..).zip(&columns) {
        sheet.set_column_width(at, *width)?;
        sheet.write_string_with_format(FIRST_ROW - 1, at, head.get(language), &styles::head())?;
    }
    let mut at = FIRST_ROW;
    for table in tables {
        for row in &table.report.rows {
            let quantity = row.figure.iter().map(|figure| (figure, None));
            let on = row.on.iter().map(|on| (&on.figure, Some(&on.coefficient)));
            for (figure, coefficient) in quantity.chain(on) {
                let line = Line { row, figure, coefficient };
                let explanation = table.explanations.get(&figure.name);
                line.write(sheet, at, explanation, (cells, form), language)?;
                at += 1;
            }
        }
    }
    sheet.autofilter(FIRST_ROW - 1, 0, at.saturating_sub(1), last)?;
    sheet.set_freeze_panes(FIRST_ROW, 3)?;
    sheet.set_repeat_rows(FIRST_ROW - 1, FIRST_ROW - 1)?;
    let first = tables.first().map(|one| one.report);
    let plant = first.map_or("", |report| &report.plant);
    page::set_up(sheet, plant, false, language);
    Ok(())
}

/// The heads, and how wide the columns are.
fn columns() -> [(Localized, f64); 14] {
    [
        (text!(en: "Cell", zh: "单元格"), 7.7),
        (text!(en: "Figure", zh: "项目"), 18.0),
        (text!(en: "Period", zh: "期间"), 10.0),
        (text!(en: "Basis", zh: "基准"), 7.7),
        (text!(en: "Value", zh: "数值"), 14.0),
        (text!(en: "Unit", zh: "单位"), 10.0),
        (text!(en: "From", zh: "来历"), 8.0),
        (text!(en: "Formula", zh: "公式"), 36.0),
        (text!(en: "Meters and documents", zh: "表计或凭据"), 24.0),
        (text!(en: "tce per unit", zh: "折标系数"), 13.0),
        (text!(en: "Coefficient from", zh: "系数出处"), 22.0),
        (text!(en: "Coverage", zh: "覆盖率"), 9.0),
        (text!(en: "Remarks", zh: "说明"), 24.0),
        (text!(en: "Name for `nengliu explain`", zh: "名称（nengliu explain）"), 26.0),
    ]
}

struct Line<'a> {
    row: &'a Row,
    figure: &'a Figure,
    coefficient: Option<&'a Coefficient>,
}

impl Line<'_> {
    fn write(
        &self,
        sheet: &mut Worksheet,
        at: u32,
        explanation: Option<&Explanation>,
        (cells, form): (&Cells, &str),
        language: Language,
    ) -> Result<(), XlsxError> {
        let small = styles::boxed().set_font_size(9.5).set_text_wrap();
        let cell = cells.get(&self.figure.name).map(|(row, column)| row_col_to_cell(*row, *column));
        let basis = self.figure.basis.map(words::basis);
        let origin = self.row.origin.clone().or_else(|| self.figure.class.map(words::class));
        let known = self.figure.value.is_some();
        let missing = text!(en: "missing", zh: "缺");
        let texts: [(u16, String); 11] = [
            (0, cell.clone().unwrap_or_default()),
            (1, self.name(language)),
            (2, words::period(self.figure.period).get(language).to_owned()),
            (3, basis.map_or_else(|| "—".to_owned(), |basis| basis.get(language).to_owned())),
            (5, words::unit(&self.figure.unit, language)),
            (6, origin.filter(|_| known).unwrap_or(missing.clone()).get(language).to_owned()),
            (7, explanation.map_or_else(String::new, |one| one.formula.clone())),
            (8, explanation.map_or_else(String::new, |one| inputs(one, language))),
            (10, explanation.map_or_else(String::new, notices)),
            (12, self.remarks(language)),
            (13, self.figure.name.clone()),
        ];
        let widths = columns().map(|(_, width)| width);
        let mut lines: f64 = 1.0;
        for (column, text) in texts {
            let wide = widths.get(usize::from(column)).copied().unwrap_or(10.0);
            lines = lines.max(page::lines_of(&text, wide));
            sheet.write_string_with_format(at, column, shortened(text), &small)?;
        }
        sheet.set_row_height(at, (lines * LINE_POINTS).min(ROW_POINTS_MAX))?;
        self.value(sheet, at, cell.map(|cell| format!("='{form}'!{cell}")), &missing, language)?;
        match self.coefficient {
            Some(Coefficient::Used(used)) => {
                let printed = digits::coefficient(used, Digits::Form);
                let format = styles::coefficient(styles::places(&printed)).set_font_size(9.5);
                write_number(sheet, at, 9, &used.to_string(), &format)?;
            }
            _ => {
                sheet.write_string_with_format(at, 9, "—", &small)?;
            }
        }
        match &self.figure.coverage_percent {
            Some(percent) => {
                write_number(sheet, at, 11, percent, &styles::coverage().set_font_size(9.5))?;
            }
            None => {
                sheet.write_string_with_format(at, 11, "—", &small)?;
            }
        }
        Ok(())
    }

    /// The value: linked to its cell of the form, where it has one.
    fn value(
        &self,
        sheet: &mut Worksheet,
        at: u32,
        link: Option<String>,
        missing: &Localized,
        language: Language,
    ) -> Result<(), XlsxError> {
        let Some(printed) = digits::printed(self.figure, Digits::Form) else {
            let small = styles::boxed().set_font_size(9.5);
            sheet.write_string_with_format(at, 4, missing.get(language), &small)?;
            return Ok(());
        };
        // A cell of the form may have a smaller unit than the figure; here its own stands.
        let value = self.figure.value.as_ref().map_or_else(String::new, digits::exact);
        let same_unit = printed.unit == self.figure.unit;
        let places = match &self.figure.value {
            Some(FigureValue::Ratio(_)) if !same_unit => styles::places(&value).min(12),
            _ => styles::places(&printed.number),
        };
        let format = styles::number(places).set_font_size(9.5);
        match link.filter(|_| same_unit) {
            Some(link) => {
                let formula = Formula::new(link).set_result(value);
                sheet.write_formula_with_format(at, 4, formula, &format)?;
            }
            None => write_number(sheet, at, 4, &value, &format)?,
        }
        Ok(())
    }

    fn name(&self, language: Language) -> String {
        let name = self.row.name.get(language);
        let line = self.row.line.as_ref().map(|(_, name)| name.clone());
        let flow = self.row.flow.as_ref().map(|(_, name)| name.get(language).to_owned());
        let tonnes = (self.row.figure.is_some() && self.figure.basis.is_some())
            .then(|| text!(en: "in tce", zh: "折标准煤").get(language).to_owned());
        let more: Vec<String> = [line, flow, tonnes].into_iter().flatten().collect();
        match (more.is_empty(), language) {
            (true, _) => name.to_owned(),
            (false, Language::Chinese) => format!("{name}（{}）", more.join("，")),
            (false, Language::English) => format!("{name} ({})", more.join(", ")),
        }
    }

    fn remarks(&self, language: Language) -> String {
        let said = self.row.remarks.iter();
        let said = said.filter(|one| one.basis.is_none() || one.basis == self.figure.basis);
        let said: Vec<&str> = said.map(|one| one.text.get(language)).collect();
        said.join("; ")
    }
}

/// Meters with the readings at both ends, and declared facts with their places.
fn inputs(explanation: &Explanation, language: Language) -> String {
    let meters = explanation.meters.iter().map(|part| {
        let readings = part.energy.as_ref().and_then(|energy| {
            let (start, end) = (energy.start_reading.as_ref()?, energy.end_reading.as_ref()?);
            Some(format!(": {start} → {end} {}", part.unit))
        });
        format!("{}{}", part.meter, readings.unwrap_or_default())
    });
    let declared = explanation.declared.iter().map(|fact| {
        let (written, place) = (&fact.written, &fact.place);
        text!(en: "{written} ({place})", zh: "{written}（{place}）").get(language).to_owned()
    });
    meters.chain(declared).collect::<Vec<_>>().join("\n")
}

/// The documents of the coefficients.
fn notices(explanation: &Explanation) -> String {
    let rows = explanation.coefficients.iter().flat_map(|used| &used.rows);
    let mut notices: Vec<String> = Vec::new();
    for row in rows {
        let year = row.data_year.map_or_else(String::new, |year| format!(", {year}"));
        let text = format!("{}{year}, {}", row.notice, row.evidence);
        if !notices.contains(&text) {
            notices.push(text);
        }
    }
    notices.join("\n")
}

fn shortened(text: String) -> String {
    if text.chars().count() <= TEXT_MAX {
        return text;
    }
    text.chars().take(TEXT_MAX).chain(['…']).collect()
}
