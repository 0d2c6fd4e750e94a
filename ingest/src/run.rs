//! Ingest as it runs: the tasks around the pure stages, from start to stop.

use std::sync::Arc;
use std::time::Duration;

use live::LiveMessage;
use live_store::Stored;
use model::host::{Clock, Entropy};
use model::topic;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admit::{Action, Admit, AdmitSettings, Event, Notice, NoticeKind, Now, Work};
use crate::broker::{self, Broker};
use crate::committer::{self, Failed, Outcome};
use crate::error::{IngestEnded, IngestError};
use crate::inbox::{Inbound, InboxReader, inbox};
use crate::outbox::Outbox;
use crate::quarantine::{QUARANTINE_BYTES_MAX, QUARANTINE_FRAMES_MAX, Quarantine, Used};
use crate::settings::IngestSettings;
use crate::status::{CommitNotice, DamageStatus, IngestStatus, LogStatus};
use contract::{AdmittedFrame, Cancel, Dictionaries, Readings, Store, StoreError};

/// The status is at most this old.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// At the end: time for the last commits, for their acks, and for the broker. In all less than 5 s.
const LAST_COMMITS: Duration = Duration::from_secs(3);
const LAST_ACKS: Duration = Duration::from_millis(500);
const LAST_OF_BROKER: Duration = Duration::from_millis(800);

/// The task that admits, in words.
const ITS_TASK: &str = "the task that admits";

/// The time and the chance that ingest lives on.
#[derive(Clone)]
pub struct IngestHost {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The chance.
    pub entropy: Arc<dyn Entropy>,
}

/// A running ingest.
#[derive(Debug)]
pub struct Ingest {
    status: watch::Receiver<IngestStatus>,
    commits: watch::Receiver<CommitNotice>,
    tcp_port: Option<u16>,
    live: broadcast::Sender<Arc<LiveMessage>>,
    failure: watch::Receiver<Option<IngestEnded>>,
    task: JoinHandle<()>,
}

impl Ingest {
    /// Starts it: reads the watermarks of the store, starts the broker or the connection to it, and runs until `stop`.
    /// The live topics are filled from `readings`, a view of the same store. Needs a Tokio runtime.
    pub async fn start(
        settings: IngestSettings,
        mut store: Box<dyn Store>,
        readings: Option<Arc<dyn Readings>>,
        host: IngestHost,
        stop: CancellationToken,
    ) -> Result<Self, IngestError> {
        settings.check()?;
        let identity = store.identity().await.map_err(IngestError::Store)?;
        let watermarks = store.watermarks().await.map_err(IngestError::Store)?;
        let last_commit = store.commit_number().await.map_err(IngestError::Store)?;
        let quarantine = settings.quarantine.clone().map(Quarantine::new);
        let mut name = [0; 8];
        host.entropy.fill(&mut name);
        let admit_settings = AdmitSettings {
            commit_interval: settings.commit_interval,
            retry_max: settings.retry_max,
            samples_max: settings.samples_max,
            quarantine_room: room_of(quarantine.as_ref())?,
        };
        let name = format!("{:016x}", u64::from_le_bytes(name));
        let dictionaries = store.dictionaries().await.unwrap_or_else(|e| {
            tracing::error!(
                error = model::error_chain(e.as_ref()),
                "the dictionaries of the store cannot be read; gateways are asked for them"
            );
            Dictionaries::new()
        });
        let admit = Admit::new(admit_settings, name, identity, watermarks, dictionaries);

        let (inbox, reader) = inbox();
        let (clock, retry_max) = (Arc::clone(&host.clock), settings.retry_max);
        let broker = broker::start(&settings.broker, retry_max, inbox, clock, host.entropy).await?;
        let tcp_port = broker.tcp_port();
        let (work, work_queue) = mpsc::channel(1);
        let (done_sender, done) = mpsc::channel(1);
        let store_damage = DamageStatus::from(&store.damage().await.map_err(IngestError::Store)?);
        let (status_sender, status) =
            watch::channel(IngestStatus { last_commit, store_damage, ..IngestStatus::default() });
        let committer = tokio::spawn(committer::run(
            store,
            quarantine,
            work_queue,
            done_sender,
            status_sender.clone(),
        ));
        let commit_notice = CommitNotice { commit: last_commit, rows: 0 };
        let (commits_sender, commits) = watch::channel(commit_notice);
        let (failure_sender, failure) = watch::channel(None);
        let is_live = settings.live.enabled;
        let outbox = Arc::new(Outbox::new(settings.live));
        if let Some(readings) = readings.filter(|_| is_live) {
            let (clock, status) = (Arc::clone(&host.clock), status_sender.clone());
            restore(readings, Arc::clone(&outbox), clock, status, stop.clone());
        }
        let live = outbox.stream();
        let core = Core {
            admit,
            clock: host.clock,
            inbox: reader,
            outbox,
            work,
            under_way: None,
            done,
            status: status_sender,
            status_at: Duration::ZERO,
            commits: commits_sender,
            failure: failure_sender.clone(),
        };
        let task = tokio::spawn(core.run(broker.into(), committer, stop));
        let task = tokio::spawn(async move {
            let Err(e) = task.await else { return };
            let ended = IngestEnded::of(ITS_TASK, Err(e));
            tracing::error!(error = %ended, "ingest ended abnormally");
            failure_sender.send_replace(Some(ended));
        });
        Ok(Self { status, commits, tcp_port, live, failure, task })
    }

    /// How it is, at most half a second old.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<IngestStatus> {
        self.status.clone()
    }

    /// The last commit, and a change for each new one.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<CommitNotice> {
        self.commits.clone()
    }

    /// The live messages from now on, as they are published. Whoever falls behind misses some, and is told how many.
    #[must_use]
    pub fn live(&self) -> broadcast::Receiver<Arc<LiveMessage>> {
        self.live.subscribe()
    }

    /// The TCP port of the embedded broker.
    #[must_use]
    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp_port
    }

    /// Waits until it ends by itself, which only a fault of the program brings about; then nothing more is committed.
    pub async fn failed(&self) -> IngestEnded {
        let mut failure = self.failure.clone();
        let ended = failure.wait_for(Option::is_some).await.map(|ended| ended.clone());
        ended.ok().flatten().unwrap_or_else(|| IngestEnded::of(ITS_TASK, Ok(())))
    }

    /// Waits for the end: after `stop` what was admitted is committed and acknowledged, within 5 s.
    pub async fn stopped(self) {
        if let Err(e) = self.task.await {
            tracing::error!(error = %e, "ingest ended abnormally");
        }
    }
}

/// Fills the live topics from the store, beside everything else: a restart waits for nothing.
fn restore(
    readings: Arc<dyn Readings>,
    outbox: Arc<Outbox>,
    clock: Arc<dyn Clock>,
    status: watch::Sender<IngestStatus>,
    stop: CancellationToken,
) {
    let cancel = Cancel::default();
    let until = cancel.clone();
    let work = tokio::task::spawn_blocking(move || {
        let stored = Stored::new(readings, cancel)?;
        stored.each(clock.now(), |rows| {
            outbox.restored(rows, &stored.described, clock.monotonic(), clock.now());
        })?;
        for (log, upto) in stored.durable() {
            outbox.restored_durable(&log, upto);
        }
        tracing::info!(topics = outbox.live_counts().topics, "live topics stand as in the store");
        Ok::<_, StoreError>(())
    });
    tokio::spawn(async move {
        tokio::pin!(work);
        let done = tokio::select! {
            done = &mut work => done,
            () = stop.cancelled() => {
                until.cancel();
                work.await
            }
        };
        // Not tried again: each topic comes with the next reading of its point.
        let error = match done {
            Ok(Ok(())) => return,
            Ok(Err(e)) => model::error_chain(e.as_ref()),
            Err(e) => e.to_string(),
        };
        tracing::error!(
            error,
            "live topics are not filled from the store: each comes with the next reading of its point"
        );
        status.send_modify(|status| status.live_restore_error = Some(error));
    });
}

/// What a quarantine still takes.
fn room_of(quarantine: Option<&Quarantine>) -> Result<Used, IngestError> {
    let Some(quarantine) = quarantine else { return Ok(Used::default()) };
    let used = quarantine.used().map_err(IngestError::Quarantine)?;
    Ok(Used {
        frames: QUARANTINE_FRAMES_MAX.saturating_sub(used.frames),
        bytes: QUARANTINE_BYTES_MAX.saturating_sub(used.bytes),
    })
}

struct Core {
    admit: Admit,
    clock: Arc<dyn Clock>,
    inbox: InboxReader,
    outbox: Arc<Outbox>,
    work: mpsc::Sender<Arc<Work>>,
    under_way: Option<Arc<Work>>,
    done: mpsc::Receiver<Outcome>,
    status: watch::Sender<IngestStatus>,
    status_at: Duration,
    commits: watch::Sender<CommitNotice>,
    failure: watch::Sender<Option<IngestEnded>>,
}

impl Core {
    async fn run(
        mut self,
        broker: Arc<dyn Broker>,
        mut committer: JoinHandle<()>,
        stop: CancellationToken,
    ) {
        let (outbox, clock, to) =
            (Arc::clone(&self.outbox), Arc::clone(&self.clock), Arc::clone(&broker));
        let mut outbox = tokio::spawn(async move { outbox.run(to.as_ref(), clock.as_ref()).await });
        let ended = tokio::select! {
            biased;
            () = self.serve() => Some(IngestEnded::because("the broker", self.inbox.failure())),
            // Without it nothing can be committed.
            ended = &mut committer => Some(IngestEnded::of("the task of the store", ended)),
            // Without it no ack goes out: the gateways would wait in silence.
            ended = &mut outbox => Some(IngestEnded::of("the task that publishes", ended)),
            () = stop.cancelled() => None,
        };
        if let Some(ended) = ended {
            tracing::error!(error = %ended, "ingest ends");
            self.failure.send_replace(Some(ended));
        }
        // What gateways send from now on is theirs to keep.
        self.step(Event::Flush);
        let last = async {
            while !self.admit.is_idle() {
                let event = self.next_answer().await;
                self.step(event);
            }
        };
        // Without the task of the store there is nothing to wait for.
        let waits = if committer.is_finished() { Duration::ZERO } else { LAST_COMMITS };
        if tokio::time::timeout(waits, last).await.is_err() {
            tracing::error!(
                "ends with frames that are not committed; the gateways keep them and send again"
            );
        }
        self.outbox.close();
        let abort = outbox.abort_handle();
        if !outbox.is_finished() && tokio::time::timeout(LAST_ACKS, outbox).await.is_err() {
            abort.abort();
            tracing::debug!("last acks were not taken in time");
        }
        self.publish_status();
        broker.stop(LAST_OF_BROKER).await;
        // Ends the committer, and with it the store and its lock.
        drop(self.work);
        if !committer.is_finished() && tokio::time::timeout(LAST_ACKS, committer).await.is_err() {
            tracing::warn!("the store was still busy at the end");
        }
    }

    /// Serves until dropped between two events, or until the broker has ended.
    async fn serve(&mut self) {
        loop {
            let now = self.clock.monotonic();
            let tick = self
                .admit
                .next_tick()
                .map_or(STATUS_INTERVAL, |at| at.saturating_sub(now).min(STATUS_INTERVAL));
            let event = tokio::select! {
                biased;
                outcome = self.done.recv() => match outcome {
                    Some(outcome) => self.committed(outcome),
                    // Its end is awaited beside this, and says why.
                    None => std::future::pending().await,
                },
                changed = self.inbox.connection.changed() => {
                    if changed.is_err() || self.inbox.connection.borrow().has_ended {
                        return;
                    }
                    self.connection_changed()
                }
                () = tokio::time::sleep(tick) => Event::Tick,
                inbound = self.inbox.queue.recv() => match inbound {
                    Some(Inbound { gateway, message, is_state: true, .. }) => {
                        let online = message == topic::ONLINE.as_bytes();
                        self.outbox.presence(&gateway, online, self.clock.monotonic(), self.clock.now());
                        Event::Tick
                    }
                    Some(Inbound { gateway, message, .. }) => Event::Up { gateway, message },
                    None => return,
                },
            };
            self.step(event);
            if self.clock.monotonic().saturating_sub(self.status_at) >= STATUS_INTERVAL {
                self.publish_status();
            }
        }
    }

    /// The next event that does not come from gateways.
    async fn next_answer(&mut self) -> Event {
        let now = self.clock.monotonic();
        let tick = self.admit.next_tick().map(|at| at.saturating_sub(now));
        tokio::select! {
            Some(outcome) = self.done.recv() => self.committed(outcome),
            () = tokio::time::sleep(tick.unwrap_or(STATUS_INTERVAL)) => Event::Tick,
        }
    }

    fn connection_changed(&mut self) -> Event {
        let connection = *self.inbox.connection.borrow_and_update();
        self.status.send_modify(|status| status.broker_connected = connection.is_up);
        if !connection.is_up {
            return Event::Tick;
        }
        self.outbox.connected(self.clock.monotonic());
        Event::Connected
    }

    /// Notes what became of a commit before admission hears of it.
    fn committed(&mut self, outcome: Outcome) -> Event {
        let work = self.under_way.take();
        match outcome {
            Ok(committed) => {
                let at = self.clock.now();
                self.status.send_modify(|status| {
                    status.store_error = None;
                    status.last_commit = committed.commit;
                    status.last_commit_at = Some(at);
                });
                for moved in work.iter().flat_map(|work| &work.draft.watermarks) {
                    let log = (moved.gateway.clone(), moved.log_id);
                    self.outbox.durable(&log, moved.durable_upto);
                }
                Event::Committed
            }
            Err(Failed { error, watermarks, identity }) => {
                if let Some(stored) = &watermarks {
                    self.outbox.stands_at(stored);
                }
                self.status.send_modify(|status| status.store_error = Some(error.clone()));
                Event::CommitFailed { error, watermarks, identity }
            }
        }
    }

    fn step(&mut self, event: Event) {
        let now = Now { monotonic: self.clock.monotonic(), wall: self.clock.now() };
        let is_commit = matches!(event, Event::Committed);
        let outbox = Arc::clone(&self.outbox);
        let mut admitted = |frame: &AdmittedFrame| outbox.admitted(frame, now.monotonic, now.wall);
        for action in self.admit.step_with(now, event, &mut admitted) {
            match action {
                Action::Ack { gateway, ack } => self.outbox.ack(gateway, ack),
                Action::Notice(notice) => log(&notice),
                Action::Configured { gateway, dictionaries } => {
                    self.outbox.configured(&gateway, &dictionaries);
                }
                Action::Commit(work) => {
                    self.under_way = Some(Arc::clone(&work));
                    // There is never more than one commit under way, so there is room, unless the store's task died.
                    if self.work.try_send(work).is_err() {
                        tracing::error!("the store's task has ended: nothing can be committed");
                    }
                }
            }
        }
        if is_commit {
            self.publish_status();
            let commit = self.status.borrow().last_commit;
            let rows = self.admit.counters().samples_committed;
            self.commits.send_replace(CommitNotice { commit, rows });
        }
    }

    fn publish_status(&mut self) {
        self.status_at = self.clock.monotonic();
        let mut counters = *self.admit.counters();
        counters.dropped.queue_full = self.inbox.queue_full();
        counters.dropped.no_gateway = self.inbox.no_gateway();
        counters.connections_failed = self.inbox.connections_failed();
        let breaks = self.inbox.breaks();
        let live = self.outbox.live_counts();
        let logs = self.admit.logs().map(|log| LogStatus {
            gateway: log.gateway,
            log_id: log.log_id,
            watermark: log.watermark,
            held_frames: log.held_frames,
            lost_frames: log.lost_frames,
            lost_samples: log.lost_samples,
            opened: log.opened,
        });
        let logs = logs.collect();
        self.status.send_modify(|status| {
            status.counters = counters;
            status.broker_breaks_in_last_minute = breaks;
            status.live_topics = live.topics as u64;
            status.live_left_out = live.left_out;
            status.live_held_back = live.held_back;
            status.live_others_dropped = live.others_dropped;
            status.logs = logs;
        });
    }
}

fn log(notice: &Notice) {
    let Notice { gateway, log_id, waits_for, kind, text } = notice;
    let gateway = gateway.as_ref().map(model::GatewayId::as_str);
    let log_id = log_id.map(tracing::field::display);
    let waits_for = waits_for.map(|sequence| sequence.0);
    match kind {
        NoticeKind::Refused => {
            tracing::error!(
                gateway,
                log_id,
                waits_for,
                "message refused, its log waits for a good one: {text}"
            );
        }
        NoticeKind::Quarantined => {
            tracing::error!(
                gateway,
                log_id,
                "frame cannot be read, is in quarantine and counts as lost: {text}"
            );
        }
        NoticeKind::StoreWentBack => tracing::error!("store went back: {text}"),
        NoticeKind::Forked => tracing::error!(gateway, log_id, waits_for, "log refused: {text}"),
        NoticeKind::Unaccounted => {
            tracing::error!(gateway, log_id, waits_for, "frames lost: {text}");
        }
        NoticeKind::Lost => {
            tracing::error!(gateway, log_id, waits_for, "frames of a gateway are lost: {text}");
        }
        NoticeKind::LostUnknown => {
            tracing::warn!(
                gateway,
                log_id,
                "an unknown number of readings of a gateway is lost: {text}"
            );
        }
        NoticeKind::PassedOver => {
            tracing::info!(gateway, log_id, "sequences passed over after an unclean end: {text}");
        }
        NoticeKind::TwoLogs => {
            tracing::error!(
                gateway,
                log_id,
                "two spools of one gateway send by turns: this one {text}"
            );
        }
        NoticeKind::NoDictionary | NoticeKind::NoRoom => {
            tracing::error!(gateway, log_id, waits_for, "log waits: {text}");
        }
        NoticeKind::PointTaken => {
            tracing::error!(gateway, log_id, waits_for, "log waits, its point is taken: {text}");
        }
        NoticeKind::TooManyLogs => tracing::error!(gateway, log_id, "log refused: {text}"),
        NoticeKind::ChainBreak => {
            tracing::warn!(gateway, log_id, waits_for, "chain of hashes is broken: {text}");
        }
        NoticeKind::CommitsFail => {
            tracing::error!("store does not commit, acks are withheld and gateways keep: {text}");
        }
        NoticeKind::CommitsAgain => tracing::info!("store commits again"),
    }
}
