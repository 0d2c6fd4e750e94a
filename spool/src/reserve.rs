//! The reserve: one file of a segment's size, made before the first record is taken, for the moment when the disk is
//! full and no other room is left.
//!
//! The spool goes on with two segment files: the open one, and the spare that becomes the next. It has only one after a
//! power cut while the spare was written, after a change of the segment size, or when the newest segment had to be
//! copied. On a full disk nothing could be freed then, although everything may be acked: the newest segment is kept until
//! there is another. The reserve becomes the spare by a rename, so nobody else can take its room in between.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::error::SpoolError;
use crate::segment::{SPARE_NAME, create_zeros};
use crate::{LogId, Sequence, Spool};

/// Name of the file.
pub(crate) const RESERVE_NAME: &str = "reserve";

impl Spool {
    /// Takes over the reserve of the last run; a part of one is removed.
    pub(crate) fn adopt_reserve(&mut self, names: &[String]) -> Result<(), SpoolError> {
        if !names.iter().any(|name| name == RESERVE_NAME) {
            return Ok(());
        }
        let file = self.disk.open(RESERVE_NAME).map_err(SpoolError::io("opening the reserve"))?;
        self.has_reserve = self.may_become_segment(file.as_ref());
        drop(file);
        if self.has_reserve { Ok(()) } else { remove_if_there(self.disk.as_ref(), RESERVE_NAME) }
    }

    /// Before a new spool takes its first record: what it needs to outlive a full disk.
    ///
    /// # Errors
    /// [`SpoolError::NoSpace`] where the disk is full; nothing names the log yet, so the next start tries it again.
    pub(crate) fn make_first_room(&mut self) -> Result<(), SpoolError> {
        let mut result = if self.has_reserve { Ok(()) } else { self.make_reserve() };
        if result.is_ok() && self.spare.is_none() {
            result = create_zeros(self.disk.as_ref(), SPARE_NAME, self.config.segment_bytes)
                .map(|file| self.spare = Some(file));
        }
        match result {
            Err(error) if error.is_full() => {
                for name in [SPARE_NAME, RESERVE_NAME] {
                    remove_if_there(self.disk.as_ref(), name)?;
                }
                self.has_reserve = false;
                Err(self.config.no_space(self.disk.free_bytes().unwrap_or(0)))
            }
            result => result,
        }
    }

    /// Makes the reserve again once the disk has room for it.
    pub(crate) fn ensure_reserve(&mut self) {
        if self.has_reserve || self.spare.is_none() {
            return;
        }
        let result = self.disk.free_bytes().map_err(SpoolError::io("asking for free space"));
        let result = result.and_then(|free| {
            if free < self.config.segment_bytes {
                return Err(SpoolError::io("making the reserve")(
                    io::ErrorKind::StorageFull.into(),
                ));
            }
            self.make_reserve()
        });
        match result {
            Ok(()) => tracing::info!("spool has its reserve again"),
            Err(error) => {
                tracing::warn!(
                    error = error.full_text(),
                    "spool has no reserve: the disk must not become full"
                );
            }
        }
    }

    fn make_reserve(&mut self) -> Result<(), SpoolError> {
        let disk = self.disk.as_ref();
        let made = create_zeros(disk, RESERVE_NAME, self.config.segment_bytes)
            .and_then(|_| disk.sync_dir().map_err(SpoolError::io("fsync of the spool directory")));
        if made.is_err() {
            remove_if_there(disk, RESERVE_NAME)?;
        }
        self.has_reserve = made.is_ok();
        made
    }

    /// A file of `bytes` under the name of the spare; the reserve when the disk is full.
    pub(crate) fn make_spare(&mut self, bytes: u64) -> Result<Box<dyn DiskFile>, SpoolError> {
        match create_zeros(self.disk.as_ref(), SPARE_NAME, bytes) {
            Err(error) if error.is_full() && self.has_reserve => self.reserve_as_spare(),
            result => result,
        }
    }

    /// The reserve under the name of the spare, in place of what may be there.
    pub(crate) fn reserve_as_spare(&mut self) -> Result<Box<dyn DiskFile>, SpoolError> {
        let what = || SpoolError::io("taking the reserve");
        self.disk.rename(RESERVE_NAME, SPARE_NAME).map_err(what())?;
        self.has_reserve = false;
        tracing::error!("disk is full: spool goes on in its reserve");
        self.disk.open(SPARE_NAME).map_err(what())
    }

    /// Gives the room of the reserve to a small file that could not be written; says whether it is worth another try.
    fn release_reserve(&mut self, error: &SpoolError) -> bool {
        if !error.is_full() || !self.has_reserve {
            return false;
        }
        tracing::error!(error = error.full_text(), "disk is full: spool gives up its reserve");
        self.has_reserve = false;
        remove_if_there(self.disk.as_ref(), RESERVE_NAME).is_ok()
    }

    /// Writes the guard, in the room of the reserve when the disk is full.
    pub(crate) fn write_guard(
        &mut self,
        log_id: LogId,
        previous: Option<LogId>,
        bound: Sequence,
    ) -> Result<(), SpoolError> {
        let mut result = self.guard.write(self.disk.as_ref(), log_id, previous, bound);
        if result.as_ref().is_err_and(|error| self.release_reserve(error)) {
            result = self.guard.write(self.disk.as_ref(), log_id, previous, bound);
        }
        self.written_bytes += result?;
        Ok(())
    }

    /// Writes the older slot of the cursor, and both where one is missing: later ones need no room.
    pub(crate) fn write_slots(&mut self, cursor: crate::cursor::Cursor) -> Result<(), SpoolError> {
        let mut result = self.cursors.write(self.disk.as_ref(), cursor.clone());
        if result.as_ref().is_err_and(|error| self.release_reserve(error)) {
            result = self.cursors.write(self.disk.as_ref(), cursor);
        }
        self.written_bytes += result?;
        let mut filled = self.cursors.fill(self.disk.as_ref());
        if filled.as_ref().is_err_and(|error| self.release_reserve(error)) {
            filled = self.cursors.fill(self.disk.as_ref());
        }
        match filled {
            Ok(bytes) => self.written_bytes += bytes,
            // The state is durable in one slot; each later write tries the other again.
            Err(error) => {
                tracing::warn!(
                    error = error.full_text(),
                    "one slot of the spool cursor is missing"
                );
            }
        }
        Ok(())
    }
}

pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> Result<(), SpoolError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SpoolError::io(format!("removing the part of `{name}`"))(error))
        }
        _ => Ok(()),
    }
}
