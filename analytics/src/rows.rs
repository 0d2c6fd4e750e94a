//! Rows of the lake, filtered and ordered by polars' streaming engine. Must never compute a figure.
//!
//! The reader's rule: of several rows for one (point, source time) the one of the highest generation, then of the
//! highest sequence, is chosen. It is a function of the rows, not of their order of arrival; the others stay (INV-4).

use std::path::PathBuf;
use std::sync::Arc;

use model::{CommitNumber, Generation, Quality, Sequence, Timestamp};
use polars::prelude::*;
use thiserror::Error;

/// Which rows are wanted.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    /// Points whose id begins with one of these; all when empty.
    pub points: Vec<String>,
    /// Source time, first that is wanted.
    pub from: Option<Timestamp>,
    /// Source time, first that is no longer wanted.
    pub to: Option<Timestamp>,
    /// Only what this commit and those before it brought.
    pub as_of: Option<CommitNumber>,
}

/// Why rows could not be read.
#[derive(Debug, Error)]
pub enum RowsError {
    /// polars could not read a file or carry out the query.
    #[error("cannot read the rows of the lake")]
    Polars(#[from] PolarsError),
    /// A column is not what the table's layout says.
    #[error(
        "column `{column}` of the lake: expected {expected}; the table was not written by this program"
    )]
    Column {
        /// Its name.
        column: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// One row of the table, values exact.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The point.
    pub point: String,
    /// Source time.
    pub source_time: Timestamp,
    /// When the gateway had it.
    pub gateway_time: Timestamp,
    /// Quality.
    pub quality: Quality,
    /// Mantissa and exponent of a decimal value.
    pub decimal: Option<model::Decimal>,
    /// A float value.
    pub float: Option<f64>,
    /// Generation of the log.
    pub generation: Generation,
    /// Sequence of the frame.
    pub sequence: Sequence,
    /// The ingest commit that brought it.
    pub commit: CommitNumber,
}

/// All rows of these files that pass the filter, not yet read.
///
/// # Shape
/// The columns of [`lake::schema::schema`].
pub fn scan(files: &[PathBuf], filter: &RowFilter) -> Result<LazyFrame, RowsError> {
    if files.is_empty() {
        return Ok(empty().lazy());
    }
    let paths = files.iter().map(|path| PlRefPath::new(path.to_string_lossy()));
    // A path of ours may hold brackets or stars; it names one file.
    let args = ScanArgsParquet { glob: false, ..Default::default() };
    let mut rows = LazyFrame::scan_parquet_files(paths.collect(), args)?;
    if let Some(from) = filter.from {
        rows = rows.filter(col("ts").gt_eq(instant(from)));
    }
    if let Some(to) = filter.to {
        rows = rows.filter(col("ts").lt(instant(to)));
    }
    if let Some(CommitNumber(commit)) = filter.as_of {
        rows = rows.filter(col("commit").lt_eq(lit(i64::try_from(commit).unwrap_or(i64::MAX))));
    }
    let wanted = filter.points.iter().map(|prefix| starts_with(prefix)).reduce(Expr::or);
    Ok(match wanted {
        Some(wanted) => rows.filter(wanted),
        None => rows,
    })
}

/// An instant as polars compares it with the files' statistics: a cast would lose the zone there.
fn instant(time: Timestamp) -> Expr {
    let zone = TimeZone::UTC;
    let value =
        AnyValue::DatetimeOwned(time.0, TimeUnit::Microseconds, Some(Arc::new(zone.clone())));
    lit(Scalar::new(DataType::Datetime(TimeUnit::Microseconds, Some(zone)), value))
}

/// Point ids are ASCII, so what begins with `prefix` lies between it and the first text after all of its followers.
/// Comparisons, unlike text functions, can use the files' statistics to skip row groups.
fn starts_with(prefix: &str) -> Expr {
    let after = format!("{prefix}\u{7f}");
    col("point").gt_eq(lit(prefix.to_owned())).and(col("point").lt(lit(after)))
}

/// No row.
///
/// # Shape
/// The columns of [`lake::schema::schema`].
pub(crate) fn empty() -> DataFrame {
    let time_type = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let schema = Schema::from_iter([
        Field::new("point".into(), DataType::String),
        Field::new("ts".into(), time_type.clone()),
        Field::new("gateway_ts".into(), time_type),
        Field::new("value".into(), DataType::Float64),
        Field::new("text".into(), DataType::String),
        Field::new("unit".into(), DataType::String),
        Field::new("quality".into(), DataType::String),
        Field::new("status".into(), DataType::Int64),
        Field::new("mantissa".into(), DataType::Int64),
        Field::new("exponent".into(), DataType::Int32),
        Field::new("flags".into(), DataType::Int32),
        Field::new("generation".into(), DataType::Int64),
        Field::new("seq".into(), DataType::Int64),
        Field::new("commit".into(), DataType::Int64),
    ]);
    DataFrame::empty_with_schema(&schema)
}

/// The rows in the order (point, source time, generation, sequence); by the reader's rule unless `all`.
pub fn ordered(rows: LazyFrame, all: bool) -> LazyFrame {
    let by: [PlSmallStr; 4] = ["point".into(), "ts".into(), "generation".into(), "seq".into()];
    let sorted = rows.sort(by, SortMultipleOptions::default());
    if all {
        return sorted;
    }
    let key = Some(cols(["point", "ts"]));
    sorted.unique_stable(key, UniqueKeepStrategy::Last)
}

/// Reads rows into memory.
pub fn collect(rows: LazyFrame) -> Result<DataFrame, RowsError> {
    Ok(rows.collect_with_engine(Engine::Streaming)?.unwrap_single())
}

/// The rows of a frame, values exact.
pub fn rows_of(frame: &DataFrame) -> Result<Vec<Row>, RowsError> {
    let wrong = |column, expected| move |_: PolarsError| RowsError::Column { column, expected };
    let integers = |name: &'static str| -> Result<Int64Chunked, RowsError> {
        let cast = frame.column(name).and_then(|column| column.cast(&DataType::Int64));
        let column = cast.map_err(wrong(name, "integers"))?;
        Ok(column.i64().map_err(wrong(name, "integers"))?.clone())
    };
    let points = frame.column("point").and_then(|column| column.cast(&DataType::String));
    let points = points.map_err(wrong("point", "text"))?;
    let points = points.str().map_err(wrong("point", "text"))?;
    let floats = frame.column("value").map_err(wrong("value", "doubles"))?;
    let floats = floats.f64().map_err(wrong("value", "doubles"))?;
    let (ts, gateway_ts) = (integers("ts")?, integers("gateway_ts")?);
    let (quality, mantissa, exponent) =
        (integers("status")?, integers("mantissa")?, integers("exponent")?);
    let (generation, seq, commit) =
        (integers("generation")?, integers("seq")?, integers("commit")?);
    let count = |column: &Int64Chunked, at: usize| {
        u64::try_from(column.get(at).unwrap_or_default()).unwrap_or_default()
    };
    let row = |at: usize| Row {
        point: points.get(at).unwrap_or_default().to_owned(),
        source_time: Timestamp(ts.get(at).unwrap_or_default()),
        gateway_time: Timestamp(gateway_ts.get(at).unwrap_or_default()),
        quality: Quality(u32::try_from(count(&quality, at)).unwrap_or(Quality::BAD.0)),
        decimal: mantissa.get(at).zip(exponent.get(at)).map(|(mantissa, exponent)| {
            model::Decimal { mantissa, exponent: i8::try_from(exponent).unwrap_or_default() }
        }),
        float: floats.get(at).filter(|_| mantissa.get(at).is_none()),
        generation: Generation(count(&generation, at)),
        sequence: Sequence(count(&seq, at)),
        commit: CommitNumber(count(&commit, at)),
    };
    Ok((0..frame.height()).map(row).collect())
}

/// Rows beyond the first of each identity (point, source time, generation, sequence): 0 in a sound lake (INV-4).
pub fn rows_sharing_identity(files: &[PathBuf]) -> Result<u64, RowsError> {
    let rows = scan(files, &RowFilter::default())?;
    let identity = [col("point"), col("ts"), col("generation"), col("seq")];
    let counted = rows.group_by(identity).agg([len().alias("rows")]);
    let beyond =
        counted.select([(col("rows").cast(DataType::Int64) - lit(1_i64)).sum().alias("beyond")]);
    let frame = collect(beyond)?;
    let sum = frame
        .column("beyond")
        .and_then(|column| column.get(0).map(|value| value.try_extract::<u64>().unwrap_or(0)));
    Ok(sum?)
}
