//! The task of one server: serve a session, and when it ends, say so once, wait, and begin anew. Must never end before
//! it is stopped, whatever a server does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_opcua::types::StatusCode;
use async_trait::async_trait;
use driver::{Backoff, Emission, HistoryFrom, Port, PortLink, Stopped, jitter};
use futures::FutureExt;
use model::{Cursor, Quality, Sample, Timestamp};

use crate::complaints::{Complaints, Kind};
use crate::driver::PlannedPort;
use crate::error::{PointError, SessionError};
use crate::history::{Event, Tracker};
use crate::session::{self, End};

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

/// What outlives a session.
pub(crate) struct Worker {
    pub(crate) plan: Arc<PlannedPort>,
    pub(crate) link: PortLink,
    /// Reading back, per point; `None` for points without history.
    pub(crate) trackers: Vec<Option<Tracker>>,
    /// Per point the Bad quality that it was last given by us, until the server gives it a value again.
    told: Vec<Option<Quality>>,
    complaints: Complaints,
    pub(crate) backoff: Backoff,
    last_error: Option<SessionError>,
}

impl Worker {
    fn new(plan: Arc<PlannedPort>, link: PortLink) -> Self {
        let page = plan.settings.history_page;
        let trackers = plan.points.iter().map(|point| {
            let start = match point.history? {
                HistoryFrom::All => Timestamp::MIN,
                HistoryFrom::Time(time) => time.max(Timestamp::MIN),
            };
            Some(Tracker::new(
                link.marks.get(&point.codec.point).and_then(Cursor::time),
                start,
                page,
            ))
        });
        Self {
            trackers: trackers.collect(),
            told: vec![None; plan.points.len()],
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
        let fault = error.fault();
        for device in &self.plan.devices {
            self.link.observer.failed(&device.id, fault.clone());
        }
        for tracker in self.trackers.iter_mut().flatten() {
            tracker.step(Event::Broken);
        }
        let quality = error.quality();
        if self.last_error.as_ref() != Some(&error) {
            tracing::warn!(port = self.plan.id, code = fault.code, "{}", fault.message);
            self.last_error = Some(error);
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

    fn bad(&mut self, index: usize, quality: Quality) -> Sample {
        self.told[index] = Some(quality);
        let now = self.link.clock.now();
        Sample::without_value(self.plan.points[index].codec.point, now, now, quality)
    }

    /// A Bad sample of a point that the server refuses, unless it was just given.
    pub(crate) fn refused(&mut self, index: usize, quality: Quality) -> Option<Sample> {
        (self.told[index] != Some(quality)).then(|| self.bad(index, quality))
    }

    /// The server gave the point a value of its own.
    pub(crate) fn heard_of(&mut self, index: usize) {
        self.told[index] = None;
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
        self.complaints.settle(self.plan.points[index].device, Some(index), kind);
    }

    /// The points of a device are read, for they cannot be subscribed to; `None`: no longer.
    pub(crate) fn read_instead(&mut self, device: usize, refused: Option<StatusCode>) {
        let now = self.link.clock.monotonic();
        match refused {
            Some(status) => {
                self.complaints.complain(device, None, &PointError::ReadInstead { status }, now);
            }
            None => self.complaints.settle(device, None, Kind::ReadInstead),
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
