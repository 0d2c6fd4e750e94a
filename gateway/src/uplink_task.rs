//! Carries out what the uplink of one destination decides, one action after the other. Must never decide anything itself,
//! nor know what carries its messages.

use std::collections::VecDeque;
use std::time::Duration;

use broker_link::Breaks;
use keeper::uplink::{Action, Event, Freed, Uplink, is_promise};
use keeper::{DestinationView, Host, KeeperClosed, KeeperHandle, SpoolView};
use model::wire::{Part, UpMessage};
use model::{Ack, Lane, LogId, Sequence};
use spool::DestinationIndex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::status::UplinkStatus;
use crate::transport::{Broken, Connection};

/// Bytes read from the spool at a time.
const READ_BYTES: u64 = 1024 * 1024;
/// Longest time between two ticks.
const TICK_MAX: Duration = Duration::from_millis(500);

/// Everything that the task of one destination holds.
pub(crate) struct UplinkTask {
    pub(crate) to: DestinationIndex,
    pub(crate) resend_after: Duration,
    pub(crate) backoff_max: Duration,
    /// The destination as the log names it.
    pub(crate) name: String,
    pub(crate) host: Host,
    pub(crate) keeper: KeeperHandle,
    pub(crate) view: watch::Receiver<SpoolView>,
    pub(crate) connection: watch::Receiver<Connection>,
    pub(crate) acks: mpsc::Receiver<Ack>,
    pub(crate) progress: watch::Sender<u64>,
    pub(crate) status: watch::Sender<UplinkStatus>,
    pub(crate) stop: CancellationToken,
    /// Counts the messages that went in parts.
    pub(crate) parted: u32,
    /// How often the connection broke lately.
    pub(crate) breaks: Breaks,
}

impl UplinkTask {
    /// Runs until stopped or until the keeper is gone.
    pub(crate) async fn run(mut self) {
        let (resend_after, backoff_max) = (self.resend_after, self.backoff_max);
        let (log_id, known) = self.known();
        let mut uplink =
            Uplink::new(log_id, known.acked, known.store.clone(), resend_after, backoff_max);
        // Before any ack: what is durable here tells whether it can be true.
        let events = self.spool_events(&uplink);
        if self.carry_out_all(&mut uplink, events).await.is_err() {
            return;
        }
        self.connection.mark_changed();
        let mut tick =
            tokio::time::interval(TICK_MAX.min(resend_after / 2).max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut class_told = false;
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
                        // Once: anyone with a right on the topic can send thousands a second.
                        if !is_promise(&ack) && !std::mem::replace(&mut class_told, true) {
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
                    self.spool_events(&uplink)
                }
                _ = tick.tick() => {
                    let mut chance = [0; 8];
                    self.host.entropy.fill(&mut chance);
                    vec![Event::Tick { chance: u64::from_le_bytes(chance) }]
                }
            };
            if self.carry_out_all(&mut uplink, events).await.is_err() {
                return;
            }
            self.show(&uplink);
        }
    }

    /// What the spool knows of this destination.
    fn known(&mut self) -> (LogId, DestinationView) {
        let view = self.view.borrow_and_update();
        let known = view.destinations.get(self.to.0).cloned().unwrap_or_default();
        (view.log_id, known)
    }

    fn spool_events(&mut self, uplink: &Uplink) -> Vec<Event> {
        let (log_id, known) = self.known();
        let mut events = Vec::new();
        if log_id != uplink.log_id() {
            events.push(Event::LogBegun { log_id, acked: known.acked });
        }
        let (upto, oldest, losses) = (known.deliverable, known.oldest, known.losses);
        events.push(Event::Durable { upto, oldest, losses });
        events
    }

    fn show(&mut self, uplink: &Uplink) {
        let now = self.host.clock.monotonic();
        let breaks = self.breaks.in_last_minute(now) as u64;
        let late = self.breaks.tells_late(now);
        self.status.send_if_modified(|status| {
            let fault = uplink.fault();
            let changed = (status.resends, status.breaks_in_last_minute)
                != (uplink.resends(), breaks)
                || status.fault.as_deref() != fault;
            status.breaks_in_last_minute = breaks;
            if late {
                tell_connection(&self.name, status);
            }
            if status.fault.as_deref() != fault {
                let destination = self.name.as_str();
                if let Some(fault) = fault {
                    tracing::error!(destination, fault, "the uplink has a fault");
                } else {
                    tracing::info!(destination, "the uplink's fault is gone");
                }
            }
            status.resends = uplink.resends();
            status.fault = fault.map(str::to_owned);
            changed
        });
    }

    fn connection_events(&mut self) -> Vec<Event> {
        let connection = self.connection.borrow_and_update().clone();
        let connected = connection.outgoing.is_some();
        let now = self.host.clock.monotonic();
        if self.status.borrow().connected {
            self.breaks.broke(now);
        }
        let breaks = self.breaks.in_last_minute(now) as u64;
        let is_change = {
            let status = self.status.borrow();
            status.connected != connected || status.reason != connection.reason
        };
        let tells = is_change && self.breaks.tells(now);
        self.status.send_modify(|status| {
            status.connected = connected;
            status.reason.clone_from(&connection.reason);
            status.breaks_in_last_minute = breaks;
            if tells {
                tell_connection(&self.name, status);
            }
        });
        // A new connection may follow the old one without a gap between them that we saw.
        let mut events = vec![Event::Disconnected];
        events.extend(connected.then_some(Event::Connected));
        events
    }

    async fn carry_out_all(
        &mut self,
        uplink: &mut Uplink,
        events: Vec<Event>,
    ) -> Result<(), KeeperClosed> {
        for event in events {
            self.carry_out(uplink, event).await?;
        }
        Ok(())
    }

    /// Feeds one event and all that follows from carrying out its actions.
    async fn carry_out(&mut self, uplink: &mut Uplink, event: Event) -> Result<(), KeeperClosed> {
        let mut actions: VecDeque<Action> = uplink.step(event, self.host.clock.monotonic()).into();
        while let Some(action) = actions.pop_front() {
            let handed = match action {
                Action::Free { upto, hash } => {
                    let answer = self.keeper.free(self.to, upto, hash).await?;
                    self.note_answer(answer);
                    let now = self.host.clock.monotonic();
                    actions.extend(uplink.step(Event::Freed { upto, answer }, now));
                    Ok(())
                }
                Action::NoteStore { store, epoch } => {
                    self.keeper.note_store(self.to, store, epoch).await?;
                    Ok(())
                }
                Action::BeginLog { conflict } => {
                    self.begin_log(conflict.to_string()).await?;
                    let now = self.host.clock.monotonic();
                    for event in self.spool_events(uplink) {
                        actions.extend(uplink.step(event, now));
                    }
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
                actions
                    .retain(|action| !matches!(action, Action::Open { .. } | Action::Send { .. }));
                actions.extend(uplink.step(Event::Disconnected, now));
            }
        }
        Ok(())
    }

    fn note_answer(&self, answer: Freed) {
        if answer == Freed::Yes {
            let now_ms = self.host.clock.now().as_millis();
            self.status.send_modify(|status| status.last_ack_ms = Some(now_ms));
            self.progress.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    async fn begin_log(&mut self, why: String) -> Result<(), KeeperClosed> {
        tracing::error!(destination = self.name, why, "the log begins again under another name");
        match self.keeper.begin_log(self.name.clone(), why.clone()).await? {
            Ok(()) => {
                let text = format!(
                    "{why}: an old copy of the spool was put back, or two gateways run on copies of it. A new log began by \
                     itself, and what is held is sent in it"
                );
                self.status.send_modify(|status| status.log_begun = Some(text));
            }
            Err(reason) => {
                tracing::error!(reason, "the new log could not be begun; tried again");
            }
        }
        Ok(())
    }

    /// Sends the opening of a session and the dictionaries that its first frames may name.
    async fn open(&mut self, from: Sequence) -> Result<Result<(), Broken>, KeeperClosed> {
        let info = self.keeper.open(self.to, from).await?;
        let log_id = info.log_id;
        if let Err(broken) = self.publish(&UpMessage::Open(info.open), log_id).await {
            return Ok(Err(broken));
        }
        for body in &info.dictionaries {
            if let Err(broken) = self.publish(&UpMessage::Dictionary(body), log_id).await {
                return Ok(Err(broken));
            }
        }
        Ok(Ok(()))
    }

    /// Sends frames; returns those that were handed to the connection, and whether it broke.
    async fn send(
        &mut self,
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
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            // `None` when the spool has become another log since.
            let read = self.keeper.read(self.to, log_id, next, room).await?.unwrap_or_default();
            if read.is_empty() {
                return Ok((sent, Ok(())));
            }
            for (sequence, frame) in read {
                let bytes = u64::try_from(frame.len()).unwrap_or(u64::MAX);
                if let Err(broken) = self.publish(&UpMessage::Frame(&frame), log_id).await {
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

    /// Hands one message to the connection, in parts where it is too long for it; waits while it is busy, gives up when
    /// it is gone or we stop.
    async fn publish(&mut self, message: &UpMessage<'_>, log_id: LogId) -> Result<(), Broken> {
        let outgoing = self.connection.borrow().outgoing.clone().ok_or(Broken)?;
        let message = message.encode(log_id, Lane::Backlog);
        let max = outgoing.message_bytes_max();
        let messages = if message.len() <= max {
            vec![message]
        } else {
            self.parted = self.parted.wrapping_add(1);
            let parts = Part::split(&message, self.parted, max);
            parts.map(|part| UpMessage::Part(part).encode(log_id, Lane::Backlog)).collect()
        };
        for message in messages {
            tokio::select! {
                handed = outgoing.send(message) => handed?,
                () = self.stop.cancelled() => return Err(Broken),
            }
        }
        Ok(())
    }
}

/// A connection that comes and goes is told once a minute, with how often it broke in the last one.
fn tell_connection(destination: &str, status: &UplinkStatus) {
    let (url, breaks) = (status.url.as_str(), status.breaks_in_last_minute);
    let breaks = (breaks > 1).then_some(breaks);
    match &status.reason {
        None => tracing::info!(destination, url, breaks, "uplink connected"),
        Some(reason) => {
            tracing::warn!(
                destination,
                url,
                breaks,
                reason,
                "uplink not connected; readings are kept"
            );
        }
    }
}

#[cfg(test)]
mod tests;
