//! Readings that are no energy, by runs: from when to when, how many, and why. A reader of `explain` sees each run.

use model::Timestamp;
use serde::Serialize;

use crate::period::Span;

/// Runs that are listed for one meter; the readings of further ones are only counted.
pub const RUNS_MAX: usize = 256;

/// Why readings were put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aside {
    /// Lower than the register before and after them: a dip.
    RoseAgain,
    /// Higher than the register before and after them: a spike.
    FellAgain,
    /// Below zero, which no counter shows.
    BelowZero,
    /// Struck out in the plant file, for this reason.
    Struck(String),
}

/// A run of readings that were put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PutAside {
    /// The first of them.
    #[serde(serialize_with = "crate::serial::text")]
    pub from: Timestamp,
    /// The last of them.
    #[serde(serialize_with = "crate::serial::text")]
    pub to: Timestamp,
    /// How many.
    pub readings: u64,
    /// Why.
    pub why: Aside,
}

/// Runs in the order of time, bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    runs: Vec<PutAside>,
    /// Readings of runs that are not listed.
    more: u64,
}

impl Runs {
    /// Adds a run.
    pub(crate) fn add(&mut self, run: PutAside) {
        if self.runs.len() < RUNS_MAX {
            self.runs.push(run);
        } else {
            self.more = self.more.saturating_add(run.readings);
        }
    }

    /// Adds a reading to the newest run, or begins one.
    pub(crate) fn extend(&mut self, at: Timestamp, goes_on: bool, why: Aside) {
        match self.runs.last_mut() {
            Some(run) if goes_on && run.why == why => {
                (run.to, run.readings) = (at, run.readings.saturating_add(1));
            }
            _ => self.add(PutAside { from: at, to: at, readings: 1, why }),
        }
    }

    /// Those that reach into a time, in the order of time.
    pub(crate) fn within(&self, span: Span) -> impl Iterator<Item = &PutAside> {
        self.runs.iter().filter(move |run| run.from < span.to && span.from <= run.to)
    }

    /// With the runs of another list.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.more = self.more.saturating_add(other.more);
        for run in other.runs {
            self.add(run);
        }
        self.runs.sort_by_key(|run| run.from);
        self
    }
}
