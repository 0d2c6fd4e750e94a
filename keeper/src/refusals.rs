//! Readings that were not kept: counted, and told to the centre by a LOSS record without a sequence as soon as the
//! spool takes one, so that a restart does not forget them (INV-6).

use std::collections::BTreeMap;
use std::time::Duration;

use model::record::{JsonRecord, Loss, LossReason};
use model::{PointIndex, RecordType, Sample, Sequence, Timestamp};
use spool::Draft;

/// While readings are refused one by one, a LOSS record tells of them at most so often.
const RECORD_EVERY: Duration = Duration::from_secs(10);

/// The readings that were refused in this run.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    samples: u64,
    /// Not told by a LOSS record yet.
    unrecorded: Unrecorded,
    recorded_at: Option<Duration>,
    /// Points whose readings do not fit them: how many, and why.
    unfit: BTreeMap<PointIndex, (u64, String)>,
}

#[derive(Debug, Default)]
struct Unrecorded {
    samples: u64,
    /// There are more, of which the number is not known.
    unknown: bool,
    ts_min: Option<Timestamp>,
    ts_max: Option<Timestamp>,
}

impl Refusals {
    /// These samples are not kept.
    pub(super) fn note(&mut self, samples: &[Sample]) {
        let count = u64::try_from(samples.len()).unwrap_or(u64::MAX);
        self.samples = self.samples.saturating_add(count);
        self.unrecorded.samples = self.unrecorded.samples.saturating_add(count);
        for sample in samples {
            // A time that cannot be stored would not fit the record either.
            let time = sample.source_time.clamp(Timestamp::MIN, Timestamp::MAX);
            self.unrecorded.span(time, time);
        }
    }

    /// This sample is not one of its point. True when it is the first of the point.
    pub(super) fn note_unfit(&mut self, sample: &Sample, why: &str) -> bool {
        self.note(std::slice::from_ref(sample));
        let known = self.unfit.entry(sample.point).or_insert_with(|| (0, why.to_owned()));
        known.0 = known.0.saturating_add(1);
        known.0 == 1
    }

    /// An unknown number of samples of the time between is not kept.
    pub(super) fn note_unknown(&mut self, from: Timestamp, to: Timestamp) {
        self.unrecorded.unknown = true;
        self.unrecorded.span(from.min(to), to);
    }

    /// Samples refused in this run.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Those that no LOSS record tells of yet.
    pub(super) fn unrecorded(&self) -> u64 {
        self.unrecorded.samples
    }

    /// Points whose readings do not fit them.
    pub(super) fn unfit(&self) -> impl Iterator<Item = (PointIndex, u64, &str)> {
        self.unfit.iter().map(|(point, (samples, why))| (*point, *samples, why.as_str()))
    }

    /// The LOSS records to write now; `at_once` where the spool takes records again, or for the last time.
    pub(super) fn to_record(&self, now: Duration, at_once: bool) -> Vec<Draft> {
        let is_early = self.recorded_at.is_some_and(|at| now.saturating_sub(at) < RECORD_EVERY);
        if is_early && !at_once {
            return Vec::new();
        }
        let Unrecorded { samples, unknown, ts_min, ts_max } = self.unrecorded;
        let known = (samples > 0).then_some(Some(samples));
        let numbers = known.into_iter().chain(unknown.then_some(None));
        numbers
            .map(|samples| {
                let loss = Loss {
                    first: Sequence(0),
                    last: Sequence(0),
                    samples,
                    ts_min,
                    ts_max,
                    reason: LossReason::Refused,
                    destinations: Vec::new(),
                };
                Draft {
                    record_type: RecordType::Loss,
                    samples: 0,
                    ts_min: ts_min.unwrap_or_default(),
                    ts_max: ts_max.unwrap_or_default(),
                    body: loss.to_record(),
                }
            })
            .collect()
    }

    /// The spool took the records of [`Self::to_record`].
    pub(super) fn recorded(&mut self, now: Duration) {
        self.unrecorded = Unrecorded::default();
        self.recorded_at = Some(now);
    }
}

impl Unrecorded {
    fn span(&mut self, from: Timestamp, to: Timestamp) {
        self.ts_min = Some(self.ts_min.map_or(from, |known| known.min(from)));
        self.ts_max = Some(self.ts_max.map_or(to, |known| known.max(to)));
    }
}
