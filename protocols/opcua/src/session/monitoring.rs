//! The subscription and its items; what the server refuses is asked for again, and read in the meantime where the
//! server does not let itself be subscribed to.

use std::sync::Arc;
use std::time::Duration;

use async_opcua::types::{DataValue, NamespaceMap, NodeId, StatusCode};
use driver::Emission;
use model::Quality;

use super::{End, Serving, handle, index};
use crate::complaints::Kind;
use crate::error::{PointError, SessionError};
use crate::history::Event;
use crate::inbox;
use crate::port::{Manner, UNREADABLE_RETRY};
use crate::request::{self, Item, Monitored};

/// How often items that the server refused are asked for again: it may still be starting.
const REFUSED_RETRY: Duration = Duration::from_mins(1);
/// How soon items are asked for again of which an answer said nothing.
const UNANSWERED_RETRY: Duration = Duration::from_secs(5);
/// How often a server that refused a subscription is asked again: those of others, or of our last life, may be over.
const SUBSCRIBE_RETRY: Duration = Duration::from_mins(10);

impl Serving<'_> {
    /// Makes the subscription, or has its points read.
    pub(super) async fn subscribe(&mut self) -> Result<(), End> {
        let (plan, clock) = (Arc::clone(&self.worker.plan), Arc::clone(&self.worker.link.clock));
        let (inbox, notices) = inbox::queue(Box::new(move |handle, value| {
            let index = index(handle)?;
            Some((index, plan.points.get(index)?.codec.live(value, clock.now())))
        }));
        let session = &self.connection.session;
        let answer = {
            let (settings, values_max) =
                (&self.worker.plan.settings, self.worker.notification_values);
            request::subscribe(session, settings, values_max, inbox).await
        };
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
        let items = self.wanted_items(&namespaces, &mut emission).await;
        // What was refused is said even where the session ends with the next one.
        self.emit(std::mem::take(&mut emission)).await?;
        let items = items?;
        self.worker.search = false;
        if let Some(granted) = self.granted {
            let dead = self.checks.take_dead();
            request::forget_items(&self.connection.session, granted.id, &dead).await;
        }
        let mut short = false;
        for answer in self.create_items(&items).await.map_err(failed)? {
            let Some(index) = index(answer.handle) else { continue };
            let status = answer.status;
            if request::is_subscribing_refused(status) {
                self.polled[index] = true;
                self.worker.read_instead(self.worker.plan.points[index].device, Some(status));
                self.connect(index, false, &mut emission);
            } else if status.is_bad() {
                short |= answer.is_unanswered();
                let point = &self.worker.plan.points[index];
                let (metric, node) = (point.metric.clone(), point.address.to_string());
                let error = if answer.is_unanswered() {
                    PointError::Unanswered { metric, node }
                } else {
                    PointError::Refused { metric, node, status }
                };
                self.refuse(index, &error, status, &mut emission);
            } else {
                self.worker.settle(index, Kind::Refused);
                self.checks.made(index, answer.id, self.now());
                let publishing = self.granted.map_or(Duration::ZERO, |g| g.publish_interval);
                self.told_within[index] = answer.sampling.saturating_add(publishing);
                self.judge_queue(index, &answer, publishing);
                self.connect(index, answer.every_change, &mut emission);
            }
        }
        self.refused_at = self.now() + if short { UNANSWERED_RETRY } else { REFUSED_RETRY };
        self.emit(emission).await
    }

    /// The items that are to be made, of all points that have none; points that are read are made ready here.
    async fn wanted_items(
        &mut self,
        namespaces: &NamespaceMap,
        emission: &mut Emission,
    ) -> Result<Vec<Item>, End> {
        let mut items = Vec::new();
        for index in std::mem::take(&mut self.refused) {
            let point = &self.worker.plan.points[index];
            self.nodes[index] = point.address.resolve(namespaces);
            let Some(node) = self.nodes[index].clone() else {
                let (metric, node) = (point.metric.clone(), point.address.to_string());
                let error = PointError::Namespace { metric, node };
                self.refuse(index, &error, StatusCode::BadNodeIdUnknown, emission);
                continue;
            };
            let sampling = point.history.is_none().then_some(point.sampling);
            if let Some(status) = self.why_unreadable(index, &node).await? {
                self.leave_out(index, status, emission);
                continue;
            }
            if self.polled[index] {
                self.connect(index, false, emission);
                continue;
            }
            items.push(Item { handle: handle(index), node, sampling });
        }
        Ok(items)
    }

    /// Names a point of which values are lost without a word. What has a history is read back from it.
    fn judge_queue(&mut self, index: usize, answer: &Monitored, publishing: Duration) {
        let point = &self.worker.plan.points[index];
        // Zero is "each change": no faster, as far as we know, than asked for.
        let granted = Some(answer.sampling).filter(|sampling| !sampling.is_zero());
        let sampling = granted.map_or(point.sampling, |granted| granted.min(point.sampling));
        if point.history.is_some() || answer.queue >= request::values_between(publishing, sampling)
        {
            return self.worker.settle(index, Kind::Queue);
        }
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let kept = answer.queue;
        let error = PointError::ShortQueue { metric, node, publishing, sampling, kept };
        self.worker.complain(index, &error);
    }

    /// Why the value of a point cannot be read, if it cannot: asked for alone where that is in doubt.
    async fn why_unreadable(
        &mut self,
        index: usize,
        node: &NodeId,
    ) -> Result<Option<StatusCode>, End> {
        match self.worker.manner(index) {
            Manner::Together => return Ok(None),
            Manner::Not(status) => return Ok(Some(status)),
            Manner::Alone => self.worker.asked_alone = Some(index),
        }
        let answer = {
            let session = &self.connection.session;
            let size_max = &self.connection.read_size;
            request::read(session, std::slice::from_ref(node), Duration::ZERO, None, size_max).await
        };
        let status = match answer {
            Ok(values) => values.first().map_or(StatusCode::BadUnknownResponse, DataValue::status),
            Err(StatusCode::BadTimeout) => StatusCode::BadTimeout,
            // The end of the session takes the blame to the point that was asked for.
            Err(status) if request::is_unreadable(status) => {
                return Err(End::Broken(SessionError::Unreadable { url: self.url(), status }));
            }
            Err(status) => return Err(End::Broken(self.connection.why_lost(self.url(), status))),
        };
        self.worker.asked_alone = None;
        self.heard();
        if request::is_too_large(status) || status == StatusCode::BadTimeout {
            self.worker.leave_alone(index, status);
            return Ok(Some(status));
        }
        self.worker.readable(index);
        Ok(None)
    }

    fn leave_out(&mut self, index: usize, status: StatusCode, emission: &mut Emission) {
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let minutes = UNREADABLE_RETRY.as_secs() / 60;
        let error = PointError::Unreadable { metric, node, status, minutes };
        self.nodes[index] = None;
        self.refuse(index, &error, status, emission);
    }

    async fn create_items(&mut self, items: &[Item]) -> Result<Vec<Monitored>, StatusCode> {
        let Some(granted) = self.granted.filter(|_| !items.is_empty()) else {
            return Ok(Vec::new());
        };
        let (session, settings) = (&self.connection.session, &self.worker.plan.settings);
        match request::monitor(session, &granted, settings, items).await {
            Err(status) if request::is_subscribing_refused(status) => {
                Ok(items.iter().map(|item| Monitored::refused(item.handle, status)).collect())
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
