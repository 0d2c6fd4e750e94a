//! What is wrong in a file: code, message, place, help. Must never print; `cli` renders.

use std::ops::Range;
use std::sync::Arc;

use model::Localized;

use crate::shown::masked;
use crate::table::{CODE_SYNTAX, DUPLICATE_KEY};

/// The text of a configuration file and what to call it.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path as the user gave it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Of a workbook's sheet, whose text was made of its cells: where each of them begins, in the order of the text.
    pub cells: Vec<CellPlace>,
}

/// Where a cell of a sheet begins in the text that stands for the sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPlace {
    /// The first byte.
    pub start: usize,
    /// The cell as the spreadsheet program names it, `Sheet1!C5`.
    pub name: String,
}

impl SourceFile {
    /// A file of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Self::of_cells(name, text, Vec::new())
    }

    /// A text that stands for a sheet of the workbook `name`.
    pub fn of_cells(
        name: impl Into<String>,
        text: impl Into<String>,
        cells: Vec<CellPlace>,
    ) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into(), cells })
    }

    /// The cell that a byte belongs to, where the file is a sheet.
    #[must_use]
    pub fn cell(&self, offset: usize) -> Option<&str> {
        let after = self.cells.partition_point(|cell| cell.start <= offset);
        Some(self.cells.get(after.checked_sub(1)?)?.name.as_str())
    }

    /// `file:line:column`, or `file sheet!cell`.
    #[must_use]
    pub fn place(&self, offset: usize) -> String {
        let (line, column) = self.line_column(offset);
        self.cell(offset).map_or_else(
            || format!("{}:{line}:{column}", self.name),
            |cell| format!("{} {cell}", self.name),
        )
    }

    /// `file:line`, or `file sheet!cell`.
    #[must_use]
    pub fn row_place(&self, offset: usize) -> String {
        let line = self.line_column(offset).0;
        self.cell(offset)
            .map_or_else(|| format!("{}:{line}", self.name), |cell| format!("{} {cell}", self.name))
    }

    /// The text as it may be shown: names and passwords in URLs, what stands behind their `?` or `#`, and the values of
    /// keys such as `password` or `token` are masked, byte for byte, so that places stay.
    ///
    /// `url = "mqtt://joe:secret@host"` → `url = "mqtt://**********@host"`
    #[must_use]
    pub fn shown(&self) -> String {
        masked(&self.text)
    }

    /// Line and column (both from 1, in characters) of a byte offset.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }
}

/// One thing that is wrong, or at least doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, never translated: `GW-C…` for the gateway's files, `EN-C…` for the centre's, `C…` for the form of
    /// any of them.
    pub code: &'static str,
    /// What was expected and found, in the user's words.
    pub message: Localized,
    /// The file, where there is one.
    pub file: Option<Arc<SourceFile>>,
    /// The bytes in it that are meant.
    pub span: Option<Range<usize>>,
    /// What to do next.
    pub help: Option<Localized>,
    /// Whether one may go on in spite of it.
    pub warning: bool,
}

impl Problem {
    /// A problem without a place.
    pub fn new(code: &'static str, message: impl Into<Localized>) -> Self {
        Self { code, message: message.into(), file: None, span: None, help: None, warning: false }
    }

    /// Puts it in a place.
    #[must_use]
    pub fn at(mut self, file: &Arc<SourceFile>, span: Range<usize>) -> Self {
        self.file = Some(Arc::clone(file));
        self.span = Some(span);
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<Localized>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Makes it a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.warning = true;
        self
    }

    /// Whether `other` would not be there without this one.
    fn is_cause_of(&self, other: &Self) -> bool {
        let same_file = match (&self.file, &other.file) {
            (Some(file), Some(other)) => Arc::ptr_eq(file, other),
            _ => false,
        };
        self.code == CODE_SYNTAX
            && *self.message != *DUPLICATE_KEY
            && same_file
            && other.code != CODE_SYNTAX
    }

    /// `file:line:column`, where known.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        let Some(span) = &self.span else { return Some(file.name.clone()) };
        Some(file.place(span.start))
    }
}

impl std::fmt::Display for Problem {
    /// One line: `GW-C007 gateway.toml:10:8: message; help`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(place) = self.place() {
            write!(f, " {place}")?;
        }
        write!(f, ": {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// All problems found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes one more. Of a file that could not be read as TOML only that is noted: the rest would be about keys that are
    /// there and were not understood.
    pub fn push(&mut self, problem: Problem) {
        if !self.0.iter().any(|known| known.is_cause_of(&problem)) {
            self.0.push(problem);
        }
    }

    /// Notes those of another list that are not noted yet: devices of one profile share its problems.
    pub fn append(&mut self, others: Problems) {
        for problem in others.0 {
            if !self.0.contains(&problem) {
                self.push(problem);
            }
        }
    }

    /// Whether one of them is not just a warning.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.0.iter().any(|problem| !problem.warning)
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
