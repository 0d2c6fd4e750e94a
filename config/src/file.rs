//! Reads a file that the settings name, never more of it than such a file can need. Must never know what it is for.

use std::fs::{File, metadata};
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

/// Most bytes of a file in TOML, and of a file that one names. 10 000 devices take a half of it; what is read takes
/// many times its size in memory.
pub const TEXT_BYTES_MAX: u64 = 4 << 20;

/// Reads a text file of at most `bytes_max` bytes.
///
/// # Errors
/// That of the disk; that it is a folder, a device, a pipe or a socket, which may have no end or never begin; that it is
/// longer; that it is not UTF-8, as [`ErrorKind::InvalidData`].
pub fn read_text(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let found = metadata(path)?;
    if found.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "it is a folder, not a file"));
    }
    if !found.is_file() {
        let text = "it is a device, a pipe or a socket, not a file";
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        let text = format!("it is longer than {} KiB: is it the right file?", bytes_max / 1024);
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_of_a_file_is_read_than_it_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let full = usize::try_from(TEXT_BYTES_MAX).unwrap();
        std::fs::write(&path, "\n".repeat(full)).unwrap();
        assert_eq!(read_text(&path, TEXT_BYTES_MAX).unwrap().len(), full);
        std::fs::write(&path, "\n".repeat(full + 1)).unwrap();
        let error = read_text(&path, TEXT_BYTES_MAX).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 4096 KiB: is it the right file?");
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, [0xff, 0xfe]).unwrap();
        let check = |path: &Path, expected: &str| {
            let error = read_text(path, TEXT_BYTES_MAX).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(folder.path(), "it is a folder");
        check(Path::new("/dev/zero"), "it is a device, a pipe or a socket");
        check(&text, "it is not UTF-8 text");
        check(&folder.path().join("none"), "No such file");
    }
}
