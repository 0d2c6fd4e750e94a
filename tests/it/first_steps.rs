//! What README's first pages let a newcomer do: the demo, and one meter of one's own by the files of `examples/own-meter`.
//! Must never use a file that a newcomer does not have.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::peers::{free_tcp_port, python};
use tests::process::Process;
use tests::programs::{program, workspace_root};
use tests::wait::wait_for;

use crate::readme;

const SOON: Duration = Duration::from_secs(30);
/// What the simulated plant is given to show its month and some live values; its own end waits up to 30 s more.
const DEMO_RUNS: &str = "25s";
/// As README says.
const DEMO_DEVICES: u64 = 20;
const DEMO_ENDS_WITHIN: Duration = Duration::from_mins(3);

#[test]
fn the_demo_ends_with_the_plants_own_integral() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("nengliu").unwrap());
    command
        .args(["demo", "--for", DEMO_RUNS, "--json", "--folder"])
        .arg(folder.path().join("demo"));
    let mut demo = Process::start("demo", &command, folder.path()).unwrap();
    let listener = listen(&mut demo, folder.path());
    assert!(demo.wait(DEMO_ENDS_WITHIN).unwrap().success());
    check_payloads(listener);

    let printed = demo.output().unwrap();
    let started = printed.find("plant started").unwrap();
    let table = printed.find("Total energy").unwrap();
    assert!(started < table, "{printed}");
    assert!(printed.contains("示例"), "等价 coefficients of the demo are examples:\n{printed}");

    let outcome: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let count = |key: &str| outcome[key].as_u64().unwrap();
    assert!(count("samples_read") > 0, "{outcome}");
    assert_eq!(count("samples_read"), count("samples_committed"), "{outcome}");
    assert_eq!((count("samples_lost"), count("duplicates")), (0, 0), "{outcome}");
    let rows = outcome["table1"].as_array().unwrap();
    let is_known = |row: &&Value| row["expected"].is_string();
    assert!(
        rows.iter().filter(is_known).all(|row| row["computed"] == row["expected"]),
        "{outcome}"
    );
    // What README proposes next, as it is typed; the month is that of the commands that the demo proposes.
    let (_, month) = printed.split_once("intensity --period ").unwrap();
    readme::check_next(folder.path(), month.split_whitespace().next().unwrap());
    // Electricity, gas, steam and water are metered; coal is declared from what was bought and what lies in stock.
    assert!(rows.iter().filter(is_known).count() >= 4, "{outcome}");
    assert!(rows.iter().any(|row| row["expected"].is_null()), "{outcome}");
}

/// An independent client at the broker of the demo, from the moment it is there.
fn listen(demo: &mut Process, folder: &Path) -> Process {
    let settings = folder.join("demo/gateway.toml");
    let tcp_port = || {
        let text = fs::read_to_string(&settings).ok()?;
        let (_, rest) = text.split_once("mqtt://127.0.0.1:")?;
        rest.split_once('"').map(|(tcp_port, _)| tcp_port.to_owned())
    };
    demo.wait_until("the broker", SOON, |_| Ok(tcp_port().is_some())).unwrap();
    let seconds = DEMO_ENDS_WITHIN.as_secs().to_string();
    let mut command = python::script("watch_topics.py").unwrap();
    command
        .args(["--tcp-port", &tcp_port().unwrap(), "--seconds", &seconds, "--schemas"])
        .arg(workspace_root().join("docs/mqtt"));
    Process::start("listener", &command, folder).unwrap()
}

/// Every payload of the demo is as `docs/mqtt.md` promises it, by JSON Schemas and a validator that are not ours.
fn check_payloads(mut listener: Process) {
    assert!(listener.wait(SOON).unwrap().success());
    let heard: Value = serde_json::from_str(&listener.output().unwrap()).unwrap();
    eprintln!("{heard}");
    assert_eq!(heard["wrong"].as_array().unwrap().len(), 0, "{heard:#}");
    assert_eq!(heard["broker_ended"], true, "it heard the demo to its end");
    let topics = |kind: &str| heard["topics"][kind].as_u64().unwrap();
    for kind in ["value", "meta", "state", "durable"] {
        assert!(topics(kind) > 0, "{kind}: {heard:#}");
    }
    assert!(topics("meta") >= DEMO_DEVICES && topics("value") > topics("meta"), "{heard:#}");
}

#[test]
fn a_demo_that_is_killed_takes_its_gateway_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("nengliu").unwrap());
    command.args(["demo", "--folder"]).arg(folder.path().join("demo"));
    let mut demo = Process::start("demo", &command, folder.path()).unwrap();
    demo.wait_until("the plant", SOON, |demo| Ok(demo.output()?.contains("plant started")))
        .unwrap();
    let settings = folder.path().join("demo/gateway.toml");
    assert!(runs_with(&settings), "the gateway is a process of its own");
    demo.kill().unwrap();
    wait_for("the end of the gateway", SOON, || Ok((!runs_with(&settings)).then_some(()))).unwrap();
}

/// Whether there is a gateway that runs with these settings.
fn runs_with(settings: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.into_iter().any(|line| {
        let line = String::from_utf8_lossy(&line);
        line.contains("nengliu-gateway\0run\0") && line.contains(&*settings.to_string_lossy())
    })
}

/// First use, O11: a demo that was stopped early accused itself, with exit code 1.
#[test]
fn a_demo_that_is_stopped_early_says_so_and_compares_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = demo_in(folder.path());
    command.args(["--for", "0s", "--json"]);
    let mut demo = Process::start("demo", &command, folder.path()).unwrap();
    assert_eq!(demo.wait(DEMO_ENDS_WITHIN).unwrap().code(), Some(0));
    let said = demo.errors().unwrap();
    assert!(
        said.contains("stopped before the history") && said.contains("no comparison"),
        "{said}"
    );
    assert!(!said.contains("fault of the program") && !said.contains("EN-D"), "{said}");
    let outcome = demo.output().unwrap();
    let outcome: Value = serde_json::from_str(outcome.lines().last().unwrap()).unwrap();
    assert_eq!((&outcome["month_complete"], &outcome["samples_lost"]), (&false.into(), &0.into()));
}

/// First use, O11 (Ctrl-C) and O3 (a second demo emptied the folder of the one that runs).
#[test]
fn a_second_demo_is_refused_and_the_first_one_goes_on_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Process::start("demo", &demo_in(folder.path()), folder.path()).unwrap();
    demo.wait_until("the plant", SOON, |demo| Ok(demo.output()?.contains("plant started")))
        .unwrap();
    let files = || files_below(&folder.path().join("demo"));
    let before = files();
    let second = demo_in(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(6), "{said}");
    assert!(said.contains("EN-D004") && said.contains("process "), "{said}");
    assert!(said.contains("--folder demo2"), "{said}");
    let after = files();
    assert!(before.iter().all(|file| after.contains(file)), "{before:?} {after:?}");
    // A live value is where the demo says, for a program that is not ours.
    let told = demo.errors().unwrap();
    let (_, line) = told.split_once("mosquitto_sub -p ").unwrap();
    let tcp_port = line.split_whitespace().next().unwrap();
    let heard = Command::new("mosquitto_sub")
        .args(["-p", tcp_port, "-t", "v1/#", "-C", "1", "-W", "20"])
        .output()
        .unwrap();
    assert!(heard.status.success(), "{heard:?}");
    demo.signal(nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(demo.wait(DEMO_ENDS_WITHIN).unwrap().code(), Some(0));
    let printed = demo.output().unwrap();
    let compared = printed.contains("the plant says");
    assert_ne!(compared, printed.contains("no comparison"), "{printed}");
    // The table of points was renewed to the end.
    assert!(folder.path().join("demo/lake/_nengliu/points.parquet").is_file());
}

fn demo_in(folder: &Path) -> Command {
    let mut command = Command::new(program("nengliu").unwrap());
    command.args(["demo", "--folder"]).arg(folder.join("demo"));
    command
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    // What a merge of the lake replaces is of no interest here.
    let names = ["gateway.toml", "plant.toml", "facts.csv", "lake/_nengliu/lock", "spool"];
    names.into_iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect()
}

/// README's blocks as they are typed; only the TCP ports are free ones, so that tests can run side by side.
#[test]
fn ones_own_meter_is_read_by_what_readme_types() {
    let folder = tempfile::tempdir().unwrap();
    let (meter_port, broker_port) = (free_tcp_port().unwrap(), free_tcp_port().unwrap());
    let example = folder.path().join("examples/own-meter");
    copy(&workspace_root().join("examples/own-meter"), &example);
    replace(&example.join("gateway.toml"), "127.0.0.1:5020", meter_port);
    replace(&example.join("gateway.toml"), "127.0.0.1:1883", broker_port);
    replace(&example.join("nengliu.toml"), "tcp_port = 1883", broker_port);
    readme::pretend_built(folder.path());
    let blocks = readme::blocks("README.md");

    let mut running = Vec::new();
    for (number, line) in blocks.own_meter.iter().enumerate() {
        let port = if line.contains("meter.py") { format!(" {meter_port}") } else { String::new() };
        let command = readme::shell(folder.path(), &format!("exec {line}{port}"));
        running.push(Process::start(&format!("shell-{number}"), &command, folder.path()).unwrap());
    }
    let of_mqtt = readme::blocks_in("docs/mqtt.md").concat();
    for line in blocks.look.iter().chain(&of_mqtt) {
        let (more, expected) = match line.split_whitespace().next() {
            Some("mosquitto_sub") => (format!(" -p {broker_port} -C 9 -W 20"), "12345.67"),
            _ if line.contains(" points ") => (String::new(), "main-meter/e_import"),
            _ => (String::new(), "12345.67"),
        };
        wait_for(&format!("`{expected}` from `{line}`"), SOON, || {
            let ran = readme::shell(folder.path(), &format!("{line}{more}")).output()?;
            let said = String::from_utf8(ran.stdout)?;
            let found = said.lines().find(|one| one.contains(expected));
            let is_status = line.contains(" status ");
            Ok(found.filter(|found| !is_status || found.contains("Good")).map(drop))
        })
        .unwrap();
    }
    check_subscriptions(broker_port, &running[1]);
}

/// First use, O8: `#`, which MQTT Explorer asks for, was denied without a word in the log. It is answered with the live
/// values; what is refused is logged with what to subscribe to, once a minute.
fn check_subscriptions(broker_port: u16, centre: &Process) {
    let listen = |filter: &str| {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-p", &broker_port.to_string(), "-v", "-C", "1", "-W", "5", "-t", filter]);
        command.output().unwrap()
    };
    for filter in ["#", "+/#"] {
        let heard = String::from_utf8(listen(filter).stdout).unwrap();
        assert!(heard.starts_with("v1/acme/nb-1/"), "{filter}: {heard}");
    }
    for filter in ["gw/#", "gw/gw-1/up", "$share/screens/gw/#"] {
        assert_eq!(listen(filter).stdout, b"", "{filter}");
    }
    let log = centre.errors().unwrap();
    assert_eq!(log.matches("subscription refused: subscribe to `v1/#`").count(), 1, "{log}");
    assert!(log.contains("filter=\"gw/#\""), "{log}");
}

/// Everything in a folder and below.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts a free TCP port in the place of the one that `old` ends with.
fn replace(path: &Path, old: &str, tcp_port: u16) {
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.matches(old).count(), 1, "{}:\n{text}", path.display());
    let kept = old.trim_end_matches(|c: char| c.is_ascii_digit());
    fs::write(path, text.replace(old, &format!("{kept}{tcp_port}"))).unwrap();
}
