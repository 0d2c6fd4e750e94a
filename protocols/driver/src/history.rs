//! Reading back what a server remembers of one point, until it meets what the subscription brings. Must never wait,
//! ask a clock or know a server: events come in, actions go out.
//!
//! **Cursor**: everything that the history holds before this time was read. **Mark**: everything that the server gave
//! up to this time was emitted; only the mark is kept on disk, and reading starts there after a restart of ours.
//!
//! Reading goes on *at* the cursor, not after it, because a server may cut a page between two values of one time, and
//! some cut without a continuation point. What was already seen at the cursor is in the border and not emitted again.
//! When a page brings nothing new, a look is taken from the next microsecond on. When nothing is there either, reading
//! rests. Else the page at the cursor is read again, for something of its time may have come in between; only when it
//! still brings nothing does the server cut within this one time, and only then is it passed over.
//!
//! **Horizon**: no time after it is believed yet, because a device's clock that stands ahead will be set back, and what
//! comes then must not lie behind cursor and mark. Of such values the first few are emitted and kept in the border; all
//! of them are read when the horizon has reached them.
//!
//! Live values move the mark only once read-back has *met* them: the history holds a live value of this subscription
//! at exactly its time, so everything before it was read and everything after it is coming in. A break, an overflow
//! or a gap ends that, and reading starts again at the cursor. Where the server samples or has no queue, values may be
//! missing between live ones without a word: there only pages move the mark. A history that logs at times of its own never meets the
//! live values; it is then read again every minute and alone moves the mark.
//!
//! **Once**: the cursor on disk is the mark with digests of the values that stand at it, so that a restart, which reads
//! *at* the mark, does not hand them over again. What a page and the subscription both bring is handed over once, by
//! whichever comes first. The live values
//! that lie at or after the cursor are remembered for that, and the last ones that pages brought, both in a bounded
//! number. Where there are more, some are handed over twice, which costs rows and changes no figure (INV-4).

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use model::{Cursor, Sample, Timestamp, Value};

/// How often a history that met the live values is read again, for values that sampling skipped.
pub const RECHECK_MET: Duration = Duration::from_mins(10);
/// Longest wait between two readings of a history that has not met the live values.
pub const RECHECK_UNMET: Duration = Duration::from_mins(1);
/// How long a server is left in peace that says that this point has no history.
pub const UNSUPPORTED_RETRY: Duration = Duration::from_mins(10);
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Pages without a new value that a server may send under one continuation point after another.
const EMPTY_CONTINUATIONS_MAX: u32 = 8;
/// Pages of values of the cursor's time that the border may hold.
const BORDER_PAGES_MAX: usize = 4;
/// Values beyond the horizon that are emitted and kept in the border.
const AHEAD_MAX: usize = 100;
/// Live values that are remembered until a page has passed them, unless the driver says how many.
const LIVE_REMEMBERED: usize = 1_024;
/// The newest values of pages that are remembered, for live values that come after them.
const PAGED_REMEMBERED: usize = 64;
/// Values at the mark whose digests go into its cursor; more than so many are handed over again after a restart.
const CURSOR_DIGESTS_MAX: usize = 8;
/// A cursor further ahead of our clock than this says that our clock is wrong, not that a device's was.
const DAY_MICROS: i64 = 86_400_000_000;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The point is subscribed to.
    Connected {
        /// The time of our clock.
        now: Timestamp,
        /// Whether the subscription brings each change, or says that it lost some. Otherwise live values never move
        /// the mark.
        every_change: bool,
    },
    /// The subscription is gone.
    Broken,
    /// Values of the subscription were lost before or among the next ones.
    Overflow,
    /// The subscription brought a value, or it was read.
    Live {
        /// The value.
        sample: Sample,
        /// Whether its time is the server's own, and the subscription brought it.
        timed: bool,
        /// No time after this one is believed yet.
        horizon: Timestamp,
    },
    /// A page was read.
    Page {
        /// Its values.
        samples: Vec<Sample>,
        /// Where the server goes on, if it said so.
        continuation: Option<Vec<u8>>,
        /// As in `Live`.
        horizon: Timestamp,
    },
    /// A page could not be read.
    Failed(Failure),
    /// The wait is over.
    Due,
}

/// Why a page could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It may work later.
    Temporary,
    /// The continuation point is no longer known to the server.
    ContinuationLost,
    /// The server keeps no history of this point, or not for us.
    Unsupported,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Read a page, and answer with `Page` or `Failed`. At most one is under way.
    Read {
        /// First time that is wanted.
        from: Timestamp,
        /// Where the server goes on, if it said so.
        continuation: Option<Vec<u8>>,
    },
    /// Hand over samples, and with them the mark if it moved.
    Emit {
        /// The samples.
        samples: Vec<Sample>,
        /// The mark that is true once they are durable.
        mark: Option<Timestamp>,
    },
    /// Answer with `Due` after this time; replaces an earlier wait.
    Wait(Duration),
    /// A page was filled by values of this one time: what else the server holds at it cannot be read.
    Crowded(Timestamp),
}

/// Reading back of one point.
#[derive(Debug, Clone)]
pub struct Tracker {
    page_size: usize,
    cursor: Timestamp,
    border: Vec<Sample>,
    mark: Option<Timestamp>,
    phase: Phase,
    meeting: Meeting,
    live_max: Option<Timestamp>,
    every_change: bool,
    rests: u32,
    failures: u32,
    live: Remembered,
    paged: Remembered,
    /// What an earlier run had handed over of the time of its mark.
    at_mark: VecDeque<(Timestamp, u32)>,
}

/// Samples that were handed over, the newest so many of them.
#[derive(Debug, Clone)]
struct Remembered {
    max: usize,
    samples: VecDeque<(Timestamp, u32)>,
}

impl Remembered {
    fn new(max: usize) -> Self {
        Self { max: max.max(1), samples: VecDeque::new() }
    }

    fn has(&self, sample: &Sample) -> bool {
        self.samples.contains(&fingerprint(sample))
    }

    fn add(&mut self, sample: &Sample) {
        if self.samples.len() == self.max {
            self.samples.pop_front();
        }
        self.samples.push_back(fingerprint(sample));
    }

    fn forget_before(&mut self, time: Timestamp) {
        self.samples.retain(|(at, _)| *at >= time);
        self.samples.shrink_to(self.samples.len() * 2);
    }

    /// Whether so many are remembered now that the next ones should be passed by a page soon.
    fn fills_up(&self) -> bool {
        self.samples.len() == self.max - self.max / 4
    }
}

/// Time, and a digest of status and value: the same for the same reading, in each version of this program.
fn fingerprint(sample: &Sample) -> (Timestamp, u32) {
    let digest = crc32c::crc32c(&sample.quality.0.to_le_bytes());
    let (form, value): (u8, &[u8]) = match &sample.value {
        None => (0, &[]),
        Some(Value::Decimal(mantissa)) => (1, &mantissa.to_le_bytes()),
        Some(Value::Float(value)) => (2, &value.to_bits().to_le_bytes()),
        Some(Value::Bool(value)) => (3, &[u8::from(*value)]),
        Some(Value::Text(text)) => (4, text.as_str().as_bytes()),
    };
    (sample.source_time, crc32c::crc32c_append(crc32c::crc32c_append(digest, &[form]), value))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Disconnected,
    /// `stale`: values were lost since this page was asked for, so that it does not show that nothing is missing.
    Reading {
        place: Place,
        empty_continuations: u32,
        stale: bool,
    },
    Resting,
}

/// Where a page begins, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the cursor.
    Cursor,
    /// After the cursor, only to see whether something is there.
    Look,
    /// At the cursor, knowing that there is something after it.
    CursorAgain,
    /// After the cursor, because the server cuts within the cursor's time.
    PassOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// No live value to look for.
    NoLiveValue,
    /// A live value of this time is looked for in the history. `found`: one was seen, but perhaps not yet all that the
    /// history holds at this time.
    Awaited { time: Timestamp, found: bool },
    /// Everything up to it was read.
    Met,
}

/// What a page brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// New values, or the horizon has reached some that were seen.
    Something,
    /// What was seen.
    Nothing,
    /// New values, none of which is believed or has room in the border.
    NoRoom,
}

impl Tracker {
    /// Reads back from the durable `mark`, or from `start` without one.
    pub fn new(mark: Option<Timestamp>, start: Timestamp, page_size: usize) -> Self {
        Self {
            page_size,
            cursor: mark.unwrap_or(start),
            border: Vec::new(),
            mark,
            phase: Phase::Disconnected,
            meeting: Meeting::NoLiveValue,
            live_max: None,
            every_change: false,
            rests: 0,
            failures: 0,
            live: Remembered::new(LIVE_REMEMBERED),
            paged: Remembered::new(PAGED_REMEMBERED),
            at_mark: VecDeque::new(),
        }
    }

    /// Reads back from a cursor that [`Self::to_cursor`] gave, or from `start` without one.
    pub fn resume(cursor: Option<&Cursor>, start: Timestamp, page_size: usize) -> Self {
        let mark = cursor.and_then(Cursor::time);
        let mut tracker = Self::new(mark, start, page_size);
        if let Some((cursor, mark)) = cursor.zip(mark) {
            let digests = cursor.as_str().split(' ').skip(1);
            let digests = digests.filter_map(|digest| u32::from_str_radix(digest, 16).ok());
            tracker.at_mark = digests.map(|digest| (mark, digest)).collect();
        }
        tracker
    }

    /// The mark as it is kept on disk: its time, and what was handed over of this time.
    #[must_use]
    pub fn to_cursor(&self) -> Option<Cursor> {
        let mark = self.mark?;
        let known = [&self.live.samples, &self.paged.samples, &self.at_mark];
        let known = known.into_iter().flatten().copied();
        let of_border = self.border.iter().map(fingerprint);
        let mut digests: Vec<u32> = of_border
            .chain(known)
            .filter(|(at, _)| *at == mark)
            .map(|(_, digest)| digest)
            .collect();
        digests.sort_unstable();
        digests.dedup();
        digests.truncate(CURSOR_DIGESTS_MAX);
        let mut text = mark.0.to_string();
        for digest in digests {
            write!(text, " {digest:08x}").expect("a String takes all");
        }
        Cursor::new(text)
    }

    /// Remembers so many live values instead: many points share the memory.
    #[must_use]
    pub fn remembering(mut self, live_values: usize) -> Self {
        self.live = Remembered::new(live_values);
        self
    }

    /// One step.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Connected { now, every_change } => {
                self.every_change = every_change;
                self.forget_live();
                if self.cursor.0.saturating_sub(now.0) <= DAY_MICROS {
                    self.cursor = self.cursor.min(now);
                }
                vec![self.read(Place::Cursor)]
            }
            Event::Broken => {
                self.forget_live();
                self.phase = Phase::Disconnected;
                Vec::new()
            }
            Event::Overflow => {
                self.forget_live();
                if let Phase::Reading { stale, .. } = &mut self.phase {
                    *stale = true;
                }
                self.read_if_resting()
            }
            Event::Live { sample, timed, horizon } => self.live(sample, timed, horizon),
            Event::Page { samples, continuation, horizon } => {
                self.page(samples, continuation, horizon)
            }
            Event::Failed(failure) => self.failed(failure),
            Event::Due => self.read_if_resting(),
        }
    }

    /// Whether read-back has met the live values of this subscription.
    #[cfg(test)]
    fn is_live(&self) -> bool {
        self.meeting == Meeting::Met
    }

    fn forget_live(&mut self) {
        self.meeting = Meeting::NoLiveValue;
        self.live_max = None;
        self.rests = 0;
    }

    fn read_if_resting(&mut self) -> Vec<Action> {
        if self.phase == Phase::Resting { vec![self.read(Place::Cursor)] } else { Vec::new() }
    }

    fn read(&mut self, place: Place) -> Action {
        self.phase = Phase::Reading { place, empty_continuations: 0, stale: false };
        let after = matches!(place, Place::Look | Place::PassOver);
        let from = Timestamp(self.cursor.0.saturating_add(i64::from(after)));
        Action::Read { from, continuation: None }
    }

    fn live(&mut self, sample: Sample, timed: bool, horizon: Timestamp) -> Vec<Action> {
        let time = sample.source_time;
        let before = self.mark;
        // A Bad value may hide one that the server learns later; only what can be used moves the mark.
        let counts = timed && !sample.quality.is_bad() && time <= horizon;
        if counts && self.phase != Phase::Disconnected {
            self.live_max = self.live_max.max(Some(time));
            if self.meeting == Meeting::NoLiveValue {
                let found = self.border.iter().any(|seen| seen.source_time == time);
                self.meeting = Meeting::Awaited { time, found };
            }
            self.move_mark();
        }
        let known = self.seen(&sample) || self.handed_over(&sample) || self.paged.has(&sample);
        let fills_up = !known && self.remember_live(&sample, counts);
        let samples: Vec<Sample> = Some(sample).filter(|_| !known).into_iter().collect();
        let mark = self.mark_if_moved(before);
        let something = !samples.is_empty() || mark.is_some();
        let mut actions: Vec<Action> =
            something.then_some(Action::Emit { samples, mark }).into_iter().collect();
        if fills_up {
            actions.extend(self.read_if_resting());
        }
        if counts
            && matches!(self.meeting, Meeting::Awaited { time: awaited, found: true } if awaited == time)
        {
            actions.extend(self.read_if_resting());
        }
        actions
    }

    /// Remembers a live value until pages have passed it; gives whether one should be read for that.
    fn remember_live(&mut self, sample: &Sample, counts: bool) -> bool {
        if counts
            && self.every_change
            && self.meeting == Meeting::Met
            && self.phase == Phase::Resting
            && sample.source_time > self.cursor
        {
            // Everything before it was handed over, and everything after it is coming in.
            self.cursor = sample.source_time;
            self.border.retain(|seen| seen.source_time >= sample.source_time);
            self.border.push(sample.clone());
            self.live.forget_before(self.cursor);
            return false;
        }
        self.live.add(sample);
        self.live.fills_up()
    }

    fn page(
        &mut self,
        mut samples: Vec<Sample>,
        continuation: Option<Vec<u8>>,
        horizon: Timestamp,
    ) -> Vec<Action> {
        let Phase::Reading { place, empty_continuations, stale } = self.phase else {
            return Vec::new();
        };
        self.failures = 0;
        samples.sort_by_key(|sample| sample.source_time);
        if stale && matches!(place, Place::Look | Place::PassOver) {
            // What was lost may lie at the cursor, which this page leaves out.
            return vec![self.read(Place::Cursor)];
        }
        if place == Place::Look {
            let more = samples.iter().any(|s| s.source_time <= horizon && !self.seen(s));
            return vec![if more { self.read(Place::CursorAgain) } else { self.rest() }];
        }
        let found = samples.len();
        let one_time = samples.iter().all(|sample| sample.source_time == self.cursor);
        let (taken, emit) = self.take(samples, continuation.is_none() && !stale, horizon);
        let nothing_new = taken != Taken::Something;
        let mut actions: Vec<Action> = emit.into_iter().collect();
        let empty_continuations = if nothing_new { empty_continuations + 1 } else { 0 };
        let go_on = taken != Taken::NoRoom && empty_continuations <= EMPTY_CONTINUATIONS_MAX;
        if continuation.is_some() && go_on {
            self.phase = Phase::Reading { place, empty_continuations, stale };
            actions.push(Action::Read { from: self.cursor, continuation });
        } else if !nothing_new || stale {
            actions.push(self.read(Place::Cursor));
        } else if place == Place::CursorAgain {
            let crowded = (found > 1 || taken == Taken::NoRoom) && one_time;
            actions.extend(crowded.then_some(Action::Crowded(self.cursor)));
            actions.push(self.read(Place::PassOver));
        } else if place == Place::Cursor && found > 0 {
            actions.push(self.read(Place::Look));
        } else {
            actions.push(self.rest());
        }
        actions
    }

    /// Takes over what a page brought; gives whether that was something, and what is to be handed over.
    fn take(
        &mut self,
        mut samples: Vec<Sample>,
        last: bool,
        horizon: Timestamp,
    ) -> (Taken, Option<Action>) {
        let before = (self.cursor, self.mark);
        if let Meeting::Awaited { time, found } = &mut self.meeting {
            *found |= samples.iter().any(|sample| sample.source_time == *time);
        }
        // What was seen counts too: it may have lain beyond the horizon when it was.
        let believed = samples.iter().map(|sample| sample.source_time).filter(|t| *t <= horizon);
        let believed = believed.max();
        samples.retain(|sample| sample.source_time >= self.cursor && !self.seen(sample));
        self.cursor = self.cursor.max(believed.unwrap_or(self.cursor));
        self.mark = self.mark.max(believed.map(|_| self.cursor));
        let fresh = samples.len();
        self.fill_border(&mut samples);
        let taken = if !samples.is_empty() || self.cursor != before.0 {
            Taken::Something
        } else if fresh > 0 {
            Taken::NoRoom
        } else {
            Taken::Nothing
        };
        // Also those that the subscription brought before: after a new connection it brings the current value again.
        let newest = samples.len().saturating_sub(PAGED_REMEMBERED);
        samples.iter().skip(newest).for_each(|sample| self.paged.add(sample));
        samples.retain(|sample| !self.handed_over(sample));
        self.live.forget_before(self.cursor);
        self.meet(taken == Taken::Nothing && last);
        self.move_mark();
        let mark = self.mark_if_moved(before.1);
        let something = !samples.is_empty() || mark.is_some();
        (taken, something.then_some(Action::Emit { samples, mark }))
    }

    fn handed_over(&self, sample: &Sample) -> bool {
        self.live.has(sample) || self.at_mark.contains(&fingerprint(sample))
    }

    fn seen(&self, sample: &Sample) -> bool {
        let same = |seen: &Sample| {
            (seen.source_time, seen.quality, &seen.value)
                == (sample.source_time, sample.quality, &sample.value)
        };
        self.border.iter().any(same)
    }

    /// Keeps in the border what lies at or after the cursor, and removes from `fresh` what has no room there: emitted
    /// without being kept, it would be emitted again by each page.
    fn fill_border(&mut self, fresh: &mut Vec<Sample>) {
        let cursor = self.cursor;
        self.border.retain(|sample| sample.source_time >= cursor);
        let ahead = self.ahead();
        let mut at_cursor_room =
            (self.page_size * BORDER_PAGES_MAX).saturating_sub(self.border.len() - ahead);
        let mut ahead_room = AHEAD_MAX.saturating_sub(ahead);
        fresh.retain(|sample| {
            let room = match sample.source_time.cmp(&cursor) {
                Ordering::Less => return true,
                Ordering::Equal => &mut at_cursor_room,
                Ordering::Greater => &mut ahead_room,
            };
            let kept = *room > 0;
            *room = room.saturating_sub(1);
            self.border.extend(kept.then(|| sample.clone()));
            kept
        });
    }

    /// Values in the border that are not believed yet.
    fn ahead(&self) -> usize {
        self.border.iter().filter(|sample| sample.source_time > self.cursor).count()
    }

    /// Decides whether the history has met the live value; `exhausted`: it holds nothing new at the cursor.
    fn meet(&mut self, exhausted: bool) {
        let Meeting::Awaited { time, found } = self.meeting else { return };
        if found && (self.cursor > time || exhausted) {
            self.meeting = Meeting::Met;
        } else if self.cursor > time {
            // The history went past the live value without it: the next one may be in both.
            self.meeting = Meeting::NoLiveValue;
        }
    }

    fn move_mark(&mut self) {
        if self.meeting == Meeting::Met && self.every_change {
            self.mark = self.mark.max(self.live_max);
        }
    }

    fn mark_if_moved(&self, before: Option<Timestamp>) -> Option<Timestamp> {
        self.mark.filter(|_| self.mark != before)
    }

    fn rest(&mut self) -> Action {
        self.phase = Phase::Resting;
        if self.meeting == Meeting::Met {
            return Action::Wait(RECHECK_MET);
        }
        // Live values of a clock that stands ahead are never met; its history is not in need of more haste for that.
        let wait_max = if self.ahead() > 0 { RECHECK_MET } else { RECHECK_UNMET };
        let wait = doubled(self.rests, wait_max);
        self.rests = self.rests.saturating_add(1);
        Action::Wait(wait)
    }

    fn failed(&mut self, failure: Failure) -> Vec<Action> {
        let Phase::Reading { empty_continuations, .. } = self.phase else {
            return Vec::new();
        };
        // A server that forgets each continuation point at once is not asked in a circle.
        if failure == Failure::ContinuationLost && empty_continuations == 0 {
            return vec![self.read(Place::Cursor)];
        }
        self.phase = Phase::Resting;
        let wait = if failure == Failure::Unsupported {
            UNSUPPORTED_RETRY
        } else {
            self.failures = self.failures.saturating_add(1);
            doubled(self.failures - 1, RECHECK_UNMET)
        };
        vec![Action::Wait(wait)]
    }
}

fn doubled(times: u32, max: Duration) -> Duration {
    FIRST_WAIT.saturating_mul(1 << times.min(16)).min(max)
}

#[cfg(test)]
mod tests;
