//! Samples as people and programs want them: one per point and source time, or every row, written as they are read, so
//! that memory does not grow with the answer. Must never print.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use contract::readings::{column, schema};
use contract::{DamagedRange, Readings, Request, RowChoice, StoreError};
use model::Timestamp;
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
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream: polars, pandas and `DuckDB` read it from a pipe.
    Arrow,
}

/// The columns of a query in every format. With every row of a time (`RowChoice::All`) all columns of the lake are written.
pub const COLUMNS: [&str; 7] = [
    column::POINT,
    column::TS,
    column::VALUE,
    column::TEXT,
    column::UNIT,
    column::QUALITY,
    column::STATUS,
];

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
/// [`COLUMNS`] in every format, or all of [`contract::readings::schema`] with `RowChoice::All`. In CSV and JSON times are ISO
/// 8601 in UTC, and `value` is the exact decimal (a number in JSON); empty or null where there is none. In Parquet and
/// Arrow `value` is the nearest double, words are texts.
pub fn query(
    readings: &dyn Readings,
    request: &Request,
    format: QueryFormat,
    out: &mut (dyn Write + Send),
) -> Result<Queried, QueryError> {
    let newest = readings.commit_number();
    let as_of = Some(request.as_of.unwrap_or(newest).min(newest));
    let columns = match request.choice {
        RowChoice::All => column::ALL.to_vec(),
        RowChoice::Chosen => COLUMNS.to_vec(),
    };
    // The exact decimal is made of two columns that may not be wanted themselves.
    let read = match format {
        QueryFormat::Csv | QueryFormat::Json => Vec::new(),
        QueryFormat::Parquet | QueryFormat::Arrow => columns.clone(),
    };
    let request = Request { as_of, columns: read, ..request.clone() };
    let mut rows = readings.rows(&request).map_err(QueryError::Store)?;
    let mut sink = Sink::begin(format, columns, out)?;
    let mut queried = Queried::default();
    for batch in rows.by_ref() {
        let batch = batch.map_err(QueryError::Store)?;
        queried.rows += batch.num_rows();
        sink.write(&batch)?;
    }
    sink.end()?;
    queried.damaged = rows.damaged();
    Ok(queried)
}

/// Where samples go.
struct Sink<'a> {
    columns: Vec<&'static str>,
    target: Target<'a>,
}

enum Target<'a> {
    Csv(Box<csv::Writer<&'a mut Out<'a>>>),
    Json(&'a mut Out<'a>),
    Parquet(Box<ArrowWriter<&'a mut Out<'a>>>),
    Arrow(Box<StreamWriter<&'a mut Out<'a>>>),
}

impl<'a> Sink<'a> {
    fn begin(
        format: QueryFormat,
        columns: Vec<&'static str>,
        out: &'a mut Out<'a>,
    ) -> Result<Self, QueryError> {
        let target = match format {
            QueryFormat::Json => Target::Json(out),
            QueryFormat::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(&columns).map_err(|error| QueryError::Write(io_of(error)))?;
                csv.flush().map_err(QueryError::Write)?;
                Target::Csv(Box::new(csv))
            }
            QueryFormat::Arrow => {
                let writer = StreamWriter::try_new(out, &plain_schema(&columns));
                Target::Arrow(Box::new(writer.map_err(QueryError::Arrow)?))
            }
            QueryFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_max_row_group_row_count(Some(PARQUET_GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(out, plain_schema(&columns), Some(properties));
                Target::Parquet(Box::new(writer.map_err(QueryError::Parquet)?))
            }
        };
        Ok(Self { columns, target })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let columns = &self.columns;
        match &mut self.target {
            Target::Parquet(writer) => {
                let batch = plain(batch, columns).map_err(QueryError::Arrow)?;
                writer.write(&batch).map_err(QueryError::Parquet)
            }
            Target::Arrow(writer) => {
                let batch = plain(batch, columns).map_err(QueryError::Arrow)?;
                writer.write(&batch).map_err(QueryError::Arrow)?;
                writer.flush().map_err(QueryError::Arrow)
            }
            // Whoever reads sees each batch when it is there.
            Target::Csv(csv) => {
                each_row(batch, |point, row| write_csv(csv, columns, point, row))?;
                csv.flush().map_err(QueryError::Write)
            }
            Target::Json(out) => {
                each_row(batch, |point, row| write_json(*out, columns, point, row))?;
                out.flush().map_err(QueryError::Write)
            }
        }
    }

    fn end(self) -> Result<(), QueryError> {
        match self.target {
            Target::Csv(_) | Target::Json(_) => Ok(()),
            Target::Parquet(writer) => writer.close().map(|_| ()).map_err(QueryError::Parquet),
            Target::Arrow(mut writer) => writer.finish().map_err(QueryError::Arrow),
        }
    }
}

fn each_row(
    batch: &RecordBatch,
    mut write: impl FnMut(&str, &Row<'_>) -> std::io::Result<()>,
) -> Result<(), QueryError> {
    let rows = WholeRows::new(batch)?;
    for (point, range) in rows.columns.points() {
        for at in range {
            write(point, &rows.row(at)).map_err(QueryError::Write)?;
        }
    }
    Ok(())
}

/// These columns of the contract with words as texts, as every reader of files knows them.
fn plain_schema(columns: &[&str]) -> SchemaRef {
    let schema = schema();
    let wanted = schema.fields().iter().filter(|field| columns.contains(&field.name().as_str()));
    let fields = wanted.map(|field| match field.data_type() {
        DataType::Dictionary(..) => {
            Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A batch of exactly these columns with words as texts.
fn plain(batch: &RecordBatch, columns: &[&str]) -> Result<RecordBatch, ArrowError> {
    let columns_of = batch.columns().iter().map(|column| match column.as_any_dictionary_opt() {
        Some(words) => take(words.values(), words.keys(), None),
        None => Ok(Arc::clone(column)),
    });
    RecordBatch::try_new(plain_schema(columns), columns_of.collect::<Result<Vec<ArrayRef>, _>>()?)
}

/// One value of a row.
enum Cell<'a> {
    Text(std::borrow::Cow<'a, str>),
    /// Digits as they are.
    Number(String),
    None,
}

fn field<'a>(name: &str, point: &'a str, row: &Row<'a>) -> Cell<'a> {
    let number = |number: Option<String>| number.map_or(Cell::None, Cell::Number);
    let time = |time: Timestamp| Cell::Text(time.to_string().into());
    match name {
        column::POINT => Cell::Text(point.into()),
        column::TS => time(row.source_time),
        column::GATEWAY_TS => time(row.gateway_time),
        column::VALUE => number(row.value.clone()),
        column::TEXT => row.text.map_or(Cell::None, |text| Cell::Text(text.into())),
        column::UNIT => Cell::Text(row.unit.into()),
        column::QUALITY => Cell::Text(row.word.into()),
        column::STATUS => number(Some(row.status.to_string())),
        column::MANTISSA => number(row.exact.map(|exact| exact.mantissa.to_string())),
        column::EXPONENT => number(row.exact.map(|exact| exact.exponent.to_string())),
        column::FLAGS => number(Some(row.flags.to_string())),
        column::GENERATION => number(Some(row.generation.0.to_string())),
        column::SEQ => number(Some(row.sequence.0.to_string())),
        column::COMMIT => number(Some(row.commit.0.to_string())),
        _ => Cell::None,
    }
}

fn write_csv(
    csv: &mut csv::Writer<&mut Out<'_>>,
    columns: &[&'static str],
    point: &str,
    row: &Row<'_>,
) -> std::io::Result<()> {
    for name in columns {
        let written = match field(name, point, row) {
            Cell::Text(text) => csv.write_field(text.as_bytes()),
            Cell::Number(digits) => csv.write_field(digits),
            Cell::None => csv.write_field(""),
        };
        written.map_err(io_of)?;
    }
    csv.write_record(None::<&[u8]>).map_err(io_of)
}

fn write_json(
    out: &mut Out<'_>,
    columns: &[&'static str],
    point: &str,
    row: &Row<'_>,
) -> std::io::Result<()> {
    let mut line = String::from("{");
    for (at, name) in columns.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let value = match field(name, point, row) {
            Cell::Text(text) => serde_json::to_string(&text)?,
            Cell::Number(digits) => digits,
            Cell::None => "null".to_owned(),
        };
        for part in [comma, "\"", name, "\":", &value] {
            line.push_str(part);
        }
    }
    line.push_str("}\n");
    out.write_all(line.as_bytes())
}

/// What went wrong below, as it was: that a pipe is closed is no error to its user.
fn io_of(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}
