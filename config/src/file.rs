//! Reads a file that the settings name, never more of it than such a file can need. Must never know what it is for.

use std::fs::{File, metadata};
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

/// Most bytes of a file in TOML, and of a file that one names. 10 000 devices take a half of it; what is read takes
/// many times its size in memory.
pub const TEXT_BYTES_MAX: u64 = 4 << 20;

/// Reads a file of at most `bytes_max` bytes.
///
/// # Errors
/// That of the disk; that it is a folder, a device, a pipe or a socket, which may have no end or never begin; that it is
/// longer.
pub fn read_bytes(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
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
    Ok(bytes)
}

/// Reads a text file of at most `bytes_max` bytes.
///
/// # Errors
/// As [`read_bytes`]; that it is not UTF-8, as [`ErrorKind::InvalidData`].
pub fn read_text(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let bytes = read_bytes(path, bytes_max)?;
    if let Some(what) = other_format(&bytes) {
        return Err(Error::new(ErrorKind::InvalidData, what));
    }
    String::from_utf8(bytes).map_err(|e| {
        let text = not_utf8(e.as_bytes(), e.utf8_error().valid_up_to());
        Error::new(ErrorKind::InvalidData, text)
    })
}

/// What a file is that is no text, or one in UTF-16, by its first bytes.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let begins = |start: &[u8]| bytes.starts_with(start);
    if begins(b"PK\x03\x04") {
        Some("it is an Excel workbook (.xlsx) or another zip file, not text")
    } else if begins(&[0xd0, 0xcf, 0x11, 0xe0]) {
        Some("it is an Excel workbook of the old form (.xls), not text")
    } else if begins(&[0xff, 0xfe]) || begins(&[0xfe, 0xff]) || bytes.contains(&0) {
        Some("it is UTF-16, not UTF-8 text")
    } else {
        None
    }
}

/// Where a text ceases to be UTF-8, and what it probably is.
fn not_utf8(bytes: &[u8], first: usize) -> String {
    let (before, rest) = bytes.split_at(first.min(bytes.len()));
    let line = before.split(|byte| *byte == b'\n').count();
    let byte = rest.first().copied().unwrap_or_default();
    let gbk = if is_gbk(rest) { " there; it is probably GBK" } else { "" };
    format!(
        "it is not UTF-8 text: line {line} has the byte 0x{byte:02x}, which fits no letter{gbk}"
    )
}

/// Whether the bytes are pairs as in GBK, wherever they are not ASCII: what Excel on a Chinese Windows saves as CSV.
fn is_gbk(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter();
    while let Some(first) = rest.next() {
        let second = || rest.clone().next().copied().unwrap_or_default();
        if first.is_ascii() {
            continue;
        }
        if !(0x81..=0xfe).contains(first) || !(0x40..=0xfe).contains(&second()) {
            return false;
        }
        rest.next();
    }
    true
}

/// What to do about a file that [`read_text`] could not read; `other_file` is how to name another one.
#[must_use]
pub fn read_help(error: &Error, other_file: &str) -> String {
    match error.kind() {
        ErrorKind::InvalidData => {
            "save it as UTF-8: the editor offers that where the file is saved".to_owned()
        }
        ErrorKind::FileTooLarge => {
            format!("if it is the right file, make it shorter; else {other_file}")
        }
        ErrorKind::PermissionDenied => {
            "check the owner and the mode of the file and of its folders".to_owned()
        }
        _ => other_file.to_owned(),
    }
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
        assert_eq!(
            read_help(&error, "name it"),
            "if it is the right file, make it shorter; else name it"
        );
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "# 一\n").unwrap();
        assert_eq!(read_text(&text, TEXT_BYTES_MAX).unwrap(), "# 一\n");
        let check_bytes = |bytes: &[u8], expected: &str| {
            std::fs::write(&text, bytes).unwrap();
            let error = read_text(&text, TEXT_BYTES_MAX).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert!(read_help(&error, "name it").contains("UTF-8"), "{error}");
        };
        check_bytes(&[0xff, 0xfe, b'[', 0], "it is UTF-16, not UTF-8 text");
        check_bytes(&[0xfe, 0xff, 0, b'['], "it is UTF-16, not UTF-8 text");
        // GBK, and a letter that is cut at the end.
        check_bytes(b"a = 1\n\n# \xb5\xe7\n", "it is not UTF-8 text: line 3 has the byte 0xb5");
        check_bytes(
            b"# \xb5\xe7\xc1\xa6 1,\n",
            "it is not UTF-8 text: line 1 has the byte 0xb5, which fits no letter there; it is probably GBK",
        );
        check_bytes(b"a\0b\0", "it is UTF-16");
        check_bytes(b"PK\x03\x04...", "it is an Excel workbook (.xlsx)");
        check_bytes(b"\xd0\xcf\x11\xe0", "it is an Excel workbook of the old form");
        check_bytes(b"# \xe4\xb8", "it is not UTF-8 text: line 1 has the byte 0xe4");
        let check = |path: &Path, expected: &str| {
            let error = read_text(path, TEXT_BYTES_MAX).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(folder.path(), "it is a folder");
        check(Path::new("/dev/zero"), "it is a device, a pipe or a socket");
        check(&folder.path().join("none"), "No such file");
        let missing = read_text(&folder.path().join("none"), TEXT_BYTES_MAX).unwrap_err();
        assert_eq!(read_help(&missing, "name it"), "name it");
        assert!(read_help(&ErrorKind::PermissionDenied.into(), "").contains("mode"));
    }
}
