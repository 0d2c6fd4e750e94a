//! How ingest is, for people and for programs.

use contract::{DamagedPart, LostFrames, StoreDamage};
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

/// What the store holds and cannot read: rows that were acknowledged and count as lost while it is so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DamageStatus {
    /// Damaged parts, in all.
    pub parts: u64,
    /// Rows in them.
    pub rows_lost: u64,
    /// The parts, those with rows first; [`contract::damage`] bounds how many.
    pub named: Vec<DamagedPartStatus>,
}

/// A damaged part of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedPartStatus {
    /// Its name; of a file its path.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
    /// Rows in it.
    pub rows_lost: u64,
    /// First and last point of them.
    pub points: Option<(String, String)>,
    /// First and last source time of them.
    pub times: Option<(Timestamp, Timestamp)>,
    /// The frames that they came in.
    pub frames: Vec<LostFramesStatus>,
}

/// A range of frames of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostFramesStatus {
    /// The gateway; `None` where the part has rows of too many logs to name them.
    pub gateway: Option<GatewayId>,
    /// The life of its spool.
    pub log_id: Option<LogId>,
    /// First frame.
    pub first: Sequence,
    /// Last frame.
    pub last: Sequence,
}

impl From<&StoreDamage> for DamageStatus {
    fn from(damage: &StoreDamage) -> Self {
        let named = damage.named.iter().map(DamagedPartStatus::from).collect();
        Self { parts: damage.parts, rows_lost: damage.rows, named }
    }
}

impl From<&DamagedPart> for DamagedPartStatus {
    fn from(part: &DamagedPart) -> Self {
        let lost = part.lost.as_ref();
        let frames = lost.map(|lost| lost.frames.iter().map(LostFramesStatus::from).collect());
        Self {
            name: part.name.clone(),
            what: part.what.clone(),
            rows_lost: lost.map_or(0, |lost| lost.rows),
            points: lost.map(|lost| lost.points.clone()),
            times: lost.map(|lost| lost.times),
            frames: frames.unwrap_or_default(),
        }
    }
}

impl From<&LostFrames> for LostFramesStatus {
    fn from(frames: &LostFrames) -> Self {
        let (gateway, log_id) = frames.log.clone().unzip();
        Self { gateway, log_id, first: frames.first, last: frames.last }
    }
}

/// The state of ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IngestStatus {
    /// Whether the broker is there.
    pub broker_connected: bool,
    /// How often the connection to a broker elsewhere broke in the last minute.
    pub broker_breaks_in_last_minute: u64,
    /// Why the last attempt to commit failed; `None` when it went well.
    pub store_error: Option<String>,
    /// The last commit; 0 when there was none.
    pub last_commit: CommitNumber,
    /// When it was made; `None` when not in this run.
    pub last_commit_at: Option<Timestamp>,
    /// What the store cannot read.
    pub store_damage: DamageStatus,
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
