//! The two cursor slots: how far each destination has acked. Advisory: lost cursors cost a re-send, never data.
//!
//! ```text
//! magic [8] | version u32 | generation u64 | log_id [16] | durable u64 | oldest u64 | destinations u32 |
//! per destination: id length u8, id | acked u64 | floor u64 | store length u8 (0: unknown), store | epoch u64 |
//!     settled: per reason (drop_oldest, corrupt, refused, skipped) frames u64, samples u64, frames uncounted u64 |
//! zeros up to 4092 | crc32c u32
//! ```

use model::{DestinationId, Epoch, LogId, Sequence, StoreId};

use crate::destination::{DESTINATIONS_MAX, Destination};
use crate::disk::{Disk, DiskFile};
use crate::error::SpoolError;
use crate::losses::{LossCount, LossTotals};
use crate::read::load;
use crate::segment::{Versioned, first_whole, open_block, take};

/// Version of the layout.
pub(crate) const CURSOR_VERSION: u32 = 2;
/// Names of the slots.
pub(crate) const SLOT_NAMES: [&str; 2] = ["cursors.a", "cursors.b"];

const SLOT_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"NLCURSOR";
const CRC_OFFSET: usize = SLOT_BYTES - 4;

/// What a slot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) generation: u64,
    pub(crate) log_id: LogId,
    /// What was durable when this was written: fewer frames found later means damage, not a torn tail.
    pub(crate) durable: Sequence,
    pub(crate) oldest: Sequence,
    /// Each destination, and its losses whose LOSS record is acked.
    pub(crate) destinations: Vec<(Destination, LossTotals)>,
}

impl Cursor {
    pub(crate) fn of(&self, id: &DestinationId) -> Option<&(Destination, LossTotals)> {
        self.destinations.iter().find(|(known, _)| known.id == *id)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SLOT_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&CURSOR_VERSION.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&self.durable.0.to_le_bytes());
        out.extend_from_slice(&self.oldest.0.to_le_bytes());
        let count = u32::try_from(self.destinations.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (destination, settled) in &self.destinations {
            put_text(&mut out, destination.id.as_str());
            out.extend_from_slice(&destination.acked.0.to_le_bytes());
            out.extend_from_slice(&destination.floor.0.to_le_bytes());
            let store = destination.store.as_ref();
            put_text(&mut out, store.map_or("", |(store, _)| store.as_str()));
            out.extend_from_slice(&store.map_or(0, |(_, epoch)| epoch.0).to_le_bytes());
            for count in settled.counts() {
                for number in [count.frames, count.samples, count.frames_uncounted] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        debug_assert!(out.len() <= CRC_OFFSET, "DESTINATIONS_MAX of the longest names fit");
        out.resize(CRC_OFFSET, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Versioned<Self> {
        let fields = match open_block(bytes, CRC_OFFSET, MAGIC, CURSOR_VERSION) {
            Versioned::Valid(fields) => fields,
            Versioned::Unknown(version) => return Versioned::Unknown(version),
            Versioned::Damaged => return Versioned::Damaged,
        };
        // The checksum was right, so what does not fit is none of ours.
        Self::fields(fields).map_or(Versioned::Damaged, Versioned::Valid)
    }

    fn fields(mut fields: &[u8]) -> Option<Self> {
        let generation = u64::from_le_bytes(take(&mut fields));
        let log_id = LogId(take(&mut fields));
        let durable = Sequence(u64::from_le_bytes(take(&mut fields)));
        let oldest = Sequence(u64::from_le_bytes(take(&mut fields)));
        let count = usize::try_from(u32::from_le_bytes(take(&mut fields))).ok()?;
        let mut destinations = Vec::new();
        for _ in 0..count.min(DESTINATIONS_MAX) {
            let id = DestinationId::new(get_text(&mut fields)?).ok()?;
            let acked = Sequence(get_number(&mut fields)?);
            let floor = Sequence(get_number(&mut fields)?);
            let store = get_text(&mut fields)?;
            let epoch = Epoch(get_number(&mut fields)?);
            let mut counts = [LossCount::default(); 4];
            for count in &mut counts {
                count.frames = get_number(&mut fields)?;
                count.samples = get_number(&mut fields)?;
                count.frames_uncounted = get_number(&mut fields)?;
            }
            let store = StoreId::new(store).ok().map(|store| (store, epoch));
            let destination = Destination { id, acked, floor, store };
            destinations.push((destination, LossTotals::from_counts(counts)));
        }
        Some(Self { generation, log_id, durable, oldest, destinations })
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn get_text(fields: &mut &[u8]) -> Option<String> {
    let (length, rest) = fields.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *fields = rest;
    String::from_utf8(text.to_vec()).ok()
}

fn get_number(fields: &mut &[u8]) -> Option<u64> {
    let (head, rest) = fields.split_first_chunk::<8>()?;
    *fields = rest;
    Some(u64::from_le_bytes(*head))
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
            // A slot that cannot be read is as good as a damaged one, and is made again when it is written.
            if let Ok(read) = load(file.as_ref(), crate::to_u64(SLOT_BYTES)) {
                bytes[slot] = read;
                cursors.files[slot] = Some(file);
            }
        }
        let copies = [bytes[0].as_slice(), bytes[1].as_slice()];
        for (slot, copy) in copies.iter().enumerate() {
            match Cursor::decode(copy) {
                Versioned::Valid(cursor) => {
                    let newer = |known: &Cursor| known.generation < cursor.generation;
                    if cursors.newest.as_ref().is_none_or(newer) {
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
        if let (Versioned::Unknown(found), None) = (both, &cursors.newest) {
            return Err(unknown_version(0, found));
        }
        Ok(cursors)
    }

    pub(crate) fn newest(&self) -> Option<&Cursor> {
        self.newest.as_ref()
    }

    /// Writes `cursor` to the older slot and makes it durable; its generation is set here. Does nothing when the
    /// newest slot says the same.
    pub(crate) fn write(&mut self, disk: &dyn Disk, mut cursor: Cursor) -> Result<u64, SpoolError> {
        cursor.generation = self.newest.as_ref().map_or(0, |newest| newest.generation);
        if self.newest.as_ref() == Some(&cursor) {
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

    /// Writes the newest state to a slot that has no file, so that the next write of it needs no room. While it is
    /// written the other slot says the same.
    pub(crate) fn fill(&mut self, disk: &dyn Disk) -> Result<u64, SpoolError> {
        let slot = self.next_slot;
        let Some(newest) = self.newest.as_ref().filter(|_| self.files[slot].is_none()) else {
            return Ok(0);
        };
        let bytes = newest.encode();
        let result = self.write_slot(disk, slot, &bytes);
        if result.is_err() {
            self.files[slot] = None;
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
