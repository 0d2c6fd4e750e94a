//! What a device is suspected of: that its registers are read in another way than its maker meant. Values that may mean
//! something else are delivered as Uncertain, so that none becomes energy. No value is changed or dropped.

use std::time::Duration;

use device_profiles::ProfilePoint;
use driver::Fault;
use model::{PointKind, Quality, Sample};

use crate::block::Block;
use crate::codec::Form;
use crate::fault;
use crate::plausibility::{Meaning, Verdict, Words, alternatives, is_blank, judge};
use crate::request::Point;

/// How long a device is suspected after its last value that was not plausible: in a wrong byte order one that changes is
/// plausible now and then.
const SUSPECTED_FOR: Duration = Duration::from_mins(5);
/// How often another reading is looked for while values are not plausible.
const SEARCH_EVERY: Duration = Duration::from_secs(5);

/// Suspects a device.
#[derive(Clone)]
pub(crate) struct Suspicion {
    meaning: Meaning,
    verdict: Option<Verdict>,
    until: Duration,
    next_search: Duration,
}

impl Suspicion {
    pub(crate) fn new(meaning: Meaning) -> Self {
        Self { meaning, verdict: None, until: Duration::ZERO, next_search: Duration::ZERO }
    }

    /// Judges the samples that a round gave of one device, and makes those Uncertain that may mean something else. Gives
    /// what is to be told of it.
    pub(crate) fn judge(
        &mut self,
        device: &str,
        (points, blocks): (&[Point], &[Block]),
        samples: &mut [Sample],
        now: Duration,
    ) -> Option<Fault> {
        let heard = || blocks.iter().flat_map(|block| &block.heard);
        let beside = || blocks.iter().flat_map(|block| &block.beside);
        if blocks.iter().any(|block| block.is_implausible) {
            if now >= self.next_search || self.verdict.is_none() {
                self.next_search = now + SEARCH_EVERY;
                let found = judge(points, &Words::new(heard().chain(beside())), &self.meaning);
                self.verdict = found.or(self.verdict.take());
            }
            self.until = now + SUSPECTED_FOR;
            self.doubt(points, samples);
            let verdict = self.verdict.as_ref()?;
            return Some(fault::implausible(device, verdict, &self.meaning));
        }
        let stays = |verdict: &&Verdict| verdict.doubts_any() && now < self.until;
        if let Some(verdict) = self.verdict.as_ref().filter(stays) {
            self.doubt(points, samples);
            return Some(fault::implausible(device, verdict, &self.meaning));
        }
        self.verdict = None;
        // Nothing came, or only zeros: what stands beside may be what is meant.
        let elsewhere = || {
            let words = Words::new(heard().chain(beside()));
            let found = alternatives(points, &words, &self.meaning)?;
            Some(fault::elsewhere(device, &found, &self.meaning))
        };
        if heard().next().is_none() {
            return elsewhere();
        }
        let all_zero = |words: &[u16]| words.iter().all(|word| *word == 0);
        if !heard().all(|(_, words)| all_zero(words)) {
            return None;
        }
        if !is_blank(points, &Words::new(heard()), &self.meaning) {
            return elsewhere();
        }
        let counts = |profile: &ProfilePoint| profile.kind == PointKind::Counter;
        let is_counter = |point: &Point| self.meaning.of(point).is_some_and(counts);
        make_uncertain(points, samples, Quality::UNCERTAIN, is_counter);
        elsewhere().or_else(|| Some(fault::blank(device)))
    }

    fn doubt(&self, points: &[Point], samples: &mut [Sample]) {
        let Some(verdict) = &self.verdict else { return };
        let quality = Quality::UNCERTAIN_CONFIGURATION_ERROR;
        make_uncertain(points, samples, quality, |point| verdict.doubts(point, &self.meaning));
    }
}

/// Makes the samples of such numbers Uncertain that are Good.
fn make_uncertain(
    points: &[Point],
    samples: &mut [Sample],
    quality: Quality,
    is_doubted: impl Fn(&Point) -> bool,
) {
    let numbers = points.iter().filter(|point| matches!(point.form, Form::Number(_)));
    let mut doubted: Vec<_> = numbers.filter(|point| is_doubted(point)).map(|p| p.index).collect();
    doubted.sort_unstable();
    for sample in samples.iter_mut().filter(|sample| sample.quality.is_good()) {
        if doubted.binary_search(&sample.point).is_ok() {
            sample.quality = quality;
        }
    }
}
