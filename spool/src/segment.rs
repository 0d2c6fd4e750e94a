//! A segment file: its name, its header, and how it is made.
//!
//! ```text
//! magic [8] | version u32 | segment_bytes u32 | log_id [16] | first u64 | salt u32 | prev_hash [32] | crc32c u32
//! ```
//! The header stands twice, at 0 and at 512: one damaged sector must not cost the whole segment. `prev_hash` is the
//! hash of the frame before the first one, so that the chain goes on over a segment that is gone. Frames start at
//! [`SEGMENT_HEADER_BYTES`]. A program that changes the layout of frames must raise this version.

use model::host::Entropy;
use model::{LogId, Sequence};
use sha2::{Digest, Sha256};

use crate::disk::{Disk, DiskFile};
use crate::error::SpoolError;
use crate::to_usize;

/// Where the frames start.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 1024;
/// Version of the layout.
pub(crate) const SEGMENT_VERSION: u32 = 2;
/// Name of the file that will be the next segment.
pub(crate) const SPARE_NAME: &str = "spare";

const MAGIC: [u8; 8] = *b"NLSEGMNT";
const COPY_OFFSETS: [usize; 2] = [0, 512];
const CRC_OFFSET: usize = 76;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) segment_bytes: u64,
    pub(crate) log_id: LogId,
    pub(crate) first: Sequence,
    pub(crate) salt: u32,
    pub(crate) prev_hash: [u8; 32],
}

/// What became of a versioned block of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Versioned<T> {
    Valid(T),
    Unknown(u32),
    Damaged,
}

/// One segment of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first: Sequence,
    /// Size of the file.
    pub(crate) bytes: u64,
    /// `None` when the header is damaged; then no frame in it can be read.
    pub(crate) salt: Option<u32>,
    /// Sequence and offset of some frames, ascending; the first frame is always at [`SEGMENT_HEADER_BYTES`].
    pub(crate) index: Vec<(Sequence, u64)>,
}

/// Least bytes between two entries of the index.
const INDEX_STRIDE: u64 = 64 * 1024;

impl Segment {
    pub(crate) fn new(first: Sequence, bytes: u64, salt: Option<u32>) -> Self {
        Self { first, bytes, salt, index: Vec::new() }
    }

    pub(crate) fn name(&self) -> String {
        file_name(self.first)
    }

    /// Remembers where a frame starts, when it is far enough from the last that is remembered.
    pub(crate) fn remember(&mut self, sequence: Sequence, offset: u64) {
        let last = self.index.last().map_or(SEGMENT_HEADER_BYTES, |(_, offset)| *offset);
        if offset >= last + INDEX_STRIDE {
            self.index.push((sequence, offset));
        }
    }

    /// The last known frame at or below `sequence`.
    pub(crate) fn place_below(&self, sequence: Sequence) -> (Sequence, u64) {
        let above = self.index.partition_point(|(known, _)| *known <= sequence);
        let known = above.checked_sub(1).and_then(|index| self.index.get(index));
        known.copied().unwrap_or((self.first, SEGMENT_HEADER_BYTES))
    }
}

/// Fixed width, so that names sort as numbers do.
pub(crate) fn file_name(first: Sequence) -> String {
    format!("{:016x}.seg", first.0)
}

/// The first sequence, when `name` is that of a segment.
pub(crate) fn parse_name(name: &str) -> Option<Sequence> {
    let hex = name.strip_suffix(".seg")?;
    let fits = hex.len() == 16 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u64::from_str_radix(hex, 16).ok().map(Sequence)).flatten()
}

impl SegmentHeader {
    /// The first [`SEGMENT_HEADER_BYTES`] of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(CRC_OFFSET + 4);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        let segment_bytes = u32::try_from(self.segment_bytes).expect("at most SEGMENT_BYTES_MAX");
        copy.extend_from_slice(&segment_bytes.to_le_bytes());
        copy.extend_from_slice(&self.log_id.0);
        copy.extend_from_slice(&self.first.0.to_le_bytes());
        copy.extend_from_slice(&self.salt.to_le_bytes());
        copy.extend_from_slice(&self.prev_hash);
        copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
        let mut out = vec![0; to_usize(SEGMENT_HEADER_BYTES)];
        for offset in COPY_OFFSETS {
            out[offset..offset + copy.len()].copy_from_slice(&copy);
        }
        out
    }

    /// Reads the first copy that is whole.
    pub(crate) fn decode(bytes: &[u8]) -> Versioned<Self> {
        let copies = COPY_OFFSETS.map(|offset| bytes.get(offset..).unwrap_or_default());
        first_whole(copies.map(Self::decode_copy), copies, SEGMENT_VERSION, MAGIC)
    }

    fn decode_copy(bytes: &[u8]) -> Versioned<Self> {
        let mut fields = match open_block(bytes, CRC_OFFSET, MAGIC, SEGMENT_VERSION) {
            Versioned::Valid(fields) => fields,
            Versioned::Unknown(version) => return Versioned::Unknown(version),
            Versioned::Damaged => return Versioned::Damaged,
        };
        Versioned::Valid(Self {
            segment_bytes: u64::from(u32::from_le_bytes(take(&mut fields))),
            log_id: LogId(take(&mut fields)),
            first: Sequence(u64::from_le_bytes(take(&mut fields))),
            salt: u32::from_le_bytes(take(&mut fields)),
            prev_hash: take(&mut fields),
        })
    }
}

/// Checks magic, checksum (at `crc_offset`) and version of a block; gives the fields behind the version.
pub(crate) fn open_block(
    bytes: &[u8],
    crc_offset: usize,
    magic: [u8; 8],
    version: u32,
) -> Versioned<&[u8]> {
    let (Some(covered), Some(crc)) =
        (bytes.get(..crc_offset), bytes.get(crc_offset..crc_offset + 4))
    else {
        return Versioned::Damaged;
    };
    let mut fields = covered;
    let found_magic: [u8; 8] = take(&mut fields);
    let found = u32::from_le_bytes(take(&mut fields));
    if found_magic != magic || crc32c::crc32c(covered).to_le_bytes() != crc {
        Versioned::Damaged
    } else if found == version {
        Versioned::Valid(fields)
    } else {
        Versioned::Unknown(found)
    }
}

/// Chooses between two copies of a block. Another layout need not have our checksum, but a damaged bit cannot name
/// the same foreign version in both copies: then it is a newer program's, and must not be touched.
pub(crate) fn first_whole<T>(
    decoded: [Versioned<T>; 2],
    copies: [&[u8]; 2],
    version: u32,
    magic: [u8; 8],
) -> Versioned<T> {
    for copy in decoded {
        if !matches!(copy, Versioned::Damaged) {
            return copy;
        }
    }
    match copies.map(|copy| named_version(copy, magic)) {
        [Some(one), Some(other)] if one == other && one != version => Versioned::Unknown(one),
        _ => Versioned::Damaged,
    }
}

fn named_version(bytes: &[u8], magic: [u8; 8]) -> Option<u32> {
    let (found, rest) = bytes.split_first_chunk::<8>()?;
    let (version, _) = rest.split_first_chunk::<4>()?;
    (*found == magic).then(|| u32::from_le_bytes(*version))
}

/// Takes `N` bytes off the front of fields whose length was checked.
pub(crate) fn take<const N: usize>(fields: &mut &[u8]) -> [u8; N] {
    let (head, rest) = fields.split_first_chunk::<N>().expect("the block's length was checked");
    *fields = rest;
    *head
}

/// Writes a file full of zeros, so that later commits allocate nothing.
pub(crate) fn create_zeros(
    disk: &dyn Disk,
    name: &str,
    bytes: u64,
) -> Result<Box<dyn DiskFile>, SpoolError> {
    let file = disk.create(name).map_err(SpoolError::io(format!("creating `{name}`")))?;
    let mut offset = 0;
    while offset < bytes {
        let piece = ZEROS.len().min(to_usize(bytes - offset));
        file.write_all_at(&ZEROS[..piece], offset)
            .map_err(SpoolError::io(format!("writing zeros to `{name}`")))?;
        offset += crate::to_u64(piece);
    }
    file.sync_data().map_err(SpoolError::io(format!("fdatasync of `{name}`")))?;
    Ok(file)
}

/// Salts from one draw of chance, so that the spool need not hold the source.
pub(crate) struct Salts {
    seed: [u8; 32],
    drawn: u64,
}

impl Salts {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        Self { seed, drawn: 0 }
    }

    pub(crate) fn draw(&mut self) -> u32 {
        self.drawn += 1;
        let hash = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_le_bytes());
        let mut salt = [0; 4];
        salt.copy_from_slice(&hash.finalize()[..4]);
        u32::from_le_bytes(salt)
    }
}
