//! A grid as text for a terminal, as CSV, as an Excel workbook. Must never know what the cells mean.

use rust_xlsxwriter::{Format, Workbook, XlsxError};
use thiserror::Error;

use super::grid::{Cell, Grid};

/// Why a grid could not be written.
#[derive(Debug, Error)]
pub enum RenderError {
    /// As a workbook.
    #[error("cannot write the workbook")]
    Xlsx(#[from] XlsxError),
    /// As CSV.
    #[error("cannot write the CSV")]
    Csv(#[from] csv::Error),
}

/// Columns in a terminal that a character takes: Chinese ones take two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if u32::from(c) >= 0x1100 && c != '—' { 2 } else { 1 }).sum()
}

fn padded(cell: &Cell, columns: usize) -> String {
    let shown = cell.shown();
    let space = " ".repeat(columns.saturating_sub(width(&shown)));
    match cell {
        Cell::Text(_) => format!("{shown}{space}"),
        Cell::Number(_) | Cell::Measured { .. } | Cell::Empty => format!("{space}{shown}"),
    }
}

/// The grid as lines of text.
#[must_use]
pub fn text(grid: &Grid) -> String {
    let widths: Vec<usize> = (0..grid.header.len())
        .map(|at| {
            let cells =
                grid.rows.iter().filter_map(|row| row.get(at)).map(|cell| width(&cell.shown()));
            cells.chain(grid.header.get(at).map(|name| width(name))).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: Vec<String>| cells.join("  ").trim_end().to_owned();
    let names = grid.header.iter().map(|name| Cell::text(name.clone()));
    let mut lines = vec![grid.title.clone(), String::new()];
    lines.push(line(names.zip(&widths).map(|(name, width)| padded(&name, *width)).collect()));
    lines.push(line(widths.iter().map(|width| "─".repeat(*width)).collect()));
    for row in &grid.rows {
        lines.push(line(
            row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect(),
        ));
    }
    lines.push(String::new());
    lines.extend(grid.notes.iter().cloned());
    lines.join("\n") + "\n"
}

/// What tells a spreadsheet program that a text is UTF-8; without it Excel on a Chinese Windows takes GBK.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The grid as CSV for a spreadsheet program: a byte order mark, header, rows, then the title and the notes, each after
/// `# ` in the first column.
pub fn csv(grid: &Grid) -> Result<Vec<u8>, RenderError> {
    let begin = BYTE_ORDER_MARK.as_bytes().to_vec();
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(begin);
    writer.write_record(&grid.header)?;
    for row in &grid.rows {
        let plain = |cell: &Cell| match cell {
            Cell::Empty => String::new(),
            other => other.shown().into_owned(),
        };
        writer.write_record(row.iter().map(plain))?;
    }
    for note in std::iter::once(&grid.title).chain(&grid.notes) {
        writer.write_record([format!("# {note}")])?;
    }
    writer.into_inner().map_err(|e| RenderError::Csv(e.into_error().into()))
}

/// The grid as an Excel workbook. Numbers are numbers there, rounded by Excel to 15 digits; the exact text stands in
/// JSON and CSV.
pub fn xlsx(grid: &Grid) -> Result<Vec<u8>, RenderError> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let (bold, wrap) = (Format::new().set_bold(), Format::new().set_text_wrap());
    sheet.write_with_format(0, 0, &grid.title, &bold)?;
    let mut at = 2_u32;
    for (column, name) in (0_u16..).zip(&grid.header) {
        sheet.write_with_format(at, column, name, &bold)?;
    }
    for row in &grid.rows {
        at += 1;
        for (column, cell) in (0_u16..).zip(row) {
            match cell {
                Cell::Text(text) => sheet.write(at, column, text)?,
                Cell::Number(digits) => match digits.parse::<f64>() {
                    Ok(number) => sheet.write(at, column, number)?,
                    Err(_) => sheet.write(at, column, digits)?,
                },
                // A number that is shown with its unit.
                Cell::Measured { digits, unit } => match digits.parse::<f64>() {
                    Ok(number) => {
                        let format = Format::new().set_num_format(format!("General\" {unit}\""));
                        sheet.write_with_format(at, column, number, &format)?
                    }
                    Err(_) => sheet.write(at, column, cell.shown().as_ref())?,
                },
                Cell::Empty => sheet,
            };
        }
    }
    at += 1;
    for note in &grid.notes {
        at += 1;
        sheet.write_with_format(at, 0, note, &wrap)?;
    }
    sheet.autofit();
    Ok(workbook.save_to_buffer()?)
}
