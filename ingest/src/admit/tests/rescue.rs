//! Frames that cannot be read go into quarantine and stop nobody; a store that goes back is asked again where it stands.

use contract::Watermark;
use model::Generation;

use super::*;
use crate::quarantine::Used;

fn with_room() -> Bench {
    let room = Used { frames: 2, bytes: 1_000_000 };
    let settings = AdmitSettings { quarantine_room: room, ..settings() };
    Bench {
        admit: Admit::new(settings, "run-1".into(), store(), [], Dictionaries::new()),
        ..Bench::new()
    }
}

/// A frame whose body is of a version that nobody knows.
fn unreadable(sequence: u64, before: [u8; 32]) -> Vec<u8> {
    let mut body = model::codec::encode(&batch(1)).unwrap();
    body[0] = 99;
    frame_of(RecordType::Data, sequence, 5, before, &body)
}

fn mark(upto: u64) -> Watermark {
    Watermark {
        durable_upto: Sequence(upto),
        generation: Generation(1),
        lost_frames: 0,
        lost_samples: 0,
        last_hash: None,
    }
}

#[test]
fn a_frame_that_cannot_be_read_goes_into_quarantine_and_its_log_goes_on() {
    let mut b = with_room();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    let bad = unreadable(2, [9; 32]);
    b.step(0, up("g1", LOG, &UpMessage::Frame(&bad)));
    b.frame(0, 3);
    let work = b.due(2);
    assert_eq!(work.quarantined.len(), 1);
    assert_eq!(work.quarantined[0].bytes, bad);
    let label = &work.quarantined[0].label;
    assert_eq!((label.sequence, label.samples), (Sequence(2), 5));
    assert!(label.reason.contains("99"), "{}", label.reason);
    let moved = &work.draft.watermarks[0];
    assert_eq!((moved.durable_upto, moved.lost_frames, moved.lost_samples), (Sequence(3), 1, 5));
    b.commit(2);
    assert_eq!(b.acks.last().unwrap().durable_upto, Sequence(3));
    assert!(b.notices.contains(&NoticeKind::Quarantined));
    assert_eq!(b.admit.counters().frames_quarantined, 1);
}

#[test]
fn a_log_that_ends_with_such_a_frame_has_its_hash_and_waits_only_when_the_quarantine_is_full() {
    let mut b = with_room();
    b.open(1, 1, vec![]);
    for sequence in 1..=2 {
        let bad = unreadable(sequence, [9; 32]);
        b.step(0, up("g1", LOG, &UpMessage::Frame(&bad)));
    }
    b.due(2);
    b.commit(2);
    let ack = b.acks.last().unwrap();
    let expected = model::FrameHash(hash_of_frame(&unreadable(2, [9; 32])));
    assert_eq!((ack.durable_upto, ack.hash), (Sequence(2), Some(expected)));
    b.step(3, up("g1", LOG, &UpMessage::Frame(&unreadable(3, [9; 32]))));
    b.step(6, Event::Tick);
    assert_eq!(b.acks.last().unwrap().durable_upto, Sequence(2));
    assert!(b.notices.contains(&NoticeKind::Refused));
}

/// A dictionary that cannot be read, and the frames that name it.
#[test]
fn frames_of_a_dictionary_that_cannot_be_read_are_not_waited_for() {
    let mut b = with_room();
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 9, vec![]))));
    let bad = frame_of(RecordType::Dictionary, 1, 0, [0; 32], b"no dictionary");
    b.step(0, up("g1", LOG, &UpMessage::Frame(&bad)));
    let names_it = frame(2, hash_of_frame(&bad), &batch(1));
    b.step(0, up("g1", LOG, &UpMessage::Frame(&names_it)));
    let work = b.due(2);
    assert_eq!(work.quarantined.len(), 2);
    assert_eq!(work.draft.watermarks[0].durable_upto, Sequence(2));
}

/// Trial brk-03: the folder of the lake was put back under a running serve, and 33 600 samples were missing from the count.
#[test]
fn a_store_that_goes_back_is_never_passed_over() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    for sequence in 1..=5 {
        b.frame(0, sequence);
    }
    b.due(2);
    b.commit(2);
    b.frame(3, 6);
    b.due(5);
    // The store is the one of an hour ago.
    let key = (gateway("g1"), LOG);
    let watermarks = Some(BTreeMap::from([(key, mark(2))]));
    let error = "does not join".to_owned();
    b.step(5, Event::CommitFailed { error, watermarks, identity: None });
    let ack = b.acks.last().unwrap();
    assert_eq!((ack.durable_upto, ack.open), (Sequence(2), true));
    assert_ne!(ack.ingest, "run-1", "the gateway begins again from the watermark");
    assert!(b.notices.contains(&NoticeKind::StoreWentBack));
    // The gateway freed the first five: three of them are lost, and counted.
    b.open(6, 6, vec![]);
    b.frame(6, 6);
    let work = b.due(20);
    let moved = &work.draft.watermarks[0];
    assert_eq!((moved.stood, moved.durable_upto, moved.lost_frames), (Sequence(2), Sequence(6), 3));
    assert!(b.notices.contains(&NoticeKind::Unaccounted));
}

/// A relative of brk-03: the folder holds another table now, and an ack in the name of the first would be a lie.
#[test]
fn acks_name_the_store_that_has_the_frames() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    b.due(2);
    b.commit(2);
    b.frame(3, 2);
    b.due(5);
    let identity = Some((model::StoreId::new("store-2").unwrap(), model::Epoch(0)));
    let watermarks = Some(BTreeMap::new());
    b.step(5, Event::CommitFailed { error: "swapped".into(), watermarks, identity });
    let ack = b.acks.last().unwrap();
    assert_eq!((ack.durable_upto, ack.store.as_str(), ack.open), (Sequence(0), "store-2", true));
}

/// A relative of brk-03: a failed commit of a store that stands where it stood changes nothing.
#[test]
fn a_store_that_only_failed_gets_the_same_draft_again() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    let first = b.due(2);
    let watermarks = Some(BTreeMap::new());
    b.step(2, Event::CommitFailed { error: "full".into(), watermarks, identity: None });
    let again = b.due(60);
    assert!(Arc::ptr_eq(&first, &again));
}

/// What the contract's joined draft would refuse for ever: a log that begins above 1 in a store that never saw it.
#[test]
fn a_log_that_another_centre_had_before_begins_where_its_gateway_begins() {
    let mut b = Bench::new();
    b.open(500, 500, vec![]);
    b.frame(0, 500);
    let work = b.due(2);
    assert_eq!(work.draft.watermarks[0].stood, Sequence(0));
    assert_eq!(work.draft.watermarks[0].durable_upto, Sequence(500));
}

#[test]
fn every_ack_names_the_store_and_the_frame_at_its_watermark() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    b.due(2);
    b.commit(2);
    let ack = b.acks.last().unwrap();
    assert_eq!((ack.store.as_str(), ack.epoch), ("store-1", model::Epoch(0)));
    assert_eq!(ack.hash, Some(model::FrameHash(hash_of_frame(&b.chain[0]))));
}

/// Each would take the other's readings for corrections of its own.
#[test]
fn two_gateways_that_write_one_point_are_told_apart_by_name() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    let other = LogId([8; 16]);
    let send = |b: &mut Bench, seconds| {
        b.step(seconds, up("g2", other, &UpMessage::Open(open_of(1, 9, vec![]))));
        b.step(seconds, up("g2", other, &UpMessage::Dictionary(&dictionary().to_record())));
        b.step(seconds, up("g2", other, &UpMessage::Frame(&frame(1, [0; 32], &batch(1)))));
    };
    send(&mut b, 1);
    assert!(b.notices.contains(&NoticeKind::PointTaken));
    assert_eq!(b.admit.counters().dropped.point_taken, 1);
    let fault = b.faults.last().and_then(|ack| ack.fault.as_ref()).unwrap();
    assert_eq!(fault.code, "point_taken");
    // The first one was replaced: it is not heard any more.
    send(&mut b, 1 + 15 * 60);
    assert_eq!(b.admit.counters().dropped.point_taken, 1);
    assert_eq!(b.admit.counters().frames_admitted, 2);
}

/// Points of the device that moves, and of another one.
fn dictionary_of_device(device: &str) -> model::Dictionary {
    let points = dictionary().points.into_iter().map(|mut point| {
        point.id = model::PointId::new(format!("acme/nb-1/{device}/{}", point.metric)).unwrap();
        device.clone_into(&mut point.device);
        point
    });
    model::Dictionary::new(points.collect()).unwrap()
}

/// One gateway of a plant where devices move, with its log.
struct Plant(Bench, BTreeMap<String, [u8; 32]>);

impl Plant {
    fn opens(&mut self, seconds: u64, name: &str, next: u64, devices: &[&model::Dictionary]) {
        let today = devices.iter().map(|dictionary| dictionary.hash()).collect();
        let open = Open { dictionaries: Some(today), ..open_of(1, next, vec![]) };
        self.0.step(seconds, up(name, LOG, &UpMessage::Open(open)));
        for dictionary in devices {
            self.0.step(seconds, up(name, LOG, &UpMessage::Dictionary(&dictionary.to_record())));
        }
    }

    /// Whether it was admitted.
    fn sends(&mut self, seconds: u64, name: &str, sequence: u64, of: &model::Dictionary) -> bool {
        let value = i64::try_from(seconds * 100 + sequence).unwrap();
        let batch = Batch { dictionary: of.hash(), ..batch(value) };
        let before = self.0.admit.counters().frames_admitted;
        let last = self.1.entry(name.to_owned()).or_insert_with(|| hash_of_log_start(LOG));
        let bytes = frame(sequence, *last, &batch);
        self.0.step(seconds, up(name, LOG, &UpMessage::Frame(&bytes)));
        let is_admitted = self.0.admit.counters().frames_admitted > before;
        if is_admitted {
            *last = hash_of_frame(&bytes);
        }
        is_admitted
    }
}

/// The log of the new gateway was refused until `serve` was started again.
#[test]
fn a_device_that_moves_to_another_gateway_is_free_when_the_old_one_opens_without_it() {
    let (main, other, third) = (
        dictionary_of_device("main"),
        dictionary_of_device("other"),
        dictionary_of_device("third"),
    );
    let mut p = Plant(Bench::new(), BTreeMap::new());
    p.opens(0, "g1", 1, &[&main, &other]);
    assert!(p.sends(0, "g1", 1, &main) && p.sends(0, "g1", 2, &other));
    // The new gateway begins too early: refused, and told by name what to do.
    p.opens(1, "g2", 1, &[&main, &third]);
    assert!(!p.sends(1, "g2", 1, &main));
    let fault = p.0.faults.last().and_then(|ack| ack.fault.clone()).unwrap();
    assert_eq!(fault.code, "point_taken");
    for said in ["`acme/nb-1/main/e_import`", "by gateway `g1`", "15 min"] {
        assert!(fault.text.contains(said), "{said}: {}", fault.text);
    }
    // A new connection of the old one, with the same devices, changes nothing.
    p.opens(2, "g1", 3, &[&main, &other]);
    assert!(!p.sends(2, "g2", 1, &main));
    // It is started without the device. The one that waits is asked at once.
    p.0.acks.clear();
    p.opens(4, "g1", 3, &[&other]);
    assert!(p.0.acks.iter().any(|ack| ack.wanted() == Some(Sequence(1))), "{:?}", p.0.acks);
    assert!(p.sends(4, "g2", 1, &main) && p.sends(4, "g2", 2, &third));
    // What the spool of the old one still held of the device is its own, and claims nothing.
    assert!(
        p.sends(5, "g1", 3, &main) && p.sends(5, "g2", 3, &main) && p.sends(5, "g1", 4, &other)
    );
    assert!(!p.sends(6, "g2", 4, &other), "of what it keeps nothing is free");
}

/// Relatives: one point of a device, a device that goes there and back, one that is gone for good and comes again.
#[test]
fn each_opening_says_what_a_gateway_claims() {
    let main = dictionary_of_device("main");
    let mut less = main.clone();
    let moved = less.points.remove(0);
    let moved = model::Dictionary::new(vec![moved]).unwrap();
    let mut p = Plant(Bench::new(), BTreeMap::new());
    p.opens(0, "g1", 1, &[&main]);
    assert!(p.sends(0, "g1", 1, &main));
    p.opens(1, "g1", 2, &[&less]);
    p.opens(1, "g2", 1, &[&moved]);
    assert!(p.sends(1, "g2", 1, &moved));
    // Back again: first the one has to give it up.
    p.opens(2, "g1", 2, &[&main]);
    assert!(!p.sends(2, "g1", 2, &main));
    p.opens(3, "g2", 2, &[]);
    assert!(p.sends(3, "g1", 2, &main));
    // A gateway is dead and another one has its devices; then the dead one comes again.
    let later = 3 + 15 * 60;
    p.opens(later, "g3", 1, &[&main]);
    assert!(p.sends(later, "g3", 1, &main));
    p.opens(later + 1, "g1", 3, &[&main]);
    assert!(!p.sends(later + 1, "g1", 3, &main), "both would write");
    assert!(p.sends(later + 2, "g3", 2, &main));
}
