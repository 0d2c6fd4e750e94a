//! Several destinations of one log: each has its own cursor and its own losses.

use ::model::frame::hash_of_frame;
use ::model::record::{JsonRecord, Loss, LossReason};
use ::model::{DestinationId, Epoch, FrameHash, RecordType, Sequence, StoreId};

use super::{Fixed, SEGMENT, data, read_all, record};
use crate::segment::file_name;
use crate::sim::SimDisk;
use crate::{DESTINATIONS_MAX, DestinationIndex, Recovery, Spool, SpoolConfig, SpoolError};

const NEAR: DestinationIndex = DestinationIndex(0);
const FAR: DestinationIndex = DestinationIndex(1);

fn ids(names: &[&str]) -> Vec<DestinationId> {
    names.iter().map(|name| DestinationId::new(*name).unwrap()).collect()
}

fn open_with(disk: &SimDisk, segments: u64, names: &[&str]) -> (Spool, Recovery) {
    let config = SpoolConfig { destinations: ids(names), ..super::config(segments) };
    Spool::open(Box::new(disk.clone()), config, &Fixed(disk.runs())).unwrap()
}

/// Acks as a store does that has the frame.
fn ack(spool: &mut Spool, to: DestinationIndex, upto: Sequence) -> Sequence {
    let frames = spool.read_from(to, upto, 1).unwrap();
    let hash = FrameHash(hash_of_frame(&frames[0].bytes));
    spool.ack(to, upto, Some(hash)).unwrap()
}

#[test]
fn a_record_is_kept_until_each_destination_has_it() {
    let disk = SimDisk::new();
    let (mut spool, _) = open_with(&disk, 10, &["near", "far"]);
    for number in 0..60 {
        spool.append(data(number, 5_000)).unwrap();
        let durable = spool.commit().unwrap();
        ack(&mut spool, NEAR, durable);
    }
    let status = spool.status();
    assert_eq!((status.oldest, status.acked), (Sequence(1), Sequence(0)));
    assert_eq!(status.destinations[0].acked, status.durable);
    assert!(status.segments > 4);
    let durable = status.durable;
    ack(&mut spool, FAR, durable);
    assert_eq!((spool.status().segments, spool.status().acked), (1, durable));
    spool.note_store(FAR, StoreId::new("lake-b").unwrap(), Epoch(3));
    spool.close().unwrap();
    let (spool, _) = open_with(&disk, 10, &["near", "far"]);
    assert_eq!((spool.acked(NEAR), spool.acked(FAR)), (durable, durable));
    assert_eq!(spool.store(FAR).map(|(_, epoch)| *epoch), Some(Epoch(3)));
    assert_eq!(spool.store(NEAR), None);
}

/// The quota acts on the slowest: what is given up is lost for that one alone, and counted exactly.
#[test]
fn the_quota_gives_up_for_the_slowest_alone() {
    let disk = SimDisk::new();
    let (mut spool, _) = open_with(&disk, 4, &["near", "far"]);
    for number in 0..100 {
        spool.append(data(number, 5_000)).unwrap();
        let durable = spool.commit().unwrap();
        ack(&mut spool, NEAR, durable);
        assert!(spool.status().used_bytes <= 4 * SEGMENT);
    }
    assert_eq!(spool.losses(NEAR), []);
    let losses = spool.losses(FAR);
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((loss.first, loss.reason), (Sequence(1), LossReason::DropOldest));
    let status = spool.status();
    assert_eq!(status.destinations[0].losses.lost().frames, 0);
    assert_eq!(status.destinations[1].losses.lost().samples, loss.samples.unwrap());
    let frames = read_all(&mut spool, 1);
    let record = frames.iter().rfind(|frame| frame.header.record_type == RecordType::Loss).unwrap();
    let record = Loss::from_record(record.body()).unwrap();
    assert_eq!(record.destinations, ids(&["far"]), "the record names who lost it");
    assert!(!record.concerns(&DestinationId::new("near").unwrap()));
    spool.close().unwrap();
    let (mut spool, _) = open_with(&disk, 4, &["near", "far"]);
    assert_eq!((spool.losses(NEAR), spool.losses(FAR)), (vec![], losses));
    let durable = spool.status().durable;
    ack(&mut spool, FAR, durable);
    assert_eq!(spool.losses(FAR), []);
}

#[test]
fn damage_is_lost_for_those_that_have_not_acked_it() {
    let disk = SimDisk::new();
    let (mut spool, _) = open_with(&disk, 8, &["near", "far"]);
    for number in 0..15 {
        spool.append(data(number, 5_000)).unwrap();
    }
    spool.commit().unwrap();
    ack(&mut spool, NEAR, Sequence(4));
    disk.alter(&file_name(Sequence(1)), |bytes| bytes[1024 + 6_000] ^= 1);
    assert!(spool.read_from(FAR, Sequence(1), 1 << 20).unwrap().len() > 8);
    assert_eq!((spool.losses(NEAR).len(), spool.losses(FAR).len()), (0, 1));
    assert_eq!(spool.losses(FAR)[0].samples, Some(2));
}

#[test]
fn a_destination_that_is_new_begins_with_what_is_held_and_one_that_is_gone_holds_nothing_up() {
    let disk = SimDisk::new();
    let (mut spool, _) = open_with(&disk, 6, &["near"]);
    for number in 0..50 {
        spool.append(data(number, 5_000)).unwrap();
        let durable = spool.commit().unwrap();
        ack(&mut spool, NEAR, durable);
    }
    let oldest = spool.status().oldest;
    assert!(oldest > Sequence(30));
    spool.close().unwrap();
    let (spool, recovery) = open_with(&disk, 6, &["near", "far"]);
    assert_eq!(recovery.losses, []);
    assert_eq!((spool.acked(FAR).next(), spool.acked(NEAR)), (oldest, Sequence(50)));
    spool.close().unwrap();
    let (mut spool, _) = open_with(&disk, 6, &["near"]);
    for number in 0..100 {
        spool.append(data(number, 5_000)).unwrap();
        let durable = spool.commit().unwrap();
        ack(&mut spool, NEAR, durable);
    }
    assert_eq!(spool.status().losses.lost().frames, 0);
}

#[test]
fn the_list_of_destinations_is_checked() {
    let check = |names: &[&str]| {
        let config = SpoolConfig { destinations: ids(names), ..super::config(4) };
        let opened = Spool::open(Box::new(SimDisk::new()), config, &Fixed(1));
        opened.map(drop)
    };
    let refused = |names: &[&str]| matches!(check(names), Err(SpoolError::Destinations { .. }));
    assert!(refused(&[]) && refused(&["a", "b", "a"]) && refused(&["a", "b", "c", "d", "e"]));
    check(&["a", "b", "c", "d"]).unwrap();
    assert_eq!(DESTINATIONS_MAX, 4);
}

/// The lists of all destinations, full, and all that may wait fit the smallest segment.
#[test]
fn the_losses_of_all_destinations_fit_a_segment() {
    let disk = SimDisk::new();
    let (mut spool, _) = open_with(&disk, 30, &["a", "b", "c", "d"]);
    spool.set_preamble(vec![record(RecordType::Dictionary, &"p".repeat(12_000))]).unwrap();
    for number in 0..200 {
        spool.append(data(number, 200)).unwrap();
    }
    spool.commit().unwrap();
    let name = file_name(Sequence(1));
    for frame in (10..100).step_by(2) {
        disk.alter(&name, |bytes| bytes[1024 + frame * 280 + 100] ^= 1);
    }
    drop(spool.read_from(NEAR, Sequence(1), 1 << 20));
    for number in 0..30 {
        spool.append(data(number, 12_000)).unwrap();
        spool.commit().unwrap();
    }
    assert_eq!(spool.status().failing, None);
    assert!(spool.losses(NEAR).len() > 10);
}

/// INV-3: nothing but the hash of the frame frees it.
#[test]
fn an_ack_without_the_hash_of_the_frame_frees_nothing() {
    let disk = SimDisk::new();
    let (mut spool, _) = open_with(&disk, 8, &["near"]);
    for number in 0..30 {
        spool.append(data(number, 5_000)).unwrap();
    }
    let durable = spool.commit().unwrap();
    for upto in [Sequence(5), durable] {
        let forged = spool.ack(NEAR, upto, Some(FrameHash([7; 32])));
        assert!(matches!(forged, Err(SpoolError::AckOfAnotherLog { .. })), "{forged:?}");
        let bare = spool.ack(NEAR, upto, None);
        assert!(matches!(bare, Err(SpoolError::AckWithoutHash { .. })), "{bare:?}");
    }
    // The hash of another frame of the same log is as good as none.
    let other = spool.read_from(NEAR, Sequence(4), 1).unwrap()[0].bytes.clone();
    let other = FrameHash(hash_of_frame(&other));
    assert!(spool.ack(NEAR, Sequence(5), Some(other)).is_err());
    assert!(matches!(
        spool.ack(NEAR, durable.next(), Some(other)),
        Err(SpoolError::AckBeyondDurable { .. })
    ));
    assert_eq!((spool.acked(NEAR), spool.status().oldest), (Sequence(0), Sequence(1)));
    assert_eq!(ack(&mut spool, NEAR, Sequence(5)), Sequence(5));
    // After a restart too, from the disk alone.
    spool.close().unwrap();
    let (mut spool, _) = open_with(&disk, 8, &["near"]);
    assert!(spool.ack(NEAR, Sequence(9), Some(other)).is_err());
    assert_eq!(ack(&mut spool, NEAR, Sequence(9)), Sequence(9));
}

/// A watermark on a lost range, or behind it, frees nothing before what stands before the range is acked.
#[test]
fn an_ack_on_a_loss_waits_for_the_frames_before_it() {
    let disk = SimDisk::new();
    let (mut spool, _) = open_with(&disk, 8, &["near"]);
    for number in 0..15 {
        spool.append(data(number, 5_000)).unwrap();
    }
    spool.commit().unwrap();
    disk.alter(&file_name(Sequence(1)), |bytes| bytes[1024 + 6_000] ^= 1);
    read_all(&mut spool, 1);
    assert_eq!(spool.losses(NEAR)[0].last, Sequence(2));
    for hash in [None, Some(FrameHash([7; 32]))] {
        for upto in [Sequence(2), Sequence(3)] {
            let error = spool.ack(NEAR, upto, hash).unwrap_err();
            assert!(matches!(error, SpoolError::AckOfUnsent { .. }), "{error}");
        }
    }
    assert_eq!(ack(&mut spool, NEAR, Sequence(1)), Sequence(1));
    // Nothing stands there that an ack could prove; the frame behind it is another matter.
    assert_eq!(spool.ack(NEAR, Sequence(2), None).unwrap(), Sequence(1));
    assert_eq!(ack(&mut spool, NEAR, Sequence(3)), Sequence(3));
}
