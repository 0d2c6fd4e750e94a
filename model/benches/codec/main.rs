//! What a sample costs, in bytes and in time, in our codec and in those it was chosen over. Prints the table of
//! `docs/decisions/0001-frame-codec.md`:
//!
//! ```text
//! cargo bench -p model --bench codec
//! ```

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use model::{Batch, codec, frame};

#[path = "../../src/codec/form.rs"]
mod form;
mod plant;
mod rivals;
mod varint;

use plant::{Floats, POINTS, Plant};

/// The module above asks for its types here.
mod sample {
    pub(crate) use model::{Sample, Value};
}

mod text {
    pub(crate) use model::Text;
}

/// Version byte and dictionary hash, which the others need as well.
const PREFIX_BYTES: usize = 33;
const SECONDS: [usize; 3] = [1, 10, 60];
const BATCHES: usize = 20;
const ZSTD_LEVEL: i32 = 3;
const MEASURE_AT_LEAST: Duration = Duration::from_millis(200);
const RAW_BYTES_MAX: usize = 4 * 1024 * 1024;

struct Contender {
    name: &'static str,
    prefix_bytes: usize,
    encode: fn(&Batch) -> Vec<u8>,
    decode: fn(&[u8]) -> Batch,
}

fn ours_encode(batch: &Batch) -> Vec<u8> {
    codec::encode(batch).expect("the plant keeps the rules")
}

fn ours_decode(body: &[u8]) -> Batch {
    codec::decode(body).expect("we wrote these bytes")
}

fn packed(body: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(body, ZSTD_LEVEL).expect("compression into memory does not fail")
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    zstd::bulk::decompress(body, RAW_BYTES_MAX).expect("we wrote these bytes")
}

const CONTENDERS: [Contender; 7] = [
    Contender { name: "ours", prefix_bytes: 0, encode: ours_encode, decode: ours_decode },
    Contender {
        name: "ours + zstd",
        prefix_bytes: 0,
        encode: |batch| packed(&ours_encode(batch)),
        decode: |body| ours_decode(&unpacked(body)),
    },
    Contender {
        name: "varints",
        prefix_bytes: PREFIX_BYTES,
        encode: varint::encode,
        decode: varint::decode,
    },
    Contender {
        name: "varints + zstd",
        prefix_bytes: PREFIX_BYTES,
        encode: |batch| packed(&varint::encode(batch)),
        decode: |body| varint::decode(&unpacked(body)),
    },
    Contender {
        name: "pco columns",
        prefix_bytes: PREFIX_BYTES,
        encode: rivals::pco_encode,
        decode: rivals::pco_decode,
    },
    Contender {
        name: "Parquet + zstd",
        prefix_bytes: PREFIX_BYTES,
        encode: rivals::parquet_encode,
        decode: rivals::parquet_decode,
    },
    Contender {
        name: "Arrow IPC + zstd",
        prefix_bytes: PREFIX_BYTES,
        encode: rivals::arrow_encode,
        decode: rivals::arrow_decode,
    },
];

fn batches(seconds: usize, floats: Floats) -> Vec<Batch> {
    let mut plant = Plant::new(1, floats);
    (0..BATCHES).map(|_| plant.batch(seconds)).collect()
}

/// Nanoseconds per sample of `work`, which handles all batches once.
fn nanos_per_sample(samples: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed() < MEASURE_AT_LEAST {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e9 / count(samples)
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn count(value: usize) -> f64 {
    value as f64
}

fn table(title: &str, floats: Floats) {
    println!("\n{title}\n");
    println!("| samples in a frame | codec | bytes/sample | encode ns/sample | decode ns/sample |");
    println!("|---|---|---|---|---|");
    for seconds in SECONDS {
        let batches = batches(seconds, floats);
        let samples: usize = batches.iter().map(|batch| batch.samples.len()).sum();
        for Contender { name, prefix_bytes, encode, decode } in &CONTENDERS {
            let bodies: Vec<Vec<u8>> = batches.iter().map(encode).collect();
            for (body, batch) in bodies.iter().zip(&batches) {
                assert!(decode(body) == *batch, "{name} does not give back what it got");
            }
            let bytes: usize =
                bodies.iter().map(|b| frame::frame_bytes(prefix_bytes + b.len())).sum();
            let encoding = nanos_per_sample(samples, || {
                for batch in &batches {
                    drop(black_box(encode(batch)));
                }
            });
            let decoding = nanos_per_sample(samples, || {
                for body in &bodies {
                    drop(black_box(decode(body)));
                }
            });
            println!(
                "| {} | {name} | {:.2} | {encoding:.0} | {decoding:.0} |",
                seconds * POINTS,
                count(bytes) / count(samples),
            );
        }
    }
}

fn bench(criterion: &mut Criterion) {
    for seconds in SECONDS {
        let batch = Plant::new(1, Floats::Resolved).batch(seconds);
        let body = ours_encode(&batch);
        let mut group = criterion.benchmark_group(format!("codec/{}", batch.samples.len()));
        group.throughput(Throughput::Elements(batch.samples.len() as u64));
        group.bench_function("encode", |b| b.iter(|| ours_encode(black_box(&batch))));
        group.bench_function("decode", |b| b.iter(|| ours_decode(black_box(&body))));
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion);
    criterion.final_summary();
    // `cargo test --benches` passes `--test`; figures of a debug build would be misleading.
    if !std::env::args().any(|argument| argument == "--test") {
        table("Analogues with as many digits as their resolution:", Floats::Resolved);
        table("Analogues that are floats have 24 bits of noise:", Floats::Raw);
    }
}
