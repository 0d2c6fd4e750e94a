//! What makes samples a batch. Asked before encoding and after decoding, so that no other batch is ever sent or
//! committed. Must never know the bytes.

use crate::sample::{BATCH_SAMPLES_MAX, Sample, Value};

use super::CodecError;

/// Checks the order, INV-1, the doubles and the limit.
pub(super) fn check(samples: &[Sample]) -> Result<(), CodecError> {
    if samples.len() > BATCH_SAMPLES_MAX {
        let (found, max) = (samples.len() as u64, BATCH_SAMPLES_MAX as u64);
        return Err(CodecError::TooMany { what: "samples", found, max });
    }
    let mut before: Option<&Sample> = None;
    let mut float = None;
    for sample in samples {
        let Sample { point, source_time, .. } = *sample;
        if before.is_some_and(|before| (before.point, before.source_time) >= (point, source_time)) {
            return Err(CodecError::Order { point, source_time });
        }
        if before.is_none_or(|before| before.point != point) {
            float = None;
        }
        // INV-1: a Bad sample has no value, any other one has.
        if sample.quality.is_bad() == sample.value.is_some() {
            return Err(CodecError::ValueAgainstQuality { point, source_time });
        }
        let this = match sample.value {
            Some(Value::Float(value)) if !value.is_finite() => {
                return Err(CodecError::NotFinite { point, source_time });
            }
            Some(Value::Float(_)) => Some(true),
            Some(Value::Decimal(_)) => Some(false),
            None => float,
        };
        if float.is_some() && this != float {
            return Err(CodecError::MixedValues { point });
        }
        float = this;
        before = Some(sample);
    }
    Ok(())
}
