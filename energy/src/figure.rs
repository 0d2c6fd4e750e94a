//! A figure as it is handed out, and the provenance behind it. Must never compute.

use std::collections::BTreeMap;

use model::{CommitNumber, Localized};
use serde::Serialize;

use crate::coefficient::{Basis, Resolved};
use crate::fact::{Fact, PriceBase};
use crate::index::{Class, Coverage};
use crate::number::{Number, Ratio};
use crate::period::Period;
use crate::source::{MeterPart, NotCounted};

/// The value of a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FigureValue {
    /// A sum or product, exact.
    Exact(Number),
    /// A quotient, exact until printed.
    Ratio(Ratio),
}

impl std::fmt::Display for FigureValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(number) => number.fmt(f),
            Self::Ratio(ratio) => ratio.fmt(f),
        }
    }
}

/// A figure: value, unit, window, basis, coefficient set, coverage, class (INV-8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Its name, `table1/2018/electricity/equivalent`.
    pub name: String,
    /// Its value; `None` when it is unknown or undefined, and `notes` say why.
    pub value: Option<FigureValue>,
    /// Its unit.
    pub unit: String,
    /// Its window.
    pub period: Period,
    /// The basis of a figure in coal equivalent.
    pub basis: Option<Basis>,
    /// The coefficients it used.
    pub coefficient_set: Option<String>,
    /// The share of its inputs that is there; `None` when it has no inputs.
    pub coverage: Option<Coverage>,
    /// The share in percent, rounded down.
    pub coverage_percent: Option<String>,
    /// How its inputs were found.
    pub class: Option<Class>,
    /// The prices that money in it is counted at, where stated. Figures of different bases are not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_base: Option<PriceBase>,
    /// Whether nothing of it is missing.
    pub complete: bool,
    /// Why it has no value, and what else a reader must know of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Localized>,
}

impl Figure {
    /// The exact value of a sum or product.
    #[must_use]
    pub fn exact(&self) -> Option<&Number> {
        match &self.value {
            Some(FigureValue::Exact(number)) => Some(number),
            _ => None,
        }
    }

    /// The value of a quotient.
    #[must_use]
    pub fn ratio(&self) -> Option<&Ratio> {
        match &self.value {
            Some(FigureValue::Ratio(ratio)) => Some(ratio),
            _ => None,
        }
    }

    /// All notes as one, where there are any.
    #[must_use]
    pub fn note(&self) -> Option<Localized> {
        (!self.notes.is_empty()).then(|| Localized::join(&self.notes, "; "))
    }

    /// `value unit`, or a dash.
    pub(crate) fn text(&self) -> String {
        self.value.as_ref().map_or_else(|| "–".to_owned(), |value| format!("{value} {}", self.unit))
    }
}

/// What stands behind a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The figure.
    pub figure: Figure,
    /// The formula with the numbers put in.
    pub formula: String,
    /// Names of the figures it was made from.
    pub inputs: Vec<String>,
    /// The meters it was made from, with the readings at the ends of the period.
    pub meters: Vec<MeterPart>,
    /// The declared facts it was made from.
    pub declared: Vec<Fact>,
    /// What was given too and does not count.
    pub not_counted: Vec<NotCounted>,
    /// The coefficients it used.
    pub coefficients: Vec<Resolved>,
    /// The ingest commit up to which readings were taken.
    pub commit: Option<CommitNumber>,
}

/// Explanations by figure name.
pub type Explanations = BTreeMap<String, Explanation>;

/// Every figure behind one, itself first, each once.
#[must_use]
pub fn explain<'a>(explanations: &'a Explanations, name: &str) -> Vec<&'a Explanation> {
    let mut found: Vec<&Explanation> = Vec::new();
    let mut names = vec![name.to_owned()];
    while let Some(name) = names.pop() {
        let Some(explanation) = explanations.get(&name) else { continue };
        if found.iter().all(|known| known.figure.name != name) {
            found.push(explanation);
            names.extend(explanation.inputs.iter().rev().cloned());
        }
    }
    found
}
