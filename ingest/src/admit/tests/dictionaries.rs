//! Where the dictionary of a frame comes from, and what dictionaries may weigh.

use super::*;

#[test]
fn the_first_commit_of_a_dictionary_brings_it_along() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    for (seconds, dictionaries) in [(1, 1), (5, 0)] {
        b.frame(seconds, if seconds == 1 { 1 } else { 2 });
        b.step(seconds + 2, Event::Tick);
        assert_eq!(b.work.as_ref().unwrap().dictionaries.len(), dictionaries);
        b.commit(seconds + 2);
    }
}

#[test]
fn a_batch_of_an_unknown_dictionary_asks_for_it() {
    let mut b = Bench::new();
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 1, vec![]))));
    b.frame(0, 1);
    assert_eq!(b.last_ack(), (0, None, true));
    b.open(1, 2, vec![]);
    b.frame(0, 1);
    assert_eq!(b.admit.counters().frames_admitted, 1);
}

#[test]
fn a_dict_record_in_the_log_teaches_it() {
    let mut b = Bench::new();
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 1, vec![]))));
    let record =
        frame_of(RecordType::Dictionary, 1, 0, hash_of_log_start(LOG), &dictionary().to_record());
    b.step(0, up("g1", LOG, &UpMessage::Frame(&record)));
    b.frame(0, 2);
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![2], 2));
}

#[test]
fn a_log_goes_on_with_a_dictionary_that_only_the_store_has() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    b.step(2, Event::Tick);
    let work = b.work.as_ref().unwrap();
    let stored: Dictionaries = work.dictionaries.iter().cloned().collect();
    let moved = work.draft.watermarks[0].clone();
    let watermark = Watermark {
        durable_upto: moved.durable_upto,
        generation: model::Generation(1),
        lost_frames: 0,
        lost_samples: 0,
        last_hash: moved.last_hash,
    };
    let second = b.chain_upto(2)[1].clone();
    // Another run of ingest; the gateway offers the dictionary of its newest configuration only.
    let known = [((gateway("g1"), LOG), watermark)];
    b = Bench {
        admit: Admit::new(settings(), "run-2".into(), store(), known, stored),
        ..Bench::new()
    };
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 3, vec![]))));
    b.step(0, up("g1", LOG, &UpMessage::Frame(&second)));
    b.step(2, Event::Tick);
    assert!(b.work.as_ref().unwrap().dictionaries.is_empty(), "the store has it");
    assert_eq!(b.commit(2), (vec![2], 2));
}

#[test]
fn a_dict_record_is_kept_by_the_store_before_a_frame_names_it() {
    let mut b = Bench::new();
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 1, vec![]))));
    let record =
        frame_of(RecordType::Dictionary, 1, 0, hash_of_log_start(LOG), &dictionary().to_record());
    b.step(0, up("g1", LOG, &UpMessage::Frame(&record)));
    b.step(2, Event::Tick);
    assert_eq!(b.work.as_ref().unwrap().dictionaries[0].0, dictionary().hash());
    assert_eq!(b.commit(2), (vec![], 1));
}

#[test]
fn a_log_that_waits_for_a_dictionary_is_named() {
    let mut b = Bench::new();
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 1, vec![]))));
    b.frame(0, 1);
    b.frame(1, 1);
    assert_eq!(b.notices, [NoticeKind::NoDictionary]);
}

#[test]
fn the_dictionaries_of_a_gateway_are_bounded_in_bytes() {
    let mut b = Bench::new();
    let key = |n: u8| (gateway("g1"), LogId([n; 16]));
    for n in 0..5 {
        b.step(0, up("g1", key(n).1, &UpMessage::Open(open_of(1, 1, vec![]))));
        let named = (model::DictionaryHash([n; 32]), Arc::new(dictionary()));
        b.admit.logs.get_mut(&key(n)).unwrap().learn([n; 32], 10 << 20, named);
        b.admit.bound_dictionaries(&key(n));
        assert_eq!(b.admit.logs[&key(n)].dictionaries().0, 1, "the newest is kept");
        let bytes: u64 = b.admit.logs.values().map(|log| log.dictionaries().1).sum();
        assert_eq!(bytes, (u64::from(n) + 1).min(3) * (10 << 20), "as many as fit");
    }
}

#[test]
fn a_dict_record_weighs_what_it_holds_and_not_what_it_is_packed_to() {
    let mut b = Bench::new();
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 1, vec![]))));
    let mut dictionary = dictionary();
    dictionary.points[0].device_name.en = "x".repeat(100_000);
    let record = frame_of(RecordType::Dictionary, 1, 0, [0; 32], &dictionary.to_record());
    assert!(record.len() < 10_000);
    b.step(0, up("g1", LOG, &UpMessage::Frame(&record)));
    assert!(b.admit.total.bytes > 100_000, "INV-5: it is held unpacked");
}
