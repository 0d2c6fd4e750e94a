//! The connection against a broker that allows nothing. It speaks just enough of MQTT 5.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use model::Timestamp;
use model::host::{Clock, Entropy};
use tokio_util::sync::CancellationToken;

use super::*;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Reason code of SUBACK and PUBACK. MQTT 5, 2.4.
const NOT_AUTHORIZED: u8 = 0x87;
const GRANTED_QOS_1: u8 = 0x01;

struct Chance;

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

impl Clock for Chance {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// First byte of the next packet and what follows its length.
async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await.ok()?;
    Some((first, rest))
}

/// Answers one client after the other with these codes.
async fn broker(listener: TcpListener, suback: u8, puback: u8) {
    while let Ok((mut stream, _)) = listener.accept().await {
        while let Some((first, rest)) = packet(&mut stream).await {
            let answer = match first >> 4 {
                // CONNECT → CONNACK
                1 => vec![0x20, 3, 0, 0, 0],
                // PUBLISH at QoS 0, the state, has no answer.
                3 if first & 0b110 == 0 => continue,
                // PUBLISH at QoS 1 → PUBACK
                3 => {
                    let id = 2 + usize::from(rest[0]) * 256 + usize::from(rest[1]);
                    vec![0x40, 4, rest[id], rest[id + 1], puback, 0]
                }
                // SUBSCRIBE → SUBACK
                8 => vec![0x90, 4, rest[0], rest[1], 0, suback],
                _ => continue,
            };
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
    }
}

/// Reads the head of one HTTP request after the other, gives this answer and closes.
async fn web_server(listener: TcpListener, answer: &'static str) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /mqtt HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{head}");
        stream.write_all(answer.as_bytes()).await.ok();
    }
}

async fn reason_from(suback: u8, puback: u8) -> (bool, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    reason_at(url, tokio::spawn(broker(listener, suback, puback))).await
}

/// What the connection says once it has given a reason, having published one message when it was there. After that it
/// is there again, or gives the reason again.
async fn reason_at(url: String, server: tokio::task::JoinHandle<()>) -> (bool, String) {
    let backoff_max = Duration::from_millis(10);
    let settings = UplinkSettings { url, backoff_max, ..UplinkSettings::default() };
    let gateway = GatewayId::new("gw-1").unwrap();
    let (connection_tx, mut connection) = watch::channel(Connection::default());
    let (acks_tx, _acks) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let client = Broker::new(&settings, &gateway).unwrap();
    let (_progress, progress) = watch::channel(0);
    let (connection_tx, acks) = (connection_tx, acks_tx);
    let entropy: Arc<dyn Entropy> = Arc::new(Chance);
    let channels = Channels {
        connection: connection_tx,
        acks,
        progress,
        clock: Arc::new(Chance),
        entropy,
        stop: stop.clone(),
    };
    let running = tokio::spawn(Box::new(client).run(channels));
    let (mut was_up, mut reason) = (false, None);
    let ended = async {
        while reason.is_none() {
            connection.changed().await.unwrap();
            let Connection { outgoing, reason: told } = connection.borrow_and_update().clone();
            if let Some(outgoing) = outgoing {
                was_up = true;
                outgoing.send(b"x".to_vec()).await.ok();
            }
            reason = told;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    tokio::time::timeout(PATIENCE, connection.changed()).await.unwrap().unwrap();
    stop.cancel();
    server.abort();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    (was_up, reason.unwrap())
}

#[tokio::test]
async fn a_broker_that_refuses_the_commit_acks_is_no_connection() {
    let (was_up, reason) = reason_from(NOT_AUTHORIZED, 0).await;
    assert!(!was_up);
    assert_eq!(
        reason,
        "broker does not let us read `gw/gw-1/ack`: NotAuthorized; give this gateway that right in the broker"
    );
}

#[tokio::test]
async fn a_broker_that_refuses_the_frames_is_left_and_named() {
    let (was_up, reason) = reason_from(GRANTED_QOS_1, NOT_AUTHORIZED).await;
    assert!(was_up);
    assert_eq!(
        reason,
        "broker does not let us write to `gw/gw-1/up`: NotAuthorized; give this gateway that right in the broker"
    );
}

/// What the reason says where `ws://` does not lead to MQTT; what to check follows.
async fn check_web_socket(answer: &'static str, expected: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (was_up, reason) = reason_at(url, tokio::spawn(web_server(listener, answer))).await;
    assert!(!was_up);
    assert_eq!(reason, format!("Websocket: {expected}{}", reasons::WEB_SOCKET_ADVICE));
}

#[tokio::test]
async fn a_server_without_mqtt_over_web_socket_is_named_with_what_to_check() {
    check_web_socket("HTTP/1.1 404 Not Found\r\n\r\n", "HTTP error: 404 Not Found").await;
    check_web_socket("HTTP/1.1 200 OK\r\n\r\nhello", "HTTP error: 200 OK").await;
    let no_upgrade = "WebSocket protocol error: No \"Upgrade: websocket\" header";
    check_web_socket("HTTP/1.1 101 Switching Protocols\r\n\r\n", no_upgrade).await;
    // A CONNACK, and a server that only hangs up.
    let no_http = "WebSocket protocol error: httparse error: invalid HTTP version";
    check_web_socket("\x20\x03\x00\x07\x00", no_http).await;
    check_web_socket("", "WebSocket protocol error: Handshake not finished").await;
}

#[test]
fn a_certificate_that_is_refused_has_nothing_to_do_with_the_path() {
    let check = |why: rustls::Error, has_advice| {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
        let reason = reasons::of_error(&rumqttc::v5::ConnectionError::Websocket(error.into()));
        assert_eq!(reason.ends_with(reasons::WEB_SOCKET_ADVICE), has_advice, "{reason}");
    };
    check(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer), false);
    // A server that speaks no TLS there.
    let (expect_types, got_type) = (vec![], rustls::ContentType::Unknown(72));
    check(rustls::Error::InappropriateMessage { expect_types, got_type }, true);
}
