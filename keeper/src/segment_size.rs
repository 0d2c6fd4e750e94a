//! How large a segment must be for many points.

use model::PointIndex;
use model::record::CURSOR_BYTES_MAX;
use spool::SEGMENT_BYTES_MAX;

use crate::points::PointTable;

/// What stands at the start of a segment is at most this part of it.
const HEAD_SHARE: u64 = 5;
/// A quota has at least so many segments, unless it was configured otherwise.
const QUOTA_SEGMENTS: u64 = 8;
/// A segment is a whole number of these.
const STEP_BYTES: u64 = 4096;
/// What a mark takes in a record beside the id, for the times that OPC UA has; longer cursors are read back too, only
/// the segment is then less well used.
const MARK_BYTES: u64 = 32;
const _: () = assert!(MARK_BYTES < CURSOR_BYTES_MAX as u64, "a mark may be longer");

/// Bytes of a segment: as configured, or more where the names and marks of so many points would take more than a fifth
/// of it, as far as the quota allows.
pub(super) fn segment_bytes_for(
    points: &PointTable,
    read_back: &[PointIndex],
    configured: u64,
    quota: u64,
) -> u64 {
    let names =
        points.dictionaries().iter().map(|dictionary| to_u64(dictionary.record.len()) + 128);
    let marks = read_back.iter().filter_map(|index| points.point(*index));
    let marks = marks.map(|point| to_u64(point.id.len()) + MARK_BYTES);
    let head = names.chain(marks).fold(0_u64, u64::saturating_add);
    let wanted = head.saturating_mul(HEAD_SHARE).div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES);
    let limit = SEGMENT_BYTES_MAX.min(quota / QUOTA_SEGMENTS / STEP_BYTES * STEP_BYTES);
    wanted.min(limit).max(configured)
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
