//! Checkpoints: the table at one version as a Parquet file, so that a reader need not begin at the first entry (Delta
//! protocol, "Checkpoints"). Knows nothing of how the log goes on.
//!
//! A checkpoint states, in the metadata of its footer, the seal of the entry that it stands for, and proves itself by the
//! SHA-256 of all of its bytes, the 64 digits of the seal itself taken as zeros.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
    new_null_array,
};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;

use crate::LakeError;
use crate::entry::{Action, Metadata, Removed, Seal, name_in_log, path_in_log};
use crate::facts::{FileFacts, Tail};
use crate::log::LogState;
use crate::verified::contained;

/// Keys of the footer's metadata.
const VERSION: &str = "nengliu.version";
const ENTRY: &str = "nengliu.entry";
const AT_MS: &str = "nengliu.at";
const SEAL: &str = "nengliu.seal";
/// What stands in the place of the seal's digits while it is computed, and is found by.
const MARK: &str = "nengliu-checkpoint-sha256:";
/// Rows in a batch of a checkpoint.
const BATCH_ROWS: usize = 4_096;

/// Serializes the state.
pub(crate) fn encode(path: &Path, state: &LogState) -> Result<Vec<u8>, LakeError> {
    let wrong = || LakeError::parquet("write", path);
    let zeros = "0".repeat(Seal::HEX_LEN);
    let keys = [
        (VERSION, state.version.to_string()),
        (ENTRY, state.seal.to_string()),
        (AT_MS, state.at_ms.to_string()),
        (SEAL, format!("{MARK}{zeros}")),
    ];
    let keys = keys.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
    let level = ZstdLevel::try_new(1).expect("1 is a level of zstd");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_key_value_metadata(Some(keys))
        .build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema(), Some(properties)).map_err(wrong())?;
    for batch in batches(state) {
        writer.write(&batch).map_err(wrong())?;
    }
    let mut bytes = writer.into_inner().map_err(wrong())?;
    let at = seal_place(&bytes).ok_or_else(|| LakeError::damaged(path, "its seal has no place"))?;
    let seal = Seal::of(&bytes).to_string();
    if let Some(place) = bytes.get_mut(at..at + Seal::HEX_LEN) {
        place.copy_from_slice(seal.as_bytes());
    }
    Ok(bytes)
}

/// Reads a checkpoint that proves itself to be that of `version`.
pub(crate) fn decode(path: &Path, bytes: Vec<u8>, version: u64) -> Result<LogState, LakeError> {
    let wrong = |what: &str| LakeError::damaged(path, what);
    let mut zeroed = bytes;
    let at =
        seal_place(&zeroed).ok_or_else(|| wrong("it has no seal: it was cut or is foreign"))?;
    let place = zeroed.get_mut(at..at + Seal::HEX_LEN).ok_or_else(|| wrong("it was cut"))?;
    let stated = std::str::from_utf8(place).ok().and_then(Seal::parse);
    place.fill(b'0');
    if stated != Some(Seal::of(&zeroed)) {
        return Err(wrong("its content does not have the checksum that it states"));
    }
    contained(path, || read(path, Bytes::from(zeroed), version))?
}

/// Where the digits of the seal are.
fn seal_place(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(MARK.len()).rposition(|window| window == MARK.as_bytes())?;
    (at + MARK.len() + Seal::HEX_LEN <= bytes.len()).then_some(at + MARK.len())
}

fn read(path: &Path, bytes: Bytes, version: u64) -> Result<LogState, LakeError> {
    let wrong = |what: &str| LakeError::damaged(path, what);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .map_err(LakeError::parquet("read", path))?;
    let keys = builder.metadata().clone();
    let number = |key| key_of(&keys, key).and_then(|value| value.parse::<u64>().ok());
    if number(VERSION) != Some(version) {
        return Err(wrong("it is the checkpoint of another version"));
    }
    let mut state = LogState {
        version,
        seal: key_of(&keys, ENTRY).and_then(Seal::parse).ok_or_else(|| wrong("no seal"))?,
        at_ms: number(AT_MS)
            .and_then(|at| i64::try_from(at).ok())
            .ok_or_else(|| wrong("no time"))?,
        ..LogState::default()
    };
    for batch in builder.build().map_err(LakeError::parquet("read", path))? {
        let batch = batch.map_err(|error| wrong(&error.to_string()))?;
        apply(&mut state, &batch).ok_or_else(|| wrong("a column is missing or of another type"))?;
    }
    Ok(state)
}

fn key_of<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let keys = metadata.file_metadata().key_value_metadata()?;
    keys.iter().find(|found| found.key == key)?.value.as_deref()
}

/// The configuration of the table in a checkpoint of whatever program.
pub(crate) fn configuration_of(bytes: Vec<u8>) -> Option<BTreeMap<String, String>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).ok()?;
    for batch in builder.build().ok()? {
        let batch = batch.ok()?;
        let metadata = batch.column_by_name("metaData")?.as_struct_opt()?;
        if let Some(row) = (0..batch.num_rows()).find(|row| metadata.is_valid(*row)) {
            return map(metadata, "configuration", row);
        }
    }
    None
}

// ---- writing

fn text_field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Utf8, true))
}

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

fn map_type() -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
}

fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

fn protocol_fields() -> Fields {
    Fields::from(vec![
        field("minReaderVersion", DataType::Int32),
        field("minWriterVersion", DataType::Int32),
    ])
}

fn format_fields() -> Fields {
    Fields::from(vec![text_field("provider"), field("options", map_type())])
}

fn metadata_fields() -> Fields {
    Fields::from(vec![
        text_field("id"),
        text_field("name"),
        text_field("description"),
        field("format", DataType::Struct(format_fields())),
        text_field("schemaString"),
        field("partitionColumns", list_type()),
        field("createdTime", DataType::Int64),
        field("configuration", map_type()),
    ])
}

fn txn_fields() -> Fields {
    Fields::from(vec![
        text_field("appId"),
        field("version", DataType::Int64),
        field("lastUpdated", DataType::Int64),
    ])
}

fn add_fields() -> Fields {
    Fields::from(vec![
        text_field("path"),
        field("partitionValues", map_type()),
        field("size", DataType::Int64),
        field("modificationTime", DataType::Int64),
        field("dataChange", DataType::Boolean),
        text_field("stats"),
        field("tags", map_type()),
    ])
}

fn remove_fields() -> Fields {
    Fields::from(vec![
        text_field("path"),
        field("deletionTimestamp", DataType::Int64),
        field("dataChange", DataType::Boolean),
        field("extendedFileMetadata", DataType::Boolean),
        field("partitionValues", map_type()),
        field("size", DataType::Int64),
        field("tags", map_type()),
    ])
}

fn schema() -> SchemaRef {
    let part = |name, fields| Field::new(name, DataType::Struct(fields), true);
    Arc::new(Schema::new(vec![
        part("protocol", protocol_fields()),
        part("metaData", metadata_fields()),
        part("txn", txn_fields()),
        part("add", add_fields()),
        part("remove", remove_fields()),
    ]))
}

/// A batch with values in one column and nulls in all others.
fn batch(name: &str, fields: Fields, columns: Vec<ArrayRef>) -> RecordBatch {
    let part = StructArray::new(fields, columns, None);
    let rows = part.len();
    let part: ArrayRef = Arc::new(part);
    let schema = schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let is_this = field.name() == name;
            if is_this { Arc::clone(&part) } else { new_null_array(field.data_type(), rows) }
        })
        .collect();
    RecordBatch::try_new(schema, columns).expect("the columns are those of the schema, in order")
}

fn batches(state: &LogState) -> impl Iterator<Item = RecordBatch> {
    let transactions: Vec<_> = state.transactions.iter().collect();
    let files: Vec<_> = state.files.iter().collect();
    let removed: Vec<_> = state.removed.iter().collect();
    let batches: Vec<RecordBatch> = [protocol_batch(state), metadata_batch(&state.metadata)]
        .into_iter()
        .chain(transactions.chunks(BATCH_ROWS).map(txn_batch))
        .chain(files.chunks(BATCH_ROWS).map(add_batch))
        .chain(removed.chunks(BATCH_ROWS).map(remove_batch))
        .collect();
    batches.into_iter()
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn longs(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn bools(value: bool, rows: usize) -> ArrayRef {
    Arc::new(BooleanArray::from(vec![value; rows]))
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn maps<'a>(values: impl IntoIterator<Item = &'a BTreeMap<String, String>>) -> ArrayRef {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for map in values {
        for (key, value) in map {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).expect("as many keys as values");
    }
    Arc::new(builder.finish())
}

fn protocol_batch(state: &LogState) -> RecordBatch {
    let int = |number: i64| {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        Arc::new(Int32Array::from(vec![number])) as ArrayRef
    };
    let (reader, writer) = state.protocol;
    batch("protocol", protocol_fields(), vec![int(reader), int(writer)])
}

fn metadata_batch(metadata: &Metadata) -> RecordBatch {
    let none = BTreeMap::new();
    let format = StructArray::new(format_fields(), vec![texts(["parquet"]), maps([&none])], None);
    let element = Field::new("element", DataType::Utf8, true);
    let mut no_partitions = ListBuilder::new(StringBuilder::new()).with_field(element);
    no_partitions.append(true);
    let columns = vec![
        texts([metadata.id.as_str()]),
        texts([Metadata::NAME]),
        texts([metadata.description.as_str()]),
        Arc::new(format),
        texts([metadata.schema.as_str()]),
        Arc::new(no_partitions.finish()),
        longs([metadata.created_ms]),
        maps([&metadata.configuration]),
    ];
    batch("metaData", metadata_fields(), columns)
}

fn txn_batch(rows: &[(&String, &i64)]) -> RecordBatch {
    let columns = vec![
        texts(rows.iter().map(|(name, _)| name.as_str())),
        longs(rows.iter().map(|(_, version)| **version)),
        new_null_array(&DataType::Int64, rows.len()),
    ];
    batch("txn", txn_fields(), columns)
}

fn add_batch(rows: &[(&String, &Arc<FileFacts>)]) -> RecordBatch {
    let none = BTreeMap::new();
    let paths: Vec<String> = rows.iter().map(|(name, _)| path_in_log(name)).collect();
    let stats: Vec<String> = rows.iter().map(|(_, facts)| facts.stats()).collect();
    let tags: Vec<_> = rows.iter().map(|(_, facts)| facts.tags()).collect();
    let columns = vec![
        texts(paths.iter().map(String::as_str)),
        maps(rows.iter().map(|_| &none)),
        longs(rows.iter().map(|(_, facts)| stored(facts.bytes))),
        longs(rows.iter().map(|(_, facts)| facts.modified_ms)),
        bools(false, rows.len()),
        texts(stats.iter().map(String::as_str)),
        maps(&tags),
    ];
    batch("add", add_fields(), columns)
}

fn remove_batch(rows: &[(&String, &Removed)]) -> RecordBatch {
    let none = BTreeMap::new();
    let paths: Vec<String> = rows.iter().map(|(name, _)| path_in_log(name)).collect();
    let tags: Vec<_> = rows.iter().map(|(_, removed)| removed.tail.tags()).collect();
    let columns = vec![
        texts(paths.iter().map(String::as_str)),
        longs(rows.iter().map(|(_, removed)| removed.when_ms)),
        bools(false, rows.len()),
        bools(true, rows.len()),
        maps(rows.iter().map(|_| &none)),
        longs(rows.iter().map(|(_, removed)| stored(removed.bytes))),
        maps(&tags),
    ];
    batch("remove", remove_fields(), columns)
}

// ---- reading

/// `None` when a column that this program writes is missing.
fn apply(state: &mut LogState, batch: &RecordBatch) -> Option<()> {
    let part = |name: &str| batch.column_by_name(name)?.as_struct_opt();
    let (add, remove, txn) = (part("add")?, part("remove")?, part("txn")?);
    let (metadata, protocol) = (part("metaData")?, part("protocol")?);
    for row in 0..batch.num_rows() {
        let action = if add.is_valid(row) {
            let (bytes, modified) = (long(add, "size", row)?, long(add, "modificationTime", row)?);
            let tags = map(add, "tags", row)?;
            let bytes = u64::try_from(bytes).ok()?;
            let facts = FileFacts::parse(bytes, modified, text(add, "stats", row)?, &tags)?;
            let name = name_in_log(text(add, "path", row)?)?.to_owned();
            Action::Add { name, facts: Arc::new(facts), data_change: false }
        } else if remove.is_valid(row) {
            let when_ms = long(remove, "deletionTimestamp", row)?;
            let bytes = u64::try_from(long(remove, "size", row)?).ok()?;
            let tail = Tail::parse(&map(remove, "tags", row)?)?;
            let name = name_in_log(text(remove, "path", row)?)?.to_owned();
            Action::Remove { name, removed: Removed { when_ms, bytes, tail } }
        } else if txn.is_valid(row) {
            let name = text(txn, "appId", row)?.to_owned();
            Action::Transaction { name, version: long(txn, "version", row)? }
        } else if metadata.is_valid(row) {
            Action::Metadata(Metadata {
                id: text(metadata, "id", row)?.to_owned(),
                created_ms: long(metadata, "createdTime", row)?,
                description: text(metadata, "description", row).unwrap_or_default().to_owned(),
                schema: text(metadata, "schemaString", row)?.to_owned(),
                configuration: map(metadata, "configuration", row)?,
            })
        } else {
            let version = |name| int(protocol, name, row);
            Action::Protocol {
                reader: version("minReaderVersion")?,
                writer: version("minWriterVersion")?,
            }
        };
        state.apply(action);
    }
    Some(())
}

fn text<'a>(part: &'a StructArray, name: &str, row: usize) -> Option<&'a str> {
    let column = part.column_by_name(name)?.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn long(part: &StructArray, name: &str, row: usize) -> Option<i64> {
    let column = part.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn int(part: &StructArray, name: &str, row: usize) -> Option<i64> {
    let column = part.column_by_name(name)?.as_primitive_opt::<Int32Type>()?;
    column.is_valid(row).then(|| i64::from(column.value(row)))
}

fn map(part: &StructArray, name: &str, row: usize) -> Option<BTreeMap<String, String>> {
    let entries = part.column_by_name(name)?.as_map_opt()?.value(row);
    let keys = entries.column(0).as_string_opt::<i32>()?;
    let values = entries.column(1).as_string_opt::<i32>()?;
    let texts = keys.iter().zip(values.iter());
    Some(texts.filter_map(|(key, value)| Some((key?.to_owned(), value?.to_owned()))).collect())
}
