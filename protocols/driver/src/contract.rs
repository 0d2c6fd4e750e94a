//! The types that cross the border. Must never do I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::{Problems, Spanned, Table};
use device_profiles::{DeviceProfile, ProfilePoint};
use model::host::Clock;
use model::{Cursor, Localized, PointIndex, Sample, Timestamp, ValueType};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Emissions that may wait for the spool per gateway; a port that finds the queue full waits, and polls late.
pub const EMISSIONS_QUEUED_MAX: usize = 256;

/// One protocol. The composition root lists those that a program speaks.
pub trait Protocol: Send + Sync {
    /// The name that profiles and `[[port]] protocol = …` use: `modbus`, `opcua`.
    fn name(&self) -> &'static str;

    /// Checks one port with its devices and plans the reading of it. Opens nothing.
    ///
    /// Notes *every* problem with its place; returns nothing when one of them is fatal.
    fn plan(&self, port: PortSpec, problems: &mut Problems) -> Option<Plan>;

    /// Checks the addresses of a profile whose device cannot be planned, so that all problems are said at once.
    fn check_profile(&self, _profile: &DeviceProfile, _problems: &mut Problems) {}
}

/// A port as configured.
#[derive(Debug, Clone)]
pub struct PortSpec {
    /// Its name.
    pub id: Spanned<String>,
    /// The keys of `[[port]]` that only the protocol understands; it finishes the table.
    pub settings: Table,
    /// The devices behind it.
    pub devices: Vec<DeviceSpec>,
}

/// A device as configured.
#[derive(Debug, Clone)]
pub struct DeviceSpec {
    /// Its name.
    pub id: Spanned<String>,
    /// The keys of `[[device]]` that only the protocol understands (`unit`); it finishes the table.
    pub settings: Table,
    /// What it offers.
    pub profile: Arc<DeviceProfile>,
    /// The points that are wanted, in the order of the profile.
    pub points: Vec<PointSpec>,
}

/// A point as configured.
#[derive(Debug, Clone)]
pub struct PointSpec {
    /// Its place in the gateway's dictionary; samples carry it.
    pub index: PointIndex,
    /// What the profile says of it; its address table is read and finished by the protocol.
    pub profile: Arc<ProfilePoint>,
    /// How often it is read. Points of one device and one interval are a poll group.
    pub poll: Duration,
    /// Whether what the device remembers is read back, and from when on.
    pub history: Option<HistoryFrom>,
}

/// Where reading back starts when there is no history mark yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryFrom {
    /// At the oldest value that the device still has.
    All,
    /// At this source time.
    Time(Timestamp),
}

/// What a protocol made of a port.
pub struct Plan {
    /// The task, not yet running.
    pub port: Box<dyn Port>,
    /// How the values of each point are held.
    pub value_types: Vec<(PointIndex, ValueType)>,
    /// How often a value of each point is expected; without those that come when they change.
    pub intervals: Vec<(PointIndex, Duration)>,
    /// One line per request and cycle, for `check` and logs: "comp-1: input 0..=79 every 1s".
    pub summary: Vec<String>,
    /// What no second port may use at the same time, such as a serial line.
    pub exclusive: Option<Exclusive>,
}

/// Something of this machine that one port has to itself.
#[derive(Debug, Clone)]
pub struct Exclusive {
    /// What it really is, symbolic links followed: equal for two ports that would disturb each other.
    pub key: String,
    /// How the configuration names it.
    pub named: Spanned<String>,
}

/// The task of one port.
#[async_trait]
pub trait Port: Send + Sync {
    /// Reads until `link.stop` is cancelled. Mends its own connections; returns early only when stopped.
    async fn run(self: Box<Self>, link: PortLink);

    /// The same port once more, as it was planned: it is started when this one has panicked, and when something has to
    /// be read back again.
    fn again(&self) -> Box<dyn Port>;
}

/// Samples, and the history marks that are true once these samples are durable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Emission {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Per point: everything that the device gave up to this cursor is in this emission or in earlier ones.
    pub marks: Vec<(PointIndex, Cursor)>,
}

/// Why a device gives no values: code, what happened, what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable code, `GW-M101`.
    pub code: &'static str,
    /// What happened, in the user's words, with the next step.
    pub message: Localized,
}

impl Fault {
    /// A fault of this code.
    pub fn new(code: &'static str, message: impl Into<Localized>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Hears how the devices do. Called per request: must be cheap and must not block.
pub trait Observer: Send + Sync {
    /// A device answered; `latency` from request to response.
    fn answered(&self, device: &str, latency: Duration);
    /// A request to a device failed, or its link is down.
    fn failed(&self, device: &str, fault: Fault);
    /// A device answers, but gives some of its points no values: why, after each round that found it so; `None` after a
    /// round that asked for all of its points and found nothing of the kind. An answer to another request changes
    /// nothing about it.
    fn partly(&self, device: &str, fault: Option<Fault>);
    /// A cycle began later than configured, because the one before it took too long.
    fn late(&self, device: &str);
}

/// The gateway side of a running port.
#[derive(Clone)]
pub struct PortLink {
    /// Cancelled when the gateway stops.
    pub stop: CancellationToken,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Hears how the devices do.
    pub observer: Arc<dyn Observer>,
    /// The history marks that are durable at the start of this run.
    pub marks: Arc<HashMap<PointIndex, Cursor>>,
    /// False while reading back must pause because the spool would drop.
    pub read_back_allowed: watch::Receiver<bool>,
    /// Whether more may be read than was configured, to find out what is wrong: `check --online`.
    pub explores: bool,
    /// Where emissions go.
    pub emissions: mpsc::Sender<Emission>,
}

/// The gateway stops; nothing more is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl PortLink {
    /// Hands over samples; waits while the queue is full.
    ///
    /// # Errors
    /// [`Stopped`] when the gateway stops; the emission is not taken then.
    pub async fn emit(&self, emission: Emission) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            sent = self.emissions.send(emission) => sent.map_err(|_| Stopped),
            () = self.stop.cancelled() => Err(Stopped),
        }
    }

    /// Waits until reading back is allowed.
    ///
    /// # Errors
    /// [`Stopped`] when the gateway stops.
    pub async fn read_back_permit(&mut self) -> Result<(), Stopped> {
        tokio::select! {
            allowed = self.read_back_allowed.wait_for(|allowed| *allowed) => {
                allowed.map(|_| ()).map_err(|_| Stopped)
            }
            () = self.stop.cancelled() => Err(Stopped),
        }
    }
}
