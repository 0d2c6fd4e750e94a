//! The index that is built reading by reading, against the one that holds all of them; and registers that fall within a
//! slot (trials 02 and 03).

use super::*;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn streamed(lines: &str, readings: &[Reading]) -> Index {
    streamed_of(&meter(lines), readings)
}

/// Readings each `every` seconds from an hour before the day on until an hour after it.
fn day_of(every: i64, digits: impl Fn(i64) -> i64) -> (Vec<Reading>, Span) {
    let from = time("2024-03-10 00:00");
    let span = Span { from, to: Timestamp(from.0 + DAY) };
    let start = from.0 - 3_600 * SECOND;
    let readings = (0..26 * 3_600 / every)
        .map(|at| Reading {
            time: Timestamp(start + at * every * SECOND),
            ..reading("00:00", digits(at))
        })
        .collect();
    (readings, span)
}

/// What all slots, the period and its parts say, both ways.
fn check_same(lines: &str, readings: &[Reading], span: Span) -> Index {
    let mut shuffled = readings.to_vec();
    shuffled.reverse();
    let (whole, streamed) = (index_of(lines, 0, shuffled), streamed(lines, readings));
    assert_eq!(whole.energy(span), streamed.energy(span), "{lines}");
    assert_eq!(whole.segments(span), streamed.segments(span), "{lines}");
    assert_eq!(whole.slots(span), streamed.slots(span), "{lines}");
    assert_eq!(whole.counts(), streamed.counts(), "{lines}");
    streamed
}

/// Ratios that change nothing, one in each quarter of an hour.
fn idle_ratios() -> String {
    let from = time("2024-03-10 00:00");
    let change = |at: i64| {
        let from = Timestamp(from.0 + at * SLOT_MICROS);
        format!("[[meter.ratio]]\nfrom = {from}\nct = 1\n")
    };
    (1..96).fold("[[meter.ratio]]\nct = 1\n".to_owned(), |all, at| all + &change(at))
}

#[test]
fn a_register_that_goes_through_its_modulus_within_a_slot_counts_each_time() {
    for (step, expected) in [(800, 6_912_000), (700, 6_048_000), (222, 1_918_080), (50, 432_000)] {
        let (readings, span) = day_of(10, |at| at * step % 65_536);
        for bound in ["", "rise_per_hour_max = 400000\n"] {
            for ratios in [String::new(), idle_ratios()] {
                let lines = format!("modulus = 65536\n{bound}{ratios}");
                let energy = check_same(&lines, &readings, span).energy(span);
                assert_eq!(text(&energy), Some(expected.to_string()), "{step} {lines}");
                assert!(energy.complete && energy.coverage.is_full());
            }
        }
    }
}

#[test]
fn a_register_that_starts_anew_within_a_slot_is_unknown_and_not_zero() {
    let (readings, span) = day_of(10, |at| at % 45);
    for lines in [String::new(), idle_ratios()] {
        let energy = check_same(&lines, &readings, span).energy(span);
        assert!(!energy.complete && energy.open_gaps.len() >= 191, "{energy:?}");
        assert_eq!(text(&energy).as_deref(), Some("8448"));
    }
}

/// In thousandths: 1 kWh an hour, one reading a minute, and at 10:20 the register goes on from an older one.
#[test]
fn a_register_that_falls_back_after_a_power_cut_climbs_and_does_not_return() {
    for lost in [300, 400, 600, 2_000, 20_000] {
        let register = |at: i64| 1_000_000 + at * 1_000 / 60 - if at >= 680 { lost } else { 0 };
        let (readings, span) = day_of(60, register);
        for lines in [String::new(), idle_ratios()] {
            let energy = check_same(&lines, &readings, span).energy(span);
            // Every rise counts but the one that the fall hides, and the gap is named.
            assert_eq!((energy.complete, energy.open_gaps.len()), (false, 1), "{lost}");
            let known = number(&energy);
            assert!(known >= Number::new(23_980, 0) && known <= Number::new(24_000, 0), "{lost}");
            assert!(energy.coverage.covered >= 94, "{lost} {:?}", energy.coverage);
        }
    }
}

/// A relative of it: after the cut the link is down, and comes back above the old reading.
#[test]
fn a_pause_after_the_fall_is_no_return_unless_it_crosses_the_old_reading() {
    let register = |at: i64| 1_000_000 + at * 1_000 / 60 - if at >= 680 { 400 } else { 0 };
    let (mut readings, span) = day_of(60, register);
    // An hour without readings, well after the register has climbed past the old one.
    let pause = (span.from.0 + 12 * 3_600 * SECOND)..(span.from.0 + 13 * 3_600 * SECOND);
    readings.retain(|one| !pause.contains(&one.time.0));
    let index = check_same("", &readings, span);
    assert_eq!(index.counts().untrusted, 0);
    assert_eq!(index.energy(span).open_gaps.len(), 1);
}

/// Of a year at 1 Hz a handful of knots a slot is held.
#[test]
fn what_is_held_grows_with_slots_and_not_with_readings() {
    let (readings, span) = day_of(1, |at| at / 7);
    let index = check_same("", &readings, span);
    assert!(index.knots.len() <= 2 * 26 * 4 + 2, "{}", index.knots.len());
    // A register that stands still is no longer held than one that moves.
    let (readings, span) = day_of(1, |_| 5);
    let index = check_same("", &readings, span);
    assert_eq!(text(&index.energy(span)).as_deref(), Some("0"));
    let mut walker = crate::validate::Walker::new(false);
    let register = Register::new(&meter(""), 0, None).unwrap();
    for one in &readings {
        walker.push((one.time, 5), &register, THREE_DAYS);
    }
    assert!(walker.held() <= 2 * 26 * 4, "{}", walker.held());
}

/// A register that does everything at once, over more readings than are held.
#[test]
fn chunks_of_readings_leave_no_seam() {
    let mut noise = 1_u64;
    let mut next = |below: u64| {
        noise =
            noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((noise >> 33) % below).unwrap()
    };
    let mut register = 0;
    let digits: Vec<i64> = (0..80_000)
        .map(|_| {
            match next(3_000) {
                0 => register = 0,
                1 => register += 40_000,
                2 => return 0,
                3 => return 9_000_000,
                _ => register += next(3),
            }
            register %= 1_000_000;
            register
        })
        .collect();
    let from = time("2024-03-10 00:00");
    let readings: Vec<Reading> = (0..)
        .zip(&digits)
        .map(|(second, digits): (i64, _)| Reading {
            time: Timestamp(from.0 + second * SECOND),
            ..reading("00:00", *digits)
        })
        .collect();
    let span = Span { from, to: Timestamp(from.0 + 36 * 3_600 * SECOND) };
    for lines in LINES.iter().skip(1) {
        check_same(lines, &readings, span);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// INV-7: what is held of the readings changes nothing of whole slots.
    #[test]
    fn the_index_that_holds_little_is_that_of_all_readings(
        readings in histories(),
        lines in proptest::sample::select(LINES),
    ) {
        let mut readings = readings;
        readings.sort_by_key(|one| one.time);
        check_same(lines, &readings, from_to("2024-01-31 20:00", "2024-02-01 12:00"));
    }
}
