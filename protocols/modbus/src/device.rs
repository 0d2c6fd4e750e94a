//! One device of a port: whether it, and which of its blocks, is worth asking now. Must never know the other devices.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use driver::{Breaker, Outcome, Polled, Round};
use model::host::Clock;
use model::{Sample, Timestamp};

use crate::block::{Block, News, Reader, push_bad};
use crate::client::{Client, Unit};
use crate::error::{Disposition, RequestError};
use crate::fault;
use crate::request::{Limits, Point, Request, plan, probes};

/// Blocks of one poll that may stay without an answer before the rest of the device is left for the next poll.
const SILENT_BLOCKS_MAX: u32 = 2;

/// A device and what is known of it.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) unit: u8,
    /// The unit id that its replies carry.
    reply_unit: u8,
    /// Poll group by poll group, sorted by address within each.
    /// Shared with the port that begins again after a failure: there may be very many.
    points: Arc<[Point]>,
    blocks: Vec<Block>,
    probes: Vec<Request>,
    request_gap: Duration,
    /// Whether it answered at its last poll; false before the first.
    answering: bool,
    breaker: Breaker,
}

impl Device {
    /// A device with its points, each with its poll interval.
    pub(crate) fn new(
        id: String,
        (unit, reply_unit): (u8, u8),
        points: &[(Point, Duration)],
        limits: &Limits,
        request_gap: Duration,
    ) -> Self {
        let mut intervals: Vec<Duration> = points.iter().map(|(_, interval)| *interval).collect();
        intervals.sort_unstable();
        intervals.dedup();
        let mut device = Self {
            id,
            unit,
            reply_unit,
            points: Arc::default(),
            blocks: Vec::new(),
            probes: Vec::new(),
            request_gap,
            answering: false,
            breaker: Breaker::default(),
        };
        let mut ordered = Vec::with_capacity(points.len());
        for interval in intervals {
            let of_group = points.iter().filter(|(_, other)| *other == interval);
            let mut group: Vec<Point> = of_group.map(|(point, _)| *point).collect();
            let first = ordered.len();
            for range in plan(&mut group, limits) {
                let range = first + range.start..first + range.end;
                device.blocks.push(Block::new(range, interval));
            }
            ordered.append(&mut group);
        }
        device.points = ordered.into();
        let ranges: Vec<_> = device.blocks.iter().map(|block| block.points.clone()).collect();
        device.probes = probes(&device.points, &ranges);
        device
    }

    /// The requests of one round of all poll groups, with their intervals.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (Request, Duration)> + '_ {
        self.blocks.iter().filter_map(|block| {
            let request = Request::covering(self.points.get(block.points.clone())?)?;
            Some((request, block.interval))
        })
    }

    /// The intervals of its poll groups, each once.
    pub(crate) fn intervals(&self) -> Vec<Duration> {
        let mut intervals: Vec<Duration> = self.blocks.iter().map(|block| block.interval).collect();
        intervals.dedup();
        intervals
    }

    fn of_group(&self, interval: Duration) -> impl Iterator<Item = &[Point]> + '_ {
        let blocks = self.blocks.iter().filter(move |block| block.interval == interval);
        blocks.filter_map(|block| self.points.get(block.points.clone()))
    }

    /// Says what is wrong with a device that answers: what was refused counts until it is asked again and given, in
    /// whichever poll group it is.
    fn tell_refusals(&self, all_asked: bool, round: &Round<'_, Client>) {
        let gives_others = self.blocks.iter().any(|block| block.gave);
        let refused = self.blocks.iter().find_map(|block| match block.news {
            News::Refused(request, refusal) => {
                Some(fault::refused(&self.id, request, refusal, gives_others))
            }
            _ => None,
        });
        let known = all_asked && !self.blocks.iter().any(|b| matches!(b.news, News::NotAsked));
        if refused.is_some() || known {
            round.link.observer.partly(&self.id, refused);
        }
    }

    /// Takes from a poll what the next ones need to know.
    fn conclude(
        &mut self,
        answered: bool,
        silent: &[usize],
        failure: Option<&RequestError>,
        round: &Round<'_, Client>,
        started: Duration,
    ) -> Outcome {
        let clock: &dyn Clock = round.link.clock.as_ref();
        let was_failing = self.breaker.is_failing();
        if let Some(error) = failure.filter(|_| !answered) {
            self.answering = false;
            if error.disposition() == Disposition::Reconnect {
                // No fault of the device; the client itself waits between its tries.
                self.breaker.set_quality(error.quality());
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
            if block.interval != round.interval {
                continue;
            }
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
        round: &Round<'_, Client>,
    ) {
        let place = fault::Place {
            device: &self.id,
            port: round.line.port(),
            unit: self.unit,
            serial: round.line.is_serial(),
            framing: round.line.framing(),
            others_answer: round.others_answer,
            only,
        };
        let fault = fault::silent(&place, error, tries);
        if only.is_some() {
            round.link.observer.partly(&self.id, Some(fault));
        } else {
            round.link.observer.failed(&self.id, fault);
        }
    }
}

#[async_trait]
impl Polled for Device {
    type Line = Client;

    fn id(&self) -> &str {
        &self.id
    }

    fn is_answering(&self) -> bool {
        self.answering
    }

    fn is_resting(&self) -> bool {
        self.breaker.is_open()
    }

    fn wake(&mut self) {
        self.breaker.wake();
    }

    fn rest(&self, interval: Duration, now: Timestamp, samples: &mut Vec<Sample>) {
        for points in self.of_group(interval) {
            push_bad(points, self.breaker.last_quality(), now, samples);
        }
    }

    async fn poll(&mut self, round: &mut Round<'_, Client>) -> Outcome {
        let clock = round.link.clock.clone();
        let started = clock.monotonic();
        if self.breaker.rests(started) {
            self.rest(round.interval, clock.now(), round.samples);
            return Outcome::Rested;
        }
        let tries_max = round.line.tries();
        let interval = round.interval;
        let mut reader = Reader {
            device: &self.id,
            unit: Unit {
                id: self.unit,
                reply_id: self.reply_unit,
                probes: &self.probes,
                gap: self.request_gap,
            },
            tries: tries_max,
            round,
        };
        let mut answered = false;
        let mut silent: Vec<usize> = Vec::new();
        let mut failure: Option<(RequestError, u32)> = None;
        let mut given_up = false;
        let mut all_asked = true;
        let blocks = self.blocks.iter_mut().enumerate();
        for (index, block) in blocks.filter(|(_, block)| block.interval == interval) {
            let points = self.points.get(block.points.clone()).unwrap_or_default();
            if block.breaker.rests(clock.monotonic()) {
                all_asked = false;
                let quality = block.breaker.last_quality();
                push_bad(points, quality, clock.now(), reader.round.samples);
                continue;
            }
            if let Some((error, _)) = failure.as_ref().filter(|_| given_up) {
                push_bad(points, error.quality(), clock.now(), reader.round.samples);
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
        if let Some((error, tries)) = &failure {
            let block = silent.first().filter(|_| answered).and_then(|i| self.blocks.get(*i));
            let only = block.and_then(|block| self.points.get(block.points.clone()));
            self.tell_failure(error, *tries, only.and_then(Request::covering), round);
        } else {
            self.tell_refusals(all_asked, round);
        }
        self.conclude(answered, &silent, failure.as_ref().map(|(error, _)| error), round, started)
    }
}
