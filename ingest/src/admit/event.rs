//! What admission is told and what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::{CommitDraft, LogKey, Watermark};
use model::{
    Ack, Dictionary, DictionaryHash, Epoch, GatewayId, LogId, Sequence, StoreId, Timestamp,
};

use super::Notice;
use crate::quarantine::{Quarantined, Used};

/// What the composition root chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmitSettings {
    /// How long frames are gathered for one commit.
    pub commit_interval: Duration,
    /// Longest wait between two attempts to commit when the store fails.
    pub retry_max: Duration,
    /// Most samples held uncommitted for all gateways together: what bounds memory.
    pub samples_max: u64,
    /// Room in quarantine for frames that cannot be read; none without a quarantine.
    pub quarantine_room: Used,
}

/// The moment of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Never steps.
    pub monotonic: Duration,
    /// May step.
    pub wall: Timestamp,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A gateway's message on its uplink topic.
    Up {
        /// The gateway, from the topic.
        gateway: GatewayId,
        /// The message.
        message: Bytes,
    },
    /// The broker is there, for the first time or again.
    Connected,
    /// Time passed.
    Tick,
    /// The draft under way is durable.
    Committed,
    /// The draft under way could not be made durable.
    CommitFailed {
        /// Why.
        error: String,
        /// Where each log stands in the store now, where it could be asked.
        watermarks: Option<BTreeMap<LogKey, Watermark>>,
        /// Which store it is now, where it could be asked.
        identity: Option<(StoreId, Epoch)>,
    },
    /// Commit at once what is held: the program is about to end.
    Flush,
}

/// What to do.
#[derive(Debug, Clone)]
pub enum Action {
    /// Tell a gateway.
    Ack {
        /// The gateway.
        gateway: GatewayId,
        /// What.
        ack: Ack,
    },
    /// Commit, and answer with [`Event::Committed`] or [`Event::CommitFailed`].
    Commit(Arc<Work>),
    /// Tell people.
    Notice(Notice),
    /// A gateway said which devices it has today: those that these dictionaries describe, and no others.
    Configured {
        /// The gateway.
        gateway: GatewayId,
        /// The dictionaries.
        dictionaries: Vec<Arc<Dictionary>>,
    },
}

/// One commit.
#[derive(Debug, Default)]
pub struct Work {
    /// Rows and watermarks.
    pub draft: Arc<CommitDraft>,
    /// Dictionaries that must be durable before the rows that name them.
    pub dictionaries: Vec<(DictionaryHash, Arc<Dictionary>)>,
    /// Frames that must be in quarantine before their loss is durable.
    pub quarantined: Vec<Quarantined>,
}

/// One log, for the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its spool.
    pub log_id: LogId,
    /// Everything up to here is in the store.
    pub watermark: Sequence,
    /// Frames held for the next commits.
    pub held_frames: u64,
    /// Frames of it that the gateway gave up, in all.
    pub lost_frames: u64,
    /// Samples in them, as far as they are known.
    pub lost_samples: u64,
    /// Whether the gateway opened it in this run.
    pub opened: bool,
}
