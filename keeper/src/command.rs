//! What others may ask of the keeper.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use model::wire::Open;
use model::{Cursor, Epoch, FrameHash, HistoryMarks, LogId, PointIndex, Sequence, StoreId};
use spool::DestinationIndex;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::last::LastSamples;
use crate::status::{ClockStatus, SpoolStatus};
use crate::uplink::Freed;

/// Requests that may wait for the keeper.
pub(super) const COMMANDS_QUEUED_MAX: usize = 64;

/// The keeper has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the spool is closed")]
pub struct KeeperClosed;

/// What the uplinks must know of the spool; it changes after every commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolView {
    /// Which log.
    pub log_id: LogId,
    /// Highest durable sequence.
    pub durable: Sequence,
    /// Each destination, in the order of the configuration.
    pub destinations: Vec<DestinationView>,
}

impl Default for SpoolView {
    /// Before the spool is open.
    fn default() -> Self {
        Self { log_id: LogId([0; 16]), durable: Sequence(0), destinations: Vec::new() }
    }
}

/// What the uplink of one destination must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationView {
    /// The watermark: what its store has.
    pub acked: Sequence,
    /// Oldest sequence that it may be sent.
    pub oldest: Sequence,
    /// Last sequence that it may be sent now.
    pub deliverable: Sequence,
    /// Counts every loss so far that it may hear of; a change means that there is a new loss to tell.
    pub losses: u64,
    /// Its store, as it was told last.
    pub store: Option<(StoreId, Epoch)>,
}

/// Frames by their sequences, as they travel.
pub(super) type Frames = Vec<(Sequence, Bytes)>;

/// What an uplink session opens with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInfo {
    /// Which log.
    pub log_id: LogId,
    /// The opening message.
    pub open: Open,
    /// Bodies of the DICT records that the frames to come may name.
    pub dictionaries: Vec<Bytes>,
}

/// What the keeper knows.
#[derive(Debug, Clone, Default)]
pub struct KeeperStatus {
    /// How the spool does.
    pub spool: SpoolStatus,
    /// What is known of the host's clock.
    pub clock: ClockStatus,
    /// The last sample of each point.
    pub last: LastSamples,
    /// The durable history marks.
    pub marks: HistoryMarks,
}

pub(super) enum Command {
    Read {
        to: DestinationIndex,
        log_id: LogId,
        from: Sequence,
        bytes_max: usize,
        reply: oneshot::Sender<Option<Frames>>,
    },
    Open {
        to: DestinationIndex,
        from: Sequence,
        reply: oneshot::Sender<OpenInfo>,
    },
    Free {
        to: DestinationIndex,
        upto: Sequence,
        hash: Option<FrameHash>,
        reply: oneshot::Sender<Freed>,
    },
    NoteStore {
        to: DestinationIndex,
        store: StoreId,
        epoch: Epoch,
    },
    BeginLog {
        destination: String,
        why: String,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Status {
        reply: oneshot::Sender<KeeperStatus>,
    },
    Resume {
        points: Arc<[PointIndex]>,
        reply: oneshot::Sender<HashMap<PointIndex, Cursor>>,
    },
    Flush {
        reply: oneshot::Sender<()>,
    },
    Stop,
}

/// Asks the keeper.
#[derive(Clone)]
pub struct KeeperHandle {
    pub(super) commands: mpsc::Sender<Command>,
}

impl KeeperHandle {
    /// Durable frames of the log from `from` on for one destination, in order; at least one where there is one. `None`
    /// when the spool is another log by now.
    pub async fn read(
        &self,
        to: DestinationIndex,
        log_id: LogId,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Option<Frames>, KeeperClosed> {
        self.ask(|reply| Command::Read { to, log_id, from, bytes_max, reply }).await
    }

    /// What a session that goes on from `from` opens with.
    pub async fn open(
        &self,
        to: DestinationIndex,
        from: Sequence,
    ) -> Result<OpenInfo, KeeperClosed> {
        self.ask(|reply| Command::Open { to, from, reply }).await
    }

    /// A store says that it has everything up to here; it is freed if `hash` is that of the frame.
    pub async fn free(
        &self,
        to: DestinationIndex,
        upto: Sequence,
        hash: Option<FrameHash>,
    ) -> Result<Freed, KeeperClosed> {
        self.ask(|reply| Command::Free { to, upto, hash, reply }).await
    }

    /// Notes which store a destination has.
    pub async fn note_store(
        &self,
        to: DestinationIndex,
        store: StoreId,
        epoch: Epoch,
    ) -> Result<(), KeeperClosed> {
        let command = Command::NoteStore { to, store, epoch };
        self.commands.send(command).await.map_err(|_| KeeperClosed)
    }

    /// Lets the spool begin again as another log; says why it could not.
    pub async fn begin_log(
        &self,
        destination: String,
        why: String,
    ) -> Result<Result<(), String>, KeeperClosed> {
        self.ask(|reply| Command::BeginLog { destination, why, reply }).await
    }

    /// How the spool does, the last samples, and the durable history marks.
    pub async fn status(&self) -> Result<KeeperStatus, KeeperClosed> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// A port with these points begins to read, the run before it having ended: gives their marks, which move from now
    /// on even where a sample was refused before, because it is read back again.
    pub async fn resume(
        &self,
        points: &Arc<[PointIndex]>,
    ) -> Result<HashMap<PointIndex, Cursor>, KeeperClosed> {
        self.ask(|reply| Command::Resume { points: Arc::clone(points), reply }).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, KeeperClosed> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| KeeperClosed)?;
        answer.await.map_err(|_| KeeperClosed)
    }
}
