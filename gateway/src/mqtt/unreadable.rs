//! Messages on the topic of commit acks that are none: anyone with a right on it can send thousands a second. Must never
//! let one message be one line of the log.

use std::sync::Arc;
use std::time::Duration;

use model::host::Clock;

/// One line in so long.
const TOLD_EVERY: Duration = Duration::from_mins(10);
/// Characters of a reason that are shown; it quotes what was sent.
const REASON_CHARS_MAX: usize = 200;

/// Counts them.
pub(super) struct Unreadable {
    clock: Arc<dyn Clock>,
    told_at: Option<Duration>,
    /// Since the last line.
    count: u64,
}

impl Unreadable {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, told_at: None, count: 0 }
    }

    /// Notes one.
    pub(super) fn note(&mut self, reason: &str) {
        if let Some((messages, reason)) = self.due(reason) {
            tracing::warn!(
                messages,
                error = reason,
                "commit ack not followed; further ones are counted, and told once in {} min",
                TOLD_EVERY.as_secs() / 60
            );
        }
    }

    /// How many there were since the last line, and this reason for people, when a line is due.
    fn due(&mut self, reason: &str) -> Option<(u64, String)> {
        self.count = self.count.saturating_add(1);
        let now = self.clock.monotonic();
        if self.told_at.is_some_and(|told_at| now.saturating_sub(told_at) < TOLD_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        let reason = reason.chars().take(REASON_CHARS_MAX).flat_map(char::escape_debug).collect();
        Some((std::mem::take(&mut self.count), reason))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use model::Timestamp;

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    /// One publisher made 23005 lines in 8 s.
    #[test]
    fn many_messages_that_are_no_acks_are_one_line() {
        let hand = Arc::new(Hand::default());
        let mut unreadable = Unreadable::new(hand.clone());
        let long = "x\u{1b}[2J".repeat(1_000);
        let mut lines = Vec::new();
        for message in 0..30_000_u64 {
            hand.0.store(message / 30, Ordering::Relaxed);
            lines.extend(unreadable.due(&long));
        }
        let counts: Vec<u64> = lines.iter().map(|(count, _)| *count).collect();
        assert_eq!(counts, [1, 18_000]);
        let (_, reason) = &lines[0];
        assert!(reason.starts_with("x\\u{1b}[2J") && reason.len() < 10 * REASON_CHARS_MAX);
    }
}
