//! Reads one row group and takes it apart into runs of rows of one point. Knows nothing of what else is read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, RecordBatch, StringArray};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use contract::{Points, Request};
use model::CommitNumber;

use super::part::{Loaded, Part};
use super::{Key, Unit};
use crate::damage::Damage;
use crate::schema::{column, schema};
use crate::selection::Selection;

/// Rows that are decoded at a time.
const DECODE_ROWS: usize = 65_536;

/// Parts with their points.
pub(super) type Runs = Vec<(Arc<str>, Part)>;

/// What is wanted, in the form in which row groups are looked through.
pub(super) struct Wanted {
    points: Option<Vec<String>>,
    prefixes: Vec<String>,
    from: Option<i64>,
    to: Option<i64>,
    as_of: Option<CommitNumber>,
    /// Columns that are read, but for `commit` where nothing is to be left out for it.
    pub(super) columns: Vec<&'static str>,
    wants_commit: bool,
}

impl Wanted {
    pub(super) fn new(request: &Request) -> Self {
        let (points, prefixes) = match &request.points {
            Points::All => (None, Vec::new()),
            Points::Prefixes(prefixes) => (None, prefixes.clone()),
            Points::Exactly(ids) => {
                let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                ids.sort_unstable();
                (Some(ids), Vec::new())
            }
        };
        let needed = [column::POINT, column::TS, column::GENERATION, column::SEQ];
        let all = ALL_COLUMNS.iter().copied();
        let columns = all.filter(|name| request.wants(name) || needed.contains(name)).collect();
        Self {
            points,
            prefixes,
            from: request.from.map(|time| time.0),
            to: request.to.map(|time| time.0),
            as_of: request.as_of,
            columns,
            wants_commit: request.wants(column::COMMIT),
        }
    }

    fn wants(&self, point: &str) -> bool {
        match &self.points {
            Some(points) => points.binary_search_by(|known| known.as_str().cmp(point)).is_ok(),
            None => {
                self.prefixes.is_empty()
                    || self.prefixes.iter().any(|prefix| point.starts_with(prefix))
            }
        }
    }

    /// The rows of a run that are wanted: those of a time, and not before a place in the order.
    fn rows(
        &self,
        point: &str,
        times: &[i64],
        run: Range<usize>,
        bound: Option<&Key>,
    ) -> Range<usize> {
        let mut from = self.from;
        if let Some((first, ts)) = bound {
            match point.cmp(first) {
                std::cmp::Ordering::Less => return run.start..run.start,
                std::cmp::Ordering::Equal => from = Some(from.map_or(*ts, |from| from.max(*ts))),
                std::cmp::Ordering::Greater => {}
            }
        }
        let times = times.get(run.clone()).unwrap_or_default();
        let before = |bound: i64| run.start + times.partition_point(|time| *time < bound);
        let start = from.map_or(run.start, before);
        start..self.to.map_or(run.end, before).max(start)
    }
}

const ALL_COLUMNS: [&str; 14] = [
    column::POINT,
    column::TS,
    column::GATEWAY_TS,
    column::VALUE,
    column::TEXT,
    column::UNIT,
    column::QUALITY,
    column::STATUS,
    column::MANTISSA,
    column::EXPONENT,
    column::FLAGS,
    column::GENERATION,
    column::SEQ,
    column::COMMIT,
];

/// The files and row groups that a request may find rows in.
pub(crate) fn selection_of(request: &Request, columns: &[&'static str]) -> Selection {
    let points = match &request.points {
        Points::All => Vec::new(),
        Points::Prefixes(prefixes) => {
            prefixes.iter().map(|prefix| Selection::beginning_with(prefix)).collect()
        }
        // A range that holds nothing, since none at all stands for everything.
        Points::Exactly(ids) if ids.is_empty() => vec![(String::new(), String::new())],
        Points::Exactly(ids) => ids.iter().map(|id| Selection::exactly(id.as_str())).collect(),
    };
    Selection {
        points,
        from: request.from,
        to: request.to,
        as_of: request.as_of,
        columns: (!columns.is_empty()).then(|| columns.to_vec()),
    }
}

/// The wanted rows of a row group, run by run, and the bytes that were read for them.
pub(super) fn decode(
    unit: &Unit,
    wanted: &Wanted,
    held: &Arc<AtomicUsize>,
) -> Result<(Runs, u64), Box<Damage>> {
    let Some(group) = &unit.group else { return Ok((Vec::new(), 0)) };
    let open = match &unit.open {
        Some(open) => Arc::clone(open),
        None => Arc::new(unit.file.open()?),
    };
    let newer = wanted.as_of.is_some_and(|as_of| unit.file.last_commit() > as_of);
    let columns: Vec<&str> = wanted
        .columns
        .iter()
        .copied()
        .filter(|name| *name != column::COMMIT || newer || wanted.wants_commit)
        .collect();
    let rows = open.read(vec![group.index], Some(&columns), DECODE_ROWS)?;
    let bytes = open.bytes_of_group(group.index, &columns);
    let batches: Vec<RecordBatch> = rows.collect::<Result<_, _>>()?;
    let Some(first) = batches.first() else { return Ok((Vec::new(), bytes)) };
    let joined = match batches.as_slice() {
        [one] => one.clone(),
        many => concat_batches(&first.schema(), many).map_err(|error| unit.file.damage(&error))?,
    };
    let batch = match wanted.as_of.filter(|_| newer) {
        Some(as_of) => up_to(&joined, as_of).map_err(|error| unit.file.damage(&error))?,
        None => joined,
    };
    Ok((parts(&batch, unit, wanted, held), bytes))
}

/// The rows of these commits alone.
fn up_to(
    batch: &RecordBatch,
    as_of: CommitNumber,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let upto = i64::try_from(as_of.0).unwrap_or(i64::MAX);
    let Some(commits) = batch.column_by_name(column::COMMIT) else { return Ok(batch.clone()) };
    let keep = commits.as_primitive::<Int64Type>().values().iter().map(|commit| *commit <= upto);
    filter_record_batch(batch, &keep.map(Some).collect::<BooleanArray>())
}

fn parts(batch: &RecordBatch, unit: &Unit, wanted: &Wanted, held: &Arc<AtomicUsize>) -> Runs {
    debug_assert!(batch.schema().fields().iter().all(|one| schema().index_of(one.name()).is_ok()));
    let (Some(points), Some(ts)) =
        (batch.column_by_name(column::POINT), batch.column_by_name(column::TS))
    else {
        return Vec::new();
    };
    let (points, ts) = (points.as_string::<i32>(), ts.as_primitive::<TimestampMicrosecondType>());
    let mut runs: Vec<(Arc<str>, Range<usize>)> = Vec::new();
    for run in runs_of(points, ts.values()) {
        let point = points.value(run.start);
        if wanted.wants(point) {
            let rows = wanted.rows(point, ts.values(), run, unit.bound.as_ref());
            let of_another = |(limit, from): &Key| {
                (point, ts.values().get(rows.start).copied().unwrap_or(i64::MAX)) >= (limit, *from)
            };
            if !rows.is_empty() && !unit.limit.as_ref().is_some_and(of_another) {
                let known = runs.last().filter(|(last, _)| **last == *point);
                let point = known.map_or_else(|| Arc::from(point), |(last, _)| Arc::clone(last));
                runs.push((point, rows));
            }
        }
    }
    let rows: usize = runs.iter().map(|(_, rows)| rows.len()).sum();
    if rows == 0 {
        return Vec::new();
    }
    let names: Vec<usize> = (0..batch.num_columns())
        .filter(|at| batch.schema().field(*at).name() != column::POINT)
        .collect();
    let Ok(mut kept) = batch.project(&names) else { return Vec::new() };
    // Few wanted rows are copied out, so that the others are let go.
    if rows * 2 < batch.num_rows() {
        let slices: Vec<RecordBatch> =
            runs.iter().map(|(_, rows)| kept.slice(rows.start, rows.len())).collect();
        if let Ok(copied) = concat_batches(&kept.schema(), &slices) {
            kept = copied;
            let mut at = 0;
            for (_, rows) in &mut runs {
                *rows = at..at + rows.len();
                at = rows.end;
            }
        }
    }
    let longs =
        |name: &str| kept.column_by_name(name).map(|one| one.as_primitive::<Int64Type>().clone());
    let ts = kept.column_by_name(column::TS);
    let ts = ts.map(|one| one.as_primitive::<TimestampMicrosecondType>().clone());
    let (Some(ts), Some(generation), Some(seq)) =
        (ts, longs(column::GENERATION), longs(column::SEQ))
    else {
        return Vec::new();
    };
    let loaded = Loaded::new(kept, ts, generation, seq, held);
    runs.into_iter()
        .map(|(point, rows)| (point, Part::new(&loaded, rows.start, rows.end)))
        .collect()
}

/// Runs of one point in the order of time. A row group of several days holds a point once for each of them.
fn runs_of<'a>(
    points: &'a StringArray,
    times: &'a [i64],
) -> impl Iterator<Item = Range<usize>> + 'a {
    let (offsets, bytes) = (points.value_offsets(), points.value_data());
    let text = |row: usize| {
        let place = |at: usize| offsets.get(at).and_then(|one| usize::try_from(*one).ok());
        place(row)
            .zip(place(row + 1))
            .and_then(|(from, to)| bytes.get(from..to))
            .unwrap_or_default()
    };
    let mut from = 0;
    std::iter::from_fn(move || {
        if from >= points.len() {
            return None;
        }
        let first = text(from);
        let mut to = from + 1;
        while to < points.len() && text(to) == first && times.get(to - 1) <= times.get(to) {
            to += 1;
        }
        let run = from..to;
        from = to;
        Some(run)
    })
}
