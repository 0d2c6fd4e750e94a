//! A panic planted in each task of a centre: figures and watch are logged, counted and started again; without
//! admission or outbox the centre ends with a code of its own, and what it had is kept. The centre is this test
//! binary, started once more, as the gateway of [`crate::planted`].

use std::fmt::{self, Write as _};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::ours::gateway::Gateway;
use tests::ours::{one_meter, query};
use tests::peers::broker::Mosquitto;
use tests::peers::free_tcp_port;
use tests::peers::modbus::ModbusServer;
use tests::process::Process;
use tests::wait::wait_until;
use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::planted::{MESSAGE, PLANT, grow, host, plant};

const SOON: Duration = Duration::from_mins(1);
/// Names the folder of the centre that [`child`] is.
const FOLDER: &str = "NENGLIU_TEST_PLANTED_CENTRE";
/// Exit code of a centre that a task of it ended.
const EXIT_TASK: Option<i32> = Some(13);

/// The embedded broker, whose tasks ask for no time: they panic where they log what the plant names.
const EMBEDDED: &str = "ingest::broker::embedded";

struct PlantedLog {
    plant: PathBuf,
}

impl<S: Subscriber> Layer<S> for PlantedLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        grow(&self.plant, || {
            let mut line = String::new();
            event.record(&mut |_: &Field, value: &dyn fmt::Debug| {
                write!(line, "{value:?}").unwrap();
            });
            line
        });
    }
}

/// The centre that the tests of this module start; without its folder it is no test.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let gateway::Host { clock, entropy } = host(&folder);
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr);
    let planted = PlantedLog { plant: folder.join(PLANT) };
    tracing_subscriber::registry()
        .with(lines.with_filter(LevelFilter::INFO))
        .with(planted.with_filter(Targets::new().with_target(EMBEDDED, LevelFilter::DEBUG)))
        .init();
    let file = folder.join("nengliu.toml");
    let ingest_host = nengliu::IngestHost { clock, entropy };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(nengliu::serve_on(Some(&file), ingest_host));
    runtime.shutdown_background();
    std::process::exit(code.into());
}

/// A centre in which whoever is named here panics once.
fn start(folder: &Path, source: &str) -> Process {
    plant(folder, source);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["planted_centre::child", "--exact", "--nocapture"]).env(FOLDER, folder);
    Process::start("planted-centre", &command, folder).unwrap()
}

/// What the centre logged after the first `before` bytes.
fn log(centre: &Process, before: usize) -> String {
    centre.errors().unwrap().split_off(before)
}

/// The task fails, is told of, and does its work after it was started again; the centre goes on.
fn check_restarts(folder: &Path, task: &str, source: &str, before: usize, work: &Path) -> usize {
    let mut centre = start(folder, source);
    let failed = |log: &str| {
        log.lines().any(|line| {
            line.contains("task failed and is started again")
                && line.contains(MESSAGE)
                && line.contains(&format!("task=\"{task}\""))
        })
    };
    wait_until(&format!("the restart of `{task}`"), SOON, || {
        Ok(failed(&log(&centre, before)) && work.exists())
    })
    .unwrap();
    assert_eq!(centre.terminate(SOON).unwrap().code(), Some(0), "{}", log(&centre, before));
    let told = fs::read(folder.join("lake/_nengliu/ingest-status.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["tasks"][task]["failures"], 1, "{:#}", told["tasks"]);
    assert!(told["tasks"][task]["last_failure"].as_str().unwrap().contains(MESSAGE), "{told:#}");
    centre.errors().unwrap().len()
}

/// The centre ends with a code of its own, and says which task failed and why; returns the length of its log.
fn check_ends(mut centre: Process, task: &str, before: usize) -> usize {
    let ended = centre.wait(SOON).unwrap();
    let said = log(&centre, before);
    assert_eq!(ended.code(), EXIT_TASK, "{task}: {said}");
    let told = format!("error EN-A006: ingest cannot go on: {task} has ended: ");
    let with_reason = |line: &str| line.contains(&told) && line.contains(MESSAGE);
    assert!(said.lines().any(with_reason), "{task}: {said}");
    centre.errors().unwrap().len()
}

/// Filling the live topics fails and is told of; the centre goes on, and they come with the readings.
fn check_restore_fails(folder: &Path, before: usize) -> usize {
    let mut centre = start(folder, "ingest::run::restore");
    let failed = |line: &str| {
        line.contains("live topics are not filled from the store") && line.contains(MESSAGE)
    };
    wait_until("the live topics to fail", SOON, || Ok(log(&centre, before).lines().any(failed)))
        .unwrap();
    assert_eq!(centre.terminate(SOON).unwrap().code(), Some(0), "{}", log(&centre, before));
    let told = fs::read(folder.join("lake/_nengliu/ingest-status.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert!(told["live_restore_error"].as_str().unwrap().contains(MESSAGE), "{told:#}");
    centre.errors().unwrap().len()
}

#[test]
fn each_task_of_a_centre_that_panics_is_told_and_runs_again_or_ends_the_centre() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let mut broker = Mosquitto::start(folder).unwrap();
    let server = ModbusServer::tcp(folder, &one_meter::counting_registers()).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink = format!("url = \"{}\"", broker.url());
    let settings = one_meter::modbus_settings(folder, &port, &uplink).unwrap();
    let mut gateway = Gateway::start(folder, &settings).unwrap();
    one_meter::write_plant(folder).unwrap();
    let analytics = "[analytics]\nplant = \"plant.toml\"\nevery = \"5min\"\n";
    // Writes the settings of the centre, and ends with a lake that has rows.
    let mut centre = one_meter::centre_with(folder, &broker.url(), analytics).unwrap();
    gateway.wait_for_held(SOON).unwrap();
    centre.terminate().unwrap();

    let status = folder.join("lake/_nengliu/ingest-status.json");
    let figures = folder.join("figures");
    for made in [&status, &figures] {
        drop((fs::remove_file(made), fs::remove_dir_all(made)));
    }
    let before = check_restarts(folder, "watch", "serve/watch.rs", 0, &status);
    fs::remove_dir_all(&figures).ok();
    let mut before = check_restarts(folder, "figures", "serve/figures.rs", before, &figures);

    before = check_restore_fails(folder, before);

    for (task, source) in [
        ("the task that admits", "Core::publish_status"),
        ("the task that publishes", "ingest/src/outbox.rs"),
        ("the task of the store", "ingest/src/committer.rs"),
    ] {
        before = check_ends(start(folder, source), task, before);
    }
    // Its task asks for the time when a connection has ended.
    let unplanted = start(folder, "");
    wait_until("a connection to the broker", SOON, || {
        Ok(log(&unplanted, before).contains("connected to the broker"))
    })
    .unwrap();
    plant(folder, "broker/external.rs");
    broker.restart().unwrap();
    check_ends(unplanted, "the broker", before);

    // Nothing of it was lost.
    centre.start_again().unwrap();
    let before = usize::try_from(server.requests().unwrap()).unwrap();
    gateway
        .wait_for_status("frames with all that was asked", SOON, |status| {
            status["spool"]["samples_appended"].as_u64() >= u64::try_from(before).ok()
        })
        .unwrap();
    gateway.wait_for_held(SOON).unwrap();
    let rows = query::all_rows(&centre.lake()).unwrap().len();
    let after = usize::try_from(server.requests_by_now().unwrap()).unwrap();
    assert!((before..=after).contains(&rows), "{before} to {after} requests, {rows} samples");
}

#[test]
fn a_connection_that_panics_costs_itself_and_the_broker_that_takes_them_the_centre() {
    let root = tempfile::tempdir().unwrap();
    let (folder, tcp_port) = (root.path(), free_tcp_port().unwrap());
    let settings =
        format!("[lake]\nfolder = \"lake\"\nfree = \"1 MiB\"\n[broker]\ntcp_port = {tcp_port}\n");
    fs::write(folder.join("nengliu.toml"), settings).unwrap();
    let centre = start(folder, "");
    wait_until("the embedded broker", SOON, || {
        Ok(log(&centre, 0).contains("embedded broker listens"))
    })
    .unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", tcp_port)).unwrap();

    plant(folder, "no connection");
    connect().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let told = "the task of a connection failed; its client has to connect again";
    let with_reason = |line: &str| line.contains(told) && line.contains(MESSAGE);
    wait_until("the connection that failed", SOON, || Ok(log(&centre, 0).lines().any(with_reason)))
        .unwrap();

    plant(folder, "client connects");
    let client = connect();
    check_ends(centre, "the broker", 0);
    drop(client);
}
