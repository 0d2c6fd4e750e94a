//! The plant that the checks are made with: a gateway, its points, frames and drafts of it, and a reader of whole rows.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use model::dictionary::DisplayName;
use model::{
    Batch, Dictionary, GatewayId, LogId, Place, PointId, PointIndex, PointInfo, PointKind, Quality,
    Sample, Sequence, Timestamp, Unit, Value, ValueType,
};

use crate::draft::{AdmittedFrame, CommitDraft, WatermarkMove};
use crate::readings::{Readings, Request, column};

/// The first source time, 2026-01-01.
pub const START: i64 = 1_767_225_600_000_000;

/// A gateway with one log.
#[derive(Debug, Clone)]
pub struct Plant {
    /// Its name.
    pub gateway: GatewayId,
    /// Its log.
    pub log_id: LogId,
    /// What its points are.
    pub dictionary: Arc<Dictionary>,
}

impl Plant {
    /// A gateway of these points, each a name and a type.
    #[must_use]
    pub fn new(gateway: &str, log: u8, points: &[(&str, ValueType)]) -> Self {
        let points = points.iter().map(|(name, value_type)| point(name, *value_type)).collect();
        Self {
            gateway: GatewayId::new(gateway).expect("an id"),
            log_id: LogId([log; 16]),
            dictionary: Arc::new(Dictionary::new(points).expect("a dictionary")),
        }
    }

    /// One decimal point `acme/nb-1/m/e`, in hundredths of a kWh.
    #[must_use]
    pub fn of_one() -> Self {
        Self::new("gw-1", 1, &[("m/e", ValueType::Decimal { exponent: -2 })])
    }

    /// A frame of samples, each (point, microseconds since [`START`], value).
    #[must_use]
    pub fn frame(&self, sequence: u64, samples: &[(u32, i64, i64)]) -> AdmittedFrame {
        let sample = |&(point, at, value): &(u32, i64, i64)| good(point, at, Value::Decimal(value));
        self.frame_of(sequence, samples.iter().map(sample).collect())
    }

    /// A frame of samples as they are.
    #[must_use]
    pub fn frame_of(&self, sequence: u64, samples: Vec<Sample>) -> AdmittedFrame {
        AdmittedFrame {
            gateway: self.gateway.clone(),
            log_id: self.log_id,
            sequence: Sequence(sequence),
            dictionary: Arc::clone(&self.dictionary),
            batch: Batch { dictionary: self.dictionary.hash(), samples },
        }
    }

    /// A draft that brings the log from `stood` to the last of these frames.
    #[must_use]
    pub fn draft(&self, stood: u64, frames: Vec<AdmittedFrame>) -> Arc<CommitDraft> {
        let upto = frames.last().map_or(stood, |frame| frame.sequence.0);
        Arc::new(CommitDraft { frames, watermarks: vec![self.step(stood, upto)] })
    }

    /// A move of the log's watermark.
    #[must_use]
    pub fn step(&self, stood: u64, upto: u64) -> WatermarkMove {
        WatermarkMove {
            gateway: self.gateway.clone(),
            log_id: self.log_id,
            stood: Sequence(stood),
            durable_upto: Sequence(upto),
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        }
    }
}

/// A Good sample.
#[must_use]
pub fn good(point: u32, at: i64, value: Value) -> Sample {
    let time = Timestamp(START + at);
    Sample::new(PointIndex(point), time, time, Quality::GOOD, value)
}

fn point(name: &str, value_type: ValueType) -> PointInfo {
    let device = name.split('/').next().unwrap_or(name);
    PointInfo {
        id: PointId::new(format!("acme/nb-1/{name}")).expect("an id"),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: device.to_owned(),
        metric: "e".to_owned(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Gauge,
        value_type,
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    }
}

/// A row with all that it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The point's id after the site.
    pub point: String,
    /// Microseconds since [`START`].
    pub at: i64,
    /// Mantissa and exponent.
    pub decimal: Option<(i64, i32)>,
    /// The double.
    pub value: Option<f64>,
    /// The text.
    pub text: Option<String>,
    /// Unit, quality, status code.
    pub unit: String,
    /// The word.
    pub quality: String,
    /// The code.
    pub status: i64,
    /// Bits.
    pub flags: i32,
    /// Generation, sequence and commit.
    pub place: (i64, i64, i64),
}

/// All batches of an answer.
#[must_use]
pub fn collect(readings: &dyn Readings, request: &Request) -> Vec<RecordBatch> {
    let mut rows = readings.rows(request).expect("an answer");
    let batches: Vec<RecordBatch> = rows.by_ref().map(|batch| batch.expect("a batch")).collect();
    assert_eq!(rows.damaged(), [], "nothing is damaged");
    for batch in &batches {
        assert!(batch.num_rows() > 0, "no batch is empty");
        assert_eq!(batch.schema(), request.schema(), "the columns are those that are wanted");
    }
    batches
}

/// All rows of an answer with every column.
#[must_use]
pub fn rows_of(readings: &dyn Readings, request: &Request) -> Vec<Wanted> {
    collect(readings, request).iter().flat_map(rows_in).collect()
}

/// The rows of a batch with every column.
pub(super) fn rows_in(batch: &RecordBatch) -> Vec<Wanted> {
    let of = |name: &str| batch.column_by_name(name).expect("a column of the contract");
    let word = |name: &str, row: usize| {
        let words = of(name).as_dictionary::<Int32Type>();
        let key = usize::try_from(words.keys().value(row)).expect("a key");
        words.values().as_string::<i32>().value(key).to_owned()
    };
    let long = |name: &str, row: usize| of(name).as_primitive::<Int64Type>().value(row);
    let integer = |name: &str, row: usize| of(name).as_primitive::<Int32Type>().value(row);
    let is = |name: &str, row: usize| of(name).is_valid(row);
    let row = |row: usize| Wanted {
        point: word(column::POINT, row).trim_start_matches("acme/nb-1/").to_owned(),
        at: of(column::TS)
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .wrapping_sub(START),
        decimal: is(column::MANTISSA, row)
            .then(|| (long(column::MANTISSA, row), integer(column::EXPONENT, row))),
        value: is(column::VALUE, row)
            .then(|| of(column::VALUE).as_primitive::<Float64Type>().value(row)),
        text: is(column::TEXT, row)
            .then(|| of(column::TEXT).as_string::<i32>().value(row).to_owned()),
        unit: word(column::UNIT, row),
        quality: word(column::QUALITY, row),
        status: long(column::STATUS, row),
        flags: integer(column::FLAGS, row),
        place: (long(column::GENERATION, row), long(column::SEQ, row), long(column::COMMIT, row)),
    };
    (0..batch.num_rows()).map(row).collect()
}
