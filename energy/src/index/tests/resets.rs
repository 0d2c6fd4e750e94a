//! Registers that are set back to zero each midnight: what is counted, what is named, and what stays an open gap.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::*;
use crate::source::Meters;

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAILY: &str = "resets = \"daily\"\n";

fn at(zone: &str, text: &str) -> Timestamp {
    let local: DateTime = text.parse().unwrap();
    Timestamp(local.to_zoned(TimeZone::get(zone).unwrap()).unwrap().timestamp().as_microsecond())
}

/// A counter of the day in `zone`, read each `every`: one unit a minute since its own last midnight, which is `late` after
/// that of the plant.
fn counter(zone: &str, days: (&str, &str), every: i64, late: i64) -> Vec<Reading> {
    let (from, to) = (at(zone, days.0), at(zone, days.1));
    let tz = TimeZone::get(zone).unwrap();
    let register = |time: i64| {
        let own = jiff::Timestamp::from_microsecond(time - late).unwrap().to_zoned(tz.clone());
        let midnight = own.start_of_day().unwrap().timestamp().as_microsecond();
        (time - late - midnight) / MINUTE
    };
    let readings = (from.0..=to.0).step_by(usize::try_from(every).unwrap());
    readings
        .map(|time| Reading { time: Timestamp(time), ..reading("00:00", register(time)) })
        .collect()
}

fn index_in(zone: &str, lines: &str, readings: &[Reading]) -> (Plant, Index) {
    let plant = plant(zone, lines);
    let meter = &plant.meters[0];
    let streamed = streamed_of(meter, readings);
    let readings = MeterReadings {
        meter: meter.id.clone(),
        exponent: 0,
        unit: Unit::KilowattHour,
        modulus: None,
        readings: readings.iter().rev().copied().collect(),
    };
    let whole = Index::build(meter, THREE_DAYS, &readings).unwrap();
    for day in ["2024-03-09", "2024-03-10", "2024-03-31", "2024-10-27"] {
        let span = day.parse::<crate::Period>().unwrap().span(&plant.time_zone);
        assert_eq!(whole.energy(span), streamed.energy(span));
        assert_eq!(whole.slots(span), streamed.slots(span));
        assert_eq!(whole.segments(span), streamed.segments(span));
    }
    assert_eq!(whole.counts(), streamed.counts());
    (plant, streamed)
}

fn day(index: &Index, zone: &str, text: &str) -> PeriodEnergy {
    let span = text.parse::<crate::Period>().unwrap().span(&TimeZone::get(zone).unwrap());
    let energy = index.energy(span);
    let parts = index.segments(span).into_iter().map(|one| one.energy);
    assert_eq!(energy.energy, parts.reduce(|sum, one| sum + one), "{text}");
    energy
}

const CHINA: &str = "Asia/Shanghai";

/// 1 440 units a day; of the minutes before midnight the last reading tells nothing.
#[test]
fn a_counter_of_the_day_counts_each_day_from_zero() {
    for bound in ["", "rise_per_hour_max = 100\n"] {
        for (every, late) in [(1, 0), (1, 2), (1, -2), (5, 0), (5, 3), (7, -4), (15, 0), (15, 4)] {
            let days = ("2024-03-08 12:00", "2024-03-11 12:00");
            let readings = counter(CHINA, days, every * MINUTE, late * MINUTE);
            let (_, index) = index_in(CHINA, &format!("{DAILY}{bound}"), &readings);
            let energy = day(&index, CHINA, "2024-03-09");
            let found = number(&energy);
            let least = Number::new(i128::from(1440 - every - late.abs()), 0);
            let text = format!("{every} {late} {bound} {energy:?}");
            assert!(found >= least && found <= Number::new(1440, 0), "{text}");
            assert_eq!((energy.resets, energy.class), (1, Class::Metered), "{text}");
            let unread = energy.unread_before_resets_us;
            assert!(unread <= every * MINUTE, "{text}");
            // What nobody read is missing, and the figure says so.
            assert_eq!(energy.complete, unread == 0, "{text}");
            assert_eq!(energy.coverage.covered, 96 - u64::from(unread > 0), "{text}");
            assert_eq!(index.counts().untrusted, 0, "{text}");
        }
    }
}

/// What was counted is the last reading before the reset and the first one after it, and never more.
#[test]
fn around_a_reset_nothing_is_counted_that_no_reading_shows() {
    let readings = vec![
        reading("2024-03-09 23:38", 80),
        reading("2024-03-09 23:53", 96),
        reading("2024-03-10 00:08", 3),
        reading("2024-03-10 00:23", 20),
    ];
    let (_, index) = index_in(CHINA, DAILY, &readings);
    let energy = index.energy(from_to("2024-03-09 23:38", "2024-03-10 00:23"));
    assert_eq!(text(&energy).as_deref(), Some("36"));
    assert_eq!((energy.resets, energy.unread_before_resets_us), (1, 7 * MINUTE));
    assert!(!energy.complete && energy.open_gaps.is_empty());
    // What was counted after midnight belongs to the new day, and the old one ends with what was read last.
    let old = index.energy(from_to("2024-03-09 23:38", "2024-03-10 00:00"));
    assert_eq!((text(&old).as_deref(), old.resets), (Some("16"), 1));
    assert_eq!(old.end_reading, Some(Number::new(96, 0)));
    let (at, before) = (time("2024-03-10 00:00"), time("2024-03-09 23:53"));
    assert_eq!(old.end, Some(Border::Reset { at, before }), "no reading is of midnight");
    let new = index.energy(from_to("2024-03-10 00:00", "2024-03-10 00:23"));
    assert_eq!((text(&new).as_deref(), new.resets), (Some("20"), 0));
    assert_eq!(new.start_reading, Some(Number::zero()));
}

#[test]
fn a_pause_over_midnight_leaves_an_open_gap_in_the_old_day_and_none_in_the_new_one() {
    let mut readings = counter(CHINA, ("2024-03-08 12:00", "2024-03-11 12:00"), 15 * MINUTE, 0);
    let (from, to) = (time("2024-03-09 20:00"), time("2024-03-10 02:00"));
    readings.retain(|one| one.time <= from || to <= one.time);
    let (_, index) = index_in(CHINA, DAILY, &readings);
    let old = day(&index, CHINA, "2024-03-09");
    assert_eq!(text(&old).as_deref(), Some("1200"));
    assert!(!old.complete);
    let midnight = time("2024-03-10 00:00");
    assert_eq!(between(&old), [(from, midnight)]);
    let new = day(&index, CHINA, "2024-03-10");
    assert_eq!(text(&new).as_deref(), Some("1425"));
    // It ends with a reset of its own, 15 minutes after its last reading.
    assert!(new.open_gaps.is_empty() && new.coverage.covered == 96 - 8 - 1, "{new:?}");
    assert_eq!(new.unread_before_resets_us, 15 * MINUTE);
}

/// After a night without readings the register may show more than before: whether it was set back, readings alone cannot
/// tell, and with the most that the meter can count they do.
#[test]
fn a_higher_reading_after_midnight_is_no_plain_rise() {
    let readings = vec![
        reading("2024-03-09 19:45", 19),
        reading("2024-03-09 20:00", 20),
        reading("2024-03-10 10:00", 30),
        reading("2024-03-10 10:15", 31),
    ];
    let span = from_to("2024-03-09 20:00", "2024-03-10 10:15");
    let (_, index) = index_in(CHINA, DAILY, &readings);
    let energy = index.energy(span);
    assert_eq!((text(&energy).as_deref(), energy.complete), (Some("1"), false));
    let (_, index) = index_in(CHINA, &format!("{DAILY}rise_per_hour_max = 4\n"), &readings);
    let energy = index.energy(span);
    assert_eq!((text(&energy).as_deref(), energy.complete), (Some("31"), false));
    let midnight = time("2024-03-10 00:00");
    assert_eq!(between(&energy), [(time("2024-03-09 20:00"), midnight)]);
    // A register that is never set back, whatever its plant file says, is not counted whole.
    let wrong: Vec<Reading> =
        readings.iter().map(|one| Reading { mantissa: one.mantissa + 100_000, ..*one }).collect();
    let (_, index) = index_in(CHINA, &format!("{DAILY}rise_per_hour_max = 4\n"), &wrong);
    assert_eq!(text(&index.energy(span)).as_deref(), Some("1"));
}

/// The register stands at zero over the week end.
#[test]
fn a_counter_that_stands_at_zero_is_zero_and_complete() {
    let readings = counter(CHINA, ("2024-03-08 12:00", "2024-03-11 12:00"), 15 * MINUTE, 0);
    let still: Vec<Reading> = readings.iter().map(|one| Reading { mantissa: 0, ..*one }).collect();
    let (_, index) = index_in(CHINA, DAILY, &still);
    let energy = day(&index, CHINA, "2024-03-09");
    assert_eq!(text(&energy).as_deref(), Some("0"));
    assert!(energy.complete && energy.coverage.is_full());
}

/// A day that is known by two readings rises by all of it at once, and is no spike.
#[test]
fn a_large_step_before_a_reset_is_no_spike() {
    let readings = vec![
        reading("2024-03-08 23:50", 90),
        reading("2024-03-09 00:05", 0),
        reading("2024-03-09 20:00", 100),
        reading("2024-03-09 23:50", 101),
        reading("2024-03-10 00:05", 0),
        reading("2024-03-10 00:20", 1),
    ];
    let (_, index) = index_in(CHINA, DAILY, &readings);
    let energy = day(&index, CHINA, "2024-03-09");
    assert_eq!((text(&energy).as_deref(), energy.open_gaps.len()), (Some("101"), 0));
    // Nor is the reset a dip because the next day soon stands higher.
    let mut steep = readings.clone();
    steep[2].mantissa = 300;
    steep[3].mantissa = 301;
    let (_, index) = index_in(CHINA, DAILY, &steep);
    assert_eq!(text(&day(&index, CHINA, "2024-03-09")).as_deref(), Some("301"));
}

#[test]
fn dips_and_spikes_at_the_time_of_a_reset_count_nothing() {
    for off in [0, 5_000] {
        for bound in ["", "rise_per_hour_max = 100\n"] {
            let mut readings = counter(CHINA, ("2024-03-08 12:00", "2024-03-11 12:00"), MINUTE, 0);
            for one in &mut readings {
                if one.time == time("2024-03-09 23:57") {
                    one.mantissa = off;
                }
            }
            let (_, index) = index_in(CHINA, &format!("{DAILY}{bound}"), &readings);
            let energy = day(&index, CHINA, "2024-03-09");
            assert_eq!(text(&energy).as_deref(), Some("1439"), "{off} {bound}");
            assert_eq!((energy.resets, index.counts().untrusted), (1, 1), "{off} {bound}");
        }
    }
}

/// A fall at another time is a power cut or a new meter, and stays a task for the operator.
#[test]
fn a_fall_at_another_time_stays_an_open_gap() {
    for (before, after) in [("10:00", "10:01"), ("23:53", "23:54"), ("00:06", "00:07")] {
        let readings = vec![reading(before, 96), reading(after, 2), reading("23:59", 90)];
        let span = Span { from: readings[0].time, to: readings[1].time };
        let (_, index) = index_in(CHINA, DAILY, &readings);
        let energy = index.energy(span);
        assert_eq!((energy.open_gaps.len(), energy.resets), (1, 0), "{before}");
    }
    // Each midnight has one reset: of two falls the second is unknown, or what rose between them a spike.
    let twice: Vec<Reading> =
        [("2024-03-09 23:57", 96), ("2024-03-09 23:59", 0), ("00:02", 3), ("00:04", 1)]
            .map(|(at, digits)| reading(at, digits))
            .into();
    for (bound, known, gaps) in [("rise_per_hour_max = 100\n", "3", 1), ("", "1", 0)] {
        let (_, index) = index_in(CHINA, &format!("{DAILY}{bound}"), &twice);
        let energy = index.energy(from_to("2024-03-09 23:57", "00:04"));
        assert_eq!((text(&energy).as_deref(), energy.open_gaps.len()), (Some(known), gaps));
    }
}

/// Days of 23 and 25 hours begin at midnight like the others.
#[test]
fn a_reset_keeps_to_local_midnight_when_clocks_change() {
    for (zone, from, date, to, units) in [
        ("Europe/Berlin", "2024-03-29 12:00", "2024-03-31", "2024-04-02 12:00", 23 * 60),
        ("Europe/Berlin", "2024-10-25 12:00", "2024-10-27", "2024-10-29 12:00", 25 * 60),
        // There is no 00:00 on this day: it begins at 01:00.
        ("America/Asuncion", "2024-10-04 12:00", "2024-10-06", "2024-10-08 12:00", 23 * 60),
    ] {
        let (_, index) = index_in(zone, DAILY, &counter(zone, (from, to), MINUTE, 0));
        let energy = day(&index, zone, date);
        assert_eq!(text(&energy), Some((units - 1).to_string()), "{zone} {date}");
        assert!(energy.open_gaps.is_empty() && energy.resets == 1);
        assert_eq!(energy.coverage.covered + 1, energy.coverage.expected, "{zone} {date}");
    }
}

#[test]
fn a_counter_of_the_month_is_set_back_on_its_first_day_alone() {
    let readings: Vec<Reading> = [
        ("2024-02-28 23:55", 800),
        ("2024-02-29 00:05", 801),
        ("2024-02-29 23:55", 830),
        ("2024-03-01 00:05", 1),
        ("2024-03-02 00:00", 30),
    ]
    .map(|(at, digits)| reading(at, digits))
    .into();
    let (_, index) = index_in(CHINA, "resets = \"monthly\"\n", &readings);
    let energy = index.energy(from_to("2024-02-28 23:55", "2024-03-02 00:00"));
    assert_eq!((text(&energy).as_deref(), energy.resets), (Some("60"), 1));
    assert_eq!(energy.unread_before_resets_us, 5 * MINUTE);
    assert!(!energy.complete && energy.open_gaps.is_empty());
}

fn named(zone: &str, lines: &str, readings: &[Reading]) -> Vec<String> {
    let (plant, index) = index_in(zone, lines, readings);
    let problems = plant.check_resets(&Meters::of([index]));
    assert!(!problems.is_fatal());
    problems
        .0
        .iter()
        .map(|one| format!("{} {} {}", one.code, one.message, one.help.clone().unwrap_or_default()))
        .collect()
}

#[test]
fn a_register_that_falls_each_midnight_is_named_once_with_the_setting() {
    let days = ("2024-03-05 12:00", "2024-03-11 12:00");
    for (every, late) in [(1, 0), (15, 3), (60, -2)] {
        let readings = counter(CHINA, days, every * MINUTE, late * MINUTE);
        let found = named(CHINA, "", &readings);
        let [one] = found.as_slice() else { panic!("{every} {late}: {found:?}") };
        assert!(
            one.starts_with("EN-C107 meter `m`: its register falls to near zero at about midnight")
        );
        assert!(one.contains("`resets = \"daily\"`"), "{one}");
        // Once it is written, nothing is left to say.
        if every < 60 {
            assert!(named(CHINA, DAILY, &readings).is_empty());
        }
    }
    // A meter whose clock is eight hours off.
    let found = named(CHINA, DAILY, &counter(CHINA, days, MINUTE, 8 * HOUR));
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert!(one.contains("at about 08:00") && one.contains("midnight in Asia/Shanghai"), "{one}");
    // One fall is an event, and a fall to most of the register no reset.
    let once = counter(CHINA, ("2024-03-09 12:00", "2024-03-10 12:00"), MINUTE, 0);
    assert!(named(CHINA, "", &once).is_empty());
    let dips: Vec<Reading> = counter(CHINA, days, MINUTE, 0)
        .iter()
        .map(|one| Reading { mantissa: one.mantissa + 1_000, ..*one })
        .collect();
    assert!(named(CHINA, "", &dips).is_empty());
}
