//! Spools that go on differently from what is committed of them: put back from a copy, or running twice.

use super::*;

/// The frames of a copy: the same as in the log up to `common`, others above.
fn copy(b: &mut Bench, common: u64, upto: u64) -> Vec<Vec<u8>> {
    let common = usize::try_from(common).unwrap();
    let mut frames: Vec<Vec<u8>> = b.chain_upto(common as u64).to_vec();
    for n in common as u64 + 1..=upto {
        let before = frames.last().map_or(hash_of_log_start(LOG), |f| hash_of_frame(f));
        frames.push(frame(n, before, &batch(i64::try_from(n).unwrap() + 1_000)));
    }
    frames
}

fn send(b: &mut Bench, seconds: u64, frames: &[Vec<u8>]) {
    for bytes in frames {
        b.step(seconds, up("g1", LOG, &UpMessage::Frame(bytes)));
    }
}

/// Ten frames of the log are admitted and committed.
fn ten_frames() -> Bench {
    let mut b = Bench::new();
    b.open(1, 11, vec![]);
    for sequence in 1..=10 {
        b.frame(0, sequence);
    }
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2).1, 10);
    b.acks.clear();
    b
}

#[test]
fn a_spool_put_back_from_a_copy_gets_no_ack_for_frames_that_were_never_here() {
    let mut b = ten_frames();
    let copy = copy(&mut b, 5, 14);
    b.open(1, 6, vec![]);
    assert_eq!(b.notices, [NoticeKind::Forked]);
    send(&mut b, 3, &copy[5..8]);
    b.step(4, Event::Connected);
    // It wrote on beyond what is committed, and opens again.
    b.open(1, 15, vec![]);
    send(&mut b, 5, &copy[5..14]);
    b.step(9, Event::Tick);
    assert!(b.work.is_none() && b.admit.is_idle());
    assert_eq!(b.acks, [], "any ack would free frames that were not stored");
    // The gateway hears why, so that it can begin a new log and tell its people.
    let codes: Vec<_> = b.faults.iter().filter_map(|ack| ack.fault.as_ref()).collect();
    assert!(!codes.is_empty() && codes.iter().all(|fault| fault.code == "forked"), "{codes:?}");
    assert_eq!(b.admit.counters().frames_admitted, 10);
    assert!(b.admit.counters().dropped.forked >= 4);
}

#[test]
fn an_opening_that_goes_backwards_while_frames_are_held_is_refused() {
    let mut b = Bench::new();
    b.open(1, 4, vec![]);
    for sequence in 1..=3 {
        b.frame(0, sequence);
    }
    b.acks.clear();
    b.open(1, 2, vec![]);
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![1, 2, 3], 3), "what the true spool sent is stored");
    assert_eq!(b.acks, []);
    assert_eq!(b.notices, [NoticeKind::Forked]);
}

#[test]
fn a_copy_that_is_far_behind_is_told_so_that_it_can_stop() {
    let check = |next, expected: &[u64]| {
        let mut b = Bench::from_store(&[("g1", 1_000)]);
        b.open(1, next, vec![]);
        b.open(1, next, vec![]);
        let told: Vec<u64> = b.acks.iter().map(|ack| ack.durable_upto.0).collect();
        assert_eq!(told, expected);
        assert_eq!(b.notices, [NoticeKind::Forked]);
    };
    check(500, &[1_000, 1_000]);
    check(999, &[]);
}

#[test]
fn a_copy_that_ran_beyond_what_is_committed_is_refused_at_its_first_samples() {
    let mut b = ten_frames();
    let copy = copy(&mut b, 5, 12);
    b.open(1, 13, vec![]);
    send(&mut b, 3, &copy[10..]);
    assert_eq!(b.admit.counters().frames_admitted, 10);
    assert_eq!(b.admit.counters().dropped.forked, 2);
    assert_eq!(b.notices, [NoticeKind::Forked]);
    assert!(b.admit.is_idle());
}

#[test]
fn another_run_of_ingest_knows_the_last_frame_again() {
    let mut b = Bench::new();
    b.open(1, 11, vec![]);
    for sequence in 1..=10 {
        b.frame(0, sequence);
    }
    b.step(2, Event::Tick);
    let moved = b.work.as_ref().unwrap().draft.watermarks[0].clone();
    let watermark = Watermark {
        durable_upto: moved.durable_upto,
        generation: model::Generation(1),
        lost_frames: 0,
        lost_samples: 0,
        last_hash: moved.last_hash,
    };
    let run = |frames: &[Vec<u8>]| {
        let known = [((gateway("g1"), LOG), watermark)];
        let mut b = Bench {
            admit: Admit::new(settings(), "run-2".into(), store(), known, Dictionaries::new()),
            ..Bench::new()
        };
        b.open(1, 13, vec![]);
        send(&mut b, 3, frames);
        (b.admit.counters().frames_admitted, b.notices)
    };
    let copy = copy(&mut b, 5, 12);
    assert_eq!(run(&copy[10..]), (0, vec![NoticeKind::Forked]));
    assert_eq!(run(&b.chain_upto(12)[10..]), (2, vec![]));
}

#[test]
fn a_frame_that_comes_again_as_another_one_shows_the_copy() {
    let mut b = ten_frames();
    let copy = copy(&mut b, 5, 12);
    b.open(1, 13, vec![]);
    let acks = b.acks.len();
    send(&mut b, 3, &copy[5..]);
    assert_eq!(b.notices, [NoticeKind::Forked]);
    assert_eq!(b.admit.counters().frames_admitted, 10);
    assert!(b.acks[acks..].iter().all(|ack| ack.durable_upto.0 <= 10 && ack.want.is_empty()));
}

#[test]
fn the_true_spool_goes_on_after_a_copy_was_refused() {
    let mut b = ten_frames();
    b.open(1, 6, vec![]);
    assert_eq!(b.acks, []);
    b.open(1, 12, vec![]);
    b.frame(3, 10);
    assert_eq!(b.last_ack(), (10, None, false), "it has the last frame");
    b.frame(3, 11);
    b.step(6, Event::Tick);
    assert_eq!(b.commit(6), (vec![11], 11));
    assert_eq!(b.last_ack(), (11, None, false));

    // Its next frame alone shows it as well.
    b.open(1, 6, vec![]);
    b.open(1, 13, vec![]);
    b.frame(7, 12);
    b.step(10, Event::Tick);
    assert_eq!(b.commit(10), (vec![12], 12));
    assert_eq!(b.last_ack(), (12, None, false));
}

/// A spool that lost its end to damage passes over a sequence and says so in a loss: only then another chain goes on.
#[test]
fn a_spool_that_lost_its_end_to_damage_goes_on_behind_its_loss() {
    let skipped = Loss {
        first: Sequence(11),
        last: Sequence(11),
        samples: None,
        ts_min: None,
        ts_max: None,
        reason: model::record::LossReason::Skipped,
        destinations: Vec::new(),
    };
    for losses in [vec![skipped], vec![]] {
        let mut b = ten_frames();
        let goes_on = !losses.is_empty();
        // Frames 8 to 10 are gone there; its next segment begins with its dictionary.
        let next = 11 + u64::from(goes_on);
        let before = hash_of_frame(&b.chain_upto(7)[6]);
        let first = frame_of(RecordType::Dictionary, next, 0, before, &dictionary().to_record());
        let second = frame(next + 1, hash_of_frame(&first), &batch(12));
        b.open(1, next + 2, losses);
        send(&mut b, 3, &[first, second]);
        let (admitted, notices) = (b.admit.counters().frames_admitted, b.notices.clone());
        if goes_on {
            assert_eq!((admitted, notices), (12, vec![]));
            assert_eq!(
                b.admit.logs().map(|log| log.lost_frames).sum::<u64>(),
                0,
                "nothing is lost"
            );
        } else {
            assert_eq!((admitted, notices), (10, vec![NoticeKind::Forked]), "another spool");
        }
    }
}

#[test]
fn a_refused_log_is_named_with_the_frame_that_it_waits_for() {
    let mut b = ten_frames();
    let open = up("g1", LOG, &UpMessage::Open(open_of(1, 6, vec![])));
    let notices: Vec<Notice> = b
        .admit
        .step(at(3), open)
        .into_iter()
        .filter_map(|action| if let Action::Notice(notice) = action { Some(notice) } else { None })
        .collect();
    let [notice] = &notices[..] else { panic!("one notice: {notices:?}") };
    assert_eq!(notice.gateway, Some(gateway("g1")));
    assert_eq!(notice.log_id, Some(LOG));
    assert_eq!(notice.waits_for, Some(Sequence(11)));
    assert_eq!(
        notice.text,
        "its next frame is 6, but 10 was here: the spool is an old copy or a second one; its gateway begins a new log by itself and sends what it holds. If two gateways run with this id, give one of them another"
    );
}
