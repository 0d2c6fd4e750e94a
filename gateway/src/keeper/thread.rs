//! The thread itself. Its runtime has one task: disk calls may block here, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use driver::Emission;
use model::{Boot, Dictionary, HistoryMarks, LogId, Sequence};
use spool::{Spool, SpoolConfig, SpoolError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::command::{
    COMMANDS_QUEUED_MAX, Command, KeeperClosed, KeeperHandle, OpenInfo, SpoolView,
};
use super::keeping::Keeping;
use crate::run::Host;
use crate::settings::SpoolSettings;
use crate::uplink_open;

/// Samples gathered before they are made durable without waiting for the interval.
const CUT_SAMPLES: usize = 10_000;
/// Why the keeper did not start.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The thread cannot be made.
    #[error("cannot start the spool's thread")]
    Thread(#[source] std::io::Error),
}

/// What the keeper needs to know.
pub struct KeeperSettings {
    /// The spool.
    pub spool: SpoolSettings,
    /// The points of this run.
    pub dictionary: Arc<Dictionary>,
    /// Version of the program, for the BOOT record.
    pub version: String,
}

/// A running keeper.
pub struct Keeper {
    handle: KeeperHandle,
    view: watch::Receiver<SpoolView>,
    read_back: watch::Receiver<bool>,
    log_id: LogId,
    acked: Sequence,
    marks: HistoryMarks,
    ended: oneshot::Receiver<()>,
}

impl Keeper {
    /// Opens the spool, notes the start in it and begins to take emissions.
    pub async fn start(
        settings: KeeperSettings,
        host: Host,
        emissions: mpsc::Receiver<Emission>,
    ) -> Result<Self, KeeperError> {
        let (ready, started) = oneshot::channel();
        let (commands, commands_rx) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let (view_tx, view) = watch::channel(SpoolView::default());
        let (read_back_tx, read_back) = watch::channel(true);
        let (end, ended) = oneshot::channel();
        let work = move || {
            let opened = Worker::open(settings, &host, view_tx, read_back_tx);
            let mut worker = match opened {
                Ok(worker) => worker,
                Err(e) => return drop(ready.send(Err(e))),
            };
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build()
            {
                Ok(runtime) => runtime,
                Err(e) => return drop(ready.send(Err(KeeperError::Thread(e)))),
            };
            let status = worker.keeping.spool.status();
            let first = (status.log_id, status.acked, worker.keeping.durable_marks.clone());
            if ready.send(Ok(first)).is_ok() {
                runtime.block_on(worker.run(emissions, commands_rx));
            }
            drop(worker);
            // Nobody may wait for it; that is no fault.
            end.send(()).ok();
        };
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(work)
            .map_err(KeeperError::Thread)?;
        let gone =
            || KeeperError::Thread(std::io::Error::other("the thread ended before it began"));
        let (log_id, acked, marks) = started.await.map_err(|_| gone())??;
        let handle = KeeperHandle { commands };
        Ok(Self { handle, view, read_back, log_id, acked, marks, ended })
    }

    /// Asks it things.
    #[must_use]
    pub fn handle(&self) -> KeeperHandle {
        self.handle.clone()
    }

    /// What the uplink watches.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<SpoolView> {
        self.view.clone()
    }

    /// False while reading back must pause.
    #[must_use]
    pub fn read_back_allowed(&self) -> watch::Receiver<bool> {
        self.read_back.clone()
    }

    /// Life of the spool.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// Watermark at the start.
    #[must_use]
    pub fn acked(&self) -> Sequence {
        self.acked
    }

    /// History marks at the start.
    #[must_use]
    pub fn marks(&self) -> &HistoryMarks {
        &self.marks
    }

    /// Returns when everything that was handed over is durable, all senders of emissions being gone.
    pub async fn flushed(&self) -> Result<(), KeeperClosed> {
        let (reply, answer) = oneshot::channel();
        self.handle.commands.send(Command::Flush { reply }).await.map_err(|_| KeeperClosed)?;
        answer.await.map_err(|_| KeeperClosed)
    }

    /// Ends the thread and waits until the spool is closed.
    pub async fn stop(self) {
        if self.handle.commands.send(Command::Stop).await.is_ok() && self.ended.await.is_err() {
            tracing::warn!("the spool's thread ended without a word");
        }
    }
}

struct Worker {
    keeping: Keeping,
    commit_interval: Duration,
    view: watch::Sender<SpoolView>,
    read_back: watch::Sender<bool>,
}

impl Worker {
    fn open(
        settings: KeeperSettings,
        host: &Host,
        view: watch::Sender<SpoolView>,
        read_back: watch::Sender<bool>,
    ) -> Result<Self, KeeperError> {
        let KeeperSettings { spool, dictionary, version } = settings;
        let config = SpoolConfig {
            segment_bytes: spool.segment.0,
            ..SpoolConfig::new(&spool.folder, spool.quota.0)
        };
        let (log, recovery) = Spool::open_dir(config.clone(), &*host.entropy)?;
        let mut boot_id = [0; 8];
        host.entropy.fill(&mut boot_id);
        let boot = Boot {
            boot_id: format!("{:016x}", u64::from_le_bytes(boot_id)),
            version,
            at: host.clock.now(),
            last_sequence: log.status().durable,
        };
        let mut keeping = Keeping::new(log, recovery, &config, dictionary);
        keeping.note_start(&boot)?;
        let mut worker = Self { keeping, commit_interval: spool.commit_interval, view, read_back };
        worker.show();
        Ok(worker)
    }

    async fn run(
        &mut self,
        mut emissions: mpsc::Receiver<Emission>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut commit_at: Option<Instant> = None;
        let mut flushing: Vec<oneshot::Sender<()>> = Vec::new();
        let mut emitting = true;
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Flush { reply }) => flushing.push(reply),
                    Some(Command::Stop) | None => break,
                    Some(command) => self.answer(command),
                },
                emission = emissions.recv(), if emitting => match emission {
                    Some(emission) => {
                        self.keeping.take(emission);
                        commit_at.get_or_insert_with(|| Instant::now() + self.commit_interval);
                    }
                    None => emitting = false,
                },
                () = sleep_until(commit_at), if commit_at.is_some() => {}
                // Others may have made room on the disk, of which nobody tells.
                () = tokio::time::sleep(LOOK_AGAIN_AFTER), if !*self.read_back.borrow() => self.show(),
            }
            let due = commit_at.is_some_and(|at| at <= Instant::now());
            if due || self.keeping.waiting() >= CUT_SAMPLES || (!emitting && commit_at.is_some()) {
                self.keeping.commit();
                self.show();
                commit_at = self.keeping.is_failing().then(|| Instant::now() + LOOK_AGAIN_AFTER);
            }
            if !emitting {
                for reply in flushing.drain(..) {
                    reply.send(()).ok();
                }
            }
        }
        self.keeping.commit();
    }

    fn answer(&mut self, command: Command) {
        match command {
            Command::Read { from, bytes_max, reply } => {
                let frames = match self.keeping.spool.read_from(from, bytes_max) {
                    Ok(frames) => frames,
                    Err(e) => {
                        tracing::warn!(error = %e, "cannot read the spool; tried again");
                        Vec::new()
                    }
                };
                let shared =
                    |frame: spool::StoredFrame| (frame.header.sequence, frame.bytes.into());
                drop(reply.send(frames.into_iter().map(shared).collect()));
                // Reading may have found damage, which is a loss to tell.
                self.show();
            }
            Command::Open { from, reply } => drop(reply.send(self.open_info(from))),
            Command::Free { upto } => {
                if let Err(e) = self.keeping.spool.ack(upto) {
                    tracing::warn!(error = %e, "cannot free what was committed; tried again with the next ack");
                }
                self.show();
            }
            Command::Status { reply } => {
                drop(reply.send((
                    self.keeping.status(),
                    self.keeping.last.clone(),
                    self.keeping.durable_marks.clone(),
                )));
            }
            Command::Flush { .. } | Command::Stop => {}
        }
    }

    fn open_info(&mut self, from: Sequence) -> OpenInfo {
        let info =
            uplink_open::open_info(&mut self.keeping.spool, &self.keeping.dictionaries, from);
        // Reading may have found damage, which is a loss to tell.
        self.show();
        info
    }

    fn show(&mut self) {
        let view = self.keeping.view();
        self.view.send_if_modified(|known| std::mem::replace(known, view) != view);
        let allowed = self.keeping.read_back_allowed();
        self.read_back.send_if_modified(|known| std::mem::replace(known, allowed) != allowed);
    }
}

/// After a failed write, and while reading back pauses, the next look at the disk waits so long.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
