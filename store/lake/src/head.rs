//! The head: version and seal of the newest entry, in a file beside the log. It can only lag behind the log, for it is
//! written after an entry is durable and is not synced itself; a log that ends before it has lost its newest entries.
//! Knows nothing of entries.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::disk::{Disk, IfThere, publish};
use crate::entry::Seal;
use crate::lock::place;
use crate::{LakeError, regular};

/// How often a head is read that does not have its own checksum: its writer replaces it in place.
const ATTEMPTS_MAX: u32 = 5;

/// The newest entry that its writer knew to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) seal: Seal,
}

impl Head {
    /// Always as long, and shorter than a sector, so that it is replaced in place.
    fn text(self) -> String {
        let text = format!("nengliu head {:020} {}", self.version, self.seal);
        let crc = crc32c::crc32c(text.as_bytes());
        format!("{text} {crc:08x}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("nengliu head ")?.split(' ');
        let version = words.next()?.parse().ok()?;
        let head = Self { version, seal: Seal::parse(words.next()?)? };
        (head.text() == text).then_some(head)
    }
}

/// The head of the table in `dir`; `None` where there is none. One that cannot be read is damage.
pub(crate) fn read(dir: &Path) -> Result<Option<Head>, LakeError> {
    let path = place::head(dir);
    for _ in 0..ATTEMPTS_MAX {
        let Some(bytes) = regular::if_there(regular::read(&path))? else { return Ok(None) };
        let head = std::str::from_utf8(&bytes).ok().and_then(Head::parse);
        if head.is_some() {
            return Ok(head);
        }
        std::thread::yield_now();
    }
    Err(LakeError::damaged(&path, "it does not have its own checksum"))
}

/// Creates or replaces the head, durably.
pub(crate) fn create(disk: &dyn Disk, dir: &Path, head: Head) -> io::Result<()> {
    publish(disk, &place::head(dir), head.text().as_bytes(), IfThere::Replace)
}

/// Whether the file has another name, too: in a copy of the table that was made of hard links.
pub(crate) fn is_shared(dir: &Path) -> bool {
    regular::look(&place::head(dir)).is_ok_and(|found| found.nlink() > 1)
}

/// Moves the head on, without a sync; where it has another name, too, this one alone.
pub(crate) fn move_on(disk: &dyn Disk, dir: &Path, head: Head) -> Result<(), LakeError> {
    let path = place::head(dir);
    if is_shared(dir) {
        return create(disk, dir, head).map_err(LakeError::io("write", &path));
    }
    let file = regular::open_with(OpenOptions::new().write(true), &path, "open")?;
    file.write_all_at(head.text().as_bytes(), 0).map_err(LakeError::io("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_it_was_or_damaged() {
        let head = Head { version: 7, seal: Seal::of(b"entry") };
        let text = head.text();
        assert_eq!(Head::parse(&text), Some(head));
        assert_eq!(text.len(), Head { version: u64::MAX, seal: Seal::default() }.text().len());
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = std::str::from_utf8(&bytes).ok().and_then(Head::parse);
            assert_eq!(read, None, "bit {bit}");
        }
    }
}
