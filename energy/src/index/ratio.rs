//! Whether the register itself shows a change of ratio. Other transformers make the same load rise by another number of units: a
//! register that goes on as before, while the plant file multiplies it by ten, was probably multiplied wrongly or since the
//! wrong time. A slip of less than [`TIMES_MIN`], or in a ratio that holds for ever, no reading can tell.

use jiff::tz::TimeZone;
use model::{Localized, Timestamp, text};

use super::Index;
use crate::number::Number;
use crate::period::{Span, local_text};

/// Changes of ratio that are looked at: from this many times on, up or down.
const TIMES_MIN: i128 = 3;
/// A load may be so many times another a day later.
const LOAD_TIMES_MAX: i128 = 2;
/// How long the register is looked at on both sides.
const SIDE_MICROS: i64 = 24 * 3_600 * 1_000_000;
const SECOND_MICROS: i64 = 1_000_000;

impl Index {
    /// Notes for changes of ratio inside a time that the register does not show.
    pub(crate) fn ratio_notes(&self, span: Span, zone: &TimeZone) -> Vec<Localized> {
        let changes = self.register.ratios.windows(2).filter_map(|pair| match pair {
            [(_, old), (Some(at), new)] if span.from <= *at && *at < span.to => {
                self.is_not_shown(*at, *old, *new).then_some((*at, *old, *new))
            }
            _ => None,
        });
        let number = |ratio| Number::new(ratio, i64::from(self.register.ratio_exponent));
        let note = |(at, old, new): (Timestamp, i128, i128)| {
            let (at, old, new) = (local_text(at, zone), number(old), number(new));
            text!(
                en: "the ratio changes from {old} to {new} at {at}, and the register goes on rising as before: check `ct`, `pt` and `from`",
                zh: "倍率于 {at} 由 {old} 变为 {new}，而表码走势不变：请核对 `ct`、`pt` 与 `from`",
            )
        };
        changes.map(note).collect()
    }

    /// Whether a change of ratio is a large one and the register rises on both sides of it at about the same rate.
    fn is_not_shown(&self, at: Timestamp, old: i128, new: i128) -> bool {
        let large = new >= old.saturating_mul(TIMES_MIN) || old >= new.saturating_mul(TIMES_MIN);
        let beside = |other: Timestamp| self.register.ratio_at(other);
        let (from, to) = (
            Timestamp(at.0.saturating_sub(SIDE_MICROS)),
            Timestamp(at.0.saturating_add(SIDE_MICROS)),
        );
        // Another change close by makes the rates another matter.
        if !large || beside(from) != old || beside(to) != new {
            return false;
        }
        let rate = |from, to, ratio: i128| {
            let (start, end) = self.ends(Span { from, to })?;
            let seconds = end.border.instant(to).micros_since(start.border.instant(from));
            let seconds = i128::from(seconds / SECOND_MICROS);
            // Units of the register an hour, in thousandths.
            let rise = (end.value - start.value).checked_mul(3_600_000)?;
            rise.checked_div(ratio)?.checked_div(seconds)
        };
        let (Some(before), Some(after)) = (rate(from, at, old), rate(at, to, new)) else {
            return false;
        };
        before > 0
            && after > 0
            && before <= after.saturating_mul(LOAD_TIMES_MAX)
            && after <= before.saturating_mul(LOAD_TIMES_MAX)
    }
}
