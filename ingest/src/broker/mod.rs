//! What ingest needs of a broker, and the two kinds there are. A broker feeds the inbox and never waits for it. It may
//! lose anything at any time: nothing rests on it.

mod doorkeeper;
mod embedded;
mod external;
mod options;
mod sent;
mod sessions;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker_guard::Rights;
use bytes::Bytes;
use model::host::{Clock, Entropy};
use thiserror::Error;
use tokio::task::JoinSet;

use crate::error::IngestError;
use crate::inbox::Inbox;
use crate::settings::BrokerSettings;

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) retain: bool,
    /// QoS 1, otherwise 0.
    pub(crate) at_least_once: bool,
    /// After so long a broker elsewhere forgets it.
    pub(crate) expiry: Option<Duration>,
}

/// Why a message was not published.
#[derive(Debug, Error)]
pub(crate) enum PublishError {
    #[error("no connection to the broker")]
    NotConnected,
    #[error("message of {bytes} bytes: the broker accepts {max}")]
    TooLarge { bytes: usize, max: usize },
}

/// A broker that runs or is connected to.
#[async_trait]
pub(crate) trait Broker: Send + Sync {
    /// Hands a message over. Waits for room, not for delivery.
    async fn publish(&self, message: Message) -> Result<(), PublishError>;
    /// The TCP port that an embedded one listens on.
    fn tcp_port(&self) -> Option<u16>;
    /// Ends it, within about `limit`.
    async fn stop(&self, limit: Duration);
}

/// Runs the task of a broker, and tells how it ended: also by a panic. Dropping this aborts the task.
async fn watched(inbox: Inbox, task: impl Future<Output = ()> + Send + 'static) {
    // A set of one: unlike a handle it aborts its task when it is dropped.
    let mut running = JoinSet::new();
    running.spawn(task);
    let failure = running.join_next().await.and_then(Result::err).map(|e| e.to_string());
    inbox.ended(failure);
}

/// Starts the broker, or the connection to it.
pub(crate) async fn start(
    settings: &BrokerSettings,
    retry_max: Duration,
    inbox: Inbox,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Box<dyn Broker>, IngestError> {
    Ok(match settings {
        BrokerSettings::Embedded { tcp_port, passwords } => {
            let rights = Rights::new(passwords);
            Box::new(embedded::Embedded::start(*tcp_port, rights, inbox, clock).await?)
        }
        BrokerSettings::Url(url) => {
            Box::new(external::External::start(url, retry_max, inbox, clock, entropy)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::inbox;

    #[tokio::test]
    async fn a_broker_whose_task_panics_is_gone_for_good_and_says_why() {
        let (inbox, reader) = inbox();
        watched(inbox.clone(), async {}).await;
        assert!(reader.connection.borrow().has_ended);
        assert_eq!(reader.failure(), None);
        watched(inbox, async { panic!("planted by a test") }).await;
        assert!(reader.failure().unwrap().contains("planted by a test"));
    }
}
