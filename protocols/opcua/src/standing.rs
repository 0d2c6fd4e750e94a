//! A register that stands still is a reading too. A server tells changes only, so while it is known that nothing changed,
//! the last value is said again once in each slot of 15 minutes. That nothing changed is known when the server was asked
//! and gave the same value: a subscription may live while the items in it are dead (`session/checking.rs`). A point that
//! has a value again after the newest that was said of it was that it has none is said again as soon as its time allows.
//! Must never ask a clock or a server, and never say a value that the server does not stand by: after a break, a Bad
//! status or a refusal it says nothing.
//!
//! **Its time** is when it was last known that the value holds, on the clock that the source times are made by: ours less
//! what the server's lies behind, and less what a change takes to reach us. So no change can come later with an earlier
//! time, which would look like a register that falls back. It is no time of the device, is never looked for in a history
//! and moves no mark; a reading of the device at the same time wins, for it is stored later.

use std::time::Duration;

use model::{Sample, Timestamp};

use crate::codec::without_overflow;

/// A standing value is said once in each slot of this length (the slots that energy is counted in).
pub(crate) const SLOT: Duration = Duration::from_mins(15);
/// A value is not said again before the server has stood by it for so long: what changes needs no word, and its next change
/// shows how late the device's times are.
const STANDS_MIN_MICROS: i64 = 60 * SECOND_MICROS;
/// The same where the newest that was said is that there is no value: that is over, and a minute of it would be wrong.
const OWED_STANDS_MIN_MICROS: i64 = 5 * SECOND_MICROS;
/// Time for a notification to reach us.
const TRANSIT: Duration = Duration::from_secs(1);
/// Changes in a row that must have the same time, or one that lies far behind, before the device's clock is blamed.
const SUSPECT_CHANGES: u8 = 3;
/// A source time that stands still may do so for this long: some servers date by whole seconds.
const FROZEN_MIN_MICROS: i64 = 10 * SECOND_MICROS;
/// A source time that is further off than this puts energy into other slots than it was used in.
const CLOCK_OFF_MAX_MICROS: i64 = 5 * 60 * SECOND_MICROS;
const SECOND_MICROS: i64 = 1_000_000;

/// Up to when it is known that a value holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// When the server last said so, on our clock.
    pub(crate) heard: Timestamp,
    /// How old a change can be when the server tells it: sampling and publishing; zero for a value that was read.
    pub(crate) told_within: Duration,
    /// How far the server's clock lies behind ours, in microseconds; negative when it is ahead.
    pub(crate) behind_micros: i64,
}

impl Known {
    /// By a server that was asked at `heard` for a value that it may have taken from the memory of its sampling.
    pub(crate) fn by_subscription(
        heard: Timestamp,
        told_within: Duration,
        behind_micros: i64,
    ) -> Self {
        Self { heard, told_within: told_within + TRANSIT, behind_micros }
    }
}

/// What is wrong with a device's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockFault {
    /// The value changes, its time does not.
    Frozen,
    /// Its time is ahead of ours by so many microseconds.
    Ahead(i64),
    /// Its time lies behind ours by so many microseconds whenever it changes.
    Behind(i64),
}

/// One point: its last value, and what its times are worth.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    last: Option<Sample>,
    /// The value before it, while the server says that there is none.
    before: Option<Sample>,
    /// Whether the server came back with the very reading from before a break: so it stood in between.
    stood: bool,
    /// Whether the server stands by `last` now.
    holds: bool,
    /// Since when it does, without a break, on our clock.
    holds_since: Timestamp,
    /// Whether the time of `last` is the device's.
    timed: bool,
    /// The latest time at which a value of the point was said.
    said: Option<Timestamp>,
    /// When it was last said that there is no value; nothing once a value of a later time was said.
    no_value_at: Option<Timestamp>,
    /// How late the last change came, by the device's time.
    change_late_micros: i64,
    frozen: u8,
    behind: u8,
    blamed: Option<ClockFault>,
}

impl Standing {
    /// The server gives this value. Gives whether it is the reading that it gave last: time, status and value are the
    /// same, so that it is stored already.
    pub(crate) fn hear(&mut self, sample: &Sample, timed: bool) -> bool {
        let known = self.last.as_ref().filter(|_| timed && self.timed);
        let same = known.is_some_and(|last| is_same_reading(last, sample));
        if let Some(last) = known.filter(|_| !same && self.holds && sample.value.is_some()) {
            self.judge(last.source_time == sample.source_time, late(sample));
        }
        let before = self.before.as_ref().filter(|_| timed);
        let as_before = before.is_some_and(|before| is_same_reading(before, sample));
        self.stood = as_before || (same && (self.stood || !self.holds));
        if !same || !self.holds {
            self.holds_since = sample.gateway_time;
        }
        self.holds = sample.value.is_some();
        self.timed = timed;
        if !same {
            let last = self.last.replace(sample.clone());
            if let Some(last) = last.filter(|last| last.value.is_some()) {
                self.before = Some(last);
            }
        }
        if sample.value.is_some() {
            self.before = None;
            self.say(sample.source_time);
        } else {
            self.no_value_at = self.no_value_at.max(Some(sample.source_time));
        }
        same
    }

    /// Whether the server says now, when it is asked, what it said last. Times do not count: some servers date a value when
    /// it is read.
    pub(crate) fn is_confirmed_by(&self, sample: &Sample) -> bool {
        let said = |sample: &Sample| (without_overflow(sample.quality), sample.value.clone());
        self.last.as_ref().is_some_and(|last| said(last) == said(sample))
    }

    /// Whether the point has a value, while the newest that was said of it is that it has none.
    pub(crate) fn is_owed(&self) -> bool {
        self.holds && self.no_value_at.is_some()
    }

    fn judge(&mut self, same_time: bool, late_micros: i64) {
        self.change_late_micros = late_micros;
        let count = |times: u8, more: bool| if more { times.saturating_add(1) } else { 0 };
        self.frozen = count(self.frozen, same_time && late_micros > FROZEN_MIN_MICROS);
        self.behind = count(self.behind, late_micros > CLOCK_OFF_MAX_MICROS);
    }

    /// A value of this time was handed over; a history that is read back tells so too.
    pub(crate) fn say(&mut self, time: Timestamp) {
        self.said = self.said.max(Some(time));
        self.no_value_at = self.no_value_at.filter(|no_value_at| *no_value_at >= time);
    }

    /// The server does not stand by the last value any more, or cannot be asked: that is said at `now`.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.holds = false;
        self.no_value_at = self.no_value_at.max(Some(now));
    }

    /// The value, if it holds and the slot in which that is known has no reading yet, or the newest that was said is that
    /// there is no value. A value that is not the one from before a break has to stand for a while too: its next change
    /// shows whether its time is old or the device's clock.
    pub(crate) fn due(&mut self, known: Known, now: Timestamp) -> Option<Sample> {
        self.is_due(known).then(|| self.again(known, now)).flatten()
    }

    /// Whether [`Self::due`] would give the value.
    pub(crate) fn is_due(&self, known: Known) -> bool {
        let slot = |time: Timestamp| time.0.div_euclid(micros(SLOT));
        let stood_micros = known.heard.micros_since(self.holds_since);
        let stands = stood_micros >= STANDS_MIN_MICROS;
        let is_owed = self.is_owed() && (self.stood || stood_micros >= OWED_STANDS_MIN_MICROS);
        let next_slot =
            || stands && self.said.is_some_and(|said| slot(self.time(known)) > slot(said));
        self.sayable(known).is_some_and(|(_, last)| last.value.is_some())
            && (is_owed || next_slot())
    }

    /// The last value, if it holds and can be said with the time at which that is known.
    fn sayable(&self, known: Known) -> Option<(Timestamp, &Sample)> {
        let time = self.time(known);
        let last = self.last.as_ref().filter(|_| self.holds && self.frozen < SUSPECT_CHANGES)?;
        // A time before that of "no value" would leave that the newest word on the point.
        let is_newest = Some(time) > self.said.max(self.no_value_at);
        (is_newest && time.is_storable()).then_some((time, last))
    }

    /// The value, if it holds; for a point of which something else was said since.
    pub(crate) fn again(&mut self, known: Known, now: Timestamp) -> Option<Sample> {
        let (time, last) = self.sayable(known)?;
        let value = last.value.clone()?;
        let sample = Sample::new(last.point, time, now, without_overflow(last.quality), value);
        self.say(time);
        Some(sample)
    }

    fn time(&self, known: Known) -> Timestamp {
        let told_within = micros(known.told_within);
        let back = if self.timed {
            told_within.saturating_add(known.behind_micros).max(self.change_late_micros)
        } else {
            told_within
        };
        Timestamp(known.heard.0.saturating_sub(back))
    }

    /// What the times of the point say about the device's clock, and whether that is something else than before.
    pub(crate) fn clock_news(&mut self) -> (Option<ClockFault>, bool) {
        let fault = self.clock_fault();
        let kind = |fault: Option<ClockFault>| fault.map(|fault| std::mem::discriminant(&fault));
        let before = std::mem::replace(&mut self.blamed, fault);
        (fault, kind(before) != kind(fault))
    }

    fn clock_fault(&self) -> Option<ClockFault> {
        let last = self.last.as_ref().filter(|last| self.timed && last.value.is_some())?;
        let ahead = -late(last);
        if self.frozen >= SUSPECT_CHANGES {
            Some(ClockFault::Frozen)
        } else if ahead > CLOCK_OFF_MAX_MICROS {
            Some(ClockFault::Ahead(ahead))
        } else if self.behind >= SUSPECT_CHANGES {
            Some(ClockFault::Behind(self.change_late_micros))
        } else {
            None
        }
    }
}

fn late(sample: &Sample) -> i64 {
    sample.gateway_time.micros_since(sample.source_time)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn is_same_reading(a: &Sample, b: &Sample) -> bool {
    (a.source_time, a.quality, &a.value) == (b.source_time, b.quality, &b.value)
}

#[cfg(test)]
mod tests;
