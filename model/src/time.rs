//! Points in time as microseconds, so that every store we know holds them exactly.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00 UTC, without leap seconds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Earliest source time that every store admits: 1970-01-01.
    pub const MIN: Self = Self(0);
    /// Latest source time that every store admits: 2200-01-01.
    pub const MAX: Self = Self(7_258_118_400_000_000);

    /// From milliseconds since the epoch; stays at the ends of the range.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whether every store admits this time as a source time.
    #[must_use]
    pub fn is_storable(self) -> bool {
        (Self::MIN..=Self::MAX).contains(&self)
    }

    /// Whether the clock of a host may stand here: from 2026-01-01, before this program was written, to 2035-01-01. One outside
    /// was never set, or is broken.
    #[must_use]
    pub fn is_plausible_now(self) -> bool {
        (1_767_225_600_000_000..2_051_222_400_000_000).contains(&self.0)
    }

    /// Microseconds from `earlier` to `self`; negative when `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601 in UTC, to the microsecond: `2018-01-01T00:00:00.000000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1_000_000);
        let micros = self.0.rem_euclid(1_000_000);
        let day_seconds = seconds.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
            day_seconds / 3_600,
            day_seconds / 60 % 60,
            day_seconds % 60
        )
    }
}

/// Proleptic Gregorian date of a day counted from 1970-01-01; years start in March, so a leap day ends its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_iso_8601_in_utc() {
        let check = |micros: i64, text: &str| assert_eq!(Timestamp(micros).to_string(), text);
        check(0, "1970-01-01T00:00:00.000000Z");
        check(1_514_732_400_000_000, "2017-12-31T15:00:00.000000Z");
        check(951_782_400_000_001, "2000-02-29T00:00:00.000001Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(Timestamp::MAX.0, "2200-01-01T00:00:00.000000Z");
    }

    #[test]
    fn every_time_has_a_text() {
        assert_eq!(Timestamp(i64::MIN).to_string(), "-290308-12-21T19:59:05.224192Z");
        assert_eq!(Timestamp(i64::MAX).to_string(), "294247-01-10T04:00:54.775807Z");
    }

    #[test]
    fn milliseconds_round_down_and_stay_in_range() {
        assert_eq!(Timestamp::from_millis(5), Timestamp(5_000));
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp(i64::MAX));
        assert_eq!(Timestamp(-1).as_millis(), -1);
        assert_eq!(Timestamp(1_999).as_millis(), 1);
        assert_eq!(Timestamp(5).micros_since(Timestamp(7)), -2);
        assert_eq!(Timestamp(i64::MIN).micros_since(Timestamp(1)), i64::MIN);
    }

    #[test]
    fn a_store_admits_1970_to_2200() {
        assert!(Timestamp::MIN.is_storable() && Timestamp::MAX.is_storable());
        assert!(!Timestamp(Timestamp::MIN.0 - 1).is_storable());
        assert!(!Timestamp(Timestamp::MAX.0 + 1).is_storable());
    }
}
