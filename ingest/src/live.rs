//! The live topics: the newest value of each point ([`Sample::replaces`]), at most one message a second each. Pure; time
//! comes in. Must never know MQTT.
//!
//! ```json
//! {"ts":1795330800123,"v":1283441.60,"unit":"kWh","q":"Good"}
//! {"ts":1795330801123,"unit":"kWh","q":"BadTimeout","bad":"timeout"}
//! ```
//! `ts` is the source time in milliseconds. `v` is exact: the digits of a decimal point are all there. Without a value
//! there is `bad`, the reason.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use contract::AdmittedFrame;
use model::{Decimal, PointInfo, Quality, Sample, Timestamp, Value, ValueType, topic};

use crate::admit::CLOCK_AHEAD_MAX_US;

/// Most topics; a point beyond them is not published, and counted.
pub(crate) const TOPICS_MAX: usize = 200_000;
/// Time between two messages on one topic.
const INTERVAL: Duration = Duration::from_secs(1);

/// A message for a live topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveMessage {
    pub(crate) topic: String,
    pub(crate) payload: String,
}

#[derive(Debug)]
struct Topic {
    sample: Sample,
    payload: String,
    sent_at: Option<Duration>,
    /// It stands in the queue.
    waits: bool,
}

/// State of the live topics.
#[derive(Debug, Default)]
pub(crate) struct Live {
    topics: BTreeMap<String, Topic>,
    /// Topics with a payload that was not sent, each once. One that is sent too often delays those behind it by less
    /// than the interval.
    queue: VecDeque<String>,
    left_out: u64,
}

impl Live {
    /// Takes frames that are durable now, at the wall time `wall`.
    pub(crate) fn update(&mut self, frames: &[AdmittedFrame], wall: Timestamp) {
        for frame in frames {
            for of_point in frame.batch.samples.chunk_by(|a, b| a.point == b.point) {
                let newest = of_point.iter().reduce(|known, new| {
                    let newer = match (is_ahead(new, wall), is_ahead(known, wall)) {
                        (false, true) => true,
                        (true, false) => false,
                        _ => new.replaces(known),
                    };
                    if newer { new } else { known }
                });
                let point = newest.and_then(|sample| frame.dictionary.point(sample.point));
                if let (Some(sample), Some(point)) = (newest, point) {
                    self.take(point, sample, wall);
                }
            }
        }
    }

    /// The next message that may go out at `now`.
    pub(crate) fn next(&mut self, now: Duration) -> Option<LiveMessage> {
        let first = self.queue.front()?;
        let topic = self.topics.get_mut(first)?;
        if topic.sent_at.is_some_and(|at| now.saturating_sub(at) < INTERVAL) {
            return None;
        }
        topic.sent_at = Some(now);
        topic.waits = false;
        let payload = topic.payload.clone();
        let topic = self.queue.pop_front()?;
        Some(LiveMessage { topic, payload })
    }

    /// When [`Self::next`] has something; `None` while nothing waits.
    pub(crate) fn due(&self) -> Option<Duration> {
        let topic = self.topics.get(self.queue.front()?)?;
        Some(topic.sent_at.map_or(Duration::ZERO, |at| at.saturating_add(INTERVAL)))
    }

    /// The broker came, perhaps without what it had retained: everything must be sent again.
    pub(crate) fn send_all(&mut self) {
        for (name, topic) in &mut self.topics {
            if !std::mem::replace(&mut topic.waits, true) {
                self.queue.push_back(name.clone());
            }
        }
        let sent_at = |name: &String| self.topics.get(name).and_then(|topic| topic.sent_at);
        self.queue.make_contiguous().sort_by_key(sent_at);
    }

    /// Topics, and values that were left out because there are too many.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.topics.len(), self.left_out)
    }

    fn take(&mut self, point: &PointInfo, sample: &Sample, wall: Timestamp) {
        let name = topic::live_value(point);
        let full = self.topics.len() >= TOPICS_MAX;
        let known = self.topics.get_mut(&name);
        // A clock that jumped ahead must not hold the topic until that time has come. What is ahead is shown all the
        // same: where a clock stays ahead there is nothing else.
        let holds = |known: &Sample| {
            let is_newer = is_ahead(known, wall) && !is_ahead(sample, wall);
            !is_newer && !sample.replaces(known)
        };
        if known.as_ref().is_some_and(|known| holds(&known.sample)) {
            return;
        }
        let payload = payload(point, sample);
        match known {
            Some(known) if known.payload == payload => known.sample = sample.clone(),
            Some(known) => {
                known.sample = sample.clone();
                known.payload = payload;
                if !std::mem::replace(&mut known.waits, true) {
                    self.queue.push_back(name);
                }
            }
            None if full => {
                self.left_out = self.left_out.saturating_add(1);
            }
            None => {
                let topic = Topic { sample: sample.clone(), payload, sent_at: None, waits: true };
                self.topics.insert(name.clone(), topic);
                // Never sent: before those that were.
                self.queue.push_front(name);
            }
        }
    }
}

/// Whether a clock was wrong when the sample was taken.
fn is_ahead(sample: &Sample, wall: Timestamp) -> bool {
    sample.source_time.max(sample.gateway_time).micros_since(wall) > CLOCK_AHEAD_MAX_US
}

fn payload(point: &PointInfo, sample: &Sample) -> String {
    let mut text = format!("{{\"ts\":{}", sample.source_time.as_millis());
    match (&sample.value, point.value_type) {
        (Some(Value::Decimal(mantissa)), ValueType::Decimal { exponent }) => {
            write!(text, ",\"v\":{}", Decimal { mantissa: *mantissa, exponent })
        }
        // The shortest text that reads back as the same double; a finite one always has such a text in JSON.
        (Some(Value::Float(value)), _) => write!(text, ",\"v\":{value:?}"),
        (Some(Value::Bool(value)), _) => write!(text, ",\"v\":{value}"),
        (Some(Value::Text(value)), _) => {
            let quoted = serde_json::to_string(value.as_str()).expect("a text has a JSON form");
            write!(text, ",\"v\":{quoted}")
        }
        _ => Ok(()),
    }
    .and_then(|()| {
        write!(text, ",\"unit\":\"{}\",\"q\":\"{}\"", point.unit, sample.quality)?;
        if sample.value.is_none() {
            write!(text, ",\"bad\":\"{}\"", reason(sample.quality))?;
        }
        text.write_char('}')
    })
    .expect("writing to a String does not fail");
    text
}

/// Why there is no value, in the words of the topics.
fn reason(quality: Quality) -> &'static str {
    match quality {
        Quality::BAD_TIMEOUT => "timeout",
        Quality::BAD_DECODING_ERROR => "crc",
        Quality::BAD_OUT_OF_RANGE => "out_of_range",
        Quality::BAD_NOT_CONNECTED | Quality::BAD_COMMUNICATION_ERROR => "not_connected",
        Quality::BAD_CONFIGURATION_ERROR | Quality::BAD_TYPE_MISMATCH => "not_configured",
        Quality::BAD_NODE_ID_UNKNOWN | Quality::BAD_NOT_SUPPORTED => "not_offered",
        Quality::BAD_DEVICE_FAILURE | Quality::BAD_RESOURCE_UNAVAILABLE => "device_failure",
        _ => "bad",
    }
}

#[cfg(test)]
mod tests;
