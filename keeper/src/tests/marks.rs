//! History marks cost few bytes, a restart finds them at any number of points, and what is read again is not stored again.

use model::HistoryMarks;
use model::record::JsonRecord;

use super::super::keeping::{FIND_BYTES_MAX, marks_of};
use super::super::segment_size::segment_bytes_for;
use super::super::stored::Stored;
use super::*;

/// Simulated; a day in the long form.
const SECONDS: i64 = 900;

fn many_points(count: u32) -> Arc<PointTable> {
    let place = Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None };
    let mut points = PointTableBuilder::default();
    for device in 0..count / 20 {
        let point = |metric: u32| PointInfo {
            id: PointId::new(format!("acme/nb-1/meter-{device}/e_import_{metric}")).unwrap(),
            place: place.clone(),
            device: format!("meter-{device}"),
            metric: format!("e_import_{metric}"),
            ..fixtures::point("e_import", ValueType::Decimal { exponent: -2 })
        };
        points.add_device((0..20).map(point).collect()).unwrap();
    }
    Arc::new(points.finish().unwrap())
}

/// Leaves room on the simulated disk of 1 GiB for the reserve, which is as large as a segment.
const QUOTA: u64 = 896 << 20;

fn start_many(
    disk: &TestDisk,
    segment_bytes: u64,
    of_run: (Arc<PointTable>, &[PointIndex]),
    clock: Arc<Hand>,
) -> Keeping {
    let config = SpoolConfig { segment_bytes, ..SpoolConfig::new("/simulated", QUOTA) };
    let (spool, recovery) = Spool::open(Box::new(disk.clone()), config.clone(), &Fixed).unwrap();
    let boot = Boot {
        boot_id: "b".to_owned(),
        version: "0".to_owned(),
        at: Timestamp(0),
        last_sequence: spool.status().durable,
    };
    let mut keeping = Keeping::new(spool, recovery, &config, of_run, clock);
    keeping.note_start(&boot).unwrap();
    keeping
}

/// What all points read in one second: registers that grow, as meters do.
fn second(points: &[PointIndex], read_back: &[PointIndex], second: i64) -> Emission {
    let time = Fixed.now().0 + second * 1_000_000;
    let reading = |point: &PointIndex| {
        let register = i64::from(point.0) * 1_000 + second * i64::from(point.0 % 7);
        let (time, heard) = (Timestamp(time), Timestamp(time + 50_000));
        Sample::new(*point, time, heard, Quality::GOOD, Value::Decimal(register))
    };
    let mark = |point: &PointIndex| (*point, Timestamp(time).into());
    Emission {
        samples: points.iter().map(reading).collect(),
        marks: read_back.iter().map(mark).collect(),
    }
}

/// The HISTORY records of the log: whether each belongs to a full set, and its points.
fn records(keeping: &mut Keeping) -> Vec<(bool, Vec<PointId>)> {
    let frames = frames(keeping);
    let records = frames.iter().filter(|frame| frame.header.record_type == RecordType::History);
    let read = records.map(|frame| HistoryMarks::from_record(frame.body()).unwrap());
    read.map(|marks| (marks.full, marks.marks.into_keys().collect())).collect()
}

#[test]
fn only_marks_that_moved_are_written_and_at_most_every_ten_seconds() {
    let (disk, clock) = (TestDisk::new(), Arc::new(Hand::default()));
    let mut keeping = open_by(&disk, 10, clock.clone());
    keeping.take(page(0, 0..10));
    keeping.take(page(1, 0..10));
    keeping.commit();
    assert_eq!(records(&mut keeping), [(false, vec![id(0), id(1)])]);
    // Ten commits, and other records enough to pay for it.
    for second in 1..10 {
        clock.pass(Duration::from_secs(1));
        keeping.take(page(0, second * 100..second * 100 + 100));
        keeping.commit();
        assert_eq!(records(&mut keeping).len(), 1, "after {second} s");
    }
    clock.pass(Duration::from_secs(1));
    keeping.commit();
    assert_eq!(records(&mut keeping)[1..], [(false, vec![id(0)])]);
    clock.pass(MARK_INTERVAL);
    keeping.commit();
    assert_eq!(records(&mut keeping).len(), 2, "none moved");
    // A mark that few bytes would pay for waits, but not longer than the limit.
    let long = model::Cursor::new("x".repeat(120)).unwrap();
    keeping.take(Emission { marks: vec![(PointIndex(1), long)], ..page(1, 9..11) });
    keeping.commit();
    // Ten seconds passed since the last record: 299 in all.
    clock.pass(Duration::from_secs(289));
    keeping.commit();
    let early = records(&mut keeping).len();
    clock.pass(Duration::from_secs(1));
    keeping.commit();
    assert_eq!(records(&mut keeping)[early..], [(false, vec![id(1)])]);
    assert_eq!(early, 2);
}

#[test]
fn an_orderly_end_writes_the_marks_that_moved() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    for step in 0..3 {
        keeping.take(page(0, step * 10..step * 10 + 10));
        keeping.commit();
    }
    keeping.commit_last();
    drop(keeping);
    assert_eq!(mark(&open(&disk, 10), 0), Some(29));
}

#[test]
fn what_is_read_again_after_a_crash_is_not_stored_again() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    for step in 0..5 {
        keeping.take(page(0, step * 10..step * 10 + 10));
        keeping.commit();
    }
    kill(keeping, &disk);
    let mut keeping = open(&disk, 10);
    assert_eq!(mark(&keeping, 0), Some(9), "nothing wrote a mark since the first");
    keeping.take(page(0, 9..60));
    keeping.commit();
    let all = in_order(&mut keeping);
    assert_eq!((all.len(), all.last()), (60, Some(&(0, 59))));
    assert_eq!(keeping.status().repeats_dropped, 41);
    // And once more in the same run, when the port begins again at the mark.
    assert_eq!(keeping.resume(&[PointIndex(0)])[&PointIndex(0)].time(), Some(Timestamp(59)));
    keeping.take(page(0, 59..62));
    keeping.commit();
    assert_eq!(in_order(&mut keeping).len(), 62);
}

/// Another value for a time that is known is another reading.
#[test]
fn a_value_that_differs_is_stored_beside_the_one_that_is_known() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 10);
    keeping.take(page(0, 0..10));
    keeping.commit();
    let mut again = page(0, 9..10);
    again.samples[0].value = Some(Value::Float(0.5));
    keeping.take(again);
    keeping.commit();
    assert_eq!(in_order(&mut keeping).len(), 11);
}

/// Readings of point 0 behind its mark, which stands at 9, and then segments full of point 1, each ended by a kill.
fn long_behind(disk: &TestDisk) -> Keeping {
    let mut keeping = open(disk, 64);
    keeping.take(page(0, 0..10));
    keeping.commit();
    keeping.take(Emission { marks: Vec::new(), ..page(0, 10..300) });
    keeping.commit();
    let mut time = 0;
    for _ in 0..3 {
        let segment = keeping.spool.newest_segment();
        while keeping.spool.newest_segment() == segment {
            keeping.take(page(1, time..time + 150));
            time += 150;
            keeping.commit();
        }
        kill(keeping, disk);
        keeping = open(disk, 64);
    }
    keeping
}

#[test]
fn what_is_behind_a_mark_is_known_however_many_segments_and_kills_ago() {
    let disk = TestDisk::new();
    let mut keeping = long_behind(&disk);
    assert_eq!(mark(&keeping, 0), Some(9));
    keeping.take(page(0, 9..301));
    keeping.commit();
    let of_0 = in_order(&mut keeping).into_iter().filter(|(point, _)| *point == 0);
    assert_eq!(of_0.count(), 301);
    // With point 1 caught up too, the next segments need no look at those before.
    keeping.take(Emission { samples: Vec::new(), ..page(1, 0..1_000_000) });
    keeping.commit();
    let segment = keeping.spool.newest_segment();
    assert_eq!(keeping.stored.from(&keeping.spool), segment);
}

/// Beyond the limit samples are stored twice, and none is lost.
#[test]
fn looking_for_what_is_behind_the_marks_has_a_limit() {
    let disk = TestDisk::new();
    drop(long_behind(&disk));
    let config =
        SpoolConfig { segment_bytes: SEGMENT, ..SpoolConfig::new("/simulated", 64 * SEGMENT) };
    let (mut spool, recovery) = Spool::open(Box::new(disk), config, &Fixed).unwrap();
    let marks = marks_of(&recovery.history);
    let known = |spool: &mut Spool, bytes_max: usize| {
        let mut stored = Stored::new([PointIndex(0)]);
        stored.find(spool, &recovery, &points(), &marks, bytes_max);
        page(0, 10..300).samples.iter().filter(|sample| stored.has(sample)).count()
    };
    assert_eq!(known(&mut spool, FIND_BYTES_MAX), 290);
    assert_eq!(known(&mut spool, 0), 0);
}

/// A segment begins with marks as new as the records before it, so what is freed takes none along.
#[test]
fn each_segment_begins_with_all_marks_and_recovery_needs_no_other() {
    let disk = TestDisk::new();
    let mut keeping = open(&disk, 4);
    keeping.take(page(1, 0..3));
    keeping.commit();
    let (mut time, mut changes, mut segment) = (0, 0, keeping.spool.newest_segment());
    while changes < 20 {
        keeping.take(page(0, time..time + 150));
        time += 150;
        keeping.commit();
        let newest = keeping.spool.newest_segment();
        changes += u32::from(newest != segment);
        segment = newest;
        if changes == 20 {
            break;
        }
    }
    // No mark was due since the first commit: the clock stands.
    let full: Vec<_> = records(&mut keeping).into_iter().filter(|(full, _)| *full).collect();
    assert!(!full.is_empty() && full.iter().all(|(_, points)| *points == [id(0), id(1)]));
    kill(keeping, &disk);
    let mut keeping = open(&disk, 4);
    assert_eq!(mark(&keeping, 1), Some(2));
    let from = mark(&keeping, 0).unwrap();
    assert!(from >= time - 151, "{from} of {time}");
    let before = in_order(&mut keeping).len();
    keeping.take(page(0, from + 1..time + 1));
    keeping.commit();
    assert_eq!(in_order(&mut keeping).len(), before + 1);
}

/// Recovery gives all partial records of a long segment; merged they fit the next one.
#[test]
fn marks_that_were_written_in_many_parts_move_to_a_new_segment_after_damage() {
    let (disk, clock) = (TestDisk::new(), Arc::new(Hand::default()));
    let mut keeping = open_by(&disk, 10, clock.clone());
    for step in 0..180 {
        clock.pass(MARK_INTERVAL_MAX);
        keeping.take(page(step % POINTS, i64::from(step) * 2..i64::from(step) * 2 + 2));
        keeping.commit();
    }
    keeping.take(page(0, 1_000..1_010));
    keeping.commit();
    kill(keeping, &disk);
    disk.damage_last_frame();
    let keeping = open(&disk, 10);
    assert_eq!(mark(&keeping, 3), Some(359));
}

/// A gateway above about 14 900 points refused to start again: `preamble of … bytes is too long`. The short form has as
/// many points for each byte of a segment, in more than one dictionary.
#[test]
fn any_number_of_history_points_starts_again() {
    let is_long = std::env::var_os("NENGLIU_LONG").is_some();
    let counts: &[(u32, u64)] =
        if is_long { &[(20_000, 4 << 20), (100_000, 4 << 20)] } else { &[(4_200, 512 << 10)] };
    for (points, configured) in counts.iter().copied() {
        let table = many_points(points);
        let all: Vec<PointIndex> = (0..points).map(PointIndex).collect();
        let disk = TestDisk::new();
        let segment_bytes = segment_bytes_for(&table, &all, configured, QUOTA);
        let start =
            |clock| start_many(&disk, segment_bytes, (Arc::clone(&table), all.as_slice()), clock);
        let clock = Arc::new(Hand::default());
        let mut keeping = start(clock.clone());
        for at in 0..2 {
            clock.pass(Duration::from_secs(1));
            keeping.take(second(&all, &all, at));
            keeping.commit();
            assert_eq!(keeping.status().samples_refused, 0);
        }
        keeping.commit_last();
        drop(keeping);
        {
            let mut keeping = start(clock.clone());
            let marks = keeping.marks.durable().marks.clone();
            assert_eq!(marks.len(), all.len());
            let newest = Timestamp(Fixed.now().0 + 1_000_000);
            assert!(marks.values().all(|mark| mark.time() == Some(newest)));
            keeping.take(second(&all, &all, 1));
            keeping.commit();
            assert_eq!(keeping.status().samples_appended, 0, "all of it is known");
            kill(keeping, &disk);
        }
    }
}

/// A small quota keeps segments small: the head of one then takes a part of the marks. The rest follows, and a restart
/// knows all of them.
#[test]
fn marks_that_do_not_all_fit_the_head_of_a_segment_follow_it() {
    let table = many_points(600);
    let all: Vec<PointIndex> = (0..600).map(PointIndex).collect();
    let (disk, clock) = (TestDisk::new(), Arc::new(Hand::default()));
    let start = || start_many(&disk, 128 << 10, (Arc::clone(&table), &all), clock.clone());
    let mut keeping = start();
    let (mut at, mut is_partial) = (0, false);
    while at < 400 && !is_partial {
        clock.pass(Duration::from_secs(1));
        keeping.take(second(&all, &all, at));
        keeping.commit();
        at += 1;
        let records = records(&mut keeping);
        let newest = records.iter().rposition(|(full, _)| !*full).map_or(0, |last| last + 1);
        let full = records.get(newest..).unwrap_or_default();
        let named: usize = full.iter().map(|(_, points)| points.len()).sum();
        is_partial = !full.is_empty() && named < all.len();
    }
    assert!(is_partial, "the head of each segment had room for all marks");
    // The rest is written although it costs much: after the limit at the latest.
    clock.pass(MARK_INTERVAL_MAX);
    keeping.take(second(&all, &all, at));
    keeping.commit();
    kill(keeping, &disk);
    let keeping = start();
    let newest = Timestamp(Fixed.now().0 + (at - 1) * 1_000_000);
    let marks = &keeping.marks.durable().marks;
    let behind = marks.values().filter(|mark| mark.time() < Some(newest)).count();
    assert_eq!((marks.len(), behind), (all.len(), 0));
}

/// 200 points with history cost at most 1.3 times the bytes of the same points without.
#[test]
fn history_costs_at_most_three_tenths_more_bytes() {
    let is_long = std::env::var_os("NENGLIU_LONG").is_some();
    let seconds = if is_long { 86_400 } else { SECONDS };
    let bytes = |with_history: bool| {
        let table = many_points(200);
        let all: Vec<PointIndex> = (0..200).map(PointIndex).collect();
        let read_back = if with_history { all.as_slice() } else { &[] };
        let (disk, clock) = (TestDisk::new(), Arc::new(Hand::default()));
        let mut keeping = start_many(&disk, 4 << 20, (table, read_back), clock.clone());
        for at in 0..seconds {
            clock.pass(Duration::from_secs(1));
            keeping.take(second(&all, read_back, at));
            keeping.commit();
        }
        keeping.commit_last();
        let written = keeping.spool.written_bytes();
        let sent: usize = frames(&mut keeping).iter().map(|frame| frame.bytes.len()).sum();
        (written, u64::try_from(sent).unwrap())
    };
    let (with, without) = (bytes(true), bytes(false));
    let a_day = |bytes: u64| bytes * 86_400 / u64::try_from(seconds).unwrap();
    println!(
        "figure: 200 points at 1 Hz, bytes a day: written {} with history and {} without, sent {} and {}",
        a_day(with.0),
        a_day(without.0),
        a_day(with.1),
        a_day(without.1)
    );
    assert!(with.0 * 10 <= without.0 * 13, "written {} and {}", with.0, without.0);
    assert!(with.1 * 10 <= without.1 * 13, "sent {} and {}", with.1, without.1);
}
