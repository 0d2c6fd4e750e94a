//! Readings of a source at the ends of slots, summed once and kept.

use std::sync::{PoisonError, RwLock};

/// Sums grow by so much at once: a week.
const GROWTH: usize = 7 * 96;

/// Prefix sums of the increments of one source: the reading at the beginning of each slot.
#[derive(Debug, Default)]
pub(super) struct Counter {
    readings: RwLock<Vec<i64>>,
}

impl Counter {
    /// The reading at the beginning of a slot, and what the slot adds.
    pub(super) fn at(&self, slot: i64, increment: impl Fn(i64) -> i64) -> (i64, i64) {
        let place = usize::try_from(slot).unwrap_or(0);
        let pair = |readings: &[i64]| match readings.get(place..place + 2) {
            Some(&[begin, end]) => Some((begin, end - begin)),
            _ => None,
        };
        if let Some(found) = pair(&self.readings.read().unwrap_or_else(PoisonError::into_inner)) {
            return found;
        }
        let mut readings = self.readings.write().unwrap_or_else(PoisonError::into_inner);
        let mut last = readings.last().copied().unwrap_or(0);
        if readings.is_empty() {
            readings.push(0);
        }
        while readings.len() < place + 2 + GROWTH {
            let next = i64::try_from(readings.len()).unwrap_or(i64::MAX) - 1;
            last += increment(next);
            readings.push(last);
        }
        pair(&readings).unwrap_or((last, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_any_order() {
        let counter = Counter::default();
        assert_eq!(counter.at(3, |slot| slot), (3, 3));
        assert_eq!(counter.at(0, |slot| slot), (0, 0));
        assert_eq!(counter.at(2_000, |slot| slot), (1_999_000, 2_000));
        assert_eq!(counter.at(4, |_| panic!("is known already")), (6, 4));
    }
}
