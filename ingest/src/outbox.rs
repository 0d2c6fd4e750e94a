//! What waits to be published: at most one ack per log, the newest (acks are cumulative), and the live topics behind
//! them. Must never wait for the broker while admission waits for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use contract::{AdmittedFrame, LogKey};
use model::host::Clock;
use model::{Ack, GatewayId, Timestamp, topic};
use tokio::sync::Notify;

use crate::broker::{Broker, Message};
use crate::live::Live;

/// Wait after a message that the broker did not take.
const REFUSED_WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct State {
    acks: BTreeMap<LogKey, Ack>,
    live: Live,
    closed: bool,
}

enum Next {
    Send(Message),
    Wait(Option<Duration>),
    End,
}

/// The messages that wait.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

impl Outbox {
    /// Puts an ack in the place of an older one for the same log. A request in the older one is kept: it was not sent.
    pub(crate) fn ack(&self, gateway: GatewayId, mut ack: Ack) {
        let mut state = self.lock();
        let key = (gateway, ack.log_id);
        if let Some(older) = state.acks.get(&key) {
            if older.durable_upto > ack.durable_upto {
                (ack.durable_upto, ack.hash) = (older.durable_upto, older.hash);
            }
            if ack.want.is_empty() {
                ack.want.clone_from(&older.want);
                ack.want.retain(|want| want.first > ack.durable_upto);
            }
            ack.open |= older.open;
        }
        state.acks.insert(key, ack);
        drop(state);
        self.changed.notify_one();
    }

    /// Takes frames that are durable now, at the wall time `wall`, for the live topics.
    pub(crate) fn committed(&self, frames: &[AdmittedFrame], wall: Timestamp) {
        self.lock().live.update(frames, wall);
        self.changed.notify_one();
    }

    /// The broker came, perhaps without what it had retained.
    pub(crate) fn connected(&self) {
        self.lock().live.send_all();
        self.changed.notify_one();
    }

    /// Live topics, and values left out of them.
    pub(crate) fn live_counts(&self) -> (usize, u64) {
        self.lock().live.counts()
    }

    /// Ends [`Self::run`] when the last ack is out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Publishes until closed.
    pub(crate) async fn run(&self, broker: &dyn Broker, clock: &dyn Clock) {
        loop {
            let next = self.next(clock.monotonic());
            match next {
                Next::Send(message) => {
                    // An ack that is lost here is announced when the broker comes again.
                    if let Err(e) = broker.publish(message).await {
                        tracing::debug!(error = %e, "message was not published");
                        tokio::time::sleep(REFUSED_WAIT).await;
                    }
                }
                Next::Wait(None) => self.changed.notified().await,
                Next::Wait(Some(wait)) => {
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                Next::End => return,
            }
        }
    }

    fn next(&self, now: Duration) -> Next {
        let mut state = self.lock();
        if let Some(((gateway, _), ack)) = state.acks.pop_first() {
            let payload =
                serde_json::to_vec(&ack).expect("an ack is a plain struct with text keys").into();
            let topic = topic::ack(&gateway);
            return Next::Send(Message {
                topic,
                payload,
                retain: false,
                at_least_once: true,
                expiry: None,
            });
        }
        if state.closed {
            return Next::End;
        }
        if let Some(live) = state.live.next(now) {
            let (topic, payload) = (live.topic, Bytes::from(live.payload));
            return Next::Send(Message {
                topic,
                payload,
                retain: true,
                at_least_once: false,
                expiry: None,
            });
        }
        Next::Wait(state.live.due().map(|at| at.saturating_sub(now)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
