//! The full set of history marks at the start of each segment.

use model::HistoryMarks;
use model::record::JsonRecord;
use model::{RecordType, Timestamp};

use crate::append::LOSS_RESERVE_BYTES;
use crate::losses::{LOSS_FRAME_BYTES_MAX, LOSSES_MAX};
use crate::segment::SEGMENT_HEADER_BYTES;
use crate::{Draft, Spool, to_u64, to_usize};

/// Who knows the history marks as far as records of this spool justify them.
pub trait MarkSource: Send {
    /// Bytes of the records that [`Self::records`] gives, or more.
    fn bytes(&self) -> u64;

    /// The HISTORY records of the full set, with frames of at most `bytes_max` in all. What does not fit is left out, and
    /// is to be appended soon. Each mark is one that durable records justify, or records that were appended.
    fn records(&self, bytes_max: u64) -> Vec<Draft>;
}

impl Spool {
    /// Sets who is asked for the full set of marks at the start of each later segment. It follows the preamble.
    pub fn set_marks(&mut self, source: Box<dyn MarkSource>) {
        self.marks = Some(source);
    }

    /// Most bytes of a HISTORY record's body that surely fits this segment size.
    #[must_use]
    pub fn mark_body_bytes_max(&self) -> usize {
        let share = to_usize(self.config.share_bytes()) / 2;
        share.saturating_sub(model::frame::frame_bytes(0)).min(model::frame::BODY_BYTES_MAX)
    }

    /// What the preamble leaves for the marks: at least the rest of its share, and where segments are large all that
    /// records in memory, LOSS records and one long frame behind them surely do not need.
    pub(crate) fn marks_bytes_max(&self) -> u64 {
        let share = self.config.share_bytes();
        let losses = to_u64(LOSSES_MAX + self.losses.len()) * LOSS_FRAME_BYTES_MAX;
        let taken = SEGMENT_HEADER_BYTES + 3 * share + losses + LOSS_RESERVE_BYTES;
        let spare = self.config.segment_bytes.saturating_sub(taken);
        spare.max(share.saturating_sub(self.preamble_bytes()))
    }

    pub(crate) fn preamble_bytes(&self) -> u64 {
        self.preamble.iter().map(Draft::frame_bytes).sum()
    }

    /// The records of the marks for a new segment.
    pub(crate) fn mark_records(&self) -> Vec<Draft> {
        let mut left = self.marks_bytes_max();
        let mut records = match &self.marks {
            Some(source) => source.records(left),
            None => self.found_marks.clone(),
        };
        records.retain(|record| {
            let bytes = record.frame_bytes();
            let fits = bytes <= left;
            left -= if fits { bytes } else { 0 };
            fits
        });
        records
    }
}

/// HISTORY records that say the same as these, in as few bytes as it takes: a segment may hold many that name a few
/// marks each. One that cannot be read stays as it is.
pub(crate) fn merged(records: &[Draft], body_bytes_max: usize) -> Vec<Draft> {
    let is_readable = |record: &&Draft| HistoryMarks::from_record(&record.body).is_ok();
    let (readable, others): (Vec<&Draft>, Vec<&Draft>) = records.iter().partition(is_readable);
    let union = HistoryMarks::union(readable.iter().map(|record| record.body.as_slice()), |_| {});
    let merged = union.split(body_bytes_max).into_iter().map(|part| Draft {
        record_type: RecordType::History,
        samples: 0,
        ts_min: Timestamp(0),
        ts_max: Timestamp(0),
        body: part.to_record(),
    });
    others.into_iter().cloned().chain(merged).collect()
}
