//! The index of one meter over time, and the energy of periods and 15-minute slots as differences of it. A pure
//! function of the *set* of readings, the meter's events and its ratio history (INV-7). Must never spread energy over a
//! gap.

use model::{Timestamp, Unit};
use serde::Serialize;

use crate::id::MeterId;
use crate::number::Number;
use crate::period::Span;
use crate::plant::Meter;
use crate::put_aside::{PutAside, Runs};
use crate::readings::{MeterReadings, ReadingCounts, ReadingsError, Register};
use crate::validate::{Knot, Step, interpolate};

mod builder;
pub(crate) mod cadence;
mod events;
mod falls;
mod found;
mod gap;
pub(crate) mod plausible;
mod ratio;
mod segment;

pub use builder::{Finished, IndexBuilder, Learned, NotUsed};
pub use events::{EventFinding, Shown, Verdict};
pub use falls::DailyFalls;
pub use found::ReadingsFound;
pub use gap::{GapCause, OpenGap};
pub use plausible::{Bound, BoundSource, OWN_RATE_TIMES, QUARTERS_MIN};
pub use segment::Segment;

/// Length of a slot.
pub const SLOT_MICROS: i64 = 15 * 60 * 1_000_000;
/// Longest time between two readings around a slot border for the border to count as read: a slot, and five minutes for
/// a poll that is late. Two slots would hide a missing reading.
pub const NEIGHBOURS_MAX_MICROS: i64 = SLOT_MICROS + 5 * 60 * 1_000_000;

/// How far a quantity can be traced to readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Differences of readings.
    Metered,
    /// With a rollover derived from the modulus.
    Rollover,
    /// With an index interpolated over a gap.
    Estimated,
    /// Declared by a person.
    Declared,
    /// Declared as a forecast, or with a part that is one.
    Assumed,
    /// Of several classes.
    Mixed,
}

impl Class {
    /// The class of a sum.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, same) if one == same => one,
            (Self::Assumed, _) | (_, Self::Assumed) => Self::Assumed,
            (Self::Metered, Self::Rollover) | (Self::Rollover, Self::Metered) => Self::Rollover,
            _ => Self::Mixed,
        }
    }
}

/// Which share of what was expected is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Slots of the period with a reading at both borders, less those that a register was not read in before it was set
    /// back, or months declared.
    pub covered: u64,
    /// Slots or months of the period.
    pub expected: u64,
}

impl Coverage {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.covered >= self.expected
    }

    /// In percent, one digit after the point, rounded down: what is not full is never printed as 100.
    #[must_use]
    pub fn percent(self) -> String {
        let permille = self.covered.saturating_mul(1000) / self.expected.max(1);
        format!("{}.{}", permille / 10, permille % 10)
    }

    /// The smaller share of two: a figure is covered no better than its worst part.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let left = u128::from(self.covered) * u128::from(other.expected.max(1));
        let right = u128::from(other.covered) * u128::from(self.expected.max(1));
        if left <= right { self } else { other }
    }
}

/// Where the index at the end of a period comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// A reading at that very instant.
    Exact {
        /// The instant.
        #[serde(serialize_with = "crate::serial::text")]
        at: Timestamp,
    },
    /// Interpolated between readings at most [`NEIGHBOURS_MAX_MICROS`] apart.
    Neighbours {
        /// The reading before.
        #[serde(serialize_with = "crate::serial::text")]
        before: Timestamp,
        /// The reading after.
        #[serde(serialize_with = "crate::serial::text")]
        after: Timestamp,
    },
    /// Interpolated over a gap: estimated.
    Interpolated {
        /// The reading before.
        #[serde(serialize_with = "crate::serial::text")]
        before: Timestamp,
        /// The reading after.
        #[serde(serialize_with = "crate::serial::text")]
        after: Timestamp,
    },
    /// The register was set back to zero at that instant. What it showed before is its last reading.
    Reset {
        /// The instant.
        #[serde(serialize_with = "crate::serial::text")]
        at: Timestamp,
        /// The last reading before it.
        #[serde(serialize_with = "crate::serial::text")]
        before: Timestamp,
    },
    /// No index at the instant: the energy begins or ends at the nearest reading inside the period.
    Clipped {
        /// That reading.
        #[serde(serialize_with = "crate::serial::text")]
        at: Timestamp,
    },
}

impl Border {
    /// When the index is of, for an end of a period at `at`.
    fn instant(self, at: Timestamp) -> Timestamp {
        if let Self::Clipped { at } = self { at } else { at }
    }
}

/// The energy of a meter in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeriodEnergy {
    /// Energy in the meter's unit, over what is known; `None` when nothing is (INV-8).
    pub energy: Option<Number>,
    /// How it was found.
    pub class: Class,
    /// Whether it is the whole period's: an index at both ends, no open gap between, and nothing that a register counted
    /// unread before it was set back.
    pub complete: bool,
    /// Slots read against slots of the period.
    pub coverage: Coverage,
    /// Where the first index comes from.
    pub start: Option<Border>,
    /// The register there, as shown.
    pub start_reading: Option<Number>,
    /// Where the last index comes from.
    pub end: Option<Border>,
    /// The register there, as shown.
    pub end_reading: Option<Number>,
    /// How often the register went through its modulus inside.
    pub rollovers: u64,
    /// How often it was set back to zero inside, as the plant file's `resets` says.
    pub resets: u64,
    /// Time between the last readings before those resets and the resets, in microseconds: what the register counted
    /// then nobody read, and the energy is without it.
    pub unread_before_resets_us: i64,
    /// Open gaps inside.
    pub open_gaps: Vec<OpenGap>,
    /// Energy between two readings across slots that have none: known as a sum, not spread.
    pub in_gaps: Option<Number>,
    /// Where there is no energy, what readings there are all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<ReadingsFound>,
}

/// The energy of a meter in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its first instant.
    pub from: Timestamp,
    /// Digits of energy at [`Index::exponent`]; `None` is a gap, never zero (INV-8).
    pub energy: Option<i128>,
    /// How it was found; of a gap, nothing.
    pub class: Option<Class>,
}

/// The validated index of one meter.
#[derive(Debug, Clone)]
pub struct Index {
    meter: MeterId,
    unit: Unit,
    register: Register,
    interpolation_max_micros: i64,
    counts: ReadingCounts,
    not_used: Vec<NotUsed>,
    put_aside: Runs,
    findings: Vec<EventFinding>,
    bound: Option<Bound>,
    /// Longest time between two readings for what lies between to be covered, of a register that is read seldom.
    seldom_max_micros: Option<i64>,
    knots: Vec<Knot>,
}

/// An index at an instant.
#[derive(Clone, Copy)]
struct At {
    value: i128,
    raw: i128,
    /// What the register showed up to the instant; another number only where a meter was replaced.
    raw_before: i128,
    border: Border,
}

impl At {
    fn of(knot: &Knot, border: Border) -> Self {
        Self { value: knot.value, raw: knot.raw, raw_before: knot.raw_before, border }
    }
}

impl Index {
    /// Validates the readings of a meter.
    ///
    /// # Errors
    /// When the readings are not of this meter's unit or do not fit its numbers.
    pub fn build(
        meter: &Meter,
        interpolation_max_micros: i64,
        readings: &MeterReadings,
    ) -> Result<Self, ReadingsError> {
        if readings.unit != meter.unit {
            let (expected, found) = (meter.unit, readings.unit);
            return Err(ReadingsError::Unit { meter: meter.id.clone(), expected, found });
        }
        let mut sorted = readings.readings.clone();
        sorted.sort_by_key(|reading| reading.time);
        let begin = || {
            let (exponent, modulus) = (readings.exponent, readings.modulus);
            IndexBuilder::new(meter, interpolation_max_micros, exponent, modulus)
        };
        let of = |builder: IndexBuilder<'_>| {
            let mut builder = builder.keeping_all();
            for reading in &sorted {
                builder.push(*reading);
            }
            builder.finish()
        };
        let learned = match of(begin()?) {
            Finished::Index(index) => return Ok(*index),
            Finished::Again(learned) => learned,
        };
        match of(begin()?.knowing(learned)) {
            Finished::Index(index) => Ok(*index),
            Finished::Again(_) => unreachable!("what is known is not learned again"),
        }
    }

    /// Whose index it is.
    #[must_use]
    pub fn meter(&self) -> &MeterId {
        &self.meter
    }

    /// The unit of its energies.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The power of ten of its digits of energy.
    #[must_use]
    pub fn exponent(&self) -> i32 {
        self.register.exponent()
    }

    /// The reading at which the register starts again from zero, as the plant file or the device profile states it, in
    /// the meter's unit before the ratio.
    #[must_use]
    pub fn modulus(&self) -> Option<Number> {
        self.register.modulus.map(|modulus| self.reading(modulus))
    }

    /// How its readings were dealt with.
    #[must_use]
    pub fn counts(&self) -> ReadingCounts {
        self.counts
    }

    /// Readings of the time that the builder was told of that were not used for their quality.
    #[must_use]
    pub fn not_used(&self) -> &[NotUsed] {
        &self.not_used
    }

    /// Readings that are no energy and reach into a time, by runs.
    #[must_use]
    pub fn put_aside(&self, span: Span) -> Vec<PutAside> {
        self.put_aside.within(span).cloned().collect()
    }

    /// Replacements of a time that the readings do not fit where they were typed.
    #[must_use]
    pub fn findings(&self, span: Span) -> Vec<EventFinding> {
        self.findings.iter().filter(|one| one.touches(span)).cloned().collect()
    }

    /// The most that its energy can rise in an hour, as it was stated or found; a step beyond it is an open gap.
    #[must_use]
    pub fn bound(&self) -> Option<&Bound> {
        self.bound.as_ref()
    }

    /// Digits of energy as a number in the meter's unit.
    #[must_use]
    pub fn number(&self, digits: i128) -> Number {
        Number::new(digits, i64::from(self.exponent()))
    }

    fn reading(&self, raw: i128) -> Number {
        Number::new(raw, i64::from(self.register.raw_exponent))
    }

    /// The energy of a period: the index at its end less that at its beginning.
    #[must_use]
    pub fn energy(&self, span: Span) -> PeriodEnergy {
        let slots = self.slots(span);
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let Inside { open_gaps, rollover, estimated: ratio_estimated, resets, unread_us, .. } =
            self.inside(span);
        let is_covered =
            |slot: &&Slot| slot.energy.is_some() || self.is_covered_seldom(slot.from, span.to);
        let covered = count(slots.iter().filter(is_covered).count());
        // Rounded up: what is not full is never shown as full.
        let unread_slots = unread_us.unsigned_abs().div_ceil(SLOT_MICROS.unsigned_abs());
        let covered = covered.saturating_sub(unread_slots);
        let coverage = Coverage { covered, expected: count(slots.len()) };
        let Some((start, end)) = self.ends(span) else {
            return PeriodEnergy {
                energy: None,
                class: Class::Metered,
                complete: false,
                coverage: Coverage { covered: 0, ..coverage },
                start: None,
                start_reading: None,
                end: None,
                end_reading: None,
                rollovers: 0,
                resets: 0,
                unread_before_resets_us: 0,
                open_gaps,
                in_gaps: None,
                found: self.found(span),
            };
        };
        let digits = end.value - start.value;
        let in_slots: i128 = slots.iter().filter_map(|slot| slot.energy).sum();
        let is = |wanted: fn(Border) -> bool| wanted(start.border) || wanted(end.border);
        let clipped = is(|border| matches!(border, Border::Clipped { .. }));
        let estimated = is(|border| matches!(border, Border::Interpolated { .. }));
        let base = if estimated || ratio_estimated { Class::Estimated } else { Class::Metered };
        PeriodEnergy {
            energy: Some(self.number(digits)),
            class: if rollover { base.and(Class::Rollover) } else { base },
            complete: !clipped && open_gaps.is_empty() && unread_us == 0,
            coverage,
            start: Some(start.border),
            start_reading: Some(self.reading(start.raw)),
            end: Some(end.border),
            end_reading: Some(self.reading(end.raw_before)),
            rollovers: self.segments(span).iter().map(|segment| segment.rollovers).sum(),
            resets,
            unread_before_resets_us: unread_us,
            open_gaps,
            in_gaps: Some(self.number(digits - in_slots)),
            found: None,
        }
    }

    /// The index at both ends of what is known of a period.
    ///
    /// One reading alone, none, or nothing but an open gap says nothing about energy: null, not zero (INV-8, R4).
    fn ends(&self, span: Span) -> Option<(At, At)> {
        let (start, end) = (self.border(span.from, true)?, self.border(span.to, false)?);
        let any = start.border.instant(span.from) < end.border.instant(span.to);
        (any && self.inside(span).known).then_some((start, end))
    }

    /// The slots of a period, from its first instant on.
    #[must_use]
    pub fn slots(&self, span: Span) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut from = span.from;
        let mut before = self.read_at(from);
        while from < span.to {
            let to = Timestamp(from.0.saturating_add(SLOT_MICROS)).min(span.to);
            let after = self.read_at(to);
            let inside = self.inside(Span { from, to });
            let energy = match (before, after) {
                (Some(before), Some(after)) if inside.open_gaps.is_empty() => {
                    Some(after.value - before.value)
                }
                _ => None,
            };
            let base = if inside.estimated { Class::Estimated } else { Class::Metered };
            let class = if inside.rollover { base.and(Class::Rollover) } else { base };
            slots.push(Slot { from, energy, class: energy.map(|_| class) });
            (from, before) = (to, after);
        }
        slots
    }

    /// The index at an instant for a slot: read there, or between near neighbours.
    fn read_at(&self, at: Timestamp) -> Option<At> {
        self.at(at).filter(|found| !matches!(found.border, Border::Interpolated { .. }))
    }

    /// The index at an instant, where readings on both sides are not too far apart.
    fn at(&self, at: Timestamp) -> Option<At> {
        let after = self.knots.partition_point(|knot| knot.time <= at);
        let before = *self.knots.get(after.checked_sub(1)?)?;
        if let Some(unread_us) =
            before.reset.filter(|unread_us| before.time == at && *unread_us > 0)
        {
            let border = Border::Reset { at, before: Timestamp(at.0.saturating_sub(unread_us)) };
            return Some(At::of(&before, border));
        }
        if before.time == at && !before.estimated {
            let border = Border::Exact { at };
            return Some(At::of(&before, border));
        }
        // Knots that were put in for a change of ratio are no readings: look past them for the neighbours.
        let next = *self.knots.get(after)?;
        let (first, last) = self.neighbours(after)?;
        let gap = last.micros_since(first);
        if next.step == Step::Unknown || gap > self.interpolation_max_micros {
            return None;
        }
        let part = interpolate(before.raw, next.rise, before.time, next.time, at);
        let border = if gap <= NEIGHBOURS_MAX_MICROS {
            Border::Neighbours { before: first, after: last }
        } else {
            Border::Interpolated { before: first, after: last }
        };
        let value = before.value + part * next.ratio;
        let raw = self.register.shown(before.raw + part, next.step);
        let raw_before = if before.time == at { before.raw_before } else { raw };
        Some(At { value, raw, raw_before, border })
    }

    /// Times of the readings on either side of the step that ends at knot `after`.
    fn neighbours(&self, after: usize) -> Option<(Timestamp, Timestamp)> {
        let read = |knot: &&Knot| !knot.estimated;
        let first = self.knots.get(..after)?.iter().rev().find(read)?;
        let last = self.knots.get(after..)?.iter().find(read)?;
        Some((first.time, last.time))
    }

    /// The index at an end of a period, else at the nearest reading inside it.
    fn border(&self, at: Timestamp, start: bool) -> Option<At> {
        if let Some(found) = self.at(at) {
            return Some(found);
        }
        let after = self.knots.partition_point(|knot| knot.time <= at);
        let knot =
            if start { self.knots.get(after)? } else { self.knots.get(after.checked_sub(1)?)? };
        Some(At::of(knot, Border::Clipped { at: knot.time }))
    }

    /// What lies in a span.
    fn inside(&self, span: Span) -> Inside {
        let first = self.knots.partition_point(|knot| knot.time <= span.from).max(1);
        let mut found = Inside::default();
        let Some(mut before) = self.knots.get(first - 1) else {
            return found;
        };
        for knot in self.knots.get(first..).unwrap_or_default() {
            if before.time >= span.to {
                break;
            }
            match knot.step {
                Step::Unknown => found.open_gaps.push(self.gap(before, knot)),
                Step::Rollover => found.rollover = true,
                Step::Rise => {}
            }
            found.known |= knot.step != Step::Unknown;
            found.estimated |= knot.estimated && knot.reset.is_none() && knot.time < span.to;
            if let Some(unread_us) = knot.reset.filter(|_| knot.time <= span.to) {
                found.resets += 1;
                found.unread_us = found.unread_us.saturating_add(unread_us);
            }
            before = knot;
        }
        found
    }
}

/// What lies in a span, or touches it.
#[derive(Default)]
struct Inside {
    open_gaps: Vec<OpenGap>,
    /// Whether any of it was derived from the modulus.
    rollover: bool,
    /// Whether an index inside was interpolated for a change of ratio.
    estimated: bool,
    /// Whether any energy inside is known.
    known: bool,
    /// How often the register was set back to zero, and the time before that no reading covers.
    resets: u64,
    unread_us: i64,
}

#[cfg(test)]
mod tests;
