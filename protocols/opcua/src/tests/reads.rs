//! A Read that says something else than the subscription, or nothing: each slot has a row, and the point is named.

use std::time::{Duration, SystemTime};

use model::{Quality, Sample, Value};
use serde_json::{Value as Json, json};

use super::peer::Peer;
use super::support::{Rig, point};

const QUARTER: Duration = Duration::from_mins(15);
/// `BadNoCommunication`.
const NO_COMMUNICATION: Quality = Quality(0x8031_0000);

/// A register that stands since three hours, and is read as `odd` says.
fn standing(id: &str, odd: &Json) -> Json {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let source = json!({ "at_s": since.as_secs() - 3 * 3_600 });
    let step = json!({ "type": "Double", "value": 1000.0, "source": source });
    let mut node = json!({ "id": id, "steps": [step] });
    for (key, value) in odd.as_object().expect("keys") {
        node[key] = value.clone();
    }
    node
}

fn floats(metrics: &[&str]) -> String {
    metrics.iter().map(|metric| point(metric, "type = \"float\"")).collect()
}

fn of_quality(rig: &Rig, metric: &str, quality: Quality) -> Vec<Sample> {
    rig.samples(metric).into_iter().filter(|sample| sample.quality == quality).collect()
}

/// A Read may take longer than the `timeout`, for nobody waits for it; what takes longer than that too has a row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_slow_is_waited_for_and_one_that_never_ends_makes_its_slot_bad() {
    let nodes = [
        standing("slow", &json!({ "read_wait_ms": 1_500 })),
        standing("stuck", &json!({ "read_wait_ms": 8_000 })),
    ];
    let plant = json!({ "no_time": true, "nodes": nodes });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let url = peer.url();
    let row_of = async |metric: &'static str| {
        let keys = "timeout = \"1s\"\nkeep_alive = \"4s\"";
        let rig = Rig::start(&url, keys, "", &floats(&[metric]));
        rig.until("the reading", |rig| !rig.samples(metric).is_empty()).await;
        rig.put_forward(QUARTER);
        rig.until("a row", |rig| rig.samples(metric).len() >= 2).await;
        (rig.samples(metric).pop().expect("a row"), rig)
    };
    let (row, rig) = row_of("slow").await;
    assert!(row.quality.is_good() && row.value == Some(Value::Float(1000.0)), "{row:?}");
    drop(rig);
    let (row, rig) = row_of("stuck").await;
    assert_eq!((row.quality, row.value), (Quality::BAD_TIMEOUT, None));
    rig.until("the reason", |rig| rig.shown().is_some_and(|fault| fault.code == "GW-O137")).await;
    let shown = rig.shown().unwrap().message;
    assert!(shown.contains("`stuck` at") && shown.contains("raise `timeout`"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_another_status_is_the_row_of_its_slot() {
    let uncertain = Quality::UNCERTAIN_LAST_USABLE_VALUE;
    let plant = json!({ "no_time": true, "nodes": [
        standing("doubtful", &json!({ "read_status": uncertain.0 })),
        standing("lost", &json!({ "read_status": NO_COMMUNICATION.0 })),
        standing("standing", &json!({})),
    ] });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let metrics = ["doubtful", "lost", "standing"];
    let rig = Rig::start(&peer.url(), "", "", &floats(&metrics));
    rig.until("readings", |rig| metrics.iter().all(|m| !rig.samples(m).is_empty())).await;
    rig.put_forward(QUARTER);
    rig.until("what is doubtful", |rig| !of_quality(rig, "doubtful", uncertain).is_empty()).await;
    let rows = of_quality(&rig, "doubtful", uncertain);
    assert_eq!(rows[0].value, Some(Value::Float(1000.0)));
    // A row of its slot, and not that of the reading once more.
    assert!(rows[0].gateway_time.micros_since(rows[0].source_time) < 90_000_000, "{rows:?}");
    rig.until("what stands", |rig| rig.samples("standing").len() >= 2).await;
    rig.until("what is lost", |rig| !of_quality(rig, "lost", NO_COMMUNICATION).is_empty()).await;
    rig.until("both named", |rig| {
        let shown = rig.shown().map(|fault| fault.message).unwrap_or_default();
        shown.contains("`doubtful` at") && shown.contains("`lost` at")
    })
    .await;
    let all = rig.ever_shown().join("\n");
    assert!(all.contains("BadNoCommunication") && !all.contains("`standing`"), "{all}");
    assert!(rig.samples("standing").iter().all(|sample| sample.quality.is_good()));
    assert_eq!(rig.faults(), []);
}

/// A server with a deadband of its own: what it does not tell is read, and its items are left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadband_of_the_server_is_named_and_its_points_are_read() {
    let nodes = [standing("noisy", &json!({ "read_adds": 0.001 }))];
    let plant = json!({ "no_time": true, "nodes": nodes });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", "", &floats(&["noisy"]));
    let read = |rig: &Rig| {
        let is_read = |sample: &&Sample| sample.value != Some(Value::Float(1000.0));
        rig.samples("noisy").iter().filter(is_read).count()
    };
    let is_named = |rig: &Rig| rig.ever_shown().iter().any(|shown| shown.contains("deadband"));
    rig.until("the reading", |rig| !rig.samples("noisy").is_empty()).await;
    let mut rounds = 0;
    while !is_named(&rig) {
        // Another value by a Read, or the first one of a new item.
        let before = rig.samples("noisy").len();
        rig.put_forward(QUARTER);
        rig.until("a value", |rig| rig.samples("noisy").len() > before || is_named(rig)).await;
        rounds += 1;
    }
    assert!(rounds <= 8, "{rounds}");
    let before = (read(&rig), rig.samples("noisy").len());
    rig.put_forward(QUARTER);
    rig.until("another value", |rig| read(rig) > before.0).await;
    // A new item would tell its first value.
    assert_eq!(rig.samples("noisy").len() - before.1, read(&rig) - before.0);
    assert!(rig.samples("noisy").iter().all(|sample| sample.quality.is_good()));
    assert_eq!(rig.faults(), []);
}
