//! What is published, and when.

use model::fixtures::{dictionary, gateway};
use model::{Batch, LogId, PointIndex, PointInfo, Quality, SampleFlags, Value};

use super::*;

/// 2026-11-23; no test above it is a jump of a clock.
const WALL: Timestamp = Timestamp(1_795_392_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const LOG: LogId = LogId([7; 16]);
const TAIL: &str = r#","boot":"07070707","seq":1}"#;

fn live_of(change: impl FnOnce(&mut LiveSettings)) -> Live {
    let mut settings = LiveSettings { rate: SECOND, ..LiveSettings::default() };
    change(&mut settings);
    Live::new(settings)
}

fn frame_of(dictionary: Dictionary, samples: Vec<Sample>) -> AdmittedFrame {
    let batch = Batch { dictionary: dictionary.hash(), samples };
    AdmittedFrame {
        gateway: gateway("g1"),
        log_id: LOG,
        sequence: Sequence(1),
        dictionary: Arc::new(dictionary),
        batch,
    }
}

fn take(live: &mut Live, samples: Vec<Sample>, now: Duration) {
    live.update(&frame_of(dictionary(), samples), now, WALL);
}

fn sample(point: u32, millis: i64, value: Value) -> Sample {
    let time = Timestamp::from_millis(millis);
    Sample::new(PointIndex(point), time, time, Quality::GOOD, value)
}

fn all(live: &mut Live, now: Duration) -> Vec<LiveMessage> {
    std::iter::from_fn(|| live.next(now, WALL)).collect()
}

fn of(live: &mut Live, now: Duration, part: &str) -> Vec<String> {
    let all = all(live, now).into_iter().filter(|message| message.topic.contains(part));
    all.map(|message| message.payload).collect()
}

/// The payloads of values without what all of them have at their end.
fn values(live: &mut Live, now: Duration) -> Vec<String> {
    let values = of(live, now, "/v/").into_iter();
    values.map(|text| text.strip_suffix(TAIL).unwrap_or(&text).to_owned()).collect()
}

const NINE: &str = r#"{"ts":9,"v":0.09,"exact":"0.09","unit":"kWh","q":"Good""#;

#[test]
fn the_text_of_a_value() {
    let check = |sample: Sample, expected: &str| {
        let mut live = live_of(|_| ());
        let metric = if sample.point.0 == 0 { "e_import" } else { "p_total" };
        take(&mut live, vec![sample], Duration::ZERO);
        let messages = all(&mut live, Duration::ZERO);
        let value = messages.iter().find(|message| message.topic.contains("/v/")).unwrap();
        assert_eq!(value.payload, format!("{expected}{TAIL}"));
        serde_json::from_str::<serde_json::Value>(&value.payload).unwrap();
        assert_eq!(value.topic, format!("v1/acme/nb-1/_/_/m1/v/{metric}"));
        assert!(value.retain);
    };
    check(
        sample(0, 1_795_330_800_123, Value::Decimal(128_344_160)),
        r#"{"ts":1795330800123,"v":1283441.60,"exact":"1283441.60","unit":"kWh","q":"Good""#,
    );
    check(sample(1, 5, Value::Float(58.21)), r#"{"ts":5,"v":58.21,"unit":"kWh","q":"Good""#);
    check(sample(1, 5, Value::Float(1e300)), r#"{"ts":5,"v":1e300,"unit":"kWh","q":"Good""#);
    let time = Timestamp::from_millis(5);
    let bad = Sample::without_value(PointIndex(0), time, time, Quality::BAD_TIMEOUT);
    check(bad, r#"{"ts":5,"unit":"kWh","q":"BadTimeout","bad":"timeout""#);
    let odd = Sample::without_value(PointIndex(0), time, time, Quality(0x80FF_0000));
    check(odd, r#"{"ts":5,"unit":"kWh","q":"Bad(0x80FF0000)","bad":"bad""#);
}

#[test]
fn the_newest_source_time_wins_whatever_the_order() {
    let mut live = live_of(|_| ());
    take(&mut live, vec![sample(0, 9, Value::Decimal(9))], Duration::ZERO);
    let older = vec![sample(0, 3, Value::Decimal(3)), sample(0, 8, Value::Decimal(8))];
    take(&mut live, older, Duration::ZERO);
    assert_eq!(values(&mut live, Duration::ZERO), [NINE]);
}

#[test]
fn a_meter_that_stands_still_is_good_again_after_its_link_was_lost() {
    let at = |gateway, sample: Sample| Sample { gateway_time: Timestamp(gateway), ..sample };
    let good = |gateway| at(gateway, sample(0, 9, Value::Decimal(9)));
    let lost = Timestamp::from_millis(14);
    let lost = Sample::without_value(PointIndex(0), lost, lost, Quality::BAD_COMMUNICATION_ERROR);
    let mut live = live_of(|_| ());
    take(&mut live, vec![good(10_000)], Duration::ZERO);
    take(&mut live, vec![lost.clone()], Duration::ZERO);
    take(&mut live, vec![good(15_000)], Duration::ZERO);
    assert_eq!(values(&mut live, Duration::ZERO), [NINE]);
    // In one frame too, which is in the order of source times.
    let mut live = live_of(|_| ());
    take(&mut live, vec![good(15_000), lost], Duration::ZERO);
    assert_eq!(values(&mut live, Duration::ZERO), [NINE]);
}

#[test]
fn a_history_read_back_sends_one_message_a_second() {
    let mut live = live_of(|_| ());
    let mut sent = 0;
    for page in 0..100_i64 {
        let samples = (0..100).map(|i| sample(0, page * 100 + i, Value::Decimal(i))).collect();
        // Ten pages a second.
        let now = Duration::from_millis(page.unsigned_abs() * 100);
        take(&mut live, samples, now);
        sent += values(&mut live, now).len();
    }
    assert_eq!(sent, 10);
    assert_eq!(live.counts().held_back, 89, "of 100, 10 were sent and one waits");
    let last = values(&mut live, SECOND * 10);
    assert_eq!(last, [r#"{"ts":9999,"v":0.99,"exact":"0.99","unit":"kWh","q":"Good""#]);
    assert!(values(&mut live, SECOND * 11).is_empty());
}

#[test]
fn a_clock_that_jumped_ahead_does_not_freeze_a_topic() {
    let now = WALL.as_millis();
    let year = 365 * 86_400_000;
    let check = |frames: &[&[i64]], expected: i64| {
        let mut live = live_of(|_| ());
        for millis in frames {
            let samples = millis.iter().map(|&millis| sample(0, millis, Value::Float(0.5)));
            take(&mut live, samples.collect(), Duration::ZERO);
        }
        let last = values(&mut live, Duration::ZERO).pop().unwrap();
        assert!(last.starts_with(&format!("{{\"ts\":{expected},")), "{last}");
    };
    check(&[&[now], &[now + year], &[now + 1]], now + 1);
    check(&[&[now, now + 1, now + year]], now + 1);
    // The gateway's clock stays ahead: its values are shown.
    check(&[&[now], &[now + year], &[now + year + 1]], now + year + 1);
    check(&[&[now], &[now + 600_000], &[now + 1]], now + 600_000);
}

#[test]
fn the_same_value_again_is_no_message_and_a_broker_that_forgot_gets_everything() {
    let mut live = live_of(|_| ());
    for _ in 0..2 {
        take(&mut live, vec![sample(0, 9, Value::Decimal(9))], Duration::ZERO);
    }
    assert_eq!(all(&mut live, Duration::ZERO).len(), 3, "a value, `$meta` and `$state`");
    take(&mut live, vec![sample(0, 9, Value::Decimal(9))], Duration::ZERO);
    assert!(all(&mut live, SECOND).is_empty());
    live.send_all(SECOND);
    live.send_all(SECOND);
    let again: BTreeSet<String> = all(&mut live, SECOND).into_iter().map(|m| m.topic).collect();
    assert_eq!(again.len(), 3);
}

/// Trial int-04: a killed gateway's last value was Good for a day.
#[test]
fn a_value_does_not_stay_good_when_its_gateway_is_gone() {
    let g1 = gateway("g1");
    let mut live = live_of(|_| ());
    take(&mut live, vec![sample(0, 9, Value::Decimal(9))], Duration::ZERO);
    assert_eq!(values(&mut live, Duration::ZERO), [NINE]);
    live.presence(&g1, false, SECOND, WALL);
    let stale = r#"{"ts":9,"v":0.09,"exact":"0.09","unit":"kWh","q":"UncertainLastUsableValue","stale":true"#;
    let messages = all(&mut live, SECOND);
    let payload = |part: &str| {
        let found = messages.iter().find(|message| message.topic.ends_with(part)).unwrap();
        found.payload.clone()
    };
    assert_eq!(payload("/v/e_import"), format!("{stale}{TAIL}"));
    assert_eq!(payload("/g1/$state"), r#"{"state":"offline","since":1795392000000}"#);
    // It is there again and says nothing new: a point that reports on change holds.
    live.presence(&g1, true, SECOND * 2, WALL);
    assert_eq!(values(&mut live, SECOND * 2), [NINE]);
    // Silence ends it as well.
    assert_eq!(values(&mut live, SECOND * 3 + presence::SILENCE_MAX), [stale]);
}

/// Admission and acks wait while the points are looked at: so it is a share of the devices at a time.
#[test]
fn all_devices_are_looked_at_within_two_seconds_and_few_at_once() {
    const DEVICES: usize = 200;
    let mut live = live_of(|settings| settings.rate = Duration::ZERO);
    let template = dictionary().points[0].clone();
    let points = (0..DEVICES).map(|device| PointInfo {
        id: PointId::new(format!("acme/nb-1/m{device}/e")).unwrap(),
        device: format!("m{device}"),
        interval_ms: Some(1_000),
        ..template.clone()
    });
    let dictionary = Dictionary::new(points.collect()).unwrap();
    let index = |point: usize| u32::try_from(point).unwrap();
    let samples = (0..DEVICES).map(|point| sample(index(point), 9, Value::Decimal(9))).collect();
    live.update(&frame_of(dictionary, samples), Duration::ZERO, WALL);
    let now = SECOND * 10;
    assert_eq!(values(&mut live, now).len(), DEVICES);
    let mut stale = 0;
    for step in 1..=u32::try_from(SWEEP_STEPS).unwrap() {
        let seen = values(&mut live, now + SWEEP_STEP * step).len();
        assert_eq!(seen, DEVICES / SWEEP_STEPS, "step {step}");
        stale += seen;
    }
    assert_eq!(stale, DEVICES);
    assert!(values(&mut live, now + SWEEP_INTERVAL + SWEEP_STEP).is_empty());
}

/// A gateway that goes is no reason to look at the points of all others.
#[test]
fn only_the_points_of_the_gateway_that_goes_are_stale_at_once() {
    let mut live = live_of(|settings| settings.rate = Duration::ZERO);
    let mut other = dictionary();
    for point in &mut other.points {
        point.device = "m2".into();
        point.id = PointId::new(format!("acme/nb-1/m2/{}", point.metric)).unwrap();
    }
    let of_other = frame_of(other, vec![sample(0, 9, Value::Decimal(9))]);
    live.update(&AdmittedFrame { gateway: gateway("g2"), ..of_other }, SECOND, WALL);
    take(&mut live, vec![sample(0, 9, Value::Decimal(9))], SECOND);
    assert_eq!(values(&mut live, SECOND).len(), 2);
    live.presence(&gateway("g2"), false, SECOND, WALL);
    let gone = all(&mut live, SECOND);
    let topics: Vec<&str> = gone.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(topics, ["v1/acme/nb-1/_/_/g2/$state", "v1/acme/nb-1/_/_/m2/v/e_import"]);
}

/// A relative of int-04: one device of a gateway that is there says nothing more.
#[test]
fn a_point_that_misses_its_interval_is_stale_by_age() {
    let mut polled = dictionary();
    polled.points[0].interval_ms = Some(5_000);
    let mut live = live_of(|_| ());
    let samples = vec![sample(0, 9, Value::Decimal(9)), sample(1, 9, Value::Float(0.5))];
    live.update(&frame_of(polled, samples), Duration::ZERO, WALL);
    assert_eq!(values(&mut live, Duration::ZERO).len(), 2);
    assert!(values(&mut live, SECOND * 15).is_empty());
    let stale = values(&mut live, SECOND * 18);
    assert_eq!(stale.len(), 1, "the other one reports on change: {stale:?}");
    assert!(stale[0].contains(r#""q":"UncertainLastUsableValue","stale":true"#), "{stale:?}");
}

#[test]
fn topics_of_points_that_were_renamed_moved_or_removed_are_cleared() {
    let mut live = live_of(|_| ());
    let both = || vec![sample(0, 9, Value::Decimal(9)), sample(1, 9, Value::Float(0.5))];
    take(&mut live, both(), Duration::ZERO);
    assert_eq!(values(&mut live, Duration::ZERO).len(), 2);
    let cleared = |live: &mut Live, dictionary: Dictionary, samples| {
        live.update(&frame_of(dictionary, samples), SECOND * 2, WALL);
        let all = all(live, SECOND * 2).into_iter().filter(|message| message.payload.is_empty());
        all.map(|message| message.topic).collect::<Vec<_>>()
    };
    let mut renamed = dictionary();
    renamed.points[0].metric = "e_total".to_owned();
    let topics = cleared(&mut live, renamed.clone(), both());
    assert_eq!(topics, ["v1/acme/nb-1/_/_/m1/v/e_import"]);
    let mut moved = renamed.clone();
    moved.points[0].place.area = Some("melting".to_owned());
    let topics = cleared(&mut live, moved.clone(), both());
    assert_eq!(topics, ["v1/acme/nb-1/_/_/m1/v/e_total"]);
    let mut removed = moved;
    removed.points.remove(1);
    removed.points[0].place.area = None;
    removed.points[0].metric = "e_import".to_owned();
    let topics = cleared(&mut live, removed, vec![sample(0, 10, Value::Decimal(10))]);
    let expected = ["v1/acme/nb-1/melting/_/m1/v/e_total", "v1/acme/nb-1/_/_/m1/v/p_total"];
    assert_eq!(BTreeSet::from_iter(topics), BTreeSet::from(expected.map(str::to_owned)));
}

/// A relative of a changed unit: the settings before are put back.
#[test]
fn a_dictionary_that_comes_back_means_what_it_says() {
    let mut changed = dictionary();
    changed.points[0].unit = model::Unit::Kilowatt;
    let mut live = live_of(|settings| settings.rate = Duration::ZERO);
    for (millis, dictionary, unit) in
        [(1, dictionary(), "kWh"), (2, changed, "kW"), (3, dictionary(), "kWh")]
    {
        let samples = vec![sample(0, millis, Value::Decimal(9))];
        live.update(&frame_of(dictionary, samples), SECOND, WALL);
        let value = of(&mut live, SECOND, "/v/").pop().unwrap();
        assert!(value.contains(&format!("\"unit\":\"{unit}\"")), "{value}");
    }
}

/// A bench found it: `$meta` of a device with 40 points was not retained.
#[test]
fn the_longest_description_can_be_retained() {
    let points = (0..2_000).map(|number| {
        let mut point = dictionary().points[0].clone();
        point.metric = format!("{}_{number:04}", "m".repeat(35));
        point.id = PointId::new(format!("acme/nb-1/m1/{}", point.metric)).unwrap();
        point.profile = Some("p".repeat(80));
        point
    });
    let mut live = live_of(|_| ());
    let dictionary = Dictionary::new(points.collect()).unwrap();
    live.update(&frame_of(dictionary, vec![sample(0, 9, Value::Decimal(9))]), SECOND, WALL);
    let meta = of(&mut live, SECOND, "$meta").pop().unwrap();
    assert!(meta.contains("\"points_left_out\":1000"));
    assert!(meta.len() < RETAINED_BYTES_MAX / 2, "{}", meta.len());
}

#[test]
fn beyond_the_budget_devices_take_turns_and_say_their_groups() {
    const DEVICES: usize = 4;
    const POINTS: usize = 50;
    let mut points = Vec::new();
    for device in 0..DEVICES {
        for metric in 0..POINTS {
            let mut point = dictionary().points[1].clone();
            point.id = PointId::new(format!("acme/nb-1/d{device}/m{metric}")).unwrap();
            (point.device, point.metric) = (format!("d{device}"), format!("m{metric}"));
            point.interval_ms = Some(1_000);
            points.push(point);
        }
    }
    let dictionary = Dictionary::new(points).unwrap();
    let mut live = live_of(|settings| settings.budget = 40);
    let (mut of_device, mut groups) = (BTreeMap::<String, usize>::new(), 0);
    let (mut sent, seconds) = (0_usize, 20_u32);
    for tenth in 0..seconds * 10 {
        let now = Duration::from_millis(u64::from(tenth) * 100);
        if tenth % 10 == 0 {
            let samples = (0..200).map(|n| sample(n, i64::from(tenth), Value::Float(tenth.into())));
            live.update(&frame_of(dictionary.clone(), samples.collect()), now, WALL);
        }
        for message in all(&mut live, now) {
            if message.topic.contains("/v/") {
                let device = message.topic.split('/').nth(5).unwrap().to_owned();
                *of_device.entry(device).or_default() += 1;
                sent += 1;
            } else if message.topic.ends_with("/m/1000ms") {
                let read: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
                assert_eq!(read["v"].as_object().unwrap().len(), POINTS);
                groups += 1;
                sent += 1;
            }
        }
    }
    let (least, most) = (of_device.values().min().unwrap(), of_device.values().max().unwrap());
    assert!(of_device.len() == DEVICES && most - least <= 5, "fair: {of_device:?}");
    assert!(sent <= 40 * (usize::try_from(seconds).unwrap() + 1) + DEVICES, "{sent}");
    assert!(groups >= DEVICES * 15, "each device says its group once a second: {groups}");
    assert!(live.counts().held_back > 1_000);
}

#[test]
fn what_is_durable_is_said_once_a_second() {
    let mut live = live_of(|_| ());
    let log = (gateway("g1"), LOG);
    take(&mut live, vec![sample(0, 9, Value::Decimal(9))], Duration::ZERO);
    live.durable(&log, Sequence(1));
    assert_eq!(of(&mut live, Duration::ZERO, "$durable"), [r#"{"boot":"07070707","seq":1}"#]);
    live.durable(&log, Sequence(2));
    live.durable(&log, Sequence(3));
    assert!(of(&mut live, SECOND / 2, "$durable").is_empty());
    assert_eq!(of(&mut live, SECOND, "$durable"), [r#"{"boot":"07070707","seq":3}"#]);
}

#[test]
fn settings_choose_what_is_published() {
    let count = |change: &dyn Fn(&mut LiveSettings)| {
        let mut live = live_of(change);
        take(&mut live, vec![sample(1, 9, Value::Float(100.0))], Duration::ZERO);
        let first = values(&mut live, Duration::ZERO).len();
        take(&mut live, vec![sample(1, 10, Value::Float(100.5))], SECOND);
        (first, values(&mut live, SECOND).len())
    };
    assert_eq!(count(&|_| ()), (1, 1));
    assert_eq!(count(&|settings| settings.enabled = false), (0, 0));
    assert_eq!(count(&|settings| settings.deadband = 1.0), (1, 0));
    assert_eq!(count(&|settings| settings.deadband = 0.1), (1, 1));
    assert_eq!(count(&|settings| settings.only = vec!["acme/nb-1".to_owned()]), (1, 1));
    assert_eq!(count(&|settings| settings.only = vec!["acme/nb".to_owned()]), (0, 0));
    let mut live = live_of(|settings| settings.prefix = "north/".to_owned());
    take(&mut live, vec![sample(1, 9, Value::Float(0.5))], Duration::ZERO);
    assert!(all(&mut live, Duration::ZERO).iter().all(|m| m.topic.starts_with("north/v1/acme/")));
}

/// A plant whose lake was put back under a running centre: billing relied on a `$durable` of frames that no store had.
#[test]
fn a_store_that_went_back_is_said_so_for_each_gateway_that_stands_lower() {
    let mut live = live_of(|_| ());
    let log = (gateway("g1"), LOG);
    take(&mut live, vec![sample(0, 9, Value::Decimal(9))], Duration::ZERO);
    live.durable(&log, Sequence(28));
    assert_eq!(of(&mut live, Duration::ZERO, "$durable"), [r#"{"boot":"07070707","seq":28}"#]);
    live.stands_at(|_| Sequence(28));
    live.stands_at(|_| Sequence(30));
    assert!(of(&mut live, SECOND, "$durable").is_empty(), "nothing is taken back");
    live.stands_at(|of| if *of == log { Sequence(12) } else { Sequence(0) });
    assert_eq!(of(&mut live, SECOND * 2, "$durable"), [r#"{"boot":"07070707","seq":12}"#]);
    // A log that the store does not know at all.
    live.stands_at(|_| Sequence(0));
    assert_eq!(of(&mut live, SECOND * 4, "$durable"), [r#"{"boot":"07070707","seq":0}"#]);
}

fn dictionary_of_device(device: &str) -> Dictionary {
    let points = dictionary().points.into_iter().map(|mut point| {
        point.id = PointId::new(format!("acme/nb-1/{device}/{}", point.metric)).unwrap();
        point.device = device.to_owned();
        point
    });
    Dictionary::new(points.collect()).unwrap()
}

fn topics_cleared(live: &mut Live, now: Duration) -> Vec<String> {
    let cleared = all(live, now).into_iter().filter(|m| m.payload.is_empty() && m.retain);
    cleared.map(|message| message.topic).collect()
}

#[test]
fn a_device_that_was_renamed_or_removed_leaves_no_topic() {
    let mut live = live_of(|_| ());
    let (old, new) = (dictionary_of_device("main"), dictionary_of_device("other"));
    let reading = || vec![sample(0, 9, Value::Decimal(9)), sample(1, 9, Value::Float(0.5))];
    live.update(&frame_of(old.clone(), reading()), Duration::ZERO, WALL);
    all(&mut live, Duration::ZERO);
    let (g1, shared_old, shared_new) =
        (gateway("g1"), Arc::new(old.clone()), Arc::new(new.clone()));
    // Another gateway says nothing of it, and neither does one that still has it.
    live.configured(&gateway("g2"), &[Arc::clone(&shared_new)]);
    live.configured(&g1, &[Arc::clone(&shared_old), Arc::clone(&shared_new)]);
    assert!(topics_cleared(&mut live, SECOND).is_empty());
    live.configured(&g1, &[Arc::clone(&shared_new)]);
    let topic = |rest: &str| format!("v1/acme/nb-1/_/_/main/{rest}");
    let expected = [topic("v/e_import"), topic("v/p_total"), topic("$meta")];
    assert_eq!(topics_cleared(&mut live, SECOND), expected);
    // What its spool still holds of that device comes later, and brings nothing back; a broker that came anew neither.
    live.update(&frame_of(old.clone(), reading()), SECOND * 2, WALL);
    live.update(&frame_of(new, reading()), SECOND * 2, WALL);
    live.send_all(SECOND * 3);
    let messages = all(&mut live, SECOND * 3);
    let shown =
        |part: &str| messages.iter().any(|m| m.topic.contains(part) && !m.payload.is_empty());
    assert!(!shown("/main/") && shown("/other/v/e_import"));
    // It is configured again.
    live.configured(&g1, &[shared_old]);
    live.update(&frame_of(old, reading()), SECOND * 4, WALL);
    assert!(!of(&mut live, SECOND * 4, "/main/v/").is_empty());
}

/// A broker elsewhere retains what an earlier run published, and the store knows the device for a week.
#[test]
fn a_device_that_was_removed_does_not_come_back_from_the_store() {
    let (old, new) = (Arc::new(dictionary_of_device("main")), dictionary_of_device("other"));
    let described =
        |index: usize| Described { gateway: gateway("g1"), dictionary: Arc::clone(&old), index };
    let described: BTreeMap<PointId, Described> = old
        .points
        .iter()
        .enumerate()
        .map(|(at, point)| (point.id.clone(), described(at)))
        .collect();
    let time = Timestamp(WALL.0 - 1_000_000);
    let row = StoredRow {
        point: old.points[1].id.clone(),
        source_time: time,
        gateway_time: time,
        unit: Some(old.points[1].unit),
        quality: Quality::GOOD,
        flags: model::SampleFlags::default(),
        value: Some(StoredValue::Number(0.5)),
        log: (gateway("g1"), LOG),
        sequence: Sequence(1),
    };
    let cleared = ["v1/acme/nb-1/_/_/main/v/p_total", "v1/acme/nb-1/_/_/main/$meta"];
    // Its gateway speaks after the rows came, or before.
    let mut live = live_of(|_| ());
    live.restore(std::slice::from_ref(&row), &described, Duration::ZERO, WALL);
    assert!(!of(&mut live, Duration::ZERO, "/main/v/").is_empty());
    live.configured(&gateway("g1"), &[Arc::new(new.clone())]);
    assert_eq!(topics_cleared(&mut live, SECOND), cleared);
    let mut live = live_of(|_| ());
    live.configured(&gateway("g1"), &[Arc::new(new)]);
    live.restore(&[row], &described, Duration::ZERO, WALL);
    assert_eq!(topics_cleared(&mut live, SECOND), cleared);
}

/// Mosquitto with `max_packet_size 1000` had every value of the device and no description, and nobody was told.
#[test]
fn a_description_that_is_longer_than_the_broker_takes_has_fewer_points() {
    let points = (0..30).map(|number| {
        let mut point = dictionary().points[0].clone();
        point.metric = format!("m{number}");
        point.id = PointId::new(format!("acme/nb-1/m1/{}", point.metric)).unwrap();
        point
    });
    let mut live = live_of(|_| ());
    let dictionary = Dictionary::new(points.collect()).unwrap();
    live.update(&frame_of(dictionary, vec![sample(0, 9, Value::Decimal(9))]), SECOND, WALL);
    let whole = of(&mut live, SECOND, "$meta").pop().unwrap();
    let topic = "v1/acme/nb-1/_/_/m1/$meta";
    let mut check = |bytes_max: usize, least_points: usize| {
        assert!(live.too_long(topic, bytes_max));
        let meta = of(&mut live, SECOND, "$meta").pop().unwrap();
        assert!(meta.len() <= bytes_max, "{} of {bytes_max}: {meta}", meta.len());
        let read: serde_json::Value = serde_json::from_str(&meta).unwrap();
        let points = read["points"].as_object().unwrap().len();
        assert!(points >= least_points, "{points}: {meta}");
        assert_eq!(read["points_left_out"], 30 - points);
    };
    check(whole.len() - 1, 28);
    check(900, 5);
    check(300, 1);
    // Without room for one point there is none, and it is counted; a broker that comes anew may take the whole.
    assert!(!live.too_long(topic, 40));
    assert!(!live.too_long("v1/acme/nb-1/_/_/m1/v/m0", 40));
    assert_eq!(live.counts().left_out, 2);
    live.send_all(SECOND);
    assert_eq!(of(&mut live, SECOND, "$meta"), [whole]);
}

/// At a broker by URL `$meta` and `$state` of a plant where nothing changed were gone after 1 h.
#[test]
fn everything_that_is_retained_is_published_again_before_half_of_its_expiry() {
    const GATEWAYS: usize = 20;
    const DEVICES: usize = 10;
    let mut live = live_of(|settings| settings.rate = Duration::ZERO);
    let expiry = live.settings.expiry;
    let names: Vec<String> = (0..GATEWAYS).map(|number| format!("g{number}")).collect();
    for name in &names {
        let points = (0..DEVICES).flat_map(|device| {
            dictionary().points.into_iter().map(move |mut point| {
                point.device = format!("{name}-m{device}");
                let id = format!("acme/nb-1/{}/{}", point.device, point.metric);
                point.id = PointId::new(id).unwrap();
                point
            })
        });
        let dictionary = Dictionary::new(points.collect()).unwrap();
        let samples = (0..2 * u32::try_from(DEVICES).unwrap()).map(|at| {
            sample(at, 9, if at % 2 == 0 { Value::Decimal(9) } else { Value::Float(0.5) })
        });
        let frame =
            AdmittedFrame { gateway: gateway(name), ..frame_of(dictionary, samples.collect()) };
        live.update(&frame, Duration::ZERO, WALL);
        live.durable(&(gateway(name), LOG), Sequence(1));
    }
    let mut published = BTreeMap::<String, Vec<Duration>>::new();
    let mut most = 0;
    for second in 0..=2 * 3_600 {
        let now = SECOND * second;
        // The last one is off: its values are stale and its `$state` says so.
        for name in names.iter().skip(1).filter(|_| second % 15 == 0) {
            live.presence(&gateway(name), true, now, WALL);
        }
        let messages = all(&mut live, now);
        if second > 300 {
            most = most.max(messages.len());
        }
        for message in messages.into_iter().filter(|message| message.retain) {
            published.entry(message.topic).or_default().push(now);
        }
    }
    let of = |kind: &str| published.keys().filter(|topic| topic.contains(kind)).count();
    let devices = GATEWAYS * DEVICES;
    let kinds = ["/v/", "/$meta", "/$state", "/$durable"].map(of);
    assert_eq!(kinds, [2 * devices, devices, GATEWAYS, GATEWAYS]);
    assert_eq!(published.len(), 3 * devices + 2 * GATEWAYS, "each kind of docs/mqtt.md");
    for (topic, times) in &published {
        let end = SECOND * 2 * 3_600;
        let pauses = times.iter().zip(times.iter().skip(1).chain([&end]));
        let longest = pauses.map(|(from, to)| to.saturating_sub(*from)).max().unwrap();
        assert!(longest <= expiry / 2, "{topic}: {longest:?}");
        assert!(times.len() < 16, "{topic}: {times:?}");
    }
    // 640 topics within a quarter of an hour or longer, and not within a second.
    assert!(most <= 30, "{most} at once");
}

fn with_sequence(sequence: u64, samples: Vec<Sample>) -> AdmittedFrame {
    AdmittedFrame { sequence: Sequence(sequence), ..frame_of(dictionary(), samples) }
}

/// The topic stood at an old value, Good, for as long as the step: a gateway 9 min fast was set right by NTP.
#[test]
fn a_clock_that_was_set_back_does_not_hold_a_topic() {
    const MINUTE: i64 = 60_000;
    let now = WALL.as_millis();
    let at = |source: i64, had: i64| Sample {
        gateway_time: Timestamp::from_millis(now + had),
        ..sample(0, now + source, Value::Decimal(9))
    };
    let recovered = |source, had| at(source, had).flagged(SampleFlags::RECOVERED);
    let check = |what: &str, first: Sample, second: Sample, expected: i64| {
        let mut live = live_of(|_| ());
        live.update(&with_sequence(1, vec![first]), Duration::ZERO, WALL);
        live.update(&with_sequence(2, vec![second]), Duration::ZERO, WALL);
        let last = values(&mut live, Duration::ZERO).pop().unwrap();
        assert!(last.starts_with(&format!("{{\"ts\":{},", now + expected)), "{what}: {last}");
    };
    let fast = 9 * MINUTE;
    check("the gateway's clock", at(fast, fast), at(1, 1), 1);
    check("by two hours", at(0, 0), at(-120 * MINUTE, -120 * MINUTE), -120 * MINUTE);
    check("the device's clock", at(fast, 0), at(1, 1), 1);
    check("a memory that is read back", at(0, 0), recovered(-MINUTE, 5), 0);
    check("... after the clock was set right", at(fast, fast), recovered(-MINUTE, 5), fast);
    check("... up to today", recovered(-MINUTE, 0), recovered(0, 1), 0);
    check("the first live value behind it", recovered(-MINUTE, 0), at(-1, 1), -1);
}

/// A relative: the rows of the store come beside the gateway, and one is from before the step.
#[test]
fn a_row_of_the_store_takes_no_place_of_what_its_log_brought_since() {
    let now = WALL.as_millis();
    let fast = Timestamp::from_millis(now + 9 * 60_000);
    let dictionary = Arc::new(dictionary());
    let point = &dictionary.points[0];
    let described =
        Described { gateway: gateway("g1"), dictionary: Arc::clone(&dictionary), index: 0 };
    let row = StoredRow {
        point: point.id.clone(),
        source_time: fast,
        gateway_time: fast,
        unit: Some(point.unit),
        quality: Quality::GOOD,
        flags: SampleFlags::default(),
        value: Some(StoredValue::Decimal(model::Decimal { mantissa: 7, exponent: -2 })),
        log: (gateway("g1"), LOG),
        sequence: Sequence(1),
    };
    let described = BTreeMap::from([(point.id.clone(), described)]);
    for row_first in [true, false] {
        let mut live = live_of(|_| ());
        if row_first {
            live.restore(std::slice::from_ref(&row), &described, Duration::ZERO, WALL);
        }
        let read = sample(0, now, Value::Decimal(9));
        live.update(&with_sequence(2, vec![read]), Duration::ZERO, WALL);
        live.restore(std::slice::from_ref(&row), &described, Duration::ZERO, WALL);
        let last = values(&mut live, Duration::ZERO).pop().unwrap();
        assert!(last.starts_with(&format!("{{\"ts\":{now},\"v\":0.09,")), "{row_first}: {last}");
    }
}

/// The PC of a gateway died and another one has its devices: they stayed stale, and `$meta` named the dead one.
#[test]
fn a_gateway_that_takes_the_devices_of_a_dead_one_brings_their_topics_back() {
    let meta = |live: &mut Live, now| of(live, now, "$meta").pop();
    let mut polled = dictionary();
    polled.points[0].interval_ms = Some(1_000);
    let from = |name: &str, boot: u8, millis: i64| AdmittedFrame {
        gateway: gateway(name),
        log_id: LogId([boot; 16]),
        ..frame_of(polled.clone(), vec![sample(0, millis, Value::Decimal(9))])
    };
    let mut live = live_of(|settings| settings.rate = Duration::ZERO);
    live.update(&from("g1", 1, 9_000), Duration::ZERO, WALL);
    assert!(meta(&mut live, Duration::ZERO).unwrap().contains(r#""gateway":"g1""#));
    live.presence(&gateway("g1"), false, SECOND, WALL);
    all(&mut live, SECOND);
    // The clock of the dead one was fast: what it read last looks newer.
    live.update(&from("g2", 2, 5_000), SECOND * 900, WALL);
    let messages = all(&mut live, SECOND * 900);
    let payload = |part: &str| &messages.iter().find(|m| m.topic.ends_with(part)).unwrap().payload;
    assert!(payload("m1/$meta").contains(r#""gateway":"g2""#), "{}", payload("m1/$meta"));
    let value = payload("/v/e_import");
    assert!(value.contains(r#""ts":5000,"#) && value.contains(r#""q":"Good""#), "{value}");
    for second in 901..910 {
        live.update(&from("g2", 2, i64::from(second)), SECOND * second, WALL);
    }
    assert!(values(&mut live, SECOND * 910).iter().all(|value| !value.contains("stale")));
    // The mirror: a gateway that gave the device up brings it no topic, and that is no word about the one that has it.
    live.configured(&gateway("g1"), &[Arc::new(dictionary_of_device("other"))]);
    live.update(&from("g1", 1, 9_500), SECOND * 911, WALL);
    live.update(&from("g2", 2, 9_600), SECOND * 912, WALL);
    let last = of(&mut live, SECOND * 912, "/v/").pop().unwrap();
    assert!(last.contains(r#""ts":9600"#) && last.contains(r#""boot":"02020202""#), "{last}");
}

/// A relative: with more dictionaries than were kept, each frame brought all descriptions again.
#[test]
fn devices_are_described_once_however_many_dictionaries_there_are() {
    let dictionaries: Vec<Dictionary> =
        (0..1_500).map(|device| dictionary_of_device(&format!("d{device}"))).collect();
    let mut live = live_of(|settings| settings.rate = Duration::ZERO);
    let mut descriptions = 0;
    for round in 0..3_u32 {
        for dictionary in &dictionaries {
            let frame =
                frame_of(dictionary.clone(), vec![sample(0, round.into(), Value::Decimal(9))]);
            live.update(&frame, SECOND * round, WALL);
        }
        descriptions += of(&mut live, SECOND * round, "$meta").len();
        live.forget_layouts();
    }
    assert_eq!(descriptions, dictionaries.len());
    // The places at hand are bounded, by their number.
    live.layout_places = LAYOUT_PLACES_MAX;
    live.update(&frame_of(dictionaries[0].clone(), vec![]), SECOND * 9, WALL);
    assert_eq!((live.layouts.len(), live.layout_places), (1, dictionaries[0].points.len() + 1));
}
