//! What is under way on one connection to a broker elsewhere: of what kind the message behind each packet id is, and how
//! long the longest live one is. A refusal names only the packet id, and a refusal of commit acks (nothing is freed at any
//! gateway) must not read like one of live topics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::topic;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A commit ack.
    Ack,
    /// A live topic.
    Live,
}

impl Kind {
    pub(super) fn of(topic: &str) -> Self {
        let is_ack = topic.strip_prefix(topic::GATEWAY_ROOT).is_some_and(|r| r.starts_with('/'));
        if is_ack { Self::Ack } else { Self::Live }
    }

    /// What a broker may refuse, in words.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Ack => "write commit acks to `gw/…/ack`",
            Self::Live => "write live topics to `v1/…`",
        }
    }

    /// What follows.
    pub(super) const fn consequence(self) -> &'static str {
        match self {
            Self::Ack => "commit acks do not arrive: gateways free nothing and send again",
            Self::Live => "live topics do not arrive; readings are stored all the same",
        }
    }
}

/// The messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Handed to the client and not yet on the wire, in the order in which they go.
    queued: VecDeque<Kind>,
    /// By packet id; the client gives out as many as may be under way.
    by_id: BTreeMap<u16, Kind>,
    longest_live: usize,
}

impl Sent {
    /// A message of so many bytes is handed to the client; with `answered` it is acknowledged by the broker.
    pub(super) fn queued(&self, kind: Kind, packet_bytes: usize, answered: bool) {
        let mut state = self.lock();
        state.queued.push_back(kind);
        if kind == Kind::Live && answered {
            state.longest_live = state.longest_live.max(packet_bytes);
        }
    }

    /// The next one is on the wire, under this packet id; 0 at QoS 0.
    pub(super) fn on_wire(&self, id: u16) {
        let mut state = self.lock();
        if let Some(kind) = state.queued.pop_front().filter(|_| id != 0) {
            state.by_id.insert(id, kind);
        }
    }

    /// What was sent under this packet id.
    pub(super) fn kind_of(&self, id: u16) -> Kind {
        self.lock().by_id.get(&id).copied().unwrap_or(Kind::Live)
    }

    /// Bytes of the longest live message that the broker had to acknowledge; 0 without one.
    pub(super) fn longest_live(&self) -> usize {
        self.lock().longest_live
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_of_what_was_sent_under_its_packet_id() {
        let sent = Sent::default();
        let topics =
            ["gw/gw-1/ack", "v1/a/b/_/_/m/v/e", "v1/a/b/_/_/m/$meta", "plants/v1/x", "gw/g/ack"];
        for (topic, answered) in topics.into_iter().zip([true, false, true, true, true]) {
            sent.queued(Kind::of(topic), topic.len(), answered);
        }
        for id in [1, 0, 2, 3] {
            sent.on_wire(id);
        }
        assert_eq!([1, 2, 3].map(|id| sent.kind_of(id)), [Kind::Ack, Kind::Live, Kind::Live]);
        // Its packet id is used again.
        sent.on_wire(2);
        assert_eq!(sent.kind_of(2), Kind::Ack);
        assert_eq!(sent.longest_live(), "v1/a/b/_/_/m/$meta".len());
    }
}
