//! The bodies of the small records (BOOT, HISTORY, LOSS): JSON, so that they can be read without this program. Must
//! never know how records are kept.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{PointId, Sequence};
use crate::time::Timestamp;

/// Why the body of a record could not be read.
#[derive(Debug, Error)]
#[error("{record} record is not the JSON that was expected")]
pub struct RecordError {
    /// Which record.
    pub record: &'static str,
    #[source]
    source: serde_json::Error,
}

/// A body that is JSON text.
pub trait JsonRecord: Serialize + DeserializeOwned {
    /// Name for errors.
    const NAME: &'static str;

    /// The body's bytes.
    fn to_record(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain structs with text keys serialize to JSON")
    }

    /// Reads a body.
    fn from_record(body: &[u8]) -> Result<Self, RecordError> {
        serde_json::from_slice(body).map_err(|source| RecordError { record: Self::NAME, source })
    }
}

/// A start of the gateway; what was in memory before it and not yet on disk is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Random name of this run.
    pub boot_id: String,
    /// Version of the program.
    pub version: String,
    /// Wall clock at the start.
    pub at: Timestamp,
    /// Last sequence that was found durable.
    pub last_sequence: Sequence,
}

impl JsonRecord for Boot {
    const NAME: &'static str = "BOOT";
}

/// Per point with a memory in its device: the source time up to which everything that the device gave is durable here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryMarks {
    /// The marks, by point.
    pub marks: std::collections::BTreeMap<PointId, Timestamp>,
}

impl JsonRecord for HistoryMarks {
    const NAME: &'static str = "HISTORY";
}

/// Why records were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// The spool was full; whole segments were dropped, oldest first.
    DropOldest,
    /// The bytes on disk were damaged.
    Corrupt,
}

/// A range of sequences that will never arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// First sequence lost.
    pub first: Sequence,
    /// Last sequence lost.
    pub last: Sequence,
    /// Samples in it, where the headers could still be read.
    pub samples: u64,
    /// Earliest source time in it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts_min: Option<Timestamp>,
    /// Latest source time in it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts_max: Option<Timestamp>,
    /// Why.
    pub reason: LossReason,
}

impl JsonRecord for Loss {
    const NAME: &'static str = "LOSS";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<R: JsonRecord + PartialEq + std::fmt::Debug>(record: &R, json: &str) {
        assert_eq!(String::from_utf8(record.to_record()).unwrap(), json);
        assert_eq!(R::from_record(json.as_bytes()).unwrap(), *record);
        let error = R::from_record(b"{").unwrap_err().to_string();
        assert_eq!(error, format!("{} record is not the JSON that was expected", R::NAME));
    }

    /// These texts lie on disks in the field.
    #[test]
    fn the_texts_stay() {
        let boot = Boot {
            boot_id: "b7".to_owned(),
            version: "0.1.0".to_owned(),
            at: Timestamp(5),
            last_sequence: Sequence(9),
        };
        check(&boot, r#"{"boot_id":"b7","version":"0.1.0","at":5,"last_sequence":9}"#);
        let mut marks = HistoryMarks::default();
        check(&marks, r#"{"marks":{}}"#);
        marks.marks.insert(PointId::new("acme/m1/e").unwrap(), Timestamp(-1));
        check(&marks, r#"{"marks":{"acme/m1/e":-1}}"#);
        let mut loss = Loss {
            first: Sequence(1),
            last: Sequence(u64::MAX),
            samples: 3,
            ts_min: None,
            ts_max: None,
            reason: LossReason::Corrupt,
        };
        let text = r#"{"first":1,"last":18446744073709551615,"samples":3,"reason":"corrupt"}"#;
        check(&loss, text);
        (loss.ts_min, loss.ts_max) = (Some(Timestamp(4)), Some(Timestamp(6)));
        loss.reason = LossReason::DropOldest;
        let text = r#"{"first":1,"last":18446744073709551615,"samples":3,"ts_min":4,"ts_max":6,"reason":"drop_oldest"}"#;
        check(&loss, text);
    }
}
