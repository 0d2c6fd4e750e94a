//! How the devices do: counters per device, and a log line when one changes between answering and failing, never one
//! per sample. Must never decide anything.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use driver::{Fault, Observer};
use model::host::Clock;
use model::{Language, Localized};

use crate::status::DeviceStatus;

/// The board that drivers write on and `status` reads.
pub struct HealthBoard {
    clock: std::sync::Arc<dyn Clock>,
    devices: Mutex<BTreeMap<String, Health>>,
}

/// The Chinese wording, where there is one.
fn chinese(message: &Localized) -> Option<String> {
    message.has(Language::Chinese).then(|| message.get(Language::Chinese).to_owned())
}

/// How one device does.
#[derive(Default)]
struct Health {
    status: DeviceStatus,
    /// Why some of its points have no values while it answers.
    partly: Option<Fault>,
}

impl HealthBoard {
    /// A board with these devices on it.
    pub fn new(
        clock: std::sync::Arc<dyn Clock>,
        devices: impl IntoIterator<Item = String>,
    ) -> Self {
        let blank = |id| (id, Health::default());
        Self { clock, devices: Mutex::new(devices.into_iter().map(blank).collect()) }
    }

    /// A copy of the board.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, DeviceStatus> {
        let shown = |(id, health): (&String, &Health)| {
            let mut status = health.status.clone();
            if let (None, Some(partly)) = (&status.code, &health.partly) {
                status.code = Some(partly.code.to_owned());
                status.message = Some(partly.message.to_string());
                status.message_zh = chinese(&partly.message);
            }
            (id.clone(), status)
        };
        self.lock().iter().map(shown).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Health>> {
        // A panic elsewhere leaves plain counters behind, never a broken invariant.
        self.devices.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Observer for HealthBoard {
    fn answered(&self, device: &str, latency: Duration) {
        let mut devices = self.lock();
        let Some(Health { status: health, .. }) = devices.get_mut(device) else { return };
        health.answered = health.answered.saturating_add(1);
        health.latency_ms = Some(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
        if health.answering != Some(true) {
            health.answering = Some(true);
            health.since_ms = self.clock.now().as_millis();
            health.code = None;
            (health.message, health.message_zh) = (None, None);
            tracing::info!(device, "device answers");
        }
    }

    fn failed(&self, device: &str, fault: Fault) {
        let mut devices = self.lock();
        let Some(Health { status: health, .. }) = devices.get_mut(device) else { return };
        health.failed = health.failed.saturating_add(1);
        let changed = health.answering != Some(false) || health.code.as_deref() != Some(fault.code);
        if changed {
            health.since_ms = self.clock.now().as_millis();
            tracing::warn!(device, code = fault.code, "{}", fault.message);
        }
        health.answering = Some(false);
        health.code = Some(fault.code.to_owned());
        health.message = Some(fault.message.to_string());
        health.message_zh = chinese(&fault.message);
    }

    fn partly(&self, device: &str, fault: Option<Fault>) {
        let mut devices = self.lock();
        let Some(Health { status, partly }) = devices.get_mut(device) else { return };
        match &fault {
            Some(fault) => {
                status.failed = status.failed.saturating_add(1);
                if partly.as_ref().is_none_or(|old| old.code != fault.code) {
                    tracing::warn!(device, code = fault.code, "{}", fault.message);
                }
            }
            None => {
                if let Some(old) = partly {
                    tracing::info!(device, after = old.code, "device gives all its points");
                }
            }
        }
        *partly = fault;
    }

    fn late(&self, device: &str) {
        if let Some(Health { status, .. }) = self.lock().get_mut(device) {
            status.late = status.late.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
