//! The two cursor slots: how far the destination has acked. Advisory: lost cursors cost a re-send, never data. Must
//! never know segments.
//!
//! ```text
//! magic [8] | version u32 | generation u64 | log_id [16] | acked u64 | durable u64 | oldest u64 |
//! settled: per reason (drop_oldest, corrupt) frames u64, samples u64 | crc32c u32 | zeros up to 4096
//! ```

use model::{LogId, Sequence};

use crate::disk::{Disk, DiskFile};
use crate::error::SpoolError;
use crate::losses::{LossCount, LossTotals};
use crate::read::load;
use crate::segment::{Versioned, first_whole, open_block, take};

/// Version of the layout.
pub(crate) const CURSOR_VERSION: u32 = 1;
/// Names of the slots.
pub(crate) const SLOT_NAMES: [&str; 2] = ["cursors.a", "cursors.b"];

const SLOT_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"NLCURSOR";
const CRC_OFFSET: usize = 92;

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) generation: u64,
    pub(crate) log_id: LogId,
    pub(crate) acked: Sequence,
    /// What was durable when this was written: fewer frames found later means damage, not a torn tail.
    pub(crate) durable: Sequence,
    pub(crate) oldest: Sequence,
    /// Losses whose LOSS record is acked.
    pub(crate) settled: LossTotals,
}

impl Cursor {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CRC_OFFSET + 4);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&CURSOR_VERSION.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.log_id.0);
        for sequence in [self.acked, self.durable, self.oldest] {
            out.extend_from_slice(&sequence.0.to_le_bytes());
        }
        for count in [self.settled.drop_oldest, self.settled.corrupt] {
            out.extend_from_slice(&count.frames.to_le_bytes());
            out.extend_from_slice(&count.samples.to_le_bytes());
        }
        debug_assert_eq!(out.len(), CRC_OFFSET);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let mut slot = vec![0; SLOT_BYTES];
        slot[..out.len()].copy_from_slice(&out);
        slot
    }

    fn decode(bytes: &[u8]) -> Versioned<Self> {
        let mut fields = match open_block(bytes, CRC_OFFSET, MAGIC, CURSOR_VERSION) {
            Versioned::Valid(fields) => fields,
            Versioned::Unknown(version) => return Versioned::Unknown(version),
            Versioned::Damaged => return Versioned::Damaged,
        };
        let mut number = || u64::from_le_bytes(take(&mut fields));
        let generation = number();
        let log_id = LogId(take(&mut fields));
        let mut number = || u64::from_le_bytes(take(&mut fields));
        Versioned::Valid(Self {
            generation,
            log_id,
            acked: Sequence(number()),
            durable: Sequence(number()),
            oldest: Sequence(number()),
            settled: LossTotals {
                drop_oldest: LossCount { frames: number(), samples: number() },
                corrupt: LossCount { frames: number(), samples: number() },
            },
        })
    }
}

/// The two slots, written in turn.
#[derive(Default)]
pub(crate) struct Cursors {
    files: [Option<Box<dyn DiskFile>>; 2],
    next_slot: usize,
    newest: Option<Cursor>,
}

impl Cursors {
    /// Reads both slots; a slot that is missing or damaged is no error.
    pub(crate) fn load(disk: &dyn Disk, names: &[String]) -> Result<Self, SpoolError> {
        let mut bytes = [Vec::new(), Vec::new()];
        let mut cursors = Self::default();
        for (slot, name) in SLOT_NAMES.iter().enumerate() {
            if !names.iter().any(|known| known == name) {
                continue;
            }
            let file = disk.open(name).map_err(SpoolError::io(format!("opening `{name}`")))?;
            // A slot that cannot be read is as good as a damaged one, and is made anew when it is written.
            if let Ok(read) = load(file.as_ref(), crate::to_u64(SLOT_BYTES)) {
                bytes[slot] = read;
                cursors.files[slot] = Some(file);
            }
        }
        let copies = [bytes[0].as_slice(), bytes[1].as_slice()];
        for (slot, copy) in copies.iter().enumerate() {
            match Cursor::decode(copy) {
                Versioned::Valid(cursor) => {
                    if cursors.newest.is_none_or(|newest| newest.generation < cursor.generation) {
                        cursors.newest = Some(cursor);
                        cursors.next_slot = 1 - slot;
                    }
                }
                Versioned::Unknown(found) => return Err(unknown_version(slot, found)),
                Versioned::Damaged => {}
            }
        }
        let both = first_whole(
            [Versioned::Damaged::<Cursor>, Versioned::Damaged],
            copies,
            CURSOR_VERSION,
            MAGIC,
        );
        if let (Versioned::Unknown(found), None) = (both, cursors.newest) {
            return Err(unknown_version(0, found));
        }
        Ok(cursors)
    }

    pub(crate) fn newest(&self) -> Option<Cursor> {
        self.newest
    }

    /// Writes `cursor` to the older slot and makes it durable; its generation is set here. Does nothing when the
    /// newest slot says the same.
    pub(crate) fn write(&mut self, disk: &dyn Disk, mut cursor: Cursor) -> Result<u64, SpoolError> {
        cursor.generation = self.newest.map_or(0, |newest| newest.generation);
        if self.newest == Some(cursor) {
            return Ok(0);
        }
        cursor.generation += 1;
        let slot = self.next_slot;
        let result = self.write_slot(disk, slot, &cursor.encode());
        if result.is_err() {
            // Its pages may be marked clean without being on disk: the next write makes a new file.
            self.files[slot] = None;
        } else {
            self.newest = Some(cursor);
            self.next_slot = 1 - slot;
        }
        result.map(|()| crate::to_u64(SLOT_BYTES))
    }

    fn write_slot(&mut self, disk: &dyn Disk, slot: usize, bytes: &[u8]) -> Result<(), SpoolError> {
        let name = SLOT_NAMES[slot];
        let what = || format!("writing `{name}`");
        let is_new = self.files[slot].is_none();
        let file = match &mut self.files[slot] {
            Some(file) => file,
            empty => empty.insert(disk.create(name).map_err(SpoolError::io(what()))?),
        };
        file.write_all_at(bytes, 0).map_err(SpoolError::io(what()))?;
        file.sync_data().map_err(SpoolError::io(format!("fdatasync of `{name}`")))?;
        if is_new {
            disk.sync_dir().map_err(SpoolError::io("fsync of the spool directory"))?;
        }
        Ok(())
    }
}

fn unknown_version(slot: usize, found: u32) -> SpoolError {
    SpoolError::Version { file: SLOT_NAMES[slot].to_owned(), found, expected: CURSOR_VERSION }
}
