//! Gathers samples and cuts them into batches, each of points of one dictionary. A batch holds one sample per (point,
//! source time): an equal one that follows it is dropped, a different one goes into a later batch, so that both reach
//! the store under sequences of their own.

use model::sample::{BATCH_SAMPLES_MAX, BATCH_TEXT_BYTES_MAX};
use model::{Batch, PointIndex, Sample, Value};

use crate::points::PointTable;

/// Samples that wait to be cut, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Batcher {
    waiting: Vec<Sample>,
    repeats_dropped: u64,
}

/// A batch, in which points count over its dictionary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CutBatch {
    /// Which dictionary: its place in the table.
    pub dictionary: usize,
    /// First point of the dictionary, counted over the gateway.
    pub first: PointIndex,
    /// The samples.
    pub batch: Batch,
}

impl CutBatch {
    /// The point of a sample, counted over the gateway.
    #[must_use]
    pub(crate) fn point(&self, sample: &Sample) -> PointIndex {
        PointIndex(self.first.0.saturating_add(sample.point.0))
    }
}

impl Batcher {
    /// Takes one sample, whose point counts over the gateway.
    pub(crate) fn push(&mut self, sample: Sample) {
        self.waiting.push(sample);
    }

    /// Samples that wait.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Samples that were dropped because the very same one came before.
    #[must_use]
    pub(crate) fn repeats_dropped(&self) -> u64 {
        self.repeats_dropped
    }

    /// Takes everything that waits, in the order in which it must be numbered. The points must be those of `table`.
    pub(crate) fn cut(&mut self, table: &PointTable) -> Vec<CutBatch> {
        let room = Vec::with_capacity(self.waiting.len());
        let mut samples = std::mem::replace(&mut self.waiting, room);
        // Stable, so that what has the same point and time stays in the order of arrival.
        samples.sort_by_key(key);
        self.layers(samples).into_iter().flat_map(|layer| split(layer, table)).collect()
    }

    /// The first layer has the first sample of each (point, time), the next one the first that differs from it, and so on.
    fn layers(&mut self, samples: Vec<Sample>) -> Vec<Vec<Sample>> {
        let mut layers = vec![Vec::with_capacity(samples.len())];
        let mut depth = 0;
        for sample in samples {
            let before = layers.get(depth).and_then(|layer: &Vec<Sample>| layer.last());
            match before.filter(|before| key(before) == key(&sample)) {
                None => depth = 0,
                Some(before) if same(before, &sample) => {
                    self.repeats_dropped = self.repeats_dropped.saturating_add(1);
                    continue;
                }
                Some(_) => depth += 1,
            }
            if layers.len() == depth {
                layers.push(Vec::new());
            }
            layers[depth].push(sample);
        }
        layers
    }
}

/// Cuts sorted samples where the dictionary changes, and where a frame would be too long.
fn split(samples: Vec<Sample>, table: &PointTable) -> Vec<CutBatch> {
    let mut cut: Vec<CutBatch> = Vec::new();
    let mut text_bytes = 0_usize;
    for mut sample in samples {
        let place = table.dictionary_of(sample.point);
        let Some((at, dictionary)) = place.and_then(|at| Some((at, table.dictionaries().get(at)?)))
        else {
            debug_assert!(false, "a point that is none of the gateway's");
            continue;
        };
        let open = cut.last().filter(|open| open.dictionary == at);
        let before = open.and_then(|open| open.batch.samples.last());
        // A text that stands is written once; others may be, too, so that this is never too little.
        let text = match (&sample.value, before.and_then(|before| before.value.as_ref())) {
            (Some(Value::Text(text)), Some(Value::Text(before))) if text == before => 0,
            (Some(Value::Text(text)), _) => text.as_str().len(),
            _ => 0,
        };
        let has_room = open.is_some_and(|open| open.batch.samples.len() < BATCH_SAMPLES_MAX)
            && text_bytes + text <= BATCH_TEXT_BYTES_MAX;
        if !has_room {
            let batch = Batch { dictionary: dictionary.hash, samples: Vec::new() };
            cut.push(CutBatch { dictionary: at, first: dictionary.first, batch });
            text_bytes = 0;
        }
        text_bytes += match &sample.value {
            Some(Value::Text(text)) if !has_room => text.as_str().len(),
            _ => text,
        };
        sample.point = PointIndex(sample.point.0.saturating_sub(dictionary.first.0));
        if let Some(open) = cut.last_mut() {
            open.batch.samples.push(sample);
        }
    }
    cut
}

fn key(sample: &Sample) -> (PointIndex, model::Timestamp) {
    (sample.point, sample.source_time)
}

/// Equal in all that the device said; the gateway's own time of hearing it does not count.
fn same(a: &Sample, b: &Sample) -> bool {
    a.quality == b.quality && a.value == b.value
}

#[cfg(test)]
mod tests;
