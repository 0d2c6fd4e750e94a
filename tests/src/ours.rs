//! Our programs as their users start them: files, arguments, signals, exit codes and output.

pub mod centre;
pub mod figures;
pub mod gateway;
pub mod one_meter;
pub mod query;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::programs::program;

/// How long a program of ours may take to be ready on a busy machine.
pub const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// What SIGTERM may take: a service manager waits no longer.
pub const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// A program that ran to its end.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

/// Runs a program of this workspace to its end.
pub fn run<'a>(name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<Ran> {
    let mut command = Command::new(program(name)?);
    command.args(arguments);
    let output = command.output().with_context(|| format!("cannot start `{name}`"))?;
    let text = |bytes| String::from_utf8(bytes).with_context(|| format!("`{name}` prints no text"));
    Ok(Ran {
        code: output.status.code(),
        output: text(output.stdout)?,
        errors: text(output.stderr)?,
    })
}
