//! A second engine: a store in memory, for tests of whoever writes or reads a store. Forgets everything when dropped.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use async_trait::async_trait;
use model::quality::Severity;
use model::{
    CommitNumber, Dictionary, Epoch, Generation, PointInfo, Quality, Sample, Sequence, StoreId,
    Timestamp, Unit, Value, ValueType,
};

use crate::book::{DictionaryUse, LogBook};
use crate::draft::{CommitDraft, Committed, LogKey, Watermark};
use crate::error::StoreError;
use crate::readings::{BoxedRows, Cost, DamagedRange, Readings, Request, RowChoice, Rows, column};
use crate::store::{Dictionaries, Store};

/// Rows in a batch: few, so that whoever reads meets the borders of batches.
const BATCH_ROWS: usize = 1_000;

/// (point, source time, generation, sequence, place in the frame).
type Key = (Arc<str>, Timestamp, Generation, Sequence, usize);

/// A row without what its key says.
#[derive(Debug, Clone)]
struct Row {
    gateway_time: Timestamp,
    value: Option<Value>,
    exponent: i32,
    unit: Unit,
    quality: Quality,
    flags: i32,
    commit: CommitNumber,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    book: LogBook,
    dictionaries: Dictionaries,
    rows: BTreeMap<Key, Row>,
}

/// The store, and each of its readers at the version that it was made of.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Arc<Contents>>>,
}

impl MemoryStore {
    /// What it holds now, for reading.
    #[must_use]
    pub fn readings(&self) -> Arc<dyn Readings> {
        Arc::new(MemoryReadings { contents: self.contents(), shared: Arc::clone(&self.shared) })
    }

    fn contents(&self) -> Arc<Contents> {
        Arc::clone(&self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Contents) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // A change that fails leaves what was there.
        let mut contents = Contents::clone(&shared);
        let done = change(&mut contents)?;
        *shared = Arc::new(contents);
        Ok(done)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn identity(&mut self) -> Result<(StoreId, Epoch), StoreError> {
        Ok((StoreId::new("memory")?, Epoch(1)))
    }

    async fn watermarks(&mut self) -> Result<BTreeMap<LogKey, Watermark>, StoreError> {
        Ok(self.contents().book.logs.clone())
    }

    async fn commit_number(&mut self) -> Result<CommitNumber, StoreError> {
        Ok(self.contents().book.commit)
    }

    async fn dictionaries(&mut self) -> Result<Dictionaries, StoreError> {
        Ok(self.contents().dictionaries.clone())
    }

    async fn put_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), StoreError> {
        self.change(|contents| {
            contents.dictionaries.insert(dictionary.hash(), Arc::new(dictionary.clone()));
            Ok(())
        })
    }

    async fn commit(&mut self, draft: Arc<CommitDraft>) -> Result<Committed, StoreError> {
        self.change(|contents| {
            let plan = contents.book.plan(&draft)?;
            let mut rows = 0;
            for (frame, generation) in draft.frames.iter().zip(&plan.admitted) {
                let Some(generation) = generation else { continue };
                for (place, sample) in frame.batch.samples.iter().enumerate() {
                    let info = frame.point_of(sample)?;
                    let point = Arc::from(info.id.as_str());
                    let key = (point, sample.source_time, *generation, frame.sequence, place);
                    contents.rows.insert(key, row(info, sample, plan.after.commit));
                    rows += 1;
                }
            }
            contents.book = plan.after;
            let keys = draft.watermarks.iter().map(|step| (step.gateway.clone(), step.log_id));
            let generations = keys
                .filter_map(|key| Some((key.clone(), contents.book.logs.get(&key)?.generation)))
                .collect();
            let replayed_frames = plan.admitted.iter().filter(|one| one.is_none()).count() as u64;
            Ok(Committed { commit: contents.book.commit, rows, replayed_frames, generations })
        })
    }

    async fn maintain(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn row(info: &PointInfo, sample: &Sample, commit: CommitNumber) -> Row {
    let exponent = match info.value_type {
        ValueType::Decimal { exponent } => i32::from(exponent),
        _ => 0,
    };
    Row {
        gateway_time: sample.gateway_time,
        value: sample.value.clone(),
        exponent,
        unit: info.unit,
        quality: sample.quality,
        flags: i32::from(sample.flags.bits()),
        commit,
    }
}

#[derive(Debug)]
struct MemoryReadings {
    contents: Arc<Contents>,
    shared: Arc<Mutex<Arc<Contents>>>,
}

impl Readings for MemoryReadings {
    fn commit_number(&self) -> CommitNumber {
        self.contents.book.commit
    }

    fn watermarks(&self) -> BTreeMap<LogKey, Watermark> {
        self.contents.book.logs.clone()
    }

    fn dictionaries(&self) -> Result<Dictionaries, StoreError> {
        Ok(self.contents.dictionaries.clone())
    }

    fn dictionary_uses(&self) -> Vec<DictionaryUse> {
        self.contents.book.dictionary_uses()
    }

    fn rows(&self, request: &Request) -> Result<BoxedRows, StoreError> {
        Ok(Box::new(MemoryRows {
            contents: Arc::clone(&self.contents),
            request: request.clone(),
            after: None,
            last_only: false,
        }))
    }

    fn last_rows(&self, request: &Request) -> Result<BoxedRows, StoreError> {
        let request = Request { choice: RowChoice::Chosen, ..request.clone() };
        let contents = Arc::clone(&self.contents);
        Ok(Box::new(MemoryRows { contents, request, after: None, last_only: true }))
    }

    fn renewed(&self) -> Result<Arc<dyn Readings>, StoreError> {
        Ok(MemoryStore { shared: Arc::clone(&self.shared) }.readings())
    }
}

struct MemoryRows {
    contents: Arc<Contents>,
    request: Request,
    after: Option<Key>,
    last_only: bool,
}

impl Rows for MemoryRows {
    fn damaged(&self) -> Vec<DamagedRange> {
        Vec::new()
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

impl Iterator for MemoryRows {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.request.cancel.is_cancelled() {
            return None;
        }
        let start = self.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let request = &self.request;
        let wanted = |(key, row): &(&Key, &Row)| {
            request.points.wants(&key.0)
                && request.from.is_none_or(|from| from <= key.1)
                && request.to.is_none_or(|to| key.1 < to)
                && request.as_of.is_none_or(|as_of| row.commit <= as_of)
        };
        let mut rows: Vec<(&Key, &Row)> = Vec::new();
        for (key, row) in self.contents.rows.range((start, Bound::Unbounded)).filter(wanted) {
            let replaces = rows.last().is_some_and(|(last, _)| {
                last.0 == key.0
                    && (self.last_only || last.1 == key.1)
                    && request.choice == RowChoice::Chosen
            });
            if replaces {
                rows.pop();
            } else if rows.len() >= BATCH_ROWS {
                break;
            }
            rows.push((key, row));
        }
        self.after = Some(rows.last()?.0.clone());
        Some(batch(&rows, request))
    }
}

/// The columns that are wanted of these rows.
fn batch(rows: &[(&Key, &Row)], request: &Request) -> Result<RecordBatch, StoreError> {
    let schema = request.schema();
    let columns = schema.fields().iter().map(|field| column_of(field.name(), rows));
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?)
}

fn column_of(name: &str, rows: &[(&Key, &Row)]) -> ArrayRef {
    let longs = |of: fn(&Key, &Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(key, row)| of(key, row))))
    };
    let times = |of: fn(&Key, &Row) -> Timestamp| -> ArrayRef {
        let values = rows.iter().map(|(key, row)| of(key, row).0);
        Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let words = |of: for<'a> fn(&'a Key, &'a Row) -> &'a str| -> ArrayRef {
        let words = rows.iter().map(|(key, row)| of(key, row));
        Arc::new(words.collect::<DictionaryArray<Int32Type>>())
    };
    match name {
        column::POINT => words(|key, _| &key.0),
        column::TS => times(|key, _| key.1),
        column::GATEWAY_TS => times(|_, row| row.gateway_time),
        column::VALUE => {
            Arc::new(rows.iter().map(|(_, row)| double(row)).collect::<Float64Array>())
        }
        column::TEXT => Arc::new(rows.iter().map(|(_, row)| text(row)).collect::<StringArray>()),
        column::UNIT => words(|_, row| row.unit.symbol()),
        column::QUALITY => words(|_, row| word(row.quality)),
        column::STATUS => longs(|_, row| i64::from(row.quality.0)),
        column::MANTISSA => {
            Arc::new(rows.iter().map(|(_, row)| mantissa(row)).collect::<Int64Array>())
        }
        column::EXPONENT => {
            let exponents = rows.iter().map(|(_, row)| mantissa(row).map(|_| row.exponent));
            Arc::new(exponents.collect::<Int32Array>())
        }
        column::FLAGS => {
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, row)| row.flags)))
        }
        column::GENERATION => longs(|key, _| stored(key.2.0)),
        column::SEQ => longs(|key, _| stored(key.3.0)),
        _ => longs(|_, row| stored(row.commit.0)),
    }
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn word(quality: Quality) -> &'static str {
    match quality.severity() {
        Severity::Good => "Good",
        Severity::Uncertain => "Uncertain",
        Severity::Bad => "Bad",
    }
}

fn mantissa(row: &Row) -> Option<i64> {
    match row.value {
        Some(Value::Decimal(mantissa)) => Some(mantissa),
        _ => None,
    }
}

fn text(row: &Row) -> Option<&str> {
    match &row.value {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    }
}

/// The value as a double; of a decimal the nearest one.
fn double(row: &Row) -> Option<f64> {
    match row.value {
        // The shortest way to the nearest double leads over the text.
        Some(Value::Decimal(mantissa)) => format!("{mantissa}e{}", row.exponent).parse().ok(),
        Some(Value::Float(value)) => Some(value),
        Some(Value::Bool(value)) => Some(f64::from(u8::from(value))),
        Some(Value::Text(_)) | None => None,
    }
}
