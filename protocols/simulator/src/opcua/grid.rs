//! At which times a value exists: every so often in the past, more often from the start of the simulation on. History
//! and live values share the grid, so that a client that reads back meets what it is subscribed to.

use model::Timestamp;

/// The times of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Nothing is remembered before.
    pub(crate) from: Timestamp,
    /// From here on the fine steps hold.
    pub(crate) live_from: Timestamp,
    /// Microseconds between two remembered values of the past.
    pub(crate) coarse: i64,
    /// Microseconds between two live values.
    pub(crate) fine: i64,
}

impl Grid {
    /// The first time of the grid at `at` or later.
    pub(crate) fn at_or_after(&self, at: Timestamp) -> Timestamp {
        let coarse = up(at.max(self.from).0, self.coarse);
        if coarse < self.live_from.0 {
            return Timestamp(coarse);
        }
        Timestamp(up(at.max(self.live_from).0, self.fine))
    }

    /// The last time of the grid at `at` or earlier; none before its beginning.
    pub(crate) fn at_or_before(&self, at: Timestamp) -> Option<Timestamp> {
        let fine = down(at.0, self.fine);
        if fine >= self.live_from.0 {
            return Some(Timestamp(fine));
        }
        let before_live = self.live_from.0 - 1;
        let coarse = down(at.0.min(before_live), self.coarse);
        (coarse >= self.from.0).then_some(Timestamp(coarse))
    }

    /// The time of the grid after one of its times.
    pub(crate) fn after(&self, at: Timestamp) -> Timestamp {
        self.at_or_after(Timestamp(at.0 + 1))
    }
}

fn up(value: i64, step: i64) -> i64 {
    down(value.saturating_add(step - 1), step)
}

fn down(value: i64, step: i64) -> i64 {
    value - value.rem_euclid(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid =
        Grid { from: Timestamp(95), live_from: Timestamp(240), coarse: 100, fine: 10 };

    #[test]
    fn steps_forward() {
        let check = |at: i64, next: i64| {
            assert_eq!(GRID.at_or_after(Timestamp(at)), Timestamp(next), "{at}");
        };
        check(i64::MIN / 2, 100);
        check(100, 100);
        check(101, 200);
        check(201, 240);
        check(240, 240);
        check(241, 250);
        assert_eq!(GRID.after(Timestamp(200)), Timestamp(240));
    }

    #[test]
    fn steps_backward() {
        let check = |at: i64, last: Option<i64>| {
            assert_eq!(GRID.at_or_before(Timestamp(at)), last.map(Timestamp), "{at}");
        };
        check(99, None);
        check(100, Some(100));
        check(239, Some(200));
        check(249, Some(240));
        check(250, Some(250));
    }
}
