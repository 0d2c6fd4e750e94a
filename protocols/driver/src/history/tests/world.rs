//! A server that appends, cuts, forgets, overflows and dies in any order.

use proptest::prelude::*;

use super::*;

/// What may happen to a server and its link.
#[derive(Debug, Clone)]
enum Op {
    Append { later: i64 },
    Live,
    ServerReads,
    PageArrives,
    PageFails(Failure),
    Due,
    Break,
    Connect,
    Kill { kept: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0_i64..3).prop_map(|later| Op::Append { later }),
        6 => Just(Op::Live),
        6 => Just(Op::ServerReads),
        6 => Just(Op::PageArrives),
        1 => prop_oneof![
            Just(Failure::Temporary),
            Just(Failure::ContinuationLost),
            Just(Failure::Unsupported)
        ]
        .prop_map(Op::PageFails),
        2 => Just(Op::Due),
        1 => Just(Op::Break),
        2 => Just(Op::Connect),
        1 => (0_usize..100).prop_map(|kept| Op::Kill { kept }),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Server {
    page_size: usize,
    /// Whether a page that was cut comes with a continuation point.
    continues: bool,
    queue: usize,
    /// Every how many values one is remembered.
    remembered_every: usize,
    /// Whether it says so when its queue ran over.
    tells: bool,
    /// How far its newest time lies beyond what is believed.
    ahead: i64,
}

/// Values and, where the server gives one, a continuation point.
type Answer = (Vec<(i64, i64)>, Option<Vec<u8>>);

struct World {
    server: Server,
    given: Vec<(i64, i64)>,
    history: Vec<(i64, i64)>,
    queue: VecDeque<(bool, i64, i64)>,
    tracker: Tracker,
    connected: bool,
    waiting: bool,
    asked: Option<(Timestamp, Option<Vec<u8>>)>,
    answer: Option<Answer>,
    emissions: Vec<(Vec<Sample>, Option<Cursor>)>,
}

impl World {
    fn new(server: Server) -> Self {
        Self {
            server,
            given: Vec::new(),
            history: Vec::new(),
            queue: VecDeque::new(),
            tracker: Tracker::new(None, Timestamp(0), server.page_size),
            connected: false,
            waiting: false,
            asked: None,
            answer: None,
            emissions: Vec::new(),
        }
    }

    fn append(&mut self, later: i64) {
        let (last, value) = self.given.last().copied().unwrap_or((1, 0));
        let at_last = self.given.iter().filter(|(time, _)| *time == last).count();
        // More values of one time than a page holds cannot be read without a continuation point.
        let later = if at_last + 1 >= self.server.page_size { later.max(1) } else { later };
        let next = (last + later, value + 1);
        self.given.push(next);
        if self.given.len().is_multiple_of(self.server.remembered_every) {
            self.history.push(next);
        }
        if self.connected {
            self.enqueue(next);
        }
    }

    fn enqueue(&mut self, (time, value): (i64, i64)) {
        self.queue.push_back((false, time, value));
        if self.queue.len() > self.server.queue {
            self.queue.pop_front();
            if let Some(oldest) = self.queue.front_mut() {
                oldest.0 = self.server.tells;
            }
        }
    }

    fn step(&mut self, event: Event) {
        let actions = self.tracker.step(event);
        let cursor = self.tracker.to_cursor();
        for action in actions {
            match action {
                Action::Read { from, continuation } => {
                    assert!(self.asked.is_none() && self.answer.is_none(), "two reads under way");
                    self.asked = Some((from, continuation));
                }
                Action::Emit { samples, mark } => {
                    self.emissions.push((samples, cursor.clone().filter(|_| mark.is_some())));
                    if let Some(mark) = mark {
                        self.check_mark(mark);
                    }
                }
                Action::Wait(_) => self.waiting = true,
                Action::Crowded(time) => panic!("crowded at {time}"),
            }
        }
    }

    fn emitted(&self) -> impl Iterator<Item = (i64, i64)> {
        self.emissions.iter().flat_map(|(samples, _)| samples).map(|sample| match &sample.value {
            Some(Value::Decimal(value)) => (sample.source_time.0, *value),
            other => panic!("{other:?}"),
        })
    }

    fn check_mark(&self, mark: Timestamp) {
        let emitted: std::collections::HashSet<(i64, i64)> = self.emitted().collect();
        assert!(emitted.iter().any(|(time, _)| *time >= mark.0), "mark ahead of all values");
        for value in self.history.iter().filter(|(time, _)| *time < mark.0) {
            assert!(emitted.contains(value), "{value:?} lies before the mark {mark} and was lost");
        }
    }

    fn server_reads(&mut self) {
        let Some((from, continuation)) = self.asked.take() else { return };
        let first = match continuation {
            Some(token) => usize::from(token[0]) * 256 + usize::from(token[1]),
            None => self.history.partition_point(|(time, _)| *time < from.0),
        };
        let rest = &self.history[first.min(self.history.len())..];
        let taken: Vec<(i64, i64)> = rest.iter().take(self.server.page_size).copied().collect();
        let next = first + taken.len();
        let next_point = (self.server.continues && next < self.history.len())
            .then(|| vec![u8::try_from(next / 256).unwrap(), u8::try_from(next % 256).unwrap()]);
        self.answer = Some((taken, next_point));
    }

    fn page_arrives(&mut self) {
        let Some((values, continuation)) = self.answer.take() else { return };
        let samples = values.iter().map(|(time, value)| sample(*time, *value)).collect();
        let horizon = self.horizon();
        self.step(Event::Page { samples, continuation, horizon });
    }

    fn horizon(&self) -> Timestamp {
        Timestamp(self.given.last().map_or(0, |(time, _)| *time) - self.server.ahead)
    }

    fn live_arrives(&mut self) -> bool {
        let Some((overflow, time, value)) = self.queue.pop_front() else { return false };
        if overflow {
            self.step(Event::Overflow);
        }
        let (sample, horizon) = (sample(time, value), self.horizon());
        self.step(Event::Live { sample, timed: true, horizon });
        true
    }

    fn connect(&mut self) {
        if self.connected {
            return;
        }
        self.connected = true;
        if let Some(current) = self.given.last() {
            self.queue.push_back((false, current.0, current.1));
        }
        let now = self.horizon();
        self.step(Event::Connected { now, every_change: self.server.tells });
    }

    fn break_link(&mut self) {
        if self.connected {
            self.connected = false;
            self.step(Event::Broken);
        }
        self.queue.clear();
        (self.asked, self.answer, self.waiting) = (None, None, false);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { later } => self.append(*later),
            Op::Live => {
                self.live_arrives();
            }
            Op::ServerReads => self.server_reads(),
            Op::PageArrives => self.page_arrives(),
            Op::PageFails(failure) => {
                if self.asked.take().is_some() {
                    self.step(Event::Failed(*failure));
                }
            }
            Op::Due => self.due(),
            Op::Break => self.break_link(),
            Op::Connect => self.connect(),
            Op::Kill { kept } => {
                self.break_link();
                self.emissions.truncate(self.emissions.len() * kept / 100);
                let cursor = self.emissions.iter().rev().find_map(|(_, cursor)| cursor.as_ref());
                self.tracker = Tracker::resume(cursor, Timestamp(0), self.server.page_size);
            }
        }
    }

    fn due(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.step(Event::Due);
        }
    }

    /// Lets everything come to rest.
    fn settle(&mut self) {
        // Time goes on: in the end everything is believed.
        self.server.ahead = 0;
        self.connect();
        while self.live_arrives() {}
        for _ in 0..3 {
            let mut reads = 0;
            while self.asked.is_some() || self.answer.is_some() {
                self.server_reads();
                self.page_arrives();
                reads += 1;
                assert!(reads <= 3 * self.history.len() + 5, "reads in a circle");
            }
            self.due();
        }
        while self.asked.is_some() || self.answer.is_some() {
            self.server_reads();
            self.page_arrives();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever breaks in whatever order: in the end everything that the server remembers was emitted, no mark was ever
    /// ahead of it, and the live values move the mark again.
    #[test]
    fn nothing_that_the_server_remembers_is_lost(
        ops in proptest::collection::vec(op(), 0..150),
        page_size in 2_usize..6,
        continues: bool,
        queue in 1_usize..4,
        remembered_every in 1_usize..3,
        tells: bool,
        ahead in 0_i64..4,
    ) {
        let server = Server { page_size, continues, queue, remembered_every, tells, ahead };
        let mut world = World::new(server);
        for op in &ops {
            world.apply(op);
        }
        world.settle();
        world.append(1);
        world.settle();
        let emitted: std::collections::HashSet<(i64, i64)> = world.emitted().collect();
        for value in &world.history {
            prop_assert!(emitted.contains(value), "{value:?} was lost");
        }
        // A restart reads the values at the mark again; without one, nothing comes twice.
        if !ops.iter().any(|op| matches!(op, Op::Kill { .. })) {
            prop_assert_eq!(world.emitted().count(), emitted.len());
        }
        if remembered_every == 1 {
            prop_assert!(world.tracker.is_live(), "{:?}", world.tracker);
        }
    }
}

/// The subscription brings the current value again after a break, when a page has passed it that did not hand it over.
#[test]
fn a_value_that_a_new_connection_brings_again_is_handed_over_once() {
    let server = Server {
        page_size: 2,
        continues: false,
        queue: 2,
        remembered_every: 1,
        tells: false,
        ahead: 0,
    };
    let mut world = World::new(server);
    world.append(0);
    world.connect();
    assert!(world.live_arrives());
    world.break_link();
    world.connect();
    world.server_reads();
    world.append(1);
    for _ in 0..2 {
        world.page_arrives();
        world.server_reads();
    }
    world.settle();
    assert_eq!(world.emitted().collect::<Vec<_>>(), world.history);
}
