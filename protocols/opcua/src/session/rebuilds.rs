//! How often the item of a point may be made again. A server with a deadband of its own tells nothing of what a Read
//! shows, and making its items again each minute changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

/// An item that told nothing but its first value is made again so many times.
pub(super) const IN_A_ROW_MAX: u8 = 2;
/// An item is made again at most so many times in an hour, whatever it tells.
pub(super) const IN_AN_HOUR_MAX: u8 = 4;
/// An item that was made again in vain is made again after so long: the server may have been mended.
const IN_VAIN_RETRY: Duration = Duration::from_hours(6);
const HOUR: Duration = Duration::from_hours(1);

/// The items that were made again.
#[derive(Debug, Default)]
pub(super) struct Rebuilds {
    points: BTreeMap<usize, Rebuilt>,
}

#[derive(Debug, Clone, Copy)]
struct Rebuilt {
    at: Duration,
    hour_from: Duration,
    in_hour: u8,
    /// How many times, without a word after the first value.
    in_a_row: u8,
    /// Whether the item told its first value.
    began: bool,
}

impl Rebuilds {
    /// Whether the item of the point may be made again.
    pub(super) fn allows(&self, index: usize, now: Duration) -> bool {
        self.points.get(&index).is_none_or(|rebuilt| {
            let vain = rebuilt.in_a_row >= IN_A_ROW_MAX;
            let often = rebuilt.in_hour >= IN_AN_HOUR_MAX;
            (!vain || now.saturating_sub(rebuilt.at) >= IN_VAIN_RETRY)
                && (!often || now.saturating_sub(rebuilt.hour_from) >= HOUR)
        })
    }

    /// The item of the point is made again.
    pub(super) fn made_again(&mut self, index: usize, now: Duration) {
        let first = Rebuilt { at: now, hour_from: now, in_hour: 0, in_a_row: 0, began: false };
        let rebuilt = self.points.entry(index).or_insert(first);
        if now.saturating_sub(rebuilt.hour_from) >= HOUR {
            (rebuilt.hour_from, rebuilt.in_hour) = (now, 0);
        }
        rebuilt.at = now;
        rebuilt.in_hour = rebuilt.in_hour.saturating_add(1);
        rebuilt.in_a_row = rebuilt.in_a_row.saturating_add(1);
        rebuilt.began = false;
    }

    /// The subscription told something of the point. What it tells after the first value shows that the item lives.
    pub(super) fn told(&mut self, index: usize) {
        if let Some(rebuilt) = self.points.get_mut(&index)
            && std::mem::replace(&mut rebuilt.began, true)
        {
            rebuilt.in_a_row = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets days pass in which a Read differs from the subscription each 70 s; gives how often the item was made again in
    /// each hour. `told` is what the subscription tells after each time, beside the first value.
    fn by_hour(told: impl Fn(u64) -> usize) -> Vec<usize> {
        let mut rebuilds = Rebuilds::default();
        let mut hours = vec![0; 48];
        for (round, seconds) in (0..48 * 3_600).step_by(70).enumerate() {
            let now = Duration::from_secs(seconds);
            if rebuilds.allows(7, now) {
                rebuilds.made_again(7, now);
                rebuilds.told(7);
                hours[usize::try_from(seconds / 3_600).unwrap()] += 1;
            }
            for _ in 0..told(u64::try_from(round).unwrap()) {
                rebuilds.told(7);
            }
        }
        hours
    }

    #[test]
    fn an_item_that_tells_nothing_but_its_first_value_is_made_again_twice_and_then_every_six_hours()
    {
        let hours = by_hour(|_| 0);
        assert_eq!(hours[0], usize::from(IN_A_ROW_MAX));
        assert_eq!(hours[1..6].iter().sum::<usize>(), 0, "{hours:?}");
        assert!(hours.iter().sum::<usize>() <= 2 + 48 / 6, "{hours:?}");
    }

    /// Some changes are larger than the deadband.
    #[test]
    fn an_item_that_tells_some_changes_is_made_again_a_few_times_in_an_hour() {
        let hours = by_hour(|round| usize::from(round % 2 == 1));
        assert!(hours.iter().all(|hour| *hour <= usize::from(IN_AN_HOUR_MAX)), "{hours:?}");
    }

    #[test]
    fn an_item_that_lives_for_a_while_and_is_lost_again_is_made_again_each_time() {
        let mut rebuilds = Rebuilds::default();
        for third in 0..100 {
            let now = Duration::from_mins(third * 20);
            assert!(rebuilds.allows(7, now), "{third}");
            rebuilds.made_again(7, now);
            (0..5).for_each(|_| rebuilds.told(7));
        }
        assert!(rebuilds.allows(8, Duration::ZERO));
    }
}
