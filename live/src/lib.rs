//! The live topics: the newest value of each point as soon as it is admitted, what describes it, and whether its gateway
//! is there. Pure; time comes in. Must never know MQTT, or read a store: rows come in.
//!
//! ```text
//! frame ─▶ learn (its dictionary) ─▶ take: newest wins ─▶ dirty points of a device ─▶ next: by turns, within the budget
//! ```
//!
//! Where the budget is not enough, each device has its turn, and says once a second in one message per poll group what
//! its topics cannot say in time.

mod device;
mod order;
mod presence;
mod restore;
mod settings;
mod text;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use contract::{AdmittedFrame, LogKey};
use model::{
    Dictionary, DictionaryHash, GatewayId, PointId, PointInfo, Sample, Sequence, Timestamp, topic,
};

use device::{Device, Point, millis};
use order::{Comes, is_newer, takes_place};
use presence::{GATEWAYS_MAX, Gateways};
use text::Origin;

pub use order::CLOCK_AHEAD_MAX_US;
pub use restore::{Described, StoredRow, StoredValue};
pub use settings::LiveSettings;

/// Most topics; a point beyond them is not published, and counted.
pub const TOPICS_MAX: usize = 200_000;
/// Longest retained message: `$meta` of a device with many points. Only ingest publishes what is retained.
pub const RETAINED_BYTES_MAX: usize = 1_024 * 1_024;
/// Places of points that are at hand by gateway and dictionary; all are looked up again when there are more.
const LAYOUT_PLACES_MAX: usize = 4 * TOPICS_MAX;
/// Messages beside the values that wait: descriptions, states, cleared topics.
const OTHERS_MAX: usize = 2 * TOPICS_MAX;
/// A device whose values waited so long for the budget speaks for its groups.
const OVERLOADED_AFTER: Duration = Duration::from_secs(1);
/// Time between two messages of one device for its groups.
const GROUP_INTERVAL: Duration = Duration::from_secs(1);
/// Within this time every device is looked at for what has become old, a share of them at each step: admission and acks
/// must not wait while 200 000 points are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
const SWEEP_STEP: Duration = Duration::from_millis(100);
const SWEEP_STEPS: usize = 20;
/// A point that brought nothing for so long is gone: its topic is cleared.
pub const GONE_AFTER: Duration = Duration::from_hours(7 * 24);

/// A message for a live topic. An empty payload clears the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveMessage {
    /// The topic.
    pub topic: String,
    /// JSON.
    pub payload: String,
    /// Whether a broker keeps it for those who come later.
    pub retain: bool,
    /// QoS 1, otherwise 0.
    pub at_least_once: bool,
}

/// Counts of the live topics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveCounts {
    /// Topics that are kept.
    pub topics: usize,
    /// Values of points that have no topic, because there are too many.
    pub left_out: u64,
    /// Values that a newer one replaced before they could be sent.
    pub held_back: u64,
    /// Other messages that found no room.
    pub others_dropped: u64,
}

/// The place of a point: its device, and its number there.
type Place = (usize, usize);

/// State of the live topics.
#[derive(Debug)]
pub struct Live {
    settings: LiveSettings,
    devices: Vec<Device>,
    by_topic: BTreeMap<String, usize>,
    by_id: BTreeMap<PointId, Place>,
    /// The points of a dictionary, by their indexes. By gateway too: one that follows another may have its dictionary.
    layouts: BTreeMap<(GatewayId, DictionaryHash), Arc<Vec<Option<Place>>>>,
    /// Their points, and one more for each, in all.
    layout_places: usize,
    gateways: Gateways,
    /// The devices of each gateway that said which it has, by topic.
    configured: BTreeMap<GatewayId, BTreeSet<String>>,
    /// Descriptions, states and cleared topics, before the values.
    others: VecDeque<LiveMessage>,
    /// Devices that have something to send, by turns.
    ready: VecDeque<usize>,
    /// Devices whose next topic may not be sent yet.
    waiting: BTreeSet<(Duration, usize)>,
    /// Messages that may go out now, and since when.
    tokens: (f64, Duration),
    swept_at: Duration,
    /// The device that is looked at next for what has become old.
    sweep_next: usize,
    counts: LiveCounts,
}

impl Live {
    /// No topic yet.
    #[must_use]
    pub fn new(settings: LiveSettings) -> Self {
        let tokens = (f64::from(settings.budget), Duration::ZERO);
        Self {
            settings,
            devices: Vec::new(),
            by_topic: BTreeMap::new(),
            by_id: BTreeMap::new(),
            layouts: BTreeMap::new(),
            layout_places: 0,
            gateways: Gateways::default(),
            configured: BTreeMap::new(),
            others: VecDeque::new(),
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            tokens,
            swept_at: Duration::ZERO,
            sweep_next: 0,
            counts: LiveCounts::default(),
        }
    }

    /// Takes a frame that was admitted; what is in it may not be durable yet.
    pub fn update(&mut self, frame: &AdmittedFrame, now: Duration, wall: Timestamp) {
        if !self.settings.enabled {
            return;
        }
        let layout = self.layout(&frame.gateway, frame.batch.dictionary, &frame.dictionary);
        self.presence(&frame.gateway, true, now, wall);
        if let Some(first) = frame.dictionary.points.first() {
            self.gateways.is_at(&frame.gateway, &first.place);
        }
        let origin = Origin { boot: frame.log_id, sequence: frame.sequence };
        for of_point in frame.batch.samples.chunk_by(|a, b| a.point == b.point) {
            let newest = of_point
                .iter()
                .reduce(|known, new| if is_newer(known, new, wall) { new } else { known });
            let Some(sample) = newest else { continue };
            let index = usize::try_from(sample.point.0).unwrap_or(usize::MAX);
            match layout.get(index).copied().flatten() {
                Some(place) => drop(self.take(place, sample, (origin, Comes::Now), now, wall)),
                None => self.counts.left_out = self.counts.left_out.saturating_add(1),
            }
        }
    }

    /// A gateway, its will or its connection says whether it is there.
    pub fn presence(&mut self, gateway: &GatewayId, online: bool, now: Duration, wall: Timestamp) {
        if self.settings.enabled && self.gateways.heard(gateway, online, now, wall) {
            for index in 0..self.devices.len() {
                if self.devices.get(index).is_some_and(|device| device.gateway == *gateway) {
                    self.mark_stale(index, now);
                }
            }
            self.flush_gateways(now);
        }
    }

    /// Everything of a log up to here is in the store.
    pub fn durable(&mut self, (gateway, log_id): &LogKey, upto: Sequence) {
        if self.settings.enabled {
            self.gateways.durable(gateway, *log_id, upto);
        }
    }

    /// The store holds of each log what `upto` says: it was put back where that is less than was said.
    pub fn stands_at(&mut self, upto: impl Fn(&LogKey) -> Sequence) {
        if self.settings.enabled {
            self.gateways.stands_at(upto);
        }
    }

    /// These dictionaries describe all devices that a gateway has today. The topics of its other devices are cleared: they
    /// were renamed, moved or removed. What its spool still brings of those has no topic.
    pub fn configured(&mut self, gateway: &GatewayId, dictionaries: &[Arc<Dictionary>]) {
        if !self.settings.enabled {
            return;
        }
        let points = dictionaries.iter().flat_map(|dictionary| &dictionary.points);
        let devices: BTreeSet<String> = points.map(|point| self.device_topic(point)).collect();
        let before = self.configured.remove(gateway);
        let gone = |device: &Device| {
            device.gateway == *gateway && device.has_points() && !devices.contains(&device.topic)
        };
        let all = self.devices.iter().enumerate();
        let gone: Vec<usize> =
            all.filter(|(_, device)| gone(device)).map(|(index, _)| index).collect();
        for index in gone {
            let points = self.devices.get(index).map_or(0, |device| device.points.len());
            for point in 0..points {
                self.remove((index, point));
            }
            self.describe(index);
        }
        if before.is_some_and(|before| before != devices) {
            // One that had no topic may have one now. Not each time: whoever is looked up again is described again.
            self.forget_layouts();
        }
        let known: usize = self.configured.values().map(BTreeSet::len).sum();
        if self.configured.len() < GATEWAYS_MAX && known.saturating_add(devices.len()) <= TOPICS_MAX
        {
            self.configured.insert(gateway.clone(), devices);
        }
    }

    /// Whether a device is not one that its gateway has today.
    fn is_removed(&self, gateway: &GatewayId, device_topic: &str) -> bool {
        self.configured.get(gateway).is_some_and(|devices| !devices.contains(device_topic))
    }

    fn device_topic(&self, point: &PointInfo) -> String {
        format!("{}{}", self.settings.prefix, topic::live_device(point))
    }

    /// A message on `topic` was longer than the broker takes, by which its payload has at most so many bytes. Returns whether
    /// a shorter one follows; any other is counted as left out.
    pub fn too_long(&mut self, topic: &str, payload_bytes_max: usize) -> bool {
        let device = topic.strip_suffix("/$meta").and_then(|device| self.by_topic.get(device));
        if let Some(index) = device.copied()
            && let Some(device) = self.devices.get_mut(index)
            && payload_bytes_max < device.meta_bytes_max
        {
            device.meta_bytes_max = payload_bytes_max;
            if device.meta().is_some() {
                self.describe(index);
                return true;
            }
        }
        self.counts.left_out = self.counts.left_out.saturating_add(1);
        false
    }

    /// The next message that may go out at `now`.
    pub fn next(&mut self, now: Duration, wall: Timestamp) -> Option<LiveMessage> {
        if !self.settings.enabled {
            return None;
        }
        if now.saturating_sub(self.swept_at) >= SWEEP_STEP {
            self.sweep(now, wall);
        }
        self.flush_gateways(now);
        if let Some(message) = self.others.pop_front() {
            return Some(message);
        }
        self.refill(now);
        while let Some((due, device)) = self.waiting.first().copied().filter(|(due, _)| *due <= now)
        {
            self.waiting.remove(&(due, device));
            self.ready.push_back(device);
        }
        while self.tokens.0 >= 1.0 {
            let device = self.ready.pop_front()?;
            if let Some(message) = self.turn(device, now) {
                self.tokens.0 -= 1.0;
                return Some(message);
            }
        }
        None
    }

    /// When [`Self::next`] may have something.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Duration> {
        if !self.settings.enabled {
            return None;
        }
        let sweep = self.swept_at.saturating_add(SWEEP_STEP);
        let waiting = self.waiting.first().map_or(sweep, |(due, _)| *due);
        let token = if self.tokens.0 >= 1.0 {
            now
        } else {
            let missing = (1.0 - self.tokens.0) / f64::from(self.settings.budget);
            self.tokens.1.saturating_add(Duration::from_secs_f64(missing))
        };
        let values = if self.ready.is_empty() { waiting.max(token) } else { token };
        let gateways = self.gateways.due().unwrap_or(sweep);
        Some(values.min(sweep).min(gateways))
    }

    /// The broker came, perhaps without what it had retained: everything must be sent again.
    pub fn send_all(&mut self, now: Duration) {
        self.gateways.say_again();
        for device in 0..self.devices.len() {
            if let Some(known) = self.devices.get_mut(device) {
                // It may take longer ones by now.
                known.meta_bytes_max = usize::MAX;
                known.mark_all(now);
            }
            self.describe(device);
            self.is_ready(device);
        }
    }

    /// Counts of this run.
    #[must_use]
    pub fn counts(&self) -> LiveCounts {
        LiveCounts { topics: self.by_id.len(), ..self.counts }
    }

    fn refill(&mut self, now: Duration) {
        let budget = f64::from(self.settings.budget);
        let passed = now.saturating_sub(self.tokens.1).as_secs_f64();
        self.tokens = ((self.tokens.0 + passed * budget).min(budget), now);
    }

    /// One message of a device whose turn it is, and its place behind the others.
    fn turn(&mut self, index: usize, now: Duration) -> Option<LiveMessage> {
        let device = self.devices.get_mut(index)?;
        let waited = device.waits_since.is_some_and(|at| now.saturating_sub(at) > OVERLOADED_AFTER);
        let speaks = self.settings.groups || waited;
        let rested =
            device.groups_sent_at.is_none_or(|at| now.saturating_sub(at) >= GROUP_INTERVAL);
        if speaks && rested {
            device.groups_sent_at = Some(now);
            let at_least_once = self.settings.at_least_once;
            for (group, payload) in device.groups() {
                self.tokens.0 -= 1.0;
                let topic = format!("{}/m/{group}", device.topic);
                push(
                    &mut self.others,
                    &mut self.counts,
                    LiveMessage { topic, payload, retain: false, at_least_once },
                );
            }
        }
        let (message, due) = device.next(now, &self.settings);
        match due {
            Some(due) if due <= now => self.ready.push_back(index),
            Some(due) => drop(self.waiting.insert((due, index))),
            None => device.is_queued = false,
        }
        message.or_else(|| self.others.pop_front())
    }

    fn is_ready(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index).filter(|device| device.has_waiting()) else {
            return;
        };
        if !std::mem::replace(&mut device.is_queued, true) {
            self.ready.push_back(index);
        }
    }

    /// Takes a sample where it is the newest of its point; whether it is.
    fn take(
        &mut self,
        place: Place,
        sample: &Sample,
        (origin, comes): (Origin, Comes),
        now: Duration,
        wall: Timestamp,
    ) -> bool {
        let Some(device) = self.devices.get_mut(place.0) else { return false };
        let Some(point) = device.points.get_mut(place.1) else { return false };
        if !takes_place(point, sample, (origin, comes), wall) {
            // It is no sign of life either: a value that nothing renews becomes stale by its age.
            return false;
        }
        point.arrived_ms = millis(now);
        let same = point.sample.as_ref().is_some_and(|known| known == sample) && !point.stale;
        let skip = same || device::within_deadband(point, sample, &self.settings);
        (point.sample, point.origin) = (Some(sample.clone()), Some(origin));
        point.stale = !self.gateways.is_online(&device.gateway);
        if skip {
            return true;
        }
        if point.waits {
            self.counts.held_back = self.counts.held_back.saturating_add(1);
        }
        device.waits(place.1, now);
        self.is_ready(place.0);
        true
    }

    /// Where the points of a dictionary are, after it was learnt.
    fn layout(
        &mut self,
        gateway: &GatewayId,
        hash: DictionaryHash,
        dictionary: &Arc<Dictionary>,
    ) -> Arc<Vec<Option<Place>>> {
        let key = (gateway.clone(), hash);
        if let Some(known) = self.layouts.get(&key) {
            return Arc::clone(known);
        }
        let layout = Arc::new(self.learn(gateway, dictionary));
        let places = layout.len().saturating_add(1);
        if self.layout_places.saturating_add(places) > LAYOUT_PLACES_MAX {
            self.forget_layouts();
        }
        self.layout_places = self.layout_places.saturating_add(places);
        self.layouts.insert(key, Arc::clone(&layout));
        layout
    }

    fn forget_layouts(&mut self) {
        self.layouts.clear();
        self.layout_places = 0;
    }

    /// Makes room for the points of a dictionary; clears the topics of those that it renames or no longer has.
    fn learn(&mut self, gateway: &GatewayId, dictionary: &Arc<Dictionary>) -> Vec<Option<Place>> {
        let (mut touched, mut changed) = (BTreeMap::<usize, bool>::new(), false);
        let mut layout = Vec::with_capacity(dictionary.points.len());
        for (index, point) in dictionary.points.iter().enumerate() {
            let topic = self.device_topic(point);
            if !self.settings.wants(&topic::live_device(point)) || self.is_removed(gateway, &topic)
            {
                layout.push(None);
                continue;
            }
            let device = *self.by_topic.entry(topic.clone()).or_insert_with(|| {
                self.devices.push(Device::new(gateway.clone(), topic));
                self.devices.len() - 1
            });
            let known = self.by_id.get(&point.id).copied();
            let moved = known.filter(|place| {
                let at = self.devices.get(place.0).and_then(|known| known.points.get(place.1));
                place.0 != device || at.is_none_or(|at| at.info().metric != point.metric)
            });
            if let Some(place) = moved {
                self.remove(place);
            }
            let full = self.by_id.len() >= TOPICS_MAX;
            let place = match known.filter(|_| moved.is_none()) {
                Some(place) => Some(place),
                None if full => None,
                None => self
                    .devices
                    .get_mut(device)
                    .map(|at| (device, at.add(Point::new(Arc::clone(dictionary), index)))),
            };
            if let Some(place) = place {
                let is_new = self.by_id.insert(point.id.clone(), place).is_none();
                let described = touched.entry(device).or_default();
                if let Some(at) = self.devices.get_mut(device) {
                    // A dictionary that described it before may come back, and must be learnt then.
                    let differs = at.points[place.1].info() != point;
                    changed |= differs;
                    *described |= is_new || differs || at.gateway != *gateway;
                    at.gateway = gateway.clone();
                    at.points[place.1].means(Arc::clone(dictionary), index);
                }
            }
            layout.push(place);
        }
        for (device, described) in touched {
            let gone = self.devices.get(device).map(|known| known.not_of(dictionary));
            let gone = gone.unwrap_or_default();
            let is_other = described || !gone.is_empty();
            for point in gone {
                self.remove((device, point));
            }
            // Looked up again alone it is what it was.
            if is_other {
                self.describe(device);
            }
        }
        if changed {
            self.forget_layouts();
        }
        layout
    }

    /// Clears the topic of a point.
    fn remove(&mut self, place: Place) {
        let Some(device) = self.devices.get_mut(place.0) else { return };
        let Some(point) = device.points.get_mut(place.1) else { return };
        let id = &point.info().id;
        if self.by_id.get(id) == Some(&place) {
            self.by_id.remove(id);
        }
        let topic = device.clear(place.1);
        // Its number may be given again.
        self.forget_layouts();
        if let Some(topic) = topic {
            self.clear(topic);
        }
    }

    /// Clears a topic.
    fn clear(&mut self, topic: String) {
        let message =
            LiveMessage { topic, payload: String::new(), retain: true, at_least_once: true };
        push(&mut self.others, &mut self.counts, message);
    }

    fn describe(&mut self, device: usize) {
        let Some(device) = self.devices.get_mut(device) else { return };
        device.described_at = None;
        let payload = device.meta().unwrap_or_default();
        let topic = format!("{}/$meta", device.topic);
        push(
            &mut self.others,
            &mut self.counts,
            LiveMessage { topic, payload, retain: true, at_least_once: true },
        );
    }

    fn flush_gateways(&mut self, now: Duration) {
        for message in self.gateways.messages(&self.settings.prefix, now) {
            push(&mut self.others, &mut self.counts, message);
        }
    }

    /// Looks for gateways that fell silent, and at the next devices for values that became old and points that are gone:
    /// as many as the time since the last step calls for.
    fn sweep(&mut self, now: Duration, wall: Timestamp) {
        let passed = now.saturating_sub(self.swept_at).min(SWEEP_INTERVAL);
        self.swept_at = now;
        self.gateways.sweep(now, wall, &self.settings);
        let steps = usize::try_from(passed.as_millis() / SWEEP_STEP.as_millis());
        let steps = steps.unwrap_or(SWEEP_STEPS).min(SWEEP_STEPS);
        let devices = self.devices.len();
        for _ in 0..(devices * steps).div_ceil(SWEEP_STEPS) {
            let index = self.sweep_next % devices;
            self.sweep_next = index + 1;
            self.sweep_device(index, now);
        }
    }

    fn sweep_device(&mut self, index: usize, now: Duration) {
        self.mark_stale(index, now);
        let again = self.settings.again_after(index);
        let Some(device) = self.devices.get_mut(index) else { return };
        let described_at = *device.described_at.get_or_insert(now);
        if device.has_points() && now.saturating_sub(described_at) >= again {
            self.describe(index);
        }
        let Some(device) = self.devices.get(index) else { return };
        let old = |point: &Point| point.sample.is_some() && point.silent_for(now) > GONE_AFTER;
        let points = device.points.iter().enumerate().filter(|(_, point)| old(point));
        let gone: Vec<usize> = points.map(|(point, _)| point).collect();
        if gone.is_empty() {
            return;
        }
        for point in gone {
            self.remove((index, point));
        }
        self.describe(index);
    }

    /// Says of each value of a device anew whether it is stale, where that changed, and sends again what would expire.
    fn mark_stale(&mut self, index: usize, now: Duration) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let online = self.gateways.is_online(&device.gateway);
        device.mark_stale(online, now, self.settings.again_after(index));
        self.is_ready(index);
    }
}

fn push(others: &mut VecDeque<LiveMessage>, counts: &mut LiveCounts, message: LiveMessage) {
    if others.len() < OTHERS_MAX {
        others.push_back(message);
    } else {
        counts.others_dropped = counts.others_dropped.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
