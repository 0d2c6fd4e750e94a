//! What is published, and when.

use std::sync::Arc;

use model::{GatewayId, LogId, PointIndex, Sequence, Timestamp};

use super::*;
use crate::admit::fixtures::{batch, dictionary};

/// 2026-11-23; no test above it is a jump of a clock.
const WALL: Timestamp = Timestamp(1_795_392_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn frame(samples: Vec<Sample>) -> AdmittedFrame {
    let mut batch = batch(1);
    batch.samples = samples;
    AdmittedFrame {
        gateway: GatewayId::new("g1").unwrap(),
        log_id: LogId([1; 16]),
        sequence: Sequence(1),
        dictionary: Arc::new(dictionary()),
        batch,
    }
}

fn sample(point: u32, millis: i64, value: Value) -> Sample {
    let time = Timestamp::from_millis(millis);
    Sample::new(PointIndex(point), time, time, Quality::GOOD, value)
}

fn payloads(live: &mut Live, now: Duration) -> Vec<String> {
    std::iter::from_fn(|| live.next(now)).map(|message| message.payload).collect()
}

#[test]
fn the_text_of_a_message() {
    let check = |sample: Sample, expected: &str| {
        let mut live = Live::default();
        let metric = if sample.point.0 == 0 { "e_import" } else { "p_total" };
        live.update(&[frame(vec![sample])], WALL);
        let message = live.next(Duration::ZERO).unwrap();
        assert_eq!(message.payload, expected);
        serde_json::from_str::<serde_json::Value>(&message.payload).unwrap();
        assert_eq!(message.topic, format!("v1/acme/nb-1/_/_/m1/v/{metric}"));
    };
    check(
        sample(0, 1_795_330_800_123, Value::Decimal(128_344_160)),
        r#"{"ts":1795330800123,"v":1283441.60,"unit":"kWh","q":"Good"}"#,
    );
    check(sample(1, 5, Value::Float(58.21)), r#"{"ts":5,"v":58.21,"unit":"kWh","q":"Good"}"#);
    check(sample(1, 5, Value::Float(1e300)), r#"{"ts":5,"v":1e300,"unit":"kWh","q":"Good"}"#);
    let time = Timestamp::from_millis(5);
    let bad = Sample::without_value(PointIndex(0), time, time, Quality::BAD_TIMEOUT);
    check(bad, r#"{"ts":5,"unit":"kWh","q":"BadTimeout","bad":"timeout"}"#);
    let odd = Sample::without_value(PointIndex(0), time, time, Quality(0x80FF_0000));
    check(odd, r#"{"ts":5,"unit":"kWh","q":"Bad(0x80FF0000)","bad":"bad"}"#);
}

#[test]
fn the_newest_source_time_wins_whatever_the_order() {
    let mut live = Live::default();
    live.update(&[frame(vec![sample(0, 9, Value::Decimal(9))])], WALL);
    live.update(
        &[frame(vec![sample(0, 3, Value::Decimal(3)), sample(0, 8, Value::Decimal(8))])],
        WALL,
    );
    assert_eq!(
        payloads(&mut live, Duration::ZERO),
        [r#"{"ts":9,"v":0.09,"unit":"kWh","q":"Good"}"#]
    );
}

#[test]
fn a_meter_that_stands_still_is_good_again_after_its_link_was_lost() {
    let mut live = Live::default();
    let at = |gateway, sample: Sample| Sample { gateway_time: Timestamp(gateway), ..sample };
    let good = |gateway| at(gateway, sample(0, 10, Value::Decimal(9)));
    let lost = Timestamp::from_millis(14);
    let lost = Sample::without_value(PointIndex(0), lost, lost, Quality::BAD_COMMUNICATION_ERROR);
    live.update(&[frame(vec![good(10_000)])], WALL);
    live.update(&[frame(vec![lost.clone()])], WALL);
    live.update(&[frame(vec![good(15_000)])], WALL);
    let value = [r#"{"ts":10,"v":0.09,"unit":"kWh","q":"Good"}"#];
    assert_eq!(payloads(&mut live, Duration::ZERO), value);
    // In one frame too, which is in the order of source times.
    let mut live = Live::default();
    live.update(&[frame(vec![good(15_000), lost])], WALL);
    assert_eq!(payloads(&mut live, Duration::ZERO), value);
}

#[test]
fn a_history_read_back_sends_one_message_a_second() {
    let mut live = Live::default();
    let mut sent = 0;
    for page in 0..100_i64 {
        let samples = (0..100).map(|i| sample(0, page * 100 + i, Value::Decimal(i))).collect();
        live.update(&[frame(samples)], WALL);
        // Ten pages a second.
        let now = Duration::from_millis(page.unsigned_abs() * 100);
        sent += payloads(&mut live, now).len();
    }
    assert_eq!(sent, 10);
    assert_eq!(live.due(), Some(SECOND * 10));
    let last = payloads(&mut live, SECOND * 10);
    assert_eq!(last, [r#"{"ts":9999,"v":0.99,"unit":"kWh","q":"Good"}"#]);
    assert_eq!(live.due(), None);
}

#[test]
fn a_clock_that_jumped_ahead_does_not_freeze_a_topic() {
    let now = WALL.as_millis();
    let year = 365 * 86_400_000;
    let check = |frames: &[&[i64]], expected: i64| {
        let mut live = Live::default();
        for millis in frames {
            let samples = millis.iter().map(|&millis| sample(0, millis, Value::Float(0.5)));
            live.update(&[frame(samples.collect())], WALL);
        }
        let last = payloads(&mut live, Duration::ZERO).pop().unwrap();
        assert!(last.starts_with(&format!("{{\"ts\":{expected},")), "{last}");
    };
    check(&[&[now], &[now + year], &[now + 1]], now + 1);
    check(&[&[now, now + 1, now + year]], now + 1);
    // The gateway's clock stays ahead: its values are shown.
    check(&[&[now], &[now + year], &[now + year + 1]], now + year + 1);
    check(&[&[now], &[now + 600_000], &[now + 1]], now + 600_000);
}

#[test]
fn the_same_value_again_is_no_message() {
    let mut live = Live::default();
    for _ in 0..2 {
        live.update(&[frame(vec![sample(0, 9, Value::Decimal(9))])], WALL);
    }
    assert_eq!(payloads(&mut live, Duration::ZERO).len(), 1);
    live.update(&[frame(vec![sample(0, 9, Value::Decimal(9))])], WALL);
    assert_eq!(live.due(), None);
}

#[test]
fn a_broker_that_forgot_gets_everything_again() {
    let mut live = Live::default();
    live.update(
        &[frame(vec![sample(0, 9, Value::Decimal(9)), sample(1, 9, Value::Float(1.0))])],
        WALL,
    );
    assert_eq!(payloads(&mut live, Duration::ZERO).len(), 2);
    live.send_all();
    live.send_all();
    assert_eq!(payloads(&mut live, SECOND / 2).len(), 0);
    assert_eq!(payloads(&mut live, SECOND).len(), 2);
}
