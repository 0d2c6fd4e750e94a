//! What the keeper does, without its thread: gathers emissions, cuts them into batches, and makes them durable on
//! whatever disk its spool stands on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use driver::Emission;
use model::codec;
use model::host::Clock;
use model::record::JsonRecord;
use model::{
    Batch, Boot, Cursor, HistoryMarks, PointId, PointIndex, RecordType, Sample, SampleFlags,
    Timestamp,
};
use spool::{Draft, Recovery, Spool, SpoolConfig, SpoolError};

use super::clock_watch::ClockWatch;
use super::fitness::unfit;
use super::last::LastSamples;
use super::marks::Marks;
use super::refusals::Refusals;
use super::stored::Stored;
use super::telling::{findings, lost};
use crate::batcher::{Batcher, CutBatch};
use crate::points::{PlannedDictionary, PointTable};
use crate::status::SpoolFindings;

/// Reading back pauses when fewer segments than this are free before the spool would drop; a small quota has no more
/// than a part of its own to spare.
const READ_BACK_SEGMENTS_FREE: u64 = 2;
/// Points whose readings do not fit them that are named, in the log and in the status; more are counted.
pub(super) const UNFIT_TOLD_MAX: usize = 20;
/// Bytes of frames in which samples behind the marks are looked for at a start, oldest first: seconds on a slow host.
pub(super) const FIND_BYTES_MAX: usize = 64 << 20;
/// Dictionaries of earlier configurations told at the opening of a session, at most.
const DICTIONARIES_KEPT: usize = 64;

/// The spool and what waits to get into it.
pub(super) struct Keeping {
    pub(super) spool: Spool,
    /// Reading back pauses when less room than this is left.
    read_back_bytes: u64,
    pub(super) points: Arc<PointTable>,
    pub(super) batcher: Batcher,
    /// Bodies of the DICT records of the newest segment and of this run, oldest first. Every segment begins with
    /// those in use, so a centre that is new to this log learns it from the frames; these are for one that goes on in
    /// the middle of a segment and has lost what it knew.
    pub(super) dictionaries: Vec<Bytes>,
    pub(super) marks: Marks,
    pub(super) stored: Stored,
    /// Samples that the spool had when they were handed over again.
    pub(super) known_before: u64,
    /// Points of which a sample was refused: their marks stand still until their port begins again.
    frozen: BTreeSet<PointIndex>,
    pub(super) last: LastSamples,
    pub(super) samples_appended: u64,
    pub(super) refusals: Refusals,
    /// Those of `refusals` of which the log has told.
    refused_told: u64,
    clock: Arc<dyn Clock>,
    pub(super) clock_watch: ClockWatch,
    pub(super) found_at_start: SpoolFindings,
    /// The last durable reading of a run that did not end in order.
    pub(super) unclean_end: Option<Timestamp>,
    /// Samples given up before this run.
    pub(super) lost_before: u64,
    pub(super) fault: Option<String>,
}

impl Keeping {
    /// Goes on with what `recovery` found in the spool. `read_back` are the points whose history is read back.
    pub(super) fn new(
        mut spool: Spool,
        recovery: Recovery,
        config: &SpoolConfig,
        (points, read_back): (Arc<PointTable>, &[PointIndex]),
        clock: Arc<dyn Clock>,
    ) -> Self {
        let marks = marks_of(&recovery.history);
        let mut stored = Stored::new(read_back.iter().copied());
        stored.find(&mut spool, &recovery, &points, &marks, FIND_BYTES_MAX);
        let mut marks = Marks::new(marks, spool.mark_body_bytes_max(), spool.newest_segment());
        marks.stand_from(stored.from(&spool));
        spool.set_marks(Box::new(marks.source()));
        let mut refusals = Refusals::default();
        let unclean_end = recovery.skipped.map(|_| {
            // What the last run refused and could not tell of any more, and what was in its memory.
            let now = storable(clock.now());
            let end = recovery.newest_sample.unwrap_or(now);
            refusals.note_unknown(end, now);
            end
        });
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
            marks,
            stored,
            known_before: 0,
            frozen: BTreeSet::new(),
            samples_appended: 0,
            refusals,
            refused_told: 0,
            clock,
            clock_watch: ClockWatch::default(),
            found_at_start,
            unclean_end,
            fault: None,
        }
    }

    /// BOOT, what the last run could not tell, and the dictionaries of this run as far as the newest segment lacks them:
    /// durable before anything else happens.
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
        self.record_refusals(true);
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
        let preamble = dictionaries
            .map(|dictionary| small(RecordType::Dictionary, dictionary.record.to_vec()));
        self.spool.set_preamble(preamble.collect())
    }

    /// Takes what a port handed over.
    pub(super) fn take(&mut self, emission: Emission) {
        for sample in emission.samples {
            if let Some(why) = unfit(&sample, &self.points) {
                self.refuse_unfit(&sample, &why);
                continue;
            }
            let flags = if self.clock_watch.believes(sample.gateway_time) {
                SampleFlags::default()
            } else {
                SampleFlags::CLOCK_UNSYNCHRONISED
            };
            let gateway_time = storable(sample.gateway_time);
            let sample = Sample { gateway_time, ..sample }.flagged(flags);
            self.last.note(&sample);
            if self.stored.has(&sample) {
                self.known_before = self.known_before.saturating_add(1);
                self.last.note_appended(std::iter::once((sample.point, sample.source_time)));
                continue;
            }
            self.stored.add(&sample, self.spool.newest_segment());
            self.batcher.push(sample);
        }
        for (index, mark) in emission.marks {
            if !self.frozen.contains(&index) {
                self.marks.take(index, mark);
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
        self.commit_with(false);
    }

    /// `is_last`: whatever waits for its time is written now.
    fn commit_with(&mut self, is_last: bool) {
        // While the disk fails, memory may be full: what is in it goes first, for only then is there room for more.
        let was_failing = self.is_failing();
        // Whatever is handed to the spool from here on may begin a segment.
        self.marks.stand_from(self.stored.from(&self.spool));
        let tried = if was_failing { self.spool.commit().map(drop) } else { Ok(()) };
        self.look_at_clock();
        if tried.is_ok() {
            self.record_refusals(was_failing);
        }
        let points = Arc::clone(&self.points);
        for cut in self.batcher.cut(&points) {
            self.offer(cut);
        }
        self.note_marks(is_last);
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
        self.commit_with(true);
        if !self.is_failing() && self.refusals.unrecorded() > 0 {
            self.record_refusals(true);
            self.commit_with(true);
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
        for sample in samples {
            let index = cut.point(sample);
            self.stored.forget(&Sample { point: index, ..sample.clone() });
            self.frozen.insert(index);
            self.marks.take_back(index);
        }
    }

    /// Takes over the marks of which the spool has all samples now, and puts a HISTORY record of those that moved behind
    /// them when one is due.
    fn note_marks(&mut self, is_last: bool) {
        let now = self.clock.monotonic();
        let (segment, written) = (self.spool.newest_segment(), self.spool.written_bytes());
        let points = Arc::clone(&self.points);
        let id = |index| PointId::new(points.point(index)?.id).ok();
        for (point, mark) in self.marks.hold(segment, now, written, id) {
            self.stored.pass(point, &mark);
        }
        for part in self.marks.due(now, written, is_last) {
            match self.spool.append(small(RecordType::History, part.to_record())) {
                Ok(_) => self.marks.note_written(&part, now, written),
                // The next commit offers them again.
                Err(e) => {
                    tracing::debug!(error = %e, "history marks not taken; tried again");
                    break;
                }
            }
        }
    }

    /// All that the spool took is durable.
    fn note_durable(&mut self) {
        self.last.note_durable();
        self.marks.note_durable();
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
            let mark = self.id(*index).and_then(|id| self.marks.of(*index, &id));
            marks.extend(mark.map(|mark| (*index, mark)));
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
}

pub(super) fn marks_of(records: &[Vec<u8>]) -> HistoryMarks {
    HistoryMarks::union(records.iter().map(Vec::as_slice), |e| {
        tracing::warn!(error = %e, "history marks unreadable: more is read back than it must");
    })
}

/// A host's clock before 1970 or after 2200 is set to the end of what every store admits; the sample itself is kept.
fn storable(time: Timestamp) -> Timestamp {
    time.clamp(Timestamp::MIN, Timestamp::MAX)
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

pub(super) fn small(record_type: RecordType, body: Vec<u8>) -> Draft {
    Draft { record_type, samples: 0, ts_min: Timestamp(0), ts_max: Timestamp(0), body }
}
