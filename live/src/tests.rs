//! What is published, and when.

use model::fixtures::{dictionary, gateway};
use model::{Batch, LogId, PointIndex, PointInfo, Quality, SampleFlags, Value};

use super::*;

mod devices;

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
