//! The connection to the broker: publishes messages at QoS 1 and hands over commit acks. A broken connection is thrown
//! away with all its state and made anew: what was under way is in the spool, and the uplink sends it again. Must
//! never know the spool.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use driver::Backoff;
use model::host::Entropy;
use model::{Ack, GatewayId, topic};
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::settings::UplinkSettings;

/// Messages handed to the connection and not yet on the wire.
const REQUESTS_QUEUED_MAX: usize = 16;
/// Messages on the wire without PUBACK.
const IN_FLIGHT_MAX: u16 = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Silence after CONNECT or during TCP and TLS set-up.
const CONNECT_TIMEOUT_S: u64 = 5;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// An ack is a small text; anything longer is not ours.
const INCOMING_BYTES_MAX: u32 = 64 * 1024;

/// The connection of the moment.
#[derive(Clone, Default)]
pub struct Connection {
    /// Publishes on it; `None` while there is none.
    pub client: Option<AsyncClient>,
    /// Why there is none, for people.
    pub reason: Option<String>,
}

/// Why a connection cannot even be tried.
#[derive(Debug, Error)]
pub enum MqttError {
    /// The URL is not one of a broker.
    #[error("uplink url `{url}`: expected `mqtt://host:1883` or `mqtts://host:8883`")]
    Url {
        /// What was given.
        url: String,
    },
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
    options: MqttOptions,
    gateway: GatewayId,
    backoff_max: Duration,
}

impl Broker {
    /// Reads the certificate and password files and checks the URL. Opens no connection.
    pub fn new(settings: &UplinkSettings, gateway: &GatewayId) -> Result<Self, MqttError> {
        let wrong_url = || MqttError::Url { url: settings.url.clone() };
        let url = url::Url::parse(&settings.url).map_err(|_| wrong_url())?;
        let secure = url.scheme() == "mqtts";
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong_url)?;
        let tcp_port = url.port().unwrap_or(if secure { 8883 } else { 1883 });
        let mut options = MqttOptions::new(gateway.as_str(), host, tcp_port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_connection_timeout(CONNECT_TIMEOUT_S);
        options.set_clean_start(true);
        options.set_max_packet_size(Some(INCOMING_BYTES_MAX));
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        if let Some((user, file)) = &settings.credentials {
            let text = read(file, "the password file")?;
            options.set_credentials(user, text.lines().next().unwrap_or_default());
        }
        if secure {
            let path = settings.ca_file.clone().unwrap_or_default();
            options.set_transport(tls(&path)?);
        }
        Ok(Self { options, gateway: gateway.clone(), backoff_max: settings.backoff_max })
    }

    /// Keeps a connection until `stop`; a lost one is replaced after a wait with jitter. An ack that finds the queue
    /// full is dropped: acks are cumulative, and the uplink asks again.
    pub async fn run(
        self,
        entropy: Arc<dyn Entropy>,
        connection: watch::Sender<Connection>,
        acks: mpsc::Sender<Ack>,
        stop: CancellationToken,
    ) {
        let mut backoff = Backoff::new(BACKOFF_MIN.min(self.backoff_max), self.backoff_max);
        while !stop.is_cancelled() {
            let (client, mut eventloop) =
                AsyncClient::new(self.options.clone(), REQUESTS_QUEUED_MAX);
            let ended = tokio::select! {
                reason = self.serve(&client, &mut eventloop, &connection, &acks, &mut backoff) => reason,
                () = stop.cancelled() => {
                    self.say_goodbye(&client, &mut eventloop).await;
                    return;
                }
            };
            // Whoever waits to publish on it must hear at once that it is gone.
            drop(eventloop);
            tracing::debug!(reason = ended, "broker connection ended");
            connection.send_replace(Connection { client: None, reason: Some(ended) });
            let mut chance = [0; 8];
            entropy.fill(&mut chance);
            let wait = backoff.after_failure(u64::from_le_bytes(chance));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Drives one connection until it breaks; returns why.
    async fn serve(
        &self,
        client: &AsyncClient,
        eventloop: &mut EventLoop,
        connection: &watch::Sender<Connection>,
        acks: &mpsc::Sender<Ack>,
        backoff: &mut Backoff,
    ) -> String {
        loop {
            let event = match eventloop.poll().await {
                Ok(Event::Incoming(packet)) => packet,
                Ok(Event::Outgoing(_)) => continue,
                Err(e) => return in_words(&e),
            };
            match event {
                Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                    if let Err(e) =
                        client.try_subscribe(topic::ack(&self.gateway), QoS::AtLeastOnce)
                    {
                        return format!("cannot subscribe to the commit acks: {e}");
                    }
                }
                // Only now an ack can reach us: sending before would wait for one in vain.
                Packet::SubAck(ack) => {
                    if let Some(code) = ack.return_codes.iter().find(|code| !is_granted(**code)) {
                        let topic = topic::ack(&self.gateway);
                        return format!("broker does not let us read `{topic}`: {code:?}");
                    }
                    connection
                        .send_replace(Connection { client: Some(client.clone()), reason: None });
                }
                Packet::PubAck(ack) => match ack.reason {
                    // A session begins with a message, so each one that is good comes by here.
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => backoff.reset(),
                    reason => {
                        let topic = topic::up(&self.gateway);
                        return format!("broker does not let us write to `{topic}`: {reason:?}");
                    }
                },
                Packet::Publish(message) => match Ack::from_json(&message.payload) {
                    Ok(ack) => {
                        if acks.try_send(ack).is_err() {
                            tracing::debug!("commit ack dropped: the queue is full");
                        }
                    }
                    Err(e) => tracing::warn!(error = in_words(&e), "commit ack not followed"),
                },
                Packet::Disconnect(packet) => {
                    return format!("broker said goodbye: {:?}", packet.reason_code);
                }
                _ => {}
            }
        }
    }

    /// Asks for a clean end and drives the connection until it is sent, at most a moment long.
    async fn say_goodbye(&self, client: &AsyncClient, eventloop: &mut EventLoop) {
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

/// The whole chain of an error on one line: the outermost alone says little.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

fn read(path: &std::path::Path, what: &'static str) -> Result<String, MqttError> {
    let named = |source| MqttError::File { what, path: path.to_owned(), source };
    std::fs::read_to_string(path).map_err(named)
}

fn tls(ca_file: &std::path::Path) -> Result<Transport, MqttError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let text = read(ca_file, "the certificates to trust")?;
    let wrong = || MqttError::Certificate { path: ca_file.display().to_string() };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    if roots.is_empty() {
        return Err(wrong());
    }
    // The provider is named, so that a second one linked by another crate cannot make the choice ambiguous.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| wrong())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(Arc::new(config))))
}

#[cfg(test)]
mod tests;
