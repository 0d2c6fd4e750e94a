//! From a gateway's frame through the embedded broker into a durable lake and back as a commit ack: samples per second
//! when gateways send all they may, and how long an ack takes beyond the commit interval when they send a frame a
//! second.
//!
//! The gateways, the broker, ingest and the lake share this process and its cores. A gateway keeps the product's window:
//! 64 frames or 8 MiB without a commit ack.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, of a few digits"
)]

#[path = "flow/gateway.rs"]
mod gateway;
#[path = "flow/plant.rs"]
mod plant;

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ingest::{BrokerSettings, Ingest, IngestHost, IngestSettings};
use lake::{Lake, LakeOptions, Snapshot};
use model::Timestamp;
use model::host::{Clock, Entropy};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use gateway::{Acked, Gateway, Pace};
use plant::SAMPLES_PER_FRAME;

const FLOOD_GATEWAYS: u8 = 8;
const FLOOD_FRAMES: usize = 100;
const PACED_GATEWAYS: u8 = 20;
const PACED_FRAMES: usize = 60;

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

struct Chance;

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = RandomState::new().hash_one(place).to_le_bytes()[0];
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        flood().await;
        paced().await;
    });
}

/// Every gateway sends as fast as its window lets it.
async fn flood() {
    let (acks, took, bytes) = run(FLOOD_GATEWAYS, FLOOD_FRAMES, Pace::Window).await;
    let samples = (acks.len() * SAMPLES_PER_FRAME) as f64;
    println!("figure: broker to durable lake, samples/s = {:.0}", samples / took.as_secs_f64());
    println!("figure: broker to durable lake, samples sent = {samples:.0}");
    println!("figure: bytes per row in the lake's live files after it = {:.2}", bytes / samples);
}

/// Every gateway sends one frame a second, each at a moment of its own.
async fn paced() {
    let (acks, _, _) = run(PACED_GATEWAYS, PACED_FRAMES, Pace::EverySecond).await;
    let interval = IngestSettings::new(BrokerSettings::embedded(0)).commit_interval;
    let all: Vec<f64> = acks.iter().map(|ack| ms(ack.acked - ack.sent)).collect();
    let load = f64::from(PACED_GATEWAYS) * SAMPLES_PER_FRAME as f64;
    println!("figure: paced load, samples/s = {load:.0}");
    println!("figure: commit interval [ms] = {:.0}", ms(interval));
    print_percentiles("ack latency of a frame, waiting for the interval included", &all);
    print_percentiles("ack latency above the commit interval", &above(acks, interval));
}

/// What each ack took beyond the interval that its commit waited: counted from the first frame of that commit, whose wait
/// was the whole interval. The acks of one commit follow each other closely, those of the next are an interval away.
fn above(mut acks: Vec<Acked>, interval: Duration) -> Vec<f64> {
    acks.sort_by_key(|ack| ack.acked);
    let commits = acks.chunk_by(|one, next| next.acked - one.acked < interval / 4);
    let above = |commit: &[Acked]| -> Vec<f64> {
        let first = commit.iter().map(|ack| ack.sent).min().expect("a chunk is not empty");
        commit.iter().map(|ack| ms(ack.acked - first) - ms(interval)).collect()
    };
    commits.flat_map(above).collect()
}

/// Runs a centre and its gateways until every frame has its ack. Returns the acks, the time from the first frame to the
/// last ack, and the bytes of the lake.
async fn run(gateways: u8, frames: usize, pace: Pace) -> (Vec<Acked>, Duration, f64) {
    let base = std::env::var_os("INGEST_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).expect("a folder to write in");
    let (ingest, stop) = start(dir.path()).await;
    let tcp_port = ingest.tcp_port().expect("the broker is embedded");
    let mut ready = Vec::new();
    for number in 1..=gateways {
        ready.push(Gateway::connect(tcp_port, number, frames).await);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for gateway in ready {
        running.spawn(gateway.run(pace));
    }
    let acks: Vec<Acked> = running.join_all().await.into_iter().flatten().collect();
    let took = began.elapsed();
    let status = ingest.status().borrow().clone();
    stop.cancel();
    ingest.stopped().await;
    let committed = status.counters.samples_committed;
    println!("{gateways} gateways, {frames} frames each: {committed} samples committed, {took:?}");
    println!("  dropped and sent again: {:?}", status.counters.dropped);
    (acks, took, lake_bytes(dir.path()))
}

async fn start(dir: &Path) -> (Ingest, CancellationToken) {
    let clock: Arc<dyn Clock> = Arc::new(WallClock(Instant::now()));
    let lake = Lake::open(dir, LakeOptions::new(Arc::clone(&clock))).await.expect("a new lake");
    let settings = IngestSettings::new(BrokerSettings::embedded(0));
    let stop = CancellationToken::new();
    let host = IngestHost { clock, entropy: Arc::new(Chance) };
    let ingest = Ingest::start(settings, Box::new(lake), None, host, stop.clone()).await;
    (ingest.expect("a broker on loopback"), stop)
}

fn lake_bytes(dir: &Path) -> f64 {
    let files = Snapshot::open(dir).expect("a table").files();
    let size = |path: &std::path::PathBuf| std::fs::metadata(path).expect("a live file").len();
    files.iter().map(size).sum::<u64>() as f64
}

fn print_percentiles(name: &str, values: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
        let value = sorted[((sorted.len() - 1) as f64 * share) as usize];
        println!("figure: {name}, {label} [ms] = {value:.0}");
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
