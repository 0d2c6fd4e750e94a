//! How many lines anybody who may connect can bring into the log: so many within a time, and the others are counted and
//! told with the next one.

use std::time::Duration;

/// Lines within [`WINDOW`].
pub(crate) const LINES_MAX: u32 = 10;
/// The time over which lines are counted.
pub(crate) const WINDOW: Duration = Duration::from_mins(1);

/// Counts the lines of one kind.
#[derive(Debug)]
pub(crate) struct Damper {
    lines_max: u32,
    began: Option<Duration>,
    lines: u32,
    held_back: u64,
}

impl Default for Damper {
    fn default() -> Self {
        Self::of(LINES_MAX)
    }
}

impl Damper {
    /// One that lets so many lines through within [`WINDOW`].
    pub(crate) fn of(lines_max: u32) -> Self {
        Self { lines_max, began: None, lines: 0, held_back: 0 }
    }

    /// Whether a line is told, and then how many were not told since the last one.
    pub(crate) fn tells(&mut self, now: Duration) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_sub(began) >= WINDOW) {
            (self.began, self.lines) = (Some(now), 0);
        }
        if self.lines >= self.lines_max {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_a_minute_and_a_count() {
        let mut damper = Damper::default();
        let told = |damper: &mut Damper, from: u64, count: u64| -> Vec<u64> {
            let millis = (0..count).map(|n| Duration::from_millis(from + n));
            millis.filter_map(|now| damper.tells(now)).collect()
        };
        assert_eq!(told(&mut damper, 0, 2_250), [0; LINES_MAX as usize]);
        let later = told(&mut damper, 60_000, 1_000);
        assert_eq!(later[0], 2_250 - u64::from(LINES_MAX));
        assert_eq!(later[1..], [0; LINES_MAX as usize - 1]);
    }
}
