//! Replies with RTU frames that were believed in a round, and the samples made of them, so that they can be taken back
//! when more comes than was asked for. Must never send or wait for anything.
//!
//! A reply with RTU frames does not say what it answers. One to another master that comes between a request and its reply
//! is taken for that reply, which then looks like the reply to the next request of its shape, and so on: `r0` gets the
//! foreign values, `r40` those of `r0`. Nothing shows that but one reply too many at the end, so that all replies of its
//! shape in the round are taken back.

use std::ops::Range;

use crate::request::Request;
use crate::wire::Shape;

/// The replies of one round.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    given: Vec<Answer>,
    /// Those before it have their samples.
    claimed: usize,
}

#[derive(Debug)]
struct Answer {
    unit: u8,
    request: Request,
    /// It was an exception.
    is_refusal: bool,
    /// It showed that its unit is in step.
    is_probe: bool,
    is_doubtful: bool,
    /// Places of its samples among those of the round.
    samples: Range<usize>,
}

/// What is taken back because of a reply too many.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenBack {
    /// What was taken for a refusal of ours was none: this is the reply.
    pub(crate) was_refused: bool,
    /// A probe which showed nothing.
    pub(crate) probe: Option<Request>,
}

impl Answers {
    /// A reply was believed.
    pub(crate) fn note(&mut self, unit: u8, request: Request, is_refusal: bool, is_probe: bool) {
        let samples = 0..0;
        self.given.push(Answer {
            unit,
            request,
            is_refusal,
            is_probe,
            is_doubtful: false,
            samples,
        });
    }

    /// What is claimed next is made of replies that are still to come.
    pub(crate) fn begin(&mut self) {
        self.claimed = self.given.len();
    }

    /// These samples of the round were made of the replies since then.
    pub(crate) fn claim(&mut self, samples: &Range<usize>) {
        for answer in self.given.iter_mut().skip(self.claimed) {
            answer.samples = samples.clone();
        }
        self.begin();
    }

    /// Whether nothing was answered in this round.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// A reply came that is one too many: what it makes doubtful is taken back.
    pub(crate) fn take_back(&mut self, reply: Shape) -> TakenBack {
        let mut shape = reply;
        if reply.bytes.is_none() {
            // It can be the reply to the last request only, if it is one to ours at all.
            let last = self.given.iter().rfind(|answer| answer.unit == reply.unit);
            let last = last.map(|last| Shape::of(last.unit, last.request));
            match last.filter(|last| last.function == reply.function) {
                Some(last) => shape = last,
                None => return TakenBack { was_refused: false, probe: None },
            }
        }
        let fits = |answer: &Answer| Shape::of(answer.unit, answer.request) == shape;
        let refused = self.given.iter().position(|answer| fits(answer) && answer.is_refusal);
        let was_refused = refused.is_some() && reply.bytes.is_some();
        if let Some(at) = refused.filter(|_| was_refused) {
            self.given.remove(at);
            self.claimed = self.claimed.min(self.given.len());
        }
        let mut probe = None;
        for answer in &mut self.given {
            if Shape::of(answer.unit, answer.request) == shape {
                answer.is_doubtful = true;
                if answer.is_probe {
                    probe = Some(answer.request);
                }
            } else if probe.is_some() && answer.unit == shape.unit {
                // It was believed because of the probe.
                answer.is_doubtful = true;
            }
        }
        TakenBack { was_refused, probe }
    }

    /// Ends the round: the samples that have no value after all.
    pub(crate) fn take_doubtful(&mut self) -> Vec<Range<usize>> {
        self.claimed = 0;
        let given = std::mem::take(&mut self.given);
        given.into_iter().filter(|answer| answer.is_doubtful).map(|answer| answer.samples).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Area;

    fn request(start: u16, count: u16) -> Request {
        Request { area: Area::Holding, start, count }
    }

    fn reply(bytes: Option<usize>) -> Shape {
        Shape { unit: 1, function: 3, bytes }
    }

    #[test]
    fn one_reply_too_many_takes_back_all_of_its_shape() {
        let mut answers = Answers::default();
        for (start, count, samples) in [(0, 20, 0..20), (40, 20, 20..40), (80, 2, 40..42)] {
            answers.begin();
            answers.note(1, request(start, count), false, false);
            answers.claim(&samples);
        }
        answers.take_back(reply(Some(42)));
        let nothing = TakenBack { was_refused: false, probe: None };
        assert_eq!(answers.take_back(reply(Some(40))), nothing);
        assert_eq!(answers.take_doubtful(), [0..20, 20..40]);
        assert!(answers.is_empty() && answers.take_doubtful().is_empty());
    }

    #[test]
    fn a_refusal_too_many_takes_back_what_was_asked_last() {
        let mut answers = Answers::default();
        for (start, count, samples) in [(80, 2, 0..2), (0, 20, 2..22)] {
            answers.begin();
            answers.note(1, request(start, count), false, false);
            answers.claim(&samples);
        }
        answers.take_back(Shape { unit: 2, function: 3, bytes: None });
        answers.take_back(Shape { unit: 1, function: 4, bytes: None });
        answers.take_back(reply(None));
        assert_eq!(answers.take_doubtful(), [Range { start: 2, end: 22 }]);
    }

    #[test]
    fn the_reply_that_comes_after_a_refusal_shows_that_this_was_none() {
        let mut answers = Answers::default();
        answers.note(1, request(0, 20), true, false);
        answers.begin();
        answers.note(1, request(40, 20), false, false);
        answers.claim(&(0..20));
        assert!(answers.take_back(reply(Some(40))).was_refused);
        assert!(!answers.take_back(reply(Some(40))).was_refused, "that was said");
        assert_eq!(answers.take_doubtful(), [Range { start: 0, end: 20 }]);
    }

    #[test]
    fn what_was_believed_because_of_a_probe_is_taken_back_with_it() {
        let mut answers = Answers::default();
        answers.note(1, request(0, 1), false, true);
        answers.note(1, request(0, 20), false, false);
        answers.claim(&(0..20));
        answers.begin();
        answers.note(2, request(0, 20), false, false);
        answers.claim(&(20..40));
        assert_eq!(answers.take_back(reply(Some(2))).probe, Some(request(0, 1)));
        assert_eq!(answers.take_doubtful(), [0..20, 0..20]);
    }
}
