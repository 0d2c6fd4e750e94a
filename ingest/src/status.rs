//! How ingest is, for people and for programs. Must never hold anything that ingest itself needs.

use model::{CommitNumber, GatewayId, LogId, Sequence, Timestamp};
use serde::Serialize;

use crate::admit::Counters;

/// The state of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its spool.
    pub log_id: LogId,
    /// Everything up to here is in the store.
    pub watermark: Sequence,
    /// Frames admitted and not yet in a commit.
    pub held_frames: u64,
    /// Frames of it that the gateway gave up, in all.
    pub lost_frames: u64,
    /// Samples in them, as far as they are known.
    pub lost_samples: u64,
    /// Whether the gateway opened it in this run.
    pub opened: bool,
}

/// The state of ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IngestStatus {
    /// Whether the broker is there.
    pub broker_connected: bool,
    /// Why the last attempt to commit failed; `None` when it went well.
    pub store_error: Option<String>,
    /// The last commit; 0 when there was none.
    pub last_commit: CommitNumber,
    /// When it was made; `None` when not in this run.
    pub last_commit_at: Option<Timestamp>,
    /// Counts of this run.
    pub counters: Counters,
    /// Live topics that are kept.
    pub live_topics: u64,
    /// Values left out of the live topics because there are too many.
    pub live_left_out: u64,
    /// Values that a newer one replaced before the budget or the rate of the live topics let them out.
    pub live_held_back: u64,
    /// Descriptions and states that found no room.
    pub live_others_dropped: u64,
    /// Why the live topics were not filled from the store at the start; `None` when they were, or nothing failed so far.
    pub live_restore_error: Option<String>,
    /// All logs, by gateway.
    pub logs: Vec<LogStatus>,
}

/// A commit of this run, for whoever computes from what is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CommitNotice {
    /// Its number; 0 before the first.
    pub commit: CommitNumber,
    /// Rows that the commits of this run brought, in all.
    pub rows: u64,
}
