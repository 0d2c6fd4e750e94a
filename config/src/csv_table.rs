//! CSV text as rows that know the place of each field, with all problems at once.
//!
//! A row is one line. RFC 4180 also allows a line break inside quotes; no file of ours needs one, and a quote that is never
//! closed would take the rows below it into its field without a word. So a field ends where its line ends.

mod fields;
mod header;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use fields::{Fault, Field, Line};
use header::Header;
use model::{Localized, text};

use crate::{Problem, Problems, SourceFile};

const CODE_CSV: &str = "EN-C301";
const CODE_COLUMN: &str = "EN-C302";
/// What Excel puts before UTF-8 text.
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// What begins a line, or a row without other fields, that is for people alone.
const COMMENT: char = '#';

/// The columns of a file.
#[derive(Debug)]
pub struct Columns {
    /// Columns that must be there.
    pub required: &'static [&'static str],
    /// Columns that may be there.
    pub optional: &'static [&'static str],
    /// Other names of columns, each with the name that it has here.
    pub aliases: &'static [(&'static str, &'static str)],
}

/// One row; a field that is absent or blank is `None`.
#[derive(Debug, Clone)]
pub struct Row {
    file: Arc<SourceFile>,
    span: Range<usize>,
    fields: BTreeMap<&'static str, Field>,
}

impl Row {
    /// A field that is not blank.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        self.fields.get(column).map(|field| field.text.as_str()).filter(|text| !text.is_empty())
    }

    /// A problem in this row.
    pub fn problem(&self, code: &'static str, message: impl Into<Localized>) -> Problem {
        Problem::new(code, message).at(&self.file, self.span.clone())
    }

    /// A problem in a field of this row, which may be blank.
    pub fn problem_in(
        &self,
        column: &str,
        code: &'static str,
        message: impl Into<Localized>,
    ) -> Problem {
        let span = self.fields.get(column).map_or(&self.span, |field| &field.span);
        Problem::new(code, message).at(&self.file, span.clone())
    }

    /// `file:line`, or the sheet and the first cell of the row, for provenance.
    #[must_use]
    pub fn place(&self) -> String {
        self.file.row_place(self.span.start)
    }

    /// A field that must not be blank.
    pub fn required(
        &self,
        code: &'static str,
        column: &str,
        problems: &mut Problems,
    ) -> Option<&str> {
        let found = self.get(column);
        if found.is_none() {
            let message = text!(en: "`{column}` is blank", zh: "`{column}` 为空");
            let help = text!(en: "every row needs it", zh: "每一行都要填写");
            problems.push(self.problem_in(column, code, message).help(help));
        }
        found
    }

    /// A field read as `T`; one that is not a `T` is a problem.
    pub fn parse<T>(&self, code: &'static str, column: &str, problems: &mut Problems) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        match self.get(column)?.parse() {
            Ok(value) => Some(value),
            Err(wrong) => {
                problems.push(self.problem_in(column, code, format!("`{column}`: {wrong}")));
                None
            }
        }
    }
}

/// Reads all rows that can be read. Lines that begin with `#` are comments; blank lines and rows of blank fields are passed
/// over. What is no CSV is EN-C301, a column that is missing, there twice, or that nobody knows EN-C302.
pub fn read(file: &Arc<SourceFile>, columns: &Columns, problems: &mut Problems) -> Vec<Row> {
    let text = file.text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&file.text);
    let skipped = file.text.len() - text.len();
    let lines: Vec<Line<'_>> = fields::lines(text, skipped).collect();
    let mut header: Option<Header> = None;
    let mut rows = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if line.text.trim().is_empty() || line.text.starts_with(COMMENT) {
            continue;
        }
        let fields = match line.fields() {
            Ok(fields) => fields,
            Err(fault) => {
                let rest = lines.get(at..).unwrap_or_default();
                let (problem, closed_after) = broken(file, *line, &fault, rest);
                problems.push(problem);
                if header.is_none() {
                    return rows;
                }
                at += closed_after;
                continue;
            }
        };
        match &header {
            None => match Header::read(file, *line, &fields, columns, problems) {
                Some(read) => header = Some(read),
                None => return rows,
            },
            Some(header) if !is_aside(&fields) => {
                match header.row(file, line.span(), fields, columns) {
                    Ok(row) => rows.push(row),
                    Err(problem) => problems.push(*problem),
                }
            }
            Some(_) => {}
        }
    }
    if header.is_none() {
        let names = columns.required.join(", ");
        let message = text!(en: "the file has no rows", zh: "文件中没有数据");
        let help = text!(
            en: "the first line names the columns: {names}",
            zh: "首行为列名：{names}",
        );
        problems.push(Problem::new(CODE_COLUMN, message).at(file, 0..0).help(help));
    }
    rows
}

/// A row of blank fields, or a comment that a spreadsheet program has put into quotes or filled up with commas.
fn is_aside(fields: &[Field]) -> bool {
    let mut fields = fields.iter();
    let first =
        fields.next().is_none_or(|one| one.text.is_empty() || one.text.starts_with(COMMENT));
    first && fields.all(|one| one.text.is_empty())
}

/// What is wrong with a line whose quotes do not pair up, and how many lines below it belong to the same field.
fn broken(
    file: &Arc<SourceFile>,
    line: Line<'_>,
    fault: &Fault,
    rest: &[Line<'_>],
) -> (Problem, usize) {
    let end = line.span().end;
    match fault {
        Fault::AfterQuote(at) => {
            let message = text!(
                en: "not CSV: after a closing quote expected a comma",
                zh: "不是有效的 CSV：右引号之后应为逗号",
            );
            let help = text!(
                en: "a quote inside a field in quotes is written twice: \"\"",
                zh: "引号内的引号要写两次：\"\"",
            );
            (Problem::new(CODE_CSV, message).at(file, *at..end).help(help), 0)
        }
        Fault::Open(at) => {
            let closing = rest.iter().position(Line::has_odd_quotes);
            let (message, help) = if closing.is_some() {
                (
                    text!(
                        en: "not CSV: the field in quotes that begins here goes on in the next line",
                        zh: "不是有效的 CSV：此处引号内的内容跨了行",
                    ),
                    text!(
                        en: "remove the line break inside the field (Alt+Enter in Excel)",
                        zh: "删除单元格内的换行（Excel 中由 Alt+Enter 输入）",
                    ),
                )
            } else {
                (
                    text!(
                        en: "not CSV: the quote that begins here is never closed",
                        zh: "不是有效的 CSV：此处的引号没有配对",
                    ),
                    text!(en: "close it in its line, or remove it", zh: "在同一行内补上右引号，或删除它"),
                )
            };
            let problem = Problem::new(CODE_CSV, message).at(file, *at..end).help(help);
            (problem, closing.map_or(0, |closing| closing + 1))
        }
    }
}

#[cfg(test)]
mod tests;
