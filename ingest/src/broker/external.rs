//! A broker elsewhere, through `rumqttc`. A broken connection is thrown away with all its state and replaced by a new
//! one, which also ends the client's known lock-up after a lost session: what was under way is in the gateways' spools.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use broker_link::{Breaks, Bridge, Program, Stage};
use model::host::{Clock, Entropy};
use model::topic;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Packet, PubAck, PubAckReason, Publish, PublishProperties, SubAck,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::options::{self, Access};
use super::sent::{Kind, Sent};
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
/// A live message is never found too large below this: a value with its topic has its room there.
const LIVE_PACKET_BYTES_MIN: usize = 256;
/// A connection that begins so long after live messages became shorter tries long ones again: the broker may take them by
/// now.
const SHORT_FOR: Duration = Duration::from_hours(1);
/// Longest wait for the goodbye to be sent.
const GOODBYE: Duration = Duration::from_millis(300);

/// A connection that is up, and what its broker allows.
#[derive(Clone)]
struct Up {
    client: AsyncClient,
    /// Retained messages are kept; a message that asks for it elsewhere ends the connection (MQTT 5 §3.2.2.3.14).
    retain: bool,
    packet_bytes_max: usize,
    /// The same for live messages: less where the broker found one too large without having named a limit.
    live_bytes_max: usize,
    sent: Arc<Sent>,
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
    /// What the broker turned out to take of live messages.
    live_bytes_max: AtomicUsize,
    breaks: Mutex<Breaks>,
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
            live_bytes_max: AtomicUsize::new(usize::MAX),
            breaks: Mutex::default(),
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
        let kind = Kind::of(&message.topic);
        let max = if kind == Kind::Live { up.live_bytes_max } else { usize::MAX };
        let max = max.min(up.packet_bytes_max);
        if bytes > max {
            return Err(PublishError::TooLarge { bytes, max });
        }
        up.sent.queued(kind, bytes, message.at_least_once);
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
        let mut learnt_at = None;
        loop {
            let mut up_since = None;
            let is_over =
                |at: &mut Duration| self.clock.monotonic().saturating_sub(*at) >= SHORT_FOR;
            if learnt_at.take_if(is_over).is_some() {
                self.live_bytes_max.store(usize::MAX, Ordering::Relaxed);
            }
            let live_bytes_max = self.live_bytes_max.load(Ordering::Relaxed);
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
            let now = self.clock.monotonic();
            let lasted = up_since.map(|since| now.saturating_sub(since));
            let was_good = lasted.is_some_and(|lasted| lasted >= GOOD_AFTER);
            // It found a message too large, and is given shorter ones: the next try is another one.
            let has_learnt = self.live_bytes_max.load(Ordering::Relaxed) < live_bytes_max;
            learnt_at = if has_learnt { Some(now) } else { learnt_at };
            wait_max = if was_good || has_learnt {
                BACKOFF_MIN
            } else {
                (wait_max * 2).min(self.retry_max)
            };
            // The same reason is named once, until the connection was there again.
            if (lasted.is_some() || said.as_deref() != Some(ended.as_str()))
                && self.told_break(lasted.is_some(), now, &ended)
            {
                said = Some(ended);
            }
            tokio::select! {
                () = tokio::time::sleep(self.jitter(wait_max)) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Tells why there is no connection, unless one that comes and goes was told lately; whether it did.
    fn told_break(&self, was_up: bool, now: Duration, reason: &str) -> bool {
        let mut breaks = self.breaks.lock().unwrap_or_else(PoisonError::into_inner);
        if was_up {
            breaks.broke(now);
        }
        let (tells, url) = (breaks.tells(now), &self.url);
        self.inbox.broke(breaks.in_last_minute(now));
        match breaks.in_last_minute(now) {
            _ if !tells => {}
            0 | 1 => tracing::warn!(%url, %reason, "no connection to the broker, trying again"),
            breaks => tracing::warn!(
                %url,
                %reason,
                breaks,
                "the connection to the broker comes and goes: so many breaks in the last minute; told once a minute"
            ),
        }
        tells
    }

    /// Tells that it is there, as [`Self::told_break`]; `late` where that was not told when it came.
    fn tell_connected(&self, late: bool) {
        let now = self.clock.monotonic();
        let mut breaks = self.breaks.lock().unwrap_or_else(PoisonError::into_inner);
        let tells = if late { breaks.tells_late(now) } else { breaks.tells(now) };
        self.inbox.broke(breaks.in_last_minute(now));
        match breaks.in_last_minute(now) {
            _ if !tells => {}
            0 | 1 => tracing::info!(url = %self.url, "connected to the broker"),
            breaks => tracing::info!(
                url = %self.url,
                breaks,
                "connected to the broker again: so many breaks in the last minute; told once a minute"
            ),
        }
    }

    /// Drives one connection until it breaks; says why. Nothing here waits for anything but the network.
    async fn serve(
        &self,
        (client, eventloop, bridge): (&AsyncClient, &mut EventLoop, Option<&mut Bridge>),
        up_since: &mut Option<Duration>,
    ) -> String {
        let sent = Arc::new(Sent::default());
        let mut up = Up {
            client: client.clone(),
            retain: true,
            packet_bytes_max: usize::MAX,
            live_bytes_max: self.live_bytes_max.load(Ordering::Relaxed),
            sent: Arc::clone(&sent),
        };
        let mut stage = Stage::Connecting;
        let mut told = BTreeSet::new();
        loop {
            let packet = match eventloop.poll().await {
                Ok(Event::Incoming(packet)) => packet,
                Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                    sent.on_wire(id);
                    continue;
                }
                Ok(Event::Outgoing(Outgoing::PingReq)) => {
                    self.tell_connected(true);
                    continue;
                }
                Ok(Event::Outgoing(_)) => continue,
                Err(e) => {
                    if broker_link::is_too_large(&e) {
                        let shorter = (sent.longest_live() / 2).max(LIVE_PACKET_BYTES_MIN);
                        self.live_bytes_max.fetch_min(shorter, Ordering::Relaxed);
                    }
                    let server = broker_link::other_server(eventloop);
                    return Program::Centre.ended(&e, stage, server, bridge).await;
                }
            };
            match packet {
                // No session is relied on: each connection subscribes.
                Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                    stage = Stage::Connected;
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
                    self.tell_connected(false);
                    if !up.retain {
                        tracing::warn!(
                            "broker keeps no retained messages: a new subscriber sees a value when it changes"
                        );
                    }
                    self.client.send_replace(Some(up.clone()));
                    self.inbox.connected();
                }
                Packet::Publish(message) => self.received(&message),
                Packet::PubAck(ack) => {
                    // Once for each kind: there is one for each message.
                    if let Some(refusal) = refusal_to_write(&sent, &ack, &mut told) {
                        tracing::warn!("{refusal}");
                    }
                }
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

/// Why we may not publish what stands behind this PUBACK, and what follows; `None` where we may, or that kind was `told`.
fn refusal_to_write(sent: &Sent, ack: &PubAck, told: &mut BTreeSet<Kind>) -> Option<String> {
    if matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
        return None;
    }
    let kind = sent.kind_of(ack.pkid);
    let text = ack.properties.as_ref().and_then(|properties| properties.reason_string.as_deref());
    told.insert(kind).then(|| {
        let refusal = Program::Centre.refused(kind.what(), &ack.reason, text);
        format!("{}: {refusal}", kind.consequence())
    })
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
