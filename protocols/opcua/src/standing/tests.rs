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
    assert!(!standing.hear(&at(MIDNIGHT - 3 * HOUR, MIDNIGHT - 15 * MINUTE, 1_000), true).same);
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
    assert!(standing.hear(&at(MIDNIGHT - HOUR, MIDNIGHT, 1_000), true).same);
    let said = day(&mut standing, 0);
    assert!(!said.is_empty());
    let bad = Sample::without_value(
        PointIndex(0),
        Timestamp(MIDNIGHT),
        Timestamp(MIDNIGHT),
        Quality::BAD,
    );
    assert!(!standing.hear(&bad, true).same);
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
    assert_eq!(due(&mut standing, 40), None);
    // No change was seen yet that shows how late they come.
    assert!(due(&mut standing, 61).is_some());
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

/// What the store has of a point in the end: the last word on each time.
fn stored(rows: &[Sample]) -> Vec<(i64, i64)> {
    let rows: std::collections::BTreeMap<i64, i64> = rows
        .iter()
        .filter_map(|row| match row.value {
            Some(Value::Decimal(value)) => Some((row.source_time.0, value)),
            _ => None,
        })
        .collect();
    rows.into_iter().collect()
}

/// Lets a register count whose readings arrive late: `(time, arrives)` in seconds. The server is asked every five seconds;
/// its subscription is broken at some times for `BROKEN` seconds. Gives what is stored, and how much of it was corrected.
fn late_register(
    readings: &[(i64, i64)],
    breaks: &[i64],
    shared: Option<i64>,
) -> (Vec<Sample>, usize) {
    const BROKEN: i64 = 30;
    let mut standing = Standing::default();
    let mut rows = Vec::new();
    let second = |second: i64| MIDNIGHT + second * SECOND_MICROS;
    let mut broken_until = None;
    let (mut next, mut current) = (0, None);
    let end = readings.last().map_or(0, |reading| reading.1) + 3_600;
    for now in 0..end {
        let mut news = false;
        while let Some((time, arrives)) = readings.get(next).filter(|reading| reading.1 <= now) {
            current = Some((second(*time), second(*arrives), i64::try_from(next).unwrap()));
            (next, news) = (next + 1, true);
        }
        if breaks.contains(&now) {
            standing.forget(Timestamp(second(now)));
            broken_until = Some(now + BROKEN);
        }
        let is_back = broken_until == Some(now);
        if is_back {
            broken_until = None;
        }
        let Some((time, _, value)) = current.filter(|_| broken_until.is_none()) else { continue };
        if news || is_back {
            let reading = at(time, second(now), value);
            let word = standing.hear(&reading, true);
            rows.extend(word.corrected);
            rows.push(reading);
        } else if now % 5 == 0 {
            let known = Known { shared_late_micros: shared, ..known(second(now), 0) };
            rows.extend(standing.due(known, Timestamp(second(now))));
        }
    }
    (rows, standing.corrected())
}

/// Readings each `every` seconds that arrive by turns at once, a bit late and very late.
fn by_turns(every: i64, late: &[i64]) -> Vec<(i64, i64)> {
    let late = late.iter().copied().cycle();
    (0..200).zip(late).map(|(reading, late)| (reading * every, reading * every + late)).collect()
}

/// Trial of 29 November: 10007 of 20:29:47 arrived after 10006 was said of 20:30:02.
#[test]
fn readings_that_arrive_late_by_turns_never_let_a_register_fall() {
    for late in [&[2, 3, 59][..], &[2, 2, 2, 2, 2, 40, 95], &[90, 1], &[1, 1, 1, 1, 1, 1, 100]] {
        for breaks in [&[][..], &[900, 1_830, 2_790, 5_400]] {
            for shared in [None, Some(60 * SECOND_MICROS)] {
                let (rows, corrected) = late_register(&by_turns(170, late), breaks, shared);
                let stored = stored(&rows);
                assert!(stored.is_sorted_by_key(|row| row.1), "{late:?} {breaks:?}: {stored:?}");
                // The lateness is learned: what is foreseen needs no correction.
                assert!(corrected <= 2, "{late:?} {breaks:?} {shared:?}: {corrected}");
            }
        }
    }
}

/// Later than any before, and later than a slot: what was said meanwhile becomes what the register was, and is counted.
#[test]
fn a_change_that_is_later_than_any_before_corrects_what_was_said_to_stand() {
    let readings = [(0, 1), (170, 172), (340, 341), (510, 3_000), (3_100, 3_101)];
    let (rows, corrected) = late_register(&readings, &[], None);
    assert!((2..=3).contains(&corrected), "{corrected}");
    let stored = stored(&rows);
    assert!(stored.is_sorted_by_key(|row| row.1), "{stored:?}");
    let again: Vec<&Sample> =
        rows.iter().filter(|row| row.value == Some(Value::Decimal(3))).collect();
    assert!(
        again.iter().any(|row| row.source_time.0 > MIDNIGHT + 900 * SECOND_MICROS),
        "{again:?}"
    );
    // Seen during a break only, it shows at least that it was under way when the value before it was last asked for.
    let mut standing = Standing::default();
    standing.hear(&at(MIDNIGHT, MIDNIGHT, 1), true);
    let asked = MIDNIGHT + 20 * MINUTE;
    let said = standing.due(known(asked, 0), Timestamp(asked)).expect("it stands");
    standing.forget(Timestamp(asked + MINUTE));
    let time = MIDNIGHT + 10 * MINUTE;
    let word = standing.hear(&at(time, asked + HOUR, 2), true);
    assert_eq!(word.late_micros, Some(10 * MINUTE));
    let [corrected] = word.corrected.as_slice() else { panic!("{word:?}") };
    assert_eq!(
        (corrected.source_time, &corrected.value),
        (said.source_time, &Some(Value::Decimal(2)))
    );
    // No more than some of them are kept in mind.
    let mut standing = Standing::default();
    standing.hear(&at(MIDNIGHT, MIDNIGHT, 1), true);
    assert!(day(&mut standing, 0).len() > SAID_MAX * 10);
    let word = standing.hear(&at(MIDNIGHT + MINUTE, MIDNIGHT + 25 * HOUR, 2), true);
    assert_eq!(word.corrected.len(), SAID_MAX);
}

#[test]
fn lateness_is_forgotten_after_a_day_of_changes_that_were_not() {
    let mut lateness = Lateness::default();
    assert_eq!(lateness.most(), None);
    let mut see = |hours: i64, late: i64| {
        lateness.see(late, Timestamp(MIDNIGHT + hours * HOUR));
        lateness.most().unwrap()
    };
    assert_eq!(see(0, 95), 95);
    assert_eq!(see(11, 2), 95);
    assert_eq!(see(13, 2), 95);
    assert_eq!(see(25, 2), 2);
    // A register that changes once a week is known by its last two changes.
    assert_eq!(see(24 * 7, 60), 60);
    assert_eq!(see(24 * 14, 3), 60);
    assert_eq!(see(24 * 21, 3), 3);
    // The values of a long outage say nothing of the next day.
    assert_eq!(see(24 * 22, 9 * HOUR), LATE_REMEMBERED_MAX_MICROS);
}

/// Another status of the same reading is no change of it: neither of its clock nor of its lateness.
#[test]
fn a_status_that_comes_and_goes_says_nothing_of_the_clock_and_the_value_still_stands() {
    let mut standing = Standing::default();
    standing.hear(&at(MIDNIGHT - 3 * HOUR, MIDNIGHT - 3 * HOUR, 7), true);
    let mut said = Vec::new();
    for flip in 0..48 * 4 {
        let now = MIDNIGHT + flip * 30 * SECOND_MICROS;
        let mut reading = at(MIDNIGHT - 3 * HOUR, now, 7);
        if flip % 2 == 0 {
            reading.quality = Quality::UNCERTAIN_LAST_USABLE_VALUE;
        }
        let word = standing.hear(&reading, true);
        assert!(!word.same && word.late_micros.is_none() && word.corrected.is_empty());
        assert_eq!(standing.clock_fault(), None);
        let heard = now + 10 * SECOND_MICROS;
        said.extend(standing.due(known(heard, 0), Timestamp(heard)));
    }
    // 96 minutes and the slot before them, said with the status of the moment.
    assert!((7..=8).contains(&said.len()), "{said:?}");
}

/// A clock that stood still and a register that stands still now: it is said again after an hour.
#[test]
fn a_clock_that_stood_still_silences_a_register_for_an_hour_and_not_for_good() {
    let mut standing = Standing::default();
    for change in 0..6 {
        standing.hear(&at(MIDNIGHT - HOUR, MIDNIGHT + change * MINUTE, change), true);
    }
    assert_eq!(standing.clock_fault(), Some(ClockFault::Frozen));
    let due = |standing: &mut Standing, minutes: i64| {
        let now = MIDNIGHT + minutes * MINUTE;
        standing.due(known(now, 0), Timestamp(now))
    };
    assert_eq!(due(&mut standing, 60), None);
    assert!(due(&mut standing, 66).is_some());
    assert!(due(&mut standing, 190).is_some());
}

/// A server that dates a value by its own reading of the device: of what came after that nothing is known.
#[test]
fn the_time_that_a_read_gives_is_the_last_at_which_the_value_is_known() {
    let mut standing = Standing::default();
    standing.hear(&at(MIDNIGHT - HOUR, MIDNIGHT - HOUR, 7), true);
    let due = |standing: &mut Standing, minute: i64, read: i64| {
        let now = MIDNIGHT + minute * MINUTE;
        let read = Some(Timestamp(MIDNIGHT + read * MINUTE));
        standing.due(Known { read, ..known(now, 0) }, Timestamp(now)).map(|said| said.source_time)
    };
    assert_eq!(due(&mut standing, 20, 16), Some(Timestamp(MIDNIGHT + 16 * MINUTE)));
    assert_eq!(due(&mut standing, 25, 24), None);
    // It stands still there: as for a server that dates changes only.
    assert_eq!(due(&mut standing, 35, 16), Some(Timestamp(MIDNIGHT + 34 * MINUTE)));
    // A time to come is not believed.
    assert_eq!(due(&mut standing, 55, 900), Some(Timestamp(MIDNIGHT + 54 * MINUTE)));
}
