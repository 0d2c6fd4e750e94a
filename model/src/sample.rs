//! Samples and batches: what a driver produced, ready for the spool. Must never know where a batch is kept.

use serde::{Deserialize, Serialize};

use crate::dictionary::DictionaryHash;
use crate::id::PointIndex;
use crate::quality::Quality;
use crate::time::Timestamp;

/// Most samples in one batch, and so in one frame.
pub const BATCH_SAMPLES_MAX: usize = 20_000;

/// A value in the engineering unit of its point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// The mantissa; the point's [`crate::ValueType::Decimal`] gives the power of ten.
    Decimal(i64),
    /// A double that is neither NaN nor infinite.
    Float(f64),
}

/// One value of one point at one time.
#[doc(alias = "VTQ")]
#[doc(alias = "DataValue")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Which point, by its place in the batch's dictionary.
    pub point: PointIndex,
    /// When the value was true: the device's own time where it gives one, else the time of its response.
    pub source_time: Timestamp,
    /// When the gateway had it.
    pub gateway_time: Timestamp,
    /// How far it can be trusted.
    pub quality: Quality,
    /// The value; always `None` when the quality is Bad (INV-1).
    pub value: Option<Value>,
}

impl Sample {
    /// A sample that has a value. A double that is not a finite number becomes a Bad sample without one.
    #[must_use]
    pub fn new(
        point: PointIndex,
        source_time: Timestamp,
        gateway_time: Timestamp,
        quality: Quality,
        value: Value,
    ) -> Self {
        let unusable = quality.is_bad() || matches!(value, Value::Float(v) if !v.is_finite());
        if unusable {
            let quality = if quality.is_bad() { quality } else { Quality::BAD_OUT_OF_RANGE };
            return Self::without_value(point, source_time, gateway_time, quality);
        }
        Self { point, source_time, gateway_time, quality, value: Some(value) }
    }

    /// A sample that says why there is no value. A quality that is not Bad becomes plain Bad.
    #[must_use]
    pub fn without_value(
        point: PointIndex,
        source_time: Timestamp,
        gateway_time: Timestamp,
        quality: Quality,
    ) -> Self {
        let quality = if quality.is_bad() { quality } else { Quality::BAD };
        Self { point, source_time, gateway_time, quality, value: None }
    }
}

/// Samples of one gateway that travel and are committed together.
///
/// In a batch a point has at most one sample per source time; the samples are in the order (point, source time).
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The dictionary that the point indexes refer to.
    pub dictionary: DictionaryHash,
    /// The samples, sorted by point, then source time.
    pub samples: Vec<Sample>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_a_value_exactly_if_it_is_not_bad() {
        let check = |quality: Quality, value: Option<Value>, expected: (Quality, Option<Value>)| {
            let (point, time) = (PointIndex(0), Timestamp(0));
            let sample = match value {
                Some(value) => Sample::new(point, time, time, quality, value),
                None => Sample::without_value(point, time, time, quality),
            };
            assert_eq!((sample.quality, sample.value), expected);
            assert_eq!(sample.quality.is_bad(), sample.value.is_none(), "INV-1");
        };
        let one = Some(Value::Decimal(1));
        check(Quality::GOOD, one, (Quality::GOOD, one));
        check(Quality::UNCERTAIN, one, (Quality::UNCERTAIN, one));
        check(Quality::BAD_TIMEOUT, one, (Quality::BAD_TIMEOUT, None));
        check(Quality::BAD_TIMEOUT, None, (Quality::BAD_TIMEOUT, None));
        check(Quality::GOOD, None, (Quality::BAD, None));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Some(Value::Float(value));
            check(Quality::GOOD, value, (Quality::BAD_OUT_OF_RANGE, None));
            check(Quality::BAD_TIMEOUT, value, (Quality::BAD_TIMEOUT, None));
        }
    }
}
