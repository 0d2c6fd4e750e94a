//! Merges sorted data files into one, row by row, without holding more of them than a few batches. Must never know
//! why these files, or what becomes of them.

use std::cmp::Ordering;
use std::fs::File;
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
const BATCH_ROWS: usize = 8_192;

/// The rows of several files in the order of the table, replays once.
pub(crate) struct Merger<'a> {
    cursors: Vec<Cursor>,
    /// Batches that `picked` points into: the cursors' own first, in their order.
    held: Vec<RecordBatch>,
    /// (index in `held`, row) of the rows to come.
    picked: Vec<(usize, usize)>,
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
    fn open(path: &Path) -> Result<Self, LakeError> {
        let file = File::open(path).map_err(LakeError::io("open", path))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
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
        for batch in self.reader.by_ref() {
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

impl<'a> Merger<'a> {
    /// Opens the files; each must be sorted as [`crate::schema::schema`] says.
    pub(crate) fn open(paths: &[PathBuf], cancelled: &'a AtomicBool) -> Result<Self, LakeError> {
        let mut cursors = Vec::with_capacity(paths.len());
        let mut held = Vec::new();
        for path in paths {
            let mut cursor = Cursor::open(path)?;
            if let Some(batch) = cursor.next_batch(held.len())? {
                held.push(batch);
                cursors.push(cursor);
            }
        }
        let picked = Vec::with_capacity(BATCH_ROWS);
        Ok(Self { cursors, held, picked, last: None, replays: 0, cancelled })
    }

    /// Picks rows from the first cursor for as long as it stays before all others.
    fn pick_run(&mut self) -> Result<(), LakeError> {
        let (first, second) = self.first_two();
        loop {
            let cursor = &self.cursors[first];
            let in_front = second
                .is_none_or(|second| cursor.order(&self.cursors[second]) != Ordering::Greater);
            if !in_front || self.picked.len() >= BATCH_ROWS {
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
        while !self.cursors.is_empty() && self.picked.len() < BATCH_ROWS {
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
