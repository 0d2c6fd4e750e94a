//! Rows of one point in the order of time, and how parts that lie over one another are brought into one order. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use contract::RowChoice;

use super::Unit;
use super::output::Output;

/// Rows that were read together; counted as held while any part of them is.
pub(super) struct Loaded {
    pub(super) batch: RecordBatch,
    pub(super) ts: TimestampMicrosecondArray,
    pub(super) generation: Int64Array,
    pub(super) seq: Int64Array,
    held: Arc<AtomicUsize>,
}

impl Loaded {
    pub(super) fn new(
        batch: RecordBatch,
        ts: TimestampMicrosecondArray,
        generation: Int64Array,
        seq: Int64Array,
        held: &Arc<AtomicUsize>,
    ) -> Arc<Self> {
        held.fetch_add(batch.num_rows(), Ordering::Relaxed);
        Arc::new(Self { batch, ts, generation, seq, held: Arc::clone(held) })
    }

    fn slice(&self, start: usize, length: usize) -> Arc<Self> {
        let batch = arrow_select::concat::concat_batches(
            &self.batch.schema(),
            [&self.batch.slice(start, length), &self.batch.slice(0, 0)],
        );
        // Copied, so that the rows around it are let go; where that fails, they stay.
        let batch = batch.unwrap_or_else(|_| self.batch.slice(start, length));
        let (ts, generation) = (self.ts.slice(start, length), self.generation.slice(start, length));
        Self::new(
            batch,
            TimestampMicrosecondArray::from_iter_values(ts.values().iter().copied()),
            Int64Array::from_iter_values(generation.values().iter().copied()),
            Int64Array::from_iter_values(self.seq.slice(start, length).values().iter().copied()),
            &self.held,
        )
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.held.fetch_sub(self.batch.num_rows(), Ordering::Relaxed);
    }
}

/// Rows of one point, in the order (source time, generation, sequence); never none.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) loaded: Arc<Loaded>,
    pub(super) start: usize,
    pub(super) end: usize,
    unit: Option<Arc<Unit>>,
}

impl Part {
    pub(super) fn new(loaded: &Arc<Loaded>, start: usize, end: usize) -> Self {
        Self { loaded: Arc::clone(loaded), start, end, unit: None }
    }

    /// Where it can be read again.
    pub(super) fn of(self, unit: &Arc<Unit>) -> Self {
        Self { unit: Some(Arc::clone(unit)), ..self }
    }

    pub(super) fn unit(&self) -> Option<&Unit> {
        self.unit.as_deref()
    }

    pub(super) fn rows(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn first_ts(&self) -> i64 {
        self.loaded.ts.value(self.start)
    }

    pub(super) fn last_ts(&self) -> i64 {
        self.loaded.ts.value(self.end - 1)
    }

    /// The rows before an instant, and those from it on. The part begins before it.
    pub(super) fn split_at(self, end: Option<i64>) -> (Self, Option<Self>) {
        let Some(end) = end.filter(|end| *end <= self.last_ts()) else { return (self, None) };
        let times = self.loaded.ts.values().get(self.start..self.end).unwrap_or_default();
        let middle = self.start + times.partition_point(|time| *time < end).max(1);
        let rest = Self { start: middle, ..self.clone() };
        (Self { end: middle, ..self }, Some(rest))
    }

    /// Lets the rows go that it was read with.
    pub(super) fn compact(&mut self) {
        if self.loaded.batch.num_rows() > self.rows() {
            self.loaded = self.loaded.slice(self.start, self.rows());
            (self.start, self.end) = (0, self.rows());
        }
    }
}

/// Hands the rows of parts that may lie over one another to the output, in order and by choice.
pub(super) fn emit(point: &Arc<str>, group: Vec<Part>, choice: RowChoice, output: &mut Output) {
    let mut group = group;
    if group.len() == 1
        && let Some(part) = group.pop()
    {
        emit_one(point, &part, choice, output);
        return;
    }
    let mut rows: Vec<(i64, i64, i64, usize, usize)> = Vec::new();
    for (of, part) in group.iter().enumerate() {
        let loaded = &part.loaded;
        rows.extend((part.start..part.end).map(|row| {
            (loaded.ts.value(row), loaded.generation.value(row), loaded.seq.value(row), of, row)
        }));
    }
    rows.sort_unstable();
    for (at, (ts, _, _, of, row)) in rows.iter().enumerate() {
        let superseded =
            choice == RowChoice::Chosen && rows.get(at + 1).is_some_and(|next| next.0 == *ts);
        if let (false, Some(part)) = (superseded, group.get(*of)) {
            output.push(point, &part.loaded, *row, *row + 1);
        }
    }
}

/// Of rows of one time the last one, or all of them.
fn emit_one(point: &Arc<str>, part: &Part, choice: RowChoice, output: &mut Output) {
    if choice == RowChoice::All {
        output.push(point, &part.loaded, part.start, part.end);
        return;
    }
    let times = part.loaded.ts.values().get(part.start..part.end).unwrap_or_default();
    let mut from = part.start;
    for (at, pair) in (part.start..).zip(times.windows(2)) {
        if pair[0] == pair[1] {
            // The row at `at` gives way to the next one.
            output.push(point, &part.loaded, from, at);
            from = at + 1;
        }
    }
    output.push(point, &part.loaded, from, part.end);
}
