//! A disk that forgets its last blocks although it said that they are durable. Whatever it does, no sequence is used
//! twice, and nothing is freed that the store lacks.

use std::collections::BTreeMap;

use ::model::frame::hash_of_frame;
use ::model::{FrameHash, LogId, RecordType, Sequence};

use super::model::chooser;
use super::{HERE, data, open};
use crate::sim::{FORGOTTEN_MAX, Fault, SimDisk};
use crate::{Spool, SpoolError};

/// What the store has: each frame by log and sequence.
type Store = BTreeMap<(LogId, Sequence), Vec<u8>>;

/// What went wrong in one history.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wrong {
    used_twice: usize,
    freed: usize,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Sends what is not acked, as far as chance lets it; acks what the store has without a gap.
fn deliver(spool: &mut Spool, store: &mut Store, wrong: &mut Wrong, random: &mut Random) {
    let log_id = spool.log_id();
    let from = spool.acked(HERE).next();
    let Ok(mut frames) = spool.read_from(HERE, from, 40_000) else { return };
    let deliverable = spool.deliverable(HERE);
    frames.retain(|frame| frame.header.sequence <= deliverable);
    let most = usize::try_from(random.below(8)).unwrap();
    for frame in frames.into_iter().take(most) {
        let known = store.entry((log_id, frame.header.sequence)).or_insert(frame.bytes.clone());
        wrong.used_twice += usize::from(*known != frame.bytes);
    }
    // The watermark: losses are passed, holes are not.
    let mut losses = spool.losses(HERE);
    losses.retain(|loss| loss.first <= deliverable);
    let mut at = spool.acked(HERE);
    loop {
        let next = at.next();
        if store.contains_key(&(log_id, next)) {
            at = next;
        } else if let Some(loss) =
            losses.iter().find(|loss| (loss.first..=loss.last).contains(&next))
        {
            at = loss.last;
        } else {
            break;
        }
    }
    let hash = store.get(&(log_id, at)).map(|bytes| FrameHash(hash_of_frame(bytes)));
    let held = spool.read_from(HERE, spool.acked(HERE).next(), 1 << 20).unwrap_or_default();
    match spool.ack(HERE, at, hash) {
        Ok(acked) => {
            let freed = held.iter().filter(|frame| frame.header.sequence <= acked);
            let lacks = |sequence| !store.contains_key(&(log_id, sequence));
            wrong.freed += freed.filter(|frame| lacks(frame.header.sequence)).count();
        }
        // The store has what this disk forgot: the uplink begins another log.
        Err(
            SpoolError::AckWithoutHash { .. }
            | SpoolError::AckOfUnsent { .. }
            | SpoolError::Io { .. },
        ) => {}
        // Another frame, or none, stands here under a sequence that left.
        Err(SpoolError::AckOfAnotherLog { .. } | SpoolError::AckBeyondDurable { .. }) => {
            wrong.used_twice += 1;
        }
        Err(error) => panic!("{error}"),
    }
}

/// One random history; `lower` plants the old fault.
fn history(seed: u64, lower: bool) -> Wrong {
    let (disk, mut store, mut wrong) = (SimDisk::new(), Store::new(), Wrong::default());
    let mut random = Random(seed);
    let mut number = 0;
    for _ in 0..3 + random.below(4) {
        if lower {
            disk.lower_guard();
        }
        let Ok((mut spool, _)) = open(&disk, 4) else { panic!("seed {seed}: it does not open") };
        for _ in 0..random.below(12) {
            for _ in 0..=random.below(3) {
                let length = if random.below(3) == 0 { 9_000 } else { 200 };
                let draft = data(number, length);
                number += 1;
                spool.append(draft).ok();
            }
            drop(spool.commit());
            if random.below(3) > 0 {
                deliver(&mut spool, &mut store, &mut wrong, &mut random);
            }
        }
        match random.below(6) {
            0 => spool.close().unwrap(),
            1 => {
                disk.fail_at(1, Fault::Crash);
                drop(spool);
                disk.kill();
            }
            more => {
                disk.fail_at(1, Fault::Crash);
                drop(spool);
                let count = if more == 2 { 0 } else { random.below(FORGOTTEN_MAX as u64 + 1) };
                disk.crash_forgetting(
                    usize::try_from(count).unwrap(),
                    chooser(random.below(u64::MAX)),
                );
            }
        }
    }
    wrong
}

#[test]
fn no_sequence_is_used_twice_on_a_disk_that_forgets() {
    for seed in 0..400 {
        assert_eq!(history(seed, false), Wrong::default(), "seed {seed}");
    }
}

/// A test that could not fail would be worthless.
#[test]
fn the_old_fault_is_caught() {
    let caught = (0..100).filter(|seed| history(*seed, true).used_twice > 0).count();
    assert!(caught > 5, "caught in {caught} of 100 histories");
}

/// The trial: delivered frames and their segment's last blocks are gone, and nothing else tells of them.
#[test]
fn frames_that_were_delivered_and_forgotten_are_not_written_again() {
    for count in 1..=FORGOTTEN_MAX {
        let disk = SimDisk::new();
        let (mut spool, _) = open(&disk, 4).unwrap();
        let mut sent = BTreeMap::new();
        for number in 0..6 {
            spool.append(data(number, 300)).unwrap();
            spool.commit().unwrap();
        }
        for frame in super::read_all(&mut spool, 1) {
            sent.insert((spool.log_id(), frame.header.sequence), frame.bytes);
        }
        disk.fail_at(1, Fault::Crash);
        drop(spool);
        disk.crash_forgetting(count, || false);
        let (mut spool, recovery) = open(&disk, 4).unwrap();
        for number in 100..110 {
            spool.append(data(number, 300)).unwrap();
        }
        spool.commit().unwrap();
        for frame in super::read_all(&mut spool, 1) {
            let known = sent.get(&(spool.log_id(), frame.header.sequence));
            assert!(known.is_none_or(|known| *known == frame.bytes), "{count}: {recovery:?}");
        }
        let data = |frame: &&crate::StoredFrame| frame.header.record_type == RecordType::Data;
        assert!(super::read_all(&mut spool, 1).iter().filter(data).count() >= 10);
    }
}

/// An old copy of a spool is put back, writes without its centre, and the power fails: the centre has frames under the
/// sequences that are passed over then, and none of those that the copy wrote. An ack from there on must free nothing.
#[test]
fn an_ack_from_behind_a_range_that_was_passed_over_frees_nothing_before_it() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 4).unwrap();
    for number in 0..3 {
        spool.append(data(number, 100)).unwrap();
    }
    let acked = spool.commit().unwrap();
    spool.ack_here(acked).unwrap();
    spool.close().unwrap();

    let (mut spool, _) = open(&disk, 4).unwrap();
    for number in 3..6 {
        spool.append(data(number, 100)).unwrap();
    }
    let held = spool.commit().unwrap();
    disk.fail_at(1, Fault::Crash);
    drop(spool);
    disk.kill();

    let (mut spool, recovery) = open(&disk, 4).unwrap();
    let (passed, _) = recovery.skipped.unwrap();
    let durable = spool.append(data(6, 100)).unwrap();
    spool.commit().unwrap();
    assert_eq!(passed, held.next());
    assert_eq!((spool.acked(HERE), spool.deliverable(HERE)), (acked, held));
    assert!(spool.untold(HERE) > 0);
    for upto in [passed, durable] {
        let error = spool.ack_here(upto).unwrap_err();
        assert!(
            matches!(error, SpoolError::AckOfUnsent { deliverable, .. } if deliverable == held),
            "{error}"
        );
    }
    let error = spool.ack(HERE, held, None).unwrap_err();
    assert!(matches!(error, SpoolError::AckOfUnsent { .. }), "{error}");
    assert_eq!(spool.acked(HERE), acked);

    // The centre has what stands before: then it may hear of the rest, and a restart knows that.
    spool.ack_here(held).unwrap();
    assert_eq!((spool.deliverable(HERE), spool.untold(HERE)), (durable, 0));
    disk.fail_at(1, Fault::Crash);
    drop(spool);
    disk.kill();
    let (spool, _) = open(&disk, 4).unwrap();
    assert_eq!(spool.acked(HERE), held);
}
