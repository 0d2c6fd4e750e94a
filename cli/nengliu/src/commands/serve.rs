//! `nengliu serve`: broker, ingest and lake, and figures on a timer.

mod watch;

use std::sync::Arc;
use std::time::Duration;

use analytics::{FigureService, PlantFiles, report};
use contract::{Cancel, Readings};
use energy::{BasisChoice, Period};
use ingest::{BrokerSettings, Ingest, IngestError, IngestHost, IngestSettings, UrlBroker};
use jiff::tz::TimeZone;
use lake::{Lake, LakeError, LakeOptions, Snapshot};
use model::Timestamp;
use model::host::Clock;
use program::{SystemClock, SystemEntropy, render_problems};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::ServeArgs;
use crate::commands::quarantine;
use crate::exit;
use crate::settings::{self, AnalyticsSettings, Settings};

pub(crate) async fn serve(args: ServeArgs) -> u8 {
    let settings = match &args.config {
        Some(path) => Settings::load(path),
        None => Ok(Settings::default()),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => {
            eprintln!("{}", render_problems(&problems));
            return exit::CONFIG;
        }
    };
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("error EN-A005: cannot listen for signals");
        return exit::FAILED;
    };
    let stop = CancellationToken::new();
    let ingest = match start(&settings, stop.clone()).await {
        Ok(ingest) => ingest,
        Err(e) => return e.show(),
    };
    if let Some(tcp_port) = ingest.tcp_port() {
        tracing::info!(tcp_port, "embedded broker listens on 127.0.0.1");
    }
    tracing::info!(lake = %settings.lake.display(), "centre runs; stop it with Ctrl-C or SIGTERM");
    let ended = CancellationToken::new();
    let watch = watch::watch(ingest.status(), settings.lake.clone(), ended.clone());
    let watch = tokio::spawn(watch);
    let figures = settings.analytics.map(|analytics| {
        tokio::spawn(figures_on_timer(
            analytics,
            settings.lake,
            Arc::new(SystemClock::default()),
            stop.clone(),
        ))
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
    if let Err(e) = watch.await {
        tracing::debug!(error = %e, "the last status was not written");
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
        return exit::FAILED;
    }
    tracing::info!("centre stopped");
    exit::OK
}

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
            Self::Lake(e) => {
                let (help, code) = match e {
                    LakeError::Locked { .. } => ("or name another `[lake] folder`", exit::ACCESS),
                    e if e.is_disk_full() => ("free some space on its disk", exit::DISK_FULL),
                    e if e.is_permission_denied() => {
                        ("give this user the right to write there", exit::ACCESS)
                    }
                    // The other errors say themselves what to do.
                    _ => ("", exit::LAKE),
                };
                program::show_error("EN-L005", e, help);
                code
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
    stop: CancellationToken,
) -> Result<Ingest, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let entropy = Arc::new(SystemEntropy);
    let keeping = settings.keeping;
    let mut options = LakeOptions::new(clock.clone());
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
    let readings = readings_of(settings.lake.clone()).await;
    Ingest::start(ingest, Box::new(lake), readings, IngestHost { clock, entropy }, stop)
        .await
        .map_err(StartError::Ingest)
}

/// The lake for reading, as it stands now: what the live topics are filled from.
async fn readings_of(lake: std::path::PathBuf) -> Option<std::sync::Arc<dyn Readings>> {
    match tokio::task::spawn_blocking(move || Snapshot::open(&lake)).await {
        Ok(Ok(snapshot)) => Some(std::sync::Arc::new(snapshot)),
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

/// Computes Table 1 of this and of the last month again and again, and writes each as JSON.
async fn figures_on_timer(
    settings: AnalyticsSettings,
    lake: std::path::PathBuf,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(settings.every.max(Duration::from_secs(1)));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let settings = Arc::new(settings);
    let mut failing = false;
    let mut warned = String::new();
    let mut service = None;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        let (settings, lake) = (Arc::clone(&settings), lake.clone());
        let (known, now) = (service.clone(), clock.now());
        let work = move || {
            // It keeps what it computed: most times nothing has changed of the last month.
            let service = known.map_or_else(|| figures_of(&lake), Ok)?;
            write_figures(&settings, &service, now).map(|warnings| (service, warnings))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok((used, warnings))) => {
                service = Some(used);
                failing = false;
                // Said once, and again when they change.
                if !warnings.is_empty() && warnings != warned {
                    tracing::warn!(warnings, "plant file");
                }
                warned = warnings;
            }
            Ok(Err(reason)) if !failing => {
                failing = true;
                tracing::warn!(reason, "no figures; tried again on the timer");
            }
            Ok(Err(_)) => {}
            Err(e) => tracing::error!(error = %e, "the computation of figures ended abnormally"),
        }
    }
}

/// The figures of a lake.
fn figures_of(lake: &std::path::Path) -> Result<Arc<FigureService>, String> {
    let snapshot = Snapshot::open(lake).map_err(|e| e.to_string())?;
    Ok(Arc::new(FigureService::new(Some(Arc::new(snapshot)))))
}

/// Writes the figures and returns the warnings of the plant file.
fn write_figures(
    settings: &AnalyticsSettings,
    service: &FigureService,
    now: Timestamp,
) -> Result<String, String> {
    let plant = PlantFiles::load(&settings.plant).map_err(|problems| problems.to_string())?;
    let table1 = analytics::kpi("table1").ok_or("there is no Table 1")?;
    std::fs::create_dir_all(&settings.figures_folder).map_err(|e| e.to_string())?;
    for period in this_and_last_month(now, &plant.plant.time_zone) {
        let answer = service
            .figures(&plant, table1, period, BasisChoice::Both, &Cancel::default())
            .map_err(|e| e.to_string())?;
        for range in &answer.damaged {
            tracing::warn!(%period, reason = range.reason, "figures lack rows that cannot be read");
        }
        let path = settings.figures_folder.join(format!("table1-{period}.json"));
        let figures = crate::schema::kpi(answer.figures.json.clone());
        let text = serde_json::to_vec_pretty(&figures).map_err(|e| e.to_string())?;
        // A reader never sees half a file.
        let unfinished = path.with_extension("json.new");
        std::fs::write(&unfinished, text).map_err(|e| e.to_string())?;
        std::fs::rename(&unfinished, &path).map_err(|e| e.to_string())?;
        tracing::debug!("{}", report::text(&answer.figures.grid));
    }
    let warnings = &plant.plant.warnings;
    Ok(if warnings.0.is_empty() { String::new() } else { warnings.to_string() })
}

/// This month and the last complete one, in the plant's calendar.
pub(super) fn this_and_last_month(now: Timestamp, zone: &TimeZone) -> [Period; 2] {
    let now = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
    let today = now.to_zoned(zone.clone()).date();
    let last = today.first_of_month().yesterday().unwrap_or(today);
    [Period::Month(today.year(), today.month()), Period::Month(last.year(), last.month())]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads the files can tell a form that it does not know.
    #[test]
    fn figures_on_the_timer_name_their_form() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let made = Lake::open(&lake, LakeOptions::new(Arc::new(SystemClock::default())))
                .await
                .unwrap();
            made.close().await;
        });
        let plant = folder.path().join("plant.toml");
        let text = "[plant]\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\n\
                    rule_set = \"GB/T 2589\"\nedition = \"2020\"\n\
                    [[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n";
        std::fs::write(&plant, text).unwrap();
        let figures_folder = folder.path().join("figures");
        let (every, now) = (Duration::from_mins(5), Timestamp(1_788_000_000_000_000));
        let settings = AnalyticsSettings { plant, every, figures_folder: figures_folder.clone() };
        assert_eq!(write_figures(&settings, &figures_of(&lake).unwrap(), now).unwrap(), "");
        let mut count = 0;
        for entry in std::fs::read_dir(figures_folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(figures["schema"], "nengliu.kpi.v1");
            assert_eq!(figures["rows"][0]["kind"], "raw_coal");
            count += 1;
        }
        assert_eq!(count, 2, "this month and the last");
    }
}
