//! Samples as people and programs want them: one per point and source time, or every row, written as they are read, so
//! that memory does not grow with the answer. Must never print.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use contract::{DamagedRange, Readings, Request, RowChoice, StoreError};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use thiserror::Error;

use crate::columns::{ColumnsError, Row, WholeRows};

/// Rows of a row group of Parquet: they are held until the group is written.
const PARQUET_GROUP_ROWS: usize = 128 * 1024;

/// What samples are written to.
type Out<'o> = dyn Write + Send + 'o;

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryFormat {
    /// A header line, then one line a sample.
    Csv,
    /// One JSON object a line.
    Json,
    /// A Parquet file with the columns of the contract.
    Parquet,
    /// An Arrow IPC stream with the columns of the contract: polars, pandas and `DuckDB` read it from a pipe.
    Arrow,
}

/// Why a query gave nothing.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[source] StoreError),
    /// A column is not what the contract says.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// The result cannot be written.
    #[error("cannot write the result")]
    Write(#[source] std::io::Error),
    /// The result cannot be written as Parquet.
    #[error("cannot write the result as Parquet")]
    Parquet(#[source] ParquetError),
    /// The result cannot be written as Arrow.
    #[error("cannot write the result as an Arrow stream")]
    Arrow(#[source] ArrowError),
}

/// What a query gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queried {
    /// Samples written.
    pub rows: usize,
    /// What was wanted and could not be read.
    pub damaged: Vec<DamagedRange>,
}

/// Writes samples in the order (point, source time) as they are read.
///
/// # Shape
/// CSV and JSON: `point`, `time` (ISO 8601, UTC), `value` (exact decimal text; empty or null for a Bad sample), `unit` (as
/// the gateway stated it with that sample), `quality` (OPC UA name); with every row of a time (`RowChoice::All`) also
/// `gateway_time`, `generation`, `sequence`, `commit`. Parquet and Arrow: the columns of [`contract::readings::schema`],
/// words as text.
pub fn query(
    readings: &dyn Readings,
    request: &Request,
    format: QueryFormat,
    out: &mut (dyn Write + Send),
) -> Result<Queried, QueryError> {
    let newest = readings.commit_number();
    let as_of = Some(request.as_of.unwrap_or(newest).min(newest));
    let request = Request { as_of, columns: Vec::new(), ..request.clone() };
    let mut rows = readings.rows(&request).map_err(QueryError::Store)?;
    let all = request.choice == RowChoice::All;
    let mut sink = Sink::begin(format, all, out)?;
    let mut queried = Queried::default();
    for batch in rows.by_ref() {
        let batch = batch.map_err(QueryError::Store)?;
        queried.rows += batch.num_rows();
        sink.write(&batch, all)?;
    }
    sink.end()?;
    queried.damaged = rows.damaged();
    Ok(queried)
}

/// Where samples go.
enum Sink<'a> {
    Csv(Box<csv::Writer<&'a mut Out<'a>>>),
    Json(&'a mut Out<'a>),
    Parquet(Box<ArrowWriter<&'a mut Out<'a>>>),
    Arrow(Box<StreamWriter<&'a mut Out<'a>>>),
}

impl<'a> Sink<'a> {
    fn begin(format: QueryFormat, all: bool, out: &'a mut Out<'a>) -> Result<Self, QueryError> {
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
            QueryFormat::Arrow => {
                let writer = StreamWriter::try_new(out, &plain_schema());
                Ok(Self::Arrow(Box::new(writer.map_err(QueryError::Arrow)?)))
            }
            QueryFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_max_row_group_row_count(Some(PARQUET_GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(out, plain_schema(), Some(properties));
                Ok(Self::Parquet(Box::new(writer.map_err(QueryError::Parquet)?)))
            }
        }
    }

    fn write(&mut self, batch: &RecordBatch, all: bool) -> Result<(), QueryError> {
        match self {
            Self::Parquet(writer) => {
                let batch = plain(batch).map_err(QueryError::Arrow)?;
                return writer.write(&batch).map_err(QueryError::Parquet);
            }
            Self::Arrow(writer) => {
                let batch = plain(batch).map_err(QueryError::Arrow)?;
                writer.write(&batch).map_err(QueryError::Arrow)?;
                return writer.flush().map_err(QueryError::Arrow);
            }
            Self::Csv(_) | Self::Json(_) => {}
        }
        let rows = WholeRows::new(batch)?;
        for (point, range) in rows.columns.points() {
            for at in range {
                let row = rows.row(at);
                let written = match self {
                    Self::Csv(csv) => write_csv(csv, point, &row, all),
                    Self::Json(out) => write_json(*out, point, &row, all),
                    Self::Parquet(_) | Self::Arrow(_) => Ok(()),
                };
                written.map_err(QueryError::Write)?;
            }
        }
        // Whoever reads sees each batch when it is there.
        match self {
            Self::Csv(csv) => csv.flush().map_err(QueryError::Write),
            Self::Json(out) => out.flush().map_err(QueryError::Write),
            Self::Parquet(_) | Self::Arrow(_) => Ok(()),
        }
    }

    fn end(self) -> Result<(), QueryError> {
        match self {
            Self::Csv(_) | Self::Json(_) => Ok(()),
            Self::Parquet(writer) => writer.close().map(|_| ()).map_err(QueryError::Parquet),
            Self::Arrow(mut writer) => writer.finish().map_err(QueryError::Arrow),
        }
    }
}

/// The columns of the contract with words as texts, as every reader of files knows them.
fn plain_schema() -> SchemaRef {
    let schema = contract::readings::schema();
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(..) => {
            Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plain(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match column.as_any_dictionary_opt() {
        Some(words) => take(words.values(), words.keys(), None),
        None => Ok(Arc::clone(column)),
    });
    RecordBatch::try_new(plain_schema(), columns.collect::<Result<Vec<ArrayRef>, _>>()?)
}

fn write_csv(
    csv: &mut csv::Writer<&mut Out<'_>>,
    point: &str,
    row: &Row<'_>,
    all: bool,
) -> std::io::Result<()> {
    let mut record = vec![
        point.to_owned(),
        row.source_time.to_string(),
        row.value.clone().unwrap_or_default(),
        row.unit.to_owned(),
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

fn write_json(out: &mut Out<'_>, point: &str, row: &Row<'_>, all: bool) -> std::io::Result<()> {
    let mut object = serde_json::json!({
        "point": point,
        "time": row.source_time.to_string(),
        "value": row.value,
        "unit": row.unit,
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
