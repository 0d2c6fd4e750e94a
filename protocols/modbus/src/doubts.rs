//! Requests whose replies may still come on a link without transaction ids, so that none of them is taken for the reply to
//! another request. Must never send or wait for anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::host::Clock;

use crate::request::Request;
use crate::wire::rtu_replies;

/// Requests that are remembered; the oldest is forgotten first.
const DOUBTS_MAX: usize = 64;
/// How long replies of a shape that another master was given are kept in mind: masters ask every second or every hour.
const FOREIGN_KEPT: Duration = Duration::from_hours(2);

/// What is owed on a link, whichever unit owes it.
pub(crate) struct Doubts {
    clock: Arc<dyn Clock>,
    open: Vec<Doubt>,
    /// Replies that another master asks for: unit, function, bytes of values.
    foreign: HashMap<(u8, u8, usize), Foreign>,
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
        let foreign = self.foreign.get(&shape(unit, request)).map(|foreign| foreign.soon);
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
        let foreign = self.foreign.get(&shape(unit, request));
        foreign.is_some_and(|foreign| self.clock.monotonic() < foreign.some_day)
    }

    /// Replies that nobody asked for stand among `bytes`, which came behind `last`: but for doubles of the reply in that, some
    /// other master asks for them, and they are expected again for `time`.
    pub(crate) fn note_foreign(&mut self, bytes: &[u8], last: &[u8], time: Duration) {
        let now = self.clock.monotonic();
        self.foreign.retain(|_, foreign| now < foreign.some_day);
        for frame in rtu_replies(bytes) {
            let is_double = last.windows(frame.len()).any(|part| part == frame);
            if let [unit, function, _, data @ ..] = frame
                && !is_double
                && self.foreign.len() < DOUBTS_MAX
            {
                let soon = now.saturating_add(time);
                let foreign = Foreign { soon, some_day: now.saturating_add(FOREIGN_KEPT) };
                self.foreign.insert((*unit, *function, data.len()), foreign);
            }
        }
    }

    /// Whether there is among `bytes`, which nobody asked for now, a reply that was waited for; it is no longer.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> bool {
        if self.open.is_empty() {
            return false;
        }
        let now = self.clock.monotonic();
        let mut heard = false;
        for frame in rtu_replies(bytes) {
            let [unit, function, _, data @ ..] = frame else { continue };
            let is_its = |doubt: &Doubt| {
                doubt.unit == *unit
                    && doubt.request.area.function() == *function
                    && usize::from(doubt.request.reply_bytes()) == data.len()
            };
            if let Some(at) = self.open.iter().position(is_its) {
                let doubt = self.open.remove(at);
                self.late.insert(*unit, now.saturating_sub(doubt.sent));
                heard = true;
            }
        }
        heard
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

fn shape(unit: u8, request: Request) -> (u8, u8, usize) {
    (unit, request.area.function(), usize::from(request.reply_bytes()))
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
        // Noise, then the reply of unit 1 with two registers; its CRC is that of the peers of the tests.
        let mut reply = vec![1, 3, 4, 0, 1, 0, 2];
        reply.extend(crate::tests::crc(&reply));
        assert!(!doubts.hear(&[1, 3, 4, 0, 1, 0, 2, 0, 0]));
        assert!(doubts.hear(&[&[0xFF], reply.as_slice()].concat()));
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
        let reply = |value: u8| {
            let mut reply = vec![1, 3, 4, 0, 1, 0, value];
            reply.extend(crate::tests::crc(&reply));
            reply
        };
        doubts.note_foreign(&reply(2), &[&[0xFF], reply(2).as_slice()].concat(), ms(400));
        assert_eq!(doubts.wait(1, request(0, 2)), None, "it said the same twice");
        doubts.note_foreign(&[&[0xFF], reply(3).as_slice()].concat(), &reply(2), ms(400));
        clock.0.store(100, Ordering::Relaxed);
        assert_eq!(doubts.wait(1, request(9, 2)), Some(ms(300)));
        assert_eq!((doubts.wait(1, request(9, 3)), doubts.wait(2, request(9, 2))), (None, None));
        assert!(!doubts.hear(&reply(3)), "it was not asked for");
        clock.0.store(400, Ordering::Relaxed);
        assert_eq!(doubts.wait(1, request(9, 2)), None);
        let avoids =
            |doubts: &Doubts| (doubts.avoids(1, request(9, 2)), doubts.avoids(1, request(9, 3)));
        assert_eq!(avoids(&doubts), (true, false), "its master may come back");
        clock.0.store(100 + 2 * 3_600_000, Ordering::Relaxed);
        assert_eq!(avoids(&doubts), (false, false));
        for unit in 0..=u8::MAX {
            let mut reply = vec![unit, 3, 2, 0, 1];
            reply.extend(crate::tests::crc(&reply));
            doubts.note_foreign(&reply, &[], ms(400));
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
