//! The connection to the broker: publishes messages at QoS 1 and hands over commit acks. A broken connection is thrown
//! away with all its state and made anew: what was under way is in the spool, and the uplink sends it again. Must
//! never know the spool.
//!
//! The broker's limits hold: no message is longer than the maximum packet size of its CONNACK (the uplink sends a longer
//! one in parts), its receive maximum and keep-alive are those of the connection, and a reason code is named with what to
//! change. Only committed progress, or a connection that held for long, makes the next wait short again.

mod unreadable;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_link::{Bridge, Program, Stage, Way};
use config::{BrokerUrl, BrokerUrlFault, Secret, without_credentials};
use driver::Backoff;
use model::host::Clock;
use model::wire::{MESSAGE_BYTES_MAX, PART_MESSAGE_BYTES_MIN};
use model::{Ack, GatewayId, topic};
use rumqttc::Outgoing as Sent;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::settings::UplinkSettings;
use crate::transport::{BoxFuture, Broken, Channels, Connection, Outgoing, Transport};

/// Messages handed to the connection and not yet on the wire.
const REQUESTS_QUEUED_MAX: usize = 16;
/// Messages on the wire without PUBACK.
const IN_FLIGHT_MAX: u16 = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Silence after CONNECT or during set-up of TCP, TLS and WebSocket.
const CONNECT_TIMEOUT_S: u64 = 5;
/// A connection that begins so long after packets became shorter tries long ones again: the broker may take them by now.
const SHORT_FOR: Duration = Duration::from_hours(1);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// A connection that held so long is a good one, also where there was nothing to commit.
const HELD_LONG: Duration = Duration::from_mins(1);
/// An ack is a small text; anything longer is not ours.
const INCOMING_BYTES_MAX: u32 = 64 * 1024;
/// What a PUBLISH has around its message and its topic: fixed header, length of the topic, packet id, properties.
const PUBLISH_BYTES: usize = 5 + 2 + 2 + 1;

/// Why a connection cannot even be tried.
#[derive(Debug, Error)]
pub enum MqttError {
    /// The URL is not one of a broker.
    #[error("uplink url `{}`: {fault}", without_credentials(url))]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        fault: BrokerUrlFault,
    },
    /// No `ca_file` is given, and the system trusts nobody.
    #[error("the system has no certificate authorities: {why}")]
    NoSystemCertificates {
        /// What was found.
        why: String,
    },
    /// The password cannot be used.
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
    #[error("no usable certificate in `{path}`: expected PEM")]
    Certificate {
        /// Where they were expected.
        path: String,
    },
}

/// The broker and how to reach it, checked.
#[derive(Clone)]
pub struct Broker {
    way: Way,
    /// User and password.
    credentials: Option<(String, Secret)>,
    gateway: GatewayId,
    backoff_max: Duration,
}

/// What is known of the connections so far.
struct Known {
    backoff: Backoff,
    /// Most bytes of a packet; half of the longest one that was sent, after the broker called one too large without having
    /// named a limit.
    packet_bytes_max: usize,
    /// When it was made shorter last.
    shortened_at: Option<Duration>,
    unreadable: unreadable::Unreadable,
}

impl Known {
    /// The broker called a packet too large, and the longest one had `sent` bytes: that one was too large in any case. The
    /// next try comes soon, since it is another one: there are as many as halvings down to `smallest`, below which no part
    /// fits. At `smallest` it goes on, for the limit may be raised without a restart here.
    fn shorten(&mut self, sent: usize, smallest: usize, now: Duration) {
        let shorter = (sent / 2).max(smallest);
        self.shortened_at = Some(now);
        if shorter < self.packet_bytes_max {
            self.packet_bytes_max = shorter;
            self.backoff.reset();
        }
    }

    /// A connection begins.
    fn try_long_again(&mut self, now: Duration) {
        let is_over = |at: &mut Duration| now.saturating_sub(*at) >= SHORT_FOR;
        if self.shortened_at.take_if(is_over).is_some() {
            self.packet_bytes_max = MESSAGE_BYTES_MAX;
        }
    }
}

impl Broker {
    /// Reads the certificate and password files and checks the URL. Opens no connection.
    pub fn new(settings: &UplinkSettings, gateway: &GatewayId) -> Result<Self, MqttError> {
        let wrong_url = |fault| MqttError::Url { url: settings.url.clone(), fault };
        let url = BrokerUrl::read(&settings.url).map_err(wrong_url)?;
        let tls = url.is_encrypted().then(|| tls(settings.ca_file.as_deref())).transpose()?;
        let way = Way::new(&url, tls, INCOMING_BYTES_MAX as usize);
        let credentials = match &settings.credentials {
            Some((user, file)) => Some((user.clone(), config::read_secret(file)?)),
            None => None,
        };
        let (gateway, backoff_max) = (gateway.clone(), settings.backoff_max);
        Ok(Self { way, credentials, gateway, backoff_max })
    }

    fn options(&self, host: &str, tcp_port: u16) -> MqttOptions {
        let mut options = MqttOptions::new(self.gateway.as_str(), host, tcp_port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_connection_timeout(CONNECT_TIMEOUT_S);
        options.set_clean_start(true);
        options.set_max_packet_size(Some(INCOMING_BYTES_MAX));
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        // A broker says for it that it is gone, when it is killed or its network breaks.
        options.set_last_will(LastWill::new(
            topic::state(&self.gateway),
            topic::OFFLINE,
            QoS::AtLeastOnce,
            false,
            None,
        ));
        if let Some((user, password)) = &self.credentials {
            options.set_credentials(user, password.expose());
        }
        options
    }

    #[expect(clippy::disallowed_methods, reason = "environment: the connection to the broker")]
    async fn keep_connected(self, channels: Channels) {
        let Channels { connection, acks, progress, clock, entropy, stop } = channels;
        let mut known = Known {
            backoff: Backoff::new(BACKOFF_MIN.min(self.backoff_max), self.backoff_max),
            packet_bytes_max: MESSAGE_BYTES_MAX,
            shortened_at: None,
            unreadable: unreadable::Unreadable::new(Arc::clone(&clock)),
        };
        while !stop.is_cancelled() {
            let (began, committed) = (clock.monotonic(), *progress.borrow());
            known.try_long_again(began);
            let ended = match self
                .way
                .next_connection(|host, tcp_port| self.options(host, tcp_port))
            {
                Ok((options, mut bridge)) => {
                    let (client, mut eventloop) = AsyncClient::new(options, REQUESTS_QUEUED_MAX);
                    let link = (&client, &mut eventloop, bridge.as_mut());
                    // Whoever waits to publish on it hears at once that it is gone: it is dropped here.
                    tokio::select! {
                        reason = self.serve(link, &connection, &acks, (&mut known, &*clock)) => reason,
                        () = stop.cancelled() => {
                            self.say_goodbye(&client, &mut eventloop).await;
                            return;
                        }
                    }
                }
                Err(e) => e.to_string(),
            };
            tracing::debug!(reason = ended, "broker connection ended");
            connection.send_replace(Connection { outgoing: None, reason: Some(ended) });
            if *progress.borrow() != committed
                || clock.monotonic().saturating_sub(began) >= HELD_LONG
            {
                known.backoff.reset();
            }
            let mut chance = [0; 8];
            entropy.fill(&mut chance);
            let wait = known.backoff.after_failure(u64::from_le_bytes(chance));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Drives one connection until it ends; says why it did.
    async fn serve(
        &self,
        (client, eventloop, bridge): (&AsyncClient, &mut EventLoop, Option<&mut Bridge>),
        connection: &watch::Sender<Connection>,
        acks: &mpsc::Sender<Ack>,
        (known, clock): (&mut Known, &dyn Clock),
    ) -> String {
        let (up, down) = (topic::up(&self.gateway), topic::ack(&self.gateway));
        let mut packet_bytes_max = known.packet_bytes_max;
        let mut stage = Stage::Connecting;
        let longest_sent = Arc::new(AtomicUsize::new(0));
        loop {
            let event = match eventloop.poll().await {
                Ok(Event::Incoming(event)) => event,
                Ok(Event::Outgoing(sent)) => {
                    // A centre that came since, or missed the first one, hears it with each keep-alive.
                    if sent == Sent::PingReq {
                        self.say_state(client, topic::ONLINE);
                    }
                    continue;
                }
                Err(e) => {
                    if broker_link::is_too_large(&e) {
                        let sent = longest_sent.load(Ordering::Relaxed).min(packet_bytes_max);
                        let smallest = PART_MESSAGE_BYTES_MIN + PUBLISH_BYTES + up.len();
                        known.shorten(sent, smallest, clock.monotonic());
                    }
                    let server = broker_link::other_server(eventloop);
                    return Program::Gateway.ended(&e, stage, server, bridge).await;
                }
            };
            match event {
                Packet::ConnAck(ack) => {
                    stage = Stage::Connected;
                    if let Some(fault) = Program::Gateway.fault_of(&ack) {
                        return fault;
                    }
                    // MQTT 5, 3.1.2.10: a keep alive of 0 turns it off. The client would ping without a pause, and a
                    // dead connection must be found, so ours holds.
                    if eventloop.options.keep_alive().is_zero() {
                        eventloop.options.set_keep_alive(KEEP_ALIVE);
                    }
                    let limit = ack.properties.and_then(|known| known.max_packet_size);
                    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
                    packet_bytes_max =
                        limit.map_or(packet_bytes_max, |limit| limit.min(packet_bytes_max));
                    if let Err(e) = client.try_subscribe(&down, QoS::AtLeastOnce) {
                        return format!("cannot subscribe to the commit acks: {e}");
                    }
                }
                // Only now an ack can reach us: sending before would wait for one in vain.
                Packet::SubAck(ack) => {
                    if let Some(code) = ack.return_codes.iter().find(|code| !is_granted(**code)) {
                        let text = ack.properties.as_ref().and_then(|p| p.reason_string.as_deref());
                        return Program::Gateway.refused(&format!("read `{down}`"), code, text);
                    }
                    let around = PUBLISH_BYTES + up.len();
                    let message_bytes_max = packet_bytes_max.saturating_sub(around);
                    if message_bytes_max < PART_MESSAGE_BYTES_MIN {
                        return format!(
                            "broker takes packets of at most {packet_bytes_max} bytes: expected {} or more; raise its \
                             maximum packet size",
                            PART_MESSAGE_BYTES_MIN + around
                        );
                    }
                    let outgoing = Published {
                        client: client.clone(),
                        topic: up.clone(),
                        message_bytes_max,
                        longest_sent: Arc::clone(&longest_sent),
                    };
                    self.say_state(client, topic::ONLINE);
                    let outgoing: Option<Arc<dyn Outgoing>> = Some(Arc::new(outgoing));
                    connection.send_replace(Connection { outgoing, reason: None });
                }
                Packet::PubAck(ack) => match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {}
                    reason => {
                        let text = ack.properties.as_ref().and_then(|p| p.reason_string.as_deref());
                        return Program::Gateway.refused(
                            &format!("write to `{up}`"),
                            &reason,
                            text,
                        );
                    }
                },
                Packet::Publish(message) => match Ack::from_json(&message.payload) {
                    Ok(ack) => {
                        if acks.try_send(ack).is_err() {
                            tracing::debug!("commit ack dropped: the queue is full");
                        }
                    }
                    Err(e) => known.unreadable.note(&model::error_chain(&e)),
                },
                _ => {}
            }
        }
    }

    /// Says that it is there or goes. At QoS 0: without an answer, a broker whose rights are older than this topic loses
    /// nothing but this, and each frame says it as well.
    fn say_state(&self, client: &AsyncClient, state: &'static str) {
        let topic = topic::state(&self.gateway);
        if let Err(e) = client.try_publish(topic, QoS::AtMostOnce, false, state) {
            tracing::debug!(error = %e, state, "state was not published");
        }
    }

    /// Asks for a clean end and drives the connection until it is sent, at most a moment long.
    async fn say_goodbye(&self, client: &AsyncClient, eventloop: &mut EventLoop) {
        // A clean end takes the will back.
        self.say_state(client, topic::OFFLINE);
        if client.try_disconnect().is_ok() {
            let drain = async { while eventloop.poll().await.is_ok() {} };
            if tokio::time::timeout(Duration::from_millis(500), drain).await.is_err() {
                tracing::debug!("broker did not take our goodbye in time");
            }
        }
    }
}

/// Whether commit acks will come, each at least once.
fn is_granted(code: SubscribeReasonCode) -> bool {
    matches!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce))
}

fn read(path: &std::path::Path, what: &'static str) -> Result<String, MqttError> {
    let named = |source| MqttError::File { what, path: path.to_owned(), source };
    config::read_text(path, config::TEXT_BYTES_MAX).map_err(named)
}

fn tls(ca_file: Option<&std::path::Path>) -> Result<Arc<rustls::ClientConfig>, MqttError> {
    let roots = match ca_file {
        Some(path) => roots_of_file(path)?,
        None => roots_of_system()?,
    };
    // The provider is named, so that a second one linked by another crate cannot make the choice ambiguous.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots_of_file(path: &std::path::Path) -> Result<rustls::RootCertStore, MqttError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let text = read(path, "the certificates to trust")?;
    let wrong = || MqttError::Certificate { path: path.display().to_string() };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    if roots.is_empty() { Err(wrong()) } else { Ok(roots) }
}

/// The certificate authorities that the system trusts.
fn roots_of_system() -> Result<rustls::RootCertStore, MqttError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "none was found".to_owned(), ToString::to_string);
    Err(MqttError::NoSystemCertificates { why })
}

impl Transport for Broker {
    fn run(self: Box<Self>, channels: Channels) -> BoxFuture<'static, ()> {
        Box::pin(self.keep_connected(channels))
    }
}

/// Publishes on one connection.
struct Published {
    client: AsyncClient,
    topic: String,
    message_bytes_max: usize,
    /// Bytes of the longest packet that was handed over.
    longest_sent: Arc<AtomicUsize>,
}

impl Outgoing for Published {
    fn send(&self, message: Vec<u8>) -> BoxFuture<'_, Result<(), Broken>> {
        Box::pin(async move {
            let bytes = PUBLISH_BYTES + self.topic.len() + message.len();
            self.longest_sent.fetch_max(bytes, Ordering::Relaxed);
            let handed = self.client.publish(&self.topic, QoS::AtLeastOnce, false, message).await;
            handed.map_err(|_| Broken)
        })
    }

    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }
}

#[cfg(test)]
mod tests;
