//! Records per second through append and commit with a real fdatasync, by records per commit; prints the bytes written.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::frame::hash_of_frame;
use model::host::Entropy;
use model::{
    Batch, DictionaryHash, FrameHash, PointIndex, Quality, RecordType, Sample, Sequence, Timestamp,
    Value, codec,
};
use spool::{DestinationIndex, Draft, Spool, SpoolConfig, StoredFrame};

const BODY_BYTES: usize = 256;

struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

const HERE: DestinationIndex = DestinationIndex(0);

/// An ack as a store gives it, with the hash of the newest of these frames.
fn ack(spool: &mut Spool, durable: Sequence, frames: &[StoredFrame]) {
    let newest = frames.last().expect("something was committed");
    let hash = FrameHash(hash_of_frame(&newest.bytes));
    spool.ack(HERE, durable, Some(hash)).expect("it is durable");
}

fn draft() -> Draft {
    let time = Timestamp(1_700_000_000_000_000);
    let body = vec![0xA5; BODY_BYTES];
    Draft { record_type: RecordType::Data, samples: 100, ts_min: time, ts_max: time, body }
}

/// Where the spools of this bench lie.
fn base() -> PathBuf {
    let base = std::env::var_os("SPOOL_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    std::fs::create_dir_all(&base).expect("the bench directory can be made");
    base
}

/// 200 points at 1 Hz for 10 s.
fn batch() -> Batch {
    let sample = |number: i64| {
        let (point, second) = (number / 10, number % 10);
        let time = Timestamp(1_700_000_000_000_000 + 1_000_000 * second + 1_000 * (point % 7));
        let value = Value::Decimal(1_000 * point + 30 * second + (number * 7_919) % 13);
        let point = PointIndex(u32::try_from(point).expect("200 points"));
        Sample::new(point, time, Timestamp(time.0 + 2_000), Quality::GOOD, value)
    };
    Batch { dictionary: DictionaryHash([7; 32]), samples: (0..2_000).map(sample).collect() }
}

/// Samples per second from a batch in memory to a committed, then read and freed frame.
fn samples_through(_: &mut Criterion) {
    let batch = batch();
    for frames in [1_u64, 60] {
        let dir = tempfile::tempdir_in(base()).expect("the bench directory can be written");
        let config = SpoolConfig::new(dir.path(), 64 << 20);
        let (mut spool, _) = Spool::open_dir(config, &Fixed).expect("a new spool opens");
        let (began, mut through) = (Instant::now(), 0_u64);
        while began.elapsed() < Duration::from_secs(3) {
            let from = spool.status().next;
            for _ in 0..frames {
                let body = codec::encode(&batch).expect("a batch of one dictionary");
                spool.append(Draft { samples: 2_000, body, ..draft() }).expect("the disk works");
            }
            let durable = spool.commit().expect("the disk works");
            let read = spool.read_from(HERE, from, usize::MAX).expect("the disk works");
            ack(&mut spool, durable, black_box(&read));
            through += frames * 2_000;
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = through as f64 / began.elapsed().as_secs_f64();
        println!(
            "figure: samples/s through the spool, {frames} frames of 2 000 per commit = {rate:.0}"
        );
    }
}

fn append_and_commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for records in [1u64, 100, 1_000] {
        let dir = tempfile::tempdir_in(base()).expect("the bench directory can be written");
        let config = SpoolConfig::new(dir.path(), 64 << 20);
        let (mut spool, _) = Spool::open_dir(config, &Fixed).expect("a new spool opens");
        let mut appended = 0;
        group.throughput(Throughput::Elements(records));
        group.bench_with_input(
            BenchmarkId::new("records_per_commit", records),
            &records,
            |b, records| {
                b.iter(|| {
                    for _ in 0..*records {
                        spool.append(draft()).expect("the disk works");
                    }
                    appended += records;
                    let durable = spool.commit().expect("the disk works");
                    let newest = spool.read_from(HERE, durable, 1).expect("the disk works");
                    ack(&mut spool, durable, black_box(&newest));
                });
            },
        );
        let written = spool.status().written_bytes;
        let payload = appended * BODY_BYTES as u64;
        println!(
            "{appended} records of {BODY_BYTES} B: {payload} B given, {written} B written to segments and cursors"
        );
    }
    group.finish();
}

criterion_group!(benches, append_and_commit, samples_through);
criterion_main!(benches);
