//! Which of two samples of a point is the newer one.

use std::cmp::Ordering;

use model::{Sample, SampleFlags, Timestamp};

use super::device::Point;
use super::text::Origin;

/// Gateway times further ahead than this are suspect.
pub const CLOCK_AHEAD_MAX_US: i64 = 10 * 60 * 1_000_000;

/// How a sample came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comes {
    /// In a frame that was admitted now.
    Now,
    /// Out of the store: it was there before anything that came in this run.
    Stored,
}

/// Whether a sample takes the place of the one that a point has.
///
/// A log is in the order in which its gateway had the samples, so the later one wins in it, also where a clock went back.
/// What was read back from a memory of the device (`recovered`) is old when it comes, and wins by its source time alone.
/// Samples of two logs are in no such order: there the times decide, until the value is stale.
pub(super) fn takes_place(
    point: &Point,
    sample: &Sample,
    (origin, comes): (Origin, Comes),
    wall: Timestamp,
) -> bool {
    let (Some(known), Some(known_origin)) = (&point.sample, point.origin) else { return true };
    let is_recovered = |sample: &Sample| sample.flags.contains(SampleFlags::RECOVERED);
    if origin.boot == known_origin.boot {
        match origin.sequence.cmp(&known_origin.sequence) {
            Ordering::Greater if !is_recovered(sample) => return true,
            Ordering::Less if !is_recovered(known) => return false,
            _ => {}
        }
    } else if point.stale && comes == Comes::Now && !is_recovered(sample) {
        return true;
    }
    // What is ahead is shown all the same: where a clock stays ahead there is nothing else.
    (is_ahead(known, wall) && !is_ahead(sample, wall)) || sample.replaces(known)
}

/// Whether `new` takes the place of `known`, of the same frame. A clock that jumped ahead must not hold the topic until that
/// time has come.
pub(super) fn is_newer(known: &Sample, new: &Sample, wall: Timestamp) -> bool {
    match (is_ahead(new, wall), is_ahead(known, wall)) {
        (false, true) => true,
        (true, false) => false,
        _ => new.replaces(known),
    }
}

/// Whether a clock was wrong when the sample was taken.
fn is_ahead(sample: &Sample, wall: Timestamp) -> bool {
    sample.source_time.max(sample.gateway_time).micros_since(wall) > CLOCK_AHEAD_MAX_US
}
