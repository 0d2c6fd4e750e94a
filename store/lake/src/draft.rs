//! What a caller hands in for one commit, and what it gets back. Must never know how a commit is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Batch, CommitNumber, Dictionary, GatewayId, Generation, LogId, Sequence};

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
    /// What the caller knows the last frame by, where it is known.
    pub last_hash: Option<u64>,
}

/// Where one log shall stand after a commit. The losses are totals, not increments, so that a replay changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkMove {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its spool.
    pub log_id: LogId,
    /// The sequence up to which everything is in the store with this commit, or lost.
    pub durable_upto: Sequence,
    /// Frames of this log that were given up, in all.
    pub lost_frames: u64,
    /// Samples in those frames, in all.
    pub lost_samples: u64,
    /// 63 bits of the hash of the frame at `durable_upto`, to know it again; `None` where there is no such frame.
    pub last_hash: Option<u64>,
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
