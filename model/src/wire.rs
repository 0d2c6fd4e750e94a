//! Messages on `gw/{gateway}/up`: what a gateway sends to ingest.
//!
//! ```text
//! "NLU" | version u8 | kind u8 | lane u8 | log_id [16] | payload
//! ```
//!
//! A message that is too long for the transport goes as parts, each a message of its own with the kind 4 ([`Part`]).
//!
//! An uplink session opens with one `Open`, then the dictionaries in use, then frames in sequence order, one each.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::dictionary::DictionaryHash;
use crate::id::{DestinationId, Epoch, LogId, Sequence, StoreId};
use crate::record::Loss;

/// First bytes of a message.
pub const MAGIC: [u8; 3] = *b"NLU";
/// The layout above.
pub const WIRE_VERSION: u8 = 2;
/// Bytes before the payload.
pub const PREFIX_BYTES: usize = 22;
/// Most bytes of a whole message.
pub const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// In what order frames of a log are sent.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// All of them, in the order of their sequences.
    #[default]
    Backlog = 0,
    /// The newest ones, ahead of a backlog.
    Live = 1,
}

/// How an uplink session opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The store that the gateway saw last at this destination, if it saw any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreId>,
    /// The epoch of that store.
    #[serde(default)]
    pub epoch: Epoch,
    /// How the gateway calls this destination.
    pub destination: DestinationId,
    /// Oldest sequence that the spool still holds, or the next one to come when it holds none.
    pub oldest: Sequence,
    /// The sequence that the next new frame will have.
    pub next: Sequence,
    /// What was lost between the watermark and `next`: below `oldest`, and damaged ranges above it.
    pub losses: Vec<Loss>,
    /// The dictionaries that describe the devices of the gateway today; those of frames from before may be others. A device
    /// that none of them describes was renamed, moved or removed. `None`: the gateway is older and does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dictionaries: Option<Vec<DictionaryHash>>,
}

/// Bytes of a part before its piece of the message.
const PART_HEADER_BYTES: usize = 8;
/// The shortest message that a transport must be able to carry: then no message has too many parts.
pub const PART_MESSAGE_BYTES_MIN: usize = 256;

/// A piece of a message that is too long for the transport. All pieces in their order are the whole message.
///
/// ```text
/// number u32 | index u16 | count u16 | piece
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which message of the connection this is of.
    pub number: u32,
    /// Which piece, from 0.
    pub index: u16,
    /// How many pieces there are.
    pub count: u16,
    /// The piece.
    pub piece: &'a [u8],
}

impl<'a> Part<'a> {
    /// Cuts a whole message so that each part, as a message, has at most `bytes_max` bytes, which are at least
    /// [`PART_MESSAGE_BYTES_MIN`].
    pub fn split(
        message: &'a [u8],
        number: u32,
        bytes_max: usize,
    ) -> impl Iterator<Item = Self> + use<'a> {
        let piece = bytes_max.max(PART_MESSAGE_BYTES_MIN) - PREFIX_BYTES - PART_HEADER_BYTES;
        let count = u16::try_from(message.len().div_ceil(piece)).unwrap_or(u16::MAX);
        let pieces = (0..count).zip(message.chunks(piece));
        pieces.map(move |(index, piece)| Self { number, index, count, piece })
    }

    fn decode(payload: &'a [u8]) -> Option<Self> {
        let (number, rest) = payload.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let (count, piece) = rest.split_first_chunk()?;
        let (index, count) = (u16::from_le_bytes(*index), u16::from_le_bytes(*count));
        let part = Self { number: u32::from_le_bytes(*number), index, count, piece };
        (index < count && !piece.is_empty()).then_some(part)
    }
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
    /// A piece of one of these.
    Part(Part<'a>),
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
    /// An older or newer program sent it.
    #[error(
        "wire version {found} is unknown: expected {WIRE_VERSION}; update {}",
        if *found < WIRE_VERSION { "the gateway" } else { "this program" }
    )]
    Version {
        /// The version found.
        found: u8,
    },
    /// A newer program sent it, or none of ours.
    #[error("lane {found} is unknown: a newer gateway sent it, or something that is no gateway")]
    Lane {
        /// The lane found.
        found: u8,
    },
    /// A newer program sent it, or none of ours.
    #[error(
        "message kind {found} is unknown: a newer gateway sent it, or something that is no gateway"
    )]
    Kind {
        /// The kind found.
        found: u8,
    },
    /// A part that is none.
    #[error("part of a message contradicts itself")]
    Part,
    /// The opening is not JSON of the expected form.
    #[error("opening of the session is not the JSON that was expected")]
    Json(#[source] serde_json::Error),
}

impl UpMessage<'_> {
    /// The message as bytes.
    #[must_use]
    pub fn encode(&self, log_id: LogId, lane: Lane) -> Vec<u8> {
        let (json, part);
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Open(open) => {
                json = serde_json::to_vec(open)
                    .expect("plain structs with text keys serialize to JSON");
                (1, &json)
            }
            Self::Dictionary(body) => (2, body),
            Self::Frame(frame) => (3, frame),
            Self::Part(Part { number, index, count, piece }) => {
                let header: [&[u8]; 4] =
                    [&number.to_le_bytes(), &index.to_le_bytes(), &count.to_le_bytes(), piece];
                part = header.concat();
                (4, &part)
            }
        };
        let mut out = Vec::with_capacity(PREFIX_BYTES + payload.len());
        out.extend_from_slice(&MAGIC);
        out.push(WIRE_VERSION);
        out.push(kind);
        out.push(lane as u8);
        out.extend_from_slice(&log_id.0);
        out.extend_from_slice(payload);
        out
    }
}

/// Reads a message.
pub fn decode(bytes: &[u8]) -> Result<(LogId, Lane, UpMessage<'_>), WireError> {
    let found = bytes.len();
    if found > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong { found });
    }
    let (prefix, payload) =
        bytes.split_first_chunk::<PREFIX_BYTES>().ok_or(WireError::Truncated { found })?;
    let [m0, m1, m2, version, kind, lane, log_id @ ..] = *prefix;
    if [m0, m1, m2] != MAGIC {
        return Err(WireError::Magic);
    }
    if version != WIRE_VERSION {
        return Err(WireError::Version { found: version });
    }
    let lane = match lane {
        0 => Lane::Backlog,
        1 => Lane::Live,
        found => return Err(WireError::Lane { found }),
    };
    let message = match kind {
        1 => UpMessage::Open(serde_json::from_slice(payload).map_err(WireError::Json)?),
        2 => UpMessage::Dictionary(payload),
        3 => UpMessage::Frame(payload),
        4 => UpMessage::Part(Part::decode(payload).ok_or(WireError::Part)?),
        found => return Err(WireError::Kind { found }),
    };
    Ok((LogId(log_id), lane, message))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::record::LossReason;

    const LOG: LogId = LogId([0xC3; 16]);

    fn check(message: &UpMessage<'_>) {
        for lane in [Lane::Backlog, Lane::Live] {
            let bytes = message.encode(LOG, lane);
            assert_eq!(decode(&bytes).unwrap(), (LOG, lane, message.clone()));
        }
    }

    #[test]
    fn what_is_written_is_read() {
        check(&UpMessage::Frame(b"a frame"));
        check(&UpMessage::Frame(b""));
        check(&UpMessage::Dictionary(b"a dictionary"));
        let (oldest, next) = (Sequence(3), Sequence(u64::MAX));
        let destination = DestinationId::default();
        let (losses, dictionaries) = (vec![], None);
        let open =
            Open { store: None, epoch: Epoch(0), destination, oldest, next, losses, dictionaries };
        check(&UpMessage::Open(open.clone()));
        let loss = Loss {
            first: Sequence(1),
            last: Sequence(2),
            samples: Some(40_000),
            ts_min: None,
            ts_max: Some(crate::Timestamp(5)),
            reason: LossReason::DropOldest,
            destinations: vec![],
        };
        let (store, epoch) = (Some(StoreId::new("t-1").unwrap()), Epoch(2));
        let destination = DestinationId::new("group").unwrap();
        let open = Open { store, epoch, destination, losses: vec![loss], ..open };
        check(&UpMessage::Open(open.clone()));
        let json = concat!(
            r#"{"store":"t-1","epoch":2,"destination":"group","oldest":3,"#,
            r#""next":18446744073709551615,"losses":[{"v":2,"first":1,"last":2,"#,
            r#""samples":40000,"ts_max":5,"reason":"drop_oldest"}]}"#
        );
        let bytes = UpMessage::Open(open.clone()).encode(LOG, Lane::Backlog);
        assert_eq!(std::str::from_utf8(&bytes[PREFIX_BYTES..]).unwrap(), json);
        let open = Open { dictionaries: Some(vec![DictionaryHash([0xAB; 32])]), ..open };
        check(&UpMessage::Open(open.clone()));
        let bytes = UpMessage::Open(open).encode(LOG, Lane::Backlog);
        let end = format!(r#""dictionaries":["{}"]}}"#, "ab".repeat(32));
        assert!(std::str::from_utf8(&bytes[PREFIX_BYTES..]).unwrap().ends_with(&end));
    }

    #[test]
    fn a_message_in_parts_is_whole_again() {
        let message = UpMessage::Frame(&[7; 10_000]).encode(LOG, Lane::Backlog);
        for bytes_max in [PART_MESSAGE_BYTES_MIN, 1_000, 9_999, 20_000] {
            let mut whole = Vec::new();
            for (at, part) in Part::split(&message, 5, bytes_max).enumerate() {
                let bytes = UpMessage::Part(part).encode(LOG, Lane::Backlog);
                assert!(bytes.len() <= bytes_max, "{}", bytes.len());
                let (_, _, UpMessage::Part(part)) = decode(&bytes).unwrap() else { panic!("{at}") };
                assert_eq!((part.number, usize::from(part.index)), (5, at));
                whole.extend_from_slice(part.piece);
            }
            assert_eq!(whole, message);
        }
        // The longest message fits the shortest transport.
        let longest = vec![0; MESSAGE_BYTES_MAX];
        let parts: Vec<_> = Part::split(&longest, 0, 0).collect();
        assert_eq!(parts.iter().map(|part| part.piece.len()).sum::<usize>(), MESSAGE_BYTES_MAX);
        let part = |index, count, piece| {
            decode(
                &UpMessage::Part(Part { number: 1, index, count, piece })
                    .encode(LOG, Lane::Backlog),
            )
            .map(drop)
        };
        assert!(part(0, 1, b"x").is_ok());
        for (index, count, piece) in [(1, 1, &b"x"[..]), (0, 0, b"x"), (0, 1, b"")] {
            assert!(matches!(part(index, count, piece), Err(WireError::Part)));
        }
    }

    /// The layout is a promise to every gateway in the field.
    #[test]
    fn the_prefix_stays() {
        let bytes = UpMessage::Frame(b"xyz").encode(LOG, Lane::Live);
        assert_eq!(bytes, [&b"NLU\x02\x03\x01"[..], &[0xC3; 16], b"xyz"].concat());
        assert_eq!(bytes.len(), PREFIX_BYTES + 3);
    }

    #[test]
    fn refuses_what_is_no_message() {
        let good = UpMessage::Frame(b"xyz").encode(LOG, Lane::Backlog);
        let check = |at: usize, byte: u8, expected: &str| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let error = decode(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(0, b'X', "begin with `NLU`");
        check(3, 9, "wire version 9 is unknown: expected 2; update this program");
        check(3, 1, "wire version 1 is unknown: expected 2; update the gateway");
        check(5, 2, "lane 2 is unknown");
        check(4, 9, "message kind 9 is unknown");
        check(4, 1, "not the JSON");
        for length in 0..PREFIX_BYTES {
            let error = decode(&good[..length]).unwrap_err();
            assert!(matches!(error, WireError::Truncated { found } if found == length));
        }
    }

    #[test]
    fn a_message_has_a_limit() {
        let payload = vec![0; MESSAGE_BYTES_MAX - PREFIX_BYTES + 1];
        assert!(decode(&UpMessage::Frame(&payload[1..]).encode(LOG, Lane::Live)).is_ok());
        let error = decode(&UpMessage::Frame(&payload).encode(LOG, Lane::Live)).unwrap_err();
        assert!(matches!(error, WireError::TooLong { found } if found == MESSAGE_BYTES_MAX + 1));
        // The largest frame there can be is far below it.
        let largest = PREFIX_BYTES + crate::frame::frame_bytes(crate::frame::BODY_BYTES_MAX);
        assert!(largest < MESSAGE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in vec(any::<u8>(), 0..100), kind in 0..6_u8) {
            drop(decode(&bytes));
            for (byte, prefix) in bytes.iter_mut().zip([b'N', b'L', b'U', WIRE_VERSION, kind]) {
                *byte = prefix;
            }
            drop(decode(&bytes));
        }
    }
}
