//! A jump of the register is no energy without a stated bound either, and a meter that really works in bursts keeps all of
//! its energy (trial fig-14).

use super::*;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Readings of a day and a day on either side of it, each `every` minutes, from the rise in each interval.
fn days(every: i64, rise: impl Fn(i64) -> i64) -> Vec<Reading> {
    let from = time("2024-03-09 00:00");
    let mut register = 809_880;
    (0..3 * 24 * 60 / every)
        .map(|at| {
            if at > 0 {
                register += rise(at);
            }
            let time = Timestamp(from.0 + at * every * MINUTE);
            Reading { time, ..reading("00:00", register) }
        })
        .collect()
}

fn day() -> Span {
    let from = time("2024-03-10 00:00");
    Span { from, to: Timestamp(from.0 + DAY) }
}

/// What both builders say of the day: energy, open gaps.
fn check(lines: &str, readings: &[Reading], expected: &str, gaps: usize) -> Index {
    let span = day();
    let (whole, streamed) =
        (index_of(lines, 0, readings.to_vec()), streamed_of(&meter(lines), readings));
    let energy = streamed.energy(span);
    assert_eq!(whole.energy(span), energy, "{lines}");
    assert_eq!(whole.slots(span), streamed.slots(span));
    assert_eq!(whole.segments(span), streamed.segments(span));
    assert_eq!(
        (text(&energy).as_deref(), energy.open_gaps.len(), energy.complete),
        (Some(expected), gaps, gaps == 0),
        "{lines} {:?} {:?}",
        streamed.bound(),
        energy.open_gaps
    );
    streamed
}

/// 1 kWh a minute; at 10:15 the register stands higher.
#[test]
fn fig_14_a_jump_of_the_register_is_an_open_gap() {
    for jump in [800_000, 65_536, 8_000, 500] {
        let jumped = |at| 15 + if at == 96 + 41 { jump } else { 0 };
        let index = check("", &days(15, jumped), "1425", 1);
        let gap = &index.energy(day()).open_gaps[0];
        assert_eq!((gap.from, gap.to), (time("10:00"), time("10:15")));
        assert_eq!(gap.cause, GapCause::Implausible);
        let showed = (gap.from_reading.to_string(), gap.to_reading.to_string());
        assert_eq!(showed, ("811920".to_owned(), (811_935 + jump).to_string()));
        let bound = index.bound().unwrap();
        assert_eq!(
            (bound.per_hour.to_string(), bound.source),
            ("1200".into(), BoundSource::OwnRates)
        );
        assert_eq!(bound.own_rate.as_ref().unwrap().to_string(), "60");
        // Where the plant file says what the meter can count, that holds.
        check("rise_per_hour_max = 4000000\n", &days(15, jumped), &(1440 + jump).to_string(), 0);
        // After a ratio, too.
        check("[[meter.ratio]]\nct = 40\n", &days(15, jumped), "57000", 1);
    }
}

/// The readings on both sides of the jump are named, not those of the slot.
#[test]
fn a_jump_between_readings_of_a_second_loses_that_second() {
    let jumped = |at| 1 + if at == 24 * 60 + 10 * 60 + 20 { 80_000 } else { 0 };
    let index = check("", &days(1, jumped), "1439", 1);
    let gap = &index.energy(day()).open_gaps[0];
    assert_eq!((gap.from, gap.to), (time("10:19"), time("10:20")));
}

/// A reset near the modulus looks like a rollover.
#[test]
fn a_reset_near_the_modulus_is_no_rollover() {
    let mut readings = days(15, |_| 15);
    for one in readings.iter_mut().skip(96 + 41) {
        one.mantissa -= 811_930;
    }
    let index = check("modulus = 850000\n", &readings, "1425", 1);
    assert_eq!(index.energy(day()).rollovers, 0);
    // A true rollover of the same register stays one.
    let mut readings = days(15, |_| 15);
    for one in &mut readings {
        one.mantissa = (one.mantissa + 38_000) % 850_000;
    }
    let index = check("modulus = 850000\n", &readings, "1440", 0);
    assert_eq!(index.energy(day()).rollovers, 1);
}

/// Registers that a plant has, and that are no jumps.
#[test]
fn what_plants_do_is_no_jump() {
    let hour = |at: i64, per_hour: i64| at / per_hour % 24;
    // Standby of 2 kW, and an oven of 1 MW for an hour a day.
    check("", &days(15, |at| if hour(at, 4) == 10 { 250 } else { at % 2 }), "1046", 0);
    // The same, ten minutes a day, read each minute.
    check("", &days(1, |at| if at % 1440 < 10 { 17 } else { i64::from(at % 30 == 0) }), "217", 0);
    // Nothing at all until the works begin.
    check("", &days(15, |at| if at > 96 + 32 { 900 } else { 0 }), "57600", 0);
    // A register in steps of 1 MWh that is polled each minute.
    check("[[meter.ratio]]\nct = 1000\n", &days(1, |at| i64::from(at % 7 == 0)), "206000", 0);
    // A register that is refreshed once a day.
    check("", &days(15, |at| if at % 96 == 40 { 5_000 } else { 0 }), "5000", 0);
    // 50 times the median for half an hour, three times in three days.
    check("", &days(15, |at| if at % 96 < 2 { 5_000 } else { 100 }), "19400", 0);
}

/// The plant stands still for weeks, the link is down for some days of it: what counts is the rise by the time that passed.
#[test]
fn catching_up_after_a_pause_is_no_jump() {
    let mut readings = days(15, |_| 600);
    readings.retain(|one| one.time < time("02:00") || one.time > time("22:00"));
    check("", &readings, "57600", 0);
    // A register that stood still, then a pause, then full load.
    let mut readings = days(15, |at| if at > 96 + 40 { 600 } else { 0 });
    readings.retain(|one| one.time < time("09:00") || one.time > time("13:00"));
    check("", &readings, "33600", 0);
}

/// Too little is known of the register's own rates: only what no meter counts is refused.
#[test]
fn few_readings_are_judged_by_what_no_meter_counts() {
    let energy = quarters("", 0, &[100, 200, 90_000, 90_100]);
    assert_eq!((text(&energy).as_deref(), energy.complete), (Some("90000"), true));
    let energy = quarters("", 0, &[100, 200, 9_000_000, 9_000_100]);
    assert_eq!((text(&energy).as_deref(), energy.open_gaps.len()), (Some("200"), 1));
    let index = index_of("", 0, quarter_hours(&[100, 200]));
    let bound = index.bound().unwrap();
    assert_eq!(
        (bound.per_hour.to_string(), bound.source),
        ("1000000".into(), BoundSource::Largest)
    );
}

/// Some minutes of a wrong word order do not raise the bound, whatever they show.
#[test]
fn wild_minutes_do_not_raise_the_bound() {
    let wild = [7, 9_000_000, 9_060_000, 9_120_000, 70_000_000, 70_900_000];
    let mut readings = days(1, |_| 1);
    for (at, shown) in wild.iter().enumerate() {
        readings[24 * 60 + 10 * 60 + 12 + at].mantissa = *shown;
    }
    check("", &readings, "1440", 0);
    // From the beginning, so that no reading before them is trusted.
    let first = 24 * 60 + 10 * 60;
    let mut readings = days(1, |_| 1).split_off(first);
    for (at, shown) in wild.iter().enumerate() {
        readings[at].mantissa = *shown;
    }
    let energy = streamed_of(&meter(""), &readings).energy(day());
    assert_eq!(text(&energy).as_deref(), Some("834"));
    assert!(!energy.complete);
}

/// The first readings are the wrong ones, and hours later the same is tried once more: what lies between is no dip.
#[test]
fn wrong_then_right_then_wrong_then_right_counts_what_was_right() {
    let first = 24 * 60 + 10 * 60;
    for wild in [46_661_634, 7] {
        let mut readings = days(1, |_| 1).split_off(first);
        for one in readings.iter_mut().take(4) {
            one.mantissa = wild;
        }
        for one in readings.iter_mut().skip(6 * 60).take(3) {
            one.mantissa = wild + 2;
        }
        let index = check_open(&readings);
        let energy = index.energy(day());
        // 14 hours less the four minutes of the beginning.
        assert_eq!(text(&energy).as_deref(), Some("836"), "{wild}");
        assert_eq!(energy.open_gaps.len(), 1);
        let aside = index.put_aside(day());
        assert_eq!(aside.iter().map(|one| one.readings).sum::<u64>(), 3, "{aside:?}");
    }
}

/// The same from both builders.
fn check_open(readings: &[Reading]) -> Index {
    let (whole, streamed) = (index_of("", 0, readings.to_vec()), streamed_of(&meter(""), readings));
    assert_eq!(whole.energy(day()), streamed.energy(day()));
    assert_eq!(whole.put_aside(day()), streamed.put_aside(day()));
    streamed
}

/// A meter that shows values below zero for a while counted nothing then.
#[test]
fn no_counter_below_zero_is_energy() {
    let mut readings = days(15, |_| 15);
    for one in readings.iter_mut().skip(96).take(3) {
        one.mantissa = -2_837_706;
    }
    let index = check("", &readings, "1440", 0);
    assert_eq!(index.counts().below_zero, 3);
    let aside = index.put_aside(day());
    assert_eq!(aside.len(), 1);
    assert_eq!((aside[0].from, aside[0].to), (time("00:00"), time("00:30")));
    assert_eq!((aside[0].readings, &aside[0].why), (3, &crate::Aside::BelowZero));
}

/// Each run of readings that were put aside is listed, not only counted.
#[test]
fn what_was_put_aside_is_listed() {
    let mut readings = days(15, |_| 15);
    for one in readings.iter_mut().skip(96 + 40).take(4) {
        one.mantissa = 9_999_999;
    }
    readings[96 + 60].mantissa = 0;
    let index = check("", &readings, "1440", 0);
    let aside = index.put_aside(day());
    let listed: Vec<_> = aside.iter().map(|one| (one.from, one.to, one.readings)).collect();
    let (spike, dip) = ((time("10:00"), time("10:45"), 4), (time("15:00"), time("15:00"), 1));
    assert_eq!(listed, [spike, dip]);
    assert_eq!(
        (&aside[0].why, &aside[1].why),
        (&crate::Aside::FellAgain, &crate::Aside::RoseAgain)
    );
    assert_eq!(index.counts().untrusted, 5);
}

/// More runs than are listed are counted all the same.
#[test]
fn runs_beyond_the_limit_are_counted() {
    let mut readings = days(1, |_| 1);
    let dips = crate::put_aside::RUNS_MAX + 44;
    for at in 0..dips {
        readings[24 * 60 + 2 * at + 1].mantissa = 0;
    }
    let index = check("", &readings, "1440", 0);
    assert_eq!(index.put_aside(day()).len(), crate::put_aside::RUNS_MAX);
    assert_eq!(index.counts().untrusted, u64::try_from(dips).unwrap());
}
