//! The commit ack: one number that frees a spool. Never to be confused with PUBACK, which promises nothing (INV-5).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frame::FrameHash;
use crate::id::{Epoch, LogId, Sequence, SequenceRange, StoreId};
use crate::wire::Lane;

/// Version of the ack text that this program writes and reads.
pub const ACK_VERSION: u32 = 2;
/// Most ranges in `have`, and in `want`.
pub const ACK_RANGES_MAX: usize = 32;
/// Most bytes of an ack's text.
pub const ACK_BYTES_MAX: usize = 16 * 1024;

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
    /// Which store holds the data.
    pub store: StoreId,
    /// How often that store went back to an earlier state. A gateway that sees another store or epoch than before sends
    /// again from the watermark.
    pub epoch: Epoch,
    /// Random name of this run of ingest. A gateway that sees another one than before sends again from the watermark.
    pub ingest: String,
    /// The watermark: everything up to it is durable in the store.
    pub durable_upto: Sequence,
    /// SHA-256 of the frame at `durable_upto`; `None` at 0 and after a loss. Only who has the frame can know it, so a
    /// gateway frees nothing unless it is that of its own frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<FrameHash>,
    /// How durable.
    pub class: DurabilityClass,
    /// What lies above the watermark and is held or durable: at most [`ACK_RANGES_MAX`] ranges, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub have: Vec<SequenceRange>,
    /// What ingest needs, in particular where it saw a hole: at most [`ACK_RANGES_MAX`] ranges, ascending. The gateway
    /// sends again from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub want: Vec<SequenceRange>,
    /// What the ack is about.
    #[serde(default)]
    pub lane: Lane,
    /// Whether ingest needs an `Open` message and the dictionaries before it can go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// Milliseconds that ingest asks the gateway to wait before it sends more; 0 for none.
    #[serde(default)]
    pub slow_ms: u64,
    /// Why this log does not go on. Such an ack frees nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<AckFault>,
}

/// Code of a fault: two gateways send under one id. The log is not refused.
pub const TWO_GATEWAYS: &str = "two_gateways";

/// Why a log does not go on, or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckFault {
    /// For programs: `forked`, `quarantined`, `refused`, [`TWO_GATEWAYS`], ….
    pub code: String,
    /// For people.
    pub text: String,
}

/// Why a text is not a commit ack that this program may follow.
#[derive(Debug, Error)]
pub enum AckError {
    /// The text is no ack.
    #[error("commit ack is not the JSON that was expected")]
    Json(#[source] serde_json::Error),
    /// An older or newer ingest sent it.
    #[error(
        "commit ack version {found} is unknown: expected {ACK_VERSION}; update {}",
        if *found < ACK_VERSION { "the centre" } else { "this program" }
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// It is larger than we accept.
    #[error("commit ack too large: {found} {what}, at most {max} are accepted")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Its ranges overlap, or lie at or below the watermark.
    #[error("commit ack contradicts itself: `{what}` is not ascending above the watermark")]
    Ranges {
        /// Which list.
        what: &'static str,
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
        let (found, max) = (text.len(), ACK_BYTES_MAX);
        if found > max {
            return Err(AckError::TooLarge { what: "bytes", found, max });
        }
        let Versioned { v: found } = serde_json::from_slice(text).map_err(AckError::Json)?;
        if found != ACK_VERSION {
            return Err(AckError::Version { found });
        }
        let ack: Self = serde_json::from_slice(text).map_err(AckError::Json)?;
        for (what, ranges) in [("have", &ack.have), ("want", &ack.want)] {
            let (found, max) = (ranges.len(), ACK_RANGES_MAX);
            if found > max {
                let what = if what == "have" { "ranges in `have`" } else { "ranges in `want`" };
                return Err(AckError::TooLarge { what, found, max });
            }
            let mut below = ack.durable_upto;
            for range in ranges {
                if range.first <= below {
                    return Err(AckError::Ranges { what });
                }
                below = range.last;
            }
        }
        Ok(ack)
    }

    /// The lowest sequence that ingest asks for again.
    #[must_use]
    pub fn wanted(&self) -> Option<Sequence> {
        self.want.first().map(|range| range.first)
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
            store: StoreId::new("3F-a").unwrap(),
            epoch: Epoch(1),
            ingest: "a1".to_owned(),
            durable_upto: Sequence(7),
            hash: None,
            class: DurabilityClass::D2,
            have: vec![],
            want: vec![],
            lane: Lane::Backlog,
            open: false,
            slow_ms: 0,
            fault: None,
        };
        let check = |ack: &Ack, json: &str| {
            assert_eq!(serde_json::to_string(ack).unwrap(), json);
            assert_eq!(Ack::from_json(json.as_bytes()).unwrap(), *ack);
        };
        let start = concat!(
            r#"{"v":2,"log_id":"00000000000000000000000000000000","store":"3F-a","epoch":1,"#,
            r#""ingest":"a1","durable_upto":7"#
        );
        check(&ack, &format!(r#"{start},"class":"D2","lane":"backlog","slow_ms":0}}"#));
        let range = |first, last| SequenceRange::new(Sequence(first), Sequence(last)).unwrap();
        (ack.have, ack.want) = (vec![range(9, 12), range(14, 14)], vec![range(8, 8)]);
        (ack.open, ack.slow_ms, ack.hash) = (true, 250, Some(FrameHash([0xAB; 32])));
        let (code, text) = ("forked".to_owned(), "which is it".to_owned());
        (ack.lane, ack.fault) = (Lane::Live, Some(AckFault { code, text }));
        let hash = "ab".repeat(32);
        let rest = concat!(
            r#""class":"D2","have":[[9,12],[14,14]],"want":[[8,8]],"lane":"live","open":true,"#,
            r#""slow_ms":250,"fault":{"code":"forked","text":"which is it"}}"#
        );
        check(&ack, &format!(r#"{start},"hash":"{hash}",{rest}"#));
        assert_eq!(ack.wanted(), Some(Sequence(8)));
        assert!(DurabilityClass::D1 < DurabilityClass::D2);
    }

    fn refuses(text: &str, expected: &str) {
        let error = Ack::from_json(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, expected, "{text}");
    }

    #[test]
    fn an_ack_of_another_version_is_named_as_such() {
        refuses(
            r#"{"v":3,"upto":7}"#,
            "commit ack version 3 is unknown: expected 2; update this program",
        );
        refuses(
            r#"{"v":1,"upto":7}"#,
            "commit ack version 1 is unknown: expected 2; update the centre",
        );
        refuses(r#"{"v":2}"#, "commit ack is not the JSON that was expected");
        refuses("7", "commit ack is not the JSON that was expected");
    }

    #[test]
    fn the_lists_of_an_ack_are_bounded_and_in_order() {
        let text = |lists: &str| {
            format!(
                r#"{{"v":2,"log_id":"00000000000000000000000000000000","store":"s","epoch":0,"ingest":"a1","durable_upto":7,"class":"D2",{lists}}}"#
            )
        };
        let ranges = |count: u64| {
            let all: Vec<String> = (0..count).map(|i| format!("[{0},{0}]", 10 + 2 * i)).collect();
            format!("[{}]", all.join(","))
        };
        for what in ["have", "want"] {
            assert!(
                Ack::from_json(text(&format!(r#""{what}":{}"#, ranges(32))).as_bytes()).is_ok()
            );
            refuses(
                &text(&format!(r#""{what}":{}"#, ranges(33))),
                &format!("commit ack too large: 33 ranges in `{what}`, at most 32 are accepted"),
            );
            for wrong in ["[[7,8]]", "[[9,12],[12,13]]", "[[11,12],[9,9]]"] {
                refuses(
                    &text(&format!(r#""{what}":{wrong}"#)),
                    &format!(
                        "commit ack contradicts itself: `{what}` is not ascending above the watermark"
                    ),
                );
            }
            for wrong in ["[[9]]", "[[0,9]]", "[[9,8]]", "[9]"] {
                let not_json = "commit ack is not the JSON that was expected";
                refuses(&text(&format!(r#""{what}":{wrong}"#)), not_json);
            }
        }
        let long = text(&format!(r#""more":"{}""#, "a".repeat(ACK_BYTES_MAX)));
        assert!(Ack::from_json(long.as_bytes()).unwrap_err().to_string().contains("too large"));
    }
}
