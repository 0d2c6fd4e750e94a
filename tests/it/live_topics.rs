//! What a subscriber finds on the live topics after a restart of the centre or of its broker. Must never read our own
//! messages with our own code.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::ours::centre::Centre;
use tests::ours::gateway::Gateway;
use tests::ours::one_meter::{self, LIVE_TOPIC, registers};
use tests::peers::broker::Mosquitto;
use tests::peers::free_tcp_port;
use tests::peers::modbus::ModbusServer;
use tests::wait::wait_until;

const SOON: Duration = Duration::from_secs(30);
const STALE: &str =
    r#""v":700.00,"exact":"700.00","unit":"kWh","q":"UncertainLastUsableValue","stale":true"#;

/// A gateway that delivers a value that stands still.
fn delivering(folder: &Path, uplink: &str) -> (ModbusServer, Gateway) {
    let server = ModbusServer::tcp(folder, &registers(70_000)).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let settings = one_meter::modbus_settings(folder, &port, uplink).unwrap();
    let mut gateway = Gateway::start(folder, &settings).unwrap();
    gateway
        .wait_for_status("a sample", SOON, |status| status["points"][0]["value"].is_string())
        .unwrap();
    gateway.wait_until_committed(SOON).unwrap();
    (server, gateway)
}

/// One that did, and was stopped.
fn delivered(folder: &Path, uplink: &str) -> (ModbusServer, Gateway) {
    let (server, mut gateway) = delivering(folder, uplink);
    gateway.terminate().unwrap();
    (server, gateway)
}

/// What is retained below `v1`, by another program, until it is the four topics of a gateway with one meter.
fn wait_for_topics(tcp_port: u16, value: &str) {
    let topics = [LIVE_TOPIC, "meter/$meta", "gw-1/$state", "gw-1/$durable"];
    let mut found = String::new();
    let waited = wait_until("the topics of the plant", SOON, || {
        let output = Command::new("mosquitto_sub")
            .args(["-p", &tcp_port.to_string(), "-v", "-t", "v1/#", "--retained-only", "-W", "1"])
            .output()?;
        found = String::from_utf8(output.stdout)?;
        Ok(topics.iter().all(|topic| found.contains(topic)) && found.contains(value))
    });
    assert!(waited.is_ok(), "{found}");
}

/// Trial int-02: after a restart of the centre the topics of points that stand still were gone until they changed.
#[test]
fn a_restart_of_the_centre_fills_the_topics_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let tcp_port = free_tcp_port().unwrap();
    let mut centre = Centre::start(folder.path(), &format!("tcp_port = {tcp_port}")).unwrap();
    let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
    let (_server, mut gateway) = delivered(folder.path(), &uplink);
    centre.terminate().unwrap();
    centre.start_again().unwrap();
    wait_for_topics(tcp_port, STALE);
    // As soon as the gateway is there its value is a good one again.
    gateway.start_again().unwrap();
    wait_for_topics(tcp_port, r#""q":"Good""#);
    centre.kill().unwrap();
    centre.start_again().unwrap();
    wait_for_topics(tcp_port, r#""q":"Good""#);
}

/// Relatives of int-02: a broker that forgets, under a centre that runs on, and together with it.
#[test]
fn a_broker_that_forgot_is_told_everything_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(folder.path()).unwrap();
    let mut centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let _kept = delivered(folder.path(), &format!("url = \"{}\"", broker.url()));
    broker.restart().unwrap();
    wait_for_topics(broker.tcp_port(), STALE);
    centre.terminate().unwrap();
    broker.restart().unwrap();
    centre.start_again().unwrap();
    wait_for_topics(broker.tcp_port(), STALE);
}

/// Trial int-04 at somebody else's broker: its last will says that a gateway was killed.
#[test]
fn a_gateway_that_was_killed_is_offline_by_its_last_will_and_its_values_are_stale() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let _centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let uplink = format!("url = \"{}\"", broker.url());
    let (_server, mut gateway) = delivering(folder.path(), &uplink);
    let states = broker.subscribe("states", "gw/+/state").unwrap();
    wait_for_topics(broker.tcp_port(), r#"{"state":"online""#);
    gateway.kill().unwrap();
    wait_until("the will", SOON, || Ok(states.output()?.contains("gw/gw-1/state offline")))
        .unwrap();
    wait_for_topics(broker.tcp_port(), r#"{"state":"offline""#);
    wait_for_topics(broker.tcp_port(), STALE);
    // It is there again, and a clean end says so itself.
    gateway.start_again().unwrap();
    wait_until("the gateway", SOON, || Ok(states.output()?.contains("gw/gw-1/state online")))
        .unwrap();
    wait_for_topics(broker.tcp_port(), r#"{"state":"online""#);
    gateway.terminate().unwrap();
    wait_for_topics(broker.tcp_port(), r#"{"state":"offline""#);
}

/// A card was copied, or an id was given twice: both say so, and the centre.
#[test]
fn two_gateways_with_one_id_are_told_by_the_centre() {
    let folder = tempfile::tempdir().unwrap();
    let tcp_port = free_tcp_port().unwrap();
    let centre = Centre::start(folder.path(), &format!("tcp_port = {tcp_port}")).unwrap();
    let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
    let mut twins = ["one", "other"].map(|name| {
        let folder = one_meter::subfolder(folder.path(), name).unwrap();
        let server = ModbusServer::tcp(&folder, &registers(70_000)).unwrap();
        let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
        let settings = one_meter::modbus_settings(&folder, &port, &uplink).unwrap();
        (Gateway::start(&folder, &settings).unwrap(), server)
    });
    for (gateway, _) in &mut twins {
        gateway
            .wait_for_status("that it is not alone", SOON, |status| {
                let fault = status["uplink"]["fault"].as_str().unwrap_or_default();
                fault.contains("another gateway sends under the id `gw-1`")
            })
            .unwrap();
    }
    let log = centre.log().unwrap();
    assert_eq!(log.matches("two spools of one gateway send by turns").count(), 1, "{log}");
}
