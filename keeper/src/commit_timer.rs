//! When what was gathered is made durable: as soon as a round of polls is complete, after the interval at the latest,
//! and at most twice per interval. A screen sees nothing before that.
//!
//! ```text
//! interval 1 s, polls on the grid of 1 s:   ▮▮▮··│·······▮▮▮··│·······   one commit a second, 100 ms behind the round
//! without a pause between the answers:      ▮▮▮▮▮▮▮▮▮▮▮▮▮▮│▮▮▮▮▮▮▮▮▮▮   one commit per interval
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// A round of polls is complete when nothing came for so long. Devices on several ports answer within it of each other.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// Times of the commits.
#[derive(Debug)]
pub(super) struct CommitTimer {
    /// What a power cut may take at most.
    interval: Duration,
    /// Times of the first and of the newest emission that no commit holds.
    gathered: Option<(Instant, Instant)>,
    /// Each commit uses half an interval, so that there are two per interval in the mean. A commit may come one interval
    /// before what was used ends: a round that comes in two parts delays none behind it.
    used_until: Option<Instant>,
    /// A write failed: the next one is tried then.
    again_at: Option<Instant>,
}

impl CommitTimer {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, gathered: None, used_until: None, again_at: None }
    }

    /// Something was gathered.
    pub(super) fn note(&mut self, now: Instant) {
        let first = self.gathered.map_or(now, |(first, _)| first);
        self.gathered = Some((first, now));
    }

    /// When to commit; `None` when there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.again_at.is_some() {
            return self.again_at;
        }
        self.gathered.map(|(first, newest)| {
            let settled = newest + SETTLED_AFTER.min(self.interval);
            let allowed = self.used_until.and_then(|until| until.checked_sub(self.interval));
            allowed.map_or(settled, |allowed| settled.max(allowed)).min(first + self.interval)
        })
    }

    /// It was committed; `again_in` when that failed.
    pub(super) fn committed(&mut self, now: Instant, again_in: Option<Duration>) {
        self.gathered = None;
        let used = self.used_until.map_or(now, |until| until.max(now));
        self.used_until = Some(used + self.interval / 2);
        self.again_at = again_in.map(|wait| now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    /// Emissions at these milliseconds → commits at those.
    fn check(emissions: &[u64], expected: &[u64]) {
        let start = Instant::now() + Duration::from_hours(1);
        let at = |millis: u64| start + Duration::from_millis(millis);
        let (mut timer, mut commits) = (CommitTimer::new(INTERVAL), Vec::new());
        let mut commit_until = |timer: &mut CommitTimer, until: Option<Instant>| {
            while let Some(due) = timer.due().filter(|due| until.is_none_or(|until| *due <= until))
            {
                timer.committed(due, None);
                commits.push(u64::try_from((due - start).as_millis()).unwrap());
            }
        };
        for emission in emissions {
            commit_until(&mut timer, Some(at(*emission)));
            timer.note(at(*emission));
        }
        commit_until(&mut timer, None);
        assert_eq!(commits, expected, "{emissions:?}");
    }

    #[test]
    fn a_round_of_polls_is_committed_when_it_is_complete() {
        check(&[], &[]);
        check(&[0], &[100]);
        check(&[0, 30, 90, 180], &[280]);
        check(&[0, 40, 1_000, 1_050, 2_000, 2_020], &[140, 1_150, 2_120]);
        // A round that was late does not make the next ones late.
        check(&[0, 1_000, 1_300, 2_000, 3_000, 4_000], &[100, 1_100, 1_400, 2_100, 3_100, 4_100]);
    }

    #[test]
    fn answers_without_a_pause_are_committed_once_per_interval() {
        let all: Vec<u64> = (0..500).map(|step| step * 10).collect();
        check(&all, &[1_000, 2_000, 3_000, 4_000, 5_000]);
    }

    #[test]
    fn pauses_do_not_make_more_than_two_commits_per_interval() {
        // Each answer comes alone, five a second.
        let all: Vec<u64> = (0..500).map(|step| step * 200).collect();
        let start = Instant::now() + Duration::from_hours(1);
        let (mut timer, mut commits) = (CommitTimer::new(INTERVAL), 0);
        for millis in all {
            let now = start + Duration::from_millis(millis);
            while let Some(due) = timer.due().filter(|due| *due <= now) {
                timer.committed(due, None);
                commits += 1;
            }
            timer.note(now);
        }
        assert!((190..=202).contains(&commits), "{commits} commits in 100 s");
    }

    #[test]
    fn a_write_that_failed_is_tried_again_without_anything_new() {
        let start = Instant::now();
        let mut timer = CommitTimer::new(INTERVAL);
        timer.note(start);
        timer.committed(start, Some(INTERVAL));
        timer.note(start + INTERVAL / 2);
        assert_eq!(timer.due(), Some(start + INTERVAL));
        timer.committed(start + INTERVAL, None);
        assert_eq!(timer.due(), None);
    }
}
