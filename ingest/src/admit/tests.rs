//! Admission against frames made by hand, and against a model of gateways, a forgetful broker and a store that fails.

use std::sync::Arc;

use model::ack::TWO_GATEWAYS;
use model::fixtures::{dictionary, gateway};
use model::frame::{hash_of_frame, hash_of_log_start};
use model::{Ack, Batch, Lane, Loss, PointIndex, Quality, RecordType, Sample, Timestamp, Value};

use super::fixtures::*;
use super::*;

mod dictionaries;
mod forks;
mod losses;
mod model_test;
mod rescue;

pub(super) const INTERVAL: Duration = Duration::from_secs(2);

pub(super) fn settings() -> AdmitSettings {
    AdmitSettings {
        commit_interval: INTERVAL,
        retry_max: Duration::from_secs(30),
        samples_max: 1_000_000,
        quarantine_room: crate::quarantine::Used::default(),
    }
}

fn failed(error: &str) -> Event {
    Event::CommitFailed { error: error.to_owned(), watermarks: None, identity: None }
}

pub(super) fn at(seconds: u64) -> Now {
    // 2026-11-23, the day in the samples below.
    let wall = Timestamp(1_795_392_000_000_000);
    Now { monotonic: Duration::from_secs(seconds), wall }
}

/// One gateway `g1` with one log, and a store that commits when it is told to.
struct Bench {
    admit: Admit,
    work: Option<Arc<Work>>,
    acks: Vec<Ack>,
    /// Acks that say why a log does not go on; they free nothing.
    faults: Vec<Ack>,
    notices: Vec<NoticeKind>,
    /// The dictionaries that the gateway has today, each time it said so.
    configured: Vec<Vec<Arc<model::Dictionary>>>,
    /// The frames of the log, each naming the one before it.
    chain: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        Self::from_store(&[])
    }

    fn from_store(known: &[(&str, u64)]) -> Self {
        let watermark = |upto| Watermark {
            durable_upto: Sequence(upto),
            generation: model::Generation(1),
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        };
        let known = known.iter().map(|(name, upto)| ((gateway(name), LOG), watermark(*upto)));
        let admit = Admit::new(
            settings(),
            "run-1".into(),
            store(),
            known.collect::<Vec<_>>(),
            Dictionaries::new(),
        );
        Self {
            admit,
            work: None,
            acks: Vec::new(),
            faults: Vec::new(),
            notices: Vec::new(),
            configured: Vec::new(),
            chain: Vec::new(),
        }
    }

    fn step(&mut self, seconds: u64, event: Event) {
        for action in self.admit.step(at(seconds), event) {
            match action {
                Action::Ack { ack, .. } if ack.fault.is_some() => self.faults.push(ack),
                Action::Ack { ack, .. } => self.acks.push(ack),
                Action::Notice(notice) => self.notices.push(notice.kind),
                Action::Commit(work) => self.work = Some(work),
                Action::Configured { dictionaries, .. } => self.configured.push(dictionaries),
            }
        }
    }

    fn open(&mut self, oldest: u64, next: u64, losses: Vec<Loss>) {
        self.step(0, up("g1", LOG, &UpMessage::Open(open_of(oldest, next, losses))));
        self.step(0, up("g1", LOG, &UpMessage::Dictionary(&dictionary().to_record())));
    }

    fn frame(&mut self, seconds: u64, sequence: u64) {
        let bytes = self.chain_upto(sequence).last().unwrap();
        let event = up("g1", LOG, &UpMessage::Frame(bytes));
        self.step(seconds, event);
    }

    fn chain_upto(&mut self, sequence: u64) -> &[Vec<u8>] {
        while (self.chain.len() as u64) < sequence {
            let before = self.chain.last().map_or(hash_of_log_start(LOG), |f| hash_of_frame(f));
            let next = i64::try_from(self.chain.len()).unwrap() + 1;
            self.chain.push(frame(next.unsigned_abs(), before, &batch(next)));
        }
        &self.chain[..usize::try_from(sequence).unwrap()]
    }

    /// The commit that is due by then.
    fn due(&mut self, seconds: u64) -> Arc<Work> {
        self.step(seconds, Event::Tick);
        Arc::clone(self.work.as_ref().expect("a commit is due"))
    }

    /// Lets the commit under way go well; returns the sequences of its frames and the watermark it leads to.
    fn commit(&mut self, seconds: u64) -> (Vec<u64>, u64) {
        let work = self.work.take().expect("a commit is under way");
        self.step(seconds, Event::Committed);
        let frames = work.draft.frames.iter().map(|frame| frame.sequence.0).collect();
        (frames, work.draft.watermarks[0].durable_upto.0)
    }

    fn last_ack(&self) -> (u64, Option<u64>, bool) {
        let ack = self.acks.last().expect("an ack was sent");
        (ack.durable_upto.0, ack.wanted().map(|want| want.0), ack.open)
    }
}

#[test]
fn a_frame_is_acknowledged_only_after_its_commit() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    assert_eq!(b.last_ack(), (0, None, false));
    b.frame(0, 1);
    b.frame(0, 2);
    assert!(b.work.is_none(), "frames are gathered for the interval");
    b.step(2, Event::Tick);
    assert_eq!(b.acks.len(), 1, "INV-5: no ack before the store answers");
    assert_eq!(b.commit(3), (vec![1, 2], 2));
    assert_eq!(b.last_ack(), (2, None, false));
    assert!(b.admit.is_idle());
}

#[test]
fn duplicates_are_dropped_and_counted() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    b.frame(0, 1);
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![1], 1));
    b.frame(9, 1);
    assert_eq!(b.admit.counters().dropped.duplicate, 2);
    assert_eq!(b.last_ack(), (1, None, false), "the gateway may have missed the ack");
    assert!(b.admit.is_idle());
}

#[test]
fn a_hole_is_asked_for_once_in_a_while() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    for sequence in 3..40 {
        b.frame(1, sequence);
    }
    assert_eq!(b.acks.len(), 2);
    assert_eq!(b.last_ack(), (0, Some(2), false));
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![1], 1));
    assert_eq!(b.last_ack(), (1, Some(2), false));
    b.frame(3, 2);
    b.step(5, Event::Tick);
    assert_eq!(b.commit(5), (vec![2], 2));
    assert_eq!(b.last_ack(), (2, None, false));
    assert_eq!(b.admit.counters().dropped.hole, 37);
}

#[test]
fn what_exceeds_the_bound_is_dropped_and_asked_for_after_the_commit() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    for sequence in 1..=GATEWAY_FRAMES_MAX + 5 {
        b.frame(0, sequence);
    }
    let counters = *b.admit.counters();
    assert_eq!(counters.frames_admitted, GATEWAY_FRAMES_MAX);
    assert_eq!((counters.dropped.bound, counters.dropped.hole), (1, 4));
    b.step(1, Event::Tick);
    let (frames, upto) = b.commit(1);
    assert_eq!(frames.len() as u64, GATEWAY_FRAMES_MAX, "a full window hastens the commit");
    assert_eq!(b.last_ack(), (upto, Some(GATEWAY_FRAMES_MAX + 1), false));
}

#[test]
fn frames_of_a_log_that_was_not_opened_in_this_run_are_answered_with_a_request() {
    let mut b = Bench::from_store(&[("g1", 7)]);
    b.frame(0, 8);
    assert_eq!(b.last_ack(), (7, None, true));
    let mut unknown = Bench::new();
    unknown.frame(0, 8);
    assert_eq!(unknown.last_ack(), (0, None, true));
    assert_eq!(unknown.admit.counters().dropped.not_opened, 1);
}

#[test]
fn the_next_spool_of_a_gateway_with_many_old_ones_is_accepted() {
    let watermark = Watermark {
        durable_upto: Sequence(9),
        generation: model::Generation(1),
        lost_frames: 0,
        lost_samples: 0,
        last_hash: None,
    };
    let old = |n: usize| ((gateway("g1"), LogId([u8::try_from(n).unwrap() + 100; 16])), watermark);
    let known: Vec<_> = (0..LOGS_PER_GATEWAY_MAX).map(old).collect();
    let admit = Admit::new(settings(), "run-1".into(), store(), known, Dictionaries::new());
    let mut b = Bench { admit, ..Bench::new() };
    b.open(1, 1, vec![]);
    assert_eq!(b.notices, []);
    b.frame(0, 1);
    assert_eq!(b.admit.counters().frames_admitted, 1);
}

#[test]
fn a_new_log_starts_at_its_oldest_frame() {
    let mut b = Bench::new();
    b.open(100, 101, vec![]);
    assert_eq!(b.last_ack(), (99, None, false));
    b.frame(0, 100);
    b.step(2, Event::Tick);
    assert_eq!(b.commit(2), (vec![100], 100));
    assert_eq!(b.admit.counters().frames_lost, 0);
}

#[test]
fn two_logs_of_a_gateway_by_turns_are_told_and_a_new_spool_is_not() {
    let mut b = Bench::new();
    let open = |b: &mut Bench, n| {
        let open = UpMessage::Open(open_of(1, 1, vec![]));
        b.step(0, up("g1", LogId([n; 16]), &open));
        b.step(0, up("g1", LogId([n; 16]), &UpMessage::Dictionary(&dictionary().to_record())));
    };
    open(&mut b, 1);
    open(&mut b, 2);
    open(&mut b, 3);
    assert_eq!(b.notices, []);
    assert!(b.faults.is_empty());
    // Each is told at its own turn, and not at each of them.
    for n in [2, 3, 2, 3] {
        open(&mut b, n);
    }
    assert_eq!(b.notices, [NoticeKind::TwoLogs]);
    let told = |ack: &Ack| (ack.log_id.0[0], ack.fault.as_ref().unwrap().code.clone());
    let expected = [2, 3].map(|n| (n, TWO_GATEWAYS.to_owned()));
    assert_eq!(b.faults.iter().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn an_opening_that_contradicts_itself_is_refused() {
    let check = |oldest, next, losses| {
        let mut b = Bench::new();
        b.step(0, up("g1", LOG, &UpMessage::Open(open_of(oldest, next, losses))));
        assert_eq!(b.admit.counters().dropped.refused, 1);
        assert_eq!(b.admit.logs().count(), 0);
    };
    check(0, 1, vec![]);
    check(7, 6, vec![]);
    check(1, 999, (1..=257).map(|n| lost(n, n, 1)).collect());
}

#[test]
fn more_logs_than_are_looked_after_are_refused() {
    let mut b = Bench::new();
    for n in 0..=LOGS_PER_GATEWAY_MAX {
        let log_id = LogId([u8::try_from(n).unwrap(); 16]);
        b.step(0, up("g1", log_id, &UpMessage::Open(open_of(1, 1, vec![]))));
    }
    assert_eq!(b.admit.logs().count(), LOGS_PER_GATEWAY_MAX);
    assert_eq!(b.admit.counters().dropped.too_many_logs, 1);
    assert_eq!(b.notices, [NoticeKind::TooManyLogs]);
}

#[test]
fn what_cannot_be_read_is_refused_once_a_minute_and_moves_nothing() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    let good = frame(1, [0; 32], &batch(1));
    let mut versions = Vec::new();
    let mut wire = UpMessage::Frame(&good).encode(LOG, Lane::Backlog);
    wire[3] = 9;
    versions.push(wire);
    for (offset, value) in [(2, 9), (3, 77), (50, 1), (90, 1)] {
        let mut bytes = good.clone();
        bytes[offset] ^= value;
        versions.push(UpMessage::Frame(&bytes).encode(LOG, Lane::Backlog));
    }
    let mut body = model::codec::encode(&batch(1)).unwrap();
    body[0] = 9;
    let newer = frame_of(RecordType::Data, 1, 1, [0; 32], &body);
    versions.push(UpMessage::Frame(&newer).encode(LOG, Lane::Backlog));
    let miscounted =
        frame_of(RecordType::Data, 1, 2, [0; 32], &model::codec::encode(&batch(1)).unwrap());
    versions.push(UpMessage::Frame(&miscounted).encode(LOG, Lane::Backlog));
    let count = versions.len() as u64;
    for message in versions {
        b.step(0, Event::Up { gateway: gateway("g1"), message: message.into() });
    }
    assert_eq!(b.admit.counters().dropped.refused, count);
    assert_eq!(b.notices, [NoticeKind::Refused]);
    b.step(60, Event::Up { gateway: gateway("g1"), message: vec![1, 2, 3].into() });
    assert_eq!(b.notices.len(), 2);
    assert!(b.admit.is_idle());
}

#[test]
fn nobody_is_asked_to_send_again_what_was_refused() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    let mut damaged = frame(2, [0; 32], &batch(2));
    damaged[90] ^= 1;
    b.step(0, up("g1", LOG, &UpMessage::Frame(&damaged)));
    b.frame(0, 3);
    b.step(2, Event::Tick);
    b.commit(2);
    b.frame(9, 4);
    assert!(b.acks.iter().all(|ack| ack.want.is_empty()), "{:?}", b.acks);
    b.frame(9, 2);
    b.frame(9, 4);
    assert_eq!(b.last_ack(), (1, Some(3), false));
}

#[test]
fn a_row_that_the_store_would_refuse_is_refused_here() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    let sample = |point, time, value| Sample {
        point: PointIndex(point),
        source_time: Timestamp(time),
        gateway_time: Timestamp(1),
        quality: Quality::GOOD,
        flags: model::SampleFlags::default(),
        value: Some(value),
    };
    for wrong in [
        sample(2, 1, Value::Decimal(1)),
        sample(0, 1, Value::Float(1.0)),
        sample(1, 1, Value::Decimal(1)),
        sample(0, -1, Value::Decimal(1)),
        sample(0, Timestamp::MAX.0 + 1, Value::Decimal(1)),
    ] {
        let batch = Batch { dictionary: dictionary().hash(), samples: vec![wrong] };
        let bytes = frame(1, [0; 32], &batch);
        b.step(0, up("g1", LOG, &UpMessage::Frame(&bytes)));
    }
    assert_eq!(b.admit.counters().dropped.refused, 5);
    assert!(b.admit.is_idle());
}

#[test]
fn a_broken_chain_is_counted_and_admitted() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    let first = frame(1, hash_of_log_start(LOG), &batch(1));
    let second = frame(2, hash_of_frame(&first), &batch(2));
    let third = frame(3, [9; 32], &batch(3));
    for (bytes, breaks) in [(first, 0), (second, 0), (third, 1)] {
        b.step(0, up("g1", LOG, &UpMessage::Frame(&bytes)));
        assert_eq!(b.admit.counters().chain_breaks, breaks);
    }
    assert_eq!(b.admit.counters().frames_admitted, 3);
    assert_eq!(b.notices, [NoticeKind::ChainBreak]);
}

#[test]
fn a_failed_commit_is_tried_again_and_acknowledged_only_then() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    b.step(2, Event::Tick);
    let acks = b.acks.len();
    for seconds in [3, 5, 9] {
        b.work.take().expect("another attempt");
        b.step(seconds, failed("no space left on device"));
        b.step(seconds, Event::Tick);
        assert!(b.work.is_none(), "the next attempt waits");
        b.frame(seconds, seconds);
        b.step(seconds + 1, Event::Tick);
    }
    assert_eq!(b.acks.iter().skip(acks).filter(|ack| ack.durable_upto.0 > 0).count(), 0);
    assert_eq!(b.commit(11), (vec![1], 1));
    assert_eq!(b.notices, [NoticeKind::CommitsFail, NoticeKind::CommitsAgain]);
    assert_eq!(b.admit.counters().commit_failures, 3);
}

#[test]
fn flush_commits_at_once_and_never_twice_at_a_time() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    b.frame(0, 1);
    b.step(0, Event::Flush);
    b.work.take().expect("no waiting for the interval");
    b.step(0, failed("busy"));
    b.step(1, Event::Tick);
    b.work.as_ref().expect("the second attempt");
    b.step(1, Event::Flush);
    assert_eq!(b.commit(1), (vec![1], 1));
    assert!(b.admit.is_idle() && b.work.is_none());
}

#[test]
fn every_known_log_is_announced_when_the_broker_comes() {
    let mut b = Bench::from_store(&[("g1", 7), ("g2", 9)]);
    b.step(0, Event::Connected);
    let told: Vec<u64> = b.acks.iter().map(|ack| ack.durable_upto.0).collect();
    assert_eq!(told, [7, 9]);
}

/// What was sent while the broker was away is lost, and the gateway does not know: it sent again only when its growing timer
/// said so, which took 108 s of a line that was well.
#[test]
fn what_was_sent_while_the_broker_was_away_is_asked_for_when_it_comes_again() {
    let mut b = Bench::new();
    b.open(1, 9, vec![]);
    b.frame(0, 1);
    b.acks.clear();
    b.step(3, Event::Connected);
    assert_eq!(b.last_ack(), (0, Some(2), false));
    b.due(3);
    b.commit(3);
    b.acks.clear();
    b.step(9, Event::Connected);
    assert_eq!(b.last_ack(), (1, Some(2), false));
}

/// The dictionaries follow the opening that names them.
#[test]
fn the_devices_of_a_gateway_are_told_once_everything_is_here_that_describes_them() {
    let mut b = Bench::new();
    let dictionary = dictionary();
    let open = Open { dictionaries: Some(vec![dictionary.hash()]), ..open_of(1, 9, vec![]) };
    b.step(0, up("g1", LOG, &UpMessage::Open(open.clone())));
    assert_eq!(b.configured.len(), 0);
    b.step(0, up("g1", LOG, &UpMessage::Dictionary(&dictionary.to_record())));
    assert_eq!(b.configured.len(), 1);
    assert_eq!(b.configured[0][0].hash(), dictionary.hash());
    b.frame(0, 1);
    assert_eq!(b.configured.len(), 1, "once for each opening");
    b.step(0, up("g1", LOG, &UpMessage::Open(open.clone())));
    assert_eq!(b.configured.len(), 2);
    // One that names more than a log may have says nothing.
    let hashes = vec![DictionaryHash([1; 32]); crate::admit::dictionaries::DICTIONARIES_MAX + 1];
    b.step(0, up("g1", LOG, &UpMessage::Open(Open { dictionaries: Some(hashes), ..open })));
    assert_eq!(b.configured.len(), 2);
}

#[test]
fn suspect_clocks_are_counted_and_old_source_times_are_not() {
    let mut b = Bench::new();
    b.open(1, 1, vec![]);
    let wall = at(0).wall.0;
    let day = 86_400_000_000;
    let samples = [(1, wall), (2, wall - 401 * day), (3, wall + day)].map(|(source, gateway)| {
        Sample::new(
            PointIndex(0),
            Timestamp(source),
            Timestamp(gateway),
            Quality::GOOD,
            Value::Decimal(1),
        )
    });
    let batch = Batch { dictionary: dictionary().hash(), samples: samples.to_vec() };
    let bytes = frame(1, hash_of_log_start(LOG), &batch);
    b.step(0, up("g1", LOG, &UpMessage::Frame(&bytes)));
    assert_eq!(b.admit.counters().suspect_clock, 2);
    assert_eq!(b.admit.counters().frames_admitted, 1);
}
