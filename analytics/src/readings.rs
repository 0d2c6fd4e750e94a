//! The readings of a plant's meters from the lake, thinned by polars to what the energy arithmetic needs. Must never
//! compute energy.

use std::collections::HashMap;
use std::path::PathBuf;

use energy::plant::{Meter, Plant};
use energy::readings::{MeterReadings, Reading};
use energy::{Period, Span};
use lake::Snapshot;
use model::{CommitNumber, PointId, PointInfo, Quality, Timestamp, ValueType};
use polars::prelude::*;
use thiserror::Error;

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
    /// A meter's point holds doubles, which are not exact.
    #[error(
        "meter `{meter}`: point `{point}` holds floating-point values; state its `resolution` in the device profile"
    )]
    NotExact {
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
    points: HashMap<PointId, PointInfo>,
    commit: CommitNumber,
}

impl LakeView {
    /// The lake of this snapshot as of `as_of`, or as of its newest commit.
    pub fn new(snapshot: &Snapshot, as_of: Option<CommitNumber>) -> Result<Self, ReadError> {
        let newest = snapshot.commit_number();
        let commit = as_of.unwrap_or(newest).min(newest);
        let mut points = HashMap::new();
        for dictionary in snapshot.dictionaries()?.values() {
            points.extend(dictionary.points.iter().map(|point| (point.id.clone(), point.clone())));
        }
        Ok(Self { files: snapshot.files(), points, commit })
    }

    /// The commit that figures are made as of.
    #[must_use]
    pub fn commit(&self) -> CommitNumber {
        self.commit
    }

    /// Whether some gateway ever announced this point.
    #[must_use]
    pub fn knows(&self, point: &PointId) -> bool {
        self.points.contains_key(point)
    }

    /// The readings of every meter of the plant that the lake knows, for one period.
    pub fn readings(&self, plant: &Plant, period: Period) -> Result<Vec<MeterReadings>, ReadError> {
        let span = period.span(&plant.time_zone);
        let known = plant.meters.iter().filter_map(|meter| {
            let point = self.points.get(&meter.point.value)?;
            Some(self.readings_of(meter, point, span))
        });
        known.collect()
    }

    fn readings_of(
        &self,
        meter: &Meter,
        point: &PointInfo,
        span: Span,
    ) -> Result<MeterReadings, ReadError> {
        let named = || (meter.id.to_string(), meter.point.value.clone());
        if point.value_type == ValueType::Float {
            let (meter, point) = named();
            return Err(ReadError::NotExact { meter, point });
        }
        let filter = RowFilter {
            points: Vec::new(),
            from: Some(Timestamp(span.from.0.saturating_sub(MARGIN_US))),
            to: Some(Timestamp(span.to.0.saturating_add(MARGIN_US))),
            as_of: Some(self.commit),
        };
        let id = lit(meter.point.value.as_str().to_owned());
        let scanned = rows::scan(&self.files, &filter)?.filter(col("point").eq(id));
        let rows = rows::rows_of(&rows::collect(thinned(scanned))?)?;
        let exponent = rows
            .iter()
            .filter_map(|row| row.decimal)
            .map(|value| value.exponent)
            .min()
            .unwrap_or(0);
        let readings: Option<Vec<Reading>> =
            rows.iter().map(|row| reading_of(row, exponent)).collect();
        let readings = readings.ok_or_else(|| {
            let (meter, point) = named();
            ReadError::Scale { meter, point }
        })?;
        Ok(MeterReadings {
            meter: meter.id.clone(),
            exponent,
            unit: point.unit,
            modulus: point.modulus,
            readings,
        })
    }
}

/// The Good rows at the first and at the last source time of each 15-minute slot: borders of slots and periods are
/// interpolated between exactly these. All rows of such a time are kept, so that a conflict between them is seen.
fn thinned(rows: LazyFrame) -> LazyFrame {
    let good = i64::from(Quality::UNCERTAIN.0);
    // Source times are stored from 1970 on, so the remainder is never negative.
    let micros = col("ts").cast(DataType::Int64);
    let slot = micros.clone() - micros % lit(SLOT_US);
    let good_rows = rows
        .filter(col("quality").lt(lit(good)).and(col("mantissa").is_not_null()))
        .with_column(slot.alias("slot"));
    let borders = good_rows
        .clone()
        .group_by([col("slot")])
        .agg([col("ts").min().alias("first"), col("ts").max().alias("last")]);
    good_rows
        .join(borders, [col("slot")], [col("slot")], JoinArgs::new(JoinType::Inner))
        .filter(col("ts").eq(col("first")).or(col("ts").eq(col("last"))))
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
