//! Periods a figure is about: a year, a month, a day or a run of days of the plant's calendar. Must never ask what day it
//! is.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use model::Timestamp;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// First year of a period. What was declared of a year needs no time zone data, and statistics of works go back that far.
pub const YEAR_MIN: i16 = 1900;
/// First year that is too late for a period.
const YEAR_END: i16 = 2200;

/// A text that is not a period.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a period: expected a year `2018`, a month `2018-01` or a day `2018-01-31` from {YEAR_MIN} to {}",
    YEAR_END - 1
)]
pub struct PeriodError {
    /// What was given.
    pub text: String,
}

/// A calendar period of the plant, from local midnight to local midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A year.
    Year(i16),
    /// A month of a year, 1 to 12.
    Month(i16, i8),
    /// A day.
    Day(Date),
    /// The days from the first to the last, both in it; only [`Period::between`] makes them.
    Days(Date, Date),
}

/// Times of a period: the first belongs to it, the second to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First instant.
    #[serde(serialize_with = "crate::serial::text")]
    pub from: Timestamp,
    /// First instant after it.
    #[serde(serialize_with = "crate::serial::text")]
    pub to: Timestamp,
}

/// A time as people of the plant read it, to the second where it has seconds: `2026-11-28 19:29:39`.
#[must_use]
pub fn local_text(at: Timestamp, zone: &TimeZone) -> String {
    let Some(local) = crate::resets::local(at, zone) else { return at.to_string() };
    let format = if at.0 % 60_000_000 == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    local.strftime(format).to_string()
}

impl Period {
    /// The days from `first` up to, but not including, `after`: a year, a month or a day where they are one.
    ///
    /// `2023-01-01, 2023-04-01` → `2023-01..2023-03`
    #[must_use]
    pub fn between(first: Date, after: Date) -> Self {
        let whole =
            [Self::Year(first.year()), Self::Month(first.year(), first.month()), Self::Day(first)];
        let found = whole.into_iter().find(|one| one.days() == (first, after));
        found.unwrap_or_else(|| Self::Days(first, after.yesterday().unwrap_or(first)))
    }

    /// First day, and the first day after it.
    #[must_use]
    pub fn days(self) -> (Date, Date) {
        let month_after = |year: i16, month: i8| {
            if month == 12 { date(year + 1, 1, 1) } else { date(year, month + 1, 1) }
        };
        let next = |day: Date| day.tomorrow().expect("years are checked to lie below 2200");
        match self {
            Self::Year(year) => (date(year, 1, 1), date(year + 1, 1, 1)),
            Self::Month(year, month) => (date(year, month, 1), month_after(year, month)),
            Self::Day(day) => (day, next(day)),
            Self::Days(first, last) => (first, next(last)),
        }
    }

    /// The instants between which it lies in a time zone.
    #[must_use]
    pub fn span(self, zone: &TimeZone) -> Span {
        let instant = |day: Date| {
            let midnight = day.to_zoned(zone.clone());
            let midnight = midnight.expect("the first instant of a day from 1900 to 2200 exists");
            Timestamp(midnight.timestamp().as_microsecond())
        };
        let (first, after) = self.days();
        Span { from: instant(first), to: instant(after) }
    }

    /// The year it lies in.
    #[must_use]
    pub fn year(self) -> i16 {
        self.days().0.year()
    }

    /// The months of a year, and of a run of days that is made of whole months; nothing for a month, a day or other days.
    #[must_use]
    pub fn months(self) -> Vec<Self> {
        let (first, after) = self.days();
        if matches!(self, Self::Month(..) | Self::Day(_)) || (first.day(), after.day()) != (1, 1) {
            return Vec::new();
        }
        let starts = std::iter::successors(Some(first), |day| {
            Some(Self::Month(day.year(), day.month()).days().1)
        });
        let inside = starts.take_while(|day| *day < after);
        inside.map(|day| Self::Month(day.year(), day.month())).collect()
    }
}

impl Span {
    /// The beginnings of months inside it, without its own ends.
    #[must_use]
    pub(crate) fn months_begin(self, zone: &TimeZone) -> Vec<Timestamp> {
        let mut found = Vec::new();
        let mut day = crate::resets::local(self.from, zone).map(|from| from.date());
        while let Some(next) = day.and_then(|day| day.last_of_month().tomorrow().ok()) {
            let Ok(begin) = next.to_zoned(zone.clone()) else { break };
            let begin = Timestamp(begin.timestamp().as_microsecond());
            if begin >= self.to {
                break;
            }
            found.push(begin);
            day = Some(next);
        }
        found
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let wrong = || PeriodError { text: text.to_owned() };
        if let Some(range) = range(text) {
            return range;
        }
        let digits = |part: &str, length: usize| -> Option<i16> {
            let plain = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        let parts: Vec<&str> = text.split('-').collect();
        let (year, rest) = parts.split_first().ok_or_else(wrong)?;
        let year =
            digits(year, 4).filter(|year| (YEAR_MIN..YEAR_END).contains(year)).ok_or_else(wrong)?;
        let two: Vec<i8> = rest
            .iter()
            .map(|part| digits(part, 2).and_then(|value| i8::try_from(value).ok()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        match two.as_slice() {
            [] => Ok(Self::Year(year)),
            [month] if (1..=12).contains(month) => Ok(Self::Month(year, *month)),
            [month, day] => Date::new(year, *month, *day).map(Self::Day).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// A quarter `2025-Q1`, or a range of years, months or days with both ends in it; `None` where the text is neither.
fn range(text: &str) -> Option<Result<Period, PeriodError>> {
    let wrong = || PeriodError { text: text.to_owned() };
    let joined = |first: Period, last: Period| {
        let ((begin, _), (_, after)) = (first.days(), last.days());
        let same_kind = std::mem::discriminant(&first) == std::mem::discriminant(&last);
        let ordered = first.days() <= last.days();
        (same_kind && ordered).then(|| Period::between(begin, after)).ok_or_else(wrong)
    };
    if let Some((first, last)) = text.split_once("..") {
        let plain = |text: &str| text.parse().ok().filter(|one| !matches!(one, Period::Days(..)));
        let Some((first, last)) = plain(first).zip(plain(last)) else { return Some(Err(wrong())) };
        return Some(joined(first, last));
    }
    let (year, quarter) = text.split_once("-Q")?;
    let months = match quarter {
        "1" => (1, 3),
        "2" => (4, 6),
        "3" => (7, 9),
        "4" => (10, 12),
        _ => return Some(Err(wrong())),
    };
    let Ok(Period::Year(year)) = year.parse() else { return Some(Err(wrong())) };
    Some(joined(Period::Month(year, months.0), Period::Month(year, months.1)))
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Year(year) => write!(f, "{year:04}"),
            Self::Month(year, month) => write!(f, "{year:04}-{month:02}"),
            Self::Day(day) => write!(f, "{day}"),
            Self::Days(first, last) => match self.months().as_slice() {
                [first, .., last] => write!(f, "{first}..{last}"),
                _ => write!(f, "{first}..{last}"),
            },
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for text in
            ["2018", "2018-01", "2018-12", "2018-01-31", "2024-02-29", "1900", "1959", "1970-12"]
        {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in
            ["", "18", "2018-1", "2018-13", "2018-00", "2018-02-29", "2018-01-01-01", "1899"]
        {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn starts_at_local_midnight() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let span = "2018".parse::<Period>().unwrap().span(&seoul);
        assert_eq!(span.from.to_string(), "2017-12-31T15:00:00.000000Z");
        assert_eq!(span.to.to_string(), "2018-12-31T15:00:00.000000Z");
    }

    #[test]
    fn a_run_of_days_is_named_by_its_months_where_it_is_made_of_them() {
        let check = |first: &str, after: &str, name: &str, months: usize| {
            let period = Period::between(first.parse().unwrap(), after.parse().unwrap());
            assert_eq!((period.to_string().as_str(), period.months().len()), (name, months));
            assert_eq!(period.days(), (first.parse().unwrap(), after.parse().unwrap()));
        };
        check("2023-01-01", "2024-01-01", "2023", 12);
        check("2023-02-01", "2023-03-01", "2023-02", 0);
        check("2023-01-31", "2023-02-01", "2023-01-31", 0);
        check("2023-01-01", "2023-04-01", "2023-01..2023-03", 3);
        check("2022-12-01", "2023-02-01", "2022-12..2023-01", 2);
        check("2023-01-02", "2024-01-01", "2023-01-02..2023-12-31", 0);
    }

    #[test]
    fn quarters_and_ranges_are_periods() {
        for (text, name, months) in [
            ("2025-Q1", "2025-01..2025-03", 3),
            ("2025-Q4", "2025-10..2025-12", 3),
            ("2025-01..2025-06", "2025-01..2025-06", 6),
            ("2025-01..2025-12", "2025", 12),
            ("2025-04..2025-04", "2025-04", 0),
            ("2024-11..2025-02", "2024-11..2025-02", 4),
            ("2024..2025", "2024-01..2025-12", 24),
            ("2025-01-02..2025-01-09", "2025-01-02..2025-01-09", 0),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.to_string().as_str(), period.months().len()), (name, months));
            assert_eq!(period.to_string().parse(), Ok(period));
        }
        for text in ["2025-Q5", "2025-Q", "2025-01-Q1", "2025-06..2025-01", "2025-01..", "..2025"]
            .into_iter()
            .chain(["2024..2025-01", "2025-01..2025-03..2025-04", "2025-Q1..2025-Q2"])
        {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    /// Local time was that of the sun before 1901, and the span is a year of instants all the same.
    #[test]
    fn a_year_before_1971_has_a_span() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        for year in ["1900", "1959", "1970"] {
            let span = year.parse::<Period>().unwrap().span(&shanghai);
            let days = span.to.micros_since(span.from) / 86_400_000_000;
            assert!((364..=366).contains(&days), "{year}: {days}");
        }
    }

    /// R12: the days on which Asia/Shanghai changed its clocks have 92 and 100 slots of 15 minutes.
    #[test]
    fn r12() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        let slots = |text: &str| {
            let span = text.parse::<Period>().unwrap().span(&shanghai);
            span.to.micros_since(span.from) / 900_000_000
        };
        assert_eq!(slots("1991-04-14"), 92);
        assert_eq!(slots("1991-09-15"), 100);
        assert_eq!(slots("1991-09-16"), 96);
    }
}
