//! Cases one by one.

mod world;

use std::collections::VecDeque;

use model::{PointIndex, Quality, Value};

use super::*;

const HORIZON: Timestamp = Timestamp(1_000_000);
const CONNECTED: Event = Event::Connected { now: HORIZON, every_change: true };

fn sample(time: i64, value: i64) -> Sample {
    let time = Timestamp(time);
    Sample::new(PointIndex(0), time, time, Quality::GOOD, Value::Decimal(value))
}

fn page(values: &[(i64, i64)]) -> Event {
    let samples = values.iter().map(|(time, value)| sample(*time, *value)).collect();
    Event::Page { samples, continuation: None, horizon: HORIZON }
}

fn live(time: i64, value: i64) -> Event {
    Event::Live { sample: sample(time, value), timed: true, horizon: HORIZON }
}

fn read(from: i64) -> Action {
    Action::Read { from: Timestamp(from), continuation: None }
}

fn emit(values: &[(i64, i64)], mark: Option<i64>) -> Action {
    let samples = values.iter().map(|(time, value)| sample(*time, *value)).collect();
    Action::Emit { samples, mark: mark.map(Timestamp) }
}

/// Runs a script of events, each with the actions that it must cause.
fn check(mut tracker: Tracker, script: &[(Event, &[Action])]) -> Tracker {
    for (step, (event, expected)) in script.iter().enumerate() {
        assert_eq!(tracker.step(event.clone()), *expected, "step {step}: {event:?}");
    }
    tracker
}

fn tracker() -> Tracker {
    Tracker::new(None, Timestamp(0), 3)
}

#[test]
fn reads_page_after_page_until_nothing_is_new_and_then_meets_the_live_value() {
    let end = check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (page(&[(1, 1), (2, 2), (3, 3)]), &[emit(&[(1, 1), (2, 2), (3, 3)], Some(3)), read(3)]),
            (live(5, 5), &[emit(&[(5, 5)], None)]),
            (page(&[(3, 3), (4, 4), (5, 5)]), &[emit(&[(4, 4)], Some(5)), read(5)]),
            (page(&[(5, 5)]), &[read(6)]),
            (page(&[]), &[Action::Wait(RECHECK_MET)]),
            (live(6, 6), &[emit(&[(6, 6)], Some(6))]),
        ],
    );
    assert!(end.is_live());
}

#[test]
fn live_values_do_not_move_the_mark_before_they_are_met() {
    check(
        Tracker::new(Some(Timestamp(3)), Timestamp(0), 3),
        &[
            (CONNECTED, &[read(3)]),
            (live(7, 7), &[emit(&[(7, 7)], None)]),
            (page(&[(3, 3), (4, 4), (5, 5)]), &[emit(&[(3, 3), (4, 4), (5, 5)], Some(5)), read(5)]),
            (live(8, 8), &[emit(&[(8, 8)], None)]),
            // The value at 7 is found, but there may be more of the same time.
            (page(&[(5, 5), (6, 6), (7, 7)]), &[emit(&[(6, 6)], Some(7)), read(7)]),
            // Now 7 is met, so 8 is covered too, although the page was cut before it.
            (page(&[(7, 7)]), &[emit(&[], Some(8)), read(8)]),
        ],
    );
}

#[test]
fn values_of_one_time_at_the_border_of_a_page_are_neither_lost_nor_read_for_ever() {
    check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (page(&[(1, 1), (2, 2), (2, 3)]), &[emit(&[(1, 1), (2, 2), (2, 3)], Some(2)), read(2)]),
            (page(&[(2, 2), (2, 3), (2, 4)]), &[emit(&[(2, 4)], None), read(2)]),
            (page(&[(2, 2), (2, 3), (2, 4)]), &[read(3)]),
            (page(&[(3, 9)]), &[read(2)]),
            (page(&[(2, 2), (2, 3), (2, 4)]), &[Action::Crowded(Timestamp(2)), read(3)]),
            (page(&[(3, 9)]), &[emit(&[(3, 9)], Some(3)), read(3)]),
            (page(&[(3, 9)]), &[read(4)]),
            (page(&[]), &[Action::Wait(FIRST_WAIT)]),
        ],
    );
}

#[test]
fn follows_continuation_points_and_survives_their_loss() {
    let next = |values: &[(i64, i64)]| match page(values) {
        Event::Page { samples, horizon, .. } => {
            Event::Page { samples, continuation: Some(vec![7]), horizon }
        }
        other => other,
    };
    let go_on = |from| Action::Read { from: Timestamp(from), continuation: Some(vec![7]) };
    check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (next(&[(1, 1)]), &[emit(&[(1, 1)], Some(1)), go_on(1)]),
            (Event::Failed(Failure::ContinuationLost), &[read(1)]),
            (next(&[(1, 1)]), &[go_on(1)]),
            (Event::Failed(Failure::ContinuationLost), &[Action::Wait(FIRST_WAIT)]),
            (Event::Due, &[read(1)]),
            (page(&[(1, 1)]), &[read(2)]),
            (page(&[]), &[Action::Wait(FIRST_WAIT)]),
        ],
    );
}

#[test]
fn an_overflow_or_a_break_starts_reading_again() {
    let met = check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (page(&[(1, 1)]), &[emit(&[(1, 1)], Some(1)), read(1)]),
            (page(&[(1, 1)]), &[read(2)]),
            (page(&[]), &[Action::Wait(FIRST_WAIT)]),
            (live(1, 1), &[read(1)]),
            (page(&[(1, 1)]), &[read(2)]),
            (page(&[]), &[Action::Wait(RECHECK_MET)]),
            (live(2, 2), &[emit(&[(2, 2)], Some(2))]),
        ],
    );
    check(
        met.clone(),
        &[
            (Event::Overflow, &[read(2)]),
            (live(9, 9), &[emit(&[(9, 9)], None)]),
            (page(&[(2, 2), (8, 8)]), &[emit(&[(8, 8)], Some(8)), read(8)]),
            (page(&[(8, 8), (9, 9)]), &[emit(&[], Some(9)), read(9)]),
        ],
    );
    check(
        met,
        &[(Event::Broken, &[]), (page(&[(3, 3)]), &[]), (Event::Due, &[]), (CONNECTED, &[read(2)])],
    );
}

#[test]
fn a_server_without_history_is_rarely_asked_and_live_values_flow() {
    check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (Event::Failed(Failure::Unsupported), &[Action::Wait(UNSUPPORTED_RETRY)]),
            (live(1, 1), &[emit(&[(1, 1)], None)]),
            (Event::Due, &[read(0)]),
            (Event::Failed(Failure::Temporary), &[Action::Wait(FIRST_WAIT)]),
            (Event::Due, &[read(0)]),
            (Event::Failed(Failure::Temporary), &[Action::Wait(FIRST_WAIT * 2)]),
        ],
    );
}

#[test]
fn a_history_with_times_of_its_own_moves_the_mark_alone() {
    check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (live(7, 7), &[emit(&[(7, 7)], None)]),
            (page(&[(5, 5)]), &[emit(&[(5, 5)], Some(5)), read(5)]),
            (page(&[(5, 5)]), &[read(6)]),
            (page(&[]), &[Action::Wait(FIRST_WAIT)]),
            (Event::Due, &[read(5)]),
            (page(&[(5, 5), (10, 9)]), &[emit(&[(10, 9)], Some(10)), read(10)]),
            (live(12, 12), &[emit(&[(12, 12)], None)]),
        ],
    );
}

#[test]
fn a_time_that_cannot_be_moves_nothing() {
    let beyond = HORIZON.0 + 1;
    check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (live(beyond, 1), &[emit(&[(beyond, 1)], None)]),
            (page(&[(4, 4), (beyond, 1)]), &[emit(&[(4, 4)], Some(4)), read(4)]),
            (page(&[(4, 4), (beyond, 1)]), &[read(5)]),
            (page(&[(beyond, 1)]), &[Action::Wait(FIRST_WAIT)]),
        ],
    );
}

#[test]
fn live_values_of_a_server_that_skips_changes_in_silence_never_move_the_mark() {
    let end = check(
        tracker(),
        &[
            (Event::Connected { now: HORIZON, every_change: false }, &[read(0)]),
            (page(&[(1, 1)]), &[emit(&[(1, 1)], Some(1)), read(1)]),
            (live(1, 1), &[]),
            (page(&[(1, 1)]), &[read(2)]),
            (page(&[]), &[Action::Wait(RECHECK_MET)]),
            (live(5, 5), &[emit(&[(5, 5)], None)]),
            (Event::Due, &[read(1)]),
            (page(&[(1, 1), (3, 3), (5, 5)]), &[emit(&[(3, 3)], Some(5)), read(5)]),
        ],
    );
    assert!(end.is_live());
}

fn page_believed_to(horizon: i64, values: &[(i64, i64)]) -> Event {
    let samples = values.iter().map(|(time, value)| sample(*time, *value)).collect();
    Event::Page { samples, continuation: None, horizon: Timestamp(horizon) }
}

#[test]
fn values_read_while_our_clock_was_wrong_are_no_obstacle_once_it_is_right() {
    let wrong = |values: &[(i64, i64)]| page_believed_to(0, values);
    let full = [(11, 1), (12, 2), (13, 3)];
    check(
        Tracker::new(Some(Timestamp(10)), Timestamp(0), 3),
        &[
            (CONNECTED, &[read(10)]),
            (wrong(&full), &[emit(&full, None), read(10)]),
            (wrong(&full), &[read(11)]),
            (wrong(&full), &[Action::Wait(FIRST_WAIT)]),
            (Event::Due, &[read(10)]),
            // Nothing of this page is new, but now it is believed.
            (page(&full), &[emit(&[], Some(13)), read(13)]),
            (page(&[(13, 3), (14, 4)]), &[emit(&[(14, 4)], Some(14)), read(14)]),
        ],
    );
}

#[test]
fn a_history_that_lies_ahead_of_our_clock_is_not_emitted_in_a_circle() {
    let mut tracker = Tracker::new(None, Timestamp(0), 50);
    let ahead: Vec<(i64, i64)> = (1..=400).map(|n| (HORIZON.0 + n, n)).collect();
    let mut emitted = Vec::new();
    let mut reads = 0;
    let mut run = |tracker: &mut Tracker, event: Event, horizon: Timestamp| {
        let mut actions = VecDeque::from(tracker.step(event));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Emit { samples, .. } => emitted.extend(samples),
                Action::Read { from, continuation } => {
                    reads += 1;
                    assert!(reads < 50, "reads in a circle");
                    let first = continuation.map_or_else(
                        || ahead.partition_point(|(time, _)| *time < from.0),
                        |token| usize::from(token[0]) * 50,
                    );
                    let next = first + 50;
                    let samples = ahead[first..ahead.len().min(next)].iter();
                    let samples = samples.map(|(time, value)| sample(*time, *value)).collect();
                    let continuation =
                        (next < ahead.len()).then(|| vec![u8::try_from(next / 50).unwrap()]);
                    actions.extend(tracker.step(Event::Page { samples, continuation, horizon }));
                }
                Action::Wait(_) => {}
                Action::Crowded(time) => panic!("crowded at {time}"),
            }
        }
        (emitted.len(), std::mem::take(&mut reads))
    };
    assert_eq!(run(&mut tracker, CONNECTED, HORIZON).0, AHEAD_MAX);
    for _ in 0..3 {
        assert_eq!(run(&mut tracker, Event::Due, HORIZON).0, AHEAD_MAX);
    }
    // Time goes on, and each is emitted after all, once.
    let believed = Timestamp(HORIZON.0 + 400);
    assert_eq!(run(&mut tracker, Event::Due, believed).0, 400);
}

#[test]
fn a_cursor_in_the_future_steps_back_to_now_but_not_because_our_clock_was_never_set() {
    let future = Timestamp(HORIZON.0 + 5);
    let mut tracker = Tracker::new(Some(future), Timestamp(0), 3);
    assert_eq!(tracker.step(CONNECTED), [read(HORIZON.0)]);
    let mut tracker = Tracker::new(Some(future), Timestamp(0), 3);
    let unset = Timestamp(future.0 - DAY_MICROS - 1);
    assert_eq!(tracker.step(Event::Connected { now: unset, every_change: true }), [read(future.0)]);
}

#[test]
fn more_values_of_one_time_than_the_border_holds_are_said_and_passed_over() {
    let mut tracker = Tracker::new(None, Timestamp(0), 1);
    let mut event = CONNECTED;
    let (mut emitted, mut said) = (Vec::new(), Vec::new());
    // Ten values of one time and a later one, one by one, with continuation points.
    let history: Vec<(i64, i64)> = (0..10).map(|n| (5, n)).chain([(6, 10)]).collect();
    for _ in 0..100 {
        let mut next = None;
        for action in tracker.step(event) {
            match action {
                Action::Emit { samples, .. } => emitted.extend(samples),
                Action::Read { from, continuation } => {
                    let first = continuation.map_or_else(
                        || history.partition_point(|(time, _)| *time < from.0),
                        |token| usize::from(token[0]),
                    );
                    let token =
                        (first + 1 < history.len()).then(|| vec![u8::try_from(first + 1).unwrap()]);
                    let values: Vec<_> = history.get(first).copied().into_iter().collect();
                    next = Some(match page(&values) {
                        Event::Page { samples, horizon, .. } => {
                            Event::Page { samples, continuation: token, horizon }
                        }
                        other => other,
                    });
                }
                Action::Wait(_) => {}
                Action::Crowded(time) => said.push(time),
            }
        }
        let Some(page) = next else { break };
        event = page;
    }
    let emitted: Vec<i64> = emitted.iter().map(|sample| sample.source_time.0).collect();
    assert_eq!(emitted, [5, 5, 5, 5, 6]);
    assert_eq!(said, [Timestamp(5)]);
}

/// Found by the property test below: what was lost had the time of a value already read.
#[test]
fn a_page_asked_for_before_an_overflow_does_not_show_that_nothing_is_missing() {
    let resting = check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (page(&[(2, 1)]), &[emit(&[(2, 1)], Some(2)), read(2)]),
            (page(&[(2, 1)]), &[read(3)]),
        ],
    );
    let script: [(Event, &[Action]); 5] = [
        (Event::Overflow, &[]),
        (live(2, 3), &[emit(&[(2, 3)], None)]),
        (live(3, 4), &[emit(&[(3, 4)], None)]),
        (page(&[(3, 4)]), &[read(2)]),
        (page(&[(2, 1), (2, 2), (2, 3)]), &[emit(&[(2, 2)], None), read(2)]),
    ];
    check(resting, &script);
}

/// Found by the property test below: a value came in at the cursor between the page that ended there and the look
/// beyond it, and the subscription had lost it.
#[test]
fn a_look_beyond_the_cursor_does_not_move_it() {
    check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (page(&[(1, 1)]), &[emit(&[(1, 1)], Some(1)), read(1)]),
            (page(&[(1, 1)]), &[read(2)]),
            (page(&[(2, 3)]), &[read(1)]),
            (page(&[(1, 1), (1, 2), (2, 3)]), &[emit(&[(1, 2), (2, 3)], Some(2)), read(2)]),
        ],
    );
}

#[test]
fn bad_and_untimed_values_do_not_move_the_mark() {
    let bad = Sample::without_value(PointIndex(0), Timestamp(9), Timestamp(9), Quality::BAD);
    let end = check(
        tracker(),
        &[
            (CONNECTED, &[read(0)]),
            (page(&[(1, 1)]), &[emit(&[(1, 1)], Some(1)), read(1)]),
            (live(1, 1), &[]),
            (page(&[(1, 1)]), &[read(2)]),
            (
                Event::Live { sample: bad.clone(), timed: true, horizon: HORIZON },
                &[Action::Emit { samples: vec![bad], mark: None }],
            ),
            (
                Event::Live { sample: sample(9, 9), timed: false, horizon: HORIZON },
                &[emit(&[(9, 9)], None)],
            ),
        ],
    );
    assert!(end.is_live());
}

/// 10 890 rows for 7 238 times were seen: each value of the subscription came again with the next page.
#[test]
fn what_the_subscription_brought_is_not_handed_over_again_by_the_history() {
    let mut tracker = Tracker::new(None, Timestamp(0), 50).remembering(500);
    let mut emitted: Vec<i64> = Vec::new();
    let mut take = |actions: Vec<Action>| {
        for action in actions {
            if let Action::Emit { samples, .. } = action {
                emitted.extend(samples.iter().map(|sample| sample.source_time.0));
            }
        }
    };
    // Sampled: live values move neither cursor nor mark, and pages bring all of them again.
    take(tracker.step(Event::Connected { now: HORIZON, every_change: false }));
    for time in 1..=400 {
        take(tracker.step(live(time, time)));
    }
    let history: Vec<(i64, i64)> = (1..=420).map(|time| (time, time)).collect();
    for part in history.chunks(50) {
        take(tracker.step(page(part)));
    }
    for time in 401..=420 {
        take(tracker.step(live(time, time)));
    }
    emitted.sort_unstable();
    assert_eq!(emitted, (1..=420).collect::<Vec<_>>());
}

#[test]
fn more_live_values_than_are_remembered_are_bounded_and_lose_nothing() {
    let mut tracker = tracker().remembering(4);
    tracker.step(Event::Connected { now: HORIZON, every_change: false });
    for time in 1..=1_000 {
        tracker.step(live(time, time));
        assert!(tracker.live.samples.len() <= 4);
    }
    let actions = tracker.step(page(&[(1, 1), (999, 999), (1_000, 1_000)]));
    assert_eq!(actions, [emit(&[(1, 1)], Some(1_000)), read(1_000)]);
}

#[test]
fn a_point_whose_memory_fills_up_reads_its_history_once_for_that() {
    let mut tracker = tracker().remembering(4);
    tracker.step(Event::Connected { now: HORIZON, every_change: false });
    tracker.step(page(&[]));
    assert_eq!(tracker.step(live(1, 1)), [emit(&[(1, 1)], None)]);
    assert_eq!(tracker.step(live(2, 2)), [emit(&[(2, 2)], None)]);
    assert_eq!(tracker.step(live(3, 3)), [emit(&[(3, 3)], None), read(0)]);
    tracker.step(page(&[]));
    for time in 4..20 {
        assert_eq!(tracker.step(live(time, time)), [emit(&[(time, time)], None)]);
    }
}

#[test]
fn another_status_or_value_at_one_time_is_another_reading() {
    let mut tracker = tracker();
    tracker.step(CONNECTED);
    let mut uncertain = sample(5, 5);
    uncertain.quality = Quality::UNCERTAIN;
    let of =
        |sample: &Sample| Event::Live { sample: sample.clone(), timed: true, horizon: HORIZON };
    for other in [sample(5, 5), sample(5, 6), uncertain] {
        let expected = Action::Emit { samples: vec![other.clone()], mark: None };
        assert_eq!(tracker.step(of(&other)), [expected]);
        assert_eq!(tracker.step(of(&other)), []);
    }
}

/// Each restart stored the value at the mark once more.
#[test]
fn a_restart_hands_over_nothing_of_the_mark_again() {
    let end = check(
        Tracker::new(None, Timestamp(0), 50),
        &[
            (CONNECTED, &[read(0)]),
            (page(&[(1, 1), (2, 2), (2, 3)]), &[emit(&[(1, 1), (2, 2), (2, 3)], Some(2)), read(2)]),
        ],
    );
    let cursor = end.to_cursor().unwrap();
    assert_eq!(cursor.time(), Some(Timestamp(2)));
    assert_eq!(cursor.as_str().split(' ').count(), 3, "{}", cursor.as_str());
    check(
        Tracker::resume(Some(&cursor), Timestamp(0), 50),
        &[
            (CONNECTED, &[read(2)]),
            // Another value of the same time is new.
            (page(&[(2, 2), (2, 3), (2, 4), (3, 5)]), &[emit(&[(2, 4), (3, 5)], Some(3)), read(3)]),
        ],
    );
    // The subscription may be first.
    check(
        Tracker::resume(Some(&cursor), Timestamp(0), 50),
        &[(CONNECTED, &[read(2)]), (live(2, 3), &[])],
    );
    // A cursor of an earlier version of this program, and one of nobody.
    for (text, from) in [("2", 2), ("2 zz 77", 2), ("seq 7", 0), ("", 0)] {
        let cursor = model::Cursor::new(text).unwrap();
        check(Tracker::resume(Some(&cursor), Timestamp(0), 50), &[(CONNECTED, &[read(from)])]);
    }
}

/// A cursor stays within its limit, whatever stands at the mark.
#[test]
fn a_cursor_names_a_bounded_number_of_values() {
    let many: Vec<(i64, i64)> = (0..40).map(|n| (2, n)).collect();
    let mut tracker = Tracker::new(None, Timestamp(0), 50);
    tracker.step(CONNECTED);
    tracker.step(page(&many));
    let cursor = tracker.to_cursor().unwrap();
    assert_eq!(cursor.as_str().split(' ').count(), 1 + CURSOR_DIGESTS_MAX);
    assert!(cursor.as_str().len() <= model::record::CURSOR_BYTES_MAX);
}
