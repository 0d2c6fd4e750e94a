//! Fills the live topics from the store after a start: a point that does not change would have no topic until it does,
//! or until its gateway is started again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contract::LogKey;
use model::{
    Decimal, Dictionary, GatewayId, PointId, PointIndex, PointInfo, Quality, Sample, SampleFlags,
    Sequence, Text, Timestamp, Unit, Value, ValueType, topic,
};

use super::device::{Device, Point, millis};
use super::order::Comes;
use super::text::Origin;
use super::{Live, TOPICS_MAX};

/// What the newest dictionary says of a point.
#[derive(Debug, Clone)]
pub struct Described {
    /// Who writes it.
    pub gateway: GatewayId,
    /// Where it is described.
    pub dictionary: Arc<Dictionary>,
    /// Its place there.
    pub index: usize,
}

impl Described {
    fn info(&self) -> Option<&PointInfo> {
        self.dictionary.points.get(self.index)
    }
}

/// A value as a row holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredValue {
    /// A decimal.
    Decimal(Decimal),
    /// A double, or 0 and 1 of a Bool.
    Number(f64),
    /// A text.
    Text(String),
}

/// The newest row of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// The point.
    pub point: PointId,
    /// When the device measured.
    pub source_time: Timestamp,
    /// When the gateway had it.
    pub gateway_time: Timestamp,
    /// Its unit; `None` where the row names none that is known.
    pub unit: Option<Unit>,
    /// The quality.
    pub quality: Quality,
    /// The flags.
    pub flags: SampleFlags,
    /// `None` of a Bad row.
    pub value: Option<StoredValue>,
    /// The log that brought it.
    pub log: LogKey,
    /// The frame that brought it.
    pub sequence: Sequence,
}

impl StoredRow {
    /// The sample, where the row fits what its point is today. A value in another unit or of another type than the topic
    /// says would be a wrong one.
    pub(crate) fn sample(&self, index: usize, info: &PointInfo) -> Option<Sample> {
        let point = PointIndex(u32::try_from(index).ok()?);
        let (source_time, gateway_time) = (self.source_time, self.gateway_time);
        let Some(value) = &self.value else {
            let bad = self.quality.is_bad();
            return bad
                .then(|| Sample::without_value(point, source_time, gateway_time, self.quality));
        };
        if self.unit != Some(info.unit) {
            return None;
        }
        let value = match (value, info.value_type) {
            (StoredValue::Decimal(value), ValueType::Decimal { exponent }) => {
                Value::Decimal(value.mantissa_at(exponent)?)
            }
            (StoredValue::Number(value), ValueType::Float) => Value::Float(*value),
            (StoredValue::Number(value), ValueType::Bool) => Value::Bool(*value != 0.0),
            (StoredValue::Text(text), ValueType::Text) => {
                Value::Text(Text::try_from(text.clone()).ok()?)
            }
            _ => return None,
        };
        let sample = Sample::new(point, source_time, gateway_time, self.quality, value);
        Some(Sample { flags: self.flags, ..sample })
    }
}

impl Live {
    /// Takes rows of the store. A gateway in them is not there until it is heard, so its values are stale; one that came
    /// in the meantime has newer values, which stay, and a device that it describes otherwise keeps its points.
    pub fn restore(
        &mut self,
        rows: &[StoredRow],
        described: &BTreeMap<PointId, Described>,
        now: Duration,
        wall: Timestamp,
    ) {
        if !self.settings.enabled {
            return;
        }
        let (mut touched, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            let Some(described) = described.get(&row.point) else { continue };
            let Some(info) = described.info() else { continue };
            let Some(sample) = row.sample(described.index, info) else { continue };
            let device = self.device_topic(info);
            if self.is_removed(&described.gateway, &device) {
                // Its gateway said so before the row came; a broker elsewhere may still hold what is retained.
                self.clear(format!("{device}/v/{}", info.metric));
                removed.insert(device);
                continue;
            }
            let Some(place) = self.restored_place(described, info) else { continue };
            self.gateways.restored(&described.gateway, &info.place, now, wall);
            let arrived_ms = self.point(place).map(|point| point.arrived_ms);
            let origin = Origin { boot: row.log.1, sequence: row.sequence };
            let taken = self.take(place, &sample, (origin, Comes::Stored), now, wall);
            if let Some(point) = self.point(place) {
                // It is as old as it was: nothing arrived now.
                let age_ms = wall.as_millis().saturating_sub(row.gateway_time.as_millis()).max(0);
                let then_ms = millis(now).saturating_sub(age_ms);
                point.arrived_ms = if taken { then_ms } else { arrived_ms.unwrap_or(then_ms) };
            }
            touched.insert(place.0);
        }
        for device in removed {
            self.clear(format!("{device}/$meta"));
        }
        for device in touched {
            self.describe(device);
            self.mark_stale(device, now);
        }
    }

    /// How far the newest log of a gateway is durable.
    pub fn restore_durable(&mut self, log: &LogKey, upto: Sequence) {
        if self.settings.enabled {
            self.gateways.restored_durable(&log.0, log.1, upto);
        }
    }

    fn point(&mut self, place: super::Place) -> Option<&mut Point> {
        self.devices.get_mut(place.0)?.points.get_mut(place.1)
    }

    /// Where a point of the store is, made where it is not known yet; `None` where it has no topic.
    fn restored_place(&mut self, described: &Described, info: &PointInfo) -> Option<super::Place> {
        let topic = topic::live_device(info);
        if !self.settings.wants(&topic) {
            return None;
        }
        let topic = format!("{}{topic}", self.settings.prefix);
        let known = self.by_topic.get(&topic).copied();
        if let Some(place) = self.by_id.get(&info.id).copied() {
            // Its gateway came before the row did, and may have moved it.
            let at = self.devices.get(place.0)?.points.get(place.1)?.info();
            let same =
                (at.value_type, at.unit, &at.metric) == (info.value_type, info.unit, &info.metric);
            return (known == Some(place.0) && same).then_some(place);
        }
        if self.by_id.len() >= TOPICS_MAX {
            self.counts.left_out = self.counts.left_out.saturating_add(1);
            return None;
        }
        let index = if let Some(index) = known {
            // A dictionary describes whole devices: one that is newer and lacks the point has removed it.
            let device = self.devices.get(index)?;
            if !device.is_described_by(&described.dictionary) {
                return None;
            }
            index
        } else {
            self.devices.push(Device::new(described.gateway.clone(), topic.clone()));
            self.by_topic.insert(topic, self.devices.len() - 1);
            self.devices.len() - 1
        };
        let point = Point::new(Arc::clone(&described.dictionary), described.index);
        let place = (index, self.devices.get_mut(index)?.add(point));
        self.by_id.insert(info.id.clone(), place);
        Some(place)
    }
}
