//! Watches the wall clock of the host: steps against the monotonic clock, and times that cannot be true. What is read
//! meanwhile is flagged, because every later figure believes the time.

use std::time::Duration;

use model::{Timestamp, record};

/// A wall clock that moves against the monotonic one by more than this between two looks was set, not slewed: NTP slews
/// at most 0.5 ms a second, and looks come at least every few seconds.
const STEP_MIN_MICROS: u64 = 1_000_000;

/// What is known of the wall clock.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    last: Option<(Timestamp, Duration)>,
    /// Whether the time could be true.
    is_plausible: bool,
    steps: u64,
    last_step_micros: Option<i64>,
}

impl ClockWatch {
    /// Looks at both clocks. Gives a CLOCK record when the wall clock stepped, or when it began or ceased to be
    /// plausible; at the first look only when it is not.
    pub(super) fn look(&mut self, wall: Timestamp, monotonic: Duration) -> Option<record::Clock> {
        let (before, is_first) = match self.last.replace((wall, monotonic)) {
            Some((then, at)) => (after(then, monotonic.saturating_sub(at)), false),
            None => (wall, true),
        };
        let was_plausible = is_first || self.is_plausible;
        self.is_plausible = wall.is_plausible_now();
        let step = wall.0.saturating_sub(before.0);
        let stepped = step.unsigned_abs() > STEP_MIN_MICROS;
        if stepped {
            self.steps = self.steps.saturating_add(1);
            self.last_step_micros = Some(step);
            let step_s = Duration::from_micros(step.unsigned_abs()).as_secs_f64();
            let way = if step < 0 { "back" } else { "forward" };
            tracing::warn!(%before, after = %wall, "the host's clock was set {way} by {step_s:.1} s");
        }
        if self.is_plausible != was_plausible {
            if self.is_plausible {
                tracing::info!(now = %wall, "the host's clock is plausible again");
            } else {
                tracing::error!(now = %wall, "the host's clock is not plausible: set it, readings are flagged until then");
            }
        }
        let tell = stepped || self.is_plausible != was_plausible;
        tell.then(|| record::Clock {
            at: storable(wall),
            before: storable(before),
            after: storable(wall),
            monotonic_us: u64::try_from(monotonic.as_micros()).unwrap_or(u64::MAX),
            synchronised: self.is_plausible,
        })
    }

    /// Whether the time could be true at the last look.
    pub(super) fn is_synchronised(&self) -> bool {
        self.is_plausible
    }

    /// Whether what was stamped then must not be flagged. The stamp alone tells it too: a look comes with a commit, so
    /// what is read between a step and the next look would have no flag, and what waited while the clock was set right.
    pub(super) fn believes(&self, stamped: Timestamp) -> bool {
        self.is_plausible && stamped.is_plausible_now()
    }

    /// Steps in this run, and the last one.
    pub(super) fn steps(&self) -> (u64, Option<i64>) {
        (self.steps, self.last_step_micros)
    }
}

fn after(time: Timestamp, span: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

fn storable(time: Timestamp) -> Timestamp {
    time.clamp(Timestamp::MIN, Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;
    /// From 2026 to 2035.
    const PLAUSIBLE: std::ops::Range<i64> = 1_767_225_600_000_000..2_051_222_400_000_000;
    const YEAR: i64 = 31_557_600_000_000;

    /// Looks at these wall times, a second of the monotonic clock apart; gives what was told of each.
    fn looks(walls: &[i64]) -> Vec<Option<(i64, bool)>> {
        let mut watch = ClockWatch::default();
        let told = walls.iter().zip(0..).map(|(wall, second)| {
            let record = watch.look(Timestamp(*wall), Duration::from_secs(second))?;
            Some((record.after.0 - record.before.0, record.synchronised))
        });
        told.collect()
    }

    #[test]
    fn a_clock_that_runs_tells_nothing() {
        let second = 1_000_000;
        assert_eq!(looks(&[NOW, NOW + second, NOW + 2 * second + 900]), [None, None, None]);
        // Slewed by half a second at once: still no step.
        assert_eq!(looks(&[NOW, NOW + second + 500_000]), [None, None]);
    }

    #[test]
    fn a_step_is_told_once_in_its_direction() {
        let second = 1_000_000;
        let back = looks(&[NOW, NOW - 3_600 * second, NOW - 3_599 * second]);
        assert_eq!(back, [None, Some((-3_601 * second, true)), None]);
        assert_eq!(looks(&[NOW, NOW + 6 * second]), [None, Some((5 * second, true))]);
    }

    #[test]
    fn a_clock_at_1970_or_2035_is_told_at_the_start_and_when_it_is_set() {
        let second = 1_000_000;
        for wrong in [0, PLAUSIBLE.end, NOW + 13 * YEAR] {
            let told = looks(&[wrong, wrong + second, NOW]);
            assert_eq!(told[..2], [Some((0, false)), None], "{wrong}");
            assert_eq!(told[2].map(|(_, synchronised)| synchronised), Some(true), "{wrong}");
        }
    }

    /// Samples that were stamped between a step and the look that found it had no flag.
    #[test]
    fn a_stamp_that_cannot_be_true_is_not_believed_whenever_the_last_look_was() {
        let mut watch = ClockWatch::default();
        watch.look(Timestamp(NOW), Duration::ZERO);
        assert!(watch.believes(Timestamp(NOW + 1)));
        for wrong in [0, PLAUSIBLE.start - 1, PLAUSIBLE.end, i64::MAX] {
            assert!(!watch.believes(Timestamp(wrong)), "{wrong}");
        }
        watch.look(Timestamp(0), Duration::from_secs(1));
        assert!(!watch.believes(Timestamp(NOW + 1)));
    }

    #[test]
    fn times_that_no_record_holds_do_no_harm() {
        assert_eq!(looks(&[i64::MIN, i64::MAX, i64::MIN]).iter().flatten().count(), 3);
    }
}
