//! The last sample and the newest durable source time of every point, for `status`.

use model::{PointIndex, Sample, Timestamp};

/// A sample whose source time is so far ahead of the gateway's clock came when one of their clocks stood wrong.
const AHEAD_MICROS_MAX: i64 = 60_000_000;

/// One slot per point of the gateway.
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
        // Once the clock is set right, what it said before must not stand here until time catches up.
        let is_ahead =
            |known: &Sample| known.source_time.micros_since(sample.gateway_time) > AHEAD_MICROS_MAX;
        if slot.as_ref().is_none_or(|known| sample.replaces(known) || is_ahead(known)) {
            *slot = Some(sample.clone());
        }
    }

    /// The spool took these samples.
    pub fn note_appended(&mut self, samples: impl Iterator<Item = (PointIndex, Timestamp)>) {
        for (point, source_time) in samples {
            let slot =
                usize::try_from(point.0).ok().and_then(|at| self.newest_appended.get_mut(at));
            if let Some(slot) = slot {
                *slot = (*slot).max(Some(source_time));
            }
        }
    }

    /// All that the spool took is durable.
    pub fn note_durable(&mut self) {
        self.newest_durable.clone_from(&self.newest_appended);
    }

    /// Last sample and newest durable source time of one point.
    #[must_use]
    pub fn get(&self, point: PointIndex) -> (Option<&Sample>, Option<Timestamp>) {
        let at = usize::try_from(point.0).unwrap_or(usize::MAX);
        let last = self.last.get(at).and_then(Option::as_ref);
        (last, self.newest_durable.get(at).copied().flatten())
    }

    /// Last sample and newest durable source time, by point.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Sample>, Option<Timestamp>)> + '_ {
        self.last.iter().cloned().zip(self.newest_durable.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use model::{Quality, Value};

    use super::*;

    #[test]
    fn a_clock_that_was_ahead_does_not_freeze_the_last_value() {
        const HOUR: i64 = 3_600_000_000;
        let check = |known: (i64, i64), new: (i64, i64), replaced: bool| {
            let mut last = LastSamples::new(1);
            let times =
                [known, new].map(|(source, gateway)| (Timestamp(source), Timestamp(gateway)));
            for (index, (source, gateway)) in (0..).zip(times) {
                let value = Value::Decimal(index);
                last.note(&Sample::new(PointIndex(0), source, gateway, Quality::GOOD, value));
            }
            let found = last.iter().next().and_then(|(sample, _)| sample?.value);
            assert_eq!(found, Some(Value::Decimal(i64::from(replaced))), "{known:?} then {new:?}");
        };
        // The gateway's clock, then the device's, stood an hour ahead and was set right.
        check((2 * HOUR, 2 * HOUR), (HOUR, HOUR), true);
        check((2 * HOUR, HOUR), (HOUR + 1, HOUR + 1), true);
        // What is read back takes no live value's place, also where the device's clock is a little ahead.
        check((2 * HOUR, 2 * HOUR), (HOUR, 2 * HOUR + 1), false);
        check((2 * HOUR + 30_000_000, 2 * HOUR), (HOUR, 2 * HOUR + 1), false);
    }
}
