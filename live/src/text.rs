//! The payloads of the live topics, as `docs/mqtt.md` and its schemas describe them.
//!
//! ```json
//! {"ts":1795330800123,"v":1283441.60,"exact":"1283441.60","unit":"kWh","q":"Good","boot":"0707b7f2","seq":48213}
//! {"ts":1795330801123,"unit":"kWh","q":"BadTimeout","bad":"timeout","boot":"0707b7f2","seq":48214}
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::{
    Decimal, LogId, PointInfo, Quality, Sample, SampleFlags, Sequence, Timestamp, Value, ValueType,
};
use serde::Serialize;

/// Most points that `$meta` describes in one message; what is left out is counted there.
pub(super) const META_POINTS_MAX: usize = 1_000;

/// In which frame a value came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) boot: LogId,
    pub(super) sequence: Sequence,
}

/// The first 8 digits of a log id: they tell two lives of a spool apart.
pub(super) fn boot(log_id: LogId) -> String {
    log_id.to_string().chars().take(8).collect()
}

/// A number, text or truth as JSON; nothing for a value that does not fit its point.
fn json(value: &Value, value_type: ValueType) -> Option<String> {
    Some(match (value, value_type) {
        (Value::Decimal(mantissa), ValueType::Decimal { exponent }) => {
            Decimal { mantissa: *mantissa, exponent }.to_string()
        }
        // The shortest text that reads back as the same double; a finite one always has such a text in JSON.
        (Value::Float(value), _) => format!("{value:?}"),
        (Value::Bool(value), _) => value.to_string(),
        (Value::Text(value), _) => {
            serde_json::to_string(value.as_str()).expect("a text has a JSON form")
        }
        (Value::Decimal(_), _) => return None,
    })
}

fn quality(sample: &Sample, stale: bool) -> Quality {
    // A value that may have changed since is no longer Good.
    if stale && !sample.quality.is_bad() {
        Quality::UNCERTAIN_LAST_USABLE_VALUE
    } else {
        sample.quality
    }
}

/// The payload of `v/{metric}`.
pub(super) fn value(point: &PointInfo, sample: &Sample, origin: Origin, stale: bool) -> String {
    let mut text = format!("{{\"ts\":{}", sample.source_time.as_millis());
    let mut write = || {
        if let Some(json) = sample.value.as_ref().and_then(|value| json(value, point.value_type)) {
            write!(text, ",\"v\":{json}")?;
            if matches!(sample.value, Some(Value::Decimal(_))) {
                write!(text, ",\"exact\":\"{json}\"")?;
            }
        }
        write!(text, ",\"unit\":\"{}\",\"q\":\"{}\"", point.unit, quality(sample, stale))?;
        if sample.value.is_none() {
            write!(text, ",\"bad\":\"{}\"", reason(sample.quality))?;
        }
        for (flag, name) in FLAGS {
            if sample.flags.contains(flag) {
                write!(text, ",\"{name}\":true")?;
            }
        }
        if stale {
            text.push_str(",\"stale\":true");
        }
        write!(text, ",\"boot\":\"{}\",\"seq\":{}}}", boot(origin.boot), origin.sequence.0)
    };
    write().expect("writing to a String does not fail");
    text
}

const FLAGS: [(SampleFlags, &str); 2] = [
    (SampleFlags::RECOVERED, "recovered"),
    (SampleFlags::CLOCK_UNSYNCHRONISED, "clock_unsynchronised"),
];

/// The payload of `m/{group}`: what changed of one device and poll group since its last message.
#[derive(Debug, Default)]
pub(super) struct Group {
    ts: i64,
    origin: Option<Origin>,
    values: String,
    exact: String,
    bad: String,
}

impl Group {
    /// Adds one point.
    pub(super) fn add(&mut self, point: &PointInfo, sample: &Sample, origin: Origin, stale: bool) {
        self.ts = self.ts.max(sample.gateway_time.as_millis());
        self.origin = Some(origin);
        let metric = &point.metric;
        let mut put = |list: fn(&mut Self) -> &mut String, json: &str| {
            let list = list(self);
            let comma = if list.is_empty() { "" } else { "," };
            write!(list, "{comma}\"{metric}\":{json}").expect("writing to a String does not fail");
        };
        if let Some(json) = sample.value.as_ref().and_then(|value| json(value, point.value_type)) {
            put(|group| &mut group.values, &json);
            if matches!(sample.value, Some(Value::Decimal(_))) {
                put(|group| &mut group.exact, &format!("\"{json}\""));
            }
        }
        if stale {
            put(|group| &mut group.bad, "\"stale\"");
        } else if !sample.quality.is_good() {
            put(|group| &mut group.bad, &format!("\"{}\"", reason(sample.quality)));
        }
    }

    /// The payload; `None` of a group without a point.
    pub(super) fn finish(self) -> Option<String> {
        let Origin { boot: log_id, sequence } = self.origin?;
        let (ts, boot, seq) = (self.ts, boot(log_id), sequence.0);
        let Self { values, exact, bad, .. } = self;
        let mut text =
            format!("{{\"ts\":{ts},\"boot\":\"{boot}\",\"seq\":{seq},\"v\":{{{values}}}");
        for (name, list) in [("exact", exact), ("bad", bad)] {
            if !list.is_empty() {
                write!(text, ",\"{name}\":{{{list}}}").expect("writing to a String does not fail");
            }
        }
        text.push('}');
        Some(text)
    }
}

/// The payload of a gateway's `$state`.
pub(super) fn state(online: bool, since: Timestamp) -> String {
    let word = if online { "online" } else { "offline" };
    format!("{{\"state\":\"{word}\",\"since\":{}}}", since.as_millis())
}

/// The payload of a gateway's `$durable`: values of this boot up to this sequence are in the store.
pub(super) fn durable(log_id: LogId, upto: Sequence) -> String {
    format!("{{\"boot\":\"{}\",\"seq\":{}}}", boot(log_id), upto.0)
}

#[derive(Serialize)]
struct Meta<'a> {
    gateway: &'a str,
    device: &'a str,
    name: &'a model::dictionary::DisplayName,
    place: &'a model::Place,
    points: BTreeMap<&'a str, MetaPoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    points_left_out: Option<usize>,
}

#[derive(Serialize)]
struct MetaPoint<'a> {
    id: &'a str,
    unit: String,
    kind: model::PointKind,
    #[serde(rename = "type")]
    value_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    states: &'a [model::dictionary::PointState],
}

/// The payload of a device's `$meta` with as many points as `bytes_max` has room for; `None` for a device without points,
/// or where there is no room for one.
pub(super) fn meta<'a>(
    gateway: &str,
    points: impl Iterator<Item = &'a PointInfo>,
    bytes_max: usize,
) -> Option<String> {
    let all: Vec<&PointInfo> = points.collect();
    let whole = meta_of(gateway, &all, META_POINTS_MAX)?;
    if whole.len() <= bytes_max {
        return Some(whole);
    }
    // Each point is as long as it is in the whole, with its comma.
    let around = meta_of(gateway, &all, 0)?.len();
    let mut room = bytes_max.saturating_sub(around);
    let fits = all.iter().take(META_POINTS_MAX).take_while(|point| {
        let one = BTreeMap::from([(point.metric.as_str(), MetaPoint::of(point))]);
        let text = serde_json::to_string(&one).expect("plain structs with text keys serialize");
        let (bytes, left) = (text.len() - 1, room);
        room = room.saturating_sub(bytes);
        bytes <= left
    });
    let fits = fits.count();
    if fits == 0 { None } else { meta_of(gateway, &all, fits) }
}

fn meta_of(gateway: &str, all: &[&PointInfo], points_max: usize) -> Option<String> {
    let first = all.first()?;
    let left_out = all.len().saturating_sub(points_max);
    let described = all.iter().take(points_max);
    let described = described.map(|point| (point.metric.as_str(), MetaPoint::of(point)));
    let meta = Meta {
        gateway,
        device: &first.device,
        name: &first.device_name,
        place: &first.place,
        points: described.collect(),
        points_left_out: (left_out > 0).then_some(left_out),
    };
    Some(serde_json::to_string(&meta).expect("plain structs with text keys serialize to JSON"))
}

impl<'a> MetaPoint<'a> {
    fn of(point: &'a PointInfo) -> Self {
        let value_type = match point.value_type {
            ValueType::Decimal { .. } => "decimal",
            ValueType::Float => "float",
            ValueType::Bool => "bool",
            ValueType::Text => "text",
        };
        Self {
            id: point.id.as_str(),
            unit: point.unit.to_string(),
            kind: point.kind,
            value_type,
            interval_ms: point.interval_ms,
            profile: point.profile.as_deref(),
            states: &point.states,
        }
    }
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
        quality if quality.is_bad() => "bad",
        _ => "uncertain",
    }
}
