//! The vectors R1 to R13, and the properties of INV-7.

use config::SourceFile;
use model::{Generation, Quality, Sequence};
use proptest::prelude::*;

use super::*;
use crate::plant::Plant;
use crate::readings::Reading;

mod cadence;
mod events;
mod faults;
mod plausible;
mod ratio;
mod resets;
mod segments;
mod spikes;
mod streaming;

const THREE_DAYS: i64 = 3 * 24 * 3_600_000_000;

fn meter(lines: &str) -> Meter {
    plant("Asia/Shanghai", lines).meters.remove(0)
}

fn plant(zone: &str, lines: &str) -> Plant {
    let text = format!(
        "[plant]\nenterprise = \"acme\"\ntime_zone = \"{zone}\"\n\
         [[energy_kind]]\nid = \"electricity\"\nunit = \"kWh\"\nrule_set = \"GB/T 2589\"\nedition = \"2020\"\n\
         [[meter]]\nid = \"m\"\npoint = \"acme/m\"\nenergy_kind = \"electricity\"\nrole = \"incoming\"\nunit = \"kWh\"\n{lines}"
    );
    let plant = Plant::read(&SourceFile::new("plant.toml", text));
    plant.map_err(|problems| problems.to_string()).unwrap()
}

fn time(text: &str) -> Timestamp {
    let text = if text.contains(' ') { text.to_owned() } else { format!("2024-03-10 {text}") };
    let local: jiff::civil::DateTime = text.parse().unwrap();
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    Timestamp(local.to_zoned(zone).unwrap().timestamp().as_microsecond())
}

fn reading(at: &str, digits: i64) -> Reading {
    Reading {
        time: time(at),
        mantissa: digits,
        quality: Quality::GOOD,
        generation: Generation(1),
        sequence: Sequence(1),
    }
}

fn index_of(lines: &str, exponent: i8, readings: Vec<Reading>) -> Index {
    let meter = meter(lines);
    let id = meter.id.clone();
    let readings =
        MeterReadings { meter: id, exponent, unit: Unit::KilowattHour, modulus: None, readings };
    Index::build(&meter, THREE_DAYS, &readings).unwrap()
}

/// The index that is built reading by reading, as analytics does.
fn streamed_of(meter: &Meter, readings: &[Reading]) -> Index {
    let begin = || IndexBuilder::new(meter, THREE_DAYS, 0, None).unwrap();
    let of = |mut builder: IndexBuilder<'_>| {
        for reading in readings {
            builder.push(*reading);
        }
        builder.finish()
    };
    let learned = match of(begin()) {
        Finished::Index(index) => return *index,
        Finished::Again(learned) => learned,
    };
    match of(begin().knowing(learned)) {
        Finished::Index(index) => *index,
        Finished::Again(learned) => panic!("learned twice: {learned:?}"),
    }
}

/// The times of the open gaps.
fn between(energy: &PeriodEnergy) -> Vec<(Timestamp, Timestamp)> {
    energy.open_gaps.iter().map(|gap| (gap.from, gap.to)).collect()
}

/// Readings 15 minutes apart, from 10:00 on.
fn quarter_hours(digits: &[i64]) -> Vec<Reading> {
    let start = time("10:00");
    let at = |index: usize| Timestamp(start.0 + i64::try_from(index).unwrap() * SLOT_MICROS);
    digits
        .iter()
        .enumerate()
        .map(|(index, digits)| Reading { time: at(index), ..reading("10:00", *digits) })
        .collect()
}

fn from_to(from: &str, to: &str) -> Span {
    Span { from: time(from), to: time(to) }
}

fn quarters(lines: &str, exponent: i8, digits: &[i64]) -> PeriodEnergy {
    let readings = quarter_hours(digits);
    let span = Span { from: readings[0].time, to: readings[readings.len() - 1].time };
    index_of(lines, exponent, readings).energy(span)
}

fn text(energy: &PeriodEnergy) -> Option<String> {
    energy.energy.as_ref().map(ToString::to_string)
}

#[test]
fn r1() {
    let lines = "modulus = 100000.0\n[[meter.ratio]]\nct = 80\npt = 100\n";
    for bound in ["", "rise_per_hour_max = 1000000\n"] {
        let energy = quarters(&format!("{bound}{lines}"), -1, &[999_905, 123]);
        assert_eq!(text(&energy).as_deref(), Some("174400"));
        assert_eq!((energy.class, energy.rollovers), (Class::Rollover, 1));
        assert!(energy.complete && energy.coverage.is_full());
    }
}

#[test]
fn r2() {
    let readings = vec![reading("2024-01-31 22:10", 152_000), reading("2024-02-01 03:40", 152_660)];
    let index = index_of("", -1, readings);
    let energy = |from, to| index.energy(from_to(from, to));
    let january = energy("2024-01-31 22:10", "2024-02-01 00:00");
    let february = energy("2024-02-01 00:00", "2024-02-01 03:40");
    let both = energy("2024-01-31 22:10", "2024-02-01 03:40");
    assert_eq!(text(&january).as_deref(), Some("22"));
    assert_eq!(text(&february).as_deref(), Some("44"));
    assert_eq!(text(&both).as_deref(), Some("66"));
    assert_eq!((january.class, february.class), (Class::Estimated, Class::Estimated));
    assert_eq!(both.class, Class::Metered);
    assert_eq!(january.end_reading.unwrap().to_string(), "15222");
    // In the slots the gap stays a gap.
    assert!(!both.coverage.is_full());
    let slots = index.slots(from_to("2024-01-31 22:10", "2024-02-01 03:40"));
    assert!(slots.iter().all(|slot| slot.energy.is_none()));
    assert_eq!(both.in_gaps.unwrap().to_string(), "66");
}

#[test]
fn r2_at_the_start_of_the_calendar_month() {
    let readings = vec![
        reading("2024-01-01 00:00", 150_000),
        reading("2024-01-31 22:10", 152_000),
        reading("2024-02-01 03:40", 152_660),
        reading("2024-03-01 00:00", 153_000),
    ];
    let index = index_of("", -1, readings);
    let month = |text: &str| {
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        index.energy(text.parse::<crate::Period>().unwrap().span(&zone))
    };
    assert_eq!(text(&month("2024-01")).as_deref(), Some("222"));
    assert_eq!(text(&month("2024-02")).as_deref(), Some("78"));
}

#[test]
fn a_gap_beyond_the_limit_belongs_to_neither_month() {
    let readings = vec![
        reading("2024-01-20 00:00", 1000),
        reading("2024-01-28 00:00", 1500),
        reading("2024-02-04 00:00", 1700),
        reading("2024-02-10 00:00", 1900),
    ];
    let index = index_of("", 0, readings);
    let january = index.energy(from_to("2024-01-20 00:00", "2024-02-01 00:00"));
    assert_eq!((text(&january).as_deref(), january.complete), (Some("500"), false));
    assert_eq!(january.end, Some(Border::Clipped { at: time("2024-01-28 00:00") }));
    let inside = index.energy(from_to("2024-01-30 00:00", "2024-02-01 00:00"));
    assert_eq!((inside.energy, inside.coverage.covered), (None, 0));
    let whole = index.energy(from_to("2024-01-20 00:00", "2024-02-10 00:00"));
    assert_eq!((text(&whole).as_deref(), whole.complete), (Some("900"), true));
}

#[test]
fn r3() {
    let lines = "[[meter.ratio]]\nct = 40\n[[meter.ratio]]\nfrom = 2024-03-10T10:15:00+08:00\nct = 60\n\
                 [[meter.replacement]]\nat = 2024-03-10T10:15:00+08:00\nold_final = 81250.0\nnew_initial = 5.0\n";
    let readings = vec![reading("10:00", 810_000), reading("10:30", 1300)];
    let index = index_of(lines, -1, readings);
    let energy = index.energy(from_to("10:00", "10:30"));
    assert_eq!(text(&energy).as_deref(), Some("17500"));
    assert!(energy.complete && energy.coverage.is_full());
    let old = index.energy(from_to("10:00", "10:15"));
    assert_eq!(text(&old).as_deref(), Some("10000"));
}

#[test]
fn r4() {
    let energy = quarters("", 0, &[999_984, 20]);
    assert_eq!((energy.energy, energy.complete), (None, false));
    assert_eq!(energy.open_gaps.len(), 1);
    // What the register counts afterwards is known again.
    let energy = quarters("", 0, &[999_984, 20, 56]);
    assert_eq!((text(&energy).as_deref(), energy.complete), (Some("36"), false));
}

#[test]
fn r4b() {
    for bound in ["", "rise_per_hour_max = 300\n"] {
        let energy = quarters(&format!("{bound}modulus = 1000000\n"), 0, &[999_984, 20]);
        assert_eq!(text(&energy).as_deref(), Some("36"));
        assert_eq!(energy.class, Class::Rollover);
    }
}

#[test]
fn r6() {
    for lines in [
        "",
        "modulus = 100000000\n",
        "rise_per_hour_max = 332.4\n",
        "modulus = 100000000\nrise_per_hour_max = 332.4\n",
    ] {
        let energy = quarters(lines, 0, &[15_500_000, 0, 15_500_040]);
        assert_eq!(text(&energy).as_deref(), Some("40"), "{lines}");
        assert!(energy.complete, "{lines}");
        let index = index_of(lines, 0, quarter_hours(&[15_500_000, 0, 15_500_040]));
        assert_eq!((index.counts().untrusted, index.counts().used), (1, 2));
    }
}

#[test]
fn days_at_zero_are_a_dip_too() {
    let mut digits = vec![15_500_000];
    digits.resize(6000, 0);
    digits.push(15_500_040);
    let energy = quarters("", 0, &digits);
    assert_eq!((text(&energy).as_deref(), energy.complete), (Some("40"), true));
    assert_eq!(energy.coverage.covered, 0);
}

#[test]
fn a_spike_is_put_aside_and_a_new_meter_is_not() {
    let bound = "rise_per_hour_max = 332.4\n";
    let spike = quarters(bound, 0, &[100, 9_999_999, 140, 180]);
    assert_eq!((text(&spike).as_deref(), spike.complete), (Some("80"), true));
    // Nobody reported the new meter: its way is never taken for a return, however long it lasts.
    let mut digits = vec![100];
    digits.extend((0..2000).map(|step| 50_000 + step * 40));
    let changed = quarters(bound, 0, &digits);
    assert_eq!(text(&changed).as_deref(), Some("79960"));
    assert_eq!((changed.complete, changed.open_gaps.len()), (false, 1));
}

#[test]
fn r7() {
    let readings = quarter_hours(&[100, 140, 180, 230]);
    let span = Span { from: readings[0].time, to: readings[3].time };
    let straight = index_of("", 0, readings.clone()).energy(span);
    let mut twice: Vec<Reading> = readings.iter().rev().copied().collect();
    twice.extend(readings.iter().map(|one| Reading { sequence: Sequence(9), ..*one }));
    let index = index_of("", 0, twice);
    assert_eq!(index.energy(span), straight);
    assert_eq!((index.counts().duplicates, index.counts().conflicts), (4, 0));
}

#[test]
fn r8() {
    let at = |generation, sequence, digits| Reading {
        generation: Generation(generation),
        sequence: Sequence(sequence),
        ..reading("10:15", digits)
    };
    let (first, second) = (reading("10:00", 100), reading("10:30", 200));
    let check = |candidates: [Reading; 2], expected: &str| {
        for candidates in [candidates, [candidates[1], candidates[0]]] {
            let index = index_of("", 0, [vec![first, second], candidates.to_vec()].concat());
            let energy = index.energy(from_to("10:00", "10:15"));
            assert_eq!(text(&energy).as_deref(), Some(expected));
            assert_eq!(index.counts().conflicts, 1);
        }
    };
    check([at(1, 7, 140), at(1, 8, 150)], "50");
    check([at(2, 1, 140), at(1, 8, 150)], "40");
}

#[test]
fn r10() {
    let digits: Vec<i64> = (0..=96).map(|slot| 1_000_003 + slot * 7 + slot * slot % 11).collect();
    let energy = quarters("", -1, &digits);
    let readings = quarter_hours(&digits);
    let index = index_of("", -1, readings.clone());
    let slots = index.slots(Span { from: readings[0].time, to: readings[96].time });
    assert_eq!(slots.len(), 96);
    let sum: i128 = slots.iter().map(|slot| slot.energy.unwrap()).sum();
    assert_eq!(sum, i128::from(digits[96] - digits[0]));
    assert_eq!(energy.energy, Some(index.number(sum)));
    assert_eq!(energy.in_gaps.unwrap().to_string(), "0");
}

#[test]
fn r11() {
    let lines =
        "[[meter.ratio]]\nct = 40\n[[meter.ratio]]\nfrom = 2024-03-10T10:00:00+08:00\nct = 60\n";
    let readings = vec![reading("09:45", 1000), reading("10:00", 1010), reading("10:15", 1030)];
    let energy = index_of(lines, -1, readings).energy(from_to("09:45", "10:15"));
    assert_eq!((text(&energy).as_deref(), energy.class), (Some("160"), Class::Metered));
    // Without the reading at the change, the index is interpolated there, and says so: 1.5 × 40 + 1.5 × 60.
    let readings = vec![reading("09:45", 1000), reading("10:15", 1030)];
    let index = index_of(lines, -1, readings);
    let energy = index.energy(from_to("09:45", "10:15"));
    assert_eq!((text(&energy).as_deref(), energy.class), (Some("150"), Class::Estimated));
    let before = index.energy(from_to("09:45", "10:00"));
    assert_eq!((text(&before).as_deref(), before.class), (Some("60"), Class::Estimated));
}

#[test]
fn r13() {
    let lines = "modulus = 1000000\nrise_per_hour_max = 332.4\n";
    let energy = quarters(lines, 0, &[500_000, 20]);
    assert_eq!((energy.energy, energy.complete), (None, false));
    assert_eq!(energy.open_gaps.len(), 1);
    assert_eq!(energy.coverage, Coverage { covered: 0, expected: 1 });
}

#[test]
fn a_month_is_exact_where_its_border_readings_exist() {
    let whole: Vec<i64> = (0..=96).map(|slot| slot * 5).collect();
    let mut readings = quarter_hours(&whole);
    let span = Span { from: readings[0].time, to: readings[96].time };
    for missing in [70, 41, 40, 10] {
        readings.remove(missing);
    }
    let energy = index_of("", 0, readings).energy(span);
    assert_eq!((text(&energy).as_deref(), energy.class), (Some("480"), Class::Metered));
    assert!(energy.complete);
    // One reading alone takes two slots with it, two in a row take three.
    assert_eq!(energy.coverage, Coverage { covered: 96 - 7, expected: 96 });
    assert_eq!(energy.coverage.percent(), "92.7");
    assert_eq!(energy.in_gaps.unwrap().to_string(), "35");
}

#[test]
fn polls_that_are_never_on_the_border_still_cover_it() {
    let readings = vec![
        reading("09:58:07", 100),
        reading("10:13:09", 115),
        reading("10:28:12", 130),
        reading("10:43:07", 145),
    ];
    let energy = index_of("", 0, readings).energy(from_to("10:00", "10:30"));
    assert_eq!(energy.class, Class::Metered);
    assert!(energy.complete && energy.coverage.is_full());
}

#[test]
fn what_is_not_good_is_counted_and_not_used() {
    let mut readings = quarter_hours(&[100, 0, 140]);
    readings[1].quality = Quality::UNCERTAIN_LAST_USABLE_VALUE;
    let span = Span { from: readings[0].time, to: readings[2].time };
    let index = index_of("", 0, readings);
    assert_eq!(text(&index.energy(span)).as_deref(), Some("40"));
    assert_eq!(index.counts().unusable, 1);
    assert!(!index.energy(span).coverage.is_full());
}

#[test]
fn no_reading_is_null_and_not_zero() {
    for readings in [vec![], vec![reading("10:07", 5)]] {
        let energy = index_of("", 0, readings).energy(from_to("10:00", "11:00"));
        assert_eq!((energy.energy, energy.complete, energy.coverage.covered), (None, false, 0));
    }
}

/// A display of ten digits, 99,999,999.99.
#[test]
fn a_modulus_of_ten_digits_is_a_modulus() {
    for lines in
        ["modulus = 100000000\n", "modulus = 100000000\n[[meter.ratio]]\nct = 0.001\npt = 10000\n"]
    {
        let energy = quarters(lines, -2, &[9_999_999_990, 15]);
        let expected = if lines.contains("pt") { "2.5" } else { "0.25" };
        assert_eq!((text(&energy).as_deref(), energy.class), (Some(expected), Class::Rollover));
    }
}

/// What still does not fit is refused, and the largest that fits stays exact.
#[test]
fn numbers_that_lie_too_far_apart_are_refused() {
    let meter = meter("modulus = 1000000000000000000\n");
    let build = |exponent| {
        let readings = vec![
            Reading { mantissa: i64::MAX - 5, ..reading("10:00", 0) },
            Reading { mantissa: i64::MAX, ..reading("10:15", 0) },
        ];
        let (meter_id, unit) = (meter.id.clone(), Unit::KilowattHour);
        let readings = MeterReadings { meter: meter_id, exponent, unit, modulus: None, readings };
        Index::build(&meter, THREE_DAYS, &readings)
    };
    let energy = build(0).unwrap().energy(from_to("10:00", "10:15"));
    assert_eq!(text(&energy).as_deref(), Some("5"));
    assert!(build(-1).unwrap_err().to_string().contains("18 powers of ten"));
}

#[test]
fn readings_of_another_unit_are_refused() {
    let meter = meter("modulus = 1000\n");
    let readings = MeterReadings {
        meter: meter.id.clone(),
        exponent: 0,
        unit: Unit::MegawattHour,
        modulus: None,
        readings: vec![],
    };
    let refused = |readings: &MeterReadings| {
        Index::build(&meter, THREE_DAYS, readings).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&readings),
        "meter `m`: expected readings in `kWh` as its `unit` says, found `MWh`"
    );
    let modulus = Some("10000".parse().unwrap());
    let other = MeterReadings { unit: Unit::KilowattHour, modulus, ..readings };
    assert!(refused(&other).contains("its `modulus` is 1000, the device profile says 10000"));
}

/// A register that rises, wraps, dips, repeats and falls silent.
fn histories() -> impl Strategy<Value = Vec<Reading>> {
    let step = (1_i64..3_000, 0_i64..5_000, 0_u8..20, 0_u64..3);
    proptest::collection::vec(step, 2..60).prop_map(|steps| {
        let mut at = time("2024-01-31 20:00").0;
        let mut digits = 990_000_i64;
        let mut readings = Vec::new();
        for (seconds, rise, kind, sequence) in steps {
            at += seconds * 1_000_000;
            digits = (digits + rise) % 1_000_000;
            let shown = match kind {
                0 => 0,
                1 => digits / 2,
                _ => digits,
            };
            let one = Reading {
                time: Timestamp(at),
                sequence: Sequence(sequence),
                ..reading("10:00", shown)
            };
            readings.push(one);
            if kind == 2 {
                readings.push(Reading {
                    mantissa: shown + 1,
                    sequence: Sequence(sequence + 1),
                    ..one
                });
            }
            if kind == 3 {
                readings.push(Reading { sequence: Sequence(sequence + 1), ..one });
            }
        }
        readings
    })
}

const LINES: &[&str] = &[
    "",
    "modulus = 1000000\n",
    "modulus = 1000000\nrise_per_hour_max = 200000\n",
    "modulus = 1000000\n[[meter.ratio]]\nct = 40\n[[meter.ratio]]\nfrom = 2024-01-31T22:17:00+08:00\nct = 60\npt = 0.1\n",
    "[[meter.replacement]]\nat = 2024-01-31T22:30:00+08:00\nold_final = 999999\nnew_initial = 3\n",
    "resets = \"daily\"\n",
    "modulus = 1000000\nrise_per_hour_max = 200000\nresets = \"daily\"\n",
];

fn number(energy: &PeriodEnergy) -> Number {
    energy.energy.clone().unwrap_or_else(Number::zero)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// INV-7: order, duplicates and lateness change nothing.
    #[test]
    fn order_and_duplicates_change_nothing(
        (sorted, shuffled) in histories().prop_flat_map(|all| {
            let twice = [all.clone(), all.clone()].concat();
            (Just(all), Just(twice).prop_shuffle())
        }),
        lines in proptest::sample::select(LINES),
    ) {
        let span = from_to("2024-01-31 20:00", "2024-02-01 12:00");
        let (one, other) = (index_of(lines, 0, sorted), index_of(lines, 0, shuffled));
        prop_assert_eq!(one.energy(span), other.energy(span));
        prop_assert_eq!(one.slots(span), other.slots(span));
        prop_assert_eq!(one.counts().conflicts * 2, other.counts().conflicts);
    }

    /// INV-7: parts sum to the whole exactly, wherever it is cut.
    #[test]
    fn parts_sum_to_the_whole(
        readings in histories(),
        lines in proptest::sample::select(LINES),
        cuts in proptest::collection::btree_set(0_i64..60_000, 1..8),
    ) {
        let first = readings.iter().map(|one| one.time).min().unwrap();
        let last = readings.iter().map(|one| one.time).max().unwrap();
        let index = index_of(lines, 0, readings);
        let whole = index.energy(Span { from: first, to: last });
        let mut at = first;
        let mut sum = Number::zero();
        let inside = cuts.iter().map(|cut| Timestamp(first.0 + cut * 1_000_000));
        for cut in inside.filter(|cut| *cut < last).chain([last]) {
            sum = sum + number(&index.energy(Span { from: at, to: cut }));
            at = cut;
        }
        // A cut inside an open gap or a flat end leaves nothing out: unknown energy is in no part.
        prop_assert_eq!(sum, number(&whole));
    }

    /// Slots and what lies in their gaps are the period's energy, which is never below zero.
    #[test]
    fn slots_telescope(readings in histories(), lines in proptest::sample::select(LINES)) {
        let span = from_to("2024-01-31 20:00", "2024-02-01 12:00");
        let index = index_of(lines, 0, readings);
        let energy = index.energy(span);
        let slots: i128 = index.slots(span).iter().filter_map(|slot| slot.energy).sum();
        if let (Some(whole), Some(in_gaps)) = (&energy.energy, &energy.in_gaps) {
            prop_assert_eq!(whole, &(&index.number(slots) + in_gaps));
            prop_assert!(*whole >= Number::zero() && *in_gaps >= Number::zero());
        }
        prop_assert!(index.slots(span).iter().all(|slot| slot.energy.is_none_or(|e| e >= 0)));
    }
}

/// "1 readings are" was said.
#[test]
fn one_reading_that_was_not_used_is_told_in_the_singular() {
    let told = |readings| NotUsed { quality: "BadTimeout".to_owned(), readings }.to_string();
    assert_eq!(told(1), "1 reading is BadTimeout and was not used");
    assert_eq!(told(2), "2 readings are BadTimeout and were not used");
}
