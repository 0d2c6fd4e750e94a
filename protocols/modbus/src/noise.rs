//! What comes on a line that nobody asked for, noise or replies to another master: said once, and then at most every
//! hour with its number. Must never say something for each frame.

use std::time::Duration;

/// How often noise is said again.
const SAID_EVERY: Duration = Duration::from_hours(1);

/// What came unasked on the line of a port.
#[derive(Debug)]
pub(crate) struct Noise {
    port: String,
    bytes: Count,
    replies: Count,
}

impl Noise {
    pub(crate) fn new(port: String) -> Self {
        Self { port, bytes: Count::default(), replies: Count::default() }
    }

    /// So many bytes came that mean nothing.
    pub(crate) fn note(&mut self, bytes: u64, now: Duration) {
        if let Some((times, bytes)) = self.bytes.add(bytes, now) {
            tracing::warn!(
                port = self.port,
                times,
                bytes,
                "noise on the line: bytes came that nobody asked for. Likely: no termination or a disturbed line, or a device that sends more than its reply; replies that it spoils are asked for again"
            );
        }
    }

    /// A whole reply of a unit came that is for another master, or its request.
    pub(crate) fn note_foreign(&mut self, unit: u8, now: Duration) {
        if let Some((replies, _)) = self.replies.add(1, now) {
            tracing::warn!(
                port = self.port,
                unit,
                replies,
                "two masters share this line: replies came that this gateway did not ask for, the last one from this unit. One that looks like a reply to this gateway can be taken for it; what is seen to be so is Bad. Only one master may talk on a line: end the other one, or give it the values from here"
            );
        }
    }
}

/// How often something came.
#[derive(Debug, Default)]
struct Count {
    times: u64,
    bytes: u64,
    next: Duration,
}

impl Count {
    /// What is to be said now: how often something came since it was last said, and how many bytes.
    fn add(&mut self, bytes: u64, now: Duration) -> Option<(u64, u64)> {
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
        let mut noise = Count::default();
        let minutes = Duration::from_mins;
        assert_eq!(noise.add(7, minutes(1)), Some((1, 7)));
        assert!((2..60).all(|minute| noise.add(1, minutes(minute)).is_none()));
        assert_eq!(noise.add(1, minutes(61)), Some((59, 59)));
    }
}
