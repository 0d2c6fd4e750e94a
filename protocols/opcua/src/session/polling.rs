//! Points that are not subscribed to are read, group by group, each at its `poll` interval.

use std::sync::Arc;
use std::time::Duration;

use async_opcua::types::{DataValue, StatusCode};
use driver::Emission;
use model::Quality;

use super::{End, Serving, horizon};
use crate::codec::Decoded;
use crate::complaints::Kind;
use crate::error::{PointError, SessionError};
use crate::history::Event;
use crate::port::UNREADABLE_RETRY;
use crate::request;

/// What reading a device brought: the device, its points in the order of the values, how long it took.
pub(super) struct Polled {
    device: usize,
    points: Vec<usize>,
    values: Result<Vec<DataValue>, StatusCode>,
    latency: Duration,
}

impl Serving<'_> {
    /// When the next device is due; `None` while nothing is read.
    pub(super) fn next_poll(&self) -> Option<Duration> {
        let any = self.polling.is_none() && self.polled.contains(&true);
        self.schedule.next_due().filter(|_| any)
    }

    /// One group at a time.
    pub(super) fn start_polling(&mut self, now: Duration) {
        while self.next_poll().is_some() {
            let Some(due) = self.schedule.take(now) else { return };
            let device = self.worker.plan.groups[due.group].device;
            let wanted = self.worker.plan.points.iter().enumerate().filter_map(|(index, point)| {
                let node = self.nodes[index].clone()?;
                (point.group == due.group && self.polled[index]).then_some((index, node))
            });
            let (points, nodes): (Vec<usize>, Vec<_>) = wanted.unzip();
            if points.is_empty() {
                continue;
            }
            if due.skipped > 0 {
                self.worker.link.observer.late(&self.worker.plan.devices[device].id);
            }
            let session = Arc::clone(&self.connection.session);
            let size_max = self.connection.read_size.clone();
            let clock = Arc::clone(&self.worker.link.clock);
            self.polling = Some(Box::pin(async move {
                let started = clock.monotonic();
                let values = request::read(&session, &nodes, Duration::ZERO, None, &size_max).await;
                let latency = clock.monotonic().saturating_sub(started);
                Polled { device, points, values, latency }
            }));
        }
    }

    pub(super) async fn polled(&mut self, polled: Polled) -> Result<(), End> {
        let Polled { device, points, values, latency } = polled;
        let mut emission = Emission::default();
        let id = self.worker.plan.devices[device].id.clone();
        match values {
            Ok(values) => {
                self.heard();
                self.worker.link.observer.answered(&id, latency);
                for (index, value) in points.into_iter().zip(values) {
                    self.read_value(index, &value, &mut emission);
                }
            }
            Err(status) => {
                let (url, seconds) = (self.url(), self.worker.plan.settings.timeout.as_secs());
                let error = if status == StatusCode::BadTimeout {
                    SessionError::Silent { url, seconds, doing: "values were read" }
                } else {
                    SessionError::Refused { url, request: "to read values", status }
                };
                self.worker.link.observer.failed(&id, error.fault());
                for index in points {
                    emission.samples.extend(self.worker.refused(index, Quality(status.bits())));
                }
            }
        }
        self.emit(emission).await
    }

    fn read_value(&mut self, index: usize, value: &DataValue, emission: &mut Emission) {
        let gateway_time = self.worker.link.clock.now();
        let point = &self.worker.plan.points[index];
        let decoded = point.codec.live(value, gateway_time);
        if decoded.sample.quality.is_bad() && !decoded.timed {
            // The server has no value, and says so anew with each reading: it is handed over once.
            self.no_value(index, value.status(), emission);
            return;
        }
        self.worker.settle(index, Kind::Refused);
        self.take_read(index, decoded, emission);
    }

    /// A value that was read and not told by the subscription.
    pub(super) fn take_read(&mut self, index: usize, decoded: Decoded, emission: &mut Emission) {
        self.judge_content(index, decoded.mismatch);
        let (sample, timed) = (decoded.sample, decoded.timed);
        let gateway_time = sample.gateway_time;
        let heard = self.hear(index, &sample, timed, emission);
        let back = heard.was_bad.then(|| heard.same.then(|| sample.clone()));
        if heard.same {
            // The same reading again: it stands still.
            self.say_standing(index, self.known_now(index, gateway_time), gateway_time, emission);
        } else if self.worker.trackers[index].is_some() {
            // It says nothing of what came before it, so it is not looked for in the history, which is the better
            // source and read every minute.
            let (timed, horizon) = (false, horizon(gateway_time));
            self.step(index, Event::Live { sample, timed, horizon }, emission);
        } else {
            emission.samples.push(sample);
        }
        if let Some(same) = back {
            self.came_back(index, same, gateway_time, emission);
        }
    }

    fn no_value(&mut self, index: usize, status: StatusCode, emission: &mut Emission) {
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        if request::is_too_large(status) {
            let minutes = UNREADABLE_RETRY.as_secs() / 60;
            self.worker.complain(index, &PointError::Unreadable { metric, node, status, minutes });
        } else if request::is_point_refused(status) {
            self.worker.complain(index, &PointError::Refused { metric, node, status });
        }
        emission.samples.extend(self.worker.refused(index, Quality(status.bits())));
    }
}
