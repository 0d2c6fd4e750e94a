//! The way to a broker: chosen once from its URL, taken by each connection.

use std::fmt;
use std::sync::Arc;

use config::BrokerUrl;
use rumqttc::v5::MqttOptions;
use rumqttc::{TlsConfiguration, Transport};
use rustls::ClientConfig;

use crate::{Bridge, LinkError, RECEIVE_MAXIMUM, WebSocket};

/// The way to a broker.
#[derive(Clone)]
pub struct Way(Kind);

#[derive(Clone)]
enum Kind {
    /// The client opens the connection.
    Direct { host: String, tcp_port: u16, transport: Transport },
    /// A [`Bridge`] does.
    WebSocket(WebSocket),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Direct { host, tcp_port, .. } => write!(f, "{host}:{tcp_port}"),
            Kind::WebSocket(web_socket) => web_socket.fmt(f),
        }
    }
}

impl Way {
    /// The way that the URL names. `tls` is needed where that is encrypted; `packet_bytes_max` is the longest packet of MQTT
    /// that the client accepts.
    #[must_use]
    pub fn new(url: &BrokerUrl, tls: Option<Arc<ClientConfig>>, packet_bytes_max: usize) -> Self {
        Self(match WebSocket::new(url, tls.clone(), packet_bytes_max) {
            Some(web_socket) => Kind::WebSocket(web_socket),
            None => Kind::Direct {
                host: url.host().to_owned(),
                tcp_port: url.tcp_port(),
                transport: tls.map_or(Transport::Tcp, |tls| {
                    Transport::tls_with_config(TlsConfiguration::Rustls(tls))
                }),
            },
        })
    }

    /// What the client needs for one connection, and the bridge that it goes over. `options` makes the client's own for a
    /// host and a TCP port.
    ///
    /// # Errors
    /// Where there is no room for a socket of our own.
    pub fn next_connection(
        &self,
        options: impl FnOnce(&str, u16) -> MqttOptions,
    ) -> Result<(MqttOptions, Option<Bridge>), LinkError> {
        match &self.0 {
            Kind::Direct { host, tcp_port, transport } => {
                let mut options = options(host, *tcp_port);
                options.set_transport(transport.clone());
                Ok((options, None))
            }
            Kind::WebSocket(web_socket) => {
                let bridge = web_socket.bridge()?;
                let mut options = options(bridge.path(), 0);
                options.set_transport(Transport::Unix);
                options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
                Ok((options, Some(bridge)))
            }
        }
    }
}
