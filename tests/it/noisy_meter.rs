//! A meter that fills a small spool in seconds, for the tests that need one. Must never know what a test does with it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use tests::ours::gateway::Gateway;
use tests::peers::modbus::ModbusServer;

/// Starts the meter, and writes its profile; returns it with the settings of a gateway that begin with `head` and poll it
/// each `poll`.
pub(crate) fn start(folder: &Path, head: &str, poll: &str) -> (ModbusServer, String) {
    let (profile, registers) = registers();
    let server = ModbusServer::tcp(folder, &registers).unwrap();
    Gateway::write_profile(folder, "test/noise", &profile).unwrap();
    let settings = format!(
        "{head}\n\
         [[port]]\nid = \"line\"\nprotocol = \"modbus\"\naddress = \"tcp://127.0.0.1:{}\"\n\n\
         [[device]]\nid = \"noise\"\nport = \"line\"\nprofile = \"test/noise\"\nunit = 1\npoll = \"{poll}\"\n",
        server.tcp_port().unwrap()
    );
    (server, settings)
}

/// Meters enough to fill a spool of three segments of 64 KiB in seconds: noise in every register.
fn registers() -> (String, Value) {
    let mut points = String::new();
    let mut entries = Vec::new();
    for index in 0..60_u64 {
        // Registers that no meter has, so that noise needs all of its bits: `max` says that they are meant.
        let (register, rate) = (index * 4, 1_000_000_007_000_000 + index * 7_919_000_033);
        entries.push(json!({ "address": register,
            "counter": { "start": 0, "per_second": rate, "words": 4 } }));
        write!(
            points,
            "[[point]]\nmetric = \"count_{index}\"\nunit = \"kWh\"\nkind = \"counter\"\nmodulus = \"unknown\"\n\
             max = 9e18\nregister = {register}\ntype = \"i64\"\nsource = \"test\"\n\n"
        )
        .unwrap();
    }
    let profile = format!(
        "maker = \"Test\"\nmodel = \"Noise\"\nprotocol = \"modbus\"\n\n\
         [[source]]\nid = \"test\"\ntitle = \"the server of this test\"\n\n\
         [modbus]\naddress_base = 0\narea = \"holding\"\n\n{points}"
    );
    (profile, json!({ "units": [{ "unit_id": 1, "holding": entries }] }))
}
