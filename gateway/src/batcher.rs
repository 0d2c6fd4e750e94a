//! Gathers samples and cuts them into batches. A batch holds one sample per (point, source time): an equal one is
//! dropped, a different one opens the next batch, so that both reach the store under sequences of their own. Must never
//! do I/O or ask for the time.

use std::collections::HashMap;

use model::sample::BATCH_SAMPLES_MAX;
use model::{Batch, DictionaryHash, PointIndex, Sample, Timestamp};

/// Samples that wait to be cut.
#[derive(Debug)]
pub struct Batcher {
    dictionary: DictionaryHash,
    /// In order of arrival; each is one batch to come.
    open: Vec<OpenBatch>,
    repeats_dropped: u64,
}

#[derive(Debug, Default)]
struct OpenBatch {
    samples: Vec<Sample>,
    /// Where a (point, source time) already stands in `samples`.
    places: HashMap<(PointIndex, Timestamp), usize>,
}

impl Batcher {
    /// Batches of points of this dictionary.
    #[must_use]
    pub fn new(dictionary: DictionaryHash) -> Self {
        Self { dictionary, open: Vec::new(), repeats_dropped: 0 }
    }

    /// Takes one sample.
    pub fn push(&mut self, sample: Sample) {
        let key = (sample.point, sample.source_time);
        // The newest batch that holds this key decides: what follows it must come later in sequence.
        let after = match self.open.iter().rposition(|batch| batch.places.contains_key(&key)) {
            Some(at) => {
                let batch = &self.open[at];
                let known = batch.places.get(&key).and_then(|place| batch.samples.get(*place));
                if known.is_some_and(|known| same(known, &sample)) {
                    self.repeats_dropped = self.repeats_dropped.saturating_add(1);
                    return;
                }
                at + 1
            }
            None => 0,
        };
        let room = |batch: &OpenBatch| batch.samples.len() < BATCH_SAMPLES_MAX;
        let at = (after..self.open.len()).find(|at| room(&self.open[*at]));
        let at = at.unwrap_or_else(|| {
            self.open.push(OpenBatch::default());
            self.open.len() - 1
        });
        let batch = &mut self.open[at];
        batch.places.insert(key, batch.samples.len());
        batch.samples.push(sample);
    }

    /// Samples that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.open.iter().map(|batch| batch.samples.len()).sum()
    }

    /// Samples that were dropped because the very same one waited already.
    #[must_use]
    pub fn repeats_dropped(&self) -> u64 {
        self.repeats_dropped
    }

    /// Takes everything that waits, in the order in which it must be numbered.
    pub fn cut(&mut self) -> Vec<Batch> {
        let dictionary = self.dictionary;
        let sorted = |batch: OpenBatch| {
            let mut samples = batch.samples;
            samples.sort_unstable_by_key(|sample| (sample.point, sample.source_time));
            Batch { dictionary, samples }
        };
        std::mem::take(&mut self.open).into_iter().map(sorted).collect()
    }
}

/// Equal in all that the device said; the gateway's own time of hearing it does not count.
fn same(a: &Sample, b: &Sample) -> bool {
    a.quality == b.quality && a.value == b.value
}

#[cfg(test)]
mod tests {
    use model::{Quality, Value};
    use proptest::prelude::*;

    use super::*;

    fn sample(point: u32, time: i64, value: i64) -> Sample {
        let (point, time) = (PointIndex(point), Timestamp(time));
        Sample::new(point, time, time, Quality::GOOD, Value::Decimal(value))
    }

    fn batches(samples: &[Sample]) -> Vec<Vec<Sample>> {
        let mut batcher = Batcher::new(DictionaryHash([0; 32]));
        for sample in samples {
            batcher.push(sample.clone());
        }
        batcher.cut().into_iter().map(|batch| batch.samples).collect()
    }

    #[test]
    fn an_equal_sample_is_dropped_and_a_different_one_opens_the_next_batch() {
        let (a, b, c) = (|| sample(1, 10, 5), || sample(1, 10, 6), || sample(0, 10, 1));
        assert_eq!(batches(&[a(), a(), c()]), [vec![c(), a()]]);
        assert_eq!(batches(&[a(), b(), c()]), [vec![c(), a()], vec![b()]]);
        assert_eq!(batches(&[a(), b(), a()]), [vec![a()], vec![b()], vec![a()]]);
    }

    #[test]
    fn a_batch_holds_no_more_than_a_frame_may() {
        let many = i64::try_from(BATCH_SAMPLES_MAX).unwrap() + 1;
        let samples: Vec<Sample> = (0..many).map(|time| sample(0, time, 1)).collect();
        let cut = batches(&samples);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH_SAMPLES_MAX, 1]);
    }

    proptest! {
        #[test]
        fn keeps_every_different_value_in_its_order(
            pushed in proptest::collection::vec((0..3_u32, 0..3_i64, 0..3_i64), 0..60),
        ) {
            let samples: Vec<Sample> = pushed.iter().map(|(p, t, v)| sample(*p, *t, *v)).collect();
            let cut = batches(&samples);
            for batch in &cut {
                let keys: Vec<_> = batch.iter().map(|s| (s.point, s.source_time)).collect();
                prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
            }
            for point in 0..3 {
                for time in 0..3 {
                    let is_key = |s: &&Sample| s.point.0 == point && s.source_time.0 == time;
                    let mut expected: Vec<_> = samples.iter().filter(is_key).map(|s| s.value.clone()).collect();
                    expected.dedup();
                    let kept: Vec<_> = cut.iter().flatten().filter(is_key).map(|s| s.value.clone()).collect();
                    prop_assert_eq!(kept, expected);
                }
            }
        }
    }
}
