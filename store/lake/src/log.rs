//! Reads the log of a Delta table of ours: which files are live, which were removed when, and where the application
//! transactions stand. Understands exactly the tables that this crate makes (reader version 1) and refuses all others.
//! Must never write, and must never know what a transaction means.
//!
//! `deltalake` answers for one application transaction at a time and reads the whole log for each; a table of ours has
//! several per log of every gateway, so they are read here in one pass, together with the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch, StructArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::LakeError;
use crate::lock::place;
use crate::schema::{LAYOUT, LAYOUT_PROPERTY};

/// How often a reader starts again when the writer cleaned up a log file under its hands.
const ATTEMPTS_MAX: u32 = 5;
/// The Delta protocol of our tables.
const READER_VERSION_MAX: i64 = 1;
const WRITER_VERSION_MAX: i64 = 2;

/// A live data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileInfo {
    pub(crate) bytes: u64,
    /// `None` for a file of another program that did not count them.
    pub(crate) rows: Option<u64>,
}

/// What the log says at one version of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) version: u64,
    /// Version of the checkpoint that this was read from.
    pub(crate) checkpoint: Option<u64>,
    /// Live files by name.
    pub(crate) files: BTreeMap<String, FileInfo>,
    /// Removed files by name, with the time of their removal in milliseconds since 1970.
    pub(crate) removed: BTreeMap<String, i64>,
    /// Application transactions by name.
    pub(crate) transactions: BTreeMap<String, i64>,
    layout: Option<String>,
    reader_version: i64,
    writer_version: i64,
}

/// Whether there is a table at all.
pub(crate) fn exists(dir: &Path) -> Result<bool, LakeError> {
    let log = place::log(dir);
    match fs::read_dir(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LakeError::io("list", &log)(error)),
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(LakeError::io("list", &log))?.file_name();
                let name = name.to_string_lossy();
                if entry_version(&name).is_some() || checkpoint_version(&name).is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// Reads the log up to its newest entry and checks that the table is one of ours.
pub(crate) fn read(dir: &Path) -> Result<LogState, LakeError> {
    if !exists(dir)? {
        return Err(LakeError::NoTable { dir: dir.to_owned() });
    }
    let mut attempt = 1;
    loop {
        match read_once(&place::log(dir)) {
            Err(LakeError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
            Ok(state) => return state.checked(dir),
        }
    }
}

/// The newest checkpoint, then every entry after it until there is none: entries are dense, so a list that a writer
/// changes meanwhile cannot mislead.
fn read_once(log: &Path) -> Result<LogState, LakeError> {
    let mut state = LogState::default();
    let mut newest_checkpoint = None;
    for entry in fs::read_dir(log).map_err(LakeError::io("list", log))? {
        let name = entry.map_err(LakeError::io("list", log))?.file_name();
        newest_checkpoint = newest_checkpoint.max(checkpoint_version(&name.to_string_lossy()));
    }
    let mut next = 0;
    if let Some(version) = newest_checkpoint {
        state.read_checkpoint(&log.join(format!("{version:020}.checkpoint.parquet")))?;
        state.checkpoint = Some(version);
        state.version = version;
        next = version + 1;
    }
    loop {
        let path = log.join(format!("{next:020}.json"));
        match fs::read(&path) {
            Ok(bytes) => state.apply_entry(&path, &bytes)?,
            // Without a checkpoint and without entry 0 there is nothing to read from.
            Err(error) if error.kind() == io::ErrorKind::NotFound && next > 0 => return Ok(state),
            Err(error) => return Err(LakeError::io("read", &path)(error)),
        }
        state.version = next;
        next += 1;
    }
}

impl LogState {
    fn checked(self, dir: &Path) -> Result<Self, LakeError> {
        if self.layout.as_deref() != Some(LAYOUT) {
            return Err(LakeError::Layout { dir: dir.to_owned(), found: self.layout });
        }
        if self.reader_version > READER_VERSION_MAX || self.writer_version > WRITER_VERSION_MAX {
            return Err(LakeError::Protocol {
                dir: dir.to_owned(),
                reader: self.reader_version,
                writer: self.writer_version,
            });
        }
        Ok(self)
    }

    fn apply_entry(&mut self, path: &Path, bytes: &[u8]) -> Result<(), LakeError> {
        for action in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
            let action = action.map_err(|error| LakeError::damaged(path, error.to_string()))?;
            self.apply_action(&action)
                .ok_or_else(|| LakeError::damaged(path, "an action lacks a field"))?;
        }
        Ok(())
    }

    /// `None` when a field is missing that the protocol demands.
    fn apply_action(&mut self, action: &Value) -> Option<()> {
        if let Some(add) = action.get("add") {
            let stats = add.get("stats").and_then(Value::as_str);
            self.add(add["path"].as_str()?, add["size"].as_i64()?, stats);
        } else if let Some(remove) = action.get("remove") {
            let when = remove.get("deletionTimestamp").and_then(Value::as_i64);
            self.remove(remove["path"].as_str()?, when.unwrap_or_default());
        } else if let Some(txn) = action.get("txn") {
            let name = txn["appId"].as_str()?.to_owned();
            self.transactions.insert(name, txn["version"].as_i64()?);
        } else if let Some(metadata) = action.get("metaData") {
            self.layout = metadata["configuration"][LAYOUT_PROPERTY].as_str().map(str::to_owned);
        } else if let Some(protocol) = action.get("protocol") {
            self.reader_version = protocol["minReaderVersion"].as_i64()?;
            self.writer_version = protocol["minWriterVersion"].as_i64()?;
        }
        Some(())
    }

    fn add(&mut self, name: &str, bytes: i64, stats: Option<&str>) {
        let rows = stats
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .and_then(|stats| stats["numRecords"].as_u64());
        let info = FileInfo { bytes: u64::try_from(bytes).unwrap_or(0), rows };
        self.removed.remove(name);
        self.files.insert(name.to_owned(), info);
    }

    fn remove(&mut self, name: &str, when_millis: i64) {
        self.files.remove(name);
        self.removed.insert(name.to_owned(), when_millis);
    }

    fn read_checkpoint(&mut self, path: &Path) -> Result<(), LakeError> {
        let file = File::open(path).map_err(LakeError::io("open", path))?;
        let wrong = LakeError::parquet("read", path);
        let builder = match ParquetRecordBatchReaderBuilder::try_new(file) {
            Ok(builder) => builder,
            Err(error) => return Err(wrong(error)),
        };
        let columns = [
            "add.path",
            "add.size",
            "add.stats",
            "remove.path",
            "remove.deletionTimestamp",
            "txn.appId",
            "txn.version",
            "metaData.configuration",
            "protocol.minReaderVersion",
            "protocol.minWriterVersion",
        ];
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
        let batches = builder.with_projection(mask).build().map_err(wrong)?;
        for batch in batches {
            let batch = batch.map_err(|error| LakeError::damaged(path, error.to_string()))?;
            self.apply_checkpoint_rows(&batch).ok_or_else(|| {
                LakeError::damaged(path, "a column is missing or of another type")
            })?;
        }
        Ok(())
    }

    /// `None` when a column that the protocol demands is missing.
    fn apply_checkpoint_rows(&mut self, batch: &RecordBatch) -> Option<()> {
        let part = |name: &str| batch.column_by_name(name)?.as_struct_opt();
        let (add, remove, txn) = (part("add")?, part("remove")?, part("txn")?);
        let (metadata, protocol) = (part("metaData")?, part("protocol")?);
        for row in 0..batch.num_rows() {
            if let Some(path) = text(add, "path", row) {
                self.add(path, long(add, "size", row)?, text(add, "stats", row));
            }
            if let Some(path) = text(remove, "path", row) {
                let when = long(remove, "deletionTimestamp", row);
                self.remove(path, when.unwrap_or_default());
            }
            if let Some(name) = text(txn, "appId", row) {
                self.transactions.insert(name.to_owned(), long(txn, "version", row)?);
            }
            if metadata.is_valid(row) {
                self.layout = property(metadata, row, LAYOUT_PROPERTY);
            }
            if protocol.is_valid(row) {
                self.reader_version = int(protocol, "minReaderVersion", row)?;
                self.writer_version = int(protocol, "minWriterVersion", row)?;
            }
        }
        Some(())
    }
}

fn text<'a>(part: &'a StructArray, name: &str, row: usize) -> Option<&'a str> {
    let column = part.column_by_name(name)?.as_string_opt::<i32>()?;
    (part.is_valid(row) && column.is_valid(row)).then(|| column.value(row))
}

fn long(part: &StructArray, name: &str, row: usize) -> Option<i64> {
    let column = part.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn int(part: &StructArray, name: &str, row: usize) -> Option<i64> {
    let column = part.column_by_name(name)?.as_primitive_opt::<Int32Type>()?;
    column.is_valid(row).then(|| i64::from(column.value(row)))
}

fn property(metadata: &StructArray, row: usize, wanted: &str) -> Option<String> {
    let entries = metadata.column_by_name("configuration")?.as_map_opt()?.value(row);
    let keys = entries.column(0).as_string_opt::<i32>()?;
    let values = entries.column(1).as_string_opt::<i32>()?;
    let place = keys.iter().position(|key| key == Some(wanted))?;
    values.is_valid(place).then(|| values.value(place).to_owned())
}

fn entry_version(name: &str) -> Option<u64> {
    version_before(name, ".json")
}

fn checkpoint_version(name: &str) -> Option<u64> {
    version_before(name, ".checkpoint.parquet")
}

fn version_before(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    if digits.len() != 20 {
        return None;
    }
    digits.parse().ok()
}

/// Absolute path of a data file.
pub(crate) fn data_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}
