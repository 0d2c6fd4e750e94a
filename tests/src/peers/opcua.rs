//! An OPC UA server by asyncua: encrypted, with history and live values, and a log of both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::python::{self, script, times_ready};
use super::{READY_WITHIN, free_tcp_port};
use crate::process::Process;

/// Namespace of the test nodes; asyncua gives it the index 2.
pub const NAMESPACE: &str = "urn:nengliu:tests";

const PLANT_FILE: &str = "opcua-plant.json";
const HISTORY_LOG: &str = "history-reads.jsonl";

/// What a server serves.
#[derive(Debug, Default, Clone)]
pub struct OpcUaPlant {
    /// Nodes with a history: name, and (source time in ms, value as text) in the order of time; two values at least.
    pub histories: Vec<(String, Vec<(i64, String)>)>,
    /// Nodes that live.
    pub live: Vec<LiveNode>,
    /// Delay before each answer to `HistoryRead`.
    pub page_delay: Duration,
    /// Whether it refuses subscriptions.
    pub no_subscriptions: bool,
}

/// A counter that grows by 1 to `step_max` each interval; its value is count × `scale`.
#[derive(Debug, Clone)]
pub struct LiveNode {
    /// Name of the node.
    pub id: String,
    /// Time between two values.
    pub interval: Duration,
    /// Count of the first value.
    pub start: i64,
    /// Largest step.
    pub step_max: u32,
    /// Engineering units per count.
    pub scale: f64,
    /// Seed of the steps.
    pub seed: u64,
    /// Whether the server also historizes it.
    pub historize: bool,
    /// Source times; those of the wall clock when `None`.
    pub clock: Option<LiveClock>,
}

/// A clock that goes on by the same time with each value, so that months pass in seconds.
#[derive(Debug, Clone, Copy)]
pub struct LiveClock {
    /// Source time of the first value, in ms.
    pub start_ms: i64,
    /// From one value to the next, in ms.
    pub step_ms: i64,
}

/// A running server.
#[derive(Debug)]
pub struct OpcUaServer {
    process: Process,
    folder: PathBuf,
    tcp_port: u16,
}

impl OpcUaServer {
    /// Starts a server on a free port of loopback.
    pub fn start(folder: &Path, plant: &OpcUaPlant) -> Result<Self> {
        let tcp_port = free_tcp_port()?;
        write_plant(folder, plant)?;
        let process = run(folder, tcp_port, 0)?;
        Ok(Self { process, folder: folder.to_owned(), tcp_port })
    }

    /// Its port; the same over restarts.
    #[must_use]
    pub fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// Its endpoint as a configuration names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("opc.tcp://127.0.0.1:{}/", self.tcp_port)
    }

    /// The node id of a node by its name.
    #[must_use]
    pub fn node_id(name: &str) -> String {
        format!("ns=2;s={name}")
    }

    /// The server's own certificate (DER), for the client's trust folder.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("pki/server.der")
    }

    /// Lets a client in by its certificate (DER); a running server sees it at the next session.
    pub fn trust(&self, certificate: &Path) -> Result<()> {
        let name = certificate.file_stem().context("a certificate file has a name")?;
        let target = self.folder.join("pki/trusted").join(name).with_extension("der");
        fs::copy(certificate, &target).with_context(|| {
            format!("cannot copy `{}` to `{}`", certificate.display(), target.display())
        })?;
        Ok(())
    }

    /// The values that a live node gave, or was about to give when killed: source time in ms, and count.
    pub fn given(&self, id: &str) -> Result<Vec<(i64, i64)>> {
        let path = given_file(&self.folder, id);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let pair = |line: &str| {
            let (time, count) = line.split_once(',')?;
            Some((time.parse().ok()?, count.parse().ok()?))
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    /// Number of values in each answer to `HistoryRead`, in the order of the answers.
    pub fn pages(&self) -> Result<Vec<u64>> {
        // No log is written before the first answer.
        let text = fs::read_to_string(self.folder.join(HISTORY_LOG)).unwrap_or_default();
        let page = |line: &str| -> Result<u64> {
            let line: Value = serde_json::from_str(line).context("the history log is not JSON")?;
            line["given"].as_u64().context("a line of the history log has `given`")
        };
        text.lines().map(page).collect()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Kills it if it runs and starts it again at the same port; live counters start over.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let times = times_ready(&self.process)?;
        self.process = run(&self.folder, self.tcp_port, times)?;
        Ok(())
    }

    /// Runs a command of `tests/peers/probe.py` (asyncua's client, its certificate trusted) against a node.
    pub fn probe(&self, command: &str, node: &str) -> Result<Value> {
        let pki = self.folder.join("probe");
        let certificate =
            python::json(script("probe.py")?.arg("opcua-certificate").arg("--pki").arg(&pki))?;
        let path = certificate["certificate"].as_str().context("no path of its certificate")?;
        self.trust(Path::new(path))?;
        python::json(
            script("probe.py")?
                .args([command, "--node", &Self::node_id(node)])
                .args(["--port", &self.tcp_port.to_string(), "--pki"])
                .arg(&pki),
        )
    }
}

fn given_file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("given-{id}.csv"))
}

fn write_plant(folder: &Path, plant: &OpcUaPlant) -> Result<()> {
    let mut nodes = Vec::new();
    for (id, values) in &plant.histories {
        let path = folder.join(format!("history-{id}.csv"));
        let lines: Vec<String> =
            values.iter().map(|(time, value)| format!("{time},{value}\n")).collect();
        fs::write(&path, lines.concat())
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        nodes.push(json!({ "id": id, "history_csv": path }));
    }
    for node in &plant.live {
        let live = json!({
            "interval_ms": u64::try_from(node.interval.as_millis())?,
            "start": node.start,
            "step_max": node.step_max,
            "scale": node.scale,
            "seed": node.seed,
            "historize": node.historize,
            "clock": node.clock.map(|clock| json!({ "start_ms": clock.start_ms, "step_ms": clock.step_ms })),
        });
        let given = given_file(folder, &node.id);
        nodes.push(json!({ "id": node.id, "live": live, "given_csv": given }));
    }
    let page_delay_ms = u64::try_from(plant.page_delay.as_millis())?;
    let plant = json!({
        "page_delay_ms": page_delay_ms,
        "no_subscriptions": plant.no_subscriptions,
        "nodes": nodes,
    });
    fs::write(folder.join(PLANT_FILE), plant.to_string()).context("cannot write the plant")
}

fn run(folder: &Path, tcp_port: u16, times_before: usize) -> Result<Process> {
    let mut command = script("opcua_server.py")?;
    command.args(["--port", &tcp_port.to_string(), "--pki"]).arg(folder.join("pki"));
    command.arg("--plant").arg(folder.join(PLANT_FILE));
    command.arg("--history-log").arg(folder.join(HISTORY_LOG));
    let mut process = Process::start("opcua-server", &command, folder)?;
    process.wait_until("the OPC UA server", READY_WITHIN, |process| {
        Ok(times_ready(process)? > times_before)
    })?;
    Ok(process)
}
