//! Declared facts: what a clerk or a form says about a subject and a period, read from CSV. Must never hold a reading.

pub mod columns;
mod doubts;
mod flows;
mod import;
mod state;
mod stock;
mod units;
mod words;

pub use state::{PriceBase, Status};

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use config::{Problems, SourceFile};
use model::Localized;
use serde::{Serialize, Serializer};

use crate::coefficient::words;
use crate::id::{KindId, ProductId, SubjectId};
use crate::number::Number;
use crate::period::Period;
use crate::plant::Plant;

words! {
    /// Which way energy goes, seen from a subject.
    Flow {
        /// Bought; for the enterprise, the total is made of these.
        Purchased "purchased",
        /// Used by a subject inside the enterprise.
        Consumed "consumed",
        /// Own primary energy (PV, wind, hydro); enters the total.
        Generated "generated",
        /// Made on site from energy counted already; enters no total.
        Own "own",
        /// In stock when the period begins; declared alone.
        OpeningStock "opening_stock",
        /// In stock when the period ends; declared alone.
        ClosingStock "closing_stock",
        /// Sold.
        Exported "exported",
    }
}

impl Flow {
    /// Whether it is what is there at an instant, not what flows in a time.
    #[must_use]
    pub const fn is_stock(self) -> bool {
        matches!(self, Self::OpeningStock | Self::ClosingStock)
    }
}

/// What a fact measures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// A quantity of an energy kind, `purchased:raw_coal`.
    Energy(Flow, KindId),
    /// All that was made, `output:steel`.
    Output(ProductId),
    /// What passed inspection (合格), `qualified_output:steel`.
    QualifiedOutput(ProductId),
    /// Gross industrial output value, in 万元.
    GrossOutputValue,
    /// Industrial value added, in 万元; may be negative.
    ValueAdded,
}

/// A text that is not a measure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a measure: expected `purchased:KIND`, `consumed:KIND`, `generated:KIND`, \
     `own:KIND`, `opening_stock:KIND`, `closing_stock:KIND`, `exported:KIND`, `output:PRODUCT`, \
     `qualified_output:PRODUCT`, `gross_output_value` or `value_added`"
)]
pub struct MeasureError {
    /// What was given.
    pub text: String,
}

impl FromStr for Measure {
    type Err = MeasureError;

    fn from_str(text: &str) -> Result<Self, MeasureError> {
        let wrong = || MeasureError { text: text.to_owned() };
        let product = |id: &str| ProductId::new(id).map_err(|_| wrong());
        match text.split_once(':') {
            None if text == "gross_output_value" => Ok(Self::GrossOutputValue),
            None if text == "value_added" => Ok(Self::ValueAdded),
            Some(("output", id)) => Ok(Self::Output(product(id)?)),
            Some(("qualified_output", id)) => Ok(Self::QualifiedOutput(product(id)?)),
            Some((flow, id)) => {
                let flow = flow.parse().map_err(|_| wrong())?;
                Ok(Self::Energy(flow, KindId::new(id).map_err(|_| wrong())?))
            }
            None => Err(wrong()),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Energy(flow, kind) => write!(f, "{flow}:{kind}"),
            Self::Output(product) => write!(f, "output:{product}"),
            Self::QualifiedOutput(product) => write!(f, "qualified_output:{product}"),
            Self::GrossOutputValue => f.write_str("gross_output_value"),
            Self::ValueAdded => f.write_str("value_added"),
        }
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a fact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Rolled up from readings.
    Metered,
    /// Said by a person.
    Declared,
}

/// One declared fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// About what.
    pub subject: SubjectId,
    /// For when: a year or a month.
    pub period: Period,
    /// What is measured.
    pub measure: Measure,
    /// How much, in the unit of the energy kind or product, or in 万元.
    pub value: Number,
    /// As it was written, `850 万kWh`.
    pub written: String,
    /// A remark.
    pub note: Option<String>,
    /// What the number was taken from: an invoice, a ledger, a statistical form.
    #[serde(rename = "source", skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Why it enters the totals although the subject has a meter.
    pub override_reason: Option<String>,
    /// Whether it has happened or is expected.
    pub status: Status,
    /// For money: the prices that it is counted at, where stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_base: Option<PriceBase>,
    /// The delivery that it belongs to, where its coefficient is one of that delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// What a reader of a figure made from it must know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Localized>,
    /// `file:line`.
    pub place: String,
}

/// All declared facts of a plant.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    by_key: BTreeMap<(SubjectId, Measure), ByPeriod>,
    /// What is doubtful but not wrong.
    pub warnings: Problems,
}

/// The facts of a subject and measure: one for each period, or one for each batch of it.
type ByPeriod = BTreeMap<Period, Vec<Fact>>;

/// What was declared for a period: its own fact, or those of its months.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared<'a> {
    /// The facts, in the order of time.
    pub facts: Vec<&'a Fact>,
    /// How many months of the period they cover; one of one for a fact of the period itself.
    pub months: u64,
    /// How many months the period has.
    pub months_expected: u64,
}

impl Declared<'_> {
    /// Whether one of them is a forecast.
    #[must_use]
    pub fn is_forecast(&self) -> bool {
        self.facts.iter().any(|fact| fact.status == Status::Forecast)
    }

    /// The prices that they are counted at, where stated; the same for all, as facts are checked for that.
    #[must_use]
    pub fn price_base(&self) -> Option<PriceBase> {
        self.facts.iter().find_map(|fact| fact.price_base)
    }

    /// Their sum.
    #[must_use]
    pub fn value(&self) -> Number {
        self.facts.iter().map(|fact| &fact.value).sum()
    }

    /// Whether every month is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.months == self.months_expected
    }
}

impl Facts {
    /// Reads files of declared facts: columns `subject, period, measure, value, unit`, and where wanted `note`, `source`,
    /// `override_reason`, `status`, `price_base` and `batch`.
    ///
    /// # Errors
    /// All problems of all files, each with file and line.
    pub fn read(plant: &Plant, files: &[Arc<SourceFile>]) -> Result<Self, Problems> {
        import::facts(plant, files)
    }

    /// What was declared for a period, if anything.
    #[must_use]
    pub fn declared(
        &self,
        subject: &SubjectId,
        measure: &Measure,
        period: Period,
    ) -> Option<Declared<'_>> {
        if let Measure::Energy(flow, kind) = measure
            && flow.is_stock()
        {
            let facts = self.stock(subject, *flow, kind, period)?;
            return Some(Declared { facts, months: 1, months_expected: 1 });
        }
        let facts = self.by_key.get(&(subject.clone(), measure.clone()))?;
        if let Some(facts) = facts.get(&period) {
            return Some(Declared { facts: facts.iter().collect(), months: 1, months_expected: 1 });
        }
        let months = period.months();
        let found: Vec<&Vec<Fact>> = months.iter().filter_map(|month| facts.get(month)).collect();
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        (!found.is_empty()).then(|| Declared {
            months: count(found.len()),
            months_expected: count(months.len()),
            facts: found.into_iter().flatten().collect(),
        })
    }

    /// All facts, by subject and measure in the order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.by_key.values().flat_map(BTreeMap::values).flatten()
    }

    /// Whether anything at all was declared for a subject and measure.
    #[must_use]
    pub fn has(&self, subject: &SubjectId, measure: &Measure) -> bool {
        let has = |measure: Measure| self.by_key.contains_key(&(subject.clone(), measure));
        match measure {
            // Either one states the stock of an instant, which is the other one of the period beside it.
            Measure::Energy(flow, kind) if flow.is_stock() => {
                stock::FLOWS.iter().any(|flow| has(Measure::Energy(*flow, kind.clone())))
            }
            _ => has(measure.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
