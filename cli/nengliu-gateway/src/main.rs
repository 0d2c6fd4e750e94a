//! The program `nengliu-gateway`.

use std::process::ExitCode;

use clap::Parser;
use nengliu_gateway::commands::Cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(nengliu_gateway::DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    // One TLS provider for the whole process, named before anything can ask for one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(cli.run());
            // A look-up of a name server, or of a disk that hangs, must not keep a stopped program alive.
            runtime.shutdown_background();
            ExitCode::from(code)
        }
        Err(e) => {
            eprintln!("error GW-A000: cannot start the runtime: {e}");
            ExitCode::FAILURE
        }
    }
}
