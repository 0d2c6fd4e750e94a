//! Subscribed points of which nothing comes are read. A subscription lives while its items are dead: a node that is
//! deleted and made again has none, and some servers lose them without a word. So that nothing came is no sign that
//! nothing changed.
//!
//! **When**: a point of which nothing came for a minute ([`QUIET_MAX`]), or for as long as its change may take where that is
//! longer; and one that is to be said again, once in a slot. **What follows**: the same value and status stand. Another
//! value is a reading of its own, and its item is suspected: when the subscription has not told it either after all its
//! intervals and [`GRACE_MAX`], the item is made again; where that is in vain, the point is read on and the item is left
//! (`rebuilds`). The same value with another status is said to stand with that status. A refusal, such as of a node that is
//! not there, makes the point Bad and is asked for each minute, as at the start. Another Bad status, which reading a device
//! can fail with once, makes it Bad when it is the answer to [`BAD_READS`] Reads in a row, and so does no answer, where the
//! point was to be said again: a slot has a row, and what is told of it (GW-O137).
//!
//! **Cost**: what changes each minute costs nothing. Of what stands still each Read has at most 100 points, one Read is under
//! way at a time, and the server rests after it for [`REST`] times as long as it took, a minute at most: 100 000 standing points are 1 000
//! Reads in a round, and a round that takes longer than a minute is begun again when it ends. The server may answer from
//! its memory (`maxAge`) as far as it tells changes by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_opcua::types::{DataValue, NodeId, StatusCode};
use driver::Emission;
use futures::future::BoxFuture;
use model::{Quality, Timestamp};

use super::rebuilds::{IN_A_ROW_MAX, Rebuilds};
use super::{End, PROBE_MAX, Serving};
use crate::complaints::Kind;
use crate::error::PointError;
use crate::history::Event;
use crate::request::{self, ITEMS_PER_REQUEST};
use crate::standing::Known;

/// A subscribed point of which nothing came for so many keep-alives is read: a minute, with those of five seconds.
const QUIET_KEEP_ALIVES: u32 = 12;
/// It is read after so long however long the keep-alives are.
const QUIET_MAX: Duration = Duration::from_mins(1);
/// How much longer than its intervals say a change may take to reach us: its notification is under way. In keep-alives.
const GRACE_KEEP_ALIVES: u32 = 4;
/// The same, however long the keep-alives are.
const GRACE_MAX: Duration = Duration::from_secs(20);
/// For so many times as long as a Read took, none is sent.
const REST: u32 = 4;
/// So many times the `timeout` may a Read take: nobody waits for it.
const PATIENCE: u32 = 3;
/// So many Reads in a row have to be Bad before the point is.
const BAD_READS: u8 = 3;
/// A point whose Read is not answered is left in peace for so long, unless it is to be said again.
const SLOW_RETRY: Duration = Duration::from_mins(10);
/// A value that was to be said again since so long, and that no Read confirmed, is Bad: its slot has to have a row.
const UNCONFIRMED_MAX_MICROS: i64 = 10 * 60 * 1_000_000;

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
    /// Items that were made again.
    rebuilds: Rebuilds,
    /// Points that were said to stand with another status than that of the subscription.
    disputed: BTreeSet<usize>,
    /// Points whose Read was not answered, and until when they are left in peace.
    slow: BTreeMap<usize, Duration>,
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
    against: Against,
}

/// What the server says when it is asked.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// Another value.
    Value,
    /// The same value with another status.
    Status(StatusCode),
    /// No value, so many times in a row.
    Bad(StatusCode, u8),
}

impl Checks {
    pub(super) fn new(points: usize, now: Duration) -> Self {
        Self {
            items: vec![None; points],
            told_at: vec![now; points],
            suspects: BTreeMap::new(),
            rebuilds: Rebuilds::default(),
            disputed: BTreeSet::new(),
            slow: BTreeMap::new(),
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
            self.disputed.remove(&index);
            self.rebuilds.told(index);
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
        // Those that were Bad are read again when points are looked for.
        let suspects = self.checks.suspects.values();
        let suspects = suspects.filter(|suspect| !matches!(suspect.against, Against::Bad(..)));
        let suspects = suspects.map(|suspect| suspect.until);
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
        let time_limit = Some(self.read_time_limit());
        let clock = Arc::clone(&self.worker.link.clock);
        self.checks.running = Some(Box::pin(async move {
            let values = request::read(&session, &nodes, age_max, time_limit, &size_max).await;
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
                // It would keep the others waiting.
                let is_slow = self.checks.slow.contains_key(&index);
                if is_slow && !chosen.is_empty() {
                    break;
                }
                chosen.extend(self.nodes[index].clone().map(|node| (index, node)));
                self.checks.from = index + 1;
                if is_slow {
                    break;
                }
            }
        }
        chosen
    }

    fn is_check_due(&self, index: usize, now: Duration, wall: Timestamp) -> bool {
        if self.checks.items[index].is_none() {
            return false;
        }
        if let Some(suspect) = self.checks.suspects.get(&index) {
            return matches!(suspect.against, Against::Bad(..)) && suspect.until <= now;
        }
        let silent = now.saturating_sub(self.checks.told_at[index]);
        let is_standing_due = || {
            let known = self.known_by_check(index, wall);
            let due = known.is_some_and(|known| self.worker.standing[index].is_due(known));
            due && self.is_said(index)
        };
        let quiet = (self.worker.plan.settings.keep_alive * QUIET_KEEP_ALIVES).min(QUIET_MAX);
        let is_left = self.checks.slow.get(&index).is_some_and(|until| now < *until);
        let is_quiet = silent >= quiet.max(self.told_within[index] + self.grace());
        (is_quiet && !is_left) || is_standing_due()
    }

    /// How much longer than its intervals say a change may take to reach us.
    fn grace(&self) -> Duration {
        (self.worker.plan.settings.keep_alive * GRACE_KEEP_ALIVES).min(GRACE_MAX)
    }

    /// How long a Read may take.
    fn read_time_limit(&self) -> Duration {
        self.worker.plan.settings.timeout * PATIENCE
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
        self.checks.at = self.now() + (took * REST).min(PROBE_MAX);
        let mut emission = Emission::default();
        let status_alone = |status| DataValue { status: Some(status), ..DataValue::default() };
        let values = match values {
            Ok(values) => {
                self.checks.size = (self.checks.size * 2).min(ITEMS_PER_REQUEST);
                values
            }
            // It may be for one of them.
            Err(status) if points.len() > 1 => {
                self.miss(status, &mut emission);
                self.checks.size = points.len().div_ceil(4);
                self.checks.from = points[0];
                Vec::new()
            }
            Err(StatusCode::BadTimeout) => {
                self.unanswered(points[0], asked.1, &mut emission);
                Vec::new()
            }
            Err(status) if request::is_unreadable(status) => vec![status_alone(status)],
            // It says nothing of the point: either the session ends, or it is asked again.
            Err(status) => {
                tracing::debug!(port = self.worker.plan.id, %status, "points cannot be checked");
                self.miss(status, &mut emission);
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
        self.checks.slow.remove(&index);
        let suspect = self.checks.suspects.remove(&index);
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
        let read = Some(decoded.sample.source_time).filter(|_| decoded.timed);
        let known = self.known_by_check(index, asked_at).map(|known| Known { read, ..known });
        if stands {
            self.worker.settle(index, Kind::Unconfirmed);
            if self.worker.is_told_bad(index) {
                return self.take_read(index, decoded, emission);
            }
            if self.checks.disputed.remove(&index)
                && let Some(known) = known
            {
                let standing = &mut self.worker.standing[index];
                return emission.samples.extend(standing.again(known, gateway_time));
            }
            return self.say_standing(index, known, gateway_time, emission);
        }
        let against = if status.is_bad() {
            let times = match suspect {
                Some(Suspect { against: Against::Bad(_, times), .. }) => times,
                _ => 0,
            };
            Against::Bad(status, times.saturating_add(1))
        } else if self.worker.standing[index].has_value_of(&decoded.sample) {
            Against::Status(status)
        } else {
            Against::Value
        };
        match against {
            Against::Value => {
                self.worker.settle(index, Kind::Unconfirmed);
                self.take_read(index, decoded, emission);
            }
            Against::Status(_) => {
                let from = emission.samples.len();
                self.say_standing(index, known, gateway_time, emission);
                for sample in &mut emission.samples[from..] {
                    sample.quality = decoded.sample.quality;
                    self.checks.disputed.insert(index);
                }
            }
            Against::Bad(_, times) if times >= BAD_READS => {
                return self.dispute(index, against, emission);
            }
            Against::Bad(..) => {}
        }
        let is_bad = matches!(against, Against::Bad(..));
        if !is_bad && !self.checks.rebuilds.allows(index, now) {
            return self.dispute(index, against, emission);
        }
        let until = now + self.told_within[index] + self.grace();
        self.checks.suspects.insert(index, Suspect { until, against });
    }

    /// The server did not answer when it was asked for this point alone.
    fn unanswered(&mut self, index: usize, asked_at: Timestamp, emission: &mut Emission) {
        let now = self.now();
        self.checks.told_at[index] = now;
        self.checks.slow.insert(index, now + SLOW_RETRY);
        self.complain_of_no_answer(index, StatusCode::BadTimeout);
        let known = self.known_by_check(index, asked_at).filter(|_| self.is_said(index));
        if known.is_some_and(|known| self.worker.standing[index].is_due(known)) {
            let quality = Quality(StatusCode::BadTimeout.bits());
            emission.samples.extend(self.worker.refused(index, quality));
        }
        self.miss(StatusCode::BadTimeout, emission);
    }

    /// A Read failed: what was to be said again long ago cannot wait for the next.
    fn miss(&mut self, status: StatusCode, emission: &mut Emission) {
        let wall = self.worker.link.clock.now();
        for index in 0..self.checks.items.len() {
            if self.checks.items[index].is_none() || !self.is_said(index) {
                continue;
            }
            let known = self.known_by_check(index, wall);
            let overdue = known.and_then(|known| self.worker.standing[index].overdue_micros(known));
            if overdue.is_some_and(|overdue| overdue >= UNCONFIRMED_MAX_MICROS) {
                self.complain_of_no_answer(index, status);
                emission.samples.extend(self.worker.refused(index, Quality(status.bits())));
            }
        }
    }

    fn complain_of_no_answer(&mut self, index: usize, status: StatusCode) {
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let seconds = self.read_time_limit().as_secs();
        let error = if status == StatusCode::BadTimeout {
            PointError::SlowRead { metric, node, seconds }
        } else {
            PointError::Disputed { metric, node, status }
        };
        self.worker.complain(index, &error);
    }

    /// The server says something else when it is asked than by its subscription, and stays with that: the item is made
    /// again, or where that was in vain, what a Read says counts.
    fn dispute(&mut self, index: usize, against: Against, emission: &mut Emission) {
        let now = self.now();
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let may_rebuild = self.checks.rebuilds.allows(index, now);
        let error = match against {
            Against::Value if may_rebuild => {
                PointError::Silent { metric, node, what: "its value is another one".to_owned() }
            }
            Against::Value => PointError::Deadband { metric, node, times: IN_A_ROW_MAX + 1 },
            Against::Status(status) | Against::Bad(status, _) => {
                PointError::Disputed { metric, node, status }
            }
        };
        self.worker.complain(index, &error);
        if let Against::Bad(status, _) = against {
            emission.samples.extend(self.worker.refused(index, Quality(status.bits())));
        }
        if may_rebuild {
            self.checks.rebuilds.made_again(index, now);
            self.checks.bury(index);
            self.refused.push(index);
            self.refused_at = now;
        }
        self.step(index, Event::Overflow, emission);
    }

    /// Has the items made again whose points changed without a word of the subscription.
    pub(super) fn bury(&mut self, now: Duration, emission: &mut Emission) {
        // What it told may still wait here.
        if self.checks.suspects.is_empty() || !self.notices.is_empty() {
            return;
        }
        let is_over = |suspect: &Suspect| {
            suspect.until <= now && !matches!(suspect.against, Against::Bad(..))
        };
        let over = self.checks.suspects.iter().filter(|(_, suspect)| is_over(suspect));
        let over: Vec<(usize, Against)> =
            over.map(|(index, suspect)| (*index, suspect.against)).collect();
        for (index, against) in over {
            self.checks.suspects.remove(&index);
            self.dispute(index, against, emission);
        }
    }
}
