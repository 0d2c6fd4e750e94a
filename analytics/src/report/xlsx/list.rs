//! The sheet of figures one below the other: a column for each period. Must never compute a figure.

use energy::Figure;
use energy::coefficient::Basis;
use model::{Language, text};
use rust_xlsxwriter::{Worksheet, XlsxError};

use super::super::across::{Across, across};
use super::super::digits::{self, Digits};
use super::super::rows::Report;
use super::super::words;
use super::form::{Cells, write_number};
use super::{page, styles};

/// Rows of title and heads.
const FIRST_ROW: u32 = 3;
/// Columns before the periods.
const PERIODS_AT: u16 = 5;

pub(super) fn write(
    sheet: &mut Worksheet,
    reports: &[&Report],
    language: Language,
) -> Result<Cells, XlsxError> {
    let Some(first) = reports.first() else { return Ok(Cells::new()) };
    let rows = across(reports);
    let last = PERIODS_AT + u16::try_from(reports.len()).unwrap_or(u16::MAX / 2);
    let mut widths = vec![6.3, 16.0, 34.0, 12.0, 14.0];
    widths.extend(reports.iter().map(|_| 17.3));
    widths.push(46.0);
    for (at, width) in (0_u16..).zip(&widths) {
        sheet.set_column_width(at, *width)?;
    }
    page::title_block(sheet, reports, last, language)?;
    let mut heads = vec![
        text!(en: "No", zh: "序号"),
        text!(en: "Line", zh: "产线"),
        text!(en: "Figure", zh: "指标"),
        text!(en: "Basis", zh: "基准"),
        text!(en: "Unit", zh: "单位"),
    ];
    heads.extend(reports.iter().map(|report| words::period(report.period)));
    heads.push(text!(en: "Remarks", zh: "说明"));
    for (at, head) in (0_u16..).zip(&heads) {
        sheet.write_string_with_format(FIRST_ROW - 1, at, head.get(language), &styles::head())?;
    }
    sheet.set_row_height(FIRST_ROW - 1, 24)?;
    sheet.set_freeze_panes(FIRST_ROW, 3)?;
    let mut writing = Writing { sheet, language, cells: Cells::new(), at: FIRST_ROW };
    for row in &rows {
        if row.row.figure.is_some() {
            writing.row(row, None)?;
        }
        for basis in first.bases.iter().filter(|basis| row.row.on(**basis).is_some()) {
            writing.row(row, Some(*basis))?;
        }
    }
    let Writing { cells, at, .. } = writing;
    let bottom = page::notes(sheet, at, last, widths.iter().sum(), language, &[])?;
    sheet.set_print_area(0, 0, bottom, last)?;
    page::set_up(sheet, &page::provenance(reports, language), false, language);
    Ok(cells)
}

struct Writing<'a> {
    sheet: &'a mut Worksheet,
    language: Language,
    cells: Cells,
    at: u32,
}

impl Writing<'_> {
    /// A figure in each period.
    fn row(&mut self, row: &Across<'_>, basis: Option<Basis>) -> Result<(), XlsxError> {
        let (at, centred) = (self.at, styles::centred());
        self.at += 1;
        let figures: Vec<Option<&Figure>> = row
            .each
            .iter()
            .map(|one| match basis {
                Some(basis) => one.and_then(|one| one.on(basis)).map(|on| &on.figure),
                None => one.and_then(|one| one.figure.as_ref()),
            })
            .collect();
        if let Some(number) = row.number {
            self.sheet.write_number_with_format(at, 0, number, &centred)?;
        }
        let line = row.row.line.as_ref().map_or("", |(_, name)| name);
        self.sheet.write_string_with_format(at, 1, line, &centred)?;
        let name = row.row.name.get(self.language);
        self.sheet.write_string_with_format(at, 2, name, &styles::name())?;
        let on = basis.map(words::basis);
        let on = on.as_ref().map_or("—", |on| on.get(self.language));
        self.sheet.write_string_with_format(at, 3, on, &centred)?;
        let newest = figures.iter().rev().flatten().find(|figure| figure.value.is_some());
        let scale =
            newest.or_else(|| figures.iter().flatten().next()).map(|one| digits::scale(one));
        let unit = scale.as_ref().map_or("", |scale| &scale.unit);
        let unit = words::unit(unit, self.language);
        self.sheet.write_string_with_format(at, 4, unit, &centred)?;
        for (column, figure) in (PERIODS_AT..).zip(&figures) {
            let printed = figure.zip(scale.as_ref());
            let printed =
                printed.and_then(|(figure, scale)| digits::printed_in(figure, scale, Digits::Form));
            if let Some(figure) = figure {
                self.cells.insert(figure.name.clone(), (at, column));
            }
            match (figure, printed) {
                (None, _) => {
                    self.sheet.write_string_with_format(at, column, "—", &centred)?;
                }
                (Some(_), None) => {
                    let text = text!(en: "missing", zh: "缺");
                    let text = text.get(self.language);
                    self.sheet.write_string_with_format(at, column, text, &centred)?;
                }
                (Some(_), Some(printed)) => {
                    let format = styles::number(styles::places(&printed.number));
                    write_number(self.sheet, at, column, &printed.exact, &format)?;
                }
            }
        }
        let said = row.each.iter().flatten().flat_map(|one| &one.remarks);
        let said = said.filter(|one| one.basis.is_none() || one.basis == basis);
        let mut texts: Vec<&str> = Vec::new();
        for text in said.map(|one| one.text.get(self.language)) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let column = PERIODS_AT + u16::try_from(figures.len()).unwrap_or_default();
        let note = styles::name().set_font_size(9);
        self.sheet.write_string_with_format(at, column, texts.join("; "), &note)?;
        Ok(())
    }
}
