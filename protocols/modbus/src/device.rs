//! One device of a port: whether it, and which of its blocks, is worth asking now. Must never know the other devices.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use driver::{Breaker, Fault, Outcome, Polled, Round};
use model::host::Clock;
use model::{Quality, Sample, Timestamp};

use crate::block::{Block, News, push_bad};
use crate::client::{Client, Unit};
use crate::error::Disposition;
use crate::fault;
use crate::plausibility::Meaning;
use crate::reader::{Failure, Progress, Reader};
use crate::request::{Limits, Point, Request, plan, probes};
use crate::suspicion::Suspicion;

/// Blocks of a device beside which more is read where that is asked for.
const EXPLORED_MAX: usize = 8;

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
    suspicion: Suspicion,
}

impl Device {
    /// A device with its points, each with its poll interval.
    pub(crate) fn new(
        id: String,
        (unit, reply_unit): (u8, u8),
        points: &[(Point, Duration)],
        limits: &Limits,
        request_gap: Duration,
        meaning: Meaning,
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
            suspicion: Suspicion::new(meaning),
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
    /// whichever poll group it is; so does a value that cannot be used.
    fn tell_refusals(&self, meant: Option<Fault>, left_out: bool, round: &Round<'_, Client>) {
        if self.blocks.iter().any(Block::is_silent_in_part) {
            // That was said, and is what comes first.
            return;
        }
        let gives_others = self.blocks.iter().any(|block| block.gave);
        let refused = self.blocks.iter().find_map(|block| match block.news {
            News::Refused(request, refusal) => {
                Some(fault::refused(&self.id, request, refusal, gives_others))
            }
            _ => None,
        });
        let shared = || self.is_shared(round).then(|| fault::shared(&self.place(round)));
        // Of registers that are not its own, some may be refused.
        let told = meant
            .or(refused)
            .or_else(|| self.blocks.iter().find_map(|block| block.unusable.clone()))
            .or_else(shared);
        let known = !left_out && !self.blocks.iter().any(|b| matches!(b.news, News::NotAsked));
        if told.is_some() || known {
            round.link.observer.partly(&self.id, told);
        }
    }

    /// Takes from a poll what the next ones need to know.
    fn conclude(
        &mut self,
        progress: &Progress,
        round: &Round<'_, Client>,
        started: Duration,
    ) -> Outcome {
        let clock: &dyn Clock = round.link.clock.as_ref();
        let was_failing = self.breaker.is_failing();
        let of_round = |block: &&mut Block| block.interval == round.interval;
        for block in self.blocks.iter_mut().filter(of_round) {
            block.settle(&self.points, progress.alive, progress.gave, clock);
        }
        if progress.alive {
            self.answering = true;
            self.breaker.note_answer();
            let mut of_group = self.blocks.iter().filter(|block| block.interval == round.interval);
            if progress.failure.is_some() && !of_group.any(|block| block.gave) {
                // It is there, but this poll was missed.
                return Outcome::Silent { cost: clock.monotonic().saturating_sub(started) };
            }
            return Outcome::Answered { back: was_failing };
        }
        let Some(Failure { error, request, .. }) = &progress.failure else {
            return Outcome::Rested;
        };
        self.answering = false;
        if error.disposition() == Disposition::Reconnect {
            // No fault of the device; the client itself waits between its tries.
            self.breaker.set_quality(error.quality());
            return Outcome::Rested;
        }
        // It may be this request that it does not answer: another one goes first the next time.
        let asked_first = |block: &&mut Block| {
            let points = self.points.get(block.points.clone()).unwrap_or_default();
            block.interval == round.interval
                && points.iter().any(|point| request.covers(&point.address))
        };
        if let Some(block) = self.blocks.iter_mut().find(asked_first) {
            block.blamed = block.blamed.saturating_add(1);
        }
        self.breaker.note_failure(error.quality(), clock);
        Outcome::Silent { cost: clock.monotonic().saturating_sub(started) }
    }

    /// The block that is asked first: while the device answers nothing, each in turn.
    fn first_block(&self, interval: Duration) -> usize {
        if self.answering {
            return 0;
        }
        let blocks = self.blocks.iter().enumerate();
        let of_group = blocks.filter(|(_, block)| block.interval == interval);
        of_group.min_by_key(|(_, block)| block.blamed).map_or(0, |(index, _)| index)
    }

    /// `alive`: it answers other requests.
    fn tell_failure(&self, failure: &Failure, alive: bool, round: &Round<'_, Client>) {
        let place = self.place(round);
        let place = fault::Place { only: alive.then_some(failure.request), ..place };
        let fault = fault::silent(&place, &failure.error, failure.tries);
        if alive {
            round.link.observer.partly(&self.id, Some(fault));
        } else {
            round.link.observer.failed(&self.id, fault);
        }
    }

    fn is_shared(&self, round: &Round<'_, Client>) -> bool {
        round.line.is_shared(self.reply_unit)
    }

    fn place<'a>(&'a self, round: &'a Round<'_, Client>) -> fault::Place<'a> {
        fault::Place {
            device: &self.id,
            port: round.line.port(),
            unit: self.unit,
            serial: round.line.is_serial(),
            framing: round.line.framing(),
            others_answer: round.others_answer,
            is_shared: self.is_shared(round),
            only: None,
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

    async fn end_round(line: &mut Client, spare: Duration) -> Vec<(Range<usize>, Quality)> {
        let doubtful = line.end_round(spare).await;
        doubtful.into_iter().map(|places| (places, Quality::BAD_DECODING_ERROR)).collect()
    }

    async fn poll(&mut self, round: &mut Round<'_, Client>) -> Outcome {
        let clock = round.link.clock.clone();
        let started = clock.monotonic();
        if self.breaker.rests(started) {
            self.rest(round.interval, clock.now(), round.samples);
            return Outcome::Rested;
        }
        let interval = round.interval;
        let first_sample = round.samples.len();
        let first = self.first_block(interval);
        let suspects = |block: &Block| block.suspects(&self.points).collect::<Vec<_>>();
        let avoid: Vec<Request> = self.blocks.iter().flat_map(suspects).collect();
        let mut reader = Reader {
            device: &self.id,
            unit: Unit {
                id: self.unit,
                reply_id: self.reply_unit,
                probes: &self.probes,
                avoid: &avoid,
                gap: self.request_gap,
            },
            tries: self.breaker.tries(round.line.tries()),
            round,
            progress: Progress { was_answering: self.answering, ..Progress::default() },
        };
        let (before, after) = self.blocks.split_at_mut(first);
        for block in after.iter_mut().chain(before).filter(|block| block.interval == interval) {
            if let Some(quality) = reader.progress.given_up {
                let points = self.points.get(block.points.clone()).unwrap_or_default();
                push_bad(points, quality, clock.now(), reader.round.samples);
                continue;
            }
            reader.read_block(&self.points, block).await;
        }
        // What has failed before comes last, where it costs nothing but itself.
        let mut waiting: Vec<(u32, usize, usize, usize)> = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            waiting.extend(block.waiting().map(|(failures, len, at)| (failures, len, index, at)));
        }
        waiting.sort_unstable();
        for (.., index, at) in waiting {
            if let Some(block) = self.blocks.get_mut(index) {
                reader.read_waiting(&self.points, block, at).await;
            }
        }
        reader.look_for_life().await;
        if reader.progress.alive && reader.progress.failure.is_some() {
            for block in self.blocks.iter_mut().filter(|block| block.interval == interval) {
                reader.divide_further(&self.points, block).await;
            }
        }
        if reader.round.link.explores && reader.progress.alive {
            let of_group = self.blocks.iter_mut().filter(|block| block.interval == interval);
            for block in of_group.take(EXPLORED_MAX) {
                reader.explore(&self.points, block).await;
            }
        }
        let progress = reader.progress;
        let samples = round.samples.get_mut(first_sample..).unwrap_or_default();
        let parts = (&*self.points, self.blocks.as_slice());
        let meant = self.suspicion.judge(&self.id, parts, samples, clock.monotonic());
        match &progress.failure {
            Some(failure) => self.tell_failure(failure, progress.alive, round),
            None => self.tell_refusals(meant, progress.left_out, round),
        }
        self.conclude(&progress, round, started)
    }
}
