//! What the composition root chooses for ingest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use config::Secret;
use live::LiveSettings;
use model::GatewayId;

use crate::error::IngestError;

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
    /// As [`config::BrokerUrl`] reads it.
    pub url: String,
    /// Certificates to trust with `mqtts` and `wss`, in PEM; those of the system when left out.
    pub ca_file: Option<PathBuf>,
    /// User, and the file whose first line is the password.
    pub credentials: Option<(String, PathBuf)>,
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
