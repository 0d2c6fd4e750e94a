//! MQTT over WebSocket for the MQTT client of gateway and centre: a socket of this process on one side, the broker's
//! WebSocket on the other.
//!
//! ```text
//! rumqttc ── Unix socket in a private folder ── Bridge ── WebSocket ── TLS, with wss:// ── TCP ── broker
//! ```
//!
//! Whatever the broker sends, memory, stack and time are bounded here, and the end of a connection has a reason. Of MQTT
//! it knows the reason codes, for both programs and any transport. Must never know a topic or a message of ours, or when to
//! try again.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

mod breaks;
mod codes;
mod error;
mod meter;
mod open;
mod reasons;
mod relay;
mod socket;
#[cfg(test)]
mod tests;
mod way;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use config::BrokerUrl;
use rumqttc::v5::mqttbytes::Error as PacketError;
use rumqttc::v5::{ConnectionError, StateError};
use rustls::ClientConfig;
use tokio_util::task::AbortOnDropHandle;

pub use breaks::Breaks;
pub use error::{LinkError, Step, WEB_SOCKET_ADVICE};
pub use reasons::{Program, Stage, is_too_large, other_server};
pub use way::Way;

/// Longest wait for the reason of a connection that the client has just given up: a deadline that comes at the same time
/// as the client's own, and [`relay::CLOSE_WAIT`].
const REASON_WAIT: Duration = Duration::from_secs(1);
/// PUBLISH packets at QoS 1 that a client over a WebSocket takes without having acknowledged one: its Receive Maximum (MQTT 5,
/// 3.1.2.11.3), said in CONNECT. A broker may put several packets into one message (6.0), and EMQX puts all
/// that it has to send into one unless told otherwise, so that after a pause a message is as long as this allows. 20 is
/// what Mosquitto leaves unacknowledged anyway: with it nothing is slower.
const RECEIVE_MAXIMUM: u16 = 20;

/// Where a broker listens for MQTT over WebSocket, and what may come from there.
#[derive(Clone)]
pub(crate) struct WebSocket {
    url: String,
    host: String,
    tcp_port: u16,
    tls: Option<Arc<ClientConfig>>,
    message_bytes_max: usize,
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("url", &self.url).finish_non_exhaustive()
    }
}

impl WebSocket {
    /// Takes the place of a broker from its URL; `None` where it is not one of a WebSocket.
    ///
    /// `tls` is needed for `wss://`. `packet_bytes_max` is the longest packet of MQTT that the client accepts; a message
    /// of the WebSocket may have as many bytes as [`RECEIVE_MAXIMUM`] of them. What that does not count, answers and
    /// messages at QoS 0, is short here and has its room in what the others leave.
    pub(crate) fn new(
        url: &BrokerUrl,
        tls: Option<Arc<ClientConfig>>,
        packet_bytes_max: usize,
    ) -> Option<Self> {
        Some(Self {
            url: url.web_socket()?.to_owned(),
            host: url.host().to_owned(),
            tcp_port: url.tcp_port(),
            tls,
            message_bytes_max: packet_bytes_max.saturating_mul(usize::from(RECEIVE_MAXIMUM)),
        })
    }

    /// Prepares one connection; it is opened when the client connects to [`Bridge::path`].
    ///
    /// # Errors
    /// Where there is no room for a socket of our own.
    pub(crate) fn bridge(&self) -> Result<Bridge, LinkError> {
        let socket = socket::PrivateSocket::new()?;
        let path = socket.path().to_owned();
        let task = tokio::spawn(relay::run(self.clone(), socket));
        Ok(Bridge { path, task: Some(AbortOnDropHandle::new(task)) })
    }
}

/// One connection. It ends, and leaves nothing behind, when it is dropped.
#[derive(Debug)]
pub struct Bridge {
    path: String,
    task: Option<AbortOnDropHandle<Option<LinkError>>>,
}

impl Bridge {
    /// The Unix socket that the client connects to, once.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Why the connection ended, where that was not the client's doing. Waits at most a second; for a client that has left
    /// its end, hardly at all.
    pub(crate) async fn reason(&mut self) -> Option<LinkError> {
        let task = self.task.take()?;
        tokio::time::timeout(REASON_WAIT, task).await.ok()?.ok()?
    }
}

/// Whether the client only saw that the connection broke, so that [`Bridge::reason`] says more; not what a broker told in MQTT.
pub(crate) fn is_of_line(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Io(_) | ConnectionError::Timeout(_) => true,
        ConnectionError::MqttState(state) => matches!(
            state,
            StateError::Io(_)
                | StateError::ConnectionAborted
                | StateError::Deserialization(PacketError::Io(_))
        ),
        _ => false,
    }
}
