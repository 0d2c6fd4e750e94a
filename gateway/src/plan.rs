//! From checked settings and the protocols that a program speaks to port plans and the point dictionary. Opens
//! nothing. Must never know a concrete protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Problems, Spanned, meant};
use device_profiles::{DeviceProfile, Library};
use driver::{DeviceSpec, Exclusive, Plan, PointSpec, PortSpec, Protocol};
use model::{Dictionary, Place, PointId, PointIndex, PointInfo, ValueType};

use crate::poll_groups::{check_groups, interval};
use crate::settings::{DeviceSettings, PortSettings, Settings};

/// Everything that a gateway will do, ready to start.
pub struct GatewayPlan {
    /// The settings it was made of.
    pub settings: Settings,
    /// The ports, by name.
    pub ports: Vec<(String, Plan)>,
    /// All points, in the order of the configuration.
    pub dictionary: Dictionary,
    /// Per point whether what the device remembers is read back.
    pub history: Vec<bool>,
}

/// Plans a whole gateway. Notes every problem; returns nothing when one is fatal.
pub fn plan(
    settings: Settings,
    protocols: &[Box<dyn Protocol>],
    problems: &mut Problems,
) -> Option<GatewayPlan> {
    let library = Library::new(settings.profile_folders.clone());
    let mut profiles: BTreeMap<String, Arc<DeviceProfile>> = BTreeMap::new();
    let mut points: Vec<PointInfo> = Vec::new();
    let mut history = Vec::new();
    let mut specs: Vec<(PortSettings, Vec<DeviceSpec>)> =
        settings.ports.iter().map(|port| (port.clone(), Vec::new())).collect();
    for device in &settings.devices {
        let profile = profiles.get(&device.profile.value).cloned();
        let profile = profile.or_else(|| library.draft(&device.profile, problems));
        if let Some(profile) = &profile {
            profiles.entry(profile.id.clone()).or_insert_with(|| Arc::clone(profile));
        }
        let port = specs.iter_mut().find(|(port, _)| port.id.value == device.port.value);
        if port.is_none() {
            problems.push(unknown_port(device, &settings.ports));
        }
        let (Some(profile), Some((port, devices))) = (profile, port) else { continue };
        if !fits(&profile, port, device, problems) {
            continue;
        }
        let spec = device_spec(device, profile, &settings.site, &mut points, problems);
        history.extend(spec.points.iter().map(|point| point.history.is_some()));
        devices.push(spec);
    }
    unique_points(&points, &settings, problems);
    let mut ports = Vec::new();
    for (port, devices) in specs {
        let name = port.id.value.clone();
        // A device that names the port and is wrong itself has its own message.
        if !settings.devices.iter().any(|device| device.port.value == name) {
            let message = format!("port `{name}` has no device");
            problems.push(port.id.problem("GW-C021", message).help("add a `[[device]]`").warning());
        }
        let planned = protocol_of(&port.protocol, protocols, problems).and_then(|protocol| {
            let spec = PortSpec { id: port.id, settings: port.rest, devices };
            protocol.plan(spec, problems)
        });
        ports.extend(planned.map(|planned| (name, planned)));
    }
    check_exclusive(&ports, problems);
    for (index, value_type) in ports.iter().flat_map(|(_, planned)| &planned.value_types) {
        let point = usize::try_from(index.0).ok().and_then(|at| points.get_mut(at));
        if let Some(point) = point {
            point.value_type = *value_type;
        }
    }
    for (index, interval) in ports.iter().flat_map(|(_, planned)| &planned.intervals) {
        let point = usize::try_from(index.0).ok().and_then(|at| points.get_mut(at));
        if let Some(point) = point {
            point.interval_ms = u64::try_from(interval.as_millis()).ok();
        }
    }
    if problems.is_fatal() {
        return None;
    }
    match Dictionary::new(points) {
        Ok(dictionary) => Some(GatewayPlan { settings, ports, dictionary, history }),
        Err(e) => {
            let help = "spread the devices over several gateways";
            problems.push(config::Problem::new("GW-C022", e.to_string()).help(help));
            None
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
    let same = profile.protocol == port.protocol.value;
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
    points: &mut Vec<PointInfo>,
    problems: &mut Problems,
) -> DeviceSpec {
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
    check_groups(device, &profile, problems);
    let place = Place {
        enterprise: enterprise.clone(),
        site: site.clone(),
        area: device.place.0.clone(),
        line: device.place.1.clone(),
    };
    let mut specs = Vec::new();
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
        let index = PointIndex(u32::try_from(points.len()).unwrap_or(u32::MAX));
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
            states: Vec::new(),
            interval_ms: None,
            profile: Some(profile.id.clone()),
        });
        let (poll, history) = (interval(device, point), device.history);
        specs.push(PointSpec { index, profile: point.clone(), poll, history });
    }
    DeviceSpec { id: device.id.clone(), settings: device.rest.clone(), profile, points: specs }
}

/// Two devices of one id would share their points; the ids are checked, so this guards the rule itself (INV-4).
fn unique_points(points: &[PointInfo], settings: &Settings, problems: &mut Problems) {
    let mut seen = std::collections::BTreeSet::new();
    let twice = points.iter().find(|point| !seen.insert(&point.id));
    if let Some(point) = twice
        && !problems.is_fatal()
    {
        let place = settings.devices.iter().find(|device| device.id.value == point.device);
        let message = format!("point `{}` is defined twice", point.id);
        let problem = match place {
            Some(device) => device.id.problem("GW-C026", message),
            None => config::Problem::new("GW-C026", message),
        };
        problems.push(problem.help("a profile must not name a metric twice"));
    }
}
