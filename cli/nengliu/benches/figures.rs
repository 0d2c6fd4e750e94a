//! Figures from large tables: how fast rows become a figure, how much memory that takes, how much of a table is read.
//! `cargo xtask bench nengliu/figures`; with `NENGLIU_LONG=1` at full size. Must never be read as a test: it asserts nothing.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, of a few digits"
)]

#[path = "figures/scan.rs"]
mod scan;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use analytics::{PlantFiles, StoreView};
use contract::{AdmittedFrame, Cancel, CommitDraft, WatermarkMove};
use lake::{Lake, LakeOptions, Snapshot};
use model::dictionary::DisplayName;
use model::host::Clock;
use model::{
    Batch, Dictionary, GatewayId, LogId, Place, PointId, PointIndex, PointInfo, PointKind, Quality,
    Sample, Sequence, Timestamp, Unit, Value, ValueType,
};
use tokio::runtime::Runtime;

/// 2026-01-01 in Shanghai.
const START: i64 = 1_767_196_800_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Samples of a frame.
const FRAME_SAMPLES: usize = 20_000;

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp(START + 400 * DAY)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A lake that is written a commit at a time.
struct Writer {
    lake: Lake,
    dictionary: Arc<Dictionary>,
    sequence: u64,
}

impl Writer {
    async fn new(folder: &Path, names: &[String]) -> Self {
        let point = |name: &String| PointInfo {
            id: PointId::new(format!("acme/nb-1/{name}")).expect("an id"),
            place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
            device: "d".to_owned(),
            metric: "e".to_owned(),
            device_name: DisplayName::default(),
            unit: Unit::KilowattHour,
            kind: PointKind::Counter,
            value_type: ValueType::Decimal { exponent: -2 },
            modulus: None,
            states: Vec::new(),
            interval_ms: None,
            profile: None,
        };
        let points = names.iter().map(point).collect();
        let dictionary = Arc::new(Dictionary::new(points).expect("a dictionary"));
        let mut lake =
            Lake::open(folder, LakeOptions::new(Arc::new(StandingClock))).await.expect("a lake");
        lake.put_dictionary(&dictionary).await.expect("a dictionary is kept");
        Self { lake, dictionary, sequence: 0 }
    }

    /// Commits the samples of these points from a time on, one each `every`, `count` of them.
    async fn commit(&mut self, points: &[u32], from: i64, every: i64, count: i64) {
        let (gateway, log_id) = (GatewayId::new("gw-1").expect("an id"), LogId([1; 16]));
        let stood = Sequence(self.sequence);
        let mut samples = Vec::with_capacity(points.len() * count as usize);
        for point in points {
            for at in 0..count {
                let time = Timestamp(from + at * every);
                // A register climbs, in steps that do not repeat.
                let steps = (time.0 - START) / SECOND / 7;
                let digits = steps * 10 + (steps * 7_919).rem_euclid(11) + i64::from(*point);
                let value = Value::Decimal(1_000_000_000 + digits);
                samples.push(Sample::new(PointIndex(*point), time, time, Quality::GOOD, value));
            }
        }
        let mut frames = Vec::new();
        for part in samples.chunks(FRAME_SAMPLES) {
            self.sequence += 1;
            frames.push(AdmittedFrame {
                gateway: gateway.clone(),
                log_id,
                sequence: Sequence(self.sequence),
                dictionary: Arc::clone(&self.dictionary),
                batch: Batch { dictionary: self.dictionary.hash(), samples: part.to_vec() },
            });
        }
        let step = WatermarkMove {
            gateway,
            log_id,
            stood,
            durable_upto: Sequence(self.sequence),
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        };
        let draft = CommitDraft { frames, watermarks: vec![step] };
        self.lake.commit(draft).await.expect("a commit");
    }
}

fn plant(folder: &Path, meters: &[String]) -> PlantFiles {
    let head = "[plant]\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\nrule_set = \"GB/T 2589\"\n\
                edition = \"2020\"\n[[energy_kind]]\nid = \"electricity\"\nunit = \"kWh\"\n";
    let meter = |name: &String| {
        format!(
            "[[meter]]\npoint = \"acme/nb-1/{name}\"\nenergy_kind = \"electricity\"\nrole = \"incoming\"\nunit = \"kWh\"\n"
        )
    };
    let text = meters.iter().map(meter).fold(head.to_owned(), |text, meter| text + &meter);
    let path = folder.join("plant.toml");
    fs::write(&path, text).expect("a plant file");
    PlantFiles::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A number of kilobytes that the system states of this process.
fn memory_mib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse::<f64>().unwrap_or_default() / 1_024.0
}

/// Computes the meters of a period and prints what it took; returns the bytes that were read.
fn measure(name: &str, lake: &Path, plant: &PlantFiles, period: &str) -> u64 {
    let started = Instant::now();
    let snapshot = Arc::new(Snapshot::open(lake).expect("a snapshot"));
    let opened = started.elapsed();
    let view = StoreView::new(snapshot, None).expect("a view");
    // The peak is counted from here on.
    drop(fs::write("/proc/self/clear_refs", "5"));
    let idle = memory_mib("VmRSS:");
    let computed = Instant::now();
    let period = period.parse().expect("a period");
    let metered = plant.metered(Some(&view), period, &Cancel::default()).expect("meters");
    let took = computed.elapsed().as_secs_f64();
    let peak = memory_mib("VmHWM:") - idle;
    println!("figure: {name}, opening = {:.2} s", opened.as_secs_f64());
    println!("figure: {name}, computing = {took:.2} s");
    println!("figure: {name}, rows = {}", metered.rows);
    println!("figure: {name}, rows/s = {:.2} M", metered.rows as f64 / took / 1e6);
    println!("figure: {name}, files opened = {}", metered.cost.files);
    println!("figure: {name}, memory above idle = {peak:.0} MiB");
    metered.cost.bytes
}

fn table_bytes(lake: &Path) -> u64 {
    let snapshot = Snapshot::open(lake).expect("a snapshot");
    snapshot.live_files(&lake::Selection::default()).iter().map(lake::LiveFile::bytes).sum()
}

fn folder_of(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(&path).expect("a folder");
    path
}

/// One meter, a reading a second.
fn one_meter(runtime: &Runtime, folder: &Path) {
    let year = folder_of(folder, "year");
    let meters = vec!["main/e".to_owned()];
    runtime.block_on(async {
        let mut writer = Writer::new(&year.join("lake"), &meters).await;
        for day in -1..366 {
            writer.commit(&[0], START + day * DAY, SECOND, 86_400).await;
        }
    });
    let of_one = plant(&year, &meters);
    measure("a meter at 1 Hz, year", &year.join("lake"), &of_one, "2026");
    measure("a meter at 1 Hz, month", &year.join("lake"), &of_one, "2026-06");
    measure("a meter at 1 Hz, day", &year.join("lake"), &of_one, "2026-06-15");
    scan::beside_polars("a meter at 1 Hz, year", &year.join("lake"), &meters);
    drop(fs::remove_dir_all(&year));
}

/// Meters beside fifty times as many points, a reading a minute.
fn beside_telemetry(runtime: &Runtime, folder: &Path, long: bool) {
    let month = folder_of(folder, "month");
    let devices = if long { 200 } else { 20 };
    let names: Vec<String> = (0..devices)
        .flat_map(|device| {
            let telemetry = (0..50).map(move |point| format!("d{device:03}/t{point:02}"));
            std::iter::once(format!("d{device:03}/e")).chain(telemetry)
        })
        .collect();
    let points: Vec<u32> = (0..).take(names.len()).collect();
    let meters: Vec<String> = names.iter().filter(|name| name.ends_with("/e")).cloned().collect();
    runtime.block_on(async {
        let mut writer = Writer::new(&month.join("lake"), &names).await;
        for day in 0..31 {
            writer.commit(&points, START + day * DAY, 60 * SECOND, 1_440).await;
        }
    });
    let of_many = plant(&month, &meters);
    let name = format!("{devices} meters beside {} points, month", names.len() - devices);
    let bytes = measure(&name, &month.join("lake"), &of_many, "2026-01");
    let share = 100.0 * bytes as f64 / table_bytes(&month.join("lake")) as f64;
    println!("figure: {name}, of the table's bytes = {share:.2} %");
    scan::beside_polars(&format!("20 of {name}"), &month.join("lake"), &meters[..20]);
    drop(fs::remove_dir_all(&month));
}

/// A table of many small files.
fn many_files(runtime: &Runtime, folder: &Path, long: bool) {
    let files = folder_of(folder, "files");
    let days: i64 = if long { 2_000 } else { 200 };
    let groups = 30_u32;
    let names: Vec<String> = (0..groups * 10).map(|point| format!("m{point:03}/e")).collect();
    runtime.block_on(async {
        let mut writer = Writer::new(&files.join("lake"), &names).await;
        for day in 0..days {
            for group in 0..groups {
                let points: Vec<u32> = (group * 10..group * 10 + 10).collect();
                let from = START + (day - days + 100) * DAY;
                writer.commit(&points, from, 900 * SECOND, 96).await;
            }
        }
        // Once: what follows a commit in the service would merge the files, and writes the checkpoint.
        let done = writer.lake.maintain().await.expect("what is due is done");
        assert!(done.checkpoint, "a table of this age has a checkpoint");
        writer.lake.close().await;
    });
    let of_files = plant(&files, &names[..20]);
    let name = format!("20 meters in {} files, month", days * i64::from(groups));
    measure(&name, &files.join("lake"), &of_files, "2026-01");
}

fn main() {
    let long = std::env::var_os("NENGLIU_LONG").is_some();
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    // `cargo bench … -- month` runs one of them.
    let named: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| one == name);
    if wanted("year") {
        one_meter(&runtime, folder.path());
    }
    if wanted("month") {
        beside_telemetry(&runtime, folder.path(), long);
    }
    if wanted("files") {
        many_files(&runtime, folder.path(), long);
    }
}
