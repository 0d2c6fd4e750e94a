//! What makes samples a batch. Asked before encoding and after decoding, so that no other batch is ever sent or
//! committed.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};

use crate::sample::{BATCH_SAMPLES_MAX, BATCH_TEXT_BYTES_MAX, Sample, Value};
use crate::text::Text;

use super::CodecError;

/// Checks the order, INV-1, the doubles and the limits.
pub(super) fn check(samples: &[Sample]) -> Result<(), CodecError> {
    if samples.len() > BATCH_SAMPLES_MAX {
        let (found, max) = (samples.len() as u64, BATCH_SAMPLES_MAX as u64);
        return Err(CodecError::TooMany { what: "samples", found, max });
    }
    let mut before: Option<&Sample> = None;
    let mut kind: Option<Discriminant<Value>> = None;
    let (mut texts, mut text_bytes): (HashSet<&Text>, usize) = (HashSet::new(), 0);
    for sample in samples {
        let Sample { point, source_time, .. } = *sample;
        if before.is_some_and(|before| (before.point, before.source_time) >= (point, source_time)) {
            return Err(CodecError::Order { point, source_time });
        }
        if before.is_none_or(|before| before.point != point) {
            kind = None;
        }
        // INV-1: a Bad sample has no value, any other one has.
        if sample.quality.is_bad() == sample.value.is_some() {
            return Err(CodecError::ValueAgainstQuality { point, source_time });
        }
        match &sample.value {
            Some(Value::Float(value)) if !value.is_finite() => {
                return Err(CodecError::NotFinite { point, source_time });
            }
            Some(Value::Text(text)) if texts.insert(text) => {
                text_bytes = text_bytes.saturating_add(text.as_str().len());
            }
            _ => {}
        }
        let this = sample.value.as_ref().map(discriminant).or(kind);
        if kind.is_some() && this != kind {
            return Err(CodecError::MixedValues { point });
        }
        kind = this;
        before = Some(sample);
    }
    if text_bytes > BATCH_TEXT_BYTES_MAX {
        let (found, max) = (text_bytes as u64, BATCH_TEXT_BYTES_MAX as u64);
        return Err(CodecError::TooMany { what: "bytes of text", found, max });
    }
    Ok(())
}
