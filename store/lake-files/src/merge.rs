//! Merges sorted data files into one, row by row, without holding more of them than a few batches. What it reads is
//! verified, so that damage is never copied. Knows nothing of why these files, or what becomes of them.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_select::interleave::interleave_record_batch;

use crate::LakeError;
use crate::facts::FileFacts;
use crate::file::day_of;
use crate::schema::column;
use crate::selection::Selection;
use crate::verified::{Batches, DataReader};

/// Rows in a batch, read or written.
pub const BATCH_ROWS: usize = 8_192;

/// The rows of several files in the order of the table, replays once.
pub struct Merger<'a> {
    cursors: Vec<Cursor>,
    /// Batches that `picked` points into: the cursors' own first, in their order.
    held: Vec<RecordBatch>,
    /// (index in `held`, row) of the rows to come.
    picked: Vec<(usize, usize)>,
    batch_rows: usize,
    /// The identity of the row picked last.
    last: Option<Identity>,
    /// Rows that were left out because the same one came before.
    pub replays: u64,
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
    batches: Batches,
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
    fn open(path: &Path, facts: &FileFacts, batch_rows: usize) -> Result<Self, LakeError> {
        let reader = DataReader::open(path, facts.bytes, facts.tail)?;
        let groups = reader.groups(&Selection::default()).into_iter().map(|group| group.index);
        let batches = reader.read(groups.collect(), None, batch_rows)?;
        Ok(Self {
            path: path.to_owned(),
            batches,
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
        while let Some(batch) = self.batches.next().transpose()? {
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

    fn day(&self) -> i64 {
        day_of(self.ts.value(self.row))
    }

    /// The order of the table; of replays the one that was committed first comes first.
    fn order(&self, other: &Self) -> Ordering {
        let commit = |cursor: &Self| cursor.commit.value(cursor.row);
        self.day()
            .cmp(&other.day())
            .then_with(|| self.point().cmp(other.point()))
            .then_with(|| self.rest().cmp(&other.rest()))
            .then_with(|| commit(self).cmp(&commit(other)))
    }
}

impl<'a> Merger<'a> {
    /// Opens the files; each must be sorted as [`crate::schema::schema`] says.
    pub fn open(
        sources: &[(PathBuf, Arc<FileFacts>)],
        batch_rows: usize,
        cancelled: &'a AtomicBool,
    ) -> Result<Self, LakeError> {
        let mut cursors = Vec::with_capacity(sources.len());
        let mut held = Vec::new();
        for (path, facts) in sources {
            let mut cursor = Cursor::open(path, facts, batch_rows)?;
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
    use arrow_array::{ArrayRef, Float64Array, Int32Array, new_null_array};
    use arrow_schema::DataType;
    use model::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::disk::LocalDisk;
    use crate::file::{self, Packing};
    use crate::schema::schema;

    const DAY: i64 = 86_400_000_000;

    /// Day, point, time within the day, generation, sequence, commit.
    type Key = (i64, u8, i64, i64, i64, i64);

    fn batch(rows: &[Key]) -> RecordBatch {
        let long = |of: fn(&Key) -> i64| {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef
        };
        let time = || {
            let values = rows.iter().map(|row| row.0 * DAY + row.2);
            Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
        };
        let texts = |of: &dyn Fn(&Key) -> String| {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef
        };
        // Values that follow from the identity, so that a row torn apart is seen.
        let number = |row: &Key| row.2 * 100 + row.3 * 10 + row.4;
        let doubles = rows.iter().map(|row| f64::from(i32::try_from(number(row)).unwrap()));
        let columns: Vec<ArrayRef> = vec![
            texts(&|row| format!("p{}", row.1)),
            time(),
            time(),
            Arc::new(Float64Array::from_iter_values(doubles)),
            new_null_array(&DataType::Utf8, rows.len()),
            texts(&|_| "1".to_owned()),
            texts(&|_| "Good".to_owned()),
            long(|_| 0),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(number))),
            Arc::new(Int32Array::from(vec![None; rows.len()])),
            Arc::new(Int32Array::from(vec![0; rows.len()])),
            long(|row| row.3),
            long(|row| row.4),
            long(|row| row.5),
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    }

    fn keys(batch: &RecordBatch) -> Vec<Key> {
        let long = |name| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
        let point = batch.column(0).as_string::<i32>();
        let ts = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        (0..batch.num_rows())
            .map(|row| {
                let (day, at) = (ts.value(row) / DAY, ts.value(row) % DAY);
                let generation = long(column::GENERATION).value(row);
                let seq = long(column::SEQ).value(row);
                let expected = at * 100 + generation * 10 + seq;
                assert_eq!(long(column::MANTISSA).value(row), expected);
                let point = point.value(row).trim_start_matches('p').parse().unwrap();
                (day, point, at, generation, seq, long(column::COMMIT).value(row))
            })
            .collect()
    }

    fn write(path: &Path, rows: &[Key]) -> Arc<FileFacts> {
        let rows = std::iter::once(Ok(batch(rows)));
        Arc::new(
            file::write(&LocalDisk, path, Packing::Tight, Timestamp(0), rows).unwrap().unwrap(),
        )
    }

    /// Trial brk-04: of single bits in a data file a sixth changed rows, and merging kept them.
    #[test]
    fn whatever_bit_is_wrong_the_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.parquet");
        let facts = write(&path, &[(0, 1, 1, 1, 1, 1), (1, 2, 2, 1, 1, 1)]);
        let good = std::fs::read(&path).unwrap();
        let cancelled = AtomicBool::new(false);
        let merged = || {
            Merger::open(&[(path.clone(), Arc::clone(&facts))], BATCH_ROWS, &cancelled)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        };
        merged().unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, bytes).unwrap();
            let error = merged().unwrap_err();
            assert_eq!(error.path(), Some(path.as_path()), "byte {at}: {error}");
        }
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert_eq!(merged().unwrap_err().path(), Some(path.as_path()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn merging_is_sorting_and_dropping_replays(
            mut files in prop::collection::vec(
                prop::collection::btree_set(
                    (0..3_i64, 0..4_u8, 0..6_i64, 1..3_i64, 1..3_i64), 1..40,
                ),
                1..6,
            ),
            batch_rows in 1..9_usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut sources = Vec::new();
            let mut expected: Vec<Key> = Vec::new();
            // The later commit first, so that which replay stays is not decided by the order of files.
            for (commit, rows) in (1..).zip(files.iter_mut().rev()) {
                let rows: Vec<Key> =
                    rows.iter().map(|&(d, p, ts, g, s)| (d, p, ts, g, s, commit)).collect();
                let path = dir.path().join(format!("{commit}.parquet"));
                let facts = write(&path, &rows);
                sources.insert(0, (path, facts));
                expected.extend(rows);
            }
            let all = expected.len();
            expected.sort_unstable();
            expected.dedup_by_key(|row| (row.0, row.1, row.2, row.3, row.4));
            let cancelled = AtomicBool::new(false);
            let mut merger = Merger::open(&sources, batch_rows, &cancelled).unwrap();
            let merged: Vec<Key> =
                merger.by_ref().flat_map(|batch| keys(&batch.unwrap())).collect();
            prop_assert_eq!(merger.replays, (all - expected.len()) as u64);
            prop_assert_eq!(merged, expected);
        }
    }
}
