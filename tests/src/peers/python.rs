//! The Python peers of `tests/peers`, run by the environment that `cargo xtask test` made.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::Process;
use crate::programs::{profile_folder, workspace_root};

/// A command that runs a script of `tests/peers`.
pub fn script(name: &str) -> Result<Command> {
    let mut command = interpreter()?;
    command.arg(workspace_root().join("tests/peers").join(name));
    Ok(command)
}

/// A command that runs Python with the pinned packages; no compiled files beside sources, no buffered output.
pub fn interpreter() -> Result<Command> {
    let mut command = Command::new(interpreter_path()?);
    command.args(["-B", "-u"]);
    Ok(command)
}

/// Runs a command to its end and reads its standard output as JSON.
pub fn json(command: &mut Command) -> Result<Value> {
    let output = command.output().context("cannot start Python")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}:\n{said}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{command:?} printed no JSON:\n{}", String::from_utf8_lossy(&output.stdout))
    })
}

/// How often a server process has said that it is ready.
pub(super) fn times_ready(process: &Process) -> Result<usize> {
    Ok(process.output()?.matches(r#""ready": true"#).count())
}

fn interpreter_path() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("NENGLIU_PEERS_PYTHON") {
        return Ok(given.into());
    }
    let built = profile_folder()?;
    let target = built.parent().context("cargo's profile folder has a parent")?;
    let made = target.join("peers-venv/bin/python");
    if !made.is_file() {
        bail!("no Python environment for the peers; run `cargo xtask test --setup-only` first");
    }
    Ok(made)
}
