//! `nengliu demo`: a simulated plant, the centre and Table 1 in this process, and the gateway as the program that it is.
//!
//! The gateway reads the plant over Modbus TCP, Modbus RTU and OPC UA, the readings go through its spool, the embedded
//! broker, ingest and the lake, as they would between machines. Must never take a short cut past one of them.

mod edge;
mod folder;
mod outcome;
mod plant;
mod show;

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use model::host::Clock as _;
use program::{OutputError, OutputFault, SystemClock};

use super::output;
use crate::cli::DemoArgs;
use crate::exit;
use folder::Folder;
use outcome::{Outcome, Verdict};
use plant::{DemoError, DemoPlant};

/// How often the first Table 1 is tried.
const TABLE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn demo(args: DemoArgs) -> u8 {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        program::tell!("error EN-A005: cannot listen for signals");
        return exit::FAILED;
    };
    match run(&args, &mut terminate, &mut interrupt).await {
        Ok(outcome) => {
            let printed = if args.json {
                program::print_line(outcome.as_json())
            } else {
                program::print(outcome.in_words(program::language()))
            };
            if args.json
                && let Some(early) = outcome.stopped_early()
            {
                program::tell!("{}", early.get(program::language()));
            }
            match printed {
                Err(e) if e.fault() == OutputFault::NobodyReads => exit::OK,
                printed => {
                    output::written(printed).map_or_else(|code| code, |()| judge(outcome.verdict()))
                }
            }
        }
        Err(e) => e.show(),
    }
}

/// Whether there is somebody to go on for: a demo that nobody reads any more, or that cannot print, stops in order.
fn is_printed(printed: &Result<(), OutputError>) -> bool {
    if let Err(e) = printed
        && e.fault() != OutputFault::NobodyReads
    {
        program::show_error("EN-A002", e, "the demo ends");
    }
    printed.is_ok()
}

/// Says what is wrong, and returns the exit code.
fn judge(verdict: Verdict) -> u8 {
    match verdict {
        // Stopping early is what somebody wanted: it was said that nothing is compared.
        Verdict::Good | Verdict::TooShort => exit::OK,
        Verdict::Wrong => {
            program::show_words(
                "EN-D002",
                "the figures above do not agree",
                "this is a fault of the program: please report it with the lines above",
            );
            exit::FAILED
        }
    }
}

/// Starts the plant; `None` when it was told to stop meanwhile.
async fn start(
    args: &DemoArgs,
    terminate: &mut Signal,
    interrupt: &mut Signal,
) -> Result<Option<DemoPlant>, DemoError> {
    let failed = tokio::select! {
        started = DemoPlant::start(args) => match started {
            Ok(plant) => return Ok(Some(plant)),
            Err(e) => e,
        },
        _ = terminate.recv() => return Ok(None),
        _ = interrupt.recv() => return Ok(None),
    };
    // Ctrl-C reaches the gateway, too, which may be the first to stop.
    tokio::select! {
        _ = terminate.recv() => Ok(None),
        _ = interrupt.recv() => Ok(None),
        () = tokio::time::sleep(TABLE_INTERVAL) => Err(failed),
    }
}

async fn run(
    args: &DemoArgs,
    terminate: &mut Signal,
    interrupt: &mut Signal,
) -> Result<Outcome, DemoError> {
    let _folder = Folder::take(&args.folder)?;
    program::tell!(
        "starting a simulated plant, a gateway, a broker, ingest and a lake in `{}` …",
        args.folder.display()
    );
    let Some(mut plant) = start(args, terminate, interrupt).await? else {
        return Ok(Outcome::default());
    };
    let clock = SystemClock::default();
    let started = clock.monotonic();
    let mut can_print = is_printed(&program::print_line("plant started"));
    program::tell!("{}", show::how_to_listen(plant.tcp_port()).get(program::language()));
    let mut shown = false;
    let mut timer = tokio::time::interval(TABLE_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = args.run_for.map(|run_for| started + run_for);
    while can_print {
        tokio::select! {
            _ = timer.tick() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        if end.is_some_and(|end| clock.monotonic() >= end) {
            break;
        }
        if !shown {
            let status = match plant.gateway_status().await {
                Ok(status) => status,
                // Ctrl-C reaches both programs at once, so the gateway may be the first to stop.
                Err(e) => tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    () = tokio::time::sleep(TABLE_INTERVAL) => return Err(e),
                },
            };
            show::progress(&status, clock.monotonic().saturating_sub(started));
            if plant.has_read_back(&status)
                && let Some(table) = plant.complete_table().await?
            {
                shown = true;
                let text = [
                    show::live_values(&plant.gateway_status().await?, &args.folder),
                    show::table(&table, clock.monotonic().saturating_sub(started)),
                    show::what_next(args, plant.period(), plant.tcp_port()),
                ];
                can_print = is_printed(&program::print(text.concat()));
            }
        }
    }
    program::tell!("stopping: reading ends, what was read is committed …");
    plant.stop().await
}
