//! What the keeper needs to know.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::ByteSize;
use model::{DestinationId, PointIndex};

use crate::points::PointTable;

/// `[spool]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Where it lives.
    pub folder: PathBuf,
    /// Most bytes it may take.
    pub quota: ByteSize,
    /// Bytes of a segment.
    pub segment: ByteSize,
    /// How often gathered samples are made durable.
    pub commit_interval: Duration,
}

impl SpoolSettings {
    /// What holds where nothing is configured, beside the configuration in `folder`.
    #[must_use]
    pub fn default_in(folder: &Path) -> Self {
        Self {
            folder: folder.join("spool"),
            quota: ByteSize(1 << 30),
            segment: ByteSize(4 << 20),
            commit_interval: Duration::from_secs(1),
        }
    }
}

/// What the keeper needs to know.
pub struct KeeperSettings {
    /// The spool.
    pub spool: SpoolSettings,
    /// Where its records go.
    pub destinations: Vec<DestinationId>,
    /// The points of this run.
    pub points: Arc<PointTable>,
    /// Those whose history is read back.
    pub read_back: Vec<PointIndex>,
    /// Version of the program, for the BOOT record.
    pub version: String,
}
