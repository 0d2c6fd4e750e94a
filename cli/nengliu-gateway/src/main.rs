//! The program `nengliu-gateway`.

use std::process::ExitCode;

use nengliu_gateway::commands::Cli;

fn main() -> ExitCode {
    let cli = program::parse::<Cli>();
    program::set_up(cli.log());
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(cli.run());
            // A look-up of a name server, or of a disk that hangs, must not keep a stopped program alive.
            runtime.shutdown_background();
            ExitCode::from(code)
        }
        Err(e) => {
            program::tell!("error GW-A000: cannot start the runtime: {e}");
            ExitCode::FAILURE
        }
    }
}
