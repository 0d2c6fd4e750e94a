//! What a gateway gave up: passed, counted once and told.

use super::*;

#[test]
fn losses_are_passed_and_counted_once() {
    let mut b = Bench::new();
    b.open(100, 104, vec![lost(51, 99, 490), lost(102, 102, 10)]);
    for sequence in [100, 101, 103] {
        b.frame(0, sequence);
    }
    b.step(2, Event::Tick);
    let work = b.work.clone().unwrap();
    assert_eq!(work.draft.watermarks[0].lost_frames, 50);
    assert_eq!(work.draft.watermarks[0].lost_samples, 500);
    assert_eq!(b.commit(2), (vec![100, 101, 103], 103));
    b.open(100, 104, vec![lost(51, 99, 490), lost(102, 102, 10)]);
    assert_eq!((b.admit.counters().frames_lost, b.admit.counters().samples_lost), (50, 500));
    assert!(b.admit.is_idle(), "the same losses change nothing");
}

#[test]
fn losses_told_again_and_again_while_the_disk_is_full_are_one_entry() {
    let mut b = Bench::new();
    for round in 1..=100 {
        let last = round * 256;
        let losses = (1..=256).map(|n| lost(last - 256 + n, last - 256 + n, 2)).collect();
        b.open(last, last + 1, losses);
    }
    let log = &b.admit.logs[&(gateway("g1"), LOG)];
    assert_eq!(log.held.len(), 1, "INV-5: what is held is bounded");
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![], 25_600));
    assert_eq!((b.admit.counters().frames_lost, b.admit.counters().samples_lost), (25_600, 51_200));
}

#[test]
fn declared_losses_are_told_once_a_minute_with_all_their_counts() {
    let mut b = Bench::new();
    let mut texts = Vec::new();
    for (seconds, last) in [(0, 5), (10, 7), (70, 8)] {
        b.open(last + 1, last + 1, vec![lost(1, last, last * 10)]);
        b.step(seconds + 2, Event::Tick);
        for action in b.admit.step(at(seconds + 2), Event::Committed) {
            if let Action::Notice(notice) = action {
                assert_eq!((notice.kind, notice.log_id), (NoticeKind::Lost, Some(LOG)));
                texts.push(notice.text);
            }
        }
    }
    assert_eq!(
        texts,
        ["5 frames with 50 samples, as far as known", "3 frames with 30 samples, as far as known"]
    );
}

#[test]
fn a_loss_that_reaches_beyond_the_log_is_believed_up_to_its_end() {
    let mut b = Bench::new();
    b.open(1, 5, vec![lost(3, 10, 80), lost(20, 30, 5)]);
    b.frame(0, 1);
    b.frame(0, 2);
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![1, 2], 4));
    assert_eq!((b.admit.counters().frames_lost, b.admit.counters().samples_lost), (2, 20));
}

#[test]
fn a_loss_that_grew_adds_only_what_is_new() {
    let mut b = Bench::new();
    b.open(100, 101, vec![lost(1, 99, 990)]);
    b.step(2, Event::Tick);
    b.commit(2);
    b.open(151, 151, vec![lost(1, 150, 1_500)]);
    b.step(5, Event::Tick);
    assert_eq!(b.commit(5), (vec![], 150));
    assert_eq!((b.admit.counters().frames_lost, b.admit.counters().samples_lost), (150, 1_500));
}

#[test]
fn frames_that_are_gone_without_a_loss_record_are_lost_and_said_so() {
    let mut b = Bench::from_store(&[("g1", 7)]);
    b.open(11, 12, vec![lost(9, 9, 5)]);
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![], 10));
    let counters = b.admit.counters();
    assert_eq!((counters.frames_lost, counters.samples_lost, counters.losses_unknown), (3, 5, 1));
    assert_eq!(b.notices, [NoticeKind::Unaccounted, NoticeKind::LostUnknown, NoticeKind::Lost]);
}

/// brk-10: readings that the gateway refused before they had a sequence reached no counter of the centre.
#[test]
fn what_a_gateway_refused_is_counted_once_by_its_record() {
    use model::record::{JsonRecord as _, LossReason};

    let mut b = Bench::new();
    b.open(1, 3, vec![]);
    b.frame(0, 1);
    let loss = Loss {
        first: Sequence(0),
        last: Sequence(0),
        samples: Some(21_120),
        ts_min: None,
        ts_max: None,
        reason: LossReason::Refused,
        destinations: vec![],
    };
    let before = hash_of_frame(&b.chain[0]);
    b.chain.push(frame_of(RecordType::Loss, 2, 0, before, &loss.to_record()));
    b.frame(0, 2);
    b.step(2, Event::Tick);
    assert_eq!(b.work.clone().unwrap().draft.watermarks[0].lost_samples, 21_120);
    assert_eq!(b.commit(2).1, 2);
    // Sent again, it changes nothing; and the log goes on behind it.
    b.frame(3, 2);
    b.frame(3, 3);
    b.step(5, Event::Tick);
    assert_eq!(b.commit(5).1, 3);
    assert_eq!(b.admit.counters().samples_lost, 21_120);
    assert_eq!(b.notices, [NoticeKind::Lost], "people hear of readings that were in no frame");
}

/// brk-10: a gateway whose disk stayed read-only until its end cannot say how many readings it lost; the centre must not
/// take that for none.
#[test]
fn a_loss_of_unknown_size_is_counted_and_told_once() {
    use model::record::{JsonRecord as _, LossReason};

    let of = |first, last, reason| Loss {
        first: Sequence(first),
        last: Sequence(last),
        samples: None,
        ts_min: None,
        ts_max: None,
        reason,
        destinations: vec![],
    };
    let mut b = Bench::new();
    // The spool went on behind sequences that it passed over, after an end that was not orderly.
    let skipped = of(2, 3, LossReason::Skipped);
    b.open(1, 6, vec![skipped.clone()]);
    b.frame(0, 1);
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2).1, 3);
    // And tells that it had readings in its hands, nobody knows how many.
    b.chain_upto(3);
    let before = hash_of_frame(&b.chain[2]);
    let refused = of(0, 0, LossReason::Refused).to_record();
    b.chain.push(frame_of(RecordType::Loss, 4, 0, before, &refused));
    b.frame(3, 4);
    b.frame(3, 4);
    b.open(1, 6, vec![skipped]);
    b.step(5, Event::Tick);
    assert_eq!(b.commit(5).1, 4);
    let counters = b.admit.counters();
    assert_eq!((counters.losses_unknown, counters.samples_lost, counters.frames_lost), (1, 0, 0));
    assert_eq!(counters.frames_skipped, 2, "no frame ever had them");
    assert_eq!(b.notices, [NoticeKind::PassedOver, NoticeKind::LostUnknown]);
}
