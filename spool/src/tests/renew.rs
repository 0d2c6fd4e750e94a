//! A log that begins again under another name, wherever the power is cut.

use ::model::frame::{decode_frame, hash_of_frame};
use ::model::{RecordType, Sequence};

use super::model::chooser;
use super::{Fixed, HERE, data, open, read_all, record};
use crate::sim::{Fault, SimDisk};
use crate::{Spool, StoredFrame};

/// A spool of some segments, delivered in part.
fn filled(disk: &SimDisk) -> Spool {
    let (mut spool, _) = open(disk, 12).unwrap();
    spool.set_preamble(vec![record(RecordType::Dictionary, "points")]).unwrap();
    for number in 0..60 {
        spool.append(data(number, 5_000)).unwrap();
    }
    spool.commit().unwrap();
    spool.ack_here(Sequence(20)).unwrap();
    spool
}

fn bodies(frames: &[StoredFrame]) -> Vec<(Sequence, Vec<u8>)> {
    frames.iter().map(|frame| (frame.header.sequence, frame.body().to_vec())).collect()
}

fn check_chain(frames: &[StoredFrame]) {
    for pair in frames.windows(2) {
        let prev_hash = decode_frame(&pair[1].bytes).unwrap().prev_hash;
        assert_eq!(prev_hash, hash_of_frame(&pair[0].bytes), "{:?}", pair[1].header.sequence);
    }
}

#[test]
fn another_log_holds_the_same_under_the_same_sequences() {
    let disk = SimDisk::new();
    let mut spool = filled(&disk);
    let (old, before) = (spool.log_id(), read_all(&mut spool, 21));
    let acked = spool.status().acked;
    let new = spool.begin_new_log(&Fixed(99)).unwrap();
    assert!(new != old && spool.log_id() == new);
    let after = read_all(&mut spool, 21);
    assert_eq!(bodies(&after), bodies(&before));
    check_chain(&after);
    // What the old log's centre says is of other frames.
    let old_hash = ::model::FrameHash(hash_of_frame(&before[5].bytes));
    assert!(spool.ack(HERE, before[5].header.sequence, Some(old_hash)).is_err());
    assert_eq!((spool.status().acked, spool.oldest_for(HERE)), (acked, acked.next()));
    spool.append(data(99, 100)).unwrap();
    let durable = spool.commit().unwrap();
    spool.close().unwrap();
    let (mut spool, recovery) = open(&disk, 12).unwrap();
    assert_eq!((recovery.durable, recovery.renewed_from), (durable, None));
    assert_eq!((spool.log_id(), spool.oldest_for(HERE)), (new, acked.next()));
    check_chain(&read_all(&mut spool, 21));
    spool.ack_here(durable).unwrap();
    assert_eq!(spool.status().segments, 1);
}

#[test]
fn a_cut_at_any_point_leaves_one_whole_log() {
    let base = SimDisk::new();
    let mut spool = filled(&base);
    let (old, before) = (spool.log_id(), bodies(&read_all(&mut spool, 21)));
    spool.close().unwrap();
    let (mut old_left, mut new_begun) = (false, false);
    for n in 1..60 {
        for seed in [0, u64::MAX, n * 77] {
            let disk = base.fork();
            let (mut spool, _) = open(&disk, 12).unwrap();
            disk.fail_at(n, Fault::Crash);
            let result = spool.begin_new_log(&Fixed(99));
            drop(spool);
            disk.crash(chooser(seed));
            let (mut spool, _) = open(&disk, 12).unwrap();
            let frames = read_all(&mut spool, 21);
            let found = bodies(&frames);
            let kept: Vec<_> =
                found.iter().filter(|(at, _)| *at <= before.last().unwrap().0).cloned().collect();
            assert_eq!(kept, before, "cut at {n}");
            check_chain(&frames[..before.len()]);
            old_left |= spool.log_id() == old;
            new_begun |= spool.log_id() != old;
            assert!(result.is_err() || spool.log_id() != old, "cut at {n}");
        }
    }
    assert!(old_left && new_begun);
}

/// Without the guard nobody knows which sequences may have left.
#[test]
fn a_spool_without_its_guard_is_another_log() {
    let disk = SimDisk::new();
    let mut spool = filled(&disk);
    let (old, before) = (spool.log_id(), bodies(&read_all(&mut spool, 21)));
    spool.close().unwrap();
    crate::Disk::remove(&disk, "guard").unwrap();
    let (mut spool, recovery) = open(&disk, 12).unwrap();
    assert_eq!(recovery.renewed_from, Some(old));
    assert_ne!(spool.log_id(), old);
    assert_eq!(recovery.skipped, None);
    let frames = read_all(&mut spool, 21);
    assert_eq!(bodies(&frames)[..before.len()], before);
    check_chain(&frames[..before.len()]);
    let (id, floor) = (spool.log_id(), spool.oldest_for(HERE));
    spool.close().unwrap();
    let (spool, recovery) = open(&disk, 12).unwrap();
    assert_eq!((spool.log_id(), recovery.renewed_from), (id, None));
    assert_eq!((floor, spool.oldest_for(HERE)), (Sequence(21), Sequence(21)));
}

/// A disk that is full or fails for a while delays it; nothing is read or written as one log or the other meanwhile.
#[test]
fn a_fault_on_the_way_is_made_good_by_a_later_commit() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::Short] {
        for n in 1..25 {
            let disk = SimDisk::new();
            let mut spool = filled(&disk);
            let before = bodies(&read_all(&mut spool, 21));
            disk.fail_at(n, fault);
            drop(spool.begin_new_log(&Fixed(99)));
            disk.heal();
            spool.append(data(99, 100)).unwrap();
            let durable = spool.commit().unwrap();
            let frames = read_all(&mut spool, 21);
            assert_eq!(bodies(&frames)[..before.len()], before, "{fault:?} at {n}");
            assert_eq!(frames.last().unwrap().header.sequence, durable);
            check_chain(&frames);
        }
    }
}

/// Damage in a segment costs what it took, also when the log begins again.
#[test]
fn damage_stays_where_it_is() {
    let disk = SimDisk::new();
    filled(&disk).close().unwrap();
    let name = crate::segment::file_name(Sequence(1));
    let segments = disk.names();
    let mut sealed = segments
        .iter()
        .filter(|known| **known > name && crate::segment::parse_name(known).is_some());
    let sealed = sealed.nth(1).unwrap();
    disk.alter(sealed, |bytes| bytes[1024 + 20_000] ^= 1);
    let (mut spool, _) = open(&disk, 12).unwrap();
    spool.begin_new_log(&Fixed(99)).unwrap();
    let frames = read_all(&mut spool, 1);
    let losses = spool.losses_here();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!((losses[0].first, losses[0].samples.is_some()), (losses[0].last, true));
    assert!(frames.iter().all(|frame| frame.header.sequence != losses[0].first));
}
