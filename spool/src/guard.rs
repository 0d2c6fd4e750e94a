//! The bound of the sequences that may have left: made durable ahead of them, so that a log that lost its last blocks
//! never uses one again.
//!
//! ```text
//! 32 copies of: magic [8] | version u32 | generation u64 | log_id [16] | previous [16], zeros for none | bound u64 |
//!               crc32c u32 | zeros up to 4096
//! ```
//!
//! A frame is written only when its sequence is at or below the bound; the bound goes up by [`GUARD_STEP`] at a time, so
//! that this costs nothing and the sequences passed over after an unclean end are limited. An orderly end lowers it to
//! the last frame. Recovery takes the highest bound of any copy and goes on above it: a disk that forgets its last
//! writes, although it said that they are durable, keeps a copy as long as it forgets fewer than [`GUARD_COPIES`] blocks.
//!
//! The guard also names the log. Segments of `previous` belong to it once they have been written again under its
//! `log_id`; see [`crate::renew`].

use model::{LogId, Sequence};

use crate::disk::{Disk, DiskFile};
use crate::error::SpoolError;
use crate::read::load;
use crate::segment::{Versioned, open_block, take};

/// Name of the file.
pub(crate) const GUARD_NAME: &str = "guard";
/// Name of the file that will be the guard.
const NEW_NAME: &str = "guard.new";
/// Version of the layout.
const GUARD_VERSION: u32 = 1;
/// Blocks that hold the same: so many less one may be forgotten by the disk. Few in the tests here, which open thousands of
/// spools.
pub(crate) const GUARD_COPIES: usize = if cfg!(test) { 8 } else { 32 };
/// Sequences by which the bound goes up; few in the tests here, so that they meet it often.
pub(crate) const GUARD_STEP: u64 = if cfg!(test) { 64 } else { 65_536 };

const COPY_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"NLSGUARD";
const CRC_OFFSET: usize = 60;

/// What the guard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) generation: u64,
    pub(crate) log_id: LogId,
    /// The log that this one goes on from, while segments of it may be left.
    pub(crate) previous: Option<LogId>,
    pub(crate) bound: Sequence,
}

impl Mark {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(COPY_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&GUARD_VERSION.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&self.previous.map_or([0; 16], |previous| previous.0));
        out.extend_from_slice(&self.bound.0.to_le_bytes());
        debug_assert_eq!(out.len(), CRC_OFFSET);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(COPY_BYTES, 0);
        out.repeat(GUARD_COPIES)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Versioned<Self> {
        let mut fields = match open_block(bytes, CRC_OFFSET, MAGIC, GUARD_VERSION) {
            Versioned::Valid(fields) => fields,
            Versioned::Unknown(version) => return Versioned::Unknown(version),
            Versioned::Damaged => return Versioned::Damaged,
        };
        let generation = u64::from_le_bytes(take(&mut fields));
        let log_id = LogId(take(&mut fields));
        let previous: [u8; 16] = take(&mut fields);
        let previous = (previous != [0; 16]).then_some(LogId(previous));
        let bound = Sequence(u64::from_le_bytes(take(&mut fields)));
        Versioned::Valid(Self { generation, log_id, previous, bound })
    }
}

/// The file and what it says.
#[derive(Default)]
pub(crate) struct Guard {
    file: Option<Box<dyn DiskFile>>,
    mark: Option<Mark>,
}

impl Guard {
    /// Reads the copies; a file that is missing or wholly damaged is no error.
    pub(crate) fn load(disk: &dyn Disk, names: &[String]) -> Result<Self, SpoolError> {
        if !names.iter().any(|name| name == GUARD_NAME) {
            return Ok(Self::default());
        }
        let what = || format!("opening `{GUARD_NAME}`");
        let file = disk.open(GUARD_NAME).map_err(SpoolError::io(what()))?;
        let bytes = crate::to_u64(GUARD_COPIES * COPY_BYTES);
        let bytes = load(file.as_ref(), bytes).unwrap_or_default();
        let mut mark: Option<Mark> = None;
        for copy in bytes.chunks(COPY_BYTES) {
            let found = match Mark::decode(copy) {
                Versioned::Valid(found) => found,
                Versioned::Unknown(found) => {
                    let (file, expected) = (GUARD_NAME.to_owned(), GUARD_VERSION);
                    return Err(SpoolError::Version { file, found, expected });
                }
                Versioned::Damaged => continue,
            };
            mark = Some(match mark {
                // A torn or forgotten write leaves copies of two states; the highest bound of the newest log holds.
                Some(known) if known.log_id == found.log_id => {
                    let newest = if found.generation > known.generation { found } else { known };
                    Mark { bound: known.bound.max(found.bound), ..newest }
                }
                Some(known) if known.generation > found.generation => known,
                _ => found,
            });
        }
        // Its length may be short: then it is made again.
        let whole = bytes.len() == GUARD_COPIES * COPY_BYTES
            && file.len().is_ok_and(|length| length == crate::to_u64(bytes.len()));
        Ok(Self { file: whole.then_some(file), mark })
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// No sequence above it was ever written.
    pub(crate) fn bound(&self) -> Sequence {
        self.mark.map_or(Sequence(0), |mark| mark.bound)
    }

    /// Makes durable that frames of `log_id` up to `bound` may be written; returns the bytes written.
    pub(crate) fn write(
        &mut self,
        disk: &dyn Disk,
        log_id: LogId,
        previous: Option<LogId>,
        bound: Sequence,
    ) -> Result<u64, SpoolError> {
        let generation = self.mark.map_or(0, |mark| mark.generation).saturating_add(1);
        let mark = Mark { generation, log_id, previous, bound };
        let bytes = mark.encode();
        if let Some(file) = self.file.take() {
            // On error the file is not used again: its pages may be marked clean without being on disk.
            write_file(file.as_ref(), &bytes)?;
            self.file = Some(file);
        } else {
            let what = || SpoolError::io(format!("making `{GUARD_NAME}`"));
            let file = disk.create(NEW_NAME).map_err(what())?;
            write_file(file.as_ref(), &bytes)?;
            disk.rename(NEW_NAME, GUARD_NAME).map_err(what())?;
            disk.sync_dir().map_err(what())?;
            // Again, so that a disk that forgets its last writes does not forget the rename alone: the guard before, with
            // a lower bound, would be back.
            write_file(file.as_ref(), &bytes)?;
            self.file = Some(file);
        }
        self.mark = Some(mark);
        Ok(crate::to_u64(bytes.len()))
    }
}

fn write_file(file: &dyn DiskFile, bytes: &[u8]) -> Result<(), SpoolError> {
    file.write_all_at(bytes, 0).map_err(SpoolError::io(format!("writing `{GUARD_NAME}`")))?;
    file.sync_data().map_err(SpoolError::io(format!("fdatasync of `{GUARD_NAME}`")))
}
