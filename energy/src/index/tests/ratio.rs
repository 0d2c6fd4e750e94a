//! Ratios that were typed with a slipped digit, or for the wrong time.

use super::*;

const MINUTE: i64 = 60_000_000;

/// Four days of 10 000 W or so behind transformers of 40 and, from noon of the second day on, `then`.
fn readings(then: i64) -> Vec<Reading> {
    let from = time("2024-03-09 00:00");
    let changed = time("2024-03-10 12:00");
    let mut register = 1_000_000;
    (0..4 * 96)
        .map(|at| {
            let time = Timestamp(from.0 + at * 15 * MINUTE);
            register += if time <= changed { 25_000 / 40 } else { 25_000 / then };
            Reading { time, ..reading("00:00", register) }
        })
        .collect()
}

fn notes(ratio: &str, at: &str, readings: &[Reading]) -> Vec<String> {
    let lines = format!(
        "[[meter.ratio]]\nct = 40\n[[meter.ratio]]\nfrom = 2024-03-10T{at}:00+08:00\nct = {ratio}\n"
    );
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    let span = from_to("2024-03-10 00:00", "2024-03-11 00:00");
    let notes = streamed_of(&meter(&lines), readings).ratio_notes(span, &zone);
    notes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_ratio_that_the_register_does_not_show_is_doubted() {
    // Transformers of 400 make the register ten times slower.
    assert_eq!(notes("400", "12:00", &readings(400)), [""; 0]);
    // Nothing was changed, or a digit slipped.
    let told = "the ratio changes from 40 to 400 at 2024-03-10 12:00, and the register goes on rising as before: check `ct`, \
                `pt` and `from`";
    assert_eq!(notes("400", "12:00", &readings(40)), [told]);
    assert_eq!(notes("400", "12:00", &readings(60)), [told]);
    assert_eq!(notes("4", "12:00", &readings(40)).len(), 1);
    // A day too late.
    assert_eq!(notes("400", "23:00", &readings(400)).len(), 0, "half of that day was before");
    // What readings cannot tell: 60 for 40 is a load that changed, too.
    assert_eq!(notes("60", "12:00", &readings(40)), [""; 0]);
}
