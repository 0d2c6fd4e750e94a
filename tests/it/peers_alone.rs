//! Each independent peer against a client that is not ours either: when one of these fails, the machine or the peer is at
//! fault, not our programs. Must never start a program of ours.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::{BAUD, ModbusServer};
use tests::peers::opcua::{LiveNode, OpcUaPlant, OpcUaServer};
use tests::peers::serial::SerialLine;
use tests::peers::{lake, python};
use tests::process::Process;
use tests::steel::SteelYear;
use tests::wait::wait_until;
use tests::wire::Wire;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn mosquitto_passes_a_message_and_forgets_all_when_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(folder.path()).unwrap();
    let mut subscriber = broker.subscribe("subscriber", "site/#").unwrap();
    // Subscribed when the first message comes through; publish until then.
    let heard = |process: &Process| {
        broker.publish("site/a", "1", false)?;
        Ok(process.output()?.contains("site/a 1\n"))
    };
    subscriber.wait_until("a message", SOON, heard).unwrap();

    broker.publish("site/kept", "7", true).unwrap();
    assert_eq!(broker.retained("site/#").unwrap(), ["site/kept 7"]);
    let tcp_port = broker.tcp_port();
    broker.restart().unwrap();
    assert_eq!(broker.tcp_port(), tcp_port);
    assert_eq!(broker.retained("site/#").unwrap(), Vec::<String>::new());
}

#[test]
fn a_secure_mosquitto_lets_in_only_whom_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start_secure(folder.path()).unwrap();
    broker.publish("site/a", "1", true).unwrap();
    assert_eq!(broker.retained("site/#").unwrap(), ["site/a 1"]);

    let mut stranger = std::process::Command::new("mosquitto_pub");
    stranger.args(["-h", "127.0.0.1", "-p", &broker.tcp_port().to_string(), "--cafile"]);
    stranger.arg(broker.authority()).args(["-t", "site/a", "-m", "2"]);
    let output = stranger.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("not authorised"), "{said}");
}

#[test]
fn a_wire_that_is_cut_breaks_connections_until_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let server = ModbusServer::tcp(folder.path(), &registers(7)).unwrap();
    let wire = Wire::to(server.tcp_port().unwrap()).unwrap();
    let tcp_port = wire.tcp_port().to_string();
    let read = || ModbusServer::probe(&["--tcp-port", &tcp_port], 1, "holding", 0, 1);
    assert_eq!(read().unwrap(), json!({ "words": [7] }));
    wire.cut();
    read().unwrap_err();
    wire.mend();
    assert_eq!(read().unwrap(), json!({ "words": [7] }));
}

fn registers(first: u16) -> Value {
    json!({ "units": [{
        "unit_id": 1,
        "holding": [
            { "address": 0, "words": [first, 8] },
            { "address": 10, "float": 230.5 },
            { "address": 20, "counter": { "start": 70_000, "per_second": 1000, "words": 2 } },
        ],
        "input": [{ "address": 5, "words": [42] }],
    }]})
}

/// What any server of `registers` answers to pymodbus's client.
fn check_registers(server: &ModbusServer, at: &[&str]) {
    let words = |area: &str, address: u16, count: u16| {
        ModbusServer::probe(at, 1, area, address, count).unwrap()
    };
    assert_eq!(words("holding", 0, 2), json!({ "words": [7, 8] }));
    // IEEE 754: 230.5 = 0x43668000.
    assert_eq!(words("holding", 10, 2), json!({ "words": [0x4366, 0x8000] }));
    assert_eq!(words("input", 5, 1), json!({ "words": [42] }));
    // Modbus Application Protocol 1.1b3, section 7: exception 02 is an illegal data address.
    assert_eq!(words("holding", 3, 1), json!({ "exception_code": 2 }));
    let counter = || {
        let answer = words("holding", 20, 2);
        answer["words"][0].as_u64().unwrap() * 65_536 + answer["words"][1].as_u64().unwrap()
    };
    let earlier = counter();
    assert!(earlier >= 70_000, "the counter starts at 70000, found {earlier}");
    assert!(counter() > earlier, "the counter grows");
    wait_until("the count of requests", SOON, || Ok(server.requests()? >= 5)).unwrap();
    server.set_registers(&registers(9)).unwrap();
    assert_eq!(words("holding", 0, 2), json!({ "words": [9, 8] }));
}

#[test]
fn pymodbus_serves_registers_and_counters_over_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ModbusServer::tcp(folder.path(), &registers(7)).unwrap();
    let tcp_port = server.tcp_port().unwrap().to_string();
    check_registers(&server, &["--tcp-port", &tcp_port]);

    server.set_registers(&registers(7)).unwrap();
    server.restart().unwrap();
    let answer = ModbusServer::probe(&["--tcp-port", &tcp_port], 1, "holding", 0, 1).unwrap();
    assert_eq!(answer, json!({ "words": [7] }));
}

#[test]
fn pymodbus_serves_registers_over_a_serial_line() {
    let folder = tempfile::tempdir().unwrap();
    let line = SerialLine::start(folder.path()).unwrap();
    let server = ModbusServer::rtu(folder.path(), &line, &registers(7)).unwrap();
    let (serial, baud) = (line.master_end.display().to_string(), BAUD.to_string());
    check_registers(&server, &["--serial", &serial, "--baud", &baud]);
}

#[test]
fn asyncua_serves_the_steel_year_from_its_history() {
    let test = "peers_alone::asyncua_serves_the_steel_year_from_its_history";
    let Some(year) = SteelYear::load_or_skip(test).unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plant = OpcUaPlant {
        histories: vec![("meter.energy".to_owned(), year.history())],
        ..OpcUaPlant::default()
    };
    let server = OpcUaServer::start(folder.path(), &plant).unwrap();
    let answer = server.probe("opcua-history", "meter.energy").unwrap();
    assert_eq!(answer["count"], 35_041);
    // The first two and the last two readings; 2018 in Seoul is nine hours early in UTC.
    assert_eq!(answer["times_ms"][0], 1_514_732_400_000_i64);
    assert_eq!(answer["times_ms"][3], 1_546_268_400_000_i64);
    assert_eq!(answer["values"][0], 0.0);
    assert_eq!(answer["values"][1], 3.17);
    assert_eq!(answer["values"][3], 959_636.71);
    // 35 041 values by pages of 1 000 that overlap in one, and a last one that brings nothing new.
    assert_eq!(server.pages().unwrap().len(), 37);
}

#[test]
fn asyncua_refuses_a_client_that_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let server = OpcUaServer::start(folder.path(), &OpcUaPlant::default()).unwrap();
    let mut command = python::script("probe.py").unwrap();
    command.args(["opcua-history", "--node", "i=2258", "--pki"]).arg(folder.path().join("unknown"));
    command.args(["--port", &server.tcp_port().to_string()]);
    let refused = python::json(&mut command).unwrap_err().to_string();
    assert!(refused.contains("BadCertificateUntrusted"), "{refused}");
}

#[test]
fn asyncua_gives_live_values_that_it_notes() {
    let folder = tempfile::tempdir().unwrap();
    let live = LiveNode {
        id: "meter.live".to_owned(),
        interval: Duration::from_millis(50),
        start: 100,
        step_max: 25,
        scale: 0.01,
        seed: 7,
        historize: false,
        clock: None,
    };
    let plant = OpcUaPlant { live: vec![live], ..OpcUaPlant::default() };
    let server = OpcUaServer::start(folder.path(), &plant).unwrap();
    let answer = server.probe("opcua-subscribe", "meter.live").unwrap();
    let given = server.given("meter.live").unwrap();
    let seen = answer["seen"].as_array().unwrap();
    assert!(seen.len() > 5, "a second of values every 50 ms, found {}", seen.len());
    for pair in seen {
        let (time, value) = (pair[0].as_i64().unwrap(), pair[1].as_f64().unwrap());
        let count = given.iter().find(|(at, _)| *at == time).map(|(_, count)| *count);
        // The server multiplied a whole number by the scale; the nearest double of the decimal is within half a count.
        let near = count.is_some_and(|count| format!("{value:.2}") == tests::steel::kwh(count));
        assert!(near, "{value} at {time} is not what was noted: {count:?}");
    }
}

#[test]
fn deltalake_and_duckdb_read_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    make_table(&table);
    let sql = "SELECT point, sum(value), count(*) FROM lake GROUP BY point ORDER BY point";
    let report = lake::read(&table, Some(sql)).unwrap();
    assert_eq!(report["version"], 1);
    assert_eq!(report["rows"], 4);
    assert_eq!(report["sums"]["value"], 100);
    assert_eq!(report["files"].as_array().unwrap().len(), 2);
    assert_eq!(report["result"], json!([["a", 40, 2], ["b", 60, 2]]));
}

/// Two commits of two rows, by the Python package itself.
fn make_table(table: &Path) {
    let text = "\
import json, sys, pyarrow
from deltalake import write_deltalake
for a, b in ((10, 20), (30, 40)):
    value = pyarrow.array([a, b], pyarrow.int64())
    write_deltalake(sys.argv[1], pyarrow.table({'point': ['a', 'b'], 'value': value}), mode='append')
print(json.dumps({}))
";
    python::json(python::interpreter().unwrap().args(["-c", text]).arg(table)).unwrap();
}
