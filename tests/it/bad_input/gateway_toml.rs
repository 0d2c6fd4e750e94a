//! Wrong `gateway.toml` files. Must never open a port.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use config::Problems;
use gateway::Settings;
use nengliu_gateway::protocols;

use super::told::{Spoiled, Told, relative};

const GOOD: &str = r#"
[gateway]
id = "gw-1"
site = "acme/nb-1"
profile_folders = ["profiles"]

[spool]
quota = "64 MiB"
segment = "4 MiB"

[uplink]
url = "mqtt://127.0.0.1:1883"

[[port]]
id = "rs485-1"
protocol = "modbus"
path = "/dev/ttyS1"
baud = 9600

[[port]]
id = "plc"
protocol = "opcua"
url = "opc.tcp://127.0.0.1:4840/"
security = "none"

[[device]]
id = "comp-1"
port = "rs485-1"
profile = "eastron/sdm630"
unit = 3
poll = "5s"
points = ["e_import", "p_total"]

[[device]]
id = "comp-2"
name = { zh = "空压机2号" }
port = "rs485-1"
profile = "eastron/sdm630"
unit = 4

[[device]]
id = "press"
place = "forge/line-2"
port = "plc"
profile = "acme/press"
history = true
history_from = "all"
"#;

/// A profile of the user, read by OPC UA.
const PRESS: &str = r#"
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

const FORM: &[Spoiled] = &[
    ("a text without its closing quote", "id = \"gw-1\"", "id = \"gw-1"),
    ("a key that stands twice", "unit = 3", "unit = 3\nunit = 5"),
    ("a section that is missing", "[uplink]\nurl = \"mqtt://127.0.0.1:1883\"\n", ""),
    ("a section that is misspelt", "[spool]", "[spol]"),
    ("a key that is misspelt", "segment =", "segmet ="),
    ("a key that is like none", "quota =", "colour ="),
    ("a key that is missing", "site = \"acme/nb-1\"\n", ""),
    ("a number where a text belongs", "url = \"mqtt://127.0.0.1:1883\"", "url = 1883"),
    ("a text where a number belongs", "baud = 9600", "baud = \"9600\""),
    ("a number out of range", "unit = 4", "unit = 300"),
    ("a duration without its unit", "poll = \"5s\"", "poll = 5"),
    ("a duration in words", "poll = \"5s\"", "poll = \"5 seconds\""),
    ("a size in units of a thousand", "quota = \"64 MiB\"", "quota = \"64 MB\""),
    ("a list with a number in it", "[\"e_import\", \"p_total\"]", "[\"e_import\", 7]"),
    ("one pair of brackets too few", "[[port]]\nid = \"plc\"", "[port]\nid = \"plc\""),
    ("one pair of brackets too many", "[spool]", "[[spool]]"),
];

const MEANING: &[Spoiled] = &[
    ("a gateway's id with capitals", "id = \"gw-1\"", "id = \"GW 1\""),
    ("a device's id in Chinese", "id = \"comp-1\"", "id = \"空压机1号\""),
    ("a site without its enterprise", "site = \"acme/nb-1\"", "site = \"nb-1\""),
    ("a place of three levels", "place = \"forge/line-2\"", "place = \"forge/line-2/press\""),
    ("a quota of one segment", "quota = \"64 MiB\"", "quota = \"4 MiB\""),
    ("a port that is defined twice", "id = \"plc\"", "id = \"rs485-1\""),
    ("a device that is defined twice", "id = \"comp-2\"", "id = \"comp-1\""),
    ("a port that is misspelt", "port = \"plc\"", "port = \"pcl\""),
    ("a port that is not there", "port = \"plc\"", "port = \"ethernet\""),
    (
        "a port without a device",
        "port = \"plc\"\nprofile = \"acme/press\"\nhistory = true\nhistory_from = \"all\"",
        "port = \"rs485-1\"\nunit = 9\nprofile = \"eastron/sdm630\"",
    ),
    ("a protocol that is misspelt", "protocol = \"opcua\"", "protocol = \"opc-ua\""),
    ("a protocol that is not spoken", "protocol = \"modbus\"", "protocol = \"profinet\""),
    ("a profile that is misspelt", "profile = \"acme/press\"", "profile = \"acme/pres\""),
    ("a profile without its maker", "profile = \"acme/press\"", "profile = \"press\""),
    ("a profile of another protocol", "profile = \"acme/press\"", "profile = \"eastron/sdm630\""),
    ("a point that is misspelt", "\"p_total\"]", "\"p_totl\"]"),
    ("a point that the profile has not", "\"e_import\", \"p_total\"", "\"temperature\""),
    ("a poll interval that is too short", "poll = \"5s\"", "poll = \"1ms\""),
    (
        "a group of a point that is not read",
        "points = [\"e_import\", \"p_total\"]",
        "points = [\"e_import\"]\n[[device.group]]\npoints = [\"p_total\"]\npoll = \"1min\"",
    ),
    (
        "a point in two groups",
        "unit = 4",
        "unit = 4\n[[device.group]]\npoints = [\"f\"]\npoll = \"1min\"\n\
         [[device.group]]\npoints = [\"f\"]\npoll = \"1h\"",
    ),
    ("a group without its interval", "unit = 4", "unit = 4\n[[device.group]]\npoints = [\"f\"]"),
    ("a time without its offset", "history_from = \"all\"", "history_from = 2018-01-01T00:00:00"),
    ("a start of history without history", "history = true\n", ""),
    ("a broker's address without its scheme", "\"mqtt://127.0.0.1:1883\"", "\"127.0.0.1:1883\""),
    ("a user without a password", "[uplink]", "[uplink]\nuser = \"gw-1\""),
    ("a segment that is too small", "segment = \"4 MiB\"", "segment = \"16 KiB\""),
    ("a segment that is too large", "segment = \"4 MiB\"", "segment = \"1 GiB\""),
    ("a segment between two blocks", "segment = \"4 MiB\"", "segment = \"4097 KiB\""),
    ("a commit at every moment", "[spool]", "[spool]\ncommit_interval = \"0s\""),
    ("an uplink that sends again at once", "[uplink]", "[uplink]\nresend_after = \"0s\""),
    ("an uplink that connects again at once", "[uplink]", "[uplink]\nbackoff_max = \"0s\""),
    ("a TCP port of the broker that does not exist", "127.0.0.1:1883", "127.0.0.1:188300"),
    ("a broker's address without a host", "mqtt://127.0.0.1:1883", "mqtt://"),
    (
        "a broker's certificate that is not there",
        "url = \"mqtt://127.0.0.1:1883\"",
        "url = \"mqtts://broker.example\"\nca_file = \"ca.pem\"",
    ),
    (
        "a broker's certificate that is none",
        "url = \"mqtt://127.0.0.1:1883\"",
        "url = \"mqtts://broker.example\"\nca_file = \"profiles/acme/press.toml\"",
    ),
    (
        "a broker's password file that is not there",
        "[uplink]",
        "[uplink]\nuser = \"gw-1\"\npassword_file = \"secret\"",
    ),
];

const PROTOCOLS: &[Spoiled] = &[
    ("two devices with one unit id", "unit = 4", "unit = 3"),
    ("a unit id that is reserved", "unit = 4", "unit = 248"),
    ("a device without a unit id", "unit = 4\n", ""),
    ("a Modbus port that leads nowhere", "path = \"/dev/ttyS1\"\nbaud = 9600\n", ""),
    ("a Modbus port that leads to two places", "path =", "address = \"tcp://10.0.0.5\"\npath ="),
    (
        "an address without its scheme",
        "path = \"/dev/ttyS1\"\nbaud = 9600",
        "address = \"10.0.0.5:502\"",
    ),
    ("a baud rate over TCP", "path = \"/dev/ttyS1\"", "address = \"tcp://10.0.0.5:502\""),
    ("a format with seven bits", "baud = 9600", "baud = 9600\nformat = \"7E1\""),
    ("a baud rate that no line has", "baud = 9600", "baud = 96"),
    ("a time-out of an hour", "baud = 9600", "baud = 9600\ntimeout = \"1h\""),
    ("a hundred retries", "baud = 9600", "baud = 9600\nretries = 100"),
    ("frames that a serial line has not", "baud = 9600", "baud = 9600\nframing = \"tcp\""),
    ("a framing that does not exist", "baud = 9600", "baud = 9600\nframing = \"ascii\""),
    ("a pause of an hour after connecting", "baud = 9600", "connect_pause = \"1h\""),
    ("a unit id that nobody answers", "unit = 4", "unit = 0"),
    ("a unit id of the reply on a serial line", "unit = 4", "unit = 4\nreply_unit = 0"),
    (
        "two ports on one serial line",
        "[[port]]\nid = \"plc\"",
        "[[port]]\nid = \"rs485-2\"\nprotocol = \"modbus\"\npath = \"/dev/ttyS1\"\n\
         [[port]]\nid = \"plc\"",
    ),
    ("a key of another protocol", "baud = 9600", "baud = 9600\nsecurity = \"none\""),
    ("history of a Modbus device", "unit = 4", "unit = 4\nhistory = true"),
    ("an OPC UA address of the web", "opc.tcp://127.0.0.1:4840/", "https://127.0.0.1/"),
    ("a security that does not exist", "security = \"none\"", "security = \"sign\""),
    ("no security over a network", "opc.tcp://127.0.0.1:4840/", "opc.tcp://10.0.0.7:4840/"),
    (
        "a password over a network without security",
        "url = \"opc.tcp://127.0.0.1:4840/\"",
        "url = \"opc.tcp://10.0.0.7/\"\nuser = \"li\"\npassword_file = \"FOLDER/password\"",
    ),
    (
        "a password in the address of a server",
        "opc.tcp://127.0.0.1:4840/",
        "opc.tcp://li:hunter2@127.0.0.1:4840/",
    ),
    (
        "an OPC UA user without a password",
        "security = \"none\"",
        "security = \"none\"\nuser = \"li\"",
    ),
    (
        "a password file that is not there",
        "security = \"none\"",
        "security = \"none\"\nuser = \"li\"\npassword_file = \"password\"",
    ),
    ("a fingerprint that is cut", "security = \"none\"", "server_fingerprint = \"sha256:1f3a\""),
    (
        "trust in any server of a network",
        "url = \"opc.tcp://127.0.0.1:4840/\"\nsecurity = \"none\"",
        "url = \"opc.tcp://10.0.0.7/\"\ntrust_any_server = true",
    ),
    (
        "a page of history that is too long",
        "security = \"none\"",
        "security = \"none\"\nhistory_page = 5000",
    ),
    (
        "a namespace without a name",
        "profile = \"acme/press\"",
        "profile = \"acme/press\"\nnamespace = \"\"",
    ),
];

/// The problems of a file, as `nengliu-gateway check` finds them; `FOLDER` in it is that of the file.
fn check(text: &str, folder: &Path) -> Problems {
    let mut problems = Problems::default();
    let text = text.replace("FOLDER", folder.to_str().unwrap());
    let settings = Settings::read(&text, "gateway.toml", folder, &mut problems);
    let plan = gateway::plan(settings, &protocols(), &mut problems);
    assert_eq!(plan.is_none(), problems.is_fatal(), "{problems}");
    relative(&problems, folder)
}

fn tell(table: &'static str, ways: &[Spoiled]) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/acme")).unwrap();
    fs::write(folder.path().join("profiles/acme/press.toml"), PRESS).unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "secret\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let mut told = Told::new(table);
    told.spoil(GOOD, ways, |text| check(text, folder.path()));
    told.finish();
}

#[test]
fn a_gateway_file_of_a_wrong_form() {
    tell("gateway_form", FORM);
}

#[test]
fn a_gateway_file_that_means_nothing() {
    tell("gateway_meaning", MEANING);
}

#[test]
fn keys_of_protocols_that_are_wrong() {
    tell("gateway_protocols", PROTOCOLS);
}

/// A technician corrects a file once, not once per mistake; and two devices of one profile share its mistakes.
#[test]
fn all_problems_of_all_files_come_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/acme")).unwrap();
    let press = PRESS.replace("\"kWh\"", "\"kwh\"").replace("ns=2;s=", "Press/");
    fs::write(folder.path().join("profiles/acme/press.toml"), press).unwrap();
    let text = GOOD
        .replace("\"64 MiB\"", "\"64 MB\"")
        .replace("\"mqtt://", "\"")
        .replace("unit = 4", "unit = 3")
        .replace("port = \"plc\"", "port = \"plc\"\nsampling = \"1s\"")
        + "[[device]]\nid = \"press-2\"\nport = \"plc\"\nprofile = \"acme/press\"\n";
    let problems = check(&text, folder.path());
    let mut told = Told::new("gateway_many");
    told.problems("five mistakes in two files", "", &problems);
    told.finish();
}
