//! Opens TCP, TLS and the WebSocket, each within what is left of one deadline.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::WebSocket;
use crate::error::{LinkError, Step};
use crate::meter::{Meter, Metered};
use crate::relay::{FRAME_BYTES_MAX, FRAMES_WITHOUT_MQTT_MAX};

/// Longest time to open TCP, TLS and the WebSocket together. It is the MQTT client's own, which waits for the CONNACK as well.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// MQTT 5, 6.0: the client must offer `mqtt`.
const SUB_PROTOCOL: &str = "mqtt";
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Room for answers to pings beside one frame of ours. Where it is used up, only the newest ping is answered (RFC 6455, 5.5.3).
const PONGS_BYTES_MAX: usize = 64 * 1024;
/// Longest frame without a byte of MQTT: a ping with its header. RFC 6455, 5.5.
const CONTROL_FRAME_BYTES_MAX: usize = 2 + 125;
/// Bytes on the wire for one byte of MQTT, in a message that comes in pieces of one byte each. RFC 6455, 5.2 and 5.4.
const BYTES_PER_PIECE: usize = 3;

/// A stream of bytes to the server.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// The opened WebSocket.
pub(crate) type Opened = WebSocketStream<Metered<Box<dyn Wire>>>;

/// Opens the connection, within [`CONNECT_MAX`] whatever arrives.
pub(crate) async fn open(target: &WebSocket) -> Result<(Opened, Meter), LinkError> {
    let mut step = Step::Tcp;
    let opened = timeout(CONNECT_MAX, open_steps(target, &mut step)).await;
    opened.unwrap_or(Err(LinkError::Deadline(step)))
}

#[expect(clippy::disallowed_methods, reason = "environment: the connection to the broker")]
async fn open_steps(target: &WebSocket, step: &mut Step) -> Result<(Opened, Meter), LinkError> {
    let place = (target.host.as_str(), target.tcp_port);
    let tcp = TcpStream::connect(place).await.map_err(LinkError::Tcp)?;
    tcp.set_nodelay(true).map_err(LinkError::Tcp)?;
    let wire: Box<dyn Wire> = match &target.tls {
        None => Box::new(tcp),
        Some(config) => {
            *step = Step::Tls;
            Box::new(encrypt(tcp, &target.host, config).await?)
        }
    };
    *step = Step::WebSocket;
    let mut request = target.url.as_str().into_client_request().map_err(LinkError::Handshake)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUB_PROTOCOL));
    let meter = Meter::new(bytes_without_mqtt_max(target.message_bytes_max));
    let wire = Metered::new(wire, meter.clone());
    // The library compares the sub-protocol of the answer.
    let (opened, _) = client_async_with_config(request, wire, Some(limits(target)))
        .await
        .map_err(LinkError::Handshake)?;
    Ok((opened, meter))
}

async fn encrypt(
    tcp: TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<impl Wire + use<>, LinkError> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| LinkError::HostName(host.to_owned()))?;
    TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(LinkError::Tls)
}

/// What a broker may send until a byte of MQTT comes out of it.
const fn bytes_without_mqtt_max(message_bytes_max: usize) -> usize {
    message_bytes_max.saturating_mul(BYTES_PER_PIECE)
        + FRAMES_WITHOUT_MQTT_MAX * CONTROL_FRAME_BYTES_MAX
        + READ_BYTES
}

fn limits(target: &WebSocket) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(target.message_bytes_max))
        .max_frame_size(Some(target.message_bytes_max))
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(FRAME_BYTES_MAX + PONGS_BYTES_MAX)
}
