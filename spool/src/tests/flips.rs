//! Damaged bits: each is found, and costs at most the frame it is in.

use std::collections::BTreeMap;

use ::model::frame::hash_of_log_start;
use ::model::record::{Loss, LossReason};
use ::model::{LogId, RecordType, Sequence};
use proptest::prelude::*;

use super::{HERE, data, open, read_all, record};
use crate::StoredFrame;
use crate::scan::{Step, Walk};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, Versioned, file_name};
use crate::sim::SimDisk;

/// A spool at rest and what must be read from it.
fn at_rest(bodies: &[usize]) -> (SimDisk, BTreeMap<u64, StoredFrame>) {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 5).unwrap();
    for (number, length) in bodies.iter().enumerate() {
        spool.append(data(crate::to_u64(number), *length)).unwrap();
    }
    spool.commit().unwrap();
    let frames = read_all(&mut spool, 1);
    spool.close().unwrap();
    (disk, frames.into_iter().map(|frame| (frame.header.sequence.0, frame)).collect())
}

/// Opens and reads after the bit was flipped: all frames but `hit` are as before, `hit` is as before or a LOSS.
fn check(
    disk: &SimDisk,
    frames: &BTreeMap<u64, StoredFrame>,
    file: &str,
    bit: usize,
    hit: Option<u64>,
) {
    let disk = disk.fork();
    disk.alter(file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    let (mut spool, _) = open(&disk, 5).unwrap();
    let found: BTreeMap<u64, StoredFrame> =
        read_all(&mut spool, 1).into_iter().map(|frame| (frame.header.sequence.0, frame)).collect();
    let losses = spool.losses_here();
    for (sequence, frame) in frames {
        if let Some(found) = found.get(sequence) {
            assert_eq!(found, frame, "`{file}` bit {bit}");
            continue;
        }
        assert_eq!(hit, Some(*sequence), "`{file}` bit {bit} costs a frame that it is not in");
        let (corrupt, passed_over): (Vec<_>, Vec<_>) =
            losses.iter().partition(|loss| loss.reason == LossReason::Corrupt);
        let [loss] = corrupt.as_slice() else { panic!("bit {bit}: {losses:?}") };
        assert_eq!((loss.first.0, loss.last.0), (*sequence, *sequence));
        // Where the end is damaged, the log passes over what may have left; no frame of it was here.
        let beyond = |loss: &&Loss| {
            loss.reason == LossReason::Skipped && frames.range(loss.first.0..).next().is_none()
        };
        assert!(passed_over.iter().all(beyond), "bit {bit}: {losses:?}");
        assert_eq!(spool.status().losses.corrupt.frames, 1);
    }
    // The LOSS record is durable.
    spool.close().unwrap();
    let (spool, _) = open(&disk, 5).unwrap();
    assert_eq!(spool.losses_here(), losses, "`{file}` bit {bit}");
}

/// Where each frame of the segment that begins at `first` stands.
fn places(frames: &BTreeMap<u64, StoredFrame>, first: u64, end: u64) -> Places {
    let mut at = crate::to_usize(SEGMENT_HEADER_BYTES);
    let mut places = Vec::new();
    for (sequence, frame) in frames.range(first..end) {
        places.push((*sequence, at, at + frame.bytes.len()));
        at += frame.bytes.len();
    }
    places
}

fn frame_at(places: &[(u64, usize, usize)], byte: usize) -> Option<u64> {
    places
        .iter()
        .find(|(_, start, end)| (*start..*end).contains(&byte))
        .map(|(sequence, ..)| *sequence)
}

#[test]
fn each_bit_of_the_newest_segment_and_the_cursors() {
    let (disk, frames) = at_rest(&[3, 20, 5]);
    let name = file_name(Sequence(1));
    let places = places(&frames, 1, 4);
    let end = places.last().unwrap().2;
    for byte in (0..96).chain(512..608).chain(1024..end) {
        for bit in 0..8 {
            check(&disk, &frames, &name, byte * 8 + bit, frame_at(&places, byte));
        }
    }
    for name in
        ["cursors.a", "cursors.b"].iter().filter(|name| disk.names().contains(&(**name).to_owned()))
    {
        for bit in 0..100 * 8 {
            check(&disk, &frames, name, bit, None);
        }
    }
}

/// Sequence, start and end of each frame in its file.
type Places = Vec<(u64, usize, usize)>;

fn sealed() -> (SimDisk, BTreeMap<u64, StoredFrame>, Places) {
    let (disk, frames) =
        at_rest(&[60, 7_000, 12_000, 90, 12_000, 9_000, 12_000, 5_000, 50, 10_000, 10]);
    let names = disk.names();
    let segments: Vec<&String> =
        names.iter().filter(|name| crate::segment::parse_name(name).is_some()).collect();
    assert_eq!(segments.len(), 2, "{names:?}");
    let second = crate::segment::parse_name(segments[1]).unwrap();
    let places = places(&frames, 1, second.0);
    (disk, frames, places)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn bits_of_a_sealed_segment(bit in 0usize..60_000 * 8) {
        let (disk, frames, places) = sealed();
        check(&disk, &frames, &file_name(Sequence(1)), bit, frame_at(&places, bit / 8));
    }
}

#[test]
fn each_bit_of_a_sealed_segment() {
    // Half a million spools take a quarter of an hour: this is part of `cargo xtask test --long`.
    if std::env::var_os("NENGLIU_LONG").is_none() {
        return;
    }
    let (disk, frames, places) = sealed();
    for bit in 0..64 * 1024 * 8 {
        check(&disk, &frames, &file_name(Sequence(1)), bit, frame_at(&places, bit / 8));
    }
}

/// The walk alone, over each bit of a segment's frames.
#[test]
fn each_bit_of_a_walk() {
    let (disk, frames) = at_rest(&[10, 200, 0, 1_500, 33, 700]);
    let mut bytes = disk.bytes_of(&file_name(Sequence(1)));
    let Versioned::Valid(header) = SegmentHeader::decode(&bytes) else { panic!("header") };
    assert_eq!(header.prev_hash, hash_of_log_start(header.log_id));
    let places = places(&frames, 1, 7);
    let end = places.last().unwrap().2;
    bytes.truncate(end);
    for bit in 1024 * 8..end * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let hit = frame_at(&places, bit / 8).unwrap();
        let mut walk = Walk {
            bytes: &bytes,
            offset: SEGMENT_HEADER_BYTES,
            expected: Sequence(1),
            salt: Some(header.salt),
            last: Some(Sequence(6)),
        };
        while let Some(step) = walk.step() {
            match step {
                Step::Frame(frame) => {
                    let sequence = frame.header.sequence.0;
                    assert_eq!(frame.bytes, frames[&sequence].bytes, "bit {bit}");
                }
                Step::Damage { first, last, .. } => {
                    assert_eq!((first.0, last.0), (hit, hit), "bit {bit}");
                }
                Step::Tail { .. } => panic!("bit {bit}: the end is known"),
                Step::Skipped { last } => panic!("bit {bit}: nothing up to {last} was passed over"),
            }
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn two_damaged_header_copies_cost_the_segment_and_no_more() {
    let (disk, frames, places) = sealed();
    let last = places.last().unwrap().0;
    let fork = disk.fork();
    fork.alter(&file_name(Sequence(1)), |bytes| bytes[..1024].fill(0xA5));
    let (mut spool, _) = open(&fork, 5).unwrap();
    let found: Vec<u64> = read_all(&mut spool, 1).iter().map(|f| f.header.sequence.0).collect();
    let expected: Vec<u64> = frames.range(last + 1..).map(|(sequence, _)| *sequence).collect();
    // One frame more: the LOSS record.
    assert_eq!(found[..expected.len()], expected[..]);
    assert_eq!((spool.losses_here()[0].first.0, spool.losses_here()[0].last.0), (1, last));
    assert_eq!(spool.status().losses.corrupt.frames, last);
}

#[test]
fn all_bytes_damaged_is_still_a_spool() {
    let (disk, frames, _) = sealed();
    for name in disk.names() {
        disk.alter(&name, |bytes| bytes.fill(0xFF));
    }
    let (mut spool, recovery) = open(&disk, 5).unwrap();
    assert!(!recovery.is_new || recovery.durable.0 >= crate::to_u64(frames.len()));
    let newest = spool.append(record(RecordType::Boot, "after")).unwrap();
    assert!(newest.0 > crate::to_u64(frames.len()), "I2");
    spool.commit().unwrap();
    assert_eq!(read_all(&mut spool, newest.0).len(), 1);
    assert_ne!(spool.log_id(), LogId([0; 16]));
}

#[test]
fn more_damage_than_the_list_holds_waits_for_the_centre() {
    let bodies: Vec<usize> = vec![300; 300];
    let (disk, frames) = at_rest(&bodies);
    // Every second frame of the sealed segment.
    let second =
        disk.names().iter().filter_map(|name| crate::segment::parse_name(name)).max().unwrap();
    let places = places(&frames, 1, second.0);
    assert!(places.len() > 150);
    disk.alter(&file_name(Sequence(1)), |bytes| {
        places.iter().step_by(2).for_each(|(_, start, _)| bytes[start + 60] ^= 1);
    });
    let (mut spool, _) = open(&disk, 5).unwrap();
    let mut watermark = 0;
    let mut waited = false;
    while watermark < second.0 {
        match spool.read_here(Sequence(watermark + 1), 1 << 20) {
            Ok(frames) => {
                let last = frames.last().expect("the newest segment is whole").header.sequence;
                // What stands behind a damage waits for the ack of what stands before it.
                let last = last.min(spool.deliverable(HERE)).0;
                let mut below = frames.iter().filter(|frame| frame.header.sequence < second);
                assert!(below.all(|frame| frame.header.sequence.0 % 2 == 0));
                watermark = last;
            }
            Err(crate::SpoolError::LossesFull) => waited = true,
            Err(error) => panic!("{error}"),
        }
        assert!(spool.losses_here().len() <= crate::LOSSES_MAX);
        spool.ack_here(Sequence(watermark.min(second.0 - 1))).unwrap();
    }
    assert!(waited || spool.status().losses.corrupt.frames > 64);
    assert_eq!(spool.status().losses.corrupt.frames, crate::to_u64(places.len().div_ceil(2)));
}

/// A recycled file holds old frames, whole ones; only the salt tells them from a later life's.
#[test]
fn frames_of_another_salt_are_the_tail() {
    let (disk, _) = at_rest(&[100, 100, 100, 100]);
    let mut bytes = disk.bytes_of(&file_name(Sequence(1)));
    let Versioned::Valid(header) = SegmentHeader::decode(&bytes) else { panic!("header") };
    let walk = |bytes: &[u8], salt: u32| {
        let mut walk = Walk {
            bytes,
            offset: SEGMENT_HEADER_BYTES,
            expected: Sequence(1),
            salt: Some(salt),
            last: None,
        };
        let is_damage = |step: Step<'_>| matches!(step, Step::Damage { .. });
        walk.step().is_some_and(is_damage)
    };
    bytes[1024..1100].fill(0);
    assert!(walk(&bytes, header.salt), "frames 2 to 4 follow the hole");
    assert!(!walk(&bytes, header.salt.wrapping_add(1)));
}

#[test]
fn each_segment_has_its_own_salt() {
    let mut salts = std::collections::BTreeSet::new();
    let disk = SimDisk::new();
    for _ in 0..2 {
        let (mut spool, _) = open(&disk, 8).unwrap();
        for number in 0..18 {
            spool.append(data(number, 9_000)).unwrap();
        }
        spool.commit().unwrap();
        spool.close().unwrap();
    }
    let names = disk.names();
    let segments = names.iter().filter(|name| crate::segment::parse_name(name).is_some());
    let mut count = 0;
    for name in segments {
        let Versioned::Valid(header) = SegmentHeader::decode(&disk.bytes_of(name)) else {
            panic!("header")
        };
        salts.insert(header.salt);
        count += 1;
    }
    assert!(count > 4);
    assert_eq!(salts.len(), count);
}
