//! A view for programs that read Parquet files and no Delta table: beside the log, a symbolic link to each live data file,
//! so that `*.parquet` in the table's directory is each row once. A convenience: nothing of ours reads it, it is not
//! synced, and it lags behind the log for moments. Knows nothing of what is live.
//!
//! The names of data files are ours here, too. A copy of the lake that follows links has whole files in their places, which
//! would stay when the live files are merged into others: whatever stands under such a name and is not its link gives
//! way. A file with the bytes of the data file is a copy and goes; anything else is set aside, for it may be all that is
//! left of a data file that was lost.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::disk::DIRECTORY_MODE;
use crate::file::is_canonical_name;
use crate::lock::place;
use crate::regular;

/// Bytes that are compared at a time.
const COMPARED_BYTES: usize = 64 << 10;
/// Things of one name that are set aside.
const ASIDE_MAX: u32 = 1_000;

/// Puts a link to a file into the view, in the place of whatever is there.
pub fn show(dir: &Path, name: &str) -> io::Result<()> {
    let (link, target) = (dir.join(name), Path::new(place::DATA).join(name));
    if fs::read_link(&link).is_ok_and(|found| found == target) {
        return Ok(());
    }
    hide(dir, name)?;
    symlink(target, link)
}

/// Takes a file out of the view.
pub fn hide(dir: &Path, name: &str) -> io::Result<()> {
    let link = dir.join(name);
    match fs::symlink_metadata(&link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_symlink() => fs::remove_file(link),
        Ok(found) if found.is_file() && is_copy(&link, &place::data_file(dir, name)) => {
            fs::remove_file(link)
        }
        Ok(_) => set_aside(dir, name),
    }
}

/// Makes the view that of these files. Names the Parquet files beside them that are not ours.
pub fn renew<'a>(dir: &Path, live: impl Iterator<Item = &'a String>) -> io::Result<()> {
    let live: BTreeSet<&str> = live.map(String::as_str).collect();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = OsStr::to_str(&name) else { continue };
        if is_canonical_name(name) {
            if !live.contains(name) {
                hide(dir, name)?;
            }
        } else if name.ends_with(".parquet") {
            tracing::warn!(
                file = %dir.join(name).display(),
                "a Parquet file in the folder of the lake is none of its own and is left alone; programs that read `*.parquet` there read its rows, too"
            );
        }
    }
    live.into_iter().try_for_each(|name| show(dir, name))
}

/// Whether both files have the same bytes.
fn is_copy(one: &Path, other: &Path) -> bool {
    let same = || -> Result<bool, Box<dyn std::error::Error>> {
        let (mut one, mut other) = (regular::open(one)?, regular::open(other)?);
        let (found, expected) = (one.metadata()?, other.metadata()?);
        if (found.dev(), found.ino()) == (expected.dev(), expected.ino()) {
            return Ok(true);
        }
        if found.len() != expected.len() {
            return Ok(false);
        }
        let (mut here, mut there) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
        let mut left = found.len();
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(COMPARED_BYTES).min(COMPARED_BYTES);
            let (Some(here), Some(there)) = (here.get_mut(..next), there.get_mut(..next)) else {
                return Ok(false);
            };
            one.read_exact(here)?;
            other.read_exact(there)?;
            if here != there {
                return Ok(false);
            }
            left -= next as u64;
        }
        Ok(true)
    };
    same().unwrap_or(false)
}

/// Moves what stands under a name of the view out of it; never over something else.
fn set_aside(dir: &Path, name: &str) -> io::Result<()> {
    let folder = place::set_aside(dir);
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&folder)?;
    let free =
        |number: &u32| fs::symlink_metadata(folder.join(format!("{name}.{number}"))).is_err();
    let number = (1..=ASIDE_MAX).find(free).ok_or(io::ErrorKind::StorageFull)?;
    let (from, to): (PathBuf, PathBuf) = (dir.join(name), folder.join(format!("{name}.{number}")));
    fs::rename(&from, &to)?;
    tracing::warn!(
        file = %from.display(),
        to = %to.display(),
        "what stood in the place of a link to a data file is no copy of it and was set aside"
    );
    Ok(())
}
