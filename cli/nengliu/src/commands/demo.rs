//! `nengliu demo`: a simulated plant, a gateway, the centre and Table 1, in one process but over real connections.
//!
//! The gateway reads the plant over Modbus TCP, Modbus RTU and OPC UA, the readings go through its spool, the embedded
//! broker, ingest and the lake, as they would between machines. Must never take a short cut past one of them.

mod folder;
mod outcome;
mod plant;
mod show;

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::DemoArgs;
use crate::exit;
use outcome::Outcome;
use plant::{DemoError, DemoPlant};

/// How long the end waits for the last commit ack.
const LAST_ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the first Table 1 is tried.
const TABLE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn demo(args: DemoArgs) -> u8 {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("error EN-A005: cannot listen for signals");
        return exit::FAILED;
    };
    match run(&args, &mut terminate, &mut interrupt).await {
        Ok(outcome) => {
            if args.json {
                println!("{}", outcome.as_json());
            } else {
                print!("{}", outcome.in_words());
            }
            if outcome.is_good() {
                exit::OK
            } else {
                eprintln!("error EN-D002: the figures above do not agree");
                eprintln!(
                    "  try: this is a fault of the program: please report it with the lines above"
                );
                exit::FAILED
            }
        }
        Err(e) => e.show(),
    }
}

async fn run(
    args: &DemoArgs,
    terminate: &mut Signal,
    interrupt: &mut Signal,
) -> Result<Outcome, DemoError> {
    folder::prepare(&args.folder)?;
    eprintln!(
        "starting a simulated plant, a gateway, a broker, ingest and a lake in `{}` …",
        args.folder.display()
    );
    let plant = DemoPlant::start(args).await?;
    let clock = nengliu_gateway::host().clock;
    let started = clock.monotonic();
    println!("plant started");
    let mut shown = false;
    let mut timer = tokio::time::interval(TABLE_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = args.run_for.map(|run_for| started + run_for);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        if end.is_some_and(|end| clock.monotonic() >= end) {
            break;
        }
        if !shown {
            let status = plant.gateway_status().await?;
            show::progress(&status, clock.monotonic().saturating_sub(started));
            if plant.has_read_back(&status)
                && let Some(table) = plant.complete_table().await?
            {
                shown = true;
                show::live_values(&plant.gateway_status().await?);
                show::table(&table, clock.monotonic().saturating_sub(started));
                show::what_next(&args.folder, plant.period(), args.run_for);
            }
        }
    }
    eprintln!("stopping: reading ends, what was read is committed …");
    plant.stop(LAST_ACK_TIMEOUT).await
}
