//! Sequences that a log passed over after an unclean end.

use ::model::Sequence;

use super::{HERE, data, open, read_all};
use crate::sim::SimDisk;

/// 983077 frames were said to wait, of which 60 had ever been written.
#[test]
fn sequences_that_were_passed_over_do_not_wait() {
    let disk = SimDisk::new();
    let (mut spool, _) = open(&disk, 3).unwrap();
    for number in 1..=3 {
        spool.append(data(number, 100)).unwrap();
    }
    spool.commit().unwrap();
    assert_eq!(spool.status().destinations[0].waiting, 3);
    disk.crash(|| false);
    let (mut spool, recovery) = open(&disk, 3).unwrap();
    let (first, last) = recovery.skipped.unwrap();
    assert!(last.0 - first.0 > 50, "many sequences are passed over: {first} to {last}");
    spool.append(data(4, 100)).unwrap();
    spool.commit().unwrap();
    let held = u64::try_from(read_all(&mut spool, 1).len()).unwrap();
    assert_eq!((held, spool.status().destinations[0].waiting), (5, 5), "with the LOSS record");
    // In the middle of the range, too.
    spool.ack_here(Sequence(2)).unwrap();
    assert_eq!(spool.status().destinations[0].waiting, 3);
    assert!(spool.is_passed_over(first, last));
    assert!(spool.is_passed_over(first.next(), first.next()));
    for (first, last) in [(Sequence(2), last), (first, last.next()), (Sequence(3), Sequence(3))] {
        assert!(!spool.is_passed_over(first, last), "{first} to {last}");
    }
    let durable = spool.status().durable;
    while spool.acked(HERE) < durable {
        let next = spool.acked(HERE).next();
        let frame = spool.read_here(next, 1).unwrap()[0].header.sequence;
        spool.ack_here(frame).unwrap();
    }
    assert_eq!(spool.status().destinations[0].waiting, 0);
}
