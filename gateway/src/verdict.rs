//! What is wrong with a gateway, worst first: `status` prints it and takes its exit code from the first entry. A pure
//! function of the status, so that people, programs and tests hear the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::status::{DeviceStatus, GatewayStatus, TaskState, UplinkStatus};

/// Frames may wait this long for a commit ack, also where `resend_after` is shorter: a centre commits every few seconds.
const ACK_GRACE_MIN: Duration = Duration::from_secs(10);
/// Names that one line lists.
const NAMES_MAX: usize = 5;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// What kind of thing.
    pub kind: ConcernKind,
    /// What it is and what to do.
    pub text: String,
}

/// Kinds of [`Concern`], worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConcernKind {
    /// The spool cannot be written, or its disk does not answer.
    Spool,
    /// A task of the program failed and does not run.
    Task,
    /// The uplink sends nothing any more, or the centre refuses this log.
    Halted,
    /// The broker is not connected.
    NotConnected,
    /// The broker is connected, but nothing was committed for too long.
    NoAck,
    /// The host's clock cannot be right, so every reading has a wrong time.
    Clock,
    /// Devices do not answer, or answer without one usable value.
    Device,
    /// Devices give values that cannot be right; none of them becomes energy.
    Implausible,
    /// Readings were lost or refused since the start.
    Lost,
}

/// Everything that is wrong; `resend_after` is that of the uplink.
#[must_use]
pub(crate) fn concerns(status: &GatewayStatus, resend_after: Duration) -> Vec<Concern> {
    let mut found = Vec::new();
    let mut push = |kind, text: String| found.push(Concern { kind, text });
    if let Some(fault) = &status.spool.fault {
        push(ConcernKind::Spool, fault.clone());
    }
    for (name, task) in status.tasks.iter().filter(|(_, task)| task.state != TaskState::Running) {
        let failure = task.last_failure.as_deref().unwrap_or("no reason known");
        let next = match task.state {
            TaskState::Dead => "it stays so until the gateway is started again",
            _ => "it is started again",
        };
        push(ConcernKind::Task, format!("task `{name}` {failure}; {next}"));
    }
    let only = std::slice::from_ref(&status.uplink);
    let uplinks = if status.uplinks.is_empty() { only } else { &status.uplinks };
    for one in uplinks {
        uplink(one, uplinks, resend_after, &mut push);
    }
    let silent: Vec<&str> = status
        .devices
        .iter()
        .filter(|(_, device)| device.answering == Some(false))
        .map(|(name, _)| name.as_str())
        .collect();
    if !silent.is_empty() {
        let (count, all) = (silent.len(), status.devices.len());
        push(
            ConcernKind::Device,
            format!("{count} of {all} devices do not answer: {}", listed(&silent)),
        );
    }
    if let Some(text) = useless(status) {
        push(ConcernKind::Device, text);
    }
    let implausible = status.devices.iter().filter(|(_, device)| device.points.implausible > 0);
    let implausible: Vec<&str> = implausible.map(|(name, _)| name.as_str()).collect();
    if !implausible.is_empty() {
        let (count, all) = (implausible.len(), status.devices.len());
        let text = format!(
            "{count} of {all} devices give values that are not plausible, which are no energy: {}",
            listed(&implausible)
        );
        push(ConcernKind::Implausible, text);
    }
    if !status.clock.is_plausible {
        let text = "the host's clock cannot be right: set it; what is read until then has a wrong time and is flagged";
        push(ConcernKind::Clock, text.to_owned());
    }
    let spool = &status.spool;
    if spool.samples_lost_in_run > 0 || spool.samples_refused > 0 {
        let text = format!(
            "since the start {} readings were given up and {} were refused",
            spool.samples_lost_in_run, spool.samples_refused
        );
        push(ConcernKind::Lost, text);
    }
    found.sort_by_key(|concern: &Concern| concern.kind);
    found
}

/// Devices that answer but give no usable value. One of which only some points are Bad is no concern: a phase that is
/// not wired, or a register that this firmware lacks, stays so, and an alarm that never ends is not heeded.
fn useless(status: &GatewayStatus) -> Option<String> {
    let useless: Vec<(&str, &DeviceStatus)> = status
        .devices
        .iter()
        .filter(|(_, device)| device.answering == Some(true) && device.points.none_is_usable())
        .map(|(name, device)| (name.as_str(), device))
        .collect();
    let (name, first) = useless.first()?;
    let reason = first.message.as_deref().or(first.first_bad.as_deref()).unwrap_or("Bad");
    Some(match useless.len() {
        1 => format!(
            "device `{name}` answers, but none of its {} points is Good: {reason}; see `status --all`",
            first.points.all
        ),
        count => format!(
            "{count} of {} devices answer, but none of their points is Good: {}; `{name}`: {reason}; see `status --all`",
            status.devices.len(),
            listed(&useless.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        ),
    })
}

fn uplink(
    uplink: &UplinkStatus,
    all: &[UplinkStatus],
    resend_after: Duration,
    push: &mut impl FnMut(ConcernKind, String),
) {
    if let Some(fault) = &uplink.fault {
        push(ConcernKind::Halted, format!("{}{fault}", named(uplink, all)));
    }
    if !uplink.connected {
        let reason = uplink.reason.as_deref().unwrap_or("connecting");
        push(
            ConcernKind::NotConnected,
            format!("{}the broker is not connected: {reason}", named(uplink, all)),
        );
        return;
    }
    let silent_for = uplink.no_ack_for_ms.map(Duration::from_millis);
    if let Some(silent_for) = silent_for.filter(|span| *span > resend_after.max(ACK_GRACE_MIN)) {
        let text = format!(
            "{}no commit ack for {} s while {} frames wait: does the centre (`nengliu serve`) run, and has its disk room?",
            named(uplink, all),
            silent_for.as_secs(),
            uplink.frames_waiting
        );
        push(ConcernKind::NoAck, text);
    }
}

/// Which one it is, where there are several.
fn named(uplink: &UplinkStatus, all: &[UplinkStatus]) -> String {
    if all.len() > 1 { format!("uplink `{}`: ", uplink.destination) } else { String::new() }
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMES_MAX) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
