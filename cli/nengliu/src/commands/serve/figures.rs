//! Figures on a timer: Table 1 of this and of the last month, as JSON files. Must never hold up what is committed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use analytics::report::{self, TextOptions};
use analytics::{FigureService, PlantFiles};
use config::Problems;
use contract::Cancel;
use energy::{BasisChoice, Period};
use jiff::tz::TimeZone;
use lake::{Snapshot, Suspects};
use model::Timestamp;
use model::host::Clock;
use tokio_util::sync::CancellationToken;

use crate::settings::AnalyticsSettings;

/// Warnings that have a line of the log each.
const WARNINGS_LOGGED_MAX: usize = 20;

/// Where readings come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) lake: PathBuf,
    /// What cannot be read is told the writer.
    pub(super) suspects: Suspects,
}

/// Computes Table 1 of this and of the last month again and again, and writes each as JSON.
pub(super) async fn figures_on_timer(
    settings: Arc<AnalyticsSettings>,
    source: Source,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(settings.every.max(Duration::from_secs(1)));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    let mut warned = Problems::default();
    let mut service = None;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        let (settings, source) = (Arc::clone(&settings), source.clone());
        let (known, clock) = (service.clone(), Arc::clone(&clock));
        let work = move || {
            // It keeps what it computed: most times nothing has changed of the last month.
            let service = known.map_or_else(|| figures_of(source), Ok)?;
            write_figures(&settings, &service, clock.now()).map(|warnings| (service, warnings))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok((used, warnings))) => {
                service = Some(used);
                failing = false;
                // Said once, and again when they change.
                if warnings != warned {
                    for line in lines_of(&warnings) {
                        tracing::warn!("plant file: {line}");
                    }
                }
                warned = warnings;
            }
            Ok(Err(reason)) if !failing => {
                failing = true;
                tracing::warn!(reason, "no figures; tried again on the timer");
            }
            Ok(Err(_)) => {}
            // The panic is that of this task: whoever watches it counts it, and starts it again.
            Err(e) => match e.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(e) => tracing::debug!(error = %e, "the computation of figures was cut off"),
            },
        }
    }
}

/// The figures of a lake.
fn figures_of(source: Source) -> Result<Arc<FigureService>, String> {
    let snapshot = Snapshot::open(source.lake).map_err(|e| e.to_string())?;
    let snapshot = snapshot.telling(source.suspects);
    Ok(Arc::new(FigureService::new(Some(Arc::new(snapshot)))))
}

/// A line of the log for each warning of the plant file.
fn lines_of(warnings: &Problems) -> Vec<String> {
    let shown = warnings.0.iter().take(WARNINGS_LOGGED_MAX).map(ToString::to_string);
    let more = warnings.0.len().saturating_sub(WARNINGS_LOGGED_MAX);
    let more = (more > 0).then(|| format!("{more} more warnings: `nengliu kpi table1` names them"));
    shown.chain(more).collect()
}

/// Writes the figures and returns the warnings of the plant file.
fn write_figures(
    settings: &AnalyticsSettings,
    service: &FigureService,
    now: Timestamp,
) -> Result<Problems, String> {
    let plant = PlantFiles::load(&settings.plant).map_err(|problems| problems.to_string())?;
    let table1 = analytics::kpi("table1").ok_or("there is no Table 1")?;
    std::fs::create_dir_all(&settings.figures_folder).map_err(|e| e.to_string())?;
    let mut warnings = plant.plant.warnings.clone();
    for period in this_and_last_month(now, &plant.plant.time_zone) {
        let answer = service
            .figures(&plant, table1, period, BasisChoice::Both, &Cancel::default())
            .map_err(|e| e.to_string())?;
        // Both months tell it of a meter; it is said once.
        warnings.append(answer.warnings);
        for range in &answer.damaged {
            tracing::warn!(%period, "figures lack rows: {range}");
        }
        let path = settings.figures_folder.join(format!("table1-{period}.json"));
        let figures = crate::schema::kpi(answer.figures.json.clone());
        let text = serde_json::to_vec_pretty(&figures).map_err(|e| e.to_string())?;
        // A reader never sees half a file.
        let unfinished = path.with_extension("json.new");
        std::fs::write(&unfinished, text).map_err(|e| e.to_string())?;
        std::fs::rename(&unfinished, &path).map_err(|e| e.to_string())?;
        tracing::debug!("{}", report::text(&answer.figures.report, TextOptions::for_logs()));
    }
    Ok(warnings)
}

/// This month and the last complete one, in the plant's calendar.
pub(in crate::commands) fn this_and_last_month(now: Timestamp, zone: &TimeZone) -> [Period; 2] {
    let now = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
    let today = now.to_zoned(zone.clone()).date();
    let last = today.first_of_month().yesterday().unwrap_or(today);
    [Period::Month(today.year(), today.month()), Period::Month(last.year(), last.month())]
}

#[cfg(test)]
mod tests {
    use lake::{Lake, LakeOptions};

    use super::*;

    #[test]
    fn many_warnings_are_a_bounded_number_of_lines() {
        let warnings = |count: usize| {
            let one = |number| config::Problem::new("EN-C107", format!("warning {number}"));
            Problems((0..count).map(one).collect())
        };
        let all = lines_of(&warnings(WARNINGS_LOGGED_MAX));
        assert_eq!((all.len(), &*all[19]), (WARNINGS_LOGGED_MAX, "EN-C107: warning 19"));
        let more = lines_of(&warnings(WARNINGS_LOGGED_MAX + 5));
        assert_eq!(more.len(), WARNINGS_LOGGED_MAX + 1);
        assert_eq!(more[20], "5 more warnings: `nengliu kpi table1` names them");
    }

    /// Whoever reads the files can tell a form that it does not know.
    #[test]
    fn figures_on_the_timer_name_their_form() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let made =
                Lake::open(&lake, LakeOptions::new(super::super::host().clock)).await.unwrap();
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
        let source = Source { lake, suspects: Suspects::default() };
        let warnings = write_figures(&settings, &figures_of(source).unwrap(), now).unwrap();
        assert_eq!(warnings, Problems::default());
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
