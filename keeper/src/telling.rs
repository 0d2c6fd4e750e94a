//! What the keeper tells of itself.

use model::Timestamp;
use model::record::Loss;
use spool::{LossTotals, Recovery};

use super::keeping::{Keeping, UNFIT_TOLD_MAX};
use crate::status::{ClockStatus, DestinationStatus, SpoolFindings, SpoolStatus, UnfitPoint};

impl Keeping {
    /// What is known of the host's clock.
    pub(super) fn clock_status(&self) -> ClockStatus {
        let (steps, last_step_micros) = self.clock_watch.steps();
        let is_plausible = self.clock_watch.is_synchronised();
        ClockStatus { is_plausible, steps, last_step_ms: last_step_micros.map(|step| step / 1_000) }
    }

    fn unfit_points(&self) -> Vec<UnfitPoint> {
        let shown = self.refusals.unfit().take(UNFIT_TOLD_MAX);
        let shown = shown.map(|(index, samples, why)| {
            let point = self.points.point(index).map(|point| point.id.to_owned());
            let point = point.unwrap_or_else(|| format!("number {}", index.0));
            UnfitPoint { point, samples, why: why.to_owned() }
        });
        shown.collect()
    }

    /// How the spool does.
    pub(super) fn status(&self) -> SpoolStatus {
        let status = self.spool.status();
        let (frames_lost, samples_lost) = lost(&status.losses);
        SpoolStatus {
            log_id: status.log_id.to_string(),
            oldest: status.oldest.0,
            next: status.next.0,
            durable: status.durable.0,
            acked: status.acked.0,
            destinations: status.destinations.iter().map(destination_status).collect(),
            bytes: status.used_bytes,
            quota_bytes: status.quota_bytes,
            samples_appended: self.samples_appended,
            repeats_dropped: self.batcher.repeats_dropped().saturating_add(self.known_before),
            frames_lost,
            samples_lost,
            samples_lost_in_run: samples_lost.saturating_sub(self.lost_before),
            samples_refused: self.refusals.samples(),
            samples_refused_unrecorded: self.refusals.unrecorded(),
            unfit: self.unfit_points(),
            no_ack_for_ms: None,
            read_back_paused: !self.read_back_allowed(),
            space_short: status.space_short,
            found_at_start: self.found_at_start,
            unclean_end_ms: self.unclean_end.map(Timestamp::as_millis),
            fault: self.fault.clone(),
        }
    }
}

fn destination_status(known: &spool::DestinationStatus) -> DestinationStatus {
    let (frames_lost, samples_lost) = lost(&known.losses);
    DestinationStatus {
        id: known.id.to_string(),
        acked: known.acked.0,
        frames_waiting: known.waiting,
        no_ack_for_ms: None,
        frames_lost,
        samples_lost,
        frames_skipped: known.losses.skipped.frames,
    }
}

/// The log has told of each damaged range already, as for those that are met later.
pub(super) fn findings(recovery: &Recovery) -> SpoolFindings {
    let frames = |loss: &Loss| loss.last.0.saturating_sub(loss.first.0).saturating_add(1);
    let cut = recovery.torn_tail.map(|tail| tail.readable).unwrap_or_default();
    SpoolFindings {
        frames_damaged: recovery.losses.iter().map(frames).sum(),
        samples_damaged: recovery.losses.iter().filter_map(|loss| loss.samples).sum(),
        frames_cut: cut.frames,
        samples_cut: cut.samples,
    }
}

/// Frames and samples lost, for whatever reason.
pub(super) fn lost(totals: &LossTotals) -> (u64, u64) {
    let lost = totals.lost();
    (lost.frames, lost.samples)
}
