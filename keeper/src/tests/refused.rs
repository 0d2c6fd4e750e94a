//! What was refused is told to the centre by a LOSS record without a sequence, and a sample that its point does not allow
//! never becomes a frame.

use model::SampleFlags;
use model::record::{JsonRecord, Loss, LossReason};

use super::*;

/// The readings that LOSS records without a sequence tell of.
fn told(keeping: &mut Keeping) -> Vec<Loss> {
    let frames = frames(keeping);
    let losses = frames.iter().filter(|frame| frame.header.record_type == RecordType::Loss);
    let losses = losses.map(|frame| Loss::from_record(frame.body()).unwrap());
    losses.filter(|loss| loss.range().is_none()).collect()
}

fn refuse_some(keeping: &mut Keeping, disk: &TestDisk) -> u64 {
    disk.set_broken(true);
    for step in 0..10 {
        keeping.take(Emission { marks: vec![], ..page(0, step * 500..step * 500 + 500) });
        keeping.commit();
    }
    keeping.status().samples_refused
}

/// brk-10: 32 320 samples were gone with all counters at 0.
#[test]
fn what_was_refused_is_durable_as_soon_as_the_disk_writes_again() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    let refused = refuse_some(&mut keeping, &disk);
    assert!(refused > 0);
    assert_eq!(keeping.status().samples_refused_unrecorded, refused);
    disk.set_broken(false);
    keeping.commit();
    assert_eq!(keeping.status().samples_refused_unrecorded, 0);
    let losses = told(&mut keeping);
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((loss.samples, loss.reason), (Some(refused), LossReason::Refused));
    assert_eq!(loss.ts_max, Some(Timestamp(4_999)));
    assert!(loss.ts_min >= Some(Timestamp(0)) && loss.ts_min < loss.ts_max);
    // A restart finds it, and tells nothing twice.
    drop(keeping);
    let mut keeping = open(&disk, 10);
    keeping.commit_last();
    assert_eq!(told(&mut keeping), losses);
}

/// Nobody knows how much a run that did not end in order had in memory: unknown, never 0, and told once.
#[test]
fn an_unclean_end_is_told_as_a_loss_of_unknown_size() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    keeping.take(page(0, 0..100));
    keeping.commit();
    assert_eq!((told(&mut keeping), keeping.status().unclean_end_ms), (vec![], None));
    kill(keeping, &disk);
    let mut keeping = open(&disk, 10);
    keeping.commit();
    let losses = told(&mut keeping);
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((loss.samples, loss.reason), (None, LossReason::Refused));
    assert_eq!((loss.ts_min, loss.ts_max), (Some(Timestamp(99)), Some(Fixed.now())));
    let status = keeping.status();
    assert_eq!((status.unclean_end_ms, status.samples_refused), (Some(0), 0));
    // The next end is in order: nothing more is told.
    keeping.commit_last();
    drop(keeping);
    let mut keeping = open(&disk, 10);
    keeping.commit();
    assert_eq!((told(&mut keeping), keeping.status().unclean_end_ms), (losses, None));
}

#[test]
fn what_is_kept_and_what_is_told_as_lost_is_all_that_was_read() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    for _ in 0..3 {
        refuse_some(&mut keeping, &disk);
        disk.set_broken(false);
        keeping.commit();
    }
    keeping.commit_last();
    let lost: u64 = told(&mut keeping).iter().filter_map(|loss| loss.samples).sum();
    assert_eq!(lost, keeping.status().samples_refused);
    let status = keeping.status();
    assert_eq!(lost + status.samples_appended + status.repeats_dropped, 15_000);
}

/// `frozen` stood until the process was started again.
#[test]
fn a_point_with_a_hole_is_read_back_without_a_restart_once_the_disk_works() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    keeping.take(page(0, 0..100));
    keeping.commit();
    disk.set_broken(true);
    for step in 1..10 {
        keeping.take(page(0, step * 1000..step * 1000 + 1000));
        keeping.commit();
    }
    assert!(keeping.status().samples_refused > 0);
    assert_eq!(keeping.to_read_again(), BTreeSet::new(), "not while the disk fails");
    disk.set_broken(false);
    keeping.commit();
    assert_eq!(keeping.to_read_again(), BTreeSet::from([PointIndex(0)]));
    // The port begins again there.
    let marks = keeping.resume(&[PointIndex(0), PointIndex(1)]);
    assert_eq!(marks.len(), 1);
    let from = marks[&PointIndex(0)].time().unwrap().0;
    assert!(from < 9_999, "{from}");
    assert_eq!(keeping.to_read_again(), BTreeSet::new());
    keeping.take(page(0, from..10_000));
    keeping.commit();
    assert_eq!(mark(&keeping, 0), Some(9_999));
    let found = stored(&mut keeping);
    assert!((1_000..10_000).all(|time| found.contains(&(0, time))));
}

#[test]
fn a_sample_that_its_point_does_not_allow_is_counted_and_named_and_becomes_no_frame() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    let good = |time| sample(0, time);
    let with = |change: fn(&mut Sample)| {
        let mut sample = sample(1, 5);
        change(&mut sample);
        sample
    };
    let unfit = [
        with(|sample| sample.value = Some(Value::Decimal(1))),
        with(|sample| sample.value = Some(Value::Bool(true))),
        with(|sample| sample.value = Some(Value::Float(f64::NAN))),
        with(|sample| sample.value = None),
        with(|sample| sample.quality = Quality::BAD),
        with(|sample| sample.point = PointIndex(POINTS)),
        with(|sample| sample.point = PointIndex(u32::MAX)),
        with(|sample| sample.source_time = Timestamp(-1)),
        with(|sample| sample.source_time = Timestamp(i64::MAX)),
    ];
    let count = u64::try_from(unfit.len()).unwrap();
    let mut samples = vec![good(1)];
    samples.extend(unfit);
    samples.push(good(2));
    keeping.take(Emission { samples, marks: vec![] });
    keeping.commit_last();
    let status = keeping.status();
    assert_eq!((status.samples_refused, status.samples_appended), (count, 2));
    assert_eq!(stored(&mut keeping), BTreeSet::from([(0, 1), (0, 2)]));
    let lost: u64 = told(&mut keeping).iter().filter_map(|loss| loss.samples).sum();
    assert_eq!(lost, count, "the centre hears of them");
    let named: Vec<&str> = status.unfit.iter().map(|unfit| unfit.point.as_str()).collect();
    assert_eq!(named, ["acme/m1/e", "number 4", "number 4294967295"]);
    assert_eq!(status.unfit[0].why, "expected a finite float, found a decimal");
    assert_eq!(status.unfit[0].samples, count - 2);
}

/// A hundred refused readings a second must not be a hundred LOSS records.
#[test]
fn readings_that_are_refused_one_by_one_are_told_together() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    for time in 0..100 {
        let wrong = Sample { value: Some(Value::Decimal(1)), ..sample(1, time) };
        keeping.take(Emission { samples: vec![wrong], marks: vec![] });
        keeping.commit();
    }
    keeping.commit_last();
    let losses = told(&mut keeping);
    let counts: Vec<Option<u64>> = losses.iter().map(|loss| loss.samples).collect();
    assert_eq!(counts, [Some(1), Some(99)]);
}

#[test]
fn what_is_read_by_a_clock_that_cannot_be_right_is_flagged() {
    struct At1970;
    impl Clock for At1970 {
        fn now(&self) -> Timestamp {
            Timestamp(5)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }
    let flags = |clock: Arc<dyn Clock>, gateway_time: Timestamp| {
        let mut keeping = open_by(&TestDisk::new(), 10, clock);
        let sample = Sample { gateway_time, ..sample(0, 7) };
        keeping.take(Emission { samples: vec![sample], marks: vec![] });
        keeping.commit();
        let frames = frames(&mut keeping);
        let of = |wanted| frames.iter().filter(move |frame| frame.header.record_type == wanted);
        let data = of(RecordType::Data).next().unwrap();
        let samples = model::codec::decode(data.body()).unwrap().samples;
        (samples[0].flags, of(RecordType::Clock).count(), keeping.clock_status().is_plausible)
    };
    let (flagged, now) = (SampleFlags::CLOCK_UNSYNCHRONISED, Fixed.now());
    assert_eq!(flags(Arc::new(At1970), Timestamp(5)), (flagged, 1, false));
    assert_eq!(flags(Arc::new(Fixed), now), (SampleFlags::default(), 0, true));
    // Read before the clock was set, or after it was set back and before that was seen.
    assert_eq!(flags(Arc::new(Fixed), Timestamp(5)), (flagged, 0, true));
    assert_eq!(flags(Arc::new(At1970), now), (flagged, 1, false));
}
