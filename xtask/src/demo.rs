//! `cargo xtask demo`: builds the programs and becomes `nengliu demo`. Must never need root, a package manager or
//! anything but Rust and a C compiler.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::process;

/// Builds, prints how long that took, and hands this process over to the demo (so signals reach it directly).
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    process::require_c_compiler()?;
    eprintln!("building the programs (the first time takes minutes, later seconds)");
    let started = Instant::now();
    process::run_loudly(process::cargo().args(["build", "--workspace", "--bins"]))?;
    eprintln!("built in {}", process::human(started.elapsed()));

    let program = process::target_folder()?.join("debug").join("nengliu");
    let error = Command::new(&program).arg("demo").args(args).exec();
    Err(anyhow!(error).context(format!(
        "cannot start `{}`; build it with `cargo build --workspace --bins`",
        program.display()
    )))
}
