//! One device of a port: its blocks, which of its addresses it refuses, and whether it is worth asking. Must never know
//! the other devices.

use std::ops::Range;
use std::time::Duration;

use driver::{Backoff, Fault, PortLink};
use model::{Quality, Sample, Timestamp};

use crate::client::{Client, chance};
use crate::codec::decode;
use crate::error::{Disposition, Refusal, RequestError};
use crate::fault;
use crate::request::{Limits, Point, Request, plan, probes};

/// Polls in a row without any answer after which a device is asked only now and then.
const FAILURES_TO_REST: u32 = 2;
/// Shortest and longest rest of a device that does not answer.
const RESTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Shortest and longest time until refused addresses are tried again: a refusal may have been a passing fault.
const RELEARN_WAITS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));

/// A device and what is known of it.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) unit: u8,
    points: Vec<Point>,
    blocks: Vec<Block>,
    probes: Vec<Request>,
    request_gap: Duration,
    /// Whether it answered at its last poll; false before the first.
    answering: bool,
    failures: u32,
    rest_until: Duration,
    backoff: Backoff,
    last_quality: Quality,
}

/// Points that one request reads, as long as the device accepts it.
struct Block {
    points: Range<usize>,
    learned: Option<Learned>,
}

/// What reading the parts of a refused block has taught.
struct Learned {
    parts: Vec<Part>,
    forget_at: Duration,
    wait: Duration,
}

/// Points that are read together, or a point that the device refuses.
struct Part {
    points: Range<usize>,
    refused: Option<Refusal>,
}

/// What a poll uses beside the device.
pub(crate) struct Asking<'a> {
    pub(crate) port: &'a str,
    pub(crate) client: &'a mut Client,
    pub(crate) link: &'a PortLink,
    /// Tries of a request to a device that answered last time.
    pub(crate) tries: u32,
    /// Whether another device of the port answers.
    pub(crate) others_answer: bool,
    pub(crate) samples: &'a mut Vec<Sample>,
}

/// How a poll went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answered; `back` when it had not before.
    Answered {
        /// It was silent before.
        back: bool,
    },
    /// It did not answer, which took so long.
    Silent {
        /// Time that others had to wait for it.
        cost: Duration,
    },
    /// It was not asked.
    Rested,
}

impl Device {
    pub(crate) fn new(
        id: String,
        unit: u8,
        mut points: Vec<Point>,
        limits: &Limits,
        request_gap: Duration,
    ) -> Self {
        let ranges = plan(&mut points, limits);
        let probes = probes(&points, &ranges);
        let block = |points| Block { points, learned: None };
        Self {
            id,
            unit,
            points,
            blocks: ranges.into_iter().map(block).collect(),
            probes,
            request_gap,
            answering: false,
            failures: 0,
            rest_until: Duration::ZERO,
            backoff: Backoff::new(RESTS.0, RESTS.1),
            last_quality: Quality::BAD_NOT_CONNECTED,
        }
    }

    /// The requests of one poll.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Request> + '_ {
        self.blocks
            .iter()
            .filter_map(|block| Request::covering(self.points.get(block.points.clone())?))
    }

    /// How many points it has.
    pub(crate) fn points_count(&self) -> usize {
        self.points.len()
    }

    /// Whether it answered at its last poll.
    pub(crate) fn is_answering(&self) -> bool {
        self.answering
    }

    /// Whether it is asked only now and then.
    pub(crate) fn is_resting(&self) -> bool {
        self.failures >= FAILURES_TO_REST
    }

    /// A device that is already known to be silent gets one try a poll.
    fn tries(&self, tries_max: u32) -> u32 {
        if self.failures == 0 { tries_max } else { 1 }
    }

    /// What kept it silent may be over, since another device came back: ask it soon.
    pub(crate) fn wake(&mut self) {
        self.rest_until = Duration::ZERO;
        self.backoff.reset();
    }

    /// Gives one sample for each point without asking.
    pub(crate) fn rest(&self, now: Timestamp, samples: &mut Vec<Sample>) -> Outcome {
        push_bad(&self.points, self.last_quality, now, samples);
        Outcome::Rested
    }

    /// Reads everything once and gives exactly one sample for each point.
    pub(crate) async fn poll(&mut self, asking: &mut Asking<'_>) -> Outcome {
        let clock = asking.link.clock.clone();
        let started = clock.monotonic();
        if self.is_resting() && started < self.rest_until {
            return self.rest(clock.now(), asking.samples);
        }
        let mut reader = Reader {
            device: &self.id,
            unit: self.unit,
            probes: &self.probes,
            gap: self.request_gap,
            tries: self.tries(asking.tries),
            asking,
            refused: None,
        };
        let mut silent: Option<RequestError> = None;
        for block in &mut self.blocks {
            if let Some(error) = &silent {
                let points = self.points.get(block.points.clone()).unwrap_or_default();
                push_bad(points, error.quality(), clock.now(), reader.asking.samples);
            } else {
                silent = reader.read_block(&self.points, block).await.err();
            }
        }
        let refused = reader.refused.take();
        let Some(error) = silent else {
            if let Some((request, refusal)) = refused {
                let fault = fault::refused(&self.id, request, refusal);
                asking.link.observer.failed(&self.id, fault);
            }
            let back = self.failures > 0;
            self.failures = 0;
            self.answering = true;
            self.backoff.reset();
            return Outcome::Answered { back };
        };
        self.note_silent(&error, started, asking)
    }

    fn note_silent(
        &mut self,
        error: &RequestError,
        started: Duration,
        asking: &Asking<'_>,
    ) -> Outcome {
        let fault = self.fault(error, asking);
        self.answering = false;
        asking.link.observer.failed(&self.id, fault);
        self.last_quality = error.quality();
        if error.disposition() == Disposition::Reconnect {
            // No fault of the device; the client itself waits between its tries.
            return Outcome::Rested;
        }
        self.failures = self.failures.saturating_add(1);
        let clock = asking.link.clock.as_ref();
        let now = clock.monotonic();
        if self.is_resting() {
            self.rest_until = now + self.backoff.after_failure(chance(clock));
        }
        Outcome::Silent { cost: now.saturating_sub(started) }
    }

    fn fault(&self, error: &RequestError, asking: &Asking<'_>) -> Fault {
        let tries = self.tries(asking.tries);
        let place = fault::Place {
            device: &self.id,
            port: asking.port,
            unit: self.unit,
            others_answer: asking.others_answer,
        };
        fault::silent(&place, error, tries)
    }
}

/// A samples for each of `points` that says why there is no value.
fn push_bad(points: &[Point], quality: Quality, now: Timestamp, samples: &mut Vec<Sample>) {
    samples.extend(points.iter().map(|p| Sample::without_value(p.index, now, now, quality)));
}

/// Reads the blocks of one device.
struct Reader<'a, 'b> {
    device: &'a str,
    unit: u8,
    probes: &'a [Request],
    gap: Duration,
    tries: u32,
    asking: &'a mut Asking<'b>,
    /// The first address that the device refused in this poll.
    refused: Option<(Request, Refusal)>,
}

impl Reader<'_, '_> {
    /// Reads a block, in parts where the device refuses the whole. A wrong address costs only its own point.
    ///
    /// # Errors
    /// That the device did not answer; its points have their samples all the same.
    async fn read_block(
        &mut self,
        points: &[Point],
        block: &mut Block,
    ) -> Result<(), RequestError> {
        let now = self.asking.link.clock.monotonic();
        let known = block.learned.take_if(|learned| now < learned.forget_at);
        let relearns = known.is_none();
        let wait = match (&known, &block.learned) {
            (Some(known), _) => known.wait,
            (None, Some(old)) => (old.wait * 2).min(RELEARN_WAITS.1),
            (None, None) => RELEARN_WAITS.0,
        };
        let forget_at = known.as_ref().map_or(now + wait, |known| known.forget_at);
        let mut todo = known.map_or_else(
            || vec![Part { points: block.points.clone(), refused: None }],
            |known| known.parts,
        );
        // Taken from the end, so the first part must stand last.
        todo.reverse();
        let mut parts: Vec<Part> = Vec::with_capacity(todo.len());
        let mut outcome = Ok(());
        while let Some(part) = todo.pop() {
            let run = points.get(part.points.clone()).unwrap_or_default();
            let Some(request) = Request::covering(run) else { continue };
            if let (Err(error), _) | (_, Some(error)) =
                (&outcome, part.refused.map(RequestError::from).as_ref())
            {
                self.push_bad(run, error.quality());
                if let (Ok(()), Some(refusal)) = (&outcome, part.refused) {
                    self.refused.get_or_insert((request, refusal));
                }
                parts.push(part);
                continue;
            }
            match self.read(request).await {
                Ok(words) => {
                    self.push_values(run, request, &words);
                    parts.push(part);
                }
                Err(RequestError::Refused(refusal))
                    if refusal.is_about_address() && run.len() > 1 =>
                {
                    let middle = part.points.start + run.len() / 2;
                    todo.push(Part { points: middle..part.points.end, refused: None });
                    todo.push(Part { points: part.points.start..middle, refused: None });
                }
                Err(RequestError::Refused(refusal)) if !refusal.is_from_converter() => {
                    self.push_bad(run, refusal.quality());
                    self.refused.get_or_insert((request, refusal));
                    let refused = refusal.is_about_address().then_some(refusal);
                    parts.push(Part { refused, ..part });
                }
                Err(error) => {
                    self.push_bad(run, error.quality());
                    parts.push(part);
                    outcome = Err(error);
                }
            }
        }
        let in_parts = parts.len() > 1 || parts.iter().any(|part| part.refused.is_some());
        block.learned = match (in_parts, &outcome) {
            (true, Ok(())) => Some(Learned { parts, forget_at, wait }),
            // Half a lesson is none: what was known before stays known.
            (true, Err(_)) if !relearns => Some(Learned { parts, forget_at, wait }),
            _ => None,
        };
        outcome
    }

    /// Asks, and asks again when there is no answer.
    async fn read(&mut self, request: Request) -> Result<Vec<u16>, RequestError> {
        let clock = self.asking.link.clock.clone();
        let mut tries_left = self.tries;
        loop {
            tries_left = tries_left.saturating_sub(1);
            let started = clock.monotonic();
            let result = self.asking.client.read(self.unit, request, self.probes, self.gap).await;
            let latency = clock.monotonic().saturating_sub(started);
            let again =
                |error: &RequestError| error.disposition() == Disposition::Retry && tries_left > 0;
            match &result {
                Err(error) if again(error) => continue,
                Err(error) if error.disposition() != Disposition::GiveUp => {}
                Ok(_) | Err(_) => self.asking.link.observer.answered(self.device, latency),
            }
            return result;
        }
    }

    fn push_bad(&mut self, run: &[Point], quality: Quality) {
        push_bad(run, quality, self.asking.link.clock.now(), self.asking.samples);
    }

    /// Source and gateway time are the time of the response: Modbus carries none.
    fn push_values(&mut self, run: &[Point], request: Request, words: &[u16]) {
        let now = self.asking.link.clock.now();
        self.asking.samples.extend(run.iter().map(|point| {
            let at = usize::from(point.address.start.saturating_sub(request.start));
            match decode(words.get(at..).unwrap_or_default(), &point.address, &point.scaling) {
                Ok(value) => Sample::new(point.index, now, now, Quality::GOOD, value),
                Err(quality) => Sample::without_value(point.index, now, now, quality),
            }
        }));
    }
}
