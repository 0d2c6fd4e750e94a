//! What the composition root chooses for the live topics.

use std::time::Duration;

use model::topic::LIVE_ROOT;

/// Different times after which topics are published again.
const SHARES: u32 = 256;

/// The live topics (`docs/mqtt.md`).
#[derive(Debug, Clone, PartialEq)]
pub struct LiveSettings {
    /// Whether anything is published.
    pub enabled: bool,
    /// In front of `v1`: empty, or levels that end with a slash.
    pub prefix: String,
    /// Places, as `acme/nb-1/melting`: only what lies below one of them. Empty: everything.
    pub only: Vec<String>,
    /// Messages a second for all values together.
    pub budget: u32,
    /// Shortest time between two messages on one topic.
    pub rate: Duration,
    /// Percent of the value that was published last; a smaller change is not published.
    pub deadband: f64,
    /// Values at QoS 1, otherwise 0.
    pub at_least_once: bool,
    /// Whether groups are always published, and not only where the budget is not enough.
    pub groups: bool,
    /// After so long a broker elsewhere forgets a value that was not published again.
    pub expiry: Duration,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            prefix: String::new(),
            only: Vec::new(),
            budget: 5_000,
            rate: Duration::from_millis(500),
            deadband: 0.0,
            at_least_once: false,
            groups: false,
            expiry: Duration::from_hours(1),
        }
    }
}

impl LiveSettings {
    /// After how long what is retained is published again: before half of its expiry. Each topic or device by its number
    /// has another time, so that what was published together is not published together again.
    pub(crate) fn again_after(&self, number: usize) -> Duration {
        let quarter = self.expiry / 4;
        // 157 is odd, so all shares are used, and neighbours are far from each other.
        let share = u32::try_from(number % 256).unwrap_or_default().wrapping_mul(157) % SHARES;
        quarter.saturating_add(quarter / SHARES * share)
    }

    /// Whether the device with this topic (without prefix) is published.
    pub(crate) fn wants(&self, topic: &str) -> bool {
        let below = |place: &String| {
            let rest = topic.strip_prefix(LIVE_ROOT).and_then(|rest| rest.strip_prefix('/'));
            let rest = rest.and_then(|rest| rest.strip_prefix(place.as_str()));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.only.is_empty() || self.only.iter().any(below)
    }
}
