//! Reads every point of a plan a few times at most, without keeping anything: `check --online`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use driver::{EMISSIONS_QUEUED_MAX, PortLink};
use model::host::Clock;
use model::{PointIndex, Sample};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::HealthBoard;
use crate::plan::GatewayPlan;
use crate::status::{DeviceStatus, PointCounts, PointStatus};
use crate::status_view::shown;

/// Samples of a point without a value after which it is not waited for any longer.
const TRIES_MAX: u32 = 3;
/// How long ports may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What reading everything brought.
#[derive(Debug)]
pub struct OnlineReport {
    /// The devices, by name.
    pub devices: BTreeMap<String, DeviceStatus>,
    /// All points, in the order of the configuration.
    pub points: Vec<PointStatus>,
}

/// Opens the ports of a plan and reads until each point has a value, or had none [`TRIES_MAX`] times, or `limit` is over.
pub async fn read_once(plan: GatewayPlan, clock: Arc<dyn Clock>, limit: Duration) -> OnlineReport {
    let GatewayPlan { settings, ports, points, .. } = plan;
    let names = settings.devices.iter().map(|device| device.id.value.clone());
    let health = Arc::new(HealthBoard::new(Arc::clone(&clock), names));
    let (emissions, mut emitted) = mpsc::channel(EMISSIONS_QUEUED_MAX);
    let (stop, (_allowed, read_back_allowed)) = (CancellationToken::new(), watch::channel(false));
    let mut running = JoinSet::new();
    for (_, planned) in ports {
        running.spawn(planned.port.run(PortLink {
            stop: stop.clone(),
            clock: Arc::clone(&clock),
            observer: health.clone(),
            marks: Arc::default(),
            read_back_allowed: read_back_allowed.clone(),
            explores: true,
            emissions: emissions.clone(),
        }));
    }
    drop(emissions);
    let mut last: Vec<(u32, Option<Sample>)> = vec![(0, None); points.len()];
    let collect = async {
        while let Some(emission) = emitted.recv().await {
            for sample in emission.samples {
                let at = usize::try_from(sample.point.0).unwrap_or(usize::MAX);
                if let Some((tries, known)) = last.get_mut(at) {
                    *tries += 1;
                    *known = Some(sample);
                }
            }
            let has_value =
                |sample: &Option<Sample>| sample.as_ref().is_some_and(|s| s.value.is_some());
            if last.iter().all(|(tries, sample)| *tries >= TRIES_MAX || has_value(sample)) {
                return;
            }
        }
    };
    // What is not there by then is told as it stands.
    tokio::time::timeout(limit, collect).await.ok();
    stop.cancel();
    let all_ended = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(END_TIMEOUT, all_ended).await.is_err() {
        running.shutdown().await;
    }
    let mut devices = health.snapshot();
    let mut told = Vec::with_capacity(last.len());
    let mut of_devices = points.devices().peekable();
    let (mut device, mut counts) = ("", PointCounts::default());
    for (at, (_, sample)) in (0..).map(PointIndex).zip(&last) {
        if let Some((_, next)) = of_devices.next_if(|(first, _)| *first <= at) {
            set_counts(&mut devices, device, counts);
            (device, counts) = (next, PointCounts::default());
        }
        counts.note(sample.as_ref().map(|sample| sample.quality));
        told.extend(points.point(at).map(|point| shown(&point, sample.as_ref())));
    }
    set_counts(&mut devices, device, counts);
    OnlineReport { devices, points: told }
}

fn set_counts(devices: &mut BTreeMap<String, DeviceStatus>, device: &str, counts: PointCounts) {
    if let Some(status) = devices.get_mut(device) {
        status.points = counts;
    }
}
