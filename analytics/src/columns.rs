//! The columns of one batch of a store, by their names and types. Must never copy a column.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};
use contract::column;
use model::{CommitNumber, Decimal, Generation, Quality, Sequence, Timestamp};
use thiserror::Error;

/// A column is not what the contract of stores says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "column `{column}` of the store: expected {expected}; this program does not know the store that wrote it"
)]
pub struct ColumnsError {
    /// Its name.
    pub column: &'static str,
    /// What it should be.
    pub expected: &'static str,
}

/// A batch, and how its columns are read.
pub(crate) struct Columns<'a> {
    batch: &'a RecordBatch,
    point: Words<'a>,
}

/// A column of a few words, each row naming one.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    keys: &'a [i32],
    words: &'a StringArray,
}

impl<'a> Words<'a> {
    /// Which word a row has.
    pub(crate) fn key(&self, row: usize) -> usize {
        self.keys.get(row).and_then(|key| usize::try_from(*key).ok()).unwrap_or_default()
    }

    /// The word of a row.
    pub(crate) fn get(&self, row: usize) -> &'a str {
        self.words.value(self.key(row))
    }

    /// Of each word, what `of` says of it.
    pub(crate) fn each<T>(&self, of: impl Fn(&str) -> T) -> Vec<T> {
        (0..self.words.len()).map(|key| of(self.words.value(key))).collect()
    }
}

impl<'a> Columns<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Result<Self, ColumnsError> {
        Ok(Self { point: words(batch, column::POINT)?, batch })
    }

    /// Runs of rows of one point, in their order.
    pub(crate) fn points(&self) -> impl Iterator<Item = (&'a str, Range<usize>)> + use<'a> {
        let point = self.point;
        let mut from = 0;
        std::iter::from_fn(move || {
            let key = *point.keys.get(from)?;
            let rest = point.keys.get(from..).unwrap_or_default();
            let length = rest.iter().position(|other| *other != key).unwrap_or(rest.len());
            let range = from..from + length;
            from = range.end;
            Some((point.get(range.start), range))
        })
    }

    pub(crate) fn words(&self, name: &'static str) -> Result<Words<'a>, ColumnsError> {
        words(self.batch, name)
    }

    pub(crate) fn longs(
        &self,
        name: &'static str,
    ) -> Result<&'a PrimitiveArray<Int64Type>, ColumnsError> {
        self.numbers(name, "Int64")
    }

    pub(crate) fn integers(
        &self,
        name: &'static str,
    ) -> Result<&'a PrimitiveArray<Int32Type>, ColumnsError> {
        self.numbers(name, "Int32")
    }

    pub(crate) fn doubles(
        &self,
        name: &'static str,
    ) -> Result<&'a PrimitiveArray<Float64Type>, ColumnsError> {
        self.numbers(name, "Float64")
    }

    /// Microseconds since 1970.
    pub(crate) fn times(
        &self,
        name: &'static str,
    ) -> Result<&'a PrimitiveArray<TimestampMicrosecondType>, ColumnsError> {
        self.numbers(name, "Timestamp(µs)")
    }

    pub(crate) fn texts(&self, name: &'static str) -> Result<&'a StringArray, ColumnsError> {
        let found = self.batch.column_by_name(name).and_then(|one| one.as_string_opt::<i32>());
        found.ok_or(ColumnsError { column: name, expected: "Utf8" })
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        column: &'static str,
        expected: &'static str,
    ) -> Result<&'a PrimitiveArray<T>, ColumnsError> {
        let found = self.batch.column_by_name(column).and_then(|one| one.as_primitive_opt::<T>());
        found.ok_or(ColumnsError { column, expected })
    }
}

fn words<'a>(batch: &'a RecordBatch, column: &'static str) -> Result<Words<'a>, ColumnsError> {
    let wrong = ColumnsError { column, expected: "Dictionary(Int32, Utf8)" };
    let found = batch.column_by_name(column).ok_or(wrong)?;
    let found: &DictionaryArray<Int32Type> =
        found.as_any().downcast_ref::<DictionaryArray<Int32Type>>().ok_or(wrong)?;
    let words = found.values().as_string_opt::<i32>().ok_or(wrong)?;
    if found.null_count() > 0 {
        return Err(wrong);
    }
    Ok(Words { keys: found.keys().values(), words })
}

/// Every column of a batch, for whoever wants whole rows.
pub(crate) struct WholeRows<'a> {
    pub(crate) columns: Columns<'a>,
    ts: &'a PrimitiveArray<TimestampMicrosecondType>,
    gateway_ts: &'a PrimitiveArray<TimestampMicrosecondType>,
    value: &'a PrimitiveArray<Float64Type>,
    text: &'a StringArray,
    unit: Words<'a>,
    quality: Words<'a>,
    status: &'a PrimitiveArray<Int64Type>,
    mantissa: &'a PrimitiveArray<Int64Type>,
    exponent: &'a PrimitiveArray<Int32Type>,
    flags: &'a PrimitiveArray<Int32Type>,
    generation: &'a PrimitiveArray<Int64Type>,
    seq: &'a PrimitiveArray<Int64Type>,
    commit: &'a PrimitiveArray<Int64Type>,
}

/// One row, values exact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) source_time: Timestamp,
    pub(crate) gateway_time: Timestamp,
    /// The number: exact where there is a decimal.
    pub(crate) value: Option<String>,
    /// The decimal that it is, where it is one.
    pub(crate) exact: Option<Decimal>,
    /// The text, where the value is one.
    pub(crate) text: Option<&'a str>,
    pub(crate) unit: &'a str,
    /// `Good`, `Uncertain` or `Bad`.
    pub(crate) word: &'a str,
    /// The OPC UA status code.
    pub(crate) status: i64,
    pub(crate) flags: i32,
    pub(crate) generation: Generation,
    pub(crate) sequence: Sequence,
    pub(crate) commit: CommitNumber,
}

impl<'a> WholeRows<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Result<Self, ColumnsError> {
        let columns = Columns::new(batch)?;
        Ok(Self {
            ts: columns.times(column::TS)?,
            gateway_ts: columns.times(column::GATEWAY_TS)?,
            value: columns.doubles(column::VALUE)?,
            text: columns.texts(column::TEXT)?,
            unit: columns.words(column::UNIT)?,
            quality: columns.words(column::QUALITY)?,
            status: columns.longs(column::STATUS)?,
            mantissa: columns.longs(column::MANTISSA)?,
            exponent: columns.integers(column::EXPONENT)?,
            flags: columns.integers(column::FLAGS)?,
            generation: columns.longs(column::GENERATION)?,
            seq: columns.longs(column::SEQ)?,
            commit: columns.longs(column::COMMIT)?,
            columns,
        })
    }

    pub(crate) fn row(&self, at: usize) -> Row<'a> {
        let exact = self.exact(at);
        let double = || self.value.is_valid(at).then(|| self.value.value(at));
        Row {
            source_time: Timestamp(self.ts.value(at)),
            gateway_time: Timestamp(self.gateway_ts.value(at)),
            value: match exact {
                Some(exact) => Some(exact.to_string()),
                // What is no number of JSON is none here either.
                None => double().filter(|value| value.is_finite()).map(|value| value.to_string()),
            },
            exact,
            text: self.text.is_valid(at).then(|| self.text.value(at)),
            unit: self.unit.get(at),
            word: self.quality.get(at),
            status: self.status.value(at),
            flags: self.flags.value(at),
            generation: Generation(count(self.generation.value(at))),
            sequence: Sequence(count(self.seq.value(at))),
            commit: CommitNumber(count(self.commit.value(at))),
        }
    }

    fn exact(&self, at: usize) -> Option<Decimal> {
        let mantissa = self.mantissa.is_valid(at).then(|| self.mantissa.value(at))?;
        Some(Decimal { mantissa, exponent: i8::try_from(self.exponent.value(at)).ok()? })
    }
}

/// A status code as it is stored; one that is none is Bad.
pub(crate) fn quality_of(status: i64) -> Quality {
    Quality(u32::try_from(status).unwrap_or(Quality::BAD.0))
}

/// A count as it is stored.
pub(crate) fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}
