//! A broker elsewhere, through `rumqttc`. A broken connection is thrown away with all its state and replaced by a new one,
//! which also ends the client's known lock-up after a lost session: what was under way is in the gateways' spools. Must
//! never know what a message means.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_link::{Bridge, Program};
use model::host::{Clock, Entropy};
use model::topic;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Packet, PubAckReason, Publish, PublishProperties, SubAck,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::options::{self, Access};
use super::{Broker, Message, PublishError, watched};
use crate::error::IngestError;
use crate::inbox::Inbox;
use crate::settings::UrlBroker;

/// Messages handed to the connection and not yet on the wire.
const REQUESTS_QUEUED_MAX: usize = 64;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// A connection that lasted so long was a good one: the next wait is short. One that breaks at once raises the wait.
const GOOD_AFTER: Duration = Duration::from_secs(30);
/// Room for what a PUBLISH has besides topic and payload: fixed header (5), lengths (2 + 4), packet id (2) and the message
/// expiry (5); MQTT 5 §3.3.
const HEADER_BYTES_MAX: usize = 18;
/// Longest wait for the goodbye to be sent.
const GOODBYE: Duration = Duration::from_millis(300);

/// A connection that is up, and what its broker allows.
#[derive(Clone)]
struct Up {
    client: AsyncClient,
    /// Retained messages are kept; a message that asks for it elsewhere ends the connection (MQTT 5 §3.2.2.3.14).
    retain: bool,
    packet_bytes_max: usize,
}

/// The connection to a broker.
pub(super) struct External {
    client: watch::Receiver<Option<Up>>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the task of a connection needs.
struct Link {
    access: Access,
    url: String,
    retry_max: Duration,
    inbox: Inbox,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    client: watch::Sender<Option<Up>>,
    stop: CancellationToken,
}

impl External {
    /// Checks the settings and begins to connect; whether it comes about is a status.
    pub(super) fn start(
        broker: &UrlBroker,
        retry_max: Duration,
        inbox: Inbox,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, IngestError> {
        let access = Access::new(broker, entropy.as_ref())?;
        let (sender, client) = watch::channel(None);
        let stop = CancellationToken::new();
        let url = broker.url.clone();
        let link = Link {
            access,
            url,
            retry_max,
            inbox,
            clock,
            entropy,
            client: sender,
            stop: stop.clone(),
        };
        let task = tokio::spawn(watched(link.inbox.clone(), link.run()));
        let task = Mutex::new(Some(task));
        Ok(Self { client, stop, task })
    }
}

#[async_trait]
impl Broker for External {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let up = self.client.borrow().clone().ok_or(PublishError::NotConnected)?;
        let bytes = message.topic.len() + message.payload.len() + HEADER_BYTES_MAX;
        if bytes > up.packet_bytes_max {
            return Err(PublishError::TooLarge { bytes, max: up.packet_bytes_max });
        }
        let qos = if message.at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let retain = message.retain && up.retain;
        let (topic, payload, client) = (message.topic, message.payload, up.client);
        let published = match message.expiry {
            Some(expiry) => {
                let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
                let properties = PublishProperties {
                    message_expiry_interval: Some(seconds),
                    ..PublishProperties::default()
                };
                client.publish_with_properties(topic, qos, retain, payload, properties).await
            }
            None => client.publish(topic, qos, retain, payload).await,
        };
        published.map_err(|_| PublishError::NotConnected)
    }

    fn tcp_port(&self) -> Option<u16> {
        None
    }

    async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        let task = self.task.lock().ok().and_then(|mut task| task.take());
        let Some(task) = task else { return };
        let abort = task.abort_handle();
        if tokio::time::timeout(limit, task).await.is_err() {
            abort.abort();
        }
    }
}

impl Link {
    #[expect(clippy::disallowed_methods, reason = "environment: the connection to the broker")]
    async fn run(self) {
        let mut wait_max = BACKOFF_MIN;
        let mut said = None;
        loop {
            let mut up_since = None;
            let ended = match self.access.next_connection() {
                Ok((options, mut bridge)) => {
                    let (client, mut eventloop) = AsyncClient::new(options, REQUESTS_QUEUED_MAX);
                    let link = (&client, &mut eventloop, bridge.as_mut());
                    // Whoever waits to publish on it hears at once that it is gone: it is dropped here.
                    tokio::select! {
                        ended = self.serve(link, &mut up_since) => ended,
                        () = self.stop.cancelled() => {
                            return say_goodbye(&client, &mut eventloop).await;
                        }
                    }
                }
                Err(e) => e.to_string(),
            };
            self.client.send_replace(None);
            self.inbox.disconnected();
            let lasted = up_since.map(|since| self.clock.monotonic().saturating_sub(since));
            let was_good = lasted.is_some_and(|lasted| lasted >= GOOD_AFTER);
            wait_max = if was_good { BACKOFF_MIN } else { (wait_max * 2).min(self.retry_max) };
            // The same reason is named once, until the connection was a good one again.
            if was_good || said.as_deref() != Some(ended.as_str()) {
                tracing::warn!(url = %self.url, reason = %ended, "no connection to the broker, trying again");
                said = Some(ended);
            }
            tokio::select! {
                () = tokio::time::sleep(self.jitter(wait_max)) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Drives one connection until it breaks; says why. Nothing here waits for anything but the network.
    async fn serve(
        &self,
        (client, eventloop, bridge): (&AsyncClient, &mut EventLoop, Option<&mut Bridge>),
        up_since: &mut Option<Duration>,
    ) -> String {
        let mut up = Up { client: client.clone(), retain: true, packet_bytes_max: usize::MAX };
        let mut refusal_told = false;
        loop {
            let packet = match eventloop.poll().await {
                Ok(Event::Incoming(packet)) => packet,
                Ok(Event::Outgoing(_)) => continue,
                Err(e) => return Program::Centre.ended(&e, bridge).await,
            };
            match packet {
                // No session is relied on: each connection subscribes.
                Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                    if let Some(fault) = Program::Centre.fault_of(&ack) {
                        return fault;
                    }
                    up.respect(&ack);
                    // MQTT 5, 3.1.2.10: a keep alive of 0 turns it off. The client would ping without a pause, and a
                    // dead connection must be found, so ours holds.
                    if eventloop.options.keep_alive().is_zero() {
                        eventloop.options.set_keep_alive(options::KEEP_ALIVE);
                    }
                    for filter in [topic::UP_FILTER, topic::STATE_FILTER] {
                        if let Err(e) = client.try_subscribe(filter, QoS::AtLeastOnce) {
                            return format!("cannot subscribe: {e}");
                        }
                    }
                }
                // The first answer is that for the gateways' messages: only now they may be told to send.
                Packet::SubAck(ack) => {
                    let of_messages = up_since.is_none();
                    let filter = if of_messages { topic::UP_FILTER } else { topic::STATE_FILTER };
                    if let Some(refusal) = refusal_of(filter, &ack) {
                        if of_messages {
                            return refusal;
                        }
                        tracing::warn!(reason = %refusal, "a gateway that is cut off stays online here");
                    }
                    if !of_messages {
                        continue;
                    }
                    *up_since = Some(self.clock.monotonic());
                    tracing::info!(url = %self.url, "connected to the broker");
                    if !up.retain {
                        tracing::warn!(
                            "broker keeps no retained messages: a new subscriber sees a value when it changes"
                        );
                    }
                    self.client.send_replace(Some(up.clone()));
                    self.inbox.connected();
                }
                Packet::Publish(message) => self.received(&message),
                Packet::PubAck(ack) => match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {}
                    // Once: there is one for each ack.
                    reason if !std::mem::replace(&mut refusal_told, true) => {
                        let text = ack.properties.as_ref().and_then(|p| p.reason_string.as_deref());
                        let reason = Program::Centre.refused("publish", &reason, text);
                        tracing::warn!(%reason, "commit acks or live topics do not arrive");
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn received(&self, message: &Publish) {
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        if let Some(gateway) = topic::gateway_of_up(topic) {
            self.inbox.offer(gateway, message.payload.clone());
        } else if let Some(gateway) = topic::gateway_of_state(topic) {
            self.inbox.presence(gateway, &message.payload);
        } else {
            self.inbox.no_gateway();
        }
    }

    /// Any time up to `max`, so that many clients of one broker do not come at once.
    fn jitter(&self, max: Duration) -> Duration {
        let mut chance = [0; 4];
        self.entropy.fill(&mut chance);
        max.mul_f64(f64::from(u32::from_le_bytes(chance)) / f64::from(u32::MAX))
    }
}

/// Why we may not read `filter`.
fn refusal_of(filter: &str, ack: &SubAck) -> Option<String> {
    let granted = |code: &SubscribeReasonCode| {
        matches!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce))
    };
    let code = ack.return_codes.iter().find(|code| !granted(code))?;
    let text = ack.properties.as_ref().and_then(|properties| properties.reason_string.as_deref());
    Some(Program::Centre.refused(&format!("read `{filter}`"), code, text))
}

async fn say_goodbye(client: &AsyncClient, eventloop: &mut EventLoop) {
    if client.try_disconnect().is_ok() {
        let drain = async { while eventloop.poll().await.is_ok() {} };
        if tokio::time::timeout(GOODBYE, drain).await.is_err() {
            tracing::debug!("broker did not take our goodbye in time");
        }
    }
}

impl Up {
    /// Notes what the broker allows. (`rumqttc` itself keeps to its receive maximum.)
    fn respect(&mut self, ack: &ConnAck) {
        let Some(properties) = &ack.properties else { return };
        self.retain = properties.retain_available != Some(0);
        let max = properties.max_packet_size.and_then(|max| usize::try_from(max).ok());
        self.packet_bytes_max = max.unwrap_or(usize::MAX);
    }
}
