//! Days of a register, by a clock of the test.

use std::collections::BTreeSet;

use model::{PointIndex, Quality, Value};

use super::*;

const MINUTE: i64 = 60 * SECOND_MICROS;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-28T00:00:00Z, the border of a slot.
const MIDNIGHT: i64 = 1_795_824_000 * SECOND_MICROS;
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Longest time between two readings around the border of a slot that `energy` takes for a covered border.
const NEIGHBOURS_MAX: i64 = 20 * MINUTE;

fn at(time: i64, arrives: i64, value: i64) -> Sample {
    let (time, arrives) = (Timestamp(time), Timestamp(arrives));
    Sample::new(PointIndex(0), time, arrives, Quality::GOOD, Value::Decimal(value))
}

fn known(heard: i64, behind_micros: i64) -> Known {
    Known::by_subscription(Timestamp(heard), TOLD_WITHIN, behind_micros)
}

/// Lets a day pass in which the server says every five seconds that nothing changed; gives what is said.
fn day(standing: &mut Standing, behind_micros: i64) -> Vec<Sample> {
    let beats = (-120..=24 * 720).map(|beat| MIDNIGHT + beat * 5 * SECOND_MICROS);
    beats.filter_map(|now| standing.due(known(now, behind_micros), Timestamp(now))).collect()
}

#[test]
fn a_register_that_stands_still_for_a_day_covers_each_of_its_96_slots_with_0_kwh() {
    // Changed for the last time three hours before.
    let mut standing = Standing::default();
    assert!(!standing.hear(&at(MIDNIGHT - 3 * HOUR, MIDNIGHT - 15 * MINUTE, 1_000), true));
    let said = day(&mut standing, 0);
    assert!(said.iter().all(|sample| sample.value == Some(Value::Decimal(1_000))));
    assert!(said.iter().all(|sample| sample.quality == Quality::GOOD));
    let times: Vec<i64> = said.iter().map(|sample| sample.source_time.0).collect();
    let slots: BTreeSet<i64> =
        times.iter().map(|time| (time - MIDNIGHT).div_euclid(15 * MINUTE)).collect();
    assert!((0..96).all(|slot| slots.contains(&slot)), "{slots:?}");
    assert!(said.len() <= 98, "{} readings", said.len());
    for border in (0..=95).map(|slot| MIDNIGHT + slot * 15 * MINUTE) {
        let before = times.iter().copied().filter(|time| *time <= border).max();
        let after = times.iter().copied().filter(|time| *time >= border).min();
        let (Some(before), Some(after)) = (before, after) else { panic!("no reading at {border}") };
        assert!(after - before <= NEIGHBOURS_MAX, "{before} {border} {after}");
    }
    // Never ahead of what is known.
    assert!(said.iter().all(|sample| sample.source_time < sample.gateway_time));
}

#[test]
fn nothing_is_said_of_a_value_that_the_server_does_not_stand_by() {
    let first = at(MIDNIGHT - HOUR, MIDNIGHT - HOUR, 1_000);
    let mut standing = Standing::default();
    assert_eq!(day(&mut standing, 0), []);
    standing.hear(&first, true);
    standing.forget(Timestamp(MIDNIGHT - HOUR));
    assert_eq!(day(&mut standing, 0), []);
    // The same reading again after a break is no new row, but it holds again.
    assert!(standing.hear(&at(MIDNIGHT - HOUR, MIDNIGHT, 1_000), true));
    let said = day(&mut standing, 0);
    assert!(!said.is_empty());
    let bad = Sample::without_value(
        PointIndex(0),
        Timestamp(MIDNIGHT),
        Timestamp(MIDNIGHT),
        Quality::BAD,
    );
    assert!(!standing.hear(&bad, true));
    assert_eq!(day(&mut standing, 0), []);
}

#[test]
fn the_quality_is_said_as_it_is() {
    let mut uncertain = at(MIDNIGHT - HOUR, MIDNIGHT - HOUR, 1_000);
    uncertain.quality = Quality::UNCERTAIN_LAST_USABLE_VALUE;
    let mut standing = Standing::default();
    standing.hear(&uncertain, true);
    let said = day(&mut standing, 0);
    assert!(said.iter().all(|sample| sample.quality == Quality::UNCERTAIN_LAST_USABLE_VALUE));
    assert!(said.len() >= 96);
    // That values before it were lost is said once.
    let mut over = at(MIDNIGHT - HOUR, MIDNIGHT - HOUR, 1_000);
    over.quality = Quality::GOOD_OVERFLOW;
    let mut standing = Standing::default();
    standing.hear(&over, true);
    assert!(day(&mut standing, 0).iter().all(|sample| sample.quality == Quality::GOOD));
}

#[test]
fn a_register_that_moves_needs_nothing() {
    let mut standing = Standing::default();
    for minute in 0..24 * 60 {
        let now = MIDNIGHT + minute * MINUTE;
        standing.hear(&at(now, now + SECOND_MICROS, minute), true);
        let heard = now + 5 * SECOND_MICROS;
        assert_eq!(standing.due(known(heard, 0), Timestamp(heard)), None);
    }
    // What a history brings counts as well.
    for minute in 0..24 * 60 {
        let now = MIDNIGHT + 24 * HOUR + minute * MINUTE;
        standing.say(Timestamp(now));
        assert_eq!(standing.due(known(now + SECOND_MICROS, 0), Timestamp(now)), None);
    }
}

/// However the server's clock stands: what is said of a standing register never lies after a change that follows.
#[test]
fn a_change_never_comes_before_what_was_said_of_the_value_before_it() {
    for (behind, source_behind) in
        [(0, 0), (7 * MINUTE, 7 * MINUTE), (-7 * MINUTE, -7 * MINUTE), (0, 4 * MINUTE)]
    {
        let mut standing = Standing::default();
        let mut times: Vec<(i64, i64)> = Vec::new();
        // Two changes show how late they come.
        for change in [-2, -1] {
            let now = MIDNIGHT + change * 20 * MINUTE;
            standing.hear(&at(now - source_behind, now + 2 * SECOND_MICROS, change), true);
        }
        for minute in 0..600 {
            let now = MIDNIGHT + minute * MINUTE;
            if minute % 47 == 46 {
                standing.hear(&at(now - source_behind, now + 2 * SECOND_MICROS, minute), true);
                times.push((now - source_behind, minute));
            } else {
                let said = standing.due(known(now, behind), Timestamp(now));
                times.extend(said.map(|sample| (sample.source_time.0, minute / 47 * 47 - 1)));
            }
        }
        assert!(times.len() > 40, "{}", times.len());
        assert!(times.is_sorted(), "{behind} {source_behind}: {times:?}");
    }
}

#[test]
fn a_clock_that_stands_or_is_wrong_is_named_and_a_slow_one_is_not() {
    let faults = |times: &[(i64, i64)]| {
        let mut standing = Standing::default();
        let changes = times.iter().zip(0..);
        for ((source, arrives), value) in changes {
            let sample =
                at(MIDNIGHT + source * SECOND_MICROS, MIDNIGHT + arrives * SECOND_MICROS, value);
            standing.hear(&sample, true);
        }
        standing.clock_fault()
    };
    assert_eq!(faults(&[(0, 0), (1, 2), (2, 3), (3, 4)]), None);
    assert_eq!(faults(&[(0, 20), (0, 40), (0, 60), (0, 80)]), Some(ClockFault::Frozen));
    // Whole seconds, and four values in each of them.
    assert_eq!(faults(&[(0, 0), (0, 0), (0, 1), (0, 1), (1, 1)]), None);
    let ahead = 7_200;
    let expected = Some(ClockFault::Ahead((ahead - 4) * SECOND_MICROS));
    assert_eq!(faults(&[(ahead, 4)]), expected);
    let behind: Vec<(i64, i64)> = (0..4).map(|n| (n, n + 8 * 3_600)).collect();
    assert_eq!(faults(&behind), Some(ClockFault::Behind(8 * HOUR)));
    // A standing register whose last change is long ago is no fault; neither is one late value.
    assert_eq!(faults(&[(0, 36_000)]), None);
    assert_eq!(faults(&[(0, 0), (10, 4_000), (4_100, 4_101)]), None);
}

#[test]
fn a_clock_that_goes_again_is_no_fault_any_more() {
    let mut standing = Standing::default();
    for change in 0..6 {
        standing.hear(&at(MIDNIGHT, MIDNIGHT + change * MINUTE, change), true);
    }
    assert_eq!(standing.clock_fault(), Some(ClockFault::Frozen));
    assert_eq!(standing.due(known(MIDNIGHT + HOUR, 0), Timestamp(MIDNIGHT + HOUR)), None);
    standing.hear(&at(MIDNIGHT + HOUR, MIDNIGHT + HOUR, 9), true);
    assert_eq!(standing.clock_fault(), None);
}

#[test]
fn a_value_is_not_said_again_before_it_stood_for_a_minute() {
    let mut standing = Standing::default();
    standing.hear(&at(MIDNIGHT - 30 * SECOND_MICROS, MIDNIGHT - 29 * SECOND_MICROS, 7), true);
    let due = |standing: &mut Standing, seconds: i64| {
        let now = MIDNIGHT + seconds * SECOND_MICROS;
        standing.due(known(now, 0), Timestamp(now))
    };
    assert_eq!(due(&mut standing, 10), None);
    assert!(due(&mut standing, 40).is_some());
}

/// The newest word on the point is "no value" until the value is said with a later time.
#[test]
fn a_value_that_comes_back_is_said_again_as_soon_as_its_time_allows() {
    let reading = |arrives| at(MIDNIGHT - HOUR, arrives, 1_000);
    let bad =
        |time| Sample::without_value(PointIndex(0), Timestamp(time), Timestamp(time), Quality::BAD);
    let by_us = |standing: &mut Standing| standing.forget(Timestamp(MIDNIGHT));
    let by_server = |standing: &mut Standing| {
        standing.hear(&bad(MIDNIGHT), false);
    };
    for break_off in [&by_us as &dyn Fn(&mut Standing), &by_server] {
        let mut standing = Standing::default();
        standing.hear(&reading(MIDNIGHT - HOUR), true);
        break_off(&mut standing);
        let soon = MIDNIGHT + SECOND_MICROS;
        assert!(!standing.is_owed() && standing.due(known(soon, 0), Timestamp(soon)).is_none());
        standing.hear(&reading(soon), true);
        assert!(standing.is_owed());
        // What is known of a server whose word takes three seconds is not newer than "no value" yet.
        assert_eq!(standing.due(known(soon, 0), Timestamp(soon)), None);
        let later = MIDNIGHT + 4 * SECOND_MICROS;
        // The clock of the server lies behind: later still.
        assert_eq!(standing.due(known(later, MINUTE), Timestamp(later)), None);
        let said = standing.due(known(later, 0), Timestamp(later)).expect("the value");
        assert_eq!(said.value, Some(Value::Decimal(1_000)));
        assert!(said.source_time > Timestamp(MIDNIGHT));
        assert!(!standing.is_owed());
        assert_eq!(standing.due(known(later, 0), Timestamp(later)), None);
    }
    // Another value than before, with a time from before: old, or of a clock that is wrong. Its next change would show.
    let mut standing = Standing::default();
    by_us(&mut standing);
    standing.hear(&reading(MIDNIGHT + SECOND_MICROS), true);
    let due = |standing: &mut Standing, seconds: i64| {
        let now = MIDNIGHT + seconds * SECOND_MICROS;
        standing.due(known(now, 0), Timestamp(now))
    };
    assert_eq!(due(&mut standing, 5), None);
    assert!(due(&mut standing, 7).is_some());
    // A new value of a later time is all that is needed.
    let mut standing = Standing::default();
    standing.hear(&reading(MIDNIGHT - HOUR), true);
    by_us(&mut standing);
    standing.hear(&at(MIDNIGHT + 1, MIDNIGHT + 2, 1_001), true);
    assert!(!standing.is_owed());
}

#[test]
fn the_same_value_and_status_confirm_whatever_their_time() {
    let mut standing = Standing::default();
    assert!(!standing.is_confirmed_by(&at(MIDNIGHT, MIDNIGHT, 1_000)));
    let mut over = at(MIDNIGHT, MIDNIGHT, 1_000);
    over.quality = Quality::GOOD_OVERFLOW;
    standing.hear(&over, true);
    assert!(standing.is_confirmed_by(&at(MIDNIGHT + HOUR, MIDNIGHT + HOUR, 1_000)));
    assert!(!standing.is_confirmed_by(&at(MIDNIGHT, MIDNIGHT, 1_001)));
    let mut uncertain = at(MIDNIGHT, MIDNIGHT, 1_000);
    uncertain.quality = Quality::UNCERTAIN;
    assert!(!standing.is_confirmed_by(&uncertain));
}
