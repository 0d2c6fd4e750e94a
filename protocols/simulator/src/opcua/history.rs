//! Which times a history read gets, page by page.
//!
//! # Source
//! OPC 10000-11 §6.5.3.2 (`ReadRawModifiedDetails`): from start to end, the end left out; two of start, end and number are
//! enough; an end before the start reads backward; more than the number is continued by a continuation point.

use async_opcua::types::{DateTime, ReadRawModifiedDetails, StatusCode};
use model::Timestamp;

use super::Grid;

/// Values in a page at most, however many are asked for: answers stay far below the message limits of clients.
pub(super) const PAGE_MAX: usize = 1_000;

/// Ticks of 100 ns from 1601-01-01 to 1970-01-01.
const TICKS_TO_1970: i64 = 116_444_736_000_000_000;
const TICKS_PER_MICROSECOND: i64 = 10;

/// What is left to be read; kept behind a continuation point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The next time wanted.
    next: Timestamp,
    /// The time that is wanted no more; read backward when it lies before `next`.
    end: Timestamp,
    backward: bool,
    page: usize,
}

impl Span {
    /// What a client asks for.
    pub(super) fn asked(details: &ReadRawModifiedDetails) -> Result<Self, StatusCode> {
        if details.is_read_modified || details.return_bounds {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        }
        let number = usize::try_from(details.num_values_per_node).unwrap_or(PAGE_MAX);
        let page = if number == 0 { PAGE_MAX } else { number.min(PAGE_MAX) };
        let time = |time: &DateTime| (!time.is_null()).then(|| from_date_time(time));
        let (next, end, backward) = match (time(&details.start_time), time(&details.end_time)) {
            // Equal ends ask for the value at exactly this time.
            (Some(start), Some(end)) if start == end => (start, Timestamp(end.0 + 1), false),
            (Some(start), Some(end)) => (start, end, end < start),
            (Some(start), None) if number > 0 => (start, Timestamp::MAX, false),
            (None, Some(end)) if number > 0 => (end, Timestamp(i64::MIN), true),
            _ => return Err(StatusCode::BadHistoryOperationInvalid),
        };
        Ok(Self { next, end, backward, page })
    }

    /// The times of the next page, and what is left after it.
    pub(super) fn page(self, grid: &Grid, now: Timestamp) -> (Vec<Timestamp>, Option<Self>) {
        let mut times = Vec::with_capacity(self.page);
        let mut next = self.step(grid, self.next);
        while let Some(time) = next {
            if self.is_over(time, now) {
                break;
            }
            if times.len() == self.page {
                return (times, Some(Self { next: time, ..self }));
            }
            times.push(time);
            next = if self.backward {
                grid.at_or_before(Timestamp(time.0 - 1))
            } else {
                Some(grid.after(time))
            };
        }
        (times, None)
    }

    fn step(&self, grid: &Grid, at: Timestamp) -> Option<Timestamp> {
        if self.backward { grid.at_or_before(at) } else { Some(grid.at_or_after(at)) }
    }

    fn is_over(&self, time: Timestamp, now: Timestamp) -> bool {
        if self.backward { time <= self.end } else { time >= self.end || time > now }
    }

    /// Reading backward begins no later than now.
    pub(super) fn until(self, now: Timestamp) -> Self {
        if self.backward { Self { next: self.next.min(now), ..self } } else { self }
    }
}

/// Into the time of OPC UA.
pub(super) fn to_date_time(time: Timestamp) -> DateTime {
    DateTime::from(time.0.saturating_mul(TICKS_PER_MICROSECOND).saturating_add(TICKS_TO_1970))
}

/// From the time of OPC UA, rounded down.
fn from_date_time(time: &DateTime) -> Timestamp {
    Timestamp(time.ticks().saturating_sub(TICKS_TO_1970).div_euclid(TICKS_PER_MICROSECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const GRID: Grid = Grid {
        from: Timestamp(0),
        live_from: Timestamp(1_000 * SECOND),
        coarse: 100 * SECOND,
        fine: 10 * SECOND,
    };
    const NOW: Timestamp = Timestamp(1_025 * SECOND);

    fn asked(start: Option<i64>, end: Option<i64>, number: u32) -> Result<Span, StatusCode> {
        let time = |seconds: Option<i64>| {
            seconds.map_or_else(DateTime::null, |s| to_date_time(Timestamp(s * SECOND)))
        };
        Span::asked(&ReadRawModifiedDetails {
            start_time: time(start),
            end_time: time(end),
            num_values_per_node: number,
            ..ReadRawModifiedDetails::default()
        })
    }

    fn check(start: Option<i64>, end: Option<i64>, number: u32, pages: &[&[i64]]) {
        let mut left = asked(start, end, number).map(|span| span.until(NOW)).ok();
        let mut found = Vec::new();
        while let Some(span) = left {
            let (times, next) = span.page(&GRID, NOW);
            found.push(times.iter().map(|time| time.0 / SECOND).collect::<Vec<_>>());
            left = next;
        }
        assert_eq!(found, pages, "{start:?} {end:?} {number}");
    }

    #[test]
    fn reads_forward_without_the_end() {
        check(Some(150), Some(400), 0, &[&[200, 300]]);
        check(Some(800), Some(9_999), 2, &[&[800, 900], &[1_000, 1_010], &[1_020]]);
        check(Some(1_000), Some(9_999), 3, &[&[1_000, 1_010, 1_020]]);
        check(Some(950), None, 1, &[&[1_000], &[1_010], &[1_020]]);
        check(Some(5_000), Some(9_999), 3, &[&[]]);
    }

    #[test]
    fn reads_the_value_at_one_time() {
        check(Some(300), Some(300), 0, &[&[300]]);
        check(Some(301), Some(301), 0, &[&[]]);
    }

    #[test]
    fn reads_backward() {
        check(Some(350), Some(100), 0, &[&[300, 200]]);
        check(
            None,
            Some(9_999),
            2,
            &[
                &[1_020, 1_010],
                &[1_000, 900],
                &[800, 700],
                &[600, 500],
                &[400, 300],
                &[200, 100],
                &[0],
            ],
        );
    }

    #[test]
    fn refuses_what_has_no_beginning() {
        assert_eq!(asked(None, None, 5), Err(StatusCode::BadHistoryOperationInvalid));
        assert_eq!(asked(Some(5), None, 0), Err(StatusCode::BadHistoryOperationInvalid));
    }

    #[test]
    fn times_survive_the_conversion() {
        for time in [Timestamp(0), Timestamp(1_795_433_401_500_001), Timestamp::MAX] {
            assert_eq!(from_date_time(&to_date_time(time)), time);
        }
    }
}
