//! One session from its first request to its end: values come in, history is read back, silence is noticed.

mod checking;
mod monitoring;
mod pages;
mod polling;
mod rebuilds;
mod values;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use async_opcua::types::{NodeId, StatusCode};
use driver::{Emission, Schedule, Stopped};
use futures::future::BoxFuture;
use model::Timestamp;

use crate::client::{self, Connection};
use crate::error::{PointError, SessionError};
use crate::history::{Action, Event};
use crate::inbox::{Notice, Outbox};
use crate::port::Worker;
use crate::request::{self, Granted, HistoryPage};
use checking::{Checked, Checks};
use polling::Polled;

/// A source time further ahead of our clock than this is not believed yet.
const HORIZON_MICROS: i64 = 60_000_000;

/// Longest time between two questions how the server is.
pub(crate) const PROBE_MAX: Duration = Duration::from_mins(1);
/// A session that ends within so many questions may have ended because none came in time.
const SHORT_LIFE_PROBES: u32 = 3;

/// Why a session ended.
pub(crate) enum End {
    /// The gateway stops.
    Stopped,
    /// It failed.
    Broken(SessionError),
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Makes a session and serves it until it ends.
pub(crate) async fn serve(worker: &mut Worker) -> End {
    let stop = worker.link.stop.clone();
    let clock = std::sync::Arc::clone(&worker.link.clock);
    let settings = worker.plan.settings.clone();
    let connection = tokio::select! {
        connected = client::connect(&settings, clock) => match connected {
            Ok(connection) => connection,
            Err(error) => return End::Broken(error),
        },
        () = stop.cancelled() => return End::Stopped,
    };
    let (clock, probe_every) = (std::sync::Arc::clone(&worker.link.clock), worker.probe_every);
    let began = clock.monotonic();
    let end = tokio::select! {
        end = Serving::new(worker, &connection).run() => end,
        () = stop.cancelled() => End::Stopped,
    };
    let lived = clock.monotonic().saturating_sub(began);
    if matches!(end, End::Broken(_)) && lived <= probe_every * SHORT_LIFE_PROBES {
        worker.probe_more_often();
    }
    connection.close().await;
    end
}

/// How the server is: its time where it says one, and how long it took to say it.
type Probed = (Result<Option<Timestamp>, StatusCode>, Duration);

/// A page under way: which point, what came, how long it took.
type Answer = (usize, Result<HistoryPage, StatusCode>, Duration);

struct Serving<'a> {
    worker: &'a mut Worker,
    connection: &'a Connection,
    granted: Option<Granted>,
    /// When a subscription is asked for; `None` where there is one, or none is wanted.
    subscribe_at: Option<Duration>,
    notices: Outbox,
    nodes: Vec<Option<NodeId>>,
    /// Points that are read and not subscribed to.
    polled: Vec<bool>,
    /// Points whose tracker was told that values come.
    connected: Vec<bool>,
    schedule: Schedule,
    polling: Option<BoxFuture<'static, Polled>>,
    checks: Checks,
    /// How old a change of each point can be when the subscription tells it.
    told_within: Vec<Duration>,
    /// Pages wanted, in turn, so that one long history does not keep the others waiting.
    wanted: VecDeque<(usize, Timestamp, Option<Vec<u8>>)>,
    reading: Option<BoxFuture<'static, Result<Answer, Stopped>>>,
    probing: Option<BoxFuture<'static, Probed>>,
    timers: BTreeSet<(Duration, usize)>,
    due: HashMap<usize, Duration>,
    probe_at: Duration,
    refused: Vec<usize>,
    refused_at: Duration,
}

enum Wake {
    Lost(StatusCode),
    Notice(Notice),
    Answer(Result<Answer, Stopped>),
    Probed(Probed),
    Polled(Polled),
    Checked(Checked),
    Time,
}

impl<'a> Serving<'a> {
    fn new(worker: &'a mut Worker, connection: &'a Connection) -> Self {
        let now = worker.link.clock.monotonic();
        connection.hear(now);
        let plan = std::sync::Arc::clone(&worker.plan);
        let points = plan.points.len();
        let subscribes = plan.devices.iter().any(|device| device.subscribe);
        Self {
            worker,
            connection,
            granted: None,
            subscribe_at: subscribes.then_some(now),
            notices: Outbox::closed(),
            nodes: vec![None; points],
            polled: plan.points.iter().map(|point| !plan.devices[point.device].subscribe).collect(),
            connected: vec![false; points],
            schedule: Schedule::new(plan.groups.iter().map(|group| group.poll), now),
            polling: None,
            checks: Checks::new(points, now),
            told_within: vec![Duration::ZERO; points],
            wanted: VecDeque::new(),
            reading: None,
            probing: None,
            timers: BTreeSet::new(),
            due: HashMap::new(),
            probe_at: now,
            refused: (0..points).collect(),
            refused_at: now,
        }
    }

    async fn run(mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        self.work().await?;
        match self.wait().await {
            Wake::Lost(status) => {
                return Err(End::Broken(self.connection.why_lost(self.url(), status)));
            }
            Wake::Notice(notice) => self.notice(notice).await?,
            Wake::Answer(answer) => self.page(answer?).await?,
            Wake::Probed(probed) => self.probed(probed)?,
            Wake::Polled(polled) => self.polled(polled).await?,
            Wake::Checked(checked) => self.checked(checked).await?,
            Wake::Time => {}
        }
        Ok(())
    }

    fn url(&self) -> String {
        self.worker.plan.settings.url.clone()
    }

    fn now(&self) -> Duration {
        self.worker.link.clock.monotonic()
    }

    /// Does what is due, and starts what can run beside.
    async fn work(&mut self) -> Result<(), End> {
        let now = self.now();
        if now.saturating_sub(self.connection.heard()) > self.silence_max() {
            let seconds = self.silence_max().as_secs();
            return Err(End::Broken(SessionError::Watchdog { url: self.url(), seconds }));
        }
        if self.subscribe_at.is_some_and(|at| at <= now) {
            self.subscribe().await?;
        }
        let mut emission = Emission::default();
        self.bury(now, &mut emission);
        self.emit(std::mem::take(&mut emission)).await?;
        if !self.refused.is_empty() && now >= self.refused_at {
            self.monitor().await?;
        }
        while let Some((at, index)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, index));
            self.due.remove(&index);
            self.step(index, Event::Due, &mut emission);
        }
        self.emit(emission).await?;
        self.worker.report();
        self.start_polling(now);
        self.start_checking(now);
        self.start_reading();
        self.start_probing(now);
        Ok(())
    }

    /// How long nothing may be heard.
    fn silence_max(&self) -> Duration {
        let settings = &self.worker.plan.settings;
        let unsubscribed =
            settings.keep_alive.max(settings.timeout) * request::WATCHDOG_KEEP_ALIVES;
        self.granted.map_or(unsubscribed, |granted| granted.silence_max)
    }

    /// The server answered. Where there is a subscription, only what it brings is a sign of life.
    fn heard(&mut self) {
        self.worker.well();
        if self.granted.is_none() {
            self.connection.hear(self.now());
        }
    }

    async fn wait(&mut self) -> Wake {
        let now = self.now();
        let mut next = (self.connection.heard() + self.silence_max())
            .min(if self.probing.is_none() { self.probe_at } else { Duration::MAX });
        let timer = self.timers.first().map(|(at, _)| *at);
        for at in
            [timer, self.subscribe_at, self.next_poll(), self.next_check()].into_iter().flatten()
        {
            next = next.min(at);
        }
        if !self.refused.is_empty() {
            next = next.min(self.refused_at);
        }
        // One millisecond more than the watchdog allows, and never a busy loop.
        let sleep = next.saturating_sub(now) + Duration::from_millis(1);
        tokio::select! {
            status = self.connection.lost() => Wake::Lost(status),
            Some(notice) = self.notices.take() => Wake::Notice(notice),
            answer = present(&mut self.reading) => Wake::Answer(answer),
            probed = present(&mut self.probing) => Wake::Probed(probed),
            polled = present(&mut self.polling) => Wake::Polled(polled),
            checked = present(&mut self.checks.running) => Wake::Checked(checked),
            () = tokio::time::sleep(sleep) => Wake::Time,
        }
    }

    /// One step of a point's tracker, if it has one; what it wants is noted, what it hands over is gathered.
    fn step(&mut self, index: usize, event: Event, emission: &mut Emission) {
        let Some(tracker) = &mut self.worker.trackers[index] else { return };
        let actions = tracker.step(event);
        let moves = |action: &Action| matches!(action, Action::Emit { mark: Some(_), .. });
        let cursor = if actions.iter().any(moves) { tracker.to_cursor() } else { None };
        for action in actions {
            match action {
                Action::Read { from, continuation } => {
                    self.wanted.push_back((index, from, continuation));
                }
                Action::Emit { mut samples, mark } => {
                    emission.samples.append(&mut samples);
                    let point = self.worker.plan.points[index].codec.point;
                    if let Some(cursor) = cursor.clone().filter(|_| mark.is_some()) {
                        emission.marks.retain(|(marked, _)| *marked != point);
                        emission.marks.push((point, cursor));
                    }
                }
                Action::Wait(after) => {
                    let at = self.worker.link.clock.monotonic() + after;
                    if let Some(before) = self.due.insert(index, at) {
                        self.timers.remove(&(before, index));
                    }
                    self.timers.insert((at, index));
                }
                Action::Crowded(time) => {
                    let point = &self.worker.plan.points[index];
                    let error = PointError::Crowded {
                        metric: point.metric.clone(),
                        node: point.address.to_string(),
                        page: self.worker.plan.settings.history_page,
                        time: time.to_string(),
                    };
                    self.worker.complain(index, &error);
                }
            }
        }
    }

    async fn emit(&mut self, emission: Emission) -> Result<(), End> {
        if emission.samples.is_empty() && emission.marks.is_empty() {
            return Ok(());
        }
        Ok(self.worker.link.emit(emission).await?)
    }

    fn start_probing(&mut self, now: Duration) {
        if self.probing.is_some() || now < self.probe_at {
            return;
        }
        self.probe_at = now + self.worker.probe_every;
        let session = std::sync::Arc::clone(&self.connection.session);
        let clock = std::sync::Arc::clone(&self.worker.link.clock);
        self.probing = Some(Box::pin(async move {
            let started = clock.monotonic();
            let result = request::probe(&session).await;
            (result, clock.monotonic().saturating_sub(started))
        }));
    }

    fn probed(&mut self, (result, latency): Probed) -> Result<(), End> {
        match result {
            Ok(server_time) => {
                self.heard();
                self.worker.answered(latency);
                let now = self.worker.link.clock.now();
                let behind = server_time.map_or(0, |time| now.micros_since(time));
                if self.worker.behind_micros.replace(behind).is_none() {
                    // What came back before its time could be told is owed.
                    self.checks.soon(self.now());
                }
            }
            Err(status) if request::is_session_over(status) => {
                return Err(End::Broken(SessionError::Lost { url: self.url(), status }));
            }
            Err(status) => {
                let (url, seconds) = (self.url(), self.worker.plan.settings.timeout.as_secs());
                let error = if status == StatusCode::BadTimeout {
                    SessionError::Silent { url, seconds, doing: "it was asked how it is" }
                } else {
                    SessionError::Refused { url, request: "to say how it is", status }
                };
                for device in &self.worker.plan.devices {
                    self.worker.link.observer.failed(&device.id, error.fault());
                }
            }
        }
        Ok(())
    }
}

/// Client handles count from one, for the library replaces zero.
fn handle(index: usize) -> u32 {
    u32::try_from(index + 1).expect("a gateway has fewer points than a u32 counts")
}

fn index(handle: u32) -> Option<usize> {
    usize::try_from(handle).ok()?.checked_sub(1)
}

fn horizon(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_add(HORIZON_MICROS))
}

/// The output of the future in `slot`, which is emptied by it; waits forever while it is empty.
async fn present<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = slot else { return std::future::pending().await };
    let output = future.await;
    *slot = None;
    output
}
