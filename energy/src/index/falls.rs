//! Falls of a register that come back at the same time of the day. Must never change an index: whether they are resets the
//! plant file says.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use model::Timestamp;

use super::{Index, Step};
use crate::resets::{TOLERANCE_MICROS, local};

/// A fall to at most this part of what the register showed is one to near zero.
const NEAR_ZERO_PART: i128 = 10;
/// Longest time between the readings on both sides of a fall for its time of the day to be known.
const FALL_MICROS_MAX: i64 = 2 * 3_600 * 1_000_000;
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// A register that fell to near zero on several days at one time of the day, each time leaving an open gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyFalls {
    /// The time of the day of the first reading after the first of them.
    pub time: Time,
    /// Whether it is midnight, as far as readings and the meter's clock tell.
    pub at_midnight: bool,
}

struct Fall {
    day: Date,
    time: Time,
    at_midnight: bool,
}

impl Index {
    /// Whether the register falls to near zero at the same time of the day on two days or more.
    #[must_use]
    pub fn daily_falls(&self, zone: &TimeZone) -> Option<DailyFalls> {
        let pairs = self.knots.windows(2).filter_map(|pair| match pair {
            [before, after] if after.step == Step::Unknown => Some((before, after)),
            _ => None,
        });
        let near_zero = pairs.filter(|(before, after)| {
            after.raw >= 0
                && after.raw.saturating_mul(NEAR_ZERO_PART) <= before.raw
                && before.raw > 0
        });
        let falls: Vec<Fall> =
            near_zero.filter_map(|(before, after)| fall(before.time, after.time, zone)).collect();
        let days_at = |at: &Fall| {
            let mut days: Vec<Date> = falls
                .iter()
                .filter(|one| apart(one.time, at.time) <= 2 * TOLERANCE_MICROS)
                .map(|one| one.day)
                .collect();
            days.dedup();
            days.len()
        };
        let first = falls.iter().find(|one| days_at(one) > 1)?;
        Some(DailyFalls { time: first.time, at_midnight: first.at_midnight })
    }
}

/// A fall between two readings; `None` where they are too far apart to tell its time.
fn fall(before: Timestamp, after: Timestamp, zone: &TimeZone) -> Option<Fall> {
    if after.micros_since(before) > FALL_MICROS_MAX {
        return None;
    }
    let early = local(Timestamp(before.0.saturating_sub(TOLERANCE_MICROS)), zone)?.date();
    let late = local(Timestamp(after.0.saturating_add(TOLERANCE_MICROS)), zone)?.date();
    let at = local(after, zone)?;
    Some(Fall { day: at.date(), time: at.time(), at_midnight: early != late })
}

/// Microseconds between two times of the day, across midnight where that is shorter.
fn apart(one: Time, other: Time) -> i64 {
    let micros = |time: Time| {
        let seconds = i64::from(time.hour()) * 3_600
            + i64::from(time.minute()) * 60
            + i64::from(time.second());
        seconds * 1_000_000
    };
    let direct = (micros(one) - micros(other)).abs();
    direct.min(DAY_MICROS - direct)
}
