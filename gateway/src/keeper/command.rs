//! What others may ask of the keeper. Must never touch the spool itself.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use model::wire::Open;
use model::{Cursor, HistoryMarks, LogId, PointIndex, Sequence};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::last::LastSamples;
use crate::status::{ClockStatus, SpoolStatus};

/// Requests that may wait for the keeper.
pub(super) const COMMANDS_QUEUED_MAX: usize = 64;

/// The keeper has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the spool is closed")]
pub struct KeeperClosed;

/// What the uplink must know of the spool; it changes after every commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolView {
    /// Highest durable sequence.
    pub durable: Sequence,
    /// Oldest sequence held.
    pub oldest: Sequence,
    /// Frames lost so far; a change means that there is a new loss to tell.
    pub frames_lost: u64,
}

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
    Read { from: Sequence, bytes_max: usize, reply: oneshot::Sender<Vec<(Sequence, Bytes)>> },
    Open { from: Sequence, reply: oneshot::Sender<OpenInfo> },
    Free { upto: Sequence },
    Status { reply: oneshot::Sender<KeeperStatus> },
    Resume { points: Arc<[PointIndex]>, reply: oneshot::Sender<HashMap<PointIndex, Cursor>> },
    Flush { reply: oneshot::Sender<()> },
    Stop,
}

/// Asks the keeper.
#[derive(Clone)]
pub struct KeeperHandle {
    pub(super) commands: mpsc::Sender<Command>,
}

impl KeeperHandle {
    /// Durable frames from `from` on, as they travel, in order; at least one where there is one.
    pub async fn read(
        &self,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<(Sequence, Bytes)>, KeeperClosed> {
        self.ask(|reply| Command::Read { from, bytes_max, reply }).await
    }

    /// What a session that goes on from `from` opens with.
    pub async fn open(&self, from: Sequence) -> Result<OpenInfo, KeeperClosed> {
        self.ask(|reply| Command::Open { from, reply }).await
    }

    /// The store has everything up to here.
    pub async fn free(&self, upto: Sequence) -> Result<(), KeeperClosed> {
        self.commands.send(Command::Free { upto }).await.map_err(|_| KeeperClosed)
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
