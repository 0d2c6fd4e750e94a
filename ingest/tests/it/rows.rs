//! The rows of a table, read from its live files as any reader would.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use lake::Snapshot;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// (source time, mantissa, sequence) of all rows, sorted.
pub(crate) fn rows(dir: &Path) -> Vec<(i64, i64, i64)> {
    let mut rows = Vec::new();
    for file in Snapshot::open(dir).unwrap().files() {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap());
        for batch in reader.unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap();
            let times = column("ts").as_primitive::<TimestampMicrosecondType>();
            let values = column("mantissa").as_primitive::<Int64Type>();
            let sequences = column("seq").as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                rows.push((times.value(row), values.value(row), sequences.value(row)));
            }
        }
    }
    rows.sort_unstable();
    rows
}

/// What `frames` frames of the test gateway must have become, once each.
pub(crate) fn expected(frames: i64) -> Vec<(i64, i64, i64)> {
    use crate::gateway::{SAMPLES, START};
    (1..=frames * SAMPLES).map(|n| (START + n * 1_000_000, n, (n - 1) / SAMPLES + 1)).collect()
}
