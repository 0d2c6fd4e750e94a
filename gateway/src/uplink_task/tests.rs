//! The task against a real spool and a connection that is gone.

use std::sync::{Arc, Mutex};

use keeper::{Keeper, KeeperSettings, PointTable, SpoolSettings, TaskBoard};
use model::host::{Clock, Entropy};
use model::{DurabilityClass, FrameHash, Timestamp};

use super::*;
use crate::transport::{BoxFuture, Outgoing};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1_514_764_800_000_000)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    keeper: Keeper,
    stop: CancellationToken,
    connection: watch::Sender<Connection>,
    acks: mpsc::Sender<Ack>,
    status: watch::Receiver<UplinkStatus>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// A spool with its first frames, and an uplink on it without a connection.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool_folder = folder.path().join("spool");
        let host = Host { clock: Arc::new(Still), entropy: Arc::new(Still) };
        let spool = SpoolSettings {
            folder: spool_folder,
            quota: config::ByteSize(1 << 20),
            segment: config::ByteSize(64 << 10),
            commit_interval: Duration::from_millis(10),
        };
        let points = Arc::new(PointTable::default());
        let destinations = vec![model::DestinationId::default()];
        let version = "test".to_owned();
        let settings =
            KeeperSettings { spool, destinations, points, read_back: Vec::new(), version };
        let (emissions, emissions_rx) = mpsc::channel(1);
        drop(emissions);
        let keeper = Keeper::start(
            settings,
            host.clone(),
            TaskBoard::new(Arc::clone(&host.clock)),
            emissions_rx,
        )
        .await
        .unwrap();
        let stop = CancellationToken::new();
        let (connection, connection_rx) = watch::channel(Connection::default());
        let (acks, acks_rx) = mpsc::channel(8);
        let (status_tx, status) = watch::channel(UplinkStatus::default());
        let task = UplinkTask {
            to: DestinationIndex(0),
            resend_after: Duration::from_secs(10),
            backoff_max: Duration::from_secs(10),
            name: "centre".to_owned(),
            host,
            keeper: keeper.handle(),
            view: keeper.view(),
            connection: connection_rx,
            acks: acks_rx,
            progress: watch::channel(0).0,
            status: status_tx,
            stop: stop.clone(),
            parted: 0,
            breaks: Breaks::default(),
        };
        let task = tokio::spawn(task.run());
        Self { _folder: folder, keeper, stop, connection, acks, status, task }
    }

    async fn status(&mut self, wanted: impl Fn(&UplinkStatus) -> bool) -> UplinkStatus {
        let found = tokio::time::timeout(PATIENCE, self.status.wait_for(|status| wanted(status)));
        found.await.unwrap().unwrap().clone()
    }

    /// What a store says that has the frame.
    async fn hash_of(&self, sequence: u64) -> FrameHash {
        let log_id = self.keeper.log_id();
        let keeper = self.keeper.handle();
        let read = keeper.read(DestinationIndex(0), log_id, Sequence(sequence), 1);
        let (_, frame) = read.await.unwrap().unwrap().remove(0);
        FrameHash(model::frame::hash_of_frame(&frame))
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it hears of the stop").unwrap();
    }

    fn ack(&self, upto: u64) -> Ack {
        Ack {
            v: model::ack::ACK_VERSION,
            log_id: self.keeper.log_id(),
            store: model::StoreId::new("t").unwrap(),
            epoch: model::Epoch(0),
            ingest: "a".to_owned(),
            durable_upto: Sequence(upto),
            hash: None,
            class: DurabilityClass::D2,
            have: Vec::new(),
            want: Vec::new(),
            lane: model::Lane::Backlog,
            open: false,
            slow_ms: 0,
            fault: None,
        }
    }
}

/// Keeps what it is given, or is gone.
#[derive(Default)]
struct Wire {
    sent: Mutex<Vec<Vec<u8>>>,
    is_gone: bool,
    message_bytes_max: usize,
}

impl Outgoing for Wire {
    fn send(&self, message: Vec<u8>) -> BoxFuture<'_, Result<(), Broken>> {
        self.sent.lock().unwrap().push(message);
        Box::pin(std::future::ready(if self.is_gone { Err(Broken) } else { Ok(()) }))
    }

    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }
}

/// A connection that ended a moment ago: the watch does not tell of it yet.
fn ended() -> Connection {
    let wire = Wire { is_gone: true, message_bytes_max: usize::MAX, ..Wire::default() };
    Connection { outgoing: Some(Arc::new(wire)), reason: None }
}

#[tokio::test]
async fn a_link_that_dies_while_sending_leaves_the_uplink_free_to_hear_of_it_and_to_stop() {
    let mut bench = Bench::start().await;
    bench.connection.send_replace(ended());
    bench.status(|status| status.connected).await;
    let gone = Connection { outgoing: None, reason: Some("the broker went away".to_owned()) };
    bench.connection.send_replace(gone);
    let status = bench.status(|status| !status.connected).await;
    assert_eq!(status.reason.as_deref(), Some("the broker went away"));
    bench.stop().await;

    let mut bench = Bench::start().await;
    bench.connection.send_replace(ended());
    bench.status(|status| status.connected).await;
    bench.stop().await;
}

#[tokio::test]
async fn only_an_ack_that_frees_is_shown_as_the_last_one() {
    let mut bench = Bench::start().await;
    let hash = bench.hash_of(1).await;
    for wrong in [None, Some(FrameHash([7; 32]))] {
        bench.acks.send(Ack { hash: wrong, ..bench.ack(1) }).await.unwrap();
    }
    let status = bench.status(|status| status.fault.is_some()).await;
    assert!(status.fault.unwrap().contains("without the hash of its frame"));
    assert_eq!(status.last_ack_ms, None);
    bench.acks.send(Ack { hash: Some(hash), ..bench.ack(1) }).await.unwrap();
    let freed = bench.status(|status| status.last_ack_ms.is_some()).await;
    assert_eq!(freed.last_ack_ms, Some(1_514_764_800_000));
    bench.status(|status| status.fault.is_none()).await;
    bench.stop().await;
}

/// Trial 04: what is on disk already gets through, whatever the broker takes.
#[tokio::test]
async fn frames_that_are_too_long_for_the_broker_go_in_parts() {
    let mut bench = Bench::start().await;
    let wire = Arc::new(Wire { message_bytes_max: 256, ..Wire::default() });
    bench.connection.send_replace(Connection { outgoing: Some(wire.clone()), reason: None });
    bench.status(|status| status.connected).await;
    let durable = bench.keeper.view().borrow().durable;
    let mut partial = Vec::new();
    let mut frames = 0;
    let arrived = async {
        while frames < durable.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            for message in std::mem::take(&mut *wire.sent.lock().unwrap()) {
                assert!(message.len() <= 256, "{}", message.len());
                match model::wire::decode(&message).unwrap().2 {
                    UpMessage::Part(part) => {
                        partial.extend_from_slice(part.piece);
                        if part.index + 1 < part.count {
                            continue;
                        }
                        let whole = std::mem::take(&mut partial);
                        let (_, _, whole) = model::wire::decode(&whole).unwrap();
                        frames += u64::from(matches!(whole, UpMessage::Frame(_)));
                    }
                    UpMessage::Frame(_) => frames += 1,
                    _ => {}
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    assert_eq!(frames, durable.0);
    bench.stop().await;
}
