//! How often a register is read. A meter that is read each half hour or hour, as the national online monitoring allows, covers
//! its time as well as one that is read each quarter; its slots stay unknown, since energy is never spread.

use model::Timestamp;

use super::{Border, Index, NEIGHBOURS_MAX_MICROS, SLOT_MICROS};
use crate::number::Number;
use crate::period::Span;
use crate::validate::merge::merge;
use crate::validate::{Knot, Step};

/// The longest interval that a register may be read at for its time to be covered.
const CADENCE_MAX_MICROS: i64 = 4 * SLOT_MICROS;
/// How late a reading may be.
const LATE_MICROS: i64 = NEIGHBOURS_MAX_MICROS - SLOT_MICROS;
/// Fewest steps that tell how often a register is read.
const STEPS_MIN: usize = 8;

/// Energy between two readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Across {
    /// The reading before.
    pub(crate) from: Timestamp,
    /// The reading after.
    pub(crate) to: Timestamp,
    /// The energy between them, in the meter's unit.
    pub(crate) energy: Number,
}

/// The longest time between two readings of a register that is read seldom; `None` where it is read each quarter of an hour,
/// or more seldom than each hour.
pub(super) fn seldom(knots: &[Knot]) -> Option<i64> {
    // As the index that holds little has them.
    let mut merged = knots.to_vec();
    merge(&mut merged, 0, true);
    let read: Vec<Timestamp> =
        merged.iter().filter(|knot| !knot.estimated).map(|knot| knot.time).collect();
    let mut steps: Vec<i64> = read
        .windows(2)
        .filter_map(|pair| match pair {
            [before, after] => Some(after.micros_since(*before)),
            _ => None,
        })
        .collect();
    if steps.len() < STEPS_MIN {
        return None;
    }
    steps.sort_unstable();
    let median = *steps.get((steps.len() - 1) / 2)?;
    let seldom = NEIGHBOURS_MAX_MICROS < median && median <= CADENCE_MAX_MICROS + LATE_MICROS;
    seldom.then_some(median + LATE_MICROS)
}

impl Index {
    /// Whether the slot that begins at `from` lies between readings that are no further apart than this register is read.
    pub(super) fn is_covered_seldom(&self, from: Timestamp, end: Timestamp) -> bool {
        let Some(most) = self.seldom_max_micros else { return false };
        let to = Timestamp(from.0.saturating_add(SLOT_MICROS)).min(end);
        let covered = |at| match self.at(at).map(|found| found.border) {
            Some(Border::Interpolated { before, after }) => after.micros_since(before) <= most,
            Some(_) => true,
            None => false,
        };
        covered(from) && covered(to) && self.inside(Span { from, to }).open_gaps.is_empty()
    }

    /// What rests on the indexes that were typed for a replacement: the energy from the last reading of the old meter to the
    /// first one of the new meter.
    pub(crate) fn typed(&self, at: Timestamp) -> Option<Across> {
        let here = self.knots.partition_point(|knot| knot.time < at);
        let event = self.knots.get(here).filter(|knot| knot.time == at)?;
        let (before, after) = (self.knots.get(here.checked_sub(1)?)?, self.knots.get(here + 1)?);
        let known = event.step != Step::Unknown && after.step != Step::Unknown;
        let energy = || self.number(after.value - before.value);
        known.then(|| Across { from: before.time, to: after.time, energy: energy() })
    }

    /// Energy that a longer period holds and none of its parts: at an end of a part no index is known, since the readings
    /// around it are too far apart.
    pub(crate) fn across(&self, ends: &[Timestamp]) -> Vec<Across> {
        let mut found: Vec<Across> = Vec::new();
        for end in ends {
            let after = self.knots.partition_point(|knot| knot.time <= *end);
            let before = after.checked_sub(1).and_then(|before| self.knots.get(before));
            let (Some(before), Some(next)) = (before, self.knots.get(after)) else { continue };
            let known = next.step != Step::Unknown && self.at(*end).is_none();
            let energy = next.value - before.value;
            if known && energy != 0 && found.last().is_none_or(|last| last.to != next.time) {
                let energy = self.number(energy);
                found.push(Across { from: before.time, to: next.time, energy });
            }
        }
        found
    }
}
