//! What ingest counted, for people: a log line when something was dropped or lost, and the whole status as JSON beside
//! the table. Must never act on what it sees.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ingest::IngestStatus;
use model::host::Clock;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::tasks::{TaskStatus, Tasks};

/// Time between two looks at the status.
const INTERVAL: Duration = Duration::from_mins(1);
/// In the folder of the table; readers of Delta pass over names with a leading underscore.
const FILE: &str = "_nengliu/ingest-status.json";

/// What is looked at.
pub(super) struct Watched {
    pub(super) status: watch::Receiver<IngestStatus>,
    pub(super) tasks: Tasks,
}

/// What is written.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    ingest: IngestStatus,
    /// When this was written, milliseconds since the epoch.
    written_at_ms: i64,
    /// The tasks that run beside ingest and are started again when they fail.
    tasks: BTreeMap<&'static str, TaskStatus>,
}

/// Looks at the status once a minute, and a last time at the end.
pub(super) async fn watch(
    watched: Watched,
    lake: PathBuf,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let path = lake.join(FILE);
    let mut said = String::new();
    let mut failing = false;
    loop {
        let ends = tokio::select! {
            _ = timer.tick() => false,
            () = stop.cancelled() => true,
        };
        let ingest = watched.status.borrow().clone();
        let written_at_ms = clock.now().as_millis();
        let now = Told { ingest, written_at_ms, tasks: watched.tasks.snapshot() };
        let text = in_words(&now.ingest);
        if text != said {
            tracing::info!("since the start: {text}");
            said = text;
        }
        let failed = write(&path, &now).err();
        if let Some(reason) = failed.as_ref().filter(|_| !failing) {
            tracing::warn!(path = %path.display(), %reason, "status of ingest is not written");
        }
        failing = failed.is_some();
        if ends {
            return;
        }
    }
}

/// All counters of drops and losses that are not zero, on one line.
fn in_words(status: &IngestStatus) -> String {
    let c = &status.counters;
    let d = &c.dropped;
    let parts = [
        ("frames lost", c.frames_lost),
        ("samples lost", c.samples_lost),
        ("losses of unknown size", c.losses_unknown),
        ("connections that failed by a fault of the program", c.connections_failed),
        ("failed commits", c.commit_failures),
        ("breaks in a chain of hashes", c.chain_breaks),
        ("samples of a suspect clock", c.suspect_clock),
        ("live values left out", status.live_left_out),
        ("dropped: sent again and known", d.duplicate),
        ("dropped: out of order", d.hole),
        ("dropped: log not opened", d.not_opened),
        ("dropped: no dictionary", d.no_dictionary),
        ("dropped: too much uncommitted or too many dictionaries", d.bound),
        ("dropped: refused", d.refused),
        ("dropped: copied spool", d.forked),
        ("frames in quarantine", c.frames_quarantined),
        ("times the store went back", c.rewinds),
        ("dropped: point of another gateway", d.point_taken),
        ("dropped: too many logs", d.too_many_logs),
        ("dropped: queue full", d.queue_full),
        ("dropped: topic of no gateway", d.no_gateway),
    ];
    let parts = parts.iter().filter(|(_, count)| *count > 0);
    parts.map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

fn write(path: &Path, status: &Told) -> std::io::Result<()> {
    // A reader never sees half a file.
    let unfinished = path.with_extension("json.new");
    std::fs::write(&unfinished, serde_json::to_vec_pretty(status)?)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_or_lost_is_one_line_and_the_rest_is_silent() {
        let mut status = IngestStatus::default();
        status.counters.samples_committed = 9;
        assert_eq!(in_words(&status), "");
        status.counters.frames_lost = 5;
        status.counters.dropped.queue_full = 7;
        assert_eq!(in_words(&status), "frames lost 5, dropped: queue full 7");
    }

    #[tokio::test]
    async fn the_status_lies_beside_the_table_when_the_centre_stops() {
        let lake = tempfile::tempdir().unwrap();
        std::fs::create_dir(lake.path().join("_nengliu")).unwrap();
        let (sender, status) = watch::channel(IngestStatus::default());
        sender.send_modify(|status| status.counters.frames_lost = 5);
        let stop = CancellationToken::new();
        stop.cancel();
        let host = super::super::host();
        let (clock, tasks) = (Arc::clone(&host.clock), Tasks::new(host));
        watch(Watched { status, tasks }, lake.path().to_owned(), clock, stop).await;
        let text = std::fs::read(lake.path().join(FILE)).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(read["counters"]["frames_lost"], 5);
        assert_eq!(read["counters"]["dropped"]["queue_full"], 0);
    }
}
