//! What a row costs at rest, column by column: a merged file of noisy values, as the bench of commits makes them, with the
//! encoding of data files. Prints with `--nocapture`.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use contract::AdmittedFrame;
use model::{
    Batch, CommitNumber, Dictionary, Generation, PointId, PointIndex, PointInfo, Quality, Sample,
    Sequence, Timestamp, Value, ValueType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{START, Site, plant};
use crate::file::{self, Packing};
use crate::rows;

/// Points of the file: a tenth of them counters, a tenth states, a tenth doubles.
const POINTS: u32 = 100;
/// Seconds of each point: those of 256 commits of 10 seconds, merged twice.
const SECONDS: i64 = 2_560;

/// A small generator of noise, the same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % bound
    }
}

fn dictionary(template: &PointInfo) -> Dictionary {
    let point = |index: u32| {
        let is_double = index % 10 == 9;
        PointInfo {
            id: PointId::new(format!("works/site-1/meter-1-{:02}/m{}", index / 10, index % 10))
                .unwrap(),
            value_type: if is_double {
                ValueType::Float
            } else {
                ValueType::Decimal { exponent: -2 }
            },
            ..template.clone()
        }
    };
    Dictionary::new((0..POINTS).map(point).collect()).unwrap()
}

/// A frame of ten seconds of every point, some milliseconds late.
fn samples(commit: i64, values: &mut [i64], noise: &mut Noise) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (index, value) in (0..POINTS).zip(values) {
        for second in commit * 10..commit * 10 + 10 {
            let at = Timestamp(START + second * 1_000_000);
            let got = Timestamp(at.0 + 1_000 * (5 + noise.below(20)));
            let sample = match index % 10 {
                0 => {
                    *value += noise.below(4);
                    Value::Decimal(*value)
                }
                1 => Value::Decimal(i64::from(noise.below(600) == 0)),
                9 => {
                    *value += noise.below(21) - 10;
                    Value::Float(f64::from(i32::try_from(*value).unwrap()) / 16.0)
                }
                _ => {
                    *value += noise.below(21) - 10;
                    Value::Decimal(*value)
                }
            };
            samples.push(Sample::new(PointIndex(index), at, got, Quality::GOOD, sample));
        }
    }
    samples
}

#[test]
fn a_row_at_rest_costs_little() {
    let (site, north) = (Site::new(), plant("north", 1));
    let dictionary = Arc::new(dictionary(&north.dictionary.points[0]));
    let (mut noise, mut values) = (Noise(1), vec![10_000; POINTS as usize]);
    let frames: Vec<AdmittedFrame> = (0..SECONDS / 10)
        .map(|commit| AdmittedFrame {
            gateway: north.gateway.clone(),
            log_id: north.log_id,
            sequence: Sequence(u64::try_from(commit + 1).unwrap()),
            dictionary: Arc::clone(&dictionary),
            batch: Batch {
                dictionary: dictionary.hash(),
                samples: samples(commit, &mut values, &mut noise),
            },
        })
        .collect();
    let frames: Vec<_> = frames.iter().map(|frame| (frame, Generation(1))).collect();
    let batch = rows::build(&frames, CommitNumber(1)).unwrap();
    // As a merge has it: each row with the commit that brought it.
    let commits = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(
        batch.column_by_name("seq").unwrap(),
    )
    .clone();
    let mut columns = batch.columns().to_vec();
    *columns.last_mut().unwrap() = Arc::new(commits);
    let batch = arrow_array::RecordBatch::try_new(batch.schema(), columns).unwrap();
    let all = u32::try_from(batch.num_rows()).unwrap();
    let path = site.path().join("1-000000000001-1.parquet");
    let once = std::iter::once(Ok(batch));
    let facts = file::write(site.disk.as_ref(), &path, Packing::Tight, Timestamp(0), once)
        .unwrap()
        .unwrap();

    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let mut bytes: BTreeMap<String, i64> = BTreeMap::new();
    for group in builder.metadata().row_groups() {
        for chunk in group.columns() {
            let name = chunk.column_descr().name().to_owned();
            *bytes.entry(name).or_default() += chunk.compressed_size();
        }
    }
    let each = |bytes: u64| f64::from(u32::try_from(bytes).unwrap()) / f64::from(all);
    for (name, bytes) in bytes {
        println!("figure: bytes per row of `{name}` = {:.3}", each(u64::try_from(bytes).unwrap()));
    }
    println!("figure: bytes per row of footer and indexes = {:.3}", each(facts.tail.bytes));
    println!("figure: bytes per row in all = {:.3}", each(facts.bytes));
    assert!(each(facts.bytes) < 4.0);
}
