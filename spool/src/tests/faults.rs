//! Each kind of disk fault at each call of a history.

use ::model::{RecordType, Sequence};

use super::model::{World, chooser};
use super::{SEGMENT, data, data_of, losses_but_skipped, open, read_all, record};
use crate::SpoolError;
use crate::sim::{Fault, SimDisk};

/// Appends, commits, delivers and acks across several segments; errors are what the caller would see.
fn history(world: &mut World) {
    for step in 0..36 {
        match world.append(5_000) {
            Ok(()) | Err(SpoolError::MemoryFull { .. }) => {}
            Err(error) => panic!("append: {error}"),
        }
        world.check();
        if step % 4 == 3 {
            drop(world.spool().commit());
            world.check();
        }
        if step % 8 == 7 {
            drop(world.deliver(40_000));
        }
        if step % 16 == 15 {
            world.ack();
        }
        world.check();
    }
}

fn calls_of_history() -> u64 {
    let mut world = World::new(3);
    let before = world.disk.calls();
    history(&mut world);
    world.disk.calls() - before
}

/// One fault, then the disk works again: nothing that was committed is gone, and the spool goes on by itself.
fn check_fault(fault: Fault) {
    let calls = calls_of_history();
    assert!(calls > 80, "the history is too short: {calls} calls");
    for n in 1..=calls {
        let mut world = World::new(3);
        world.disk.fail_at(n, fault);
        history(&mut world);
        world.disk.heal();
        world.spool().commit().unwrap();
        world.audit();
        world.crash(0);
        world.start().unwrap();
        world.audit();
    }
}

#[test]
fn eio_at_each_call() {
    check_fault(Fault::Eio);
}

#[test]
fn four_errors_in_a_row_at_each_call() {
    check_fault(Fault::EioFour);
}

#[test]
fn enospc_at_each_call() {
    check_fault(Fault::Enospc);
}

#[test]
fn short_write_at_each_call() {
    check_fault(Fault::Short);
}

#[test]
fn power_cut_at_each_call() {
    for n in 1..=calls_of_history() {
        for seed in [0, u64::MAX, n.wrapping_mul(0x9E37_79B9_7F4A_7C15)] {
            let mut world = World::new(3);
            world.disk.fail_at(n, Fault::Crash);
            history(&mut world);
            world.crash(seed);
            let recovery = world.start().unwrap();
            world.audit();
            let damaged = world.spool().status().losses.corrupt;
            // What an unfinished change of segments left in the spare must not be taken for frames of a later life.
            world.append(50).unwrap();
            let durable = world.spool().commit().unwrap();
            world.crash(0);
            let again = world.start().unwrap();
            world.audit();
            assert_eq!(
                (again.durable, again.losses.len()),
                (durable, 0),
                "cut at {n}: {recovery:?}"
            );
            assert_eq!(world.spool().status().losses.corrupt, damaged);
        }
    }
}

/// A start that meets an error either refuses or works; the next one finds everything.
#[test]
fn faults_at_each_call_of_a_start() {
    let mut base = World::new(3);
    history(&mut base);
    base.spool().commit().unwrap();
    base.crash(0);
    let expected: Vec<u64> = {
        let (mut spool, _) = open(&base.disk.fork(), 3).unwrap();
        let acked = spool.status().acked.0;
        read_all(&mut spool, acked + 1).iter().map(|f| f.header.sequence.0).collect()
    };
    assert!(!expected.is_empty());
    for fault in [Fault::Eio, Fault::EioFour, Fault::Enospc, Fault::Short, Fault::Crash] {
        for n in 1..30 {
            let disk = base.disk.fork();
            disk.fail_at(n, fault);
            drop(open(&disk, 3));
            disk.crash(chooser(n));
            let (mut spool, _) = open(&disk, 3).unwrap();
            let frames = read_all(&mut spool, 1);
            for sequence in &expected {
                let is_lost = spool
                    .losses_here()
                    .iter()
                    .any(|loss| (loss.first.0..=loss.last.0).contains(sequence));
                let is_there = frames.iter().any(|frame| frame.header.sequence.0 == *sequence);
                assert!(is_there || is_lost, "{fault:?} at {n}: {sequence}");
                // Only the quota may take them, when damage at a start costs a segment.
                assert!(!is_lost || spool.status().losses.corrupt.frames == 0);
            }
        }
    }
}

/// After a failed fsync the kernel calls the pages clean: a second fsync would lie.
#[test]
fn a_failed_fsync_is_never_repeated() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 4).unwrap();
    spool.append(data(1, 100)).unwrap();
    spool.commit().unwrap();
    spool.append(data(2, 100)).unwrap();
    disk.fail_at(2, Fault::Eio);
    assert_eq!(spool.commit().unwrap(), Sequence(2), "the frame moves to a new segment");
    assert_eq!(spool.status().segments, 2);
    assert_eq!(spool.status().write_errors, 1);
    disk.fail_at(1, Fault::Crash);
    drop(spool);
    disk.crash(|| false);
    let (mut spool, recovery) = open(&disk, 4).unwrap();
    assert_eq!((recovery.durable, recovery.losses.len()), (Sequence(2), 0));
    assert_eq!(data_of(read_all(&mut spool, 1)).len(), 2);
}

#[test]
fn a_dead_disk_fills_memory_to_the_bound_and_counts_the_rest() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    disk.fail_at(1, Fault::Crash);
    let (mut taken, mut refused) = (0, 0);
    for number in 0..100 {
        match spool.append(data(number, 1_000)) {
            Ok(_) => taken += 1,
            Err(SpoolError::MemoryFull { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(matches!(spool.commit(), Err(SpoolError::Failing(_))));
    assert!(spool.append(data(100, 12_000)).is_err());
    let status = spool.status();
    assert!(taken > 8 && refused > 80, "taken {taken}, refused {refused}");
    assert_eq!((status.refused.frames, status.durable), (refused + 1, Sequence(0)));
    assert!(status.failing.is_some());
    disk.heal();
    assert_eq!(spool.commit().unwrap(), Sequence(taken));
    assert_eq!(spool.status().failing, None);
    assert_eq!(crate::to_u64(read_all(&mut spool, 1).len()), taken);
}

#[test]
fn a_disk_that_is_full_before_the_quota_gives_up_the_oldest_early() {
    let mut world = World::new(20);
    // Four segments and a little for the cursors; the quota would be twenty.
    world.disk.set_capacity(4 * SEGMENT + 10_000);
    for _ in 0..60 {
        world.append(5_000).unwrap();
        world.spool().commit().unwrap();
        world.check();
    }
    let status = world.spool().status();
    assert!(status.space_short && status.losses.drop_oldest.frames > 0, "{status:?}");
    assert!(status.used_bytes <= 4 * SEGMENT);
    world.audit();
    world.crash(0);
    world.start().unwrap();
    world.audit();
    world.disk.set_capacity(30 * SEGMENT);
    for _ in 0..60 {
        world.append(5_000).unwrap();
    }
    world.spool().commit().unwrap();
    assert!(!world.spool().status().space_short);
    world.audit();
}

/// What the room promises holds on a disk that is smaller than the quota, and it is back as soon as the disk has some.
#[test]
fn a_short_disk_bounds_the_room_only_while_it_is_short() {
    for spare_bytes in [10_000, SEGMENT, 3 * SEGMENT] {
        let disk = SimDisk::new();
        let (mut spool, _) = open(&disk, 20).unwrap();
        disk.set_capacity(2 * SEGMENT + spare_bytes);
        let mut number = 0;
        while !spool.would_drop_within(5_000) {
            spool.append(data(number, 4_900)).unwrap();
            spool.commit().unwrap();
            assert_eq!(spool.status().losses.drop_oldest.frames, 0, "the room was a promise");
            number += 1;
        }
        assert!(spool.status().space_short && number < 80, "{number} records");
        disk.set_capacity(30 * SEGMENT);
        assert!(!spool.would_drop_within(10 * SEGMENT) && !spool.status().space_short);
    }
}

#[test]
fn what_a_killed_process_left_unsynced_is_made_durable_at_the_next_start() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    spool.append(data(1, 100)).unwrap();
    // Killed between write and fdatasync.
    disk.fail_at(2, Fault::Crash);
    drop(spool.commit());
    drop(spool);
    disk.kill();
    let (mut spool, recovery) = open(&disk, 3).unwrap();
    assert_eq!(recovery.durable, Sequence(1));
    assert_eq!(data_of(read_all(&mut spool, 1)).len(), 1);
    disk.fail_at(1, Fault::Crash);
    drop(spool);
    disk.crash(|| false);
    let (mut spool, recovery) = open(&disk, 3).unwrap();
    assert_eq!(recovery.losses.len(), 0);
    assert_eq!(read_all(&mut spool, 1)[0].header.record_type, RecordType::Data);
}

#[test]
fn a_failed_fsync_at_start_costs_nothing() {
    for n in 1..40 {
        let disk = SimDisk::new();
        let (mut spool, _) = open(&disk, 3).unwrap();
        spool.append(record(RecordType::Boot, "run")).unwrap();
        disk.fail_at(2, Fault::Crash);
        drop(spool.commit());
        drop(spool);
        disk.kill();
        disk.fail_at(n, Fault::Eio);
        if let Ok((mut spool, _)) = open(&disk, 3) {
            let promised = read_all(&mut spool, 1).len();
            disk.fail_at(1, Fault::Crash);
            drop(spool);
            disk.crash(|| false);
            let (mut spool, _) = open(&disk, 3).unwrap();
            assert!(read_all(&mut spool, 1).len() >= promised, "I1 at call {n}");
            assert_eq!(losses_but_skipped(&spool), [], "at call {n}");
        }
    }
}

/// Losses that the centre has heard of leave the list and stay in the totals, wherever the power is cut.
#[test]
fn totals_outlive_a_cut_between_segment_and_cursor() {
    for n in 1..40 {
        for seed in [0, u64::MAX] {
            let mut world = World::new(3);
            for _ in 0..40 {
                world.append(5_000).unwrap();
                world.check();
            }
            world.spool().commit().unwrap();
            while world.deliver(1 << 20).is_ok() && !world.is_delivered() {}
            // First what frees a segment and writes the cursor, then the LOSS record in the newest segment.
            let names = world.disk.names();
            let newest =
                names.iter().filter_map(|name| crate::segment::parse_name(name)).max().unwrap();
            world.spool().ack_here(Sequence(newest.0 - 1)).unwrap();
            world.ack();
            world.check();
            let totals = world.spool().status().losses;
            assert!(totals.drop_oldest.frames > 0 && world.spool().losses_here().is_empty());
            world.disk.fail_at(n, Fault::Crash);
            for _ in 0..14 {
                drop(world.append(5_000));
            }
            drop(world.spool().commit());
            world.crash(seed);
            world.start().unwrap();
            world.audit();
            let found = world.spool().status().losses;
            assert_eq!(found.lost(), totals.lost(), "cut at {n}");
        }
    }
}
