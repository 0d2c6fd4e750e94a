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

/// One reading of the first point of a dictionary.
fn batch_of(dictionary: &model::Dictionary) -> Batch {
    let time = at(0).wall;
    let sample = Sample::new(PointIndex(0), time, time, Quality::GOOD, Value::Decimal(1));
    Batch { dictionary: dictionary.hash(), samples: vec![sample] }
}

/// A log of gateway `n` that never was here, and a dictionary that it offers.
fn offer(b: &mut Bench, seconds: u64, n: u32, record: &[u8]) {
    let (name, log) = (format!("newcomer-{n}"), LogId([9; 16]));
    b.step(seconds, up(&name, log, &UpMessage::Open(open_of(1, 9, vec![]))));
    b.step(seconds, up(&name, log, &UpMessage::Dictionary(record)));
}

/// A gateway with many dictionaries, and 1 000 others that send dictionaries and nothing else: it is never asked for one
/// again, and each of its frames is admitted.
#[test]
fn the_dictionaries_of_an_established_gateway_stay_at_hand() {
    const DICTIONARIES: u32 = 100;
    const ROUNDS: u32 = 4;
    let mut b = Bench::from_store(&[("g1", 5)]);
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(6, 6, vec![]))));
    let mut own = Vec::new();
    for n in 0..DICTIONARIES {
        let dictionary = points_of("g1", n * 20, 20, 500);
        b.step(0, up("g1", LOG, &UpMessage::Dictionary(&dictionary.to_record())));
        own.push(batch_of(&dictionary));
    }
    assert_eq!(b.admit.counters().dropped.bound, 0, "its opening is read at once");
    let hostile = points_of("hostile", 0, 4_000, 0).to_record();
    let (mut sequence, mut before) = (5, [0; 32]);
    for round in 0..ROUNDS {
        let second = u64::from(round) * 10;
        for n in 0..250 {
            offer(&mut b, second, round * 250 + n, &hostile);
        }
        for batch in &own {
            sequence += 1;
            let bytes = frame(sequence, before, batch);
            before = hash_of_frame(&bytes);
            b.step(second, up("g1", LOG, &UpMessage::Frame(&bytes)));
        }
        b.step(second + 3, Event::Tick);
        while b.work.is_some() {
            b.commit(second + 3);
            b.step(second + 6, Event::Tick);
        }
    }
    let counters = b.admit.counters();
    assert_eq!(counters.frames_committed, u64::from(ROUNDS * DICTIONARIES));
    assert_eq!(counters.dropped.no_dictionary, 0);
    let read = 1_000 - counters.dropped.bound;
    assert!((10..100).contains(&read), "{read} of the others were read");
}

/// Among many that only send dictionaries, one that sends frames comes in; from its first commit on its dictionary stays.
#[test]
fn a_gateway_that_is_new_here_comes_in_among_others_that_only_send_dictionaries() {
    let mut b = Bench::new();
    let hostile = points_of("hostile", 0, 4_000, 0).to_record();
    let mut n = 0;
    let mut flood = |b: &mut Bench, seconds| {
        for _ in 0..20 {
            n += 1;
            offer(b, seconds, n, &hostile);
        }
    };
    flood(&mut b, 0);
    let mut seconds = 0;
    // It comes again, as it is asked to.
    while b.admit.counters().frames_admitted == 0 {
        seconds += 1;
        assert!(seconds < 10, "the budget of newcomers fills up");
        b.open(1, 1, vec![]);
        b.step(seconds, up("g1", LOG, &UpMessage::Dictionary(&dictionary().to_record())));
        b.frame(seconds, 1);
    }
    b.due(seconds + 2);
    b.commit(seconds + 2);
    for sequence in 2..6 {
        seconds += 4;
        flood(&mut b, seconds);
        b.frame(seconds, sequence);
        assert_eq!(b.admit.counters().frames_admitted, sequence);
    }
}

/// A gateway whose budget is used up is put off, and what cannot be read uses it up too.
#[test]
fn texts_that_cannot_be_read_are_paid_for() {
    let mut b = Bench::new();
    b.step(0, up("g1", LOG, &UpMessage::Open(open_of(1, 1, vec![]))));
    for n in 0..100 {
        b.step(0, up("g1", LOG, &UpMessage::Dictionary(&[n; 9])));
    }
    let dropped = b.admit.counters().dropped;
    assert_eq!((dropped.refused, dropped.bound), (32, 68), "8 MiB at 256 KiB each");
    // The same record within a log takes no other way.
    let record =
        frame_of(RecordType::Dictionary, 1, 0, hash_of_log_start(LOG), &dictionary().to_record());
    b.step(0, up("g1", LOG, &UpMessage::Frame(&record)));
    assert_eq!(b.admit.counters().dropped.bound, 69);
    b.step(9, up("g1", LOG, &UpMessage::Frame(&record)));
    assert_eq!(b.admit.counters().frames_admitted, 1);
}

/// Two gateways whose dictionaries are more than newcomers may have read at once: each is asked when some may be read again,
/// by turns. Without that each step took the gateway's own patience, 10 s and more.
#[test]
fn who_was_put_off_for_dictionaries_is_asked_when_they_may_be_read() {
    const DICTIONARIES: u32 = 12;
    let logs = [("g1", LOG), ("g2", LogId([8; 16]))];
    let log_of = |name: &str, log_id: LogId| {
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let mut before = hash_of_log_start(log_id);
        let mut push = |record_type, samples, body: &[u8]| {
            let sequence = frames.len() as u64 + 1;
            let bytes = frame_of(record_type, sequence, samples, before, body);
            before = hash_of_frame(&bytes);
            frames.push(bytes);
        };
        let dictionaries =
            (0..DICTIONARIES).map(|n| points_of(name, n * 4_000, 4_000, 250)).collect::<Vec<_>>();
        for dictionary in &dictionaries {
            push(RecordType::Dictionary, 0, &dictionary.to_record());
        }
        let batch = batch_of(&dictionaries[0]);
        push(RecordType::Data, 1, &model::codec::encode(&batch).unwrap());
        frames
    };
    let frames = logs.map(|(name, log_id)| log_of(name, log_id));
    let mut b = Bench::new();
    let send = |b: &mut Bench, seconds, which: usize, from: u64| {
        let (name, log_id) = logs[which];
        for bytes in &frames[which][usize::try_from(from).unwrap() - 1..] {
            b.step(seconds, up(name, log_id, &UpMessage::Frame(bytes)));
        }
    };
    for (which, (name, log_id)) in logs.into_iter().enumerate() {
        b.step(0, up(name, log_id, &UpMessage::Open(open_of(1, 14, vec![]))));
        send(&mut b, 0, which, 1);
    }
    assert!(b.admit.counters().dropped.bound > 0, "more than may be read at once");
    let mut seconds = 0;
    while b.admit.counters().samples_committed < 2 {
        seconds += 1;
        assert!(seconds < 20, "{:?}", b.admit.counters());
        b.acks.clear();
        b.step(seconds, Event::Tick);
        if b.work.take().is_some() {
            b.step(seconds, Event::Committed);
        }
        for ack in std::mem::take(&mut b.acks) {
            if let Some(want) = ack.wanted() {
                let which = logs.iter().position(|(_, log_id)| *log_id == ack.log_id).unwrap();
                send(&mut b, seconds, which, want.0);
            }
        }
    }
    assert_eq!(b.admit.counters().frames_committed, 2 * u64::from(DICTIONARIES + 1));
    assert_eq!(b.admit.next_tick(), None, "nobody waits any more");
}
