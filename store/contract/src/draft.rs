//! What a caller hands in for one commit, and what it gets back.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Batch, CommitNumber, Dictionary, FrameHash, GatewayId, Generation, LogId, PointInfo, Sample,
    Sequence,
};

use crate::error::{DraftError, DraftFault};

/// Name of one log: a gateway and the life of its spool.
pub type LogKey = (GatewayId, LogId);

/// How far one log is durable in this store, and what of it will never arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// Everything up to this sequence is durable here.
    pub durable_upto: Sequence,
    /// The log's place in the order in which logs were first committed.
    pub generation: Generation,
    /// Frames of this log that were given up before they arrived, in all.
    pub lost_frames: u64,
    /// Samples in those frames, as far as they are known, in all.
    pub lost_samples: u64,
    /// SHA-256 of the frame at `durable_upto`; `None` after a loss, and where no frame was committed.
    pub last_hash: Option<FrameHash>,
}

/// Where one log shall stand after a commit. The losses are totals, not increments, so that a replay changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkMove {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its spool.
    pub log_id: LogId,
    /// Where the log stood for the maker of the draft; 0 for one that the store never saw. A store in which it stands
    /// lower refuses the draft: it went back, and what lies between would be missing without a word.
    pub stood: Sequence,
    /// The sequence up to which everything is in the store with this commit, or lost.
    pub durable_upto: Sequence,
    /// Frames of this log that were given up, in all.
    pub lost_frames: u64,
    /// Samples in those frames, in all.
    pub lost_samples: u64,
    /// SHA-256 of the frame at `durable_upto`, to know it again; `None` where there is no such frame.
    pub last_hash: Option<FrameHash>,
}

/// One DATA frame that passed admission.
#[derive(Debug, Clone)]
pub struct AdmittedFrame {
    /// The gateway it came from.
    pub gateway: GatewayId,
    /// The life of that gateway's spool.
    pub log_id: LogId,
    /// Its sequence in that log.
    pub sequence: Sequence,
    /// What the point indexes of the batch mean.
    pub dictionary: Arc<Dictionary>,
    /// The samples.
    pub batch: Batch,
}

impl AdmittedFrame {
    /// Says whether every sample can be stored: its point known, its value of the point's type, its time in range.
    /// A commit refuses a draft with a frame that cannot, so ask before the frame enters one.
    pub fn check(&self) -> Result<(), DraftError> {
        self.batch.samples.iter().try_for_each(|sample| self.point_of(sample).map(|_| ()))
    }

    /// The point of a sample, where the sample can be stored.
    pub fn point_of(&self, sample: &Sample) -> Result<&PointInfo, DraftError> {
        self.checked_point(sample).map_err(|fault| DraftError {
            gateway: self.gateway.clone(),
            log_id: self.log_id,
            sequence: self.sequence,
            fault,
        })
    }

    fn checked_point(&self, sample: &Sample) -> Result<&PointInfo, DraftFault> {
        let index = sample.point;
        let points = self.dictionary.points.len();
        let info =
            self.dictionary.point(index).ok_or(DraftFault::UnknownPoint { index, points })?;
        let misfit = sample.value.as_ref().filter(|value| !value.fits(info.value_type));
        if let Some(value) = misfit {
            let (expected, found) = (info.value_type.kind(), value.kind());
            return Err(DraftFault::ValueType { index, expected, found });
        }
        for found in [sample.source_time, sample.gateway_time] {
            if !found.is_storable() {
                return Err(DraftFault::Time { found });
            }
        }
        Ok(info)
    }
}

/// Everything that becomes durable together: frames of any number of gateways, and the watermarks they lead to.
#[derive(Debug, Clone, Default)]
pub struct CommitDraft {
    /// The frames; those of one log in ascending sequence. Those at or below its watermark are replays and left out.
    pub frames: Vec<AdmittedFrame>,
    /// One entry for each log of `frames`, and for logs that move without rows (a loss, a record that is no DATA).
    pub watermarks: Vec<WatermarkMove>,
}

/// What a commit made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The number of this commit; the last one's when the draft was nothing but a replay.
    pub commit: CommitNumber,
    /// Rows written.
    pub rows: u64,
    /// Frames left out because the store already had them.
    pub replayed_frames: u64,
    /// The generation of every log in the draft.
    pub generations: BTreeMap<LogKey, Generation>,
}
