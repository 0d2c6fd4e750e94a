//! The socket against one who asks and never reads.

use super::*;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than a socket takes without a reader.
fn long() -> GatewayStatus {
    let point = PointStatus {
        point: "x".repeat(1_000),
        value: None,
        unit: "kWh".to_owned(),
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
        devices: BTreeMap::new(),
        points: vec![point; 2_000],
        spool: SpoolStatus::default(),
        uplink: UplinkStatus::default(),
    }
}

#[tokio::test]
async fn one_who_asks_and_does_not_read_holds_up_neither_others_nor_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(socket_path(folder.path())).unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, stop.clone(), || async { Some(long()) }));

    let _idle = UnixStream::connect(socket_path(folder.path())).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, ask(folder.path())).await.unwrap().unwrap();
    assert_eq!(told.points.len(), 2_000);

    let idle_too = UnixStream::connect(socket_path(folder.path())).await.unwrap();
    // Its answer has begun, so it is this one that the gateway waits for.
    idle_too.readable().await.unwrap();
    stop.cancel();
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap();
}
