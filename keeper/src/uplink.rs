//! What to send and what to free at one destination: a pure `step(event) → actions`, run unchanged by a simulation.
//!
//! Frames go out in sequence order within a window that counts frames without a *commit ack*. PUBACK is no event here:
//! it promises nothing (INV-5). Sending starts again from the watermark when ingest asks for it, when another run of
//! ingest or another store answers, and when nothing was committed for a while. The watermark is the one that ingest
//! names: a store that is new, or put back from a copy, gets everything again that is still held.
//!
//! The watermark moves what is sent, and no more. What is *freed* is decided by the spool, which compares the hash of the
//! ack with that of its own frame; the answer comes back as [`Event::Freed`].
//!
//! A centre that has what was never here, or another frame under a sequence of this log, got it from another spool: one
//! that was put back from an old copy since, or that runs twice. When it says so again after a new opening, the log
//! begins again under another name with all that is held ([`Action::BeginLog`]).

use std::collections::VecDeque;
use std::time::Duration;

use driver::Backoff;
use model::ack::TWO_GATEWAYS;
use model::{Ack, DurabilityClass, Epoch, FrameHash, LogId, Sequence, StoreId};

/// Most frames sent and not committed.
pub const WINDOW_FRAMES: u64 = 64;
/// Most bytes sent and not committed; one frame may always be under way.
pub const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// A conflict counts when it is still told so long after it was told first, and the session was opened again since.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(2);
/// A conflict that is not told again is forgotten.
const FORGET_AFTER: Duration = Duration::from_mins(2);
/// Least time between two new logs: what somebody forges must not make one after the other.
pub const NEW_LOG_INTERVAL: Duration = Duration::from_hours(1);
/// How long a status says that another gateway has the same id, after the centre said it last; it says so once a minute.
const TOLD_FOR: Duration = Duration::from_mins(10);
/// Longest wait that ingest may ask for.
pub const SLOW_MAX: Duration = Duration::from_mins(1);

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The transport is connected.
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
    /// What became of an [`Action::Free`].
    Freed {
        /// Its watermark.
        upto: Sequence,
        /// The spool's answer.
        answer: Freed,
    },
    /// The spool goes on as another log.
    LogBegun {
        /// Its name.
        log_id: LogId,
        /// What the destination is known to have.
        acked: Sequence,
    },
    /// Time passed; `chance` is uniform over `u64`.
    Tick {
        /// Chance for the jitter.
        chance: u64,
    },
}

/// What the spool says to an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// The hash is that of its frame: everything up to there is freed.
    Yes,
    /// There is no frame to compare with, because the sequence is lost; the next one will do.
    NoFrame,
    /// The ack is without the hash that it should have.
    NoHash,
    /// The hash is that of another frame.
    OtherFrame,
    /// It cannot be told at the moment.
    NotNow,
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
    /// The store says that it has everything up to here: free it if the hash proves it (INV-3), and answer with
    /// [`Event::Freed`].
    Free {
        /// The watermark.
        upto: Sequence,
        /// The hash of the frame there, as the store has it.
        hash: Option<FrameHash>,
    },
    /// Note which store answers.
    NoteStore {
        /// Its identity.
        store: StoreId,
        /// How often it went back.
        epoch: Epoch,
    },
    /// Begin again as another log.
    BeginLog {
        /// Why.
        conflict: Conflict,
    },
}

/// The centre has what this spool never held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Its watermark is above everything that is durable here.
    Ahead {
        /// The watermark of the centre.
        committed: Sequence,
        /// What was durable here when it was told.
        durable: Sequence,
    },
    /// It has another frame under a sequence of this log.
    OtherFrame {
        /// The sequence.
        sequence: Sequence,
    },
    /// It says that this log goes on differently from the one that it knows.
    Forked,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ahead { committed, durable } => write!(
                f,
                "the centre has frames of this log up to {committed}, but only {durable} were ever here"
            ),
            Self::OtherFrame { sequence } => {
                write!(f, "the centre has another frame {sequence} of this log than the one here")
            }
            Self::Forked => write!(f, "the centre has frames of this log that were never here"),
        }
    }
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
    watermark: Sequence,
    /// What the spool has freed.
    acked: Sequence,
    /// Highest sequence sent since the last start from the watermark.
    sent: Sequence,
    /// Bytes of what was sent, by sequence, above the watermark.
    in_flight: VecDeque<(Sequence, u64)>,
    in_flight_bytes: u64,
    /// The run of ingest that answered last.
    ingest: Option<String>,
    /// The store that answered last.
    store: Option<(StoreId, Epoch)>,
    /// When something was committed last, or sending began again.
    progress_at: Duration,
    /// When to send again if nothing is committed.
    grace_period: Duration,
    /// When the last start from the watermark that ingest asked for happened, and for which sequence.
    wanted: Option<(Sequence, Duration)>,
    /// Nothing is sent before, because ingest asked for it.
    not_before: Duration,
    resends: u64,
    /// What was told first, when, and whether the session was opened again since.
    suspicion: Option<(Conflict, Duration, bool)>,
    /// When the last new log began.
    log_begun_at: Option<Duration>,
    /// Why nothing is freed, by what was found here.
    fault: Option<String>,
    /// Why the centre takes no frame of this log behind the one that it names, by its own words.
    refused: Option<(String, Sequence)>,
    /// That another gateway has this one's id, and when the centre said so last.
    told: Option<(String, Duration)>,
}

/// Whether an ack promises what frees a spool: D0 and D1 do not outlive a power cut of the centre.
#[must_use]
pub fn is_promise(ack: &Ack) -> bool {
    ack.class >= DurabilityClass::D2
}

impl Uplink {
    /// An uplink of a spool whose acknowledged end is `acked`, and whose destination had `store` last.
    #[must_use]
    pub fn new(
        log_id: LogId,
        acked: Sequence,
        store: Option<(StoreId, Epoch)>,
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
            watermark: acked,
            acked,
            sent: acked,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            ingest: None,
            store,
            progress_at: Duration::ZERO,
            grace_period: resend_after,
            wanted: None,
            not_before: Duration::ZERO,
            resends: 0,
            suspicion: None,
            log_begun_at: None,
            fault: None,
            refused: None,
            told: None,
        }
    }

    /// Whose frames it sends.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// What the spool has freed for this destination.
    #[must_use]
    pub fn acked(&self) -> Sequence {
        self.acked
    }

    /// Whether the transport is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// How often sending began again from the watermark.
    #[must_use]
    pub fn resends(&self) -> u64 {
        self.resends
    }

    /// What is wrong although the centre answers, mostly why nothing is freed, and what to do.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        let refused = self.refused.as_ref().map(|(text, _)| text.as_str());
        let told = self.told.as_ref().map(|(text, _)| text.as_str());
        refused.or(self.fault.as_deref()).or(told)
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
            Event::Freed { upto, answer } => self.take_answer(upto, answer, now, &mut actions),
            Event::LogBegun { log_id, acked } => {
                self.begin_log(log_id, acked);
                if self.connected {
                    self.restart(now, &mut actions);
                }
            }
            Event::Tick { chance } => {
                self.resend_if_stalled(now, chance, &mut actions);
                self.look_again(now, &mut actions);
                self.told.take_if(|(_, at)| now.saturating_sub(*at) >= TOLD_FOR);
            }
        }
        self.send_more(now, &mut actions);
        actions
    }

    /// Opens the session again and starts from the watermark.
    fn restart(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.round = self.round.saturating_add(1);
        self.sending = false;
        self.sent = self.watermark;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.progress_at = now;
        let from = self.watermark.next().max(self.oldest);
        actions.push(Action::Open { from });
    }

    /// Everything that was said so far was said of another log.
    fn begin_log(&mut self, log_id: LogId, acked: Sequence) {
        self.log_id = log_id;
        (self.watermark, self.acked, self.sent) = (acked, acked, acked);
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.sending = false;
        (self.suspicion, self.fault, self.wanted) = (None, None, None);
        self.refused = None;
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
        if !is_ours || !is_promise(ack) {
            return;
        }
        if let Some(fault) = ack.fault.as_ref().filter(|fault| fault.code == TWO_GATEWAYS) {
            // Nothing is refused: the log goes on at its turns.
            self.told = Some((fault.text.clone(), now));
            return;
        }
        if let Some(fault) = &ack.fault {
            self.refused =
                Some((format!("the centre refuses this log: {}", fault.text), held(ack)));
            if fault.code == FORKED {
                self.suspect(Conflict::Forked, now, actions);
            }
            return;
        }
        // INV-2: what leaves is durable here, so nothing beyond it can have come from this spool.
        if ack.durable_upto > self.durable {
            let (committed, durable) = (ack.durable_upto, self.durable);
            self.suspect(Conflict::Ahead { committed, durable }, now, actions);
            return;
        }
        let pair = (ack.store.clone(), ack.epoch);
        let another_store = self.store.as_ref().is_some_and(|known| *known != pair);
        if self.store.as_ref() != Some(&pair) {
            let (store, epoch) = pair.clone();
            actions.push(Action::NoteStore { store, epoch });
            self.store = Some(pair);
        }
        if ack.durable_upto > self.acked {
            actions.push(Action::Free { upto: ack.durable_upto, hash: ack.hash });
        } else if ack.durable_upto > self.watermark {
            // A store that is new catches up with what another one had.
            self.pass(ack.durable_upto, now);
        }
        self.note_alive(ack);
        // An ack for what was sent before does not say that the rest is taken.
        self.refused.take_if(|(_, taken)| held(ack) > *taken || held(ack) >= self.durable);
        let slow = Duration::from_millis(ack.slow_ms).min(SLOW_MAX);
        self.not_before = now.saturating_add(slow);
        let another_run = self.ingest.as_ref().is_some_and(|known| *known != ack.ingest);
        self.ingest = Some(ack.ingest.clone());
        let asked = ack.open || ack.wanted().is_some_and(|want| want <= self.sent);
        let is_other = another_run || another_store;
        // Another one says for itself what it refuses.
        self.refused.take_if(|_| is_other);
        if self.connected && (is_other || (asked && self.may_repeat(ack, now))) {
            self.resends = self.resends.saturating_add(1);
            // It is lower than ours where the store is new or older: what was delivered to another is sent again.
            self.watermark = ack.durable_upto;
            self.restart(now, actions);
        }
    }

    /// Moves the watermark: what lies below is under way no longer.
    fn pass(&mut self, upto: Sequence, now: Duration) {
        if upto <= self.watermark {
            // Told again, and no progress.
            return;
        }
        self.watermark = upto;
        self.wanted = None;
        self.sent = self.sent.max(self.watermark);
        while let Some((sequence, bytes)) = self.in_flight.front().copied() {
            if sequence > self.watermark {
                break;
            }
            self.in_flight.pop_front();
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        }
        self.progress_at = now;
        self.grace_period = self.resend_after;
        self.backoff.reset();
    }

    fn take_answer(
        &mut self,
        upto: Sequence,
        answer: Freed,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        match answer {
            Freed::Yes => {
                self.acked = self.acked.max(upto);
                (self.suspicion, self.fault) = (None, None);
                self.pass(upto, now);
            }
            // The watermark may move all the same: it frees nothing, and ingest asks for what it lacks.
            Freed::NoFrame => self.pass(upto, now),
            Freed::NoHash => {
                self.fault = Some(format!(
                    "nothing is freed: the commit ack for sequence {upto} is without the hash of its frame; update the \
                     centre, or let nobody else write to the ack topic"
                ));
                self.pass(upto, now);
            }
            Freed::OtherFrame => {
                self.suspect(Conflict::OtherFrame { sequence: upto }, now, actions);
            }
            Freed::NotNow => {}
        }
    }

    /// Takes note of a conflict. When it is told again after a new opening, the log begins again.
    fn suspect(&mut self, conflict: Conflict, now: Duration, actions: &mut Vec<Action>) {
        let Some((_, since, reopened)) = self.suspicion else {
            self.suspicion = Some((conflict, now, false));
            return;
        };
        if !reopened || now.saturating_sub(since) < CONFIRM_AFTER {
            return;
        }
        let too_soon = |at: Duration| now.saturating_sub(at) < NEW_LOG_INTERVAL;
        if self.log_begun_at.is_some_and(too_soon) {
            self.fault = Some(format!(
                "{conflict}, again within {} minutes: nothing is freed. Does somebody else use the name of this \
                 gateway, or write to its topics?",
                NEW_LOG_INTERVAL.as_secs() / 60
            ));
            return;
        }
        (self.log_begun_at, self.suspicion) = (Some(now), None);
        actions.push(Action::BeginLog { conflict });
    }

    /// Opens the session again when a conflict was told a while ago, so that the centre says whether it holds.
    fn look_again(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some((_, since, reopened)) = &mut self.suspicion else { return };
        let waited = now.saturating_sub(*since);
        if waited >= FORGET_AFTER {
            // It was not told again: an ack of yesterday, or somebody who plays.
            self.suspicion = None;
        } else if self.connected && waited >= CONFIRM_AFTER && !*reopened {
            *reopened = true;
            self.restart(now, actions);
        }
    }

    /// The centre is there. Where it does not hold what was sent, that was lost on the way: it is sent again after the
    /// shortest wait since it went, and not after one that grew while there was no centre. What it holds, it only does not
    /// commit yet, and sending it again would not help.
    fn note_alive(&mut self, ack: &Ack) {
        if held(ack) < self.sent {
            self.grace_period = self.resend_after;
            self.backoff.reset();
        }
    }

    /// Ingest may ask for the same sequence once per grace period: the frames it asked for are already under way.
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
        if now.saturating_sub(self.progress_at) >= self.grace_period {
            self.grace_period = self.backoff.after_failure(chance);
            self.resends = self.resends.saturating_add(1);
            self.restart(now, actions);
        }
    }

    fn send_more(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let from = self.sent.next().max(self.oldest);
        let under_way = u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX);
        let frames = WINDOW_FRAMES.saturating_sub(under_way);
        let bytes = WINDOW_BYTES.saturating_sub(self.in_flight_bytes);
        let may_send = self.connected && !self.sending && from <= self.durable;
        if may_send && now >= self.not_before && frames > 0 && (bytes > 0 || under_way == 0) {
            self.sending = true;
            self.asked_from = from;
            actions.push(Action::Send { round: self.round, from, frames, bytes });
        }
    }
}

/// The last frame of the log that the centre has, durable or not yet.
fn held(ack: &Ack) -> Sequence {
    ack.have.last().map_or(ack.durable_upto, |range| range.last)
}

/// The code of the fault of a log that goes on differently at the centre.
const FORKED: &str = "forked";

#[cfg(test)]
mod tests;
