//! The keys of a port and of a device, good and bad.

use super::*;
use crate::tests::support::table;

/// The port of these keys, or its problems.
fn port(keys: &str) -> Result<PortSettings, String> {
    let mut problems = Problems::default();
    let port = PortSettings::read(table(keys), &mut problems);
    assert_eq!(port.is_none(), problems.is_fatal(), "{problems}");
    port.ok_or_else(|| problems.to_string())
}

#[test]
fn a_port_is_a_tcp_endpoint_or_a_serial_line() {
    let check = |keys: &str, link: &str| assert_eq!(port(keys).unwrap().link.to_string(), link);
    check("address = \"tcp://10.0.0.5:1502\"", "tcp://10.0.0.5:1502");
    check("address = \"tcp://meter.example\"", "tcp://meter.example:502");
    check("address = \"tcp://[::1]:502\"", "tcp://[::1]:502");
    check("path = \"/dev/ttyS1\"", "/dev/ttyS1 (9600 8N1)");
    let keys = "path = \"/dev/ttyS1\"\nbaud = 19200\nformat = \"8E1\"";
    check(keys, "/dev/ttyS1 (19200 8E1)");
}

#[test]
fn says_what_is_wrong_with_a_port() {
    let check = |keys: &str, start: &str| {
        let problems = port(keys).unwrap_err();
        assert!(problems.starts_with(start), "{problems}");
    };
    check("", "GW-C060 gateway.toml:1:1: this port leads nowhere; add `address = ");
    check("address = \"10.0.0.5\"", "GW-C060 gateway.toml:1:11: `10.0.0.5` is not the address");
    check("address = \"tcp://a:0\"", "GW-C060");
    check("address = \"tcp://a b\"", "GW-C060");
    check(
        "address = \"tcp://a\"\npath = \"/dev/x\"",
        "GW-C060 gateway.toml:1:11: a port is either",
    );
    check(
        "address = \"tcp://a\"\nbaud = 9600",
        "GW-C060 gateway.toml:2:8: a Modbus TCP port has no",
    );
    check(
        "path = \"/dev/x\"\nbaud = 9",
        "GW-C062 gateway.toml:2:8: `baud`: expected 300 to 4000000",
    );
    check("path = \"/dev/x\"\nformat = \"7E1\"", "GW-C062 gateway.toml:2:10: `format`: `7E1`");
    check(
        "path = \"/dev/x\"\ntimeout = \"1ms\"",
        "GW-C060 gateway.toml:2:11: `timeout`: expected 10ms to 1min, found",
    );
    check(
        "path = \"/dev/x\"\nretries = 9",
        "GW-C060 gateway.toml:2:11: `retries`: expected 0 to 5",
    );
    check("path = \"/dev/x\"\npatience = 1", "C004 gateway.toml:2:1: `patience` is not a key");
}

#[test]
fn a_unit_is_what_the_link_allows() {
    let check = |number: u16, framing: Framing, start: &str| {
        let mut problems = Problems::default();
        let keys = device_keys(table(&format!("unit = {number}")), Some(framing), &mut problems);
        assert_eq!(keys.is_none(), problems.is_fatal(), "{number}");
        assert_eq!(keys.map(|keys| keys.reply_unit.into()), keys_of(number, start), "{number}");
        assert!(problems.to_string().starts_with(start), "{number}: {problems}");
    };
    for framing in [Framing::Tcp, Framing::Rtu] {
        check(1, framing, "");
        check(247, framing, "");
        check(256, framing, "C003");
    }
    // 248 to 254 are met at devices that keep them for parts of themselves.
    for number in [0, 248, 254, 255] {
        check(number, Framing::Tcp, "");
    }
    check(0, Framing::Rtu, "GW-C061 gateway.toml:1:8: `unit`: expected 1 to 247, found 0");
    check(254, Framing::Rtu, "GW-C061 gateway.toml:1:8: `unit`: 254 is reserved");
}

/// The unit id of a device that may be read.
fn keys_of(number: u16, problems: &str) -> Option<u16> {
    let fatal =
        problems.starts_with("C003") || problems.contains("nobody") || problems.contains("found 0");
    (!fatal).then_some(number)
}

#[test]
fn a_reply_unit_is_for_modbus_tcp() {
    let keys = "unit = 1\nreply_unit = 0";
    let mut problems = Problems::default();
    let found = device_keys(table(keys), Some(Framing::Tcp), &mut problems).unwrap();
    assert_eq!((found.unit.value, found.reply_unit, problems.0.len()), (1, 0, 0));
    assert!(device_keys(table(keys), Some(Framing::Rtu), &mut problems).is_none());
    assert!(problems.to_string().starts_with("GW-C061 gateway.toml:2:14"), "{problems}");
}

#[test]
fn frames_are_those_of_the_link_unless_stated() {
    let check = |keys: &str, framing| assert_eq!(port(keys).unwrap().framing, framing);
    check("address = \"tcp://a\"", Framing::Tcp);
    check("address = \"tcp://a\"\nframing = \"rtu\"", Framing::Rtu);
    check("path = \"/dev/x\"", Framing::Rtu);
    check("path = \"/dev/x\"\nframing = \"rtu\"", Framing::Rtu);
    let problems = port("path = \"/dev/x\"\nframing = \"tcp\"").unwrap_err();
    assert!(problems.starts_with("GW-C060 gateway.toml:2:11: a serial line"), "{problems}");
    let problems = port("address = \"tcp://a\"\nframing = \"ascii\"").unwrap_err();
    assert!(problems.starts_with("C003"), "{problems}");
    let problems = port("address = \"tcp://a\"\nconnect_pause = \"1min\"").unwrap_err();
    assert!(problems.starts_with("GW-C060"), "{problems}");
}

#[test]
fn the_wire_takes_its_time() {
    let serial = port("path = \"/dev/x\"\nbaud = 9600").unwrap().link;
    // 255 characters of 11 bits at 9600 Bd.
    assert_eq!(serial.wire_time(255).as_millis(), 292);
    assert_eq!(port("address = \"tcp://a\"").unwrap().link.wire_time(255), Duration::ZERO);
}

#[test]
fn a_profile_states_limits_that_the_protocol_has() {
    let check = |keys: &str, expected: &str| {
        let mut problems = Problems::default();
        let _ = ProfileOptions::read(table(keys), &mut problems);
        assert!(problems.to_string().starts_with(expected), "{problems}");
    };
    check(
        "registers_per_request_max = 126",
        "GW-C063 gateway.toml:1:29: `registers_per_request_max`",
    );
    check(
        "registers_per_request_max = 3",
        "GW-C063 gateway.toml:1:29: `registers_per_request_max`: expected 4 to 125, found 3; with fewer",
    );
    check("bits_per_request_max = 2001", "GW-C063");
    check(
        "address_base = 2",
        "GW-C063 gateway.toml:1:16: `address_base`: expected 0 or 1, found 2",
    );
    check("order32 = \"AB\"", "GW-C063 gateway.toml:1:11: `order32`: expected 4 letters");
    check("order32 = \"ABCA\"", "C003");
    check("area = \"inputs\"", "C003");
    check("holes = 3", "C004");
    check("registers_per_request_max = 125\norder64 = \"HGFEDCBA\"\narea = \"coil\"", "");
}
