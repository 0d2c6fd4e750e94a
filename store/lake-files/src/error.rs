//! What can go wrong with the embedded store.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use contract::DraftError;
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
        /// It closed the table; what it began still runs.
        ends: bool,
    },
    /// There is nothing to read.
    #[error("no table in `{}`", dir.display())]
    NoTable {
        /// The directory that was given.
        dir: PathBuf,
    },
    /// The table is not one of ours, or a newer program made it.
    #[error("table in `{}` has layout {}, this program reads layout {LAYOUT}; {}", dir.display(), layout_text(found.as_deref()), layout_help(found.as_deref()))]
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
    /// The table in the directory is not the one that was written last: it was replaced, taken back or edited. Nothing was
    /// written; the next call reads it as it is now.
    #[error("table in `{}` changed under its writer: {what}; nothing was written", dir.display())]
    Changed {
        /// The table's directory.
        dir: PathBuf,
        /// What was found.
        what: String,
    },
    /// There are data files of commits that come after the end of the log.
    #[error("the log of the table in `{}` is older than its data files: {files}; nothing was deleted or moved", dir.display())]
    Unlisted {
        /// The table's directory.
        dir: PathBuf,
        /// Which.
        files: Unnamed,
    },
    /// Nothing proves that the log is whole, and data files lie there that no entry names: they may be of commits whose
    /// entries are gone.
    #[error("nothing proves the end of the log of the table in `{}`: {what}; {files}, and may be of commits whose entries are gone; nothing was deleted or moved", dir.display())]
    Unproven {
        /// The table's directory.
        dir: PathBuf,
        /// What is wrong with the head.
        what: String,
        /// Which.
        files: Unnamed,
    },
    /// Behind the end of the log that is proved there is an entry that cannot be read, or a gap.
    #[error("the log of the table goes on at `{}` behind its proved end, version {end}, and cannot be followed: {what}; {files}; nothing was deleted or moved", path.display())]
    Beyond {
        /// The first file that cannot be followed.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// The newest version that is proved.
        end: u64,
        /// Data files that may be of what comes behind it.
        files: Unnamed,
    },
    /// The newest entries that the head proves are damaged or missing.
    #[error("table is damaged at `{}`: {what}; version {end} is the newest that can be read; {files}; nothing was deleted or moved", path.display())]
    EndLost {
        /// The first of them.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// The newest version that can be read.
        end: u64,
        /// Data files that may be of what is lost.
        files: Unnamed,
    },
    /// There is too little room for a commit.
    #[error("disk of `{}` is full: {free} bytes are free, at least {needed} are needed for a commit; free some space", dir.display())]
    Full {
        /// The table's directory.
        dir: PathBuf,
        /// What is free.
        free: u64,
        /// What must be.
        needed: u64,
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

/// Data files that no entry of the log names; the first of them are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unnamed(pub Vec<PathBuf>);

impl Unnamed {
    /// Files that an error names; a person moves them one by one.
    pub const SHOWN_MAX: usize = 32;
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => return f.write_str("no data file is without an entry"),
            1 => f.write_str("this data file is in no entry of the log: ")?,
            count => write!(f, "these {count} data files are in no entry of the log: ")?,
        }
        for (at, path) in self.0.iter().take(Self::SHOWN_MAX).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}`{}`", path.display())?;
        }
        match self.0.len().saturating_sub(Self::SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn layout_text(found: Option<&str>) -> String {
    found.map_or_else(|| "of another program".to_owned(), str::to_owned)
}

fn layout_help(found: Option<&str>) -> &'static str {
    match found {
        Some("1") => "start a new lake, the gateways send what they still hold",
        _ => "nothing was changed, use the program that made it",
    }
}

impl LakeError {
    /// What failed while `action` was done to the file at `path`.
    pub fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// What the Parquet library refused while `action` was done to the file at `path`.
    pub fn parquet<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(ParquetError) -> Self + use<'a> {
        move |source| Self::Parquet { action, path: path.to_owned(), source }
    }

    /// Whether the cause is a disk without room.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let full = |source: &io::Error| {
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => full(source),
            Self::Parquet { source, .. } => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source);
                while let Some(error) = cause {
                    if error.downcast_ref::<io::Error>().is_some_and(full) {
                        return true;
                    }
                    cause = error.source();
                }
                false
            }
            _ => false,
        }
    }

    /// Whether the cause is a right that this process lacks.
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }

    /// Whether the cause is this process or its machine, and says nothing of the file: too many open files, no memory.
    pub fn is_of_process(&self) -> bool {
        const OF_PROCESS: [nix::errno::Errno; 3] =
            [nix::errno::Errno::EMFILE, nix::errno::Errno::ENFILE, nix::errno::Errno::ENOMEM];
        let Self::Io { source, .. } = self else { return false };
        source.raw_os_error().is_some_and(|code| OF_PROCESS.iter().any(|one| *one as i32 == code))
    }

    /// Whether the cause is who reads, and says nothing of the file: this process, its machine, or a right that it lacks.
    #[must_use]
    pub fn is_of_reader(&self) -> bool {
        self.is_of_process() || self.is_permission_denied()
    }

    /// Whether the cause is that there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The file that could not be read or written, where it was one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Damaged { path, .. }
            | Self::Io { path, .. }
            | Self::Parquet { path, .. }
            | Self::Dictionary { path, .. }
            | Self::EndLost { path, .. }
            | Self::Beyond { path, .. } => Some(path),
            Self::Unlisted { files, .. } | Self::Unproven { files, .. } => {
                files.0.first().map(PathBuf::as_path)
            }
            _ => None,
        }
    }

    /// A file whose bytes are not those that were written; `what` says how that is seen.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}
