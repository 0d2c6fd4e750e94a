//! Carries out what the uplink decides, one action after the other. Must never decide anything itself.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use model::wire::UpMessage;
use model::{Ack, GatewayId, Lane, LogId, Sequence, topic};
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::keeper::{KeeperClosed, KeeperHandle, SpoolView};
use crate::mqtt::Connection;
use crate::run::Host;
use crate::settings::UplinkSettings;
use crate::status::UplinkStatus;
use crate::uplink::{Action, Event, Uplink, is_promise};
use crate::uplink_conflict;

/// Bytes read from the spool at a time.
const READ_BYTES: u64 = 1024 * 1024;
/// Longest time between two ticks.
const TICK_MAX: Duration = Duration::from_millis(500);

/// Everything the uplink's task holds.
pub(crate) struct UplinkTask {
    pub(crate) gateway: GatewayId,
    pub(crate) spool_folder: PathBuf,
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
        let mut is_conflict_kept = self.recall_conflict(&mut uplink);
        // Before any ack: what is durable here tells whether it can be true.
        let durable = self.durable_event();
        if self.carry_out(&mut uplink, durable).await.is_err() {
            return;
        }
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
                        if !is_promise(&ack) {
                            tracing::warn!(class = ?ack.class, "commit ack not followed: the centre's store does not keep what it has through a power cut");
                        }
                        vec![Event::Ack(ack)]
                    }
                    None => return,
                },
                changed = self.view.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    vec![self.durable_event()]
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
            if !is_conflict_kept {
                is_conflict_kept = self.keep_conflict(&uplink);
            }
        }
    }

    fn durable_event(&mut self) -> Event {
        let SpoolView { durable, oldest, frames_lost } = *self.view.borrow_and_update();
        Event::Durable { upto: durable, oldest, losses: frames_lost }
    }

    /// Halts the uplink when an earlier run met a conflict; says whether.
    fn recall_conflict(&self, uplink: &mut Uplink) -> bool {
        let known = uplink_conflict::known(&self.spool_folder);
        if let Some(words) = &known {
            uplink.halt();
            self.tell_fault(words);
        }
        known.is_some()
    }

    /// Tells a new conflict and makes it durable; false until that is done.
    fn keep_conflict(&self, uplink: &Uplink) -> bool {
        let Some(conflict) = uplink.conflict() else { return false };
        let words = uplink_conflict::in_words(conflict, &self.spool_folder);
        self.tell_fault(&words);
        let kept = uplink_conflict::keep(&self.spool_folder, &words);
        if let Err(e) = &kept {
            tracing::debug!(error = %e, "conflict not noted in the spool folder; tried again");
        }
        kept.is_ok()
    }

    fn tell_fault(&self, words: &str) {
        self.status.send_if_modified(|status| {
            let is_new = status.fault.as_deref() != Some(words);
            if is_new {
                tracing::error!(fault = words, "uplink halted");
                status.fault = Some(words.to_owned());
            }
            is_new
        });
    }

    fn connection_events(&mut self) -> Vec<Event> {
        let connection = self.connection.borrow_and_update().clone();
        let connected = connection.client.is_some();
        self.status.send_modify(|status| {
            if status.connected != connected || status.reason != connection.reason {
                match &connection.reason {
                    None => tracing::info!(url = self.settings.url, "uplink connected"),
                    Some(reason) => tracing::warn!(
                        url = self.settings.url,
                        reason,
                        "uplink not connected; readings are kept"
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
        let mut actions: VecDeque<Action> = uplink.step(event, self.host.clock.monotonic()).into();
        while let Some(action) = actions.pop_front() {
            let handed = match action {
                Action::Free { upto } => {
                    self.keeper.free(upto).await?;
                    let now_ms = self.host.clock.now().as_millis();
                    self.status.send_modify(|status| status.last_ack_ms = Some(now_ms));
                    Ok(())
                }
                Action::Open { from } => self.open(from).await?,
                Action::Send { round, from, frames, bytes } => {
                    let (sent, handed) = self.send(uplink.log_id(), from, frames, bytes).await?;
                    let now = self.host.clock.monotonic();
                    for (sequence, bytes) in sent {
                        actions.extend(uplink.step(Event::Sent { round, sequence, bytes }, now));
                    }
                    if handed.is_ok() {
                        actions.extend(uplink.step(Event::SendDone { round }, now));
                    }
                    handed
                }
            };
            if let Err(Broken) = handed {
                // Whatever else was to be sent waits for the next connection, of which the watch tells.
                let now = self.host.clock.monotonic();
                actions.retain(|action| matches!(action, Action::Free { .. }));
                actions.extend(uplink.step(Event::Disconnected, now));
            }
        }
        Ok(())
    }

    /// Sends the opening of a session and the dictionaries that its first frames may name.
    async fn open(&self, from: Sequence) -> Result<Result<(), Broken>, KeeperClosed> {
        let info = self.keeper.open(from).await?;
        let mut messages = vec![UpMessage::Open(info.open).encode(info.log_id, Lane::Backlog)];
        let dictionaries = info.dictionaries.iter();
        messages.extend(
            dictionaries.map(|body| UpMessage::Dictionary(body).encode(info.log_id, Lane::Backlog)),
        );
        for message in messages {
            if let Err(broken) = self.publish(message).await {
                return Ok(Err(broken));
            }
        }
        Ok(Ok(()))
    }

    /// Sends frames; returns those that were handed to the connection, and whether it broke.
    async fn send(
        &self,
        log_id: LogId,
        from: Sequence,
        frames_max: u64,
        bytes_max: u64,
    ) -> Result<(Vec<(Sequence, u64)>, Result<(), Broken>), KeeperClosed> {
        let mut sent: Vec<(Sequence, u64)> = Vec::new();
        let mut bytes_sent = 0_u64;
        let mut next = from;
        loop {
            let room = bytes_max.saturating_sub(bytes_sent).min(READ_BYTES);
            let read = self.keeper.read(next, usize::try_from(room).unwrap_or(usize::MAX)).await?;
            if read.is_empty() {
                return Ok((sent, Ok(())));
            }
            for (sequence, frame) in read {
                let bytes = u64::try_from(frame.len()).unwrap_or(u64::MAX);
                if let Err(broken) =
                    self.publish(UpMessage::Frame(&frame).encode(log_id, Lane::Backlog)).await
                {
                    return Ok((sent, Err(broken)));
                }
                sent.push((sequence, bytes));
                bytes_sent = bytes_sent.saturating_add(bytes);
                next = sequence.next();
                let frames = u64::try_from(sent.len()).unwrap_or(u64::MAX);
                if frames >= frames_max || bytes_sent >= bytes_max {
                    return Ok((sent, Ok(())));
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

#[cfg(test)]
mod tests;
