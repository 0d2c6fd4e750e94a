//! What a frame must hold to be committed together with the frames of others. The store refuses a whole commit for one
//! wrong row, so a wrong frame must be found here.

use live::CLOCK_AHEAD_MAX_US;
use model::codec::{self, CodecError};
use model::{Batch, Dictionary, Frame, PointIndex, Timestamp};
use thiserror::Error;

/// Gateway times older than this are suspect (delivery limits: batch).
const CLOCK_BEHIND_MAX_US: i64 = 400 * 86_400 * 1_000_000;

/// Why the contents of a frame cannot be committed.
#[derive(Debug, Error)]
pub(super) enum ContentsError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("frame header says {header} samples: expected {found}, as in its batch")]
    Count { header: u32, found: usize },
    #[error("point index {} is outside its dictionary of {points} points", index.0)]
    UnknownPoint { index: PointIndex, points: usize },
    #[error("value of point `{point}` is of another type than its dictionary says")]
    ValueType { point: String },
    #[error("time {found} is outside {} to {}", Timestamp::MIN, Timestamp::MAX)]
    Time { found: Timestamp },
}

/// Reads the batch of a DATA frame.
pub(super) fn batch(frame: &Frame<'_>) -> Result<Batch, ContentsError> {
    let batch = codec::decode(frame.body)?;
    let (header, found) = (frame.header.samples, batch.samples.len());
    if usize::try_from(header) != Ok(found) {
        return Err(ContentsError::Count { header, found });
    }
    Ok(batch)
}

/// Checks the samples against the dictionary that the batch names.
pub(super) fn check(batch: &Batch, dictionary: &Dictionary) -> Result<(), ContentsError> {
    for sample in &batch.samples {
        let (index, points) = (sample.point, dictionary.points.len());
        let Some(point) = dictionary.point(index) else {
            return Err(ContentsError::UnknownPoint { index, points });
        };
        if sample.value.as_ref().is_some_and(|value| !value.fits(point.value_type)) {
            return Err(ContentsError::ValueType { point: point.id.to_string() });
        }
        for found in [sample.source_time, sample.gateway_time] {
            if !found.is_storable() {
                return Err(ContentsError::Time { found });
            }
        }
    }
    Ok(())
}

/// Samples whose gateway had a suspect clock.
pub(super) fn suspect_clock(batch: &Batch, wall: Timestamp) -> u64 {
    let range = -CLOCK_BEHIND_MAX_US..=CLOCK_AHEAD_MAX_US;
    let suspect = |s: &&model::Sample| !range.contains(&s.gateway_time.micros_since(wall));
    u64::try_from(batch.samples.iter().filter(suspect).count()).unwrap_or(u64::MAX)
}
