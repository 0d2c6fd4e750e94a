//! Notices a link that is up and brings nothing. Must never ask a clock: times come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When something was last heard, on the monotonic clock; clones watch the same link.
#[doc(alias = "watchdog")]
#[derive(Debug, Clone, Default)]
pub struct SilenceWatch {
    heard_ms: Arc<AtomicU64>,
}

impl SilenceWatch {
    /// Something was heard; silence counts from now on.
    pub fn hear(&self, now: Duration) {
        self.heard_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// When something was last heard; zero when nothing was.
    #[must_use]
    pub fn heard(&self) -> Duration {
        Duration::from_millis(self.heard_ms.load(Ordering::Acquire))
    }

    /// How long nothing was heard.
    #[must_use]
    pub fn silent_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_what_was_heard_last() {
        let watch = SilenceWatch::default();
        let other_task = watch.clone();
        other_task.hear(Duration::from_secs(5));
        assert_eq!(watch.silent_for(Duration::from_secs(8)), Duration::from_secs(3));
        assert_eq!(watch.silent_for(Duration::from_secs(4)), Duration::ZERO);
    }
}
