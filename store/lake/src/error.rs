//! What can go wrong with the embedded store. Must never know who called it.

use std::io;
use std::path::{Path, PathBuf};

use contract::DraftError;
use deltalake_core::DeltaTableError;
use parquet::errors::ParquetError;
use thiserror::Error;

use crate::schema::LAYOUT;

/// Why the store could not do what it was asked.
#[derive(Debug, Error)]
pub enum LakeError {
    /// Another process writes this table.
    #[error("`{}` is already written by process {pid}: stop it first, one table has one writer", dir.display())]
    Locked {
        /// The table's directory.
        dir: PathBuf,
        /// The process that holds the lock, as it wrote itself down.
        pid: String,
    },
    /// There is nothing to read.
    #[error("no table in `{}`: start ingest with this directory first, it creates the table", dir.display())]
    NoTable {
        /// The directory that was given.
        dir: PathBuf,
    },
    /// The table is not one of ours, or a newer program made it.
    #[error("table in `{}` has layout {}: expected `{LAYOUT}`; nothing was changed, use the program that made it", dir.display(), layout_text(found.as_deref()))]
    Layout {
        /// The table's directory.
        dir: PathBuf,
        /// What its property says; `None` when it has no such property.
        found: Option<String>,
    },
    /// The table needs Delta features that this program does not know.
    #[error("table in `{}` needs Delta reader {reader} and writer {writer}: expected at most 1 and 2; nothing was changed", dir.display())]
    Protocol {
        /// The table's directory.
        dir: PathBuf,
        /// Reader version asked for.
        reader: i64,
        /// Writer version asked for.
        writer: i64,
    },
    /// A file of the table does not say what it must.
    #[error("table is damaged at `{}`: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The disk refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The table's log could not be read or extended.
    #[error("cannot {action} in the log of the table")]
    Delta {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// A data file or a checkpoint could not be written or read.
    #[error("cannot {action} Parquet file `{}`", path.display())]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ParquetError,
    },
    /// A dictionary that is kept beside the table cannot be read.
    #[error("cannot read dictionary `{}`", path.display())]
    Dictionary {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: model::dictionary::DictionaryError,
    },
    /// The draft breaks a rule that its maker had to keep. Nothing was written.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// A worker thread panicked.
    #[error("a worker of the store failed while it tried to {action}")]
    Worker {
        /// What was tried.
        action: &'static str,
        /// How it ended.
        #[source]
        source: tokio::task::JoinError,
    },
}

fn layout_text(found: Option<&str>) -> String {
    found.map_or_else(|| "of another program".to_owned(), |found| format!("`{found}`"))
}

impl LakeError {
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn parquet<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(ParquetError) -> Self + use<'a> {
        move |source| Self::Parquet { action, path: path.to_owned(), source }
    }

    pub(crate) fn delta(action: &'static str) -> impl FnOnce(DeltaTableError) -> Self {
        move |source| Self::Delta { action, source: Box::new(source) }
    }

    /// The file that could not be read or written, where it was one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Damaged { path, .. } | Self::Io { path, .. } | Self::Parquet { path, .. } => {
                Some(path)
            }
            _ => None,
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}
