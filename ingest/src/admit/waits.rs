//! Which logs wait until their dictionaries may be read, and when they are asked to go on.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::LogKey;

use super::LOGS_MAX;

/// Time from one log that is asked to the next one: two at once would take from each other what was saved up.
pub(super) const TURN: Duration = Duration::from_secs(1);

/// When each log may go on.
#[derive(Debug, Default)]
pub(super) struct Waits {
    logs: BTreeMap<LogKey, Duration>,
}

impl Waits {
    /// Notes a log; one that waits already keeps its turn.
    pub(super) fn until(&mut self, key: &LogKey, at: Duration) {
        if self.logs.len() < LOGS_MAX && !self.has(key) {
            self.logs.insert(key.clone(), at);
        }
    }

    /// Whether asking this log now would only bring the same frames again.
    pub(super) fn has(&self, key: &LogKey) -> bool {
        self.logs.contains_key(key)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.logs.values().min().copied()
    }

    /// The one that is due, if any is; the others stand back by a turn.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<LogKey> {
        let (key, _) = self.logs.iter().filter(|(_, at)| **at <= now).min_by_key(|(_, at)| **at)?;
        let key = key.clone();
        self.logs.remove(&key);
        for at in self.logs.values_mut() {
            *at = (*at).max(now.saturating_add(TURN));
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use model::LogId;
    use model::fixtures::gateway;

    use super::*;

    #[test]
    fn who_waits_longest_goes_on_first_and_the_others_a_turn_later() {
        let key = |name| (gateway(name), LogId([1; 16]));
        let mut waits = Waits::default();
        waits.until(&key("a"), TURN * 3);
        waits.until(&key("b"), TURN * 2);
        waits.until(&key("a"), TURN * 9);
        assert_eq!(waits.next(), Some(TURN * 2));
        assert_eq!(waits.take_due(TURN), None);
        assert_eq!(waits.take_due(TURN * 3), Some(key("b")));
        assert!(!waits.has(&key("b")) && waits.has(&key("a")));
        assert_eq!(waits.take_due(TURN * 3), None);
        assert_eq!(waits.take_due(TURN * 4), Some(key("a")));
        assert_eq!(waits.next(), None);
    }
}
