//! Points of an OPC UA server that are read and not subscribed to. Must never rely on when a value is read.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use tests::ours::one_meter::{self, NODE};
use tests::ours::query;
use tests::peers::broker::Mosquitto;
use tests::peers::opcua::{LiveNode, OpcUaPlant, OpcUaServer};
use tests::steel::kwh;
use tests::wait::wait_until;

const SOON: Duration = Duration::from_secs(30);
/// Values that are waited for.
const VALUES: usize = 40;

/// A meter that shows a new value every 100 ms, by the clock on the wall.
fn meter(historize: bool) -> LiveNode {
    LiveNode {
        id: NODE.to_owned(),
        interval: Duration::from_millis(100),
        start: 100_000,
        step_max: 2_500,
        scale: 0.01,
        seed: 18,
        historize,
        clock: None,
    }
}

/// What came into the lake by source time; everything there is what the server gave, and once.
fn read(lake: &Path, server: &OpcUaServer) -> BTreeMap<i64, String> {
    let given: HashMap<i64, i64> = server.given(NODE).unwrap().into_iter().collect();
    let mut read = BTreeMap::new();
    for sample in query::samples(lake).unwrap().iter().filter(|sample| sample.quality == "Good") {
        let time = sample.time_ms().unwrap();
        let value = given.get(&time).map(|count| kwh(*count));
        // The first value of the node is written before those that are listed.
        assert!(value.is_none_or(|value| value == sample.value), "{sample:?}");
        assert!(read.insert(time, sample.value.clone()).is_none(), "{} twice", sample.time);
    }
    read
}

#[test]
fn a_device_that_is_not_subscribed_to_is_read_with_the_times_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let plant = OpcUaPlant { live: vec![meter(false)], ..OpcUaPlant::default() };
    let server = one_meter::serve_opcua(folder.path(), &plant).unwrap();
    let uplink = format!("url = \"{}\"", broker.url());
    // Twice as often as the meter shows something new: the same reading again is no sample.
    let keys = "poll = \"50ms\"\nsubscribe = false\n";
    let mut gateway =
        one_meter::opcua_gateway_with(folder.path(), &server, &uplink, 1_000, keys).unwrap();
    wait_until("values in the lake", SOON, || {
        Ok(centre.lake().exists() && query::samples(&centre.lake())?.len() >= VALUES)
    })
    .unwrap();
    let status = gateway.status().unwrap();
    assert_eq!(status["devices"]["meter"]["answering"], true, "{status:#}");
    assert!(status["devices"]["meter"]["code"].is_null(), "{status:#}");
    assert!(gateway.terminate().unwrap().success());
    let values = read(&centre.lake(), &server);
    assert!(values.len() >= VALUES - 5, "{} of them Good", values.len());
    let rows = query::all_rows(&centre.lake()).unwrap();
    let good = rows.iter().filter(|row| row.quality == "Good").count();
    assert_eq!(good, values.len(), "a reading was handed over twice");
}

#[test]
fn a_server_that_refuses_subscriptions_is_read_and_its_memory_closes_the_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let plant =
        OpcUaPlant { live: vec![meter(true)], no_subscriptions: true, ..OpcUaPlant::default() };
    let server = one_meter::serve_opcua(folder.path(), &plant).unwrap();
    let uplink = format!("url = \"{}\"", broker.url());
    // Far less often than the meter shows something new.
    let keys = "poll = \"1s\"\nhistory = true\nhistory_from = \"all\"\n";
    let mut gateway =
        one_meter::opcua_gateway_with(folder.path(), &server, &uplink, 1_000, keys).unwrap();
    let status = gateway
        .wait_for_status("the refusal", SOON, |status| {
            status["devices"]["meter"]["code"] == "GW-O128"
                && status["devices"]["meter"]["answering"] == true
        })
        .unwrap();
    let message = status["devices"]["meter"]["message"].as_str().unwrap();
    assert!(message.contains("BadTooManySubscriptions"), "{message}");
    let refused_at = server.given(NODE).unwrap().len();
    let (until_ms, _) = *server.given(NODE).unwrap().last().unwrap();
    let mark = |status: &serde_json::Value| status["points"][0]["history_mark_ms"].as_i64();
    gateway.wait_for_status("its history", SOON, |status| mark(status) > Some(until_ms)).unwrap();
    gateway.wait_until_committed(SOON).unwrap();
    assert!(gateway.terminate().unwrap().success());
    let values = read(&centre.lake(), &server);
    // asyncua may begin to remember after the first value.
    for (time, _) in server.given(NODE).unwrap().iter().take(refused_at).skip(1) {
        assert!(values.contains_key(time), "{time} is missing");
    }
}
