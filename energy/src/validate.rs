//! From readings of a register to steps of energy: rollover, dip, spike, replacement, change of ratio, open gap. Must
//! never decide by the order of arrival, and never books a fall as zero or as the new absolute value.
//!
//! Readings come in the order of time, one by one. What becomes of one depends on later ones over at most
//! [`LOOK_AHEAD_MAX`] changes of the register, so no more of them than that are held; a register that stands still is held
//! by the ends of its runs in each slot.

use model::Timestamp;

use crate::index::NEIGHBOURS_MAX_MICROS;
use crate::put_aside::{Aside, PutAside, Runs};
use crate::readings::Register;
use crate::resets::{Crossing, Reset};

pub(crate) mod merge;

/// Over how many changes of the register a return to its way is looked for, after a reading that does not follow. A
/// register that stands still, at zero for days, uses none of them up.
const LOOK_AHEAD_MAX: usize = 4096;
/// Without a physical bound, a fall counts as a rollover only if the rise through the modulus is at most this part of
/// it.
pub(crate) const ROLLOVER_PART: i128 = 10;
pub(crate) const HOUR_MICROS: i128 = 3_600_000_000;

/// Readings off the way are a way of their own from so many rises on, …
const BETTER_WAY_RISES_MIN: usize = 8;
/// … and the better one where they last so many times as long as the way before.
const BETTER_WAY_TIMES: i64 = 4;

/// Readings that are walked over at a time.
const CHUNK_POINTS: usize = 8 * LOOK_AHEAD_MAX;

/// A reading at a time, in digits of the register.
pub(crate) type Point = (Timestamp, i128);

/// How the energy between two knots was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The register rose.
    Rise,
    /// It went through its modulus (derived).
    Rollover,
    /// Not known: an open gap, and a task for the operator.
    Unknown,
}

/// A trusted index at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Knot {
    pub(crate) time: Timestamp,
    /// What the register shows from here on (after a replacement, the new meter's).
    pub(crate) raw: i128,
    /// What it showed up to here (before a replacement, the old meter's).
    pub(crate) raw_before: i128,
    /// Energy since the first knot, the parts that are known.
    pub(crate) value: i128,
    /// How it was reached from the knot before.
    pub(crate) step: Step,
    /// Rise of the register in that step.
    pub(crate) rise: i128,
    /// Ratio of that step.
    pub(crate) ratio: i128,
    /// Whether no reading is of this instant: the index was interpolated for a change of ratio, or a reset was due.
    pub(crate) estimated: bool,
    /// The register was set back to zero here: the time before it, in microseconds, that no reading covers.
    pub(crate) reset: Option<i64>,
    /// The register rose by more than is plausible: the step is unknown although the register went up.
    pub(crate) implausible: bool,
}

/// What readings of one register came to.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Trusted knots in the order of time.
    pub(crate) knots: Vec<Knot>,
    /// Readings that were put aside.
    pub(crate) untrusted: u64,
    /// The same, by runs.
    pub(crate) put_aside: Runs,
}

/// Validates readings that come in the order of time, one for each time.
#[derive(Debug)]
pub(crate) struct Walker {
    /// Readings whose fate is open, with the number of equal ones that each stands for beside itself.
    points: Vec<Point>,
    dropped: Vec<u32>,
    /// Changes of the register among them.
    changes: usize,
    /// Replacements that are still to come.
    replacements_done: usize,
    /// The midnight of the newest reset: each takes place once.
    reset_due: Option<Timestamp>,
    /// Since when the register is on its way.
    began: Option<Timestamp>,
    /// Knots up to here need not be looked at again.
    merged: usize,
    keep_all: bool,
    walked: Walked,
}

impl Walker {
    /// Keeps everything, or of each slot the knots that its borders and events need.
    pub(crate) fn new(keep_all: bool) -> Self {
        Self {
            points: Vec::new(),
            dropped: Vec::new(),
            changes: 0,
            replacements_done: 0,
            reset_due: None,
            began: None,
            merged: 0,
            keep_all,
            walked: Walked::default(),
        }
    }

    /// Takes the next reading.
    pub(crate) fn push(&mut self, point: Point, register: &Register, interpolation_max: i64) {
        if let Some(&(_, before)) = self.points.last() {
            self.changes += usize::from(before != point.1);
            if !self.keep_all && self.is_inside_run(point, register) {
                // Of a register that stands still nothing lies between the ends of its run.
                if let (Some(last), Some(dropped)) =
                    (self.points.last_mut(), self.dropped.last_mut())
                {
                    *last = point;
                    *dropped = dropped.saturating_add(1);
                }
                return;
            }
        }
        self.points.push(point);
        self.dropped.push(0);
        let enough = self.points.len() >= CHUNK_POINTS && self.changes > 2 * LOOK_AHEAD_MAX;
        if enough && !self.keep_all {
            self.advance(register, interpolation_max, false);
        }
    }

    /// Whether the last reading lies between two equal ones of its own slot, this being the second.
    fn is_inside_run(&self, point: Point, register: &Register) -> bool {
        let [.., first, last] = self.points.as_slice() else { return false };
        let replaced = |at: Timestamp| first.0 <= at && at <= point.0;
        first.1 == last.1
            && last.1 == point.1
            && merge::slot_of(first.0) == merge::slot_of(point.0)
            && !register.replacements.iter().any(|one| replaced(one.0))
    }

    /// Readings that are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.points.len()
    }

    /// There are no more readings.
    pub(crate) fn finish(mut self, register: &Register, interpolation_max: i64) -> Walked {
        self.advance(register, interpolation_max, true);
        self.walked
    }

    fn advance(&mut self, register: &Register, interpolation_max_micros: i64, last: bool) {
        let walked = std::mem::take(&mut self.walked);
        let (reset_due, began) = (self.reset_due, self.began);
        let mut way = Way { register, interpolation_max_micros, reset_due, began, walked };
        let mut done = 0;
        let newest = self.points.last().map(|point| point.0);
        while let Some(&(at, old_final, new_initial)) =
            register.replacements.get(self.replacements_done)
        {
            if !last && newest.is_none_or(|newest| newest <= at) {
                break;
            }
            let rest = self.points.get(done..).unwrap_or_default();
            let before = rest.partition_point(|(time, _)| *time < at);
            let old = rest.get(..before).unwrap_or_default();
            let newest_old = old.last().copied().or_else(|| way.last());
            if newest_old.is_some_and(|newest| at.micros_since(newest.0) > interpolation_max_micros)
            {
                // Typed for a time long after, it tells nothing about these readings.
                way.walk(old, self.dropped.get(done..done + before).unwrap_or_default(), true);
                way.close((at, old_final));
            } else if newest_old.is_some() {
                // The final index is on the old meter's way: what lies below or above it until then was put aside by it.
                let newest = newest_old.map_or(old_final, |newest| newest.1);
                let mut of_old = old.to_vec();
                of_old.push((at, register.final_index(newest, old_final)));
                let mut dropped =
                    self.dropped.get(done..done + before).unwrap_or_default().to_vec();
                dropped.push(0);
                way.walk(&of_old, &dropped, true);
            }
            way.begin((at, new_initial));
            // At the very instant the event is the authority, not a reading of either meter.
            let after = rest.get(before..).unwrap_or_default();
            done += before + after.partition_point(|(time, _)| *time == at);
            self.replacements_done += 1;
        }
        let rest = self.points.get(done..).unwrap_or_default();
        done += way.walk(rest, self.dropped.get(done..).unwrap_or_default(), last);
        self.points.drain(..done);
        self.dropped.drain(..done);
        self.changes = self.points.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        (self.reset_due, self.began) = (way.reset_due, way.began);
        self.walked = way.walked;
        if !self.keep_all {
            self.merged = merge::merge(&mut self.walked.knots, self.merged, last);
        }
    }
}

struct Way<'a> {
    register: &'a Register,
    interpolation_max_micros: i64,
    reset_due: Option<Timestamp>,
    began: Option<Timestamp>,
    walked: Walked,
}

impl Way<'_> {
    fn last(&self) -> Option<Point> {
        self.walked.knots.last().map(|knot| (knot.time, knot.raw))
    }

    /// Goes over the readings of one meter, from the last knot on, and says how many it is done with: all, or those whose
    /// fate no further reading can change.
    fn walk(&mut self, points: &[Point], dropped: &[u32], all: bool) -> usize {
        let end = if all { points.len() } else { decided(points) };
        let fell = |(index, pair): (usize, &[Point])| (pair[1].1 < pair[0].1).then_some(index + 1);
        let falls: Vec<usize> = points.windows(2).enumerate().filter_map(fell).collect();
        let mut falls = falls.into_iter().peekable();
        let mut at = 0;
        while let Some(&point) = points.get(at).filter(|_| at < end) {
            let Some(last) = self.last() else {
                self.begin(point);
                at += 1;
                continue;
            };
            let later = points.get(at + 1..).unwrap_or_default();
            while falls.next_if(|fall| *fall <= at).is_some() {}
            let fall = falls.peek().map(|fall| fall - at - 1);
            match self.next(last, point, later, fall) {
                Next::Follow(step, rise) => self.push(point, step, rise),
                Next::Skip(count) => {
                    let skipped = dropped.get(at..at + count).unwrap_or_default();
                    self.skip(last, points.get(at..at + count).unwrap_or_default(), skipped);
                    at += count;
                    continue;
                }
                Next::Reset(reset) => self.reset(point, reset),
                Next::Open => {
                    self.began = Some(point.0);
                    self.push(point, Step::Unknown, 0);
                }
            }
            at += 1;
        }
        at
    }

    /// Puts readings aside that are off the way.
    fn skip(&mut self, last: Point, points: &[Point], dropped: &[u32]) {
        let readings = dropped.iter().map(|more| 1 + u64::from(*more)).sum::<u64>();
        self.walked.untrusted += readings;
        let (Some(first), Some(newest)) = (points.first(), points.last()) else { return };
        let why = if first.1 < last.1 { Aside::RoseAgain } else { Aside::FellAgain };
        self.walked.put_aside.add(PutAside { from: first.0, to: newest.0, readings, why });
    }

    /// What becomes of a reading: R1, R4, R4b, R6, R13. `fall` is the first of the later ones that is below the one
    /// before it.
    fn next(&self, last: Point, point: Point, later: &[Point], fall: Option<usize>) -> Next {
        let reached = self.reached(last, point);
        let unbounded = self.register.rise_per_hour_max.is_none();
        let later = match reached {
            // A dip at the time of a reset is back on the old way by the end of that time. Later, the register may well
            // stand where it stood before the reset.
            Some(Reached::Reset(reset)) => {
                let upto = later.partition_point(|(time, _)| *time <= reset.closes());
                later.get(..upto).unwrap_or_default()
            }
            // Without a bound a dip near the modulus looks like a rollover: a return to the old way tells them apart.
            Some(Reached::Rollover(_)) if unbounded => later,
            // And a spike looks like a rise: what is taken back at once was none.
            Some(Reached::Rise(rise)) if unbounded && !self.is_far_event(last, point) => {
                let spike =
                    fall.and_then(|fall| self.spike_before_return(last, point, later, fall));
                return spike.map_or(Next::Follow(Step::Rise, rise), Next::Skip);
            }
            Some(reached) => return reached.next(),
            None => later,
        };
        match (self.suspects_before_return(last, point, later), reached) {
            (Some(count), _) => Next::Skip(count),
            (None, Some(reached)) => reached.next(),
            (None, None) => Next::Open,
        }
    }

    /// How a later reading was reached from an earlier one, if that is plausible.
    fn reached(&self, from: Point, to: Point) -> Option<Reached> {
        let Some(resets) = &self.register.resets else { return self.rise(from, to) };
        let bounded = self.register.rise_per_hour_max.is_some();
        let reset = match resets.between(from, to) {
            Crossing::Reset(reset) => reset,
            // The whole register was counted since, where that is possible at all.
            Crossing::Unclear(reset) if bounded => reset,
            Crossing::Unclear(_) => return None,
            Crossing::None => return self.rise(from, to),
        };
        let since = reset.opens().max(from.0);
        let micros = i128::from(to.0.micros_since(since));
        let once = self.reset_due != Some(reset.due);
        (once && self.plausible(to.1, since, micros)).then_some(Reached::Reset(reset))
    }

    /// The rise from one reading to a later one, if it is plausible.
    fn rise(&self, from: Point, to: Point) -> Option<Reached> {
        let micros = i128::from(to.0.micros_since(from.0));
        let direct = to.1 - from.1;
        if direct >= 0 {
            return self.plausible(direct, from.0, micros).then_some(Reached::Rise(direct));
        }
        let through = self.register.rise(from.1, to.1)?;
        self.plausible(through, from.0, micros).then_some(Reached::Rollover(through))
    }

    /// Whether the bound, where there is one, allows a rise.
    fn plausible(&self, rise: i128, from: Timestamp, micros: i128) -> bool {
        self.register.allows(rise, from, micros)
    }

    /// How many readings, `first` being the first, are off the way that a later one is back on. It must be back on the
    /// old way *and* not simply follow from the readings that are off it: else a new meter that nobody reported would
    /// one day be taken for a return.
    fn suspects_before_return(&self, last: Point, first: Point, later: &[Point]) -> Option<usize> {
        let fall = (first.1 - last.1).abs();
        let mut suspect = first;
        let mut run = OffTheWay::beginning(first);
        for (index, &point) in later.iter().enumerate() {
            if run.changes_with(point) > LOOK_AHEAD_MAX {
                break;
            }
            let back = match self.reached(last, point) {
                Some(Reached::Rollover(_)) => self.register.rise_per_hour_max.is_some(),
                Some(Reached::Rise(_)) => true,
                Some(Reached::Reset(_)) | None => false,
            };
            let follows = match self.reached(suspect, point) {
                // Of a spike at the time of a reset the old way tells more.
                None | Some(Reached::Reset(_)) => false,
                // Without a bound any rise is possible; one that takes back most of the fall at once, to where the
                // register was, is the return. One that does not cross that is climbing.
                Some(_) if self.register.rise_per_hour_max.is_none() => {
                    let crosses = (suspect.1 < last.1) != (point.1 < last.1);
                    !crosses || (point.1 - suspect.1).saturating_mul(2) <= fall
                }
                Some(_) => true,
            };
            if back && !follows {
                return (!self.is_better_way(last, &run)).then_some(index + 1);
            }
            run.add(point);
            suspect = point;
        }
        None
    }

    /// How many readings, `first` being the first, stand on a rise that a later one takes back: the register fell again by
    /// more than half of the rise, to no less than it showed before, and the rise was most of what it fell from. A register
    /// that rose in many steps and then fell was no spike: its fall is for the operator. `fall` is the first later reading
    /// below the one before it; up to there they only rise.
    fn spike_before_return(
        &self,
        last: Point,
        first: Point,
        later: &[Point],
        fall: usize,
    ) -> Option<usize> {
        let rise = first.1 - last.1;
        let most = |peak: i128| rise > (peak - last.1) / 2;
        let peak = fall.checked_sub(1).and_then(|before| later.get(before)).unwrap_or(&first).1;
        let mut run = OffTheWay::beginning(first);
        for (index, &point) in later.iter().enumerate() {
            let before = run.newest;
            if run.changes_with(point) > LOOK_AHEAD_MAX || !most(peak.max(point.1)) {
                return None;
            }
            if first.1 - point.1 > rise / 2 {
                // Lower than before the rise, it tells nothing about the rise; nor does a reset of what stood until then.
                let spike = point.1 >= last.1
                    && !self.is_reset_after(first.0, before, point)
                    && !self.is_better_way(last, &run);
                return spike.then_some(index + 1);
            }
            run.add(point);
        }
        None
    }

    /// Whether a register that had risen by `risen` was then set back to zero between two readings.
    fn is_reset_after(&self, risen: Timestamp, from: Point, to: Point) -> bool {
        let crossing = self.register.resets.as_ref().map(|resets| resets.between(from, to));
        matches!(crossing, Some(Crossing::Reset(reset)) if risen < reset.opens())
    }

    /// Starts a way, at the first reading or with a new meter.
    fn begin(&mut self, point: Point) {
        match self.walked.knots.last_mut() {
            Some(knot) if knot.time == point.0 => knot.raw = point.1,
            _ => {
                self.began.get_or_insert(point.0);
                self.push(point, Step::Unknown, 0);
            }
        }
    }

    /// Whether readings that are off the way are a way of their own and the better one: they rise on and on, for much longer
    /// than the register was on its way before. During commissioning the first readings may well be the wrong ones.
    fn is_better_way(&self, last: Point, run: &OffTheWay) -> bool {
        let way = self.began.map_or(0, |began| last.0.micros_since(began));
        run.falls == 0 && run.rises >= BETTER_WAY_RISES_MIN && run.micros() / BETTER_WAY_TIMES > way
    }

    /// Ends the way of an old meter at its final index.
    fn close(&mut self, point: Point) {
        match self.last().and_then(|last| self.reached(last, point)).map(Reached::next) {
            Some(Next::Follow(step, rise)) => self.push(point, step, rise),
            Some(Next::Reset(reset)) => self.reset(point, reset),
            _ => self.push(point, Step::Unknown, 0),
        }
    }

    /// Whether the way ends at an index that was typed for a time long before a reading.
    fn is_far_event(&self, last: Point, point: Point) -> bool {
        point.0.micros_since(last.0) > self.interpolation_max_micros
            && self.register.replacements.iter().any(|event| event.0 == last.0)
    }

    /// The register was set back to zero on its way to a reading. What it counted between its last reading and the reset
    /// no reading tells: it is not counted. Between neighbours that is named with the figure; after a longer time without
    /// readings it is an open gap.
    fn reset(&mut self, point: Point, reset: Reset) {
        self.reset_due = Some(reset.due);
        let Some(&last) = self.walked.knots.last() else { return self.begin(point) };
        let mut unread = 0;
        if reset.at > last.time {
            let near = point.0.micros_since(last.time) <= NEIGHBOURS_MAX_MICROS;
            if near {
                unread = reset.at.micros_since(last.time);
            }
            let step = if near { Step::Rise } else { Step::Unknown };
            self.push((reset.at, last.raw), step, 0);
        }
        if let Some(knot) = self.walked.knots.last_mut() {
            (knot.raw, knot.reset) = (0, Some(unread));
            knot.estimated |= last.time < reset.at && reset.at < point.0;
        }
        if reset.at < point.0 {
            self.push(point, Step::Rise, point.1);
        }
    }

    /// Adds a knot, and one at each change of ratio on the way to it.
    fn push(&mut self, point: Point, step: Step, rise: i128) {
        let Some(&last) = self.walked.knots.last() else {
            let ratio = self.register.ratio_at(point.0);
            let knot = Knot {
                time: point.0,
                raw: point.1,
                raw_before: point.1,
                value: 0,
                step: Step::Unknown,
                rise: 0,
                ratio,
                estimated: false,
                reset: None,
                implausible: false,
            };
            self.walked.knots.push(knot);
            return;
        };
        let steps = if step == Step::Unknown { None } else { self.steps(last, point, step, rise) };
        match steps {
            Some(steps) => self.walked.knots.extend(steps),
            None => self.walked.knots.push(Knot {
                time: point.0,
                raw: point.1,
                raw_before: point.1,
                step: Step::Unknown,
                rise: 0,
                ratio: self.register.ratio_at(point.0),
                estimated: false,
                reset: None,
                implausible: false,
                ..last
            }),
        }
    }

    /// The knots of one step; `None` when a change of ratio lies in too long a gap, or the digits do not fit.
    fn steps(&self, last: Knot, point: Point, step: Step, rise: i128) -> Option<Vec<Knot>> {
        let changes = self.register.changes_between(last.time, point.0);
        let too_long = point.0.micros_since(last.time) > self.interpolation_max_micros;
        if too_long && !changes.is_empty() {
            return None;
        }
        let mut steps = Vec::with_capacity(changes.len() + 1);
        let (mut from, mut done) = (last, 0);
        for change in changes {
            let upto = interpolate(last.raw, rise, last.time, point.0, change);
            let raw = self.register.shown(last.raw + upto, step);
            from = Knot {
                estimated: true,
                ..following(from, (change, raw), step, upto - done, self.register)?
            };
            done = upto;
            steps.push(from);
        }
        steps.push(following(from, point, step, rise - done, self.register)?);
        Some(steps)
    }
}

/// Readings that are off the way, one after the other.
struct OffTheWay {
    first: Timestamp,
    newest: Point,
    rises: usize,
    falls: usize,
}

impl OffTheWay {
    fn beginning(first: Point) -> Self {
        Self { first: first.0, newest: first, rises: 0, falls: 0 }
    }

    /// Changes of the register among them and the next one.
    fn changes_with(&self, next: Point) -> usize {
        self.rises + self.falls + usize::from(next.1 != self.newest.1)
    }

    fn add(&mut self, point: Point) {
        self.rises += usize::from(point.1 > self.newest.1);
        self.falls += usize::from(point.1 < self.newest.1);
        self.newest = point;
    }

    fn micros(&self) -> i64 {
        self.newest.0.micros_since(self.first)
    }
}

/// How many readings have more than [`LOOK_AHEAD_MAX`] changes of the register behind them.
fn decided(points: &[Point]) -> usize {
    let mut changes = 0;
    for (at, pair) in points.windows(2).enumerate().rev() {
        changes += usize::from(pair[0].1 != pair[1].1);
        if changes > LOOK_AHEAD_MAX + 1 {
            return at + 1;
        }
    }
    0
}

/// How a reading follows from an earlier one.
#[derive(Clone, Copy)]
enum Reached {
    Rise(i128),
    Rollover(i128),
    Reset(Reset),
}

impl Reached {
    fn next(self) -> Next {
        match self {
            Self::Rise(rise) => Next::Follow(Step::Rise, rise),
            Self::Rollover(rise) => Next::Follow(Step::Rollover, rise),
            Self::Reset(reset) => Next::Reset(reset),
        }
    }
}

enum Next {
    Follow(Step, i128),
    Reset(Reset),
    Skip(usize),
    Open,
}

fn following(from: Knot, to: Point, step: Step, rise: i128, register: &Register) -> Option<Knot> {
    let ratio = register.ratio_at(from.time);
    let value = from.value.checked_add(rise.checked_mul(ratio)?)?;
    let (time, raw) = to;
    let (estimated, reset, implausible) = (false, None, false);
    Some(Knot {
        time,
        raw,
        raw_before: raw,
        value,
        step,
        rise,
        ratio,
        estimated,
        reset,
        implausible,
    })
}

/// The part of `rise` that belongs before `at`: the *index* at that time by linear interpolation, rounded to the
/// register's unit half to even (R2). Parts that are differences of such indexes sum to the whole exactly.
pub(crate) fn interpolate(
    start: i128,
    rise: i128,
    from: Timestamp,
    to: Timestamp,
    at: Timestamp,
) -> i128 {
    let whole = i128::from(to.micros_since(from)).max(1);
    let part = i128::from(at.micros_since(from));
    // rise × part ÷ whole, in two pieces so that no product outgrows the integer.
    let (per, left) = (rise.div_euclid(whole), rise.rem_euclid(whole));
    let (quotient, rest) =
        (per * part + (left * part).div_euclid(whole), (left * part).rem_euclid(whole));
    let odd = (start + quotient).rem_euclid(2) == 1;
    if rest * 2 > whole || (rest * 2 == whole && odd) { quotient + 1 } else { quotient }
}
