//! The broker inside this process: `mqtt5` behind a listener of our own on the loopback address, its sessions in memory
//! only. Ingest sits in its publish hook, which is awaited before the PUBACK and therefore never waits.
//!
//! ```text
//! TcpListener ─▶ connect: CONNECT read, bounded ─▶ guarded: packets bounded ─▶ mqtt5's handler ─▶ hook ─▶ inbox
//! ```

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_guard::{Denied, Framer, Guarded, HalfRead, KEEP_ALIVE_MAX, Rights, connect};
use live::{RETAINED_BYTES_MAX, TOPICS_MAX};
use model::dictionary::DICTIONARY_POINTS_MAX;
use model::host::Clock;
use model::{topic, wire};
use mqtt5::QoS;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::StorageConfig;
use mqtt5::broker::events::{ClientPublishEvent, PublishAction};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::QueueLimits;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{
    AuthProvider, BrokerConfig, BrokerEventHandler, ResourceLimits, ResourceMonitor,
};
use mqtt5::packet::publish::PublishPacket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::doorkeeper::Doorkeeper;
use super::sessions::Sessions;
use super::{Broker, Message, PublishError, watched};
use crate::error::IngestError;
use crate::inbox::Inbox;

/// Room for the MQTT header and the topic around a message of ours.
const PACKET_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX + 4 * 1_024;
/// Longest packet of a client that is no gateway: it only subscribes.
const READER_PACKET_BYTES_MAX: usize = 64 * 1_024;
/// Most connections at a time, where the system lets this process have so many files open.
const CLIENTS_MAX: usize = 10_000;
/// New connections that are taken within a [`CONNECTION_WINDOW`]: all that there may be.
const CONNECTIONS_PER_WINDOW_MAX: u32 = 10_000;
const CONNECTION_WINDOW: Duration = Duration::from_secs(1);
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
/// Retained messages: the values, and beside them what describes devices and gateways.
const RETAINED_MAX: usize = 2 * TOPICS_MAX;
/// Subscriptions of one client.
const SUBSCRIPTIONS_MAX: usize = 100;
/// What the broker forgets with time is looked through this often.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// Wait after a connection that could not be accepted.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);
/// Longest wait for slow clients per message; behind it the message waits in their queues.
const ROUTE_WAIT_MAX: Duration = Duration::from_millis(100);
/// Time for the last acks to reach the sockets before the connections are cut.
const FAREWELL: Duration = Duration::from_millis(100);

/// What all connections share.
struct Shared {
    router: Arc<MessageRouter>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    doorkeeper: Arc<Doorkeeper>,
    half_read: HalfRead,
    sessions: Sessions,
    /// For a gateway and for a reader, each also as it is where the keep alive was changed.
    configs: [[Arc<BrokerConfig>; 2]; 2],
    inbox: Inbox,
    stop: broadcast::Sender<()>,
}

/// The embedded broker.
pub(super) struct Embedded {
    shared: Arc<Shared>,
    tcp_port: u16,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    #[expect(clippy::disallowed_methods, reason = "environment: the port of the embedded broker")]
    pub(super) async fn start(
        tcp_port: u16,
        rights: Rights,
        inbox: Inbox,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, IngestError> {
        let failed = |source| IngestError::Embedded { tcp_port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, tcp_port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let clients = clients_max(files_max());
        let shared = Arc::new(Shared::new(clients, rights, inbox.clone(), clock));
        let accept = accept(listener, clients, Arc::clone(&shared));
        let task = tokio::spawn(watched(inbox.clone(), accept));
        inbox.connected();
        tracing::info!(%address, "embedded broker listens");
        let task = Mutex::new(Some(task));
        Ok(Self { shared, tcp_port: address.port(), task })
    }
}

impl Shared {
    fn new(clients: usize, rights: Rights, inbox: Inbox, clock: Arc<dyn Clock>) -> Self {
        let sessions = Sessions::new(inbox.clone());
        let hook: Arc<dyn BrokerEventHandler> = Arc::new(Hook { inbox: inbox.clone() });
        let limits = QueueLimits {
            max_messages: CLIENT_BACKLOG_MESSAGES_MAX,
            max_bytes: CLIENT_BACKLOG_BYTES_MAX,
        };
        let router = MessageRouter::new()
            .with_fallback_queue_limits(limits)
            .with_event_handler(Arc::clone(&hook))
            .with_retained_limits(RETAINED_MAX, RETAINED_BYTES_MAX);
        let monitor = ResourceMonitor::new(resource_limits(clients));
        let config = |packet_bytes_max, keep_alive| {
            let mut config = config(packet_bytes_max, Arc::clone(&hook));
            config.server_keep_alive = keep_alive;
            Arc::new(config)
        };
        let configs = [PACKET_BYTES_MAX, READER_PACKET_BYTES_MAX]
            .map(|bytes| [config(bytes, None), config(bytes, Some(KEEP_ALIVE_MAX))]);
        Self {
            router: Arc::new(router),
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(monitor),
            doorkeeper: Arc::new(Doorkeeper::new(rights, clock)),
            half_read: HalfRead::default(),
            sessions,
            configs,
            inbox,
            stop: broadcast::Sender::new(1),
        }
    }

    /// One client, from its CONNECT to its end.
    async fn serve(&self, mut stream: TcpStream, address: SocketAddr) {
        let mut arrived = match connect::read(&mut stream).await {
            Ok(arrived) => arrived,
            Err(e) => return tracing::debug!(%address, error = %e, "no connection"),
        };
        let packet = &mut arrived.packet;
        let client = packet.client_id.clone();
        let who = self.doorkeeper.rights.identify(
            &client,
            packet.username.as_deref(),
            packet.password.as_deref(),
        );
        if let Err(denied @ (Denied::Password | Denied::Unlisted)) = who {
            self.doorkeeper.tell(|not_told| {
                tracing::warn!(client, reason = %denied, not_told, "client refused");
            });
        }
        let is_refused = who.is_err();
        let gateway = who.ok().flatten();
        // Its uplink has its own name; a reader in its name is no sign that it is there.
        let uplink = gateway.clone().filter(|gateway| client == gateway.as_str());
        let _session = uplink.map(|gateway| self.sessions.begin(gateway));
        let changed = connect::change(packet, gateway.as_ref());
        // A client that is refused has no will at all.
        if let Some(will) = changed.will.filter(|_| !is_refused) {
            self.doorkeeper.tell(|not_told| {
                tracing::warn!(
                    client,
                    will,
                    not_told,
                    "will dropped: only a gateway may write, and only its own topics"
                );
            });
        }
        let [of_gateway, of_reader] = &self.configs;
        let [plain, with_keep_alive] = if gateway.is_some() { of_gateway } else { of_reader };
        let config = if changed.keep_alive { with_keep_alive } else { plain };
        let framer = Framer::new(gateway, packet.protocol_version);
        let guarded = connect::encode(packet).map_err(|e| e.to_string()).and_then(|connect| {
            let share = self.half_read.share();
            Guarded::new(stream, connect, &arrived.behind, framer, share).map_err(|e| e.to_string())
        });
        let guarded = match guarded {
            Ok(guarded) => guarded,
            Err(error) => return tracing::debug!(client, error, "no connection"),
        };
        let handler = ClientHandler::new(
            BrokerTransport::WebSocket(Box::new(guarded)),
            address,
            Arc::clone(config),
            Arc::clone(&self.router),
            Arc::clone(&self.doorkeeper) as Arc<dyn AuthProvider>,
            None,
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.stop.subscribe(),
        );
        if let Err(e) = handler.run().await {
            tracing::debug!(client, error = %e, "connection ended");
        }
    }
}

/// Takes connections until told to stop.
async fn accept(listener: TcpListener, clients: usize, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(clients));
    let mut stop = shared.stop.subscribe();
    let mut connections = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                note_end(ended, &shared.inbox);
                continue;
            }
            _ = sweep.tick() => {
                shared.router.sweep_sessions().await;
                shared.monitor.cleanup_expired_windows().await;
                continue;
            }
            _ = stop.recv() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Mostly no file descriptor: another connection must end first.
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_WAIT).await;
                continue;
            }
        };
        tracing::debug!(%address, "client connects");
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            tracing::debug!(%address, clients, "connection refused: there are as many as may be");
            continue;
        };
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!(error = %e, "small messages may be delayed");
        }
        let (shared, mut stop) = (Arc::clone(&shared), shared.stop.subscribe());
        connections.spawn(async move {
            tokio::select! {
                () = shared.serve(stream, address) => {}
                // The handler has its own ear for this; it is cut where it does not end.
                () = async { drop(stop.recv().await); tokio::time::sleep(FAREWELL).await; } => {}
            }
            drop(place);
        });
    }
    while let Some(ended) = connections.join_next().await {
        note_end(ended, &shared.inbox);
    }
}

/// A connection ended. One that panicked costs its own client, which connects again, and nobody else.
fn note_end(ended: Result<(), JoinError>, inbox: &Inbox) {
    if let Err(e) = ended {
        tracing::error!(error = %e, "the task of a connection failed; its client has to connect again");
        inbox.connection_failed();
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

/// What `mqtt5` is to refuse by itself: too many connections, and nothing else. Its rates are counted per window, so its
/// defaults are 1 000 messages and 10 MiB a minute for each client and 100 new connections a minute in all: a gateway
/// that catches up, or that returns after a power cut together with the whole site, would be refused. What a client
/// sends is bounded by its share of the inbox, and by what it may leave half read.
fn resource_limits(clients: usize) -> ResourceLimits {
    ResourceLimits {
        max_connections: clients,
        max_connections_per_ip: clients,
        // None.
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        // It remembers each connection of the window, so this bounds that list.
        max_connection_rate: CONNECTIONS_PER_WINDOW_MAX,
        rate_limit_window: CONNECTION_WINDOW,
    }
}

fn config(packet_bytes_max: usize, hook: Arc<dyn BrokerEventHandler>) -> BrokerConfig {
    // No storage: what is retained and queued lives in memory, and nothing is written beside the store.
    let storage = StorageConfig::default().with_persistence(false);
    BrokerConfig::default()
        .with_max_packet_size(packet_bytes_max)
        .with_maximum_qos(1)
        .with_server_receive_maximum(RECEIVE_MAX)
        .with_client_channel_capacity(CLIENT_QUEUE_MAX)
        .with_max_subscriptions_per_client(SUBSCRIPTIONS_MAX)
        .with_max_retained_messages(RETAINED_MAX)
        .with_max_retained_message_size(RETAINED_BYTES_MAX)
        .with_sys_topics_enabled(false)
        .with_storage(storage)
        .with_event_handler(hook)
}

#[async_trait]
impl Broker for Embedded {
    #[expect(
        clippy::disallowed_methods,
        reason = "environment: the router asks for a moment of tokio's clock"
    )]
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let qos = if message.at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let packet =
            PublishPacket::new(message.topic, message.payload, qos).with_retain(message.retain);
        let deadline = tokio::time::Instant::now() + ROUTE_WAIT_MAX;
        self.shared.router.route_message_with_deadline(&packet, None, deadline).await;
        Ok(())
    }

    fn tcp_port(&self) -> Option<u16> {
        Some(self.tcp_port)
    }

    async fn stop(&self, limit: Duration) {
        let task = self.task.lock().ok().and_then(|mut task| task.take());
        let Some(task) = task else { return };
        tokio::time::sleep(FAREWELL).await;
        // Without a receiver there is nobody to stop.
        drop(self.shared.stop.send(()));
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

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl BrokerEventHandler for Hook {
    fn on_client_publish(&self, event: ClientPublishEvent) -> Answer<'_, PublishAction> {
        // PUBACK promises nothing (INV-5): it goes at once, whatever became of the message.
        let action = if let Some(gateway) = topic::gateway_of_up(&event.topic) {
            self.inbox.offer(gateway, event.payload);
            PublishAction::Handled
        } else if let Some(gateway) = topic::gateway_of_state(&event.topic) {
            self.inbox.presence(gateway, &event.payload);
            PublishAction::Handled
        } else {
            PublishAction::Continue
        };
        Box::pin(std::future::ready(action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_panics_is_counted_and_costs_nobody_else() {
        let (inbox, reader) = crate::inbox::inbox();
        let mut connections = JoinSet::new();
        connections.spawn(async { panic!("planted by a test") });
        connections.spawn(async {});
        while let Some(ended) = connections.join_next().await {
            note_end(ended, &inbox);
        }
        assert_eq!(reader.connections_failed(), 1);
    }

    /// The defaults of `mqtt5` refused a gateway that caught up with more than 1 000 messages or 10 MiB in a minute, and the
    /// 101st client that came in a minute.
    #[tokio::test]
    async fn a_gateway_that_catches_up_is_not_slowed_and_a_whole_site_may_come_at_once() {
        let monitor = ResourceMonitor::new(resource_limits(CLIENTS_MAX));
        let address = Ipv4Addr::LOCALHOST.into();
        for client in 0..1_000 {
            assert!(monitor.can_accept_connection(address).await, "client {client}");
            monitor.register_connection(format!("gw-{client}"), address).await;
        }
        for message in 0..3_000 {
            assert!(monitor.can_send_message("gw-1", 1 << 20).await, "message {message}");
        }
        let monitor = ResourceMonitor::new(resource_limits(1));
        monitor.register_connection("gw-1", address).await;
        assert!(!monitor.can_accept_connection(address).await, "more than there may be");
    }

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
