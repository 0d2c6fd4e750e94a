//! A panic planted in each task of a gateway: it is logged, counted, shown by `status`, and the task runs again; only
//! without its keeper the gateway ends. The gateway is this test binary, started once more, so that the product itself
//! needs no hook: its clock and its source of randomness panic when a file says so.

use std::backtrace::Backtrace;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use model::host::{Clock, Entropy};
use program::{SystemClock, SystemEntropy};
use serde_json::Value;
use tests::ours::one_meter;
use tests::ours::run;
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::ModbusServer;
use tests::process::Process;
use tests::wait::wait_for;

const SOON: Duration = Duration::from_mins(1);
/// Names the folder of the gateway that [`child`] is.
const FOLDER: &str = "NENGLIU_TEST_PLANTED";
/// In a file of this name stands part of the path of the source file, or of the name, of the function that is to panic.
pub(crate) const PLANT: &str = "plant";
pub(crate) const MESSAGE: &str = "planted by a test";

/// The machine, which panics in whoever asks it while the plant names them.
struct Planted {
    clock: SystemClock,
    plant: PathBuf,
}

impl Planted {
    fn grow(&self) {
        grow(&self.plant, || Backtrace::force_capture().to_string());
    }
}

/// Panics if the plant names part of what its reader is.
pub(crate) fn grow(plant: &Path, reader: impl FnOnce() -> String) {
    let Ok(source) = fs::read_to_string(plant) else { return };
    let is_named = !source.is_empty() && reader().contains(&source);
    // Whoever removes it is the one: others may ask at the same time.
    assert!(!is_named || fs::remove_file(plant).is_err(), "{MESSAGE}");
}

/// A machine that panics as the plant in this folder says.
pub(crate) fn host(folder: &Path) -> gateway::Host {
    let planted = Arc::new(Planted { clock: SystemClock::default(), plant: folder.join(PLANT) });
    gateway::Host { clock: planted.clone(), entropy: planted }
}

/// Names the next function of this machine that panics.
pub(crate) fn plant(folder: &Path, source: &str) {
    // In one step, so that half a name is never read.
    fs::write(folder.join("planting"), source).unwrap();
    fs::rename(folder.join("planting"), folder.join(PLANT)).unwrap();
}

impl Clock for Planted {
    fn now(&self) -> Timestamp {
        self.grow();
        self.clock.now()
    }
    fn monotonic(&self) -> Duration {
        self.grow();
        self.clock.monotonic()
    }
}

impl Entropy for Planted {
    fn fill(&self, bytes: &mut [u8]) {
        self.grow();
        SystemEntropy.fill(bytes);
    }
}

/// The gateway that the tests of this module start; without their folder it is no test.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let host = host(&folder);
    let file = folder.join("gateway.toml");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(nengliu_gateway::commands::run_on(&file, host));
    runtime.shutdown_background();
    std::process::exit(code.into());
}

struct Planting {
    folder: tempfile::TempDir,
    gateway: Process,
    _peers: (ModbusServer, Mosquitto),
}

impl Planting {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(folder.path()).unwrap();
        let server = ModbusServer::tcp(folder.path(), &one_meter::counting_registers()).unwrap();
        let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
        let uplink = format!("url = \"{}\"", broker.url());
        let settings = one_meter::modbus_settings(folder.path(), &port, &uplink).unwrap();
        fs::write(folder.path().join("gateway.toml"), settings).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["planted::child", "--exact", "--nocapture"]);
        command.env(FOLDER, folder.path());
        let gateway = Process::start("planted", &command, folder.path()).unwrap();
        let planting = Self { folder, gateway, _peers: (server, broker) };
        planting.wait_for("a first value", |status| status["points"][0]["quality"] == "Good");
        planting
    }

    /// The status when it is as wanted.
    fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, SOON, || Ok(self.status().filter(&wanted))).unwrap()
    }

    /// What `status --json` prints; nothing while the gateway does not answer.
    fn status(&self) -> Option<Value> {
        let file = self.folder.path().join("gateway.toml");
        let ran = run("nengliu-gateway", ["status", "--json", "-c", file.to_str()?]).unwrap();
        serde_json::from_str(&ran.output).ok()
    }

    fn plant(&self, source: &str) {
        plant(self.folder.path(), source);
    }
}

/// Plants a panic in this source file of the task, and waits until the task has told of it and runs again.
fn check_restarts(planting: &Planting, task: &str, source: &str) -> Value {
    planting.plant(source);
    let told = |status: &Value| {
        let shown = &status["tasks"][task];
        let message = shown["last_failure"].as_str().unwrap_or_default();
        shown["failures"] == 1 && shown["state"] == "running" && message.contains(MESSAGE)
    };
    let status = planting.wait_for(&format!("the restart of `{task}`"), told);
    let log = planting.gateway.errors().unwrap();
    assert!(log.contains(&format!("task failed: panicked: {MESSAGE}")), "{log}");
    status
}

#[test]
fn each_task_that_panics_is_told_and_runs_again() {
    let planting = Planting::start();
    let status = check_restarts(&planting, "port line", "driver/src/poll.rs");
    let answered = |status: &Value| status["devices"]["meter"]["answered"].as_u64().unwrap();
    let before = answered(&status);
    planting.wait_for("the meter to answer again", |status| {
        answered(status) > before + 3 && status["devices"]["meter"]["answering"] == true
    });
    check_restarts(&planting, "uplink", "uplink_task.rs");
    planting.wait_for("the broker again", |status| status["uplink"]["connected"] == true);
    check_restarts(&planting, "status", "status_view.rs");
}

#[test]
fn a_gateway_whose_keeper_panics_ends_with_a_code_of_its_own_and_keeps_what_it_had() {
    let mut planting = Planting::start();
    planting.plant("keeper/src/thread.rs");
    let status = planting.gateway.wait(SOON).unwrap();
    let log = planting.gateway.errors().unwrap();
    assert_eq!(status.code(), Some(13), "{log}");
    assert!(log.contains("GW-A006") && log.contains(MESSAGE), "{log}");
}
