//! Devices that come, go and move, what describes them, and what stands when a log or a store says otherwise.

use super::*;

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
