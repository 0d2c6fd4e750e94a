//! The embedded broker, from a gateway's frame to the row and back to its ack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contract::{CommitDraft, Committed, LogKey, Store, StoreError, Watermark};
use ingest::{BrokerSettings, IngestSettings};
use lake::Snapshot;
use model::frame::hash_of_log_start;
use model::wire::UpMessage;
use model::{
    Batch, CommitNumber, Dictionary, Epoch, LogId, PointIndex, Quality, Sample, Sequence, StoreId,
    Timestamp, Value,
};

use rumqttc::v5::mqttbytes::QoS;
use tokio_util::sync::CancellationToken;

use crate::gateway::{
    Gateway, PATIENCE, START, dictionary_of, frame_of, frames, host, lake, settings, start,
};
use crate::rows::{expected, rows};

const LOG: LogId = LogId([5; 16]);
const EMBEDDED: BrokerSettings = BrokerSettings::embedded(0);

fn durable(dir: &std::path::Path) -> u64 {
    let snapshot = Snapshot::open(dir).unwrap();
    snapshot.watermarks().values().map(|w| w.durable_upto.0).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_comes_only_for_rows_that_are_in_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let mut gateway = Gateway::connect(ingest.tcp_port().unwrap(), "g1", LOG).await;
    gateway.open(1, 101).await;
    assert_eq!(gateway.ack().await.durable_upto, Sequence(0));
    // In two halves, so that there is more than one commit.
    let frames = frames(LOG, 100);
    let mut acks = 0;
    for (upto, half) in [(50, &frames[..50]), (100, &frames[50..])] {
        gateway.send_frames(half).await;
        gateway
            .acked(upto, |ack| {
                acks += 1;
                assert!(ack.durable_upto.0 <= durable(dir.path()), "INV-5: {ack:?}");
            })
            .await;
    }
    assert!(acks >= 2);
    assert_eq!(rows(dir.path()), expected(100));
    let status = ingest.status().borrow().clone();
    assert_eq!(status.counters.samples_committed, 1_000);
    assert_eq!(status.last_commit, Snapshot::open(dir.path()).unwrap().commit_number());
    assert_eq!(ingest.commits().borrow().rows, 1_000);
    stop.cancel();
    ingest.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_everything_again_to_another_run_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for _ in 0..3 {
        let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
        let mut gateway = Gateway::connect(ingest.tcp_port().unwrap(), "g1", LOG).await;
        gateway.open(1, 31).await;
        gateway.send_frames(&frames(LOG, 30)).await;
        gateway.acked(30, |ack| runs.push(ack.ingest.clone())).await;
        stop.cancel();
        ingest.stopped().await;
        assert_eq!(rows(dir.path()), expected(30));
    }
    runs.dedup();
    assert_eq!(runs.len(), 3, "each run has a name of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_an_opening_are_answered_with_a_request_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let mut gateway = Gateway::connect(ingest.tcp_port().unwrap(), "g1", LOG).await;
    let frames = frames(LOG, 5);
    gateway.send_frames(&frames).await;
    assert!(gateway.ack().await.open);
    gateway.open(1, 6).await;
    gateway.send_frames(&frames).await;
    gateway.acked(5, |_| ()).await;
    stop.cancel();
    ingest.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_port = taken.local_addr().unwrap().port();
    let settings = settings(BrokerSettings::embedded(tcp_port));
    let store = Box::new(lake(dir.path()).await);
    let started =
        ingest::Ingest::start(settings, store, None, host(), CancellationToken::new()).await;
    let text = started.unwrap_err().to_string();
    let expected =
        format!("cannot start the embedded broker on 127.0.0.1:{tcp_port}; is the TCP port taken?");
    assert_eq!(text, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_commits_and_acknowledges_what_was_admitted() {
    let dir = tempfile::tempdir().unwrap();
    let settings = IngestSettings { commit_interval: Duration::from_mins(1), ..settings(EMBEDDED) };
    let (ingest, stop) = start(settings, lake(dir.path()).await).await;
    let mut gateway = Gateway::connect(ingest.tcp_port().unwrap(), "g1", LOG).await;
    gateway.open(1, 11).await;
    gateway.send_frames(&frames(LOG, 10)).await;
    let mut status = ingest.status();
    let admitted = status.wait_for(|status| status.counters.frames_admitted == 10);
    tokio::time::timeout(PATIENCE, admitted).await.unwrap().unwrap();
    let began = Instant::now();
    stop.cancel();
    gateway.acked(10, |_| ()).await;
    ingest.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(rows(dir.path()), expected(10));
}

/// A lake on a disk that is full while `full` is set, or whose code has a fault.
struct Faulty {
    lake: lake::Lake,
    full: Arc<AtomicBool>,
    panics: bool,
}

#[async_trait]
impl Store for Faulty {
    async fn identity(&mut self) -> Result<(StoreId, Epoch), StoreError> {
        Store::identity(&mut self.lake).await
    }
    async fn watermarks(&mut self) -> Result<BTreeMap<LogKey, Watermark>, StoreError> {
        Store::watermarks(&mut self.lake).await
    }
    async fn commit_number(&mut self) -> Result<CommitNumber, StoreError> {
        Store::commit_number(&mut self.lake).await
    }
    async fn dictionaries(&mut self) -> Result<contract::Dictionaries, StoreError> {
        Store::dictionaries(&mut self.lake).await
    }
    async fn put_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), StoreError> {
        Store::put_dictionary(&mut self.lake, dictionary).await
    }
    async fn commit(&mut self, draft: Arc<CommitDraft>) -> Result<Committed, StoreError> {
        assert!(!self.panics, "a fault of the program");
        if self.full.load(Ordering::Relaxed) {
            return Err("no space left on device".into());
        }
        Store::commit(&mut self.lake, draft).await
    }
    async fn maintain(&mut self) -> Result<(), StoreError> {
        Store::maintain(&mut self.lake).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_withholds_acks_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(true));
    let store = Faulty { lake: lake(dir.path()).await, full: Arc::clone(&full), panics: false };
    let (ingest, stop) = start(settings(EMBEDDED), store).await;
    let mut gateway = Gateway::connect(ingest.tcp_port().unwrap(), "g1", LOG).await;
    gateway.open(1, 11).await;
    gateway.send_frames(&frames(LOG, 10)).await;
    let mut status = ingest.status();
    let failed = status.wait_for(|status| status.counters.commit_failures >= 3);
    let text = tokio::time::timeout(PATIENCE, failed).await.unwrap().unwrap().store_error.clone();
    assert_eq!(text.as_deref(), Some("no space left on device"));
    assert_eq!(gateway.ack().await.durable_upto, Sequence(0), "the answer to the opening");
    assert!(gateway.received.try_recv().is_err(), "INV-5: no ack without a commit");
    full.store(false, Ordering::Relaxed);
    gateway.acked(10, |_| ()).await;
    assert_eq!(rows(dir.path()), expected(10));
    assert_eq!(ingest.status().borrow().store_error, None);
    stop.cancel();
    ingest.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_whose_store_died_says_so_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty { lake: lake(dir.path()).await, full: Arc::default(), panics: true };
    let (ingest, _stop) = start(settings(EMBEDDED), store).await;
    let gateway = Gateway::connect(ingest.tcp_port().unwrap(), "g1", LOG).await;
    gateway.open(1, 11).await;
    gateway.send_frames(&frames(LOG, 10)).await;
    let ended = tokio::time::timeout(PATIENCE, ingest.failed()).await.unwrap();
    let ended = ended.to_string();
    let told = "ingest cannot go on: the task of the store has ended: ";
    assert!(ended.starts_with(told) && ended.contains("a fault of the program"), "{ended}");
    tokio::time::timeout(PATIENCE, ingest.stopped()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_screen_gets_the_last_value_at_once_and_nobody_else_may_write_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let tcp_port = ingest.tcp_port().unwrap();
    let mut gateway = Gateway::connect(tcp_port, "g1", LOG).await;
    gateway.open(1, 11).await;
    gateway.send_frames(&frames(LOG, 10)).await;
    gateway.acked(10, |_| ()).await;
    let forged = "v1/acme/nb-1/_/_/m1/v/e_import";
    gateway
        .client
        .publish(forged, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, true, "forged")
        .await
        .unwrap();
    let mut status = ingest.status();
    let values = "v1/acme/nb-1/+/+/+/v/+";
    let expected = r#"{"ts":1514764900000,"v":1.00,"exact":"1.00","unit":"kWh","q":"Good","boot":"05050505","seq":10}"#;
    // The ten readings may come in several messages, each of which replaces the one before it.
    let mut early = Gateway::connect_to(tcp_port, "early", LOG, values).await;
    while early.message().await.1 != expected.as_bytes() {}

    let mut wall = Gateway::connect_to(tcp_port, "wall", LOG, values).await;
    let (topic, payload) = wall.message().await;
    assert_eq!(topic, forged);
    assert_eq!(String::from_utf8(payload).unwrap(), expected);
    assert_eq!(status.borrow().live_topics, 1);

    let messages = ingest.status().borrow().counters.messages;
    let frame = frames(LOG, 1).remove(0);
    let frame = model::wire::UpMessage::Frame(&frame).encode(LOG, model::Lane::Backlog);
    wall.client
        .publish("gw/g1/up", rumqttc::v5::mqttbytes::QoS::AtLeastOnce, false, frame)
        .await
        .unwrap();
    gateway.open(1, 11).await;
    let heard = status.wait_for(|status| status.counters.messages >= messages + 2);
    tokio::time::timeout(PATIENCE, heard).await.unwrap().unwrap();
    assert_eq!(ingest.status().borrow().counters.messages, messages + 2, "the wall's is not heard");
    stop.cancel();
    ingest.stopped().await;
}

/// A device that was renamed in `gateway.toml` left its topics and its description on every screen.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_its_gateway_no_longer_has_leaves_no_topic() {
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let tcp_port = ingest.tcp_port().unwrap();
    let mut gateway = Gateway::connect(tcp_port, "g1", LOG).await;
    let before = dictionary_of(1);
    gateway.open_with(1, 2, Some(std::slice::from_ref(&before))).await;
    gateway.send_frames(&frames(LOG, 1)).await;
    gateway.acked(1, |_| ()).await;
    let mut wall = Gateway::connect_to(tcp_port, "wall", LOG, "v1/+/+/+/+/m1/#").await;
    let mut shown = BTreeSet::new();
    while shown.len() < 2 {
        let (topic, payload) = wall.message().await;
        assert!(!payload.is_empty(), "{topic}");
        shown.insert(topic);
    }
    let mut renamed = before.points.clone();
    renamed[0].device = "other".to_owned();
    renamed[0].id = model::PointId::new("acme/nb-1/other/e_import").unwrap();
    let renamed = Dictionary::new(renamed).unwrap();
    gateway.open_with(1, 2, Some(&[renamed])).await;
    while !shown.is_empty() {
        let (topic, payload) = wall.message().await;
        if payload.is_empty() {
            assert!(shown.remove(&topic), "{topic} is cleared once");
        }
    }
    let mut late = Gateway::connect_to(tcp_port, "late", LOG, "v1/+/+/+/+/+/$meta").await;
    // The state of the gateway comes with no description before it.
    late.client.subscribe("v1/+/+/+/+/+/$state", QoS::AtLeastOnce).await.unwrap();
    let (topic, _) = late.message().await;
    assert_eq!(topic, "v1/acme/nb-1/_/_/g1/$state");
    stop.cancel();
    ingest.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_comes_gets_every_topic_of_a_large_plant() {
    const METERS: u32 = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let (ingest, stop) = start(settings(EMBEDDED), lake(dir.path()).await).await;
    let tcp_port = ingest.tcp_port().unwrap();
    let mut early = Gateway::connect_to(tcp_port, "early", LOG, "v1/#").await;
    let mut gateway = Gateway::connect(tcp_port, "g1", LOG).await;
    gateway.open(1, 2).await;
    let dictionary = dictionary_of(METERS as usize);
    gateway.send(&UpMessage::Dictionary(&dictionary.to_record())).await;
    let time = Timestamp(START);
    let sample =
        |n| Sample::new(PointIndex(n), time, time, Quality::GOOD, Value::Decimal(i64::from(n)));
    let batch = Batch { dictionary: dictionary.hash(), samples: (0..METERS).map(sample).collect() };
    gateway.send_frames(&[frame_of(1, hash_of_log_start(LOG), &batch)]).await;
    gateway.acked(1, |_| ()).await;
    let topics = async |screen: &mut Gateway| {
        let mut topics = BTreeSet::new();
        while topics.len() < METERS as usize {
            let (topic, _) = screen.message().await;
            assert!(!topic.contains("/v/") || topics.insert(topic), "each once");
        }
    };
    topics(&mut early).await;
    let mut late = Gateway::connect_to(tcp_port, "late", LOG, "v1/#").await;
    topics(&mut late).await;
    stop.cancel();
    ingest.stopped().await;
}
