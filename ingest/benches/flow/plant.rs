//! Frames of 1 000 points read 12 times, a second apart: a tenth counters, a tenth states, the others analogues with a
//! little noise.

use model::dictionary::{DisplayName, Place};
use model::frame::{encode_frame, hash_of_frame, hash_of_log_start};
use model::{
    Batch, Dictionary, FrameHeader, LogId, PointId, PointIndex, PointInfo, PointKind, Quality,
    RecordType, Sample, Sequence, Timestamp, Unit, Value, ValueType,
};

const POINTS: u32 = 1_000;
const TIMES: i64 = 12;
/// Samples in one frame.
pub(crate) const SAMPLES_PER_FRAME: usize = 12_000;
const START: i64 = 1_767_225_600_000_000;

/// The points of one gateway.
pub(crate) fn dictionary(number: u8) -> Dictionary {
    let point = |index: u32| {
        let (device, metric) =
            (format!("meter-{number}-{}", index / 10), format!("m{}", index % 10));
        PointInfo {
            id: PointId::new(format!("works/site-1/{device}/{metric}")).expect("an id"),
            place: Place {
                enterprise: "works".into(),
                site: "site-1".into(),
                area: None,
                line: None,
            },
            device,
            metric,
            device_name: DisplayName::default(),
            unit: Unit::ALL[0],
            kind: PointKind::Gauge,
            value_type: ValueType::Decimal { exponent: -2 },
            modulus: None,
            states: Vec::new(),
            interval_ms: None,
            profile: None,
        }
    };
    Dictionary::new((0..POINTS).map(point).collect()).expect("few points")
}

/// The frames 1 to `count` of a log.
pub(crate) fn frames(log_id: LogId, dictionary: &Dictionary, count: usize) -> Vec<Vec<u8>> {
    let mut noise = Noise(u64::from(log_id.0[0]));
    let mut values = vec![10_000_i64; POINTS as usize];
    let mut frames: Vec<Vec<u8>> = Vec::with_capacity(count);
    let mut before = hash_of_log_start(log_id);
    for (number, sequence) in (0_i64..).zip(1_u64..).take(count) {
        let samples = samples(START + number * TIMES * 1_000_000, &mut values, &mut noise);
        let header = FrameHeader {
            record_type: RecordType::Data,
            sequence: Sequence(sequence),
            samples: samples.len() as u32,
            ts_min: samples.iter().map(|sample| sample.source_time).min().expect("samples"),
            ts_max: samples.iter().map(|sample| sample.source_time).max().expect("samples"),
            salt: 1,
            body_len: 0,
        };
        let batch = Batch { dictionary: dictionary.hash(), samples };
        let body = model::codec::encode(&batch).expect("samples of one dictionary");
        let mut bytes = Vec::new();
        encode_frame(&header, &before, &body, &mut bytes).expect("a small body");
        before = hash_of_frame(&bytes);
        frames.push(bytes);
    }
    frames
}

fn samples(start: i64, values: &mut [i64], noise: &mut Noise) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(SAMPLES_PER_FRAME);
    for (index, value) in (0..POINTS).zip(values) {
        for step in 0..TIMES {
            match index % 10 {
                0 => *value += noise.below(4),
                1 => *value = i64::from(noise.below(600) == 0),
                _ => *value += noise.below(21) - 10,
            }
            let source = Timestamp(start + step * 1_000_000 + 1_000 * noise.below(20));
            let seen = Timestamp(source.0 + 2_000);
            let value = Value::Decimal(*value);
            samples.push(Sample::new(PointIndex(index), source, seen, Quality::GOOD, value));
        }
    }
    samples
}

/// The same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}
