//! What is heard on a line with RTU frames that is no reply to the request under way: late replies, those to another
//! master, and one reply too many behind one that was not ours. Must never send anything.

use std::ops::Range;
use std::time::Duration;

use super::{Client, LATE_LIMITS, QUIET};
use crate::error::LinkError;
use crate::exchange::{Beside, Failure, Reply};
use crate::link::Drained;
use crate::request::Request;
use crate::wire::{Asked, Framing, Shape, rtu_replies, rtu_requests};

/// Longest time that the end of a round is listened to where the next one is due and no other master was heard.
const LISTEN_MAX: Duration = Duration::from_millis(100);

impl Client {
    /// How long a reply may be awaited that is still to come though nothing is owed: so many times as long as the slowest
    /// took.
    pub(super) fn settling_time(&self, times: u32) -> Duration {
        let quiet = QUIET + self.settings.link.wire_time(4);
        (self.slowest * times + quiet).min(self.settings.timeout)
    }

    /// An exception may have been another master's: before the next request of the same shape the reply is awaited that
    /// comes then.
    pub(super) async fn await_refused(&mut self, unit: u8, request: Request) {
        let Some((refused_unit, refused, at)) = self.refused.take() else { return };
        if refused_unit != unit || !refused.may_be_mistaken_for(request) {
            return;
        }
        let until = at + self.settling_time(2);
        if let Some(wait) = until.checked_sub(self.clock.monotonic()).filter(|w| !w.is_zero()) {
            self.listen_on(wait).await;
        }
    }

    /// Listens for so long to what nobody asked for.
    async fn listen_on(&mut self, time: Duration) {
        let Some(link) = &mut self.link else { return };
        let replies = link.replies;
        let last = link.last_heard.clone();
        match link.drain(time, time).await {
            Ok(drained) if drained.count > 0 => {
                self.note_unasked(&drained, &last);
                self.hush().await;
            }
            Ok(_) => {}
            Err(_) => {
                // After a whole reply, so nothing is owed.
                self.habits.note_closed(replies);
                self.link = None;
            }
        }
    }

    /// Ends a round: listens whether more comes than was asked for, as long as the slowest reply took, and twice as long
    /// where the next round is not due before (`spare`); without time to spare at most [`LISTEN_MAX`], unless another
    /// master was heard. Gives the places of the samples that have no value after all.
    pub(crate) async fn end_round(&mut self, spare: Duration) -> Vec<Range<usize>> {
        if self.answers.is_empty() {
            return Vec::new();
        }
        let slowest = self.settling_time(1);
        let time = if self.doubts.is_shared(None) {
            spare.clamp(slowest, self.settling_time(4))
        } else {
            spare.clamp(slowest.min(LISTEN_MAX), self.settling_time(2))
        };
        let silent = self.clock.monotonic().saturating_sub(self.last_frame);
        self.listen_on(time.saturating_sub(silent)).await;
        self.slowest -= self.slowest / 16;
        self.answers.take_doubtful()
    }

    /// What is asked from now on gives the samples that are claimed next.
    pub(crate) fn begin_samples(&mut self) {
        self.answers.begin();
    }

    /// These samples of the round were made of the replies since then.
    pub(crate) fn claim_samples(&mut self, samples: &Range<usize>) {
        self.answers.claim(samples);
    }

    /// Whether another master was heard that asks this unit.
    pub(crate) fn is_shared(&self, unit: u8) -> bool {
        self.framing() == Framing::Rtu && self.doubts.is_shared(Some(unit))
    }

    /// Bytes came that nobody asked for, behind `last`.
    pub(super) fn note_unasked(&mut self, drained: &Drained, last: &[u8]) {
        let mut is_noise = true;
        for (reply, frame) in rtu_replies(&drained.bytes) {
            is_noise &= !self.doubts.hear(reply) && !self.note_strange(reply, frame, last);
        }
        let own = self.link.as_ref().map(|link| link.last_sent.clone()).unwrap_or_default();
        for request in rtu_requests(&drained.bytes, &own) {
            self.note_foreign(request);
            is_noise = false;
        }
        if is_noise {
            self.noise.note(drained.count, self.clock.monotonic());
        }
    }

    /// A whole reply came that is none to the request that is under way, and that is not awaited: but for a double of the
    /// one in `last`, another master asked for it, or one of ours was taken for another's. Whether it is that.
    fn note_strange(&mut self, reply: Shape, frame: &[u8], last: &[u8]) -> bool {
        if last.windows(frame.len()).any(|part| part == frame) {
            return false;
        }
        if reply.bytes.is_none() && self.doubts.knows_foreign(reply) {
            self.note_foreign(reply);
            return true;
        }
        let taken = self.answers.take_back(reply);
        if let Some(probe) = taken.probe {
            self.note_unanswered(reply.unit, probe);
        }
        self.note_foreign(if taken.was_refused { reply.refusal() } else { reply });
        true
    }

    /// A reply is believed until more comes than was asked for; `foreign` was asked for by others meanwhile.
    pub(super) fn note_answer(
        &mut self,
        unit: u8,
        request: Request,
        (is_refusal, is_probe): (bool, bool),
        foreign: &[Shape],
    ) {
        self.refused = is_refusal.then_some((unit, request, self.last_frame));
        self.answers.note(unit, request, is_refusal, is_probe);
        let shape = Shape::of(unit, request);
        if foreign.contains(&shape) {
            // It may be the reply to that.
            self.answers.take_back(shape);
        }
    }

    /// Another master asks for a reply of this shape: it will come again.
    fn note_foreign(&mut self, reply: Shape) {
        self.noise.note_foreign(reply.unit, self.clock.monotonic());
        self.doubts.note_foreign(reply, self.settings.timeout * LATE_LIMITS);
    }

    /// Takes in what was heard in an exchange beside its reply. Gives its outcome with the better reason, and the replies
    /// that other masters asked for meanwhile.
    pub(super) fn look_beside(
        &mut self,
        asked: &Asked,
        mut outcome: Result<Reply, Failure>,
        beside: Beside,
        last: &[u8],
    ) -> (Result<Reply, Failure>, Vec<Shape>) {
        if beside.frames.is_empty() {
            return (outcome, Vec::new());
        }
        let due = Shape::of(asked.reply_unit, asked.request);
        let mut late = Vec::new();
        for (reply, frame) in rtu_replies(&beside.frames) {
            if self.doubts.hear(reply) {
                late.push(reply);
                continue;
            }
            // One that is too short may be all that the device has to say to this request.
            let may_be_its = outcome.is_err() && reply.unit == due.unit && reply.bytes <= due.bytes;
            if !may_be_its || self.doubts.knows_foreign(reply) {
                self.note_strange(reply, frame, last);
            }
        }
        let foreign = rtu_requests(&beside.frames, &asked.frame());
        for request in &foreign {
            self.note_foreign(*request);
        }
        if let Err(failure) = &mut outcome
            && matches!(failure.error, LinkError::Timeout { .. } | LinkError::Garbled { .. })
        {
            let Beside { frames, wrong } = beside;
            let not_late = wrong.into_iter().rev().find(|(_, place)| {
                let frame = rtu_replies(frames.get(place.clone()).unwrap_or_default());
                frame.first().is_none_or(|(reply, _)| !late.contains(reply))
            });
            if let Some((error, _)) = not_late {
                failure.error = error;
            }
        }
        (outcome, foreign)
    }
}
