//! Merges sorted data files into one, row by row, without holding more of them than a few batches. Must never know
//! why these files, or what becomes of them.

use std::cmp::Ordering;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicBool};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_select::interleave::interleave_record_batch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::LakeError;
use crate::schema::column;

/// Rows in a batch, read or written.
pub(crate) const BATCH_ROWS: usize = 8_192;

/// The rows of several files in the order of the table, replays once.
pub(crate) struct Merger<'a> {
    cursors: Vec<Cursor>,
    /// Batches that `picked` points into: the cursors' own first, in their order.
    held: Vec<RecordBatch>,
    /// (index in `held`, row) of the rows to come.
    picked: Vec<(usize, usize)>,
    batch_rows: usize,
    /// The identity of the row picked last.
    last: Option<Identity>,
    /// Rows that were left out because the same one came before.
    pub(crate) replays: u64,
    cancelled: &'a AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    point: String,
    rest: (i64, i64, i64),
}

/// A place in one file.
struct Cursor {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    point: StringArray,
    ts: TimestampMicrosecondArray,
    generation: Int64Array,
    seq: Int64Array,
    commit: Int64Array,
    row: usize,
    /// Where its batch is in `Merger::held`; `None` at the end of the file.
    held: Option<usize>,
}

impl Cursor {
    fn open(path: &Path, batch_rows: usize) -> Result<Self, LakeError> {
        let file = File::open(path).map_err(LakeError::io("open", path))?;
        let reader = contained(path, || {
            ParquetRecordBatchReaderBuilder::try_new(file)
                .and_then(|builder| builder.with_batch_size(batch_rows).build())
        })?
        .map_err(LakeError::parquet("read", path))?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            point: StringArray::new_null(0),
            ts: TimestampMicrosecondArray::new_null(0),
            generation: Int64Array::new_null(0),
            seq: Int64Array::new_null(0),
            commit: Int64Array::new_null(0),
            row: 0,
            held: None,
        })
    }

    /// Takes the next batch of the file, if there is one, and hands it out to be held at `place`.
    fn next_batch(&mut self, place: usize) -> Result<Option<RecordBatch>, LakeError> {
        self.held = None;
        while let Some(batch) = contained(&self.path, || self.reader.next())? {
            let batch = batch.map_err(|error| LakeError::damaged(&self.path, error.to_string()))?;
            if batch.num_rows() == 0 {
                continue;
            }
            self.take_columns(&batch)
                .ok_or_else(|| LakeError::damaged(&self.path, "its columns are not ours"))?;
            self.row = 0;
            self.held = Some(place);
            return Ok(Some(batch));
        }
        Ok(None)
    }

    fn take_columns(&mut self, batch: &RecordBatch) -> Option<()> {
        let long =
            |name| Some(batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.clone());
        self.point = batch.column_by_name(column::POINT)?.as_string_opt()?.clone();
        let ts = batch.column_by_name(column::TS)?;
        self.ts = ts.as_primitive_opt::<TimestampMicrosecondType>()?.clone();
        self.generation = long(column::GENERATION)?;
        self.seq = long(column::SEQ)?;
        self.commit = long(column::COMMIT)?;
        Some(())
    }

    fn point(&self) -> &str {
        self.point.value(self.row)
    }

    fn rest(&self) -> (i64, i64, i64) {
        (self.ts.value(self.row), self.generation.value(self.row), self.seq.value(self.row))
    }

    /// The order of the table; of replays the one that was committed first comes first.
    fn order(&self, other: &Self) -> Ordering {
        let commit = |cursor: &Self| cursor.commit.value(cursor.row);
        self.point()
            .cmp(other.point())
            .then_with(|| self.rest().cmp(&other.rest()))
            .then_with(|| commit(self).cmp(&commit(other)))
    }
}

/// Turns a panic of the Parquet reader, which some damaged files bring about, into an error that names the file.
fn contained<T>(path: &Path, read: impl FnOnce() -> T) -> Result<T, LakeError> {
    catch_unwind(AssertUnwindSafe(read))
        .map_err(|_| LakeError::damaged(path, "its content makes no sense to the Parquet reader"))
}

impl<'a> Merger<'a> {
    /// Opens the files; each must be sorted as [`crate::schema::schema`] says.
    pub(crate) fn open(
        paths: &[PathBuf],
        batch_rows: usize,
        cancelled: &'a AtomicBool,
    ) -> Result<Self, LakeError> {
        let mut cursors = Vec::with_capacity(paths.len());
        let mut held = Vec::new();
        for path in paths {
            let mut cursor = Cursor::open(path, batch_rows)?;
            if let Some(batch) = cursor.next_batch(held.len())? {
                held.push(batch);
                cursors.push(cursor);
            }
        }
        let picked = Vec::with_capacity(batch_rows);
        Ok(Self { cursors, held, picked, batch_rows, last: None, replays: 0, cancelled })
    }

    /// Picks rows from the first cursor for as long as it stays before all others.
    fn pick_run(&mut self) -> Result<(), LakeError> {
        let (first, second) = self.first_two();
        loop {
            let cursor = &self.cursors[first];
            let in_front = second
                .is_none_or(|second| cursor.order(&self.cursors[second]) != Ordering::Greater);
            if !in_front || self.picked.len() >= self.batch_rows {
                return Ok(());
            }
            self.pick(first);
            let cursor = &mut self.cursors[first];
            cursor.row += 1;
            if cursor.row < cursor.point.len() {
                continue;
            }
            if let Some(batch) = cursor.next_batch(self.held.len())? {
                self.held.push(batch);
            } else {
                self.cursors.remove(first);
                return Ok(());
            }
        }
    }

    /// The cursors with the smallest and the second smallest row.
    fn first_two(&self) -> (usize, Option<usize>) {
        let (mut first, mut second) = (0, None::<usize>);
        for other in 1..self.cursors.len() {
            let before = |a: usize, b: usize| self.cursors[a].order(&self.cursors[b]).is_lt();
            if before(other, first) {
                second = Some(first);
                first = other;
            } else if second.is_none_or(|second| before(other, second)) {
                second = Some(other);
            }
        }
        (first, second)
    }

    /// Picks the row under a cursor, unless it is a replay of the one picked before.
    fn pick(&mut self, index: usize) {
        let cursor = &self.cursors[index];
        let (point, rest) = (cursor.point(), cursor.rest());
        match &mut self.last {
            Some(last) if last.point == point && last.rest == rest => {
                self.replays += 1;
                return;
            }
            Some(last) => {
                if last.point != point {
                    last.point.replace_range(.., point);
                }
                last.rest = rest;
            }
            None => self.last = Some(Identity { point: point.to_owned(), rest }),
        }
        let held = cursor.held.expect("a cursor at its end is removed");
        self.picked.push((held, cursor.row));
    }

    /// The picked rows as one batch; afterwards only the cursors' own batches are held.
    fn flush(&mut self) -> Result<RecordBatch, LakeError> {
        let held: Vec<&RecordBatch> = self.held.iter().collect();
        let batch = interleave_record_batch(&held, &self.picked)
            .map_err(|error| LakeError::damaged(Path::new("merge"), error.to_string()))?;
        self.picked.clear();
        let mut kept = Vec::with_capacity(self.cursors.len());
        for cursor in &mut self.cursors {
            if let Some(place) = cursor.held {
                cursor.held = Some(kept.len());
                kept.push(self.held[place].clone());
            }
        }
        self.held = kept;
        Ok(batch)
    }
}

impl Iterator for Merger<'_> {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.cursors.is_empty() && self.picked.len() < self.batch_rows {
            if let Err(error) = self.pick_run() {
                return Some(Err(error));
            }
        }
        if self.cancelled.load(atomic::Ordering::Relaxed) {
            return Some(Err(LakeError::damaged(Path::new("merge"), "it was cancelled")));
        }
        (!self.picked.is_empty()).then(|| self.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int32Array};
    use proptest::prelude::*;

    use super::*;
    use crate::disk::LocalDisk;
    use crate::file;
    use crate::schema::schema;

    /// Point, time, generation, sequence, commit.
    type Key = (u8, i64, i64, i64, i64);

    fn batch(rows: &[Key]) -> RecordBatch {
        let long = |of: fn(&Key) -> i64| Int64Array::from_iter_values(rows.iter().map(of));
        let time = || {
            let values = rows.iter().map(|row| row.1);
            TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC")
        };
        let point = StringArray::from_iter_values(rows.iter().map(|row| format!("p{}", row.0)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(point),
            Arc::new(time()),
            Arc::new(time()),
            Arc::new(long(|_| 0)),
            // A value that follows from the identity, so that a row torn apart is seen.
            Arc::new(long(|row| row.1 * 100 + row.2 * 10 + row.3)),
            Arc::new(Int32Array::from(vec![None; rows.len()])),
            Arc::new(Float64Array::from(vec![None; rows.len()])),
            Arc::new(long(|row| row.2)),
            Arc::new(long(|row| row.3)),
            Arc::new(long(|row| row.4)),
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    }

    fn keys(batch: &RecordBatch) -> Vec<Key> {
        let long = |i: usize| batch.column(i).as_primitive::<Int64Type>();
        let point = batch.column(0).as_string::<i32>();
        let ts = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        (0..batch.num_rows())
            .map(|row| {
                let (ts, generation, seq) = (ts.value(row), long(7).value(row), long(8).value(row));
                assert_eq!(long(4).value(row), ts * 100 + generation * 10 + seq);
                let point = point.value(row).trim_start_matches('p').parse().unwrap();
                (point, ts, generation, seq, long(9).value(row))
            })
            .collect()
    }

    /// Some of these bytes make the Parquet reader panic.
    #[test]
    fn whatever_byte_is_wrong_the_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.parquet");
        let rows = std::iter::once(Ok(batch(&[(1, 1, 1, 1, 1), (2, 2, 1, 1, 1)])));
        file::write(&LocalDisk, &path, rows).unwrap();
        let good = std::fs::read(&path).unwrap();
        let cancelled = AtomicBool::new(false);
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] = 0xFF;
            std::fs::write(&path, bytes).unwrap();
            let merged = Merger::open(std::slice::from_ref(&path), BATCH_ROWS, &cancelled)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>);
            if let Err(error) = merged {
                assert_eq!(error.path(), Some(path.as_path()), "byte {at}: {error}");
                refused += 1;
            }
        }
        assert!(refused > good.len() / 4, "{refused} of {}", good.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn merging_is_sorting_and_dropping_replays(
            mut files in prop::collection::vec(
                prop::collection::btree_set((0..4_u8, 0..6_i64, 1..3_i64, 1..3_i64), 1..40),
                1..6,
            ),
            batch_rows in 1..9_usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut paths = Vec::new();
            let mut expected: Vec<Key> = Vec::new();
            // The later commit first, so that which replay stays is not decided by the order of files.
            for (commit, rows) in (1..).zip(files.iter_mut().rev()) {
                let rows: Vec<Key> =
                    rows.iter().map(|&(p, ts, g, s)| (p, ts, g, s, commit)).collect();
                let path = dir.path().join(format!("{commit}.parquet"));
                file::write(&LocalDisk, &path, std::iter::once(Ok(batch(&rows)))).unwrap();
                paths.insert(0, path);
                expected.extend(rows);
            }
            let all = expected.len();
            expected.sort_unstable();
            expected.dedup_by_key(|row| (row.0, row.1, row.2, row.3));
            let cancelled = AtomicBool::new(false);
            let mut merger = Merger::open(&paths, batch_rows, &cancelled).unwrap();
            let merged: Vec<Key> =
                merger.by_ref().flat_map(|batch| keys(&batch.unwrap())).collect();
            prop_assert_eq!(merger.replays, (all - expected.len()) as u64);
            prop_assert_eq!(merged, expected);
        }
    }
}
