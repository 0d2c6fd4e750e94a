//! How a broker elsewhere is reached: its URL, what is trusted, the password.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_link::{Bridge, LinkError, Way};
use config::{BrokerUrl, Secret};
use model::host::Entropy;
use model::wire;
use rumqttc::v5::MqttOptions;

use crate::error::IngestError;
use crate::settings::UrlBroker;

/// Acks on the wire without PUBACK.
const IN_FLIGHT_MAX: u16 = 64;
/// Room for the MQTT header and the topic around a message of ours.
const PACKET_OVERHEAD_BYTES: u32 = 4 * 1_024;
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Silence after CONNECT or during set-up of TCP, TLS and WebSocket.
const CONNECT_TIMEOUT_S: u64 = 5;

/// A broker elsewhere, and how each connection to it is made.
pub(super) struct Access {
    way: Way,
    /// Name of this client, the same for each connection.
    name: String,
    /// User and password.
    credentials: Option<(String, Secret)>,
}

impl Access {
    /// Reads the files and checks the URL.
    pub(super) fn new(broker: &UrlBroker, entropy: &dyn Entropy) -> Result<Self, IngestError> {
        let url = BrokerUrl::read(&broker.url)
            .map_err(|fault| IngestError::Url { url: broker.url.clone(), fault })?;
        let mut chance = [0; 4];
        entropy.fill(&mut chance);
        let name = format!("nengliu-ingest-{:08x}", u32::from_le_bytes(chance));
        let credentials = match &broker.credentials {
            Some((user, file)) => Some((user.clone(), config::read_secret(file)?)),
            None => None,
        };
        if credentials.is_some() && url.is_open_to_others() {
            tracing::warn!(
                url = %broker.url,
                "the password of the broker travels readably over the network; use `mqtts://` or `wss://`"
            );
        }
        if broker.ca_file.is_some() && !url.is_encrypted() {
            tracing::warn!(
                url = %broker.url,
                "`ca_file` of the broker has no effect, nothing is encrypted with this `url`; use `mqtts://` or `wss://`"
            );
        }
        let tls = url.is_encrypted().then(|| tls(broker.ca_file.as_deref())).transpose()?;
        let way = Way::new(&url, tls, packet_bytes_max() as usize);
        Ok(Self { way, name, credentials })
    }

    /// What the client needs for one connection, and the bridge that it goes over.
    pub(super) fn next_connection(&self) -> Result<(MqttOptions, Option<Bridge>), LinkError> {
        self.way.next_connection(|host, tcp_port| self.options(host, tcp_port))
    }

    fn options(&self, host: &str, tcp_port: u16) -> MqttOptions {
        let mut options = MqttOptions::new(self.name.as_str(), host, tcp_port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_connection_timeout(CONNECT_TIMEOUT_S);
        options.set_clean_start(true);
        // The default of 10 KiB would end the connection at the first real frame.
        options.set_max_packet_size(Some(packet_bytes_max()));
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        if let Some((user, password)) = &self.credentials {
            options.set_credentials(user, password.expose());
        }
        options
    }
}

/// Longest packet that is taken.
fn packet_bytes_max() -> u32 {
    let message = u32::try_from(wire::MESSAGE_BYTES_MAX).unwrap_or(u32::MAX);
    message.saturating_add(PACKET_OVERHEAD_BYTES)
}

/// Trusts the certificates of `ca_file`, or without one those of the system.
fn tls(ca_file: Option<&Path>) -> Result<Arc<rustls::ClientConfig>, IngestError> {
    let roots = match ca_file {
        Some(file) => roots_of_file(file)?,
        None => roots_of_system()?,
    };
    // The provider is named, so that a second one linked by another crate cannot make the choice ambiguous.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots_of_file(path: &Path) -> Result<rustls::RootCertStore, IngestError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    let text = config::read_text(path, config::TEXT_BYTES_MAX);
    let text = text.map_err(|source| IngestError::File {
        what: "the certificates to trust",
        path: path.to_owned(),
        source,
    })?;
    let wrong = || IngestError::Certificate { path: path.to_owned() };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    if roots.is_empty() { Err(wrong()) } else { Ok(roots) }
}

fn roots_of_system() -> Result<rustls::RootCertStore, IngestError> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Some certificates of a system are too old for rustls; the others are enough.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 { Err(IngestError::NoSystemCertificates) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Zero;

    impl Entropy for Zero {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn check(url: &str, expected: &str) {
        let broker = UrlBroker { url: url.to_owned(), ca_file: None, credentials: None };
        let found = Access::new(&broker, &Zero)
            .map(|access| access.next_connection().unwrap().0.broker_address());
        let shown = match found {
            Ok((host, port)) => format!("{host}:{port}"),
            Err(e) => e.to_string(),
        };
        assert!(shown.contains(expected), "{url}: {shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    /// Trial 10, at the centre.
    #[test]
    fn a_password_in_the_url_is_refused_with_advice_and_printed_nowhere() {
        check("mqtt://joe:secret@127.0.0.1:1883", "`user` and `password_file`");
        check("mqtt://secret@127.0.0.1", "`user` and `password_file`");
        check("mqtt://joe:secret@", "`user` and `password_file`");
        check("joe:secret@host", "`user` and `password_file`");
    }

    #[test]
    fn what_stands_behind_the_host_is_refused_and_not_dropped() {
        check("mqtt://127.0.0.1", "127.0.0.1:1883");
        check("mqtts://broker.example", "broker.example:8883");
        check("mqtt://127.0.0.1/", "127.0.0.1:1883");
        for url in ["mqtt://h/path", "mqtt://h?x=1", "mqtt://h#x"] {
            check(url, "expected nothing behind the host");
        }
        for url in ["http://h", "mqtt://", "h"] {
            check(url, "expected `mqtt://host:1883`");
        }
    }
}
