//! INV-10: the machine's clock, randomness and network are reached in few modules, which stand here by name. Clippy's
//! `disallowed_methods` finds the calls; this checks that its list is in force and that it is silenced nowhere else.

use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::Problem;
use super::sources::RustFile;

/// The lint that `clippy.toml` fills.
const LINT: &str = "disallowed_methods";
/// Modules that reach the machine, and so may silence [`LINT`].
const MODULES: &[&str] = &[
    "broker-link/src/open.rs",
    "broker-link/src/socket.rs",
    "cli/program/src/host.rs",
    "gateway/src/mqtt.rs",
    "gateway/src/run.rs",
    "gateway/src/status_socket.rs",
    "ingest/src/broker/embedded.rs",
    "ingest/src/broker/external.rs",
    "keeper/src/thread.rs",
    "protocols/driver/src/serial.rs",
    "protocols/modbus/src/client.rs",
    "protocols/opcua/src/transport.rs",
    "protocols/simulator/src/modbus/flood.rs",
    "protocols/simulator/src/opcua/server.rs",
    "protocols/simulator/src/simulation.rs",
];
/// How a library silences it for its unit tests, blanks left out.
const IN_UNIT_TESTS: &str = "#![cfg_attr(test,allow(clippy::disallowed_methods,";
/// Programs that drive others: real time and real sockets are their job.
const TOOLS: &[&str] = &["xtask/", "tests/"];
/// One call of each kind that the list must ban.
const MUST_BAN: &[&str] = &[
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "tokio::time::Instant::now",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "rand::fill",
    "rand::rng",
    "std::net::TcpStream::connect",
    "tokio::net::TcpStream::connect",
    "tokio::net::TcpListener::bind",
    "tokio::net::UdpSocket::bind",
];

/// All rules about the environment.
pub(super) fn check(root: &Path, files: &[RustFile]) -> Result<Vec<Problem>> {
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name)).with_context(|| format!("cannot read `{name}`"))
    };
    let mut problems = check_list(&read("clippy.toml")?, &read("Cargo.toml")?)?;
    // Clippy takes the nearest file, so one that lies deeper would replace the list.
    let folders = files.iter().flat_map(|file| Path::new(&file.path).ancestors().skip(1));
    let mut deeper: Vec<_> = folders
        .filter(|folder| !folder.as_os_str().is_empty())
        .flat_map(|folder| [folder.join("clippy.toml"), folder.join(".clippy.toml")])
        .filter(|path| root.join(path).exists())
        .collect();
    deeper.sort();
    deeper.dedup();
    problems.extend(deeper.into_iter().map(|path| {
        Problem::new(path.display().to_string(), "replaces the list of `clippy.toml` (INV-10)")
    }));
    problems.extend(check_files(files, MODULES));
    Ok(problems)
}

/// The list itself.
pub(super) fn check_list(clippy: &str, workspace: &str) -> Result<Vec<Problem>> {
    let clippy: Table = clippy.parse().context("clippy.toml")?;
    let workspace: Table = workspace.parse().context("Cargo.toml")?;
    let bans = clippy.get("disallowed-methods").and_then(Value::as_array);
    let banned = |path: &str| {
        bans.is_some_and(|bans| {
            bans.iter().any(|ban| ban.get("path").and_then(Value::as_str) == Some(path))
        })
    };
    let mut problems: Vec<Problem> = MUST_BAN
        .iter()
        .filter(|path| !banned(path))
        .map(|path| Problem::new("clippy.toml", format!("does not ban `{path}` (INV-10)")))
        .collect();
    let lints = workspace.get("workspace").and_then(|table| table.get("lints"));
    let level = lints.and_then(|table| table.get("clippy")).and_then(|table| table.get(LINT));
    if level.and_then(Value::as_str) != Some("deny") {
        problems.push(Problem::new("Cargo.toml", format!("write `{LINT} = \"deny\"` (INV-10)")));
    }
    Ok(problems)
}

/// Who silences it.
pub(super) fn check_files(files: &[RustFile], modules: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        let dense: String = file
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(str::chars)
            .filter(|c| !c.is_whitespace())
            .collect();
        let mut silenced = dense.matches("clippy::disallowed_methods").count();
        if file.path.ends_with("/src/lib.rs") && dense.contains(IN_UNIT_TESTS) {
            silenced = silenced.saturating_sub(1);
        }
        let is_tool = TOOLS.iter().any(|start| file.path.starts_with(start));
        let named = modules.contains(&file.path.as_str());
        if silenced > 0 && !named && !is_tool && !file.is_test_file() {
            let text = format!(
                "silences `{LINT}`: take `model::host`, or name the module in \
                 xtask/src/tidy/environment.rs (INV-10)"
            );
            problems.push(Problem::new(&file.path, text));
        }
        if silenced == 0 && named {
            let text = "reaches the machine no longer: remove it from environment.rs";
            problems.push(Problem::new(&file.path, text));
        }
    }
    problems
}
