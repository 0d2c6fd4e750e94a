//! How much room the disk of the lake has: shown in the status, and told in the log before it is so little that no commit is
//! begun. Must never make room.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// The time over which the rate is taken: merges take room for minutes and give it back.
const RATE_OVER: Duration = Duration::from_hours(1);
/// Most measurements that are kept: one a minute, and some for a timer that is early.
const LOOKS_MAX: usize = 64;
/// Room is short below so many times `[lake] free`, and no longer short from the second number on.
const SHORT_BELOW: (u64, u64) = (2, 3);
/// Room is short when it lasts less than so many hours, and no longer short from the second number on.
const SHORT_HOURS: (u64, u64) = (24, 48);

/// Whether there is room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RoomState {
    /// For now.
    #[default]
    Enough,
    /// Less than twice the limit, or than what a day takes.
    Short,
    /// Below the limit: no commit is begun, the gateways keep what they read.
    Full,
}

/// What the status shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct RoomStatus {
    /// Bytes that may still be written on the disk of the lake; `None` where the system does not say.
    pub(super) free_bytes: Option<u64>,
    /// `[lake] free`: with less, no commit is begun.
    pub(super) free_bytes_min: u64,
    /// Full hours until that is reached at the rate of the last hour; `None` in the first hour, and while nothing shrinks.
    pub(super) hours_left: Option<u64>,
    pub(super) state: RoomState,
}

/// The measurements of the last hour.
#[derive(Debug)]
pub(super) struct Room {
    free_bytes_min: u64,
    looks: VecDeque<(Duration, u64)>,
    state: RoomState,
}

impl Room {
    pub(super) fn new(free_bytes_min: u64) -> Self {
        Self { free_bytes_min, looks: VecDeque::new(), state: RoomState::default() }
    }

    /// Takes a measurement, and logs a state that is another than before.
    pub(super) fn look(&mut self, now: Duration, free_bytes: Option<u64>) -> RoomStatus {
        let before = self.state;
        let status = self.measure(now, free_bytes);
        let RoomStatus { free_bytes_min, hours_left, state, .. } = status;
        match state {
            state if state == before => {}
            RoomState::Enough => tracing::info!(free_bytes, "room on the disk of the lake again"),
            RoomState::Short => tracing::warn!(
                free_bytes,
                free_bytes_min,
                hours_left,
                "little room on the disk of the lake: below `[lake] free` no commit is begun and gateways keep what they read; \
                 make room, or lower `keep` or `keep_size`"
            ),
            RoomState::Full => tracing::error!(
                free_bytes,
                free_bytes_min,
                "no room on the disk of the lake: no commit is begun until there is more than `[lake] free`"
            ),
        }
        status
    }

    fn measure(&mut self, now: Duration, free_bytes: Option<u64>) -> RoomStatus {
        let free_bytes_min = self.free_bytes_min;
        let Some(free) = free_bytes else {
            return RoomStatus { free_bytes, free_bytes_min, hours_left: None, state: self.state };
        };
        self.looks.push_back((now, free));
        let is_old = |at: Duration| now.saturating_sub(at) >= RATE_OVER;
        // One that is an hour old stays: the rate is taken from there.
        while self.looks.len() > LOOKS_MAX || self.looks.get(1).is_some_and(|(at, _)| is_old(*at)) {
            self.looks.pop_front();
        }
        let first = self.looks.front().filter(|(at, _)| is_old(*at));
        let hours_left = first.and_then(|&(at, before)| {
            let shrinks = u128::from(before.checked_sub(free).filter(|bytes| *bytes > 0)?);
            let left = u128::from(free.saturating_sub(free_bytes_min));
            let hours = left * now.saturating_sub(at).as_millis() / shrinks / RATE_OVER.as_millis();
            u64::try_from(hours).ok()
        });
        let is_calm = self.state == RoomState::Enough;
        let times = if is_calm { SHORT_BELOW.0 } else { SHORT_BELOW.1 };
        let hours = if is_calm { SHORT_HOURS.0 } else { SHORT_HOURS.1 };
        self.state = if free < free_bytes_min {
            RoomState::Full
        } else if free < free_bytes_min.saturating_mul(times)
            || hours_left.is_some_and(|left| left < hours)
        {
            RoomState::Short
        } else {
            RoomState::Enough
        };
        RoomStatus { free_bytes, free_bytes_min, hours_left, state: self.state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const LIMIT: u64 = 64 * MIB;

    fn minutes(count: u64) -> Duration {
        Duration::from_mins(count)
    }

    #[test]
    fn little_room_is_told_before_no_commit_is_begun() {
        let mut room = Room::new(LIMIT);
        let mut check = |minute, free, expected| {
            let status = room.look(minutes(minute), Some(free));
            assert_eq!((status.state, status.free_bytes), (expected, Some(free)), "{minute}");
            assert_eq!(status.free_bytes_min, LIMIT);
        };
        check(0, 2 * LIMIT, RoomState::Enough);
        check(1, 2 * LIMIT - 1, RoomState::Short);
        check(2, LIMIT, RoomState::Short);
        check(3, LIMIT - 1, RoomState::Full);
        // A little more than the threshold is no reason to call it enough, or each minute would have its line.
        check(4, 2 * LIMIT, RoomState::Short);
        check(5, 3 * LIMIT, RoomState::Enough);
        check(6, 2 * LIMIT, RoomState::Enough);
    }

    #[test]
    fn room_for_less_than_a_day_at_the_rate_of_the_last_hour_is_little() {
        // 60 MiB an hour; at the end of the first hour there is room for 20 hours, above a limit of 64 MiB.
        let mut room = Room::new(LIMIT);
        let free = |minute: u64| LIMIT + (60 * 21 - minute) * MIB;
        for minute in 0..60 {
            let status = room.look(minutes(minute), Some(free(minute)));
            assert_eq!((status.hours_left, status.state), (None, RoomState::Enough), "{minute}");
        }
        let status = room.look(minutes(60), Some(free(60)));
        assert_eq!((status.hours_left, status.state), (Some(20), RoomState::Short));
        // Files that were kept for readers go: what is free stands still for an hour.
        for minute in 61..=119 {
            room.look(minutes(minute), Some(free(60)));
        }
        let status = room.look(minutes(120), Some(free(60)));
        assert_eq!((status.hours_left, status.state), (None, RoomState::Enough));
        assert!(room.looks.len() <= LOOKS_MAX);
    }

    #[test]
    fn measurements_are_bounded_and_one_that_fails_changes_nothing() {
        let mut room = Room::new(LIMIT);
        for second in 0..1_000 {
            room.look(Duration::from_secs(second), Some(LIMIT));
        }
        assert_eq!(room.looks.len(), LOOKS_MAX);
        let status = room.look(minutes(60), None);
        assert_eq!((status.free_bytes, status.state), (None, RoomState::Short));
    }
}
