//! From a register in a meter that is not ours to a row of Table 1, over each kind of line and broker. Must never look
//! between the two ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::ours::centre::Centre;
use tests::ours::figures::row;
use tests::ours::gateway::Gateway;
use tests::ours::one_meter::{self, LIVE_TOPIC, registers};
use tests::ours::query;
use tests::peers::broker::{Mosquitto, PASSWORD, USER};
use tests::peers::free_tcp_port;
use tests::peers::modbus::{BAUD, ModbusServer};
use tests::peers::serial::SerialLine;
use tests::steel::kwh;
use tests::wait::wait_until;

const SOON: Duration = Duration::from_secs(30);
/// What the meter shows, one after the other, in 0.01 kWh.
const SHOWN: [u32; 3] = [70_000, 70_317, 1_200_000];

/// The register of the meter as pymodbus's own client reads it.
fn register(at: &[&str]) -> u32 {
    let answer = ModbusServer::probe(at, 1, "holding", 0, 2).unwrap();
    let word = |index: usize| u32::try_from(answer["words"][index].as_u64().unwrap()).unwrap();
    (word(0) << 16) + word(1)
}

/// Lets the meter go on, and compares the row of electricity with what the independent client reads at both ends.
fn check_line(folder: &Path, server: &ModbusServer, at: &[&str], settings: &str, centre: &Centre) {
    let first = register(at);
    let mut gateway = Gateway::start(folder, settings).unwrap();
    for shown in SHOWN {
        server.set_registers(&registers(shown)).unwrap();
        let value = kwh(i64::from(shown));
        let what = format!("{value} kWh in the status");
        gateway
            .wait_for_status(&what, SOON, |status| status["points"][0]["value"] == *value)
            .unwrap();
    }
    assert!(gateway.terminate().unwrap().success());
    let last = register(at);
    assert_eq!((first, last), (SHOWN[0], SHOWN[2]));

    let rows = query::all_rows(&centre.lake()).unwrap();
    assert!(rows.iter().all(|row| row.quality == "Good"), "{rows:#?}");
    let plant = one_meter::write_plant(folder).unwrap();
    let (year, _) = rows[0].time.split_once('-').unwrap();
    let lake = centre.lake();
    let row = one_meter::figures(&plant, &lake).electricity(year).unwrap();
    let difference = kwh(i64::from(last - first));
    assert_eq!(row.energy.as_deref(), Some(difference.trim_end_matches('0').trim_end_matches('.')));
    // Some seconds of a year.
    assert_eq!((row.coverage.as_deref(), row.complete), (Some("0.0"), false));
}

#[test]
fn a_meter_over_tcp_reaches_table_1_through_mosquitto() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let server = ModbusServer::tcp(folder.path(), &registers(SHOWN[0])).unwrap();
    let tcp_port = server.tcp_port().unwrap().to_string();
    let port = format!("address = \"tcp://127.0.0.1:{tcp_port}\"");
    let uplink = format!("url = \"{}\"", broker.url());
    let settings = one_meter::modbus_settings(folder.path(), &port, &uplink).unwrap();
    check_line(folder.path(), &server, &["--tcp-port", &tcp_port], &settings, &centre);

    // For dashboards, the last value stays, with all its digits.
    wait_until("the live topic of the meter", SOON, || {
        let retained = broker.retained("v1/#")?;
        let payload = retained.iter().find_map(|line| line.strip_prefix(LIVE_TOPIC));
        Ok(payload.is_some_and(|payload| {
            payload.contains("\"v\":12000.00,\"exact\":\"12000.00\",\"unit\":\"kWh\"")
        }))
    })
    .unwrap();
}

#[test]
fn a_meter_on_a_serial_line_reaches_table_1_through_the_embedded_broker() {
    let folder = tempfile::tempdir().unwrap();
    let tcp_port = free_tcp_port().unwrap();
    let centre = Centre::start(folder.path(), &format!("tcp_port = {tcp_port}")).unwrap();
    let line = SerialLine::start(folder.path()).unwrap();
    let server = ModbusServer::rtu(folder.path(), &line, &registers(SHOWN[0])).unwrap();
    let serial = line.master_end.display().to_string();
    let port = format!("path = \"{serial}\"\nbaud = {BAUD}");
    let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
    let settings = one_meter::modbus_settings(folder.path(), &port, &uplink).unwrap();
    let at = ["--serial", &serial, "--baud", &BAUD.to_string()];
    check_line(folder.path(), &server, &at, &settings, &centre);
}

#[test]
fn a_meter_reaches_table_1_over_tls_with_user_and_password() {
    check_secure_line(Mosquitto::start_secure);
}

#[test]
fn a_meter_reaches_table_1_over_web_socket_and_tls_with_user_and_password() {
    check_secure_line(Mosquitto::start_web_socket);
}

fn check_secure_line(start: fn(&Path) -> anyhow::Result<Mosquitto>) {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path()).unwrap();
    let password = folder.path().join("password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let access = format!(
        "url = \"{}\"\nca_file = \"{}\"\nuser = \"{USER}\"\npassword_file = \"password\"",
        broker.url(),
        broker.authority().display()
    );
    let centre = Centre::start(folder.path(), &access).unwrap();
    let server = ModbusServer::tcp(folder.path(), &registers(SHOWN[0])).unwrap();
    let tcp_port = server.tcp_port().unwrap().to_string();
    let port = format!("address = \"tcp://127.0.0.1:{tcp_port}\"");
    let settings = one_meter::modbus_settings(folder.path(), &port, &access).unwrap();
    check_line(folder.path(), &server, &["--tcp-port", &tcp_port], &settings, &centre);
}

#[test]
fn the_centre_writes_figures_on_a_timer() {
    let folder = tempfile::tempdir().unwrap();
    one_meter::write_plant(folder.path()).unwrap();
    let tcp_port = free_tcp_port().unwrap();
    let analytics =
        "[analytics]\nplant = \"plant.toml\"\nevery = \"1s\"\nfigures_folder = \"figures\"\n";
    let broker = format!("tcp_port = {tcp_port}");
    let centre = Centre::start_with(folder.path(), &broker, analytics).unwrap();
    let server = ModbusServer::tcp(folder.path(), &registers(SHOWN[0])).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
    let settings = one_meter::modbus_settings(folder.path(), &port, &uplink).unwrap();
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    gateway
        .wait_for_status("a sample", SOON, |status| status["points"][0]["value"].is_string())
        .unwrap();
    server.set_registers(&registers(SHOWN[1])).unwrap();
    // 317 counts of 0.01 kWh later, in the file of this month.
    wait_until("3.17 kWh in the figures", SOON, || {
        let Ok(files) = fs::read_dir(folder.path().join("figures")) else { return Ok(false) };
        let names = files.flatten().map(|file| file.path());
        // What is not finished has another ending.
        let tables = names.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        let mut texts = tables.filter_map(|path| fs::read_to_string(path).ok());
        Ok(texts.any(|text| {
            let table: Value = serde_json::from_str(&text).expect("never half a file");
            row(&table, "electricity").is_ok_and(|row| row["quantity"]["value"] == "3.17")
        }))
    })
    .unwrap_or_else(|e| panic!("{e}\n{}", centre.log().unwrap()));
}

/// Whoever has no password may only come from this machine.
#[test]
fn the_embedded_broker_listens_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let tcp_port = free_tcp_port().unwrap();
    let _centre = Centre::start(folder.path(), &format!("tcp_port = {tcp_port}")).unwrap();
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap());
    let listening =
        |line: &&str| line.contains(&format!(":{tcp_port:04X} ")) && line.contains(" 0A ");
    let found: Vec<&str> = sockets.iter().flat_map(|text| text.lines()).filter(listening).collect();
    assert!(matches!(found.as_slice(), [one] if one.contains("0100007F:")), "{found:?}");
}
