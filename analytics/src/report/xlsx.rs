//! Tables as an Excel workbook that can be handed in: the printed form on one A4 page, and every figure's trace on a second
//! sheet. Must never compute a figure: formulas stand only where they give what was computed.
//!
//! The same figures give the same bytes: the dates of the document are those of the period.

mod form;
mod list;
mod page;
mod styles;
mod trace;

use energy::Explanations;
use model::{Language, text};
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, XlsxError};
use thiserror::Error;

use super::rows::{Form, Report};
use super::words;

/// Why a workbook could not be made.
#[derive(Debug, Error)]
#[error("cannot make the workbook")]
pub struct WorkbookError(#[from] XlsxError);

/// A table of one period, with what stands behind its figures.
#[derive(Debug, Clone, Copy)]
pub struct Traced<'a> {
    /// The table.
    pub report: &'a Report,
    /// What stands behind its figures.
    pub explanations: &'a Explanations,
}

/// Tables of one form, a column for each period, as a workbook in one language. With `compare`, of two periods, the
/// difference stands beside them.
pub fn xlsx(
    tables: &[Traced<'_>],
    language: Language,
    compare: bool,
) -> Result<Vec<u8>, WorkbookError> {
    let mut workbook = Workbook::new();
    let Some(last) = tables.last().map(|one| one.report) else {
        return Ok(workbook.save_to_buffer()?);
    };
    let reports: Vec<&Report> = tables.iter().map(|one| one.report).collect();
    let (_, after) = last.period.days();
    let date = ExcelDateTime::from_ymd(
        u16::try_from(after.year()).unwrap_or_default(),
        u8::try_from(after.month()).unwrap_or(1),
        u8::try_from(after.day()).unwrap_or(1),
    )?;
    let periods: Vec<String> = reports
        .iter()
        .map(|report| words::period(report.period).get(language).to_owned())
        .collect();
    let properties = DocProperties::new()
        .set_title(last.form.title().get(language))
        .set_subject(format!("{} {}", last.plant, periods.join(", ")))
        .set_author("")
        .set_comment(page::provenance(&reports, language))
        .set_creation_datetime(&date);
    workbook.set_properties(&properties);
    let names = sheet_names(last.form);
    let (first, second) = (names.0.get(language), names.1.get(language));
    let sheet = workbook.add_worksheet().set_name(first)?;
    let cells = match last.form {
        Form::Table1 => form::write(sheet, &reports, language, compare)?,
        Form::Intensity | Form::UnitProduct => list::write(sheet, &reports, language)?,
    };
    let sheet = workbook.add_worksheet().set_name(second)?;
    trace::write(sheet, tables, &cells, first, language)?;
    Ok(workbook.save_to_buffer()?)
}

fn sheet_names(form: Form) -> (model::Localized, model::Localized) {
    let first = match form {
        Form::Table1 => text!(en: "Table 1", zh: "表1"),
        Form::Intensity => text!(en: "Intensity", zh: "万元产值综合能耗"),
        Form::UnitProduct => text!(en: "Unit product", zh: "单位产品综合能耗"),
    };
    (first, text!(en: "Trace", zh: "溯源"))
}
