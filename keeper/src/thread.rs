//! The thread itself. Its runtime has one task: disk calls may block here, and nowhere else. When it panics, what it
//! holds is still written if that goes, and the end is told: the process must not go on without it.

#![expect(
    clippy::disallowed_methods,
    reason = "environment: a moment of tokio's clock, for its timers"
)]

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use driver::{EMISSIONS_QUEUED_MAX, Emission};
use model::host::{Clock, Entropy};
use model::{Boot, Cursor, LogId, PointIndex, Sequence};
use spool::{DestinationIndex, Spool, SpoolConfig, SpoolError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::ack_watch::AckWatch;
use super::command::{
    COMMANDS_QUEUED_MAX, Command, KeeperClosed, KeeperHandle, KeeperStatus, OpenInfo, SpoolView,
};
use super::commit_timer::CommitTimer;
use super::keeping::Keeping;
use super::segment_size::segment_bytes_for;
use crate::board::{Failure, TaskBoard, TaskState};
use crate::host::Host;
use crate::settings::KeeperSettings;
use crate::status::SpoolStatus;
use crate::uplink_open;

/// Name of the thread on the board.
const TASK: &str = "keeper";

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

/// A running keeper.
pub struct Keeper {
    handle: KeeperHandle,
    view: watch::Receiver<SpoolView>,
    read_back: watch::Receiver<bool>,
    to_read_again: watch::Receiver<Arc<BTreeSet<PointIndex>>>,
    log_id: LogId,
    ended: watch::Receiver<Option<End>>,
}

/// How the thread ended.
#[derive(Debug, Clone)]
enum End {
    Asked,
    Failed(String),
}

impl Keeper {
    /// Opens the spool, notes the start in it and begins to take emissions.
    pub async fn start(
        settings: KeeperSettings,
        host: Host,
        board: TaskBoard,
        emissions: mpsc::Receiver<Emission>,
    ) -> Result<Self, KeeperError> {
        let (ready, started) = oneshot::channel();
        let (commands, commands_rx) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let (view_tx, view) = watch::channel(SpoolView::default());
        let (read_back_tx, read_back) = watch::channel(true);
        let (again_tx, to_read_again) = watch::channel(Arc::default());
        let (end, ended) = watch::channel(None);
        let shown = Shown { view: view_tx, read_back: read_back_tx, to_read_again: again_tx };
        let work = move || {
            let opened = Worker::open(settings, &host, shown);
            let worker = match opened {
                Ok(worker) => worker,
                Err(e) => return drop(ready.send(Err(e))),
            };
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build()
            {
                Ok(runtime) => runtime,
                Err(e) => return drop(ready.send(Err(KeeperError::Thread(e)))),
            };
            let log_id = worker.keeping.spool.status().log_id;
            if ready.send(Ok(log_id)).is_err() {
                return;
            }
            board.runs(TASK);
            let how = worker.work(&runtime, emissions, commands_rx, &board);
            end.send_replace(Some(how));
        };
        std::thread::Builder::new()
            .name(TASK.to_owned())
            .spawn(work)
            .map_err(KeeperError::Thread)?;
        let gone =
            || KeeperError::Thread(std::io::Error::other("the thread ended before it began"));
        let log_id = started.await.map_err(|_| gone())??;
        let handle = KeeperHandle { commands };
        Ok(Self { handle, view, read_back, to_read_again, log_id, ended })
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

    /// Points of which samples were refused and could be read back now, by a port that begins again.
    #[must_use]
    pub fn to_read_again(&self) -> watch::Receiver<Arc<BTreeSet<PointIndex>>> {
        self.to_read_again.clone()
    }

    /// Whether the thread is gone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }

    /// Waits until the thread ends by itself, which is a failure, and says why.
    pub async fn failed(&self) -> String {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await.map(|end| end.clone());
        match end {
            Ok(Some(End::Failed(why))) => why,
            _ => "ended without a word".to_owned(),
        }
    }

    /// Returns when everything that was handed over is durable, all senders of emissions being gone.
    pub async fn flushed(&self) -> Result<(), KeeperClosed> {
        let (reply, answer) = oneshot::channel();
        self.handle.commands.send(Command::Flush { reply }).await.map_err(|_| KeeperClosed)?;
        answer.await.map_err(|_| KeeperClosed)
    }

    /// Ends the thread and waits until the spool is closed.
    pub async fn stop(self) {
        if self.handle.commands.send(Command::Stop).await.is_ok() {
            self.failed().await;
        }
    }
}

/// What others see of the spool without asking.
struct Shown {
    view: watch::Sender<SpoolView>,
    read_back: watch::Sender<bool>,
    to_read_again: watch::Sender<Arc<BTreeSet<PointIndex>>>,
}

struct Worker {
    keeping: Keeping,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    timer: CommitTimer,
    /// One for each destination.
    acks: Vec<AckWatch>,
    shown: Shown,
}

impl Worker {
    fn open(settings: KeeperSettings, host: &Host, shown: Shown) -> Result<Self, KeeperError> {
        let KeeperSettings { spool, destinations, points, read_back, version } = settings;
        let (configured, quota) = (spool.segment.0, spool.quota.0);
        let segment_bytes = segment_bytes_for(&points, &read_back, configured, quota);
        if segment_bytes > configured {
            tracing::info!(
                segment_bytes,
                configured,
                "spool segments are larger than configured: each begins with the names and history marks of all points"
            );
        }
        let config = SpoolConfig {
            segment_bytes,
            destinations,
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
        let of_run = (points, read_back.as_slice());
        let mut keeping = Keeping::new(log, recovery, &config, of_run, Arc::clone(&host.clock));
        keeping.note_start(&boot)?;
        let mut worker = Self {
            keeping,
            clock: Arc::clone(&host.clock),
            entropy: Arc::clone(&host.entropy),
            timer: CommitTimer::new(spool.commit_interval),
            acks: Vec::new(),
            shown,
        };
        worker.show();
        Ok(worker)
    }

    /// Runs to the end, and closes the spool.
    fn work(
        mut self,
        runtime: &tokio::runtime::Runtime,
        mut emissions: mpsc::Receiver<Emission>,
        commands: mpsc::Receiver<Command>,
        board: &TaskBoard,
    ) -> End {
        let run = || runtime.block_on(self.run(&mut emissions, commands));
        let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { return End::Asked };
        let failure = Failure::of_panic(&*payload);
        board.failed(TASK, &failure, TaskState::Dead);
        // What was being done is lost; what waits can perhaps be kept.
        let rescue = || {
            emissions.close();
            while let Ok(emission) = emissions.try_recv() {
                self.keeping.take(emission);
            }
            self.keeping.lose_unknown();
            self.keeping.commit_last();
        };
        if catch_unwind(AssertUnwindSafe(rescue)).is_err() {
            // A spool that is not closed is looked through at the next start.
            std::mem::forget(self);
        }
        End::Failed(failure.to_string())
    }

    async fn run(
        &mut self,
        emissions: &mut mpsc::Receiver<Emission>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut flushing: Vec<oneshot::Sender<()>> = Vec::new();
        let mut emitting = true;
        loop {
            let commit_at = self.timer.due();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Flush { reply }) => flushing.push(reply),
                    Some(Command::Stop) | None => break,
                    Some(Command::Resume { points, reply }) => {
                        self.take_queued(emissions);
                        drop(reply.send(self.resume(&points)));
                        self.timer.note(Instant::now());
                    }
                    Some(command) => self.answer(command),
                },
                emission = emissions.recv(), if emitting => match emission {
                    Some(emission) => {
                        self.keeping.take(emission);
                        self.timer.note(Instant::now());
                    }
                    None => emitting = false,
                },
                () = sleep_until(commit_at), if commit_at.is_some() => {}
                // Others may have made room on the disk, of which nobody tells.
                () = tokio::time::sleep(LOOK_AGAIN_AFTER), if self.looks_again() => self.show(),
            }
            let due = self.timer.due();
            let is_due = due.is_some_and(|at| at <= Instant::now() || !emitting);
            if is_due || self.keeping.waiting() >= CUT_SAMPLES {
                self.keeping.commit();
                self.show();
                let again_in = self.keeping.is_failing().then_some(LOOK_AGAIN_AFTER);
                self.timer.committed(Instant::now(), again_in);
            }
            if !emitting {
                for reply in flushing.drain(..) {
                    reply.send(()).ok();
                }
            }
        }
        self.keeping.commit_last();
    }

    fn answer(&mut self, command: Command) {
        match command {
            Command::Read { to, log_id, from, bytes_max, reply } => {
                drop(reply.send(self.keeping.read(to, log_id, from, bytes_max)));
                // Reading may have found damage, which is a loss to tell.
                self.show();
            }
            Command::Open { to, from, reply } => drop(reply.send(self.open_info(to, from))),
            Command::Free { to, upto, hash, reply } => {
                let answer = self.keeping.free(to, upto, hash);
                self.show();
                reply.send(answer).ok();
            }
            Command::NoteStore { to, store, epoch } => {
                self.keeping.spool.note_store(to, store, epoch);
            }
            Command::BeginLog { destination, why, reply } => {
                let begun = self.keeping.begin_log(&destination, &why, &*self.entropy);
                self.show();
                drop(reply.send(begun.map_err(|e| e.to_string())));
            }
            Command::Status { reply } => {
                drop(reply.send(KeeperStatus {
                    spool: self.status(),
                    clock: self.keeping.clock_status(),
                    last: self.keeping.last.clone(),
                    marks: self.keeping.marks.durable().clone(),
                }));
            }
            Command::Resume { .. } | Command::Flush { .. } | Command::Stop => {}
        }
    }

    /// How the spool does, with how long each destination has been silent.
    fn status(&self) -> SpoolStatus {
        let mut status = self.keeping.status();
        let now = self.clock.monotonic();
        for (destination, acks) in status.destinations.iter_mut().zip(&self.acks) {
            let silent_for = acks.silent_for(now);
            destination.no_ack_for_ms =
                silent_for.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        }
        let each = status.destinations.iter();
        status.no_ack_for_ms = each.filter_map(|destination| destination.no_ack_for_ms).max();
        status
    }

    fn open_info(&mut self, to: DestinationIndex, from: Sequence) -> OpenInfo {
        let mut info =
            uplink_open::open_info(&mut self.keeping.spool, &self.keeping.dictionaries, to, from);
        let today = self.keeping.points.dictionaries().iter().map(|planned| planned.hash);
        info.open.dictionaries = Some(today.collect());
        // Reading may have found damage, which is a loss to tell.
        self.show();
        info
    }

    /// Takes what a port that has ended still handed over, so that it counts before the port begins again.
    fn take_queued(&mut self, emissions: &mut mpsc::Receiver<Emission>) {
        for _ in 0..EMISSIONS_QUEUED_MAX {
            let Ok(emission) = emissions.try_recv() else { return };
            self.keeping.take(emission);
        }
    }

    fn resume(&mut self, points: &[PointIndex]) -> HashMap<PointIndex, Cursor> {
        let marks = self.keeping.resume(points);
        // Before the answer: the port must not see an old wish of its own.
        self.show();
        marks
    }

    /// Whether something may change while nobody asks: room on the disk.
    fn looks_again(&self) -> bool {
        !*self.shown.read_back.borrow()
    }

    fn show(&mut self) {
        let view = self.keeping.view();
        let status = self.keeping.spool.status();
        let now = self.clock.monotonic();
        self.acks.resize_with(status.destinations.len(), AckWatch::default);
        for (destination, acks) in status.destinations.iter().zip(&mut self.acks) {
            acks.note(status.durable, destination.acked, now);
        }
        self.shown.view.send_if_modified(|known| {
            let is_new = *known != view;
            *known = view;
            is_new
        });
        let allowed = self.keeping.read_back_allowed();
        self.shown.read_back.send_if_modified(|known| std::mem::replace(known, allowed) != allowed);
        let again = self.keeping.to_read_again();
        self.shown.to_read_again.send_if_modified(|known| {
            let is_new = **known != again;
            if is_new {
                *known = Arc::new(again);
            }
            is_new
        });
    }
}

/// After a failed write, and while reading back pauses, the next look at the disk waits so long.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
