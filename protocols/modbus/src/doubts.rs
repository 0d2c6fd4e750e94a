//! Requests whose replies may still come on a link without transaction ids, so that none of them is taken for the reply to
//! another request. Must never send or wait for anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::host::Clock;

use crate::request::Request;
use crate::wire::Shape;

/// Requests that are remembered; the oldest is forgotten first.
const DOUBTS_MAX: usize = 64;
/// How long replies of a shape that another master was given are kept in mind: masters ask every second or every hour.
const FOREIGN_KEPT: Duration = Duration::from_hours(2);

/// What is owed on a link, whichever unit owes it.
pub(crate) struct Doubts {
    clock: Arc<dyn Clock>,
    open: Vec<Doubt>,
    /// Replies that another master asks for.
    foreign: HashMap<Shape, Foreign>,
    /// How long the last late reply of a unit took, until one comes in time.
    late: HashMap<u8, Duration>,
}

/// Until when another master's reply is taken into account.
struct Foreign {
    /// It is about to come again: nothing to which it would fit is asked.
    soon: Duration,
    /// It may come again: where there is a choice, nothing to which it would fit is asked.
    some_day: Duration,
}

struct Doubt {
    unit: u8,
    request: Request,
    sent: Duration,
    until: Duration,
}

impl Doubts {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, open: Vec::new(), foreign: HashMap::new(), late: HashMap::new() }
    }

    /// A request that was sent at `sent` got no reply, which may come until `until`.
    pub(crate) fn note(&mut self, unit: u8, request: Request, sent: Duration, until: Duration) {
        let now = self.clock.monotonic();
        self.open.retain(|doubt| now < doubt.until);
        if self.open.len() >= DOUBTS_MAX {
            self.open.remove(0);
        }
        self.open.push(Doubt { unit, request, sent, until });
    }

    /// How long a late reply may still come that would be taken for the one to this request; `None` when none can.
    pub(crate) fn wait(&self, unit: u8, request: Request) -> Option<Duration> {
        if self.open.is_empty() && self.foreign.is_empty() {
            return None;
        }
        let now = self.clock.monotonic();
        let fits =
            |doubt: &&Doubt| doubt.unit == unit && doubt.request.may_be_mistaken_for(request);
        let late = self.open.iter().filter(fits).map(|doubt| doubt.until);
        let foreign = self.foreign.get(&Shape::of(unit, request)).map(|foreign| foreign.soon);
        let until = late.chain(foreign).max()?;
        until.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Whether another request is better: a reply that is not the one to it would fit, or has fitted not long ago.
    pub(crate) fn avoids(&self, unit: u8, request: Request) -> bool {
        if self.open.is_empty() && self.foreign.is_empty() {
            return false;
        }
        self.is_foreign(unit, request) || self.wait(unit, request).is_some()
    }

    /// Whether another master was given a reply that would fit, not long ago.
    pub(crate) fn is_foreign(&self, unit: u8, request: Request) -> bool {
        self.knows_foreign(Shape::of(unit, request))
    }

    /// Whether another master was given a reply of this shape, not long ago.
    pub(crate) fn knows_foreign(&self, reply: Shape) -> bool {
        let foreign = self.foreign.get(&reply);
        foreign.is_some_and(|foreign| self.clock.monotonic() < foreign.some_day)
    }

    /// Whether another master was heard not long ago; with a unit: one that asks this.
    pub(crate) fn is_shared(&self, unit: Option<u8>) -> bool {
        let now = self.clock.monotonic();
        let of_unit = |shape: &Shape| unit.is_none_or(|unit| unit == shape.unit);
        self.foreign.iter().any(|(shape, foreign)| of_unit(shape) && now < foreign.some_day)
    }

    /// Some other master asks for replies of this shape, and they are expected again for `time`.
    pub(crate) fn note_foreign(&mut self, reply: Shape, time: Duration) {
        let now = self.clock.monotonic();
        self.foreign.retain(|_, foreign| now < foreign.some_day);
        if self.foreign.len() < DOUBTS_MAX || self.foreign.contains_key(&reply) {
            let soon = now.saturating_add(time);
            let foreign = Foreign { soon, some_day: now.saturating_add(FOREIGN_KEPT) };
            self.foreign.insert(reply, foreign);
        }
    }

    /// Whether a reply that nobody asked for now was waited for; it is no longer.
    pub(crate) fn hear(&mut self, reply: Shape) -> bool {
        let now = self.clock.monotonic();
        let is_its = |doubt: &Doubt| {
            let awaited = Shape::of(doubt.unit, doubt.request);
            awaited == reply || awaited.refusal() == reply
        };
        let Some(at) = self.open.iter().position(is_its) else { return false };
        if self.knows_foreign(reply) {
            // It may be the other master's: ours may still come.
            return false;
        }
        if reply.bytes.is_some() {
            let doubt = self.open.remove(at);
            self.late.insert(reply.unit, now.saturating_sub(doubt.sent));
        }
        true
    }

    /// A unit answered in time.
    pub(crate) fn note_in_time(&mut self, unit: u8) {
        if !self.late.is_empty() {
            self.late.remove(&unit);
        }
    }

    /// How long the last reply of a unit took that is known to have been late.
    pub(crate) fn late_by(&self, unit: u8) -> Option<Duration> {
        self.late.get(&unit).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use model::Timestamp;

    use super::*;
    use crate::address::Area;

    #[derive(Default)]
    struct At(AtomicU64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn request(start: u16, count: u16) -> Request {
        Request { area: Area::Holding, start, count }
    }

    #[test]
    fn what_a_late_reply_would_fit_is_doubtful_until_it_came_or_its_time_is_over() {
        let ms = Duration::from_millis;
        let clock = Arc::new(At::default());
        let mut doubts = Doubts::new(Arc::clone(&clock) as Arc<dyn Clock>);
        doubts.note(1, request(0, 2), ms(0), ms(400));
        clock.0.store(100, Ordering::Relaxed);
        assert_eq!(doubts.wait(1, request(70, 2)), Some(ms(300)), "whatever it asks for");
        assert_eq!((doubts.wait(1, request(0, 3)), doubts.wait(2, request(0, 2))), (None, None));
        let late = Shape::of(1, request(0, 2));
        assert!(!doubts.hear(Shape::of(1, request(0, 3))));
        assert!(doubts.hear(late.refusal()), "an exception says nothing of what it answers");
        assert!(doubts.hear(late) && !doubts.hear(late));
        assert_eq!((doubts.wait(1, request(0, 2)), doubts.late_by(1)), (None, Some(ms(100))));
        doubts.note_in_time(1);
        assert_eq!(doubts.late_by(1), None);
        doubts.note(1, request(0, 2), ms(0), ms(400));
        clock.0.store(400, Ordering::Relaxed);
        assert_eq!(doubts.wait(1, request(0, 2)), None);
    }

    #[test]
    fn what_another_master_is_answered_would_fit_until_it_is_heard_no_more() {
        let ms = Duration::from_millis;
        let clock = Arc::new(At::default());
        let mut doubts = Doubts::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let reply = Shape::of(1, request(40, 2));
        doubts.note_foreign(reply, ms(400));
        clock.0.store(100, Ordering::Relaxed);
        assert_eq!(doubts.wait(1, request(9, 2)), Some(ms(300)));
        assert_eq!((doubts.wait(1, request(9, 3)), doubts.wait(2, request(9, 2))), (None, None));
        assert!(!doubts.hear(reply), "it was not asked for");
        assert!(doubts.is_shared(Some(1)) && !doubts.is_shared(Some(2)) && doubts.is_shared(None));
        doubts.note(1, request(0, 2), ms(0), ms(200));
        assert!(!doubts.hear(reply), "it may be the other master's");
        clock.0.store(400, Ordering::Relaxed);
        assert_eq!(doubts.wait(1, request(9, 2)), None);
        let avoids =
            |doubts: &Doubts| (doubts.avoids(1, request(9, 2)), doubts.avoids(1, request(9, 3)));
        assert_eq!(avoids(&doubts), (true, false), "its master may come back");
        clock.0.store(100 + 2 * 3_600_000, Ordering::Relaxed);
        assert_eq!(avoids(&doubts), (false, false));
        for unit in 0..=u8::MAX {
            doubts.note_foreign(Shape::of(unit, request(0, 1)), ms(400));
        }
        assert_eq!(doubts.foreign.len(), DOUBTS_MAX);
    }

    #[test]
    fn a_line_that_never_answers_takes_no_more_memory() {
        let mut doubts = Doubts::new(Arc::new(At::default()));
        for start in 0..1_000 {
            doubts.note(1, request(start, 1), Duration::ZERO, Duration::from_secs(1));
        }
        assert_eq!(doubts.open.len(), DOUBTS_MAX);
    }
}
