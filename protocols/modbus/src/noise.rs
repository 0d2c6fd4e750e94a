//! Bytes on a line that nobody asked for: said once, and then at most every hour with their number. Must never say
//! something for each frame.

use std::time::Duration;

/// How often noise is said again.
const SAID_EVERY: Duration = Duration::from_hours(1);

/// What came unasked on the line of a port.
#[derive(Debug)]
pub(crate) struct Noise {
    port: String,
    times: u64,
    bytes: u64,
    next: Duration,
}

impl Noise {
    pub(crate) fn new(port: String) -> Self {
        Self { port, times: 0, bytes: 0, next: Duration::ZERO }
    }

    /// So many bytes came.
    pub(crate) fn note(&mut self, bytes: u64, now: Duration) {
        if let Some((times, bytes)) = self.count(bytes, now) {
            tracing::warn!(
                port = self.port,
                times,
                bytes,
                "noise on the line: bytes came that nobody asked for. Likely: no termination or a disturbed line, a device that sends more than its reply, or a second master; replies that it spoils are asked for again"
            );
        }
    }

    /// What is to be said now: how often bytes came since it was last said, and how many.
    fn count(&mut self, bytes: u64, now: Duration) -> Option<(u64, u64)> {
        self.times = self.times.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        if now < self.next {
            return None;
        }
        self.next = now + SAID_EVERY;
        Some((std::mem::take(&mut self.times), std::mem::take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_said_once_and_then_counted() {
        let mut noise = Noise::new("rs485-1".to_owned());
        let minutes = Duration::from_mins;
        assert_eq!(noise.count(7, minutes(1)), Some((1, 7)));
        assert!((2..60).all(|minute| noise.count(1, minutes(minute)).is_none()));
        assert_eq!(noise.count(1, minutes(61)), Some((59, 59)));
    }
}
