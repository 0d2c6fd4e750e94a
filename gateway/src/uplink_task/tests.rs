//! The task against a real spool and a connection that is gone.

use std::sync::Arc;

use model::host::{Clock, Entropy};
use model::{DurabilityClass, Timestamp};
use rumqttc::v5::MqttOptions;

use super::*;
use crate::keeper::{Keeper, KeeperSettings};
use crate::settings::SpoolSettings;
use crate::supervise::TaskBoard;

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
    spool_folder: PathBuf,
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
            folder: spool_folder.clone(),
            quota: config::ByteSize(1 << 20),
            segment: config::ByteSize(64 << 10),
            commit_interval: Duration::from_millis(10),
        };
        let points = Arc::new(crate::PointTable::default());
        let settings = KeeperSettings { spool, points, version: "test".to_owned() };
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
            gateway: GatewayId::new("gw-1").unwrap(),
            spool_folder: spool_folder.clone(),
            settings: UplinkSettings {
                resend_after: Duration::from_secs(10),
                backoff_max: Duration::from_secs(10),
                ..UplinkSettings::default()
            },
            host,
            keeper: keeper.handle(),
            view: keeper.view(),
            connection: connection_rx,
            acks: acks_rx,
            status: status_tx,
            stop: stop.clone(),
        };
        let task = tokio::spawn(task.run(keeper.log_id(), Sequence(0)));
        Self { _folder: folder, spool_folder, keeper, stop, connection, acks, status, task }
    }

    async fn status(&mut self, wanted: impl Fn(&UplinkStatus) -> bool) -> UplinkStatus {
        let found = tokio::time::timeout(PATIENCE, self.status.wait_for(|status| wanted(status)));
        found.await.unwrap().unwrap().clone()
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

/// A client whose connection ended a moment ago: the watch does not tell of it yet.
fn ended() -> Connection {
    let (client, eventloop) = AsyncClient::new(MqttOptions::new("gw-1", "localhost", 1883), 1);
    drop(eventloop);
    Connection { client: Some(client), reason: None }
}

#[tokio::test]
async fn a_link_that_dies_while_sending_leaves_the_uplink_free_to_hear_of_it_and_to_stop() {
    let mut bench = Bench::start().await;
    bench.connection.send_replace(ended());
    bench.status(|status| status.connected).await;
    let gone = Connection { client: None, reason: Some("the broker went away".to_owned()) };
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
    // What comes after the request tells that it was heard.
    bench.acks.send(Ack { open: true, ..bench.ack(0) }).await.unwrap();
    bench.acks.send(bench.ack(1_000)).await.unwrap();
    let heard = bench.status(|status| status.fault.is_some()).await;
    assert_eq!(heard.last_ack_ms, None);
    bench.stop().await;

    let mut bench = Bench::start().await;
    bench.acks.send(bench.ack(1)).await.unwrap();
    let freed = bench.status(|status| status.last_ack_ms.is_some()).await;
    assert_eq!(freed.last_ack_ms, Some(1_514_764_800_000));
    bench.stop().await;
}

#[tokio::test]
async fn a_conflict_is_told_and_kept_in_the_spool_folder() {
    let mut bench = Bench::start().await;
    bench.acks.send(bench.ack(1_000)).await.unwrap();
    let status = bench.status(|status| status.fault.is_some()).await;
    let fault = status.fault.unwrap();
    assert!(fault.contains("up to 1000 of this spool, but only 1 were"), "{fault}");
    // Writing it follows the telling at once.
    let (folder, stop) = (bench.spool_folder.clone(), bench.stop.clone());
    stop.cancel();
    tokio::time::timeout(PATIENCE, bench.task).await.unwrap().unwrap();
    assert_eq!(uplink_conflict::known(&folder), Some(fault));
}
