//! The last sample and the newest durable source time of every point, for `status`. Must never grow beyond the
//! dictionary.

use model::{Sample, Timestamp};

/// One slot per point of the dictionary.
#[derive(Debug, Clone, Default)]
pub struct LastSamples {
    last: Vec<Option<Sample>>,
    newest_appended: Vec<Option<Timestamp>>,
    newest_durable: Vec<Option<Timestamp>>,
}

impl LastSamples {
    /// Slots for so many points.
    #[must_use]
    pub fn new(points: usize) -> Self {
        let times = vec![None; points];
        Self { last: vec![None; points], newest_appended: times.clone(), newest_durable: times }
    }

    /// A sample was handed over.
    pub fn note(&mut self, sample: &Sample) {
        let Some(slot) = usize::try_from(sample.point.0).ok().and_then(|at| self.last.get_mut(at))
        else {
            return;
        };
        if slot.is_none_or(|known| sample.replaces(&known)) {
            *slot = Some(*sample);
        }
    }

    /// The spool took these samples.
    pub fn note_appended(&mut self, samples: &[Sample]) {
        for sample in samples {
            let slot = usize::try_from(sample.point.0)
                .ok()
                .and_then(|at| self.newest_appended.get_mut(at));
            if let Some(slot) = slot {
                *slot = (*slot).max(Some(sample.source_time));
            }
        }
    }

    /// All that the spool took is durable.
    pub fn note_durable(&mut self) {
        self.newest_durable.clone_from(&self.newest_appended);
    }

    /// Last sample and newest durable source time, by point.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Sample>, Option<Timestamp>)> + '_ {
        self.last.iter().copied().zip(self.newest_durable.iter().copied())
    }
}
