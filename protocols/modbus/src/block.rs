//! One block of a device: points that one request reads, and what the device taught about its addresses. Must never know
//! whether the device is worth asking.

use std::ops::Range;
use std::time::Duration;

use driver::{Breaker, Round};
use model::{Quality, Sample, Timestamp};

use crate::client::{Client, Unit};
use crate::codec::decode;
use crate::error::{Disposition, Refusal, RequestError};
use crate::request::{Point, Request};

/// Shortest and longest time until refused addresses are tried again: a refusal may have been a passing fault.
const RELEARN_WAITS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));

/// Points that one request reads, as long as the device accepts it.
#[derive(Clone)]
pub(crate) struct Block {
    /// Which of the device's points.
    pub(crate) points: Range<usize>,
    /// The poll group that it belongs to.
    pub(crate) interval: Duration,
    /// Whether the device answers it: some keep silent on addresses that they do not have.
    pub(crate) breaker: Breaker,
    /// What its last reading brought.
    pub(crate) news: News,
    /// Whether it brought values.
    pub(crate) gave: bool,
    learned: Option<Learned>,
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

/// What reading the parts of a refused block has taught.
#[derive(Clone)]
struct Learned {
    parts: Vec<Part>,
    forget_at: Duration,
    wait: Duration,
    /// Nothing at all was given when the parts were read one by one: this is about the device, and no address.
    hopeless: bool,
}

impl Learned {
    fn refuses(&self, point: usize) -> bool {
        self.parts.iter().any(|part| part.refused.is_some() && part.points.contains(&point))
    }

    /// What is known after a round; `anew`: a point was refused that was not refused before.
    ///
    /// A refusal that lasts is tried ever more seldom. One that is new may be a passing fault, such as a controller that
    /// is being programmed, and is soon tried again, however long the others have lasted.
    fn after(
        before: Option<Self>,
        parts: Vec<Part>,
        anew: bool,
        relearned: bool,
        now: Duration,
    ) -> Option<Self> {
        let soon = (RELEARN_WAITS.0, now + RELEARN_WAITS.0);
        let hopeless = !relearned && before.as_ref().is_some_and(|before| before.hopeless);
        let (wait, forget_at) = match before {
            None => soon,
            Some(before) if anew && !relearned => (soon.0, soon.1.min(before.forget_at)),
            Some(_) if anew => soon,
            Some(before) if relearned => before.longer(now),
            Some(before) => (before.wait, before.forget_at),
        };
        let in_parts = parts.len() > 1 || parts.iter().any(|part| part.refused.is_some());
        (in_parts || hopeless).then_some(Self { parts, forget_at, wait, hopeless })
    }

    /// What is known after a round in which the parts were read one by one and none was given. It teaches nothing about
    /// the addresses, but only not to do that too often: until then what was known is asked, or the whole.
    fn after_nothing(before: Option<Self>, whole: Range<usize>, now: Duration) -> Self {
        let soon = (RELEARN_WAITS.0, now + RELEARN_WAITS.0);
        let (wait, forget_at) = match &before {
            Some(before) if before.hopeless => before.longer(now),
            _ => soon,
        };
        let parts = before
            .map_or_else(|| vec![Part { points: whole, refused: None }], |before| before.parts);
        Self { parts, forget_at, wait, hopeless: true }
    }

    fn longer(&self, now: Duration) -> (Duration, Duration) {
        let wait = (self.wait * 2).min(RELEARN_WAITS.1);
        (wait, now + wait)
    }
}

/// Points that are read together, or a point that the device refuses.
#[derive(Clone)]
struct Part {
    points: Range<usize>,
    refused: Option<Refusal>,
}

impl Block {
    pub(crate) fn new(points: Range<usize>, interval: Duration) -> Self {
        let (breaker, news) = (Breaker::default(), News::NotAsked);
        Self { points, interval, breaker, news, gave: false, learned: None }
    }
}

impl Block {
    fn note_refused(&mut self, request: Request, refusal: Refusal) {
        if !matches!(self.news, News::Refused(..)) {
            self.news = News::Refused(request, refusal);
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

/// Reads the blocks of one device.
pub(crate) struct Reader<'a, 'b> {
    pub(crate) device: &'a str,
    pub(crate) unit: Unit<'a>,
    pub(crate) tries: u32,
    pub(crate) round: &'a mut Round<'b, Client>,
}

impl Reader<'_, '_> {
    /// Reads a block, in parts where the device refuses the whole. A wrong address costs only its own point.
    ///
    /// # Errors
    /// That the device did not answer; its points have their samples all the same.
    pub(crate) async fn read_block(
        &mut self,
        points: &[Point],
        block: &mut Block,
    ) -> Result<(), RequestError> {
        let now = self.round.link.clock.monotonic();
        let before = block.learned.take();
        let relearns = before.as_ref().is_none_or(|learned| now >= learned.forget_at);
        let mut todo = match &before {
            Some(known) if !relearns => known.parts.clone(),
            _ => vec![Part { points: block.points.clone(), refused: None }],
        };
        // Taken from the end, so the first part must stand last.
        todo.reverse();
        let mut parts: Vec<Part> = Vec::with_capacity(todo.len());
        let mut anew = false;
        let mut outcome = Ok(());
        block.news = News::NothingRefused;
        block.gave = false;
        while let Some(part) = todo.pop() {
            let run = points.get(part.points.clone()).unwrap_or_default();
            let Some(request) = Request::covering(run) else { continue };
            if let Err(error) = &outcome {
                self.push_bad(run, RequestError::quality(error));
                parts.push(part);
                continue;
            }
            if let Some(refusal) = part.refused {
                self.push_bad(run, refusal.quality());
                block.note_refused(request, refusal);
                parts.push(part);
                continue;
            }
            match self.read(request).await {
                Ok(words) => {
                    block.gave = true;
                    self.push_values(run, request, &words);
                    parts.push(part);
                }
                Err(RequestError::Refused(refusal))
                    if relearns && refusal.may_be_about_address() && run.len() > 1 =>
                {
                    let middle = part.points.start + run.len() / 2;
                    todo.push(Part { points: middle..part.points.end, refused: None });
                    todo.push(Part { points: part.points.start..middle, refused: None });
                }
                Err(RequestError::Refused(refusal)) if !refusal.is_from_converter() => {
                    self.push_bad(run, refusal.quality());
                    block.note_refused(request, refusal);
                    let about_address = refusal.may_be_about_address();
                    let known = before.as_ref().is_some_and(|b| b.refuses(part.points.start));
                    anew |= about_address && !known;
                    // Only a round that asks everything teaches: what it knew to be good is asked again at each poll.
                    let refused = (relearns && about_address).then_some(refusal);
                    parts.push(Part { refused, ..part });
                }
                Err(error) => {
                    self.push_bad(run, error.quality());
                    parts.push(part);
                    outcome = Err(error);
                }
            }
        }
        // Half a lesson is none: when the device fell silent while it was asked anew, what was known before stays known.
        block.learned = if outcome.is_err() && relearns {
            before
        } else if relearns && !block.gave {
            Some(Learned::after_nothing(before, block.points.clone(), now))
        } else {
            Learned::after(before, parts, anew, relearns, now)
        };
        outcome
    }

    /// Asks, and asks again when there is no answer.
    async fn read(&mut self, request: Request) -> Result<Vec<u16>, RequestError> {
        let clock = self.round.link.clock.clone();
        let mut tries_left = self.tries;
        loop {
            tries_left = tries_left.saturating_sub(1);
            let started = clock.monotonic();
            let result = self.round.line.read(self.unit, request).await;
            let latency = clock.monotonic().saturating_sub(started);
            let again =
                |error: &RequestError| error.disposition() == Disposition::Retry && tries_left > 0;
            match &result {
                Err(error) if again(error) => continue,
                Err(error) if error.disposition() != Disposition::GiveUp => {}
                Ok(_) | Err(_) => self.round.link.observer.answered(self.device, latency),
            }
            return result;
        }
    }

    fn push_bad(&mut self, run: &[Point], quality: Quality) {
        push_bad(run, quality, self.round.link.clock.now(), self.round.samples);
    }

    /// Source and gateway time are the time of the response: Modbus carries none.
    fn push_values(&mut self, run: &[Point], request: Request, words: &[u16]) {
        let now = self.round.link.clock.now();
        self.round.samples.extend(run.iter().map(|point| {
            let at = usize::from(point.address.start.saturating_sub(request.start));
            match decode(words.get(at..).unwrap_or_default(), &point.address, &point.form) {
                Ok((value, quality)) => Sample::new(point.index, now, now, quality, value),
                Err(quality) => Sample::without_value(point.index, now, now, quality),
            }
        }));
    }
}
