//! For how long frames have waited without any commit ack.

use std::time::Duration;

use model::Sequence;

/// Watches one watermark.
#[derive(Debug, Default)]
pub(super) struct AckWatch {
    acked: Sequence,
    waiting_since: Option<Duration>,
}

impl AckWatch {
    /// Takes what is durable and what is acknowledged at `now` (monotonic).
    pub(super) fn note(&mut self, durable: Sequence, acked: Sequence, now: Duration) {
        if durable <= acked {
            self.waiting_since = None;
        } else if self.waiting_since.is_none() || acked != self.acked {
            self.waiting_since = Some(now);
        }
        self.acked = acked;
    }

    /// How long it has been since an ack came or frames began to wait; `None` when none waits.
    pub(super) fn silent_for(&self, now: Duration) -> Option<Duration> {
        self.waiting_since.map(|since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_without_an_ack_counts_only_while_frames_wait() {
        let mut watch = AckWatch::default();
        let mut check = |durable: u64, acked: u64, now_s: u64, expected_s: Option<u64>| {
            let now = Duration::from_secs(now_s);
            watch.note(Sequence(durable), Sequence(acked), now);
            assert_eq!(watch.silent_for(now).map(|span| span.as_secs()), expected_s);
        };
        check(0, 0, 0, None);
        check(1, 0, 5, Some(0));
        check(9, 0, 25, Some(20));
        // An ack that leaves some waiting is a sign of life.
        check(9, 4, 30, Some(0));
        check(12, 4, 42, Some(12));
        check(12, 12, 50, None);
        check(13, 12, 90, Some(0));
    }
}
