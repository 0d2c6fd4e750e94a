//! A view for programs that read Parquet files and no Delta table: beside the log, a symbolic link to each live data file,
//! so that `*.parquet` in the table's directory is each row once. A convenience: nothing of ours reads it, it is not
//! synced, and it lags behind the log for moments. Knows nothing of what is live.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::file::parse_name;
use crate::lock::place;

/// Puts a link to a file into the view.
pub(crate) fn show(dir: &Path, name: &str) -> io::Result<()> {
    match symlink(Path::new(place::DATA).join(name), dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Takes a file out of the view; never anything but a link.
pub(crate) fn hide(dir: &Path, name: &str) -> io::Result<()> {
    let link = dir.join(name);
    match fs::symlink_metadata(&link) {
        Ok(found) if found.is_symlink() => fs::remove_file(link),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the view that of these files.
pub(crate) fn renew<'a>(dir: &Path, live: impl Iterator<Item = &'a String>) -> io::Result<()> {
    let mut missing: BTreeSet<&str> = live.map(String::as_str).collect();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = OsStr::to_str(&name) else { continue };
        if parse_name(name).is_some() && !missing.remove(name) {
            hide(dir, name)?;
        }
    }
    missing.into_iter().try_for_each(|name| show(dir, name))
}
