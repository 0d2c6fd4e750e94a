//! The text of the demo's `gateway.toml`.

use std::fmt::Write;

use super::{Links, SITE};
use crate::device::{Device, Link, devices};

/// The whole file.
pub(super) fn text(links: &Links) -> String {
    let mut text = head(links);
    for device in devices() {
        write_device(&mut text, device).expect("a string takes any text");
    }
    text
}

fn head(links: &Links) -> String {
    let Links { uplink, modbus, serial, opcua, certificate } = links;
    format!(
        r#"# What the demo's gateway reads, and where it sends it. 演示用网关配置.
# Copy it for a meter of your own: one [[port]], one [[device]]. `nengliu-gateway check -c gateway.toml` opens nothing.

[gateway]
id = "gw-1"
site = "{SITE}"                   # enterprise/site; every point id begins with it

[uplink]
url = "{uplink}"
user = "gw-1"                          # the centre lets only this gateway send, by its password
password_file = "gw-1.password"

# Modbus TCP: one endpoint, a unit id for each machine behind it.
[[port]]
id = "machines"
protocol = "modbus"
address = "{modbus}"

# Modbus RTU: here a pseudo-terminal, in a plant /dev/ttyS1 or /dev/ttyUSB0.
[[port]]
id = "rs485-1"
protocol = "modbus"
path = "{serial}"
baud = 9600
format = "8N1"

# OPC UA: the meters, with history. The server is known by its certificate.
[[port]]
id = "meters"
protocol = "opcua"
url = "{opcua}"
security = "sign-and-encrypt"
server_certificate = "{certificate}"
"#
    )
}

fn write_device(text: &mut String, device: &Device) -> std::fmt::Result {
    let Device { id, zh, en, place, profile, poll, points, .. } = device;
    writeln!(text, "\n[[device]]\nid = \"{id}\"\nname = {{ zh = \"{zh}\", en = \"{en}\" }}")?;
    match device.link {
        Link::OpcUa => {
            writeln!(text, "port = \"meters\"\nnamespace = \"{}\"", device.namespace())?;
        }
        Link::ModbusTcp(unit) => writeln!(text, "port = \"machines\"\nunit = {unit}")?,
        Link::ModbusRtu(unit) => writeln!(text, "port = \"rs485-1\"\nunit = {unit}")?,
    }
    writeln!(text, "profile = \"{profile}\"\nplace = \"{place}\"\npoll = \"{poll}\"")?;
    if !points.is_empty() {
        let names: Vec<String> = points.iter().map(|point| format!("\"{point}\"")).collect();
        writeln!(text, "points = [{}]", names.join(", "))?;
    }
    if device.link == Link::OpcUa {
        writeln!(text, "history = true\nhistory_from = \"all\"")?;
    }
    Ok(())
}
