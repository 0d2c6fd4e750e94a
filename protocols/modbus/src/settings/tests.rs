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
    let tcp = port("address = \"tcp://a\"").unwrap().link;
    let serial = port("path = \"/dev/x\"").unwrap().link;
    let check = |number: u16, link: &Link, good: bool| {
        let mut problems = Problems::default();
        let found = unit(table(&format!("unit = {number}")), Some(link), &mut problems);
        assert_eq!(found.is_some(), good, "{number}");
        assert_eq!(problems.is_fatal(), !good, "{number}");
    };
    for link in [&tcp, &serial] {
        check(1, link, true);
        check(247, link, true);
        check(248, link, false);
        check(256, link, false);
    }
    check(0, &tcp, true);
    check(255, &tcp, true);
    check(0, &serial, false);
    check(255, &serial, false);
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
    check("registers_per_request_max = 3", "GW-C063");
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
