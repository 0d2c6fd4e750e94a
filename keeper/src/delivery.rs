//! What the keeper does for the uplinks: reads, frees, and begins another log.

use model::host::Entropy;
use model::{FrameHash, LogId, RecordType, Sequence, Timestamp};
use serde_json::json;
use spool::{DestinationIndex, Draft, SpoolError, StoredFrame};

use super::command::{DestinationView, Frames, SpoolView};
use super::keeping::Keeping;
use crate::uplink::Freed;

impl Keeping {
    /// What the uplinks watch.
    pub(super) fn view(&self) -> SpoolView {
        let status = self.spool.status();
        let each = status.destinations.iter().enumerate().map(|(index, destination)| {
            let to = DestinationIndex(index);
            let losses = destination.losses.lost().frames;
            let losses = losses.saturating_add(destination.losses.skipped.frames);
            DestinationView {
                acked: destination.acked,
                oldest: self.spool.oldest_for(to),
                deliverable: self.spool.deliverable(to),
                losses: losses.saturating_sub(self.spool.untold(to)),
                store: self.spool.store(to).cloned(),
            }
        });
        SpoolView { log_id: status.log_id, durable: status.durable, destinations: each.collect() }
    }

    /// Frames for one destination; `None` when this is another log by now.
    pub(super) fn read(
        &mut self,
        to: DestinationIndex,
        log_id: LogId,
        from: Sequence,
        bytes_max: usize,
    ) -> Option<Frames> {
        if self.spool.log_id() != log_id {
            return None;
        }
        let mut frames = self.spool.read_from(to, from, bytes_max).unwrap_or_else(|e| {
            tracing::warn!(error = %e, "cannot read the spool; tried again");
            Vec::new()
        });
        // Asked afterwards: damage that was met just now ends what may be sent.
        let upto = self.spool.deliverable(to);
        frames.retain(|frame| frame.header.sequence <= upto);
        let shared = |frame: StoredFrame| (frame.header.sequence, frame.bytes.into());
        Some(frames.into_iter().map(shared).collect())
    }

    /// Frees what a store says that it has, if the hash proves it.
    pub(super) fn free(
        &mut self,
        to: DestinationIndex,
        upto: Sequence,
        hash: Option<FrameHash>,
    ) -> Freed {
        match self.spool.ack(to, upto, hash) {
            Ok(acked) if acked >= upto => Freed::Yes,
            Ok(_) => Freed::NoFrame,
            Err(SpoolError::AckWithoutHash { .. }) => Freed::NoHash,
            Err(SpoolError::AckOfAnotherLog { .. } | SpoolError::AckOfUnsent { .. }) => {
                Freed::OtherFrame
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot free what was committed; tried again with the next ack");
                Freed::NotNow
            }
        }
    }

    /// Begins again as another log, and notes why in it.
    pub(super) fn begin_log(
        &mut self,
        destination: &str,
        why: &str,
        entropy: &dyn Entropy,
    ) -> Result<(), SpoolError> {
        let previous = self.spool.log_id();
        self.spool.begin_new_log(entropy)?;
        let event = json!({
            "event": "log_begun",
            "previous": previous.to_string(),
            "destination": destination,
            "why": why,
        });
        let body = event.to_string().into_bytes();
        let (ts_min, ts_max) = (Timestamp(0), Timestamp(0));
        self.spool.append(Draft {
            record_type: RecordType::Audit,
            samples: 0,
            ts_min,
            ts_max,
            body,
        })?;
        self.spool.commit()?;
        Ok(())
    }
}
