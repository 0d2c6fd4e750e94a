//! Which source gives a quantity: the meter or the clerk. Exactly one enters a total, the other is kept and shown
//! (INV-8). Must never convert into coal equivalent.

use std::collections::BTreeMap;

use model::{CommitNumber, PointId, Unit};
use serde::Serialize;
use thiserror::Error;

use crate::fact::{Declared, Fact, Facts, Flow, Measure, Source};
use crate::id::{MeterId, SubjectId};
use crate::index::{Class, Coverage, Index, PeriodEnergy, Segment};
use crate::number::Number;
use crate::period::{Period, Span};
use crate::plant::{EnergyKind, Meter, MeterRole, Plant, RatioChange, Replacement};
use crate::readings::{MeterReadings, ReadingCounts, ReadingsError};

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
    /// How its readings were dealt with.
    pub readings: ReadingCounts,
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
    pub reason: String,
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
        }
    }

    pub(crate) fn declared(declared: &Declared<'_>) -> Self {
        let coverage = Coverage { covered: declared.months, expected: declared.months_expected };
        Self {
            value: Some(declared.value()),
            class: Class::Declared,
            complete: declared.is_complete(),
            coverage,
            declared: declared.facts.iter().map(|fact| (*fact).clone()).collect(),
            ..Self::unknown()
        }
    }

    /// The sum of quantities; unknown when there is none.
    fn sum(quantities: impl IntoIterator<Item = Self>) -> Self {
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
        let meters = self.meters_of(subject, flow, kind);
        let mut given: Vec<(&SubjectId, Quantity)> = Vec::new();
        for part in &self.plant.subjects {
            if !self.plant.is_within(&part.id, subject) {
                continue;
            }
            let here: Vec<&Meter> =
                meters.iter().copied().filter(|meter| meter.subject == part.id).collect();
            if let Some(quantity) = self.at(&part.id, &measure, kind, &here, period) {
                given.push((&part.id, quantity));
            }
        }
        self.one_level(&measure, period, given)
    }

    /// Lets each quantity in once where a subject and one inside it both have it.
    fn one_level(
        &self,
        measure: &Measure,
        period: Period,
        mut given: Vec<(&SubjectId, Quantity)>,
    ) -> Result<Option<Quantity>, SourceError> {
        let declared = |quantity: &Quantity| quantity.class == Class::Declared;
        let mut shown = Vec::new();
        while let Some((upper, lower)) = self.nested(&given, declared) {
            let inside = |(id, _): &&(&SubjectId, Quantity)| {
                **id != *given[upper].0 && self.plant.is_within(id, given[upper].0)
            };
            let below: Vec<Quantity> =
                given.iter().filter(inside).map(|(_, quantity)| quantity.clone()).collect();
            let metered = below.iter().all(|quantity| !declared(quantity));
            if !(metered && declared(&given[upper].1)) {
                return Err(SourceError::TwoLevels {
                    measure: measure.clone(),
                    period,
                    upper: given[upper].0.clone(),
                    lower: given[lower].0.clone(),
                });
            }
            let (id, over) = (given[upper].0, given[upper].1.clone());
            let reason = over.declared.iter().find_map(|fact| fact.override_reason.clone());
            let under = Quantity::sum(below);
            let kept: Vec<_> = given
                .iter()
                .filter(|(one, _)| match reason {
                    Some(_) => !self.plant.is_within(one, id) || *one == id,
                    None => *one != id,
                })
                .cloned()
                .collect();
            shown.extend(compare(id, period, &under, &over, reason.as_deref()));
            given = kept;
        }
        if given.is_empty() {
            return Ok(None);
        }
        let mut sum = Quantity::sum(given.into_iter().map(|(_, quantity)| quantity));
        sum.not_counted.extend(shown);
        Ok(Some(sum))
    }

    /// Positions of two quantities, one inside the other, of which one was declared.
    fn nested(
        &self,
        given: &[(&SubjectId, Quantity)],
        declared: impl Fn(&Quantity) -> bool,
    ) -> Option<(usize, usize)> {
        let pairs = (0..given.len()).flat_map(|a| (0..given.len()).map(move |b| (a, b)));
        pairs.into_iter().find(|&(upper, lower)| {
            upper != lower
                && self.plant.is_within(given[lower].0, given[upper].0)
                && (declared(&given[upper].1) || declared(&given[lower].1))
        })
    }

    /// The meters that count a flow of a kind for a subject: of meters behind one another the first alone.
    fn meters_of(&self, subject: &SubjectId, flow: Flow, kind: &EnergyKind) -> Vec<&Meter> {
        let counts = |meter: &&Meter| {
            let role = match flow {
                Flow::Purchased => meter.role == MeterRole::Incoming,
                Flow::Consumed => matches!(meter.role, MeterRole::Incoming | MeterRole::Sub),
                Flow::Own => meter.role == MeterRole::Own,
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

    /// The quantity at one subject: month by month where months were declared, else as a whole.
    fn at(
        &self,
        subject: &SubjectId,
        measure: &Measure,
        kind: &EnergyKind,
        meters: &[&Meter],
        period: Period,
    ) -> Option<Quantity> {
        let declared = self.facts.declared(subject, measure, period);
        let by_month = declared.as_ref().is_some_and(|found| found.months_expected > 1);
        if meters.is_empty() {
            if let Some(declared) = declared {
                return Some(Quantity::declared(&declared));
            }
            return self.facts.has(subject, measure).then(Quantity::unknown);
        }
        if by_month {
            return Some(self.by_month(subject, measure, kind, meters, period));
        }
        let metered = self.metered(kind, meters, period.span(&self.plant.time_zone));
        Some(choose(subject, period, metered, declared.as_ref()))
    }

    /// Months that were declared one by one; the months between them as one span, so that no index inside it is needed.
    fn by_month(
        &self,
        subject: &SubjectId,
        measure: &Measure,
        kind: &EnergyKind,
        meters: &[&Meter],
        period: Period,
    ) -> Quantity {
        let mut parts = Vec::new();
        let mut run: Option<Span> = None;
        for month in period.months() {
            let span = month.span(&self.plant.time_zone);
            match self.facts.declared(subject, measure, month) {
                None => {
                    let from = run.map_or(span.from, |run| run.from);
                    run = Some(Span { from, to: span.to });
                }
                declared => {
                    parts.extend(run.take().map(|run| self.metered(kind, meters, run)));
                    let metered = self.metered(kind, meters, span);
                    parts.push(choose(subject, month, metered, declared.as_ref()));
                }
            }
        }
        parts.extend(run.map(|run| self.metered(kind, meters, run)));
        Quantity::sum(parts)
    }

    /// The sum of meters.
    fn metered(&self, kind: &EnergyKind, meters: &[&Meter], span: Span) -> Quantity {
        Quantity::sum(meters.iter().map(|meter| {
            let index = self.meters.index(&meter.id);
            let energy = index.map(|index| index.energy(span));
            let factor = kind.factor_from(meter.unit).unwrap_or_else(Number::zero);
            let known = energy.as_ref().and_then(|energy| energy.energy.as_ref());
            Quantity {
                value: known.map(|energy| energy * &factor),
                class: energy.as_ref().map_or(Class::Metered, |energy| energy.class),
                complete: energy.as_ref().is_some_and(|energy| energy.complete),
                coverage: energy
                    .as_ref()
                    .map_or(Coverage { covered: 0, expected: 1 }, |energy| energy.coverage),
                meters: vec![MeterPart {
                    meter: meter.id.clone(),
                    point: meter.point.value.clone(),
                    unit: meter.unit,
                    ratios: meter.ratios.clone(),
                    modulus: index.map_or(meter.modulus.map(Number::from), Index::modulus),
                    replacements: replacements_in(meter, span),
                    segments: index.map(|index| index.segments(span)).unwrap_or_default(),
                    span,
                    factor,
                    readings: index.map(Index::counts).unwrap_or_default(),
                    energy,
                }],
                ..Quantity::unknown()
            }
        }))
    }
}

fn replacements_in(meter: &Meter, span: Span) -> Vec<Replacement> {
    let inside = |one: &&Replacement| span.from <= one.at && one.at <= span.to;
    meter.replacements.iter().filter(inside).copied().collect()
}

/// Trap 25: metered enters the total, unless the declaration says why it overrides it.
fn choose(
    subject: &SubjectId,
    period: Period,
    metered: Quantity,
    declared: Option<&Declared<'_>>,
) -> Quantity {
    let Some(declared) = declared.map(Quantity::declared) else { return metered };
    if metered.value.is_none() {
        let meters = metered.meters;
        return Quantity { meters, ..declared };
    }
    let reason = declared.declared.iter().find_map(|fact| fact.override_reason.clone());
    let shown = compare(subject, period, &metered, &declared, reason.as_deref());
    let counted = if reason.is_some() { declared } else { metered };
    Quantity { not_counted: shown.into_iter().collect(), ..counted }
}

/// The source that does not count, with its difference from the one that does.
fn compare(
    subject: &SubjectId,
    period: Period,
    metered: &Quantity,
    declared: &Quantity,
    override_reason: Option<&str>,
) -> Option<NotCounted> {
    let (source, counted, other, reason) = match override_reason {
        None => (Source::Declared, metered, declared, "metered, and not overridden".to_owned()),
        Some(reason) => (Source::Metered, declared, metered, format!("overridden: {reason}")),
    };
    let (counted, value) = (counted.value.as_ref()?, other.value.clone()?);
    let difference = &value - counted;
    Some(NotCounted { source, subject: subject.clone(), period, value, difference, reason })
}
