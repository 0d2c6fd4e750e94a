//! What the keeper does, without its thread: gathers emissions, cuts them into batches, and makes them durable on
//! whatever disk its spool stands on. Must never wait, nor know who asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use driver::Emission;
use model::codec;
use model::host::Clock;
use model::record::{JsonRecord, Loss};
use model::{
    Batch, Boot, Cursor, HistoryMarks, PointId, PointIndex, RecordType, Sample, SampleFlags,
    Timestamp,
};
use spool::{Draft, LossTotals, Recovery, Spool, SpoolConfig, SpoolError};

use super::clock_watch::ClockWatch;
use super::fitness::unfit;
use super::last::LastSamples;
use super::refusals::Refusals;
use crate::batcher::{Batcher, CutBatch};
use crate::points::{PlannedDictionary, PointTable};
use crate::status::{ClockStatus, DestinationStatus, SpoolFindings, SpoolStatus, UnfitPoint};

/// Reading back pauses when fewer segments than this are free before the spool would drop; a small quota has no more
/// than a part of its own to spare.
const READ_BACK_SEGMENTS_FREE: u64 = 2;
/// Points whose readings do not fit them that are named, in the log and in the status; more are counted.
const UNFIT_TOLD_MAX: usize = 20;
/// Dictionaries of earlier configurations told at the opening of a session, at most.
const DICTIONARIES_KEPT: usize = 64;

/// The spool and what waits to get into it.
pub(super) struct Keeping {
    pub(super) spool: Spool,
    /// Reading back pauses when less room than this is left.
    read_back_bytes: u64,
    points: Arc<PointTable>,
    batcher: Batcher,
    /// Bodies of the DICT records of the newest segment and of this run, oldest first. Every segment begins with
    /// those in use, so a centre that is new to this log learns it from the frames; these are for one that goes on in
    /// the middle of a segment and has lost what it knew.
    pub(super) dictionaries: Vec<Bytes>,
    /// What the emissions justify, as far as their samples were kept.
    marks: HistoryMarks,
    /// Those of the last HISTORY record that the spool took.
    noted_marks: HistoryMarks,
    /// They do not fit a record of this segment size, which is told once.
    marks_too_long: bool,
    pub(super) durable_marks: HistoryMarks,
    /// Points of which a sample was refused: their marks stand still until their port begins again.
    frozen: BTreeSet<PointIndex>,
    pub(super) last: LastSamples,
    samples_appended: u64,
    refusals: Refusals,
    /// Those of `refusals` of which the log has told.
    refused_told: u64,
    clock: Arc<dyn Clock>,
    clock_watch: ClockWatch,
    found_at_start: SpoolFindings,
    /// Samples given up before this run.
    lost_before: u64,
    fault: Option<String>,
}

impl Keeping {
    /// Goes on with what `recovery` found in the spool.
    pub(super) fn new(
        spool: Spool,
        recovery: Recovery,
        config: &SpoolConfig,
        points: Arc<PointTable>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let marks = marks_of(&recovery.history);
        let found_at_start = findings(&recovery);
        if let Some(tail) = recovery.torn_tail {
            let SpoolFindings { frames_cut, samples_cut, .. } = found_at_start;
            let first = tail.first.0;
            tracing::warn!(
                first,
                frames_cut,
                samples_cut,
                "the last commit did not finish and is cut off"
            );
        }
        let skipped = recovery.dictionaries.len().saturating_sub(DICTIONARIES_KEPT);
        let dictionaries = recovery.dictionaries.into_iter().skip(skipped).map(Bytes::from);
        // What the last crash damaged is told as found at the start.
        let lost_before = lost(&spool.status().losses).1;
        Self {
            lost_before,
            spool,
            read_back_bytes: read_back_bytes(config),
            batcher: Batcher::default(),
            last: LastSamples::new(points.len()),
            points,
            dictionaries: dictionaries.collect(),
            durable_marks: marks.clone(),
            noted_marks: marks.clone(),
            marks_too_long: false,
            marks,
            frozen: BTreeSet::new(),
            samples_appended: 0,
            refusals: Refusals::default(),
            refused_told: 0,
            clock,
            clock_watch: ClockWatch::default(),
            found_at_start,
            fault: None,
        }
    }

    /// BOOT, the dictionaries of this run as far as the newest segment lacks them, and the marks: durable before
    /// anything else happens.
    pub(super) fn note_start(&mut self, boot: &Boot) -> Result<(), SpoolError> {
        self.spool.append(small(RecordType::Boot, boot.to_record()))?;
        // First, so that dictionaries that do not fit the segments are named before any of them is written.
        self.set_preamble()?;
        let points = Arc::clone(&self.points);
        for PlannedDictionary { record, .. } in points.dictionaries() {
            if let Some(at) = self.dictionaries.iter().position(|known| known == record) {
                self.dictionaries.remove(at);
            } else {
                self.spool.append(small(RecordType::Dictionary, record.to_vec()))?;
            }
            self.dictionaries.push(record.clone());
        }
        self.look_at_clock();
        self.spool.commit()?;
        Ok(())
    }

    /// Notes in the log what the wall clock did.
    fn look_at_clock(&mut self) {
        let look = self.clock_watch.look(self.clock.now(), self.clock.monotonic());
        let Some(record) = look else { return };
        if let Err(e) = self.spool.append(small(RecordType::Clock, record.to_record())) {
            tracing::warn!(error = %e, "what the clock did is not noted");
        }
    }

    fn set_preamble(&mut self) -> Result<(), SpoolError> {
        let dictionaries = self.points.dictionaries().iter();
        let mut preamble: Vec<Draft> = dictionaries
            .map(|dictionary| small(RecordType::Dictionary, dictionary.record.to_vec()))
            .collect();
        if !self.durable_marks.marks.is_empty() {
            preamble.push(small(RecordType::History, self.durable_marks.to_record()));
        }
        self.spool.set_preamble(preamble)
    }

    /// Takes what a port handed over.
    pub(super) fn take(&mut self, emission: Emission) {
        let flags = if self.clock_watch.is_synchronised() {
            SampleFlags::default()
        } else {
            SampleFlags::CLOCK_UNSYNCHRONISED
        };
        for sample in emission.samples {
            if let Some(why) = unfit(&sample, &self.points) {
                self.refuse_unfit(&sample, &why);
                continue;
            }
            let gateway_time = storable(sample.gateway_time);
            let sample = Sample { gateway_time, ..sample }.flagged(flags);
            self.last.note(&sample);
            self.batcher.push(sample);
        }
        let kept = |(index, _): &(PointIndex, Cursor)| !self.frozen.contains(index);
        for (index, mark) in emission.marks.into_iter().filter(kept) {
            if let Some(point) = self.id(index) {
                self.marks.marks.insert(point, mark);
            }
        }
    }

    fn id(&self, index: PointIndex) -> Option<PointId> {
        PointId::new(self.points.point(index)?.id).ok()
    }

    /// Samples that wait to be cut.
    pub(super) fn waiting(&self) -> usize {
        self.batcher.waiting()
    }

    /// Cuts what waits and makes it durable. The marks follow the samples that justify them in the log, so recovery,
    /// which takes a prefix, never finds a mark without them.
    pub(super) fn commit(&mut self) {
        // While the disk fails, memory may be full: what is in it goes first, for only then is there room for more.
        let was_failing = self.is_failing();
        let tried = if was_failing { self.spool.commit().map(drop) } else { Ok(()) };
        self.look_at_clock();
        if tried.is_ok() {
            self.record_refusals(was_failing);
        }
        let points = Arc::clone(&self.points);
        for cut in self.batcher.cut(&points) {
            self.offer(cut);
        }
        self.note_marks();
        match tried.and_then(|()| self.spool.commit()) {
            Ok(_) => self.note_durable(),
            Err(e) => {
                if self.fault.is_none() {
                    tracing::error!(error = %e, "spool cannot write; readings are kept in memory as far as it goes");
                }
                self.fault = Some(e.to_string());
            }
        }
    }

    /// The last commit: leaves nothing to tell where the spool takes it.
    pub(super) fn commit_last(&mut self) {
        self.commit();
        if !self.is_failing() && self.refusals.unrecorded() > 0 {
            self.record_refusals(true);
            self.commit();
        }
    }

    /// A task failed with an unknown number of samples in its hands.
    pub(super) fn lose_unknown(&mut self) {
        let now = storable(self.clock.now());
        self.refusals.note_unknown(now, now);
    }

    /// Tells the centre of what was refused, by LOSS records that are samples' only trace.
    fn record_refusals(&mut self, at_once: bool) {
        let now = self.clock.monotonic();
        let drafts = self.refusals.to_record(now, at_once);
        if drafts.is_empty() {
            return;
        }
        for draft in drafts {
            if let Err(e) = self.spool.append(draft) {
                tracing::debug!(error = %e, "LOSS record not taken; tried again");
                return;
            }
        }
        self.refusals.recorded(now);
    }

    /// A sample that its dictionary does not allow is counted, and named once per point.
    fn refuse_unfit(&mut self, sample: &Sample, why: &str) {
        if self.refusals.note_unfit(sample, why) && self.refusals.unfit().count() <= UNFIT_TOLD_MAX
        {
            let point = self.points.point(sample.point).map(|point| point.id.to_owned());
            let point = point.unwrap_or_else(|| format!("number {}", sample.point.0));
            tracing::error!(
                point,
                "reading refused, {why}; further ones of this point are only counted"
            );
        }
        self.refused_told = self.refusals.samples();
    }

    /// Hands one batch to the spool; one that is too long for this segment size goes in halves.
    fn offer(&mut self, mut cut: CutBatch) {
        let samples = cut.batch.samples.as_slice();
        let appended = match codec::encode(&cut.batch) {
            Ok(body) => self.spool.append(data(samples, body)),
            // The batcher keeps every rule of the codec; if it ever does not, the others must still be kept.
            Err(e) => return self.refuse(&cut, &e),
        };
        match appended {
            Ok(_) => {
                self.samples_appended = self.samples_appended.saturating_add(count(samples));
                let times = samples.iter().map(|sample| (cut.point(sample), sample.source_time));
                self.last.note_appended(times);
            }
            Err(SpoolError::RecordTooLong { .. }) if samples.len() > 1 => {
                let second = cut.batch.samples.split_off(cut.batch.samples.len() / 2);
                let second = Batch { dictionary: cut.batch.dictionary, samples: second };
                let second = CutBatch { batch: second, ..cut };
                self.offer(cut);
                self.offer(second);
            }
            Err(e) => self.refuse(&cut, &e),
        }
    }

    /// Counts samples that were not kept (INV-6). The marks of their points go back to what the spool holds and stay
    /// there until their port begins again, which then reads back what is missing, as far as the device remembers it.
    fn refuse(&mut self, cut: &CutBatch, why: &dyn std::error::Error) {
        if self.refusals.samples() == self.refused_told {
            tracing::error!(
                error = %why,
                "readings are lost; those that a device remembers are read back once the disk works"
            );
        }
        let samples = cut.batch.samples.as_slice();
        self.refusals.note(samples);
        for index in samples.iter().map(|sample| cut.point(sample)) {
            if !self.frozen.insert(index) {
                continue;
            }
            let Some(point) = self.id(index) else { continue };
            match self.noted_marks.marks.get(&point) {
                Some(mark) => self.marks.marks.insert(point, mark.clone()),
                None => self.marks.marks.remove(&point),
            };
        }
    }

    /// Puts the marks behind the samples of this commit, if they have moved since the last HISTORY record.
    fn note_marks(&mut self) {
        if self.marks == self.noted_marks || self.marks_too_long {
            return;
        }
        match self.spool.append(small(RecordType::History, self.marks.to_record())) {
            Ok(_) => self.noted_marks.clone_from(&self.marks),
            // The next commit offers them again.
            Err(SpoolError::MemoryFull { .. }) => {}
            Err(e) => {
                self.marks_too_long = true;
                tracing::warn!(error = %e, "history marks are not kept: a restart reads back more than it must");
            }
        }
    }

    /// All that the spool took is durable.
    fn note_durable(&mut self) {
        self.last.note_durable();
        if self.noted_marks != self.durable_marks {
            self.durable_marks.clone_from(&self.noted_marks);
            if let Err(e) = self.set_preamble() {
                tracing::warn!(error = %e, "history marks are not repeated in the next segment");
            }
        }
        let refused = self.refusals.samples() - self.refused_told;
        self.refused_told = self.refusals.samples();
        if self.fault.take().is_some() {
            tracing::info!(samples_refused = refused, "spool writes again");
        }
    }

    /// Points with a hole that can be read back now: the disk works, and only a new start of their port is missing.
    pub(super) fn to_read_again(&self) -> BTreeSet<PointIndex> {
        if self.is_failing() { BTreeSet::new() } else { self.frozen.clone() }
    }

    /// The marks of these points, where their port goes on; they move again even where a sample was refused.
    pub(super) fn resume(&mut self, points: &[PointIndex]) -> HashMap<PointIndex, Cursor> {
        let mut marks = HashMap::new();
        for index in points {
            self.frozen.remove(index);
            if self.marks.marks.is_empty() {
                continue;
            }
            let point = self.id(*index);
            if let Some(mark) = point.and_then(|point| self.marks.marks.get(&point)) {
                marks.insert(*index, mark.clone());
            }
        }
        marks
    }

    /// Whether the disk failed at the last commit.
    pub(super) fn is_failing(&self) -> bool {
        self.fault.is_some()
    }

    /// False while reading back must pause: nothing may be asked of a device that could then not be kept.
    pub(super) fn read_back_allowed(&self) -> bool {
        !self.is_failing() && !self.spool.would_drop_within(self.read_back_bytes)
    }

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
            repeats_dropped: self.batcher.repeats_dropped(),
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
            fault: self.fault.clone(),
        }
    }
}

fn destination_status(known: &spool::DestinationStatus) -> DestinationStatus {
    let (frames_lost, samples_lost) = lost(&known.losses);
    DestinationStatus {
        id: known.id.to_string(),
        acked: known.acked.0,
        frames_lost,
        samples_lost,
        frames_skipped: known.losses.skipped.frames,
    }
}

/// What holds is the union of all records, the newest for each point.
fn marks_of(records: &[Vec<u8>]) -> HistoryMarks {
    let mut marks = HistoryMarks::default();
    for body in records {
        match HistoryMarks::from_record(body) {
            Ok(read) => marks.marks.extend(read.marks),
            Err(e) => {
                tracing::warn!(error = %e, "history marks unreadable: more is read back than it must");
            }
        }
    }
    marks
}

/// The log has told of each damaged range already, as for those that are met later.
fn findings(recovery: &Recovery) -> SpoolFindings {
    let frames = |loss: &Loss| loss.last.0.saturating_sub(loss.first.0).saturating_add(1);
    let cut = recovery.torn_tail.map(|tail| tail.readable).unwrap_or_default();
    SpoolFindings {
        frames_damaged: recovery.losses.iter().map(frames).sum(),
        samples_damaged: recovery.losses.iter().filter_map(|loss| loss.samples).sum(),
        frames_cut: cut.frames,
        samples_cut: cut.samples,
    }
}

/// A host's clock before 1970 or after 2200 is set to the end of what every store admits; the sample itself is kept.
fn storable(time: Timestamp) -> Timestamp {
    time.clamp(Timestamp::MIN, Timestamp::MAX)
}

/// Frames and samples lost, for whatever reason.
fn lost(totals: &LossTotals) -> (u64, u64) {
    let lost = totals.lost();
    (lost.frames, lost.samples)
}

/// With everything acked there is always room for as many segments as may be sealed, but for what each begins with: a
/// quarter of them surely fits, so reading back goes on then.
fn read_back_bytes(config: &SpoolConfig) -> u64 {
    let sealed = (config.quota_bytes / config.segment_bytes).saturating_sub(2);
    (READ_BACK_SEGMENTS_FREE * config.segment_bytes).min(sealed * config.segment_bytes / 4)
}

fn count(samples: &[Sample]) -> u64 {
    u64::try_from(samples.len()).unwrap_or(u64::MAX)
}

fn data(samples: &[Sample], body: Vec<u8>) -> Draft {
    let times = || samples.iter().map(|sample| sample.source_time);
    Draft {
        record_type: RecordType::Data,
        samples: u32::try_from(samples.len()).unwrap_or(u32::MAX),
        ts_min: times().min().unwrap_or_default(),
        ts_max: times().max().unwrap_or_default(),
        body,
    }
}

fn small(record_type: RecordType, body: Vec<u8>) -> Draft {
    Draft { record_type, samples: 0, ts_min: Timestamp(0), ts_max: Timestamp(0), body }
}
