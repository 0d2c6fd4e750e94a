//! Records per second through append and commit with a real fdatasync, by records per commit; prints the bytes written.
//! Must never run on a file system in memory: set `SPOOL_BENCH_DIR` when the target directory is on one.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::host::Entropy;
use model::{RecordType, Timestamp};
use spool::{Draft, Spool, SpoolConfig};

const BODY_BYTES: usize = 256;

struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn draft() -> Draft {
    let time = Timestamp(1_700_000_000_000_000);
    let body = vec![0xA5; BODY_BYTES];
    Draft { record_type: RecordType::Data, samples: 100, ts_min: time, ts_max: time, body }
}

fn append_and_commit(c: &mut Criterion) {
    let base = std::env::var_os("SPOOL_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    std::fs::create_dir_all(&base).expect("the bench directory can be made");
    let mut group = c.benchmark_group("append");
    for records in [1u64, 100, 1_000] {
        let dir = tempfile::tempdir_in(&base).expect("the bench directory can be written");
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
                    black_box(spool.ack(durable).expect("it is durable"))
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

criterion_group!(benches, append_and_commit);
criterion_main!(benches);
