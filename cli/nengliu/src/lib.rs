//! The centre: its commands, settings and the names of the JSON that it writes. The program `nengliu` is this library with
//! a `main`. The composition root: it alone prints, exits, renders errors and chooses a store.

mod cli;
mod commands;
mod exit;
pub mod schema;
mod settings;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Carries out the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let level = if cli.is_long_running() {
        nengliu_gateway::DEFAULT_LOG
    } else {
        nengliu_gateway::QUIET_LOG
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    // One TLS provider for the whole process, named before anything can ask for one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(cli.run());
            // A task that hangs in a foreign library must not keep a stopped program alive.
            runtime.shutdown_timeout(std::time::Duration::from_millis(500));
            ExitCode::from(code)
        }
        Err(e) => {
            eprintln!("error EN-A000: cannot start the runtime: {e}");
            ExitCode::FAILURE
        }
    }
}
