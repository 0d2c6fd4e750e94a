//! The bounded queue between a broker and admission. Whoever feeds it never waits: what finds no room is dropped and
//! counted, and the gateway sends it again (INV-5, INV-6).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use model::{GatewayId, topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Most messages in the queue.
const MESSAGES_MAX: usize = 4_096;
/// Most KiB in the queue.
const KIBIBYTES_MAX: usize = 64 * 1_024;

/// Most messages of one gateway in the queue, so that one that floods it leaves room for the others.
const GATEWAY_MESSAGES_MAX: usize = 1_024;
/// Most KiB of one gateway in the queue: the windows of two logs.
const GATEWAY_KIBIBYTES_MAX: u32 = 16 * 1_024;

/// A message of a gateway, holding its place in the queue.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) gateway: GatewayId,
    pub(crate) message: Bytes,
    /// Whether the message says that the gateway is there or gone; else it is of its uplink.
    pub(crate) is_state: bool,
    _share: Share,
    _room: OwnedSemaphorePermit,
}

/// Messages and KiB that each gateway has in the queue.
type Shares = Arc<Mutex<BTreeMap<GatewayId, (usize, u32)>>>;

/// The part of a gateway's share that one message takes, until dropped.
#[derive(Debug)]
struct Share {
    gateway: GatewayId,
    kibibytes: u32,
    shares: Shares,
}

impl Share {
    fn take(shares: &Shares, gateway: &GatewayId, kibibytes: u32) -> Option<Self> {
        let mut all = shares.lock().unwrap_or_else(PoisonError::into_inner);
        let (messages, taken) = all.get(gateway).copied().unwrap_or_default();
        let sum = taken.saturating_add(kibibytes);
        if messages >= GATEWAY_MESSAGES_MAX || sum > GATEWAY_KIBIBYTES_MAX {
            return None;
        }
        all.insert(gateway.clone(), (messages + 1, sum));
        Some(Self { gateway: gateway.clone(), kibibytes, shares: Arc::clone(shares) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((messages, taken)) = all.get_mut(&self.gateway) else { return };
        *messages = messages.saturating_sub(1);
        *taken = taken.saturating_sub(self.kibibytes);
        if *messages == 0 {
            all.remove(&self.gateway);
        }
    }
}

/// Whether a broker is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) is_up: bool,
    /// How often it came.
    pub(crate) count: u64,
    /// It will not come again.
    pub(crate) has_ended: bool,
}

/// What was dropped, or failed, before admission saw it.
#[derive(Debug, Default)]
struct DroppedBefore {
    queue_full: AtomicU64,
    no_gateway: AtomicU64,
    connections_failed: AtomicU64,
    /// Breaks of the connection within the last minute.
    breaks: AtomicU64,
    /// Why the broker's task failed.
    failure: OnceLock<String>,
}

/// The broker's end.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<Inbound>,
    room: Arc<Semaphore>,
    shares: Shares,
    dropped: Arc<DroppedBefore>,
    connection: watch::Sender<Connection>,
}

/// Admission's end.
#[derive(Debug)]
pub(crate) struct InboxReader {
    pub(crate) queue: mpsc::Receiver<Inbound>,
    pub(crate) connection: watch::Receiver<Connection>,
    dropped: Arc<DroppedBefore>,
}

impl InboxReader {
    /// Messages that found no room.
    pub(crate) fn queue_full(&self) -> u64 {
        self.dropped.queue_full.load(Ordering::Relaxed)
    }

    /// Connections whose task panicked.
    pub(crate) fn connections_failed(&self) -> u64 {
        self.dropped.connections_failed.load(Ordering::Relaxed)
    }

    /// How often the connection broke within the last minute.
    pub(crate) fn breaks(&self) -> u64 {
        self.dropped.breaks.load(Ordering::Relaxed)
    }

    /// Why the broker has ended, where its task failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.dropped.failure.get().cloned()
    }

    /// Messages whose topic names no gateway.
    pub(crate) fn no_gateway(&self) -> u64 {
        self.dropped.no_gateway.load(Ordering::Relaxed)
    }
}

/// Both ends of a new queue.
pub(crate) fn inbox() -> (Inbox, InboxReader) {
    let (sender, queue) = mpsc::channel(MESSAGES_MAX);
    let connection = watch::Sender::new(Connection::default());
    let dropped = Arc::new(DroppedBefore::default());
    let room = Arc::new(Semaphore::new(KIBIBYTES_MAX));
    let reader =
        InboxReader { queue, connection: connection.subscribe(), dropped: Arc::clone(&dropped) };
    (Inbox { queue: sender, room, shares: Shares::default(), dropped, connection }, reader)
}

impl Inbox {
    /// The task of a connection panicked.
    pub(crate) fn connection_failed(&self) {
        self.dropped.connections_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands over a message, or drops and counts it.
    pub(crate) fn offer(&self, gateway: GatewayId, message: Bytes) {
        self.put(gateway, message, false);
    }

    /// A gateway, or its will, says whether it is there. A message that is dropped here is made good by its silence.
    pub(crate) fn presence(&self, gateway: GatewayId, message: &[u8]) {
        let known = [topic::ONLINE, topic::OFFLINE].into_iter().find(|s| s.as_bytes() == message);
        let Some(known) = known else { return self.no_gateway() };
        self.put(gateway, Bytes::from_static(known.as_bytes()), true);
    }

    fn put(&self, gateway: GatewayId, message: Bytes, is_state: bool) {
        let kibibytes = u32::try_from(message.len() / 1_024 + 1).unwrap_or(u32::MAX);
        let place = || {
            let share = Share::take(&self.shares, &gateway, kibibytes)?;
            let room = Arc::clone(&self.room).try_acquire_many_owned(kibibytes).ok()?;
            Some((share, room))
        };
        let taken = place().is_some_and(|(share, room)| {
            let inbound = Inbound { gateway, message, is_state, _share: share, _room: room };
            self.queue.try_send(inbound).is_ok()
        });
        if !taken {
            self.dropped.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a message whose topic names no gateway.
    pub(crate) fn no_gateway(&self) {
        self.dropped.no_gateway.fetch_add(1, Ordering::Relaxed);
    }

    /// The broker is there, for the first time or again: the gateways must be told their watermarks.
    pub(crate) fn connected(&self) {
        self.connection.send_modify(|c| {
            c.is_up = true;
            c.count += 1;
        });
    }

    /// How often the connection broke within the last minute.
    pub(crate) fn broke(&self, times: usize) {
        self.dropped.breaks.store(times as u64, Ordering::Relaxed);
    }

    /// The broker is gone.
    pub(crate) fn disconnected(&self) {
        self.connection.send_modify(|connection| connection.is_up = false);
    }

    /// The broker is gone for good; where its task failed, `failure` says how.
    pub(crate) fn ended(&self, failure: Option<String>) {
        if let Some(failure) = failure {
            // The first one is the cause.
            drop(self.dropped.failure.set(failure));
        }
        self.connection.send_modify(|connection| {
            connection.is_up = false;
            connection.has_ended = true;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIG: usize = 2 * 1_024 * 1_024 - 1;

    fn gateway(n: usize) -> GatewayId {
        GatewayId::new(format!("g{n}")).unwrap()
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (inbox, mut reader) = inbox();
        let big = Bytes::from(vec![0; BIG]);
        for n in 0..40 {
            inbox.offer(gateway(n), big.clone());
        }
        assert_eq!((reader.queue.len(), reader.queue_full()), (32, 8));
        drop(reader.queue.try_recv().unwrap());
        inbox.offer(gateway(0), big);
        assert_eq!((reader.queue.len(), reader.queue_full()), (32, 8));
        let (inbox, reader) = super::inbox();
        for n in 0..=MESSAGES_MAX {
            inbox.offer(gateway(n), Bytes::new());
        }
        assert_eq!((reader.queue.len(), reader.queue_full()), (MESSAGES_MAX, 1));
    }

    #[test]
    fn a_gateway_that_floods_the_queue_leaves_room_for_the_others() {
        let check = |message: Bytes, room: usize| {
            let (inbox, mut reader) = inbox();
            for _ in 0..2 * GATEWAY_MESSAGES_MAX {
                inbox.offer(gateway(1), message.clone());
            }
            assert_eq!(reader.queue.len(), room);
            inbox.offer(gateway(2), message.clone());
            assert_eq!(reader.queue.len(), room + 1, "another gateway is heard");
            drop(reader.queue.try_recv().unwrap());
            inbox.offer(gateway(1), message);
            assert_eq!(reader.queue.len(), room + 1, "what is taken makes room");
            while reader.queue.try_recv().is_ok() {}
            assert!(inbox.shares.lock().unwrap().is_empty());
        };
        check(Bytes::from(vec![0; BIG]), 8);
        check(Bytes::new(), GATEWAY_MESSAGES_MAX);
    }
}
