//! The odd server of `tests/peers`, by asyncua.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server that runs until it is dropped.
pub(super) struct Peer {
    child: Child,
    plant: tempfile::NamedTempFile,
    tcp_port: u16,
}

impl Peer {
    /// Starts a server with this plant (JSON); nothing where there is no asyncua.
    pub(super) async fn start(plant: &str) -> Option<Self> {
        let Some(python) = python() else {
            println!("SKIPPED: no asyncua; `cargo xtask test --setup-only` installs it");
            return None;
        };
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(plant.as_bytes()).expect("a file can be written");
        let tcp_port = free_tcp_port();
        let child = run(&python, tcp_port, file.path()).await;
        Some(Self { child, plant: file, tcp_port })
    }

    pub(super) fn url(&self) -> String {
        format!("opc.tcp://127.0.0.1:{}/", self.tcp_port)
    }

    /// Kills it, as a power cut would.
    pub(super) async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Starts it again.
    pub(super) async fn start_again(&mut self) {
        let python = python().expect("it ran before");
        self.child = run(&python, self.tcp_port, self.plant.path()).await;
    }
}

async fn run(python: &Path, tcp_port: u16, plant: &Path) -> Child {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/opcua_odd_server.py");
    let mut command = Command::new(python);
    command.args(["-B", "-u"]).arg(script).arg("--port").arg(tcp_port.to_string());
    command.arg("--plant").arg(plant).kill_on_drop(true);
    if let Some(folder) = target() {
        command.arg("--cache").arg(folder);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("Python starts");
    let output = child.stdout.take().expect("its output is ours");
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("\"ready\": true") {
            return child;
        }
    }
    panic!("the server ended before it was ready");
}

pub(super) fn free_tcp_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
    listener.local_addr().expect("it listens").port()
}

fn python() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("NENGLIU_PEERS_PYTHON") {
        return Some(given.into());
    }
    Some(target()?.join("peers-venv/bin/python")).filter(|python| python.is_file())
}

/// The folder that everything is built in.
fn target() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let deps = own.ancestors().find(|folder| folder.ends_with("deps"))?;
    Some(deps.parent()?.parent()?.to_owned())
}
