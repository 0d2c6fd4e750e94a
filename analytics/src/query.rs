//! Samples as people and programs want them: one per point and source time, or every row, written as they are read, so
//! that memory does not grow with the answer. Must never print.

use std::io::Write;

use lake::Snapshot;
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;
use thiserror::Error;

use crate::meanings::Meanings;
use crate::rows::{self, Row, RowFilter, RowsError};
use crate::windows::{WINDOW_ROWS_MAX, WindowError, Windows};

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryFormat {
    /// A header line, then one line a sample.
    Csv,
    /// One JSON object a line.
    Json,
    /// A Parquet file with the columns of the lake.
    Parquet,
}

/// Why a query gave nothing.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] lake::LakeError),
    /// Its rows cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The result cannot be written.
    #[error("cannot write the result")]
    Write(#[source] std::io::Error),
    /// The result cannot be written as Parquet.
    #[error("cannot write the result as Parquet")]
    Parquet(#[source] PolarsError),
}

impl From<WindowError> for QueryError {
    fn from(error: WindowError) -> Self {
        match error {
            WindowError::Lake(error) => Self::Lake(error),
            WindowError::Rows(error) => Self::Rows(error),
        }
    }
}

/// Writes samples in the order (point, source time) as they are read, and returns how many there were.
///
/// # Shape
/// CSV and JSON: `point`, `time` (ISO 8601, UTC), `value` (exact decimal text; empty or null for a Bad sample),
/// `unit` (as the gateway stated it with that sample), `quality` (OPC UA name); with `all` also `gateway_time`,
/// `generation`, `sequence`, `commit`. Parquet: the columns of [`lake::schema::schema`].
pub fn query(
    snapshot: &Snapshot,
    filter: &RowFilter,
    all: bool,
    format: QueryFormat,
    out: &mut dyn Write,
) -> Result<usize, QueryError> {
    windowed(snapshot, filter, all, format, WINDOW_ROWS_MAX, out)
}

pub(crate) fn windowed(
    snapshot: &Snapshot,
    filter: &RowFilter,
    all: bool,
    format: QueryFormat,
    rows_max: u64,
    out: &mut dyn Write,
) -> Result<usize, QueryError> {
    let newest = snapshot.commit_number();
    let as_of = filter.as_of.unwrap_or(newest).min(newest);
    let filter = RowFilter { as_of: Some(as_of), ..filter.clone() };
    let meanings = Meanings::of(snapshot, as_of)?;
    let mut sink = Sink::begin(format, all, out)?;
    let mut count = 0;
    for frame in Windows::new(snapshot, filter, all, rows_max)? {
        let frame = frame?;
        count += frame.height();
        sink.write(&frame, &meanings, all)?;
    }
    sink.end()?;
    Ok(count)
}

/// Where samples go.
enum Sink<'a> {
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
    Json(&'a mut dyn Write),
    Parquet(Box<BatchedWriter<&'a mut dyn Write>>),
}

impl<'a> Sink<'a> {
    fn begin(format: QueryFormat, all: bool, out: &'a mut dyn Write) -> Result<Self, QueryError> {
        match format {
            QueryFormat::Json => Ok(Self::Json(out)),
            QueryFormat::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                let more = all.then_some(["gateway_time", "generation", "sequence", "commit"]);
                let header = ["point", "time", "value", "unit", "quality"];
                csv.write_record(header.into_iter().chain(more.into_iter().flatten()))
                    .map_err(|error| QueryError::Write(io_of(error)))?;
                csv.flush().map_err(QueryError::Write)?;
                Ok(Self::Csv(Box::new(csv)))
            }
            QueryFormat::Parquet => {
                let schema = rows::empty().schema().as_ref().clone();
                let writer = ParquetWriter::new(out).batched(&schema);
                Ok(Self::Parquet(Box::new(writer.map_err(QueryError::Parquet)?)))
            }
        }
    }

    fn write(
        &mut self,
        frame: &DataFrame,
        meanings: &Meanings,
        all: bool,
    ) -> Result<(), QueryError> {
        if let Self::Parquet(writer) = self {
            let columns = rows::empty().get_column_names_owned();
            let frame = frame.select(columns).map_err(QueryError::Parquet)?;
            return writer.write_batch(&whole(frame)).map_err(QueryError::Parquet);
        }
        let rows = rows::rows_of(frame)?;
        for of_point in rows.chunk_by(|one, next| one.point == next.point) {
            let Some(first) = of_point.first() else { continue };
            let meanings = meanings.point(&first.point);
            for row in of_point {
                let unit = meanings.unit(row.generation, row.sequence).map(model::Unit::symbol);
                let written = match self {
                    Self::Csv(csv) => write_csv(csv, row, unit, all),
                    Self::Json(out) => write_json(out, row, unit, all),
                    Self::Parquet(_) => Ok(()),
                };
                written.map_err(QueryError::Write)?;
            }
        }
        // Whoever reads sees each window when it is there.
        match self {
            Self::Csv(csv) => csv.flush().map_err(QueryError::Write),
            Self::Json(out) => out.flush().map_err(QueryError::Write),
            Self::Parquet(_) => Ok(()),
        }
    }

    fn end(self) -> Result<(), QueryError> {
        match self {
            Self::Csv(_) | Self::Json(_) => Ok(()),
            Self::Parquet(writer) => writer.finish().map(|_| ()).map_err(QueryError::Parquet),
        }
    }
}

/// The frame in one piece, as the Parquet writer wants it.
fn whole(mut frame: DataFrame) -> DataFrame {
    frame.rechunk_mut();
    frame
}

fn value_of(row: &Row) -> Option<String> {
    row.decimal.map(|value| value.to_string()).or_else(|| row.float.map(|value| value.to_string()))
}

fn write_csv(
    csv: &mut csv::Writer<&mut dyn Write>,
    row: &Row,
    unit: Option<&str>,
    all: bool,
) -> std::io::Result<()> {
    let mut record = vec![
        row.point.clone(),
        row.source_time.to_string(),
        value_of(row).unwrap_or_default(),
        unit.unwrap_or_default().to_owned(),
        row.quality.to_string(),
    ];
    if all {
        record.push(row.gateway_time.to_string());
        record.extend(
            [row.generation.0, row.sequence.0, row.commit.0].map(|count| count.to_string()),
        );
    }
    csv.write_record(record).map_err(io_of)
}

/// What went wrong below, as it was: that a pipe is closed is no error to its user.
fn io_of(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

fn write_json(
    out: &mut dyn Write,
    row: &Row,
    unit: Option<&str>,
    all: bool,
) -> std::io::Result<()> {
    let mut object = serde_json::json!({
        "point": row.point,
        "time": row.source_time.to_string(),
        "value": value_of(row),
        "unit": unit,
        "quality": row.quality.to_string(),
    });
    if all && let Some(object) = object.as_object_mut() {
        object.insert("gateway_time".to_owned(), row.gateway_time.to_string().into());
        object.insert("generation".to_owned(), row.generation.0.into());
        object.insert("sequence".to_owned(), row.sequence.0.into());
        object.insert("commit".to_owned(), row.commit.0.into());
    }
    writeln!(out, "{object}")
}
