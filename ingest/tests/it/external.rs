//! A broker by URL that forgets everything when it restarts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{BrokerSettings, UrlBroker};
use model::LogId;
use mqtt5::broker::config::StorageConfig;
use mqtt5::broker::{BrokerConfig, MqttBroker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::gateway::{Gateway, PATIENCE, frames, host, lake, settings, start};
use crate::rows::{expected, rows};

const LOG: LogId = LogId([6; 16]);

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
