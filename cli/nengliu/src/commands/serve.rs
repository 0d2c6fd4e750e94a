//! `nengliu serve`: broker, ingest and lake, and figures on a timer.

mod figures;
pub(super) mod points;
mod room;
mod tasks;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::Readings;
use ingest::{BrokerSettings, Ingest, IngestError, IngestHost, IngestSettings, UrlBroker};
use lake::{Lake, LakeError, LakeOptions, Snapshot, Suspects};
use program::{SystemClock, SystemEntropy, render_problems};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::ServeArgs;
use crate::commands::lake_error::{self, Wanted};
use crate::commands::quarantine;
use crate::exit;
use crate::settings::{self, Settings};

use tasks::Tasks;

pub(super) use figures::this_and_last_month;

pub(crate) async fn serve(args: ServeArgs) -> u8 {
    serve_on(args.config.as_deref(), host()).await
}

/// The real clock and randomness.
pub(super) fn host() -> IngestHost {
    IngestHost { clock: Arc::new(SystemClock::default()), entropy: Arc::new(SystemEntropy) }
}

/// Runs a centre with these settings on `host` until a signal ends it; returns the exit code. A test brings a host that
/// fails.
pub async fn serve_on(config: Option<&Path>, host: IngestHost) -> u8 {
    let settings = match config {
        Some(path) => Settings::load(path),
        None => Ok(Settings::default()),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => {
            program::tell!("{}", render_problems(&problems));
            return exit::CONFIG;
        }
    };
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        program::tell!("error EN-A005: cannot listen for signals");
        return exit::FAILED;
    };
    if let Err(e) = program::outlive_terminal(RESTART) {
        program::tell!("error EN-A005: cannot listen for SIGHUP: {e}");
        return exit::FAILED;
    }
    let stop = CancellationToken::new();
    let suspects = Suspects::default();
    let started = start_telling(&settings, host.clone(), stop.clone(), suspects.clone()).await;
    let ingest = match started {
        Ok(ingest) => ingest,
        Err(e) => return e.show(),
    };
    if let Some(tcp_port) = ingest.tcp_port() {
        tracing::info!(tcp_port, "embedded broker listens on 127.0.0.1");
    }
    tracing::info!(lake = %settings.lake.display(), "centre runs; stop it with Ctrl-C or SIGTERM");
    let ended = CancellationToken::new();
    let tasks = Tasks::new(host.clone());
    let (status, lake, clock) = (ingest.status(), settings.lake.clone(), Arc::clone(&host.clock));
    let (until, shown, free_bytes_min) =
        (ended.clone(), tasks.clone(), settings.keeping.free_bytes_min);
    let watch = tokio::spawn(tasks.clone().keep_alive("watch", ended.clone(), move || {
        let watched =
            watch::Watched { status: status.clone(), tasks: shown.clone(), free_bytes_min };
        watch::watch(watched, lake.clone(), Arc::clone(&clock), until.clone())
    }));
    let (lake, told, until) = (settings.lake.clone(), suspects.clone(), ended.clone());
    let points = tokio::spawn(tasks.clone().keep_alive("points", ended.clone(), move || {
        points::keep(lake.clone(), told.clone(), points::EVERY, until.clone())
    }));
    let figures = settings.analytics.map(|analytics| {
        let (analytics, lake, until) = (Arc::new(analytics), settings.lake, stop.clone());
        tokio::spawn(tasks.keep_alive("figures", stop.clone(), move || {
            let (clock, until) = (Arc::clone(&host.clock), until.clone());
            let source = figures::Source { lake: lake.clone(), suspects: suspects.clone() };
            figures::figures_on_timer(Arc::clone(&analytics), source, clock, until)
        }))
    });
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = ingest.failed() => Some(ended),
    };
    tracing::info!("centre stops: committing what was admitted");
    stop.cancel();
    ingest.stopped().await;
    ended.cancel();
    for task in [watch, points] {
        if let Err(e) = task.await {
            tracing::debug!(error = %e, "a task did not end in order");
        }
    }
    if let Some(task) = figures {
        task.abort();
    }
    if let Some(ended) = failed {
        program::show_error(
            "EN-A006",
            &ended,
            "start it again; what was not committed is still at the gateways",
        );
        return exit::TASK;
    }
    tracing::info!("centre stopped");
    exit::OK
}

/// How changed settings are applied.
const RESTART: &str = "To apply a change, stop the centre and start it again: the gateways keep what they read meanwhile";

/// Why the centre did not start.
#[derive(Debug)]
pub(super) enum StartError {
    Lake(LakeError),
    Ingest(IngestError),
}

impl StartError {
    /// Shows it and returns the exit code.
    pub(super) fn show(&self) -> u8 {
        match self {
            Self::Lake(e) => lake_error::show(e, Wanted::Write),
            Self::Ingest(IngestError::Store(e)) => {
                lake_error::show_store(e.as_ref(), Wanted::Write).unwrap_or_else(|| {
                    program::show_error("EN-L005", e.as_ref(), "");
                    exit::FAILED
                })
            }
            Self::Ingest(e @ IngestError::Quarantine(_)) => {
                program::show_error("EN-Q001", e, "look at `_nengliu/quarantine` in the lake");
                exit::FAILED
            }
            Self::Ingest(e) => {
                program::show_error("EN-U001", e, "correct `[broker]` in nengliu.toml");
                exit::BROKER
            }
        }
    }
}

/// Opens the lake and starts ingest on it.
pub(super) async fn start(
    settings: &Settings,
    host: IngestHost,
    stop: CancellationToken,
) -> Result<Ingest, StartError> {
    start_telling(settings, host, stop, Suspects::default()).await
}

/// The same, with the list by which other readers in this process tell the writer what they cannot read.
async fn start_telling(
    settings: &Settings,
    IngestHost { clock, entropy }: IngestHost,
    stop: CancellationToken,
    suspects: Suspects,
) -> Result<Ingest, StartError> {
    let keeping = settings.keeping;
    let mut options = LakeOptions::new(clock.clone());
    options.suspects = suspects.clone();
    (options.keep, options.group) = (keeping.keep, keeping.group);
    options.free_bytes_min = keeping.free_bytes_min;
    let lake = Lake::open(&settings.lake, options).await.map_err(StartError::Lake)?;
    let broker = match &settings.broker {
        settings::BrokerSettings::Embedded { tcp_port, passwords } => {
            BrokerSettings::Embedded { tcp_port: *tcp_port, passwords: passwords.clone() }
        }
        settings::BrokerSettings::External { url, ca_file, credentials } => {
            BrokerSettings::Url(UrlBroker {
                url: url.clone(),
                ca_file: ca_file.clone(),
                credentials: credentials.clone(),
            })
        }
    };
    let commit_interval = settings.commit_interval;
    let ingest = IngestSettings {
        commit_interval,
        live: settings.live.clone(),
        quarantine: Some(quarantine::folder(&settings.lake)),
        ..IngestSettings::new(broker)
    };
    let ingest = match settings.retry_max {
        Some(retry_max) => IngestSettings { retry_max, ..ingest },
        None => ingest,
    };
    let readings = readings_of(settings.lake.clone(), suspects).await;
    Ingest::start(ingest, Box::new(lake), readings, IngestHost { clock, entropy }, stop)
        .await
        .map_err(StartError::Ingest)
}

/// The lake for reading, as it stands now: what the live topics are filled from.
async fn readings_of(lake: PathBuf, suspects: Suspects) -> Option<Arc<dyn Readings>> {
    match tokio::task::spawn_blocking(move || Snapshot::open(&lake)).await {
        Ok(Ok(snapshot)) => Some(Arc::new(snapshot.telling(suspects))),
        Ok(Err(e)) => {
            tracing::warn!(error = %e, "live topics are not filled from the lake");
            None
        }
        Err(e) => {
            tracing::error!(error = %e, "opening the lake for reading ended abnormally");
            None
        }
    }
}
