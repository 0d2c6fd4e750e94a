//! Commented files for a first start, as `init` of both programs writes them.

use std::fs::{OpenOptions, create_dir_all};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::OutputError;

/// Files to begin with: paths relative to a folder, and their texts.
#[derive(Debug, Clone, Copy)]
pub struct Starter<'a> {
    /// The folder, which is made when it is not there.
    pub folder: &'a Path,
    /// Each file and its text.
    pub files: &'a [(&'a str, &'a str)],
}

impl Starter<'_> {
    fn paths(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        self.files.iter().map(|(name, text)| (self.folder.join(name), *text))
    }

    /// Those that are there already. Where there is one, none should be written.
    #[must_use]
    pub fn existing(&self) -> Vec<PathBuf> {
        let paths = self.paths().map(|(path, _)| path);
        paths.filter(|path| path.symlink_metadata().is_ok()).collect()
    }

    /// Writes all of them, never over a file that is there.
    ///
    /// # Errors
    /// That of the system, with the path.
    pub fn write(&self) -> Result<Vec<PathBuf>, OutputError> {
        let mut written = Vec::new();
        for (path, text) in self.paths() {
            let done = path.parent().map_or(Ok(()), create_dir_all).and_then(|()| {
                let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
                file.write_all(text.as_bytes())
            });
            done.map_err(|e| OutputError::of_file(&path, e))?;
            written.push(path);
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("new");
        let starter = Starter { folder: &below, files: &[("a", "1"), ("sub/b", "2")] };
        assert!(starter.existing().is_empty());
        let written = starter.write().unwrap();
        assert_eq!(written, [below.join("a"), below.join("sub/b")]);
        assert_eq!(std::fs::read_to_string(&written[1]).unwrap(), "2");
        std::fs::write(&written[0], "mine").unwrap();
        assert_eq!(starter.existing(), written);
        let error = starter.write().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", written[0].display()));
        assert_eq!(std::fs::read_to_string(&written[0]).unwrap(), "mine");
    }
}
