//! What ingest counted, for people: a log line when something was dropped or lost, and the whole status as JSON beside
//! the table. Must never act on what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ingest::{DamageStatus, DamagedPartStatus, IngestStatus, LogStatus};
use model::Timestamp;
use model::host::Clock;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::room::{Room, RoomStatus};
use super::tasks::{TaskStatus, Tasks};

/// Time between two looks at the status.
const INTERVAL: Duration = Duration::from_mins(1);
/// Logs that the line of one damaged file names; the status file has all.
const FRAMES_TOLD_MAX: usize = 16;
/// In the folder of the table; readers of Delta pass over names with a leading underscore.
const FILE: &str = "_nengliu/ingest-status.json";

/// What is looked at.
pub(super) struct Watched {
    pub(super) status: watch::Receiver<IngestStatus>,
    pub(super) tasks: Tasks,
    /// `[lake] free`.
    pub(super) free_bytes_min: u64,
}

/// What is written.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    ingest: IngestStatus,
    /// When this was written, milliseconds since the epoch. While the centre runs it is never much older than a minute.
    written_at_ms: i64,
    /// Whether the clock of this host may be right. Where it cannot, times in the log and in the lake's history are wrong, and
    /// samples of gateways whose clock is right look as if they came from the future or the past.
    clock_is_plausible: bool,
    /// Whether the centre runs; one that was killed leaves a `running` that grows old.
    service: Service,
    /// The tasks that run beside ingest and are started again when they fail.
    tasks: BTreeMap<&'static str, TaskStatus>,
    /// What the disk of the lake still takes.
    room: RoomStatus,
}

/// Whether the centre runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Service {
    /// It wrote this while it ran.
    Running,
    /// It ended in order, and this was the last that it wrote: no gateway is connected.
    Ended,
}

/// The status of a centre that has ended: nobody is connected to it.
fn ended(status: IngestStatus) -> IngestStatus {
    let logs = status.logs.into_iter().map(|log| LogStatus { opened: false, ..log }).collect();
    IngestStatus { broker_connected: false, logs, ..status }
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
    let mut alarms = Alarms::default();
    let mut room = Room::new(watched.free_bytes_min);
    let (mut failing, mut was_plausible) = (false, true);
    loop {
        let ends = tokio::select! {
            _ = timer.tick() => false,
            () = stop.cancelled() => true,
        };
        let ingest = watched.status.borrow().clone();
        let (ingest, service) =
            if ends { (ended(ingest), Service::Ended) } else { (ingest, Service::Running) };
        let wall = clock.now();
        let written_at_ms = wall.as_millis();
        let clock_is_plausible = wall.is_plausible_now();
        tell_clock(wall, std::mem::replace(&mut was_plausible, clock_is_plausible));
        let free_bytes = free_bytes(&lake).await;
        let room = room.look(clock.monotonic(), free_bytes);
        let tasks = watched.tasks.snapshot();
        let now = Told { ingest, written_at_ms, clock_is_plausible, service, tasks, room };
        let text = in_words(&now.ingest);
        if text != said {
            tracing::info!("since the start: {text}");
            said = text;
        }
        alarms.tell(&now.ingest.store_damage);
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

/// Says once that the clock of this host cannot be right, and once that it may be again.
fn tell_clock(wall: Timestamp, was_plausible: bool) {
    match (was_plausible, wall.is_plausible_now()) {
        (true, false) => tracing::error!(
            now = %wall,
            "the clock of this host cannot be right: set it; until then times in this log and in the history of the lake are \
             wrong, and live values may be taken for old ones or for those of a clock that is ahead"
        ),
        (false, true) => tracing::info!(now = %wall, "the clock of this host is plausible again"),
        _ => {}
    }
}

/// Where it cannot be said, a commit says why.
async fn free_bytes(lake: &Path) -> Option<u64> {
    let lake = lake.to_owned();
    tokio::task::spawn_blocking(move || ::lake::free_bytes(&lake)).await.ok()?.ok()
}

/// What was said of damage in the lake.
#[derive(Default)]
struct Alarms {
    told: BTreeSet<String>,
}

impl Alarms {
    /// Logs each damaged part once, and once more when it is sound again.
    fn tell(&mut self, damage: &DamageStatus) {
        for line in self.news(damage) {
            tracing::error!("damage in the lake: {line}");
        }
        let is_whole = damage.parts == damage.named.len() as u64;
        let is_there = |name: &str| damage.named.iter().any(|part| part.name == name);
        // A part that only found no room among the named ones is no news.
        let sound = self.told.extract_if(.., |name| is_whole && !is_there(name));
        for name in sound {
            tracing::info!(file = name, "sound again: its rows are read");
        }
    }

    fn news(&mut self, damage: &DamageStatus) -> Vec<String> {
        let new = damage.named.iter().filter(|part| self.told.insert(part.name.clone()));
        new.map(alarm).collect()
    }
}

/// One damaged part with the rows that are lost while it is so, per gateway and sequence.
fn alarm(part: &DamagedPartStatus) -> String {
    let what = format!("`{}`: {}", part.name, part.what);
    if part.rows_lost == 0 {
        return what;
    }
    let frames = part.frames.iter().take(FRAMES_TOLD_MAX).map(|frames| {
        let (first, last) = (frames.first.0, frames.last.0);
        match (&frames.gateway, &frames.log_id) {
            (Some(gateway), Some(log_id)) => {
                format!(", frames {first} to {last} of gateway `{gateway}`, log {log_id}")
            }
            _ => format!(", frames {first} to {last} of logs that are not known"),
        }
    });
    let frames: String = frames.collect();
    let more = match part.frames.len().saturating_sub(FRAMES_TOLD_MAX) {
        0 => String::new(),
        more => format!(", and of {more} more logs"),
    };
    let rows = part.rows_lost;
    format!(
        "{what}; {rows} rows count as lost{frames}{more}; put the file back from a backup, nothing was deleted"
    )
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
        ("rows of the lake that cannot be read", status.store_damage.rows_lost),
        ("damaged files of the lake", status.store_damage.parts),
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
    // Whatever stands there may be a pipe, which nobody reads.
    drop(std::fs::remove_file(&unfinished));
    let mut options = std::fs::OpenOptions::new();
    // As the other files of the lake: for its group and nobody else.
    let mut file = options.write(true).create_new(true).mode(0o640).open(&unfinished)?;
    file.write_all(&serde_json::to_vec_pretty(status)?)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use ingest::LostFramesStatus;
    use model::{GatewayId, LogId, Sequence};

    use super::*;

    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// A centre whose host stands at 1970 or 2035 said nothing of it, and its status was for everybody.
    #[tokio::test]
    async fn the_status_tells_a_clock_that_cannot_be_right_and_is_for_the_group_alone() {
        let check = async |wall_us: i64, plausible: bool| {
            use std::os::unix::fs::PermissionsExt as _;
            let lake = tempfile::tempdir().unwrap();
            std::fs::create_dir(lake.path().join("_nengliu")).unwrap();
            let (_sender, status) = watch::channel(IngestStatus::default());
            let host = ingest::IngestHost {
                clock: Arc::new(At(wall_us)),
                entropy: Arc::new(program::SystemEntropy),
            };
            let watched = Watched { status, tasks: Tasks::new(host.clone()), free_bytes_min: 0 };
            let stop = CancellationToken::new();
            stop.cancel();
            super::watch(watched, lake.path().to_owned(), host.clock, stop).await;
            let file = lake.path().join(FILE);
            let text = std::fs::read_to_string(&file).unwrap();
            let told: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told["clock_is_plausible"], plausible, "{wall_us}");
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777 & !0o640, 0);
        };
        check(0, false).await;
        check(2_051_222_400_000_000, false).await;
        check(1_795_392_000_000_000, true).await;
    }

    #[test]
    fn what_was_dropped_or_lost_is_one_line_and_the_rest_is_silent() {
        let mut status = IngestStatus::default();
        status.counters.samples_committed = 9;
        assert_eq!(in_words(&status), "");
        status.counters.frames_lost = 5;
        status.counters.dropped.queue_full = 7;
        assert_eq!(in_words(&status), "frames lost 5, dropped: queue full 7");
    }

    #[test]
    fn each_damage_of_the_lake_is_said_once_with_its_gateway_and_frames() {
        let frames = |first| LostFramesStatus {
            gateway: GatewayId::new("north").ok(),
            log_id: Some(LogId([7; 16])),
            first: Sequence(first),
            last: Sequence(first + 8),
        };
        let part = |name: &str, logs: u64| DamagedPartStatus {
            name: name.to_owned(),
            what: "the file is missing".to_owned(),
            rows_lost: 6 * logs,
            points: None,
            times: None,
            frames: (1..=logs).map(frames).collect(),
        };
        let mut damage = DamageStatus { parts: 1, rows_lost: 6, named: vec![part("a.parquet", 1)] };
        let mut alarms = Alarms::default();
        let [line] = &alarms.news(&damage)[..] else { panic!("one line") };
        let log = "07".repeat(16);
        assert_eq!(
            *line,
            format!(
                "`a.parquet`: the file is missing; 6 rows count as lost, frames 1 to 9 of gateway `north`, \
                 log {log}; put the file back from a backup, nothing was deleted"
            )
        );
        assert!(alarms.news(&damage).is_empty(), "once");
        let more = FRAMES_TOLD_MAX as u64 + 3;
        damage.named.push(part("b.parquet", more));
        damage.parts = 2;
        let [line] = &alarms.news(&damage)[..] else { panic!("one line") };
        assert!(line.contains(", and of 3 more logs"), "{line}");
        let status = IngestStatus { store_damage: damage.clone(), ..IngestStatus::default() };
        assert_eq!(
            in_words(&status),
            "rows of the lake that cannot be read 6, damaged files of the lake 2"
        );
        // Healed, and damaged again: that is news.
        alarms.tell(&DamageStatus::default());
        assert_eq!(alarms.news(&damage).len(), 2);
    }

    #[tokio::test]
    async fn the_status_lies_beside_the_table_when_the_centre_stops() {
        let lake = tempfile::tempdir().unwrap();
        std::fs::create_dir(lake.path().join("_nengliu")).unwrap();
        let (sender, status) = watch::channel(IngestStatus::default());
        sender.send_modify(|status| {
            status.counters.frames_lost = 5;
            status.broker_connected = true;
        });
        let stop = CancellationToken::new();
        stop.cancel();
        let host = super::super::host();
        let (clock, tasks) = (Arc::clone(&host.clock), Tasks::new(host));
        let free_bytes_min = u64::MAX;
        watch(Watched { status, tasks, free_bytes_min }, lake.path().to_owned(), clock, stop).await;
        let text = std::fs::read(lake.path().join(FILE)).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(read["counters"]["frames_lost"], 5);
        assert_eq!(read["counters"]["dropped"]["queue_full"], 0);
        assert!(read["room"]["free_bytes"].as_u64() > Some(0), "{read}");
        assert_eq!(read["room"]["free_bytes_min"], u64::MAX);
        assert_eq!(read["room"]["state"], "full");
        assert_eq!((&read["service"], &read["broker_connected"]), (&"ended".into(), &false.into()));
    }

    #[test]
    fn no_gateway_is_connected_to_a_centre_that_has_ended() {
        let log = LogStatus {
            gateway: GatewayId::new("north").unwrap(),
            log_id: LogId([7; 16]),
            watermark: Sequence(7),
            held_frames: 0,
            lost_frames: 0,
            lost_samples: 0,
            opened: true,
        };
        let status = IngestStatus { broker_connected: true, logs: vec![log], ..Default::default() };
        let status = ended(status);
        assert!(!status.broker_connected && !status.logs[0].opened, "{status:?}");
    }
}
