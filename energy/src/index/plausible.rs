//! Whether a step of the register is plausible where the plant file states no bound: what a register rose by is compared
//! with what the same register does otherwise. An implausible step is an open gap.
//!
//! The bound is made from all steps after a walk without one, so it is a function of the set of readings (INV-7). Where a step
//! is beyond it, the readings are walked over again with the bound, since what is no way can then be told from what is:
//!
//! - *Rate*: rise after the ratio ÷ time between the readings, the time being at least a quarter of an hour. Registers that
//!   are refreshed seldom and polled often, or that count in coarse units, would else show rates that nothing has.
//! - *Own rate*: the third highest rate of a quarter of an hour. One jump, or some minutes of a wrong word order during
//!   commissioning, are in one or two quarters and do not raise it; a batch that runs for 45 minutes in the whole time does.
//! - *Bound*: [`OWN_RATE_TIMES`] × the own rate. What passes in a quarter of an hour is at most five hours of the highest
//!   load, which is less than 1 % of a month. Not below [`floor`]: below that, a meter in standby may start anything.
//! - With fewer than [`QUARTERS_MIN`] quarters that rose, the register's own rates tell nothing: only what no meter counts
//!   ([`largest`]) is implausible.
//!
//! 60 kWh an hour all day, then 800 000 kWh within 15 minutes → bound 1 200 kWh an hour, open gap.
//! 2 kW all night, 500 kW from six o'clock on → bound 10 000 kWh an hour, all counted.

use std::collections::BTreeMap;

use model::unit::Dimension;
use model::{Decimal, Timestamp, Unit};
use serde::Serialize;

use super::SLOT_MICROS;
use crate::number::Number;
use crate::readings::Register;
use crate::validate::merge::{merge, slot_of};
use crate::validate::{HOUR_MICROS, Knot, Step};

/// How many times the register's own rate is still plausible.
pub const OWN_RATE_TIMES: i128 = 20;
/// Which of the highest rates is the own rate, from 0 on.
const OWN_RATE_RANK: usize = 2;
/// Fewest quarters of an hour in which the register rose for its rates to tell anything.
pub const QUARTERS_MIN: usize = 8;

/// Where a bound comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundSource {
    /// `rise_per_hour_max` in the plant file.
    Stated,
    /// Twenty times what the register itself rises by in an hour.
    OwnRates,
    /// The least that is taken for a bound: the register's own rates are small.
    Floor,
    /// What no meter counts: too little is known of the register's own rates.
    Largest,
}

/// The most that the energy of a meter can rise in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// In the meter's unit after the ratio.
    pub per_hour: Number,
    /// Where it comes from.
    pub source: BoundSource,
    /// The rate that the register reached in three quarters of an hour, per hour in the meter's unit after the ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_rate: Option<Number>,
}

/// A bound in digits of energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    per_hour: i128,
    source: BoundSource,
    own_rate: Option<i128>,
}

/// Base units (J, m³, kg …) per hour below which no rate of a quantity is implausible: for energy about what a feeder of 400 A
/// at 0.4 kV carries (83.1 kWh in 15 minutes, worked example R5).
fn floor(dimension: Dimension) -> i128 {
    match dimension {
        Dimension::Energy => 1_200_000_000,
        Dimension::ReactiveEnergy | Dimension::ApparentEnergy => 333_000,
        Dimension::Volume => 100,
        Dimension::Mass => 10_000,
        Dimension::Count => 1_000,
        Dimension::Time => 7_200,
        _ => 0,
    }
}

/// Base units per hour that no meter of a plant counts: 1 GW, a million m³ or 100 000 t an hour.
fn largest(dimension: Dimension) -> Option<i128> {
    match dimension {
        Dimension::Energy => Some(3_600_000_000_000),
        Dimension::ReactiveEnergy | Dimension::ApparentEnergy => Some(1_000_000_000),
        Dimension::Volume => Some(1_000_000),
        Dimension::Mass => Some(100_000_000),
        _ => None,
    }
}

/// Base units as digits at an exponent, rounded up.
fn digits(base: i128, unit: Unit, exponent: i32) -> i128 {
    let Decimal { mantissa, exponent: power } = unit.factor();
    let power = i32::from(power) + exponent;
    let ten = |power: i32| 10_i128.saturating_pow(power.unsigned_abs());
    let (over, under) = if power >= 0 {
        (base, i128::from(mantissa).saturating_mul(ten(power)))
    } else {
        (base.saturating_mul(ten(power)), i128::from(mantissa))
    };
    over.saturating_add(under - 1).div_euclid(under.max(1))
}

impl Limit {
    /// The bound of a register whose readings were walked over; `None` where nothing is known of what it counts.
    pub(crate) fn of(knots: &[Knot], register: &Register, unit: Unit) -> Option<Self> {
        let at = |base| digits(base, unit, register.exponent());
        if let Some(per_hour) = register.rise_per_hour_max {
            return Some(Self { per_hour, source: BoundSource::Stated, own_rate: None });
        }
        let Some(own_rate) = own_rate(knots) else {
            let per_hour = at(largest(unit.dimension())?);
            return Some(Self { per_hour, source: BoundSource::Largest, own_rate: None });
        };
        let (own, floor) = (own_rate.saturating_mul(OWN_RATE_TIMES), at(floor(unit.dimension())));
        let source = if own >= floor { BoundSource::OwnRates } else { BoundSource::Floor };
        Some(Self { per_hour: own.max(floor), source, own_rate: Some(own_rate) })
    }

    /// Whether the register can have risen by so much. One unit of the register is always possible: a slow register steps
    /// at once.
    pub(crate) fn allows(&self, rise: i128, ratio: i128, micros: i64) -> bool {
        let energy = (rise - 1).max(0).saturating_mul(ratio);
        let micros = i128::from(micros.max(SLOT_MICROS));
        energy.saturating_mul(HOUR_MICROS) <= self.per_hour.saturating_mul(micros)
    }

    /// As it is printed.
    pub(crate) fn bound(&self, register: &Register) -> Bound {
        let number = |digits| Number::new(digits, i64::from(register.exponent()));
        let own_rate = self.own_rate.map(number);
        Bound { per_hour: number(self.per_hour), source: self.source, own_rate }
    }
}

/// Whether a meter was exchanged at a knot: its indexes were typed, they are no reading.
fn is_event(knot: &Knot) -> bool {
    knot.raw != knot.raw_before && knot.reset.is_none()
}

/// The third highest rate per hour among quarters of an hour in which the register rose; `None` where they are too few.
fn own_rate(knots: &[Knot]) -> Option<i128> {
    let mut merged = knots.to_vec();
    merge(&mut merged, 0, true);
    let mut rates: BTreeMap<i64, i128> = BTreeMap::new();
    for pair in merged.windows(2) {
        let [before, knot] = pair else { continue };
        let energy = knot.value - before.value;
        if knot.step == Step::Unknown || energy <= 0 || is_event(before) || is_event(knot) {
            continue;
        }
        let micros = knot.time.micros_since(before.time).max(SLOT_MICROS);
        let rate = energy.saturating_mul(HOUR_MICROS) / i128::from(micros);
        let of_slot = rates.entry(slot_of(knot.time)).or_default();
        *of_slot = rate.max(*of_slot);
    }
    let mut rates: Vec<i128> = rates.into_values().collect();
    if rates.len() < QUARTERS_MIN {
        return None;
    }
    rates.sort_unstable_by(|one, other| other.cmp(one));
    rates.get(OWN_RATE_RANK).copied()
}

/// The steps that a bound from the register's own rates does not allow, by the times of their ends. A bound that is stated
/// was looked at during the walk.
pub(super) fn refused(knots: &[Knot], limit: &Limit) -> Vec<(Timestamp, Timestamp)> {
    if limit.source == BoundSource::Stated {
        return Vec::new();
    }
    let mut merged = knots.to_vec();
    merge(&mut merged, 0, true);
    let steps = merged.windows(2).filter_map(|pair| match pair {
        [before, knot] if knot.step != Step::Unknown => {
            let micros = knot.time.micros_since(before.time);
            let fits = limit.allows(knot.rise, knot.ratio, micros);
            (!fits).then_some((before.time, knot.time))
        }
        _ => None,
    });
    steps.collect()
}

/// Makes open gaps of steps. Each may have been joined of several.
pub(super) fn refuse(knots: &mut Vec<Knot>, refused: Vec<(Timestamp, Timestamp)>) {
    let mut refused = refused.into_iter().peekable();
    if refused.peek().is_none() {
        return;
    }
    let mut kept: Vec<Knot> = Vec::with_capacity(knots.len());
    // What was counted so far and is not any more.
    let mut taken_off = 0;
    for mut knot in knots.drain(..) {
        while refused.next_if(|(_, to)| *to < knot.time).is_some() {}
        match refused.peek() {
            Some((from, to)) if *from < knot.time && knot.time < *to => continue,
            Some((_, to)) if knot.time == *to => {
                let before = kept.last().map_or(0, |before| before.value);
                taken_off = knot.value - before;
                (knot.step, knot.rise, knot.implausible) = (Step::Unknown, 0, true);
            }
            _ => {}
        }
        knot.value -= taken_off;
        kept.push(knot);
    }
    *knots = kept;
}
