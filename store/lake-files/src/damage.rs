//! What is damaged in a table, and which rows cannot be read because of it. Knows nothing of how it was found.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{DamagedPart, LogBook, LogKey, LostFrames, LostRows};
use model::Generation;

use crate::LakeError;
use crate::facts::{FileFacts, LogFrames};

/// A damaged or missing file of the table. Nothing is ever deleted because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// The rows that cannot be read while it is so; `None` for a file that holds no rows.
    pub lost: Option<LostRows>,
}

/// Which log each generation is, as the table knows it: nobody else knows a generation.
#[derive(Debug, Clone, Default)]
pub struct LogNames(Arc<BTreeMap<Generation, LogKey>>);

impl LogNames {
    /// As the log book has them.
    #[must_use]
    pub fn of(book: &LogBook) -> Self {
        let names = book.logs.iter().map(|(key, mark)| (mark.generation, key.clone()));
        Self(Arc::new(names.collect()))
    }
}

impl Damage {
    /// A file of which it is not known what is lost with it.
    pub fn of_file(path: PathBuf, what: impl Into<String>) -> Self {
        Self { path, what: what.into(), lost: None }
    }

    /// What an error says about a file.
    pub fn of_error(error: &LakeError) -> Self {
        match error {
            LakeError::Damaged { path, what } => Self::of_file(path.clone(), what.as_str()),
            LakeError::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::of_file(path.clone(), "the file is missing")
            }
            LakeError::Dictionary { path, source } => {
                let what = format!("it does not have its hash: {}", model::error_chain(source));
                Self::of_file(path.clone(), what)
            }
            error => {
                let path = error.path().map(Path::to_path_buf).unwrap_or_default();
                Self::of_file(path, model::error_chain(error))
            }
        }
    }

    /// A data file that an error is about.
    pub fn of_data(error: &LakeError, facts: &FileFacts, names: &LogNames) -> Self {
        let extent = &facts.extent;
        let lost = LostRows {
            rows: extent.rows,
            points: extent.point.clone(),
            times: extent.ts,
            frames: frames_of(facts, names),
        };
        Self { lost: Some(lost), ..Self::of_error(error) }
    }
}

/// The frames that have rows in a data file.
pub fn frames_of(facts: &FileFacts, names: &LogNames) -> Vec<LostFrames> {
    let frames = |log: &LogFrames| LostFrames {
        log: names.0.get(&log.generation).cloned(),
        generation: log.generation,
        first: log.first,
        last: log.last,
    };
    facts.frames.iter().map(frames).collect()
}

impl From<Damage> for DamagedPart {
    fn from(damage: Damage) -> Self {
        Self { name: damage.path.display().to_string(), what: damage.what, lost: damage.lost }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.what)?;
        let Some(lost) = &self.lost else { return Ok(()) };
        let (points, times) = (&lost.points, &lost.times);
        write!(f, "; {} rows cannot be read: points `{}` to `{}`", lost.rows, points.0, points.1)?;
        write!(f, ", {} to {}", times.0, times.1)?;
        for frames in &lost.frames {
            write!(f, ", {frames}")?;
        }
        Ok(())
    }
}
