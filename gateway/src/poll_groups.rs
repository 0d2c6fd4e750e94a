//! `[[device.group]]`: points of a device that are read at another interval than the rest.
//!
//! ```toml
//! [[device]]
//! id = "meter-1"
//! poll = "1s"                          # of the points that state no interval of their own
//!
//! [[device.group]]
//! points = ["e_import", "e_export"]    # goes before the `poll` of the profile's point
//! poll = "1min"
//! ```
//!
//! Must never know how a protocol reads.

use std::sync::Arc;
use std::time::Duration;

use config::{Problems, Spanned, Table, meant, written};
use device_profiles::{DeviceProfile, ProfilePoint};

use crate::settings::{DeviceSettings, POLL_INTERVALS};

const CODE_GROUP: &str = "GW-C030";

/// One `[[device.group]]`.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// Its metrics.
    pub points: Spanned<Vec<String>>,
    /// How often they are read.
    pub poll: Duration,
}

/// Reads the groups of one device.
pub(crate) fn read_groups(device: &mut Table, problems: &mut Problems) -> Vec<GroupSettings> {
    let tables = device.tables("group", problems);
    let read = |mut table: Table| {
        let points = table.required::<Vec<String>>("points", problems);
        let poll = table.required::<Duration>("poll", problems);
        table.finish(problems);
        Some(GroupSettings { points: points?, poll: checked_poll(&poll?, problems) })
    };
    tables.into_iter().filter_map(read).collect()
}

/// An interval, noted when it is none that a point can be read at.
pub(crate) fn checked_poll(found: &Spanned<Duration>, problems: &mut Problems) -> Duration {
    if !POLL_INTERVALS.contains(&found.value) {
        let message = format!("`poll`: expected 20ms to 24h, found {}", written(found.value));
        problems.push(found.problem("GW-C017", message));
    }
    found.value
}

/// Every metric of a group is one of the device, and in one group only.
pub(crate) fn check_groups(
    device: &DeviceSettings,
    profile: &DeviceProfile,
    problems: &mut Problems,
) {
    let wanted = |point: &&Arc<ProfilePoint>| {
        device.points.as_ref().is_none_or(|wanted| wanted.value.contains(&point.metric))
    };
    let known: Vec<&str> =
        profile.points.iter().filter(wanted).map(|point| point.metric.as_str()).collect();
    let mut seen: Vec<&str> = Vec::new();
    for group in &device.groups {
        for metric in &group.points.value {
            let device = &device.id.value;
            if !known.contains(&metric.as_str()) {
                let message = format!("`{device}` reads no point `{metric}`");
                let help = meant(metric, &known, "it reads");
                problems.push(group.points.problem(CODE_GROUP, message).help(help));
            } else if seen.contains(&metric.as_str()) {
                let message = format!("point `{metric}` of `{device}` is in two groups");
                let help = "a point has one interval: leave it in one of them";
                problems.push(group.points.problem(CODE_GROUP, message).help(help));
            }
            seen.push(metric);
        }
    }
}

/// The interval of a point: of its group, else of the profile's point, else of the device.
pub(crate) fn interval(device: &DeviceSettings, point: &ProfilePoint) -> Duration {
    let group = device.groups.iter().find(|group| group.points.value.contains(&point.metric));
    group.map(|group| group.poll).or(point.poll).unwrap_or(device.poll)
}
