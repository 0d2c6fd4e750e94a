//! Passwords from files: read only where nobody else can read them, and shown nowhere. Must never know what they are for.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::file::read_text;

/// Most bytes of a password file; no password that MQTT can carry is longer (MQTT 5 §1.5.6).
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Why a password file is not used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It could not be read.
    #[error("cannot read the password file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others can read it.
    #[error(
        "password file `{}` can be read by others (mode {mode:o}): run `chmod 600 {}`",
        path.display(), path.display()
    )]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is no password in it.
    #[error("password file `{}`: expected the password on its first line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A password. Its debug text does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as a password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads the first line of a password file.
///
/// # Errors
/// Refuses a file that others than its owner can read, and one whose first line is empty.
pub fn read_secret(path: &Path) -> Result<Secret, SecretError> {
    let named = |source| SecretError::Read { path: path.to_owned(), source };
    // First: `chmod 600` is no advice for a folder.
    let text = read_text(path, SECRET_BYTES_MAX).map_err(named)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = std::fs::metadata(path).map_err(named)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::ReadableByOthers { path: path.to_owned(), mode });
        }
    }
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret(line.to_owned())),
        _ => Err(SecretError::Empty { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\nsecond line").unwrap();
        for (mode, is_good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match read_secret(&path) {
                Ok(secret) => {
                    assert!(is_good, "{mode:o}");
                    assert_eq!(secret.expose(), "secret");
                    assert_eq!(format!("{secret:?}"), "Secret(…)");
                }
                Err(e) => {
                    assert!(!is_good, "{mode:o}");
                    let text = e.to_string();
                    assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
                }
            }
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        // `chmod 600 /etc` was the advice.
        let error = read_secret(folder.path()).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the password file"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "it is a folder, not a file");
        std::fs::write(&path, "\n").unwrap();
        assert!(read_secret(&path).unwrap_err().to_string().contains("first line"));
    }
}
