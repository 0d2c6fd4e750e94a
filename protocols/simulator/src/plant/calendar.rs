//! The plant's clock on the wall: 15-minute slots, days, weekdays and shifts at UTC+8.

use model::Timestamp;

/// Microseconds of a slot.
pub(crate) const SLOT_MICROS: i64 = 900_000_000;
/// Slots of a day.
pub(super) const SLOTS_PER_DAY: i64 = 96;
/// 2025-01-01T00:00+08:00, where all registers stand at zero. A Wednesday.
pub(super) const EPOCH: Timestamp = Timestamp(1_735_660_800_000_000);
/// After so many slots, thirty years, the plant stands still: a clock that jumps far must not make the tables endless.
pub(super) const SLOTS_MAX: i64 = 30 * 366 * SLOTS_PER_DAY;

/// A slot, counted from the epoch; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) i64);

impl Slot {
    /// The slot of a time and how far into it the time is, in microseconds.
    pub(super) fn of(at: Timestamp) -> (Self, i64) {
        let since = at.micros_since(EPOCH).clamp(0, SLOTS_MAX * SLOT_MICROS);
        (Self(since / SLOT_MICROS), since % SLOT_MICROS)
    }

    /// Days since the epoch.
    pub(super) const fn day(self) -> i64 {
        self.0 / SLOTS_PER_DAY
    }

    /// Monday is 0.
    pub(super) const fn weekday(self) -> i64 {
        (self.day() + 2) % 7
    }

    /// Quarters of an hour since midnight.
    pub(super) const fn of_day(self) -> i64 {
        self.0 % SLOTS_PER_DAY
    }

    /// The full hour since midnight.
    pub(super) const fn hour(self) -> i64 {
        self.of_day() / 4
    }

    /// Two shifts on working days, one on Saturdays, with breaks for meals.
    pub(super) fn in_two_shifts(self) -> bool {
        let meal = matches!(self.of_day(), 48 | 49 | 78 | 79);
        let hours = match self.weekday() {
            0..=4 => 8..24,
            5 => 8..16,
            _ => return false,
        };
        hours.contains(&self.hour()) && !meal
    }

    /// Round the clock from Monday to Saturday, with a quarter of an hour at each change of shift.
    pub(super) fn in_three_shifts(self) -> bool {
        self.weekday() != 6 && self.of_day() % 32 != 0
    }

    /// Office hours.
    pub(super) fn in_office_hours(self) -> bool {
        self.weekday() < 5 && (7..19).contains(&self.hour())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_days_and_shifts() {
        // 2026-11-23T19:11:23+08:00, a Monday.
        let (slot, into) = Slot::of(Timestamp(1_795_432_283_000_000));
        assert_eq!((slot.day(), slot.weekday(), slot.of_day()), (691, 0, 76));
        assert_eq!(into, 683_000_000);
        assert!(slot.in_two_shifts() && slot.in_three_shifts() && !slot.in_office_hours());
        let sunday = Slot(slot.0 - SLOTS_PER_DAY);
        assert!(!sunday.in_two_shifts() && !sunday.in_three_shifts());
    }

    #[test]
    fn before_the_epoch_and_after_thirty_years_time_stands_still() {
        assert_eq!(Slot::of(Timestamp(0)), (Slot(0), 0));
        assert_eq!(Slot::of(Timestamp::MAX), (Slot(SLOTS_MAX), 0));
    }
}
