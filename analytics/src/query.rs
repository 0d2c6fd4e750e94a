//! Samples as people and programs want them: one per point and source time, or every row. Must never print.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use lake::Snapshot;
use model::PointInfo;
use polars::prelude::*;
use thiserror::Error;

use crate::rows::{self, Row, RowFilter, RowsError};

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

/// Writes samples and returns how many there were.
///
/// # Shape
/// CSV and JSON: `point`, `time` (ISO 8601, UTC), `value` (exact decimal text; empty or null for a Bad sample),
/// `unit`, `quality` (OPC UA name); with `all` also `gateway_time`, `generation`, `sequence`, `commit`. Parquet: the
/// columns of [`lake::schema::schema`].
pub fn query(
    snapshot: &Snapshot,
    filter: &RowFilter,
    all: bool,
    format: QueryFormat,
    out: &mut dyn Write,
) -> Result<usize, QueryError> {
    let as_of = filter.as_of.unwrap_or(snapshot.commit_number()).min(snapshot.commit_number());
    let filter = RowFilter { as_of: Some(as_of), ..filter.clone() };
    let ordered = rows::ordered(rows::scan(&snapshot.files(), &filter)?, all);
    let mut frame = rows::collect(ordered)?;
    if format == QueryFormat::Parquet {
        // The writer wants to own what it writes to; the caller's sink is borrowed.
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame).map_err(QueryError::Parquet)?;
        out.write_all(&bytes).map_err(QueryError::Write)?;
        return Ok(frame.height());
    }
    let points = points_of(snapshot)?;
    let rows = rows::rows_of(&frame)?;
    let written = match format {
        QueryFormat::Json => write_json(&rows, &points, all, out),
        QueryFormat::Csv | QueryFormat::Parquet => write_csv(&rows, &points, all, out),
    };
    written.map_err(QueryError::Write)?;
    Ok(rows.len())
}

/// What is known of each point, from the dictionaries beside the table; a later dictionary wins.
fn points_of(snapshot: &Snapshot) -> Result<HashMap<String, PointInfo>, QueryError> {
    let dictionaries = snapshot.dictionaries()?;
    let points =
        dictionaries.values().flat_map(|dictionary: &Arc<model::Dictionary>| &dictionary.points);
    Ok(points.map(|point| (point.id.to_string(), point.clone())).collect())
}

fn value_of(row: &Row) -> Option<String> {
    row.decimal.map(|value| value.to_string()).or_else(|| row.float.map(|value| value.to_string()))
}

fn write_csv(
    rows: &[Row],
    points: &HashMap<String, PointInfo>,
    all: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let mut header = vec!["point", "time", "value", "unit", "quality"];
    header.extend(
        all.then_some(["gateway_time", "generation", "sequence", "commit"]).into_iter().flatten(),
    );
    csv.write_record(header)?;
    for row in rows {
        let unit = points.get(&row.point).map_or("", |point| point.unit.symbol());
        let mut record = vec![
            row.point.clone(),
            row.source_time.to_string(),
            value_of(row).unwrap_or_default(),
            unit.to_owned(),
            row.quality.to_string(),
        ];
        if all {
            record.push(row.gateway_time.to_string());
            record.extend(
                [row.generation.0, row.sequence.0, row.commit.0].map(|count| count.to_string()),
            );
        }
        csv.write_record(record)?;
    }
    csv.flush()
}

fn write_json(
    rows: &[Row],
    points: &HashMap<String, PointInfo>,
    all: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for row in rows {
        let mut object = serde_json::json!({
            "point": row.point,
            "time": row.source_time.to_string(),
            "value": value_of(row),
            "unit": points.get(&row.point).map(|point| point.unit.symbol()),
            "quality": row.quality.to_string(),
        });
        if all && let Some(object) = object.as_object_mut() {
            object.insert("gateway_time".to_owned(), row.gateway_time.to_string().into());
            object.insert("generation".to_owned(), row.generation.0.into());
            object.insert("sequence".to_owned(), row.sequence.0.into());
            object.insert("commit".to_owned(), row.commit.0.into());
        }
        writeln!(out, "{object}")?;
    }
    Ok(())
}
