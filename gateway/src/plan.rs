//! From checked settings and the protocols that a program speaks to port plans and the point dictionary. Opens
//! nothing. Must never know a concrete protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Problems, Spanned, meant};
use device_profiles::{DeviceProfile, Library};
use driver::{DeviceSpec, Exclusive, Plan, PointSpec, PortSpec, Protocol};
use keeper::{PointTable, PointTableBuilder};
use model::{Place, PointId, PointIndex, PointInfo, ValueType};

use crate::poll_groups::{check_groups, interval};
use crate::settings::{DeviceSettings, PortSettings, Settings};

const TOO_MANY_HELP: &str = "spread the devices over several gateways";

/// Everything that a gateway will do, ready to start.
pub struct GatewayPlan {
    /// The settings it was made of.
    pub settings: Settings,
    /// The ports, by name.
    pub ports: Vec<(String, Plan)>,
    /// All points: port by port, the devices of each in the order of the configuration.
    pub points: PointTable,
    /// Those whose history is read back.
    pub read_back: Vec<PointIndex>,
}

/// Plans a whole gateway. Notes every problem; returns nothing when one is fatal.
pub fn plan(
    settings: Settings,
    protocols: &[Box<dyn Protocol>],
    problems: &mut Problems,
) -> Option<GatewayPlan> {
    let of_ports = devices_of_ports(&settings, protocols, problems);
    let mut points = PointTableBuilder::default();
    let (mut ports, mut read_back) = (Vec::new(), Vec::new());
    for (port, devices) in settings.ports.iter().zip(of_ports) {
        let name = port.id.value.clone();
        // A device that names the port and is wrong itself has its own message.
        if !settings.devices.iter().any(|device| device.port.value == name) {
            let message = format!("port `{name}` has no device");
            problems.push(port.id.problem("GW-C021", message).help("add a `[[device]]`").warning());
        }
        // One port after the other, so that what many points need for planning is there once.
        let mut first = points.len();
        let (mut specs, mut infos) = (Vec::new(), Vec::new());
        for (device, profile) in devices {
            let (spec, info) = device_spec(device, profile, &settings.site, first, problems);
            first += info.len();
            specs.push(spec);
            infos.push(info);
        }
        let of_port = specs.iter().flat_map(|spec| &spec.points);
        let of_port: Vec<PointIndex> =
            of_port.filter(|point| point.history.is_some()).map(|point| point.index).collect();
        let planned = protocol_of(&port.protocol, protocols, problems).and_then(|protocol| {
            let (id, settings) = (port.id.clone(), port.rest.clone());
            protocol.plan(PortSpec { id, settings, devices: specs }, problems)
        });
        let Some(planned) = planned else { continue };
        read_back.extend(of_port);
        take_over(&mut infos, points.len(), &planned);
        for info in infos {
            if let Err(e) = points.add_device(info) {
                problems.push(port.id.problem("GW-C022", e.to_string()).help(TOO_MANY_HELP));
                break;
            }
        }
        ports.push((name, planned));
    }
    check_exclusive(&ports, problems);
    if problems.is_fatal() {
        return None;
    }
    match points.finish() {
        Ok(points) => {
            unique_points(&points, problems);
            (!problems.is_fatal()).then_some(GatewayPlan { settings, ports, points, read_back })
        }
        Err(e) => {
            problems.push(config::Problem::new("GW-C022", e.to_string()).help(TOO_MANY_HELP));
            None
        }
    }
}

/// The devices of each port, with their profiles.
fn devices_of_ports<'a>(
    settings: &'a Settings,
    protocols: &[Box<dyn Protocol>],
    problems: &mut Problems,
) -> Vec<Vec<(&'a DeviceSettings, Arc<DeviceProfile>)>> {
    let library = Library::new(settings.profile_folders.clone());
    let mut profiles: BTreeMap<String, Arc<DeviceProfile>> = BTreeMap::new();
    let mut of_ports = vec![Vec::new(); settings.ports.len()];
    for device in &settings.devices {
        let profile = profiles.get(&device.profile.value).cloned();
        let profile = profile.or_else(|| library.draft(&device.profile, problems));
        if let Some(profile) = &profile {
            profiles.entry(profile.id.clone()).or_insert_with(|| Arc::clone(profile));
        }
        let port = settings.ports.iter().position(|port| port.id.value == device.port.value);
        if port.is_none() {
            problems.push(unknown_port(device, &settings.ports));
        }
        let Some(profile) = profile else { continue };
        let of_port = port.and_then(|at| settings.ports.get(at).zip(of_ports.get_mut(at)));
        match of_port {
            Some((port, devices)) if fits(&profile, port, device, problems) => {
                devices.push((device, profile));
            }
            _ => {
                let known = protocols.iter().find(|known| known.name() == profile.protocol);
                if let Some(protocol) = known {
                    protocol.check_profile(&profile, problems);
                }
            }
        }
    }
    of_ports
}

/// The protocol says how the values of each point are held, and how often they are expected. The points of the port begin
/// at `first`.
fn take_over(infos: &mut [Vec<PointInfo>], first: usize, planned: &Plan) {
    let mut of_port: Vec<&mut PointInfo> = infos.iter_mut().flatten().collect();
    let place = |index: &PointIndex| usize::try_from(index.0).ok()?.checked_sub(first);
    for (index, value_type) in &planned.value_types {
        if let Some(point) = place(index).and_then(|at| of_port.get_mut(at)) {
            point.value_type = *value_type;
        }
    }
    for (index, interval) in &planned.intervals {
        if let Some(point) = place(index).and_then(|at| of_port.get_mut(at)) {
            point.interval_ms = u64::try_from(interval.as_millis()).ok();
        }
    }
}

/// Two ports on one serial line would destroy each other's frames.
fn check_exclusive(ports: &[(String, Plan)], problems: &mut Problems) {
    let mut taken: BTreeMap<&str, (&str, &Exclusive)> = BTreeMap::new();
    for (port, exclusive) in
        ports.iter().filter_map(|(port, p)| Some((port, p.exclusive.as_ref()?)))
    {
        if let Some((first, place)) = taken.insert(&exclusive.key, (port, exclusive)) {
            let both = format!("ports `{first}` and `{port}` use the same {}", exclusive.key);
            let help =
                "put the devices of both behind one port: on it one request is under way at a time";
            for place in [place, exclusive] {
                problems.push(place.named.problem("GW-C031", both.clone()).help(help));
            }
        }
    }
}

fn protocol_of<'a>(
    wanted: &Spanned<String>,
    protocols: &'a [Box<dyn Protocol>],
    problems: &mut Problems,
) -> Option<&'a dyn Protocol> {
    let found = protocols.iter().find(|protocol| protocol.name() == wanted.value);
    if found.is_none() {
        let names: Vec<&str> = protocols.iter().map(|protocol| protocol.name()).collect();
        let message = format!("protocol `{}` is not one of this program", wanted.value);
        problems.push(wanted.problem("GW-C023", message).help(meant(
            &wanted.value,
            &names,
            "this program speaks",
        )));
    }
    found.map(AsRef::as_ref)
}

fn unknown_port(device: &DeviceSettings, ports: &[PortSettings]) -> config::Problem {
    let (id, port) = (&device.id.value, &device.port.value);
    let mut known: Vec<&str> = ports.iter().map(|port| port.id.value.as_str()).collect();
    known.dedup();
    let message = format!("device `{id}` names port `{port}`, which is not defined");
    let help = if known.is_empty() {
        format!("add `[[port]]` with `id = \"{port}\"`")
    } else {
        meant(port, &known, "ports here:")
    };
    device.port.problem("GW-C007", message).help(help)
}

fn fits(
    profile: &DeviceProfile,
    port: &PortSettings,
    device: &DeviceSettings,
    problems: &mut Problems,
) -> bool {
    // A profile without `protocol` was noted.
    let same = profile.protocol == port.protocol.value || profile.protocol.is_empty();
    if !same {
        let message = format!(
            "profile `{}` is read by `{}`, but port `{}` speaks `{}`",
            profile.id, profile.protocol, port.id.value, port.protocol.value
        );
        problems.push(
            device.profile.problem("GW-C024", message).help("choose another port or profile"),
        );
    }
    same
}

fn device_spec(
    device: &DeviceSettings,
    profile: Arc<DeviceProfile>,
    (enterprise, site): &(String, String),
    first: usize,
    problems: &mut Problems,
) -> (DeviceSpec, Vec<PointInfo>) {
    if let Some(wanted) = &device.points {
        for metric in &wanted.value {
            if !profile.points.iter().any(|point| point.metric == *metric) {
                let known: Vec<&str> =
                    profile.points.iter().map(|point| point.metric.as_str()).collect();
                let message = format!("profile `{}` has no point `{metric}`", profile.id);
                problems
                    .push(wanted.problem("GW-C025", message).help(meant(metric, &known, "it has")));
            }
        }
    }
    if let Some(none) = device.points.as_ref().filter(|points| points.value.is_empty()) {
        let message = format!("nothing is read of device `{}`: `points` is empty", device.id.value);
        let help = "leave `points` out for all points of the profile, or name some";
        problems.push(none.problem("GW-C052", message).help(help).warning());
    }
    check_groups(device, &profile, problems);
    let is_read = |metric: &&str| {
        device.points.as_ref().is_none_or(|wanted| wanted.value.iter().any(|m| m == metric))
    };
    let read = profile.points.iter().map(|point| point.metric.as_str()).filter(is_read);
    device.history.check(&device.id.value, &profile, read, problems);
    let place = Place {
        enterprise: enterprise.clone(),
        site: site.clone(),
        area: device.place.as_ref().map(|place| place.area.clone()),
        line: device.place.as_ref().and_then(|place| place.line.clone()),
    };
    let (mut specs, mut points) = (Vec::new(), Vec::new());
    for point in &profile.points {
        let all = device.points.as_ref();
        if all.is_some_and(|wanted| !wanted.value.contains(&point.metric)) {
            continue;
        }
        let id = PointId::new(format!("{enterprise}/{site}/{}/{}", device.id.value, point.metric));
        let id = match id {
            Ok(id) => id,
            Err(e) => {
                problems.push(device.id.problem("GW-C011", e.to_string()));
                continue;
            }
        };
        let index = PointIndex(u32::try_from(first + points.len()).unwrap_or(u32::MAX));
        let (poll, history) = (interval(device, point), device.history.of(point));
        points.push(PointInfo {
            id,
            place: place.clone(),
            device: device.id.value.clone(),
            metric: point.metric.clone(),
            device_name: device.name.clone(),
            unit: point.unit,
            kind: point.kind,
            // The protocol says in its plan how the values are held.
            value_type: ValueType::Float,
            modulus: point.modulus,
            states: point.states.clone(),
            // And how often they are expected.
            interval_ms: None,
            profile: Some(profile.id.clone()),
        });
        specs.push(PointSpec { index, profile: Arc::clone(point), poll, history });
    }
    let spec =
        DeviceSpec { id: device.id.clone(), settings: device.rest.clone(), profile, points: specs };
    (spec, points)
}

/// Two devices of one id would share their points; the ids are checked, so this guards the rule itself (INV-4).
fn unique_points(points: &PointTable, problems: &mut Problems) {
    if let Some(point) = points.twice() {
        let message = format!("point `{point}` is defined twice");
        let help = "a profile must not name a metric twice";
        problems.push(config::Problem::new("GW-C026", message).help(help));
    }
}
