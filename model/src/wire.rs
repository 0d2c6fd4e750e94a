//! Messages on `gw/{gateway}/up`: what a gateway sends to ingest. Must never know MQTT.
//!
//! ```text
//! "NLU" | version u8 | kind u8 | log_id [16] | payload
//! ```
//!
//! An uplink session opens with one `Open`, then the dictionaries in use, then frames in sequence order, one each.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{LogId, Sequence};
use crate::record::Loss;

/// First bytes of a message.
pub const MAGIC: [u8; 3] = *b"NLU";
/// The layout above.
pub const WIRE_VERSION: u8 = 1;
/// Bytes before the payload.
pub const PREFIX_BYTES: usize = 21;
/// Most bytes of a whole message.
pub const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How an uplink session opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Oldest sequence that the spool still holds, or the next one to come when it holds none.
    pub oldest: Sequence,
    /// The sequence that the next new frame will have.
    pub next: Sequence,
    /// What was lost between the watermark and `next`: below `oldest`, and damaged ranges above it.
    pub losses: Vec<Loss>,
}

/// A message from a gateway; borrows the bytes it was read from.
#[derive(Debug, Clone, PartialEq)]
pub enum UpMessage<'a> {
    /// The start of an uplink session.
    Open(Open),
    /// The body of a DICT record.
    Dictionary(&'a [u8]),
    /// One frame, byte for byte as on disk.
    Frame(&'a [u8]),
}

/// Why bytes are not a message of ours.
#[derive(Debug, Error)]
pub enum WireError {
    /// Shorter than the fixed part.
    #[error("message is cut: expected at least {PREFIX_BYTES} bytes, found {found}")]
    Truncated {
        /// Its length.
        found: usize,
    },
    /// Longer than we accept.
    #[error("message too long: {found} bytes, at most {MESSAGE_BYTES_MAX} are accepted")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// Something else published here.
    #[error("not a gateway's message: expected it to begin with `NLU`")]
    Magic,
    /// A newer program sent it.
    #[error("wire version {found} is unknown: expected {WIRE_VERSION}; update this program")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A newer program sent it.
    #[error("message kind {found} is unknown; update this program")]
    Kind {
        /// The kind found.
        found: u8,
    },
    /// The opening is not JSON of the expected form.
    #[error("opening of the session is not the JSON that was expected")]
    Json(#[source] serde_json::Error),
}

impl UpMessage<'_> {
    /// The message as bytes.
    #[must_use]
    pub fn encode(&self, log_id: LogId) -> Vec<u8> {
        let json;
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Open(open) => {
                json = serde_json::to_vec(open)
                    .expect("plain structs with text keys serialize to JSON");
                (1, &json)
            }
            Self::Dictionary(body) => (2, body),
            Self::Frame(frame) => (3, frame),
        };
        let mut out = Vec::with_capacity(PREFIX_BYTES + payload.len());
        out.extend_from_slice(&MAGIC);
        out.push(WIRE_VERSION);
        out.push(kind);
        out.extend_from_slice(&log_id.0);
        out.extend_from_slice(payload);
        out
    }
}

/// Reads a message.
pub fn decode(bytes: &[u8]) -> Result<(LogId, UpMessage<'_>), WireError> {
    let found = bytes.len();
    if found > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong { found });
    }
    let (prefix, payload) =
        bytes.split_first_chunk::<PREFIX_BYTES>().ok_or(WireError::Truncated { found })?;
    let [m0, m1, m2, version, kind, log_id @ ..] = *prefix;
    if [m0, m1, m2] != MAGIC {
        return Err(WireError::Magic);
    }
    if version != WIRE_VERSION {
        return Err(WireError::Version { found: version });
    }
    let message = match kind {
        1 => UpMessage::Open(serde_json::from_slice(payload).map_err(WireError::Json)?),
        2 => UpMessage::Dictionary(payload),
        3 => UpMessage::Frame(payload),
        found => return Err(WireError::Kind { found }),
    };
    Ok((LogId(log_id), message))
}
