//! The commit ack: one number that frees a spool. Never to be confused with PUBACK, which promises nothing (INV-5).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{LogId, Sequence};

/// Version of the ack text that this program writes and reads.
pub const ACK_VERSION: u32 = 1;

/// How far the data of an ack survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DurabilityClass {
    /// In memory of the centre; never acknowledged.
    D0,
    /// In the page cache of the store; never acknowledged.
    D1,
    /// Fsynced on one machine.
    D2,
    /// Fsynced on a quorum, or in an object store.
    D3,
}

/// What ingest tells one gateway on `gw/{gateway}/ack`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// [`ACK_VERSION`].
    pub v: u32,
    /// Which log.
    pub log_id: LogId,
    /// Random name of this run of ingest. A gateway that sees another one than before sends again from the watermark.
    pub ingest: String,
    /// The watermark: everything up to it is durable in the store.
    pub durable_upto: Sequence,
    /// How durable.
    pub class: DurabilityClass,
    /// Where ingest saw a hole: the sequence that it needs next. The gateway sends again from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<Sequence>,
    /// Whether ingest needs an `Open` message and the dictionaries before it can go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// Milliseconds that ingest asks the gateway to wait before it sends more; 0 for none.
    #[serde(default)]
    pub slow_ms: u64,
}

/// Why a text is not a commit ack that this program may follow.
#[derive(Debug, Error)]
pub enum AckError {
    /// The text is no ack.
    #[error("commit ack is not the JSON that was expected")]
    Json(#[source] serde_json::Error),
    /// A newer ingest sent it.
    #[error("commit ack version {found} is unknown: expected {ACK_VERSION}; update this program")]
    Version {
        /// The version found.
        found: u32,
    },
}

impl Ack {
    /// Reads the text of `gw/{gateway}/ack`. One of another version frees nothing (INV-3).
    pub fn from_json(text: &[u8]) -> Result<Self, AckError> {
        /// Only the version, so that a newer text is named as such and not as bad JSON.
        #[derive(Deserialize)]
        #[serde(expecting = "a JSON object")]
        struct Versioned {
            v: u32,
        }
        let Versioned { v: found } = serde_json::from_slice(text).map_err(AckError::Json)?;
        if found != ACK_VERSION {
            return Err(AckError::Version { found });
        }
        serde_json::from_slice(text).map_err(AckError::Json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateways in the field read this text.
    #[test]
    fn the_text_stays() {
        let mut ack = Ack {
            v: ACK_VERSION,
            log_id: LogId([0; 16]),
            ingest: "a1".to_owned(),
            durable_upto: Sequence(7),
            class: DurabilityClass::D2,
            want: None,
            open: false,
            slow_ms: 0,
        };
        let check = |ack: &Ack, json: &str| {
            assert_eq!(serde_json::to_string(ack).unwrap(), json);
            assert_eq!(Ack::from_json(json.as_bytes()).unwrap(), *ack);
        };
        let start = concat!(
            r#"{"v":1,"log_id":"00000000000000000000000000000000","ingest":"a1","#,
            r#""durable_upto":7,"class":"D2""#
        );
        check(&ack, &format!(r#"{start},"slow_ms":0}}"#));
        (ack.want, ack.open, ack.slow_ms) = (Some(Sequence(8)), true, 250);
        check(&ack, &format!(r#"{start},"want":8,"open":true,"slow_ms":250}}"#));
        assert!(DurabilityClass::D1 < DurabilityClass::D2);
    }

    #[test]
    fn an_ack_of_another_version_is_named_as_such() {
        let check = |text: &str, expected: &str| {
            let error = Ack::from_json(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, expected, "{text}");
        };
        check(
            r#"{"v":2,"upto":7}"#,
            "commit ack version 2 is unknown: expected 1; update this program",
        );
        check(r#"{"v":1}"#, "commit ack is not the JSON that was expected");
        check("7", "commit ack is not the JSON that was expected");
    }
}
