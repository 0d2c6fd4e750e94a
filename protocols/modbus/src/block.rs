//! One block of a device: points that one request reads, and what the device taught about its addresses. Must never know
//! whether the device is worth asking.
//!
//! A wrong address costs its own point and nothing else, however the device says so:
//!
//! | what comes | what is done |
//! |---|---|
//! | an exception that may be about an address (all but 5, 6, 10, 11) | the request is halved at once until the point is found, which is then left out |
//! | anything else: 5, 6, 10, 11, silence, the connection closed, a reply that does not fit | it may pass; what failed [`DIVIDE_AFTER`] rounds in a row while the device answered other requests is halved, and each piece rests by itself. That takes one step a round, or more where the interval of the poll group leaves time for it |
//!
//! A request that answers in two pieces and not as a whole was too long: what is left of the block is cut to the length
//! that was answered. What was divided is asked as a whole again after a minute, and then ever more seldom.

use std::ops::Range;
use std::time::Duration;

use driver::{Breaker, Fault};
use model::host::Clock;
use model::{Quality, Sample, Timestamp};

use crate::error::Refusal;
use crate::request::{Point, Request};

/// Shortest and longest time until what was divided or refused is tried as a whole again: it may have been a passing
/// fault.
const RELEARN_WAITS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));
/// Rounds in a row in which a request fails, while the device answers others, before it is divided.
const DIVIDE_AFTER: u32 = 3;
/// Pieces of a block that may be made while the device gives nothing at all: enough to halve 2000 bits down to one.
const BLIND_PARTS_MAX: usize = 12;

/// Points that one request reads, as long as the device accepts it.
#[derive(Clone)]
pub(crate) struct Block {
    /// Which of the device's points.
    pub(crate) points: Range<usize>,
    /// The poll group that it belongs to.
    pub(crate) interval: Duration,
    /// What its last reading brought.
    pub(crate) news: News,
    /// Whether it brought values.
    pub(crate) gave: bool,
    /// Whether one of its values was not plausible.
    pub(crate) is_implausible: bool,
    /// The registers that came last, by request.
    pub(crate) heard: Vec<(Request, Vec<u16>)>,
    /// Registers beside its own, of the other area too, that were read to find out what is wrong.
    pub(crate) beside: Vec<(Request, Vec<u16>)>,
    /// Why the first of its values that came could not be used.
    pub(crate) unusable: Option<Fault>,
    /// In this round the device refused a part of it that was not refused for its addresses.
    pub(crate) is_busy: bool,
    /// Polls that ended with it, since the device answered nothing.
    pub(crate) blamed: u32,
    /// What is asked by one request each, in the order of the points.
    pub(crate) parts: Vec<Part>,
    /// There while it is in parts, or was asked in parts without any success.
    pub(crate) lesson: Option<Lesson>,
}

/// What was last heard of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    /// It was not asked yet.
    NotAsked,
    /// All of its points, or no answer at all.
    NothingRefused,
    /// The first address that was refused.
    Refused(Request, Refusal),
}

/// Until when a block stays in its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lesson {
    /// When the whole is tried again.
    pub(crate) forget_at: Duration,
    /// How long after it was tried last.
    pub(crate) wait: Duration,
    /// Nothing at all was given when the parts were read one by one: this is about the device, and no address.
    pub(crate) hopeless: bool,
}

impl Lesson {
    /// Of what has just been divided.
    pub(crate) fn soon(now: Duration) -> Self {
        Self { forget_at: now + RELEARN_WAITS.0, wait: RELEARN_WAITS.0, hopeless: false }
    }

    /// Of what failed once more as a whole.
    pub(crate) fn longer(self, now: Duration) -> Self {
        let wait = (self.wait * 2).min(RELEARN_WAITS.1);
        Self { forget_at: now + wait, wait, hopeless: false }
    }

    /// What is known after a round; `anew`: a point was refused that was not refused before.
    ///
    /// A refusal that lasts is tried ever more seldom. One that is new may be a passing fault, such as a controller that
    /// is being programmed, and is soon tried again, however long the others have lasted.
    pub(crate) fn after(before: Option<Self>, anew: bool, relearned: bool, now: Duration) -> Self {
        let soon = Self::soon(now);
        match before {
            None => soon,
            Some(before) if anew && !relearned => {
                let forget_at = soon.forget_at.min(before.forget_at);
                Self { forget_at, wait: soon.wait, hopeless: before.hopeless }
            }
            Some(_) if anew => soon,
            Some(before) if relearned => before.longer(now),
            Some(before) => before,
        }
    }

    /// What is known after a round in which the parts were read one by one and none was given. It teaches nothing about
    /// the addresses, but only not to do that too often: until then what was known is asked, or the whole.
    pub(crate) fn after_nothing(before: Option<Self>, now: Duration) -> Self {
        let next = match before {
            Some(before) if before.hopeless => before.longer(now),
            _ => Self::soon(now),
        };
        Self { hopeless: true, ..next }
    }
}

/// Points that are read together, or a point that the device refuses.
#[derive(Clone)]
pub(crate) struct Part {
    /// Which of the device's points.
    pub(crate) points: Range<usize>,
    /// Why it is not asked.
    pub(crate) refused: Option<Refusal>,
    /// Registers or bits of the request that failed, of which this is a piece.
    piece_of: Option<u16>,
    /// Whether it was answered as it is.
    answered: bool,
    /// Rounds in a row in which it failed while the device answered something else.
    pub(crate) failures: u32,
    pub(crate) breaker: Breaker,
    pub(crate) now: Now,
}

/// How a part does in the round that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// It has its samples.
    Done,
    /// It is asked after all that are well.
    Waits,
    /// It has its samples, none with a value. `rests`: asking it costs time.
    Failed { quality: Quality, rests: bool },
}

impl Part {
    pub(crate) fn new(points: Range<usize>) -> Self {
        Self {
            points,
            refused: None,
            piece_of: None,
            answered: false,
            failures: 0,
            breaker: Breaker::default(),
            now: Now::Done,
        }
    }

    fn piece(points: Range<usize>, piece_of: Option<u16>) -> Self {
        Self { piece_of, ..Self::new(points) }
    }

    /// Whether it is a piece of what failed, and not yet known to be well.
    fn is_unproven_piece(&self) -> bool {
        self.piece_of.is_some() && !self.answered
    }

    /// Whether it is asked last, and one failure of such is enough for a round.
    pub(crate) fn is_suspect(&self) -> bool {
        self.failures > 0 || (self.is_unproven_piece() && self.refused.is_none())
    }

    fn is_to_be_divided(&self) -> bool {
        let enough = if self.is_unproven_piece() { 1 } else { DIVIDE_AFTER };
        self.points.len() > 1 && self.failures >= enough
    }

    /// It was answered; `whole`: by one request, which is what is known to be well then.
    pub(crate) fn note_answer(&mut self, whole: bool) {
        self.now = Now::Done;
        if whole {
            self.answered = true;
            self.failures = 0;
            self.breaker.note_answer();
        }
    }

    fn count(&self, points: &[Point]) -> u16 {
        let request = points.get(self.points.clone()).and_then(Request::covering);
        request.map_or(0, |request| request.count)
    }

    pub(crate) fn halves(&self, piece_of: Option<u16>) -> [Self; 2] {
        let middle = self.points.start + self.points.len() / 2;
        [self.points.start..middle, middle..self.points.end].map(|half| Self::piece(half, piece_of))
    }
}

impl Block {
    pub(crate) fn new(points: Range<usize>, interval: Duration) -> Self {
        Self {
            parts: vec![Part::new(points.clone())],
            points,
            interval,
            news: News::NotAsked,
            gave: false,
            is_implausible: false,
            heard: Vec::new(),
            beside: Vec::new(),
            unusable: None,
            is_busy: false,
            blamed: 0,
            lesson: None,
        }
    }

    /// The first refusal of a round is the one that is told.
    pub(crate) fn note_refused(&mut self, request: Request, refusal: Refusal) {
        if !matches!(self.news, News::Refused(..)) {
            self.news = News::Refused(request, refusal);
        }
    }

    /// Whether a point is one that is left out.
    pub(crate) fn is_refused(parts: &[Part], point: usize) -> bool {
        parts.iter().any(|part| part.refused.is_some() && part.points.contains(&point))
    }

    /// The parts that are still to be asked in this round: failures, points and place of each.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (u32, usize, usize)> + '_ {
        let parts = self.parts.iter().enumerate().filter(|(_, part)| part.now == Now::Waits);
        parts.map(|(at, part)| (part.failures, part.points.len(), at))
    }

    /// The first part of which a further question would tell more: one that fails and was not asked often enough, or an
    /// untried piece of one.
    pub(crate) fn undecided(&self) -> Option<usize> {
        self.parts.iter().position(|part| {
            let is_open = part.refused.is_none() && part.now == Now::Done && part.is_suspect();
            let enough =
                if part.points.len() == 1 || part.is_unproven_piece() { 1 } else { DIVIDE_AFTER };
            is_open && part.failures < enough
        })
    }

    /// The requests of its parts that may not be answered.
    pub(crate) fn suspects(&self, points: &[Point]) -> impl Iterator<Item = Request> {
        let suspects = self.parts.iter().filter(|part| part.is_suspect());
        suspects.filter_map(|part| Request::covering(points.get(part.points.clone())?))
    }

    /// Whether a part of it stays without an answer, so that it is asked only now and then.
    pub(crate) fn is_silent_in_part(&self) -> bool {
        self.parts.iter().any(|part| part.failures > 0 && part.breaker.is_failing())
    }

    /// Takes from a round what the next ones need to know. `alive`: the device answered something; `gave`: values.
    pub(crate) fn settle(&mut self, points: &[Point], alive: bool, gave: bool, clock: &dyn Clock) {
        let mut failed = false;
        for part in &mut self.parts {
            let Now::Failed { quality, rests } = std::mem::replace(&mut part.now, Now::Done) else {
                continue;
            };
            if !alive {
                continue;
            }
            failed = true;
            part.failures = part.failures.saturating_add(1);
            if rests {
                part.breaker.note_failure(quality, clock);
            } else {
                part.breaker.set_quality(quality);
            }
        }
        if failed && self.parts.iter().any(Part::is_to_be_divided) {
            self.divide(points, gave, clock.monotonic());
        }
        if self.parts.len() > 1 {
            self.cut_to_limit(points);
        }
    }

    fn divide(&mut self, points: &[Point], gave: bool, now: Duration) {
        let mut parts = Vec::with_capacity(self.parts.len() + 1);
        let mut room = if gave { usize::MAX } else { BLIND_PARTS_MAX - 1 };
        room = room.saturating_sub(self.parts.len() - 1);
        for part in self.parts.drain(..) {
            if part.is_to_be_divided() && room > 0 {
                room -= 1;
                parts.extend(part.halves(Some(part.count(points))));
            } else {
                parts.push(part);
            }
        }
        self.parts = parts;
        self.lesson.get_or_insert(Lesson::soon(now));
    }

    /// Two pieces that are answered, where the whole of them was not: it was too long, and no address was wrong.
    fn cut_to_limit(&mut self, points: &[Point]) {
        let evidence = self.parts.windows(2).find_map(|pair| {
            let [first, second] = pair else { return None };
            let both = first.answered && second.answered && first.piece_of == second.piece_of;
            let too_long = first.piece_of.filter(|_| both)?;
            Some((too_long, first.count(points).max(second.count(points))))
        });
        let Some((too_long, answered)) = evidence else { return };
        let parts = std::mem::take(&mut self.parts);
        for mut part in parts {
            if part.answered && part.piece_of == Some(too_long) {
                part.piece_of = None;
            }
            if !part.is_suspect() || part.count(points) < too_long {
                self.parts.push(part);
                continue;
            }
            let mut piece = part.points.start..part.points.start;
            for end in part.points.start + 1..=part.points.end {
                let longer = Part::new(piece.start..end);
                if longer.count(points) > answered && !piece.is_empty() {
                    self.parts.push(Part::new(piece));
                    piece = end - 1..end;
                } else {
                    piece.end = end;
                }
            }
            self.parts.push(Part::new(piece));
        }
    }
}

/// A sample for each of `points` that says why there is no value.
pub(crate) fn push_bad(
    points: &[Point],
    quality: Quality,
    now: Timestamp,
    samples: &mut Vec<Sample>,
) {
    samples.extend(points.iter().map(|p| Sample::without_value(p.index, now, now, quality)));
}
