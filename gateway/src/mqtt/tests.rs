//! The connection against a broker that allows nothing. It speaks just enough of MQTT 5.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use broker_link::WEB_SOCKET_ADVICE;
use futures::StreamExt as _;
use model::Timestamp;
use model::host::{Clock, Entropy};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_util::sync::CancellationToken;

use super::*;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Wait for something that must not come.
const A_MOMENT: Duration = Duration::from_millis(20);
/// Reason code of SUBACK and PUBACK. MQTT 5, 2.4.
const NOT_AUTHORIZED: u8 = 0x87;
const GRANTED_QOS_1: u8 = 0x01;
/// Property of CONNECT. MQTT 5, 3.1.2.11.3.
const RECEIVE_MAXIMUM: [u8; 3] = [0x21, 0, 20];

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

/// The answer to a PUBLISH at QoS 1.
fn puback_of(publish: &[u8], code: u8) -> Vec<u8> {
    let id = 2 + usize::from(publish[0]) * 256 + usize::from(publish[1]);
    vec![0x40, 4, publish[id], publish[id + 1], code, 0]
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
                3 => puback_of(&rest, puback),
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

/// The connection under test, and what it needs from others.
struct Client {
    connection: watch::Receiver<Connection>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    _progress: watch::Sender<u64>,
    _acks: mpsc::Receiver<Ack>,
}

impl Client {
    fn start(url: String, backoff_max: Duration) -> Self {
        let settings = UplinkSettings { url, backoff_max, ..UplinkSettings::default() };
        let (connection_tx, connection) = watch::channel(Connection::default());
        let (acks_tx, acks) = mpsc::channel(1);
        let (progress_tx, progress) = watch::channel(0);
        let stop = CancellationToken::new();
        let channels = Channels {
            connection: connection_tx,
            acks: acks_tx,
            progress,
            clock: Arc::new(Chance),
            entropy: Arc::new(Chance),
            stop: stop.clone(),
        };
        let broker = Broker::new(&settings, &GatewayId::new("gw-1").unwrap()).unwrap();
        let running = tokio::spawn(Box::new(broker).run(channels));
        Self { connection, stop, running, _progress: progress_tx, _acks: acks }
    }

    /// Publishes a message on the next connection that is up, and waits until there is a reason why it is not; returns
    /// the longest message that it took, where it was up, and the reason.
    async fn publish_until_ended(&mut self) -> (Option<usize>, String) {
        self.publish_bytes_until_ended(1).await
    }

    /// The same with a message of as many bytes, or of as many as the connection takes.
    async fn publish_bytes_until_ended(&mut self, bytes: usize) -> (Option<usize>, String) {
        let mut message_bytes_max = None;
        let ended = async {
            loop {
                self.connection.changed().await.unwrap();
                let now = self.connection.borrow_and_update().clone();
                if let Some(outgoing) = now.outgoing {
                    message_bytes_max = Some(outgoing.message_bytes_max());
                    let bytes = bytes.min(outgoing.message_bytes_max());
                    outgoing.send(vec![b'x'; bytes]).await.ok();
                }
                if let Some(reason) = now.reason {
                    return reason;
                }
            }
        };
        let reason = tokio::time::timeout(PATIENCE, ended).await.unwrap();
        (message_bytes_max, reason)
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

fn url_of(scheme: &str, listener: &TcpListener) -> String {
    format!("{scheme}://{}", listener.local_addr().unwrap())
}

async fn reason_from(suback: u8, puback: u8) -> (bool, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of("mqtt", &listener);
    reason_at(url, tokio::spawn(broker(listener, suback, puback))).await
}

/// What the connection says once it has given a reason, having published one message when it was there. After that it
/// is there again, or gives the reason again.
async fn reason_at(url: String, server: tokio::task::JoinHandle<()>) -> (bool, String) {
    let mut client = Client::start(url, Duration::from_millis(10));
    let (message_bytes_max, reason) = client.publish_until_ended().await;
    tokio::time::timeout(PATIENCE, client.connection.changed()).await.unwrap().unwrap();
    server.abort();
    client.stop().await;
    (message_bytes_max.is_some(), reason)
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
    let url = url_of("ws", &listener);
    let (was_up, reason) = reason_at(url, tokio::spawn(web_server(listener, answer))).await;
    assert!(!was_up);
    assert_eq!(reason, format!("WebSocket: {expected}{WEB_SOCKET_ADVICE}"));
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

/// Takes the request of a WebSocket, and sends a burst of pings around each answer. `last` is the answer to a PUBLISH
/// at QoS 1.
async fn web_socket_broker(listener: TcpListener, last: &'static [u8]) {
    const PINGS: usize = 450;
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, speak_mqtt).await.unwrap();
    let pings = [0x89, 0].repeat(PINGS);
    let mut received = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        received.extend_from_slice(&message.into_data());
        while let Some((first, rest)) = take_packet(&mut received) {
            let answer = match first >> 4 {
                1 => {
                    assert!(rest.windows(3).any(|property| property == RECEIVE_MAXIMUM));
                    vec![0x82, 5, 0x20, 3, 0, 0, 0]
                }
                8 => vec![0x82, 6, 0x90, 4, rest[0], rest[1], 0, GRANTED_QOS_1],
                3 if first & 0b110 != 0 => last.to_vec(),
                _ => continue,
            };
            let stream = socket.get_mut();
            if stream.write_all(&[&pings[..], &answer, &pings].concat()).await.is_err() {
                return;
            }
        }
    }
}

/// First byte of the next packet and what follows its length, if all of it is there. Packets do not begin and end with
/// the messages of a WebSocket. MQTT 5, 6.0.
fn take_packet(received: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (mut length, mut head) = (0, 1);
    loop {
        let byte = *received.get(head)?;
        length |= usize::from(byte & 0x7f) << (7 * (head - 1));
        head += 1;
        if byte < 0x80 {
            break;
        }
    }
    if received.len() < head + length {
        return None;
    }
    let packet: Vec<u8> = received.drain(..head + length).collect();
    Some((packet[0], packet[head..].to_vec()))
}

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the library asks for it")]
fn speak_mqtt(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
    Ok(response)
}

/// A broker that pings 600 times at a stretch ended the gateway; what it said on leaving was not read.
#[tokio::test]
async fn a_web_socket_full_of_pings_is_used_and_its_close_is_named() {
    let check = async |last, expected: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = Client::start(url_of("ws", &listener), Duration::from_millis(10));
        let server = tokio::spawn(web_socket_broker(listener, last));
        let (message_bytes_max, reason) = client.publish_until_ended().await;
        assert!(message_bytes_max.is_some(), "was never up: {reason}");
        assert!(reason.starts_with(expected), "{reason}");
        client.stop().await;
        server.await.unwrap();
    };
    check(b"\x88\x08\x03\xf0policy", "broker closed the WebSocket: 1008 \"policy\"").await;
    check(b"\x81\x01x", "broker sent text over the WebSocket").await;
    // What was said in MQTT counts, also where a Close follows it: DISCONNECT, Server shutting down.
    let goodbye = b"\x82\x04\xe0\x02\x8b\x00\x88\x02\x03\xe8";
    check(goodbye, "broker said goodbye: ServerShuttingDown").await;
}

/// Acknowledges the first message of each client at QoS 1, says goodbye with this code, and tells when a client came
/// and when it was left.
async fn short_broker(
    listener: TcpListener,
    goodbye: Option<u8>,
    visits: mpsc::UnboundedSender<(Instant, Instant)>,
) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let came = Instant::now();
        while let Some((first, rest)) = packet(&mut stream).await {
            let answer = match first >> 4 {
                1 => vec![0x20, 3, 0, 0, 0],
                8 => vec![0x90, 4, rest[0], rest[1], 0, GRANTED_QOS_1],
                3 if first & 0b110 != 0 => {
                    stream.write_all(&puback_of(&rest, 0)).await.unwrap();
                    if let Some(code) = goodbye {
                        // With a Reason String. MQTT 5, 3.14.2.2.3.
                        let text = [0xe0, 7, code, 5, 0x1f, 0, 2, b'x', 0x1b];
                        stream.write_all(&text).await.unwrap();
                    }
                    break;
                }
                _ => continue,
            };
            stream.write_all(&answer).await.unwrap();
        }
        drop(stream);
        visits.send((came, Instant::now())).unwrap();
    }
}

/// A broker that takes the opening and then leaves is no better than one that is away. That the waits are at least
/// so long is all that can be told on a busy machine.
#[tokio::test]
async fn an_opening_that_was_acknowledged_does_not_shorten_the_next_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wait_max = Duration::from_secs(1);
    let mut client = Client::start(url_of("mqtt", &listener), wait_max);
    let (visits_tx, mut visits) = mpsc::unbounded_channel();
    let server = tokio::spawn(short_broker(listener, None, visits_tx));
    let mut expected = Backoff::new(BACKOFF_MIN, wait_max);
    let (_, mut left) = {
        client.publish_until_ended().await;
        visits.recv().await.unwrap()
    };
    let mut longest = Duration::ZERO;
    for visit in 1..5 {
        client.publish_until_ended().await;
        let (came, leaves) = visits.recv().await.unwrap();
        let wait = expected.after_failure(u64::from_le_bytes([7; 8]));
        assert!(came - left >= wait, "visit {visit} after {:?}, expected {wait:?}", came - left);
        (left, longest) = (leaves, longest.max(wait));
    }
    assert!(longest > 2 * BACKOFF_MIN, "the waits of this chance do not grow: {longest:?}");
    server.abort();
    client.stop().await;
}

/// MQTT 5, 4.13: a broker may have a limit that its CONNACK does not name.
#[tokio::test]
async fn a_broker_that_finds_a_packet_too_large_gets_shorter_ones_and_is_named() {
    const PACKET_TOO_LARGE: u8 = 0x95;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::start(url_of("mqtt", &listener), Duration::from_millis(10));
    let (visits_tx, _visits) = mpsc::unbounded_channel();
    let server = tokio::spawn(short_broker(listener, Some(PACKET_TOO_LARGE), visits_tx));
    let around = PUBLISH_BYTES + "gw/gw-1/up".len();
    let (mut packet_bytes_max, smallest) = (MESSAGE_BYTES_MAX, PART_MESSAGE_BYTES_MIN + around);
    let mut at_smallest = 0;
    while at_smallest < 2 {
        // Far below what may be sent: the search begins at what was, and is short.
        let (message_bytes_max, reason) = client.publish_bytes_until_ended(2_000).await;
        assert_eq!(message_bytes_max, Some(packet_bytes_max - around));
        assert_eq!(
            reason,
            "broker said goodbye: PacketTooLarge \"x\\u{1b}\"; messages become shorter, or raise its maximum packet size"
        );
        at_smallest += usize::from(packet_bytes_max == smallest);
        packet_bytes_max = (packet_bytes_max.min(2_000 + around) / 2).max(smallest);
    }
    server.abort();
    client.stop().await;
}

/// Mosquitto 2.0 with `message_size_limit` names no limit, drops what is longer, and says 0x95 in its PUBACK, where MQTT 5
/// does not have it: nothing was ever delivered.
#[tokio::test]
async fn a_message_that_a_puback_finds_too_large_goes_in_shorter_parts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::start(url_of("mqtt", &listener), Duration::from_millis(10));
    let server = tokio::spawn(broker(listener, GRANTED_QOS_1, 0x95));
    let (_, reason) = client.publish_bytes_until_ended(2_000).await;
    assert_eq!(
        reason,
        "broker does not take a message: PacketTooLarge; messages become shorter, or raise its maximum packet size"
    );
    let (message_bytes_max, _) = client.publish_until_ended().await;
    let around = PUBLISH_BYTES + "gw/gw-1/up".len();
    assert_eq!(message_bytes_max, Some(usize::midpoint(2_000, around) - around));
    server.abort();
    client.stop().await;
}

/// MQTT 5, 3.2.2.3.14 and 3.1.2.10: a server keep alive of 0 is none. The client pinged without a pause and gave up
/// before the first answer could come, again and again.
#[tokio::test]
async fn a_broker_without_a_keep_alive_keeps_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::start(url_of("mqtt", &listener), Duration::from_millis(10));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut pings, mut is_up) = (0, false);
        loop {
            // A second ping comes at once or, as it should, with the client's own keep alive.
            let limit = if is_up { 10 * A_MOMENT } else { PATIENCE };
            let Ok(next) = tokio::time::timeout(limit, packet(&mut stream)).await else { break };
            let (first, rest) = next.expect("the client stays");
            let answer = match first >> 4 {
                1 => vec![0x20, 6, 0, 0, 3, 0x13, 0, 0],
                8 => {
                    is_up = true;
                    vec![0x90, 4, rest[0], rest[1], 0, GRANTED_QOS_1]
                }
                12 => {
                    pings += 1;
                    continue;
                }
                _ => continue,
            };
            stream.write_all(&answer).await.unwrap();
        }
        (pings, stream)
    };
    let (pings, stream) = tokio::time::timeout(PATIENCE, server).await.unwrap();
    assert!(pings <= 1, "{pings} pings without an answer in between");
    let is_known = |now: &Connection| now.outgoing.is_some() || now.reason.is_some();
    let now = client.connection.wait_for(is_known);
    let now = tokio::time::timeout(PATIENCE, now).await.unwrap().unwrap().clone();
    assert!(now.outgoing.is_some(), "{:?}", now.reason);
    drop(stream);
    client.stop().await;
}

/// MQTT 5, 3.2.2.3.3. The gateway said "connected" and sent nothing.
#[tokio::test]
async fn a_receive_maximum_of_zero_is_a_fault_that_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url_of("mqtt", &listener);
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Some((first, _)) = packet(&mut stream).await {
                if first >> 4 == 1 {
                    stream.write_all(&[0x20, 6, 0, 0, 3, 0x21, 0, 0]).await.unwrap();
                }
            }
        }
    });
    let (was_up, reason) = reason_at(url, server).await;
    assert!(!was_up);
    assert!(
        reason.starts_with("broker accepts the connection with a receive maximum of 0"),
        "{reason}"
    );
}

/// MQTT 5, 3.2.2.3.3 and 4.9.
#[tokio::test]
async fn no_more_messages_are_under_way_than_the_broker_wants() {
    const RECEIVE_MAXIMUM: usize = 3;
    const MESSAGES: usize = 30;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::start(url_of("mqtt", &listener), Duration::from_millis(10));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut unanswered, mut taken) = (Vec::<Vec<u8>>::new(), 0);
        while taken < MESSAGES {
            let next = packet(&mut stream);
            // Where one too many comes, it comes at once; on a busy machine this waits for nothing.
            let limit = if unanswered.len() < RECEIVE_MAXIMUM { PATIENCE } else { A_MOMENT };
            let Ok(next) = tokio::time::timeout(limit, next).await else {
                assert_eq!(unanswered.len(), RECEIVE_MAXIMUM, "nothing came");
                taken += unanswered.len();
                for publish in unanswered.drain(..) {
                    stream.write_all(&puback_of(&publish, 0)).await.unwrap();
                }
                continue;
            };
            let (first, rest) = next.unwrap();
            match first >> 4 {
                1 => {
                    let [high, low] = u16::try_from(RECEIVE_MAXIMUM).unwrap().to_be_bytes();
                    stream.write_all(&[0x20, 6, 0, 0, 3, 0x21, high, low]).await.unwrap();
                }
                8 => {
                    let suback = [0x90, 4, rest[0], rest[1], 0, GRANTED_QOS_1];
                    stream.write_all(&suback).await.unwrap();
                }
                3 if first & 0b110 != 0 => {
                    unanswered.push(rest);
                    assert!(unanswered.len() <= RECEIVE_MAXIMUM, "more than the broker wants");
                }
                _ => {}
            }
        }
    });
    let outgoing = async {
        loop {
            client.connection.changed().await.unwrap();
            let now = client.connection.borrow_and_update().clone();
            if let Some(outgoing) = now.outgoing {
                return outgoing;
            }
        }
    };
    let outgoing = tokio::time::timeout(PATIENCE, outgoing).await.unwrap();
    let sending = async {
        for _ in 0..MESSAGES {
            outgoing.send(b"x".to_vec()).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, sending).await.unwrap();
    tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap();
    client.stop().await;
}

/// After the limit of the broker was raised messages stayed short until the gateway was started again.
#[test]
fn packets_that_became_shorter_are_long_again_after_an_hour() {
    let minute = Duration::from_mins(1);
    let mut known = Known {
        backoff: Backoff::new(BACKOFF_MIN, BACKOFF_MIN),
        packet_bytes_max: MESSAGE_BYTES_MAX,
        shortened_at: None,
        unreadable: unreadable::Unreadable::new(Arc::new(Chance)),
    };
    known.shorten(8_000, 300, Duration::ZERO);
    known.shorten(4_000, 300, minute);
    assert_eq!(known.packet_bytes_max, 2_000);
    known.try_long_again(SHORT_FOR);
    assert_eq!(known.packet_bytes_max, 2_000, "an hour after the last time");
    known.try_long_again(SHORT_FOR + minute);
    assert_eq!(known.packet_bytes_max, MESSAGE_BYTES_MAX);
    // The broker still has its limit: it is found again.
    known.shorten(4_000, 300, SHORT_FOR * 2);
    known.try_long_again(SHORT_FOR * 2 + minute);
    assert_eq!(known.packet_bytes_max, 2_000);
}
