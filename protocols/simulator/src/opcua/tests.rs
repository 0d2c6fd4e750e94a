//! What is served, read by a client of async-opcua: values, history page by page, and live values, with and without
//! security.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_opcua::client::{
    Client, ClientBuilder, DataChangeCallback, HistoryReadAction, IdentityToken, Session,
};
use async_opcua::crypto::SecurityPolicy;
use async_opcua::types::{
    AttributeId, ByteString, DataValue, HistoryData, HistoryReadValueId, MessageSecurityMode,
    MonitoredItemCreateRequest, NodeId, ReadRawModifiedDetails, ReadValueId, StatusCode,
    TimestampsToReturn, UserTokenPolicy, Variant,
};
use model::Timestamp;
use model::host::Clock;
use tokio_util::sync::CancellationToken;

use super::history::to_date_time;
use super::*;
use crate::plant::{METERS, Meter, Plant};

const QUARTER: i64 = 900_000_000;
/// 2026-11-23T11:30:00Z.
const START: Timestamp = Timestamp(1_795_433_400_000_000);
const FROM: Timestamp = Timestamp(START.0 - 31 * 96 * QUARTER);

/// Runs from the start of the test on, at true speed.
struct FromStart(std::time::Instant);

impl Clock for FromStart {
    fn now(&self) -> Timestamp {
        Timestamp(START.0 + i64::try_from(self.0.elapsed().as_micros()).unwrap())
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Served {
    server: OpcUaServer,
    plant: Arc<Plant>,
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

async fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let plant = Arc::new(Plant::new(1));
    let stop = CancellationToken::new();
    let grid = |coarse| Grid { from: FROM, live_from: START, coarse, fine: 500_000 };
    let endpoint =
        Endpoint { bind: "127.0.0.1:0".parse().unwrap(), pki: &folder.path().join("server") };
    let clock = Arc::new(FromStart(std::time::Instant::now()));
    let grids = (grid(QUARTER), grid(4 * QUARTER));
    let server = start(endpoint, Arc::clone(&plant), clock, grids, stop.clone()).await.unwrap();
    Served { server, plant, folder, stop }
}

fn client(folder: &Path) -> Client {
    ClientBuilder::new()
        .application_name("test")
        .application_uri("urn:test")
        .pki_dir(folder.join("client"))
        .create_sample_keypair(true)
        .trust_server_certs(true)
        .verify_server_certs(false)
        .session_retry_limit(0)
        .client()
        .unwrap()
}

async fn connect(served: &Served, policy: SecurityPolicy) -> Arc<Session> {
    let mode = match policy {
        SecurityPolicy::None => MessageSecurityMode::None,
        _ => MessageSecurityMode::SignAndEncrypt,
    };
    let mut client = client(served.folder.path());
    let endpoint =
        (served.server.url.as_str(), policy.to_str(), mode, UserTokenPolicy::anonymous());
    let (session, events) =
        client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
    events.spawn();
    session.wait_for_connection().await;
    session
}

async fn node(session: &Session, meter: &Meter, metric: &str) -> NodeId {
    let uri = format!("urn:nengliu:simulator:{}", meter.id);
    let namespaces = session.read_namespace_array().await.unwrap();
    NodeId::new(namespaces.get_index(&uri).unwrap(), metric)
}

/// Reads a history to its end, `page` values at a time.
async fn history(session: &Session, node: &NodeId, page: u32) -> (Vec<DataValue>, usize) {
    let mut values = Vec::new();
    let mut pages = 0;
    let mut continuation = ByteString::null();
    loop {
        let details = ReadRawModifiedDetails {
            start_time: to_date_time(Timestamp(0)),
            end_time: to_date_time(START),
            num_values_per_node: page,
            ..ReadRawModifiedDetails::default()
        };
        let wanted = HistoryReadValueId {
            node_id: node.clone(),
            continuation_point: continuation,
            ..HistoryReadValueId::default()
        };
        let action = HistoryReadAction::ReadRawModifiedDetails(details);
        let mut read =
            session.history_read(action, TimestampsToReturn::Both, false, &[wanted]).await.unwrap();
        let result = read.remove(0);
        assert!(result.status_code.is_good(), "{}", result.status_code);
        let data = result.history_data.into_inner_as::<HistoryData>().unwrap();
        values.extend(data.data_values.unwrap_or_default());
        pages += 1;
        continuation = result.continuation_point;
        if continuation.is_null_or_empty() {
            return (values, pages);
        }
    }
}

fn double(value: &DataValue) -> f64 {
    match value.value {
        Some(Variant::Double(value)) => value,
        ref other => panic!("{other:?}"),
    }
}

fn mantissa(meter: &Meter, value: &DataValue) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a register of a test")]
    let steps = (double(value) * 10_f64.powi(i32::from(-meter.exponent))).round() as i64;
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_history_gives_the_integral_of_each_meter() {
    let served = serve().await;
    let session = connect(&served, SecurityPolicy::Basic256Sha256).await;
    let begun = std::time::Instant::now();
    let mut read = 0;
    for meter in METERS {
        let node = node(&session, meter, meter.metric).await;
        let (values, pages) = history(&session, &node, 1_000).await;
        assert_eq!((values.len(), pages), (31 * 96, 3), "{}", meter.id);
        let times = values.iter().map(|value| value.source_timestamp.unwrap());
        let expected = (0..31 * 96).map(|slot| to_date_time(Timestamp(FROM.0 + slot * QUARTER)));
        assert!(times.eq(expected), "{}", meter.id);
        let (first, last) = (values.first().unwrap(), values.last().unwrap());
        let end = Timestamp(START.0 - QUARTER);
        let integral = served.plant.integral(meter, FROM, end);
        assert_eq!(
            mantissa(meter, last) - mantissa(meter, first),
            integral.mantissa,
            "{}",
            meter.id
        );
        read += values.len();
    }
    println!("{read} values in {:?}", begun.elapsed());
    let private = std::fs::metadata(served.folder.path().join("server/private")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&private.permissions()) & 0o777, 0o700);
    session.disconnect().await.unwrap();
    served.stop.cancel();
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_values_stand_on_the_grid_of_the_history() {
    let served = serve().await;
    let session = connect(&served, SecurityPolicy::None).await;
    let meter = Meter::of("meter-main").unwrap();
    let register = node(&session, meter, "e_import").await;
    let (sender, mut values) = tokio::sync::mpsc::unbounded_channel();
    let callback = DataChangeCallback::new(move |value, _| drop(sender.send(value)));
    let subscription = session
        .create_subscription(Duration::from_millis(100), 100, 20, 1_000, 0, true, callback)
        .await
        .unwrap();
    let item: MonitoredItemCreateRequest = register.clone().into();
    let created = session
        .create_monitored_items(subscription, TimestampsToReturn::Both, vec![item])
        .await
        .unwrap();
    assert_eq!(created[0].result.status_code, StatusCode::Good);
    let mut seen = BTreeMap::new();
    while seen.len() < 4 {
        let value: DataValue =
            tokio::time::timeout(Duration::from_secs(20), values.recv()).await.unwrap().unwrap();
        let ticks = value.source_timestamp.unwrap().ticks();
        assert!(seen.insert(ticks, mantissa(meter, &value)).is_none(), "one value per time");
    }
    for (ticks, register) in &seen {
        let time = Timestamp((ticks - to_date_time(Timestamp(0)).ticks()) / 10);
        assert_eq!(time.0 % 500_000, 0);
        assert_eq!(*register, served.plant.register(meter, time));
    }
    let steps: Vec<i64> = seen.keys().zip(seen.keys().skip(1)).map(|(a, b)| b - a).collect();
    // A busy machine may skip a step; it never leaves the grid.
    assert!(steps.iter().all(|step| *step % 5_000_000 == 0), "{steps:?}");
    // Reading now gives the newest of them or a later one.
    let wanted = ReadValueId::new(register, AttributeId::Value);
    let read = session.read(&[wanted], TimestampsToReturn::Both, 0.0).await.unwrap();
    assert!(read[0].source_timestamp.unwrap().ticks() >= *seen.keys().last().unwrap());
    session.disconnect().await.unwrap();
    served.stop.cancel();
    served.server.stop().await;
}
