//! The line that names the columns, and rows by it.

use std::ops::Range;
use std::sync::Arc;

use model::{Localized, text};

use super::fields::{Field, Line};
use super::{CODE_COLUMN, CODE_CSV, Columns, Row};
use crate::{Problem, Problems, SourceFile, suggested};

/// What separates columns in files that are not separated by commas, with its name.
const OTHER_SEPARATORS: [(char, &str); 4] =
    [(';', "`;`"), ('\t', "tab"), ('\u{FF0C}', "`，`"), ('|', "`|`")];

/// The columns of a file, in its order.
pub(super) struct Header {
    /// The column of each field; `None` for one that nobody knows or that has no name.
    names: Vec<Option<&'static str>>,
    /// The positions of columns without a name.
    blank: Vec<usize>,
    /// How many fields there are up to the last column with a name.
    named: usize,
}

impl Columns {
    fn all(&self) -> impl Iterator<Item = &'static str> {
        self.required.iter().chain(self.optional).copied()
    }

    fn find(&self, name: &str) -> Option<&'static str> {
        let alias = self.aliases.iter().find(|(alias, _)| *alias == name);
        let own = || self.all().find(|column| column.eq_ignore_ascii_case(name));
        alias.map(|(_, column)| *column).or_else(own)
    }
}

impl Header {
    /// Reads the first line; `None` when the rows cannot be read by it.
    pub(super) fn read(
        file: &Arc<SourceFile>,
        line: Line<'_>,
        fields: &[Field],
        columns: &Columns,
        problems: &mut Problems,
    ) -> Option<Self> {
        if let Some(problem) = other_separator(file, line, fields) {
            problems.push(problem);
            return None;
        }
        let mut names: Vec<Option<&'static str>> = Vec::new();
        let mut sound = true;
        for field in fields {
            let name = columns.find(&field.text).filter(|_| !field.text.is_empty());
            if name.is_some() && names.contains(&name) {
                problems.push(twice(file, field, name.unwrap_or_default()));
                sound = false;
            } else if name.is_none() && !field.text.is_empty() {
                problems.push(unknown(file, field, columns));
            }
            names.push(name);
        }
        let missing: Vec<_> =
            columns.required.iter().filter(|column| !names.contains(&Some(**column))).collect();
        let known = columns.all().collect::<Vec<_>>().join(", ");
        for column in &missing {
            let message = text!(en: "column `{column}` is missing", zh: "缺少列 `{column}`");
            let help = text!(
                en: "the first line names the columns: {known}",
                zh: "首行为列名：{known}",
            );
            problems.push(Problem::new(CODE_COLUMN, message).at(file, line.span()).help(help));
        }
        let named = fields.iter().rposition(|field| !field.text.is_empty());
        let blank = |(at, field): (usize, &Field)| field.text.is_empty().then_some(at);
        let blank = fields.iter().enumerate().filter_map(blank).collect();
        let header = Self { names, blank, named: named.map_or(0, |at| at + 1) };
        (sound && missing.is_empty()).then_some(header)
    }

    /// A row, whose fields behind the last required column may be left out together.
    pub(super) fn row(
        &self,
        file: &Arc<SourceFile>,
        span: Range<usize>,
        fields: Vec<Field>,
        columns: &Columns,
    ) -> Result<Row, Box<Problem>> {
        let problem = |message: Localized, help: Localized| {
            Box::new(Problem::new(CODE_CSV, message).at(file, span.clone()).help(help))
        };
        let expected = self.named;
        let found = fields.iter().rposition(|field| !field.text.is_empty()).map_or(0, |at| at + 1);
        let is_required =
            |name: Option<&'static str>| name.is_some_and(|name| columns.required.contains(&name));
        let required =
            self.names.iter().rposition(|name| is_required(*name)).map_or(0, |at| at + 1);
        // Excel leaves the commas of blank columns at the end out, in blocks of 16 rows.
        let is_short = fields.len() < expected && fields.len() != required;
        if found > expected || is_short {
            let found = if is_short { fields.len() } else { found };
            let help = if is_short {
                text!(en: "a field that is left blank keeps its comma", zh: "留空的字段要保留逗号")
            } else {
                text!(
                    en: "a field with a comma in it stands in \"quotes\"",
                    zh: "含逗号的字段要加英文引号 \"…\"",
                )
            };
            let message = text!(
                en: "expected {expected} fields as in the first line, found {found}",
                zh: "应有 {expected} 个字段（同首行），实有 {found} 个",
            );
            return Err(problem(message, help));
        }
        if let Some(at) = self.nameless(&fields) {
            let value = &at.text;
            let message = text!(
                en: "`{value}` stands in a column without a name",
                zh: "`{value}` 所在的列没有列名",
            );
            let help = text!(
                en: "name the column in the first line, or empty it",
                zh: "请在首行填写列名，或清空该列",
            );
            return Err(Box::new(
                Problem::new(CODE_CSV, message).at(file, at.span.clone()).help(help),
            ));
        }
        let named =
            self.names.iter().zip(fields).filter_map(|(name, field)| Some(((*name)?, field)));
        Ok(Row { file: Arc::clone(file), span: span.clone(), fields: named.collect() })
    }

    /// A value in a column that has no name, among those that have one. One that nobody knows is told in the first line.
    fn nameless<'a>(&self, fields: &'a [Field]) -> Option<&'a Field> {
        let filled = fields.iter().enumerate().filter(|(_, field)| !field.text.is_empty());
        let mut nameless = filled.filter(|(at, _)| self.blank.contains(at));
        nameless.next().map(|(_, field)| field)
    }
}

/// The problem of a first line whose columns are separated otherwise, or that is a spreadsheet's hint on that.
fn other_separator(file: &Arc<SourceFile>, line: Line<'_>, fields: &[Field]) -> Option<Problem> {
    let [only] = fields else { return None };
    let found = OTHER_SEPARATORS.iter().find(|(separator, _)| line.text.contains(*separator));
    let (_, name) = found?;
    let message = text!(
        en: "the columns are separated by {name}, expected commas",
        zh: "各列以 {name} 分隔，应为英文逗号",
    );
    let help = text!(
        en: "save it in Excel as *CSV UTF-8 (comma delimited)*; where that writes `;`, set the list separator of the system to a comma",
        zh: "请在 Excel 中另存为“CSV UTF-8（逗号分隔）”；若仍不是逗号，请把系统的列表分隔符改为英文逗号",
    );
    Some(Problem::new(CODE_CSV, message).at(file, only.span.clone()).help(help))
}

fn twice(file: &Arc<SourceFile>, field: &Field, column: &str) -> Problem {
    let name = &field.text;
    let message = text!(
        en: "column `{column}` is there twice, here as `{name}`",
        zh: "列 `{column}` 重复，此处写作 `{name}`",
    );
    let help = text!(
        en: "keep one of them: of two values of a row nobody can tell which one counts",
        zh: "请只保留一列，否则无法判断以哪个数值为准",
    );
    Problem::new(CODE_COLUMN, message).at(file, field.span.clone()).help(help)
}

fn unknown(file: &Arc<SourceFile>, field: &Field, columns: &Columns) -> Problem {
    let name = &field.text;
    let message = text!(
        en: "`{name}` is not a column that exists here",
        zh: "没有名为 `{name}` 的列",
    );
    let every: Vec<&str> = columns.all().collect();
    let help = suggested(name, &every, &text!(en: "columns here:", zh: "可用的列："));
    Problem::new(CODE_COLUMN, message).at(file, field.span.clone()).help(help)
}
