//! The protocol `modbus`: makes a plan of what is configured, and polls a port until it is stopped. Must never know the
//! spool or MQTT.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::{Problem, Problems, Spanned};
use device_profiles::{DeviceProfile, ProfilePoint};
use driver::{
    DeviceSpec, Emission, Plan, Port, PortLink, PortSpec, Protocol, RawKind, Scaling, Schedule,
};
use model::{PointIndex, ValueType};

use crate::address::Address;
use crate::client::Client;
use crate::device::{Asking, Device, Outcome};
use crate::request::Point;
use crate::settings::{PortSettings, ProfileOptions, unit};

const CODE_UNIT_TWICE: &str = "GW-C012";
const CODE_OVERLAP: &str = "GW-C065";
const CODE_HISTORY: &str = "GW-C066";

/// Share of a port's time that devices which do not answer may take from those that do: one part of so many.
const SILENT_SHARE: u32 = 10;

/// The protocol `modbus`: Modbus TCP and Modbus RTU.
#[derive(Debug, Clone, Copy, Default)]
pub struct Modbus;

impl Protocol for Modbus {
    fn name(&self) -> &'static str {
        "modbus"
    }

    fn plan(&self, port: PortSpec, problems: &mut Problems) -> Option<Plan> {
        let mut found = Problems::default();
        let planned = plan(port, &mut found);
        let fatal = found.is_fatal();
        problems.append(found);
        planned.filter(|_| !fatal)
    }
}

fn plan(port: PortSpec, problems: &mut Problems) -> Option<Plan> {
    let settings = PortSettings::read(port.settings, problems);
    let mut units: HashMap<u8, (String, Spanned<u8>)> = HashMap::new();
    let mut devices = Vec::with_capacity(port.devices.len());
    let mut intervals = Vec::with_capacity(port.devices.len());
    let mut value_types = Vec::new();
    let mut summary = Vec::new();
    for spec in port.devices {
        let link = settings.as_ref().map(|settings| &settings.link);
        let unit = unit(spec.settings.clone(), link, problems);
        if let Some(unit) = &unit {
            check_unit(unit, &spec.id.value, &port.id.value, &mut units, problems);
        }
        let options = ProfileOptions::read(spec.profile.options.clone(), problems);
        check_overlaps(&spec.profile, &options, problems);
        let points = points_of(&spec, &options, problems);
        value_types.extend(points.iter().map(value_type));
        let Some(unit) = unit else { continue };
        let id = spec.id.value;
        let device = Device::new(id, unit.value, points, &options.limits, options.request_gap);
        let every = format!("every {}", config::written(spec.poll));
        summary
            .extend(device.requests().map(|request| format!("{}: {request} {every}", device.id)));
        devices.push(device);
        intervals.push(spec.poll);
    }
    let port =
        ModbusPort { id: port.id.value, settings: settings?, devices, groups: groups(&intervals) };
    Some(Plan { port: Box::new(port), value_types, summary })
}

fn value_type(point: &Point) -> (PointIndex, ValueType) {
    (point.index, point.scaling.value_type())
}

fn check_unit(
    unit: &Spanned<u8>,
    device: &str,
    port: &str,
    units: &mut HashMap<u8, (String, Spanned<u8>)>,
    problems: &mut Problems,
) {
    let Some((first, place)) = units.insert(unit.value, (device.to_owned(), unit.clone())) else {
        return;
    };
    let both = format!("two devices on port `{port}` use the same Modbus unit id {}", unit.value);
    let help = "both would answer at once, and every reply would be destroyed; set another id at one of them";
    problems.push(
        place
            .problem(CODE_UNIT_TWICE, format!("{both}: here `{first}`, and below `{device}`"))
            .help(help),
    );
    problems.push(
        unit.problem(CODE_UNIT_TWICE, format!("{both}: here `{device}`, and above `{first}`"))
            .help(help),
    );
}

/// All points of a profile, wanted or not: two that overlap cannot both be right.
fn check_overlaps(profile: &DeviceProfile, options: &ProfileOptions, problems: &mut Problems) {
    let read = |point: &ProfilePoint, problems: &mut Problems| {
        Address::read(point.address.clone(), &point.metric, options, problems)
    };
    let mut places: Vec<(Address, &ProfilePoint)> =
        profile.points.iter().filter_map(|point| Some((read(point, problems)?, point))).collect();
    places.sort_by_key(|(address, _)| (address.area, address.start, address.count()));
    for pair in places.windows(2) {
        let [(low, low_point), (high, high_point)] = pair else { continue };
        let overlap = low.area == high.area && u32::from(high.start) < low.end();
        let same = low.start == high.start && low.count() == high.count();
        if !overlap || same {
            continue;
        }
        let base = u32::from(options.address_base);
        let message = format!(
            "`{}` and `{}` overlap in the {} area: {} takes {} to {}, {} begins at {}",
            low_point.metric,
            high_point.metric,
            low.area.name(),
            low_point.metric,
            u32::from(low.start) + base,
            low.end() + base - 1,
            high_point.metric,
            u32::from(high.start) + base,
        );
        let problem = high_point.address.problem(CODE_OVERLAP, message);
        problems.push(problem.help("one of the two has the wrong `register` or `type`"));
    }
}

fn points_of(spec: &DeviceSpec, options: &ProfileOptions, problems: &mut Problems) -> Vec<Point> {
    if spec.points.iter().any(|point| point.history.is_some()) {
        let message = format!(
            "`{}` cannot be read back: Modbus devices give only what is now",
            spec.id.value
        );
        problems
            .push(spec.id.problem(CODE_HISTORY, message).help("remove `history` from this device"));
    }
    let point = |point: &driver::PointSpec, problems: &mut Problems| {
        let profile = &point.profile;
        let address = Address::read(profile.address.clone(), &profile.metric, options, problems)?;
        let kind = if address.data_type.is_float() { RawKind::Float } else { RawKind::Integer };
        let scaling = Scaling::new(profile, kind);
        let scaling = scaling.map_err(|problem: Problem| problems.push(problem)).ok()?;
        Some(Point { index: point.index, address, scaling })
    };
    spec.points.iter().filter_map(|wanted| point(wanted, problems)).collect()
}

/// Devices that are polled at one interval, shortest interval first.
struct Group {
    interval: Duration,
    devices: Vec<usize>,
}

fn groups(intervals: &[Duration]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (device, interval) in intervals.iter().enumerate() {
        match groups.iter_mut().find(|group| group.interval == *interval) {
            Some(group) => group.devices.push(device),
            None => groups.push(Group { interval: *interval, devices: vec![device] }),
        }
    }
    groups.sort_by_key(|group| group.interval);
    groups
}

struct ModbusPort {
    id: String,
    settings: PortSettings,
    devices: Vec<Device>,
    groups: Vec<Group>,
}

#[async_trait]
impl Port for ModbusPort {
    async fn run(self: Box<Self>, link: PortLink) {
        let stop = link.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.poll_forever(link) => {}
        }
    }
}

impl ModbusPort {
    async fn poll_forever(self, link: PortLink) {
        let Self { id, settings, mut devices, groups } = self;
        let clock = Arc::clone(&link.clock);
        let tries = u32::from(settings.retries) + 1;
        let mut client = Client::new(settings, Arc::clone(&clock));
        let mut share = SilentShare::default();
        let intervals = groups.iter().map(|group| group.interval);
        let mut schedule = Schedule::new(intervals, clock.monotonic());
        while let Some(due) = schedule.next_due() {
            let wait = due.saturating_sub(clock.monotonic());
            tokio::time::sleep(wait).await;
            let Some(due) = schedule.take(clock.monotonic()) else { continue };
            let Some(group) = groups.get(due.group) else { continue };
            let points = |index: &usize| devices.get(*index).map_or(0, Device::points_count);
            let mut samples = Vec::with_capacity(group.devices.iter().map(points).sum());
            for index in &group.devices {
                let others_answer = devices
                    .iter()
                    .enumerate()
                    .any(|(other, device)| other != *index && device.is_answering());
                let Some(device) = devices.get_mut(*index) else { continue };
                if due.skipped > 0 {
                    link.observer.late(&device.id);
                }
                if device.is_resting() && others_answer && !share.allows(clock.monotonic()) {
                    device.rest(clock.now(), &mut samples);
                    continue;
                }
                let mut asking = Asking {
                    port: &id,
                    client: &mut client,
                    link: &link,
                    tries,
                    others_answer,
                    samples: &mut samples,
                };
                let was_resting = device.is_resting();
                match device.poll(&mut asking).await {
                    Outcome::Silent { cost } if was_resting => share.spend(clock.monotonic(), cost),
                    Outcome::Answered { back: true } => {
                        share = SilentShare::default();
                        devices.iter_mut().for_each(Device::wake);
                    }
                    _ => {}
                }
            }
            if link.emit(Emission { samples, marks: Vec::new() }).await.is_err() {
                return;
            }
        }
        // A port without devices has nothing to do but to wait for its end.
        link.stop.cancelled().await;
    }
}

/// Keeps the time that silent devices cost within their share, all of them together.
#[derive(Debug, Default)]
struct SilentShare {
    next: Duration,
}

impl SilentShare {
    fn allows(&self, now: Duration) -> bool {
        now >= self.next
    }

    fn spend(&mut self, now: Duration, cost: Duration) {
        self.next = now + cost.saturating_mul(SILENT_SHARE - 1);
    }
}

#[cfg(test)]
mod tests;
