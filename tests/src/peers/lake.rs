//! The Delta table seen by somebody else: the Python package `deltalake`, and `duckdb` over the files that it lists. Must
//! never use our own reader.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::python::{json, script};

/// Version, files, rows, columns and sums of a table, plus `result` when SQL is given (the table is called `lake`).
pub fn read(table: &Path, sql: Option<&str>) -> Result<Value> {
    let mut command = script("read_lake.py")?;
    command.arg(table);
    if let Some(sql) = sql {
        command.args(["--sql", sql]);
    }
    json(&mut command)
}
