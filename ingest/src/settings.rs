//! What the composition root chooses for ingest. Must never read a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::GatewayId;
use model::topic::LIVE_ROOT;

use crate::error::IngestError;
use config::Secret;

/// Shortest interval between commits that is accepted.
pub const COMMIT_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Longest: an ack must come before the gateways lose patience.
pub const COMMIT_INTERVAL_MAX: Duration = Duration::from_mins(1);

/// The broker between the gateways and ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerSettings {
    /// A broker inside this process, on the loopback address only.
    Embedded {
        /// TCP port; 0 lets the system choose ([`crate::Ingest::tcp_port`] tells which).
        tcp_port: u16,
        /// The password of each gateway. Where there is one, only these gateways may send.
        passwords: BTreeMap<GatewayId, Secret>,
    },
    /// Any MQTT 5 broker.
    Url(UrlBroker),
}

impl BrokerSettings {
    /// An embedded broker where gateways need no password.
    #[must_use]
    pub const fn embedded(tcp_port: u16) -> Self {
        Self::Embedded { tcp_port, passwords: BTreeMap::new() }
    }
}

/// A broker elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlBroker {
    /// `mqtt://host:1883` or `mqtts://host:8883`.
    pub url: String,
    /// Certificates to trust with `mqtts`, in PEM; those of the system when left out.
    pub ca_file: Option<PathBuf>,
    /// User, and the file whose first line is the password.
    pub credentials: Option<(String, PathBuf)>,
}

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

/// What ingest is told.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestSettings {
    /// How long frames of all gateways are gathered for one commit.
    pub commit_interval: Duration,
    /// Longest wait between two attempts to commit, and between two to reach the broker.
    pub retry_max: Duration,
    /// Most samples held uncommitted for all gateways together, 40 bytes each.
    pub samples_max: u64,
    /// The broker.
    pub broker: BrokerSettings,
    /// The live topics.
    pub live: LiveSettings,
    /// Where frames go that cannot be read; without it their logs wait.
    pub quarantine: Option<PathBuf>,
}

impl IngestSettings {
    /// The usual settings.
    #[must_use]
    pub fn new(broker: BrokerSettings) -> Self {
        Self {
            commit_interval: Duration::from_secs(2),
            retry_max: Duration::from_secs(30),
            samples_max: 4_000_000,
            broker,
            live: LiveSettings::default(),
            quarantine: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), IngestError> {
        let found = self.commit_interval;
        if !(COMMIT_INTERVAL_MIN..=COMMIT_INTERVAL_MAX).contains(&found) {
            return Err(IngestError::CommitInterval { found });
        }
        Ok(())
    }
}
