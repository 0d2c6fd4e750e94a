//! The Delta table seen by somebody else: the Python package `deltalake`, and `duckdb` over the files that it lists.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::python::{json, script};

/// What three other readers find with each filter alone (column, operator, value as JSON), and how many rows a glob of the
/// directory has.
pub fn filter(table: &Path, filters: &[(&str, &str, &str)]) -> Result<Value> {
    let mut command = script("read_lake.py")?;
    command.arg(table).arg("--glob");
    for (column, operator, value) in filters {
        command.args(["--filter", column, operator, value]);
    }
    json(&mut command)
}

/// Version, files, rows, columns and sums of a table, plus `result` when SQL is given (the table is called `lake`).
pub fn read(table: &Path, sql: Option<&str>) -> Result<Value> {
    let mut command = script("read_lake.py")?;
    command.arg(table);
    if let Some(sql) = sql {
        command.args(["--sql", sql]);
    }
    json(&mut command)
}

/// Rows, columns and the sum of the values of a Parquet file, by polars.
pub fn read_parquet(file: &Path) -> Result<Value> {
    json(script("read_parquet.py")?.arg(file))
}
