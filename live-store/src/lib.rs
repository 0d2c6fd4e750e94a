//! Reads the newest row of each point from the store, for the live topics. Blocks. Must never know a topic.
//!
//! It looks back in steps, each for the points that the steps before did not find: most points have a row within
//! minutes, and those that report on change should not make it read a week of all the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use contract::{Cancel, LogKey, Points, Readings, Request, StoreError, column};
use live::{CLOCK_AHEAD_MAX_US, Described, GONE_AFTER, StoredRow, StoredValue, TOPICS_MAX};
use model::{Decimal, Generation, PointId, Quality, SampleFlags, Sequence, Timestamp};

/// How far back each step looks.
const STEPS: [Duration; 4] =
    [Duration::from_mins(15), Duration::from_hours(2), Duration::from_hours(24), GONE_AFTER];
/// Points that are asked for at once.
const POINTS_AT_ONCE: usize = 20_000;

const COLUMNS: [&str; 12] = [
    column::POINT,
    column::TS,
    column::GATEWAY_TS,
    column::VALUE,
    column::TEXT,
    column::UNIT,
    column::STATUS,
    column::MANTISSA,
    column::EXPONENT,
    column::FLAGS,
    column::GENERATION,
    column::SEQ,
];

/// What the store knows of the points that exist today.
pub struct Stored {
    readings: Arc<dyn Readings>,
    /// The points, as the newest dictionary of their device describes them.
    pub described: BTreeMap<PointId, Described>,
    logs: HashMap<Generation, LogKey>,
    cancel: Cancel,
}

impl Stored {
    /// Finds the points.
    pub fn new(readings: Arc<dyn Readings>, cancel: Cancel) -> Result<Self, StoreError> {
        let logs = readings.watermarks().into_iter();
        let logs = logs.map(|(key, mark)| (mark.generation, key)).collect();
        let described = described(readings.as_ref(), &logs)?;
        Ok(Self { readings, described, logs, cancel })
    }

    /// The newest log of each gateway, and how far it is durable.
    pub fn durable(&self) -> Vec<(LogKey, Sequence)> {
        let mut newest = BTreeMap::new();
        for (key, mark) in self.readings.watermarks() {
            let known = newest.entry(key.0.clone()).or_insert((mark.generation, key.clone(), mark));
            if known.0 < mark.generation {
                *known = (mark.generation, key, mark);
            }
        }
        newest.into_values().map(|(_, key, mark)| (key, mark.durable_upto)).collect()
    }

    /// Hands over the newest rows, a part at a time; a later one of the same point is to be compared with those before.
    pub fn each(
        &self,
        wall: Timestamp,
        mut take: impl FnMut(&[StoredRow]),
    ) -> Result<(), StoreError> {
        let ids: Vec<&PointId> = self.described.keys().collect();
        for part in ids.chunks(POINTS_AT_ONCE) {
            let mut open: BTreeSet<PointId> = part.iter().map(|id| (*id).clone()).collect();
            let ahead = Timestamp(wall.0.saturating_add(CLOCK_AHEAD_MAX_US));
            let mut upto = ahead;
            for step in STEPS {
                let step_us = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
                let from = Timestamp(wall.0.saturating_sub(step_us));
                self.step(&mut open, Some(from), Some(upto), &mut take)?;
                upto = from;
            }
            // Of a gateway whose clock is ahead there is nothing else.
            self.step(&mut open, Some(ahead), None, &mut take)?;
        }
        Ok(())
    }

    fn step(
        &self,
        open: &mut BTreeSet<PointId>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        take: &mut impl FnMut(&[StoredRow]),
    ) -> Result<(), StoreError> {
        if open.is_empty() || self.cancel.is_cancelled() {
            return Ok(());
        }
        let request = |points| Request {
            points: Points::Exactly(points),
            from,
            to,
            columns: COLUMNS.to_vec(),
            cancel: self.cancel.clone(),
            ..Request::default()
        };
        let mut silent = Vec::new();
        for batch in self.readings.last_rows(&request(open.iter().cloned().collect()))? {
            let rows = self.rows(&batch?);
            for row in &rows {
                // That a device did not answer is later than its value, which may have been said again since, with a
                // source time from before: it is looked for here and further back.
                if row.value.is_none() && row.source_time == row.gateway_time {
                    silent.push(row.point.clone());
                } else {
                    open.remove(&row.point);
                }
            }
            take(&rows);
        }
        if silent.is_empty() {
            return Ok(());
        }
        for batch in self.readings.rows(&request(silent))? {
            let mut rows = self.rows(&batch?);
            rows.retain(|row| row.value.is_some());
            take(&rows);
        }
        Ok(())
    }

    fn rows(&self, batch: &RecordBatch) -> Vec<StoredRow> {
        (0..batch.num_rows()).filter_map(|at| self.row(batch, at)).collect()
    }

    /// A row; `None` where it is not of the contract, or of a log that is not known.
    fn row(&self, batch: &RecordBatch, at: usize) -> Option<StoredRow> {
        let word = |name: &str| {
            let words = batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
            let key = usize::try_from(*words.keys().values().get(at)?).ok()?;
            Some(words.values().as_string_opt::<i32>()?.value(key))
        };
        let time = |name: &str| {
            let times = batch.column_by_name(name)?;
            Some(Timestamp(times.as_primitive_opt::<TimestampMicrosecondType>()?.value(at)))
        };
        let long = |name: &str| {
            let longs = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
            longs.is_valid(at).then(|| longs.value(at))
        };
        let integer = |name: &str| {
            let integers = batch.column_by_name(name)?.as_primitive_opt::<Int32Type>()?;
            integers.is_valid(at).then(|| integers.value(at))
        };
        let number = || {
            let numbers = batch.column_by_name(column::VALUE)?.as_primitive_opt::<Float64Type>()?;
            numbers.is_valid(at).then(|| StoredValue::Number(numbers.value(at)))
        };
        let text = || {
            let texts = batch.column_by_name(column::TEXT)?.as_string_opt::<i32>()?;
            texts.is_valid(at).then(|| StoredValue::Text(texts.value(at).to_owned()))
        };
        let decimal = || {
            let mantissa = long(column::MANTISSA)?;
            let exponent = i8::try_from(integer(column::EXPONENT)?).ok()?;
            Some(StoredValue::Decimal(Decimal { mantissa, exponent }))
        };
        let count = |name: &str| u64::try_from(long(name)?).ok();
        let flags = u64::try_from(integer(column::FLAGS)?).ok()?;
        Some(StoredRow {
            point: PointId::new(word(column::POINT)?).ok()?,
            source_time: time(column::TS)?,
            gateway_time: time(column::GATEWAY_TS)?,
            unit: word(column::UNIT)?.parse().ok(),
            quality: Quality(u32::try_from(long(column::STATUS)?).ok()?),
            flags: SampleFlags::from_bits(flags)?,
            value: decimal().or_else(text).or_else(number),
            log: self.logs.get(&Generation(count(column::GENERATION)?))?.clone(),
            sequence: Sequence(count(column::SEQ)?),
        })
    }
}

/// The points that exist today, from the newest use of a dictionary back. A dictionary describes whole devices: what an
/// older one says of a device is no longer so, and a point that was removed from it does not come back.
fn described(
    readings: &dyn Readings,
    logs: &HashMap<Generation, LogKey>,
) -> Result<BTreeMap<PointId, Described>, StoreError> {
    let dictionaries = readings.dictionaries()?;
    let mut described: BTreeMap<PointId, Described> = BTreeMap::new();
    let (mut seen, mut devices) = (BTreeSet::new(), BTreeSet::new());
    for one in readings.dictionary_uses().iter().rev() {
        let Some((gateway, _)) = logs.get(&one.generation) else { continue };
        let Some(dictionary) = dictionaries.get(&one.dictionary) else { continue };
        if !seen.insert(one.dictionary) {
            continue;
        }
        let mut here = BTreeSet::new();
        for (index, point) in dictionary.points.iter().enumerate() {
            if described.len() >= TOPICS_MAX {
                return Ok(described);
            }
            let device = model::topic::live_device(point);
            if !devices.contains(&device) && !described.contains_key(&point.id) {
                let (gateway, dictionary) = (gateway.clone(), Arc::clone(dictionary));
                described.insert(point.id.clone(), Described { gateway, dictionary, index });
            }
            here.insert(device);
        }
        devices.extend(here);
    }
    Ok(described)
}

#[cfg(test)]
mod tests;
