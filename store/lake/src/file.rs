//! One data file: its name, its encoding, the statistics that the log keeps of it. Must never know which files are
//! live.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use deltalake_core::kernel::{Add, Remove};
use model::{CommitNumber, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::LakeError;
use crate::disk::{Disk, DiskFile, parent};
use crate::schema::{column, schema};

/// Rows in a row group: large enough for the statistics of a group to be small beside it, small enough that a reader
/// with a group per thread stays within a few hundred megabytes.
const ROW_GROUP_ROWS_MAX: usize = 500_000;

/// A data file of ours, as its name and the log describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    pub(crate) name: String,
    pub(crate) level: u32,
    /// The last commit that it holds; with the level it gives the order of files.
    pub(crate) commit: CommitNumber,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// The name of a data file. The last number tells a second attempt from a first one that failed.
pub(crate) fn file_name(level: u32, commit: CommitNumber, attempt: u64) -> String {
    format!("{level}-{:012}-{attempt}.parquet", commit.0)
}

/// Level and last commit of a data file of ours; `None` for every other name.
pub(crate) fn parse_name(name: &str) -> Option<(u32, CommitNumber)> {
    let mut numbers = name.strip_suffix(".parquet")?.split('-');
    let level = numbers.next()?.parse().ok()?;
    let commit = CommitNumber(numbers.next()?.parse().ok()?);
    let _attempt: u64 = numbers.next()?.parse().ok()?;
    numbers.next().is_none().then_some((level, commit))
}

/// What is known of rows that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) range: Range,
}

/// Smallest and largest values, for readers that skip files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) rows: u64,
    point: (String, String),
    ts: (Timestamp, Timestamp),
    commit: (i64, i64),
}

impl Range {
    /// Of one batch; `None` when it has no rows.
    fn of(batch: &RecordBatch) -> Option<Self> {
        let column = |name: &str| batch.column_by_name(name).expect("batches have our schema");
        let points = column(column::POINT).as_string::<i32>();
        let times = column(column::TS).as_primitive::<TimestampMicrosecondType>().values();
        let commits = column(column::COMMIT).as_primitive::<Int64Type>().values();
        // The rows are in the order of points, so the ends are at the ends.
        let last = batch.num_rows().checked_sub(1)?;
        Some(Self {
            rows: batch.num_rows() as u64,
            point: (points.value(0).to_owned(), points.value(last).to_owned()),
            ts: (Timestamp(*times.iter().min()?), Timestamp(*times.iter().max()?)),
            commit: (*commits.iter().min()?, *commits.iter().max()?),
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            point: (self.point.0.min(other.point.0), self.point.1.max(other.point.1)),
            ts: (self.ts.0.min(other.ts.0), self.ts.1.max(other.ts.1)),
            commit: (self.commit.0.min(other.commit.0), self.commit.1.max(other.commit.1)),
        }
    }

    /// As the Delta protocol wants it in an `add` action (protocol, "Per-file Statistics").
    fn stats(&self) -> String {
        let side = |point: &str, ts: Timestamp, commit: i64| {
            serde_json::json!({
                column::POINT: point,
                column::TS: ts.to_string(),
                column::COMMIT: commit,
            })
        };
        serde_json::json!({
            "numRecords": self.rows,
            "minValues": side(&self.point.0, self.ts.0, self.commit.0),
            "maxValues": side(&self.point.1, self.ts.1, self.commit.1),
            "nullCount": { column::POINT: 0, column::TS: 0, column::COMMIT: 0 },
        })
        .to_string()
    }
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(1).expect("1 is a level of zstd");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX));
    // Numbers that run: a dictionary of them is larger than their differences (of merged rows with noisy values, `mantissa`
    // took 1.14 bytes a row with a dictionary and 0.52 without).
    let running = [column::TS, column::GATEWAY_TS, column::MANTISSA, column::SEQ, column::COMMIT];
    for name in running {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    properties.build()
}

/// Writes `batches` into a new file and syncs it and its directory. `None`, and no file, when there are no rows. On an
/// error what was written is removed again.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    batches: impl Iterator<Item = Result<RecordBatch, LakeError>>,
) -> Result<Option<Written>, LakeError> {
    let written = write_all(disk, path, batches);
    if !matches!(written, Ok(Some(_))) {
        // A leftover is found again when the table is opened; it is in no log entry.
        drop(fs::remove_file(path));
    }
    written
}

fn write_all(
    disk: &dyn Disk,
    path: &Path,
    batches: impl Iterator<Item = Result<RecordBatch, LakeError>>,
) -> Result<Option<Written>, LakeError> {
    let parquet = || LakeError::parquet("write", path);
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = io::BufWriter::with_capacity(
        1 << 16,
        DiskFile { disk, file: file.map_err(LakeError::io("create", path))? },
    );
    let mut writer = ArrowWriter::try_new(file, schema(), Some(properties())).map_err(parquet())?;
    let mut range: Option<Range> = None;
    for batch in batches {
        let batch = batch?;
        writer.write(&batch).map_err(parquet())?;
        if let Some(of_batch) = Range::of(&batch) {
            range = Some(match range {
                Some(range) => range.and(of_batch),
                None => of_batch,
            });
        }
    }
    let file = writer.into_inner().map_err(parquet())?;
    let file = file.into_inner().map_err(|error| LakeError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into_error(),
    })?;
    let Some(range) = range else { return Ok(None) };
    disk.sync_file(&file.file).map_err(LakeError::io("sync", path))?;
    disk.sync_directory(parent(path)).map_err(LakeError::io("sync directory of", path))?;
    let bytes = file.file.metadata().map_err(LakeError::io("measure", path))?.len();
    Ok(Some(Written { bytes, range }))
}

/// The log's action that makes a file live.
pub(crate) fn add(name: &str, written: &Written, now: Timestamp, data_change: bool) -> Add {
    Add {
        path: name.to_owned(),
        partition_values: HashMap::new(),
        size: i64::try_from(written.bytes).unwrap_or(i64::MAX),
        modification_time: now.as_millis(),
        data_change,
        stats: Some(written.range.stats()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// The log's action that ends a file's life, its rows being in another one now.
pub(crate) fn remove(file: &DataFile, now: Timestamp) -> Remove {
    Remove {
        path: file.name.clone(),
        data_change: false,
        deletion_timestamp: Some(now.as_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::new()),
        size: Some(i64::try_from(file.bytes).unwrap_or(i64::MAX)),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}
