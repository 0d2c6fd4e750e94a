//! The one way to open a file of a lake: a regular file, or a link to one.
//!
//! A pipe, a device, a socket or a folder in the place of a file is damage with a name: to open a pipe for reading waits
//! until somebody writes, which may be never, and a folder has a length, too.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::LakeError;

/// Opens a regular file for reading.
///
/// # Errors
/// [`LakeError::Damaged`] when it is no regular file, and [`LakeError::Io`] when it cannot be opened.
pub fn open(path: &Path) -> Result<File, LakeError> {
    open_with(OpenOptions::new().read(true), path, "open")
}

/// Opens a regular file with these options, which may create it; `action` is what an error says that was tried.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    options: &mut OpenOptions,
    path: &Path,
    action: &'static str,
) -> Result<File, LakeError> {
    // Before it is opened: to open a device may have effects.
    match look(path) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let file = options
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)
        .map_err(LakeError::io(action, path))?;
    checked(path, file.metadata().map_err(LakeError::io("measure", path))?)?;
    Ok(file)
}

/// Reads a regular file whole.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> Result<Vec<u8>, LakeError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(LakeError::io("read", path))?;
    Ok(bytes)
}

/// What a directory says of a regular file, without opening it.
///
/// # Errors
/// As [`open`].
pub fn look(path: &Path) -> Result<Metadata, LakeError> {
    checked(path, fs::metadata(path).map_err(LakeError::io("measure", path))?)
}

fn checked(path: &Path, found: Metadata) -> Result<Metadata, LakeError> {
    match kind_of(&found) {
        None => Ok(found),
        Some(kind) => Err(LakeError::damaged(path, format!("it is {kind}, expected a file"))),
    }
}

fn kind_of(found: &Metadata) -> Option<&'static str> {
    let kind = found.file_type();
    if kind.is_file() {
        return None;
    }
    Some(if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    })
}

/// What of it there is: `None` when there is no file.
///
/// # Errors
/// As the result that is given, unless that is about a file that is not there.
pub fn if_there<T>(result: Result<T, LakeError>) -> Result<Option<T>, LakeError> {
    match result {
        Err(error) if error.is_not_found() => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn whatever_is_no_file_is_named_and_nothing_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        symlink("pipe", at("link to a pipe")).unwrap();
        symlink("/dev/zero", at("link to a device")).unwrap();
        let cases = [
            ("folder", "a folder"),
            ("pipe", "a pipe"),
            ("link to a pipe", "a pipe"),
            ("link to a device", "a device"),
        ];
        for (name, kind) in cases {
            let path = at(name);
            let opened = [
                open(&path).map(drop),
                read(&path).map(drop),
                look(&path).map(drop),
                open_with(OpenOptions::new().write(true), &path, "open").map(drop),
            ];
            for result in opened {
                let error = result.unwrap_err();
                assert!(matches!(error, LakeError::Damaged { .. }), "{name}: {error:?}");
                assert!(error.to_string().contains(kind), "{name}: {error}");
                assert_eq!(error.path(), Some(path.as_path()));
            }
        }
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        assert_eq!(read(&at("link")).unwrap(), b"text");
        assert!(if_there(read(&at("none"))).unwrap().is_none());
        assert!(if_there(read(&at("pipe"))).is_err());
    }
}
