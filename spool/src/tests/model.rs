//! Random and exhaustive histories against a simple model of what must hold (I1–I7).

use std::collections::{BTreeMap, BTreeSet};

use ::model::frame::{decode_frame, hash_of_frame, hash_of_log_start};
use ::model::record::{JsonRecord, Loss, LossReason};
use ::model::{LogId, RecordType, Sequence};
use proptest::prelude::*;

use super::{HERE, data, open, read_all, record};
use crate::sim::{Fault, SimDisk};
use crate::{Draft, Recovery, Spool, SpoolError, StoredFrame};

/// One step of a history.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Bytes of the body.
    Append(usize),
    Commit,
    /// The centre takes frames, up to so many bytes.
    Deliver(usize),
    /// The centre acks all that it has.
    Ack,
    /// The power fails; bits choose what survives.
    Crash(u64),
    /// The process is killed.
    Kill,
    /// The process ends in order.
    Close,
    /// The power fails at the n-th call of the next start.
    CrashInRecovery(u64, u64),
    /// The power fails at the n-th call of the next appends and their commit.
    CrashInWriting(u64, u64),
}

/// The spool, its centre, and what the test knows.
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) spool: Option<Spool>,
    quota_segments: u64,
    numbers: u64,
    /// Our records by sequence.
    appended: BTreeMap<u64, Draft>,
    /// What the spool said is durable.
    committed: u64,
    /// What the centre holds.
    delivered: BTreeMap<u64, Vec<u8>>,
    watermark: u64,
    /// All that was ever given up, by reason.
    dropped: BTreeSet<u64>,
    corrupt: BTreeSet<u64>,
    skipped: BTreeSet<u64>,
}

/// Chooses by the bits of a seed; 0 keeps nothing, all ones keep everything.
pub(crate) fn chooser(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed;
    move || {
        if seed == 0 || seed == u64::MAX {
            return seed != 0;
        }
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 63 == 1
    }
}

impl World {
    pub(crate) fn new(quota_segments: u64) -> Self {
        let mut world = Self {
            disk: SimDisk::new(),
            spool: None,
            quota_segments,
            numbers: 0,
            appended: BTreeMap::new(),
            committed: 0,
            delivered: BTreeMap::new(),
            watermark: 0,
            dropped: BTreeSet::new(),
            corrupt: BTreeSet::new(),
            skipped: BTreeSet::new(),
        };
        world.start().unwrap();
        world
    }

    pub(crate) fn start(&mut self) -> Result<Recovery, SpoolError> {
        let (mut spool, recovery) = open(&self.disk, self.quota_segments)?;
        spool.set_preamble(vec![record(RecordType::Dictionary, "the points")]).unwrap();
        self.spool = Some(spool);
        // Not committed, not on disk: their sequences go to others.
        self.appended.split_off(&recovery.durable.next().0);
        // An unfinished change of segments may have given them to its preamble already.
        let first = self.committed + 1;
        let frames = self.spool().read_here(Sequence(first), 1 << 20).unwrap_or_default();
        for frame in frames {
            if frame.header.record_type != RecordType::Data {
                self.appended.remove(&frame.header.sequence.0);
            }
        }
        Ok(recovery)
    }

    pub(crate) fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().unwrap()
    }

    /// Ends the process without a last word, then the power too.
    pub(crate) fn crash(&mut self, seed: u64) {
        // The dying spool must not write its cursor.
        self.disk.fail_at(1, Fault::Crash);
        self.spool = None;
        self.disk.crash(chooser(seed));
    }

    pub(crate) fn append(&mut self, length: usize) -> Result<(), SpoolError> {
        let draft = data(self.numbers, length);
        self.numbers += 1;
        let sequence = self.spool().append(draft.clone())?;
        let known = self.appended.insert(sequence.0, draft);
        assert!(known.is_none(), "I2: sequence {sequence} was used before");
        Ok(())
    }

    pub(crate) fn deliver(&mut self, bytes_max: usize) -> Result<(), SpoolError> {
        let from = Sequence(self.watermark + 1);
        let frames = self.spool().read_here(from, bytes_max)?;
        let durable = self.spool().status().durable;
        let deliverable = self.spool().deliverable(HERE);
        for frame in frames.into_iter().filter(|frame| frame.header.sequence <= deliverable) {
            let sequence = frame.header.sequence;
            assert!(sequence <= durable, "I1: {sequence} was handed out, {durable} is durable");
            let losses = self.spool().losses_here();
            for missing in self.watermark + 1..sequence.0 {
                let is_told = losses.iter().any(|loss| covers(loss, missing));
                assert!(is_told, "{missing} is missing before {sequence} without a LOSS");
            }
            self.check_frame(&frame);
            self.watermark = sequence.0;
            if let Some(known) = self.delivered.insert(sequence.0, frame.bytes.clone()) {
                assert_eq!(known, frame.bytes, "I2: {sequence} came back with other bytes");
            }
        }
        Ok(())
    }

    /// Whether the centre has all that is durable.
    pub(crate) fn is_delivered(&mut self) -> bool {
        self.spool().status().durable.0 == self.watermark
    }

    pub(crate) fn ack(&mut self) {
        let watermark = Sequence(self.watermark);
        match self.spool().ack_here(watermark) {
            // The disk fails for a moment: the next ack does it.
            Ok(_) | Err(SpoolError::Io { .. } | SpoolError::AckWithoutHash { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn check_frame(&self, frame: &StoredFrame) {
        let sequence = frame.header.sequence;
        match frame.header.record_type {
            RecordType::Data => {
                let draft = self.appended.get(&sequence.0).expect("a record that nobody appended");
                assert_eq!(draft.body, frame.body(), "{sequence} has another body");
                assert_eq!(draft.samples, frame.header.samples);
            }
            RecordType::Loss => assert!(Loss::from_record(frame.body()).is_ok()),
            _ => assert_eq!(frame.body(), b"the points"),
        }
    }

    /// What must hold after each step.
    pub(crate) fn check(&mut self) {
        let (status, losses) = {
            let spool = self.spool.as_ref().unwrap();
            (spool.status(), spool.losses_here())
        };
        self.committed = self.committed.max(status.durable.0);
        assert!(status.acked <= status.durable && status.durable < status.next, "I3: {status:?}");
        assert!(status.used_bytes <= status.quota_bytes, "quota: {status:?}");
        assert!(losses.len() <= crate::LOSSES_MAX);
        for pair in losses.windows(2) {
            assert!(pair[0].last < pair[1].first, "ranges overlap: {losses:?}");
        }
        for loss in &losses {
            let range = loss.first.0..=loss.last.0;
            let samples: u64 =
                self.appended.range(range.clone()).map(|(_, d)| u64::from(d.samples)).sum();
            match loss.reason {
                LossReason::DropOldest => {
                    assert_eq!(loss.samples, Some(samples), "I5: {loss:?}");
                    self.dropped.extend(range);
                }
                LossReason::Corrupt => self.corrupt.extend(range),
                LossReason::Skipped => self.skipped.extend(range),
                other => panic!("{other:?} is not the spool's"),
            }
        }
        let frames = crate::to_u64(self.dropped.len());
        assert_eq!(status.losses.drop_oldest.frames, frames, "totals: {status:?}");
    }

    /// Conservation: each committed record is acked, can be read, or is covered by a LOSS record (I5).
    pub(crate) fn audit(&mut self) {
        self.check();
        let (acked, committed) = (self.spool().status().acked.0, self.committed);
        assert!(self.spool().status().durable.0 >= committed, "I2: durable records are gone");
        let frames = read_all(self.spool(), acked + 1);
        let readable: BTreeSet<u64> = frames.iter().map(|frame| frame.header.sequence.0).collect();
        for frame in &frames {
            self.check_frame(frame);
        }
        check_chain(&frames, self.spool().log_id());
        let losses = self.spool().losses_here();
        for sequence in 1..=committed {
            let is_lost = losses.iter().any(|loss| covers(loss, sequence));
            if sequence <= acked {
                let is_known = self.delivered.contains_key(&sequence)
                    || self.dropped.contains(&sequence)
                    || self.corrupt.contains(&sequence)
                    || self.skipped.contains(&sequence);
                assert!(is_known, "{sequence} is acked, but the centre never had it");
            } else {
                assert!(is_lost != readable.contains(&sequence), "I5: {sequence}, lost: {is_lost}");
            }
        }
        self.check();
    }

    /// What a crash may not do while sectors are whole: damage what was committed.
    fn check_nothing_committed_is_damaged(&self, known: &BTreeSet<u64>, committed: u64) {
        let damaged = self.corrupt.range(..=committed).find(|sequence| !known.contains(sequence));
        assert!(
            damaged.is_none(),
            "{damaged:?} was committed (up to {committed}) and is now damaged"
        );
    }

    pub(crate) fn apply(&mut self, action: &Action) {
        let (committed, damaged) = (self.committed, self.corrupt.clone());
        match action {
            Action::Append(length) => self.append(*length).unwrap(),
            Action::Commit => {
                let durable = self.spool().commit().unwrap();
                assert_eq!(durable.next(), self.spool().status().next);
            }
            Action::Deliver(bytes_max) => self.deliver(*bytes_max).unwrap(),
            Action::Ack => self.ack(),
            Action::Close => {
                self.spool.take().unwrap().close().unwrap();
                self.start().unwrap();
            }
            Action::Kill => {
                self.disk.fail_at(1, Fault::Crash);
                self.spool = None;
                self.disk.kill();
                self.start().unwrap();
            }
            Action::Crash(seed) => {
                self.crash(*seed);
                self.check_recovery_repeats();
                self.start().unwrap();
            }
            Action::CrashInRecovery(calls, seed) => {
                self.crash(*seed);
                self.disk.fail_at(*calls, Fault::Crash);
                if self.start().is_ok() {
                    // It may go on as if nothing was; the fault comes later, or it waits in memory.
                    self.committed = self.committed.max(self.spool().status().durable.0);
                }
                self.crash(seed.rotate_left(7));
                self.start().unwrap();
            }
            Action::CrashInWriting(calls, seed) => {
                self.disk.fail_at(*calls, Fault::Crash);
                for _ in 0..5 {
                    drop(self.append(11_000));
                    self.check();
                }
                drop(self.spool().commit());
                self.check();
                self.crash(*seed);
                self.start().unwrap();
            }
        }
        self.check();
        if !matches!(action, Action::Append(_) | Action::Commit | Action::Ack) {
            self.audit();
            self.check_nothing_committed_is_damaged(&damaged, committed);
        }
    }

    /// I6, I7: twice from the same bytes gives the same; once more after that changes nothing.
    fn check_recovery_repeats(&self) {
        let look = |disk: &SimDisk| {
            let (mut spool, recovery) = open(disk, self.quota_segments).unwrap();
            let acked = spool.status().acked.0;
            let frames: Vec<(u64, Vec<u8>)> = read_all(&mut spool, acked + 1)
                .into_iter()
                .filter(|frame| frame.header.record_type == RecordType::Data)
                .map(|frame| (frame.header.sequence.0, frame.body().to_vec()))
                .collect();
            let losses: Vec<Loss> = spool.losses_here();
            (recovery, frames, losses, spool.status().durable)
        };
        let (one, other) = (self.disk.fork(), self.disk.fork());
        let first = look(&one);
        assert_eq!(first, look(&other), "I6: the same bytes gave another result");
        let again = look(&one);
        assert_eq!(
            (&first.1, &first.2),
            (&again.1, &again.2),
            "I7: a second recovery changed something"
        );
        assert!(again.0.losses.is_empty() && again.3 == first.3);
    }
}

/// Each frame names the hash of the one before it, over segments and restarts.
fn check_chain(frames: &[StoredFrame], log_id: LogId) {
    let prev_hash = |frame: &StoredFrame| decode_frame(&frame.bytes).unwrap().prev_hash;
    if let Some(first) = frames.first().filter(|frame| frame.header.sequence == Sequence(1)) {
        assert_eq!(prev_hash(first), hash_of_log_start(log_id));
    }
    for pair in frames.windows(2) {
        if pair[0].header.sequence.next() == pair[1].header.sequence {
            assert_eq!(prev_hash(&pair[1]), hash_of_frame(&pair[0].bytes), "{:?}", pair[1].header);
        }
    }
}

fn covers(loss: &Loss, sequence: u64) -> bool {
    (loss.first.0..=loss.last.0).contains(&sequence)
}

fn action() -> impl Strategy<Value = Action> {
    let seed = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
    prop_oneof![
        12 => prop_oneof![0usize..300, 2_000usize..12_000].prop_map(Action::Append),
        6 => Just(Action::Commit),
        3 => prop_oneof![Just(1usize), 1_000usize..200_000].prop_map(Action::Deliver),
        2 => Just(Action::Ack),
        2 => seed.clone().prop_map(Action::Crash),
        1 => Just(Action::Kill),
        1 => Just(Action::Close),
        1 => (1u64..40, seed.clone()).prop_map(|(calls, seed)| Action::CrashInRecovery(calls, seed)),
        2 => (1u64..20, seed).prop_map(|(calls, seed)| Action::CrashInWriting(calls, seed)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn random_histories(quota in 3u64..6, actions in prop::collection::vec(action(), 1..80)) {
        let mut world = World::new(quota);
        for action in &actions {
            world.apply(action);
        }
        world.audit();
    }
}

/// All histories of four steps over a spool that is about to give up its oldest segment.
#[test]
fn exhaustive_histories() {
    let alphabet = [
        Action::Append(12_000),
        Action::Append(100),
        Action::Commit,
        Action::Deliver(30_000),
        Action::Ack,
        Action::Crash(0),
        Action::Crash(u64::MAX),
        Action::Crash(0x9E37_79B9_7F4A_7C15),
    ];
    let count = alphabet.len().pow(4);
    for history in 0..count {
        let mut world = World::new(3);
        for _ in 0..7 {
            world.append(12_000).unwrap();
        }
        let mut rest = history;
        for _ in 0..4 {
            world.apply(&alphabet[rest % alphabet.len()]);
            rest /= alphabet.len();
        }
        world.audit();
    }
}
