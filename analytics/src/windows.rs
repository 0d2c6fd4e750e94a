//! Rows in the order of the table, as many at a time as memory allows, however many there are. Must never choose among
//! rows: that is the reader's rule in [`crate::rows`].

use std::path::PathBuf;

use lake::{LakeError, Snapshot};
use model::Timestamp;
use polars::prelude::*;
use thiserror::Error;

use crate::rows::{self, RowFilter, RowsError};

/// Most rows of a window, some 100 bytes each; more only where one source time of one point has more.
pub(crate) const WINDOW_ROWS_MAX: u64 = 200_000;

/// Why the rows of a window could not be had.
#[derive(Debug, Error)]
pub(crate) enum WindowError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Rows(#[from] RowsError),
}

/// Points next to one another and a time, from the first instant to the first after it.
#[derive(Debug, Clone)]
struct Window {
    first: String,
    last: String,
    from: i64,
    to: i64,
    rows: u64,
}

/// An iterator over frames of at most [`WINDOW_ROWS_MAX`] rows, in the order (point, source time, generation, sequence).
pub(crate) struct Windows {
    snapshot: Snapshot,
    filter: RowFilter,
    all: bool,
    rows_max: u64,
    /// Those to come, the next one last.
    to_come: Vec<Window>,
}

impl Windows {
    /// Counts the rows of each point. The filter must say as of which commit, so that a later version of the table gives
    /// the same rows.
    pub(crate) fn new(
        snapshot: &Snapshot,
        filter: RowFilter,
        all: bool,
        rows_max: u64,
    ) -> Result<Self, WindowError> {
        let (snapshot, to_come) = (snapshot.clone(), Vec::new());
        let mut windows = Self { snapshot, filter, all, rows_max, to_come };
        let micros = || col("ts").cast(DataType::Int64);
        let counted = windows.read(&windows.filter.clone(), |rows| {
            let counts = [
                len().cast(DataType::Int64).alias("rows"),
                micros().min().alias("first"),
                micros().max().alias("last"),
            ];
            let by_point = rows.group_by([col("point")]).agg(counts);
            by_point.sort(["point"], SortMultipleOptions::default())
        })?;
        windows.to_come = of_points(&counted, rows_max).map_err(RowsError::from)?;
        Ok(windows)
    }

    /// The next window that is small enough; one of a single point is halved in time until it is.
    fn next_window(&mut self) -> Result<Option<Window>, WindowError> {
        while let Some(window) = self.to_come.pop() {
            if window.rows <= self.rows_max || window.to - window.from <= 1 {
                return Ok(Some(window));
            }
            let middle = window.from + (window.to - window.from) / 2;
            let mut early = Window { to: middle, ..window.clone() };
            let filter = early.filter(&self.filter);
            let count = self
                .read(&filter, |rows| early.points(rows).select([len().cast(DataType::Int64)]))?;
            early.rows = count_in(&count).map_err(RowsError::from)?;
            let late = Window { from: middle, rows: window.rows - early.rows, ..window };
            self.to_come.extend([late, early].into_iter().filter(|half| half.rows > 0));
        }
        Ok(None)
    }

    /// Carries a query out. A file that was merged into others and deleted meanwhile is no loss: the newest version of
    /// the table has its rows.
    fn read(
        &mut self,
        filter: &RowFilter,
        query: impl Fn(LazyFrame) -> LazyFrame,
    ) -> Result<DataFrame, WindowError> {
        let attempt = |files: &[PathBuf]| rows::collect(query(rows::scan(files, filter)?));
        let files = self.snapshot.files();
        match attempt(&files) {
            Err(RowsError::Polars(_)) if files.iter().any(|file| !file.exists()) => {
                self.snapshot = self.snapshot.renewed()?;
                Ok(attempt(&self.snapshot.files())?)
            }
            other => Ok(other?),
        }
    }
}

impl Window {
    fn filter(&self, of: &RowFilter) -> RowFilter {
        let (from, to) = (Some(Timestamp(self.from)), Some(Timestamp(self.to)));
        RowFilter { from, to, ..of.clone() }
    }

    fn points(&self, rows: LazyFrame) -> LazyFrame {
        let (first, last) = (lit(self.first.clone()), lit(self.last.clone()));
        rows.filter(col("point").gt_eq(first).and(col("point").lt_eq(last)))
    }
}

/// Windows over points, each of as many as there is room for; the first one last.
fn of_points(counted: &DataFrame, rows_max: u64) -> PolarsResult<Vec<Window>> {
    let points = counted.column("point")?.cast(&DataType::String)?;
    let points = points.str()?;
    let numbers = |name: &str| Ok::<_, PolarsError>(counted.column(name)?.i64()?.clone());
    let (rows, first, last) = (numbers("rows")?, numbers("first")?, numbers("last")?);
    let mut windows: Vec<Window> = Vec::new();
    for at in 0..counted.height() {
        let point = points.get(at).unwrap_or_default();
        let rows = u64::try_from(rows.get(at).unwrap_or_default()).unwrap_or_default();
        let from = first.get(at).unwrap_or_default();
        let to = last.get(at).unwrap_or_default().saturating_add(1);
        match windows.last_mut() {
            Some(window) if window.rows + rows <= rows_max => {
                point.clone_into(&mut window.last);
                window.rows += rows;
                (window.from, window.to) = (window.from.min(from), window.to.max(to));
            }
            _ => {
                let (first, last) = (point.to_owned(), point.to_owned());
                windows.push(Window { first, last, from, to, rows });
            }
        }
    }
    windows.reverse();
    Ok(windows)
}

impl Iterator for Windows {
    type Item = Result<DataFrame, WindowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let window = match self.next_window() {
            Ok(window) => window?,
            Err(error) => return Some(Err(error)),
        };
        let (filter, all) = (window.filter(&self.filter), self.all);
        Some(self.read(&filter, |rows| rows::ordered(window.points(rows), all)))
    }
}

fn count_in(counted: &DataFrame) -> PolarsResult<u64> {
    let count = counted.select_at_idx(0).map(Column::i64).transpose()?.and_then(|c| c.get(0));
    Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
}
