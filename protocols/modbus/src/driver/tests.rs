//! The driver against peers that answer well, late, wrongly or not at all: never a wrong value.

use std::fmt::Write;
use std::path::PathBuf;

use device_profiles::Library;

use super::*;
use crate::tests::support::{TestDevice, planned, port_spec};

const HEAD: &str = "maker = \"m\"\nmodel = \"m\"\nprotocol = \"modbus\"\n";
const PORT: &str = "address = \"tcp://10.0.0.5\"";

fn profile(options: &str, points: &[&str]) -> String {
    let mut text = format!("{HEAD}[modbus]\n{options}\n");
    for (at, keys) in points.iter().enumerate() {
        let head = "unit = \"V\"\nkind = \"gauge\"\nunverified = true";
        writeln!(text, "[[point]]\nmetric = \"m{at}\"\n{head}\n{keys}").unwrap();
    }
    text
}

fn device<'a>(id: &'a str, keys: &'a str, profile: &'a str) -> TestDevice<'a> {
    TestDevice { id, keys, profile, poll: Duration::from_secs(1) }
}

/// The problems of a port with these devices.
fn problems_of(devices: &[TestDevice<'_>]) -> String {
    let mut problems = Problems::default();
    let plan = Modbus.plan(port_spec(PORT, devices), &mut problems);
    assert_eq!(plan.is_none(), problems.is_fatal(), "{problems}");
    problems.to_string()
}

/// The problems of one device whose points have these keys.
fn check(options: &str, points: &[&str], expected: &str) {
    let text = profile(options, points);
    let found = problems_of(&[device("d", "unit = 1", &text)]);
    if expected.is_empty() {
        assert_eq!(found, "");
    } else {
        assert!(found.contains(expected), "expected {expected:?} in:\n{found}");
    }
}

#[test]
fn says_what_is_wrong_with_an_address() {
    let input = "area = \"input\"\ntype = \"u16\"";
    check(input, &["register = 0", "register = 65535"], "");
    check(
        input,
        &["register = 65536"],
        "GW-C064 profile.toml:12:12: `m0`: register 65536 does not exist",
    );
    check(input, &["register = 65535\ntype = \"u32\""], "GW-C064");
    check("address_base = 1\narea = \"input\"\ntype = \"u16\"", &["register = 0"], "GW-C064");
    check("address_base = 1\narea = \"input\"\ntype = \"u16\"", &["register = 65536"], "");
    check("type = \"u16\"", &["register = 0"], "`m0` does not say which area");
    check("area = \"input\"", &["register = 0"], "`m0` does not say how it is coded");
    check(input, &[""], "C002");
    check(input, &["register = 0\ntypo = 1"], "C004");
    check(input, &["register = 0\ntype = \"bool\""], "which one is meant?");
    check(input, &["register = 0\ntype = \"bool\"\nbit = 16"], "bit `16` cannot be taken here");
    check(input, &["register = 0\nbit = 1"], "bit `1` cannot be taken here");
    check(input, &["register = 0\norder = \"ABCD\""], "expected an order of 2 letters, found 4");
    check("area = \"coil\"", &["register = 0\ntype = \"u16\""], "a coil holds one bit");
    check("area = \"coil\"", &["register = 0"], "");
    check(input, &["register = 0\ntype = \"text\"\nlength = 10"], "");
    check(input, &["register = 0\ntype = \"text\""], "`m0` does not say how long the text is");
    check(input, &["register = 0\ntype = \"text\"\nlength = 126"], "length `126` cannot be taken");
    check(input, &["register = 0\nlength = 2"], "length `2` cannot be taken here");
    check(input, &["register = 65530\ntype = \"text\"\nlength = 10"], "do not exist");
    let text = "register = 0\ntype = \"text\"\nlength = 2";
    check(input, &[text, "register = 1"], "GW-C065");
    check(input, &["register = 0\ntype = \"text\"\nlength = 1\nscale = 2"], "is no number");
    let f32_absent = "register = 0\ntype = \"f32\"\nabsent = ";
    check(input, &[&format!("{f32_absent}0x80008000")], "");
    check(input, &[&format!("{f32_absent}[0x80008000, 0x7FC00000]")], "");
    check(input, &[&format!("{f32_absent}0x180008000")], "`absent` cannot be taken here");
    check(input, &[&format!("{f32_absent}[1, 2, 3, 4, 5]")], "`absent` cannot be taken here");
    check(input, &["register = 0\nabsent = -32768"], "");
    check(input, &["register = 0\nabsent = 0x8000"], "");
    check(input, &["register = 0\nabsent = -32769"], "`absent` cannot be taken here");
    check("area = \"coil\"", &["register = 0\nabsent = 1"], "`absent` cannot be taken here");
    let of_types = "area = \"input\"\ntype = \"f32\"\nabsent = { f32 = 0x80008000 }";
    check(of_types, &["register = 0"], "");
    let of_types = "area = \"input\"\ntype = \"f32\"\nabsent = { u16 = 65536 }";
    check(of_types, &["register = 0"], "GW-C063");
    let of_types = "area = \"input\"\ntype = \"f32\"\nabsent = { u24 = 1 }";
    check(of_types, &["register = 0"], "C004");
}

#[test]
fn points_that_overlap_cannot_both_be_right() {
    let input = "area = \"input\"\ntype = \"f32\"";
    let text = "GW-C065 profile.toml:13:1: `m0` and `m1` overlap in the input area: m0 takes 10 to 11, \
                m1 begins at 11";
    check(input, &["register = 10", "register = 11"], text);
    check(input, &["register = 10", "register = 10\ntype = \"u16\""], "overlap");
    check(input, &["register = 10", "register = 11\narea = \"holding\""], "");
    let bit = "register = 10\ntype = \"bool\"\nbit = 0";
    check(input, &[bit, "register = 10\ntype = \"bool\"\nbit = 1"], "");
}

#[test]
fn two_devices_of_one_unit_are_both_named() {
    let text = profile("area = \"input\"\ntype = \"u16\"", &["register = 0"]);
    let devices = [device("comp-1", "unit = 3", &text), device("fan-2", "unit = 3", &text)];
    let found = problems_of(&devices);
    assert!(found.contains("here `comp-1`, and below `fan-2`"), "{found}");
    assert!(found.contains("here `fan-2`, and above `comp-1`"), "{found}");
    assert_eq!(found.matches("GW-C012 gateway.toml:1:8").count(), 2);
}

#[test]
fn a_profile_of_many_devices_is_blamed_once() {
    let text = profile("area = \"input\"\ntype = \"u16\"", &["register = 65536"]);
    let found = problems_of(&[device("a", "unit = 1", &text), device("b", "unit = 2", &text)]);
    assert_eq!(found.matches("GW-C064").count(), 1, "{found}");
}

#[test]
fn reading_back_is_refused() {
    let text = profile("area = \"input\"\ntype = \"u16\"", &["register = 0"]);
    let mut spec = port_spec(PORT, &[device("d", "unit = 1", &text)]);
    spec.devices[0].points[0].history = Some(driver::HistoryFrom::All);
    let mut problems = Problems::default();
    assert!(Modbus.plan(spec, &mut problems).is_none());
    assert!(problems.to_string().contains("GW-C066"), "{problems}");
}

#[test]
fn the_plan_says_what_is_asked_how_often() {
    let text = profile("area = \"input\"\ntype = \"f32\"", &["register = 0", "register = 52"]);
    let spec = port_spec(PORT, &[device("comp-1", "unit = 1", &text)]);
    let plan = planned(spec);
    let expected = ["comp-1: input 0..=1 every 1s", "comp-1: input 52..=53 every 1s"];
    assert_eq!(plan.summary, expected);
    let expected = [(PointIndex(0), ValueType::Float), (PointIndex(1), ValueType::Float)];
    assert_eq!(plan.value_types, expected);
    let second = Duration::from_secs(1);
    assert_eq!(plan.intervals, [(PointIndex(0), second), (PointIndex(1), second)]);
}

#[test]
fn every_modbus_profile_of_the_library_can_be_planned() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../device-profiles");
    let mut planned_count = 0;
    for id in Library::default().ids() {
        let file = Library::default().text(&id).unwrap().unwrap();
        if !file.text.contains("protocol = \"modbus\"") {
            continue;
        }
        assert!(folder.join(format!("{id}.toml")).exists());
        assert_eq!(problems_of(&[device("d", "unit = 1", &file.text)]), "", "{id}");
        planned_count += 1;
    }
    assert!(planned_count >= 3, "{planned_count}");
}
