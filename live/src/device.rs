//! One device of the live topics: its points, what of them waits to be sent, and what is old.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::{Dictionary, GatewayId, PointInfo, Sample, Value};

use super::LiveMessage;
use super::settings::LiveSettings;
use super::text::{self, Group, Origin};

/// A value is old when three more were expected, and this long at least.
const INTERVALS_MISSED: u32 = 3;
const STALE_AFTER_MIN: Duration = Duration::from_secs(10);

/// One point.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about one point")]
pub(super) struct Point {
    /// Where it is described.
    dictionary: Arc<Dictionary>,
    index: usize,
    pub(super) sample: Option<Sample>,
    pub(super) origin: Option<Origin>,
    /// When its value came, or came again: milliseconds of the monotonic clock. Below zero for one that came before this
    /// run.
    pub(super) arrived_ms: i64,
    sent_at: Option<Duration>,
    /// The value that was sent last, for the deadband.
    sent: Option<f64>,
    /// It stands in the queue of its device.
    pub(super) waits: bool,
    pub(super) stale: bool,
    changed_for_group: bool,
    /// It is in no dictionary any more.
    is_gone: bool,
}

impl Point {
    pub(super) fn new(dictionary: Arc<Dictionary>, index: usize) -> Self {
        Self {
            dictionary,
            index,
            sample: None,
            origin: None,
            arrived_ms: 0,
            sent_at: None,
            sent: None,
            waits: false,
            stale: false,
            changed_for_group: false,
            is_gone: false,
        }
    }

    /// A newer dictionary describes it.
    pub(super) fn means(&mut self, dictionary: Arc<Dictionary>, index: usize) {
        (self.dictionary, self.index) = (dictionary, index);
    }

    pub(super) fn info(&self) -> &PointInfo {
        &self.dictionary.points[self.index]
    }

    fn is_old(&self, now: Duration) -> bool {
        let Some(interval) = self.info().interval_ms.map(Duration::from_millis) else {
            return false;
        };
        let limit = interval.saturating_mul(INTERVALS_MISSED).max(STALE_AFTER_MIN);
        !interval.is_zero() && self.silent_for(now) > limit
    }

    /// How long ago its value came.
    pub(super) fn silent_for(&self, now: Duration) -> Duration {
        let silent_ms = millis(now).saturating_sub(self.arrived_ms);
        Duration::from_millis(u64::try_from(silent_ms).unwrap_or_default())
    }
}

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) gateway: GatewayId,
    pub(super) topic: String,
    pub(super) points: Vec<Point>,
    /// Points that are no longer there; their numbers are given again.
    free: Vec<usize>,
    /// Points whose value was not sent, each once.
    waiting: VecDeque<usize>,
    /// It stands in one of the queues.
    pub(super) is_queued: bool,
    /// Since when something waits that might be sent.
    pub(super) waits_since: Option<Duration>,
    pub(super) groups_sent_at: Option<Duration>,
    /// When its description was published; `None` until it was looked at since.
    pub(super) described_at: Option<Duration>,
    /// Longest description that the broker takes.
    pub(super) meta_bytes_max: usize,
}

impl Device {
    pub(super) fn new(gateway: GatewayId, topic: String) -> Self {
        Self {
            gateway,
            topic,
            points: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            is_queued: false,
            waits_since: None,
            groups_sent_at: None,
            described_at: None,
            meta_bytes_max: usize::MAX,
        }
    }

    /// Whether it has a point that is in use.
    pub(super) fn has_points(&self) -> bool {
        self.points.iter().any(|point| !point.is_gone)
    }

    /// Adds a point and returns its number.
    pub(super) fn add(&mut self, point: Point) -> usize {
        if let Some(index) = self.free.pop() {
            self.points[index] = point;
            index
        } else {
            self.points.push(point);
            self.points.len() - 1
        }
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A point has something to say.
    pub(super) fn waits(&mut self, index: usize, now: Duration) {
        let Some(point) = self.points.get_mut(index) else { return };
        point.changed_for_group = true;
        if !std::mem::replace(&mut point.waits, true) {
            self.waiting.push_back(index);
        }
        self.waits_since.get_or_insert(now);
    }

    /// Every point that has a value is sent again.
    pub(super) fn mark_all(&mut self, now: Duration) {
        for index in 0..self.points.len() {
            if self.points.get(index).is_some_and(|point| point.sample.is_some()) {
                self.waits(index, now);
            }
        }
    }

    /// The next message, if one may go out, and when the one behind it may.
    pub(super) fn next(
        &mut self,
        now: Duration,
        settings: &LiveSettings,
    ) -> (Option<LiveMessage>, Option<Duration>) {
        let mut message = None;
        while let Some(&index) = self.waiting.front() {
            let Some(point) = self.points.get_mut(index) else {
                self.waiting.pop_front();
                continue;
            };
            let due = point.sent_at.map_or(now, |at| at.saturating_add(settings.rate));
            if message.is_some() || due > now {
                if due > now {
                    // What waits is not due, so nothing is late.
                    self.waits_since = Some(due);
                }
                return (message, Some(due.max(now)));
            }
            self.waiting.pop_front();
            if !std::mem::take(&mut point.waits) {
                continue;
            }
            let (Some(sample), Some(origin)) = (&point.sample, point.origin) else { continue };
            point.sent_at = Some(now);
            point.sent = number(sample);
            let info = &point.dictionary.points[point.index];
            message = Some(LiveMessage {
                topic: format!("{}/v/{}", self.topic, info.metric),
                payload: text::value(info, sample, origin, point.stale),
                retain: true,
                at_least_once: settings.at_least_once,
            });
        }
        self.waits_since = None;
        (message, None)
    }

    /// What changed since the last time, by poll group. A group is named by its interval.
    pub(super) fn groups(&mut self) -> Vec<(String, String)> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for point in self.points.iter_mut().filter(|point| point.changed_for_group) {
            point.changed_for_group = false;
            let info = &point.dictionary.points[point.index];
            let (Some(sample), Some(origin)) = (&point.sample, point.origin) else { continue };
            let name = info.interval_ms.map_or("change".to_owned(), |ms| format!("{ms}ms"));
            groups.entry(name).or_default().add(info, sample, origin, point.stale);
        }
        let finished = |(name, group): (String, Group)| Some((name, group.finish()?));
        groups.into_iter().filter_map(finished).collect()
    }

    /// Whether its points are those of this dictionary, and of no newer one.
    pub(super) fn is_described_by(&self, dictionary: &Arc<Dictionary>) -> bool {
        let mut points = self.points.iter().filter(|point| !point.is_gone);
        points.next().is_none_or(|point| Arc::ptr_eq(&point.dictionary, dictionary))
    }

    /// Points that another dictionary than this one describes.
    pub(super) fn not_of(&self, dictionary: &Arc<Dictionary>) -> Vec<usize> {
        let others = self.points.iter().enumerate();
        let others = others
            .filter(|(_, point)| !point.is_gone && !Arc::ptr_eq(&point.dictionary, dictionary));
        others.map(|(index, _)| index).collect()
    }

    /// Forgets a point; the topic that must be cleared, if it had one.
    pub(super) fn clear(&mut self, index: usize) -> Option<String> {
        let topic = self.topic.clone();
        let point = self.points.get_mut(index).filter(|point| !point.is_gone)?;
        point.is_gone = true;
        point.waits = false;
        self.free.push(index);
        point.sample.take()?;
        Some(format!("{topic}/v/{}", point.info().metric))
    }

    /// The description of the points that are in use.
    pub(super) fn meta(&self) -> Option<String> {
        let points = self.points.iter().filter(|point| !point.is_gone);
        text::meta(self.gateway.as_str(), points.map(Point::info), self.meta_bytes_max)
    }

    /// Says of each value whether it is stale, and lets those be sent where that changed, or whose last message is as
    /// old as `again`.
    pub(super) fn mark_stale(&mut self, online: bool, now: Duration, again: Duration) {
        for index in 0..self.points.len() {
            let Some(point) = self.points.get_mut(index).filter(|point| point.sample.is_some())
            else {
                continue;
            };
            let stale = !online || point.is_old(now);
            let expires = point.sent_at.is_some_and(|at| now.saturating_sub(at) >= again);
            if stale != point.stale || expires {
                point.stale = stale;
                self.waits(index, now);
            }
        }
    }
}

/// A moment of the monotonic clock as milliseconds.
pub(super) fn millis(moment: Duration) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

fn number(sample: &Sample) -> Option<f64> {
    match sample.value {
        #[expect(clippy::cast_precision_loss, reason = "a deadband needs no last digit")]
        Some(Value::Decimal(mantissa)) => Some(mantissa as f64),
        Some(Value::Float(value)) => Some(value),
        _ => None,
    }
}

/// Whether a value differs so little from the one that was sent that it may stay unsaid.
pub(super) fn within_deadband(point: &Point, sample: &Sample, settings: &LiveSettings) -> bool {
    let (Some(sent), Some(new)) = (point.sent, number(sample)) else { return false };
    let known = point.sample.as_ref();
    let same_quality = known.is_some_and(|known| known.quality == sample.quality);
    settings.deadband > 0.0
        && same_quality
        && !point.stale
        && (new - sent).abs() <= sent.abs() * settings.deadband / 100.0
}
