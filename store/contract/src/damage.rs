//! What a store holds and cannot read, and whose rows those are.

use std::fmt;

use model::{Generation, Sequence, Timestamp};

use crate::draft::LogKey;

/// Damaged parts that [`StoreDamage`] names one by one; the others are counted.
pub const DAMAGED_NAMED_MAX: usize = 64;
/// Ranges of frames that the named parts have together; a part that exceeds it is counted and not named.
pub const DAMAGED_RANGES_MAX: usize = 1_024;

/// A range of frames of one log, with rows among those that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFrames {
    /// Gateway and log; `None` where the store does not know them.
    pub log: Option<LogKey>,
    /// The log, as [`crate::Watermark::generation`] names it; 0 for all logs of a part with too many to name.
    pub generation: Generation,
    /// First frame.
    pub first: Sequence,
    /// Last frame.
    pub last: Sequence,
}

impl fmt::Display for LostFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first.0, self.last.0);
        match (&self.log, self.generation.0) {
            (Some((gateway, log_id)), _) => {
                write!(f, "frames {first} to {last} of gateway `{gateway}`, log {log_id}")
            }
            (None, 0) => write!(f, "frames {first} to {last} of many logs"),
            (None, one) => write!(f, "frames {first} to {last} of log generation {one}"),
        }
    }
}

/// Rows that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRows {
    /// How many.
    pub rows: u64,
    /// First and last point, in the order of names.
    pub points: (String, String),
    /// First and last source time.
    pub times: (Timestamp, Timestamp),
    /// The frames that have rows among them, by log.
    pub frames: Vec<LostFrames>,
}

/// A part of a store that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPart {
    /// Its name, as a person finds it.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
    /// The rows that cannot be read while it is so; `None` for a part without rows.
    pub lost: Option<LostRows>,
}

/// All damage that the writer of a store knows of. Damage is never a reason to delete something, and a part that is
/// sound again, for example because it was put back from a backup, is in here no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreDamage {
    /// Damaged parts, in all.
    pub parts: u64,
    /// Rows of them that cannot be read, in all.
    pub rows: u64,
    /// The parts, those with rows first, at most [`DAMAGED_NAMED_MAX`] with at most [`DAMAGED_RANGES_MAX`] ranges.
    pub named: Vec<DamagedPart>,
}

impl StoreDamage {
    /// Counts all parts, and keeps as many as may be named.
    pub fn of(mut parts: Vec<DamagedPart>) -> Self {
        let rows = |part: &DamagedPart| part.lost.as_ref().map_or(0, |lost| lost.rows);
        let ranges = |part: &DamagedPart| part.lost.as_ref().map_or(0, |lost| lost.frames.len());
        let (count, all_rows) = (parts.len() as u64, parts.iter().map(rows).sum());
        parts.sort_by_key(|part| part.lost.is_none());
        let mut left = DAMAGED_RANGES_MAX;
        let fits = |part: &DamagedPart| match left.checked_sub(ranges(part)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let named = parts.into_iter().filter(fits).take(DAMAGED_NAMED_MAX).collect();
        Self { parts: count, rows: all_rows, named }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: usize, ranges: usize) -> DamagedPart {
        let frames = |first| LostFrames {
            log: None,
            generation: Generation(1),
            first: Sequence(first),
            last: Sequence(first),
        };
        let lost = LostRows {
            rows: 10,
            points: ("a".into(), "b".into()),
            times: (Timestamp(1), Timestamp(2)),
            frames: (1..=ranges as u64).map(frames).collect(),
        };
        let lost = (ranges > 0).then_some(lost);
        DamagedPart { name: number.to_string(), what: "cut".into(), lost }
    }

    #[test]
    fn all_damage_is_counted_and_a_bounded_part_of_it_named() {
        let many = (0..DAMAGED_NAMED_MAX + 9).map(|number| part(number, 1)).collect();
        let found = StoreDamage::of(many);
        let all = DAMAGED_NAMED_MAX as u64 + 9;
        assert_eq!(
            (found.parts, found.rows, found.named.len()),
            (all, all * 10, DAMAGED_NAMED_MAX)
        );

        let wide = [part(0, 0), part(1, DAMAGED_RANGES_MAX), part(2, 1), part(3, 0)];
        let found = StoreDamage::of(wide.into());
        let names: Vec<&str> = found.named.iter().map(|part| part.name.as_str()).collect();
        assert_eq!((found.parts, found.rows), (4, 20));
        assert_eq!(names, ["1", "0", "3"], "the one whose range finds no room is counted alone");
    }
}
