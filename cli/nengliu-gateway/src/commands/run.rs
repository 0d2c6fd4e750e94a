//! `nengliu-gateway run`.

use std::path::Path;

use config::Problems;
use gateway::RunError;
use tokio::signal::unix::{SignalKind, signal};

use super::{EXIT_ACCESS, EXIT_CONFIG, EXIT_FAILED, EXIT_OK, print_error};
use crate::{LoadError, host, load, render_problems};

pub(super) async fn run(path: &Path) -> u8 {
    let mut problems = Problems::default();
    let plan = load(path, &mut problems);
    if !problems.0.is_empty() {
        eprintln!("{}", render_problems(&problems));
    }
    let plan = match plan {
        Ok(plan) => plan,
        Err(e) => return config_error(&e),
    };
    // Asked for before anything starts, so that no signal is missed.
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("error GW-A001: cannot listen for signals");
        return EXIT_FAILED;
    };
    let handle = match gateway::start(plan, host()).await {
        Ok(handle) => handle,
        Err(e) => return start_error(&e),
    };
    tracing::info!("gateway runs; stop it with Ctrl-C or SIGTERM");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("gateway stops: committing what was read");
    match handle.stop_quickly().await {
        Ok(status) => {
            let waiting = status.uplink.frames_waiting;
            tracing::info!(waiting, durable = status.spool.durable, "gateway stopped");
            EXIT_OK
        }
        Err(e) => {
            print_error("GW-S001", &e, "look for the disk's fault above");
            EXIT_FAILED
        }
    }
}

pub(super) fn config_error(error: &LoadError) -> u8 {
    let help = match error {
        LoadError::File { .. } => "name the file with -c gateway.toml",
        LoadError::Problems { .. } => {
            "mend what stands above; `nengliu-gateway check -c …` opens nothing"
        }
    };
    print_error("GW-C000", error, help);
    EXIT_CONFIG
}

fn start_error(error: &RunError) -> u8 {
    let (code, exit, help) = match error {
        RunError::Keeper(_) => {
            ("GW-S002", EXIT_ACCESS, "stop the other program, or choose another `spool.folder`")
        }
        RunError::Mqtt(_) => ("GW-U101", EXIT_CONFIG, "correct `[uplink]`"),
        RunError::Socket { .. } => (
            "GW-A002",
            EXIT_ACCESS,
            "the spool folder must be writable, its path shorter than 90 characters",
        ),
    };
    print_error(code, error, help);
    exit
}
