//! Subscribed points of which nothing comes are read. A subscription lives while its items are dead: a node that is deleted
//! and made again has none, and some servers lose them without a word. So that nothing came is no sign that nothing
//! changed. Must never let a value stand that the server was not asked for.
//!
//! **When**: a point of which nothing came for a minute ([`QUIET_MAX`]), or for as long as its change may take where that is
//! longer; and one that is to be said again, once in a slot. **What follows**: the same value and status stand. Another
//! value is a reading of its own, and its item is suspected: when the subscription has not told it either after all its
//! intervals and [`GRACE`], the item is made again. A refusal, such as of a node that is not there, makes the point Bad and
//! is asked for each minute, as at the start. Another Bad status makes the item suspected, for reading a device can fail
//! for once; the point is Bad when an item that was made again tells nothing either.
//!
//! **Cost**: what changes each minute costs nothing. Of what stands still each Read has at most 100 points, one Read is under
//! way at a time, and the server rests after it for [`REST`] times as long as it took: 100 000 standing points are 1 000
//! Reads in a round, and a round that takes longer than a minute is begun again when it ends. The server may answer from
//! its memory (`maxAge`) as far as it tells changes by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_opcua::types::{DataValue, NodeId, StatusCode};
use driver::Emission;
use futures::future::BoxFuture;
use model::{Quality, Timestamp};

use super::{End, PROBE_MAX, Serving};
use crate::error::PointError;
use crate::history::Event;
use crate::request::{self, ITEMS_PER_REQUEST};
use crate::standing::Known;

/// A subscribed point of which nothing came for so many keep-alives is read: a minute, with those of five seconds.
const QUIET_KEEP_ALIVES: u32 = 12;
/// It is read after so long however long the keep-alives are.
const QUIET_MAX: Duration = Duration::from_mins(1);
/// How much longer than its intervals say a change may take to reach us.
const GRACE: Duration = Duration::from_secs(5);
/// For so many times as long as a Read took, none is sent.
const REST: u32 = 4;

/// What reading some points brought.
pub(super) struct Checked {
    points: Vec<usize>,
    /// When they were asked for, on the monotonic clock and on that of the wall.
    asked: (Duration, Timestamp),
    values: Result<Vec<DataValue>, StatusCode>,
    took: Duration,
}

/// What is known of the items of a subscription.
pub(super) struct Checks {
    /// Per point, what the server calls its item.
    items: Vec<Option<u32>>,
    /// Per point, when the server last said something of it.
    told_at: Vec<Duration>,
    /// Points of which the server, when asked, says something else than the subscription.
    suspects: BTreeMap<usize, Suspect>,
    /// Points that are Bad when asked for, whose item was made again for that and has not told anything yet.
    struck: BTreeSet<usize>,
    /// Items that are to be forgotten by the server.
    dead: Vec<u32>,
    pub(super) running: Option<BoxFuture<'static, Checked>>,
    /// When the next points are looked for.
    at: Duration,
    /// The point from which they are looked for.
    from: usize,
    /// How many are read at once; fewer after a Read failed.
    size: usize,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    /// Until when the subscription may still tell it.
    until: Duration,
    /// What the server said when asked, where that is no value.
    bad: Option<StatusCode>,
}

impl Checks {
    pub(super) fn new(points: usize, now: Duration) -> Self {
        Self {
            items: vec![None; points],
            told_at: vec![now; points],
            suspects: BTreeMap::new(),
            struck: BTreeSet::new(),
            dead: Vec::new(),
            running: None,
            at: now,
            from: 0,
            size: ITEMS_PER_REQUEST,
        }
    }

    /// The server made an item for the point.
    pub(super) fn made(&mut self, index: usize, item: u32, now: Duration) {
        self.items[index] = Some(item);
        self.told_at[index] = now;
    }

    /// The subscription told something of the point.
    pub(super) fn told(&mut self, index: usize, now: Duration) {
        if let Some(told_at) = self.told_at.get_mut(index) {
            *told_at = now;
            self.suspects.remove(&index);
            self.struck.remove(&index);
        }
    }

    /// Points are looked for at `now`.
    pub(super) fn soon(&mut self, now: Duration) {
        self.at = now;
    }

    /// The items that the server is to forget.
    pub(super) fn take_dead(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dead)
    }

    /// The item of the point tells nothing any more.
    fn bury(&mut self, index: usize) {
        self.dead.extend(self.items[index].take());
        self.suspects.remove(&index);
    }
}

impl Serving<'_> {
    /// When there is next something to do; `None` while nothing is subscribed to, or an answer is awaited.
    pub(super) fn next_check(&self) -> Option<Duration> {
        let look =
            (self.granted.is_some() && self.checks.running.is_none()).then_some(self.checks.at);
        let suspects = self.checks.suspects.values().map(|suspect| suspect.until);
        look.into_iter().chain(suspects).min()
    }

    /// Reads the next points that are to be read.
    pub(super) fn start_checking(&mut self, now: Duration) {
        if self.granted.is_none() || self.checks.running.is_some() || now < self.checks.at {
            return;
        }
        let wall = self.worker.link.clock.now();
        let chosen = self.choose(now, wall);
        let Some(age_max) = chosen.iter().map(|(index, _)| self.told_within[*index]).min() else {
            self.checks.at = now + self.worker.plan.settings.keep_alive.min(PROBE_MAX);
            return;
        };
        let (points, nodes): (Vec<usize>, Vec<NodeId>) = chosen.into_iter().unzip();
        let session = Arc::clone(&self.connection.session);
        let size_max = self.connection.read_size.clone();
        let clock = Arc::clone(&self.worker.link.clock);
        self.checks.running = Some(Box::pin(async move {
            let values = request::read(&session, &nodes, age_max, &size_max).await;
            let took = clock.monotonic().saturating_sub(now);
            Checked { points, asked: (now, wall), values, took }
        }));
    }

    /// The next points to be read; all others come before one is read again.
    fn choose(&mut self, now: Duration, wall: Timestamp) -> Vec<(usize, NodeId)> {
        let (points, from) = (self.nodes.len(), self.checks.from);
        let mut chosen = Vec::new();
        for index in (from..points).chain(0..from.min(points)) {
            if chosen.len() == self.checks.size {
                break;
            }
            if self.is_check_due(index, now, wall) {
                chosen.extend(self.nodes[index].clone().map(|node| (index, node)));
                self.checks.from = index + 1;
            }
        }
        chosen
    }

    fn is_check_due(&self, index: usize, now: Duration, wall: Timestamp) -> bool {
        if self.checks.items[index].is_none() || self.checks.suspects.contains_key(&index) {
            return false;
        }
        let silent = now.saturating_sub(self.checks.told_at[index]);
        let is_standing_due = || {
            let known = self.known_by_check(index, wall);
            let due = known.is_some_and(|known| self.worker.standing[index].is_due(known));
            due && self.is_said(index)
        };
        let quiet = (self.worker.plan.settings.keep_alive * QUIET_KEEP_ALIVES).min(QUIET_MAX);
        silent >= quiet.max(self.told_within[index] + GRACE) || is_standing_due()
    }

    /// What the same value shows that the server gives when it is asked at `asked`: as much as the subscription would, for
    /// it may be the value of the last sampling. Nothing before the server's clock is known.
    fn known_by_check(&self, index: usize, asked: Timestamp) -> Option<Known> {
        let behind_micros = self.worker.behind_micros?;
        let known = Known::by_subscription(asked, self.told_within[index], behind_micros);
        Some(Known { shared_late_micros: self.shared_late(index), ..known })
    }

    pub(super) async fn checked(&mut self, checked: Checked) -> Result<(), End> {
        let Checked { points, asked, values, took } = checked;
        self.checks.at = self.now() + took * REST;
        let mut emission = Emission::default();
        let status_alone = |status| DataValue { status: Some(status), ..DataValue::default() };
        let values = match values {
            Ok(values) => {
                self.checks.size = (self.checks.size * 2).min(ITEMS_PER_REQUEST);
                values
            }
            // It may be for one of them.
            Err(_) if points.len() > 1 => {
                self.checks.size = points.len().div_ceil(4);
                self.checks.from = points[0];
                Vec::new()
            }
            Err(status) if request::is_unreadable(status) || status == StatusCode::BadTimeout => {
                vec![status_alone(status)]
            }
            // It says nothing of the point: either the session ends, or it is asked again.
            Err(status) => {
                tracing::debug!(port = self.worker.plan.id, %status, "points cannot be checked");
                self.checks.at = self.now() + self.worker.plan.settings.keep_alive.min(PROBE_MAX);
                Vec::new()
            }
        };
        for (index, value) in points.into_iter().zip(values) {
            self.check(index, &value, asked, &mut emission);
        }
        self.emit(emission).await
    }

    /// What the server says of a point when it is asked.
    fn check(
        &mut self,
        index: usize,
        value: &DataValue,
        (asked, asked_at): (Duration, Timestamp),
        emission: &mut Emission,
    ) {
        // What the subscription told since is newer.
        if self.checks.items[index].is_none() || self.checks.told_at[index] > asked {
            return;
        }
        let now = self.now();
        self.checks.told_at[index] = now;
        let status = value.status();
        let point = &self.worker.plan.points[index];
        if request::is_point_refused(status) {
            let (metric, node) = (point.metric.clone(), point.address.to_string());
            self.checks.bury(index);
            let error = PointError::Refused { metric, node, status };
            return self.refuse(index, &error, status, emission);
        }
        let gateway_time = self.worker.link.clock.now();
        let decoded = point.codec.live(value, gateway_time);
        let stands = self.worker.standing[index].is_confirmed_by(&decoded.sample);
        if stands && !self.worker.is_told_bad(index) {
            let read = Some(decoded.sample.source_time).filter(|_| decoded.timed);
            let known = self.known_by_check(index, asked_at).map(|known| Known { read, ..known });
            return self.say_standing(index, known, gateway_time, emission);
        }
        let bad = Some(status).filter(StatusCode::is_bad);
        let until = now + self.told_within[index] + GRACE;
        self.checks.suspects.insert(index, Suspect { until, bad });
        if bad.is_none() {
            self.take_read(index, decoded, emission);
        }
    }

    /// Has the items made again whose points changed without a word of the subscription.
    pub(super) fn bury(&mut self, now: Duration, emission: &mut Emission) {
        // What it told may still wait here.
        if self.checks.suspects.is_empty() || !self.notices.is_empty() {
            return;
        }
        let over = self.checks.suspects.iter().filter(|(_, suspect)| suspect.until <= now);
        let over: Vec<(usize, Suspect)> = over.map(|(index, suspect)| (*index, *suspect)).collect();
        for (index, suspect) in over {
            let point = &self.worker.plan.points[index];
            let (metric, node) = (point.metric.clone(), point.address.to_string());
            let what = suspect.bad.map_or_else(
                || "its value is another one".to_owned(),
                |status| format!("it is {status}"),
            );
            self.worker.complain(index, &PointError::Silent { metric, node, what });
            if let Some(status) = suspect.bad
                && !self.checks.struck.insert(index)
            {
                emission.samples.extend(self.worker.refused(index, Quality(status.bits())));
            }
            self.checks.bury(index);
            self.refused.push(index);
            self.refused_at = now;
            self.step(index, Event::Overflow, emission);
        }
    }
}
