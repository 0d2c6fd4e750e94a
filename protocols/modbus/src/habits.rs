//! How the device at the far end of a link treats its connections, learned from what happened to them. Must never open or
//! close one.

use std::time::Duration;

/// Longest pause after opening that is learned by itself.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Connections in a row that must show a habit before it is believed.
const SEEN_TO_BELIEVE: u32 = 2;

/// What is known of the far end.
#[derive(Debug)]
pub(crate) struct Habits {
    port: String,
    /// Replies after which it closed the last connection, and how many connections in a row.
    closed_after: (u32, u32),
    pause: Pause,
}

/// How long it hears nothing after a connection was opened.
#[derive(Debug)]
struct Pause {
    /// What is waited.
    wait: Duration,
    /// The last wait that was long enough.
    enough: Duration,
    /// Whether a shorter one was tried and was too short, or the wait was configured.
    settled: bool,
    /// Connections in a row that ignored their first request and answered a later one.
    seen: u32,
    /// What the configuration says.
    stated: Option<Duration>,
}

impl Pause {
    fn new(stated: Option<Duration>) -> Self {
        let wait = stated.unwrap_or_default();
        Self { wait, enough: wait, settled: stated.is_some(), seen: 0, stated }
    }
}

impl Habits {
    /// Nothing is known; `pause` is what the configuration says.
    pub(crate) fn new(port: String, pause: Option<Duration>) -> Self {
        Self { port, closed_after: (0, 0), pause: Pause::new(pause) }
    }

    /// How long a new connection is left in peace.
    pub(crate) fn pause(&self) -> Duration {
        self.pause.wait
    }

    /// Whether it is going to close a connection that brought so many replies.
    pub(crate) fn closes_after(&self, replies: u32) -> bool {
        let (after, seen) = self.closed_after;
        seen >= SEEN_TO_BELIEVE && replies >= after
    }

    /// It closed a connection right after so many replies.
    pub(crate) fn note_closed(&mut self, replies: u32) {
        let (after, seen) = self.closed_after;
        if replies == 0 || self.closes_after(replies) {
            return;
        }
        self.closed_after = if replies == after { (after, seen + 1) } else { (replies, 1) };
        if self.closes_after(replies) {
            let port = &self.port;
            tracing::info!(
                port,
                replies,
                "the device closes each connection after so many replies"
            );
        }
    }

    /// A new connection brought no reply to its first request.
    pub(crate) fn note_deaf(&mut self) {
        if !self.pause.settled && !self.pause.wait.is_zero() {
            self.pause.wait = self.pause.enough;
            self.pause.settled = true;
        }
    }

    /// What a new connection ignored before its first reply was ignored after it, too: it was heard and not liked, and what
    /// was taken for deafness was none.
    pub(crate) fn note_ignored_again(&mut self) {
        self.pause = Pause::new(self.pause.stated);
    }

    /// A new connection brought its first reply, to a request that was sent so long after it was opened.
    pub(crate) fn note_first_reply(&mut self, since_opened: Duration, tried_before: bool) {
        let pause = &mut self.pause;
        if !tried_before {
            pause.seen = 0;
            if !pause.settled {
                pause.enough = pause.wait;
                pause.wait = pause.wait * 3 / 4;
            }
            return;
        }
        pause.seen += 1;
        if pause.seen >= SEEN_TO_BELIEVE && pause.wait < PAUSE_MAX {
            pause.wait = since_opened.min(PAUSE_MAX);
            (pause.enough, pause.settled, pause.seen) = (pause.wait, false, 0);
            let (port, pause_ms) = (&self.port, pause.wait.as_millis());
            tracing::info!(
                port,
                pause_ms,
                "the device hears nothing at first: `connect_pause` says for how long"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn two_connections_that_close_alike_make_a_habit() {
        let mut habits = Habits::new("p".to_owned(), None);
        habits.note_closed(3);
        habits.note_closed(1);
        assert!(!habits.closes_after(1) && !habits.closes_after(9));
        habits.note_closed(1);
        assert!(habits.closes_after(1) && !habits.closes_after(0));
    }

    #[test]
    fn a_pause_is_learned_and_shortened_until_it_is_too_short() {
        let mut habits = Habits::new("p".to_owned(), None);
        habits.note_first_reply(ms(1_000), true);
        assert_eq!(habits.pause(), ms(0), "once may be chance");
        habits.note_first_reply(ms(1_000), true);
        assert_eq!(habits.pause(), ms(1_000));
        habits.note_first_reply(ms(1_000), false);
        assert_eq!(habits.pause(), ms(750));
        habits.note_deaf();
        assert_eq!(habits.pause(), ms(1_000));
        habits.note_first_reply(ms(1_000), false);
        assert_eq!(habits.pause(), ms(1_000), "settled");
    }

    #[test]
    fn what_is_ignored_when_others_are_answered_is_no_deafness() {
        let mut habits = Habits::new("p".to_owned(), None);
        for _ in 0..3 {
            habits.note_first_reply(ms(1_000), true);
            habits.note_ignored_again();
            assert_eq!(habits.pause(), ms(0));
        }
        habits.note_first_reply(ms(1_000), true);
        habits.note_first_reply(ms(1_000), true);
        habits.note_ignored_again();
        assert_eq!(habits.pause(), ms(0), "it was learned before");
    }

    #[test]
    fn a_configured_pause_stays() {
        let mut habits = Habits::new("p".to_owned(), Some(ms(300)));
        habits.note_first_reply(ms(300), false);
        assert_eq!(habits.pause(), ms(300));
        habits.note_deaf();
        habits.note_ignored_again();
        assert_eq!(habits.pause(), ms(300));
    }
}
