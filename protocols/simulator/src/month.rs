//! Calendar months of the plant, from midnight to midnight at UTC+8.

use std::fmt;

use jiff::civil::{Date, date};
use jiff::tz::Offset;
use model::Timestamp;

/// China keeps one time for all its provinces, and no summer time since 1991.
const OFFSET: Offset = Offset::constant(8);

/// A month of the plant's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The last month that is over.
    #[must_use]
    pub fn last_complete(now: Timestamp) -> Self {
        let now = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
        let today = OFFSET.to_datetime(now).date();
        Self { year: today.year(), month: today.month() }.before()
    }

    /// The month before.
    #[must_use]
    pub fn before(self) -> Self {
        match self.month {
            1 => Self { year: self.year - 1, month: 12 },
            month => Self { month: month - 1, ..self },
        }
    }

    /// Its year.
    #[must_use]
    pub fn year(self) -> i16 {
        self.year
    }

    /// Its first instant.
    #[must_use]
    pub fn from(self) -> Timestamp {
        midnight(date(self.year, self.month, 1))
    }

    /// The first instant of the next month.
    #[must_use]
    pub fn to(self) -> Timestamp {
        let last = date(self.year, self.month, 1).last_of_month();
        midnight(last.tomorrow().unwrap_or(last))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

fn midnight(day: Date) -> Timestamp {
    let instant = OFFSET.to_timestamp(day.to_datetime(jiff::civil::Time::midnight()));
    Timestamp(instant.map_or(0, jiff::Timestamp::as_microsecond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_at_midnight_in_china() {
        let check = |now: i64, name: &str, from: i64, to: i64| {
            let month = Month::last_complete(Timestamp(now * 1_000_000));
            assert_eq!(month.to_string(), name);
            assert_eq!(
                (month.from().0 / 1_000_000, month.to().0 / 1_000_000),
                (from, to),
                "{name}"
            );
        };
        check(1_795_433_401, "2026-10", 1_790_784_000, 1_793_462_400);
        // 2026-12-31T23:59:59+08:00 and one second later.
        check(1_798_732_799, "2026-11", 1_793_462_400, 1_796_054_400);
        check(1_798_732_800, "2026-12", 1_796_054_400, 1_798_732_800);
    }
}
