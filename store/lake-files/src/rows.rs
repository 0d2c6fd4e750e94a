//! Turns admitted frames into the rows of a data file. Pure; knows nothing of how they are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use contract::{AdmittedFrame, DraftError};
use model::quality::Severity;
use model::{
    CommitNumber, Generation, PointId, Quality, Sample, Timestamp, Unit, Value, ValueType,
};

use crate::file::day_of;
use crate::schema::schema;

/// A sample with what places it in the table; ordered as the rows are.
struct Row<'a> {
    rank: u32,
    generation: i64,
    seq: i64,
    unit: Unit,
    exponent: Option<i32>,
    sample: &'a Sample,
}

/// The rows of `frames` in the order of the table, each with the generation of its log.
pub fn build(
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
                unit: info.unit,
                exponent: match info.value_type {
                    ValueType::Decimal { exponent } => Some(i32::from(exponent)),
                    _ => None,
                },
                sample,
            });
        }
    }
    rows.sort_by_key(|row| {
        let time = row.sample.source_time;
        (day_of(time.0), row.rank, time, row.generation, row.seq)
    });
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
    let value = rows.iter().map(|row| match row.sample.value {
        Some(Value::Decimal(mantissa)) => Some(nearest(mantissa, row.exponent.unwrap_or(0))),
        Some(Value::Float(value)) => Some(value),
        Some(Value::Bool(value)) => Some(f64::from(u8::from(value))),
        Some(Value::Text(_)) | None => None,
    });
    let text = rows.iter().map(|row| match &row.sample.value {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    let exponent = rows.iter().map(|row| decimal(row).and(row.exponent));
    let flags = rows.iter().map(|row| i32::from(row.sample.flags.bits()));
    let all: Vec<ArrayRef> = vec![
        texts(rows, 32, |row| names[row.rank as usize].as_str()),
        time(|sample| sample.source_time),
        time(|sample| sample.gateway_time),
        Arc::new(value.collect::<Float64Array>()),
        Arc::new(text.collect::<StringArray>()),
        texts(rows, 4, |row| row.unit.symbol()),
        texts(rows, 4, |row| word(row.sample.quality)),
        longs(|row| i64::from(row.sample.quality.0)),
        Arc::new(rows.iter().map(decimal).collect::<Int64Array>()),
        Arc::new(exponent.collect::<Int32Array>()),
        Arc::new(Int32Array::from_iter_values(flags)),
        longs(|row| row.generation),
        longs(|row| row.seq),
        Arc::new(Int64Array::from_value(commit, rows.len())),
    ];
    RecordBatch::try_new(schema(), all).expect("the arrays above are those of the schema, in order")
}

fn texts<'a>(rows: &[Row<'_>], bytes: usize, of: impl Fn(&Row<'_>) -> &'a str) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * bytes);
    for row in rows {
        column.append_value(of(row));
    }
    Arc::new(column.finish())
}

/// What the quality comes to, for a person who filters.
fn word(quality: Quality) -> &'static str {
    match quality.severity() {
        Severity::Good => "Good",
        Severity::Uncertain => "Uncertain",
        Severity::Bad => "Bad",
    }
}

/// The double nearest to `mantissa × 10^exponent`.
fn nearest(mantissa: i64, exponent: i32) -> f64 {
    /// Whole numbers up to here are doubles, exactly.
    const EXACT_MAX: u64 = 1 << 53;
    /// As are powers of ten up to this one.
    const POWER_MAX: i32 = 22;
    if mantissa.unsigned_abs() <= EXACT_MAX && exponent.abs() <= POWER_MAX {
        #[expect(clippy::cast_precision_loss, reason = "checked just above")]
        let exact = mantissa as f64;
        // One operation on exact numbers is rounded once, so its result is the nearest.
        let power = 10_f64.powi(exponent.abs());
        return if exponent < 0 { exact / power } else { exact * power };
    }
    let text = format!("{mantissa}e{exponent}");
    text.parse().expect("digits with an exponent are a double")
}

/// A count as the table holds it; the book refuses those that do not fit.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_becomes_the_nearest_double() {
        let check = |mantissa, exponent, expected: f64| {
            assert_eq!(nearest(mantissa, exponent).to_bits(), expected.to_bits());
        };
        check(12_146, -2, 121.46);
        check(-1, -1, -0.1);
        check(3, 5, 300_000.0);
        check(i64::MAX, -9, 9_223_372_036.854_776);
        check((1 << 53) + 1, 0, 9_007_199_254_740_992.0);
        check(7, -28, 7e-28);
        for mantissa in (-20_000..20_000_i64).step_by(7) {
            for exponent in -6..=3 {
                let text = format!("{mantissa}e{exponent}");
                check(mantissa, exponent, text.parse::<f64>().unwrap() + 0.0);
            }
        }
    }
}
