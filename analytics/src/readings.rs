//! The readings of a plant's meters from the lake, thinned by polars to what the energy arithmetic needs. Must never
//! compute energy.

use std::path::PathBuf;

use energy::plant::{Meter, Plant};
use energy::readings::{MeterReadings, Reading};
use energy::{Period, Span};
use lake::Snapshot;
use model::{CommitNumber, PointId, Quality, Timestamp, Unit};
use polars::prelude::*;
use thiserror::Error;

use crate::meanings::{Meanings, PointMeanings};
use crate::rows::{self, Row, RowFilter, RowsError};

/// Microseconds of a slot.
const SLOT_US: i64 = 15 * 60 * 1_000_000;
/// How far before and after a period readings are taken, so that a border inside a gap can be interpolated.
const MARGIN_US: i64 = 40 * 24 * 3_600 * 1_000_000;

/// Why readings could not be had.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] lake::LakeError),
    /// Its rows cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// All that a meter's point holds for the period are doubles, which are not exact.
    #[error(
        "meter `{meter}`: point `{point}` holds floating-point values; state its `resolution` in the device profile"
    )]
    NotExact {
        /// The meter.
        meter: String,
        /// Its point.
        point: PointId,
    },
    /// The unit of its readings is not known.
    #[error(
        "meter `{meter}`: the unit of point `{point}` was changed, and the lake does not say which readings are from \
         before; name a period after the change"
    )]
    Unit {
        /// The meter.
        meter: String,
        /// Its point.
        point: PointId,
    },
    /// The readings lie too many powers of ten apart.
    #[error("meter `{meter}`: the readings of point `{point}` do not fit into one scale")]
    Scale {
        /// The meter.
        meter: String,
        /// Its point.
        point: PointId,
    },
}

/// What a lake knows at one commit, for computing figures.
pub struct LakeView {
    files: Vec<PathBuf>,
    meanings: Meanings,
    commit: CommitNumber,
}

impl LakeView {
    /// The lake of this snapshot as of `as_of`, or as of its newest commit.
    pub fn new(snapshot: &Snapshot, as_of: Option<CommitNumber>) -> Result<Self, ReadError> {
        let newest = snapshot.commit_number();
        let commit = as_of.unwrap_or(newest).min(newest);
        let meanings = Meanings::of(snapshot, commit)?;
        Ok(Self { files: snapshot.files(), meanings, commit })
    }

    /// The commit that figures are made as of.
    #[must_use]
    pub fn commit(&self) -> CommitNumber {
        self.commit
    }

    /// Whether some gateway ever announced this point.
    #[must_use]
    pub fn knows(&self, point: &PointId) -> bool {
        self.meanings.knows(point.as_str())
    }

    /// The readings of every meter of the plant that the lake knows, for one period.
    pub fn readings(&self, plant: &Plant, period: Period) -> Result<Vec<MeterReadings>, ReadError> {
        let span = period.span(&plant.time_zone);
        let known = plant.meters.iter().filter(|meter| self.knows(&meter.point.value));
        known.map(|meter| self.readings_of(meter, span)).collect()
    }

    fn readings_of(&self, meter: &Meter, span: Span) -> Result<MeterReadings, ReadError> {
        let named = || (meter.id.to_string(), meter.point.value.clone());
        let point = self.meanings.point(meter.point.value.as_str());
        let rows =
            rows::rows_of(&rows::collect(thinned(self.rows(meter, span)?, &events(meter)))?)?;
        if rows.is_empty() && self.has_doubles(meter, span)? {
            let (meter, point) = named();
            return Err(ReadError::NotExact { meter, point });
        }
        let (unit, rows) = in_unit_of(meter, &point, rows).ok_or_else(|| {
            let (meter, point) = named();
            ReadError::Unit { meter, point }
        })?;
        let exponents = rows.iter().filter_map(|row| row.decimal).map(|value| value.exponent);
        let exponent = exponents.min().unwrap_or(0);
        let readings: Option<Vec<Reading>> =
            rows.iter().map(|row| reading_of(row, exponent)).collect();
        let readings = readings.ok_or_else(|| {
            let (meter, point) = named();
            ReadError::Scale { meter, point }
        })?;
        let modulus = point.modulus();
        Ok(MeterReadings { meter: meter.id.clone(), exponent, unit, modulus, readings })
    }

    /// The Good rows of a meter for a time and its margins.
    fn rows(&self, meter: &Meter, span: Span) -> Result<LazyFrame, RowsError> {
        let filter = RowFilter {
            points: Vec::new(),
            from: Some(Timestamp(span.from.0.saturating_sub(MARGIN_US))),
            to: Some(Timestamp(span.to.0.saturating_add(MARGIN_US))),
            as_of: Some(self.commit),
        };
        let id = lit(meter.point.value.as_str().to_owned());
        let good = col("status").lt(lit(i64::from(Quality::UNCERTAIN.0)));
        Ok(rows::scan(&self.files, &filter)?.filter(col("point").eq(id).and(good)))
    }

    fn has_doubles(&self, meter: &Meter, span: Span) -> Result<bool, RowsError> {
        let doubles = self.rows(meter, span)?;
        let doubles = doubles.filter(col("value").is_not_null().and(col("mantissa").is_null()));
        Ok(rows::collect(doubles.limit(1))?.height() > 0)
    }
}

/// The rows that are in the unit of the meter, and that unit. Others are left out with a warning, so that their time
/// lacks coverage: a corrected unit says nothing about the rows before it. When none is in the meter's unit, all stay
/// in the one that they have, for the plant file to be corrected; `None` when that is not known.
fn in_unit_of(
    meter: &Meter,
    point: &PointMeanings<'_>,
    rows: Vec<Row>,
) -> Option<(Unit, Vec<Row>)> {
    let unit_of = |row: &Row| point.unit(row.generation, row.sequence);
    let (kept, others): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| unit_of(row) == Some(meter.unit));
    let Some(other) = others.iter().max_by_key(|row| row.source_time) else {
        let unit = if kept.is_empty() { point.last_unit()? } else { meter.unit };
        return Some((unit, kept));
    };
    if kept.is_empty() {
        return Some((others.iter().find_map(unit_of)?, others));
    }
    tracing::warn!(
        meter = %meter.id,
        point = %meter.point.value,
        unit = meter.unit.symbol(),
        other_unit = unit_of(other).map_or("unknown", Unit::symbol),
        last_in_other_unit = %other.source_time,
        "readings in another unit than the meter's are left out of figures"
    );
    Some((meter.unit, kept))
}

/// Instants at which a reading begins to mean something else.
fn events(meter: &Meter) -> Vec<Timestamp> {
    let ratios = meter.ratios.iter().filter_map(|ratio| ratio.from);
    ratios.chain(meter.replacements.iter().map(|replacement| replacement.at)).collect()
}

/// The rows with a decimal value at the first and at the last source time of each 15-minute slot: borders of slots and
/// periods are interpolated between exactly these. All rows of such a time are kept, so that a conflict between them is
/// seen, and all rows of a slot with an event in it: the energy before a change of ratio counts otherwise than after it.
fn thinned(rows: LazyFrame, events: &[Timestamp]) -> LazyFrame {
    // Source times are stored from 1970 on, so the remainder is never negative.
    let micros = col("ts").cast(DataType::Int64);
    let slot = micros.clone() - micros % lit(SLOT_US);
    let decimals = rows.filter(col("mantissa").is_not_null()).with_column(slot.alias("slot"));
    let borders = decimals
        .clone()
        .group_by([col("slot")])
        .agg([col("ts").min().alias("first"), col("ts").max().alias("last")]);
    let border = col("ts").eq(col("first")).or(col("ts").eq(col("last")));
    let wanted = events.iter().fold(border, |wanted, event| {
        wanted.or(col("slot").eq(lit(event.0 - event.0.rem_euclid(SLOT_US))))
    });
    decimals
        .join(borders, [col("slot")], [col("slot")], JoinArgs::new(JoinType::Inner))
        .filter(wanted)
}

fn reading_of(row: &Row, exponent: i8) -> Option<Reading> {
    Some(Reading {
        time: row.source_time,
        mantissa: row.decimal?.mantissa_at(exponent)?,
        quality: row.quality,
        generation: row.generation,
        sequence: row.sequence,
    })
}
