//! What carries the messages of an uplink: MQTT today, another protocol later. The uplink knows these traits and no more;
//! an implementation knows neither the spool nor what a message says.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use model::Ack;
use model::host::{Clock, Entropy};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The connection is gone: what was under way is in the spool and is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// Sends messages over one connection, in order.
pub trait Outgoing: Send + Sync {
    /// Hands one message over; waits while the connection is busy.
    fn send(&self, message: Vec<u8>) -> BoxFuture<'_, Result<(), Broken>>;
    /// Most bytes of a message; a longer one goes in parts.
    fn message_bytes_max(&self) -> usize;
}

/// The connection of the moment.
#[derive(Clone, Default)]
pub struct Connection {
    /// Sends on it; `None` while there is none.
    pub outgoing: Option<Arc<dyn Outgoing>>,
    /// Why there is none, for people.
    pub reason: Option<String>,
}

/// What a transport and its uplink tell each other.
pub struct Channels {
    /// The connection of the moment.
    pub connection: watch::Sender<Connection>,
    /// Commit acks from the destination. One that finds the queue full may be dropped: acks are cumulative.
    pub acks: mpsc::Sender<Ack>,
    /// Counts what was committed: only that shows that a connection is of use, so only that ends a back-off.
    pub progress: watch::Receiver<u64>,
    /// Clock that tells how long a connection held.
    pub clock: Arc<dyn Clock>,
    /// Random source of the jitter between two tries.
    pub entropy: Arc<dyn Entropy>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// Keeps a connection to one destination.
pub trait Transport: Send {
    /// Connects, and connects again after a growing wait, until stopped.
    fn run(self: Box<Self>, channels: Channels) -> BoxFuture<'static, ()>;
}
