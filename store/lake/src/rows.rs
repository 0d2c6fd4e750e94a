//! Turns admitted frames into the rows of a data file. Pure; must never know files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use contract::{AdmittedFrame, DraftError};
use model::{CommitNumber, Generation, PointId, Sample, Timestamp, Value, ValueType};

use crate::schema::schema;

/// A sample with what places it in the table; ordered as the rows are.
struct Row<'a> {
    rank: u32,
    generation: i64,
    seq: i64,
    exponent: Option<i32>,
    sample: &'a Sample,
}

/// The rows of `frames` in the order of the table, each with the generation of its log.
pub(crate) fn build(
    frames: &[(&AdmittedFrame, Generation)],
    commit: CommitNumber,
) -> Result<RecordBatch, DraftError> {
    let points = points_in_use(frames)?;
    let names: Vec<&PointId> = points.keys().copied().collect();
    let mut rows = Vec::new();
    for (frame, generation) in frames {
        // The ranks of one frame, so that a point's name is looked up once per frame and not once per sample.
        let mut ranks = HashMap::new();
        for sample in &frame.batch.samples {
            let info = frame.point_of(sample)?;
            let rank = *ranks.entry(sample.point).or_insert_with(|| points[&info.id]);
            rows.push(Row {
                rank,
                generation: stored(generation.0),
                seq: stored(frame.sequence.0),
                exponent: match info.value_type {
                    ValueType::Decimal { exponent } => Some(i32::from(exponent)),
                    _ => None,
                },
                sample,
            });
        }
    }
    rows.sort_by_key(|row| (row.rank, row.sample.source_time, row.generation, row.seq));
    Ok(columns(&rows, &names, stored(commit.0)))
}

/// Every point with a sample, in the order of names.
fn points_in_use<'a>(
    frames: &[(&'a AdmittedFrame, Generation)],
) -> Result<BTreeMap<&'a PointId, u32>, DraftError> {
    let mut names = BTreeSet::new();
    for (frame, _) in frames {
        let mut last = None;
        for sample in &frame.batch.samples {
            if last != Some(sample.point) {
                names.insert(&frame.point_of(sample)?.id);
                last = Some(sample.point);
            }
        }
    }
    Ok(names.into_iter().zip(0..).collect())
}

fn columns(rows: &[Row<'_>], names: &[&PointId], commit: i64) -> RecordBatch {
    let mut point = StringBuilder::with_capacity(rows.len(), rows.len() * 32);
    for row in rows {
        point.append_value(names[row.rank as usize].as_str());
    }
    let time = |of: fn(&Sample) -> Timestamp| {
        let values = rows.iter().map(|row| of(row.sample).0);
        Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let longs = |of: fn(&Row<'_>) -> i64| {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef
    };
    let decimal = |row: &Row<'_>| match row.sample.value {
        Some(Value::Decimal(mantissa)) => Some(mantissa),
        _ => None,
    };
    let float = rows.iter().map(|row| match row.sample.value {
        Some(Value::Float(value)) => Some(value),
        _ => None,
    });
    let exponent = rows.iter().map(|row| decimal(row).and(row.exponent));
    let all: Vec<ArrayRef> = vec![
        Arc::new(point.finish()),
        time(|sample| sample.source_time),
        time(|sample| sample.gateway_time),
        longs(|row| i64::from(row.sample.quality.0)),
        Arc::new(rows.iter().map(decimal).collect::<Int64Array>()),
        Arc::new(exponent.collect::<Int32Array>()),
        Arc::new(float.collect::<Float64Array>()),
        longs(|row| row.generation),
        longs(|row| row.seq),
        Arc::new(Int64Array::from_value(commit, rows.len())),
    ];
    RecordBatch::try_new(schema(), all).expect("the arrays above are those of the schema, in order")
}

/// A count as the table holds it; the book refuses those that do not fit.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
