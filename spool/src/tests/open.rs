//! What the gateway sees: refusals, preambles, acks, room, restarts.

use ::model::record::{JsonRecord, Loss, LossReason};
use ::model::{RecordType, Sequence, Timestamp};

use super::{Fixed, HERE, SEGMENT, config, data, open, read_all, record};
use crate::segment::{SPARE_NAME, file_name, parse_name};
use crate::sim::{Fault, SimDisk};
use crate::{Spool, SpoolConfig, SpoolError};

fn refusal(disk: &SimDisk, segments: u64) -> String {
    open(disk, segments).err().expect("it must be refused").to_string()
}

#[test]
fn a_quota_below_three_segments_is_refused() {
    let check = |segments, expected: &str| {
        let disk = SimDisk::new();
        assert_eq!(refusal(&disk, segments), expected);
        assert!(disk.names().is_empty(), "nothing is made");
    };
    let least = "is too small: expected at least 196608 bytes (3 segments of 65536 bytes)";
    check(1, &format!("spool quota of 65536 bytes {least}"));
    check(2, &format!("spool quota of 131072 bytes {least}"));
    open(&SimDisk::new(), 3).unwrap();
}

#[test]
fn a_segment_size_out_of_range_is_refused() {
    for segment_bytes in [0, SEGMENT - 4096, SEGMENT + 1, (64 << 20) + 4096] {
        let config = SpoolConfig { segment_bytes, ..SpoolConfig::new("/simulated", 1 << 40) };
        let result = Spool::open(Box::new(SimDisk::new()), config, &Fixed(1));
        assert!(matches!(result.err(), Some(SpoolError::SegmentBytes { .. })), "{segment_bytes}");
    }
}

#[test]
fn a_quota_that_the_disk_cannot_hold_is_refused_for_a_new_spool_only() {
    let disk = SimDisk::new();
    disk.set_capacity(3 * SEGMENT - 1);
    assert!(refusal(&disk, 3).contains("196607 bytes are free"));
    disk.set_capacity(4 * SEGMENT);
    let (spool, recovery) = open(&disk, 3).unwrap();
    assert!(recovery.is_new && !recovery.space_short);
    spool.close().unwrap();
    let (_spool, recovery) = open(&disk, 20).unwrap();
    assert!(recovery.space_short);
}

#[test]
fn a_second_opener_is_refused_and_told_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let config = SpoolConfig {
        segment_bytes: SEGMENT,
        ..SpoolConfig::new(dir.path().join("spool"), 4 * SEGMENT)
    };
    let (spool, _) = Spool::open_dir(config.clone(), &Fixed(1)).unwrap();
    let error = Spool::open_dir(config.clone(), &Fixed(2)).err().unwrap().to_string();
    assert!(error.contains(&format!("is in use by process {}", std::process::id())), "{error}");
    spool.close().unwrap();
    Spool::open_dir(config, &Fixed(2)).unwrap();
}

#[test]
fn the_real_disk_holds_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let config = SpoolConfig {
        segment_bytes: SEGMENT,
        ..SpoolConfig::new(dir.path().join("a/spool"), 4 * SEGMENT)
    };
    let (mut spool, recovery) = Spool::open_dir(config.clone(), &Fixed(1)).unwrap();
    assert!(recovery.is_new);
    let log_id = spool.log_id();
    for number in 0..60 {
        spool.append(data(number, 5_000)).unwrap();
        spool.commit().unwrap();
    }
    let status = spool.status();
    drop(spool);
    let (mut spool, recovery) = Spool::open_dir(config, &Fixed(2)).unwrap();
    assert_eq!(
        (recovery.is_new, recovery.durable, spool.log_id()),
        (false, status.durable, log_id)
    );
    assert_eq!((spool.status().losses, spool.losses_here().len()), (status.losses, 1));
    let frames = read_all(&mut spool, 1);
    assert_eq!(frames[0].header.sequence, spool.losses_here()[0].last.next());
    let data_frames = frames.iter().filter(|f| f.header.record_type == RecordType::Data).count();
    let dropped: u64 = (0..60 - crate::to_u64(data_frames)).map(|number| number % 100 + 1).sum();
    assert_eq!(spool.losses_here()[0].samples, Some(dropped), "I5");
}

/// Raises the version in each copy of a block; `has_crc` as a program would that keeps our checksum.
fn alter_version(disk: &SimDisk, name: &str, copies: &[usize], crc_offset: usize, has_crc: bool) {
    disk.alter(name, |bytes| {
        for copy in copies {
            bytes[copy + 8] = 3;
            if has_crc {
                let crc = crc32c::crc32c(&bytes[*copy..copy + crc_offset]);
                bytes[copy + crc_offset..copy + crc_offset + 4].copy_from_slice(&crc.to_le_bytes());
            }
        }
    });
}

#[test]
fn a_newer_version_is_refused_and_nothing_is_touched() {
    for has_crc in [true, false] {
        for is_segment in [true, false] {
            let disk = SimDisk::new();
            let (mut spool, _) = open(&disk, 3).unwrap();
            spool.append(data(1, 10)).unwrap();
            spool.commit().unwrap();
            spool.close().unwrap();
            if is_segment {
                alter_version(&disk, &file_name(Sequence(1)), &[0, 512], 76, has_crc);
            } else {
                alter_version(&disk, "cursors.a", &[0], 4092, has_crc);
                alter_version(&disk, "cursors.b", &[0], 4092, has_crc);
            }
            let before: Vec<_> = disk.names().into_iter().map(|n| (disk.bytes_of(&n), n)).collect();
            let error = refusal(&disk, 3);
            assert!(error.contains("has version 3, expected 2; update this program"), "{error}");
            let after: Vec<_> = disk.names().into_iter().map(|n| (disk.bytes_of(&n), n)).collect();
            assert!(before == after, "bytes were touched");
        }
    }
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (one, other) = (SimDisk::new(), SimDisk::new());
    open(&one, 3).unwrap().0.close().unwrap();
    // Another draw of chance: another log.
    other.runs();
    open(&other, 3).unwrap().0.close().unwrap();
    let bytes = other.bytes_of(&file_name(Sequence(1)));
    drop(crate::Disk::create(&one, &file_name(Sequence(9))).unwrap());
    one.alter(&file_name(Sequence(9)), |file| *file = bytes);
    assert!(refusal(&one, 3).contains("belongs to log"));
}

#[test]
fn names_sort_as_numbers_do() {
    let numbers = [0, 1, 9, 10, 255, 256, 0x12c40, u64::from(u32::MAX), u64::MAX];
    let names: Vec<String> = numbers.iter().map(|number| file_name(Sequence(*number))).collect();
    assert!(names.is_sorted());
    for (number, name) in numbers.iter().zip(&names) {
        assert_eq!(parse_name(name), Some(Sequence(*number)));
    }
    for wrong in
        ["", "1.seg", "0000000000012C40.seg", "0000000000012c40", "+000000000012c40.seg", "spare"]
    {
        assert_eq!(parse_name(wrong), None, "{wrong}");
    }
}

#[test]
fn each_segment_begins_with_the_preamble_and_recovery_gives_it_back() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 8).unwrap();
    let preamble =
        vec![record(RecordType::Dictionary, "points"), record(RecordType::History, "marks 1")];
    spool.append(preamble[0].clone()).unwrap();
    spool.append(preamble[1].clone()).unwrap();
    spool.set_preamble(preamble).unwrap();
    for number in 0..30 {
        spool.append(data(number, 5_000)).unwrap();
    }
    let marks = record(RecordType::History, "marks 2");
    spool.append(marks.clone()).unwrap();
    spool.commit().unwrap();
    let frames = read_all(&mut spool, 1);
    let firsts: Vec<Sequence> = disk.names().iter().filter_map(|name| parse_name(name)).collect();
    assert_eq!(firsts.len(), 3);
    for first in &firsts {
        let at = frames.iter().position(|frame| frame.header.sequence == *first).unwrap();
        assert_eq!((frames[at].body(), frames[at + 1].body()), (&b"points"[..], &b"marks 1"[..]));
    }
    spool.close().unwrap();
    let (spool, recovery) = open(&disk, 8).unwrap();
    assert_eq!(recovery.dictionaries, [b"points".to_vec()]);
    assert_eq!(recovery.history, [b"marks 1".to_vec(), marks.body]);
    spool.close().unwrap();

    // Damage before the latest marks: they promise samples that are gone.
    let newest = firsts[2];
    let third = &frames[frames.iter().position(|f| f.header.sequence == newest).unwrap() + 2];
    let place = 1024 + 2 * model_frame_bytes(6) + 8;
    assert_eq!(third.header.record_type, RecordType::Data);
    disk.alter(&file_name(newest), |bytes| {
        bytes[place + model_frame_bytes(7) - model_frame_bytes(6)] ^= 1;
    });
    let (mut spool, recovery) = open(&disk, 8).unwrap();
    assert!(recovery.history.iter().all(|body| body == b"marks 1") && !recovery.history.is_empty());
    assert_eq!(
        (recovery.losses[0].first, recovery.losses[0].last),
        (third.header.sequence, third.header.sequence)
    );
    assert_eq!(spool.losses_here(), recovery.losses);
    // The next start must not trust the later marks either.
    spool.append(data(99, 10)).unwrap();
    spool.commit().unwrap();
    spool.close().unwrap();
    let (_spool, recovery) = open(&disk, 8).unwrap();
    assert!(recovery.history.iter().all(|body| body == b"marks 1") && !recovery.history.is_empty());
    assert_eq!(recovery.dictionaries, [b"points".to_vec()]);
}

fn model_frame_bytes(body: usize) -> usize {
    ::model::frame::frame_bytes(body)
}

#[test]
fn a_group_of_records_costs_one_write_and_one_fdatasync() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    for number in 0..50 {
        spool.append(data(number, 100)).unwrap();
    }
    assert!(spool.read_here(Sequence(1), 1 << 20).unwrap().is_empty(), "I1");
    let before = disk.calls();
    assert_eq!(spool.commit().unwrap(), Sequence(50));
    assert_eq!(disk.calls() - before, 2);
    assert_eq!(spool.commit().unwrap(), Sequence(50));
    assert_eq!(disk.calls() - before, 2, "nothing to commit, nothing written");
}

#[test]
fn reading_on_does_not_scan_again() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 20).unwrap();
    for number in 0..100 {
        spool.append(data(number, 5_000)).unwrap();
    }
    spool.commit().unwrap();
    let before = disk.calls();
    let mut at = Sequence(1);
    while let Some(frame) = spool.read_here(at, 1).unwrap().pop() {
        at = frame.header.sequence.next();
    }
    assert_eq!(at, Sequence(101));
    // One read for a frame, one open for a segment.
    assert!(disk.calls() - before <= 120, "{} calls", disk.calls() - before);
}

#[test]
fn an_ack_beyond_what_is_durable_frees_nothing_and_is_an_error() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    spool.append(data(1, 10)).unwrap();
    spool.commit().unwrap();
    spool.append(data(2, 10)).unwrap();
    let error = spool.ack_here(Sequence(2)).unwrap_err();
    assert!(matches!(
        error,
        SpoolError::AckBeyondDurable { upto: Sequence(2), durable: Sequence(1) }
    ));
    assert_eq!(spool.status().acked, Sequence(0), "nothing is freed by it");
    spool.ack_here(Sequence(1)).unwrap();
    assert_eq!(spool.ack_here(Sequence(0)).unwrap(), Sequence(1), "acks only move forward");
}

#[test]
fn acked_segments_are_freed_and_recycled() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 4).unwrap();
    for number in 0..400 {
        spool.append(data(number, 5_000)).unwrap();
        let durable = spool.commit().unwrap();
        spool.ack_here(durable).unwrap();
        assert!(
            spool.status().used_bytes <= 3 * SEGMENT,
            "the open segment, the one before, the spare"
        );
    }
    let status = spool.status();
    assert_eq!((status.losses.drop_oldest.frames, status.acked), (0, Sequence(400)));
    assert!(status.oldest > Sequence(350), "{status:?}");
    spool.close().unwrap();
    let (spool, recovery) = open(&disk, 4).unwrap();
    assert_eq!((recovery.acked, spool.status().next), (Sequence(400), Sequence(401)));
}

#[test]
fn an_overfull_spool_drops_whole_segments_into_one_loss() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 4).unwrap();
    let mut samples = Vec::new();
    for number in 0..200 {
        let draft = data(number, 5_000);
        let dropped = spool.status().losses.drop_oldest.frames;
        if spool.would_drop_within(draft.frame_bytes()) {
            assert!(spool.status().room_bytes < 5_100);
        } else {
            samples.push(u64::from(draft.samples));
            spool.append(draft).unwrap();
            assert_eq!(spool.status().losses.drop_oldest.frames, dropped, "the room was a promise");
            continue;
        }
        samples.push(u64::from(draft.samples));
        spool.append(draft).unwrap();
    }
    spool.commit().unwrap();
    let losses = spool.losses_here();
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((loss.first, loss.reason), (Sequence(1), LossReason::DropOldest));
    assert_eq!(loss.last.next(), spool.status().oldest);
    assert_eq!(loss.ts_min, Some(Timestamp(1)));
    let frames = read_all(&mut spool, 1);
    let held: u64 = frames.iter().map(|frame| u64::from(frame.header.samples)).sum();
    assert_eq!(loss.samples.unwrap() + held, samples.iter().sum::<u64>(), "I5");
    // The LOSS record itself is delivered, and settled by its ack.
    let record = frames.iter().rfind(|frame| frame.header.record_type == RecordType::Loss).unwrap();
    assert_eq!(&Loss::from_record(record.body()).unwrap(), loss);
    assert_eq!(spool.losses_above(HERE, loss.last), []);
    let durable = spool.commit().unwrap();
    spool.ack_here(durable).unwrap();
    assert_eq!(spool.losses_here(), []);
    let totals = spool.status().losses;
    assert_eq!(Some(totals.drop_oldest.samples), loss.samples);
    spool.close().unwrap();
    let (spool, _) = open(&disk, 4).unwrap();
    assert_eq!((spool.status().losses, spool.losses_here()), (totals, vec![]));
}

#[test]
fn what_is_acked_is_not_counted_as_dropped() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    for number in 0..5 {
        spool.append(data(number, 5_000)).unwrap();
    }
    spool.commit().unwrap();
    spool.ack_here(Sequence(4)).unwrap();
    for number in 5..40 {
        spool.append(data(number, 5_000)).unwrap();
    }
    let losses = spool.losses_here();
    assert_eq!(
        (losses.len(), losses[0].first, losses[0].ts_min),
        (1, Sequence(5), Some(Timestamp(5)))
    );
}

#[test]
fn a_loss_outlives_the_segment_that_its_record_stood_in() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 8).unwrap();
    for number in 0..15 {
        spool.append(data(number, 5_000)).unwrap();
    }
    spool.commit().unwrap();
    disk.alter(&file_name(Sequence(1)), |bytes| bytes[1024 + 6_000] ^= 1);
    let frames = read_all(&mut spool, 1);
    let losses = spool.losses_here();
    assert_eq!((losses[0].first, losses[0].last), (Sequence(2), Sequence(2)));
    assert_eq!((losses[0].samples, losses[0].reason), (Some(2), LossReason::Corrupt));
    assert_eq!(spool.commit().unwrap().0, 16, "the LOSS record is durable already");
    assert!(frames.iter().all(|frame| frame.header.sequence != Sequence(2)));
    for number in 15..40 {
        spool.append(data(number, 5_000)).unwrap();
    }
    spool.commit().unwrap();
    spool.close().unwrap();
    let (spool, recovery) = open(&disk, 8).unwrap();
    assert_eq!((spool.losses_here(), recovery.losses), (losses, vec![]));
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    spool.append(data(1, 100)).unwrap();
    spool.commit().unwrap();
    spool.append(data(2, 5_000)).unwrap();
    disk.fail_at(2, Fault::Crash);
    drop(spool.commit());
    drop(spool);
    let mut sectors = 0;
    disk.crash(|| {
        sectors += 1;
        sectors == 1
    });
    let (mut spool, recovery) = open(&disk, 3).unwrap();
    let torn = recovery.torn_tail.unwrap();
    assert_eq!((torn.first, torn.readable.frames, torn.readable.samples), (Sequence(2), 1, 3));
    assert_eq!((recovery.durable, recovery.losses.len()), (Sequence(1), 0));
    // What was cut off may have left: its sequence is not used again (I2).
    let (first, last) = recovery.skipped.unwrap();
    assert_eq!(first, Sequence(2));
    assert_eq!(spool.append(data(3, 100)).unwrap(), last.next().next(), "behind the LOSS record");
    spool.commit().unwrap();
    assert_eq!(read_all(&mut spool, 1).len(), 3);
    let losses = spool.losses_here();
    assert_eq!((losses.len(), losses[0].first, losses[0].last), (1, first, last));
    assert_eq!((losses[0].reason, losses[0].samples), (LossReason::Skipped, None));
    assert_eq!(spool.status().losses.lost().frames, 0, "nothing that was durable is gone");
}

/// A log that ended in order goes on without a gap, however often.
#[test]
fn a_clean_end_skips_nothing() {
    let disk = SimDisk::new();
    for run in 1..20 {
        let (mut spool, recovery) = open(&disk, 3).unwrap();
        assert_eq!((recovery.skipped, recovery.durable), (None, Sequence(run - 1)));
        assert_eq!(spool.append(data(run, 100)).unwrap(), Sequence(run));
        spool.commit().unwrap();
        spool.close().unwrap();
    }
}

/// A service that is killed again and again costs a few bytes each time, and no segment.
#[test]
fn unclean_ends_cost_no_segments() {
    let disk = SimDisk::new();
    for run in 0..60 {
        let (mut spool, recovery) = open(&disk, 3).unwrap();
        assert_eq!(recovery.skipped.is_some(), run > 0);
        spool.append(data(run, 10)).unwrap();
        let durable = spool.commit().unwrap();
        if run % 10 == 9 {
            // What lies between two unclean ends is acked by itself.
            while spool.acked(HERE) < durable {
                let upto = spool.deliverable(HERE);
                spool.ack_here(upto).unwrap();
            }
        }
        assert_eq!(spool.status().segments, 1);
        disk.fail_at(1, crate::sim::Fault::Crash);
        drop(spool);
        disk.crash(|| true);
    }
    let (mut spool, _) = open(&disk, 3).unwrap();
    let frames = read_all(&mut spool, 1);
    let data = frames.iter().filter(|frame| frame.header.record_type == RecordType::Data);
    assert_eq!(data.count(), 60);
}

/// What a run before left as the next segment would bring its name back if the disk forgot the header that is written over
/// it, and nobody could tell whose segments these are.
#[test]
fn a_next_segment_of_another_log_is_not_taken() {
    let disk = SimDisk::new();
    let (spool, _) = open(&disk, 3).unwrap();
    let log_id = spool.log_id();
    drop(spool);
    disk.kill();
    let segment = file_name(Sequence(1));
    let bytes = disk.bytes_of(&segment);
    for name in [SPARE_NAME, "reserve"] {
        let disk = SimDisk::new();
        disk.runs();
        crate::Disk::create(&disk, name).unwrap();
        disk.alter(name, |content| content.clone_from(&bytes));
        crate::Disk::sync_dir(&disk).unwrap();
        let (spool, recovery) = open(&disk, 3).unwrap();
        assert!(recovery.is_new && spool.log_id() != log_id);
        drop(spool);
        // As they are made: without a header of anybody.
        for name in [SPARE_NAME, "reserve"] {
            let content = disk.bytes_of(name);
            assert!(content.iter().all(|byte| *byte == 0), "`{name}` has a header of another log");
        }
    }
}

#[test]
fn lost_cursors_cost_a_resend_only() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    spool.append(data(1, 100)).unwrap();
    spool.commit().unwrap();
    spool.ack_here(Sequence(1)).unwrap();
    let log_id = spool.log_id();
    spool.close().unwrap();
    for name in ["cursors.a", "cursors.b"] {
        disk.alter(name, Vec::clear);
    }
    let (mut spool, recovery) = open(&disk, 3).unwrap();
    assert_eq!((recovery.is_new, recovery.acked, spool.log_id()), (false, Sequence(0), log_id));
    assert_eq!(read_all(&mut spool, 1).len(), 1);
}

#[test]
fn lost_segments_are_lost_sequences_and_never_used_again() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    for number in 0..5 {
        spool.append(data(number, 100)).unwrap();
    }
    spool.commit().unwrap();
    spool.ack_here(Sequence(2)).unwrap();
    spool.close().unwrap();
    crate::Disk::remove(&disk, &file_name(Sequence(1))).unwrap();
    let (mut spool, recovery) = open(&disk, 3).unwrap();
    assert_eq!((recovery.losses[0].first, recovery.losses[0].last), (Sequence(3), Sequence(5)));
    assert!(spool.append(data(9, 9)).unwrap() > Sequence(5), "I2");
}

#[test]
fn what_cannot_fit_is_refused() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    assert!(matches!(
        spool.append(data(1, 13_000)),
        Err(SpoolError::RecordTooLong { max: 12_902, .. })
    ));
    assert!(matches!(
        spool.set_preamble(vec![data(1, 7_000); 2]),
        Err(SpoolError::PreambleTooLong { .. })
    ));
    assert_eq!(spool.append(data(1, 12_800)).unwrap(), Sequence(1));
}

#[test]
fn the_segment_size_may_change_between_runs() {
    let disk = SimDisk::new();
    let with = |segment_bytes| {
        let config = SpoolConfig { segment_bytes, ..config(16) };
        Spool::open(Box::new(disk.clone()), config, &Fixed(disk.runs())).unwrap().0
    };
    let mut expected = 0;
    for segment_bytes in [SEGMENT, 4 * SEGMENT, SEGMENT, 2 * SEGMENT] {
        let mut spool = with(segment_bytes);
        for number in 0..15 {
            spool.append(data(number, 10_000)).unwrap();
            expected += 1;
        }
        spool.commit().unwrap();
        assert!(spool.status().used_bytes <= 16 * SEGMENT);
        let lost: u64 = spool.status().losses.drop_oldest.frames;
        assert_eq!(spool.status().next, Sequence(expected + 1 + loss_records(&mut spool)));
        assert!(lost == 0 || spool.losses_here().len() == 1);
        spool.close().unwrap();
    }
}

fn loss_records(spool: &mut Spool) -> u64 {
    let frames = read_all(spool, 1);
    crate::to_u64(frames.iter().filter(|f| f.header.record_type == RecordType::Loss).count())
}
