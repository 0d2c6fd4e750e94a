//! A subscription that lives while items in it are dead: keep-alives come, changes do not.

use std::path::Path;
use std::time::{Duration, SystemTime};

use model::{Quality, Sample, Value};
use serde_json::json;

use super::peer::Peer;
use super::support::{Rig, point};

const QUARTER: Duration = Duration::from_mins(15);
/// `BadNodeIdUnknown`.
const UNKNOWN: Quality = Quality(0x8034_0000);

fn number(sample: &Sample) -> f64 {
    match sample.value {
        Some(Value::Float(value)) => value,
        _ => f64::NAN,
    }
}

fn last(rig: &Rig, metric: &str) -> Sample {
    rig.samples(metric).pop().expect("a sample")
}

fn floats(metrics: &[&str]) -> String {
    metrics.iter().map(|metric| point(metric, "type = \"float\"")).collect()
}

fn standing() -> serde_json::Value {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let source = json!({ "at_s": since.as_secs() - 3 * 3_600 });
    json!({ "id": "standing", "steps": [{ "type": "Double", "value": 1000.0, "source": source }] })
}

async fn until_gone(file: &Path) {
    while file.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a server no longer has is not said to stand, however well its subscription lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_whose_node_is_deleted_is_bad_and_not_said_to_stand() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    let plant = json!({ "no_time": true, "nodes": [
        { "id": "counter", "count": 1_000.0, "gone": gone }, standing(),
    ] });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", "", &floats(&["counter", "standing"]));
    rig.until("values", |rig| {
        rig.samples("counter").len() > 5 && !rig.samples("standing").is_empty()
    })
    .await;
    std::fs::write(&gone, "").unwrap();
    let done = gone.with_extension("done");
    rig.until("the deletion", |_| done.exists()).await;
    rig.put_forward(QUARTER);
    rig.until("Bad", |rig| last(rig, "counter").quality == UNKNOWN).await;
    rig.until("the reason", |rig| rig.shown().is_some_and(|fault| fault.code == "GW-O121")).await;
    assert!(rig.shown().unwrap().message.contains("`counter`"), "{:?}", rig.shown());
    rig.until("what stands", |rig| rig.samples("standing").len() >= 2).await;
    assert!(last(&rig, "standing").quality.is_good());
    // No value was said with a time of after the deletion.
    let samples = rig.samples("counter");
    let bad = samples.iter().position(|sample| sample.quality == UNKNOWN).unwrap();
    assert!(samples[bad].source_time.micros_since(samples[bad - 1].source_time) > 840_000_000);
    assert_eq!(rig.faults(), []);
}

/// Trial of 29 November: 20 was stored as Good where the register stood at 840.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_whose_node_was_made_again_is_read_and_subscribed_to_again() {
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again");
    let plant = json!({ "no_time": true, "nodes": [
        { "id": "counter", "count": 1_000.0, "again": again }, standing(),
    ] });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", "", &floats(&["counter", "standing"]));
    rig.until("values", |rig| rig.samples("counter").len() > 5).await;
    std::fs::write(&again, "").unwrap();
    until_gone(&again).await;
    // What the server told before may still come.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = rig.samples("counter").len();
    rig.put_forward(QUARTER);
    rig.until("a value of now", |rig| rig.samples("counter").len() > before).await;
    rig.until("the news", |rig| rig.shown().is_some_and(|fault| fault.code == "GW-O133")).await;
    let shown = rig.shown().unwrap().message;
    assert!(shown.contains("`counter` at") && !shown.contains("`standing`"), "{shown}");
    rig.until("live values", |rig| rig.samples("counter").len() > before + 20).await;
    let samples = rig.samples("counter");
    assert!(samples.iter().all(|sample| sample.quality.is_good()), "{samples:?}");
    // It counts every tenth of a second: neither old values nor those of the new node from its beginning.
    assert!(samples.is_sorted_by(|a, b| number(a) <= number(b)), "{samples:?}");
    assert_eq!(rig.faults(), []);
}

/// The server forgets all items and keeps the subscription alive: found without a slot that is due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_that_a_server_loses_in_silence_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let lose = folder.path().join("lose");
    let nodes = [
        json!({ "id": "counter", "count": 1_000.0 }),
        json!({ "id": "other", "count": 5_000.0 }),
        standing(),
    ];
    let plant = json!({ "lose_items": lose, "nodes": nodes });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", "", &floats(&["counter", "other", "standing"]));
    rig.until("values", |rig| rig.samples("counter").len() > 5).await;
    std::fs::write(&lose, "").unwrap();
    until_gone(&lose).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (before, standing) = (rig.samples("counter").len(), rig.samples("standing").len());
    let lives = |rig: &Rig, metric: &str| rig.samples(metric).len() > before + 20;
    rig.until("all live", |rig| lives(rig, "counter") && lives(rig, "other")).await;
    rig.until("the news", |rig| rig.shown().is_some_and(|fault| fault.code == "GW-O133")).await;
    for metric in ["counter", "other"] {
        let samples = rig.samples(metric);
        assert!(samples.iter().all(|sample| sample.quality.is_good()), "{samples:?}");
        assert!(samples.is_sorted_by(|a, b| number(a) <= number(b)), "{samples:?}");
    }
    // What did not change needs no word.
    assert_eq!(rig.samples("standing").len(), standing);
    assert_eq!(rig.faults(), []);
}

/// The newest row of each point says what the point is, whoever called it Bad before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_point_that_comes_back_from_bad_is_said_again() {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let source = json!({ "at_s": since.as_secs() - 3 * 3_600 });
    // A value that becomes too large to read ends the first session.
    let plant = json!({ "nodes": [
        standing(),
        { "id": "huge", "interval_ms": 5_000, "once": true, "steps": [
            { "type": "String", "value": "small" },
            { "type": "String", "length": 5_000_000 },
        ] },
        { "id": "flicker", "interval_ms": 6_000, "steps": [
            { "type": "Double", "value": 7.0, "source": source },
            { "type": "Double", "value": 7.0, "source": "none", "status": 0x8031_0000_u32 },
        ] },
    ] });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let points = floats(&["standing", "flicker"]) + &point("huge", "type = \"text\"");
    let rig = Rig::start(&peer.url(), "", "", &points);
    rig.until("the break", |rig| rig.faults().iter().any(|f| f.code == "GW-O112")).await;
    for metric in ["standing", "flicker"] {
        rig.until("Bad and back", |rig| {
            let mut samples = rig.samples(metric);
            samples.sort_by_key(|sample| sample.source_time);
            let is_newest_good = samples.last().is_some_and(|sample| sample.quality.is_good());
            let by_server = |s: &Sample| s.quality == Quality(0x8031_0000);
            is_newest_good
                && samples.iter().any(|s| s.quality.is_bad())
                && (metric == "standing" || samples.iter().any(by_server))
        })
        .await;
    }
}
