//! The readings of one meter as the store gives them, and the register they are readings of. Must never know in which
//! order readings came: they are a set (INV-7).

use model::{Decimal, Generation, Quality, Sequence, Timestamp, Unit};
use thiserror::Error;

use crate::id::MeterId;
use crate::index::plausible::Limit;
use crate::plant::{Meter, RatioChange, Replacement};
use crate::resets::Resets;
use crate::validate::{HOUR_MICROS, ROLLOVER_PART, Step};

/// Powers of ten between the finest and the coarsest number of one meter: a mantissa of 64 bits times this many fits the
/// integers of 128.
const DIGITS_MAX: i32 = 18;

/// One row of the store for a meter's point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Source time.
    pub time: Timestamp,
    /// The register's digits, at the exponent of [`MeterReadings`].
    pub mantissa: i64,
    /// How far it can be trusted. Only Good readings count, since an Uncertain one may be the repetition of an old value;
    /// a meter may accept Uncertain ones. Others are counted as unusable.
    pub quality: Quality,
    /// Generation of the log it came by.
    pub generation: Generation,
    /// Sequence of the frame it came in.
    pub sequence: Sequence,
}

/// All rows of one meter for the time that is asked for, and one reading on either side of it where there is one. For more
/// of them than memory should hold there is [`crate::index::IndexBuilder`].
#[derive(Debug, Clone)]
pub struct MeterReadings {
    /// Which meter.
    pub meter: MeterId,
    /// The power of ten of the mantissas.
    pub exponent: i8,
    /// The unit of the point.
    pub unit: Unit,
    /// The modulus that the point's dictionary states, for a meter whose plant file states none.
    pub modulus: Option<Decimal>,
    /// The rows, in any order, with or without duplicates.
    pub readings: Vec<Reading>,
}

/// Readings that do not fit their meter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadingsError {
    /// No such meter.
    #[error("there is no meter `{meter}` in the plant file")]
    UnknownMeter {
        /// The meter.
        meter: MeterId,
    },
    /// The point is in another unit.
    #[error(
        "meter `{meter}`: expected readings in `{expected}` as its `unit` says, found `{found}`"
    )]
    Unit {
        /// The meter.
        meter: MeterId,
        /// What the plant file says.
        expected: Unit,
        /// What the point says.
        found: Unit,
    },
    /// Two statements about the modulus.
    #[error(
        "meter `{meter}`: its `modulus` is {expected}, the device profile says {found}; delete one or correct it"
    )]
    Modulus {
        /// The meter.
        meter: MeterId,
        /// What the plant file says.
        expected: Decimal,
        /// What the point says.
        found: Decimal,
    },
    /// The numbers of one meter lie too many powers of ten apart.
    #[error(
        "meter `{meter}`: its readings, ratios, modulus and replacements lie more than {DIGITS_MAX} powers of ten apart"
    )]
    Digits {
        /// The meter.
        meter: MeterId,
    },
}

/// How readings of one point and time that disagree, repeat or cannot be used were dealt with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadingCounts {
    /// Readings that the index is made of.
    pub used: u64,
    /// The same value at the same time again.
    pub duplicates: u64,
    /// Another value at the same time; the winner has the higher generation, then the higher sequence. Both stay in the
    /// store.
    pub conflicts: u64,
    /// Readings without a quality that counts.
    pub unusable: u64,
    /// Good readings that are off the register's way and come back to it: dips to zero, spikes.
    pub untrusted: u64,
    /// Good readings below zero, which no counter shows.
    pub below_zero: u64,
    /// Good readings that the plant file strikes out.
    pub struck: u64,
}

/// A register: how its readings become energy. All numbers are whole, at [`Register::raw_exponent`] before the ratio
/// and at [`Register::exponent`] after it.
#[derive(Debug, Clone)]
pub(crate) struct Register {
    pub(crate) raw_exponent: i32,
    pub(crate) ratio_exponent: i32,
    pub(crate) modulus: Option<i128>,
    /// Most rise per hour, after the ratio.
    pub(crate) rise_per_hour_max: Option<i128>,
    /// A bound from its own rates, where none is stated and a first pass over its readings showed that it is needed.
    pub(crate) limit: Option<Limit>,
    pub(crate) ratios: Vec<(Option<Timestamp>, i128)>,
    /// (when, last index of the old meter, first of the new).
    pub(crate) replacements: Vec<(Timestamp, i128, i128)>,
    pub(crate) resets: Option<Resets>,
}

impl Register {
    /// The register of a meter for readings at `exponent`.
    pub(crate) fn new(
        meter: &Meter,
        exponent: i8,
        modulus: Option<Decimal>,
    ) -> Result<Self, ReadingsError> {
        let modulus = match (meter.modulus, modulus) {
            (Some(expected), Some(found)) if expected.normalized() != found.normalized() => {
                let meter = meter.id.clone();
                return Err(ReadingsError::Modulus { meter, expected, found });
            }
            (stated, found) => stated.or(found),
        };
        let of = Self::of(
            exponent,
            modulus,
            meter.rise_per_hour_max,
            &meter.ratios,
            &meter.replacements,
        );
        let of = of.ok_or_else(|| ReadingsError::Digits { meter: meter.id.clone() })?;
        Ok(Self { resets: meter.resets.clone(), ..of })
    }

    fn of(
        exponent: i8,
        modulus: Option<Decimal>,
        rise: Option<Decimal>,
        ratios: &[RatioChange],
        replacements: &[Replacement],
    ) -> Option<Self> {
        let finest = |numbers: &mut dyn Iterator<Item = Decimal>| {
            numbers.map(|number| i32::from(number.normalized().exponent)).min()
        };
        let indexes = replacements.iter().flat_map(|one| [one.old_final, one.new_initial]);
        let raw = finest(&mut indexes.chain(modulus));
        let raw_exponent = raw.unwrap_or(0).min(i32::from(exponent));
        let ratio_exponent = finest(&mut ratios.iter().map(|one| one.ratio)).unwrap_or(0);
        let raw_at = |number: Decimal| at_exponent(number, raw_exponent);
        Some(Self {
            raw_exponent,
            ratio_exponent,
            modulus: modulus.map(|modulus| raw_at(modulus).ok_or(())).transpose().ok()?,
            rise_per_hour_max: rise
                .map(|rise| at_exponent_rounded_up(rise, raw_exponent + ratio_exponent)),
            ratios: ratios
                .iter()
                .map(|one| Some((one.from, at_exponent(one.ratio, ratio_exponent)?)))
                .collect::<Option<_>>()?,
            replacements: replacements
                .iter()
                .map(|one| Some((one.at, raw_at(one.old_final)?, raw_at(one.new_initial)?)))
                .collect::<Option<_>>()?,
            resets: None,
            limit: None,
        })
    }

    /// The power of ten of energies.
    pub(crate) fn exponent(&self) -> i32 {
        self.raw_exponent + self.ratio_exponent
    }

    /// The ratio in force from `time` on.
    pub(crate) fn ratio_at(&self, time: Timestamp) -> i128 {
        let in_force = self.ratios.iter().rev().find(|(from, _)| from.is_none_or(|f| f <= time));
        in_force.or(self.ratios.first()).map_or(1, |(_, ratio)| *ratio)
    }

    /// Whether the bound that is stated or that its own rates gave, where there is one, allows a rise; one unit of the
    /// register is always allowed, since a slow register steps at once.
    pub(crate) fn allows(&self, rise: i128, from: Timestamp, micros: i128) -> bool {
        let ratio = self.ratio_at(from);
        let Some(bound) = self.rise_per_hour_max else {
            let micros = i64::try_from(micros).unwrap_or(i64::MAX);
            return self.limit.is_none_or(|limit| limit.allows(rise, ratio, micros));
        };
        let energy = (rise - 1).max(0).saturating_mul(ratio);
        energy.saturating_mul(HOUR_MICROS) <= bound.saturating_mul(micros)
    }

    /// How far the last reading of an old meter may be above its final index as it was typed: people read whole units off a
    /// display.
    pub(crate) fn fraction(&self, typed: i128) -> i128 {
        let places = u32::try_from(-self.raw_exponent).unwrap_or(0);
        let unit = 10_i128.saturating_pow(places);
        if typed % unit == 0 { unit - 1 } else { 0 }
    }

    /// The last index of an old meter as it counts: 811 047.35 read, 811 047 typed → 811 047.35.
    pub(crate) fn final_index(&self, last: i128, typed: i128) -> i128 {
        if typed < last && last - typed <= self.fraction(typed) { last } else { typed }
    }

    /// By how much the register rose from one index to a later one, through its modulus where that is likely; `None` where
    /// it fell.
    pub(crate) fn rise(&self, from: i128, to: i128) -> Option<i128> {
        let direct = to - from;
        if direct >= 0 {
            return Some(direct);
        }
        let modulus = self.modulus.filter(|modulus| from < *modulus && to >= 0)?;
        let through = modulus + direct;
        let small = self.rise_per_hour_max.is_some() || through <= modulus / ROLLOVER_PART;
        small.then_some(through)
    }

    /// What the register shows where an index between two readings has been interpolated through its modulus.
    pub(crate) fn shown(&self, raw: i128, step: Step) -> i128 {
        match self.modulus {
            Some(modulus) if step == Step::Rollover && raw >= modulus => raw - modulus,
            _ => raw,
        }
    }

    /// Instants strictly between two times at which the ratio changes.
    pub(crate) fn changes_between(&self, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let changes = self.ratios.iter().filter_map(|(at, _)| *at);
        changes.filter(|at| from < *at && *at < to).collect()
    }
}

/// The digits of a number at an exponent not above its own.
fn at_exponent(number: Decimal, exponent: i32) -> Option<i128> {
    let number = number.normalized();
    if number.mantissa == 0 {
        return Some(0);
    }
    let digits = i32::from(number.exponent) - exponent;
    if !(0..=DIGITS_MAX).contains(&digits) {
        return None;
    }
    Some(i128::from(number.mantissa) * 10_i128.pow(digits.unsigned_abs()))
}

/// A bound may be stated to more digits than the register has; it is rounded up, so that nothing real is refused.
fn at_exponent_rounded_up(number: Decimal, exponent: i32) -> i128 {
    let number = number.normalized();
    let digits = i32::from(number.exponent) - exponent;
    let power = 10_i128.saturating_pow(digits.unsigned_abs());
    let mantissa = i128::from(number.mantissa);
    if digits >= 0 { mantissa.saturating_mul(power) } else { mantissa.div_euclid(power) + 1 }
}

/// By how much a digit of readings at `exponent` counts in a register; `None` when the digits do not fit.
pub(crate) fn power_of(exponent: i8, raw_exponent: i32) -> Option<i128> {
    let digits = i32::from(exponent) - raw_exponent;
    (0..=DIGITS_MAX).contains(&digits).then(|| 10_i128.pow(digits.unsigned_abs()))
}
