//! Tests of the store as a whole: a small plant that makes frames, a clock that is set by hand, a disk that counts and
//! fails, and a reader of all rows.

mod commits;
mod conformance;
mod cost;
mod crashes;
mod damage;
mod layout;
mod log_end;
mod maintenance;
mod model_test;
mod points;
#[cfg(target_os = "linux")]
mod power_cuts;
mod quarantine;
mod reading;
mod torture;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use model::dictionary::{DisplayName, Place};
use model::host::Clock;
use model::{
    Batch, Dictionary, GatewayId, LogId, PointId, PointIndex, PointInfo, PointKind, Quality,
    Sample, Sequence, Timestamp, Unit, Value, ValueType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use crate::disk::{Disk, LocalDisk};
use crate::file::day_of;
use crate::schema::column;
use crate::{AdmittedFrame, CommitDraft, Keep, Lake, LakeOptions, Snapshot, WatermarkMove};

/// The first source time, 2026-01-01.
const START: i64 = 1_767_225_600_000_000;

/// A clock that is set by hand.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.load(Ordering::Relaxed)).unwrap())
    }
}

/// The local disk, counting its syncs, that refuses on request.
#[derive(Debug, Default)]
pub(crate) struct TestDisk {
    pub(crate) files_synced: AtomicU64,
    pub(crate) directories_synced: AtomicU64,
    /// Bytes that may still be written before the disk is full; 0 for no limit.
    pub(crate) room: AtomicI64,
    /// Bytes that it says are free; 0 for no limit.
    pub(crate) free: AtomicU64,
    /// Whether it only says that it synced: for tests that are not about power cuts.
    pub(crate) is_lazy: AtomicBool,
    /// Syncs of files until one fails; 0 for none.
    pub(crate) sync_fails_in: AtomicI64,
    /// Syncs of files wait while this is set.
    pub(crate) is_held: AtomicBool,
    /// Syncs of directories until one fails; 0 for none.
    pub(crate) directory_fails_in: AtomicI64,
}

fn due(countdown: &AtomicI64) -> bool {
    countdown.load(Ordering::Relaxed) > 0 && countdown.fetch_sub(1, Ordering::Relaxed) == 1
}

impl Disk for TestDisk {
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let free = self.free.load(Ordering::Relaxed);
        Ok(if free > 0 { free } else { u64::MAX })
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::Relaxed);
        if room > 0 {
            let left = room - i64::try_from(bytes.len()).unwrap();
            if left <= 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room.store(left, Ordering::Relaxed);
        }
        LocalDisk.write(file, bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        if due(&self.sync_fails_in) {
            return Err(io::Error::other("the disk failed"));
        }
        while self.is_held.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.files_synced.fetch_add(1, Ordering::Relaxed);
        if self.is_lazy.load(Ordering::Relaxed) {
            return Ok(());
        }
        LocalDisk.sync_file(file)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if due(&self.directory_fails_in) {
            return Err(io::Error::other("the disk failed"));
        }
        self.directories_synced.fetch_add(1, Ordering::Relaxed);
        if self.is_lazy.load(Ordering::Relaxed) {
            return Ok(());
        }
        LocalDisk.sync_directory(directory)
    }
}

/// The machine's clock, by which Delta itself dates files; the clock that is set by hand starts there.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// A directory, its clock and its disk.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) disk: Arc<TestDisk>,
    pub(crate) keep: Keep,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(HandClock(AtomicI64::new(now()))),
            disk: Arc::default(),
            keep: Keep { age: Duration::from_mins(10), ..Keep::default() },
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn options(&self) -> LakeOptions {
        let mut options = LakeOptions::new(Arc::clone(&self.clock) as Arc<dyn Clock>);
        options.keep = self.keep;
        options.disk = Arc::clone(&self.disk) as Arc<dyn Disk>;
        options
    }

    pub(crate) async fn open(&self) -> Lake {
        Lake::open(self.path(), self.options()).await.unwrap()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::open(self.path()).unwrap()
    }

    /// Names of the data files in the directory, live or not.
    pub(crate) fn data_files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path().join("_data"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".parquet"))
            .collect();
        names.sort();
        names
    }
}

/// A gateway with three points: a counter in hundredths, a state, a double.
#[derive(Clone)]
pub(crate) struct Plant {
    pub(crate) gateway: GatewayId,
    pub(crate) log_id: LogId,
    pub(crate) dictionary: Arc<Dictionary>,
}

pub(crate) fn plant(gateway: &str, log: u8) -> Plant {
    let point = |metric: &str, value_type| PointInfo {
        id: PointId::new(format!("steelworks/site-1/{gateway}/{metric}")).unwrap(),
        place: Place {
            enterprise: "steelworks".into(),
            site: "site-1".into(),
            area: None,
            line: None,
        },
        device: gateway.to_owned(),
        metric: metric.to_owned(),
        device_name: DisplayName::default(),
        unit: Unit::ALL[0],
        kind: PointKind::Gauge,
        value_type,
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    };
    // Not in the order of names, so that the rows of a frame are not in the order of the table.
    let points = vec![
        point("power", ValueType::Float),
        point("energy", ValueType::Decimal { exponent: -2 }),
        point("mode", ValueType::Decimal { exponent: 0 }),
        point("running", ValueType::Bool),
        point("program", ValueType::Text),
    ];
    Plant {
        gateway: GatewayId::new(gateway).unwrap(),
        log_id: LogId([log; 16]),
        dictionary: Arc::new(Dictionary::new(points).unwrap()),
    }
}

impl Plant {
    /// A frame whose content follows from its sequence alone: `times` samples of each of the first three points.
    pub(crate) fn frame(&self, sequence: u64, times: u64) -> AdmittedFrame {
        let mut samples = Vec::new();
        for point in 0..3_u32 {
            for step in 0..times {
                let number = i64::try_from(sequence * 1_000 + step).unwrap();
                let at = Timestamp(START + number * 1_000_000);
                let got = Timestamp(at.0 + 20_000);
                let point_index = PointIndex(point);
                samples.push(match point {
                    0 if number % 7 == 0 => {
                        Sample::without_value(point_index, at, got, Quality::BAD_TIMEOUT)
                    }
                    0 => {
                        let value =
                            Value::Float(f64::from(i32::try_from(number % 100).unwrap()) / 8.0);
                        Sample::new(point_index, at, got, Quality::GOOD, value)
                    }
                    1 => Sample::new(
                        point_index,
                        at,
                        got,
                        Quality::GOOD,
                        Value::Decimal(1_000_000 + number),
                    ),
                    _ => Sample::new(
                        point_index,
                        at,
                        got,
                        Quality::UNCERTAIN,
                        Value::Decimal(number % 3),
                    ),
                });
            }
        }
        AdmittedFrame {
            gateway: self.gateway.clone(),
            log_id: self.log_id,
            sequence: Sequence(sequence),
            dictionary: Arc::clone(&self.dictionary),
            batch: Batch { dictionary: self.dictionary.hash(), samples },
        }
    }

    pub(crate) fn upto(&self, sequence: u64) -> WatermarkMove {
        WatermarkMove {
            gateway: self.gateway.clone(),
            log_id: self.log_id,
            stood: Sequence(0),
            durable_upto: Sequence(sequence),
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        }
    }

    /// One frame and its watermark.
    pub(crate) fn draft(&self, sequence: u64, times: u64) -> CommitDraft {
        CommitDraft {
            frames: vec![self.frame(sequence, times)],
            watermarks: vec![self.upto(sequence)],
        }
    }
}

/// A row, in the order of the columns: point, time, gateway's time, status, mantissa, exponent, value,
/// generation, sequence, commit.
pub(crate) type Row = (String, i64, i64, i64, Option<i64>, Option<i32>, Option<u64>, i64, i64, i64);

/// Every row of the files, sorted.
pub(crate) fn rows(snapshot: &Snapshot) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in snapshot.files() {
        let of_file = rows_of(&path);
        let key = |row: &Row| (day_of(row.1), row.0.clone(), row.1, row.7, row.8);
        assert!(of_file.is_sorted_by_key(key), "rows of {} are not in order", path.display());
        rows.extend(of_file);
    }
    rows.sort();
    rows
}

/// Read by Parquet alone, without any checksum.
pub(crate) fn rows_of(path: &Path) -> Vec<Row> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    assert_eq!(builder.schema().fields(), crate::schema::schema().fields());
    builder.build().unwrap().flat_map(|batch| rows_of_batch(&batch.unwrap())).collect()
}

pub(crate) fn rows_of_batch(batch: &RecordBatch) -> Vec<Row> {
    let of = |name: &str| batch.column_by_name(name).unwrap();
    let long = |name| of(name).as_primitive::<Int64Type>().clone();
    let time = |name| of(name).as_primitive::<TimestampMicrosecondType>().clone();
    let point = of(column::POINT).as_string::<i32>();
    let (ts, gateway_ts) = (time(column::TS), time(column::GATEWAY_TS));
    let (status, mantissa) = (long(column::STATUS), long(column::MANTISSA));
    let exponent = of(column::EXPONENT).as_primitive::<Int32Type>();
    let value = of(column::VALUE).as_primitive::<Float64Type>();
    let (generation, seq) = (long(column::GENERATION), long(column::SEQ));
    let commit = long(column::COMMIT);
    (0..batch.num_rows())
        .map(|row| {
            (
                point.value(row).to_owned(),
                ts.value(row),
                gateway_ts.value(row),
                status.value(row),
                mantissa.is_valid(row).then(|| mantissa.value(row)),
                exponent.is_valid(row).then(|| exponent.value(row)),
                value.is_valid(row).then(|| value.value(row).to_bits()),
                generation.value(row),
                seq.value(row),
                commit.value(row),
            )
        })
        .collect()
}
