//! What the gateway sees: the protocol and its plans. Must never open a connection.

use std::sync::Arc;
use std::time::Duration;

use config::{Problems, Spanned, Table};
use driver::{HistoryFrom, Plan, PointSpec, PortSpec, Protocol, RawKind, Scaling};

use crate::address::NodeAddress;
use crate::codec::PointCodec;
use crate::port::OpcUaPort;
use crate::settings::{Security, Settings};

const CODE_TYPE: &str = "GW-C303";
const CODE_ADDRESS: &str = "GW-C304";
const CODE_NAMESPACE: &str = "GW-C305";

/// OPC UA, as a client. Profiles say per point `node = "ns=2;s=Main.Energy"` and `type = "float"` or `"integer"`; a
/// device may say `namespace = "urn:…"` for nodes that name none, and `subscribe = false` to have its points read at its
/// `poll` interval. They are read too where the server refuses to have them subscribed to.
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
    pub(crate) history: Option<HistoryFrom>,
}

/// One device as planned.
#[derive(Debug, Clone)]
pub(crate) struct PlannedDevice {
    pub(crate) id: String,
    /// How often its points are read where they are not subscribed to.
    pub(crate) poll: Duration,
    pub(crate) subscribe: bool,
}

/// One server as planned.
#[derive(Debug, Clone)]
pub(crate) struct PlannedPort {
    pub(crate) id: String,
    pub(crate) settings: Settings,
    pub(crate) devices: Vec<PlannedDevice>,
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
            .map(|point| (point.codec.point, point.codec.scaling.value_type()))
            .collect();
        let summary = summary(&plan);
        let port = Box::new(OpcUaPort::new(Arc::new(plan)));
        Some(Plan { port, value_types, summary, exclusive: None })
    }
}

fn plan(port: PortSpec, problems: &mut Problems) -> Option<PlannedPort> {
    let settings = Settings::read(port.settings, problems);
    let mut devices = Vec::new();
    let mut points = Vec::new();
    for (index, device) in port.devices.into_iter().enumerate() {
        let mut keys = device.settings.clone();
        let namespace = namespace(&mut keys, problems);
        let subscribe = keys.optional::<bool>("subscribe", problems);
        keys.finish(problems);
        device.profile.options.clone().finish(problems);
        let sampling = settings.as_ref().and_then(|settings| settings.sampling_interval);
        for spec in device.points {
            let sampling = sampling.unwrap_or(spec.poll);
            points.extend(point(spec, index, sampling, namespace.as_deref(), problems));
        }
        let subscribe = subscribe.is_none_or(|subscribe| subscribe.value);
        devices.push(PlannedDevice { id: device.id.value, poll: device.poll, subscribe });
    }
    Some(PlannedPort { id: port.id.value, settings: settings?, devices, points })
}

fn namespace(keys: &mut Table, problems: &mut Problems) -> Option<String> {
    let namespace = keys.optional::<String>("namespace", problems);
    if let Some(empty) = namespace.as_ref().filter(|namespace| namespace.value.is_empty()) {
        let message = "`namespace` is empty: expected the URI of a namespace of the server";
        problems.push(empty.problem(CODE_NAMESPACE, message));
    }
    namespace.map(|namespace| namespace.value)
}

fn point(
    spec: PointSpec,
    device: usize,
    sampling: Duration,
    namespace: Option<&str>,
    problems: &mut Problems,
) -> Option<PlannedPoint> {
    let mut address: Table = spec.profile.address.clone();
    let node = address.required::<String>("node", problems);
    let kind = address.required::<String>("type", problems);
    address.finish(problems);
    let node = node.and_then(|node| match NodeAddress::parse(&node.value, namespace) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            problems.push(
                node.problem(CODE_ADDRESS, error.to_string())
                    .help("copy the node id that a browser of the server's address space shows"),
            );
            None
        }
    });
    let kind = kind.and_then(|kind| raw_kind(&kind, problems))?;
    let scaling = match Scaling::new(&spec.profile, kind) {
        Ok(scaling) => scaling,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    Some(PlannedPoint {
        device,
        metric: spec.profile.metric,
        address: node?,
        codec: PointCodec { point: spec.index, kind, scaling },
        sampling,
        history: spec.history,
    })
}

fn raw_kind(kind: &Spanned<String>, problems: &mut Problems) -> Option<RawKind> {
    match kind.value.as_str() {
        "float" => Some(RawKind::Float),
        "integer" => Some(RawKind::Integer),
        other => {
            let message = format!("`type`: expected `float` or `integer`, found `{other}`");
            problems.push(
                kind.problem(CODE_TYPE, message)
                    .help("`float` for Float and Double, `integer` for all integers and Boolean"),
            );
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
            format!("read every {:?}", device.poll)
        };
        format!("{id}: {url} ({security}), {how}, points {points}, with history {history}")
    };
    plan.devices.iter().enumerate().map(of_device).collect()
}

#[cfg(test)]
mod tests;
