//! What lies between a gateway and its centres: two of them, a broker with short packets, somebody who forges. Must never
//! wait for a time to pass instead of a condition.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::ours::centre::Centre;
use tests::ours::gateway::{self, Gateway};
use tests::ours::one_meter::{self, counting_registers, subfolder};
use tests::ours::{query, run};
use tests::peers::broker::Mosquitto;
use tests::peers::free_tcp_port;
use tests::peers::modbus::ModbusServer;
use tests::wire::Wire;

use crate::noisy_meter;

const SOON: Duration = Duration::from_secs(30);

/// Two centres with brokers of their own; the way to the second can be cut.
struct Two {
    near: Centre,
    far: Centre,
    to_far: Wire,
    uplinks: String,
}

impl Two {
    fn start(folder: &Path) -> Self {
        let centre = |name: &str| {
            let tcp_port = free_tcp_port().unwrap();
            let folder = subfolder(folder, name).unwrap();
            (Centre::start(&folder, &format!("tcp_port = {tcp_port}")).unwrap(), tcp_port)
        };
        let ((near, near_port), (far, far_port)) = (centre("near"), centre("far"));
        let to_far = Wire::to(far_port).unwrap();
        let waits = "resend_after = \"500ms\"\nbackoff_max = \"200ms\"\n";
        let uplink = |id: &str, port: u16| {
            format!("[[uplink]]\nid = \"{id}\"\nurl = \"mqtt://127.0.0.1:{port}\"\n{waits}")
        };
        let uplinks = uplink("near", near_port) + &uplink("far", to_far.tcp_port());
        Self { near, far, to_far, uplinks }
    }

    /// `gateway.toml` with both instead of the one.
    fn settings(&self, settings: &str) -> String {
        let (head, rest) = settings.split_once("[uplink]\n").unwrap();
        let (_, rest) = rest.split_once("\n\n").unwrap();
        format!("{head}{}\n{rest}", self.uplinks)
    }
}

fn uplink(status: &Value, index: usize, key: &str) -> u64 {
    status["uplinks"][index][key].as_u64().unwrap()
}

/// Waits until both have what is durable at the gateway by now; it goes on reading meanwhile.
fn wait_for_both(gateway: &mut Gateway, limit: Duration) {
    let durable = gateway.status().unwrap()["spool"]["durable"].as_u64().unwrap();
    let reached = |status: &Value| {
        let of = |index: usize| status["spool"]["destinations"][index]["acked"].as_u64();
        (0..2).all(|index| of(index).is_some_and(|acked| acked >= durable))
    };
    gateway.wait_for_status("everything at both", limit, reached).unwrap();
}

/// Those before the newest time that both have: what was read last may still be on its way to one of them.
fn before_common(near: &mut BTreeSet<Row>, far: &mut BTreeSet<Row>) {
    let newest = |rows: &BTreeSet<Row>| rows.iter().map(|row| row.1.clone()).max().unwrap();
    let common = newest(near).min(newest(far));
    near.retain(|row| row.1 < common);
    far.retain(|row| row.1 < common);
}

/// Point, time, value.
type Row = (String, String, String);

/// Each sample that a lake has.
fn samples(centre: &Centre) -> BTreeSet<Row> {
    let rows = query::all_rows(&centre.lake()).unwrap();
    rows.into_iter().map(|row| (row.point, row.time, row.value)).collect()
}

/// The frame that each sample came with.
fn sequences(centre: &Centre) -> BTreeMap<Row, u64> {
    let rows = query::all_rows(&centre.lake()).unwrap();
    rows.into_iter().map(|row| ((row.point, row.time, row.value), row.from.unwrap().1)).collect()
}

#[test]
fn a_gateway_of_two_centres_brings_everything_to_both_though_one_is_away_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let server = ModbusServer::tcp(folder.path(), &counting_registers()).unwrap();
    let two = Two::start(folder.path());
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let settings = one_meter::modbus_settings(folder.path(), &port, "").unwrap();
    let mut gateway = Gateway::start(folder.path(), &two.settings(&settings)).unwrap();
    wait_for_both(&mut gateway, SOON);

    two.to_far.cut();
    let away = |status: &Value| {
        uplink(status, 1, "frames_waiting") > 60 && uplink(status, 0, "frames_waiting") < 20
    };
    let status =
        gateway.wait_for_status("a backlog for the far one alone", SOON * 4, away).unwrap();
    assert_eq!(status["uplinks"][0]["connected"], true);
    assert_eq!(status["uplink"]["destination"], "far", "the one that needs attention");
    // A restart remembers how far each of them is.
    gateway.terminate().unwrap();
    gateway.start_again().unwrap();
    let status = gateway.status().unwrap();
    assert!(uplink(&status, 1, "frames_waiting") > 60, "{status:#}");
    two.to_far.mend();
    wait_for_both(&mut gateway, SOON * 2);
    gateway.terminate().unwrap();
    let (mut near, mut far) = (samples(&two.near), samples(&two.far));
    let whole = near.len();
    before_common(&mut near, &mut far);
    assert_eq!(near, far);
    assert!(near.len() > 60, "{} of {whole} samples are at both", near.len());
    let asked = usize::try_from(server.requests_by_now().unwrap()).unwrap();
    assert!(asked >= whole, "{asked} asked, {whole} there");
}

#[test]
fn a_centre_that_is_away_for_longer_than_the_quota_gets_the_rest_and_a_loss_and_the_other_everything()
 {
    let folder = tempfile::tempdir().unwrap();
    let two = Two::start(folder.path());
    let head = gateway::head("").replace("1 MiB", "64 KiB").replace("16 MiB", "256 KiB");
    let (_server, settings) = noisy_meter::start(folder.path(), &head, "20ms");
    let mut gateway = Gateway::start(folder.path(), &two.settings(&settings)).unwrap();
    wait_for_both(&mut gateway, SOON);
    two.to_far.cut();
    let lost = |status: &Value| uplink(status, 1, "samples_lost") > 0;
    let status = gateway.wait_for_status("a loss for the far one", SOON * 4, lost).unwrap();
    assert_eq!(uplink(&status, 0, "samples_lost"), 0, "{status:#}");
    two.to_far.mend();
    wait_for_both(&mut gateway, SOON * 2);
    let status = gateway.status().unwrap();
    gateway.terminate().unwrap();
    let (mut near, mut far) = (samples(&two.near), samples(&two.far));
    before_common(&mut near, &mut far);
    let lost = usize::try_from(uplink(&status, 1, "samples_lost")).unwrap();
    assert!(far.is_subset(&near));
    // The frames that were given up end with the last one that the far one lacks. The first of them it may have: its ack
    // was cut off, which the far one knows and the gateway does not.
    let sequences = sequences(&two.near);
    let lacks = near.difference(&far).map(|row| sequences[row]);
    let last = lacks.clone().max().unwrap();
    let given_up = last + 1 - uplink(&status, 1, "frames_lost")..=last;
    assert!(lacks.clone().all(|sequence| given_up.contains(&sequence)), "{given_up:?}");
    let in_them = near.iter().filter(|row| given_up.contains(&sequences[*row])).count();
    assert_eq!(lost, in_them, "each sample that was given up is counted");
    assert!(!two.near.log().unwrap().contains("lost="), "the near one lost nothing");
}

/// Trial 04: frames that lie on disk already, openings and dictionaries, through a broker that takes 1 KiB at a time.
#[test]
fn a_broker_with_short_packets_gets_frames_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start_limited(folder.path(), 1_024).unwrap();
    let head = gateway::head(&format!("url = \"{}\"", broker.url()));
    let (_server, settings) = noisy_meter::start(folder.path(), &head, "100ms");
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    let waiting = |status: &Value| uplink(status, 0, "frames_waiting") > 20;
    gateway.wait_for_status("frames on disk", SOON, waiting).unwrap();
    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    gateway.wait_until_committed(SOON * 2).unwrap();
    let status = gateway.status().unwrap();
    assert!(status["uplink"]["reason"].is_null(), "{status:#}");
    gateway.terminate().unwrap();
    let rows = query::all_rows(&centre.lake()).unwrap().len();
    let appended = usize::try_from(status["spool"]["samples_appended"].as_u64().unwrap()).unwrap();
    assert!(rows >= appended, "{rows} rows of {appended} samples");
}

/// Trial brk-12: at a broker without rights anybody can write an ack; it frees nothing.
#[test]
fn acks_that_somebody_forges_free_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = ModbusServer::tcp(folder.path(), &counting_registers()).unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink_keys = format!("url = \"{}\"", broker.url());
    let settings = one_meter::modbus_settings(folder.path(), &port, &uplink_keys).unwrap();
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    // The centre is away.
    let waiting = |status: &Value| uplink(status, 0, "frames_waiting") > 30;
    let status = gateway.wait_for_status("frames that wait", SOON, waiting).unwrap();
    let forge = |upto: u64, hash: Option<&str>| {
        let mut ack = json!({
            "v": 2, "log_id": status["spool"]["log_id"], "store": "s", "epoch": 0, "ingest": "x",
            "durable_upto": upto, "class": "D2",
        });
        if let Some(hash) = hash {
            ack["hash"] = json!(hash);
        }
        broker.publish("gw/gw-1/ack", &ack.to_string(), true).unwrap();
    };
    let durable = status["spool"]["durable"].as_u64().unwrap();
    forge(durable, Some(&"ab".repeat(32)));
    forge(durable - 3, None);
    let named = |status: &Value| status["uplink"]["fault"].is_string();
    let told = gateway.wait_for_status("the forged ack is named", SOON, named).unwrap();
    assert!(told["uplink"]["fault"].as_str().unwrap().contains("without the hash of its frame"));
    assert_eq!(told["spool"]["acked"], 0);
    forge(1_000_000, Some(&"ab".repeat(32)));

    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    gateway.wait_until_committed(SOON * 2).unwrap();
    gateway.terminate().unwrap();
    let rows = query::samples(&centre.lake()).unwrap().len();
    let asked = usize::try_from(server.requests_by_now().unwrap()).unwrap();
    assert!((rows..=rows + 2).contains(&asked), "{asked} asked, {rows} there");
}

/// Trial 10: the words say what to write instead, and the password stands in none of them.
#[test]
fn a_password_in_the_url_is_refused_and_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let port = "address = \"tcp://127.0.0.1:502\"";
    for url in [
        "mqtt://joe:hunter2@127.0.0.1:1883",
        "mqtts://joe:hunter2@broker",
        "wss://joe:hunter2@broker/mqtt",
        "mqtt://h/hunter2",
    ] {
        let keys = format!("url = \"{url}\"");
        let settings = one_meter::modbus_settings(folder.path(), port, &keys).unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, settings).unwrap();
        for command in ["check", "run", "status"] {
            let ran = run("nengliu-gateway", [command, "-c", file.to_str().unwrap()]).unwrap();
            let words = format!("{}{}", ran.output, ran.errors);
            assert_ne!(ran.code, Some(0), "{command}: {words}");
            if url.contains('@') {
                assert!(!words.contains("hunter2"), "{command}: {words}");
                assert!(
                    words.contains("password_file") || command == "status",
                    "{command}: {words}"
                );
            } else {
                assert!(
                    words.contains("nothing behind the host") || command == "status",
                    "{words}"
                );
            }
        }
    }
}

/// A password that others on the network can read is worth a warning, and no more.
#[test]
fn a_password_over_a_plain_connection_to_another_host_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (url, warns) in [
        ("mqtt://10.1.2.3:1883", true),
        ("mqtt://127.0.0.1:1883", false),
        ("ws://10.1.2.3/mqtt", true),
        ("ws://127.0.0.1:9001", false),
    ] {
        let keys = format!("url = \"{url}\"\nuser = \"gw-1\"\npassword_file = \"password\"");
        let port = "address = \"tcp://127.0.0.1:502\"";
        let settings = one_meter::modbus_settings(folder.path(), port, &keys).unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, settings).unwrap();
        let ran = run("nengliu-gateway", ["check", "-c", file.to_str().unwrap()]).unwrap();
        let words = format!("{}{}", ran.output, ran.errors);
        assert_eq!(ran.code, Some(0), "{words}");
        assert_eq!(words.contains("travels readably"), warns, "{words}");
    }
}
