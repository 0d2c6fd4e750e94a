//! Decides when it is worth asking again what did not answer. Must never ask a clock for more than the time, nor know
//! what is asked.

use std::time::Duration;

use model::Quality;
use model::host::Clock;

use crate::backoff::{Backoff, jitter};

/// Failures in a row after which something is asked only now and then.
const FAILURES_TO_REST: u32 = 2;
/// Shortest and longest rest of what does not answer.
const RESTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Rests a device, or a part of it, that does not answer, so that it costs the others little.
#[doc(alias = "circuit breaker")]
#[derive(Debug, Clone)]
pub struct Breaker {
    failures: u32,
    rest_until: Duration,
    backoff: Backoff,
    last_quality: Quality,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 0,
            rest_until: Duration::ZERO,
            backoff: Backoff::new(RESTS.0, RESTS.1),
            last_quality: Quality::BAD_NOT_CONNECTED,
        }
    }
}

impl Breaker {
    /// Whether it is asked only now and then.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.failures >= FAILURES_TO_REST
    }

    /// Whether it is not asked at this time.
    #[must_use]
    pub fn rests(&self, now: Duration) -> bool {
        self.is_open() && now < self.rest_until
    }

    /// Whether its last try failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// The quality of its points while it rests.
    #[must_use]
    pub fn last_quality(&self) -> Quality {
        self.last_quality
    }

    /// Sets the quality of its points without counting a failure.
    pub fn set_quality(&mut self, quality: Quality) {
        self.last_quality = quality;
    }

    /// It did not answer.
    pub fn note_failure(&mut self, quality: Quality, clock: &dyn Clock) {
        self.failures = self.failures.saturating_add(1);
        self.last_quality = quality;
        if self.is_open() {
            self.rest_until = clock.monotonic() + self.backoff.after_failure(jitter(clock));
        }
    }

    /// It answered.
    pub fn note_answer(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    /// What kept it silent may be over: it is asked soon.
    pub fn wake(&mut self) {
        self.rest_until = Duration::ZERO;
        self.backoff.reset();
    }

    /// Tries that it gets: whatever is known to be silent gets one.
    #[must_use]
    pub fn tries(&self, tries_max: u32) -> u32 {
        if self.failures == 0 { tries_max } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0)
        }
    }

    #[test]
    fn rests_after_two_failures_until_it_answers() {
        let mut breaker = Breaker::default();
        breaker.note_failure(Quality::BAD_TIMEOUT, &At(10));
        assert!(!breaker.rests(Duration::from_secs(10)), "one failure is a disturbance");
        assert_eq!((breaker.tries(3), breaker.is_failing()), (1, true));
        breaker.note_failure(Quality::BAD_TIMEOUT, &At(10));
        assert!(breaker.rests(Duration::from_secs(10)));
        assert!(!breaker.rests(Duration::from_secs(71)), "never longer than a minute");
        breaker.wake();
        assert!(breaker.is_open() && !breaker.rests(Duration::from_secs(10)));
        breaker.note_answer();
        assert_eq!((breaker.tries(3), breaker.is_open()), (3, false));
    }
}
