//! The runs of one meter and one ratio that a period's energy is the sum of. Must never compute what a period's energy is:
//! it takes the same index apart.

use model::Timestamp;
use serde::Serialize;

use super::{Index, Step};
use crate::number::Number;
use crate::period::Span;

/// A run of one meter at one ratio, without an open gap: `energy` is exactly
/// `(end_reading − start_reading + rollovers × modulus) × ratio`, and the energies of a period's segments are its energy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// First instant: of the period, of a ratio, of a meter, or the first reading that is known.
    #[serde(serialize_with = "crate::serial::text")]
    pub from: Timestamp,
    /// First instant after it.
    #[serde(serialize_with = "crate::serial::text")]
    pub to: Timestamp,
    /// The register at the first instant, in the meter's unit before the ratio.
    pub start_reading: Number,
    /// The register at the last instant; before a replacement, the old meter's.
    pub end_reading: Number,
    /// Current transformer times voltage transformer.
    pub ratio: Number,
    /// How often the register went through its modulus.
    pub rollovers: u64,
    /// Energy, in the meter's unit after the ratio.
    pub energy: Number,
}

/// A segment in digits.
struct Run {
    from: Timestamp,
    to: Timestamp,
    start: i128,
    end: i128,
    ratio: i128,
    rollovers: u64,
    energy: i128,
}

impl Index {
    /// What the energy of a period is made of, in the order of time; nothing where no energy is known.
    #[must_use]
    pub fn segments(&self, span: Span) -> Vec<Segment> {
        let Some((start, end)) = self.ends(span) else { return Vec::new() };
        let (first, last) = (start.border.instant(span.from), end.border.instant(span.to));
        let mut runs: Vec<Run> = Vec::new();
        let (mut from, mut raw, mut value) = (first, start.raw, start.value);
        // Whether the step before ended where this one begins, on the same meter.
        let mut joined = false;
        let after = self.knots.partition_point(|knot| knot.time <= first);
        for knot in self.knots.get(after..).unwrap_or_default() {
            if from >= last {
                break;
            }
            let whole = knot.time <= last;
            let to = if whole { knot.time } else { last };
            let (raw_to, value_to) =
                if whole { (knot.raw_before, knot.value) } else { (end.raw, end.value) };
            if knot.step != Step::Unknown {
                // A rise is less than the modulus: the register went through it where it ends lower.
                let rollovers = u64::from(raw_to < raw);
                let energy = value_to - value;
                match runs.last_mut() {
                    Some(run) if joined && run.ratio == knot.ratio => {
                        (run.to, run.end) = (to, raw_to);
                        run.rollovers += rollovers;
                        run.energy += energy;
                    }
                    _ => {
                        let (start, end, ratio) = (raw, raw_to, knot.ratio);
                        runs.push(Run { from, to, start, end, ratio, rollovers, energy });
                    }
                }
            }
            joined = knot.step != Step::Unknown && knot.raw == knot.raw_before;
            (from, raw, value) = (to, knot.raw, value_to);
        }
        runs.iter().map(|run| self.segment(run)).collect()
    }

    fn segment(&self, run: &Run) -> Segment {
        Segment {
            from: run.from,
            to: run.to,
            start_reading: self.reading(run.start),
            end_reading: self.reading(run.end),
            ratio: Number::new(run.ratio, i64::from(self.register.ratio_exponent)),
            rollovers: run.rollovers,
            energy: self.number(run.energy),
        }
    }
}
