//! One session from its first request to its end: values come in, history is read back, silence is noticed. Must never
//! outlive its connection; what outlives it is in `port`.

mod monitoring;
mod pages;
mod values;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use async_opcua::types::{NodeId, StatusCode};
use driver::{Emission, Stopped};
use futures::future::BoxFuture;
use model::Timestamp;
use tokio::sync::mpsc;

use crate::client::{self, Connection};
use crate::error::{PointError, SessionError};
use crate::history::{Action, Event};
use crate::inbox::{self, Notice};
use crate::port::Worker;
use crate::request::{self, Granted, HistoryPage};

/// A source time further ahead of our clock than this is not believed yet.
const HORIZON_MICROS: i64 = 60_000_000;

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
    let end = tokio::select! {
        end = serve_connection(worker, &connection) => end,
        () = stop.cancelled() => End::Stopped,
    };
    connection.close().await;
    end
}

async fn serve_connection(worker: &mut Worker, connection: &Connection) -> End {
    let (inbox, notices) = inbox::queue();
    let granted = match request::subscribe(&connection.session, &worker.plan.settings, inbox).await
    {
        Ok(granted) => granted,
        Err(status) => {
            let url = worker.plan.settings.url.clone();
            return End::Broken(SessionError::Refused { url, request: "a subscription", status });
        }
    };
    connection.hear(worker.link.clock.monotonic());
    let mut serving = Serving::new(worker, connection, granted, notices);
    match serving.run().await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

/// A page under way: which point, what came, how long it took.
type Answer = (usize, Result<HistoryPage, StatusCode>, Duration);

struct Serving<'a> {
    worker: &'a mut Worker,
    connection: &'a Connection,
    granted: Granted,
    notices: mpsc::Receiver<Notice>,
    nodes: Vec<Option<NodeId>>,
    /// Pages wanted, in turn, so that one long history does not keep the others waiting.
    wanted: VecDeque<(usize, Timestamp, Option<Vec<u8>>)>,
    reading: Option<BoxFuture<'static, Result<Answer, Stopped>>>,
    probing: Option<BoxFuture<'static, (Result<(), StatusCode>, Duration)>>,
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
    Probed(Result<(), StatusCode>, Duration),
    Time,
}

impl<'a> Serving<'a> {
    fn new(
        worker: &'a mut Worker,
        connection: &'a Connection,
        granted: Granted,
        notices: mpsc::Receiver<Notice>,
    ) -> Self {
        let now = worker.link.clock.monotonic();
        let points = worker.plan.points.len();
        Self {
            worker,
            connection,
            granted,
            notices,
            nodes: vec![None; points],
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

    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            self.work().await?;
            match self.wait().await {
                Wake::Lost(status) => {
                    let url = self.url();
                    return Err(End::Broken(SessionError::Lost { url, status }));
                }
                Wake::Notice(notice) => self.notice(notice).await?,
                Wake::Answer(answer) => self.page(answer?).await?,
                Wake::Probed(result, latency) => self.probed(result, latency),
                Wake::Time => {}
            }
        }
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
        if now.saturating_sub(self.connection.heard()) > self.granted.silence_max {
            let seconds = self.granted.silence_max.as_secs();
            return Err(End::Broken(SessionError::Watchdog { url: self.url(), seconds }));
        }
        if !self.refused.is_empty() && now >= self.refused_at {
            self.monitor().await?;
        }
        let mut emission = Emission::default();
        while let Some((at, index)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, index));
            self.due.remove(&index);
            self.step(index, Event::Due, &mut emission);
        }
        self.emit(emission).await?;
        self.worker.report();
        self.start_reading();
        self.start_probing(now);
        Ok(())
    }

    async fn wait(&mut self) -> Wake {
        let now = self.now();
        let mut next = (self.connection.heard() + self.granted.silence_max)
            .min(if self.probing.is_none() { self.probe_at } else { Duration::MAX });
        if let Some((at, _)) = self.timers.first() {
            next = next.min(*at);
        }
        if !self.refused.is_empty() {
            next = next.min(self.refused_at);
        }
        // One millisecond more than the watchdog allows, and never a busy loop.
        let sleep = next.saturating_sub(now) + Duration::from_millis(1);
        tokio::select! {
            status = self.connection.lost() => Wake::Lost(status),
            Some(notice) = self.notices.recv() => Wake::Notice(notice),
            answer = present(&mut self.reading) => Wake::Answer(answer),
            (result, latency) = present(&mut self.probing) => Wake::Probed(result, latency),
            () = tokio::time::sleep(sleep) => Wake::Time,
        }
    }

    /// One step of a point's tracker, if it has one; what it wants is noted, what it hands over is gathered.
    fn step(&mut self, index: usize, event: Event, emission: &mut Emission) {
        let Some(tracker) = &mut self.worker.trackers[index] else { return };
        for action in tracker.step(event) {
            match action {
                Action::Read { from, continuation } => {
                    self.wanted.push_back((index, from, continuation));
                }
                Action::Emit { mut samples, mark } => {
                    emission.samples.append(&mut samples);
                    let point = self.worker.plan.points[index].codec.point;
                    if let Some(mark) = mark {
                        emission.marks.retain(|(marked, _)| *marked != point);
                        emission.marks.push((point, mark));
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
        self.probe_at = now + self.worker.plan.settings.keep_alive;
        let session = std::sync::Arc::clone(&self.connection.session);
        let clock = std::sync::Arc::clone(&self.worker.link.clock);
        self.probing = Some(Box::pin(async move {
            let started = clock.monotonic();
            let result = request::probe(&session).await;
            (result, clock.monotonic().saturating_sub(started))
        }));
    }

    fn probed(&mut self, result: Result<(), StatusCode>, latency: Duration) {
        match result {
            Ok(()) => {
                self.worker.well();
                self.worker.answered(latency);
            }
            Err(status) => {
                let (url, seconds) = (self.url(), self.worker.plan.settings.timeout.as_secs());
                let error = if status == StatusCode::BadTimeout {
                    SessionError::Silent { url, seconds, doing: "it was asked how it is" }
                } else {
                    SessionError::Refused { url, request: "to say how it is", status }
                };
                for device in &self.worker.plan.devices {
                    self.worker.link.observer.failed(device, error.fault());
                }
            }
        }
    }
}

/// Client handles count from one, for the library replaces zero.
fn handle(index: usize) -> u32 {
    u32::try_from(index + 1).expect("a gateway has at most 20 000 points")
}

fn index(handle: u32) -> Option<usize> {
    usize::try_from(handle).ok()?.checked_sub(1)
}

fn horizon(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_add(HORIZON_MICROS))
}

/// The output of the future in `slot`, which is emptied by it; waits for ever while it is empty.
async fn present<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(future) = slot else { return std::future::pending().await };
    let output = future.await;
    *slot = None;
    output
}
