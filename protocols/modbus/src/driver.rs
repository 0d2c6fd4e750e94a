//! The protocol `modbus`: makes a plan of what is configured, and polls a port until it is stopped. Must never know the
//! spool or MQTT.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::{Problem, Problems, Spanned};
use device_profiles::{DeviceProfile, ProfilePoint};
use driver::{
    DeviceSpec, Plan, PollGroup, Port, PortLink, PortSpec, Protocol, RawKind, Scaling, poll_groups,
    poll_until_stopped,
};
use model::{Decimal, PointIndex, ValueType};

use crate::address::{Address, DataType};
use crate::client::Client;
use crate::codec::Form;
use crate::device::Device;
use crate::plausibility::Meaning;
use crate::request::Point;
use crate::settings::{DeviceKeys, PortSettings, ProfileOptions, device_keys};

const CODE_UNIT_TWICE: &str = "GW-C012";
const CODE_OVERLAP: &str = "GW-C065";
const CODE_HISTORY: &str = "GW-C066";

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

    fn check_profile(&self, profile: &DeviceProfile, problems: &mut Problems) {
        let mut found = Problems::default();
        let options = ProfileOptions::read(profile.options.clone(), &mut found);
        check_overlaps(profile, &options, &mut found);
        problems.append(found);
    }
}

fn plan(port: PortSpec, problems: &mut Problems) -> Option<Plan> {
    let settings = PortSettings::read(port.settings, problems);
    let mut units: HashMap<u8, (String, Spanned<u8>)> = HashMap::new();
    let mut devices = Vec::with_capacity(port.devices.len());
    let (mut value_types, mut intervals) = (Vec::new(), Vec::new());
    let mut summary = Vec::new();
    for spec in port.devices {
        let framing = settings.as_ref().map(|settings| settings.framing);
        let keys = device_keys(spec.settings.clone(), framing, problems);
        if let Some(DeviceKeys { unit, .. }) = &keys {
            check_unit(unit, &spec.id.value, &port.id.value, &mut units, problems);
        }
        let options = ProfileOptions::read(spec.profile.options.clone(), problems);
        check_overlaps(&spec.profile, &options, problems);
        let points = points_of(&spec, &options, problems);
        value_types.extend(points.iter().map(|(point, _)| value_type(point)));
        intervals.extend(points.iter().map(|(point, interval)| (point.index, *interval)));
        let Some(DeviceKeys { unit, reply_unit }) = keys else { continue };
        let id = spec.id.value;
        let device = Device::new(
            id,
            (unit.value, reply_unit),
            &points,
            &options.limits,
            options.request_gap,
            Meaning {
                profile: Arc::clone(&spec.profile),
                order32: options.order(DataType::F32),
                order64: options.order(DataType::F64),
                address_base: options.address_base,
            },
        );
        summary.extend(device.requests().map(|(request, interval)| {
            format!("{}: {request} every {}", device.id, config::written(interval))
        }));
        devices.push(device);
    }
    let groups = poll_groups(devices.iter().map(Device::intervals));
    let settings = settings?;
    let exclusive = settings.exclusive.clone();
    let port = ModbusPort { id: port.id.value, settings, devices, groups };
    Some(Plan { port: Box::new(port), value_types, intervals, summary, exclusive })
}

fn value_type(point: &Point) -> (PointIndex, ValueType) {
    (point.index, point.form.value_type())
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
    let help = "two devices would answer at once: set another id at one of them; one device of two intervals is one \
                `[[device]]` with a `[[device.group]]`";
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
    let mut places: Vec<(Address, &ProfilePoint)> = profile
        .points
        .iter()
        .filter_map(|point| Some((read(point, problems)?, point.as_ref())))
        .collect();
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

/// What is no number has no scale.
fn check_no_scale(profile: &ProfilePoint, form: &Form, problems: &mut Problems) {
    let plain = profile.scale.normalized() == Decimal::ONE
        && profile.offset.normalized() == Decimal::ZERO
        && profile.resolution.is_none();
    if plain || matches!(form, Form::Number(_)) {
        return;
    }
    let message = format!("`{}` is no number, and has no scale", profile.metric);
    let problem = profile.address.problem("GW-C064", message);
    problems.push(problem.help("remove `scale`, `offset` and `resolution`, or read it as `u16`"));
}

fn points_of(
    spec: &DeviceSpec,
    options: &ProfileOptions,
    problems: &mut Problems,
) -> Vec<(Point, Duration)> {
    let read_back: Vec<&driver::PointSpec> =
        spec.points.iter().filter(|point| point.history.is_some()).collect();
    if let Some(first) = read_back.first() {
        let device = &spec.id.value;
        let which = if read_back.len() == spec.points.len() {
            format!("`{device}`")
        } else {
            format!("`{}` of `{device}`", first.profile.metric)
        };
        let message =
            format!("`history`: {which} cannot be read back: Modbus devices give only what is now");
        let help = "remove `history` from this device, or from the point in its profile";
        problems.push(spec.id.problem(CODE_HISTORY, message).help(help));
    }
    // The wanted points stand in the order of the profile.
    let mut places = spec.profile.points.iter();
    let mut point = |point: &driver::PointSpec, problems: &mut Problems| {
        let profile = &point.profile;
        let address = Address::read(profile.address.clone(), &profile.metric, options, problems)?;
        let form = match address.data_type {
            DataType::Bool => Form::Bool,
            DataType::Text => Form::Text,
            number => {
                let kind = if number.is_float() { RawKind::Float } else { RawKind::Integer };
                let scaling = Scaling::new(profile, kind);
                Form::Number(scaling.map_err(|problem: Problem| problems.push(problem)).ok()?)
            }
        };
        check_no_scale(profile, &form, problems);
        let at = places.position(|known| Arc::ptr_eq(known, profile));
        let at = at.and_then(|at| u16::try_from(at).ok()).unwrap_or(u16::MAX);
        Some((Point { index: point.index, address, form, at }, point.poll))
    };
    spec.points.iter().filter_map(|wanted| point(wanted, problems)).collect()
}

#[derive(Clone)]
struct ModbusPort {
    id: String,
    settings: PortSettings,
    devices: Vec<Device>,
    groups: Vec<PollGroup>,
}

#[async_trait]
impl Port for ModbusPort {
    async fn run(self: Box<Self>, link: PortLink) {
        let Self { id, settings, devices, groups } = *self;
        let client = Client::new(id, settings, Arc::clone(&link.clock));
        poll_until_stopped(devices, groups, client, link).await;
    }

    fn again(&self) -> Box<dyn Port> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
