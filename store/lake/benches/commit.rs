//! Commits back to back, as fast as the disk takes them: how long one takes, whether that grows, and how small the
//! rows are at rest. `cargo bench -p lake -- [commits] [rows per commit] [gateways] [seconds that replaced files are
//! kept]`. Must never be read as what a plant needs: a plant commits every few seconds.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, of a few digits"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lake::{AdmittedFrame, CommitDraft, Lake, LakeOptions, Snapshot, WatermarkMove};
use model::dictionary::{DisplayName, Place};
use model::host::Clock;
use model::{
    Batch, Dictionary, DictionaryHash, GatewayId, LogId, PointId, PointIndex, PointInfo, PointKind,
    Quality, Sample, Sequence, Timestamp, Unit, Value, ValueType,
};

/// Points of one gateway: a tenth of them counters, a tenth states, the others analogues, a few of those doubles.
const POINTS: u32 = 100;

struct WallClock(Instant);

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Timestamp(i64::try_from(since.as_micros()).expect("before the year 200 000"))
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A small generator of noise, the same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

struct Gateway {
    id: GatewayId,
    log_id: LogId,
    dictionary: Arc<Dictionary>,
    hash: DictionaryHash,
    values: Vec<i64>,
    next: Timestamp,
}

impl Gateway {
    fn new(number: u8) -> Self {
        let points = (0..POINTS).map(|index| point(number, index)).collect();
        let dictionary = Dictionary::new(points).expect("few points");
        Self {
            id: GatewayId::new(format!("gw-{number}")).expect("an id"),
            log_id: LogId([number; 16]),
            hash: dictionary.hash(),
            dictionary: Arc::new(dictionary),
            values: vec![10_000; POINTS as usize],
            next: Timestamp(1_767_225_600_000_000),
        }
    }

    /// `times` samples of every point, a second apart, some milliseconds late.
    fn frame(&mut self, sequence: u64, times: u32, noise: &mut Noise) -> AdmittedFrame {
        let mut samples = Vec::new();
        for (index, value) in (0..POINTS).zip(&mut self.values) {
            for step in 0..times {
                let at = Timestamp(self.next.0 + i64::from(step) * 1_000_000);
                let got = Timestamp(at.0 + 1_000 * (5 + noise.below(20)));
                let sample = match index % 10 {
                    0 => {
                        *value += noise.below(4);
                        Value::Decimal(*value)
                    }
                    1 => Value::Decimal(i64::from(noise.below(600) == 0)),
                    9 => {
                        *value += noise.below(21) - 10;
                        Value::Float(f64::from(i32::try_from(*value).unwrap_or(0)) / 16.0)
                    }
                    _ => {
                        *value += noise.below(21) - 10;
                        Value::Decimal(*value)
                    }
                };
                samples.push(Sample::new(PointIndex(index), at, got, Quality::GOOD, sample));
            }
        }
        self.next.0 += i64::from(times) * 1_000_000;
        AdmittedFrame {
            gateway: self.id.clone(),
            log_id: self.log_id,
            sequence: Sequence(sequence),
            dictionary: Arc::clone(&self.dictionary),
            batch: Batch { dictionary: self.hash, samples },
        }
    }
}

fn point(gateway: u8, index: u32) -> PointInfo {
    PointInfo {
        id: PointId::new(format!("works/site-1/meter-{gateway}-{:02}/m{}", index / 10, index % 10))
            .expect("an id"),
        place: Place { enterprise: "works".into(), site: "site-1".into(), area: None, line: None },
        device: format!("meter-{gateway}-{:02}", index / 10),
        metric: format!("m{}", index % 10),
        device_name: DisplayName::default(),
        unit: Unit::ALL[0],
        kind: PointKind::Gauge,
        value_type: if index % 10 == 9 {
            ValueType::Float
        } else {
            ValueType::Decimal { exponent: -2 }
        },
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    }
}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u32>().ok());
    let commits = numbers.next().unwrap_or(3_000) as usize;
    let rows = numbers.next().unwrap_or(10_000);
    let gateways = u8::try_from(numbers.next().unwrap_or(10)).expect("at most 255 gateways");
    let keep = Duration::from_secs(numbers.next().unwrap_or(30).into());
    let times = rows.div_ceil(POINTS * u32::from(gateways));
    let dir = std::env::var_os("LAKE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(dir).expect("a directory to write in");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(dir.path(), commits, times, gateways, keep));
    if std::env::var_os("LAKE_BENCH_KEEP").is_some() {
        println!("kept in {}", dir.keep().display());
    }
}

async fn run(dir: &Path, commits: usize, times: u32, gateways: u8, keep: Duration) {
    let mut options = LakeOptions::new(Arc::new(WallClock(Instant::now())));
    options.keep.age = keep;
    let mut lake = Lake::open(dir, options).await.expect("a new table");
    let mut noise = Noise(1);
    let mut plants: Vec<Gateway> = (0..gateways).map(Gateway::new).collect();
    let (mut took, mut upkeep, mut rows, mut most_files) = (Vec::new(), Vec::new(), 0, 0);
    let start = Instant::now();
    let mut making = Duration::ZERO;
    for number in 1..=commits {
        let made = Instant::now();
        let draft = draft(&mut plants, number as u64, times, &mut noise);
        making += made.elapsed();
        let before = Instant::now();
        rows += lake.commit(draft).await.expect("a commit").rows;
        took.push(before.elapsed());
        let before = Instant::now();
        lake.maintain().await.expect("maintenance");
        upkeep.push(before.elapsed());
        most_files = most_files.max(lake.live_files().await.expect("a state"));
    }
    let all = start.elapsed().saturating_sub(making);
    let before_settling = bytes(&Snapshot::open(dir).expect("a table"));
    // What merging replaced and retention still keeps, the log and its checkpoints.
    let held = folder_bytes(dir);
    lake.settle().await.expect("the merges that are left");
    let snapshot = Snapshot::open(dir).expect("a table");
    let rows_each = rows / commits as u64;
    println!("figure: commits back to back = {commits} of {rows_each} rows, {gateways} gateways");
    println!("figure: rows/s with maintenance = {:.0}", rows as f64 / all.as_secs_f64());
    println!("figure: commit, p50 / p99 = {:.1?} / {:.1?}", at(&took, 0.5), at(&took, 0.99));
    println!(
        "figure: maintenance, p50 / p99 = {:.1?} / {:.1?}",
        at(&upkeep, 0.5),
        at(&upkeep, 0.99)
    );
    let window = 500.min(commits / 2);
    let (first, last) = (at(&took[..window], 0.5), at(&took[commits - window..], 0.5));
    println!(
        "figure: commit, median of the first / last {window} = {first:.1?} / {last:.1?}, ratio {:.2}",
        last.as_secs_f64() / first.as_secs_f64()
    );
    println!("figure: live files, most / at the end = {most_files} / {}", snapshot.files().len());
    println!(
        "figure: bytes per row, running / at rest = {:.2} / {:.2}",
        before_settling as f64 / rows as f64,
        bytes(&snapshot) as f64 / rows as f64
    );
    println!(
        "figure: bytes per row on disk, replaced files and log of {} s kept = {:.2}",
        keep.as_secs(),
        held as f64 / rows as f64
    );
    let merged: Vec<_> =
        snapshot.files().into_iter().filter(|path| !name(path).starts_with("0-")).collect();
    println!(
        "merged files {}, log files {}",
        merged.len(),
        fs::read_dir(dir.join("_delta_log")).expect("a log").count()
    );
}

fn draft(plants: &mut [Gateway], number: u64, times: u32, noise: &mut Noise) -> CommitDraft {
    let frames: Vec<AdmittedFrame> =
        plants.iter_mut().map(|plant| plant.frame(number, times, noise)).collect();
    let watermarks = frames
        .iter()
        .map(|frame| WatermarkMove {
            gateway: frame.gateway.clone(),
            log_id: frame.log_id,
            stood: Sequence(0),
            durable_upto: frame.sequence,
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        })
        .collect();
    CommitDraft { frames, watermarks }
}

fn at(durations: &[Duration], share: f64) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort();
    let place = ((sorted.len() - 1) as f64 * share) as usize;
    sorted[place]
}

fn bytes(snapshot: &Snapshot) -> u64 {
    snapshot.files().iter().map(|path| fs::metadata(path).expect("a live file").len()).sum()
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata().expect("what it is") {
            of_folder if of_folder.is_dir() => folder_bytes(&entry.path()),
            of_file => of_file.len(),
        })
        .sum()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
