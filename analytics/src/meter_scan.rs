//! The readings of one meter, taken row by row as a store gives them. Must never hold them.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow_array::Array;
use contract::column;
use energy::plant::Meter;
use energy::{Finished, IndexBuilder, Learned, Reading, ReadingsError, Span};
use model::{Decimal, Generation, Quality, Sequence, Timestamp, Unit};

use crate::columns::{Columns, count, quality_of};
use crate::readings::ReadError;

/// Of how much of the whole rise a single step may be, of a register that is taken to climb.
const STEP_PART: i128 = 4;

/// Kinds of Bad readings that are counted apart.
const BAD_MAX: usize = 32;

/// How much the near margin tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// There is a reading before the period.
    pub(crate) before: bool,
    /// There is a reading after it.
    pub(crate) after: bool,
    /// The register rises in many small steps and never falls: what lies further out changes nothing.
    pub(crate) climbs: bool,
}

/// One meter while rows are read.
pub(crate) struct MeterScan<'a> {
    meter: &'a Meter,
    interpolation_max_micros: i64,
    modulus: Option<Decimal>,
    span: Span,
    /// The power of ten of its readings, once there is one.
    exponent: Option<i8>,
    finer: Option<i8>,
    /// What a first pass over the same rows found.
    learned: Option<Learned>,
    builder: Option<IndexBuilder<'a>>,
    /// Why there is none.
    failed: Option<ReadingsError>,
    out_of_scale: bool,
    doubles: u64,
    /// Readings without a value in the period, by status code.
    bad: BTreeMap<u32, u64>,
    /// The newest reading in another unit than the meter's, and that unit.
    other_unit: Option<(String, Timestamp)>,
    first: Option<Timestamp>,
    last: Option<(Timestamp, i64)>,
    fell: bool,
    step_max: i128,
    rise: i128,
}

impl<'a> MeterScan<'a> {
    /// The columns that it reads.
    pub(crate) const COLUMNS: [&'static str; 8] = [
        column::POINT,
        column::TS,
        column::UNIT,
        column::STATUS,
        column::MANTISSA,
        column::EXPONENT,
        column::GENERATION,
        column::SEQ,
    ];

    pub(crate) fn new(
        meter: &'a Meter,
        interpolation_max_micros: i64,
        modulus: Option<Decimal>,
        span: Span,
    ) -> Self {
        Self {
            meter,
            interpolation_max_micros,
            modulus,
            span,
            exponent: None,
            finer: None,
            learned: None,
            builder: None,
            failed: None,
            out_of_scale: false,
            doubles: 0,
            bad: BTreeMap::new(),
            other_unit: None,
            first: None,
            last: None,
            fell: false,
            step_max: 0,
            rise: 0,
        }
    }

    /// With readings at this power of ten.
    pub(crate) fn at_exponent(self, exponent: i8) -> Self {
        Self { exponent: Some(exponent), ..self }
    }

    /// Over rows that were taken before, with what was found in them.
    pub(crate) fn knowing(self, exponent: Option<i8>, learned: Learned) -> Self {
        Self { exponent, learned: Some(learned), ..self }
    }

    pub(crate) fn exponent(&self) -> Option<i8> {
        self.exponent
    }

    pub(crate) fn meter(&self) -> &'a Meter {
        self.meter
    }

    /// The power of ten that all readings must be taken at, where they were taken at a coarser one.
    pub(crate) fn finer_exponent(&self) -> Option<i8> {
        self.finer
    }

    pub(crate) fn settled(&self) -> Settled {
        Settled {
            before: self.first.is_some_and(|first| first <= self.span.from),
            after: self.last.is_some_and(|(last, _)| last >= self.span.to),
            climbs: !self.fell
                && self.rise > 0
                && self.step_max.saturating_mul(STEP_PART) <= self.rise,
        }
    }

    /// Takes the rows of its point.
    pub(crate) fn take(
        &mut self,
        columns: &Columns<'_>,
        rows: Range<usize>,
    ) -> Result<(), ReadError> {
        let units = columns.words(column::UNIT)?;
        let own_unit = units.each(|unit| unit == self.meter.unit.symbol());
        let (ts, status) =
            (columns.times(column::TS)?.values(), columns.longs(column::STATUS)?.values());
        let (mantissa, exponent) =
            (columns.longs(column::MANTISSA)?, columns.integers(column::EXPONENT)?);
        let generation = columns.longs(column::GENERATION)?.values();
        let seq = columns.longs(column::SEQ)?.values();
        for row in rows {
            let time = Timestamp(ts[row]);
            let quality = quality_of(status[row]);
            if !mantissa.is_valid(row) {
                self.without_decimal(time, quality);
                continue;
            }
            if !own_unit.get(units.key(row)).copied().unwrap_or_default() {
                self.other_unit = Some((units.get(row).to_owned(), time));
                continue;
            }
            let found = i8::try_from(exponent.value(row)).unwrap_or_default();
            let own = *self.exponent.get_or_insert(found);
            if found < own {
                self.finer = Some(self.finer.map_or(found, |finer| finer.min(found)));
                continue;
            }
            let Some(mantissa) =
                (Decimal { mantissa: mantissa.value(row), exponent: found }).mantissa_at(own)
            else {
                self.out_of_scale = true;
                continue;
            };
            let reading = Reading {
                time,
                mantissa,
                quality,
                generation: Generation(count(generation[row])),
                sequence: Sequence(count(seq[row])),
            };
            if quality.is_good() || (self.meter.accept_uncertain && !quality.is_bad()) {
                self.watch(time, mantissa);
            }
            if let Some(builder) = self.builder() {
                builder.push(reading);
            }
        }
        Ok(())
    }

    /// A Bad reading, which has no value, or one that is not exact.
    fn without_decimal(&mut self, time: Timestamp, quality: Quality) {
        if !quality.is_bad() {
            self.doubles += 1;
        } else if self.span.from <= time && time < self.span.to {
            let known = self.bad.contains_key(&quality.0) || self.bad.len() < BAD_MAX;
            let code = if known { quality } else { Quality::BAD };
            *self.bad.entry(code.0).or_default() += 1;
        }
    }

    /// The builder, made with the first reading that has a scale.
    fn builder(&mut self) -> Option<&mut IndexBuilder<'a>> {
        if self.builder.is_none() && self.failed.is_none() {
            let exponent = self.exponent?;
            let made = IndexBuilder::new(
                self.meter,
                self.interpolation_max_micros,
                exponent,
                self.modulus,
            );
            match made {
                Ok(builder) => {
                    let builder = builder.counting_in(self.span);
                    self.builder = Some(match self.learned.take() {
                        Some(learned) => builder.knowing(learned),
                        None => builder,
                    });
                }
                Err(error) => self.failed = Some(error),
            }
        }
        self.builder.as_mut()
    }

    fn watch(&mut self, time: Timestamp, mantissa: i64) {
        self.first.get_or_insert(time);
        if let Some((_, before)) = self.last {
            let step = i128::from(mantissa) - i128::from(before);
            self.fell |= step < 0;
            self.step_max = self.step_max.max(step);
            self.rise += step;
        }
        self.last = Some((time, mantissa));
    }

    /// The index of all that was taken, or what must be known when it is taken again.
    pub(crate) fn finish(mut self) -> Result<Result<Finished, ReadingsError>, ReadError> {
        let named = || (self.meter.id.to_string(), self.meter.point.value.clone());
        if self.out_of_scale {
            let (meter, point) = named();
            return Err(ReadError::Scale { meter, point });
        }
        if let Some((unit, time)) = self.other_unit.take() {
            if self.exponent.is_none() {
                let found = unit.parse().unwrap_or(Unit::One);
                let (meter, expected) = (self.meter.id.clone(), self.meter.unit);
                return Ok(Err(ReadingsError::Unit { meter, expected, found }));
            }
            tracing::warn!(
                meter = %self.meter.id,
                point = %self.meter.point.value,
                unit = self.meter.unit.symbol(),
                other_unit = unit,
                last_in_other_unit = %time,
                "readings in another unit than the meter's are left out of figures"
            );
        } else if self.exponent.is_none() && self.doubles > 0 {
            let (meter, point) = named();
            return Err(ReadError::NotExact { meter, point });
        }
        self.exponent.get_or_insert(0);
        self.builder();
        Ok(match (self.builder, self.failed) {
            (Some(mut builder), _) => {
                for (code, readings) in self.bad {
                    builder.count_not_used(Quality(code), readings);
                }
                Ok(builder.finish())
            }
            (None, failed) => {
                Err(failed.unwrap_or(ReadingsError::Digits { meter: self.meter.id.clone() }))
            }
        })
    }
}
