//! The list of lost ranges by itself.

use ::model::record::{Loss, LossReason};
use ::model::{DestinationId, Sequence};

use crate::losses::{LOSS_FRAME_BYTES_MAX, LOSSES_MAX, LossCount, LossList, LossTotals, loss_of};

fn loss(first: u64, last: u64, reason: LossReason) -> Loss {
    let frames = (last + 1).saturating_sub(first);
    Loss { samples: Some(frames * 10), ..loss_of(Sequence(first), Sequence(last), reason, &[]) }
}

fn list(ranges: &[(u64, u64, LossReason)]) -> LossList {
    let mut list = LossList::new(LossTotals::default(), 1);
    for (first, last, reason) in ranges {
        list.add(loss(*first, *last, *reason));
    }
    list
}

fn ranges(list: &LossList) -> Vec<(u64, u64, u64)> {
    list.iter().map(|loss| (loss.first.0, loss.last.0, loss.samples.unwrap())).collect()
}

use LossReason::{Corrupt, DropOldest};

#[test]
fn neighbours_of_one_reason_merge() {
    let check = |added: &[(u64, u64, LossReason)], expected: &[(u64, u64, u64)]| {
        assert_eq!(ranges(&list(added)), expected);
    };
    check(&[(1, 4, DropOldest), (5, 9, DropOldest)], &[(1, 9, 90)]);
    check(&[(5, 9, DropOldest), (1, 4, DropOldest)], &[(1, 9, 90)]);
    check(&[(1, 2, Corrupt), (5, 9, Corrupt), (3, 4, Corrupt)], &[(1, 9, 90)]);
    check(&[(1, 4, DropOldest), (5, 9, Corrupt)], &[(1, 4, 40), (5, 9, 50)]);
    check(&[(1, 4, DropOldest), (6, 9, DropOldest)], &[(1, 4, 40), (6, 9, 40)]);
}

#[test]
fn uncovered_parts_are_what_is_left() {
    let list = list(&[(3, 4, Corrupt), (8, 8, DropOldest)]);
    let check = |first, last, expected: &[(u64, u64)]| {
        let parts = list.uncovered(Sequence(first), Sequence(last));
        assert_eq!(parts.iter().map(|(a, b)| (a.0, b.0)).collect::<Vec<_>>(), expected);
    };
    check(1, 10, &[(1, 2), (5, 7), (9, 10)]);
    check(3, 4, &[]);
    check(4, 8, &[(5, 7)]);
    check(5, 7, &[(5, 7)]);
    check(9, 8, &[]);
}

#[test]
fn only_durable_records_cover() {
    let mut list = list(&[(1, 4, DropOldest), (5, 6, Corrupt)]);
    let covers =
        |list: &LossList, durable| list.durably_covers(Sequence(2), Sequence(6), Sequence(durable));
    assert!(!covers(&list, 99), "no record yet");
    let mut next = 19;
    list.record(None, false, |_| {
        next += 1;
        Sequence(next)
    });
    assert!(!covers(&list, 20), "the second record is not durable");
    assert!(covers(&list, 21));
    assert!(!list.durably_covers(Sequence(2), Sequence(7), Sequence(99)));
}

#[test]
fn a_later_record_replaces_those_that_it_contains() {
    let mut list = LossList::new(LossTotals::default(), 1);
    for (first, last, recorded) in [(1, 4, 20), (6, 9, 21), (1, 5, 30), (2, 3, 31), (9, 12, 40)] {
        list.restore(&loss(first, last, DropOldest), Sequence(recorded));
    }
    let found: Vec<(u64, u64)> = list.iter().map(|loss| (loss.first.0, loss.last.0)).collect();
    assert_eq!(found, [(1, 5), (6, 12)]);
}

#[test]
fn settled_ranges_stay_in_the_totals() {
    let mut list = list(&[(1, 4, DropOldest), (6, 7, Corrupt)]);
    let totals = list.totals();
    let expected = LossTotals {
        drop_oldest: LossCount { frames: 4, samples: 40, frames_uncounted: 0 },
        corrupt: LossCount { frames: 2, samples: 20, frames_uncounted: 0 },
        ..LossTotals::default()
    };
    assert_eq!(totals, expected);
    list.record(None, false, |_| Sequence(10));
    list.settle(Sequence(9));
    assert_eq!(list.len(), 2);
    list.settle(Sequence(10));
    assert_eq!((list.len(), list.totals(), list.settled()), (0, totals, totals));
}

#[test]
fn a_full_list_becomes_one_range_at_a_drop() {
    let count = crate::to_u64(LOSSES_MAX);
    // Damage at every second sequence, then a drop of all of them.
    let mut list = LossList::new(LossTotals::default(), 1);
    for index in 1..count {
        list.add(loss(index * 2, index * 2, Corrupt));
    }
    let end = Sequence(count * 2);
    for (first, last) in list.uncovered(Sequence(1), end) {
        list.add(loss(first.0, last.0, DropOldest));
    }
    assert!(list.len() >= LOSSES_MAX);
    list.bound(Sequence(0), end);
    assert_eq!(ranges(&list), [(1, count * 2, count * 20)]);
}

#[test]
fn the_longest_record_fits_its_bound() {
    let ts = Some(::model::Timestamp(i64::MIN));
    let max = Sequence(u64::MAX);
    let loss = Loss {
        first: max,
        last: max,
        samples: Some(u64::MAX),
        ts_min: ts,
        ts_max: ts,
        reason: DropOldest,
        destinations: Vec::new(),
    };
    let longest = DestinationId::new("d".repeat(::model::id::ID_CHARS_MAX)).unwrap();
    let mut list = LossList::new(LossTotals::default(), 1);
    list.add(loss);
    list.record(Some(&longest), false, |draft| {
        assert!(draft.frame_bytes() <= LOSS_FRAME_BYTES_MAX, "{}", draft.frame_bytes());
        Sequence(1)
    });
}

/// An unknown number stays unknown, and takes no known one with it.
#[test]
fn unknown_is_never_none() {
    let mut list = list(&[(1, 4, Corrupt)]);
    list.add(loss_of(Sequence(5), Sequence(6), Corrupt, &[]));
    assert_eq!(list.len(), 2, "the known range keeps its number");
    let expected = LossCount { frames: 6, samples: 40, frames_uncounted: 2 };
    assert_eq!(list.totals().corrupt, expected);
    assert!(list.iter().any(|loss| loss.samples.is_none()));
}
