//! Servers that grant something else than what was asked for.

use std::time::{Duration, Instant};

use model::Value;
use serde_json::json;

use super::peer::Peer;
use super::support::{Rig, point};

fn counter() -> serde_json::Value {
    json!({ "id": "counter", "count": 0.0, "interval_ms": 200 })
}

fn numbers(rig: &Rig) -> Vec<f64> {
    let number = |value: Option<Value>| match value {
        Some(Value::Float(value)) => value,
        _ => f64::NAN,
    };
    rig.samples("counter").into_iter().map(|sample| number(sample.value)).collect()
}

/// It publishes every three seconds where a tenth was asked for: what it samples in between is kept by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_publishes_more_rarely_than_asked_costs_no_value() {
    let plant = json!({ "nodes": [counter()], "publish_min_ms": 3_000 });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", "", &point("counter", "type = \"float\""));
    rig.until("three notifications", |rig| numbers(rig).len() > 30).await;
    let found = numbers(&rig);
    assert!(found.windows(2).all(|pair| (pair[1] - pair[0]).total_cmp(&1.0).is_eq()), "{found:?}");
    assert_eq!((rig.faults(), rig.shown()), (Vec::new(), None));
}

/// Nobody can make such a server keep more; that values are lost is said, with the way out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_keeps_one_value_between_two_notifications_is_named() {
    let plant = json!({ "nodes": [counter()], "publish_min_ms": 1_000, "queue_max": 1 });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let points = point("counter", "type = \"float\"");
    let rig = Rig::start(&peer.url(), "", "", &points);
    rig.until("the news", |rig| rig.shown().is_some_and(|fault| fault.code == "GW-O135")).await;
    let shown = rig.shown().unwrap().message;
    assert!(shown.contains("publishes every 1s and keeps 1 of its values in between"), "{shown}");
    assert!(shown.contains("`subscribe = false`"), "{shown}");
    drop(rig);
    let rig = Rig::start(&peer.url(), "", "subscribe = false", &points);
    rig.until("values", |rig| numbers(rig).len() > 10).await;
    let found = numbers(&rig);
    assert!(found.windows(2).all(|pair| pair[1] - pair[0] <= 2.0), "{found:?}");
    assert_eq!(rig.shown(), None);
    drop(rig);
    // As rarely sampled as it is published: nothing is lost.
    let rig = Rig::start(&peer.url(), "sampling_interval = \"1s\"", "", &points);
    rig.until("values", |rig| numbers(rig).len() > 2).await;
    assert_eq!(rig.shown(), None);
}

/// It ends sessions of which it hears nothing for a second, and the register stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_short_session_timeout_is_asked_more_often() {
    let node = json!({ "id": "counter", "steps": [{ "type": "Double", "value": 1.0 }] });
    let plant = json!({ "nodes": [node], "session_timeout_ms": 1_000 });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let keys = "keep_alive = \"4s\"";
    let rig = Rig::start(&peer.url(), keys, "", &point("counter", "type = \"float\""));
    rig.until("a value", |rig| !rig.samples("counter").is_empty()).await;
    // The first sessions end; that is found by the next question, and the questions come closer until none ends.
    let (mut ended, mut since) = (0, Instant::now());
    rig.until("a session that lasts", |rig| {
        let faults = rig.faults().len();
        if faults != ended {
            (ended, since) = (faults, Instant::now());
        }
        ended > 0 && since.elapsed() > Duration::from_secs(8)
    })
    .await;
    assert!(rig.samples("counter").last().is_some_and(|sample| sample.quality.is_good()));
}
