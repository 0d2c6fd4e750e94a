//! Replacements that were typed at another meter, another time or with a slipped digit (trial fig-03).

use super::*;

const MINUTE: i64 = 60_000_000;

/// 1 kWh a minute for three days, read each 15 minutes; from `exchanged` on (if at all) by a new meter that began at 12.
fn readings(exchanged: Option<&str>) -> Vec<Reading> {
    let from = time("2024-03-09 00:00");
    let of = |at: i64| {
        let time = Timestamp(from.0 + at * 15 * MINUTE);
        let old = 809_000 + at * 15;
        let new = |since: Timestamp| 12 + time.micros_since(since) / MINUTE;
        let since = exchanged.map(self::time).filter(|since| *since <= time);
        Reading { time, ..reading("00:00", since.map_or(old, new)) }
    };
    (0..3 * 96).map(of).collect()
}

fn event(at: &str, old_final: &str, new_initial: &str) -> String {
    format!(
        "[[meter.replacement]]\nat = {at}:00+08:00\nold_final = {old_final}\nnew_initial = {new_initial}\n"
    )
}

struct Found {
    energy: Option<String>,
    gaps: usize,
    verdicts: Vec<Verdict>,
    notes: Vec<String>,
}

fn found(lines: &str, readings: &[Reading]) -> Found {
    let span = from_to("2024-03-10 00:00", "2024-03-11 00:00");
    let index = index_of(lines, 0, readings.to_vec());
    let streamed = streamed_of(&meter(lines), readings);
    assert_eq!(index.energy(span), streamed.energy(span), "{lines}");
    let energy = index.energy(span);
    let findings = index.findings(from_to("2024-03-09 00:00", "2024-03-12 00:00"));
    assert_eq!(streamed.findings(span), index.findings(span));
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    Found {
        energy: text(&energy),
        gaps: energy.open_gaps.len(),
        verdicts: findings.iter().map(|one| one.verdict).collect(),
        notes: findings.iter().map(|one| one.note(&zone).to_string()).collect(),
    }
}

#[test]
fn fig_03_a_replacement_typed_at_another_meter_is_not_applied() {
    for (at, old, new) in [
        ("2024-03-10T10:07", "912345.00", "12.00"),
        // Relatives: of a smaller meter, and at the very instant of a reading.
        ("2024-03-10T10:07", "4711", "3"),
        ("2024-03-10T10:00", "912345", "12"),
        ("2024-03-10T10:07", "912345", "900000"),
    ] {
        let one = found(&event(at, old, new), &readings(None));
        assert_eq!((one.energy.as_deref(), one.gaps), (Some("1440"), 0), "{at} {old} {new}");
        assert_eq!(one.verdicts, [Verdict::NotApplied]);
    }
    let one = found(&event("2024-03-10T10:07", "912345.00", "12.00"), &readings(None));
    assert_eq!(
        one.notes,
        [
            "the replacement typed for 2024-03-10 10:07 (912345, then 12) is not applied: the register goes on without it, \
          from 811040 at 2024-03-10 10:00 to 811055 at 2024-03-10 10:15; correct or delete it"
        ]
    );
}

#[test]
fn a_replacement_typed_early_or_late_is_placed_where_the_readings_show_it() {
    let readings = readings(Some("2024-03-10 10:07"));
    let right = found(&event("2024-03-10T10:07", "811047", "12"), &readings);
    assert_eq!((right.energy.as_deref(), right.gaps), (Some("1440"), 0));
    assert_eq!(right.verdicts, []);
    for at in [
        "2024-03-10T13:00",
        "2024-03-10T10:40",
        "2024-03-10T10:15",
        "2024-03-10T09:30",
        "2024-03-10T02:00",
        "2024-03-11T18:00",
    ] {
        let one = found(&event(at, "811047", "12"), &readings);
        assert_eq!((one.energy.as_deref(), one.gaps), (Some("1440"), 0), "{at} {:?}", one.notes);
        // Between the same two readings it is right.
        if at.ends_with("T10:15") {
            continue;
        }
        assert_eq!(one.verdicts, [Verdict::Placed], "{at}");
        assert!(one.notes[0].contains("is counted at 2024-03-10 10:07:30"), "{:?}", one.notes);
    }
}

/// Zero is read while the meter is exchanged.
#[test]
fn zeros_during_the_exchange_are_no_reading_of_either_meter() {
    let mut readings = readings(Some("2024-03-10 10:07"));
    for one in readings.iter_mut().skip(96 + 40).take(4) {
        one.mantissa = 0;
    }
    for at in ["2024-03-10T10:07", "2024-03-10T10:37", "2024-03-10T15:00"] {
        let one = found(&event(at, "811047", "12"), &readings);
        assert_eq!((one.energy.as_deref(), one.gaps), (Some("1440"), 0), "{at} {:?}", one.notes);
    }
}

/// A slipped digit fits nowhere: what it would add is an open gap, and the rest of the day counts.
#[test]
fn a_slipped_digit_is_an_open_gap_that_names_the_readings() {
    let readings = readings(Some("2024-03-10 10:07"));
    for (old, new, expected) in [
        // Seven minutes before the exchange, and eight after it.
        ("8110470", "12", "1433"),
        ("81104", "12", "1433"),
        ("811047", "120000", "1432"),
        ("911047", "12", "1433"),
    ] {
        let one = found(&event("2024-03-10T10:07", old, new), &readings);
        assert_eq!((one.energy.as_deref(), one.gaps), (Some(expected), 1), "{old} {new}");
        assert_eq!(one.verdicts, [Verdict::Contradicted]);
        assert!(one.notes[0].contains("811040 at 2024-03-10 10:00"), "{:?}", one.notes);
    }
}

/// Nobody typed the exchange of a meter: the fall is an open gap as ever, and an event of another year changes nothing.
#[test]
fn an_event_elsewhere_changes_nothing() {
    let readings = readings(Some("2024-03-10 10:07"));
    let one = found("", &readings);
    assert_eq!((one.energy.as_deref(), one.gaps), (Some("1425"), 1));
    // Nor does the event itself, typed for a time without readings around it: the readings alone are no evidence then.
    for (at, old, new) in [("2021-03-10T10:07", "500", "1"), ("2024-04-10T10:07", "811047", "12")] {
        let one = found(&event(at, old, new), &readings);
        assert_eq!((one.energy.as_deref(), one.gaps), (Some("1425"), 1), "{at}");
    }
    // A month early: the new meter cannot have counted as much since then.
    let one = found(&event("2024-02-10T10:07", "811047", "12"), &readings);
    assert_eq!((one.energy.as_deref(), one.gaps), (Some("1440"), 0));
}

/// Two exchanges, one of them typed late.
#[test]
fn each_of_two_replacements_is_judged_by_itself() {
    let mut readings = readings(Some("2024-03-10 10:07"));
    for one in readings.iter_mut().filter(|one| one.time >= time("20:00")) {
        one.mantissa = 5 + one.time.micros_since(time("20:00")) / MINUTE;
    }
    let second = event("2024-03-10T20:00", "605", "5");
    for at in ["2024-03-10T10:07", "2024-03-10T12:00"] {
        let one = found(&(event(at, "811047", "12") + &second), &readings);
        assert_eq!((one.energy.as_deref(), one.gaps), (Some("1440"), 0), "{at} {:?}", one.notes);
    }
}

/// People read whole units off a display, and the last reading is a fraction above it, which was an open gap.
#[test]
fn a_final_index_in_whole_units_fits_a_reading_with_a_fraction() {
    let from = time("2024-03-09 00:00");
    let exchanged = time("2024-03-10 10:07");
    let readings: Vec<Reading> = (0..3 * 96)
        .map(|at| {
            let time = Timestamp(from.0 + at * 15 * MINUTE);
            let minutes = time.micros_since(exchanged) / MINUTE;
            let digits =
                if time <= exchanged { 8_110_479 + minutes * 10 } else { 126 + minutes * 10 };
            Reading { time, ..reading("00:00", digits) }
        })
        .chain([Reading { time: exchanged, ..reading("00:00", 8_110_479) }])
        .collect();
    let before = Timestamp(exchanged.0 - 1_000_000);
    let mut readings = readings;
    readings.push(Reading { time: before, ..reading("00:00", 8_110_479) });
    for (at, verdicts) in
        [("2024-03-10T10:07", vec![]), ("2024-03-10T17:00", vec![Verdict::Placed])]
    {
        let index = index_of(&event(at, "811047", "12"), -1, readings.clone());
        let energy = index.energy(from_to("2024-03-10 00:00", "2024-03-11 00:00"));
        // The new meter began at 12.6 and is counted from 12 on.
        assert_eq!((text(&energy).as_deref(), energy.complete), (Some("1440.6"), true), "{at}");
        let found: Vec<Verdict> = index
            .findings(from_to("2024-03-09 00:00", "2024-03-12 00:00"))
            .iter()
            .map(|one| one.verdict)
            .collect();
        assert_eq!(found, verdicts, "{at}");
    }
}
