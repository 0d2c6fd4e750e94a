//! When which poll group is due. A cycle that comes too late is skipped, never queued. Must never ask a clock: times
//! come in.

use std::time::Duration;

/// Due times of several poll groups on one monotonic clock.
#[derive(Debug, Clone)]
pub struct Schedule {
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct Group {
    interval: Duration,
    due: Duration,
}

/// A poll group that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its place in the list that the schedule was made of.
    pub group: usize,
    /// Whole cycles that were skipped because the one before took too long.
    pub skipped: u64,
}

impl Schedule {
    /// A schedule that starts at `now` with all groups due, in their order.
    #[must_use]
    pub fn new(intervals: impl IntoIterator<Item = Duration>, now: Duration) -> Self {
        let group = |interval: Duration| Group {
            interval: interval.max(Duration::from_millis(1)),
            due: now,
        };
        Self { groups: intervals.into_iter().map(group).collect() }
    }

    /// When the next group is due; `None` without groups.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.groups.iter().map(|group| group.due).min()
    }

    /// Takes the group that is due longest, if one is, and sets its next time on the grid of its interval.
    pub fn take(&mut self, now: Duration) -> Option<Due> {
        let (index, group) = self
            .groups
            .iter_mut()
            .enumerate()
            .filter(|(_, group)| group.due <= now)
            .min_by_key(|(_, group)| group.due)?;
        let behind = now.saturating_sub(group.due).as_nanos() / group.interval.as_nanos();
        let skipped = u64::try_from(behind).unwrap_or(u64::MAX);
        let steps = u32::try_from(skipped.saturating_add(1)).unwrap_or(u32::MAX);
        group.due = group.due.saturating_add(group.interval.saturating_mul(steps));
        Some(Due { group: index, skipped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn takes_groups_on_their_grid() {
        let mut schedule = Schedule::new([ms(100), ms(250)], ms(0));
        assert_eq!(schedule.take(ms(0)), Some(Due { group: 0, skipped: 0 }));
        assert_eq!(schedule.take(ms(0)), Some(Due { group: 1, skipped: 0 }));
        assert_eq!(schedule.take(ms(99)), None);
        assert_eq!(schedule.next_due(), Some(ms(100)));
        assert_eq!(schedule.take(ms(130)), Some(Due { group: 0, skipped: 0 }));
        assert_eq!(schedule.next_due(), Some(ms(200)));
    }

    #[test]
    fn skips_cycles_that_came_too_late() {
        let mut schedule = Schedule::new([ms(100)], ms(0));
        assert_eq!(schedule.take(ms(350)), Some(Due { group: 0, skipped: 3 }));
        assert_eq!(schedule.next_due(), Some(ms(400)));
    }
}
