//! What the live topics hold after a start, by a clock of the test.

use contract::memory::MemoryStore;
use contract::{AdmittedFrame, CommitDraft, Store as _, WatermarkMove};
use live::{Live, LiveMessage, LiveSettings};
use model::fixtures::{dictionary, gateway};
use model::{Batch, Dictionary, LogId, PointIndex, PointInfo, Sample, Unit, Value, ValueType};

use super::*;

/// 2026-11-23.
const WALL: Timestamp = Timestamp(1_795_392_000_000_000);
const NOW: Duration = Duration::from_secs(3);
const HOUR_US: i64 = 3_600_000_000;

/// One frame after the other, each with its dictionary.
async fn store(frames: Vec<(Dictionary, Vec<Sample>)>) -> MemoryStore {
    let mut store = MemoryStore::default();
    for (sequence, (dictionary, samples)) in (1..).zip(frames) {
        store.put_dictionary(&dictionary).await.unwrap();
        let batch = Batch { dictionary: dictionary.hash(), samples };
        let (gateway, log_id) = (gateway("g1"), LogId([7; 16]));
        let frame = AdmittedFrame {
            gateway: gateway.clone(),
            log_id,
            sequence: Sequence(sequence),
            dictionary: Arc::new(dictionary),
            batch,
        };
        let moved = WatermarkMove {
            gateway,
            log_id,
            stood: Sequence(sequence - 1),
            durable_upto: Sequence(sequence),
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        };
        let draft = CommitDraft { frames: vec![frame], watermarks: vec![moved] };
        store.commit(Arc::new(draft)).await.unwrap();
    }
    store
}

fn restore(live: &mut Live, store: &MemoryStore) {
    let stored = Stored::new(store.readings(), Cancel::default()).unwrap();
    stored.each(WALL, |rows| live.restore(rows, &stored.described, NOW, WALL)).unwrap();
    for (log, upto) in stored.durable() {
        live.restore_durable(&log, upto);
    }
}

fn all(live: &mut Live, now: Duration) -> BTreeMap<String, String> {
    let next = || live.next(now, WALL);
    std::iter::from_fn(next).map(|LiveMessage { topic, payload, .. }| (topic, payload)).collect()
}

fn live() -> Live {
    Live::new(LiveSettings { rate: Duration::ZERO, ..LiveSettings::default() })
}

fn at(point: u32, before_us: i64, value: Value) -> Sample {
    let time = Timestamp(WALL.0 - before_us);
    Sample::new(PointIndex(point), time, time, Quality::GOOD, value)
}

fn with(change: impl FnOnce(&mut Vec<PointInfo>)) -> Dictionary {
    let mut points = dictionary().points;
    change(&mut points);
    Dictionary::new(points).unwrap()
}

const VALUE: &str = "v1/acme/nb-1/_/_/m1/v/e_import";

/// Trial int-02: 24 of 28 topics were missing until their points changed.
#[tokio::test]
async fn after_a_start_the_topics_stand_as_in_the_store_and_are_stale_until_their_gateway_is_heard()
{
    let polled = with(|points| points[1].interval_ms = Some(5_000));
    let samples =
        vec![at(0, 5 * 24 * HOUR_US, Value::Decimal(9)), at(1, 60_000_000, Value::Float(0.5))];
    let store = store(vec![(polled.clone(), samples)]).await;
    let mut live = live();
    restore(&mut live, &store);
    let stale =
        r#""unit":"kWh","q":"UncertainLastUsableValue","stale":true,"boot":"07070707","seq":1}"#;
    let found = all(&mut live, NOW);
    assert_eq!(found[VALUE], format!(r#"{{"ts":1794960000000,"v":0.09,"exact":"0.09",{stale}"#));
    let other = "v1/acme/nb-1/_/_/m1/v/p_total";
    assert_eq!(found[other], format!(r#"{{"ts":1795391940000,"v":0.5,{stale}"#));
    let said = |name: &str| found[&format!("v1/acme/nb-1/_/_/{name}")].clone();
    assert!(said("g1/$state").contains("offline"));
    assert_eq!(said("g1/$durable"), r#"{"boot":"07070707","seq":1}"#);
    assert!(said("m1/$meta").contains("e_import"));
    // It is heard, with nothing new: what reports on change holds, what missed its interval does not.
    live.presence(&gateway("g1"), true, NOW, WALL);
    let found = all(&mut live, NOW);
    assert!(found[VALUE].contains(r#""q":"Good""#), "{found:?}");
    assert!(!found.contains_key(other), "{found:?}");
}

#[tokio::test]
async fn what_was_removed_renamed_or_is_older_than_a_week_does_not_come_back() {
    let two_devices = with(|points| {
        let mut moved = points[0].clone();
        moved.id = PointId::new("acme/nb-1/m2/e_import").unwrap();
        moved.device = "m2".to_owned();
        points.push(moved);
    });
    let removed = with(|points| drop(points.remove(1)));
    let renamed = with(|points| {
        points.remove(1);
        points[0].metric = "e_total".to_owned();
    });
    let all_of = vec![
        at(0, 30, Value::Decimal(1)),
        at(1, 30, Value::Float(1.0)),
        at(2, 30, Value::Decimal(1)),
    ];
    let check = async |frames, expected: &[&str]| {
        let mut live = live();
        restore(&mut live, &store(frames).await);
        let found = all(&mut live, NOW);
        let values = found.keys().filter(|topic| topic.contains("/v/"));
        let values: Vec<_> =
            values.map(|topic| topic.trim_start_matches("v1/acme/nb-1/_/_/")).collect();
        assert_eq!(values, expected);
    };
    let first = || (two_devices.clone(), all_of.clone());
    check(vec![first()], &["m1/v/e_import", "m1/v/p_total", "m2/v/e_import"]).await;
    let then = |dictionary| (dictionary, vec![at(0, 20, Value::Decimal(2))]);
    check(vec![first(), then(removed.clone())], &["m1/v/e_import", "m2/v/e_import"]).await;
    check(vec![first(), then(renamed.clone())], &["m1/v/e_total", "m2/v/e_import"]).await;
    // Back to the dictionary before.
    let back = vec![first(), then(renamed), then(removed)];
    check(back, &["m1/v/e_import", "m2/v/e_import"]).await;
    let old = (dictionary(), vec![at(0, 8 * 24 * HOUR_US, Value::Decimal(1))]);
    check(vec![old], &[]).await;
    // A clock that is ahead by a year is no reason to show nothing, where there is nothing else.
    let ahead = || at(0, -9_000 * HOUR_US, Value::Decimal(7));
    check(vec![(dictionary(), vec![ahead()])], &["m1/v/e_import"]).await;
}

#[tokio::test]
async fn a_value_of_another_unit_or_type_is_not_shown_as_one_of_today() {
    let check = async |now: Dictionary, expected: Option<&str>| {
        let before = (dictionary(), vec![at(0, 30, Value::Decimal(123))]);
        // The newer dictionary comes with a row of the other point.
        let mut live = live();
        restore(&mut live, &store(vec![before, (now, vec![at(1, 20, Value::Float(0.5))])]).await);
        let found = all(&mut live, NOW).remove(VALUE);
        assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
        assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
    };
    let typed = |value_type| with(move |points| points[0].value_type = value_type);
    check(typed(ValueType::Decimal { exponent: -3 }), Some(r#""exact":"1.230""#)).await;
    check(typed(ValueType::Decimal { exponent: -1 }), None).await;
    check(typed(ValueType::Text), None).await;
    check(with(|points| points[0].unit = Unit::Kilowatt), None).await;
}

#[tokio::test]
async fn what_came_since_the_start_is_newer_than_the_store() {
    let store = store(vec![(
        dictionary(),
        vec![at(0, 30, Value::Decimal(1)), at(1, 30, Value::Float(0.5))],
    )])
    .await;
    let removed = with(|points| drop(points.remove(1)));
    let mut live = live();
    let batch = Batch { dictionary: removed.hash(), samples: vec![at(0, 10, Value::Decimal(2))] };
    let frame = AdmittedFrame {
        gateway: gateway("g1"),
        log_id: LogId([7; 16]),
        sequence: Sequence(2),
        dictionary: Arc::new(removed),
        batch,
    };
    live.update(&frame, NOW, WALL);
    restore(&mut live, &store);
    let found = all(&mut live, NOW);
    assert!(found[VALUE].contains(r#""v":0.02"#), "{found:?}");
    assert!(found[VALUE].contains(r#""q":"Good""#), "{found:?}");
    assert_eq!(found.keys().filter(|topic| topic.contains("/v/")).count(), 1, "{found:?}");
}

/// A register that stands still says its value again with an old source time after its link was lost.
#[tokio::test]
async fn the_end_of_a_silence_is_found_though_its_source_time_is_older() {
    let said_at = |gateway_before: i64, sample: Sample| Sample {
        gateway_time: Timestamp(WALL.0 - gateway_before),
        ..sample
    };
    let lost = Timestamp(WALL.0 - 60_000_000);
    let lost = Sample::without_value(PointIndex(0), lost, lost, Quality::BAD_COMMUNICATION_ERROR);
    for standing_us in [120_000_000, 3 * HOUR_US, 30 * HOUR_US] {
        let stands = at(0, standing_us, Value::Decimal(9));
        let check = async |again_us: i64, expected: &str| {
            let mut frames = [stands.clone(), lost.clone(), said_at(again_us, stands.clone())];
            // A log has what its gateway had in that order.
            frames.sort_by_key(|sample| sample.gateway_time);
            let frames = frames.map(|sample| (dictionary(), vec![sample]));
            let mut live = live();
            restore(&mut live, &store(frames.into()).await);
            let found = all(&mut live, NOW);
            assert!(found[VALUE].contains(expected), "{standing_us} {found:?}");
        };
        check(30_000_000, r#""v":0.09"#).await;
        check(90_000_000, r#""bad":"not_connected""#).await;
    }
}
