//! Whether a sample is one of its point: a frame that breaks the rules of its dictionary must never be born, because no
//! centre could read it.

use model::{Sample, Timestamp, Value, ValueType};

use crate::points::PointTable;

/// Why the sample must not be kept, in words; `None` for one that may.
pub(super) fn unfit(sample: &Sample, points: &PointTable) -> Option<String> {
    let Some(point) = points.point(sample.point) else {
        let points = points.len();
        return Some(format!("expected a point below {points}, found {}", sample.point.0));
    };
    if !sample.source_time.is_storable() {
        let (from, to, found) = (Timestamp::MIN, Timestamp::MAX, sample.source_time);
        return Some(format!("expected a source time from {from} to {to}, found {found}"));
    }
    match &sample.value {
        None if sample.quality.is_bad() => None,
        None => Some(format!("expected a value with quality {}, found none", sample.quality)),
        Some(_) if sample.quality.is_bad() => {
            Some(format!("expected no value with quality {}, found one", sample.quality))
        }
        Some(value) => unfit_value(value, point.value_type),
    }
}

fn unfit_value(value: &Value, expected: ValueType) -> Option<String> {
    let found = match (value, expected) {
        (Value::Float(value), ValueType::Float) if value.is_finite() => return None,
        (Value::Decimal(_), ValueType::Decimal { .. })
        | (Value::Bool(_), ValueType::Bool)
        | (Value::Text(_), ValueType::Text) => return None,
        (Value::Float(value), ValueType::Float) => format!("{value}"),
        (value, _) => name_of(value).to_owned(),
    };
    let expected = match expected {
        ValueType::Decimal { .. } => "a decimal",
        ValueType::Float => "a finite float",
        ValueType::Bool => "a bool",
        ValueType::Text => "a text",
    };
    Some(format!("expected {expected}, found {found}"))
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Decimal(_) => "a decimal",
        Value::Float(_) => "a float",
        Value::Bool(_) => "a bool",
        Value::Text(_) => "a text",
    }
}
