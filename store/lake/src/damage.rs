//! What is damaged in a table, and which rows cannot be read because of it. Knows nothing of how it was found.

use std::fmt;
use std::path::{Path, PathBuf};

use contract::{LogBook, LogKey};
use model::{Generation, Sequence, Timestamp};

use crate::LakeError;
use crate::facts::{FileFacts, LogFrames};
use crate::log::LogState;

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

/// Rows that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRows {
    /// How many.
    pub rows: u64,
    /// First and last point, in the order of names.
    pub points: (String, String),
    /// First and last source time.
    pub times: (Timestamp, Timestamp),
    /// The frames that have rows among them, by log.
    pub frames: Vec<LostFrames>,
}

/// A range of frames of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFrames {
    /// Gateway and log, where they are known.
    pub log: Option<LogKey>,
    /// The log, as [`crate::Watermark::generation`] names it; 0 for all logs.
    pub generation: Generation,
    /// First frame.
    pub first: Sequence,
    /// Last frame.
    pub last: Sequence,
}

impl Damage {
    pub(crate) fn of_file(path: PathBuf, what: impl Into<String>) -> Self {
        Self { path, what: what.into(), lost: None }
    }

    /// What an error says about a file.
    pub(crate) fn of_error(error: &LakeError) -> Self {
        match error {
            LakeError::Damaged { path, what } => Self::of_file(path.clone(), what.as_str()),
            error => {
                let path = error.path().map(Path::to_path_buf).unwrap_or_default();
                Self::of_file(path, model::error_chain(error))
            }
        }
    }

    /// A data file that an error is about.
    pub(crate) fn of_data(error: &LakeError, facts: &FileFacts) -> Self {
        let extent = &facts.extent;
        let frames = |log: &LogFrames| LostFrames {
            log: None,
            generation: log.generation,
            first: log.first,
            last: log.last,
        };
        let lost = LostRows {
            rows: extent.rows,
            points: extent.point.clone(),
            times: extent.ts,
            frames: facts.frames.iter().map(frames).collect(),
        };
        Self { lost: Some(lost), ..Self::of_error(error) }
    }

    /// Names the logs of lost frames by their gateways, as the table knows them: nobody else knows a generation.
    pub(crate) fn naming_logs(mut self, state: &LogState) -> Self {
        let Some(lost) = &mut self.lost else { return self };
        // A table whose transactions are damaged is refused by whoever reads them next.
        let Ok(book) = LogBook::from_transactions(&state.transactions) else { return self };
        for frames in &mut lost.frames {
            let log = book.logs.iter().find(|(_, mark)| mark.generation == frames.generation);
            frames.log = log.map(|(key, _)| key.clone());
        }
        self
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.what)?;
        let Some(lost) = &self.lost else { return Ok(()) };
        let (points, times) = (&lost.points, &lost.times);
        write!(f, "; {} rows cannot be read: points `{}` to `{}`", lost.rows, points.0, points.1)?;
        write!(f, ", {} to {}", times.0, times.1)?;
        for log in &lost.frames {
            let (first, last) = (log.first.0, log.last.0);
            if let Some((gateway, log_id)) = &log.log {
                write!(f, ", frames {first} to {last} of gateway `{gateway}`, log {log_id}")?;
                continue;
            }
            match log.generation.0 {
                0 => write!(f, ", frames {first} to {last} of many logs")?,
                one => write!(f, ", frames {first} to {last} of log generation {one}")?,
            }
        }
        Ok(())
    }
}
