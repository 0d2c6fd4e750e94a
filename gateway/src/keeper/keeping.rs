//! What the keeper does, without its thread: gathers emissions, cuts them into batches, and makes them durable on
//! whatever disk its spool stands on. Must never wait, nor know who asks.

use std::sync::Arc;

use bytes::Bytes;
use driver::Emission;
use model::codec;
use model::record::JsonRecord;
use model::{Batch, Boot, Dictionary, HistoryMarks, RecordType, Sample, Timestamp};
use spool::{Draft, LossTotals, Recovery, Spool, SpoolError};

use super::command::SpoolView;
use super::last::LastSamples;
use crate::batcher::Batcher;
use crate::status::SpoolStatus;

/// Reading back pauses when fewer segments than this are free before the spool would drop.
const READ_BACK_SEGMENTS_FREE: u64 = 2;
/// Dictionaries told at the opening of a session, at most.
const DICTIONARIES_KEPT: usize = 16;

/// The spool and what waits to get into it.
pub(super) struct Keeping {
    pub(super) spool: Spool,
    segment_bytes: u64,
    dictionary: Arc<Dictionary>,
    batcher: Batcher,
    /// Bodies of the DICT records of the newest segment and of this run, oldest first. Every segment begins with the
    /// one in use, so a centre that is new to this log learns it from the frames; these are for one that goes on in
    /// the middle of a segment and has lost what it knew.
    pub(super) dictionaries: Vec<Bytes>,
    marks: HistoryMarks,
    pub(super) durable_marks: HistoryMarks,
    pub(super) last: LastSamples,
    samples_appended: u64,
    fault: Option<String>,
}

impl Keeping {
    /// Goes on with what `recovery` found in the spool.
    pub(super) fn new(
        spool: Spool,
        recovery: Recovery,
        segment_bytes: u64,
        dictionary: Arc<Dictionary>,
    ) -> Self {
        let marks = recovery.history.as_deref().map(HistoryMarks::from_record);
        let marks = marks.and_then(|read| {
            read.map_err(|e| tracing::warn!(error = %e, "history marks unreadable: reading back starts anew")).ok()
        });
        let marks = marks.unwrap_or_default();
        let skipped = recovery.dictionaries.len().saturating_sub(DICTIONARIES_KEPT);
        let dictionaries = recovery.dictionaries.into_iter().skip(skipped).map(Bytes::from);
        Self {
            spool,
            segment_bytes,
            batcher: Batcher::new(dictionary.hash()),
            last: LastSamples::new(dictionary.points.len()),
            dictionary,
            dictionaries: dictionaries.collect(),
            durable_marks: marks.clone(),
            marks,
            samples_appended: 0,
            fault: None,
        }
    }

    /// BOOT, the dictionary of this run and the marks: durable before anything else happens.
    pub(super) fn note_start(&mut self, boot: &Boot) -> Result<(), SpoolError> {
        self.spool.append(small(RecordType::Boot, boot.to_record()))?;
        let body = self.dictionary.to_record();
        self.spool.append(small(RecordType::Dictionary, body.clone()))?;
        let body = Bytes::from(body);
        self.dictionaries.retain(|known| *known != body);
        self.dictionaries.push(body);
        self.set_preamble()?;
        self.spool.commit()?;
        Ok(())
    }

    fn set_preamble(&mut self) -> Result<(), SpoolError> {
        let mut preamble = Vec::new();
        if let Some(body) = self.dictionaries.last() {
            preamble.push(small(RecordType::Dictionary, body.to_vec()));
        }
        if !self.durable_marks.marks.is_empty() {
            preamble.push(small(RecordType::History, self.durable_marks.to_record()));
        }
        self.spool.set_preamble(preamble)
    }

    /// Takes what a port handed over.
    pub(super) fn take(&mut self, emission: Emission) {
        for sample in emission.samples {
            let sample = Sample {
                source_time: storable(sample.source_time),
                gateway_time: storable(sample.gateway_time),
                ..sample
            };
            self.last.note(&sample);
            self.batcher.push(sample);
        }
        for (index, mark) in emission.marks {
            let point = self.dictionary.point(index).map(|point| point.id.clone());
            if let Some(point) = point {
                let slot = self.marks.marks.entry(point).or_insert(mark);
                *slot = (*slot).max(mark);
            }
        }
    }

    /// Samples that wait to be cut.
    pub(super) fn waiting(&self) -> usize {
        self.batcher.waiting()
    }

    /// Cuts what waits and makes it durable. The marks follow the samples that justify them in the log, so recovery,
    /// which takes a prefix, never finds a mark without them.
    pub(super) fn commit(&mut self) {
        let batches = self.batcher.cut();
        let mut appended = Ok(());
        for batch in &batches {
            appended = appended.and_then(|()| self.append(batch));
        }
        if self.marks != self.durable_marks {
            let record = small(RecordType::History, self.marks.to_record());
            appended = appended.and_then(|()| self.spool.append(record).map(drop));
        }
        match appended.and_then(|()| self.spool.commit()) {
            Ok(_) => {
                for batch in &batches {
                    self.last.note_durable(&batch.samples);
                }
                if self.marks != self.durable_marks {
                    self.durable_marks = self.marks.clone();
                    if let Err(e) = self.set_preamble() {
                        tracing::warn!(error = %e, "history marks are not repeated in the next segment");
                    }
                }
                if self.fault.take().is_some() {
                    tracing::info!("spool writes again");
                }
            }
            Err(e) => {
                if self.fault.is_none() {
                    tracing::error!(error = %e, "spool cannot write; readings are kept in memory as far as it goes");
                }
                self.fault = Some(e.to_string());
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        let times = || batch.samples.iter().map(|sample| sample.source_time);
        let body = match codec::encode(batch) {
            Ok(body) => body,
            Err(e) => {
                // The batcher keeps every rule of the codec; if it ever does not, the others must still be kept.
                tracing::error!(error = %e, samples = batch.samples.len(), "batch cannot be encoded; it is lost");
                return Ok(());
            }
        };
        let samples = u32::try_from(batch.samples.len()).unwrap_or(u32::MAX);
        self.spool.append(Draft {
            record_type: RecordType::Data,
            samples,
            ts_min: times().min().unwrap_or_default(),
            ts_max: times().max().unwrap_or_default(),
            body,
        })?;
        self.samples_appended = self.samples_appended.saturating_add(u64::from(samples));
        Ok(())
    }

    /// Whether the disk failed at the last commit.
    pub(super) fn is_failing(&self) -> bool {
        self.fault.is_some()
    }

    /// What the uplink watches.
    pub(super) fn view(&self) -> SpoolView {
        let status = self.spool.status();
        SpoolView {
            durable: status.durable,
            oldest: status.oldest,
            frames_lost: lost(&status.losses).0,
        }
    }

    /// False while reading back must pause.
    pub(super) fn read_back_allowed(&self) -> bool {
        !self.spool.would_drop_within(READ_BACK_SEGMENTS_FREE * self.segment_bytes)
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
            bytes: status.used_bytes,
            quota_bytes: status.quota_bytes,
            samples_appended: self.samples_appended,
            repeats_dropped: self.batcher.repeats_dropped(),
            frames_lost,
            samples_lost,
            samples_refused: status.refused.samples,
            read_back_paused: !self.read_back_allowed(),
            fault: self.fault.clone(),
        }
    }
}

/// A clock before 1970 or after 2200 is set to the end of what every store admits; the sample itself is kept.
fn storable(time: Timestamp) -> Timestamp {
    time.clamp(Timestamp::MIN, Timestamp::MAX)
}

/// Frames and samples lost, for whatever reason.
fn lost(totals: &LossTotals) -> (u64, u64) {
    let LossTotals { drop_oldest, corrupt } = totals;
    (
        drop_oldest.frames.saturating_add(corrupt.frames),
        drop_oldest.samples.saturating_add(corrupt.samples),
    )
}

fn small(record_type: RecordType, body: Vec<u8>) -> Draft {
    Draft { record_type, samples: 0, ts_min: Timestamp(0), ts_max: Timestamp(0), body }
}
