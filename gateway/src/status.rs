//! The state of a gateway as data; `nengliu-gateway status` shows it. Fields are only ever added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use keeper::{
    ClockStatus, DestinationStatus, SpoolFindings, SpoolStatus, TaskState, TaskStatus, UnfitPoint,
};

pub use crate::status_socket::{ask, ask_all, socket_path};
pub use crate::verdict::{Concern, ConcernKind};

/// Name and version of the text below; fields are only ever added.
pub const STATUS_SCHEMA: &str = "nengliu.gateway-status.v1";

/// Points that a status shows one by one.
pub const POINTS_SHOWN_MAX: usize = 200;

/// How the gateway does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// Name of the gateway.
    pub gateway: String,
    /// Version of the program.
    pub version: String,
    /// Start of this run, milliseconds since the epoch.
    pub started_ms: i64,
    /// The gateway's clock now, milliseconds since the epoch.
    pub now_ms: i64,
    /// How long this run lasts, milliseconds; however the clock was set meanwhile.
    #[serde(default)]
    pub up_ms: u64,
    /// The devices, by name.
    pub devices: BTreeMap<String, DeviceStatus>,
    /// The points, in the order of the configuration: all of them up to [`POINTS_SHOWN_MAX`], else as many of the worst,
    /// and none that is Good. [`ask_all`] gives all of them.
    pub points: Vec<PointStatus>,
    /// How many points there are, and how they do.
    #[serde(default)]
    pub point_counts: PointCounts,
    /// The spool.
    pub spool: SpoolStatus,
    /// The uplink; of several the one that needs most attention.
    pub uplink: UplinkStatus,
    /// All uplinks, in the order of the configuration.
    #[serde(default)]
    pub uplinks: Vec<UplinkStatus>,
    /// The tasks of the program, by name.
    #[serde(default)]
    pub tasks: BTreeMap<String, TaskStatus>,
    /// What is known of the host's clock.
    #[serde(default)]
    pub clock: ClockStatus,
    /// What is wrong, worst first; empty for a healthy gateway.
    #[serde(default)]
    pub concerns: Vec<Concern>,
}

/// How many points have a last sample of which quality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointCounts {
    /// All of them.
    pub all: u64,
    /// Good.
    pub good: u64,
    /// Uncertain.
    pub uncertain: u64,
    /// Bad.
    pub bad: u64,
    /// Without a sample in this run.
    pub unread: u64,
    /// Of the Uncertain ones those that are not plausible, or of a device that seems to be read in the wrong way.
    #[serde(default)]
    pub implausible: u64,
}

impl PointCounts {
    /// Whether points were read and every one of them is Bad: an Uncertain value can still be used.
    #[must_use]
    pub fn none_is_usable(&self) -> bool {
        self.bad > 0 && self.good == 0 && self.uncertain == 0
    }
}

/// How one device does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// `None` before the first answer or failure.
    pub answering: Option<bool>,
    /// Since when, milliseconds since the epoch.
    pub since_ms: i64,
    /// Latency of the last answer, milliseconds.
    pub latency_ms: Option<u64>,
    /// Requests answered in this run.
    pub answered: u64,
    /// Requests failed in this run.
    pub failed: u64,
    /// Cycles begun late in this run.
    pub late: u64,
    /// Code of the fault, while there is one.
    pub code: Option<String>,
    /// What is wrong and what to do next, while something is.
    pub message: Option<String>,
    /// The same in Chinese, where it is translated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_zh: Option<String>,
    /// Its points.
    #[serde(default)]
    pub points: PointCounts,
    /// Quality of the first of its points that is Bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<String>,
}

/// The last sample of one point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointStatus {
    /// The point.
    pub point: String,
    /// Its value as text, exact; `None` without one.
    pub value: Option<String>,
    /// Its unit.
    pub unit: String,
    /// Whether the value is a binary float: its last digits say nothing then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_float: bool,
    /// Its quality; `None` before the first sample.
    pub quality: Option<String>,
    /// Source time of the last sample, milliseconds since the epoch.
    pub source_time_ms: Option<i64>,
    /// Newest source time that is durable in the spool in this run, milliseconds since the epoch.
    pub durable_source_time_ms: Option<i64>,
    /// The history mark, milliseconds since the epoch, where the device has a memory that is read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_mark_ms: Option<i64>,
}

impl UplinkStatus {
    /// The one that needs most attention.
    #[must_use]
    pub fn worst(all: &[Self]) -> Self {
        let rank = |uplink: &&Self| {
            (
                uplink.fault.is_some(),
                !uplink.connected,
                uplink.log_begun.is_some(),
                uplink.frames_waiting,
            )
        };
        all.iter().rev().max_by_key(rank).cloned().unwrap_or_default()
    }
}

/// How one uplink does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// What the log calls its destination.
    #[serde(default)]
    pub destination: String,
    /// The broker.
    pub url: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Why not, while it is not.
    pub reason: Option<String>,
    /// How often the connection broke in the last minute: one that comes and goes is mostly connected when it is looked at.
    #[serde(default)]
    pub breaks_in_last_minute: u64,
    /// What is wrong although it is connected, mostly why nothing is freed, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Why a new log began by itself in this run, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_begun: Option<String>,
    /// Frames given up for this destination in the life of the spool.
    #[serde(default)]
    pub frames_lost: u64,
    /// Samples in them, as far as they are known.
    #[serde(default)]
    pub samples_lost: u64,
    /// Sequences passed over after an unclean end.
    #[serde(default)]
    pub frames_skipped: u64,
    /// Frames that are held and wait for a commit ack, sent or not.
    pub frames_waiting: u64,
    /// How long they have waited without any commit ack from it, in milliseconds; `None` when none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_ack_for_ms: Option<u64>,
    /// How often sending began again from the watermark.
    pub resends: u64,
    /// When the last ack came that moved the watermark, milliseconds since the epoch.
    pub last_ack_ms: Option<i64>,
}
