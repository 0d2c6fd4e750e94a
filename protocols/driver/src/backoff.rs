//! How long to wait before the next try: full jitter between a floor and a growing ceiling. Must never sleep or ask the
//! operating system for randomness.

use std::time::Duration;

use model::host::Clock;

/// A growing ceiling with full jitter, so that a thousand gateways do not come back at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    floor: Duration,
    ceiling: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits between `floor` and `ceiling`.
    #[must_use]
    pub fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { floor, ceiling: ceiling.max(floor), failures: 0 }
    }

    /// The wait after one more failure; `chance` is uniform over all of `u64`.
    pub fn after_failure(&mut self, chance: u64) -> Duration {
        let doubled = self.floor.saturating_mul(1_u32 << self.failures.min(16)).min(self.ceiling);
        self.failures = self.failures.saturating_add(1);
        let span =
            u64::try_from((doubled.saturating_sub(self.floor)).as_nanos()).unwrap_or(u64::MAX);
        let extra = if span == 0 { 0 } else { chance % span };
        self.floor + Duration::from_nanos(extra)
    }

    /// Something worked: the next failure waits briefly again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number that differs from try to try and from gateway to gateway: the digits of the clocks, mixed.
pub fn jitter(clock: &dyn Clock) -> u64 {
    let monotonic = clock.monotonic();
    let mixed = clock.now().0.unsigned_abs()
        ^ monotonic.as_secs().rotate_left(32)
        ^ u64::from(monotonic.subsec_nanos()).rotate_left(12);
    // splitmix64, whose finalizer spreads a change of any bit over all bits.
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_ceiling_and_starts_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        assert_eq!(backoff.after_failure(u64::MAX), Duration::from_secs(1));
        let waits: Vec<Duration> = (0..10).map(|_| backoff.after_failure(u64::MAX - 1)).collect();
        assert!(waits.iter().all(|wait| (1..=60).contains(&wait.as_secs())), "{waits:?}");
        assert!(waits.last() > waits.first(), "{waits:?}");
        backoff.reset();
        assert_eq!(backoff.after_failure(7), Duration::from_secs(1));
    }
}
