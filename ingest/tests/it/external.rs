//! A broker by URL that forgets everything when it restarts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use ingest::{BrokerSettings, UrlBroker};
use model::LogId;
use mqtt5::broker::config::StorageConfig;
use mqtt5::broker::{BrokerConfig, MqttBroker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::gateway::{Gateway, PATIENCE, frames, host, lake, settings, start};
use crate::rows::{expected, rows};

const LOG: LogId = LogId([6; 16]);
/// Property of CONNECT. MQTT 5, 3.1.2.11.3.
const RECEIVE_MAXIMUM: [u8; 3] = [0x21, 0, 20];

/// A broker without ingest in it and without a memory; ends with the handle.
async fn amnesiac(tcp_port: u16) -> (u16, JoinHandle<()>) {
    let config = BrokerConfig::default()
        .with_bind_address(([127, 0, 0, 1], tcp_port))
        .with_storage(StorageConfig::default().with_persistence(false));
    let mut broker = tokio::time::timeout(PATIENCE, async {
        loop {
            // The port of the killed one may still be taken for a moment.
            match MqttBroker::with_config(config.clone()).await {
                Ok(broker) => return broker,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await
    .unwrap();
    let tcp_port = broker.local_addr().unwrap().port();
    (tcp_port, tokio::spawn(async move { broker.run().await.unwrap() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_forgets_everything_loses_and_doubles_nothing() {
    let (tcp_port, mut broker) = amnesiac(0).await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("mqtt://127.0.0.1:{tcp_port}");
    let by_url = BrokerSettings::Url(UrlBroker { url, ca_file: None, credentials: None });
    let (ingest, stop) = start(settings(by_url), lake(dir.path()).await).await;
    let mut status = ingest.status();
    let all = frames(LOG, 90);
    for round in 0..3_usize {
        let up = status.wait_for(|status| status.broker_connected);
        tokio::time::timeout(PATIENCE, up).await.unwrap().unwrap();
        let mut gateway = Gateway::connect(tcp_port, "g1", LOG).await;
        let upto = (round as u64 + 1) * 30;
        gateway.open(1, upto + 1).await;
        // From the first, as a gateway that heard no ack would.
        gateway.send_frames(&all[..(round + 1) * 30]).await;
        gateway.acked(upto, |_| ()).await;
        broker.abort();
        assert!(broker.await.unwrap_err().is_cancelled());
        let down = status.wait_for(|status| !status.broker_connected);
        tokio::time::timeout(PATIENCE, down).await.unwrap().unwrap();
        (_, broker) = amnesiac(tcp_port).await;
    }
    assert_eq!(rows(dir.path()), expected(90));
    let counters = ingest.status().borrow().counters;
    assert_eq!(counters.samples_committed, 900);
    assert_eq!(counters.dropped.duplicate, 30 + 60);
    stop.cancel();
    ingest.stopped().await;
    broker.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_none_is_refused_with_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let check = async |url: &str, expected: &str| {
        let url = url.to_owned();
        let by_url = BrokerSettings::Url(UrlBroker { url, ca_file: None, credentials: None });
        let store = Box::new(lake(dir.path()).await);
        let stop = tokio_util::sync::CancellationToken::new();
        let error =
            ingest::Ingest::start(settings(by_url), store, None, host(), stop).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let wanted = "expected `mqtt://host:1883`, `mqtts://host:8883`, `ws://host:80/mqtt` or `wss://host:443/mqtt`";
    check("http://127.0.0.1", &format!("broker url `http://127.0.0.1`: {wanted}")).await;
    check("broker", &format!("broker url `broker`: {wanted}")).await;
}

/// The longest wait that is allowed, each time.
struct Always;

impl model::host::Entropy for Always {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0xff);
    }
}

/// Takes a client and its subscription, and leaves it; tells when a client came and when it was left. It speaks just
/// enough of MQTT 5.
async fn leaves_at_once(listener: TcpListener, visits: mpsc::UnboundedSender<(Instant, Instant)>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let came = Instant::now();
        // What is left unread would take the answer back.
        let mut filters_left = 2;
        while filters_left > 0 {
            let (first, length) =
                (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
            assert!(length < 0x80, "no packet here is so long");
            let mut rest = vec![0; length.into()];
            stream.read_exact(&mut rest).await.unwrap();
            match first >> 4 {
                // CONNECT → CONNACK
                1 => stream.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap(),
                // SUBSCRIBE → SUBACK
                8 => {
                    stream.write_all(&[0x90, 4, rest[0], rest[1], 0, 1]).await.unwrap();
                    filters_left -= 1;
                }
                _ => {}
            }
        }
        drop(stream);
        visits.send((came, Instant::now())).unwrap();
    }
}

/// Trial int-01: a broker that ended each connection was asked again after 100 ms, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_leaves_after_the_subscription_is_asked_more_and_more_rarely() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let (visits_tx, mut visits) = mpsc::unbounded_channel();
    let server = tokio::spawn(leaves_at_once(listener, visits_tx));
    let dir = tempfile::tempdir().unwrap();
    let by_url = BrokerSettings::Url(UrlBroker { url, ca_file: None, credentials: None });
    let settings = ingest::IngestSettings {
        retry_max: Duration::from_millis(800),
        ..ingest::IngestSettings::new(by_url)
    };
    let host = ingest::IngestHost { entropy: Arc::new(Always), ..host() };
    let stop = tokio_util::sync::CancellationToken::new();
    let store = Box::new(lake(dir.path()).await);
    let ingest = ingest::Ingest::start(settings, store, None, host, stop.clone()).await.unwrap();
    let mut next = async || tokio::time::timeout(PATIENCE, visits.recv()).await.unwrap().unwrap();
    let (_, mut left) = next().await;
    for wait in [200, 400, 800, 800] {
        let (came, leaves) = next().await;
        // A busy machine makes it longer, never shorter.
        assert!(came - left >= Duration::from_millis(wait), "{:?} of {wait} ms", came - left);
        left = leaves;
    }
    stop.cancel();
    ingest.stopped().await;
    server.abort();
}

/// It would wait for ever for what it cannot subscribe to. MQTT 5, 3.2.2.3.11.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_wildcards_is_left_before_anything_is_asked_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (first, length) =
                (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
            assert_eq!(first >> 4, 1, "CONNECT comes first");
            stream.read_exact(&mut vec![0; length.into()]).await.unwrap();
            stream.write_all(&[0x20, 5, 0, 0, 2, 0x28, 0]).await.unwrap();
            let mut after = Vec::new();
            // A client that leaves with answers unread resets the connection.
            let _ended = stream.read_to_end(&mut after).await;
            assert!(after.is_empty(), "{after:?}");
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let by_url = BrokerSettings::Url(UrlBroker { url, ca_file: None, credentials: None });
    let (ingest, stop) = start(settings(by_url), lake(dir.path()).await).await;
    tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(!ingest.status().borrow().broker_connected);
    stop.cancel();
    ingest.stopped().await;
}

/// A burst of pings ended the centre, and a flood kept it from stopping.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_pings_without_end_is_left_and_the_centre_connects_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // The first connection is flooded when it is up, the second one from the start.
        for answers in [true, false] {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_hdr_async(stream, speak_mqtt).await.unwrap();
            let mut filters_left = if answers { 2 } else { 0 };
            let mut received = Vec::new();
            while filters_left > 0 {
                received.extend_from_slice(&socket.next().await.unwrap().unwrap().into_data());
                while let Some((first, rest)) = take_packet(&mut received) {
                    // CONNECT → CONNACK, SUBSCRIBE → SUBACK
                    let answer = match first >> 4 {
                        1 => {
                            assert!(rest.windows(3).any(|property| property == RECEIVE_MAXIMUM));
                            vec![0x82, 5, 0x20, 3, 0, 0, 0]
                        }
                        8 => vec![0x82, 6, 0x90, 4, rest[0], rest[1], 0, 1],
                        _ => continue,
                    };
                    filters_left -= usize::from(first >> 4 == 8);
                    let pings = [0x89, 0].repeat(400);
                    socket.get_mut().write_all(&[&pings[..], &answer].concat()).await.unwrap();
                }
            }
            while socket.get_mut().write_all(&[0x89, 0].repeat(10_000)).await.is_ok() {}
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let by_url = BrokerSettings::Url(UrlBroker { url, ca_file: None, credentials: None });
    let (ingest, stop) = start(settings(by_url), lake(dir.path()).await).await;
    let mut status = ingest.status();
    let up = status.wait_for(|status| status.broker_connected);
    tokio::time::timeout(PATIENCE, up).await.unwrap().unwrap();
    tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(!ingest.status().borrow().broker_connected);
    stop.cancel();
    tokio::time::timeout(PATIENCE, ingest.stopped()).await.unwrap();
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
