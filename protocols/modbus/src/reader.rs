//! One reading of one device: which of its parts are asked, in which order, and what came of it. Must never know how often
//! a device is worth asking.

use std::time::Duration;

use driver::Round;
use model::{Quality, Sample};

use crate::block::{Block, Lesson, News, Now, Part, push_bad};
use crate::client::{Client, Unit, Way};
use crate::codec::{Unusable, decode};
use crate::error::{Disposition, LinkError, RequestError};
use crate::fault;
use crate::request::{Point, Request};

/// Requests of one poll that may stay without an answer before the rest of the device is left for the next poll.
const SILENT_REQUESTS_MAX: u32 = 2;
/// Part of the interval of a poll group that dividing what failed may take, beyond one step a round.
const DIVIDING_SHARE: u32 = 5;
/// Requests for it in one block and round at most, and those of them that fail.
const DIVIDING_MAX: (u32, u32) = (32, 4);

/// Why a device, or a part of it, gave no values in a round.
pub(crate) struct Failure {
    pub(crate) error: RequestError,
    pub(crate) tries: u32,
    pub(crate) request: Request,
}

/// One reading of one device, and how it goes.
pub(crate) struct Reader<'a, 'b> {
    pub(crate) device: &'a str,
    pub(crate) unit: Unit<'a>,
    /// Tries of the first request that gets no answer.
    pub(crate) tries: u32,
    pub(crate) round: &'a mut Round<'b, Client>,
    pub(crate) progress: Progress,
}

/// What a reading has brought so far.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "what happened, each independent of the others")]
pub(crate) struct Progress {
    /// Whether the device answered when it was last polled.
    pub(crate) was_answering: bool,
    /// It answered something in this round.
    pub(crate) alive: bool,
    /// A request began with asking it to show that it is in step.
    pub(crate) probed: bool,
    /// It gave values in this round, be it only to show that it is in step.
    pub(crate) gave: bool,
    /// Something was not asked that may be asked another time.
    pub(crate) left_out: bool,
    /// The first request without an answer.
    pub(crate) failure: Option<Failure>,
    /// It has had its chance: the rest of it is left for the next poll, with this quality.
    pub(crate) given_up: Option<Quality>,
    /// Requests without an answer.
    pub(crate) silent: u32,
    /// What was put together on trial failed: once a round is enough.
    pub(crate) trial_failed: bool,
    /// What has failed before failed again: once a round is enough.
    pub(crate) suspect_failed: bool,
}

impl Progress {
    fn note_failure(&mut self, error: RequestError, tries: u32, request: Request) {
        if matches!(error, RequestError::Refused(refusal) if !refusal.is_from_converter()) {
            // It answers; that it refuses is told by the block.
            return;
        }
        self.silent += 1;
        if self.silent >= SILENT_REQUESTS_MAX
            || error.disposition() == Disposition::Reconnect
            || !(self.alive || self.was_answering)
        {
            self.given_up.get_or_insert(error.quality());
        }
        self.failure.get_or_insert(Failure { error, tries, request });
    }
}

impl Reader<'_, '_> {
    /// Reads a block, in parts where the device refuses the whole. Every point has its sample then, but for those of the
    /// parts that wait.
    pub(crate) async fn read_block(&mut self, points: &[Point], block: &mut Block) {
        let now = self.now();
        block.news = News::NothingRefused;
        (block.gave, block.unusable, block.is_busy) = (false, None, false);
        block.is_implausible = false;
        block.heard.clear();
        let is_due = block.lesson.is_none_or(|lesson| now >= lesson.forget_at);
        let mut known = std::mem::take(&mut block.parts);
        let is_whole = known.len() == 1 && known.iter().all(|part| part.refused.is_none());
        let progress = &self.progress;
        let may_try = (progress.alive || progress.was_answering) && !progress.trial_failed;
        let mut relearns = is_due && (is_whole || may_try);
        let mut todo = if relearns && !is_whole {
            vec![Part::new(block.points.clone())]
        } else {
            std::mem::take(&mut known)
        };
        // Taken from the end, so the first part must stand last.
        todo.reverse();
        let mut parts: Vec<Part> = Vec::with_capacity(todo.len());
        let mut anew = false;
        while let Some(mut part) = todo.pop() {
            let run = points.get(part.points.clone()).unwrap_or_default();
            let Some(request) = Request::covering(run) else { continue };
            if let Some(quality) = self.progress.given_up {
                self.push_bad(run, quality);
                parts.push(part);
                continue;
            }
            if let Some(refusal) = part.refused {
                self.push_bad(run, refusal.quality());
                block.note_refused(request, refusal);
                parts.push(part);
                continue;
            }
            if part.is_suspect() {
                part.now = Now::Waits;
                parts.push(part);
                continue;
            }
            let tries = self.tries_now();
            let is_trial = !known.is_empty() && part.points == block.points;
            match self.read(run, request, if is_trial { 1 } else { tries }).await {
                Ok(answers) => {
                    self.push_values(block, run, &answers);
                    part.note_answer(answers.len() == 1);
                    parts.push(part);
                }
                Err(RequestError::Refused(refusal)) if refusal.may_be_about_address() => {
                    if relearns && run.len() > 1 {
                        todo.extend(part.halves(None).into_iter().rev());
                        continue;
                    }
                    self.push_bad(run, refusal.quality());
                    block.note_refused(request, refusal);
                    let before = if known.is_empty() { &parts } else { &known };
                    anew |= !Block::is_refused(before, part.points.start);
                    // Only a round that asks everything teaches: what it knew to be good is asked again at each poll.
                    part.refused = relearns.then_some(refusal);
                    parts.push(part);
                }
                Err(error) if is_trial && error.disposition() != Disposition::Reconnect => {
                    self.progress.trial_failed = true;
                    block.lesson = block.lesson.map(|lesson| lesson.longer(now));
                    relearns = false;
                    todo = std::mem::take(&mut known);
                    todo.reverse();
                }
                Err(error) => {
                    self.note_failed(block, &mut part, run, request, (error, tries));
                    parts.push(part);
                }
            }
        }
        self.learn(block, parts, known, relearns, anew);
    }

    /// Takes the lesson of a reading of all parts of a block.
    fn learn(
        &self,
        block: &mut Block,
        parts: Vec<Part>,
        known: Vec<Part>,
        relearned: bool,
        anew: bool,
    ) {
        let now = self.now();
        let is_known = !known.is_empty();
        if relearned && self.progress.given_up.is_some() && (is_known || parts.len() > 1) {
            // Half a lesson is none: when the device fell silent while it was asked anew, what was known before stays
            // known.
            block.parts = if is_known { known } else { vec![Part::new(block.points.clone())] };
            return;
        }
        let open = parts.iter().any(|part| part.now != Now::Done);
        if relearned && !block.gave && !open {
            block.lesson = Some(Lesson::after_nothing(block.lesson, now));
            block.parts = if is_known { known } else { vec![Part::new(block.points.clone())] };
            return;
        }
        let in_parts = parts.len() > 1 || parts.iter().any(|part| part.refused.is_some());
        let hopeless = !relearned && block.lesson.is_some_and(|lesson| lesson.hopeless);
        let lesson = Lesson::after(block.lesson, anew, relearned, now);
        block.lesson = (in_parts || hopeless).then_some(Lesson { hopeless, ..lesson });
        block.parts = parts;
    }

    /// Reads a part that failed before, or a piece of one; at most one of them fails in a round, or where the device says at once
    /// that it is busy, one in each block.
    pub(crate) async fn read_waiting(&mut self, points: &[Point], block: &mut Block, at: usize) {
        let now = self.now();
        let Some(mut part) = block.parts.get(at).cloned() else { return };
        part.now = Now::Done;
        let run = points.get(part.points.clone()).unwrap_or_default();
        let Some(request) = Request::covering(run) else { return };
        let given_up = self.progress.given_up;
        let enough = self.progress.suspect_failed || block.is_busy;
        if given_up.is_some() || enough || part.breaker.rests(now) {
            self.progress.left_out = true;
            let unasked =
                if part.failures > 0 { part.breaker.last_quality() } else { Quality::BAD_TIMEOUT };
            self.push_bad(run, given_up.unwrap_or(unasked));
        } else {
            match self.read(run, request, 1).await {
                Ok(answers) => {
                    self.push_values(block, run, &answers);
                    part.note_answer(answers.len() == 1);
                }
                Err(RequestError::Refused(refusal))
                    if refusal.may_be_about_address() && run.len() == 1 =>
                {
                    self.push_bad(run, refusal.quality());
                    block.note_refused(request, refusal);
                    block.lesson.get_or_insert(Lesson::soon(now));
                    (part.refused, part.failures) = (Some(refusal), 0);
                }
                Err(error) => {
                    // A device that is busy says so at once: that costs no time, and another block may be answered.
                    let is_quick = matches!(&error, RequestError::Refused(refusal) if !refusal.is_from_converter());
                    self.progress.suspect_failed |= !is_quick;
                    block.is_busy = is_quick;
                    self.note_failed(block, &mut part, run, request, (error, 1));
                }
            }
        }
        if let Some(place) = block.parts.get_mut(at) {
            *place = part;
        }
    }

    /// A part got no answer, or one that says nothing about its addresses.
    fn note_failed(
        &mut self,
        block: &mut Block,
        part: &mut Part,
        run: &[Point],
        request: Request,
        (error, tries): (RequestError, u32),
    ) {
        self.push_bad(run, error.quality());
        if matches!(error, RequestError::Link(LinkError::Doubtful { .. })) {
            self.progress.left_out = true;
            return;
        }
        let mut rests = true;
        if let RequestError::Refused(refusal) = &error {
            rests = refusal.is_from_converter();
            if !rests {
                block.note_refused(request, *refusal);
            }
        }
        part.now = Now::Failed { quality: error.quality(), rests };
        self.progress.note_failure(error, tries, request);
    }

    /// Tries of the next request: the first failure gets them all; after it, this poll has no more time to lose.
    fn tries_now(&self) -> u32 {
        if self.progress.failure.is_some() { 1 } else { self.tries }
    }

    /// Asks, and asks again when there is no answer. Gives the answers with what was asked for.
    async fn read(
        &mut self,
        run: &[Point],
        request: Request,
        tries: u32,
    ) -> Result<Vec<(Request, Vec<u16>)>, RequestError> {
        let clock = self.round.link.clock.clone();
        let mut tries_left = tries;
        loop {
            tries_left = tries_left.saturating_sub(1);
            let started = clock.monotonic();
            self.progress.probed |= self.round.line.must_probe(self.unit.id);
            let result = self.read_once(run, request).await;
            let latency = clock.monotonic().saturating_sub(started);
            let in_step = self.round.line.take_in_step();
            self.progress.gave |= in_step || result.is_ok();
            let answers = match &result {
                Ok(_) => true,
                Err(error) => in_step || error.disposition() == Disposition::GiveUp,
            };
            if answers {
                self.progress.alive = true;
                self.round.link.observer.answered(self.device, latency);
            }
            match result {
                Err(error) if error.disposition() == Disposition::Retry && tries_left > 0 => {}
                result => return result,
            }
        }
    }

    /// Reads what stands where a block would stand if its profile were wrong: in the other area, and one register beside
    /// it. What the device refuses is left out.
    pub(crate) async fn explore(&mut self, points: &[Point], block: &mut Block) {
        block.beside.clear();
        let run = points.get(block.points.clone()).unwrap_or_default();
        let Some(own) = Request::covering(run).filter(|own| !own.area.is_bits()) else { return };
        let other = Request { area: own.area.other(), ..own };
        let before = own.start.checked_sub(2).map(|start| Request { start, count: 2, ..own });
        let after =
            own.start.checked_add(own.count).map(|start| Request { start, count: 2, ..own });
        for request in [Some(other), before, after].into_iter().flatten() {
            if let Ok(words) = self.round.line.read(self.unit, request).await {
                block.beside.push((request, words));
            }
        }
    }

    /// Where a request failed and nothing was answered in this round: asks whether the device is there at all. A poll group
    /// may have no other request.
    pub(crate) async fn look_for_life(&mut self) {
        if self.progress.alive || self.progress.probed || self.progress.failure.is_none() {
            return;
        }
        if self.is_in_step().await {
            (self.progress.alive, self.progress.gave) = (true, true);
        }
    }

    /// Whether it shows that it is in step, which it must show.
    async fn is_in_step(&mut self) -> bool {
        let started = self.now();
        self.round.line.probe(self.unit).await;
        let in_step = self.round.line.take_in_step();
        if in_step {
            let latency = self.now().saturating_sub(started);
            self.round.link.observer.answered(self.device, latency);
        }
        in_step
    }

    /// Divides further what failed in this round, as long as the device answers its probes, so that it does not take hours in
    /// a poll group of minutes.
    pub(crate) async fn divide_further(&mut self, points: &[Point], block: &mut Block) {
        let clock = self.round.link.clock.clone();
        let until = clock.monotonic() + self.round.interval / DIVIDING_SHARE;
        let (asked_max, failed_max) = DIVIDING_MAX;
        let mut failed = 0;
        for _ in 0..asked_max {
            block.settle(points, true, self.progress.gave, clock.as_ref());
            if failed >= failed_max || clock.monotonic() + self.round.line.timeout() > until {
                return;
            }
            let Some(at) = block.undecided() else { return };
            let Some(mut part) = block.parts.get(at).cloned() else { return };
            let run = points.get(part.points.clone()).unwrap_or_default();
            let Some(request) = Request::covering(run) else { return };
            match self.read(run, request, 1).await {
                Ok(answers) => {
                    self.put_values(block, run, &answers);
                    part.note_answer(answers.len() == 1);
                }
                Err(RequestError::Link(LinkError::Doubtful { .. })) => return,
                Err(error) => {
                    failed += 1;
                    if error.disposition() == Disposition::Retry && !self.is_in_step().await {
                        return;
                    }
                    let rests = error.disposition() != Disposition::GiveUp;
                    part.now = Now::Failed { quality: error.quality(), rests };
                }
            }
            if let Some(place) = block.parts.get_mut(at) {
                *place = part;
            }
        }
    }

    /// Asks once: in two pieces while a late reply, or another master's, could be taken for the one to the whole.
    async fn read_once(
        &mut self,
        run: &[Point],
        request: Request,
    ) -> Result<Vec<(Request, Vec<u16>)>, RequestError> {
        let line = &mut *self.round.line;
        line.begin_samples();
        match line.way(self.unit.id, request, run) {
            Way::Whole => Ok(vec![(request, line.read(self.unit, request).await?)]),
            Way::Pieces(first, second) => {
                let words = line.read(self.unit, first).await?;
                Ok(vec![(first, words), (second, line.read(self.unit, second).await?)])
            }
            Way::Later(wait) => Err(LinkError::Doubtful { wait }.into()),
        }
    }

    fn now(&self) -> Duration {
        self.round.link.clock.monotonic()
    }

    fn push_bad(&mut self, run: &[Point], quality: Quality) {
        push_bad(run, quality, self.round.link.clock.now(), self.round.samples);
    }

    fn push_values(&mut self, block: &mut Block, run: &[Point], answers: &[(Request, Vec<u16>)]) {
        let values = self.values(block, run, answers);
        let first = self.round.samples.len();
        self.round.line.claim_samples(&(first..first + values.len()));
        self.round.samples.extend(values);
    }

    /// Puts values in the place of the samples without one that these points have in this round.
    fn put_values(&mut self, block: &mut Block, run: &[Point], answers: &[(Request, Vec<u16>)]) {
        let values = self.values(block, run, answers);
        let is_first = |sample: &Sample| run.first().is_some_and(|p| p.index == sample.point);
        let Some(first) = self.round.samples.iter().rposition(is_first) else { return };
        let places = first..first + values.len();
        if let Some(samples) = self.round.samples.get_mut(places.clone()) {
            samples.clone_from_slice(&values);
            self.round.line.claim_samples(&places);
        }
    }

    /// Source and gateway time are the time of the response: Modbus carries none.
    fn values(
        &self,
        block: &mut Block,
        run: &[Point],
        answers: &[(Request, Vec<u16>)],
    ) -> Vec<Sample> {
        block.gave = true;
        block.heard.extend_from_slice(answers);
        let now = self.round.link.clock.now();
        let mut samples = Vec::with_capacity(run.len());
        for point in run {
            let address = &point.address;
            let words = answers.iter().find_map(|(request, words)| {
                let at = address.start.checked_sub(request.start)?;
                words.get(usize::from(at)..).filter(|words| !words.is_empty())
            });
            let decoded = decode(words.unwrap_or_default(), address, &point.form);
            let sample = match decoded {
                Ok((value, quality)) => {
                    block.is_implausible |= !quality.is_good();
                    Sample::new(point.index, now, now, quality, value)
                }
                Err(unusable) => {
                    if block.unusable.is_none() && unusable != Unusable::Absent {
                        block.unusable = Some(fault::unusable(self.device, address, &unusable));
                    }
                    Sample::without_value(point.index, now, now, unusable.quality())
                }
            };
            samples.push(sample);
        }
        samples
    }
}
