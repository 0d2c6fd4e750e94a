//! A disk that becomes full: what was promised at the first start holds with the room that was taken then.

use ::model::Sequence;

use super::model::{World, chooser};
use super::{SEGMENT, data, open};
use crate::disk::Disk as _;
use crate::reserve::RESERVE_NAME;
use crate::segment::SPARE_NAME;
use crate::sim::{Fault, SimDisk};
use crate::{QUOTA_SEGMENTS_MIN, SpoolError};

fn has(world: &World, name: &str) -> bool {
    world.disk.names().iter().any(|known| known == name)
}

/// Appends so that several segments are filled; each commit must be good. Says how many records were given up.
fn go_on(world: &mut World, is_acked: bool) -> u64 {
    for number in 0..60 {
        world.append(5_000).unwrap();
        world.spool().commit().unwrap_or_else(|error| panic!("record {number}: {error}"));
        world.check();
        if is_acked {
            world.deliver(1 << 20).unwrap();
            world.ack();
        }
    }
    world.audit();
    world.spool().status().losses.drop_oldest.frames
}

/// Others take every byte that is left, and at once each that becomes free.
fn fill(world: &World) {
    world.disk.set_capacity(0);
}

#[test]
fn a_disk_that_is_full_right_after_the_first_start_loses_nothing_that_is_acked() {
    for segments in [QUOTA_SEGMENTS_MIN, 20] {
        for is_acked in [true, false] {
            let mut world = World::new(segments);
            fill(&world);
            let lost = go_on(&mut world, is_acked);
            assert_eq!(lost == 0, is_acked, "{lost} given up");
            assert!(has(&world, RESERVE_NAME), "two segments were enough");
            // And a restart on the full disk, after a power cut or not.
            for seed in [0, u64::MAX, 7] {
                world.crash(seed);
                world.start().unwrap();
                go_on(&mut world, is_acked);
            }
            assert_eq!(world.spool().status().failing, None);
        }
    }
}

/// Only the open segment is left.
fn with_one_segment(segments: u64, is_acked: bool) -> World {
    let mut world = World::new(segments);
    for _ in 0..5 {
        world.append(5_000).unwrap();
    }
    world.spool().commit().unwrap();
    if is_acked {
        world.deliver(1 << 20).unwrap();
        world.ack();
    }
    world.check();
    world.spool.take().unwrap().close().unwrap();
    world.disk.remove(SPARE_NAME).unwrap();
    world.disk.sync_dir().unwrap();
    fill(&world);
    world
}

#[test]
fn a_spool_with_one_segment_on_a_full_disk_goes_on_in_its_reserve() {
    for segments in [QUOTA_SEGMENTS_MIN, 20] {
        for is_acked in [true, false] {
            let mut world = with_one_segment(segments, is_acked);
            world.start().unwrap();
            let lost = go_on(&mut world, is_acked);
            assert_eq!(lost == 0, is_acked, "{lost} given up");
            assert!(has(&world, SPARE_NAME) && !has(&world, RESERVE_NAME));
        }
    }
}

/// One more fault, at each call, while there is not a byte free: files that fail are made again in what they had.
#[test]
fn a_disk_that_is_full_while_a_segment_begins_costs_nothing() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::Short, Fault::EioFour] {
        for n in 1..40 {
            let mut world = World::new(QUOTA_SEGMENTS_MIN);
            for _ in 0..11 {
                world.append(5_000).unwrap();
            }
            world.spool().commit().unwrap();
            world.disk.fill();
            world.disk.fail_at(n, fault);
            for _ in 0..4 {
                drop(world.append(5_000));
                drop(world.spool().commit());
                world.check();
            }
            world.disk.heal();
            world.spool().commit().unwrap_or_else(|error| panic!("{fault:?} at {n}: {error}"));
            go_on(&mut world, true);
            world.crash(0);
            world.start().unwrap();
            world.audit();
            // The disk has room again: so has the spool its reserve, at the latest with the next segment.
            world.disk.set_capacity(30 * SEGMENT);
            go_on(&mut world, true);
            assert!(has(&world, RESERVE_NAME), "{fault:?} at {n}");
        }
    }
}

#[test]
fn a_power_cut_while_the_reserve_is_taken_costs_nothing_and_repeats_no_sequence() {
    for is_acked in [true, false] {
        for n in 1..60_u64 {
            for seed in [0, u64::MAX, n.wrapping_mul(0x9E37_79B9_7F4A_7C15)] {
                let mut world = with_one_segment(QUOTA_SEGMENTS_MIN, is_acked);
                world.disk.fail_at(n, Fault::Crash);
                if world.start().is_ok() {
                    for _ in 0..12 {
                        drop(world.append(5_000));
                        drop(world.spool().commit());
                        world.check();
                    }
                }
                world.crash(seed);
                world.start().unwrap();
                world.audit();
                // Nothing is left of the disk; the room that the spool has is enough.
                go_on(&mut world, is_acked);
            }
        }
    }
}

#[test]
fn the_reserve_is_back_once_the_disk_has_room() {
    let mut world = with_one_segment(20, true);
    world.start().unwrap();
    go_on(&mut world, true);
    assert!(!has(&world, RESERVE_NAME));
    world.disk.set_capacity(30 * SEGMENT);
    go_on(&mut world, true);
    assert!(has(&world, RESERVE_NAME));
    let durable = world.spool().status().durable;
    world.crash(0);
    let recovery = world.start().unwrap();
    assert_eq!((recovery.durable, recovery.losses.len()), (durable, 0));
    world.audit();
}

/// Without a reserve there is nothing to go on with: that is said, counted, and over when the disk heals.
#[test]
fn without_a_reserve_a_full_disk_is_told_and_nothing_durable_is_lost() {
    let mut world = with_one_segment(20, true);
    world.disk.remove(RESERVE_NAME).unwrap();
    world.start().unwrap();
    let is_full = (0..60).any(|_| {
        drop(world.append(5_000));
        matches!(world.spool().commit(), Err(SpoolError::Failing(_)))
    });
    assert!(is_full && world.spool().status().failing.is_some());
    world.disk.set_capacity(30 * SEGMENT);
    world.spool().commit().unwrap();
    go_on(&mut world, true);
    assert!(has(&world, RESERVE_NAME));
}

#[test]
fn a_first_start_without_room_for_the_reserve_is_refused_and_leaves_nothing() {
    let disk = SimDisk::new();
    disk.set_capacity(4 * SEGMENT - 1);
    let error = open(&disk, 3).err().unwrap();
    assert!(matches!(error, SpoolError::NoSpace { reserve: SEGMENT, .. }), "{error}");
    assert_eq!(disk.names(), [""; 0]);
    disk.set_capacity(4 * SEGMENT + (1 << 20));
    open(&disk, 3).unwrap();
    assert!(disk.names().iter().any(|name| name == RESERVE_NAME));
}

/// The disk is full at some call of the first start: it is refused, and the next one is a first start; or it is good.
#[test]
fn a_disk_that_becomes_full_during_the_first_start_is_named_or_costs_nothing() {
    let mut refused = 0;
    for n in 1..60 {
        let disk = SimDisk::new();
        disk.fail_at(n, Fault::Enospc);
        match open(&disk, 3) {
            Ok((mut spool, _)) => {
                disk.set_capacity(0);
                spool.append(data(1, 100)).unwrap();
                assert_eq!(spool.commit().unwrap(), Sequence(1), "full at call {n}");
            }
            Err(error) => {
                refused += 1;
                let told = error.to_string();
                assert!(
                    told.contains("do not fit")
                        || told.contains("storage space")
                        || error.is_full(),
                    "{told}"
                );
                disk.heal();
            }
        }
        disk.set_capacity(1 << 30);
        disk.crash(chooser(n));
        let (mut spool, _) = open(&disk, 3).unwrap();
        spool.append(data(2, 100)).unwrap();
        spool.commit().unwrap();
    }
    assert!(refused > 3, "{refused} starts were refused");
}
