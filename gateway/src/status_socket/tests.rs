//! The socket against readers that ask and never read, and against a gateway that does not answer.

use std::collections::BTreeMap;

use model::Timestamp;

use super::*;
use crate::status::{
    ClockStatus, PointCounts, PointStatus, STATUS_SCHEMA, SpoolStatus, UplinkStatus,
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// More than a socket takes without a reader.
fn long() -> GatewayStatus {
    let point = PointStatus {
        point: "x".repeat(1_000),
        value: None,
        unit: "kWh".to_owned(),
        is_float: false,
        quality: None,
        source_time_ms: None,
        durable_source_time_ms: None,
        history_mark_ms: None,
    };
    GatewayStatus {
        schema: STATUS_SCHEMA.to_owned(),
        gateway: "gw-1".to_owned(),
        version: "0.1.0".to_owned(),
        started_ms: 0,
        now_ms: 0,
        up_ms: 0,
        devices: BTreeMap::new(),
        points: vec![point; 2_000],
        point_counts: PointCounts { all: 5_000, ..PointCounts::default() },
        spool: SpoolStatus::default(),
        uplink: UplinkStatus::default(),
        uplinks: Vec::new(),
        tasks: BTreeMap::new(),
        clock: ClockStatus::default(),
        concerns: Vec::new(),
    }
}

/// A gateway with a long status and 5 000 points.
struct Long;

impl StatusSource for Long {
    async fn status(&self) -> GatewayStatus {
        long()
    }

    fn points(&self, from: usize, max: usize) -> Vec<PointStatus> {
        let one = long().points.swap_remove(0);
        assert!(max <= PAGE_POINTS, "a page is bounded");
        vec![one; 5_000_usize.saturating_sub(from).min(max)]
    }
}

/// A server of long answers in a folder of its own.
fn start() -> (tempfile::TempDir, CancellationToken, tokio::task::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let listener = Arc::new(UnixListener::bind(socket_path(folder.path())).unwrap());
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, Arc::new(Still), stop.clone(), Long));
    (folder, stop, served)
}

/// brk-09: each of twenty such readers held up the next one for a second.
#[tokio::test]
async fn twenty_readers_that_do_not_read_hold_up_nobody() {
    let (folder, stop, served) = start();
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(UnixStream::connect(socket_path(folder.path())).await.unwrap());
    }
    for reader in &idle {
        reader.readable().await.unwrap();
    }
    let asked = std::time::Instant::now();
    let told = ask(folder.path()).await.unwrap();
    assert_eq!(told.points.len(), 2_000);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    stop.cancel();
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap();
}

/// More than are served at the same time: they are left one after the other, and an honest reader has its turn.
#[tokio::test]
async fn more_readers_than_are_served_wait_and_do_not_block_for_ever() {
    let (folder, stop, served) = start();
    let mut idle = Vec::new();
    for _ in 0..2 * READERS_MAX {
        idle.push(UnixStream::connect(socket_path(folder.path())).await.unwrap());
    }
    let answer = async {
        loop {
            if let Ok(status) = ask(folder.path()).await {
                return status;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, answer).await.unwrap();
    assert_eq!(told.points.len(), 2_000);
    stop.cancel();
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap();
}

/// Under load a request came after the time that the gateway waited for it; the connection was closed with it unread, so
/// it was reset: "does not answer: Connection reset by peer".
#[tokio::test]
async fn a_request_that_comes_late_does_not_lose_the_answer() {
    let (folder, stop, served) = start();
    let mut late = UnixStream::connect(socket_path(folder.path())).await.unwrap();
    // The summary of whoever asks nothing begins.
    late.readable().await.unwrap();
    late.write_all(SUMMARY).await.unwrap();
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, late.read_to_end(&mut text)).await.unwrap();
    read.expect("no reset");
    let told: GatewayStatus = serde_json::from_slice(&text).unwrap();
    assert_eq!(told.points.len(), 2_000);
    stop.cancel();
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap();
}

/// All points go by in pages; a reader that stops half-way is left and holds up nobody.
#[tokio::test]
async fn all_points_are_told_one_by_one_and_a_reader_that_stops_is_left() {
    let (folder, stop, served) = start();
    let mut idle = UnixStream::connect(socket_path(folder.path())).await.unwrap();
    idle.write_all(ALL).await.unwrap();
    let (mut first, mut points) = (None, 0);
    let told = ask_all(folder.path(), |status| first = Some(status.clone()), |_| points += 1);
    let told = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    assert_eq!((Some(told), points), (first, 5_000));
    let mut rest = Vec::new();
    tokio::time::sleep(READER_TIMEOUT * 2).await;
    idle.read_to_end(&mut rest).await.unwrap();
    let lines = rest.split(|byte| *byte == b'\n').count();
    assert!(lines < 5_000, "it was left after {lines} lines");
    stop.cancel();
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap();
}

/// brk-09: a gateway that hangs; the kernel still takes connections for it.
#[tokio::test]
async fn a_gateway_that_does_not_answer_is_left_after_a_few_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(socket_path(folder.path())).unwrap();
    let error = ask_within(folder.path(), Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "no answer within 50ms");
    assert!(ASK_TIMEOUT <= Duration::from_secs(5), "a few seconds");
}
