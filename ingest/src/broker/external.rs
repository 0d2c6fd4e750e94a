//! A broker elsewhere, through `rumqttc`. A broken connection is thrown away with all its state and made anew, which also
//! ends the client's known lock-up after a lost session: what was under way is in the gateways' spools. Must never know
//! what a message means.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::host::Entropy;
use model::{topic, wire};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Broker, Message, PublishError};
use crate::error::IngestError;
use crate::inbox::Inbox;
use crate::settings::UrlBroker;

/// Messages handed to the connection and not yet on the wire.
const REQUESTS_QUEUED_MAX: usize = 64;
/// Acks on the wire without PUBACK.
const IN_FLIGHT_MAX: u16 = 64;
/// Room for the MQTT header and the topic around a message of ours.
const PACKET_OVERHEAD_BYTES: u32 = 4 * 1_024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Silence after CONNECT or during TCP and TLS set-up.
const CONNECT_TIMEOUT_S: u64 = 5;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest wait for the goodbye to be sent.
const GOODBYE: Duration = Duration::from_millis(300);

/// The connection to a broker.
pub(super) struct External {
    client: watch::Receiver<Option<AsyncClient>>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the task of a connection needs.
struct Link {
    options: MqttOptions,
    url: String,
    retry_max: Duration,
    inbox: Inbox,
    entropy: Arc<dyn Entropy>,
    client: watch::Sender<Option<AsyncClient>>,
    stop: CancellationToken,
}

impl External {
    /// Checks the settings and begins to connect; whether it comes about is a status.
    pub(super) fn start(
        broker: &UrlBroker,
        retry_max: Duration,
        inbox: Inbox,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, IngestError> {
        let options = options(broker, entropy.as_ref())?;
        let (sender, client) = watch::channel(None);
        let stop = CancellationToken::new();
        let url = broker.url.clone();
        let link =
            Link { options, url, retry_max, inbox, entropy, client: sender, stop: stop.clone() };
        let task = Mutex::new(Some(tokio::spawn(link.run())));
        Ok(Self { client, stop, task })
    }
}

#[async_trait]
impl Broker for External {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let client = self.client.borrow().clone().ok_or(PublishError::NotConnected)?;
        let qos = if message.at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        client
            .publish(message.topic, qos, message.retain, message.payload)
            .await
            .map_err(|_| PublishError::NotConnected)
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
    async fn run(self) {
        let mut wait_max = BACKOFF_MIN;
        let mut said = false;
        loop {
            let (client, mut eventloop) =
                AsyncClient::new(self.options.clone(), REQUESTS_QUEUED_MAX);
            let (ended, was_up) = tokio::select! {
                ended = self.serve(&client, &mut eventloop) => ended,
                () = self.stop.cancelled() => return say_goodbye(&client, &mut eventloop).await,
            };
            // Whoever waits to publish on it must hear at once that it is gone.
            drop(eventloop);
            self.client.send_replace(None);
            self.inbox.disconnected();
            if was_up || !said {
                tracing::warn!(url = %self.url, reason = %ended, "no connection to the broker, trying again");
                said = true;
            }
            wait_max = if was_up { BACKOFF_MIN } else { (wait_max * 2).min(self.retry_max) };
            tokio::select! {
                () = tokio::time::sleep(self.jitter(wait_max)) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Drives one connection until it breaks; says why, and whether it had come about. Nothing here waits for anything
    /// but the network.
    async fn serve(&self, client: &AsyncClient, eventloop: &mut EventLoop) -> (String, bool) {
        let mut is_up = false;
        loop {
            let packet = match eventloop.poll().await {
                Ok(Event::Incoming(packet)) => packet,
                Ok(Event::Outgoing(_)) => continue,
                Err(e) => return (e.to_string(), is_up),
            };
            match packet {
                // No session is relied on: each connection subscribes.
                Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                    if let Err(e) = client.try_subscribe(topic::UP_FILTER, QoS::AtLeastOnce) {
                        return (format!("cannot subscribe: {e}"), is_up);
                    }
                }
                // Only now gateways may be told to send.
                Packet::SubAck(ack) => {
                    let granted = |code: &SubscribeReasonCode| {
                        matches!(
                            code,
                            SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce)
                        )
                    };
                    if !ack.return_codes.iter().all(granted) {
                        let codes = ack.return_codes;
                        return (
                            format!("broker refused `{}`: {codes:?}", topic::UP_FILTER),
                            is_up,
                        );
                    }
                    is_up = true;
                    tracing::info!(url = %self.url, "connected to the broker");
                    self.client.send_replace(Some(client.clone()));
                    self.inbox.connected();
                }
                Packet::Publish(message) => {
                    let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
                    match topic::gateway_of_up(topic) {
                        Some(gateway) => self.inbox.offer(gateway, message.payload),
                        None => self.inbox.no_gateway(),
                    }
                }
                Packet::Disconnect(packet) => {
                    return (format!("broker said goodbye: {:?}", packet.reason_code), is_up);
                }
                _ => {}
            }
        }
    }

    /// Any time up to `max`, so that many clients of one broker do not come at once.
    fn jitter(&self, max: Duration) -> Duration {
        let mut chance = [0; 4];
        self.entropy.fill(&mut chance);
        max.mul_f64(f64::from(u32::from_le_bytes(chance)) / f64::from(u32::MAX))
    }
}

async fn say_goodbye(client: &AsyncClient, eventloop: &mut EventLoop) {
    if client.try_disconnect().is_ok() {
        let drain = async { while eventloop.poll().await.is_ok() {} };
        if tokio::time::timeout(GOODBYE, drain).await.is_err() {
            tracing::debug!("broker did not take our goodbye in time");
        }
    }
}

fn options(broker: &UrlBroker, entropy: &dyn Entropy) -> Result<MqttOptions, IngestError> {
    let wrong = || IngestError::Url { url: broker.url.clone() };
    let url = url::Url::parse(&broker.url).map_err(|_| wrong())?;
    let secure = match url.scheme() {
        "mqtt" => false,
        "mqtts" => true,
        _ => return Err(wrong()),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let tcp_port = url.port().unwrap_or(if secure { 8883 } else { 1883 });
    let mut chance = [0; 4];
    entropy.fill(&mut chance);
    let name = format!("nengliu-ingest-{:08x}", u32::from_le_bytes(chance));
    let mut options = MqttOptions::new(name, host, tcp_port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_connection_timeout(CONNECT_TIMEOUT_S);
    options.set_clean_start(true);
    // The default of 10 KiB would end the connection at the first real frame.
    let packet_bytes_max = u32::try_from(wire::MESSAGE_BYTES_MAX).unwrap_or(u32::MAX);
    options.set_max_packet_size(Some(packet_bytes_max.saturating_add(PACKET_OVERHEAD_BYTES)));
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
    if let Some((user, file)) = &broker.credentials {
        let text = read(file, "the password file")?;
        options.set_credentials(user, text.lines().next().unwrap_or_default());
    }
    if secure {
        let no_file = || IngestError::NoCertificates { url: broker.url.clone() };
        options.set_transport(tls(broker.ca_file.as_ref().ok_or_else(no_file)?)?);
    }
    Ok(options)
}

fn read(path: &Path, what: &'static str) -> Result<String, IngestError> {
    let named = |source| IngestError::File { what, path: path.to_owned(), source };
    std::fs::read_to_string(path).map_err(named)
}

fn tls(ca_file: &Path) -> Result<Transport, IngestError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    let text = read(ca_file, "the certificates to trust")?;
    let wrong = || IngestError::Certificate { path: ca_file.to_owned() };
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
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
}
