//! Table 1 of registers that stand still, as the OPC UA driver hands them over: the value again once in each slot, with the
//! time at which the server last stood by it (trial 05).

use super::*;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What the driver says of a register that stands at `digits` from one day of the year to another: the first keep-alive of
/// each slot, here 12 s after its border, tells what holds less the second of the way to us.
fn standing(days: std::ops::Range<i64>, digits: i64) -> Vec<(i64, Option<i64>)> {
    let slots = days.start * 96..days.end * 96;
    slots.map(|slot| (YEAR_START.0 + slot * SLOT_US + 11 * SECOND, Some(digits))).collect()
}

/// The figure of electricity: value, share covered, whether it is complete.
fn check(samples: &[Vec<(i64, Option<i64>)>], period: &str, expected: (&str, &str, bool)) {
    let found = figure(&store_of(samples), &plant(PLANT), period);
    let value = found.exact().map(ToString::to_string).unwrap_or_default();
    let coverage = found.coverage_percent.clone().unwrap_or_default();
    assert_eq!((value.as_str(), coverage.as_str(), found.complete), expected, "{period} {found:?}");
}

#[test]
fn a_subscribed_register_that_stands_still_for_a_day_is_0_kwh_and_covered() {
    check(&[standing(-1..2, 100_000)], "2018-01-01", ("0", "100.0", true));
    // One reading alone, as before the driver said it again, tells nothing.
    check(&[vec![(YEAR_START.0 + 11 * SECOND, Some(100_000))]], "2018-01-01", ("", "0.0", false));
}

/// The register stands for five days over the end of January, longer than an index is interpolated, and moves again.
#[test]
fn a_stop_of_more_than_three_days_over_the_end_of_a_month_leaves_both_months_complete() {
    let rise = |days: std::ops::Range<i64>, begin: i64| -> Vec<(i64, Option<i64>)> {
        let minute =
            |at: i64| (YEAR_START.0 + days.start * DAY + at * 60 * SECOND, Some(begin + at));
        (0..(days.end - days.start) * 1_440).map(minute).collect()
    };
    // Hundredths: 14.40 kWh a day.
    let stop = 29 * 1_440 + 100_000 + 1_440;
    let before = rise(-1..29, 100_000);
    let after = rise(34..61, stop);
    let samples = [before, standing(29..34, stop), after];
    // Of January 29 days of 14.40 kWh; of February 25.
    check(&samples, "2018-01", ("417.6", "100.0", true));
    check(&samples, "2018-02", ("360", "100.0", true));
    // Without what stands between them no figure has an index at the border.
    let [before, _, after] = samples;
    let found = figure(&store_of(&[before, after]), &plant(PLANT), "2018-01");
    assert!(!found.complete, "{found:?}");
}

/// A history of one reading an hour gives the energy of the whole day and covers it. No slot of 15 minutes has a reading at
/// both borders, so none has energy of its own; what the subscription adds gives them theirs.
#[test]
fn an_hourly_history_gives_the_energy_of_the_day_and_the_subscription_its_slots() {
    let hourly: Vec<(i64, Option<i64>)> =
        (-24..=48).map(|at| (YEAR_START.0 + at * DAY / 24, Some(100_000 + at * 100))).collect();
    check(std::slice::from_ref(&hourly), "2018-01-01", ("24", "100.0", true));
    // An hour that is missing is not covered.
    let mut less = hourly.clone();
    less.remove(24 + 12);
    check(&[less], "2018-01-01", ("24", "91.6", true));
    let quarter = |at: i64| (YEAR_START.0 + at * SLOT_US + 11 * SECOND, Some(100_000 + at * 25));
    let subscribed: Vec<(i64, Option<i64>)> =
        (-96..=192).filter(|at| at % 4 != 0).map(quarter).collect();
    check(&[hourly, subscribed], "2018-01-01", ("24", "100.0", true));
}
