//! A titled grid with notes below it. Must never know where it is written.

use energy::{Figure, FigureValue};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number as exact decimal text.
    Number(String),
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

    /// What is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Empty => "—",
        }
    }
}
