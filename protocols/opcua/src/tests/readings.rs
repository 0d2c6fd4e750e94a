//! What values of servers become, whatever shape they come in.

use std::time::{Duration, SystemTime};

use model::{Quality, Sample, Text, Timestamp, Value};
use serde_json::json;

use super::peer::Peer;
use super::support::{Rig, point};

const QUARTER: Duration = Duration::from_mins(15);

fn float(metric: &str) -> String {
    point(metric, "type = \"float\"")
}

/// A source time that does not go on, even when the server starts again.
fn hours_ago(hours: u64) -> serde_json::Value {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    json!({ "at_s": since.as_secs() - hours * 3_600 })
}

fn is_good(sample: &Sample) -> bool {
    sample.quality == Quality::GOOD
}

/// Trial 05: one reading for ever, and the day unknown.
async fn a_register_that_stands_still(device: &str) {
    let step = json!({ "type": "Double", "value": 1000.0, "source": hours_ago(3) });
    let plant = json!({ "nodes": [{ "id": "standing", "steps": [step] }], "no_time": true });
    let Some(mut peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", device, &float("standing"));
    // The reading itself, of three hours ago, and that it holds.
    rig.until("the reading", |rig| !rig.samples("standing").is_empty()).await;
    rig.put_forward(Duration::from_mins(2));
    rig.until("a reading of now", |rig| rig.samples("standing").len() >= 2).await;
    let samples = rig.samples("standing");
    assert!(samples.iter().all(|s| is_good(s) && s.value == Some(Value::Float(1000.0))));
    let age = |sample: &Sample| sample.gateway_time.micros_since(sample.source_time);
    assert!(age(&samples[0]) > 10_000_000_000, "{samples:?}");
    // No change was seen yet, so one may be under way for a minute.
    assert!((0..90_000_000).contains(&age(&samples[1])), "{samples:?}");
    let times: Vec<Timestamp> = samples.iter().map(|sample| sample.source_time).collect();
    assert!(times.is_sorted());

    // Nothing is said of it once the server is gone.
    peer.kill().await;
    rig.until("the loss", |rig| rig.samples("standing").iter().any(|s| s.quality.is_bad())).await;
    let after = rig.samples("standing");
    assert!(after.last().is_some_and(|sample| sample.quality.is_bad()), "{after:?}");
    // That nothing comes has no condition to wait for; the poll interval is far shorter.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.samples("standing"), after);

    // The server is back with the very same reading: it is not stored again, and the point is Good again.
    peer.start_again().await;
    rig.until("the return", |rig| rig.samples("standing").last().is_some_and(is_good)).await;
    let back = rig.samples("standing");
    assert!(back[after.len()].source_time > after[after.len() - 1].source_time, "{back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscribed_register_that_stands_still_is_a_reading_while_its_server_lives() {
    a_register_that_stands_still("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polled_register_that_stands_still_is_a_reading_while_its_server_lives() {
    a_register_that_stands_still("subscribe = false").await;
}

/// Two hours of quarters by a clock that the test puts forward; 97 with `NENGLIU_LONG=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_quarter_of_an_hour_has_a_reading_of_a_register_that_stands_still() {
    let quarters = if std::env::var_os("NENGLIU_LONG").is_some() { 97 } else { 8 };
    let step = json!({ "type": "Double", "value": 1000.0, "source": hours_ago(3) });
    let plant = json!({ "nodes": [{ "id": "standing", "steps": [step] }], "no_time": true });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let rig = Rig::start(&peer.url(), "", "", &float("standing"));
    for quarter in 0..quarters {
        let readings = 1 + quarter;
        rig.until("the next reading", |rig| rig.samples("standing").len() >= readings).await;
        rig.put_forward(QUARTER);
    }
    let samples = rig.samples("standing");
    assert!(samples.iter().all(|s| is_good(s) && s.value == Some(Value::Float(1000.0))));
    assert!(samples.len() >= quarters);
    // So near that `energy` takes each border between them for read: at most a slot and five minutes.
    let times: Vec<i64> = samples[1..].iter().map(|sample| sample.source_time.0).collect();
    let minutes = |micros: i64| micros / 60_000_000;
    assert!(
        times.windows(2).all(|pair| (1..20).contains(&minutes(pair[1] - pair[0]))),
        "{times:?}"
    );
    let all = minutes(times[times.len() - 1] - times[0]);
    assert!(all >= i64::try_from(quarters - 2).unwrap() * 15, "{all} minutes");
}

/// Trial 14 at a server that is read: power each tenth of a second, a counter each hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polled_points_of_two_intervals_are_read_at_two_intervals() {
    let step = |value: f64| json!({ "type": "Double", "value": value });
    let node = |id: &str| json!({ "id": id, "interval_ms": 100, "steps": [step(1.0), step(2.0)] });
    let plant = json!({ "nodes": [node("power"), node("energy")] });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let slow = point("energy", "type = \"float\"\npoll = \"1h\"");
    let rig = Rig::start(&peer.url(), "", "subscribe = false", &[float("power"), slow].concat());
    rig.until("values of the fast one", |rig| rig.samples("power").len() >= 10).await;
    let samples = rig.samples("energy");
    assert!(samples.len() == 1 && is_good(&samples[0]), "{samples:?}");
}

/// Trial 09: every second value was `BadTypeMismatch`. With it: strings, states, times, arrays, and statuses of OPC DA.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_taken_in_each_shape_that_servers_give_them() {
    let once = |id: &str, kind: &str, value: serde_json::Value| json!({ "id": id, "steps": [{ "type": kind, "value": value }] });
    let plant = json!({ "nodes": [
        { "id": "number", "interval_ms": 150,
          "steps": [{ "type": "Double", "value": 1.5 }, { "type": "Int32", "value": 2 }] },
        { "id": "count", "interval_ms": 150,
          "steps": [{ "type": "Int32", "value": 7 }, { "type": "Double", "value": 8.0 }] },
        once("program", "String", json!("O1234.NC")),
        once("alarm", "LocalizedText", json!("主轴报警")),
        once("since", "DateTime", json!("2026-01-02T03:04:05+00:00")),
        once("on", "Boolean", json!(true)),
        once("phases", "Double[]", json!([1.5, 2.5, 3.5])),
        once("bytes", "ByteString", json!("abc")),
        { "id": "da", "steps": [{ "type": "Double", "value": 6.0, "status": 0xC0 }] },
        { "id": "subnormal", "steps": [{ "type": "Double", "value": 5.0, "status": 0x4095_0000_u32 }] },
    ] });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let text = |metric| point(metric, "type = \"text\"");
    let points = [
        float("number"),
        point("count", "type = \"integer\""),
        text("program"),
        text("alarm"),
        text("since"),
        point("on", "type = \"bool\""),
        point("phases", "type = \"float\"\nindex = 1"),
        text("bytes"),
        float("da"),
        float("subnormal"),
    ];
    let rig = Rig::start(&peer.url(), "", "", &points.concat());
    rig.until("two rounds of numbers", |rig| {
        rig.samples("number").len() >= 6 && rig.samples("count").len() >= 6
    })
    .await;
    for (metric, first, second) in [
        ("number", Value::Float(1.5), Value::Float(2.0)),
        ("count", Value::Decimal(7), Value::Decimal(8)),
    ] {
        let samples = rig.samples(metric);
        assert!(samples.iter().all(is_good), "{samples:?}");
        for value in [first, second] {
            assert!(samples.iter().any(|s| s.value.as_ref() == Some(&value)), "{samples:?}");
        }
    }
    let first = |metric| rig.samples(metric).first().cloned().unwrap();
    let is_text = |metric, expected: &str| {
        assert_eq!(first(metric).value, Some(Value::Text(Text::cut(expected).0)), "{metric}");
    };
    is_text("program", "O1234.NC");
    is_text("alarm", "主轴报警");
    is_text("since", "2026-01-02T03:04:05.000000Z");
    assert_eq!(first("on").value, Some(Value::Bool(true)));
    assert_eq!(first("phases").value, Some(Value::Float(2.5)));
    assert_eq!(first("da").quality, Quality(0xC0));
    assert_eq!(first("da").value, Some(Value::Float(6.0)));
    // Trial 17: what is Uncertain is kept, with its value and its code.
    assert_eq!(first("subnormal").quality, Quality(0x4095_0000));
    assert_eq!(first("subnormal").value, Some(Value::Float(5.0)));
    assert_eq!(first("bytes").quality, Quality::BAD_TYPE_MISMATCH);
    let shown = rig.shown().unwrap();
    assert_eq!(shown.code, "GW-O122");
    assert!(
        shown.message.contains("`bytes`") && !shown.message.contains("more point"),
        "{shown:?}"
    );
}

/// A clock that stands, one that is hours ahead, one in another time zone; and the way out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_time_that_cannot_be_is_named_and_can_be_left_out() {
    let node = |id: &str, source: serde_json::Value| {
        let step = |value: f64| json!({ "type": "Double", "value": value, "source": source });
        json!({ "id": id, "interval_ms": 150, "steps": [step(1.0), step(2.0)] })
    };
    let plant = json!({ "nodes": [
        node("frozen", hours_ago(1)),
        node("right", json!("now")),
        node("ahead", json!({ "ago_s": -7_200 })),
        node("behind", json!({ "ago_s": 28_800 })),
    ] });
    let Some(peer) = Peer::start(&plant.to_string()).await else { return };
    let all = ["frozen", "right", "ahead", "behind"];
    let rig = Rig::start(&peer.url(), "", "", &all.map(float).concat());
    let wrong = ["`frozen` at", "`ahead` at", "`behind` at"];
    rig.until("the faults", |rig| {
        rig.shown().is_some_and(|shown| wrong.iter().all(|name| shown.message.contains(name)))
    })
    .await;
    let shown = rig.shown().unwrap();
    assert_eq!(shown.code, "GW-O132");
    let says = |text: &str| assert!(shown.message.contains(text), "{shown:?}");
    assert!(!shown.message.contains("`right`"), "{shown:?}");
    assert!(
        ["2 h 0 min ahead", "1 h 59 min ahead"].iter().any(|far| shown.message.contains(far)),
        "{shown:?}"
    );
    says("8 h 0 min behind");
    says("stands still");
    says("time = \"gateway\"");
    drop(rig);

    let frozen = point("frozen", "type = \"float\"\ntime = \"gateway\"");
    let rig = Rig::start(&peer.url(), "", "", &[frozen, float("right")].concat());
    rig.until("values", |rig| rig.samples("frozen").len() >= 5).await;
    let samples = rig.samples("frozen");
    assert!(samples.windows(2).all(|pair| pair[0].source_time < pair[1].source_time));
    assert!(samples.iter().all(|sample| sample.source_time == sample.gateway_time));
    assert_eq!(rig.shown(), None);
}
