//! A register that stands still is a reading too. A server tells changes only, so while it is known that nothing
//! changed, the last value is said again once in each slot of 15 minutes. That nothing changed is known when the server
//! was asked and gave the same value: a subscription may live while the items in it are dead (`session/checking.rs`). A
//! point that has a value again after the newest that was said of it was that it has none is said again as soon as its
//! time allows.
//!
//! **Its time** is when it was last known that the value holds, on the clock that the source times are made by: ours less
//! what the server's lies behind, and less the longest time that a change took to reach us: of this point in the last two
//! half-days with changes, and of its device while few of its own were seen. Readings of radio meters arrive a minute late
//! or two, each by another time. It is no time of the device, is never looked for in a history and moves no mark.
//!
//! **A change that comes later than any before** may still have an earlier time, and the register would seem to fall
//! back. That is seen when it arrives: what was said to stand since its time ([`SAID_MAX`] values at most) is said again with
//! its value and the same time, and the last word on a time wins. It is counted and named (GW-O136), and no change that is as
//! late comes unexpected after it. Not foreseen are a first change after the start that comes later than
//! [`UNSEEN_LATE_MICROS`], and one that is later than [`LATE_REMEMBERED_MAX_MICROS`] after another that was not.

use std::collections::VecDeque;
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
/// How late a change may come while none was seen.
const UNSEEN_LATE_MICROS: i64 = 60 * SECOND_MICROS;
/// A lateness is kept in mind up to this; of a longer one only that of the last change counts, for the values of a long
/// outage that come all at once say nothing of the next day.
const LATE_REMEMBERED_MAX_MICROS: i64 = 60 * 60 * SECOND_MICROS;
/// The next change may be later than the latest by a quarter of its lateness, at most this.
const LATE_MARGIN_MAX_MICROS: i64 = 60 * SECOND_MICROS;
/// What other points of the device show counts up to this: one with a wrong clock says nothing of the others.
const SHARED_LATE_MAX_MICROS: i64 = 2 * 60 * SECOND_MICROS;
/// Changes of a point after which those of others say nothing of it any more.
const OWN_CHANGES_MIN: u8 = 16;
/// Lateness is forgotten after one to two of these.
const HALF_DAY_MICROS: i64 = 12 * 60 * 60 * SECOND_MICROS;
/// Values said to stand that a late change can still correct: two hours of them.
const SAID_MAX: usize = 8;
/// A source time that stood still while the value changed is no reason to say nothing of a value that stands since so long.
const FROZEN_FORGIVEN_MICROS: i64 = 60 * 60 * SECOND_MICROS;

/// How late changes came: the most in the last two half-days in which there were any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lateness {
    half_day: i64,
    most: Option<i64>,
    before: Option<i64>,
}

impl Lateness {
    /// A change came `late_micros` late at `now`.
    pub(crate) fn see(&mut self, late_micros: i64, now: Timestamp) {
        let half_day = now.0.div_euclid(HALF_DAY_MICROS);
        if half_day != self.half_day {
            (self.half_day, self.before) = (half_day, self.most.take().or(self.before));
        }
        self.most = self.most.max(Some(late_micros.min(LATE_REMEMBERED_MAX_MICROS)));
    }

    /// The most, in microseconds; nothing where no change was seen.
    pub(crate) fn most(&self) -> Option<i64> {
        self.most.max(self.before)
    }
}

/// What a value of the server is to what it said before.
#[derive(Debug, Default)]
pub(crate) struct Word {
    /// It is the very reading that it gave last: time, status and value are the same, so that it is stored already.
    pub(crate) same: bool,
    /// By how many microseconds it is late, where it is a change that shows so.
    pub(crate) late_micros: Option<i64>,
    /// Values that were said to stand when this one held already, as they have to be.
    pub(crate) corrected: Vec<Sample>,
}

/// Up to when it is known that a value holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// When the server last said so, on our clock.
    pub(crate) heard: Timestamp,
    /// How old a change can be when the server tells it: sampling and publishing; zero for a value that was read.
    pub(crate) told_within: Duration,
    /// How far the server's clock lies behind ours, in microseconds; negative when it is ahead.
    pub(crate) behind_micros: i64,
    /// How late changes of other points of the device come, where any were seen.
    pub(crate) shared_late_micros: Option<i64>,
    /// The time of the device that the server gave with the value when it was asked.
    pub(crate) read: Option<Timestamp>,
}

impl Known {
    /// By a server that was asked at `heard` for a value that it may have taken from the memory of its sampling.
    pub(crate) fn by_subscription(
        heard: Timestamp,
        told_within: Duration,
        behind_micros: i64,
    ) -> Self {
        let told_within = told_within + TRANSIT;
        Self { heard, told_within, behind_micros, shared_late_micros: None, read: None }
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
    /// Since when it does stand by its value, without a break, on our clock.
    holds_since: Timestamp,
    /// Whether the time of `last` is the device's.
    timed: bool,
    /// The latest time at which a value of the point was said.
    said: Option<Timestamp>,
    /// When it was last said that there is no value; nothing once a value of a later time was said.
    no_value_at: Option<Timestamp>,
    /// How late the last change came, by the device's time.
    change_late_micros: i64,
    lateness: Lateness,
    /// Changes that `lateness` is known by.
    changes: u8,
    /// The last values that were said to stand: their times, and when they were known to hold on our clock.
    said_to_stand: VecDeque<(Timestamp, Timestamp)>,
    /// How many of such values a late change corrected.
    corrected: usize,
    frozen: u8,
    behind: u8,
    blamed: Option<ClockFault>,
}

impl Standing {
    /// The server gives this value.
    pub(crate) fn hear(&mut self, sample: &Sample, timed: bool) -> Word {
        let known = self.last.as_ref().filter(|_| timed && self.timed);
        let same = known.is_some_and(|last| is_same_reading(last, sample));
        let mut word = Word { same, ..Word::default() };
        let is_same_value = self
            .last
            .as_ref()
            .is_some_and(|last| last.value.is_some() && last.value == sample.value);
        if let Some(last) = known.filter(|_| !same && self.holds && sample.value.is_some()) {
            let is_same_time = last.source_time == sample.source_time;
            // Another status of the same reading says nothing of its time.
            if !(is_same_value && is_same_time) {
                word.late_micros = self.judge(is_same_time, sample);
            }
        }
        self.correct(sample, timed, &mut word);
        let before = self.before.as_ref().filter(|_| timed);
        let as_before = before.is_some_and(|before| is_same_reading(before, sample));
        self.stood = as_before || (same && (self.stood || !self.holds));
        if !is_same_value || !self.holds {
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
        word
    }

    /// A change of an earlier time than values that were said to stand shows that they were none.
    fn correct(&mut self, sample: &Sample, timed: bool, word: &mut Word) {
        let (time, now) = (sample.source_time, sample.gateway_time);
        let before = self.before.as_ref().or(self.last.as_ref());
        let Some(before) = before.filter(|_| timed && self.timed) else { return };
        let Some(value) = sample.value.clone().filter(|_| time >= before.source_time) else {
            return;
        };
        let is_other = before.value.as_ref() != Some(&value);
        self.said_to_stand.retain(|(said, _)| *said > time);
        if !is_other {
            return;
        }
        for (said, heard) in &self.said_to_stand {
            let quality = without_overflow(sample.quality);
            word.corrected.push(Sample::new(sample.point, *said, now, quality, value.clone()));
            // When it was last known to hold, this change was under way.
            word.late_micros = word.late_micros.max(Some(heard.micros_since(time)));
        }
        if let Some(late_micros) = word.late_micros.filter(|_| !word.corrected.is_empty()) {
            self.lateness.see(late_micros, now);
            self.corrected = self.corrected.saturating_add(word.corrected.len());
        }
    }

    /// How many values that were said to stand were corrected so far.
    pub(crate) fn corrected(&self) -> usize {
        self.corrected
    }

    /// Whether the server says now, when it is asked, what it said last. Times do not count: some servers date a value when
    /// it is read.
    pub(crate) fn is_confirmed_by(&self, sample: &Sample) -> bool {
        let said = |sample: &Sample| (without_overflow(sample.quality), sample.value.clone());
        self.last.as_ref().is_some_and(|last| said(last) == said(sample))
    }

    /// Whether the server says now, when it is asked, the value that it said last, with whatever status and time.
    pub(crate) fn has_value_of(&self, sample: &Sample) -> bool {
        let last = self.last.as_ref().and_then(|last| last.value.as_ref());
        self.holds && last.is_some_and(|value| sample.value.as_ref() == Some(value))
    }

    /// By how many microseconds it is overdue that the value is said again in its slot; nothing while it is not due.
    pub(crate) fn overdue_micros(&self, known: Known) -> Option<i64> {
        let said = self.said.filter(|_| self.is_due(known) && !self.is_owed())?;
        Some(self.time(known).0.saturating_sub((slot(said) + 1) * micros(SLOT)))
    }

    /// Whether the point has a value, while the newest that was said of it is that it has none.
    pub(crate) fn is_owed(&self) -> bool {
        self.holds && self.no_value_at.is_some()
    }

    /// What a change shows of the device's times; gives how late it is, where it shows that.
    fn judge(&mut self, is_same_time: bool, sample: &Sample) -> Option<i64> {
        let late_micros = late(sample);
        let count = |times: u8, more: bool| if more { times.saturating_add(1) } else { 0 };
        self.frozen = count(self.frozen, is_same_time && late_micros > FROZEN_MIN_MICROS);
        self.behind = count(self.behind, late_micros > CLOCK_OFF_MAX_MICROS);
        self.change_late_micros = late_micros;
        // The time of a clock that stands still falls behind forever; that of one that goes by minutes does not.
        if is_same_time && late_micros > CLOCK_OFF_MAX_MICROS {
            return None;
        }
        self.changes = self.changes.saturating_add(1);
        self.lateness.see(late_micros, sample.gateway_time);
        Some(late_micros)
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
        let is_frozen = self.frozen >= SUSPECT_CHANGES
            && known.heard.micros_since(self.holds_since) < FROZEN_FORGIVEN_MICROS;
        let last = self.last.as_ref().filter(|_| self.holds && !is_frozen)?;
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
        if self.timed {
            if self.said_to_stand.len() == SAID_MAX {
                self.said_to_stand.pop_front();
            }
            self.said_to_stand.push_back((time, known.heard));
        }
        Some(sample)
    }

    fn time(&self, known: Known) -> Timestamp {
        let told_within = micros(known.told_within);
        let back = if self.timed {
            told_within.saturating_add(known.behind_micros).max(self.may_be_late(known))
        } else {
            told_within
        };
        let time = Timestamp(known.heard.0.saturating_sub(back));
        // The device's own word, where it is news: the value held then, and of what came after it nothing is known.
        let newest = self.said.max(self.no_value_at);
        let is_news = |read: &Timestamp| newest.is_some_and(|newest| slot(*read) > slot(newest));
        known.read.filter(|read| self.timed && is_news(read)).map_or(time, |read| read.min(time))
    }

    /// How late the next change may come, by the device's time.
    fn may_be_late(&self, known: Known) -> i64 {
        let shared = known.shared_late_micros.filter(|_| self.changes < OWN_CHANGES_MIN);
        let shared = shared.map(|late_micros| late_micros.min(SHARED_LATE_MAX_MICROS));
        let most = match self.lateness.most().max(shared) {
            Some(most) => most.saturating_add((most / 4).clamp(0, LATE_MARGIN_MAX_MICROS)),
            // A point that was Bad is waited for, and its change would have to come just then.
            None if self.is_owed() => 0,
            None => UNSEEN_LATE_MICROS,
        };
        most.max(self.change_late_micros)
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

fn slot(time: Timestamp) -> i64 {
    time.0.div_euclid(micros(SLOT))
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
