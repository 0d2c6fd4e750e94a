//! Registers that are set back to zero by the calendar, such as a machine's counter of the day: when the next reset is due,
//! and whether one lies between two readings. Must never take a fall at another time for a reset.
//!
//! The meter's clock is not the plant's, so a reset is looked for [`TOLERANCE_MICROS`] around the midnight that it is due
//! at; where the readings show the fall, that is when it took place.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::Timestamp;
use serde::Serialize;

use crate::coefficient::words;
use crate::validate::Point;

/// How far the clock of a meter may be off for its fall to count as the reset that was due.
pub const TOLERANCE_MICROS: i64 = 5 * 60 * 1_000_000;

words! {
    /// How often a register is set back to zero.
    ResetInterval {
        /// At each midnight.
        Daily "daily",
        /// At the midnight that begins a month.
        Monthly "monthly",
    }
}

/// When a meter's register is set back to zero: at midnight of the plant's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resets {
    /// How often.
    pub interval: ResetInterval,
    /// Whose midnight.
    pub time_zone: TimeZone,
}

/// A reset between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reset {
    /// The midnight that it was due at.
    pub(crate) due: Timestamp,
    /// From when on the register is taken to count from zero: not before the first reading, not after the second.
    pub(crate) at: Timestamp,
}

/// What two readings say of a reset between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// None was due.
    None,
    /// One took place.
    Reset(Reset),
    /// One was due and the register shows no less than before: whether it took place, and so what was counted, cannot be
    /// told from the readings alone.
    Unclear(Reset),
}

impl Resets {
    /// What the calendar says of the step from one reading to a later one.
    ///
    /// 96 at 23:59, 2 at 00:01 → reset at 00:00; 96 at 20:00, 2 at 20:01 → none.
    pub(crate) fn between(&self, from: Point, to: Point) -> Crossing {
        let falls = to.1 < from.1;
        if to.1 < 0 {
            return Crossing::None;
        }
        // A step that hides a fall is as long as the whole tolerance: most are not, and the calendar is not asked.
        if !falls && to.0.micros_since(from.0) < 2 * TOLERANCE_MICROS {
            return Crossing::None;
        }
        let newest = if falls { to.0 } else { shifted(to.0, -TOLERANCE_MICROS) };
        let Some((due, next)) = self.around(newest) else { return Crossing::None };
        if !falls {
            if shifted(due, -TOLERANCE_MICROS) < from.0 {
                return Crossing::None;
            }
            let reset = Reset { due, at: due };
            return if from.1 == 0 { Crossing::Reset(reset) } else { Crossing::Unclear(reset) };
        }
        let due = if from.0 < shifted(due, TOLERANCE_MICROS) {
            due
        } else if to.0 > shifted(next, -TOLERANCE_MICROS) {
            next
        } else {
            return Crossing::None;
        };
        let at = if due < to.0 {
            due.max(from.0)
        } else if to.1 == 0 {
            to.0
        } else {
            // The meter's clock is fast.
            shifted(due, -TOLERANCE_MICROS).max(from.0)
        };
        Crossing::Reset(Reset { due, at })
    }

    /// The newest due time that is not after `at`, and the one after it.
    fn around(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let day = local(at, &self.time_zone)?.date();
        let (first, next) = match self.interval {
            ResetInterval::Daily => (day, day.tomorrow().ok()?),
            ResetInterval::Monthly => (day.first_of_month(), day.last_of_month().tomorrow().ok()?),
        };
        let midnight = |day: Date| {
            let midnight = day.to_zoned(self.time_zone.clone()).ok()?;
            Some(Timestamp(midnight.timestamp().as_microsecond()))
        };
        Some((midnight(first)?, midnight(next)?))
    }
}

impl Reset {
    /// The first instant at which its fall counts as this reset.
    pub(crate) fn opens(self) -> Timestamp {
        shifted(self.due, -TOLERANCE_MICROS)
    }

    /// The last one.
    pub(crate) fn closes(self) -> Timestamp {
        shifted(self.due, TOLERANCE_MICROS)
    }
}

/// A time in a zone; `None` outside the calendar.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> Option<jiff::Zoned> {
    Some(jiff::Timestamp::from_microsecond(at.0).ok()?.to_zoned(zone.clone()))
}

fn shifted(at: Timestamp, by: i64) -> Timestamp {
    Timestamp(at.0.saturating_add(by))
}
