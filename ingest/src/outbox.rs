//! What waits to be published: at most one ack per log, the newest (acks are cumulative), and the live topics behind
//! them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::{AdmittedFrame, LogKey, Watermark};
use live::{Described, Live, LiveCounts, LiveMessage, LiveSettings, StoredRow};
use model::host::Clock;
use model::{Ack, Dictionary, GatewayId, PointId, Sequence, Timestamp, topic};
use tokio::sync::{Notify, broadcast};

use crate::broker::{Broker, Message, PublishError};

/// Wait after a message that the broker did not take.
const REFUSED_WAIT: Duration = Duration::from_millis(100);

/// Live messages that a program in this process may be behind; then it misses some, and is told so.
const STREAM_MESSAGES_MAX: usize = 8_192;

#[derive(Debug)]
struct State {
    acks: BTreeMap<LogKey, Ack>,
    /// What a log has wrong, the newest; an ack of its watermark behind it must not take its place.
    faults: BTreeMap<LogKey, Ack>,
    live: Live,
    /// That a live message is too long for the broker was told.
    too_long_told: bool,
    closed: bool,
}

enum Next {
    Send(Message),
    Wait(Option<Duration>),
    End,
}

/// The messages that wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
    /// Live messages as they are published, for programs in this process.
    stream: broadcast::Sender<Arc<LiveMessage>>,
    expiry: Duration,
}

impl Outbox {
    pub(crate) fn new(live: LiveSettings) -> Self {
        let expiry = live.expiry;
        let (acks, faults) = (BTreeMap::new(), BTreeMap::new());
        let state =
            State { acks, faults, live: Live::new(live), too_long_told: false, closed: false };
        let stream = broadcast::Sender::new(STREAM_MESSAGES_MAX);
        Self { state: Mutex::new(state), changed: Notify::new(), stream, expiry }
    }

    /// The live messages from now on.
    pub(crate) fn stream(&self) -> broadcast::Sender<Arc<LiveMessage>> {
        self.stream.clone()
    }

    /// Puts an ack in the place of an older one for the same log. A request in the older one is kept: it was not sent.
    pub(crate) fn ack(&self, gateway: GatewayId, mut ack: Ack) {
        let mut state = self.lock();
        let key = (gateway, ack.log_id);
        if ack.fault.is_some() {
            state.faults.insert(key, ack);
            drop(state);
            return self.changed.notify_one();
        }
        if let Some(older) = state.acks.get(&key) {
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

    /// Takes a frame that was admitted, for the live topics.
    pub(crate) fn admitted(&self, frame: &AdmittedFrame, now: Duration, wall: Timestamp) {
        self.lock().live.update(frame, now, wall);
        self.changed.notify_one();
    }

    /// Takes rows of the store, for the live topics.
    pub(crate) fn restored(
        &self,
        rows: &[StoredRow],
        described: &BTreeMap<PointId, Described>,
        now: Duration,
        wall: Timestamp,
    ) {
        self.lock().live.restore(rows, described, now, wall);
        self.changed.notify_one();
    }

    /// Where the newest log of a gateway stood when this run began.
    pub(crate) fn restored_durable(&self, log: &LogKey, upto: Sequence) {
        self.lock().live.restore_durable(log, upto);
        self.changed.notify_one();
    }

    /// Frames of a log are durable up to here.
    pub(crate) fn durable(&self, log: &LogKey, upto: Sequence) {
        self.lock().live.durable(log, upto);
        self.changed.notify_one();
    }

    /// The store answers for no more than this, where it was put back: what was told as durable before may not be.
    pub(crate) fn stands_at(&self, stored: &BTreeMap<LogKey, Watermark>) {
        let upto = |log: &LogKey| stored.get(log).map_or(Sequence(0), |mark| mark.durable_upto);
        self.lock().live.stands_at(upto);
        self.changed.notify_one();
    }

    /// These dictionaries describe all devices that a gateway has today.
    pub(crate) fn configured(&self, gateway: &GatewayId, dictionaries: &[Arc<Dictionary>]) {
        self.lock().live.configured(gateway, dictionaries);
        self.changed.notify_one();
    }

    /// A gateway came or went.
    pub(crate) fn presence(
        &self,
        gateway: &GatewayId,
        online: bool,
        now: Duration,
        wall: Timestamp,
    ) {
        self.lock().live.presence(gateway, online, now, wall);
        self.changed.notify_one();
    }

    /// The broker came, perhaps without what it had retained.
    pub(crate) fn connected(&self, now: Duration) {
        self.lock().live.send_all(now);
        self.changed.notify_one();
    }

    /// Counts of the live topics.
    pub(crate) fn live_counts(&self) -> LiveCounts {
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
            let next = self.next(clock.monotonic(), clock.now());
            match next {
                Next::Send(message) => {
                    let (topic, payload_bytes) = (message.topic.clone(), message.payload.len());
                    match broker.publish(message).await {
                        Ok(()) => {}
                        Err(PublishError::TooLarge { bytes, max }) => {
                            self.too_long(&topic, payload_bytes, (bytes, max));
                        }
                        // An ack that is lost here is announced when the broker comes again.
                        Err(e) => {
                            tracing::debug!(error = %e, "message was not published");
                            tokio::time::sleep(REFUSED_WAIT).await;
                        }
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

    /// A message is longer than the broker takes: a description becomes shorter, whatever else is counted. Told once.
    fn too_long(&self, topic: &str, payload_bytes: usize, (bytes, max): (usize, usize)) {
        let mut state = self.lock();
        let payload_bytes_max = max.saturating_sub(bytes.saturating_sub(payload_bytes));
        let shortened = state.live.too_long(topic, payload_bytes_max);
        if !std::mem::replace(&mut state.too_long_told, true) {
            let what = if shortened {
                "a description is longer than the broker takes and is published with fewer points (`points_left_out`)"
            } else {
                "a message is longer than the broker takes and is not published"
            };
            tracing::warn!(topic, bytes, max, "{what}; raise its maximum packet size. Told once");
        }
    }

    fn next(&self, now: Duration, wall: Timestamp) -> Next {
        let mut state = self.lock();
        let fault = state.faults.pop_first();
        if let Some(((gateway, _), ack)) = fault.or_else(|| state.acks.pop_first()) {
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
        if let Some(live) = state.live.next(now, wall) {
            drop(state);
            return Next::Send(self.live_message(live));
        }
        Next::Wait(state.live.due(now).map(|at| at.saturating_sub(now)))
    }

    fn live_message(&self, live: LiveMessage) -> Message {
        if self.stream.receiver_count() > 0 {
            // Without a receiver in this moment there is nobody to miss it.
            drop(self.stream.send(Arc::new(live.clone())));
        }
        let LiveMessage { topic, payload, retain, at_least_once } = live;
        let expiry = (retain && !payload.is_empty()).then_some(self.expiry);
        Message { topic, payload: payload.into(), retain, at_least_once, expiry }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
