//! Reads a `gateway.toml` from disk and plans it with the protocols of this program. Must never start anything.

use std::path::{Path, PathBuf};

use config::Problems;
use driver::Protocol;
use gateway::{GatewayPlan, Settings};
use thiserror::Error;

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has problems; they are in the list that the caller handed in.
    #[error("`{}` cannot be used as it is", path.display())]
    Problems {
        /// The file.
        path: PathBuf,
    },
}

/// What to do about a configuration that cannot be read.
pub(crate) fn read_help(source: &std::io::Error) -> String {
    config::read_help(source, "name the file with -c gateway.toml")
}

/// The protocols that the gateway speaks. A new one is one line here.
#[must_use]
pub fn protocols() -> Vec<Box<dyn Protocol>> {
    vec![Box::new(modbus::Modbus), Box::new(opcua::OpcUa)]
}

/// Reads and plans `path`; all problems, warnings too, are added to `problems`.
pub fn load(path: &Path, problems: &mut Problems) -> Result<GatewayPlan, LoadError> {
    let text = config::read_text(path, config::TEXT_BYTES_MAX)
        .map_err(|source| LoadError::File { path: path.to_owned(), source })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.display().to_string();
    let settings = Settings::read(&text, &name, folder.unwrap_or(Path::new(".")), problems);
    gateway::plan(settings, &protocols(), problems)
        .ok_or_else(|| LoadError::Problems { path: path.to_owned() })
}
