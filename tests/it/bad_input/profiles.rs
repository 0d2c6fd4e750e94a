//! Wrong device profiles, read as a gateway that names them reads them. Must never speak to a device.

use std::fs;

use config::Problems;
use gateway::Settings;
use nengliu_gateway::protocols;

use super::told::{Spoiled, Told, relative};

const MODBUS: &str = r#"
maker = "Acme"
model = "EM-3"
protocol = "modbus"

[[source]]
id = "manual"
title = "EM-3 manual, 2019, table 4"

[modbus]
address_base = 0
area = "input"
order32 = "CDAB"

[[point]]
metric = "e_import"
unit = "kWh"
kind = "counter"
modulus = 1000000
scale = 0.1
source = "manual"
register = 40
type = "u32"

[[point]]
metric = "p_total"
unit = "kW"
kind = "gauge"
resolution = 0.001
source = "manual"
register = 42
type = "f32"

[[point]]
metric = "running"
unit = "1"
kind = "state"
unverified = true
area = "coil"
register = 0
"#;

const SHARED: &[Spoiled] = &[
    ("a file that ends in a key", "model = \"EM-3\"", "model ="),
    ("a maker that is missing", "maker = \"Acme\"\n", ""),
    ("a unit with other capitals", "unit = \"kWh\"", "unit = \"KWH\""),
    ("a unit that is not a unit", "unit = \"kWh\"", "unit = \"degrees\""),
    ("a counter in kilowatt", "unit = \"kWh\"", "unit = \"kW\""),
    ("a state in volt", "unit = \"1\"", "unit = \"V\""),
    ("a kind that does not exist", "kind = \"gauge\"", "kind = \"analog\""),
    ("a metric that stands twice", "metric = \"p_total\"", "metric = \"e_import\""),
    ("a metric that is no level of a topic", "metric = \"p_total\"", "metric = \"P total\""),
    ("a modulus of zero", "modulus = 1000000", "modulus = 0"),
    ("a gauge with a modulus", "resolution = 0.001", "modulus = 1000"),
    ("a counter that does not say when it rolls over", "modulus = 1000000\n", ""),
    ("a scale of zero", "scale = 0.1", "scale = 0"),
    ("a scale in words", "scale = 0.1", "scale = \"a tenth\""),
    ("a resolution that is no power of ten", "resolution = 0.001", "resolution = 0.005"),
    ("a resolution coarser than the register", "scale = 0.1", "scale = 0.1\nresolution = 10"),
    ("a fact without its source", "unverified = true\n", ""),
    (
        "a source that is misspelt",
        "scale = 0.1\nsource = \"manual\"",
        "scale = 0.1\nsource = \"manaul\"",
    ),
    ("the section of another protocol", "[modbus]", "[opcua]"),
    ("a key that is misspelt", "scale = 0.1", "skale = 0.1"),
    ("a point that is read too often", "scale = 0.1", "scale = 0.1\npoll = \"1ms\""),
];

const ADDRESSES: &[Spoiled] = &[
    ("registers that overlap", "register = 42", "register = 41"),
    ("a register beyond the last", "register = 42", "register = 65535"),
    ("a register of the manual's numbering", "register = 40\n", "register = 300041\n"),
    ("a register that is missing", "register = 42\n", ""),
    ("an area that does not exist", "area = \"input\"", "area = \"inputs\""),
    ("no area at all", "area = \"input\"\n", ""),
    ("a type that does not exist", "type = \"u32\"", "type = \"uint32\""),
    ("no type at all", "type = \"f32\"\n", ""),
    ("an order with a letter twice", "order32 = \"CDAB\"", "order32 = \"CDAA\""),
    ("an order of too few letters", "type = \"f32\"", "type = \"f32\"\norder = \"AB\""),
    ("a bool without its bit", "area = \"coil\"", "area = \"holding\"\ntype = \"bool\""),
    ("a coil read as a number", "area = \"coil\"", "area = \"coil\"\ntype = \"u16\""),
    ("a bit of a float", "type = \"f32\"", "type = \"f32\"\nbit = 3"),
    (
        "an absent value wider than the register",
        "type = \"f32\"",
        "type = \"f32\"\nabsent = 0x100000000",
    ),
    (
        "absent values of a type that does not exist",
        "address_base = 0",
        "absent = { f16 = 0x8000 }",
    ),
    ("an address base of two", "address_base = 0", "address_base = 2"),
    ("requests that are too long", "address_base = 0", "registers_per_request_max = 200"),
    ("a key of a section that is misspelt", "address_base = 0", "adress_base = 0"),
];

const OPCUA: &str = r#"
maker = "Acme"
model = "press"
protocol = "opcua"
[[point]]
metric = "e_import"
unit = "kWh"
kind = "counter"
modulus = "unknown"
resolution = 0.01
unverified = true
node = "ns=2;s=Press.Energy"
type = "float"
"#;

const NODES: &[Spoiled] = &[
    ("a node that is no node id", "ns=2;s=Press.Energy", "Press.Energy"),
    ("a namespace that is no number", "ns=2;", "ns=two;"),
    ("a node that is missing", "node = \"ns=2;s=Press.Energy\"\n", ""),
    ("a type of another protocol", "type = \"float\"", "type = \"f32\""),
    ("a register of another protocol", "node =", "register = 40\nnode ="),
];

/// The problems of a profile that one device of a gateway names.
fn check(text: &str, port: &str, device: &str) -> Problems {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/acme")).unwrap();
    fs::write(folder.path().join("profiles/acme/em-3.toml"), text).unwrap();
    let gateway = format!(
        "[gateway]\nid = \"gw-1\"\nsite = \"acme/nb-1\"\nprofile_folders = [\"profiles\"]\n\
         [uplink]\nurl = \"mqtt://127.0.0.1\"\n[[port]]\nid = \"port\"\n{port}\n\
         [[device]]\nid = \"meter\"\nport = \"port\"\nprofile = \"acme/em-3\"\n{device}\n"
    );
    let mut problems = Problems::default();
    let settings = Settings::read(&gateway, "gateway.toml", folder.path(), &mut problems);
    let plan = gateway::plan(settings, &protocols(), &mut problems);
    assert_eq!(plan.is_none(), problems.is_fatal(), "{problems}");
    relative(&problems, folder.path())
}

fn modbus(text: &str) -> Problems {
    check(text, "protocol = \"modbus\"\naddress = \"tcp://10.0.0.5\"", "unit = 1")
}

fn opcua(text: &str) -> Problems {
    let port = "protocol = \"opcua\"\nurl = \"opc.tcp://127.0.0.1:4840\"\nsecurity = \"none\"";
    check(text, port, "")
}

#[test]
fn a_profile_that_is_wrong_for_any_protocol() {
    let mut told = Told::new("profile");
    told.spoil(MODBUS, SHARED, modbus);
    told.finish();
}

#[test]
fn a_profile_with_wrong_addresses() {
    let mut told = Told::new("profile_addresses");
    told.spoil(MODBUS, ADDRESSES, modbus);
    told.spoil(OPCUA, NODES, opcua);
    told.finish();
}
