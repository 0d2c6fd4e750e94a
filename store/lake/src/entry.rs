//! One entry of the table's log: its actions, its bytes, and the seal that proves both it and the entry before it.
//! Knows nothing of files and of what a transaction means.
//!
//! ```text
//! {"protocol":…}            actions, one a line, as the Delta protocol has them
//! {"add":…}
//! {"commitInfo":{…,"version":N,"table":id,"previous":SEAL OF N-1,"seal":SHA-256 OF ALL BYTES BEFORE THIS TEXT}}
//! ```
//!
//! The line of `commitInfo` is the last one and ends with the seal, so the seal covers every byte of the entry; and as it
//! covers `previous`, the newest seal stands for the whole history.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use model::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::LakeError;
use crate::facts::{FileFacts, Tail};
use crate::lock::place;

/// The Delta protocol of our tables.
pub(crate) const READER_VERSION: i64 = 1;
/// The Delta protocol of our tables.
pub(crate) const WRITER_VERSION: i64 = 2;

/// SHA-256 that an entry carries of itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Seal([u8; 32]);

impl Seal {
    pub(crate) const HEX_LEN: usize = 64;

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != Self::HEX_LEN || !digits.iter().all(is_digit) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the table says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The identity of the table.
    pub(crate) id: String,
    pub(crate) created_ms: i64,
    /// For people; empty in tables of programs that wrote none.
    pub(crate) description: String,
    pub(crate) schema: String,
    pub(crate) configuration: BTreeMap<String, String>,
}

impl Metadata {
    pub(crate) const NAME: &str = "nengliu_samples";
}

/// One change of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Protocol { reader: i64, writer: i64 },
    Metadata(Metadata),
    Add { name: String, facts: Arc<FileFacts>, data_change: bool },
    Remove { name: String, removed: Removed },
    Transaction { name: String, version: i64 },
}

/// A file that was merged into another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) when_ms: i64,
    pub(crate) bytes: u64,
    pub(crate) tail: Tail,
}

/// What an entry does, for the history that other programs show.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Create,
    Properties,
    Append,
    Merge,
}

impl Operation {
    /// Name and parameters as the reference implementation writes them.
    fn words(self) -> (&'static str, Value) {
        match self {
            Self::Create => ("CREATE TABLE", json!({})),
            Self::Properties => ("SET TBLPROPERTIES", json!({})),
            Self::Append => ("WRITE", json!({ "mode": "Append", "partitionBy": "[]" })),
            Self::Merge => ("OPTIMIZE", json!({ "predicate": "[]" })),
        }
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryInfo {
    pub(crate) table: String,
    pub(crate) version: u64,
    pub(crate) at_ms: i64,
    pub(crate) previous: Seal,
    pub(crate) seal: Seal,
}

/// An entry that proved itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) info: EntryInfo,
    pub(crate) actions: Vec<Action>,
}

const SEAL_BEFORE: &str = r#","seal":""#;
const SEAL_AFTER: &str = "\"}}\n";

/// The bytes of an entry and its seal.
pub(crate) fn encode(
    table: &str,
    version: u64,
    previous: Seal,
    at: Timestamp,
    operation: Operation,
    actions: &[Action],
) -> (Vec<u8>, Seal) {
    let mut text = String::new();
    for action in actions {
        text.push_str(&json_of(action).to_string());
        text.push('\n');
    }
    let (name, parameters) = operation.words();
    let info = json!({
        "timestamp": at.as_millis(),
        "operation": name,
        "operationParameters": parameters,
        "isolationLevel": "Serializable",
        "isBlindAppend": matches!(operation, Operation::Append),
        "engineInfo": concat!("nengliu/", env!("CARGO_PKG_VERSION")),
        "table": table,
        "version": version,
        "previous": previous.to_string(),
    });
    text.push_str("{\"commitInfo\":");
    let info = info.to_string();
    text.push_str(info.strip_suffix('}').unwrap_or(&info));
    text.push_str(SEAL_BEFORE);
    let seal = Seal::of(text.as_bytes());
    text.push_str(&seal.to_string());
    text.push_str(SEAL_AFTER);
    (text.into_bytes(), seal)
}

/// Reads an entry and checks its seal.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Entry, LakeError> {
    let wrong = |what: &str| LakeError::damaged(path, what);
    let (before, after) = bytes
        .len()
        .checked_sub(Seal::HEX_LEN + SEAL_AFTER.len())
        .map(|at| bytes.split_at(at))
        .ok_or_else(|| wrong("it is too short for an entry of the table's log"))?;
    let (seal, end) = after.split_at(Seal::HEX_LEN);
    if !before.ends_with(SEAL_BEFORE.as_bytes()) || end != SEAL_AFTER.as_bytes() {
        return Err(wrong("it does not end with a seal: it was cut, or another program wrote it"));
    }
    let seal = std::str::from_utf8(seal).ok().and_then(Seal::parse);
    let seal = seal.filter(|seal| *seal == Seal::of(before));
    let seal =
        seal.ok_or_else(|| wrong("its content does not have the checksum that it states"))?;
    let mut actions = Vec::new();
    let mut info = None;
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
        let value = value.map_err(|error| wrong(&error.to_string()))?;
        if let Some(found) = value.get("commitInfo") {
            info = info_of(found, seal);
        } else if let Some(action) = action_of(&value) {
            actions.push(action);
        } else {
            return Err(wrong("an action is not one that this program writes"));
        }
    }
    let info = info.ok_or_else(|| wrong("it does not state its place in the log"))?;
    Ok(Entry { info, actions })
}

fn info_of(info: &Value, seal: Seal) -> Option<EntryInfo> {
    Some(EntryInfo {
        table: info["table"].as_str()?.to_owned(),
        version: info["version"].as_u64()?,
        at_ms: info["timestamp"].as_i64()?,
        previous: Seal::parse(info["previous"].as_str()?)?,
        seal,
    })
}

/// Path of a data file as the log has it, relative to the table.
pub(crate) fn path_in_log(name: &str) -> String {
    format!("{}/{name}", place::DATA)
}

/// Name of a data file from its path in the log.
pub(crate) fn name_in_log(path: &str) -> Option<&str> {
    let name = path.strip_prefix(place::DATA)?.strip_prefix('/')?;
    (!name.contains(['/', '\\'])).then_some(name)
}

fn json_of(action: &Action) -> Value {
    match action {
        Action::Protocol { reader, writer } => {
            json!({ "protocol": { "minReaderVersion": reader, "minWriterVersion": writer } })
        }
        Action::Metadata(metadata) => json!({ "metaData": {
            "id": metadata.id,
            "name": Metadata::NAME,
            "description": metadata.description,
            "format": { "provider": "parquet", "options": {} },
            "schemaString": metadata.schema,
            "partitionColumns": [],
            "createdTime": metadata.created_ms,
            "configuration": metadata.configuration,
        } }),
        Action::Add { name, facts, data_change } => json!({ "add": {
            "path": path_in_log(name),
            "partitionValues": {},
            "size": facts.bytes,
            "modificationTime": facts.modified_ms,
            "dataChange": data_change,
            "stats": facts.stats(),
            "tags": facts.tags(),
        } }),
        Action::Remove { name, removed } => json!({ "remove": {
            "path": path_in_log(name),
            "deletionTimestamp": removed.when_ms,
            "dataChange": false,
            "extendedFileMetadata": true,
            "partitionValues": {},
            "size": removed.bytes,
            "tags": removed.tail.tags(),
        } }),
        Action::Transaction { name, version } => {
            json!({ "txn": { "appId": name, "version": version } })
        }
    }
}

/// `None` for what this program does not write.
fn action_of(value: &Value) -> Option<Action> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let map = |value: &Value| {
        let entries = value.as_object()?.iter();
        entries.map(|(key, value)| Some((key.clone(), text(value)?))).collect::<Option<_>>()
    };
    if let Some(add) = value.get("add") {
        let tags: BTreeMap<String, String> = map(&add["tags"])?;
        let facts = FileFacts::parse(
            add["size"].as_u64()?,
            add["modificationTime"].as_i64()?,
            add["stats"].as_str()?,
            &tags,
        )?;
        let name = name_in_log(add["path"].as_str()?)?.to_owned();
        let data_change = add["dataChange"].as_bool()?;
        return Some(Action::Add { name, facts: Arc::new(facts), data_change });
    }
    if let Some(remove) = value.get("remove") {
        let when_ms = remove["deletionTimestamp"].as_i64()?;
        let tail = Tail::parse(&map(&remove["tags"])?)?;
        let removed = Removed { when_ms, bytes: remove["size"].as_u64()?, tail };
        let name = name_in_log(remove["path"].as_str()?)?.to_owned();
        return Some(Action::Remove { name, removed });
    }
    if let Some(txn) = value.get("txn") {
        let version = txn["version"].as_i64()?;
        return Some(Action::Transaction { name: text(&txn["appId"])?, version });
    }
    if let Some(metadata) = value.get("metaData") {
        return Some(Action::Metadata(Metadata {
            id: text(&metadata["id"])?,
            created_ms: metadata["createdTime"].as_i64()?,
            description: text(&metadata["description"]).unwrap_or_default(),
            schema: text(&metadata["schemaString"])?,
            configuration: map(&metadata["configuration"])?,
        }));
    }
    let protocol = value.get("protocol")?;
    Some(Action::Protocol {
        reader: protocol["minReaderVersion"].as_i64()?,
        writer: protocol["minWriterVersion"].as_i64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> (Vec<u8>, Seal) {
        let actions = [
            Action::Protocol { reader: READER_VERSION, writer: WRITER_VERSION },
            Action::Transaction { name: "wm/gw/7/0".to_owned(), version: 42 },
            Action::Remove {
                name: "0-000000000001-1.parquet".to_owned(),
                removed: Removed { when_ms: 5, bytes: 9, tail: Tail { bytes: 4, crc: 7 } },
            },
        ];
        let at = Timestamp(1_767_225_600_000_000);
        encode("id", 7, Seal::of(b"before"), at, Operation::Merge, &actions)
    }

    #[test]
    fn what_is_written_is_read() {
        let (bytes, seal) = entry();
        let read = decode(Path::new("7.json"), &bytes).unwrap();
        assert_eq!((read.info.seal, read.info.version, read.info.table.as_str()), (seal, 7, "id"));
        assert_eq!(read.info.previous, Seal::of(b"before"));
        assert_eq!(read.actions.len(), 3);
        assert!(matches!(&read.actions[1], Action::Transaction { version: 42, .. }));
        // Any other reader takes it for lines of JSON.
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        let parsed: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed[3]["commitInfo"]["operation"], "OPTIMIZE");
        assert_eq!(parsed[3]["commitInfo"]["seal"], seal.to_string());
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_found() {
        let (bytes, _) = entry();
        let path = Path::new("7.json");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            decode(path, &changed).unwrap_err();
        }
        for len in 0..bytes.len() {
            decode(path, &bytes[..len]).unwrap_err();
        }
    }
}
