//! Items are monitored; those that the server refuses are asked for again. Must never read a value.

use std::time::Duration;

use async_opcua::types::{NamespaceMap, StatusCode};
use driver::Emission;
use model::Quality;

use super::{End, Serving, handle, index};
use crate::complaints::Kind;
use crate::error::{PointError, SessionError};
use crate::history::Event;
use crate::request::{self, Item};

/// How often items that the server refused are asked for again: it may still be starting.
const REFUSED_RETRY: Duration = Duration::from_mins(1);

impl Serving<'_> {
    /// Monitors all items that are not monitored yet.
    pub(super) async fn monitor(&mut self) -> Result<(), End> {
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
        for answer in results {
            let Some(index) = index(answer.handle) else { continue };
            let status = answer.status;
            if status.is_bad() {
                let point = &self.worker.plan.points[index];
                let (metric, node) = (point.metric.clone(), point.address.to_string());
                let error = PointError::Refused { metric, node, status };
                self.refuse(index, &error, status, &mut emission);
            } else {
                self.worker.settle(index, Kind::Refused);
                let now = self.worker.link.clock.now();
                let connected = Event::Connected { now, every_change: answer.every_change };
                self.step(index, connected, &mut emission);
            }
        }
        self.refused_at = self.now() + REFUSED_RETRY;
        self.emit(emission).await
    }

    pub(super) fn refuse(
        &mut self,
        index: usize,
        error: &PointError,
        status: StatusCode,
        emission: &mut Emission,
    ) {
        self.refused.push(index);
        self.worker.complain(index, error);
        emission.samples.extend(self.worker.refused(index, Quality(status.bits())));
    }
}
