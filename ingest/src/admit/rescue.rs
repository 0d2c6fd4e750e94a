//! What admission does where a frame cannot be read and where the store went back: in both cases it goes on, and what
//! is gone is counted.

use std::collections::BTreeMap;

use contract::{LogKey, Watermark};
use model::frame::hash_of_frame;
use model::{Frame, FrameHash, RecordType};

use super::answers::Tell;
use super::log::{Session, Weight};
use super::{Action, Admit, DropReason, Notice, NoticeKind, Now, Refusal, opened};
use crate::quarantine::{Label, Quarantined};

impl Admit {
    /// Passes a frame that cannot be read: it goes into quarantine, its samples count as lost, and the log goes on. Where
    /// there is no room left, or its place in the log cannot be kept, it is refused, and the log waits.
    pub(super) fn put_aside(
        &mut self,
        now: Now,
        key: &LogKey,
        frame: &Frame<'_>,
        reason: String,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let (sequence, bytes) = (frame.header.sequence, frame.bytes.len() as u64);
        let room = &mut self.settings.quarantine_room;
        if room.frames == 0 || room.bytes < bytes || i64::try_from(sequence.0).is_err() {
            return Err(Refusal(DropReason::Refused, Some(reason)));
        }
        room.frames -= 1;
        room.bytes -= bytes;
        let log = opened(&mut self.logs, key)?;
        if frame.header.record_type == RecordType::Dictionary {
            log.has_bad_dictionary = true;
        }
        let text = format!("frame {sequence}: {reason}");
        let label = Label {
            gateway: key.0.clone(),
            log_id: key.1,
            sequence,
            samples: frame.header.samples.into(),
            reason,
            at: now.wall,
        };
        let hash = FrameHash(hash_of_frame(frame.bytes));
        log.put_aside(Quarantined { label, bytes: frame.bytes.to_vec() }, hash);
        self.drafts.holds(now.monotonic);
        self.counters.frames_quarantined = self.counters.frames_quarantined.saturating_add(1);
        self.notice(now, &key.0, Some(key.1), NoticeKind::Quarantined, text, out);
        Ok(())
    }

    /// The store stands lower than it did. What was admitted since is given up, and each gateway is asked to open again:
    /// it sends what it still has, and what it has freed is counted as lost.
    pub(super) fn rewind(&mut self, stored: &BTreeMap<LogKey, Watermark>, out: &mut Vec<Action>) {
        self.counters.rewinds = self.counters.rewinds.saturating_add(1);
        // Gateways that see another run begin again from the watermark.
        let run = self.voice.ingest.split('+').next().unwrap_or_default();
        self.voice.ingest = format!("{run}+{}", self.counters.rewinds);
        let mut lower = 0_usize;
        for (key, log) in &mut self.logs {
            let mark = stored.get(key);
            lower += usize::from(mark.is_none_or(|mark| mark.durable_upto < log.stored));
            log.rewind(mark);
        }
        self.logs_opened = self.logs.values().filter(|log| log.session != Session::None).count();
        self.weights.clear();
        self.total = Weight::default();
        self.drafts.abandon(&self.logs);
        let text = format!(
            "{lower} logs stand lower than they did: was the folder of the store put back? The gateways are asked for what it lacks"
        );
        out.push(Action::Notice(Notice::store_went_back(text)));
        for (key, log) in self.logs.iter().filter(|(_, log)| !log.is_forked()) {
            out.push(self.voice.ack(key, Some(log), Tell::Open));
        }
    }
}
