//! Carries out what the uplink decides, one action after the other. Must never decide anything itself.

use std::time::Duration;

use model::wire::UpMessage;
use model::{Ack, GatewayId, LogId, Sequence, topic};
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::keeper::{KeeperClosed, KeeperHandle, SpoolView};
use crate::mqtt::Connection;
use crate::run::Host;
use crate::settings::UplinkSettings;
use crate::status::UplinkStatus;
use crate::uplink::{Action, Event, Uplink};

/// Bytes read from the spool at a time.
const READ_BYTES: u64 = 1024 * 1024;
/// Longest time between two ticks.
const TICK_MAX: Duration = Duration::from_millis(500);

/// Everything the uplink's task holds.
pub(crate) struct UplinkTask {
    pub(crate) gateway: GatewayId,
    pub(crate) settings: UplinkSettings,
    pub(crate) host: Host,
    pub(crate) keeper: KeeperHandle,
    pub(crate) view: watch::Receiver<SpoolView>,
    pub(crate) connection: watch::Receiver<Connection>,
    pub(crate) acks: mpsc::Receiver<Ack>,
    pub(crate) status: watch::Sender<UplinkStatus>,
    pub(crate) stop: CancellationToken,
}

/// The connection broke while something was being published.
struct Broken;

impl UplinkTask {
    /// Runs until stopped or until the keeper is gone.
    pub(crate) async fn run(mut self, log_id: LogId, acked: Sequence) {
        let (resend_after, backoff_max) = (self.settings.resend_after, self.settings.backoff_max);
        let mut uplink = Uplink::new(log_id, acked, resend_after, backoff_max);
        self.view.mark_changed();
        self.connection.mark_changed();
        let mut tick =
            tokio::time::interval(TICK_MAX.min(resend_after / 2).max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let events = tokio::select! {
                () = self.stop.cancelled() => return,
                changed = self.connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.connection_events()
                }
                ack = self.acks.recv() => match ack {
                    Some(ack) => {
                        let now_ms = self.host.clock.now().as_millis();
                        self.status.send_modify(|status| status.last_ack_ms = Some(now_ms));
                        vec![Event::Ack(ack)]
                    }
                    None => return,
                },
                changed = self.view.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let SpoolView { durable, oldest, frames_lost } = *self.view.borrow_and_update();
                    vec![Event::Durable { upto: durable, oldest, losses: frames_lost }]
                }
                _ = tick.tick() => {
                    let mut chance = [0; 8];
                    self.host.entropy.fill(&mut chance);
                    vec![Event::Tick { chance: u64::from_le_bytes(chance) }]
                }
            };
            for event in events {
                if self.carry_out(&mut uplink, event).await.is_err() {
                    return;
                }
            }
            self.status.send_if_modified(|status| {
                let changed = status.resends != uplink.resends();
                status.resends = uplink.resends();
                changed
            });
        }
    }

    fn connection_events(&mut self) -> Vec<Event> {
        let connection = self.connection.borrow_and_update().clone();
        let connected = connection.client.is_some();
        self.status.send_modify(|status| {
            if status.connected != connected {
                match &connection.reason {
                    None => tracing::info!(url = self.settings.url, "uplink connected"),
                    Some(reason) => tracing::warn!(
                        url = self.settings.url,
                        reason,
                        "uplink lost; readings are kept"
                    ),
                }
            }
            status.connected = connected;
            status.reason.clone_from(&connection.reason);
        });
        // A new connection may follow the old one without a gap between them that we saw.
        let mut events = vec![Event::Disconnected];
        events.extend(connected.then_some(Event::Connected));
        events
    }

    /// Feeds one event and all that follows from carrying out its actions.
    async fn carry_out(&mut self, uplink: &mut Uplink, event: Event) -> Result<(), KeeperClosed> {
        let mut actions: std::collections::VecDeque<Action> =
            uplink.step(event, self.host.clock.monotonic()).into();
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Free { upto } => self.keeper.free(upto).await?,
                Action::Open { from } => {
                    let info = self.keeper.open(from).await?;
                    let mut messages = vec![UpMessage::Open(info.open).encode(info.log_id)];
                    let dictionaries = info.dictionaries.iter();
                    messages.extend(
                        dictionaries.map(|body| UpMessage::Dictionary(body).encode(info.log_id)),
                    );
                    for message in messages {
                        if self.publish(message).await.is_err() {
                            break;
                        }
                    }
                }
                Action::Send { round, from, frames, bytes } => {
                    let log_id = uplink.log_id();
                    let sent = self.send(log_id, from, frames, bytes).await?;
                    let now = self.host.clock.monotonic();
                    for (sequence, bytes) in sent {
                        actions.extend(uplink.step(Event::Sent { round, sequence, bytes }, now));
                    }
                    actions.extend(uplink.step(Event::SendDone { round }, now));
                }
            }
        }
        Ok(())
    }

    /// Sends frames; returns those that were handed to the connection.
    async fn send(
        &mut self,
        log_id: LogId,
        from: Sequence,
        frames_max: u64,
        bytes_max: u64,
    ) -> Result<Vec<(Sequence, u64)>, KeeperClosed> {
        let mut sent: Vec<(Sequence, u64)> = Vec::new();
        let mut bytes_sent = 0_u64;
        let mut next = from;
        loop {
            let room = bytes_max.saturating_sub(bytes_sent).min(READ_BYTES);
            let read = self.keeper.read(next, usize::try_from(room).unwrap_or(usize::MAX)).await?;
            if read.is_empty() {
                return Ok(sent);
            }
            for (sequence, frame) in read {
                let bytes = u64::try_from(frame.len()).unwrap_or(u64::MAX);
                if self.publish(UpMessage::Frame(&frame).encode(log_id)).await.is_err() {
                    return Ok(sent);
                }
                sent.push((sequence, bytes));
                bytes_sent = bytes_sent.saturating_add(bytes);
                next = sequence.next();
                let frames = u64::try_from(sent.len()).unwrap_or(u64::MAX);
                if frames >= frames_max || bytes_sent >= bytes_max {
                    return Ok(sent);
                }
            }
        }
    }

    /// Hands one message to the connection; waits while it is busy, gives up when it is gone or we stop.
    async fn publish(&self, message: Vec<u8>) -> Result<(), Broken> {
        let client: Option<AsyncClient> = self.connection.borrow().client.clone();
        let client = client.ok_or(Broken)?;
        tokio::select! {
            handed = client.publish(topic::up(&self.gateway), QoS::AtLeastOnce, false, message) => {
                handed.map_err(|_| Broken)
            }
            () = self.stop.cancelled() => Err(Broken),
        }
    }
}
