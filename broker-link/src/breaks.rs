//! How often a connection broke lately, and which of its comings and goings are told: a broker that ends the connection
//! each second must not fill a log.
//!
//! ```text
//! lost, connected            → both are told
//! lost, connected, lost, …   → one line a minute with the number of breaks, and one when it holds again
//! ```

use std::collections::VecDeque;
use std::time::Duration;

/// Breaks within this time count together, and one line in so long is told of more than one.
const WINDOW: Duration = Duration::from_mins(1);
/// Breaks that are told one by one.
const ONE_BY_ONE: usize = 1;
/// Most breaks that are remembered.
const BREAKS_MAX: usize = 1_000;

/// The breaks of one connection.
#[derive(Debug, Default)]
pub struct Breaks {
    recent: VecDeque<Duration>,
    told_at: Option<Duration>,
    /// The last change was not told.
    untold: bool,
}

impl Breaks {
    /// A connection that was there is gone.
    pub fn broke(&mut self, now: Duration) {
        if self.recent.len() >= BREAKS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
    }

    /// Breaks within the last minute, at most 1 000.
    pub fn in_last_minute(&mut self, now: Duration) -> usize {
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) >= WINDOW) {
            self.recent.pop_front();
        }
        self.recent.len()
    }

    /// Whether a change (it is there, or gone) is told now.
    pub fn tells(&mut self, now: Duration) -> bool {
        let few = self.in_last_minute(now) <= ONE_BY_ONE;
        let told = few || self.is_due(now);
        self.note(told, now)
    }

    /// Whether the last change, which was not told, is told now. To be asked every few seconds.
    pub fn tells_late(&mut self, now: Duration) -> bool {
        self.untold && self.is_due(now) && self.note(true, now)
    }

    fn is_due(&self, now: Duration) -> bool {
        self.told_at.is_none_or(|at| now.saturating_sub(at) >= WINDOW)
    }

    fn note(&mut self, told: bool, now: Duration) -> bool {
        self.untold = !told;
        if told {
            self.told_at = Some(now);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten minutes of a broker that ends the connection each second: 2 lines a second.
    #[test]
    fn a_broker_that_ends_the_connection_each_second_is_told_once_a_minute() {
        let mut breaks = Breaks::default();
        let mut lines = 0;
        for second in 0..600 {
            let now = Duration::from_secs(second);
            lines += u32::from(breaks.tells(now));
            let later = now + Duration::from_millis(500);
            breaks.broke(later);
            lines += u32::from(breaks.tells(later));
        }
        // The first connection, its break, and one line for each minute.
        assert!((10..=13).contains(&lines), "{lines}");
        let now = Duration::from_mins(10);
        assert_eq!(breaks.in_last_minute(now), 60);
    }

    #[test]
    fn a_single_break_and_its_end_are_told_at_once() {
        let mut breaks = Breaks::default();
        for hour in 1..5 {
            let now = Duration::from_hours(hour);
            breaks.broke(now);
            assert!(breaks.tells(now) && breaks.tells(now + Duration::from_secs(1)));
            assert!(!breaks.tells_late(now + WINDOW * 2));
        }
    }

    /// Else the log would end with a break of a connection that is there since.
    #[test]
    fn that_a_connection_holds_again_is_told_in_the_end() {
        let mut breaks = Breaks::default();
        for second in 0..10 {
            let now = Duration::from_secs(second);
            breaks.broke(now);
            breaks.tells(now);
        }
        let now = Duration::from_secs(11);
        assert!(!breaks.tells(now), "it is there again");
        assert!(!breaks.tells_late(now));
        assert!(breaks.tells_late(now + WINDOW));
        assert!(!breaks.tells_late(now + WINDOW * 2), "once");
    }

    #[test]
    fn no_more_breaks_are_remembered_than_may_be() {
        let mut breaks = Breaks::default();
        for _ in 0..=BREAKS_MAX {
            breaks.broke(Duration::ZERO);
        }
        assert_eq!(breaks.in_last_minute(Duration::ZERO), BREAKS_MAX);
    }
}
