//! What happens within a slot counts, and what happens around a period decides what is read for it.

use super::*;

const MINUTE: i64 = 60_000_000;

/// What a store gives is what all readings give that were put into it.
fn check(text: &str, samples: Vec<(i64, Option<i64>)>, expected: Option<&str>) -> Figure {
    let plant = plant(text);
    let reading = |(time, mantissa): &(i64, Option<i64>)| {
        Some(energy::Reading {
            time: Timestamp(*time),
            mantissa: (*mantissa)?,
            quality: Quality::GOOD,
            generation: model::Generation(1),
            sequence: model::Sequence(1),
        })
    };
    let all = energy::MeterReadings {
        meter: plant.meters[0].id.clone(),
        exponent: -2,
        unit: Unit::KilowattHour,
        modulus: None,
        readings: samples.iter().filter_map(reading).collect(),
    };
    let whole = Meters::build(&plant, &[all]).unwrap();
    let of_store = figure(&store_of(&[samples]), &plant, "2018-01-01");
    let of_all = quantity(&plant, &whole, "2018-01-01".parse().unwrap());
    assert_eq!(of_store, of_all);
    assert_eq!(of_store.exact().map(ToString::to_string).as_deref(), expected);
    of_store
}

#[test]
fn a_store_gives_the_figures_of_all_its_readings() {
    // Every minute from an hour before the day to an hour after it, with a missing hour and two Bad samples in it.
    let minute = |at: i64| (YEAR_START.0 + at * MINUTE, Some(1_000_000 + at * 7 + at % 3));
    let mut samples: Vec<_> =
        (-60..1_500).filter(|at| !(600..660).contains(at)).map(minute).collect();
    for bad in [100, 900] {
        samples[bad].1 = None;
    }
    check(PLANT, samples, Some("100.8"));
}

/// Current transformers are changed at 10:05 with the power off: 1 kWh before it at 40, nothing at 60.
#[test]
fn a_change_of_ratio_inside_a_slot_counts_what_came_before_it_at_the_old_ratio() {
    let ratios = r#"
[[meter.ratio]]
ct = "40"

[[meter.ratio]]
from = "2018-01-01T10:05:00+09:00"
ct = "60"
"#;
    let minute = |at: i64| {
        let kwh = 10_000 + 20 * (at - 600).clamp(0, 5);
        (YEAR_START.0 + at * MINUTE, Some(kwh))
    };
    check(&format!("{PLANT}{ratios}"), (-15..1_455).map(minute).collect(), Some("40"));
}

/// Trial 02: a counter of 16 bits that goes through its modulus within each quarter of an hour.
#[test]
fn a_register_that_goes_through_its_modulus_within_a_slot_counts_each_time() {
    for (step, expected) in [(800, "69120"), (222, "19180.8")] {
        let reading = |at: i64| (YEAR_START.0 + at * 10_000_000, Some((at + 400) * step % 65_536));
        let samples: Vec<_> = (-360..9_000).map(reading).collect();
        let figure = check(&format!("{PLANT}modulus = 655.36\n"), samples, Some(expected));
        assert!(figure.complete);
    }
}

/// Trial 03: the register goes on from an older reading after a power cut.
#[test]
fn a_register_that_falls_back_climbs_and_does_not_return() {
    let reading = |at: i64| {
        let lost = if at >= 620 { 40 } else { 0 };
        (YEAR_START.0 + at * MINUTE, Some(100_000 + at * 100 / 60 - lost))
    };
    let figure = check(PLANT, (-60..1_500).map(reading).collect(), Some("23.98"));
    assert!(!figure.complete, "{figure:?}");
}

/// The register is off its way for days around the border: a near margin alone would take its return for energy.
#[test]
fn a_dip_that_is_longer_than_a_day_is_seen() {
    let hour = |at: i64| {
        let dip = (-40..12).contains(&at);
        let register = 1_000_000 + (at + 200) * 100;
        (YEAR_START.0 + at * 60 * MINUTE, Some(if dip { 0 } else { register }))
    };
    let figure = check(PLANT, (-200..60).map(hour).collect(), Some("24"));
    assert_eq!(figure.class, Some(energy::Class::Estimated));
}

/// A gap over the border that is longer than the near margin, shorter than what may be interpolated.
#[test]
fn a_border_in_a_gap_of_two_days_is_interpolated() {
    let hour = |at: i64| (YEAR_START.0 + at * 60 * MINUTE, Some((at + 200) * 100));
    let samples = (-100..100).filter(|at| !(-40..0).contains(at)).map(hour).collect();
    check(PLANT, samples, Some("24"));
    let samples = (-100..100).filter(|at| !(20..64).contains(at)).map(hour).collect();
    check(PLANT, samples, Some("24"));
}

/// Trial 17: readings that are all Uncertain.
#[test]
fn readings_that_are_not_used_are_counted_by_quality() {
    let quality = Quality(0x4095_0000);
    let mut store = MemoryStore::default();
    let samples = (0..=1_440).map(|at| {
        let time = Timestamp(YEAR_START.0 + at * MINUTE);
        Sample::new(PointIndex(0), time, time, quality, Value::Decimal(at * 10))
    });
    commit(&mut store, 1, &Arc::new(dictionary()), samples.collect());
    let unused = figure(&store, &plant(PLANT), "2018-01-01");
    assert_eq!(unused.value, None);
    let note = unused.note().unwrap();
    let expected = format!("1440 readings are {quality} and were not used");
    assert!(note.contains(&expected), "{note}");
    let accepted = format!("{PLANT}accept_uncertain = true\n");
    let figure = figure(&store, &plant(&accepted), "2018-01-01");
    assert_eq!(figure.exact().unwrap().to_string(), "144");
    // A relative: nothing but readings without a value.
    let mut store = MemoryStore::default();
    let samples = (0..96).map(|at| {
        let time = Timestamp(YEAR_START.0 + at * SLOT_US);
        Sample::without_value(PointIndex(0), time, time, Quality::BAD_TIMEOUT)
    });
    commit(&mut store, 1, &Arc::new(dictionary()), samples.collect());
    let note = super::figure(&store, &plant(PLANT), "2018-01-01").note().unwrap();
    assert!(note.contains("96 readings are BadTimeout and were not used"), "{note}");
}

/// A relative of trial 17: from noon on the server calls its values Uncertain. Nothing but the share told of it.
#[test]
fn readings_that_are_put_aside_for_a_part_of_a_period_are_named_with_its_figure() {
    let quality = Quality(0x4095_0000);
    let check = |good_again: i64, value: &str, complete: bool| {
        let mut store = MemoryStore::default();
        let samples = (-60..=1_500).map(|at| {
            let time = Timestamp(YEAR_START.0 + at * MINUTE);
            let of = if (720..good_again).contains(&at) { quality } else { Quality::GOOD };
            Sample::new(PointIndex(0), time, time, of, Value::Decimal((at + 60) * 10))
        });
        commit(&mut store, 1, &Arc::new(dictionary()), samples.collect());
        let found = figure(&store, &plant(PLANT), "2018-01-01");
        assert_eq!(found.exact().map(ToString::to_string).as_deref(), Some(value), "{found:?}");
        assert_eq!(found.complete, complete, "{found:?}");
        let told =
            format!("{} readings are {quality} and were not used", good_again.min(1_440) - 720);
        assert!(found.note().is_some_and(|note| note.ends_with(&told)), "{found:?}");
    };
    // Known as a sum, since the register was read again.
    check(1_430, "144", true);
    // What was read until noon, and no more.
    check(i64::MAX, "71.9", false);
}
