//! Pages of history, one at a time.

use std::time::Duration;

use async_opcua::types::StatusCode;
use driver::Emission;

use super::{Answer, End, Serving, horizon};
use crate::complaints::Kind;
use crate::error::PointError;
use crate::history::{Event, Failure, UNSUPPORTED_RETRY};
use crate::request;

impl Serving<'_> {
    pub(super) async fn page(&mut self, (index, page, latency): Answer) -> Result<(), End> {
        self.worker.paging = None;
        let mut emission = Emission::default();
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        match page {
            Ok(page) => {
                let device = &self.worker.plan.devices[point.device];
                self.worker.link.observer.answered(&device.id, latency);
                let gateway_time = self.worker.link.clock.now();
                let found = page.values.len();
                let remembered = |value| point.codec.remembered(value, gateway_time);
                let samples: Vec<_> = page.values.iter().filter_map(remembered).collect();
                let count = found - samples.len();
                if count > 0 {
                    let error = PointError::Timeless { metric, node, count };
                    self.worker.complain(index, &error);
                }
                self.worker.settle(index, Kind::History);
                let (continuation, horizon) = (page.continuation, horizon(gateway_time));
                let known = samples.iter().filter(|sample| sample.value.is_some());
                let known = known.map(|sample| sample.source_time).filter(|time| *time <= horizon);
                if let Some(latest) = known.max() {
                    self.worker.standing[index].say(latest);
                }
                self.step(index, Event::Page { samples, continuation, horizon }, &mut emission);
            }
            Err(status) if request::is_too_large(status) && self.worker.shrink_page(index) => {
                self.step(index, Event::Failed(Failure::Temporary), &mut emission);
            }
            Err(status) => {
                let failure = request::failure(status);
                let error = if failure == Failure::Unsupported {
                    let minutes = UNSUPPORTED_RETRY.as_secs() / 60;
                    PointError::NoHistory { metric, node, status, minutes }
                } else {
                    PointError::HistoryFailed { metric, node, status }
                };
                self.worker.complain(index, &error);
                self.step(index, Event::Failed(failure), &mut emission);
            }
        }
        self.emit(emission).await
    }

    /// One page at a time: a server that serves its memory still has to serve its values.
    pub(super) fn start_reading(&mut self) {
        if self.reading.is_some() {
            return;
        }
        let Some((index, from, continuation)) = self.wanted.pop_front() else { return };
        let Some(node) = self.nodes[index].clone() else { return };
        let session = std::sync::Arc::clone(&self.connection.session);
        let mut link = self.worker.link.clone();
        let page_size = self.worker.page_size(index);
        let left_alone = self.worker.is_history_left_alone(index);
        self.worker.paging = Some(index).filter(|_| !left_alone);
        self.reading = Some(Box::pin(async move {
            link.read_back_permit().await?;
            let started = link.clock.monotonic();
            if left_alone {
                return Ok((index, Err(StatusCode::BadDecodingError), Duration::ZERO));
            }
            let page = request::read_history(&session, &node, from, continuation, page_size).await;
            Ok((index, page, link.clock.monotonic().saturating_sub(started)))
        }));
    }
}
