//! The broker inside this process: `mqtt5` on the loopback address, its sessions in memory only. Ingest sits in its
//! publish hook, which is awaited before the PUBACK and therefore never waits. Must never know what a message means.

use std::error::Error;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use model::dictionary::DICTIONARY_POINTS_MAX;
use model::{topic, wire};
use mqtt5::QoS;
use mqtt5::broker::auth::AuthResult;
use mqtt5::broker::config::StorageConfig;
use mqtt5::broker::events::{ClientPublishEvent, PublishAction};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::{
    AuthProvider, BrokerConfig, BrokerEventHandler, BrokerShutdownHandle, MqttBroker,
};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::packet::publish::PublishPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::task::JoinHandle;

use super::{Broker, Message, PublishError, rights};
use crate::error::IngestError;
use crate::inbox::Inbox;
use crate::live::TOPICS_MAX;

/// Room for the MQTT header and the topic around a message of ours.
const PACKET_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX + 4 * 1_024;
/// Most connections at a time, where the system lets this process have so many files open.
const CLIENTS_MAX: usize = 10_000;
/// Open files that are not connections: the store's above all.
const FILES_RESERVED: usize = 256;
/// Messages that a client may have under way without PUBACK.
const RECEIVE_MAX: u16 = 64;
/// Messages between the router and one client: the points of a large gateway, or of a screen that shows as many. What a
/// subscriber is given at once must fit, since messages at QoS 0 beyond it are gone: all topics that are retained under
/// its filter, or all that change with one commit. The queue takes memory only for what is in it.
const CLIENT_QUEUE_MAX: usize = DICTIONARY_POINTS_MAX;
/// What waits for one slow client beyond that; then its oldest messages go, with a warning.
const CLIENT_BACKLOG_MESSAGES_MAX: usize = 10_000;
const CLIENT_BACKLOG_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Longest retained message.
const RETAINED_BYTES_MAX: usize = 4 * 1_024;
/// Subscriptions of one client.
const SUBSCRIPTIONS_MAX: usize = 100;
/// A session outlives its connection by this; a gateway does not rest on it.
const SESSION_EXPIRY: Duration = Duration::from_hours(1);
/// Longest wait for slow clients per message; behind it the message waits in their queues.
const ROUTE_WAIT_MAX: Duration = Duration::from_millis(100);
/// Time for the last acks to reach the sockets before the connections are cut.
const FAREWELL: Duration = Duration::from_millis(100);

/// The embedded broker.
pub(super) struct Embedded {
    router: Arc<MessageRouter>,
    shutdown: BrokerShutdownHandle,
    tcp_port: u16,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    pub(super) async fn start(tcp_port: u16, inbox: Inbox) -> Result<Self, IngestError> {
        let failed =
            |source: Box<dyn Error + Send + Sync>| IngestError::Embedded { tcp_port, source };
        let broker = MqttBroker::with_config(config(tcp_port, inbox.clone()))
            .await
            .map_err(|e| failed(e.into()))?;
        let mut broker = broker.with_auth_provider(Arc::new(Rights));
        let address = broker.local_addr().ok_or_else(|| failed("it has no address".into()))?;
        let (router, shutdown) = (broker.router(), broker.shutdown_handle());
        let mut ready = broker.ready_receiver();
        let ended = Ended(inbox.clone());
        let task = tokio::spawn(async move {
            if let Err(e) = broker.run().await {
                tracing::error!(error = %e, "embedded broker ended");
            }
            drop(ended);
        });
        ready.wait_for(|ready| *ready).await.map_err(|e| failed(e.into()))?;
        inbox.connected();
        tracing::info!(%address, "embedded broker listens");
        let task = Mutex::new(Some(task));
        Ok(Self { router, shutdown, tcp_port: address.port(), task })
    }
}

/// Connections that leave room for the other files of this process.
fn clients_max(files_max: Option<usize>) -> usize {
    let Some(files) = files_max else { return CLIENTS_MAX };
    let clients = files.saturating_sub(FILES_RESERVED).max(files / 4).clamp(1, CLIENTS_MAX);
    if clients < CLIENTS_MAX {
        tracing::info!(clients, files, "the limit of open files bounds the connections");
    }
    clients
}

/// How many files this process may have open; `None` where the system does not say.
fn files_max() -> Option<usize> {
    files_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn files_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Tells when dropped, whatever ended the task that holds it.
struct Ended(Inbox);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended();
    }
}

fn config(tcp_port: u16, inbox: Inbox) -> BrokerConfig {
    // No storage: what is retained and queued lives in memory, and nothing is written beside the store.
    let storage = StorageConfig::default()
        .with_persistence(false)
        .with_max_queued_messages_per_client(CLIENT_BACKLOG_MESSAGES_MAX)
        .with_max_queued_bytes_per_client(CLIENT_BACKLOG_BYTES_MAX);
    BrokerConfig::default()
        .with_bind_address((Ipv4Addr::LOCALHOST, tcp_port))
        .with_max_clients(clients_max(files_max()))
        .with_session_expiry(SESSION_EXPIRY)
        .with_max_packet_size(PACKET_BYTES_MAX)
        .with_maximum_qos(1)
        .with_server_receive_maximum(RECEIVE_MAX)
        .with_client_channel_capacity(CLIENT_QUEUE_MAX)
        .with_max_subscriptions_per_client(SUBSCRIPTIONS_MAX)
        .with_max_retained_messages(TOPICS_MAX)
        .with_max_retained_message_size(RETAINED_BYTES_MAX)
        .with_sys_topics_enabled(false)
        .with_storage(storage)
        .with_event_handler(Arc::new(Hook { inbox }))
}

#[async_trait]
impl Broker for Embedded {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let qos = if message.at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let packet =
            PublishPacket::new(message.topic, message.payload, qos).with_retain(message.retain);
        let deadline = tokio::time::Instant::now() + ROUTE_WAIT_MAX;
        self.router.route_message_with_deadline(&packet, None, deadline).await;
        Ok(())
    }

    fn tcp_port(&self) -> Option<u16> {
        Some(self.tcp_port)
    }

    async fn stop(&self, limit: Duration) {
        let task = self.task.lock().ok().and_then(|mut task| task.take());
        let Some(task) = task else { return };
        tokio::time::sleep(FAREWELL).await;
        self.shutdown.shutdown();
        let abort = task.abort_handle();
        if tokio::time::timeout(limit, task).await.is_err() {
            abort.abort();
            tracing::debug!("embedded broker was cut off");
        }
    }
}

/// Where ingest sits.
struct Hook {
    inbox: Inbox,
}

impl BrokerEventHandler for Hook {
    fn on_client_publish<'a>(
        &'a self,
        event: ClientPublishEvent,
    ) -> Pin<Box<dyn Future<Output = PublishAction> + Send + 'a>> {
        // PUBACK promises nothing (INV-5): it goes at once, whatever became of the message.
        let action = match topic::gateway_of_up(&event.topic) {
            Some(gateway) => {
                self.inbox.offer(gateway, event.payload);
                PublishAction::Handled
            }
            None => PublishAction::Continue,
        };
        Box::pin(std::future::ready(action))
    }
}

/// [`rights`] in the words of the broker.
struct Rights;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Rights {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let name = &connect.client_id;
        let will = connect.will.as_ref().map(|will| will.topic.as_str());
        let result = if !rights::may_connect(name) {
            AuthResult::fail(ReasonCode::ClientIdentifierNotValid)
        } else if will.is_some_and(|topic| !rights::may_publish(name, topic)) {
            AuthResult::fail_with_reason(ReasonCode::NotAuthorized, "will on a foreign topic")
        } else {
            AuthResult::success()
        };
        Box::pin(std::future::ready(Ok(result)))
    }

    fn authorize_publish<'a>(
        &'a self,
        client_id: &str,
        _user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(rights::may_publish(client_id, topic)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client_id: &str,
        _user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(rights::may_subscribe(client_id, filter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_stay_below_the_limit_of_open_files() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024                 524288               files\n";
        assert_eq!(files_limit(limits), Some(1_024));
        assert_eq!(files_limit("Max open files            unlimited   unlimited   files"), None);
        assert_eq!(clients_max(Some(1_024)), 768);
        assert_eq!(clients_max(Some(64)), 16);
        assert_eq!(clients_max(Some(1_000_000)), CLIENTS_MAX);
        assert_eq!(clients_max(None), CLIENTS_MAX);
    }
}
