//! What the spool tells about itself.

use model::{DestinationId, LogId, Sequence};

use crate::append::LOSS_RESERVE_BYTES;
use crate::losses::{LOSS_FRAME_BYTES_MAX, LossCount, LossList, LossTotals};
use crate::segment::SEGMENT_HEADER_BYTES;
use crate::{Spool, to_u64};

/// The state of one destination at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStatus {
    /// Which one.
    pub id: DestinationId,
    /// Everything up to it is durable in its store.
    pub acked: Sequence,
    /// Frames that are held and not acked: sequences that were given up or passed over are not among them.
    pub waiting: u64,
    /// What was ever given up for it.
    pub losses: LossTotals,
}

/// The state of a spool at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The life of the log.
    pub log_id: LogId,
    /// Oldest sequence held; `next` when none is.
    pub oldest: Sequence,
    /// The sequence that the next record will get.
    pub next: Sequence,
    /// Everything up to it is durable here.
    pub durable: Sequence,
    /// Everything up to it is durable in the store of every destination.
    pub acked: Sequence,
    /// Each destination, in the order of the configuration.
    pub destinations: Vec<DestinationStatus>,
    /// Bytes of all segment files, the spare included.
    pub used_bytes: u64,
    /// The quota.
    pub quota_bytes: u64,
    /// Bytes of frames that still fit before records are given up.
    pub room_bytes: u64,
    /// Segments that hold frames.
    pub segments: usize,
    /// Records in memory that are not durable yet.
    pub pending_records: usize,
    /// What was ever given up for the destination that lost most.
    pub losses: LossTotals,
    /// Records refused while the disk failed and memory was full, since the start.
    pub refused: LossCount,
    /// Why nothing can be written at the moment.
    pub failing: Option<String>,
    /// Whether the disk will be full before the quota is.
    pub space_short: bool,
    /// Errors of write, fsync and rename, since the start.
    pub write_errors: u64,
    /// Bytes written to segments and cursors since the start, the zeros of new files not counted.
    pub written_bytes: u64,
}

impl Spool {
    /// The state now.
    pub fn status(&self) -> Status {
        let (used_bytes, quota_bytes) = (self.file_bytes(), self.config.quota_bytes);
        let each = self.destinations.iter().zip(&self.losses);
        let destinations = each.map(|(destination, losses)| DestinationStatus {
            id: destination.id.clone(),
            acked: destination.acked,
            waiting: (self.next_sequence().0 - 1)
                .saturating_sub(destination.acked.0)
                .saturating_sub(losses.sequences_above(destination.acked)),
            losses: losses.totals(),
        });
        let totals = self.losses.iter().map(LossList::totals);
        Status {
            log_id: self.log_id,
            oldest: self.oldest(),
            next: self.next_sequence(),
            durable: self.durable,
            acked: self.acked_by_all(),
            destinations: destinations.collect(),
            used_bytes,
            quota_bytes,
            room_bytes: self.room_bytes(),
            segments: self.segments.len(),
            pending_records: self.pending.len(),
            losses: totals.max_by_key(|totals| totals.lost().frames).unwrap_or_default(),
            refused: self.refused,
            failing: self.failing.clone(),
            space_short: used_bytes.saturating_add(self.free_bytes()) < quota_bytes,
            write_errors: self.write_errors,
            written_bytes: self.written_bytes,
        }
    }

    /// Bytes of frames (80 and padding around each body) that surely still fit before the oldest records are given up,
    /// unless one is longer than all before.
    pub fn room_bytes(&self) -> u64 {
        self.room_for(self.longest_bytes)
    }

    /// Whether `bytes` more of frames could make the spool give up records: then a history read-back should pause.
    pub fn would_drop_within(&self, bytes: u64) -> bool {
        bytes > self.room_for(self.longest_bytes.max(bytes.min(self.config.share_bytes())))
    }

    /// When a frame of `longest` bytes may be the one that does not fit the end of a segment.
    fn room_for(&self, longest: u64) -> u64 {
        let size = self.config.segment_bytes;
        let held: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let newest = self.segments.back().map_or(0, |segment| segment.bytes);
        let in_open = self.open.as_ref().map_or(0, |open| {
            newest.saturating_sub(open.offset + self.pending_bytes + LOSS_RESERVE_BYTES)
        });
        let left = self.config.sealed_bytes_max().checked_sub(held);
        let by_quota = left.map_or(0, |left| left / size + 1);
        // Behind each new segment stands the next one, written before it is needed.
        let for_reserve = if self.has_reserve { 0 } else { size };
        let free = self.free_bytes().saturating_sub(for_reserve);
        let by_disk = free / size + u64::from(self.spare.is_some());
        let changes = by_quota.min(by_disk.saturating_sub(1));
        if changes == 0 {
            return in_open;
        }
        let marks = self.marks.as_ref().map_or(0, |marks| marks.bytes());
        let preamble = self.preamble_bytes() + marks.min(self.marks_bytes_max());
        let lists = self.losses.iter().map(|list| list.len() + 1);
        let losses = LOSS_FRAME_BYTES_MAX * to_u64(lists.sum());
        let overhead = SEGMENT_HEADER_BYTES + preamble + losses + LOSS_RESERVE_BYTES + longest;
        in_open.saturating_sub(longest) + changes * size.saturating_sub(overhead)
    }

    /// Asked for each time: others write to this disk too. None when it cannot be told.
    fn free_bytes(&self) -> u64 {
        self.disk.free_bytes().unwrap_or(0)
    }
}
