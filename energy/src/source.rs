//! Which source gives a quantity: the meter or the clerk. Exactly one enters a total, the other is kept and shown
//! (INV-8). Must never convert into coal equivalent.

use std::collections::BTreeMap;

use model::{CommitNumber, Decimal, Localized, PointId, Unit};
use serde::Serialize;
use thiserror::Error;

use levels::Wanted;

use crate::fact::{Declared, Fact, Facts, Flow, Measure, Source};
use crate::id::{MeterId, SubjectId};
use crate::index::{Bound, Class, Coverage, EventFinding, Index, NotUsed, PeriodEnergy, Segment};
use crate::number::Number;
use crate::period::{Period, Span};
use crate::plant::{EnergyKind, Meter, MeterRole, Plant, RatioChange, Replacement};
use crate::put_aside::PutAside;
use crate::readings::{MeterReadings, ReadingsError};
use crate::resets::ResetInterval;

mod behind;
mod levels;
mod metered;
mod months;

/// Everything figures are made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The plant.
    pub plant: &'a Plant,
    /// What was declared.
    pub facts: &'a Facts,
    /// What was metered; empty for a plant that only declares.
    pub meters: &'a Meters,
    /// The ingest commit up to which readings were taken, as the caller knows it.
    pub commit: Option<CommitNumber>,
}

/// The validated indexes of a plant's meters.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    indexes: BTreeMap<MeterId, Index>,
    /// Meters without an index, and why.
    absent: BTreeMap<MeterId, Localized>,
}

impl Meters {
    /// Validates the readings of all meters.
    ///
    /// # Errors
    /// Each meter whose readings do not fit it.
    pub fn build(plant: &Plant, readings: &[MeterReadings]) -> Result<Self, Vec<ReadingsError>> {
        let mut meters = Self::default();
        let mut wrong = Vec::new();
        for one in readings {
            let built = plant
                .meter(&one.meter)
                .ok_or_else(|| ReadingsError::UnknownMeter { meter: one.meter.clone() })
                .and_then(|meter| Index::build(meter, plant.interpolation_max_micros, one));
            match built {
                Ok(index) => {
                    meters.indexes.insert(one.meter.clone(), index);
                }
                Err(error) => wrong.push(error),
            }
        }
        if wrong.is_empty() { Ok(meters) } else { Err(wrong) }
    }

    /// Of indexes that were built one by one.
    #[must_use]
    pub fn of(indexes: impl IntoIterator<Item = Index>) -> Self {
        let indexes = indexes.into_iter().map(|one| (one.meter().clone(), one)).collect();
        Self { indexes, ..Self::default() }
    }

    /// With the reasons why some meters have no index; each costs the figures it is in, and no others.
    #[must_use]
    pub fn without(self, absent: impl IntoIterator<Item = (MeterId, Localized)>) -> Self {
        Self { absent: absent.into_iter().collect(), ..self }
    }

    /// The index of a meter, where readings were given.
    #[must_use]
    pub fn index(&self, meter: &MeterId) -> Option<&Index> {
        self.indexes.get(meter)
    }
}

/// A total that would count the same energy twice.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    /// One quantity is given at two levels of the plant.
    #[error(
        "{measure} for {period} is given for `{upper}` and for `{lower}` inside it: give it at one level"
    )]
    TwoLevels {
        /// What.
        measure: Measure,
        /// When.
        period: Period,
        /// The subject above.
        upper: SubjectId,
        /// The subject inside it.
        lower: SubjectId,
    },
}

/// What one meter gave to a quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeterPart {
    /// The meter.
    pub meter: MeterId,
    /// Its point.
    pub point: PointId,
    /// Its unit.
    pub unit: Unit,
    /// Its ratios.
    pub ratios: Vec<RatioChange>,
    /// The reading at which its register starts again from zero, in its unit before the ratio, as the plant file or the
    /// device profile states it.
    pub modulus: Option<Number>,
    /// The most that its energy can rise in an hour, in its unit after the ratio, as the plant file states it.
    pub rise_per_hour_max: Option<Decimal>,
    /// The bound that its steps were compared with: the one that is stated, or one from its own rates. A step beyond it is an
    /// open gap.
    pub bound: Option<Bound>,
    /// How often its register is set back to zero, as the plant file states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets: Option<ResetInterval>,
    /// Its replacements in that time, from the first instant to the first after it.
    pub replacements: Vec<Replacement>,
    /// The runs of one meter and one ratio that its energy is the sum of.
    pub segments: Vec<Segment>,
    /// The time, from its first instant to the first after it.
    pub span: Span,
    /// How many of the energy kind's unit one of its unit is.
    pub factor: Number,
    /// Its energy; `None` when no reading of it was given.
    pub energy: Option<PeriodEnergy>,
    /// Readings of that time that were not used for their quality.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_used: Vec<NotUsed>,
    /// Good readings of that time that are no energy: dips, spikes, values below zero, and what was struck out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub put_aside: Vec<PutAside>,
    /// Replacements that the readings do not fit where they were typed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<EventFinding>,
}

/// A source that does not enter the total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCounted {
    /// Which source.
    pub source: Source,
    /// For what.
    pub subject: SubjectId,
    /// For when.
    pub period: Period,
    /// What it says.
    pub value: Number,
    /// What it says less what is counted.
    pub difference: Number,
    /// Why it does not count.
    pub reason: Localized,
}

/// A quantity of an energy kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quantity {
    /// In the kind's unit; `None` when nothing is known (INV-8).
    pub value: Option<Number>,
    /// How it was found.
    pub class: Class,
    /// Whether nothing of it is missing.
    pub complete: bool,
    /// The share that is there.
    pub coverage: Coverage,
    /// The meters behind it.
    pub meters: Vec<MeterPart>,
    /// The declared facts behind it.
    pub declared: Vec<Fact>,
    /// What does not enter it.
    pub not_counted: Vec<NotCounted>,
    /// What of it is unknown, in words.
    pub missing: Vec<Localized>,
    /// What is doubtful in it.
    pub doubts: Vec<Localized>,
}

/// A subject that has a quantity of its own, and the meters that stand there.
#[derive(Debug, Clone)]
struct Place<'a> {
    subject: &'a SubjectId,
    meters: Vec<&'a Meter>,
}

impl Quantity {
    /// Nothing is known.
    pub(crate) fn unknown() -> Self {
        Self {
            value: None,
            class: Class::Metered,
            complete: false,
            coverage: Coverage { covered: 0, expected: 1 },
            meters: Vec::new(),
            declared: Vec::new(),
            not_counted: Vec::new(),
            missing: Vec::new(),
            doubts: Vec::new(),
        }
    }

    pub(crate) fn declared(declared: &Declared<'_>) -> Self {
        let coverage = Coverage { covered: declared.months, expected: declared.months_expected };
        Self {
            value: Some(declared.value()),
            class: if declared.is_forecast() { Class::Assumed } else { Class::Declared },
            complete: declared.is_complete(),
            coverage,
            declared: declared.facts.iter().map(|fact| (*fact).clone()).collect(),
            ..Self::unknown()
        }
    }

    /// Nothing is known, and why.
    pub(crate) fn missing(why: impl Into<Localized>) -> Self {
        Self { missing: vec![why.into()], ..Self::unknown() }
    }

    /// The sum over subjects or meters; one that is unknown makes it unknown (INV-8).
    pub(crate) fn sum(quantities: impl IntoIterator<Item = Self>) -> Self {
        let mut unknown = false;
        let each = quantities.into_iter().inspect(|one| unknown |= one.value.is_none());
        let sum = Self::over_time(each.collect::<Vec<_>>());
        Self { value: sum.value.filter(|_| !unknown), ..sum }
    }

    /// The sum over parts of the time: of what is known, and not complete where a part is not.
    fn over_time(quantities: impl IntoIterator<Item = Self>) -> Self {
        quantities.into_iter().reduce(Self::and).unwrap_or_else(Self::unknown)
    }

    fn and(mut self, other: Self) -> Self {
        let class = match (&self.value, &other.value) {
            (Some(_), Some(_)) => self.class.and(other.class),
            (None, Some(_)) => other.class,
            (_, None) => self.class,
        };
        self.value = match (self.value, other.value) {
            (Some(one), Some(two)) => Some(one + two),
            (one, two) => one.or(two),
        };
        self.class = class;
        self.complete &= other.complete;
        self.coverage = self.coverage.and(other.coverage);
        self.meters.extend(other.meters);
        self.declared.extend(other.declared);
        self.not_counted.extend(other.not_counted);
        self.missing.extend(other.missing);
        self.doubts.extend(other.doubts);
        self
    }
}

impl Inputs<'_> {
    /// The quantity of a kind for a subject and everything in it; `None` when the plant has neither a meter nor a fact
    /// for it.
    ///
    /// # Errors
    /// When it is given at two levels and the upper one is not simply the declaration of what is metered below.
    pub fn quantity(
        &self,
        subject: &SubjectId,
        flow: Flow,
        kind: &EnergyKind,
        period: Period,
    ) -> Result<Option<Quantity>, SourceError> {
        let measure = Measure::Energy(flow, kind.id.clone());
        let places = self.places(subject, flow, kind);
        // A subject that lies in no other that has it, with those inside it: one quantity each.
        let top = |place: &&Place<'_>| {
            let holds = |other: &Place<'_>| {
                other.subject != place.subject && self.plant.is_within(place.subject, other.subject)
            };
            !places.iter().any(holds)
        };
        let mut quantities = Vec::new();
        for top in places.iter().filter(top) {
            let inside = |place: &&Place<'_>| self.plant.is_within(place.subject, top.subject);
            let group: Vec<Place<'_>> = places.iter().filter(inside).cloned().collect();
            quantities.push(self.group(Wanted { measure: &measure, kind, period }, &group)?);
        }
        Ok((!quantities.is_empty()).then(|| Quantity::sum(quantities)))
    }

    /// Whether the plant has a meter or a fact, of whatever period, for a quantity.
    pub(crate) fn has(&self, subject: &SubjectId, flow: Flow, kind: &EnergyKind) -> bool {
        !self.places(subject, flow, kind).is_empty()
    }

    /// The subject and those in it that have meters or facts for a quantity.
    fn places(&self, subject: &SubjectId, flow: Flow, kind: &EnergyKind) -> Vec<Place<'_>> {
        let measure = Measure::Energy(flow, kind.id.clone());
        let meters = self.meters_of(subject, flow, kind);
        let mut places = Vec::new();
        for part in self.plant.subjects.iter().filter(|one| self.plant.is_within(&one.id, subject))
        {
            let here = meters.iter().copied().filter(|meter| meter.subject == part.id);
            let here: Vec<&Meter> = here.collect();
            if !here.is_empty() || self.facts.has(&part.id, &measure) {
                places.push(Place { subject: &part.id, meters: here });
            }
        }
        places
    }

    /// The meters that count a flow of a kind for a subject: of meters behind one another the first alone.
    fn meters_of(&self, subject: &SubjectId, flow: Flow, kind: &EnergyKind) -> Vec<&Meter> {
        let counts = |meter: &&Meter| {
            let role = match flow {
                Flow::Purchased => meter.role == MeterRole::Incoming,
                Flow::Consumed => matches!(meter.role, MeterRole::Incoming | MeterRole::Sub),
                Flow::Generated => meter.role == MeterRole::Generated,
                Flow::Own => meter.role == MeterRole::Own,
                Flow::OpeningStock | Flow::ClosingStock => false,
                Flow::Exported => meter.role == MeterRole::Export,
            };
            role && meter.energy_kind == kind.id && self.plant.is_within(&meter.subject, subject)
        };
        let all: Vec<&Meter> = self.plant.meters.iter().filter(counts).collect();
        all.iter()
            .copied()
            .filter(|meter| {
                let mut above = meter.parent.as_ref();
                while let Some(id) = above {
                    if all.iter().any(|other| other.id == *id) {
                        return false;
                    }
                    above = self.plant.meter(id).and_then(|meter| meter.parent.as_ref());
                }
                true
            })
            .collect()
    }
}
