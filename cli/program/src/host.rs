//! The real clock and the real chance (INV-10). Must never be named below the composition roots.

#![expect(clippy::disallowed_methods, reason = "environment: the machine's clock and randomness")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use model::host::{Clock, Entropy};

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp(micros(since)),
            // A machine without a battery may start before 1970.
            Err(before) => Timestamp(-micros(before.duration())),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The chance of this machine.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }
}
