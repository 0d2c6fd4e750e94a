//! The uplink against a small model of an ingest that forgets, repeats and refuses.

mod simulation;

use proptest::prelude::*;

use super::*;

const LOG: LogId = LogId([7; 16]);
const RESEND: Duration = Duration::from_secs(10);

fn uplink(durable: u64) -> Uplink {
    let mut uplink = Uplink::new(LOG, Sequence(0), None, RESEND, Duration::from_mins(1));
    let event = Event::Durable { upto: Sequence(durable), oldest: Sequence(1), losses: 0 };
    assert_eq!(uplink.step(event, Duration::ZERO), []);
    uplink
}

fn ack(upto: u64, ingest: &str) -> Ack {
    Ack {
        v: model::ack::ACK_VERSION,
        log_id: LOG,
        store: model::StoreId::new("t").unwrap(),
        epoch: model::Epoch(0),
        ingest: ingest.to_owned(),
        durable_upto: Sequence(upto),
        hash: Some(FrameHash([1; 32])),
        class: DurabilityClass::D2,
        have: Vec::new(),
        want: Vec::new(),
        lane: model::Lane::Backlog,
        open: false,
        slow_ms: 0,
        fault: None,
    }
}

fn want(sequence: u64) -> Vec<model::SequenceRange> {
    model::SequenceRange::new(Sequence(sequence), Sequence(sequence)).into_iter().collect()
}

/// An ack that the spool finds right; what follows from it.
fn good(uplink: &mut Uplink, ack: Ack, now: Duration) -> Vec<Action> {
    let upto = ack.durable_upto;
    let mut rest = Vec::new();
    for action in uplink.step(Event::Ack(ack), now) {
        match action {
            Action::Free { .. } => {
                rest.extend(uplink.step(Event::Freed { upto, answer: Freed::Yes }, now));
            }
            Action::NoteStore { .. } => {}
            other => rest.push(other),
        }
    }
    rest
}

/// Carries out a send in full.
fn send(uplink: &mut Uplink, from: u64, to: u64, now: Duration) -> Vec<Action> {
    let round = uplink.round;
    for sequence in from..=to {
        let event = Event::Sent { round, sequence: Sequence(sequence), bytes: 100 };
        assert_eq!(uplink.step(event, now), []);
    }
    uplink.step(Event::SendDone { round }, now)
}

#[test]
fn that_another_gateway_has_its_id_is_told_for_a_while_and_stops_nothing() {
    let mut up = uplink(3);
    let now = Duration::ZERO;
    up.step(Event::Connected, now);
    send(&mut up, 1, 3, now);
    let text = "another gateway sends under the id `gw-1`";
    let fault = model::ack::AckFault { code: TWO_GATEWAYS.to_owned(), text: text.to_owned() };
    let told = Ack { fault: Some(fault), ..ack(2, "a") };
    assert_eq!(up.step(Event::Ack(told), now), []);
    assert_eq!(up.acked(), Sequence(0));
    good(&mut up, ack(2, "a"), now);
    assert_eq!((up.acked(), up.fault()), (Sequence(2), Some(text)));
    up.step(Event::Tick { chance: 0 }, TOLD_FOR.saturating_sub(Duration::from_secs(1)));
    assert_eq!(up.fault(), Some(text));
    up.step(Event::Tick { chance: 0 }, TOLD_FOR);
    assert_eq!(up.fault(), None);
}

/// INV-3, the half of the uplink: nothing but a commit ack frees.
#[test]
fn opens_sends_and_frees_for_the_commit_ack_alone() {
    let mut up = uplink(3);
    let now = Duration::ZERO;
    let sent = Action::Send { round: 1, from: Sequence(1), frames: 64, bytes: WINDOW_BYTES };
    assert_eq!(up.step(Event::Connected, now), [Action::Open { from: Sequence(1) }, sent]);
    assert_eq!(send(&mut up, 1, 3, now), []);
    assert_eq!(up.acked(), Sequence(0));
    let actions = up.step(Event::Ack(ack(2, "a")), now);
    let hash = Some(FrameHash([1; 32]));
    assert_eq!(actions.last(), Some(&Action::Free { upto: Sequence(2), hash }));
    assert_eq!(up.acked(), Sequence(0), "the spool compares the hash first");
    up.step(Event::Freed { upto: Sequence(2), answer: Freed::Yes }, now);
    assert_eq!(up.acked(), Sequence(2));
}

/// A centre whose broker came and went: its acks reached a gateway that waited on a timer which had grown, 108 s in all.
#[test]
fn any_sign_of_the_centre_ends_a_wait_that_grew_while_it_was_away() {
    let mut up = uplink(5);
    let second = Duration::from_secs(1);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 5, Duration::ZERO);
    good(&mut up, ack(1, "a"), Duration::ZERO);
    // Nobody answers, and each wait is longer.
    let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
    let mut longest = Duration::ZERO;
    while up.resends() < 6 {
        now += second;
        if !up.step(Event::Tick { chance: u64::MAX - 1 }, now).is_empty() {
            send(&mut up, 2, 5, now);
            (longest, last) = (longest.max(now.saturating_sub(last)), now);
        }
    }
    assert!(longest > RESEND * 2, "{longest:?}");
    // It is there and stands where it stood; what was sent since is not among what it holds.
    now += RESEND;
    assert_eq!(good(&mut up, ack(1, "a"), now), []);
    let again = up.step(Event::Tick { chance: 0 }, now);
    assert_eq!(again.first(), Some(&Action::Open { from: Sequence(2) }), "{again:?}");
    send(&mut up, 2, 5, now);
    // It holds all of it and cannot commit: nothing is gained by sending it again so soon.
    let have: Vec<_> = model::SequenceRange::new(Sequence(2), Sequence(5)).into_iter().collect();
    let before = up.resends();
    for _ in 0..6 {
        for _ in 0..=RESEND.as_secs() {
            now += second;
            good(&mut up, Ack { have: have.clone(), ..ack(1, "a") }, now);
            if !up.step(Event::Tick { chance: u64::MAX - 1 }, now).is_empty() {
                send(&mut up, 2, 5, now);
            }
        }
    }
    assert!(up.resends() - before < 5, "{} resends in a minute", up.resends() - before);
}

#[test]
fn an_ack_beyond_what_is_durable_here_is_not_believed() {
    let mut up = uplink(3);
    let actions = up.step(Event::Ack(ack(4, "a")), Duration::ZERO);
    assert!(!actions.iter().any(|action| matches!(action, Action::Free { .. })));
    assert_eq!(up.acked(), Sequence(0));
}

#[test]
fn a_send_that_got_nothing_out_waits_for_the_next_tick() {
    let mut up = uplink(3);
    up.step(Event::Connected, Duration::ZERO);
    let round = up.round;
    assert_eq!(up.step(Event::SendDone { round }, Duration::ZERO), []);
    let later = up.step(Event::Tick { chance: 0 }, Duration::from_millis(500));
    assert!(matches!(later[..], [Action::Send { from: Sequence(1), .. }]), "{later:?}");
    // Where one went out, the next are sent at once.
    let event = Event::Sent { round, sequence: Sequence(1), bytes: 100 };
    up.step(event, Duration::from_millis(500));
    let more = up.step(Event::SendDone { round }, Duration::from_millis(500));
    assert!(matches!(more[..], [Action::Send { from: Sequence(2), .. }]), "{more:?}");
}

/// INV-3: a store that forgot what it had gets it again, as far as it is still held.
#[test]
fn starts_again_from_the_watermark_of_a_store_that_is_new_or_older() {
    let check = |answer: Ack, from: u64| {
        let mut up = Uplink::new(LOG, Sequence(1_000), None, RESEND, Duration::from_mins(1));
        let event = Event::Durable { upto: Sequence(1_001), oldest: Sequence(900), losses: 0 };
        up.step(event, Duration::ZERO);
        let first = up.step(Event::Connected, Duration::ZERO);
        assert_eq!(first[0], Action::Open { from: Sequence(1_001) });
        send(&mut up, 1_001, 1_001, Duration::ZERO);
        let again = good(&mut up, answer, Duration::ZERO);
        assert_eq!(again[0], Action::Open { from: Sequence(from) }, "{again:?}");
        assert!(matches!(again[1], Action::Send { from: first, .. } if first.0 == from));
        // What it commits frees nothing twice: the spool never goes back.
        let told = up.step(Event::Ack(ack(from, "a")), Duration::ZERO);
        assert!(told.iter().all(|action| !matches!(action, Action::Free { .. })), "{told:?}");
    };
    check(Ack { want: want(900), ..ack(899, "a") }, 900);
    check(Ack { want: want(951), ..ack(950, "a") }, 951);
    // Nothing below the oldest can be sent; the opening tells.
    check(Ack { want: want(501), ..ack(500, "a") }, 900);
    check(Ack { open: true, ..ack(0, "a") }, 900);
}

#[test]
fn another_run_of_ingest_with_an_older_store_gets_what_it_lacks() {
    let mut up = uplink(9);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 9, Duration::ZERO);
    good(&mut up, ack(9, "a"), Duration::ZERO);
    let again = good(&mut up, ack(4, "b"), Duration::ZERO);
    assert_eq!(again[0], Action::Open { from: Sequence(5) });
}

/// Trial brk-01: nobody needs to move a folder.
#[test]
fn a_log_that_the_centre_is_ahead_of_begins_again_when_it_is_told_so_twice() {
    let second = Duration::from_secs(1);
    let ahead = Conflict::Ahead { committed: Sequence(100), durable: Sequence(90) };
    let check = |told: fn() -> Event, conflict: Conflict| {
        let mut up = uplink(90);
        up.step(Event::Connected, Duration::ZERO);
        let begins = |actions: &[Action]| {
            actions.iter().any(|action| matches!(action, Action::BeginLog { .. }))
        };
        assert!(!begins(&up.step(told(), Duration::ZERO)), "once may be an ack of yesterday");
        assert!(!begins(&up.step(told(), second)));
        let again = up.step(Event::Tick { chance: 0 }, CONFIRM_AFTER);
        assert!(matches!(again[0], Action::Open { .. }), "{again:?}");
        let actions = up.step(told(), CONFIRM_AFTER + second);
        assert!(actions.contains(&Action::BeginLog { conflict }), "{actions:?}");
        // The new log is another one: it goes on where the spool says.
        let log_id = LogId([9; 16]);
        let begun = Event::LogBegun { log_id, acked: Sequence(40) };
        let actions = up.step(begun, CONFIRM_AFTER + second);
        assert_eq!(actions[0], Action::Open { from: Sequence(41) });
        assert_eq!((up.log_id(), up.acked(), up.fault()), (log_id, Sequence(40), None));
        // What the old one was told counts no more.
        assert_eq!(up.step(told(), 9 * second), []);
    };
    check(|| Event::Ack(ack(100, "a")), ahead);
    let other = Conflict::OtherFrame { sequence: Sequence(80) };
    check(|| Event::Freed { upto: Sequence(80), answer: Freed::OtherFrame }, other);
}

/// Somebody who forges acks makes no more than one new log, and frees nothing.
#[test]
fn forged_acks_make_one_log_and_no_more() {
    let mut up = uplink(90);
    up.step(Event::Connected, Duration::ZERO);
    let mut logs = 0_u8;
    for second in 0..3_000 {
        let now = Duration::from_secs(second);
        let mut actions = up.step(Event::Tick { chance: 0 }, now);
        let forged = Ack { log_id: up.log_id(), ..ack(1_000_000, "x") };
        actions.extend(up.step(Event::Ack(forged), now));
        assert!(!actions.iter().any(|action| matches!(action, Action::Free { .. })));
        if actions.iter().any(|action| matches!(action, Action::BeginLog { .. })) {
            logs += 1;
            let (log_id, acked) = (LogId([logs; 16]), Sequence(0));
            up.step(Event::LogBegun { log_id, acked }, now);
        }
    }
    assert_eq!((logs, up.acked()), (1, Sequence(0)));
    assert!(up.fault().is_some_and(|fault| fault.contains("again within 60 minutes")));
}

/// The window must not stay full of what was committed together with a loss.
#[test]
fn a_watermark_on_a_loss_frees_nothing_and_lets_the_next_frames_go() {
    for answer in [Freed::NoFrame, Freed::NoHash] {
        let mut up = uplink(1_000);
        up.step(Event::Connected, Duration::ZERO);
        send(&mut up, 1, WINDOW_FRAMES, Duration::ZERO);
        up.step(Event::Ack(ack(70, "a")), Duration::ZERO);
        let actions = up.step(Event::Freed { upto: Sequence(70), answer }, Duration::ZERO);
        assert!(matches!(actions[..], [Action::Send { from: Sequence(71), .. }]), "{actions:?}");
        assert_eq!(up.acked(), Sequence(0));
        assert_eq!(up.fault().is_some(), answer == Freed::NoHash, "{:?}", up.fault());
        good(&mut up, ack(71, "a"), Duration::ZERO);
        assert_eq!((up.acked(), up.fault()), (Sequence(71), None));
    }
}

/// Another store, or the same one gone back, gets what it lacks.
#[test]
fn another_store_or_epoch_is_noted_and_starts_again() {
    let mut up = uplink(9);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 9, Duration::ZERO);
    good(&mut up, ack(9, "a"), Duration::ZERO);
    let back = Ack { epoch: Epoch(1), ..ack(4, "a") };
    let actions = up.step(Event::Ack(back.clone()), Duration::ZERO);
    let (store, epoch) = (back.store.clone(), back.epoch);
    assert_eq!(actions[0], Action::NoteStore { store, epoch });
    assert_eq!(actions[1], Action::Open { from: Sequence(5) });
    let other = Ack { store: StoreId::new("other").unwrap(), ..ack(2, "a") };
    let actions = up.step(Event::Ack(other), Duration::ZERO);
    assert_eq!(actions[1], Action::Open { from: Sequence(3) });
}

/// `status` lost "point … is written by gateway …" for up to 45 s when a frame from before the refused one was committed.
#[test]
fn a_refusal_stands_until_the_centre_takes_a_later_frame() {
    let refusal = |taken: u64| {
        let text = "point `p` is written by gateway `g1`".to_owned();
        let fault = model::AckFault { code: "point_taken".to_owned(), text };
        let have = model::SequenceRange::new(Sequence(1), Sequence(taken)).into_iter().collect();
        Ack { fault: Some(fault), have, ..ack(0, "a") }
    };
    let refused = || {
        let mut up = uplink(9);
        up.step(Event::Connected, Duration::ZERO);
        send(&mut up, 1, 9, Duration::ZERO);
        good(&mut up, ack(1, "a"), Duration::ZERO);
        up.step(Event::Ack(refusal(4)), Duration::ZERO);
        up
    };
    let mut up = refused();
    for upto in 2..=4 {
        good(&mut up, ack(upto, "a"), Duration::ZERO);
        let fault = up.fault().unwrap_or_default();
        assert!(fault.contains("the centre refuses this log: point `p`"), "{upto}: {fault}");
    }
    up.step(Event::Disconnected, Duration::ZERO);
    up.step(Event::Connected, Duration::ZERO);
    assert!(up.fault().is_some(), "a new connection is no later frame");
    good(&mut up, ack(5, "a"), Duration::ZERO);
    assert_eq!(up.fault(), None);
    // It need not be durable yet.
    let mut up = refused();
    up.step(Event::Ack(Ack { have: want(5), ..ack(4, "a") }), Duration::ZERO);
    assert_eq!(up.fault(), None);
    // Another run of the centre says for itself what it refuses.
    let mut up = refused();
    up.step(Event::Ack(ack(1, "b")), Duration::ZERO);
    assert_eq!(up.fault(), None);
}

#[test]
fn a_fault_of_the_centre_is_shown_and_frees_nothing() {
    let mut up = uplink(9);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 9, Duration::ZERO);
    let fault = model::AckFault { code: "refused".to_owned(), text: "the lake is full".to_owned() };
    assert_eq!(up.step(Event::Ack(Ack { fault: Some(fault), ..ack(9, "a") }), Duration::ZERO), []);
    assert_eq!(up.fault(), Some("the centre refuses this log: the lake is full"));
    good(&mut up, ack(9, "a"), Duration::ZERO);
    assert_eq!((up.fault(), up.acked()), (None, Sequence(9)));
}

#[test]
fn a_centre_that_asks_for_time_gets_it() {
    let mut up = uplink(100);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 64, Duration::ZERO);
    let slow = Ack { slow_ms: 5_000, ..ack(10, "a") };
    assert_eq!(good(&mut up, slow, Duration::ZERO), []);
    let tick = |up: &mut Uplink, s| up.step(Event::Tick { chance: 0 }, Duration::from_secs(s));
    assert_eq!(tick(&mut up, 4), []);
    assert!(matches!(tick(&mut up, 5)[..], [Action::Send { .. }]));
}

#[test]
fn a_frame_that_was_sent_was_durable_before_it_was_said_so() {
    let mut up = uplink(3);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 5, Duration::ZERO);
    good(&mut up, ack(5, "a"), Duration::ZERO);
    assert_eq!(up.acked(), Sequence(5));
}

/// INV-5: what is only in the memory of the centre, or of its machine, frees nothing.
#[test]
fn an_ack_that_promises_too_little_frees_nothing() {
    for class in [DurabilityClass::D0, DurabilityClass::D1] {
        let mut up = uplink(3);
        up.step(Event::Connected, Duration::ZERO);
        send(&mut up, 1, 3, Duration::ZERO);
        assert_eq!(up.step(Event::Ack(Ack { class, ..ack(3, "a") }), Duration::ZERO), []);
        assert_eq!(up.acked(), Sequence(0));
    }
}

#[test]
fn an_ack_for_another_log_frees_nothing() {
    let mut up = uplink(3);
    let other = Ack { log_id: LogId([8; 16]), ..ack(3, "a") };
    assert_eq!(up.step(Event::Ack(other), Duration::ZERO), []);
    assert_eq!(up.acked(), Sequence(0));
}

#[test]
fn starts_again_when_another_run_of_ingest_answers() {
    let mut up = uplink(3);
    let now = Duration::ZERO;
    up.step(Event::Connected, now);
    send(&mut up, 1, 3, now);
    good(&mut up, ack(1, "a"), now);
    let again = good(&mut up, ack(1, "b"), now);
    assert_eq!(again[0], Action::Open { from: Sequence(2) });
    assert!(matches!(again[1], Action::Send { from: Sequence(2), .. }), "{again:?}");
}

/// INV-10: time comes in, so that hours pass at once here.
#[test]
fn starts_again_when_nothing_was_committed_for_long() {
    let mut up = uplink(3);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 3, Duration::ZERO);
    assert_eq!(up.step(Event::Tick { chance: 0 }, Duration::from_secs(9)), []);
    let again = up.step(Event::Tick { chance: 0 }, Duration::from_secs(10));
    assert_eq!(again[0], Action::Open { from: Sequence(1) });
}

#[test]
fn a_want_is_served_once_per_patience() {
    let mut up = uplink(3);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 3, Duration::ZERO);
    let want = Ack { want: want(2), ..ack(1, "a") };
    let first = good(&mut up, want.clone(), Duration::ZERO);
    assert_eq!(first[0], Action::Open { from: Sequence(2) });
    send(&mut up, 2, 3, Duration::ZERO);
    assert_eq!(up.step(Event::Ack(want.clone()), Duration::from_secs(1)), []);
    let later = up.step(Event::Ack(want), RESEND);
    assert_eq!(later[0], Action::Open { from: Sequence(2) });
}

#[test]
fn what_an_older_round_still_reports_is_passed_over() {
    let mut up = uplink(9);
    up.step(Event::Connected, Duration::ZERO);
    let again = up.step(Event::Ack(Ack { open: true, ..ack(0, "a") }), Duration::ZERO);
    assert!(matches!(again[2], Action::Send { round: 2, .. }), "{again:?}");
    up.step(Event::Sent { round: 1, sequence: Sequence(5), bytes: 1 }, Duration::ZERO);
    up.step(Event::SendDone { round: 1 }, Duration::ZERO);
    send(&mut up, 1, 1, Duration::ZERO);
    assert_eq!(up.sent, Sequence(1));
}

#[test]
fn a_new_loss_is_told_at_once() {
    let mut up = uplink(3);
    up.step(Event::Connected, Duration::ZERO);
    send(&mut up, 1, 3, Duration::ZERO);
    let event = Event::Durable { upto: Sequence(9), oldest: Sequence(6), losses: 1 };
    let told = up.step(event, Duration::ZERO);
    assert_eq!(told[0], Action::Open { from: Sequence(6) });
    assert!(matches!(told[1], Action::Send { from: Sequence(6), .. }), "{told:?}");
}

/// INV-6.
#[test]
fn never_has_more_than_its_window_under_way() {
    let mut up = uplink(1_000);
    let now = Duration::ZERO;
    let actions = up.step(Event::Connected, now);
    assert!(matches!(actions[1], Action::Send { frames: WINDOW_FRAMES, .. }), "{actions:?}");
    assert_eq!(send(&mut up, 1, WINDOW_FRAMES, now), []);
    let next = good(&mut up, ack(10, "a"), now);
    assert!(matches!(next[0], Action::Send { from: Sequence(65), frames: 10, .. }), "{next:?}");
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    DropFrame,
    DropAck,
    Reconnect,
    IngestRestart,
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let one = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::DropFrame),
        1 => Just(Fault::DropAck),
        1 => Just(Fault::Reconnect),
        1 => Just(Fault::IngestRestart),
    ];
    proptest::collection::vec(one, 0..80)
}

proptest! {
    /// Whatever is lost on the way, once the faults end everything is committed, in order and once.
    #[test]
    fn everything_is_committed_in_the_end(faults in faults(), frames in 1..200_u64) {
        let mut up = uplink(frames);
        let (mut committed, mut run) = (0_u64, 0_u32);
        let mut now = Duration::ZERO;
        let mut todo = up.step(Event::Connected, now);
        let mut faults = faults.into_iter();
        for _ in 0..2_000 {
            let mut next = Vec::new();
            for action in std::mem::take(&mut todo) {
                let Action::Send { round, from, frames: most, .. } = action else { continue };
                let last = frames.min(from.0 + most - 1);
                for sequence in from.0..=last {
                    let fault = faults.next().unwrap_or(Fault::None);
                    let event = Event::Sent { round, sequence: Sequence(sequence), bytes: 10 };
                    next.extend(up.step(event, now));
                    if sequence == committed + 1 && !matches!(fault, Fault::DropFrame) {
                        committed += 1;
                    }
                    match fault {
                        Fault::IngestRestart => run += 1,
                        Fault::Reconnect => {
                            next.extend(up.step(Event::Disconnected, now));
                            next.extend(up.step(Event::Connected, now));
                            break;
                        }
                        _ => {}
                    }
                    if !matches!(fault, Fault::DropAck) {
                        next.extend(good(&mut up, ack(committed, &run.to_string()), now));
                    }
                }
                next.extend(up.step(Event::SendDone { round }, now));
            }
            if up.acked().0 == frames {
                break;
            }
            now += Duration::from_secs(5);
            next.extend(up.step(Event::Tick { chance: 3 }, now));
            todo = next;
        }
        prop_assert_eq!(committed, frames);
        prop_assert_eq!(up.acked().0, frames);
    }
}
