//! The frame: one record of the spool, byte for byte the same on disk and on the wire.
//!
//! All integers are little-endian.
//!
//! ```text
//! magic u16 | version u8 | type u8 | body_len u32 | sequence u64 | samples u32 | ts_min i64 | ts_max i64 | salt u32 |
//! header_crc32c u32                                                     44 bytes, the CRC is over the 40 before it
//! prev_hash [32] | body [body_len] | body_crc32c u32 (over prev_hash and body) | zeros up to a multiple of 8
//! ```
//!
//! `prev_hash` is the SHA-256 of the whole frame before it in the same log (all its bytes, padding included), of the
//! `log_id` for the first one: the log is tamper-evident. The version names the hash. The salt belongs to the segment
//! and makes an old frame in a recycled segment unreadable. The header has a CRC of its own, so that a torn length
//! never misleads recovery. This module must never know what a body means.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::id::{IdError, LogId, Sequence, from_hex};
use crate::time::Timestamp;

/// First two bytes of a frame.
pub const MAGIC: u16 = 0x464E;
/// The layout above, with SHA-256.
pub const FRAME_VERSION: u8 = 1;
/// Bytes of a header, its CRC included.
pub const HEADER_BYTES: usize = 44;
/// Bytes around a body, padding not counted.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + 32 + 4;
/// Frames start at multiples of this.
pub const ALIGNMENT: usize = 8;
/// Most bytes in a body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// SHA-256 of a whole frame, padding included; in JSON 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameHash(pub [u8; 32]);

impl fmt::Display for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameHash({self})")
    }
}

impl From<FrameHash> for String {
    fn from(hash: FrameHash) -> String {
        hash.to_string()
    }
}

impl TryFrom<String> for FrameHash {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let hash = from_hex(&text).map(Self);
        hash.ok_or(IdError { text, chars_max: 64, alphabet: "0-9 a-f (64 of them)" })
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordType {
    /// A batch of samples ([`crate::codec`]).
    Data = 1,
    /// A point dictionary ([`crate::Dictionary::to_record`]).
    Dictionary = 2,
    /// History marks ([`crate::HistoryMarks`]).
    History = 3,
    /// What was given up, and why ([`crate::Loss`]).
    Loss = 4,
    /// A start of the gateway ([`crate::Boot`]).
    Boot = 5,
    /// A step of the gateway's wall clock ([`crate::Clock`]).
    Clock = 6,
    /// Who changed what: a JSON object that is passed through and kept.
    Audit = 7,
    /// A checkpoint of the log: a JSON object that is passed through and kept.
    Checkpoint = 8,
}

impl RecordType {
    fn from_code(code: u8) -> Option<Self> {
        let all = [
            Self::Data,
            Self::Dictionary,
            Self::History,
            Self::Loss,
            Self::Boot,
            Self::Clock,
            Self::Audit,
            Self::Checkpoint,
        ];
        all.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the body is.
    pub record_type: RecordType,
    /// Running number in the log.
    pub sequence: Sequence,
    /// Samples in the body; 0 for all but [`RecordType::Data`].
    pub samples: u32,
    /// Earliest source time in the body.
    pub ts_min: Timestamp,
    /// Latest source time in the body.
    pub ts_max: Timestamp,
    /// Salt of the segment.
    pub salt: u32,
    /// Bytes in the body.
    pub body_len: u32,
}

/// A frame whose checksums were found right; borrows the bytes it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header.
    pub header: FrameHeader,
    /// Hash of the frame before it.
    pub prev_hash: [u8; 32],
    /// The body.
    pub body: &'a [u8],
    /// The frame as it stands on disk and on the wire, padding included.
    pub bytes: &'a [u8],
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error("frame is cut: expected {expected} bytes, found {found}")]
    Truncated {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// The first bytes are not those of a frame.
    #[error("not a frame: expected magic 0x{MAGIC:04X}, found 0x{found:04X}")]
    Magic {
        /// What stood there.
        found: u16,
    },
    /// A newer program wrote it.
    #[error("frame version {found} is unknown: expected {FRAME_VERSION}; update this program")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The header is damaged.
    #[error("frame header is damaged: expected crc32c 0x{expected:08X}, found 0x{found:08X}")]
    HeaderCrc {
        /// What the header says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// The record type is none that we know.
    #[error("record type {found} is unknown; update this program")]
    RecordType {
        /// The type found.
        found: u8,
    },
    /// The body is longer than we accept.
    #[error("frame body too long: {found} bytes, at most {BODY_BYTES_MAX} are accepted")]
    BodyTooLong {
        /// Its length.
        found: usize,
    },
    /// The body is damaged.
    #[error("frame body is damaged: expected crc32c 0x{expected:08X}, found 0x{found:08X}")]
    BodyCrc {
        /// What the frame says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// The filling is damaged; the hash of the frame, which the next one names, would be another.
    #[error("frame padding is damaged: expected zeros after the body")]
    Padding,
}

/// The hash that the frame after `frame` (all its bytes) must name.
#[must_use]
pub fn hash_of_frame(frame: &[u8]) -> [u8; 32] {
    Sha256::digest(frame).into()
}

/// The hash that the first frame of a log must name.
#[must_use]
pub fn hash_of_log_start(log_id: LogId) -> [u8; 32] {
    Sha256::digest(log_id.0).into()
}

/// Bytes of the frame around a body of `body_len` bytes, padding included.
#[must_use]
pub const fn frame_bytes(body_len: usize) -> usize {
    (OVERHEAD_BYTES + body_len).next_multiple_of(ALIGNMENT)
}

/// Appends the frame of `header` and `body` to `out`. `header.body_len` is taken from the body.
///
/// # Errors
/// [`FrameError::BodyTooLong`]; nothing is appended then.
pub fn encode_frame(
    header: &FrameHeader,
    prev_hash: &[u8; 32],
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(FrameError::BodyTooLong { found: body.len() });
    }
    let body_len =
        u32::try_from(body.len()).map_err(|_| FrameError::BodyTooLong { found: body.len() })?;
    let start = out.len();
    out.reserve(frame_bytes(body.len()));
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.push(FRAME_VERSION);
    out.push(header.record_type as u8);
    out.extend_from_slice(&body_len.to_le_bytes());
    out.extend_from_slice(&header.sequence.0.to_le_bytes());
    out.extend_from_slice(&header.samples.to_le_bytes());
    out.extend_from_slice(&header.ts_min.0.to_le_bytes());
    out.extend_from_slice(&header.ts_max.0.to_le_bytes());
    out.extend_from_slice(&header.salt.to_le_bytes());
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(prev_hash);
    out.extend_from_slice(body);
    let crc = crc32c::crc32c_append(crc32c::crc32c(prev_hash), body);
    out.extend_from_slice(&crc.to_le_bytes());
    out.resize(start + frame_bytes(body.len()), 0);
    Ok(())
}

/// Reads the header at the start of `bytes`; the body need not be there.
pub fn decode_header(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
    let mut reader = Reader { rest: bytes, expected: HEADER_BYTES, found: bytes.len() };
    let found = u16::from_le_bytes(reader.take()?);
    if found != MAGIC {
        return Err(FrameError::Magic { found });
    }
    let [version, kind] = reader.take()?;
    let body_len = u32::from_le_bytes(reader.take()?);
    let sequence = Sequence(u64::from_le_bytes(reader.take()?));
    let samples = u32::from_le_bytes(reader.take()?);
    let ts_min = Timestamp(i64::from_le_bytes(reader.take()?));
    let ts_max = Timestamp(i64::from_le_bytes(reader.take()?));
    let salt = u32::from_le_bytes(reader.take()?);
    let expected = u32::from_le_bytes(reader.take()?);
    if version != FRAME_VERSION {
        return Err(FrameError::Version { found: version });
    }
    let found = crc32c::crc32c(bytes.get(..HEADER_BYTES - 4).unwrap_or_default());
    if found != expected {
        return Err(FrameError::HeaderCrc { expected, found });
    }
    let record_type = RecordType::from_code(kind).ok_or(FrameError::RecordType { found: kind })?;
    let found = usize::try_from(body_len).unwrap_or(usize::MAX);
    if found > BODY_BYTES_MAX {
        return Err(FrameError::BodyTooLong { found });
    }
    Ok(FrameHeader { record_type, sequence, samples, ts_min, ts_max, salt, body_len })
}

/// Reads the frame at the start of `bytes`; what follows it is left alone (`Frame::bytes` tells how much it took).
pub fn decode_frame(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let header = decode_header(bytes)?;
    let body_len = usize::try_from(header.body_len).unwrap_or(usize::MAX);
    let (expected, found) = (frame_bytes(body_len), bytes.len());
    let frame = bytes.get(..expected).ok_or(FrameError::Truncated { expected, found })?;
    let mut reader =
        Reader { rest: frame.get(HEADER_BYTES..).unwrap_or_default(), expected, found };
    let prev_hash: [u8; 32] = reader.take()?;
    let (body, rest) =
        reader.rest.split_at_checked(body_len).ok_or(FrameError::Truncated { expected, found })?;
    reader.rest = rest;
    let expected = u32::from_le_bytes(reader.take()?);
    let found = crc32c::crc32c_append(crc32c::crc32c(&prev_hash), body);
    if found != expected {
        return Err(FrameError::BodyCrc { expected, found });
    }
    if reader.rest.iter().any(|&byte| byte != 0) {
        return Err(FrameError::Padding);
    }
    Ok(Frame { header, prev_hash, body, bytes: frame })
}

/// Takes fixed-size pieces off the front; `expected` and `found` are those of the whole, for the error.
struct Reader<'a> {
    rest: &'a [u8],
    expected: usize,
    found: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(FrameError::Truncated { expected: self.expected, found: self.found })?;
        self.rest = rest;
        Ok(*head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn header(body: &[u8]) -> FrameHeader {
        FrameHeader {
            record_type: RecordType::Data,
            sequence: Sequence(7),
            samples: 3,
            ts_min: Timestamp(-1),
            ts_max: Timestamp::MAX,
            salt: 0xDEAD_BEEF,
            body_len: u32::try_from(body.len()).unwrap(),
        }
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_frame(&header(body), &[9; 32], body, &mut out).unwrap();
        out
    }

    #[test]
    fn a_frame_is_as_long_as_announced_and_aligned() {
        for body_len in 0..40 {
            let bytes = frame(&vec![1; body_len]);
            assert_eq!(bytes.len(), frame_bytes(body_len));
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert!(bytes.len() - body_len - OVERHEAD_BYTES < ALIGNMENT);
        }
    }

    /// The layout is a promise to every spool on every disk.
    #[test]
    fn the_layout_stays() {
        let bytes = frame(&[0xAB; 5]);
        let expected = [
            &[0x4E, 0x46, 1, 1, 5, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0][..],
            &[0xFF; 8],
            &Timestamp::MAX.0.to_le_bytes(),
            &[0xEF, 0xBE, 0xAD, 0xDE],
            &crc32c::crc32c(&bytes[..40]).to_le_bytes(),
            &[9; 32],
            &[0xAB; 5],
            &crc32c::crc32c(&bytes[44..81]).to_le_bytes(),
            &[0; 3],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        for body_len in [0, 1, 7, 8, 100] {
            let good = frame(&vec![0x5A; body_len]);
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(decode_frame(&bad).is_err(), "bit {bit} of a body of {body_len}");
            }
        }
    }

    #[test]
    fn every_cut_is_found() {
        let good = frame(b"a body of some length");
        for length in 0..good.len() {
            let error = decode_frame(&good[..length]).unwrap_err();
            assert!(matches!(error, FrameError::Truncated { found, .. } if found == length));
        }
        assert!(decode_header(&good[..HEADER_BYTES]).is_ok());
        assert!(decode_header(&good[..HEADER_BYTES - 1]).is_err());
    }

    #[test]
    fn what_follows_a_frame_is_left_alone() {
        let first = frame(b"first");
        let both = [first.clone(), frame(b"second")].concat();
        let found = decode_frame(&both).unwrap();
        assert_eq!((found.body, found.bytes), (&b"first"[..], first.as_slice()));
        assert_eq!(decode_frame(&both[found.bytes.len()..]).unwrap().body, b"second");
    }

    #[test]
    fn the_body_has_a_limit() {
        let full = vec![0; BODY_BYTES_MAX];
        assert_eq!(decode_frame(&frame(&full)).unwrap().body.len(), BODY_BYTES_MAX);
        let over = vec![0; BODY_BYTES_MAX + 1];
        let mut out = b"before".to_vec();
        let error = encode_frame(&header(&[]), &[0; 32], &over, &mut out).unwrap_err();
        assert_eq!(error, FrameError::BodyTooLong { found: BODY_BYTES_MAX + 1 });
        assert_eq!(out, b"before", "nothing is appended");

        // A header that announces too much is refused before anything is allocated.
        let mut bytes = frame(&[]);
        bytes[4..8].copy_from_slice(&u32::try_from(BODY_BYTES_MAX + 1).unwrap().to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..40]).to_le_bytes();
        bytes[40..44].copy_from_slice(&crc);
        assert_eq!(decode_frame(&bytes).unwrap_err(), error);
    }

    #[test]
    fn a_newer_program_is_named_as_the_cause() {
        let mut bytes = frame(b"x");
        bytes[3] = 99;
        let crc = crc32c::crc32c(&bytes[..40]).to_le_bytes();
        bytes[40..44].copy_from_slice(&crc);
        assert_eq!(decode_frame(&bytes).unwrap_err(), FrameError::RecordType { found: 99 });
        bytes[2] = 2;
        assert_eq!(decode_frame(&bytes).unwrap_err(), FrameError::Version { found: 2 });
        bytes[0] = 0;
        assert_eq!(decode_frame(&bytes).unwrap_err(), FrameError::Magic { found: 0x4600 });
    }

    #[test]
    fn the_chain_names_every_byte_and_its_log() {
        let one = frame(b"one");
        let mut other = one.clone();
        *other.last_mut().unwrap() ^= 1;
        assert_ne!(hash_of_frame(&one), hash_of_frame(&other));
        assert_ne!(hash_of_log_start(LogId([0; 16])), hash_of_log_start(LogId([1; 16])));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            body in vec(any::<u8>(), 0..2_000),
            prev_hash in any::<[u8; 32]>(),
            kind in 1..=8_u8,
            (sequence, samples, salt) in any::<(u64, u32, u32)>(),
            (ts_min, ts_max) in any::<(i64, i64)>(),
            before in vec(any::<u8>(), 0..20),
        ) {
            let header = FrameHeader {
                record_type: RecordType::from_code(kind).unwrap(),
                sequence: Sequence(sequence),
                samples,
                ts_min: Timestamp(ts_min),
                ts_max: Timestamp(ts_max),
                salt,
                body_len: u32::try_from(body.len()).unwrap(),
            };
            let mut out = before.clone();
            encode_frame(&header, &prev_hash, &body, &mut out).unwrap();
            let bytes = &out[before.len()..];
            let expected = Frame { header, prev_hash, body: &body, bytes };
            prop_assert_eq!(decode_frame(bytes).unwrap(), expected);
            prop_assert_eq!(decode_header(bytes).unwrap(), header);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in vec(any::<u8>(), 0..300)) {
            drop(decode_frame(&bytes));
            for (byte, magic) in bytes.iter_mut().zip(MAGIC.to_le_bytes()) {
                *byte = magic;
            }
            prop_assert!(decode_frame(&bytes).is_err());
        }
    }
}
