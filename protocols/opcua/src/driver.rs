//! What the gateway sees: the protocol and its plans.

use std::sync::Arc;
use std::time::Duration;

use config::{Problems, Spanned, Table};
use device_profiles::ProfilePoint;
use driver::{HistoryFrom, Plan, PointSpec, PortSpec, Protocol, RawKind, Scaling};
use model::Decimal;

use crate::address::NodeAddress;
use crate::codec::{Content, PointCodec};
use crate::port::OpcUaPort;
use crate::settings::{Security, Settings};

const CODE_TYPE: &str = "GW-C303";
const CODE_ADDRESS: &str = "GW-C304";
const CODE_NAMESPACE: &str = "GW-C305";
const CODE_TIME: &str = "GW-C306";
const CODE_ELEMENT: &str = "GW-C307";

/// Largest `index`: no longer array is read.
const ELEMENT_MAX: u32 = 65_535;

/// OPC UA, as a client. Profiles say per point `node = "ns=2;s=Main.Energy"` and `type = "float"`, `"integer"`, `"bool"`
/// or `"text"`, and `index = 3` for an element of an array; a device may say `namespace = "urn:…"` for nodes that name
/// none, and `subscribe = false` to have its points read at its `poll` interval. They are read too where the server
/// refuses to have them subscribed to. `time = "gateway"`, for a device or a point, dates values when they arrive.
/// `standing = false` says that a value that stands still is not to be said again.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpcUa;

/// One point as planned.
#[derive(Debug, Clone)]
pub(crate) struct PlannedPoint {
    /// Place of its device in [`PlannedPort::devices`].
    pub(crate) device: usize,
    pub(crate) metric: String,
    pub(crate) address: NodeAddress,
    pub(crate) codec: PointCodec,
    pub(crate) sampling: Duration,
    /// Place of its poll group in [`PlannedPort::groups`].
    pub(crate) group: usize,
    pub(crate) history: Option<HistoryFrom>,
}

/// One device as planned.
#[derive(Debug, Clone)]
pub(crate) struct PlannedDevice {
    pub(crate) id: String,
    pub(crate) subscribe: bool,
    /// Whether a value that stands still is said again.
    pub(crate) standing: bool,
}

/// Points that are read together where they are not subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// Place of their device in [`PlannedPort::devices`].
    pub(crate) device: usize,
    pub(crate) poll: Duration,
}

/// One server as planned.
#[derive(Debug, Clone)]
pub(crate) struct PlannedPort {
    pub(crate) id: String,
    pub(crate) settings: Settings,
    pub(crate) devices: Vec<PlannedDevice>,
    pub(crate) groups: Vec<Group>,
    pub(crate) points: Vec<PlannedPoint>,
}

impl Protocol for OpcUa {
    fn name(&self) -> &'static str {
        "opcua"
    }

    fn plan(&self, port: PortSpec, problems: &mut Problems) -> Option<Plan> {
        let mut found = Problems::default();
        let plan = plan(port, &mut found);
        let fatal = found.is_fatal();
        problems.append(found);
        let plan = plan.filter(|_| !fatal)?;
        let value_types = plan
            .points
            .iter()
            .map(|point| (point.codec.point, point.codec.content.value_type()))
            .collect();
        let summary = summary(&plan);
        let port = Box::new(OpcUaPort::new(Arc::new(plan)));
        Some(Plan { port, value_types, intervals: Vec::new(), summary, exclusive: None })
    }
}

fn plan(port: PortSpec, problems: &mut Problems) -> Option<PlannedPort> {
    let settings = Settings::read(port.settings, problems);
    let mut devices = Vec::new();
    let mut groups = Vec::new();
    let mut points = Vec::new();
    for (index, device) in port.devices.into_iter().enumerate() {
        let mut keys = device.settings.clone();
        let namespace = namespace(&mut keys, problems);
        let subscribe = keys.optional::<bool>("subscribe", problems);
        let standing = keys.optional::<bool>("standing", problems);
        let gateway_time = gateway_time(&mut keys, problems);
        keys.finish(problems);
        device.profile.options.clone().finish(problems);
        let sampling = settings.as_ref().and_then(|settings| settings.sampling_interval);
        let keys = DeviceKeys { index, sampling, namespace, gateway_time };
        for spec in device.points {
            let group = group(&mut groups, Group { device: index, poll: spec.poll });
            points.extend(point(&spec, &keys, group, problems));
        }
        let subscribe = subscribe.is_none_or(|subscribe| subscribe.value);
        let standing = standing.is_none_or(|standing| standing.value);
        devices.push(PlannedDevice { id: device.id.value, subscribe, standing });
    }
    Some(PlannedPort { id: port.id.value, settings: settings?, devices, groups, points })
}

/// The place of a group, which is added where there is none.
fn group(groups: &mut Vec<Group>, wanted: Group) -> usize {
    groups.iter().position(|group| *group == wanted).unwrap_or_else(|| {
        groups.push(wanted);
        groups.len() - 1
    })
}

fn namespace(keys: &mut Table, problems: &mut Problems) -> Option<String> {
    let namespace = keys.optional::<String>("namespace", problems);
    if let Some(empty) = namespace.as_ref().filter(|namespace| namespace.value.is_empty()) {
        let message = "`namespace` is empty: expected the URI of a namespace of the server";
        problems.push(empty.problem(CODE_NAMESPACE, message));
    }
    namespace.map(|namespace| namespace.value)
}

/// Whether values are dated when they arrive, where the table says.
fn gateway_time(keys: &mut Table, problems: &mut Problems) -> Option<bool> {
    let time = keys.optional::<String>("time", problems)?;
    match time.value.as_str() {
        "gateway" => Some(true),
        "device" => Some(false),
        other => {
            let message = format!("`time`: expected `device` or `gateway`, found `{other}`");
            problems.push(time.problem(CODE_TIME, message).help(
                "`device` takes the source time of each value, `gateway` the time when it arrives",
            ));
            None
        }
    }
}

/// What a device says of all of its points.
struct DeviceKeys {
    index: usize,
    sampling: Option<Duration>,
    namespace: Option<String>,
    gateway_time: Option<bool>,
}

fn point(
    spec: &PointSpec,
    device: &DeviceKeys,
    group: usize,
    problems: &mut Problems,
) -> Option<PlannedPoint> {
    let mut address: Table = spec.profile.address.clone();
    let node = address.required::<String>("node", problems);
    let content = address.required::<String>("type", problems);
    let element = element(&mut address, problems);
    let gateway_time = gateway_time(&mut address, problems).or(device.gateway_time);
    address.finish(problems);
    let gateway_time = gateway_time.unwrap_or(false);
    let metric = spec.profile.metric.clone();
    if gateway_time && spec.history.is_some() {
        let message = format!("`{metric}`: `history` with `time = \"gateway\"`");
        problems.push(spec.profile.address.problem(CODE_TIME, message).help(
            "a history has only the times of the device: leave out one of them for this point",
        ));
        return None;
    }
    let node =
        node.and_then(|node| match NodeAddress::parse(&node.value, device.namespace.as_deref()) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                problems.push(
                    node.problem(CODE_ADDRESS, error.to_string()).help(
                        "copy the node id that a browser of the server's address space shows",
                    ),
                );
                None
            }
        });
    let content = content.and_then(|content| self::content(&content, &spec.profile, problems))?;
    Some(PlannedPoint {
        device: device.index,
        metric,
        address: node?,
        codec: PointCodec { point: spec.index, content, element: element?, gateway_time },
        sampling: device.sampling.unwrap_or(spec.poll),
        group,
        history: spec.history,
    })
}

/// Which element of an array is wanted, if one is; nothing when that is not a number that can be.
#[expect(clippy::option_option, reason = "nothing said, and something wrong said, are two things")]
fn element(address: &mut Table, problems: &mut Problems) -> Option<Option<usize>> {
    let Some(index) = address.optional::<u32>("index", problems) else { return Some(None) };
    if index.value > ELEMENT_MAX {
        let message = format!("`index`: expected 0 to {ELEMENT_MAX}, found {}", index.value);
        problems.push(index.problem(CODE_ELEMENT, message));
        return None;
    }
    Some(usize::try_from(index.value).ok())
}

fn content(
    kind: &Spanned<String>,
    point: &ProfilePoint,
    problems: &mut Problems,
) -> Option<Content> {
    let scaling = |kind, problems: &mut Problems| match Scaling::new(point, kind) {
        Ok(scaling) => Some(scaling),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    match kind.value.as_str() {
        "float" => scaling(RawKind::Float, problems).map(Content::Float),
        "integer" => scaling(RawKind::Integer, problems).map(Content::Integer),
        "bool" | "text" => {
            let plain = point.scale == Decimal::ONE
                && point.offset == Decimal::ZERO
                && point.resolution.is_none();
            if !plain {
                let message = format!(
                    "`{}`: `scale`, `offset` or `resolution` with `type = \"{}\"`",
                    point.metric, kind.value
                );
                problems.push(kind.problem(CODE_TYPE, message).help("they are for numbers"));
                return None;
            }
            Some(if kind.value == "bool" { Content::Bool } else { Content::Text })
        }
        other => {
            let message =
                format!("`type`: expected `float`, `integer`, `bool` or `text`, found `{other}`");
            problems.push(kind.problem(CODE_TYPE, message).help(
                "`float` for Float and Double, `integer` for all integers and enumerations, `bool` for Boolean, `text` for String and LocalizedText",
            ));
            None
        }
    }
}

fn summary(plan: &PlannedPort) -> Vec<String> {
    let settings = &plan.settings;
    let security = match settings.security {
        Security::None => "no security",
        Security::SignAndEncrypt { .. } => "SignAndEncrypt",
    };
    let of_device = |(index, device): (usize, &PlannedDevice)| {
        let points: Vec<&PlannedPoint> =
            plan.points.iter().filter(|point| point.device == index).collect();
        let history = points.iter().filter(|point| point.history.is_some()).count();
        let (url, points, id) = (&settings.url, points.len(), &device.id);
        let how = if device.subscribe {
            format!("published every {:?}", settings.publish_interval)
        } else {
            let polls = plan.groups.iter().filter(|group| group.device == index);
            let polls: Vec<String> = polls.map(|group| format!("{:?}", group.poll)).collect();
            format!("read every {}", polls.join(", "))
        };
        format!("{id}: {url} ({security}), {how}, points {points}, with history {history}")
    };
    plan.devices.iter().enumerate().map(of_device).collect()
}

#[cfg(test)]
mod tests;
