//! Reads one row group and takes it apart into runs of rows of one point. Knows nothing of what else is read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use contract::{Points, Request};
use model::CommitNumber;
use parquet::arrow::arrow_reader::RowSelection;

use super::part::{Loaded, Part};
use super::{Key, Unit};
use crate::damage::Damage;
use crate::schema::column;
use crate::selection::Selection;

/// Rows that are decoded at a time.
const DECODE_ROWS: usize = 65_536;

/// Parts with their points.
pub(super) type Parts = Vec<(Arc<str>, Part)>;

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

/// The wanted rows of a row group, run by run, and the bytes that were read for them. First the points alone, then of the
/// other columns the rows of those that are wanted: beside many points a few cost little.
pub(super) fn decode(
    unit: &Unit,
    wanted: &Wanted,
    held: &Arc<AtomicUsize>,
) -> Result<(Parts, u64), Box<Damage>> {
    let Some(group) = &unit.group else { return Ok((Vec::new(), 0)) };
    let open = match &unit.open {
        Some(open) => Arc::clone(open),
        None => Arc::new(unit.file.open()?),
    };
    let points = open.read_rows(group.index, &[column::POINT], None, DECODE_ROWS)?;
    let mut runs = Runs::default();
    for batch in points {
        runs.add(&batch?, unit, wanted);
    }
    let bytes = open.bytes_of_group(group.index, &[column::POINT]);
    let rows: usize = runs.of_points.iter().map(|(_, rows)| rows.len()).sum();
    if rows == 0 {
        return Ok((Vec::new(), bytes));
    }
    let newer = wanted.as_of.is_some_and(|as_of| unit.file.last_commit() > as_of);
    let columns: Vec<&str> = wanted
        .columns
        .iter()
        .copied()
        .filter(|name| *name != column::COMMIT || newer || wanted.wants_commit)
        .filter(|name| *name != column::POINT)
        .collect();
    let bytes = bytes + open.bytes_of_group(group.index, &columns);
    let whole = open.rows_of_group(group.index);
    let selection = (rows < whole).then(|| {
        let ranges = runs.of_points.iter().map(|(_, rows)| rows.clone());
        RowSelection::from_consecutive_ranges(ranges, whole)
    });
    let read = open.read_rows(group.index, &columns, selection, rows)?;
    let batches: Vec<RecordBatch> = read.collect::<Result<_, _>>()?;
    let Some(first) = batches.first() else { return Ok((Vec::new(), bytes)) };
    let wrong = |error: ArrowError| unit.file.damage(&error);
    let batch = match batches.as_slice() {
        [one] => one.clone(),
        many => concat_batches(&first.schema(), many).map_err(wrong)?,
    };
    runs.close_up();
    let batch = match wanted.as_of.filter(|_| newer) {
        Some(as_of) => up_to(&batch, as_of, &mut runs).map_err(wrong)?,
        None => batch,
    };
    Ok((parts(&batch, &runs, unit, wanted, held), bytes))
}

/// Rows that follow one another and are of one point.
#[derive(Default)]
struct Runs {
    of_points: Vec<(Arc<str>, Range<usize>)>,
    /// Rows looked at so far.
    seen: usize,
}

impl Runs {
    /// Adds the next rows of a row group, of which only the points were read.
    fn add(&mut self, batch: &RecordBatch, unit: &Unit, wanted: &Wanted) {
        let points = batch.column_by_name(column::POINT);
        let Some(points) = points.and_then(|one| one.as_dictionary_opt::<Int32Type>()) else {
            return;
        };
        let Some(names) = points.values().as_string_opt::<i32>() else { return };
        let keys = points.keys().values();
        let mut from = 0;
        for run in keys.chunk_by(|one, next| one == next) {
            let rows = self.seen + from..self.seen + from + run.len();
            from += run.len();
            let key = run.first().and_then(|key| usize::try_from(*key).ok());
            let Some(point) = key.filter(|key| *key < names.len()).map(|key| names.value(key))
            else {
                continue;
            };
            if !wanted.wants(point) || unit.is_elsewhere(point) {
                continue;
            }
            match self.of_points.last_mut() {
                Some((last, known)) if **last == *point => {
                    if known.end == rows.start {
                        known.end = rows.end;
                    } else {
                        let point = Arc::clone(last);
                        self.of_points.push((point, rows));
                    }
                }
                _ => self.of_points.push((Arc::from(point), rows)),
            }
        }
        self.seen += keys.len();
    }

    /// The rows of a batch that holds the rows of the runs alone.
    fn close_up(&mut self) {
        let mut at = 0;
        for (_, rows) in &mut self.of_points {
            *rows = at..at + rows.len();
            at = rows.end;
        }
    }
}

/// The rows of these commits alone.
fn up_to(
    batch: &RecordBatch,
    as_of: CommitNumber,
    runs: &mut Runs,
) -> Result<RecordBatch, ArrowError> {
    let upto = i64::try_from(as_of.0).unwrap_or(i64::MAX);
    let Some(commits) = batch.column_by_name(column::COMMIT) else { return Ok(batch.clone()) };
    let commits = commits.as_primitive::<Int64Type>().values();
    let mut at = 0;
    for (_, rows) in &mut runs.of_points {
        let of_run = commits.get(rows.clone()).unwrap_or_default();
        let kept = of_run.iter().filter(|commit| **commit <= upto).count();
        *rows = at..at + kept;
        at += kept;
    }
    let keep = commits.iter().map(|commit| Some(*commit <= upto));
    filter_record_batch(batch, &keep.collect::<BooleanArray>())
}

fn parts(
    batch: &RecordBatch,
    runs: &Runs,
    unit: &Unit,
    wanted: &Wanted,
    held: &Arc<AtomicUsize>,
) -> Parts {
    let Some(ts) = batch.column_by_name(column::TS) else { return Vec::new() };
    let times = ts.as_primitive::<TimestampMicrosecondType>().values();
    let mut found: Vec<(Arc<str>, Range<usize>)> = Vec::new();
    for (point, rows) in &runs.of_points {
        for run in climbing(times, rows) {
            let rows = wanted.rows(point, times, run, unit.bound.as_ref());
            let of_another = |(limit, from): &Key| {
                (&**point, times.get(rows.start).copied().unwrap_or(i64::MAX)) >= (limit, *from)
            };
            if !rows.is_empty() && !unit.limit.as_ref().is_some_and(of_another) {
                found.push((Arc::clone(point), rows));
            }
        }
    }
    let rows: usize = found.iter().map(|(_, rows)| rows.len()).sum();
    if rows == 0 {
        return Vec::new();
    }
    let mut kept = batch.clone();
    // Few wanted rows are copied out, so that the others are let go.
    if rows * 2 < batch.num_rows() {
        let slices: Vec<RecordBatch> =
            found.iter().map(|(_, rows)| kept.slice(rows.start, rows.len())).collect();
        if let Ok(copied) = concat_batches(&kept.schema(), &slices) {
            kept = copied;
            let mut at = 0;
            for (_, rows) in &mut found {
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
    found
        .into_iter()
        .map(|(point, rows)| (point, Part::new(&loaded, rows.start, rows.end)))
        .collect()
}

/// Rows of one point, in runs in the order of time. A row group of several days holds a point once for each of them.
fn climbing<'a>(
    times: &'a [i64],
    rows: &Range<usize>,
) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let mut from = rows.start;
    let of_point = times.get(rows.clone()).unwrap_or_default();
    of_point.chunk_by(|one, next| one <= next).map(move |run| {
        let run = from..from + run.len();
        from = run.end;
        run
    })
}
