//! A titled grid with notes below it, and what is said of a figure beside its value. Must never know where it is
//! written.

use std::borrow::Cow;

use energy::{Class, Figure, FigureValue};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number as exact decimal text.
    Number(String),
    /// A number as exact decimal text, and its unit.
    Measured {
        /// The number.
        digits: String,
        /// The unit.
        unit: String,
    },
    /// Nothing known, or nothing to say: never zero (INV-8).
    Empty,
}

/// A table with a title and notes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grid {
    /// What it is.
    pub title: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// Basis, coefficient sets, commit, what is missing.
    pub notes: Vec<String>,
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The value of a figure.
    #[must_use]
    pub fn figure(figure: &Figure) -> Self {
        match &figure.value {
            Some(FigureValue::Exact(number)) => Self::Number(number.to_string()),
            // A quotient is exact until printed; it is printed here (GB/T 8170, half to even, six digits).
            Some(FigureValue::Ratio(ratio)) => Self::Number(ratio.rounded(6)),
            None => Self::Empty,
        }
    }

    /// The share of a figure's inputs that is there.
    #[must_use]
    pub fn coverage(figure: &Figure) -> Self {
        figure.coverage_percent.as_ref().map_or(Self::Empty, |percent| Self::Measured {
            digits: percent.clone(),
            unit: "%".to_owned(),
        })
    }

    /// What is special about figures, each thing once.
    pub fn notes<'a>(figures: impl IntoIterator<Item = &'a Figure>) -> Self {
        Self::texts(figures.into_iter().flat_map(remarks))
    }

    /// Texts, each once.
    pub(super) fn texts(all: impl IntoIterator<Item = String>) -> Self {
        let mut once: Vec<String> = Vec::new();
        for text in all {
            if !once.contains(&text) {
                once.push(text);
            }
        }
        Self::Text(once.join("; "))
    }

    /// What is shown.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) | Self::Number(text) => Cow::Borrowed(text),
            Self::Measured { digits, unit } => Cow::Owned(format!("{digits} {unit}")),
            Self::Empty => Cow::Borrowed("—"),
        }
    }
}

/// Why a figure has no value, that a part of it is missing, and how it was found where that is neither by reading a
/// meter nor by a declaration: what is estimated must not look like what was read.
pub(super) fn remarks(figure: &Figure) -> Vec<String> {
    let mut remarks: Vec<String> = figure.notes.iter().map(ToString::to_string).collect();
    if figure.value.is_none() {
        return remarks;
    }
    if !figure.complete && remarks.is_empty() {
        remarks.push("部分缺失 a part is missing".to_owned());
    }
    remarks.extend(match figure.class {
        Some(Class::Rollover) => Some("按翻转推算 through a rollover of the register".to_owned()),
        Some(Class::Estimated) => Some("估算 estimated over a gap".to_owned()),
        Some(Class::Mixed) => Some("混合来源 mixed: see `explain`".to_owned()),
        Some(Class::Metered | Class::Declared | Class::Assumed) | None => None,
    });
    remarks
}
