//! A site with one electricity meter, behind Modbus or OPC UA, and the plant file that makes Table 1 of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::centre::Centre;
use super::figures::Figures;
use super::gateway::{self, Gateway};
use crate::peers::opcua::{OpcUaPlant, OpcUaServer};

/// Name of the meter's node on an OPC UA server.
pub const NODE: &str = "meter.energy";
/// Its point.
pub const POINT: &str = "works/plant/meter/e_import";
/// Its live topic.
pub const LIVE_TOPIC: &str = "v1/works/plant/_/_/meter/v/e_import";

/// How the register behind OPC UA is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Whether what the server remembers is read back.
    pub history: bool,
    /// Values in a page.
    pub page: usize,
}

/// A server in `folder/server` that remembers these readings and delays each page of them.
pub fn opcua_server(
    folder: &Path,
    readings: Vec<(i64, String)>,
    page_delay: Duration,
) -> Result<OpcUaServer> {
    let histories = vec![(NODE.to_owned(), readings)];
    serve_opcua(folder, &OpcUaPlant { histories, page_delay, ..OpcUaPlant::default() })
}

/// A server in `folder/server`.
pub fn serve_opcua(folder: &Path, plant: &OpcUaPlant) -> Result<OpcUaServer> {
    OpcUaServer::start(&subfolder(folder, "server")?, plant)
}

/// A new folder in `folder`.
pub fn subfolder(folder: &Path, name: &str) -> Result<PathBuf> {
    let made = folder.join(name);
    fs::create_dir(&made).with_context(|| format!("cannot make `{}`", made.display()))?;
    Ok(made)
}

/// A gateway in `folder` that reads [`NODE`] and that the server lets in; `uplink` are the first keys of `[uplink]`.
pub fn opcua_gateway(
    folder: &Path,
    server: &OpcUaServer,
    uplink: &str,
    reading: Reading,
) -> Result<Gateway> {
    let history = if reading.history { "history = true\nhistory_from = \"all\"\n" } else { "" };
    opcua_gateway_with(folder, server, uplink, reading.page, history)
}

/// As [`opcua_gateway`], with these further keys of the device. Its servers play years that are over, so nothing is said
/// of values that stand still today.
pub fn opcua_gateway_with(
    folder: &Path,
    server: &OpcUaServer,
    uplink: &str,
    page: usize,
    keys: &str,
) -> Result<Gateway> {
    let node =
        format!("node = \"{}\"\ntype = \"float\"\nresolution = 0.01", OpcUaServer::node_id(NODE));
    Gateway::write_profile(folder, "test/meter", &profile("opcua", "", &node))?;
    let settings = format!(
        "{}\n\
         [[port]]\n\
         id = \"plc\"\n\
         protocol = \"opcua\"\n\
         url = \"{}\"\n\
         server_certificate = \"{}\"\n\
         publish_interval = \"50ms\"\n\
         sampling_interval = \"50ms\"\n\
         history_page = {}\n\
         backoff_min = \"10ms\"\n\
         backoff_max = \"200ms\"\n\n\
         [[device]]\n\
         id = \"meter\"\n\
         port = \"plc\"\n\
         profile = \"test/meter\"\n\
         standing = false\n\
         {keys}",
        gateway::head(uplink),
        server.url(),
        server.certificate().display(),
        page,
    );
    let gateway = Gateway::start(folder, &settings)?;
    server.trust(&gateway.opcua_certificate()?)?;
    Ok(gateway)
}

/// A profile of a meter whose register counts 0.01 kWh.
fn profile(protocol: &str, options: &str, place: &str) -> String {
    format!(
        "maker = \"Test\"\n\
         model = \"Meter\"\n\
         protocol = \"{protocol}\"\n\n\
         [[source]]\nid = \"test\"\ntitle = \"the server of this test\"\n\n\
         {options}\n\
         [[point]]\n\
         metric = \"e_import\"\n\
         unit = \"kWh\"\n\
         kind = \"counter\"\n\
         modulus = \"unknown\"\n\
         source = \"test\"\n\
         {place}\n"
    )
}

/// A `gateway.toml` for the meter as unit 1 behind a Modbus port, asked every 50 ms and once each time, so that each
/// request is one sample; `port` are the port's own keys.
pub fn modbus_settings(folder: &Path, port: &str, uplink: &str) -> Result<String> {
    let options = "[modbus]\naddress_base = 0\narea = \"holding\"\n";
    let place = "register = 0\ntype = \"u32\"\nscale = 0.01";
    Gateway::write_profile(folder, "test/meter", &profile("modbus", options, place))?;
    Ok(format!(
        "{}\n\
         [[port]]\n\
         id = \"line\"\n\
         protocol = \"modbus\"\n\
         retries = 0\n\
         {port}\n\n\
         [[device]]\n\
         id = \"meter\"\n\
         port = \"line\"\n\
         profile = \"test/meter\"\n\
         unit = 1\n\
         poll = \"50ms\"\n",
        gateway::head(uplink)
    ))
}

/// The registers of a Modbus meter that shows this count of 0.01 kWh.
#[must_use]
pub fn registers(count: u32) -> Value {
    let words = [count >> 16, count & 0xFFFF];
    json!({ "units": [{ "unit_id": 1, "holding": [{ "address": 0, "words": words }] }] })
}

/// The registers of a Modbus meter that counts by itself.
#[must_use]
pub fn counting_registers() -> Value {
    let counter = json!({ "start": 1_000, "per_second": 10_000, "words": 2 });
    json!({ "units": [{ "unit_id": 1, "holding": [{ "address": 0, "counter": counter }] }] })
}

/// Writes the plant file: the meter is all that the enterprise buys.
pub fn write_plant(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("plant.toml");
    let text = format!(
        "[plant]\n\
         name = \"Works\"\n\
         enterprise = \"works\"\n\
         time_zone = \"Asia/Seoul\"\n\
         rule_set = \"GB/T 2589\"\n\
         edition = \"2020\"\n\n\
         [[energy_kind]]\n\
         id = \"electricity\"\n\
         name = \"电力\"\n\
         unit = \"kWh\"\n\n\
         [[meter]]\n\
         id = \"main\"\n\
         point = \"{POINT}\"\n\
         energy_kind = \"electricity\"\n\
         role = \"incoming\"\n\
         unit = \"kWh\"\n"
    );
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

/// The figures of a plant file and a lake.
#[must_use]
pub fn figures<'a>(plant: &'a Path, lake: &'a Path) -> Figures<'a> {
    Figures { plant, lake: Some(lake) }
}

/// A centre behind an external broker.
pub fn centre(folder: &Path, broker_url: &str) -> Result<Centre> {
    Centre::start(folder, &format!("url = \"{broker_url}\""))
}

/// As [`centre`], with further sections.
pub fn centre_with(folder: &Path, broker_url: &str, sections: &str) -> Result<Centre> {
    Centre::start_with(folder, &format!("url = \"{broker_url}\""), sections)
}
