//! What other people's clients and brokers see of us: topics and payloads as `docs/mqtt.md` promises them, the rights that we
//! print, and a broker that keeps nothing. Must never read our own messages with our own code.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::ours::centre::Centre;
use tests::ours::gateway::Gateway;
use tests::ours::one_meter::{self, LIVE_TOPIC, registers};
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::ModbusServer;
use tests::peers::{free_tcp_port, python};
use tests::programs::{program, workspace_root};
use tests::wait::wait_until;

const SOON: Duration = Duration::from_secs(30);

fn meter(folder: &Path, uplink: &str) -> (ModbusServer, Gateway) {
    let server = ModbusServer::tcp(folder, &registers(70_000)).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let settings = one_meter::modbus_settings(folder, &port, uplink).unwrap();
    (server, Gateway::start(folder, &settings).unwrap())
}

fn password(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Also of the topics on which nothing is published yet.
#[test]
fn every_schema_takes_its_examples_and_refuses_what_is_wrong() {
    let mut command = python::script("check_schemas.py").unwrap();
    command.arg("--schemas").arg(workspace_root().join("docs/mqtt"));
    let seen = python::json(&mut command).unwrap();
    assert_eq!(seen["wrong"].as_array().unwrap().len(), 0, "{seen:#}");
    let counts = seen["counts"].as_object().unwrap();
    assert!(counts.values().all(|count| count.as_u64().unwrap() > 0), "{seen:#}");
    for reserved in ["event", "machine-state", "kpi"] {
        assert!(counts.contains_key(reserved), "{seen:#}");
    }
}

/// Trials int-03 and int-04: the widest filter and a will of its own; a killed gateway's value stops being Good.
#[test]
fn every_payload_fits_its_schema_and_a_killed_gateway_leaves_no_good_value() {
    let folder = tempfile::tempdir().unwrap();
    password(folder.path(), "gw-1.password", "a-secret");
    let tcp_port = free_tcp_port().unwrap();
    let sections = "[live]\ngroups = true\n\n\
                    [[gateway]]\nid = \"gw-1\"\npassword_file = \"gw-1.password\"\n";
    let broker = format!("tcp_port = {tcp_port}");
    let _centre = Centre::start_with(folder.path(), &broker, sections).unwrap();
    let uplink = format!(
        "url = \"mqtt://127.0.0.1:{tcp_port}\"\nuser = \"gw-1\"\npassword_file = \"gw-1.password\""
    );
    let (server, mut gateway) = meter(folder.path(), &uplink);
    gateway
        .wait_for_status("a sample", SOON, |status| status["points"][0]["value"].is_string())
        .unwrap();
    let watch = |seconds: &str| {
        let mut command = python::script("watch_topics.py").unwrap();
        command
            .args(["--tcp-port", &tcp_port.to_string(), "--seconds", seconds, "--schemas"])
            .arg(workspace_root().join("docs/mqtt"));
        python::json(&mut command).unwrap()
    };
    server.set_registers(&registers(70_317)).unwrap();
    let seen = watch("4");
    assert_eq!(seen["wrong"].as_array().unwrap().len(), 0, "{seen:#}");
    for kind in ["value", "group", "meta", "state", "durable"] {
        assert!(seen["counts"][kind].as_u64().unwrap() > 0, "{kind}: {seen:#}");
    }
    gateway.kill().unwrap();
    let retained = |topic: &str| {
        let output = Command::new("mosquitto_sub")
            .args(["-p", &tcp_port.to_string(), "-t", topic, "-C", "1", "-W", "5"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    wait_until("the value is no longer Good", SOON, || {
        Ok(retained(LIVE_TOPIC).contains(r#""q":"UncertainLastUsableValue","stale":true"#))
    })
    .unwrap();
    assert!(retained("v1/works/plant/_/_/gw-1/$state").contains("offline"));
}

/// Trials brk-08 and brk-12 at somebody else's broker, with the rights that we print.
#[test]
fn mosquitto_with_our_acl_lets_the_gateway_work_and_nobody_speak_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let acl =
        Command::new(program("nengliu").unwrap()).args(["acl", "mosquitto"]).output().unwrap();
    assert!(acl.status.success());
    fs::write(folder.path().join("nengliu.acl"), acl.stdout).unwrap();
    let passwords = folder.path().join("passwords");
    for (create, user) in [(true, "nengliu"), (false, "gw-1"), (false, "gw-1-x"), (false, "screen")]
    {
        let mut command = Command::new("mosquitto_passwd");
        command.arg("-b").args(create.then_some("-c")).arg(&passwords).args([user, "a-secret"]);
        assert!(command.status().unwrap().success());
    }
    let access = format!(
        "allow_anonymous true\npassword_file {}\nacl_file {}",
        passwords.display(),
        folder.path().join("nengliu.acl").display()
    );
    let broker = Mosquitto::start_with(folder.path(), &access, false).unwrap();
    password(folder.path(), "password", "a-secret");
    let credentials = |user: &str| {
        format!("url = \"{}\"\nuser = \"{user}\"\npassword_file = \"password\"", broker.url())
    };
    let centre = Centre::start(folder.path(), &credentials("nengliu")).unwrap();
    let (_server, mut gateway) = meter(folder.path(), &credentials("gw-1"));
    gateway
        .wait_for_status("a commit ack", SOON, |status| {
            status["points"][0]["value"].is_string()
                && tests::ours::query::all_rows(&centre.lake()).is_ok_and(|rows| rows.len() > 3)
        })
        .unwrap();
    wait_until("the live topic for everybody", SOON, || {
        Ok(broker.retained("v1/#")?.iter().any(|line| line.starts_with(LIVE_TOPIC)))
    })
    .unwrap();
    // A screen with a name of its own reads them too, and so does a gateway.
    for user in ["screen", "gw-1"] {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-p", &broker.tcp_port().to_string(), "-u", user, "-P", "a-secret"]);
        let heard = command.args(["-t", "v1/#", "-C", "1", "-W", "10"]).output().unwrap();
        assert!(heard.status.success() && !heard.stdout.is_empty(), "{user}: {heard:?}");
    }
    // What others publish there goes nowhere: a listener with the centre's rights hears none of it.
    let listen = Command::new("mosquitto_sub")
        .args(["-p", &broker.tcp_port().to_string(), "-u", "nengliu", "-P", "a-secret"])
        .args(["-t", "gw/+/up", "-t", "gw/+/state", "-W", "4", "-F", "%t %p"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    for (user, topic) in [
        (None, "gw/gw-1/up"),
        (None, "gw/gw-1/state"),
        (Some("gw-1-x"), "gw/gw-1/up"),
        (Some("gw-1-x"), "gw/gw-1/ack"),
        (Some("screen"), "gw/gw-1/up"),
    ] {
        let mut command = Command::new("mosquitto_pub");
        command.args([
            "-p",
            &broker.tcp_port().to_string(),
            "-q",
            "1",
            "-t",
            topic,
            "-m",
            "forged",
        ]);
        if let Some(user) = user {
            command.args(["-u", user, "-P", "a-secret"]);
        }
        command.output().unwrap();
    }
    let heard = String::from_utf8_lossy(&listen.wait_with_output().unwrap().stdout).into_owned();
    assert!(heard.contains("gw/gw-1/up"), "the gateway itself is heard");
    assert!(!heard.contains("forged"), "nobody else is");
}

/// Trial int-01: a broker that keeps no retained messages ended each connection with the first live message.
#[test]
fn a_broker_that_keeps_no_retained_messages_is_no_reason_to_reconnect() {
    let folder = tempfile::tempdir().unwrap();
    let access = "allow_anonymous true\nretain_available false";
    let broker = Mosquitto::start_with(folder.path(), access, false).unwrap();
    let url = format!("url = \"{}\"", broker.url());
    let centre = Centre::start(folder.path(), &url).unwrap();
    let live = broker.subscribe("live", "v1/#").unwrap();
    let (_server, gateway) = meter(folder.path(), &url);
    wait_until("live values without retain", SOON, || Ok(live.output()?.contains(LIVE_TOPIC)))
        .unwrap();
    wait_until("rows", SOON, || {
        Ok(tests::ours::query::all_rows(&centre.lake()).is_ok_and(|rows| rows.len() > 3))
    })
    .unwrap();
    let log = centre.log().unwrap();
    assert_eq!(log.matches("connected to the broker").count(), 1, "{log}");
    assert!(log.contains("keeps no retained messages"), "{log}");
    // The gateway's state and its last will are retained elsewhere.
    let log = gateway.log().unwrap();
    assert_eq!(log.matches("uplink connected").count(), 1, "{log}");
    assert!(!log.contains("uplink not connected"), "{log}");
}
