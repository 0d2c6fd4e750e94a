//! CSV text as rows that know their line, with all problems at once. Must never know what a column means.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use model::Localized;

use crate::{Problem, Problems, SourceFile, meant};

const CODE_CSV: &str = "EN-C301";
const CODE_COLUMN: &str = "EN-C302";
/// What Excel puts before UTF-8 text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The columns of a file.
#[derive(Debug)]
pub struct Columns {
    /// Columns that must be there.
    pub required: &'static [&'static str],
    /// Columns that may be there.
    pub optional: &'static [&'static str],
}

/// One row; a field that is absent or blank is `None`.
#[derive(Debug, Clone)]
pub struct Row {
    file: Arc<SourceFile>,
    span: Range<usize>,
    fields: BTreeMap<&'static str, String>,
}

impl Row {
    /// A field that is not blank.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        self.fields.get(column).map(String::as_str)
    }

    /// A problem in this row.
    pub fn problem(&self, code: &'static str, message: impl Into<Localized>) -> Problem {
        Problem::new(code, message).at(&self.file, self.span.clone())
    }

    /// `file:line`, for provenance.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.file.name, self.file.line_column(self.span.start).0)
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
            let problem = self.problem(code, format!("`{column}` is blank"));
            problems.push(problem.help("every row needs it"));
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
                problems.push(self.problem(code, format!("`{column}`: {wrong}")));
                None
            }
        }
    }
}

/// Reads all rows that can be read; lines that begin with `#` are comments. What is no CSV is EN-C301, a column that is missing
/// or that nobody knows EN-C302.
pub fn read(file: &Arc<SourceFile>, columns: &Columns, problems: &mut Problems) -> Vec<Row> {
    let text = file.text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&file.text);
    let skipped = file.text.len() - text.len();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            problems.push(broken(file, skipped, &error));
            return Vec::new();
        }
    };
    let Some(names) = known_columns(file, &header, columns, problems) else { return Vec::new() };
    let mut rows = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => rows.push(row(file, skipped, &names, &record)),
            Err(error) => problems.push(broken(file, skipped, &error)),
        }
    }
    rows
}

fn row(
    file: &Arc<SourceFile>,
    skipped: usize,
    names: &[Option<&'static str>],
    record: &csv::StringRecord,
) -> Row {
    let start = record.position().map_or(0, |at| offset(at, skipped));
    let end = file.text.get(start..).and_then(|rest| rest.find('\n'));
    let span = start..end.map_or(file.text.len(), |length| start + length);
    let fields = names
        .iter()
        .zip(record)
        .filter_map(|(name, field)| Some(((*name)?, field)))
        .filter(|(_, field)| !field.is_empty())
        .map(|(name, field)| (name, field.to_owned()))
        .collect();
    Row { file: Arc::clone(file), span, fields }
}

/// The name of each column of the file, in its order; `None` when one that must be there is not.
fn known_columns(
    file: &Arc<SourceFile>,
    header: &csv::StringRecord,
    columns: &Columns,
    problems: &mut Problems,
) -> Option<Vec<Option<&'static str>>> {
    let all = || columns.required.iter().chain(columns.optional).copied();
    let every: Vec<&str> = all().collect();
    let span = 0..file.text.find('\n').unwrap_or(file.text.len());
    let mut names = Vec::new();
    for name in header {
        let known = all().find(|column| *column == name);
        if known.is_none() {
            let message = format!("`{name}` is not a column that exists here");
            let problem = Problem::new(CODE_COLUMN, message).at(file, span.clone());
            problems.push(problem.help(meant(name, &every, "columns here:")));
        }
        names.push(known);
    }
    let missing: Vec<_> =
        columns.required.iter().filter(|column| !names.contains(&Some(**column))).collect();
    for column in &missing {
        let problem = Problem::new(CODE_COLUMN, format!("column `{column}` is missing"));
        let help = format!("the first line names the columns: {}", every.join(", "));
        problems.push(problem.at(file, span.clone()).help(help));
    }
    missing.is_empty().then_some(names)
}

fn offset(position: &csv::Position, skipped: usize) -> usize {
    usize::try_from(position.byte()).unwrap_or(usize::MAX).saturating_add(skipped)
}

fn broken(file: &Arc<SourceFile>, skipped: usize, error: &csv::Error) -> Problem {
    let (start, message, help) = match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => (
            pos.as_ref().map_or(0, |at| offset(at, skipped)),
            format!("expected {expected_len} fields as in the first line, found {len}"),
            if len > expected_len {
                "a field with a comma in it stands in \"quotes\""
            } else {
                "a field that is left blank keeps its comma"
            },
        ),
        _ => (0, format!("not CSV: {error}"), "save the table as CSV with commas, in UTF-8"),
    };
    Problem::new(CODE_CSV, message).at(file, start..start).help(help)
}
