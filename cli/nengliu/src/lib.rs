//! The centre: its commands, settings and the names of the JSON that it writes. The program `nengliu` is this library with
//! a `main`. The composition root: it alone prints, exits, renders errors and chooses a store.

mod cli;
mod commands;
mod exit;
pub mod schema;
mod settings;

use std::process::ExitCode;

pub use commands::serve::serve_on;
pub use ingest::IngestHost;

/// Carries out the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = program::parse::<cli::Cli>();
    program::set_up(if cli.is_long_running() { program::DEFAULT_LOG } else { program::QUIET_LOG });
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(cli.run());
            // A task that hangs in a foreign library must not keep a stopped program alive.
            runtime.shutdown_timeout(std::time::Duration::from_millis(500));
            ExitCode::from(code)
        }
        Err(e) => {
            program::tell!("error EN-A000: cannot start the runtime: {e}");
            ExitCode::FAILURE
        }
    }
}
