//! Queries read a bounded window at a time, and what they write does not depend on its size.

use std::sync::atomic::{AtomicI64, Ordering};

use polars::prelude::{ParquetReader, SerReader};

use super::*;
use crate::query::windowed;

fn points(names: &[&str]) -> Arc<Dictionary> {
    let named = |name: &&str| PointInfo {
        id: PointId::new(format!("acme/nb-1/{name}/e_import")).unwrap(),
        device: (*name).to_owned(),
        ..point()
    };
    Arc::new(Dictionary::new(names.iter().map(named).collect()).unwrap())
}

/// Points of very different lengths, with up to twelve rows at one time.
fn uneven(folder: &Path) -> Snapshot {
    let frames: Vec<Frame> = (1..=12_i64)
        .map(|at| {
            let dictionary = points(&["a", "b", "c"][..usize::try_from(at % 3 + 1).unwrap()]);
            let values = (0..at * 3).map(|step| (step, Some(Value::Decimal(at * step))));
            (dictionary, values.collect())
        })
        .collect();
    let many = (points(&["d"]), (0..40).map(|step| (step * step, None)).collect());
    lake_of_frames(folder, &[frames, vec![many]].concat())
}

fn written(snapshot: &Snapshot, all: bool, format: QueryFormat, rows_max: u64) -> Vec<u8> {
    let mut out = Vec::new();
    windowed(snapshot, &RowFilter::default(), all, format, rows_max, &mut out).unwrap();
    out
}

#[test]
fn what_is_written_does_not_depend_on_the_size_of_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = uneven(folder.path());
    for all in [false, true] {
        for format in [QueryFormat::Csv, QueryFormat::Json] {
            let whole = written(&snapshot, all, format, 1_000_000);
            for rows_max in [2, 30] {
                let parts = written(&snapshot, all, format, rows_max);
                assert_eq!(String::from_utf8(parts), String::from_utf8(whole.clone()));
            }
        }
        let table = |rows_max| {
            let bytes = written(&snapshot, all, QueryFormat::Parquet, rows_max);
            ParquetReader::new(std::io::Cursor::new(bytes)).finish().unwrap()
        };
        assert!(table(7).equals_missing(&table(1_000_000)));
    }
    let lines = csv(&snapshot, &RowFilter::default(), true);
    let key = |line: &String| {
        let mut cells = line.split(',').map(str::to_owned);
        (cells.next(), cells.next())
    };
    assert!(lines.is_sorted_by_key(key), "{lines:#?}");
}

/// Someone who has seen enough.
struct Pipe {
    bytes: usize,
}

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes += bytes.len();
        if self.bytes > 9_000 {
            Err(std::io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_closes_its_pipe_ends_the_query() {
    let folder = tempfile::tempdir().unwrap();
    // More than any buffer on the way holds.
    let rows = (0..600).map(|at| (at, Some(at))).collect();
    let snapshot = lake_of(folder.path(), &[rows]);
    for format in [QueryFormat::Csv, QueryFormat::Json] {
        let mut pipe = Pipe { bytes: 0 };
        let error = query(&snapshot, &RowFilter::default(), false, format, &mut pipe).unwrap_err();
        let crate::query::QueryError::Write(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A query that takes longer than merged files are kept.
#[test]
fn files_that_were_merged_and_deleted_meanwhile_are_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(HandClock(AtomicI64::new(YEAR_START.0)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dictionary = Arc::new(dictionary());
    let frame = |at: i64| (Arc::clone(&dictionary), vec![(at, Some(Value::Decimal(at)))]);
    let options = LakeOptions::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let mut lake = runtime.block_on(async {
        let mut lake = Lake::open(folder.path(), options).await.unwrap();
        for at in 1..=16 {
            commit(&mut lake, Sequence(u64::try_from(at).unwrap()), &frame(at)).await;
        }
        lake
    });
    let old = Snapshot::open(folder.path()).unwrap();
    let before = csv(&old, &RowFilter::default(), true);
    runtime.block_on(async {
        commit(&mut lake, Sequence(17), &frame(17)).await;
        lake.settle().await.unwrap();
        clock.0.fetch_add(90_000_000_000, Ordering::Relaxed);
        lake.settle().await.unwrap();
    });
    assert!(old.files().iter().all(|file| !file.exists()));
    assert_eq!(csv(&old, &RowFilter::default(), true), before);
    assert_eq!(before.len(), 16);
}
