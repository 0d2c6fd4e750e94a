//! The keeper over a disk that fails and heals: what it says is durable is, what it could not keep it counts, and what
//! a device remembers is read back.

mod disk;
mod marks;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use driver::Emission;
use model::dictionary::{Place, PointInfo};
use model::fixtures;
use model::host::{Clock, Entropy};
use model::{
    Boot, PointId, PointIndex, Quality, RecordType, Sample, Sequence, Timestamp, Value, ValueType,
};
use proptest::prelude::*;
use spool::{Spool, SpoolConfig, StoredFrame};

use super::keeping::Keeping;
use super::marks::{MARK_INTERVAL, MARK_INTERVAL_MAX};
use crate::points::{PointTable, PointTableBuilder};
use crate::status::SpoolFindings;
use disk::TestDisk;

const SEGMENT: u64 = 64 << 10;
const POINTS: u32 = 4;

struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000_000)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A clock that the test moves.
#[derive(Default)]
struct Hand(AtomicU64);

impl Hand {
    fn pass(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(Fixed.now().0 + i64::try_from(self.0.load(Ordering::Relaxed)).unwrap())
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

fn id(point: u32) -> PointId {
    PointId::new(format!("acme/m{point}/e")).unwrap()
}

fn points() -> Arc<PointTable> {
    let place = Place { enterprise: "acme".into(), site: "nb".into(), area: None, line: None };
    let point = |point| PointInfo {
        id: id(point),
        place: place.clone(),
        device: format!("m{point}"),
        ..fixtures::point("e", ValueType::Float)
    };
    let mut points = PointTableBuilder::default();
    for index in 0..POINTS {
        points.add_device(vec![point(index)]).unwrap();
    }
    Arc::new(points.finish().unwrap())
}

fn open(disk: &TestDisk, segments: u64) -> Keeping {
    open_by(disk, segments, Arc::new(Fixed))
}

fn open_by(disk: &TestDisk, segments: u64, clock: Arc<dyn Clock>) -> Keeping {
    let config = SpoolConfig {
        segment_bytes: SEGMENT,
        ..SpoolConfig::new("/simulated", segments * SEGMENT)
    };
    let (spool, recovery) = Spool::open(Box::new(disk.clone()), config.clone(), &Fixed).unwrap();
    let boot = Boot {
        boot_id: "b".to_owned(),
        version: "0".to_owned(),
        at: Timestamp(0),
        last_sequence: spool.status().durable,
    };
    let all: Vec<PointIndex> = (0..POINTS).map(PointIndex).collect();
    let mut keeping = Keeping::new(spool, recovery, &config, (points(), &all), clock);
    keeping.note_start(&boot).unwrap();
    keeping
}

/// A value that does not compress, so that memory fills soon.
fn sample(point: u32, time: i64) -> Sample {
    let noise = u64::try_from(time).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 12;
    let value = Value::Float(f64::from_bits(noise | 0x3FF0_0000_0000_0000));
    let gateway_time = Timestamp(Fixed.now().0 + time);
    Sample::new(PointIndex(point), Timestamp(time), gateway_time, Quality::GOOD, value)
}

/// A page of what a device remembers, and its mark.
fn page(point: u32, times: std::ops::Range<i64>) -> Emission {
    let mark = (PointIndex(point), Timestamp(times.end - 1).into());
    Emission { samples: times.map(|time| sample(point, time)).collect(), marks: vec![mark] }
}

fn frames(keeping: &mut Keeping) -> Vec<StoredFrame> {
    let mut frames: Vec<StoredFrame> = Vec::new();
    loop {
        let from = frames.last().map_or(Sequence(1), |frame| frame.header.sequence.next());
        let more = keeping.spool.read_from(spool::DestinationIndex(0), from, 1 << 20).unwrap();
        if more.is_empty() {
            return frames;
        }
        frames.extend(more);
    }
}

/// Every durable sample by point and time, in the order of the log.
fn in_order(keeping: &mut Keeping) -> Vec<(u32, i64)> {
    let frames = frames(keeping);
    let data = frames.iter().filter(|frame| frame.header.record_type == RecordType::Data);
    let samples = data.flat_map(|frame| model::codec::decode(frame.body()).unwrap().samples);
    samples.map(|sample| (sample.point.0, sample.source_time.0)).collect()
}

fn stored(keeping: &mut Keeping) -> BTreeSet<(u32, i64)> {
    in_order(keeping).into_iter().collect()
}

/// The process is killed: nothing is written for an orderly end.
fn kill(keeping: Keeping, disk: &TestDisk) {
    disk.set_broken(true);
    drop(keeping);
    disk.set_broken(false);
}

fn mark(keeping: &Keeping, point: u32) -> Option<i64> {
    let mark = keeping.marks.durable().marks.get(&id(point))?;
    Some(mark.time().unwrap().0)
}

#[test]
fn a_disk_that_heals_after_memory_was_full_is_written_again() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    disk.set_broken(true);
    for step in 0..10 {
        keeping.take(Emission { marks: vec![], ..page(0, step * 500..step * 500 + 500) });
        keeping.commit();
    }
    let status = keeping.status();
    assert!(status.fault.is_some() && status.samples_appended > 0);
    assert_eq!(status.samples_appended + status.samples_refused, 5_000);
    disk.set_broken(false);
    keeping.take(page(1, 0..500));
    keeping.commit();
    let status = keeping.status();
    assert_eq!((status.fault, mark(&keeping, 1)), (None, Some(499)));
    let kept = u64::try_from(stored(&mut keeping).len()).unwrap();
    assert_eq!((kept, kept + status.samples_refused), (status.samples_appended, 5_500));
}

#[test]
fn a_mark_stays_before_what_was_refused_and_the_next_run_reads_it_back() {
    let disk = TestDisk::new();
    let clock = Arc::new(Hand::default());
    let mut keeping = open_by(&disk, 10, clock.clone());
    keeping.take(page(0, 0..100));
    keeping.commit();
    assert_eq!(mark(&keeping, 0), Some(99));
    clock.pass(MARK_INTERVAL_MAX);
    disk.set_broken(true);
    for step in 1..10 {
        keeping.take(page(0, step * 1000..step * 1000 + 1000));
        keeping.take(page(2, step..step + 1));
        keeping.commit();
    }
    assert!(keeping.status().samples_refused > 0);
    disk.set_broken(false);
    keeping.take(page(0, 10_000..10_001));
    keeping.take(page(3, 0..10));
    keeping.commit();
    clock.pass(MARK_INTERVAL_MAX);
    keeping.commit();
    assert_eq!(keeping.status().fault, None);
    drop(keeping);
    let mut keeping = open(&disk, 10);
    let (found, mark_0) = (stored(&mut keeping), mark(&keeping, 0).unwrap());
    assert!(mark_0 < 9_999, "mark at {mark_0}");
    assert!((1_000..=mark_0).all(|time| found.contains(&(0, time))), "mark at {mark_0}");
    assert_eq!(mark(&keeping, 3), Some(9), "points without a hole go on");
    keeping.take(page(0, mark_0..10_001));
    keeping.commit();
    assert_eq!(mark(&keeping, 0), Some(10_000), "after a restart the mark moves again");
}

#[test]
fn while_the_disk_fails_reading_back_pauses_and_the_marks_wait_once() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    assert!(keeping.read_back_allowed());
    disk.set_broken(true);
    keeping.take(page(0, 0..10));
    keeping.commit();
    assert!(!keeping.read_back_allowed() && keeping.status().read_back_paused);
    let waiting = keeping.spool.status().pending_records;
    assert_eq!(waiting, 2, "a batch and the marks");
    for _ in 0..1_000 {
        keeping.commit();
    }
    assert_eq!(keeping.spool.status().pending_records, waiting);
    disk.set_broken(false);
    keeping.commit();
    assert!(keeping.read_back_allowed());
    assert_eq!(mark(&keeping, 0), Some(9));
}

#[test]
fn a_batch_that_is_too_long_for_the_segments_goes_in_parts() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    keeping.take(page(0, 0..10_000));
    keeping.take(page(1, 0..100));
    keeping.commit();
    let status = keeping.status();
    assert_eq!((status.samples_appended, status.samples_refused), (10_100, 0));
    assert_eq!(stored(&mut keeping).len(), 10_100);
    assert_eq!((mark(&keeping, 0), mark(&keeping, 1)), (Some(9_999), Some(99)));
}

#[test]
fn what_becomes_durable_on_a_retry_is_told() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    let durable = |keeping: &Keeping| keeping.last.iter().next().unwrap().1;
    disk.set_broken(true);
    keeping.take(page(0, 0..10));
    keeping.commit();
    assert_eq!(durable(&keeping), None);
    disk.set_broken(false);
    keeping.commit();
    assert_eq!(durable(&keeping), Some(Timestamp(9)));
}

#[test]
fn what_was_cut_off_or_damaged_is_told_at_the_start() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    assert_eq!(keeping.status().found_at_start, SpoolFindings::default());
    keeping.take(Emission { marks: vec![], ..page(0, 0..10) });
    keeping.commit();
    // Without the cursor, which is written last, nothing says that the commit was durable.
    disk.set_broken(true);
    drop(keeping);
    disk.set_broken(false);
    disk.damage_last_frame();
    let mut keeping = open(&disk, 10);
    let cut = SpoolFindings { frames_cut: 1, samples_cut: 10, ..SpoolFindings::default() };
    assert_eq!((keeping.status().found_at_start, keeping.status().frames_lost), (cut, 0));

    keeping.take(Emission { marks: vec![], ..page(0, 10..30) });
    keeping.commit();
    drop(keeping);
    disk.damage_last_frame();
    let status = open(&disk, 10).status();
    let damaged =
        SpoolFindings { frames_damaged: 1, samples_damaged: 20, ..SpoolFindings::default() };
    assert_eq!((status.found_at_start, status.frames_lost), (damaged, 1));
    assert_eq!(open(&disk, 10).status().found_at_start, SpoolFindings::default());
}

/// Everything acked: reading back goes on. Nothing acked: it pauses before anything is dropped.
#[test]
fn the_smallest_quota_reads_back_too() {
    for segments in [3, 4, 5, 8, 20] {
        let disk = TestDisk::new();
        let mut keeping = open(&disk, segments);
        let mut pages = (0..).map(|page| page * 300);
        let mut read = |keeping: &mut Keeping| {
            let start = pages.next().unwrap();
            keeping.take(page(0, start..start + 300));
            keeping.commit();
        };
        for _ in 0..100 {
            read(&mut keeping);
            let durable = keeping.spool.status().durable;
            let to = spool::DestinationIndex(0);
            let newest = keeping.spool.read_from(to, durable, 1).unwrap().remove(0);
            let hash = model::FrameHash(model::frame::hash_of_frame(&newest.bytes));
            assert_eq!(keeping.free(to, durable, Some(hash)), crate::uplink::Freed::Yes);
            assert!(keeping.read_back_allowed(), "{segments}: {:?}", keeping.spool.status());
        }
        for _ in 0..1_000 {
            if keeping.read_back_allowed() {
                read(&mut keeping);
            }
        }
        assert!(!keeping.read_back_allowed());
        assert_eq!(keeping.status().frames_lost, 0);
    }
}

#[test]
fn a_full_disk_pauses_reading_back_only_while_it_is_full() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    disk.set_free(SEGMENT / 2);
    let mut pages = (0..1_000).map(|page| page * 300);
    while keeping.read_back_allowed() {
        let start = pages.next().unwrap();
        keeping.take(page(0, start..start + 300));
        keeping.commit();
    }
    assert_eq!(keeping.status().frames_lost, 0);
    disk.set_free(5 * SEGMENT);
    assert!(keeping.read_back_allowed());
}

/// What happens to a keeper and its devices; each device remembers all that it ever measured.
#[derive(Debug, Clone)]
enum Step {
    /// A device measures so many more values.
    Measure(u32, i64),
    /// The driver reads a page of so many, where it may, and hands it over.
    ReadBack(u32, i64),
    Commit,
    /// So many seconds pass.
    Pass(u64),
    Break,
    Heal,
    /// The process ends and starts again on a disk that works; it was killed, or stopped in order.
    Restart {
        killed: bool,
    },
    /// One port begins again.
    Again(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..POINTS, 1..2_000_i64).prop_map(|(point, count)| Step::Measure(point, count)),
        6 => (0..POINTS, 1..1_000_i64).prop_map(|(point, count)| Step::ReadBack(point, count)),
        4 => Just(Step::Commit),
        3 => (1..20_u64).prop_map(Step::Pass),
        2 => Just(Step::Break),
        2 => Just(Step::Heal),
        1 => any::<bool>().prop_map(|killed| Step::Restart { killed }),
        1 => (0..POINTS).prop_map(Step::Again),
    ]
}

struct World {
    disk: TestDisk,
    clock: Arc<Hand>,
    keeping: Option<Keeping>,
    /// Values that each device has measured.
    measured: BTreeMap<u32, i64>,
    /// Where each driver goes on reading.
    cursors: BTreeMap<u32, i64>,
    handed: u64,
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (TestDisk::new(), Arc::new(Hand::default()));
        let keeping = Some(open_by(&disk, 64, clock.clone()));
        let (measured, cursors) = (BTreeMap::new(), BTreeMap::new());
        Self { disk, clock, keeping, measured, cursors, handed: 0 }
    }

    fn keeping(&mut self) -> &mut Keeping {
        self.keeping.as_mut().unwrap()
    }

    fn read_back(&mut self, point: u32, count: i64) {
        let measured = self.measured.get(&point).copied().unwrap_or(0);
        let cursor = *self.cursors.entry(point).or_insert(0);
        let end = measured.min(cursor.saturating_add(count));
        if end > cursor {
            self.handed += u64::try_from(end - cursor).unwrap();
            self.keeping().take(page(point, cursor..end));
            self.cursors.insert(point, end);
        }
    }

    fn restart(&mut self, killed: bool) {
        let mut keeping = self.keeping.take().unwrap();
        if killed {
            kill(keeping, &self.disk);
        } else {
            keeping.commit_last();
            drop(keeping);
        }
        self.disk.set_broken(false);
        self.keeping = Some(open_by(&self.disk, 64, self.clock.clone()));
        self.handed = 0;
        self.check_marks();
        (0..POINTS).for_each(|point| self.again(point));
    }

    /// The driver goes on behind its mark: the cursor of OPC UA says what stands at it.
    fn again(&mut self, point: u32) {
        let marks = self.keeping().resume(&[PointIndex(point)]);
        let mark = marks.get(&PointIndex(point)).map_or(0, |mark| mark.time().unwrap().0 + 1);
        self.cursors.insert(point, mark);
    }

    /// No mark is ahead of the durable samples, and none is there twice.
    fn check_marks(&mut self) {
        let all = in_order(self.keeping());
        let found: BTreeSet<(u32, i64)> = all.iter().copied().collect();
        assert_eq!(all.len(), found.len(), "samples are stored twice");
        for point in 0..POINTS {
            let end = mark(self.keeping(), point).map_or(0, |mark| mark + 1);
            let missing = (0..end).find(|time| !found.contains(&(point, *time)));
            assert_eq!(missing, None, "point {point} is marked up to {end}");
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Measure(point, count) => *self.measured.entry(point).or_insert(0) += count,
            // A page may be under way when the pause begins.
            Step::ReadBack(point, count) => self.read_back(point, count),
            Step::Commit => {
                self.keeping().commit();
                let handed = self.handed;
                let status = self.keeping().status();
                let kept = status.samples_appended + status.repeats_dropped;
                assert_eq!(kept + status.samples_refused, handed);
                self.check_marks();
            }
            Step::Pass(seconds) => self.clock.pass(Duration::from_secs(seconds)),
            Step::Break => self.disk.set_broken(true),
            Step::Heal => self.disk.set_broken(false),
            Step::Restart { killed } => self.restart(killed),
            Step::Again(point) => self.again(point),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// INV-6, and the promise of a history mark: whatever the disk does, all that the devices remember ends up here, once.
    #[test]
    fn nothing_that_a_device_remembers_is_lost_or_doubled(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.restart(true);
        for point in 0..POINTS {
            world.read_back(point, i64::MAX / 2);
        }
        world.keeping().commit();
        world.check_marks();
        for (point, measured) in world.measured.clone() {
            let expected = measured.checked_sub(1).filter(|last| *last >= 0);
            prop_assert_eq!(mark(world.keeping(), point), expected);
        }
    }
}
