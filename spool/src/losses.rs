//! What was given up: per destination the list of ranges whose LOSS record is not acked yet, bounded by merging.

use model::record::{JsonRecord, Loss, LossReason};
use model::{DestinationId, FrameHeader, RecordType, Sequence};

use crate::Draft;

/// Most separate ranges that are kept until they are acked, of all destinations together.
pub const LOSSES_MAX: usize = 64;

/// Most bytes of the frame of a LOSS record: the names of the fields, the longest numbers and the longest destination.
pub(crate) const LOSS_FRAME_BYTES_MAX: u64 = 344;

/// A number of frames and of the samples in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossCount {
    /// Frames.
    pub frames: u64,
    /// Samples in those ranges where their number is known.
    pub samples: u64,
    /// Frames of the ranges where the number of samples is unknown.
    pub frames_uncounted: u64,
}

/// Everything that this log ever gave up for one destination, by reason. Exact as long as one cursor slot can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossTotals {
    /// Given up because the quota or the disk was full.
    pub drop_oldest: LossCount,
    /// Found damaged.
    pub corrupt: LossCount,
    /// Never written, and so without a sequence.
    pub refused: LossCount,
    /// Sequences passed over after an unclean end.
    pub skipped: LossCount,
}

impl LossTotals {
    /// In the order of the cursor.
    pub(crate) fn counts(&self) -> [LossCount; 4] {
        [self.drop_oldest, self.corrupt, self.refused, self.skipped]
    }

    pub(crate) fn from_counts(counts: [LossCount; 4]) -> Self {
        let [drop_oldest, corrupt, refused, skipped] = counts;
        Self { drop_oldest, corrupt, refused, skipped }
    }

    /// What was lost, without the sequences that were only passed over.
    #[must_use]
    pub fn lost(&self) -> LossCount {
        let mut sum = LossCount::default();
        for count in [self.drop_oldest, self.corrupt, self.refused] {
            sum.frames = sum.frames.saturating_add(count.frames);
            sum.samples = sum.samples.saturating_add(count.samples);
            sum.frames_uncounted = sum.frames_uncounted.saturating_add(count.frames_uncounted);
        }
        sum
    }

    pub(crate) fn add(&mut self, loss: &Loss) {
        let count = match loss.reason {
            LossReason::DropOldest => &mut self.drop_oldest,
            LossReason::Corrupt => &mut self.corrupt,
            LossReason::Refused => &mut self.refused,
            LossReason::Skipped => &mut self.skipped,
            // These are the centre's and the keeper's to count.
            LossReason::Quarantined | LossReason::Thinned => return,
        };
        let frames =
            loss.range().map_or(0, |range| (range.last.0 - range.first.0).saturating_add(1));
        count.frames = count.frames.saturating_add(frames);
        match loss.samples {
            Some(samples) => count.samples = count.samples.saturating_add(samples),
            None => count.frames_uncounted = count.frames_uncounted.saturating_add(frames),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    loss: Loss,
    /// Sequence of its newest LOSS record; `None` until it has one.
    recorded: Option<Sequence>,
}

/// Disjoint ranges of one destination, ascending.
#[derive(Debug, Clone)]
pub(crate) struct LossList {
    entries: Vec<Entry>,
    settled: LossTotals,
    /// Most entries.
    max: usize,
}

impl LossList {
    /// A list that has its share of [`LOSSES_MAX`] among so many.
    pub(crate) fn new(settled: LossTotals, lists: usize) -> Self {
        Self { entries: Vec::new(), settled, max: LOSSES_MAX / lists.max(1) }
    }

    /// Whether `more` entries leave room for one that the policy may need.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.entries.len() + more < self.max
    }

    /// Counts readings that never had a sequence.
    pub(crate) fn count_refused(&mut self, loss: &Loss) {
        self.settled.add(loss);
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

    /// Sequences above `acked` that hold no frame: given up, or passed over.
    pub(crate) fn sequences_above(&self, acked: Sequence) -> u64 {
        let above = self.iter().filter(|loss| loss.last > acked);
        let above = above.map(|loss| loss.last.0 - loss.first.0.max(acked.next().0) + 1);
        above.fold(0, u64::saturating_add)
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
        let alike = one.loss.reason == other.loss.reason
            && one.loss.samples.is_some() == other.loss.samples.is_some();
        if alike && one.loss.last.next() == other.loss.first {
            let loss = union(&one.loss, &other.loss, one.loss.reason);
            self.entries[at] = Entry { loss, recorded: None };
            self.entries.remove(at + 1);
        }
    }

    /// Takes over a LOSS record of a range found on disk. A later record replaces those that it contains.
    pub(crate) fn restore(&mut self, loss: &Loss, recorded: Sequence) {
        let contains =
            |outer: &Loss, inner: &Loss| outer.first <= inner.first && outer.last >= inner.last;
        self.entries.retain(|entry| !contains(loss, &entry.loss));
        if self.entries.iter().any(|entry| contains(&entry.loss, loss)) {
            return;
        }
        let mut loss = Loss { destinations: Vec::new(), ..loss.clone() };
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
        if self.entries.len() < self.max {
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
    /// `destination` stands in the records where there are others.
    pub(crate) fn record(
        &mut self,
        destination: Option<&DestinationId>,
        again: bool,
        mut record: impl FnMut(Draft) -> Sequence,
    ) {
        for entry in &mut self.entries {
            if again || entry.recorded.is_none() {
                entry.recorded = Some(record(draft_of(&entry.loss, destination)));
            }
        }
    }
}

/// The range from `first` to `last`, with what the headers in it tell. The number of samples is known only where each
/// frame of the range has a header.
pub(crate) fn loss_of(
    first: Sequence,
    last: Sequence,
    reason: LossReason,
    headers: &[FrameHeader],
) -> Loss {
    let (mut samples, mut known, mut ts_min, mut ts_max) = (0_u64, 0_u64, None, None);
    for header in headers.iter().filter(|header| (first..=last).contains(&header.sequence)) {
        known += 1;
        if header.samples > 0 {
            samples = samples.saturating_add(u64::from(header.samples));
            ts_min = earliest(ts_min, Some(header.ts_min));
            ts_max = ts_max.max(Some(header.ts_max));
        }
    }
    let all = last.0.saturating_sub(first.0).saturating_add(1);
    let samples = (known == all).then_some(samples);
    Loss { first, last, samples, ts_min, ts_max, reason, destinations: Vec::new() }
}

fn union(one: &Loss, other: &Loss, reason: LossReason) -> Loss {
    Loss {
        first: one.first.min(other.first),
        last: one.last.max(other.last),
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

fn draft_of(loss: &Loss, destination: Option<&DestinationId>) -> Draft {
    let body = Loss { destinations: destination.into_iter().cloned().collect(), ..loss.clone() };
    Draft {
        record_type: RecordType::Loss,
        samples: 0,
        ts_min: loss.ts_min.unwrap_or_default(),
        ts_max: loss.ts_max.unwrap_or_default(),
        body: body.to_record(),
    }
}
