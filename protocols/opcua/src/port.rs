//! The task of one server: serve a session, and when it ends, say so once, wait, and begin anew.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_opcua::types::StatusCode;
use async_trait::async_trait;
use driver::{Backoff, Emission, HistoryFrom, Port, PortLink, Stopped, jitter};
use futures::FutureExt;
use model::{Quality, Sample, Timestamp};

use crate::complaints::{Complaints, Kind};
use crate::driver::PlannedPort;
use crate::error::{PointError, SessionError};
use crate::history::{Event, Tracker};
use crate::request;
use crate::session::{self, End};
use crate::standing::{Lateness, Standing};

/// How long a point whose value cannot be read is left in peace: it may cost a connection to ask.
pub(crate) const UNREADABLE_RETRY: Duration = Duration::from_hours(1);
/// Live values that the points of a server remember until their histories have passed them, 16 bytes each.
const LIVE_REMEMBERED_MAX: usize = 500_000;
/// Of them, most for one point.
const LIVE_REMEMBERED_OF_POINT_MAX: usize = 16_384;
/// Shortest time between two questions how the server is.
const PROBE_MIN: Duration = Duration::from_millis(250);
/// Fewest values in a notification, however large the server's are.
const NOTIFICATION_VALUES_MIN: u32 = 10;

/// A planned server, not yet connected.
pub(crate) struct OpcUaPort {
    plan: Arc<PlannedPort>,
}

impl OpcUaPort {
    pub(crate) fn new(plan: Arc<PlannedPort>) -> Self {
        Self { plan }
    }
}

#[async_trait]
impl Port for OpcUaPort {
    async fn run(self: Box<Self>, link: PortLink) {
        Worker::new(self.plan, link).run().await;
    }

    fn again(&self) -> Box<dyn Port> {
        Box::new(Self::new(Arc::clone(&self.plan)))
    }
}

/// How a point is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With the others.
    Together,
    /// Alone before it is asked for with the others: its value may be one that cannot be read.
    Alone,
    /// Not for now: its value could not be read, for this reason.
    Not(StatusCode),
}

/// What outlives a session.
pub(crate) struct Worker {
    pub(crate) plan: Arc<PlannedPort>,
    pub(crate) link: PortLink,
    /// Reading back, per point; `None` for points without history.
    pub(crate) trackers: Vec<Option<Tracker>>,
    /// Per point the Bad quality that it was last given by us, until the server gives it a value again.
    told: Vec<Option<Quality>>,
    /// The last value of each point, and what may be said of it while it stands still.
    pub(crate) standing: Vec<Standing>,
    /// How late changes come, per device.
    pub(crate) lateness: Vec<Lateness>,
    /// How far the server's clock lies behind ours; `None` before it was asked.
    pub(crate) behind_micros: Option<i64>,
    /// Whether the points are to be asked one by one, for an answer could not be read.
    pub(crate) search: bool,
    /// The point that is asked alone.
    pub(crate) asked_alone: Option<usize>,
    /// Points whose values cannot be read, and until when they are left in peace.
    unreadable: HashMap<usize, (StatusCode, Duration)>,
    /// The point of which a page of history is asked for.
    pub(crate) paging: Option<usize>,
    /// Points whose history cannot be read, and until when it is left in peace.
    unreadable_history: HashMap<usize, Duration>,
    /// Values in a page, of points whose pages were too large.
    small_pages: HashMap<usize, usize>,
    /// Most values in a notification; fewer after one was too large.
    pub(crate) notification_values: u32,
    /// How often the server is asked how it is.
    pub(crate) probe_every: Duration,
    complaints: Complaints,
    pub(crate) backoff: Backoff,
    last_error: Option<SessionError>,
}

impl Worker {
    fn new(plan: Arc<PlannedPort>, link: PortLink) -> Self {
        let page = plan.settings.history_page;
        let remembering = plan.points.iter().filter(|point| point.history.is_some()).count();
        let remembered =
            (LIVE_REMEMBERED_MAX / remembering.max(1)).min(LIVE_REMEMBERED_OF_POINT_MAX);
        let trackers = plan.points.iter().map(|point| {
            let start = match point.history? {
                HistoryFrom::All => Timestamp::MIN,
                HistoryFrom::Time(time) => time.max(Timestamp::MIN),
            };
            let cursor = link.marks.get(&point.codec.point);
            Some(Tracker::resume(cursor, start, page).remembering(remembered))
        });
        Self {
            trackers: trackers.collect(),
            told: vec![None; plan.points.len()],
            standing: vec![Standing::default(); plan.points.len()],
            lateness: vec![Lateness::default(); plan.devices.len()],
            behind_micros: None,
            search: false,
            asked_alone: None,
            unreadable: HashMap::new(),
            paging: None,
            unreadable_history: HashMap::new(),
            small_pages: HashMap::new(),
            notification_values: request::NOTIFICATIONS_PER_PUBLISH,
            probe_every: plan.settings.keep_alive.min(session::PROBE_MAX),
            complaints: Complaints::new(plan.devices.len()),
            backoff: Backoff::new(plan.settings.backoff_min, plan.settings.backoff_max),
            last_error: None,
            plan,
            link,
        }
    }

    async fn run(mut self) {
        loop {
            // A panic in the library or in here ends this session, not the others and not the gateway.
            let served = AssertUnwindSafe(session::serve(&mut self)).catch_unwind().await;
            let error = match served {
                Ok(End::Stopped) => return,
                Ok(End::Broken(error)) => error,
                Err(_) => SessionError::Internal { url: self.plan.settings.url.clone() },
            };
            if self.lost(error).await.is_err() {
                return;
            }
            let wait = self.backoff.after_failure(jitter(self.link.clock.as_ref()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.link.stop.cancelled() => return,
            }
        }
    }

    /// The session works.
    pub(crate) fn well(&mut self) {
        self.backoff.reset();
        if let Some(error) = self.last_error.take() {
            tracing::info!(port = self.plan.id, after = error.code(), "server is back");
        }
    }

    /// Each point becomes Bad once; its history mark stays.
    async fn lost(&mut self, error: SessionError) -> Result<(), Stopped> {
        self.learn(&error);
        let fault = error.fault();
        for device in &self.plan.devices {
            self.link.observer.failed(&device.id, fault.clone());
        }
        for tracker in self.trackers.iter_mut().flatten() {
            tracker.step(Event::Broken);
        }
        let quality = error.quality();
        let before = self.last_error.replace(error);
        // The observer tells of another code; here is told what else changed.
        let same_code = before.as_ref().filter(|before| before.code() == fault.code);
        if same_code.is_some_and(|before| self.last_error.as_ref() != Some(before)) {
            tracing::warn!(port = self.plan.id, code = fault.code, "{}", fault.message);
        }
        let unknown: Vec<usize> =
            (0..self.told.len()).filter(|i| self.told[*i].is_none()).collect();
        let samples: Vec<Sample> =
            unknown.into_iter().map(|index| self.bad(index, quality)).collect();
        if samples.is_empty() {
            return Ok(());
        }
        self.link.emit(Emission { samples, marks: Vec::new() }).await
    }

    /// What the end of a session says about the next one.
    fn learn(&mut self, error: &SessionError) {
        match (error, self.asked_alone.take()) {
            (SessionError::Unreadable { status, .. }, Some(index)) => {
                self.leave_alone(index, *status);
            }
            (SessionError::Chunk { .. } | SessionError::Lost { .. }, Some(index)) => {
                self.leave_alone(index, StatusCode::BadDecodingError);
            }
            (SessionError::Unreadable { .. }, None) => {
                self.search = true;
                self.notification_values =
                    (self.notification_values / 4).max(NOTIFICATION_VALUES_MIN);
                if let Some(index) = self.paging {
                    let until = self.link.clock.monotonic() + UNREADABLE_RETRY;
                    self.unreadable_history.insert(index, until);
                }
            }
            (SessionError::Watchdog { url, seconds }, _) => {
                let (url, seconds) = (url.clone(), *seconds);
                self.complain_of_all(&PointError::Rebuilt { url, seconds });
            }
            _ => {}
        }
        self.paging = None;
    }

    /// A session was short: some servers end those of which they hear nothing for a second or two, and the library does not
    /// say after how long they do.
    pub(crate) fn probe_more_often(&mut self) {
        self.probe_every = (self.probe_every / 2).max(PROBE_MIN.min(self.probe_every));
    }

    /// Whether a page of the point's history ended a session a while ago.
    pub(crate) fn is_history_left_alone(&self, index: usize) -> bool {
        let now = self.link.clock.monotonic();
        self.unreadable_history.get(&index).is_some_and(|until| now < *until)
    }

    /// Values in a page of the point's history.
    pub(crate) fn page_size(&self, index: usize) -> usize {
        self.small_pages.get(&index).copied().unwrap_or(self.plan.settings.history_page)
    }

    /// A page was too large; gives whether a smaller one can be asked for.
    pub(crate) fn shrink_page(&mut self, index: usize) -> bool {
        let size = self.page_size(index);
        self.small_pages.insert(index, size.div_ceil(4));
        size > 1
    }

    /// Asks no more for a point whose value cannot be read.
    pub(crate) fn leave_alone(&mut self, index: usize, status: StatusCode) {
        let until = self.link.clock.monotonic() + UNREADABLE_RETRY;
        self.unreadable.insert(index, (status, until));
    }

    /// How a point is to be asked for.
    pub(crate) fn manner(&self, index: usize) -> Manner {
        match self.unreadable.get(&index) {
            Some((status, until)) if self.link.clock.monotonic() < *until => Manner::Not(*status),
            None if !self.search => Manner::Together,
            _ => Manner::Alone,
        }
    }

    /// The value of a point can be read after all.
    pub(crate) fn readable(&mut self, index: usize) {
        self.unreadable.remove(&index);
    }

    fn bad(&mut self, index: usize, quality: Quality) -> Sample {
        self.told[index] = Some(quality);
        let now = self.link.clock.now();
        self.standing[index].forget(now);
        Sample::without_value(self.plan.points[index].codec.point, now, now, quality)
    }

    /// A Bad sample of a point that the server refuses, unless it was just given.
    pub(crate) fn refused(&mut self, index: usize, quality: Quality) -> Option<Sample> {
        (self.told[index] != Some(quality)).then(|| self.bad(index, quality))
    }

    /// Whether the point is Bad by our word.
    pub(crate) fn is_told_bad(&self, index: usize) -> bool {
        self.told[index].is_some()
    }

    /// The server gave the point a value of its own; gives whether it was Bad by our word before.
    pub(crate) fn heard_of(&mut self, index: usize) -> bool {
        self.told[index].take().is_some()
    }

    /// Something is wrong with a point.
    pub(crate) fn complain(&mut self, index: usize, error: &PointError) {
        let now = self.link.clock.monotonic();
        self.complaints.complain(self.plan.points[index].device, Some(index), error, now);
    }

    /// Something is wrong with points that are not known.
    pub(crate) fn complain_of_all(&mut self, error: &PointError) {
        let now = self.link.clock.monotonic();
        for device in 0..self.plan.devices.len() {
            self.complaints.complain(device, None, error, now);
        }
    }

    /// That is over.
    pub(crate) fn settle(&mut self, index: usize, kind: Kind) {
        let now = self.link.clock.monotonic();
        self.complaints.settle(self.plan.points[index].device, Some(index), kind, now);
    }

    /// The points of a device are read, for they cannot be subscribed to; `None`: no longer.
    pub(crate) fn read_instead(&mut self, device: usize, refused: Option<StatusCode>) {
        let now = self.link.clock.monotonic();
        match refused {
            Some(status) => {
                self.complaints.complain(device, None, &PointError::ReadInstead { status }, now);
            }
            None => self.complaints.settle(device, None, Kind::ReadInstead, now),
        }
    }

    /// Tells the observer what has changed.
    pub(crate) fn report(&mut self) {
        for report in self.complaints.reports(self.link.clock.monotonic()) {
            let device = &self.plan.devices[report.device].id;
            if report.changed {
                self.link.observer.partly(device, report.shown);
            }
            for fault in report.hidden {
                tracing::warn!(device, code = fault.code, "{}", fault.message);
            }
        }
    }

    pub(crate) fn answered(&self, latency: Duration) {
        for device in &self.plan.devices {
            self.link.observer.answered(&device.id, latency);
        }
    }
}
