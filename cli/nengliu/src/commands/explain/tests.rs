//! The words of `explain`: what is printed is enough to compute the figure again by hand.

use config::SourceFile;
use energy::{Facts, Inputs, MeterReadings, Meters, Reading};
use model::{Generation, Quality, Sequence, Unit};

use super::*;

const PLANT: &str = r#"
[plant]
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"

[[energy_kind]]
id = "electricity"
unit = "kWh"

[[meter]]
id = "main"
point = "acme/nb-1/main/e_import"
energy_kind = "electricity"
role = "incoming"
unit = "kWh"
"#;

/// The explanation of 2018-01-01 for readings at full quarters of an hour (hour × 4 + quarter, register).
fn words(meter: &str, readings: &[(i64, i64)]) -> String {
    let plant = Plant::read(&SourceFile::new("plant.toml", format!("{PLANT}{meter}")));
    let plant = plant.unwrap_or_else(|problems| panic!("{problems}"));
    let midnight: jiff::Timestamp = "2018-01-01T00:00:00+08:00".parse().unwrap();
    let reading = |&(quarter, register): &(i64, i64)| Reading {
        time: Timestamp(midnight.as_microsecond() + quarter * 900_000_000),
        mantissa: register,
        quality: Quality::GOOD,
        generation: Generation(1),
        sequence: Sequence(1),
    };
    let of_meter = MeterReadings {
        meter: plant.meters[0].id.clone(),
        exponent: 0,
        unit: Unit::KilowattHour,
        modulus: None,
        readings: readings.iter().map(reading).collect(),
    };
    let meters = Meters::build(&plant, &[of_meter]).unwrap();
    let facts = Facts::read(&plant, &[]).unwrap();
    let inputs = Inputs { plant: &plant, facts: &facts, meters: &meters, commit: None };
    let table =
        energy::table1(&inputs, "2018-01-01".parse().unwrap(), energy::BasisChoice::Equivalent)
            .unwrap();
    in_words(&table.explanations["table1/2018-01-01/electricity/quantity"])
}

/// A register that stands at `register(quarter)` in each quarter of the day.
fn whole_day(register: impl Fn(i64) -> i64) -> Vec<(i64, i64)> {
    (0..=96).map(|quarter| (quarter, register(quarter))).collect()
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|one| one.trim() == line), "no line `{line}` in:\n{text}");
}

#[test]
fn a_replacement_and_a_change_of_ratio_are_printed_with_the_readings_on_either_side() {
    let events = r#"
[[meter.ratio]]
ct = "40"

[[meter.ratio]]
from = "2018-01-01T12:00:00+08:00"
ct = "60"

[[meter.replacement]]
at = "2018-01-01T12:00:00+08:00"
old_final = 81250
new_initial = 5
"#;
    let register = |quarter: i64| match quarter {
        ..48 => 81_000 + quarter * 5,
        _ => 5 + (quarter - 48) * 125 / 48,
    };
    let text = words(events, &whole_day(register));
    has(&text, "table1/2018-01-01/electricity/quantity = 17500 kWh".trim());
    has(
        &text,
        "2017-12-31T16:00:00.000000Z to 2018-01-01T04:00:00.000000Z: (81250 − 81000) × ratio 40 = 10000 kWh",
    );
    has(
        &text,
        "replaced at 2018-01-01T04:00:00.000000Z: the old meter ended at 81250, the new one began at 5",
    );
    has(
        &text,
        "2018-01-01T04:00:00.000000Z to 2018-01-01T16:00:00.000000Z: (130 − 5) × ratio 60 = 7500 kWh",
    );
}

#[test]
fn a_rollover_is_printed_with_its_modulus() {
    let meter = "modulus = 1000\nrise_per_hour_max = 100\n";
    let text = words(meter, &whole_day(|quarter| (950 + quarter) % 1_000));
    has(
        &text,
        "2017-12-31T16:00:00.000000Z to 2018-01-01T16:00:00.000000Z: (46 − 950 + 1 × modulus 1000) × ratio 1 = 96 kWh",
    );
    has(&text, "class        rollover: derived from the modulus");
}

#[test]
fn an_open_gap_is_named() {
    let text = words("", &[(0, 500), (1, 510), (40, 100), (96, 200)]);
    assert!(text.contains("open gap from 2017-12-31T16:15:00.000000Z to "), "{text}");
}

/// "from no reading to no reading" was said of a day with one.
#[test]
fn the_readings_of_a_day_without_energy_are_named() {
    let check = |readings: &[(i64, i64)], expected: &str| {
        let text = words("", readings);
        has(&text, &format!("meter        main (acme/nb-1/main/e_import): unknown; {expected}"));
        has(&text, &format!("note         unknown: no energy of meter `main`: {expected}"));
    };
    check(
        &[(4, 500)],
        "one reading, at 2017-12-31T17:00:00.000000Z: energy is the difference of two",
    );
    check(
        &[(4, 500), (8, 100)],
        "readings from 2017-12-31T17:00:00.000000Z to 2017-12-31T18:00:00.000000Z, between which nothing is known",
    );
    // The plant's day is another one than that of the times.
    check(
        &[(-4, 600), (100, 100), (104, 200)],
        "no reading from 2017-12-31T16:00:00.000000Z to 2018-01-01T16:00:00.000000Z, the last one before is at \
         2017-12-31T15:00:00.000000Z, the first one after is at 2018-01-01T17:00:00.000000Z",
    );
}

/// Readings that were put aside were counted and not named.
#[test]
fn what_was_put_aside_is_listed_with_its_reason() {
    let shown = |quarter: i64| match quarter {
        40..44 => 9_999_999,
        60 => -5,
        70 => 0,
        _ => 1_000 + quarter,
    };
    let strike = "\n[[strike]]\nmeter = \"main\"\nfrom = 2018-01-01T20:00:00\nto = 2018-01-01T20:30:00\nreason = \"wrong address\"\n";
    let text = words(strike, &whole_day(shown));
    has(&text, "table1/2018-01-01/electricity/quantity = 96 kWh");
    has(
        &text,
        "4 readings from 2018-01-01T02:00:00.000000Z to 2018-01-01T02:45:00.000000Z put aside: the register fell again",
    );
    has(&text, "1 reading at 2018-01-01T07:00:00.000000Z put aside: no counter is below zero");
    has(&text, "1 reading at 2018-01-01T09:30:00.000000Z put aside: the register rose again");
    has(
        &text,
        "2 readings from 2018-01-01T12:00:00.000000Z to 2018-01-01T12:15:00.000000Z put aside: struck out, wrong address",
    );
}

/// The bound that steps were compared with is printed, and the readings on both sides of what is beyond it.
#[test]
fn a_jump_is_printed_with_its_readings_and_the_bound() {
    let jump = |quarter: i64| 810_000 + quarter * 15 + if quarter > 40 { 800_000 } else { 0 };
    let text = words("", &whole_day(jump));
    has(
        &text,
        "energy up to 1200 kWh in an hour (20 times 60, what it reaches in three quarters of an hour)",
    );
    has(
        &text,
        "open gap from 2018-01-01T02:00:00.000000Z to 2018-01-01T02:15:00.000000Z: no energy is known; the register rose by \
         more than is plausible, from 810600 to 1610615",
    );
    assert!(text.contains("state `rise_per_hour_max`"), "{text}");
    let text = words("rise_per_hour_max = 100\n", &whole_day(|quarter| quarter));
    has(&text, "energy up to 100 kWh in an hour (as the plant file states)");
}

#[test]
fn a_replacement_that_does_not_fit_is_printed_with_the_readings() {
    let event = "[[meter.replacement]]\nat = 2018-01-01T10:07:00+08:00\nold_final = 912345\nnew_initial = 12\n";
    let text = words(event, &whole_day(|quarter| 810_000 + quarter * 15));
    has(&text, "table1/2018-01-01/electricity/quantity = 1440 kWh");
    has(
        &text,
        "replacement typed for 2018-01-01T02:07:00.000000Z (the old meter ended at 912345, the new one began at 12) is not \
         applied: the register goes on without it, 810600 at 2018-01-01T02:00:00.000000Z, 810615 at 2018-01-01T02:15:00.000000Z",
    );
    assert!(!text.contains("replaced at"), "{text}");
}
