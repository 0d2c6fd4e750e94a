//! Why ingest does not start, or cannot go on.

use std::path::PathBuf;
use std::time::Duration;

use config::{BrokerUrlFault, without_credentials};
use thiserror::Error;
use tokio::task::JoinError;

use crate::settings::{COMMIT_INTERVAL_MAX, COMMIT_INTERVAL_MIN};
use contract::StoreError;

/// Why ingest ended without being told to: a fault of the program, after which nothing more is committed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("ingest cannot go on: {task} has ended{}", why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
pub struct IngestEnded {
    task: &'static str,
    /// The message of its panic, where it had one.
    why: Option<String>,
}

impl IngestEnded {
    /// From how a task ended.
    pub(crate) fn of(task: &'static str, ended: Result<(), JoinError>) -> Self {
        Self::because(task, ended.err().map(|e| e.to_string()))
    }

    /// A task that is told to have ended, and why.
    pub(crate) fn because(task: &'static str, why: Option<String>) -> Self {
        Self { task, why }
    }
}

/// Why ingest could not start.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The interval is out of range.
    #[error(
        "commit interval is {found:?}: expected {COMMIT_INTERVAL_MIN:?} to {COMMIT_INTERVAL_MAX:?}"
    )]
    CommitInterval {
        /// What was given.
        found: Duration,
    },
    /// The store could not tell what it has.
    #[error("cannot read the watermarks of the store")]
    Store(#[source] StoreError),
    /// The quarantine cannot be read.
    #[error("cannot read the quarantine")]
    Quarantine(#[source] std::io::Error),
    /// The embedded broker could not start.
    #[error("cannot start the embedded broker on 127.0.0.1:{tcp_port}; is the TCP port taken?")]
    Embedded {
        /// The TCP port that was asked for.
        tcp_port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The URL is not one of a broker.
    #[error("broker url `{}`: {fault}", without_credentials(url))]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        fault: BrokerUrlFault,
    },
    /// An encrypted connection without anything to trust.
    #[error(
        "the system has no certificates to trust: install `ca-certificates`, or name a `ca_file`"
    )]
    NoSystemCertificates,
    /// A password cannot be used.
    #[error(transparent)]
    Secret(#[from] config::SecretError),
    /// A file could not be read.
    #[error("cannot read {what} `{}`", path.display())]
    File {
        /// What it is.
        what: &'static str,
        /// Where it was expected.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificates are not usable.
    #[error("no usable certificate in `{}`: expected PEM", path.display())]
    Certificate {
        /// Where they were expected.
        path: PathBuf,
    },
}
