//! Which knots of a slot stay: those that its borders and events need, and the ends of a step that stands out, so that a
//! jump keeps the readings on both of its sides. Works on whole slots, so that what stays does not depend on where a
//! chunk of readings ended (INV-7).

use model::Timestamp;

use super::{Knot, Step};
use crate::index::SLOT_MICROS;

/// A step stands out that is more than this many times everything else in its slot, …
const STANDS_OUT_TIMES: i128 = 4;
/// … and more than this many units of the register: a slow register steps by one or two.
const STANDS_OUT_UNITS_MIN: i128 = 16;

/// Joins the rises inside slots, from the knot at `from` on, which is the first of its slot; the newest slot only when it
/// is the last. Says at which knot to go on.
pub(crate) fn merge(knots: &mut Vec<Knot>, from: usize, last: bool) -> usize {
    let mut kept = from;
    let mut at = from;
    while let Some(first) = knots.get(at) {
        let slot = slot_of(first.time);
        let rest = knots.get(at..).unwrap_or_default();
        let end = at + rest.partition_point(|knot| slot_of(knot.time) == slot);
        if end == knots.len() && !last {
            break;
        }
        let standing_out = stands_out(knots.get(at..end).unwrap_or_default()).map(|step| at + step);
        for index in at..end {
            let knot = knots[index];
            let ends_it = standing_out.is_some_and(|step| index == step || index + 1 == step);
            let before = kept.checked_sub(1).and_then(|before| knots.get(before)).copied();
            match (before, knots.get_mut(index + 1)) {
                (Some(before), Some(next)) if !ends_it && joins(&before, &knot, next) => {
                    next.rise += knot.rise;
                }
                _ => {
                    knots[kept] = knot;
                    kept += 1;
                }
            }
        }
        at = end;
    }
    knots.drain(kept..at);
    kept
}

pub(crate) fn slot_of(time: Timestamp) -> i64 {
    time.0.div_euclid(SLOT_MICROS)
}

/// The step between two knots of one slot that stands out, by the position of its second knot.
fn stands_out(knots: &[Knot]) -> Option<usize> {
    let rises = || knots.iter().enumerate().skip(1).filter(|(_, knot)| knot.step == Step::Rise);
    let (at, largest) = rises().max_by_key(|(_, knot)| knot.rise)?;
    let all: i128 = rises().map(|(_, knot)| knot.rise).sum();
    let others = all - largest.rise;
    let enough = largest.rise > STANDS_OUT_UNITS_MIN;
    (enough && largest.rise > others.saturating_mul(STANDS_OUT_TIMES)).then_some(at)
}

/// Whether a knot between two others of its slot tells nothing that they do not.
fn joins(before: &Knot, knot: &Knot, next: &Knot) -> bool {
    let goes_on = |one: &Knot| one.raw == one.raw_before && one.reset.is_none();
    let plain = |one: &Knot| one.step == Step::Rise && !one.estimated && goes_on(one);
    slot_of(before.time) == slot_of(next.time)
        && plain(knot)
        && plain(next)
        && !before.estimated
        // The first reading of a new meter stays: until then its energy rests on what was typed.
        && goes_on(before)
        && knot.ratio == next.ratio
}
