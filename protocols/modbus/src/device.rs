//! One device of a port: whether it, and which of its blocks, is worth asking now. Must never know the other devices.

use std::time::Duration;

use driver::{Backoff, PortLink};
use model::host::Clock;
use model::{Quality, Sample, Timestamp};

use crate::block::{Block, Reader, push_bad};
use crate::client::{Client, chance};
use crate::error::{Disposition, RequestError};
use crate::fault;
use crate::request::{Limits, Point, Request, plan, probes};

/// Failures in a row after which a device or a block is asked only now and then.
const FAILURES_TO_REST: u32 = 2;
/// Shortest and longest rest of what does not answer.
const RESTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Blocks of one poll that may stay without an answer before the rest of the device is left for the next poll.
const SILENT_BLOCKS_MAX: u32 = 2;

/// Decides when it is worth asking again what did not answer.
pub(crate) struct Breaker {
    failures: u32,
    rest_until: Duration,
    backoff: Backoff,
    last_quality: Quality,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 0,
            rest_until: Duration::ZERO,
            backoff: Backoff::new(RESTS.0, RESTS.1),
            last_quality: Quality::BAD_NOT_CONNECTED,
        }
    }
}

impl Breaker {
    /// Whether it is asked only now and then.
    fn is_open(&self) -> bool {
        self.failures >= FAILURES_TO_REST
    }

    /// Whether it is not asked at this time.
    fn rests(&self, now: Duration) -> bool {
        self.is_open() && now < self.rest_until
    }

    fn note_failure(&mut self, quality: Quality, clock: &dyn Clock) {
        self.failures = self.failures.saturating_add(1);
        self.last_quality = quality;
        if self.is_open() {
            self.rest_until = clock.monotonic() + self.backoff.after_failure(chance(clock));
        }
    }

    fn note_answer(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    /// Whatever is known to be silent gets one try.
    fn tries(&self, tries_max: u32) -> u32 {
        if self.failures == 0 { tries_max } else { 1 }
    }
}

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
    breaker: Breaker,
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
    /// It was not asked, or could not be.
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
        let blocks = ranges.into_iter().map(Block::new).collect();
        let breaker = Breaker::default();
        Self { id, unit, points, blocks, probes, request_gap, answering: false, breaker }
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
        self.breaker.is_open()
    }

    /// What kept it silent may be over, since another device came back: ask it soon.
    pub(crate) fn wake(&mut self) {
        self.breaker.rest_until = Duration::ZERO;
        self.breaker.backoff.reset();
    }

    /// Gives one sample for each point without asking.
    pub(crate) fn rest(&self, now: Timestamp, samples: &mut Vec<Sample>) -> Outcome {
        push_bad(&self.points, self.breaker.last_quality, now, samples);
        Outcome::Rested
    }

    /// Reads everything once and gives exactly one sample for each point.
    pub(crate) async fn poll(&mut self, asking: &mut Asking<'_>) -> Outcome {
        let clock = asking.link.clock.clone();
        let started = clock.monotonic();
        if self.breaker.rests(started) {
            return self.rest(clock.now(), asking.samples);
        }
        let tries_max = asking.tries;
        let mut reader = Reader {
            device: &self.id,
            unit: self.unit,
            probes: &self.probes,
            gap: self.request_gap,
            tries: tries_max,
            asking,
            refused: None,
        };
        let mut answered = false;
        let mut silent: Vec<usize> = Vec::new();
        let mut failure: Option<(RequestError, u32)> = None;
        let mut given_up = false;
        let mut all_asked = true;
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let points = self.points.get(block.points.clone()).unwrap_or_default();
            if block.breaker.rests(clock.monotonic()) {
                all_asked = false;
                let quality = block.breaker.last_quality;
                push_bad(points, quality, clock.now(), reader.asking.samples);
                continue;
            }
            if let Some((error, _)) = failure.as_ref().filter(|_| given_up) {
                push_bad(points, error.quality(), clock.now(), reader.asking.samples);
                continue;
            }
            // The first failure gets its tries; after it, this poll has no more time to lose.
            let known = self.breaker.tries(block.breaker.tries(tries_max));
            reader.tries = if failure.is_some() { 1 } else { known };
            match reader.read_block(&self.points, block).await {
                Ok(()) => answered = true,
                Err(error) => {
                    silent.push(index);
                    given_up = silent.len() >= SILENT_BLOCKS_MAX as usize
                        || error.disposition() == Disposition::Reconnect
                        || !(answered || self.answering);
                    failure.get_or_insert((error, reader.tries));
                }
            }
        }
        let refused = reader.refused.take();
        match (&failure, refused) {
            (Some((error, tries)), _) => {
                let block = silent.first().filter(|_| answered).and_then(|i| self.blocks.get(*i));
                let only = block.and_then(|block| self.points.get(block.points.clone()));
                self.tell_failure(error, *tries, only.and_then(Request::covering), asking);
            }
            (None, Some((request, refusal))) => {
                let fault = fault::refused(&self.id, request, refusal);
                asking.link.observer.partly(&self.id, Some(fault));
            }
            (None, None) if all_asked => asking.link.observer.partly(&self.id, None),
            (None, None) => {}
        }
        self.conclude(
            answered,
            &silent,
            failure.as_ref().map(|(error, _)| error),
            started,
            clock.as_ref(),
        )
    }

    /// Takes from a poll what the next ones need to know.
    fn conclude(
        &mut self,
        answered: bool,
        silent: &[usize],
        failure: Option<&RequestError>,
        started: Duration,
        clock: &dyn Clock,
    ) -> Outcome {
        let was_failing = self.breaker.failures > 0;
        if let Some(error) = failure.filter(|_| !answered) {
            self.answering = false;
            self.breaker.last_quality = error.quality();
            if error.disposition() == Disposition::Reconnect {
                // No fault of the device; the client itself waits between its tries.
                return Outcome::Rested;
            }
            self.breaker.note_failure(error.quality(), clock);
            return Outcome::Silent { cost: clock.monotonic().saturating_sub(started) };
        }
        if !answered {
            return Outcome::Rested;
        }
        self.answering = true;
        self.breaker.note_answer();
        for (index, block) in self.blocks.iter_mut().enumerate() {
            match failure {
                Some(error) if silent.contains(&index) => {
                    block.breaker.note_failure(error.quality(), clock);
                }
                _ if block.breaker.rests(started) => {}
                _ => block.breaker.note_answer(),
            }
        }
        Outcome::Answered { back: was_failing }
    }

    /// `only`: what it left unanswered while it answered the rest.
    fn tell_failure(
        &self,
        error: &RequestError,
        tries: u32,
        only: Option<Request>,
        asking: &Asking<'_>,
    ) {
        let place = fault::Place {
            device: &self.id,
            port: asking.port,
            unit: self.unit,
            serial: asking.client.is_serial(),
            others_answer: asking.others_answer,
            only,
        };
        let fault = fault::silent(&place, error, tries);
        if only.is_some() {
            asking.link.observer.partly(&self.id, Some(fault));
        } else {
            asking.link.observer.failed(&self.id, fault);
        }
    }
}
