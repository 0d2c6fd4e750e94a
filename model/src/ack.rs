//! The commit ack: one number that frees a spool. Never to be confused with PUBACK, which promises nothing (INV-5).

use serde::{Deserialize, Serialize};

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
            assert_eq!(serde_json::from_str::<Ack>(json).unwrap(), *ack);
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
}
