//! The devices fit the profiles that configuration names for them: metric by metric, register by register.

use std::collections::HashSet;

use config::{Problems, SourceFile, Spanned, Table};
use device_profiles::{DeviceProfile, Library};
use model::PointKind;

use super::*;

fn profile(device: &Device) -> std::sync::Arc<DeviceProfile> {
    let file = SourceFile::new("gateway.toml", device.profile);
    let id = Spanned { value: device.profile.to_owned(), file, span: 0..device.profile.len() };
    let mut problems = Problems::default();
    let profile = Library::default().get(&id, &mut problems);
    assert_eq!(problems.to_string(), "", "{}", device.id);
    profile.unwrap()
}

fn value<T: config::FromToml>(table: &mut Table, key: &'static str) -> Option<T> {
    let mut problems = Problems::default();
    let found = table.optional::<T>(key, &mut problems).map(|found| found.value);
    assert_eq!(problems.to_string(), "", "{key}");
    found
}

/// Points that a gateway reads in the demo.
fn read(device: &Device) -> usize {
    if device.points.is_empty() { device.signals.len() } else { device.points.len() }
}

#[test]
fn every_signal_is_what_its_profile_says() {
    for device in devices() {
        let profile = profile(device);
        let modbus = profile.protocol == "modbus";
        assert_eq!(modbus, device.link != Link::OpcUa, "{}", device.id);
        let default_type: Option<String> = value(&mut profile.options.clone(), "type");
        for signal in device.signals {
            let name = format!("{}.{}", device.id, signal.metric);
            let point = profile.points.iter().find(|point| point.metric == signal.metric);
            let point = point.unwrap_or_else(|| panic!("{name} is not in {}", profile.id));
            assert_eq!(signal.counter, point.kind == PointKind::Counter, "{name}");
            let mut address = point.address.clone();
            if !modbus {
                let node: Option<String> = value(&mut address, "node");
                assert_eq!(node, Some(format!("s={}", signal.metric)), "{name}");
                assert_eq!(
                    point.resolution.unwrap().normalized().exponent,
                    signal.exponent,
                    "{name}"
                );
                continue;
            }
            let coding =
                match value::<String>(&mut address, "type").or(default_type.clone()).as_deref() {
                    Some("u16") => Coding::U16,
                    Some("u32") => Coding::U32,
                    Some("i64") => Coding::I64,
                    Some("f32") => Coding::F32,
                    other => panic!("{name}: {other:?}"),
                };
            let register = value::<u16>(&mut address, "register").unwrap();
            assert_eq!(signal.register, (register, coding), "{name}");
            if coding != Coding::F32 {
                assert_eq!(point.scale.normalized().exponent, signal.exponent, "{name}");
            }
        }
    }
}

#[test]
fn every_point_that_is_read_is_served() {
    for device in devices() {
        let profile = profile(device);
        let wanted: Vec<&str> = if device.points.is_empty() {
            profile.points.iter().map(|point| point.metric.as_str()).collect()
        } else {
            device.points.to_vec()
        };
        for metric in wanted {
            let served = device.signals.iter().any(|signal| signal.metric == metric);
            assert!(served, "{}.{metric}", device.id);
        }
    }
}

#[test]
fn names_and_units_are_unique_and_the_plant_is_of_a_size_to_look_at() {
    let mut ids = HashSet::new();
    let mut links = HashSet::new();
    for device in devices() {
        assert!(ids.insert(device.id), "{}", device.id);
        assert!(device.link == Link::OpcUa || links.insert(format!("{:?}", device.link)));
    }
    let points: usize = devices().map(read).sum();
    assert!((60..=120).contains(&points), "{points} points");
}

#[test]
fn registers_of_a_device_do_not_overlap() {
    for device in devices().filter(|device| device.link != Link::OpcUa) {
        let mut taken = HashSet::new();
        for signal in device.signals {
            let (first, coding) = signal.register;
            for register in first..first + coding.registers() {
                assert!(taken.insert(register), "{}.{}", device.id, signal.metric);
            }
        }
    }
}
