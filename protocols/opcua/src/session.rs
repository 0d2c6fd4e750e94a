//! One session from its first request to its end: values come in, history is read back, silence is noticed. Must never
//! outlive its connection; what outlives it is in `port`.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use async_opcua::types::{DataValue, NamespaceMap, NodeId, StatusCode};
use driver::{Emission, Stopped};
use futures::future::BoxFuture;
use model::{Quality, Timestamp};

use crate::client::{self, Connection};
use crate::error::{PointError, SessionError};
use crate::history::{Action, Event, Failure, UNSUPPORTED_RETRY};
use crate::inbox::{self, Notice, Outbox};
use crate::port::Worker;
use crate::request::{self, Granted, HistoryPage, Item};

/// How often items that the server refused are asked for again: it may still be starting.
const REFUSED_RETRY: Duration = Duration::from_mins(1);
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
    let (inbox, outbox) = inbox::queue();
    let granted = match request::subscribe(&connection.session, &worker.plan.settings, inbox).await
    {
        Ok(granted) => granted,
        Err(status) => {
            let url = worker.plan.settings.url.clone();
            return End::Broken(SessionError::Refused { url, request: "a subscription", status });
        }
    };
    connection.hear(worker.link.clock.monotonic());
    let mut serving = Serving::new(worker, connection, granted, outbox);
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
    outbox: Outbox,
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
    mismatched: HashSet<usize>,
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
        outbox: Outbox,
    ) -> Self {
        let now = worker.link.clock.monotonic();
        let points = worker.plan.points.len();
        Self {
            worker,
            connection,
            granted,
            outbox,
            nodes: vec![None; points],
            wanted: VecDeque::new(),
            reading: None,
            probing: None,
            timers: BTreeSet::new(),
            due: HashMap::new(),
            probe_at: now,
            refused: (0..points).collect(),
            refused_at: now,
            mismatched: HashSet::new(),
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
        if self.outbox.take_lost() {
            self.values_lost("the spool takes them too slowly").await?;
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
            Some(notice) = self.outbox.notices.recv() => Wake::Notice(notice),
            answer = present(&mut self.reading) => Wake::Answer(answer),
            (result, latency) = present(&mut self.probing) => Wake::Probed(result, latency),
            () = tokio::time::sleep(sleep) => Wake::Time,
        }
    }

    /// Monitors all items that are not monitored yet.
    async fn monitor(&mut self) -> Result<(), End> {
        let url = self.url();
        let failed = |status| {
            End::Broken(SessionError::Refused {
                url: url.clone(),
                request: "to monitor items",
                status,
            })
        };
        let by_uri =
            self.worker.plan.points.iter().any(|point| point.address.namespace_uri().is_some());
        let namespaces = if by_uri {
            let array = self.connection.session.read_namespace_array().await;
            array.map_err(|error| failed(error.status()))?
        } else {
            NamespaceMap::new()
        };
        let mut emission = Emission::default();
        let mut items = Vec::new();
        for index in std::mem::take(&mut self.refused) {
            let point = &self.worker.plan.points[index];
            self.nodes[index] = point.address.resolve(&namespaces);
            let Some(node) = self.nodes[index].clone() else {
                let (metric, node) = (point.metric.clone(), point.address.to_string());
                let error = PointError::Namespace { metric, node };
                self.refuse(index, &error, StatusCode::BadNodeIdUnknown, &mut emission);
                continue;
            };
            let sampling = point.history.is_none().then_some(point.sampling);
            items.push(Item { handle: handle(index), node, sampling });
        }
        let session = &self.connection.session;
        let settings = &self.worker.plan.settings;
        let results =
            request::monitor(session, self.granted.id, settings, &items).await.map_err(failed)?;
        for (item, status) in results {
            let Some(index) = index(item) else { continue };
            if status.is_bad() {
                let point = &self.worker.plan.points[index];
                let (metric, node) = (point.metric.clone(), point.address.to_string());
                let error = PointError::Refused { metric, node, status };
                self.refuse(index, &error, status, &mut emission);
            } else {
                let now = self.worker.link.clock.now();
                self.step(index, Event::Connected { now }, &mut emission);
            }
        }
        self.refused_at = self.now() + REFUSED_RETRY;
        self.emit(emission).await
    }

    fn refuse(
        &mut self,
        index: usize,
        error: &PointError,
        status: StatusCode,
        emission: &mut Emission,
    ) {
        self.refused.push(index);
        self.worker.fault(index, error.fault());
        emission.samples.extend(self.worker.refused(index, Quality(status.bits())));
    }

    async fn notice(&mut self, notice: Notice) -> Result<(), End> {
        match notice {
            Notice::Values(values) => self.values(values).await,
            Notice::Gap => self.values_lost("notifications are missing").await,
            Notice::Ended(status) if status.is_bad() => {
                Err(End::Broken(SessionError::SubscriptionEnded { url: self.url(), status }))
            }
            Notice::Ended(_) => Ok(()),
        }
    }

    async fn values(&mut self, values: Vec<(u32, DataValue)>) -> Result<(), End> {
        self.worker.well();
        let gateway_time = self.worker.link.clock.now();
        let horizon = horizon(gateway_time);
        let mut emission = Emission::default();
        for (item, value) in values {
            let Some(index) = index(item).filter(|index| *index < self.nodes.len()) else {
                continue;
            };
            let decoded = self.worker.plan.points[index].codec.live(&value, gateway_time);
            self.worker.heard_of(index);
            if let Some(found) = decoded.mismatch {
                self.mismatch(index, found);
            }
            if decoded.overflow {
                self.step(index, Event::Overflow, &mut emission);
                let reason = "the server's queue of a point ran over";
                self.worker.fault(index, PointError::ValuesLost { reason }.fault());
            }
            if self.worker.trackers[index].is_none() {
                emission.samples.push(decoded.sample);
            } else {
                let (sample, timed) = (decoded.sample, decoded.timed);
                self.step(index, Event::Live { sample, timed, horizon }, &mut emission);
            }
        }
        self.emit(emission).await
    }

    /// Says once per session that a point is not what the profile says.
    fn mismatch(&mut self, index: usize, found: String) {
        if !self.mismatched.insert(index) {
            return;
        }
        let point = &self.worker.plan.points[index];
        let expected = match point.codec.kind {
            driver::RawKind::Integer => "an integer",
            driver::RawKind::Float => "a Float or Double",
        };
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let error = PointError::Mismatch { metric, node, expected, found };
        self.worker.fault(index, error.fault());
    }

    /// Values of unknown points are missing: what has a memory is read back.
    async fn values_lost(&mut self, reason: &'static str) -> Result<(), End> {
        tracing::warn!(port = self.worker.plan.id, reason, "values lost before the gateway");
        let mut emission = Emission::default();
        for index in 0..self.nodes.len() {
            self.step(index, Event::Overflow, &mut emission);
        }
        for device in &self.worker.plan.devices {
            self.worker.link.observer.failed(device, PointError::ValuesLost { reason }.fault());
        }
        self.emit(emission).await
    }

    async fn page(&mut self, (index, page, latency): Answer) -> Result<(), End> {
        let mut emission = Emission::default();
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        match page {
            Ok(page) => {
                let device = &self.worker.plan.devices[point.device];
                self.worker.link.observer.answered(device, latency);
                let gateway_time = self.worker.link.clock.now();
                let found = page.values.len();
                let remembered = |value| point.codec.remembered(value, gateway_time);
                let samples: Vec<_> = page.values.iter().filter_map(remembered).collect();
                let count = found - samples.len();
                if count > 0 {
                    let error = PointError::Timeless { metric, node, count };
                    self.worker.fault(index, error.fault());
                }
                let (continuation, horizon) = (page.continuation, horizon(gateway_time));
                self.step(index, Event::Page { samples, continuation, horizon }, &mut emission);
            }
            Err(status) => {
                let failure = request::failure(status);
                let error = if failure == Failure::Unsupported {
                    let minutes = UNSUPPORTED_RETRY.as_secs() / 60;
                    PointError::NoHistory { metric, node, status, minutes }
                } else {
                    PointError::HistoryFailed { metric, node, status }
                };
                self.worker.fault(index, error.fault());
                self.step(index, Event::Failed(failure), &mut emission);
            }
        }
        self.emit(emission).await
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
                    self.worker.fault(index, error.fault());
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

    /// One page at a time: a server that serves its memory still has to serve its values.
    fn start_reading(&mut self) {
        if self.reading.is_some() {
            return;
        }
        let Some((index, from, continuation)) = self.wanted.pop_front() else { return };
        let Some(node) = self.nodes[index].clone() else { return };
        let session = std::sync::Arc::clone(&self.connection.session);
        let mut link = self.worker.link.clone();
        let page_size = self.worker.plan.settings.history_page;
        self.reading = Some(Box::pin(async move {
            link.read_back_permit().await?;
            let started = link.clock.monotonic();
            let page = request::read_history(&session, &node, from, continuation, page_size).await;
            Ok((index, page, link.clock.monotonic().saturating_sub(started)))
        }));
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
