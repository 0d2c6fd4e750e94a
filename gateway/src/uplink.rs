//! What to send and what to free: a pure `step(event) → actions`, run unchanged by a simulation. Must never know MQTT,
//! a disk or a clock; times come in.
//!
//! Frames go out in sequence order within a window that counts frames without a *commit ack*. PUBACK is no event here:
//! it promises nothing (INV-5). Sending starts again from the watermark when ingest asks for it, when another run of
//! ingest answers, and when nothing was committed for a while. The watermark is the one that ingest names: a store that
//! is new, or put back from a copy, gets everything again that is still held.
//!
//! A centre that has committed more of this log than was ever durable here has it from another spool: one that was put
//! back from an old copy since, or that runs twice. The sequences to come would be taken for those it has, so from then
//! on nothing is sent and nothing freed; only people can choose what to keep.

use std::time::Duration;

use driver::Backoff;
use model::{Ack, DurabilityClass, LogId, Sequence};

/// Most frames sent and not committed.
pub const WINDOW_FRAMES: u64 = 64;
/// Most bytes sent and not committed; one frame may always be under way.
pub const WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The broker accepted the connection.
    Connected,
    /// The connection is gone.
    Disconnected,
    /// The spool holds durable frames up to here, from `oldest` on.
    Durable {
        /// Highest durable sequence.
        upto: Sequence,
        /// Oldest sequence held.
        oldest: Sequence,
        /// Counts every loss so far: a change means that the centre must hear of a new one.
        losses: u64,
    },
    /// A frame was handed to the connection.
    Sent {
        /// The round of the [`Action::Send`] that asked for it.
        round: u64,
        /// Its sequence.
        sequence: Sequence,
        /// Its bytes.
        bytes: u64,
    },
    /// All that an [`Action::Send`] asked for and the spool could give has been handed over.
    SendDone {
        /// Its round.
        round: u64,
    },
    /// Ingest answered.
    Ack(Ack),
    /// Time passed; `chance` is uniform over `u64`.
    Tick {
        /// Chance for the jitter.
        chance: u64,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send the opening of the session and the dictionaries for frames from `from` on.
    Open {
        /// First sequence that will follow.
        from: Sequence,
    },
    /// Read frames from the spool and send them, one event [`Event::Sent`] each, then [`Event::SendDone`].
    Send {
        /// Every start from the watermark begins a new round; what an older one still reports is passed over.
        round: u64,
        /// First sequence.
        from: Sequence,
        /// Most frames.
        frames: u64,
        /// Most bytes.
        bytes: u64,
    },
    /// The store has everything up to here: free it (INV-3).
    Free {
        /// The watermark.
        upto: Sequence,
    },
}

/// State of the uplink.
#[derive(Debug)]
pub struct Uplink {
    log_id: LogId,
    resend_after: Duration,
    backoff: Backoff,
    connected: bool,
    /// Counts the starts from the watermark.
    round: u64,
    /// An [`Action::Send`] of this round is being carried out.
    sending: bool,
    /// Where the last [`Action::Send`] began.
    asked_from: Sequence,
    /// Highest sequence known to be durable here.
    durable: Sequence,
    oldest: Sequence,
    losses: u64,
    /// The watermark of the store, as ingest told it last.
    acked: Sequence,
    /// Highest sequence sent since the last start from the watermark.
    sent: Sequence,
    /// Bytes of what was sent, by sequence, above `acked`.
    in_flight: std::collections::VecDeque<(Sequence, u64)>,
    in_flight_bytes: u64,
    /// The run of ingest that answered last.
    ingest: Option<String>,
    /// When something was committed last, or sending began again.
    progress_at: Duration,
    /// When to send again if nothing is committed.
    patience: Duration,
    /// When the last start from the watermark that ingest asked for happened, and for which sequence.
    wanted: Option<(Sequence, Duration)>,
    resends: u64,
    /// Nothing is sent or freed any more.
    is_halted: bool,
    conflict: Option<Conflict>,
}

/// The centre has committed what was never durable here: this log lives, or lived, in another spool too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The watermark of the centre.
    pub committed: Sequence,
    /// What was durable here when it was told.
    pub durable: Sequence,
}

/// Whether an ack promises what frees a spool: D0 and D1 do not outlive a power cut of the centre.
#[must_use]
pub fn is_promise(ack: &Ack) -> bool {
    ack.class >= DurabilityClass::D2
}

impl Uplink {
    /// An uplink of a spool whose acknowledged end is `acked`.
    #[must_use]
    pub fn new(
        log_id: LogId,
        acked: Sequence,
        resend_after: Duration,
        backoff_max: Duration,
    ) -> Self {
        Self {
            log_id,
            resend_after,
            backoff: Backoff::new(resend_after, backoff_max.max(resend_after)),
            connected: false,
            round: 0,
            sending: false,
            asked_from: Sequence(0),
            durable: Sequence(0),
            oldest: Sequence(1),
            losses: 0,
            acked,
            sent: acked,
            in_flight: std::collections::VecDeque::new(),
            in_flight_bytes: 0,
            ingest: None,
            progress_at: Duration::ZERO,
            patience: resend_after,
            wanted: None,
            resends: 0,
            is_halted: false,
            conflict: None,
        }
    }

    /// From now on nothing is sent and nothing freed: an earlier run met a [`Conflict`], which does not pass by itself.
    pub fn halt(&mut self) {
        self.is_halted = true;
    }

    /// Whose frames it sends.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// Highest sequence that the store has durably.
    #[must_use]
    pub fn acked(&self) -> Sequence {
        self.acked
    }

    /// Whether the broker is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// How often sending began again from the watermark.
    #[must_use]
    pub fn resends(&self) -> u64 {
        self.resends
    }

    /// What halted it in this run.
    #[must_use]
    pub fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }

    /// Takes one event at `now` (monotonic) and says what to do.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Connected => {
                self.connected = true;
                self.restart(now, &mut actions);
            }
            Event::Disconnected => {
                self.connected = false;
                self.sending = false;
            }
            Event::Durable { upto, oldest, losses } => {
                self.durable = self.durable.max(upto);
                self.oldest = self.oldest.max(oldest);
                let new_loss = losses != self.losses;
                self.losses = losses;
                if new_loss && self.connected {
                    self.restart(now, &mut actions);
                }
            }
            Event::Sent { round, sequence, bytes } => {
                // The keeper may have made it durable since the last `Durable`.
                self.durable = self.durable.max(sequence);
                if round == self.round {
                    self.note_sent(sequence, bytes);
                }
            }
            Event::SendDone { round } if round == self.round => {
                self.sending = false;
                if self.sent < self.asked_from {
                    // Not one frame went out: at once it would be no better.
                    return actions;
                }
            }
            Event::SendDone { .. } => {}
            Event::Ack(ack) => self.take_ack(&ack, now, &mut actions),
            Event::Tick { chance } => self.resend_if_stalled(now, chance, &mut actions),
        }
        if self.is_halted {
            return Vec::new();
        }
        self.send_more(&mut actions);
        actions
    }

    /// Opens the session again and starts from the watermark.
    fn restart(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.round = self.round.saturating_add(1);
        self.sending = false;
        self.sent = self.acked;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.progress_at = now;
        let from = self.acked.next().max(self.oldest);
        actions.push(Action::Open { from });
    }

    fn note_sent(&mut self, sequence: Sequence, bytes: u64) {
        // A commit ack may have overtaken the report.
        if sequence > self.sent {
            self.sent = sequence;
            self.in_flight.push_back((sequence, bytes));
            self.in_flight_bytes = self.in_flight_bytes.saturating_add(bytes);
        }
    }

    fn take_ack(&mut self, ack: &Ack, now: Duration, actions: &mut Vec<Action>) {
        let is_ours = ack.log_id == self.log_id && ack.v == model::ack::ACK_VERSION;
        if !is_ours || !is_promise(ack) || self.is_halted {
            return;
        }
        // INV-2: what leaves is durable here, so nothing beyond it can have come from this spool. Once more is durable,
        // such an ack could no longer be told from a true one: hence it is remembered.
        if ack.durable_upto > self.durable {
            let (committed, durable) = (ack.durable_upto, self.durable);
            self.conflict = Some(Conflict { committed, durable });
            self.halt();
            return;
        }
        if ack.durable_upto > self.acked {
            self.acked = ack.durable_upto;
            self.sent = self.sent.max(self.acked);
            while let Some((sequence, bytes)) = self.in_flight.front().copied() {
                if sequence > self.acked {
                    break;
                }
                self.in_flight.pop_front();
                self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
            }
            self.progress_at = now;
            self.patience = self.resend_after;
            self.backoff.reset();
            self.wanted = None;
            actions.push(Action::Free { upto: self.acked });
        }
        let another_run = self.ingest.as_ref().is_some_and(|known| *known != ack.ingest);
        self.ingest = Some(ack.ingest.clone());
        let asked = ack.open || ack.wanted().is_some_and(|want| want <= self.sent);
        if self.connected && (another_run || (asked && self.may_repeat(ack, now))) {
            self.resends = self.resends.saturating_add(1);
            // It is lower than ours where the store is new or older: what was delivered to another is sent again.
            self.acked = ack.durable_upto;
            self.restart(now, actions);
        }
    }

    /// Ingest may ask for the same sequence once per patience: the frames it asked for are already under way.
    fn may_repeat(&mut self, ack: &Ack, now: Duration) -> bool {
        let wanted = ack.wanted().unwrap_or(ack.durable_upto);
        let repeated = self.wanted.is_some_and(|(known, at)| {
            known == wanted && now.saturating_sub(at) < self.resend_after
        });
        if !repeated {
            self.wanted = Some((wanted, now));
        }
        !repeated
    }

    fn resend_if_stalled(&mut self, now: Duration, chance: u64, actions: &mut Vec<Action>) {
        if !self.connected || self.in_flight.is_empty() {
            self.progress_at = now;
            return;
        }
        if now.saturating_sub(self.progress_at) >= self.patience {
            self.patience = self.backoff.after_failure(chance);
            self.resends = self.resends.saturating_add(1);
            self.restart(now, actions);
        }
    }

    fn send_more(&mut self, actions: &mut Vec<Action>) {
        let from = self.sent.next().max(self.oldest);
        let under_way = u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX);
        let frames = WINDOW_FRAMES.saturating_sub(under_way);
        let bytes = WINDOW_BYTES.saturating_sub(self.in_flight_bytes);
        let may_send = self.connected && !self.sending && from <= self.durable;
        if may_send && frames > 0 && (bytes > 0 || under_way == 0) {
            self.sending = true;
            self.asked_from = from;
            actions.push(Action::Send { round: self.round, from, frames, bytes });
        }
    }
}

#[cfg(test)]
mod tests;
