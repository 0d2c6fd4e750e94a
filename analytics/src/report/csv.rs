//! A table as CSV for programs: one header line, one row a figure, exact values. Must never round or translate.

use energy::coefficient::Basis;
use energy::{Class, Figure};
use thiserror::Error;

use super::digits::exact;
use super::rows::{Coefficient, Report, Row};

/// What tells a spreadsheet program that a text is UTF-8; without it Excel on a Chinese Windows takes GBK.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The columns.
const COLUMNS: [&str; 17] = [
    "figure",
    "period",
    "part",
    "no",
    "line",
    "item",
    "name",
    "flow",
    "basis",
    "value",
    "unit",
    "tce_per_unit",
    "coverage_percent",
    "class",
    "complete",
    "coefficient_set",
    "notes",
];

/// Why a table could not be written as CSV.
#[derive(Debug, Error)]
#[error("cannot write the CSV")]
pub struct CsvError(#[from] csv::Error);

/// Tables as CSV: a byte order mark, one header line, then one row a figure.
pub fn csv(reports: &[&Report]) -> Result<Vec<u8>, CsvError> {
    let mut writer = csv::Writer::from_writer(BYTE_ORDER_MARK.as_bytes().to_vec());
    writer.write_record(COLUMNS)?;
    for report in reports {
        for row in &report.rows {
            if let Some(figure) = &row.figure {
                writer.write_record(record(row, figure, None, ""))?;
            }
            for on in &row.on {
                let used = match &on.coefficient {
                    Coefficient::Used(used) => used.to_string(),
                    Coefficient::Missing | Coefficient::None => String::new(),
                };
                writer.write_record(record(row, &on.figure, Some(on.basis), &used))?;
            }
        }
    }
    writer.into_inner().map_err(|e| CsvError(e.into_error().into()))
}

fn record(row: &Row, figure: &Figure, basis: Option<Basis>, used: &str) -> [String; 17] {
    let notes = row.remarks.iter().filter(|one| one.basis.is_none() || one.basis == basis);
    let notes: Vec<&str> = notes.map(|one| &*one.text).collect();
    let option = |text: Option<&str>| text.unwrap_or_default().to_owned();
    [
        figure.name.clone(),
        figure.period.to_string(),
        row.part.word().to_owned(),
        row.number.map_or_else(String::new, |number| number.to_string()),
        option(row.line.as_ref().map(|(id, _)| id.as_str())),
        row.item.clone(),
        row.name.to_string(),
        option(row.flow.as_ref().map(|(word, _)| *word)),
        option(basis.map(Basis::word)),
        figure.value.as_ref().map_or_else(String::new, exact),
        figure.unit.clone(),
        used.to_owned(),
        option(figure.coverage_percent.as_deref()),
        figure.class.map_or_else(String::new, class_word),
        figure.complete.to_string(),
        option(figure.coefficient_set.as_deref()),
        notes.join("; "),
    ]
}

/// Its word in JSON.
fn class_word(class: Class) -> String {
    serde_json::json!(class).as_str().unwrap_or_default().to_owned()
}
