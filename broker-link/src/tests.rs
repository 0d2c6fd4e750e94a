//! A bridge between a client that knows no MQTT and brokers that misbehave.

use std::path::Path;

use futures::{SinkExt as _, StreamExt as _};
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::*;
use crate::relay::{FRAME_BYTES_MAX, FRAMES_WITHOUT_MQTT_MAX};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest packet that the client takes.
const PACKET_BYTES_MAX: usize = 1_024;
/// More than all buffers between the two ends hold.
const MUCH: usize = 16 * 1_024 * 1_024;
const PING: &[u8] = b"\x89\x00";

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

async fn listen() -> (TcpListener, WebSocket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let target = WebSocket::new(&BrokerUrl::read(&url).unwrap(), None, PACKET_BYTES_MAX).unwrap();
    (listener, target)
}

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the library asks for it")]
fn speak_mqtt(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.uri().path(), "/mqtt");
    let protocol = request.headers()["sec-websocket-protocol"].clone();
    assert_eq!(protocol, "mqtt");
    response.headers_mut().insert("sec-websocket-protocol", protocol);
    Ok(response)
}

/// Bridge, client and broker of an opened connection.
async fn opened() -> (Bridge, UnixStream, WebSocketStream<TcpStream>) {
    let (listener, target) = listen().await;
    let bridge = target.bridge().unwrap();
    let client = UnixStream::connect(bridge.path()).await.unwrap();
    let (stream, _) = within(listener.accept()).await.unwrap();
    let broker = within(accept_hdr_async(stream, speak_mqtt)).await.unwrap();
    (bridge, client, broker)
}

/// Why a connection ended over which the broker sends `bytes` once, or for as long as it is there. Nothing of it
/// reaches the client, or `through` does.
async fn reason_of(bytes: Vec<u8>, is_endless: bool, through: &[u8]) -> String {
    let (mut bridge, mut client, broker) = opened().await;
    let mut broker = broker.into_inner();
    let broker = tokio::spawn(async move {
        while broker.write_all(&bytes).await.is_ok() && is_endless {}
        // Stays until it is left.
        broker.read_to_end(&mut Vec::new()).await.ok();
    });
    let mut received = Vec::new();
    within(client.read_to_end(&mut received)).await.ok();
    assert_eq!(received, through);
    let reason = within(bridge.reason()).await.unwrap().to_string();
    within(broker).await.unwrap();
    reason
}

#[tokio::test]
async fn bursts_of_frames_without_mqtt_change_nothing() {
    let (mut bridge, mut client, broker) = opened().await;
    let mut broker = broker.into_inner();
    for frame in [PING, b"\x8a\x00", b"\x82\x00"] {
        for byte in *b"abc" {
            broker.write_all(&frame.repeat(FRAMES_WITHOUT_MQTT_MAX)).await.unwrap();
            broker.write_all(&[0x82, 1, byte]).await.unwrap();
            assert_eq!(within(client.read_u8()).await.unwrap(), byte);
        }
    }
    let mut answer = [0; 2];
    within(broker.read_exact(&mut answer)).await.unwrap();
    // A pong with a mask. RFC 6455, 5.5.3.
    assert_eq!(answer, [0x8a, 0x80]);
    drop(client);
    assert!(within(bridge.reason()).await.is_none());
}

#[tokio::test]
async fn a_flood_without_mqtt_ends_the_connection_with_a_reason() {
    let check = async |bytes: &[u8]| {
        let reason = reason_of(bytes.to_vec(), true, b"").await;
        assert_eq!(reason, LinkError::NoMqtt.to_string());
    };
    check(&PING.repeat(10_000)).await;
    check(&b"\x8a\x00".repeat(10_000)).await;
    check(&b"\x82\x00".repeat(10_000)).await;
    // Empty messages in two pieces.
    check(&b"\x02\x00\x80\x00".repeat(10_000)).await;
    // One too many, and no more.
    let once = reason_of(PING.repeat(FRAMES_WITHOUT_MQTT_MAX + 1), false, b"").await;
    assert_eq!(once, LinkError::NoMqtt.to_string());
}

/// The library joins pieces on its own; what has no byte in it is under no limit of its own.
#[tokio::test]
async fn a_message_whose_pieces_never_end_ends_the_connection() {
    let (mut bridge, mut client, broker) = opened().await;
    let mut broker = broker.into_inner();
    let broker = tokio::spawn(async move {
        broker.write_all(b"\x02\x00").await.unwrap();
        while broker.write_all(&b"\x00\x00".repeat(10_000)).await.is_ok() {}
    });
    assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(within(bridge.reason()).await.unwrap().to_string(), LinkError::NoMqtt.to_string());
    within(broker).await.unwrap();
}

#[tokio::test]
async fn frames_that_carry_no_mqtt_are_errors_with_a_reason() {
    let check = async |bytes: &[u8], expected: &str| {
        let all = [b"\x82\x01x", bytes].concat();
        let reason = reason_of(all, false, b"x").await;
        assert!(reason.starts_with(expected), "{reason}");
    };
    check(b"\x81\x01x", "broker sent text over the WebSocket, expected MQTT in binary").await;
    check(b"\x81\x00", "broker sent text over the WebSocket").await;
    check(b"\x81\x01\xff", "WebSocket: UTF-8 encoding error").await;
    check(b"\x88\x06\x03\xf0full", "broker closed the WebSocket: 1008 \"full\"").await;
    check(b"\x88\x00", "broker closed the WebSocket without a code").await;
    check(b"\x88\x01x", "WebSocket: WebSocket protocol error: Invalid close sequence").await;
    check(b"\xf2\x01x", "WebSocket: WebSocket protocol error: Reserved bits are non-zero").await;
    check(b"\x82\x81mask\x20", "WebSocket: WebSocket protocol error: Received a masked").await;
    let ping = [&b"\x89\x7e\x00\xff"[..], &[0; 255]].concat();
    check(&ping, "WebSocket: WebSocket protocol error: Control frame too").await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_before_it_is_there() {
    let longest = PACKET_BYTES_MAX * usize::from(RECEIVE_MAXIMUM);
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let expected =
        format!("WebSocket: Space limit exceeded: Message too long: {} > {longest}", longest + 1);
    let head = [b"\x82\x7e", &length(longest + 1)[..]].concat();
    assert_eq!(reason_of(head, false, b"").await, expected);
    // In pieces.
    let pieces = [b"\x02\x7e", &length(longest)[..], &vec![0; longest], b"\x80\x01x"].concat();
    assert_eq!(reason_of(pieces, false, b"").await, expected);
    // The longest one arrives.
    let content = vec![7; longest];
    let whole = [b"\x82\x7e", &length(longest)[..], &content, b"\x88\x00"].concat();
    let closed = "broker closed the WebSocket without a code";
    assert_eq!(reason_of(whole, false, &content).await, closed);
}

#[tokio::test]
async fn an_end_without_a_close_is_named() {
    let (mut bridge, _client, broker) = opened().await;
    drop(broker);
    let reason = within(bridge.reason()).await.unwrap().to_string();
    assert_eq!(reason, LinkError::Ended.to_string());
}

/// What the client is told where the server gives this answer, again and again if it is to flood.
async fn reason_of_answer(answer: &'static [u8], is_endless: bool) -> String {
    let (listener, target) = listen().await;
    let mut bridge = target.bridge().unwrap();
    let mut client = UnixStream::connect(bridge.path()).await.unwrap();
    let (mut server, _) = within(listener.accept()).await.unwrap();
    let server = tokio::spawn(async move {
        while server.write_all(answer).await.is_ok() && is_endless {}
        server.read_to_end(&mut Vec::new()).await.ok();
    });
    assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
    let reason = within(bridge.reason()).await.unwrap().to_string();
    within(server).await.unwrap();
    reason
}

#[tokio::test]
async fn a_handshake_that_does_not_lead_to_mqtt_is_named_with_what_to_check() {
    let check_advice = async |answer, is_endless, expected: &str, advice| {
        let reason = reason_of_answer(answer, is_endless).await;
        assert!(reason.starts_with(expected), "{reason}");
        assert!(reason.ends_with(advice), "{reason}");
    };
    let check = async |answer, is_endless, expected: &str| {
        check_advice(answer, is_endless, expected, WEB_SOCKET_ADVICE).await;
    };
    check(b"HTTP/1.1 404 Not Found\r\n\r\n", false, "WebSocket: HTTP error: 404 Not Found").await;
    for (answer, code) in [
        (&b"HTTP/1.1 401 X\r\n\r\n"[..], "401 Unauthorized"),
        (b"HTTP/1.1 403 X\r\n\r\n", "403 Forbidden"),
        (b"HTTP/1.1 407 X\r\n\r\n", "407 Proxy Authentication Required"),
    ] {
        let expected = format!("WebSocket: HTTP error: {code}");
        check_advice(answer, false, &expected, "go to the broker in MQTT alone").await;
    }
    let moved = b"HTTP/1.1 301 X\r\nLocation: http://elsewhere\r\n\r\n";
    let expected = "WebSocket: HTTP error: 301 Moved Permanently; redirects are not followed";
    check_advice(moved, false, expected, "in `url`").await;
    check(b"\x20\x03\x00\x00\x00", false, "WebSocket: WebSocket protocol error: httparse").await;
    check(b"HTTP/1.1 101 X\r\n\r\n", false, "WebSocket: WebSocket protocol error: No").await;
    check(b"\0garbage\xff", true, "WebSocket: WebSocket protocol error: httparse").await;
    check(b"HTTP/1.1 101 X\r\nX: x\r\n", true, "WebSocket: ").await;
}

/// MQTT 5, 6.0: the server must select `mqtt`.
#[tokio::test]
async fn a_web_socket_for_something_else_is_refused() {
    let (listener, target) = listen().await;
    let mut bridge = target.bridge().unwrap();
    let _client = UnixStream::connect(bridge.path()).await.unwrap();
    let (stream, _) = within(listener.accept()).await.unwrap();
    let _broker = within(tokio_tungstenite::accept_async(stream)).await;
    let reason = within(bridge.reason()).await.unwrap().to_string();
    assert!(reason.contains("SubProtocol error: Server sent no subprotocol"), "{reason}");
}

/// The deadline holds whether nothing comes, or always a little.
#[tokio::test]
async fn a_handshake_that_never_ends_does() {
    let check = async |head: &'static [u8], more: &'static [u8]| {
        let (listener, target) = listen().await;
        let mut bridge = target.bridge().unwrap();
        let mut client = UnixStream::connect(bridge.path()).await.unwrap();
        let (mut server, _) = within(listener.accept()).await.unwrap();
        let server = tokio::spawn(async move {
            server.write_all(head).await.unwrap();
            while server.write_all(more).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
        let reason = within(bridge.reason()).await.unwrap();
        assert!(matches!(reason, LinkError::Deadline(Step::WebSocket)), "{reason}");
        assert!(reason.to_string().starts_with("no WebSocket within 5s; check"), "{reason}");
        server.abort();
    };
    tokio::join!(check(b"", b""), check(b"HTTP/1.1 101 X\r\nX: ", b"x"));
}

#[tokio::test]
async fn what_cannot_be_reached_is_named_without_advice() {
    let (listener, target) = listen().await;
    drop(listener);
    let mut bridge = target.bridge().unwrap();
    let _client = UnixStream::connect(bridge.path()).await.unwrap();
    let reason = within(bridge.reason()).await.unwrap().to_string();
    assert!(reason.starts_with("I/O: Connection refused"), "{reason}");
    assert!(!reason.ends_with(WEB_SOCKET_ADVICE), "{reason}");
}

#[tokio::test]
async fn bytes_of_the_client_become_binary_frames_and_its_end_a_close() {
    let (mut bridge, mut client, mut broker) = opened().await;
    let sent: Vec<u8> = (0..=255).cycle().take(5 * FRAME_BYTES_MAX + 1).collect();
    let write = async {
        client.write_all(&sent).await.unwrap();
        drop(client);
    };
    let read = async {
        let mut received = Vec::new();
        loop {
            match broker.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => {
                    assert!(!bytes.is_empty() && bytes.len() <= FRAME_BYTES_MAX);
                    received.extend_from_slice(&bytes);
                }
                Message::Close(_) => return received,
                other => panic!("{other:?}"),
            }
        }
    };
    let ((), received) = within(async { tokio::join!(write, read) }).await;
    assert!(received == sent);
    assert!(within(bridge.reason()).await.is_none());
}

/// A client whose bytes nobody takes still receives, and one that takes nothing still sends.
#[tokio::test]
async fn a_full_way_there_does_not_stop_the_way_back() {
    for broker_reads_first in [false, true] {
        let (_bridge, client, broker) = opened().await;
        let (mut from_bridge, mut to_bridge) = client.into_split();
        let (mut to_client, mut from_client) = broker.split();
        let client_writes = tokio::spawn(async move {
            to_bridge.write_all(&vec![1; MUCH]).await.unwrap();
            to_bridge
        });
        let broker_writes = tokio::spawn(async move {
            for _ in 0..MUCH / PACKET_BYTES_MAX {
                to_client.send(Message::binary(vec![2; PACKET_BYTES_MAX])).await.unwrap();
            }
            to_client
        });
        let client_reads = async {
            let mut received = vec![0; MUCH];
            from_bridge.read_exact(&mut received).await.unwrap();
        };
        let broker_reads = async {
            let mut left = MUCH;
            while left > 0 {
                left -= from_client.next().await.unwrap().unwrap().len();
            }
        };
        if broker_reads_first {
            within(broker_reads).await;
            within(client_reads).await;
        } else {
            within(client_reads).await;
            within(broker_reads).await;
        }
        within(client_writes).await.unwrap();
        drop(within(broker_writes).await.unwrap());
    }
}

#[tokio::test]
async fn a_bridge_that_is_dropped_leaves_nothing() {
    let (_, target) = listen().await;
    let bridge = target.bridge().unwrap();
    let folder = Path::new(bridge.path()).parent().unwrap().to_owned();
    assert!(folder.exists());
    drop(bridge);
    within(async {
        while folder.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (bridge, mut client, mut broker) = opened().await;
    assert!(!Path::new(bridge.path()).exists());
    drop(bridge);
    assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
    assert!(!matches!(within(broker.next()).await, Some(Ok(_))));
}

#[test]
fn what_a_broker_says_in_mqtt_is_not_hidden_by_the_end_of_the_web_socket() {
    let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
    assert!(!is_of_line(&refused));
    assert!(!is_of_line(&ConnectionError::MqttState(StateError::AwaitPingResp)));
    assert!(is_of_line(&ConnectionError::MqttState(StateError::ConnectionAborted)));
    assert!(is_of_line(&ConnectionError::Io(std::io::ErrorKind::BrokenPipe.into())));
}
