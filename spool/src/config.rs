//! How large the spool may grow, and where it lies.

use std::path::PathBuf;

use model::DestinationId;

use crate::destination::DESTINATIONS_MAX;
use crate::error::SpoolError;
use crate::segment::SEGMENT_HEADER_BYTES;

/// Default size of a segment.
pub const SEGMENT_BYTES_DEFAULT: u64 = 4 << 20;
/// Least size of a segment; the bounded list of LOSS records must fit beside the records.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Most; a segment is read into memory whole when it is damaged, given up or recovered.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Least quota in segments: one open, the spare, and one sealed.
pub const QUOTA_SEGMENTS_MIN: u64 = 3;

/// Where the spool lies and how large it may grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The directory.
    pub dir: PathBuf,
    /// Most bytes of all segment files together. The reserve, one more of them, lies beside it.
    pub quota_bytes: u64,
    /// Bytes of one segment file; changing it later is safe.
    pub segment_bytes: u64,
    /// Where the records go: at least one, at most [`DESTINATIONS_MAX`], each once. A record is kept until all of them
    /// have it; what the quota takes is lost for those that were slower.
    pub destinations: Vec<DestinationId>,
}

impl SpoolConfig {
    /// With segments of the default size and one destination.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, quota_bytes: u64) -> Self {
        Self {
            dir: dir.into(),
            quota_bytes,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            destinations: vec![DestinationId::default()],
        }
    }

    pub(crate) fn check(&self) -> Result<(), SpoolError> {
        let (found, min, max) = (self.segment_bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        if !(min..=max).contains(&found) || !found.is_multiple_of(4096) {
            return Err(SpoolError::SegmentBytes { found, min, max });
        }
        let expected = QUOTA_SEGMENTS_MIN * self.segment_bytes;
        if self.quota_bytes < expected {
            return Err(SpoolError::QuotaTooSmall {
                found: self.quota_bytes,
                expected,
                segment_bytes: self.segment_bytes,
            });
        }
        let found = self.destinations.len();
        let mut distinct = self.destinations.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if !(1..=DESTINATIONS_MAX).contains(&found) || distinct.len() != found {
            return Err(SpoolError::Destinations { found, distinct: distinct.len() });
        }
        Ok(())
    }

    /// Most bytes of the frames in memory, of one frame, and of the preamble. All three and the LOSS lists fit one
    /// segment, so whatever waits can always move to a new one.
    pub(crate) fn share_bytes(&self) -> u64 {
        (self.segment_bytes - SEGMENT_HEADER_BYTES) / 5
    }

    /// Most bytes of sealed segments: the quota without the two of the reserve.
    pub(crate) fn sealed_bytes_max(&self) -> u64 {
        self.quota_bytes - 2 * self.segment_bytes
    }

    pub(crate) fn no_space(&self, free: u64) -> SpoolError {
        let (quota, reserve) = (self.quota_bytes, self.segment_bytes);
        SpoolError::NoSpace { quota, reserve, free, dir: self.dir_text() }
    }

    pub(crate) fn dir_text(&self) -> String {
        self.dir.display().to_string()
    }
}
