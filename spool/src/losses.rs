//! What was given up: the list of ranges whose LOSS record is not acked yet, bounded by merging. Must never know where
//! records are written.

use model::record::{JsonRecord, Loss, LossReason};
use model::{FrameHeader, RecordType, Sequence};

use crate::Draft;

/// Most separate ranges that are kept until they are acked.
pub const LOSSES_MAX: usize = 64;

/// Most bytes of the frame of a LOSS record: the names of the fields and the longest numbers.
pub(crate) const LOSS_FRAME_BYTES_MAX: u64 = 280;

/// A number of frames and of the samples in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossCount {
    /// Frames.
    pub frames: u64,
    /// Samples in those whose headers could be read.
    pub samples: u64,
}

/// Everything that this log ever gave up, by reason. Exact as long as one cursor slot can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossTotals {
    /// Given up because the quota or the disk was full.
    pub drop_oldest: LossCount,
    /// Found damaged.
    pub corrupt: LossCount,
}

impl LossTotals {
    fn add(&mut self, loss: &Loss) {
        let count = match loss.reason {
            LossReason::DropOldest => &mut self.drop_oldest,
            _ => &mut self.corrupt,
        };
        let frames = loss.last.0.saturating_sub(loss.first.0).saturating_add(1);
        count.frames = count.frames.saturating_add(frames);
        count.samples = count.samples.saturating_add(loss.samples.unwrap_or_default());
    }
}

#[derive(Debug, Clone)]
struct Entry {
    loss: Loss,
    /// Sequence of its newest LOSS record; `None` until it has one.
    recorded: Option<Sequence>,
}

/// Disjoint ranges, ascending.
#[derive(Debug, Clone, Default)]
pub(crate) struct LossList {
    entries: Vec<Entry>,
    settled: LossTotals,
}

impl LossList {
    pub(crate) fn new(settled: LossTotals) -> Self {
        Self { entries: Vec::new(), settled }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.entries.iter().map(|entry| &entry.loss)
    }

    /// Those whose LOSS record is not acked.
    pub(crate) fn unacked(&self, acked: Sequence) -> impl Iterator<Item = &Loss> {
        let is_unacked =
            move |entry: &&Entry| entry.recorded.is_none_or(|recorded| recorded > acked);
        self.entries.iter().filter(is_unacked).map(|entry| &entry.loss)
    }

    pub(crate) fn settled(&self) -> LossTotals {
        self.settled
    }

    pub(crate) fn totals(&self) -> LossTotals {
        let mut totals = self.settled;
        self.iter().for_each(|loss| totals.add(loss));
        totals
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The range that `sequence` lies in.
    pub(crate) fn covering(&self, sequence: Sequence) -> Option<&Loss> {
        let above = self.entries.partition_point(|entry| entry.loss.first <= sequence);
        let loss = &self.entries.get(above.checked_sub(1)?)?.loss;
        (loss.last >= sequence).then_some(loss)
    }

    /// First sequence above `sequence` that is lost.
    pub(crate) fn next_first(&self, sequence: Sequence) -> Option<Sequence> {
        let above = self.entries.partition_point(|entry| entry.loss.first <= sequence);
        self.entries.get(above).map(|entry| entry.loss.first)
    }

    /// The parts of `first..=last` that are not lost yet.
    pub(crate) fn uncovered(&self, first: Sequence, last: Sequence) -> Vec<(Sequence, Sequence)> {
        let mut parts = Vec::new();
        let mut at = first;
        while at <= last {
            if let Some(loss) = self.covering(at) {
                at = loss.last.next();
                continue;
            }
            let end = self.next_first(at).map_or(last, |next| last.min(before(next)));
            parts.push((at, end));
            at = end.next();
        }
        parts
    }

    /// Whether each of `first..=last` is covered by a LOSS record that is durable (I4).
    pub(crate) fn durably_covers(
        &self,
        first: Sequence,
        last: Sequence,
        durable: Sequence,
    ) -> bool {
        let mut at = first;
        for entry in &self.entries {
            let is_durable = entry.recorded.is_some_and(|recorded| recorded <= durable);
            if is_durable && entry.loss.first <= at && entry.loss.last >= at {
                at = entry.loss.last.next();
            }
        }
        at > last
    }

    /// Adds a range that touches no other; merges it with neighbours of the same reason.
    pub(crate) fn add(&mut self, loss: Loss) {
        let at = self.entries.partition_point(|entry| entry.loss.first < loss.first);
        self.entries.insert(at, Entry { loss, recorded: None });
        self.merge_with_next(at);
        if let Some(before) = at.checked_sub(1) {
            self.merge_with_next(before);
        }
    }

    fn merge_with_next(&mut self, at: usize) {
        let (Some(one), Some(other)) = (self.entries.get(at), self.entries.get(at + 1)) else {
            return;
        };
        if one.loss.reason == other.loss.reason && one.loss.last.next() == other.loss.first {
            let loss = union(&one.loss, &other.loss, one.loss.reason);
            self.entries[at] = Entry { loss, recorded: None };
            self.entries.remove(at + 1);
        }
    }

    /// Takes over a LOSS record found on disk. A later record replaces those that it contains.
    pub(crate) fn restore(&mut self, loss: Loss, recorded: Sequence) {
        if loss.range().is_none() {
            return;
        }
        let contains =
            |outer: &Loss, inner: &Loss| outer.first <= inner.first && outer.last >= inner.last;
        self.entries.retain(|entry| !contains(&loss, &entry.loss));
        if self.entries.iter().any(|entry| contains(&entry.loss, &loss)) {
            return;
        }
        let mut loss = loss;
        // Records of ours do not overlap in part; foreign ones must not break the order of the list.
        while let Some(at) = self
            .entries
            .iter()
            .position(|entry| entry.loss.first <= loss.last && loss.first <= entry.loss.last)
        {
            loss = union(&self.entries.remove(at).loss, &loss, loss.reason);
        }
        let at = self.entries.partition_point(|entry| entry.loss.first < loss.first);
        self.entries.insert(at, Entry { loss, recorded: Some(recorded) });
    }

    /// Forgets ranges whose LOSS record is acked; they stay in the totals.
    pub(crate) fn settle(&mut self, acked: Sequence) {
        self.settle_where(|entry| entry.recorded.is_some_and(|recorded| recorded <= acked));
    }

    /// When the list is full: forgets ranges that the watermark has passed. The centre was told of them, else it could
    /// not have passed, and their LOSS records still follow as frames.
    pub(crate) fn settle_passed(&mut self, acked: Sequence) {
        self.settle_where(|entry| entry.recorded.is_some() && entry.loss.last <= acked);
    }

    fn settle_where(&mut self, is_settled: impl Fn(&Entry) -> bool) {
        let settled = &mut self.settled;
        self.entries.retain(|entry| {
            let keep = !is_settled(entry);
            if !keep {
                settled.add(&entry.loss);
            }
            keep
        });
    }

    /// Keeps the bound after a drop up to `last`: all above `acked` and up to there is lost, so it may be one range.
    pub(crate) fn bound(&mut self, acked: Sequence, last: Sequence) {
        if self.entries.len() < LOSSES_MAX {
            return;
        }
        self.settle_passed(acked);
        let below = self.entries.partition_point(|entry| entry.loss.last <= last);
        let merged = self
            .entries
            .drain(..below)
            .map(|entry| entry.loss)
            .reduce(|one, other| union(&one, &other, LossReason::DropOldest));
        if let Some(loss) = merged {
            self.entries.insert(0, Entry { loss, recorded: None });
        }
    }

    /// Gives each range that has no LOSS record (or each one, when `again`) to `record`, which tells its sequence.
    pub(crate) fn record(&mut self, again: bool, mut record: impl FnMut(Draft) -> Sequence) {
        for entry in &mut self.entries {
            if again || entry.recorded.is_none() {
                entry.recorded = Some(record(draft_of(&entry.loss)));
            }
        }
    }
}

/// The range from `first` to `last`, with what the headers in it tell.
pub(crate) fn loss_of(
    first: Sequence,
    last: Sequence,
    reason: LossReason,
    headers: &[FrameHeader],
) -> Loss {
    let destinations = Vec::new();
    let mut loss =
        Loss { first, last, samples: None, ts_min: None, ts_max: None, reason, destinations };
    let mut samples = 0_u64;
    let inside = headers.iter().filter(|header| (first..=last).contains(&header.sequence));
    for header in inside.filter(|header| header.samples > 0) {
        samples = samples.saturating_add(u64::from(header.samples));
        loss.ts_min = earliest(loss.ts_min, Some(header.ts_min));
        loss.ts_max = loss.ts_max.max(Some(header.ts_max));
    }
    loss.samples = Some(samples);
    loss
}

fn union(one: &Loss, other: &Loss, reason: LossReason) -> Loss {
    Loss {
        first: one.first.min(other.first),
        last: one.last.max(other.last),
        // A sum of which one part is unknown is unknown.
        samples: one.samples.zip(other.samples).map(|(one, other)| one.saturating_add(other)),
        ts_min: earliest(one.ts_min, other.ts_min),
        ts_max: one.ts_max.max(other.ts_max),
        reason,
        destinations: Vec::new(),
    }
}

fn earliest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn before(sequence: Sequence) -> Sequence {
    Sequence(sequence.0.saturating_sub(1))
}

fn draft_of(loss: &Loss) -> Draft {
    Draft {
        record_type: RecordType::Loss,
        samples: 0,
        ts_min: loss.ts_min.unwrap_or_default(),
        ts_max: loss.ts_max.unwrap_or_default(),
        body: loss.to_record(),
    }
}
