//! The subscription and its items; what the server refuses is asked for again, and read in the meantime where the server
//! does not let itself be subscribed to. Must never take a value.

use std::sync::Arc;
use std::time::Duration;

use async_opcua::types::{NamespaceMap, StatusCode};
use driver::Emission;
use model::Quality;

use super::{End, Serving, handle, index};
use crate::complaints::Kind;
use crate::error::{PointError, SessionError};
use crate::history::Event;
use crate::inbox;
use crate::request::{self, Item, Monitored};

/// How often items that the server refused are asked for again: it may still be starting.
const REFUSED_RETRY: Duration = Duration::from_mins(1);
/// How often a server that refused a subscription is asked again: those of others, or of our last life, may be over.
const SUBSCRIBE_RETRY: Duration = Duration::from_mins(10);

impl Serving<'_> {
    /// Makes the subscription, or has its points read.
    pub(super) async fn subscribe(&mut self) -> Result<(), End> {
        let (inbox, notices) = inbox::queue();
        let session = &self.connection.session;
        let answer = request::subscribe(session, &self.worker.plan.settings, inbox).await;
        let now = self.now();
        let refused = match answer {
            Ok(granted) => {
                (self.granted, self.subscribe_at, self.notices) = (Some(granted), None, notices);
                self.refused_at = now;
                self.connection.hear(now);
                None
            }
            Err(status) if request::is_subscribing_refused(status) => {
                self.subscribe_at = Some(now + SUBSCRIBE_RETRY);
                Some(status)
            }
            Err(status) => {
                let (url, request) = (self.url(), "a subscription");
                return Err(End::Broken(SessionError::Refused { url, request, status }));
            }
        };
        let plan = Arc::clone(&self.worker.plan);
        for (index, _) in plan.devices.iter().enumerate().filter(|(_, device)| device.subscribe) {
            self.worker.read_instead(index, refused);
        }
        for (index, point) in plan.points.iter().enumerate() {
            if plan.devices[point.device].subscribe {
                let was_polled = std::mem::replace(&mut self.polled[index], refused.is_some());
                if was_polled && refused.is_none() && !self.refused.contains(&index) {
                    self.refused.push(index);
                }
            }
        }
        Ok(())
    }

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
            if self.polled[index] {
                self.connect(index, false, &mut emission);
                continue;
            }
            let sampling = point.history.is_none().then_some(point.sampling);
            items.push(Item { handle: handle(index), node, sampling });
        }
        for answer in self.create_items(&items).await.map_err(failed)? {
            let Some(index) = index(answer.handle) else { continue };
            let status = answer.status;
            if request::is_subscribing_refused(status) {
                self.polled[index] = true;
                self.worker.read_instead(self.worker.plan.points[index].device, Some(status));
                self.connect(index, false, &mut emission);
            } else if status.is_bad() {
                let point = &self.worker.plan.points[index];
                let (metric, node) = (point.metric.clone(), point.address.to_string());
                let error = PointError::Refused { metric, node, status };
                self.refuse(index, &error, status, &mut emission);
            } else {
                self.worker.settle(index, Kind::Refused);
                self.connect(index, answer.every_change, &mut emission);
            }
        }
        self.refused_at = self.now() + REFUSED_RETRY;
        self.emit(emission).await
    }

    async fn create_items(&mut self, items: &[Item]) -> Result<Vec<Monitored>, StatusCode> {
        let Some(granted) = self.granted.filter(|_| !items.is_empty()) else {
            return Ok(Vec::new());
        };
        let (session, settings) = (&self.connection.session, &self.worker.plan.settings);
        match request::monitor(session, granted.id, settings, items).await {
            Err(status) if request::is_subscribing_refused(status) => {
                let refused =
                    |item: &Item| Monitored { handle: item.handle, status, every_change: false };
                Ok(items.iter().map(refused).collect())
            }
            answer => answer,
        }
    }

    /// Values of the point come from now on.
    fn connect(&mut self, index: usize, every_change: bool, emission: &mut Emission) {
        // Once in a session: a page that is under way for the point must not become the answer to another.
        if !std::mem::replace(&mut self.connected[index], true) {
            let now = self.worker.link.clock.now();
            self.step(index, Event::Connected { now, every_change }, emission);
        }
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
