//! Reads an Excel workbook of facts as CSV text, a line for each row of a sheet, so that one reader checks both. The places
//! of its cells stay known.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use calamine::{DataRef, Reader as _, SheetType, SheetVisible, Xlsx};
use config::{CellPlace, Problem, Problems, SourceFile};
use model::text;
use zip::ZipArchive;

/// Most bytes of a workbook: a row of facts takes about 50.
pub(crate) const WORKBOOK_BYTES_MAX: u64 = 16 << 20;
/// Most bytes that its parts say to have unpacked.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// Most cells with a value in a sheet.
const CELLS_MAX: usize = 2_000_000;
/// Rows that a sheet of Excel can have.
const ROWS_MAX: u32 = 1 << 20;
/// Columns in which a value may stand: facts have eleven.
const COLUMNS_MAX: u32 = 64;
/// Significant digits that Excel keeps and shows. What its binary numbers have behind them is noise: 0.1 + 0.2 is
/// 0.30000000000000004 in the file.
const DIGITS: usize = 15;
/// A sheet whose name begins so holds no facts.
const ASIDE: char = '#';

const CODE_WORKBOOK: &str = "EN-C002";
const CODE_CELL: &str = "EN-C003";

/// What stands in a cell instead of a value, in English and Chinese.
type Fault = (&'static str, &'static str);
/// A cell as text, or why it has none.
type CellText = Result<String, Fault>;
/// The cells of a sheet that hold something, by row and column.
type Cells = BTreeMap<(u32, u32), CellText>;

/// Reads all visible sheets whose name does not begin with `#`, each as one file.
pub(crate) fn sheets(name: &str, bytes: &[u8], problems: &mut Problems) -> Vec<Arc<SourceFile>> {
    let workbook =
        check_size(bytes).and_then(|()| Xlsx::new(Cursor::new(bytes)).map_err(|e| e.to_string()));
    let mut workbook = match workbook {
        Ok(workbook) => workbook,
        Err(fault) => {
            problems.push(unreadable(name, &fault));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    let listed = workbook.sheets_metadata().to_vec();
    for sheet in listed.iter().filter(|sheet| sheet.typ == SheetType::WorkSheet) {
        if sheet.name.starts_with(ASIDE) {
            continue;
        }
        if sheet.visible != SheetVisible::Visible {
            problems.push(hidden(name, &sheet.name));
            continue;
        }
        match cells(&mut workbook, &sheet.name) {
            Ok(cells) if cells.is_empty() => {}
            Ok(cells) => files.push(file(name, &sheet.name, &cells, problems)),
            Err(fault) => problems.push(unreadable(name, &fault)),
        }
    }
    files
}

/// Refuses what would unpack to more than is ever needed, by what the parts say of themselves, before any is unpacked.
fn check_size(bytes: &[u8]) -> Result<(), String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let mut unpacked: u64 = 0;
    for at in 0..archive.len() {
        unpacked =
            unpacked.saturating_add(archive.by_index_raw(at).map_err(|e| e.to_string())?.size());
    }
    if unpacked > UNPACKED_BYTES_MAX {
        return Err(format!("it unpacks to more than {} MiB", UNPACKED_BYTES_MAX >> 20));
    }
    Ok(())
}

/// The cells with a value or a formula. Never as a grid: one cell in the last corner would be 17 thousand million.
fn cells(workbook: &mut Xlsx<Cursor<&[u8]>>, sheet: &str) -> Result<Cells, String> {
    let mut reader = workbook.worksheet_cells_reader(sheet).map_err(|e| e.to_string())?;
    let mut cells = Cells::new();
    while let Some(cell) = reader.next_cell_with_formula_metadata().map_err(|e| e.to_string())? {
        let (row, column) = cell.pos;
        let text = match shown(&cell.value) {
            Ok(text) if !text.is_empty() => Ok(text),
            Ok(_) if cell.formula.is_some() && matches!(cell.value, DataRef::Empty) => {
                Err(NEVER_COMPUTED)
            }
            Ok(_) => continue,
            Err(fault) => Err(fault),
        };
        if row >= ROWS_MAX || column >= COLUMNS_MAX {
            let (cell, last) = (name_of(row, column), letters(COLUMNS_MAX - 1));
            return Err(format!("sheet `{sheet}` has a value in {cell}, behind column {last}"));
        }
        cells.insert((row, column), text);
        if cells.len() > CELLS_MAX {
            return Err(format!("sheet `{sheet}` has more than {CELLS_MAX} cells"));
        }
    }
    Ok(cells)
}

const NEVER_COMPUTED: Fault = ("a formula that was never computed", "未计算的公式");

/// The text of a value as Excel shows it; a date as `2025/1/31`.
fn shown(value: &DataRef<'_>) -> CellText {
    match value {
        DataRef::Empty => Ok(String::new()),
        DataRef::String(text) => Ok(one_line(text)),
        DataRef::SharedString(text) => Ok(one_line(text)),
        DataRef::Int(number) => Ok(number.to_string()),
        DataRef::Float(number) => Ok(plain(*number)),
        DataRef::Bool(value) => Ok(if *value { "TRUE" } else { "FALSE" }.to_owned()),
        DataRef::DateTime(date) if date.is_duration() => Err(("a duration", "时长")),
        DataRef::DateTime(date) => {
            let (year, month, day, hour, minute, second, _) = date.to_ymd_hms_milli();
            if (hour, minute, second) != (0, 0, 0) {
                return Err(("a date with a time of day", "带时刻的日期"));
            }
            Ok(format!("{year}/{month}/{day}"))
        }
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Ok(text.replace('-', "/")),
        DataRef::Error(_) => Err(("an error of a formula", "公式错误")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A number with the digits that Excel shows, never in powers of ten.
///
/// `0.30000000000000004` → `0.3`; `1.2e7` → `12000000`
fn plain(number: f64) -> String {
    if !number.is_finite() {
        return number.to_string();
    }
    let rounded = format!("{number:.*e}", DIGITS - 1);
    let Some((digits, exponent)) = rounded.split_once('e') else { return rounded };
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let digits = digits.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let count = i64::try_from(digits.len()).unwrap_or(0);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let point = exponent + 1;
    if digits.is_empty() {
        "0".to_owned()
    } else if point <= 0 {
        format!("{sign}0.{}{digits}", zeros(-point))
    } else if point >= count {
        format!("{sign}{digits}{}", zeros(point - count))
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{sign}{whole}.{fraction}")
    }
}

/// The sheet as CSV text with the places of its cells; a row of it is a line, so that line numbers are those of the sheet.
fn file(name: &str, sheet: &str, cells: &Cells, problems: &mut Problems) -> Arc<SourceFile> {
    let mut text = String::new();
    let mut places = Vec::new();
    let mut faults = Vec::new();
    let mut at = (0, 0);
    let begins = |text: &str, (row, column): (u32, u32)| CellPlace {
        start: text.len(),
        name: format!("{sheet}!{}", name_of(row, column)),
    };
    for (&(row, column), cell) in cells {
        while at.0 < row {
            text.push('\n');
            at = (at.0 + 1, 0);
        }
        if at.1 == 0 {
            places.push(begins(&text, at));
        }
        while at.1 < column {
            text.push(',');
            at.1 += 1;
            places.push(begins(&text, at));
        }
        match cell {
            Ok(cell) => text.push_str(&field(cell)),
            Err(fault) => faults.push((text.len(), *fault)),
        }
    }
    let file = SourceFile::of_cells(name, text, places);
    problems.0.extend(faults.into_iter().map(|(start, fault)| without_value(&file, start, fault)));
    file
}

/// A value as a field of CSV; one that begins with `#`, such as the name of a generator, begins no comment.
fn field(value: &str) -> String {
    if value.contains([',', '"']) || value.starts_with('#') {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// `C5`
fn name_of(row: u32, column: u32) -> String {
    format!("{}{}", letters(column), row + 1)
}

/// The name of a column: A to Z, AA …
fn letters(column: u32) -> String {
    let mut name = String::new();
    let mut rest = column + 1;
    while let Some(left) = rest.checked_sub(1) {
        let letter = u8::try_from(left % 26).map_or('?', |at| char::from(b'A' + at));
        name.insert(0, letter);
        rest = left / 26;
    }
    name
}

fn unreadable(name: &str, fault: &str) -> Problem {
    let message = text!(
        en: "`{name}` cannot be read as an Excel workbook: {fault}",
        zh: "`{name}` 不能作为 Excel 工作簿读取：{fault}",
    );
    let help = text!(
        en: "open it in Excel and save it as *Excel Workbook (.xlsx)* without a password",
        zh: "请用 Excel 打开，另存为“Excel 工作簿（.xlsx）”，不要加密",
    );
    Problem::new(CODE_WORKBOOK, message).help(help)
}

fn hidden(name: &str, sheet: &str) -> Problem {
    let message = text!(
        en: "`{name}`: sheet `{sheet}` is hidden and not read",
        zh: "`{name}`：工作表 `{sheet}` 已隐藏，不读取",
    );
    let help = text!(
        en: "show it if it holds facts; otherwise begin its name with `#`",
        zh: "如含申报数据请取消隐藏；否则请在表名前加 `#`",
    );
    Problem::new(CODE_WORKBOOK, message).help(help).warning()
}

fn without_value(file: &Arc<SourceFile>, start: usize, (found, zh): Fault) -> Problem {
    let message = text!(
        en: "expected a text or a number, found {found}",
        zh: "应为文本或数字，实为{zh}",
    );
    let help = text!(
        en: "correct the cell; open the workbook in Excel and save it where a formula has no result",
        zh: "请更正该单元格；公式没有结果时，请用 Excel 打开并保存",
    );
    Problem::new(CODE_CELL, message).at(file, start..start).help(help)
}

#[cfg(test)]
mod tests;
