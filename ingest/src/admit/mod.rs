//! Admission: what comes from gateways, in what order it is committed, and what they are told. A pure
//! `step(event) → actions`; time comes in. Must never know MQTT, a disk or which store commits.
//!
//! ```text
//! Up(Open)  ─▶ the log starts at its watermark, losses are passed         ─▶ Ack
//! Up(Frame) ─▶ next in its log and within the bound: held; else dropped,  ─▶ Ack that asks for what is missing
//!              counted, and sent again by the gateway
//! time      ─▶ what is held by all logs, in one draft                     ─▶ Commit
//! Committed ─▶ watermarks move                                            ─▶ Ack: the commit acks (INV-5)
//! ```
//!
//! The frames of a log are committed in the order of their sequences, each once. What is held for a gateway, waiting or
//! in the draft under way, is bounded; nothing else here grows with traffic.

mod answers;
mod contents;
mod counters;
mod dictionaries;
mod drafts;
mod event;
#[cfg(test)]
pub(crate) mod fixtures;
mod frame;
mod log;
mod notice;
mod owners;
mod parts;
mod rescue;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use contract::{AdmittedFrame, LogKey, Watermark};
use model::frame::decode_frame;
use model::wire::{Open, UpMessage};
use model::{DictionaryHash, Epoch, Frame, GatewayId, LogId, RecordType, Sequence, StoreId};

use contract::Dictionaries;

pub use counters::{Counters, DropReason, Dropped};
pub use dictionaries::{
    DICTIONARIES_BYTES_MAX, GATEWAY_DICTIONARIES_BYTES_MAX, NEWCOMERS_BYTES_MAX,
};
pub use event::{Action, AdmitSettings, Event, LogState, Now, Work};
pub use notice::{Notice, NoticeKind};

use answers::{ASK_MAX, ASK_MIN, NOTICE_INTERVAL, Tell, Voice};
use dictionaries::{AtHand, Budgets};
use drafts::{Drafts, Due};
use frame::{breaks_chain, compare_with_last, forked, hold, refuse_fork};
use log::{Held, Log, Session, Weight};
use notice::Limiter;
use owners::Owners;
use parts::Parts;
use waits::Waits;

use crate::damper::Damper;

/// Frames that a gateway sends without a commit ack; the bound must not be lower.
pub const WINDOW_FRAMES: u64 = 64;
/// Bytes that a gateway sends without a commit ack.
pub const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Most frames held uncommitted for one gateway: the windows of two logs, as after a change of the card.
pub const GATEWAY_FRAMES_MAX: u64 = 2 * WINDOW_FRAMES;
/// Most bytes held uncommitted for one gateway.
pub const GATEWAY_BYTES_MAX: u64 = 2 * WINDOW_BYTES;
/// Most logs that one gateway may open in one run.
pub const LOGS_PER_GATEWAY_MAX: usize = 64;
/// Most logs that may be opened in one run, in all.
pub const LOGS_MAX: usize = 100_000;

/// A gateway does not write so many frames between its opening and the answer to it.
const FAR_BEHIND: u64 = 256;

/// State of admission.
#[derive(Debug)]
pub struct Admit {
    settings: AdmitSettings,
    voice: Voice,
    logs: BTreeMap<LogKey, Log>,
    /// Logs that their gateways opened in this run.
    logs_opened: usize,
    /// The log of each gateway that sent last, and the one before.
    live: BTreeMap<GatewayId, (LogId, Option<LogId>)>,
    /// What the store kept when this run began.
    stored: Dictionaries,
    /// Held uncommitted, the draft under way included.
    weights: BTreeMap<GatewayId, Weight>,
    total: Weight,
    drafts: Drafts,
    owners: Owners,
    at_hand: AtHand,
    budgets: Budgets,
    /// For budgets of dictionaries.
    waits: Waits,
    /// When a gateway was last asked for something, or told again what it should know.
    asked: Limiter<LogKey>,
    noticed: Limiter<(GatewayId, NoticeKind)>,
    /// When a gateway was last told that it has a double.
    told: Limiter<LogKey>,
    /// What is told about gateways of which the store has nothing.
    strangers: Damper,
    parts: Parts,
    counters: Counters,
}

/// A frame that was not admitted, and what to tell the gateway.
struct Refusal(DropReason, Option<String>);

impl From<DropReason> for Refusal {
    fn from(reason: DropReason) -> Self {
        Self(reason, None)
    }
}

fn refused(error: &dyn std::error::Error) -> Refusal {
    Refusal(DropReason::Refused, Some(error.to_string()))
}

/// All logs of a gateway.
fn logs_of(gateway: &GatewayId) -> RangeInclusive<LogKey> {
    (gateway.clone(), LogId([0; 16]))..=(gateway.clone(), LogId([255; 16]))
}

/// The log, if its gateway opened it in this run.
fn opened<'a>(logs: &'a mut BTreeMap<LogKey, Log>, key: &LogKey) -> Result<&'a mut Log, Refusal> {
    match logs.get_mut(key) {
        Some(log) if log.is_open() => Ok(log),
        Some(log) if log.is_forked() => Err(DropReason::Forked.into()),
        _ => Err(DropReason::NotOpened.into()),
    }
}

/// Gives the points of a frame to its gateway, unless another one writes them.
fn claim(owners: &mut Owners, held: &Held, now: Now) -> Result<(), Refusal> {
    let Held::Data { frame, .. } = held else { return Ok(()) };
    let named = (frame.batch.dictionary, &*frame.dictionary);
    let claimed = owners.claim(&frame.gateway, named, now.monotonic);
    claimed.map_err(|text| Refusal(DropReason::PointTaken, Some(text)))
}

impl Admit {
    /// Starts from what the store knows. `ingest` is a random name of this run.
    #[must_use]
    pub fn new(
        settings: AdmitSettings,
        ingest: String,
        (store, epoch): (StoreId, Epoch),
        watermarks: impl IntoIterator<Item = (LogKey, Watermark)>,
        dictionaries: Dictionaries,
    ) -> Self {
        let watermarks = Vec::from_iter(watermarks);
        let has_something = |(_, mark): &&(LogKey, Watermark)| mark.durable_upto > Sequence(0);
        let established = watermarks.iter().filter(has_something).map(|((gateway, _), _)| gateway);
        let at_hand = AtHand::new(established.cloned().collect());
        Self {
            settings,
            voice: Voice { ingest, store, epoch },
            logs_opened: 0,
            live: BTreeMap::new(),
            logs: watermarks.into_iter().map(|(key, mark)| (key, Log::known(mark))).collect(),
            weights: BTreeMap::new(),
            total: Weight::default(),
            drafts: Drafts::new(settings.commit_interval, settings.retry_max, &dictionaries),
            stored: dictionaries,
            owners: Owners::default(),
            at_hand,
            budgets: Budgets::default(),
            waits: Waits::default(),
            asked: Limiter::new(settings.commit_interval.clamp(ASK_MIN, ASK_MAX)),
            noticed: Limiter::new(NOTICE_INTERVAL),
            told: Limiter::new(NOTICE_INTERVAL),
            strangers: Damper::default(),
            parts: Parts::default(),
            counters: Counters::default(),
        }
    }

    /// Takes one event and says what to do.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Action> {
        self.step_with(now, event, &mut |_| ())
    }

    /// As [`Self::step`]; a frame of readings that is admitted is shown to `admitted`.
    pub fn step_with(
        &mut self,
        now: Now,
        event: Event,
        admitted: &mut dyn FnMut(&AdmittedFrame),
    ) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Up { gateway, message } => self.up(now, gateway, &message, &mut out, admitted),
            Event::Connected => {
                for (key, log) in self.logs.iter().filter(|(_, log)| !log.is_forked()) {
                    // What was sent while the broker was away did not come here and is not waited for at the gateway's
                    // pace: that would take as long as it takes the gateway to doubt a line that is well again.
                    let full =
                        self.weights.get(&key.0).is_some_and(|w| w.frames >= GATEWAY_FRAMES_MAX);
                    let asks = log.is_open() && !log.refused && !full;
                    let tell = if asks { Tell::Want(log.next) } else { Tell::Watermark };
                    out.push(self.voice.ack(key, Some(log), tell));
                }
            }
            Event::Tick => {}
            Event::Committed => self.committed(now, &mut out),
            Event::CommitFailed { error, watermarks, identity } => {
                // Another store answers for other frames: every ack from here on names it.
                if let Some(identity) = identity {
                    (self.voice.store, self.voice.epoch) = identity;
                }
                self.commit_failed(now, error, watermarks, &mut out);
            }
            Event::Flush => self.drafts.flush(),
        }
        if let Some(key) = self.waits.take_due(now.monotonic) {
            self.ask_again(now, &key, &mut out);
        }
        if self.drafts.due(self.pressure()).is_some_and(|at| at <= now.monotonic) {
            let work = self.drafts.next(now.monotonic, &mut self.logs);
            out.push(Action::Commit(work));
        }
        let acks = out.iter().filter(|action| matches!(action, Action::Ack { .. })).count();
        self.counters.acks = self.counters.acks.saturating_add(acks as u64);
        out
    }

    /// When [`Event::Tick`] is wanted next; `None` while only another event can change anything.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        self.drafts.due(self.pressure()).into_iter().chain(self.waits.next()).min()
    }

    /// Whether everything that was admitted is durable.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.drafts.is_idle()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All logs, by gateway.
    pub fn logs(&self) -> impl Iterator<Item = LogState> + '_ {
        self.logs.iter().map(|((gateway, log_id), log)| LogState {
            gateway: gateway.clone(),
            log_id: *log_id,
            watermark: log.watermark,
            held_frames: log.held.iter().map(|held| held.weight().frames).sum(),
            lost_frames: log.lost_frames,
            lost_samples: log.lost_samples,
            opened: log.is_open(),
        })
    }

    fn pressure(&self) -> Due {
        if self.total.samples >= self.settings.samples_max / 2 {
            Due::AtOnce
        } else if self
            .weights
            .values()
            .any(|w| w.frames >= WINDOW_FRAMES || w.bytes >= WINDOW_BYTES)
        {
            Due::Soon
        } else {
            Due::AfterInterval
        }
    }

    fn up(
        &mut self,
        now: Now,
        gateway: GatewayId,
        message: &[u8],
        out: &mut Vec<Action>,
        admitted: &mut dyn FnMut(&AdmittedFrame),
    ) {
        self.counters.messages = self.counters.messages.saturating_add(1);
        let (log_id, _, message) = match model::wire::decode(message) {
            Ok(decoded) => decoded,
            Err(e) => return self.drop_message(now, &gateway, None, refused(&e), out),
        };
        let key = (gateway, log_id);
        let UpMessage::Part(part) = message else {
            return self.message(now, &key, message, out, admitted);
        };
        match self.parts.take(&key.0, &part) {
            Ok(None) => {}
            Ok(Some(whole)) => match model::wire::decode(&whole) {
                Ok((_, _, UpMessage::Part(_))) => {
                    let refusal = refused(&model::wire::WireError::Part);
                    self.drop_message(now, &key.0, None, refusal, out);
                }
                Ok((log_id, _, message)) => {
                    self.message(now, &(key.0, log_id), message, out, admitted);
                }
                Err(e) => self.drop_message(now, &key.0, None, refused(&e), out),
            },
            Err(reason) => {
                self.answer_drop(now, &key, (reason, None), out);
                self.drop_message(now, &key.0, Some(log_id), reason.into(), out);
            }
        }
    }

    /// A whole message.
    fn message(
        &mut self,
        now: Now,
        key: &LogKey,
        message: UpMessage<'_>,
        out: &mut Vec<Action>,
        admitted: &mut dyn FnMut(&AdmittedFrame),
    ) {
        let log_id = key.1;
        self.note_live(now, key, out);
        self.owners.heard(&key.0, now.monotonic);
        let result = match message {
            UpMessage::Open(open) => self.open(now, key, open, out),
            UpMessage::Dictionary(record) => self.dictionary(now, key, record),
            UpMessage::Frame(bytes) => self.frame(now, key, bytes, out, admitted),
            UpMessage::Part(_) => Ok(()),
        };
        match result {
            Ok(()) => self.tell_configured(now, key, out),
            Err(refusal) => {
                self.answer_drop(now, key, (refusal.0, refusal.1.as_deref()), out);
                self.drop_message(now, &key.0, Some(log_id), refusal, out);
            }
        }
    }

    /// Says which devices a gateway has today, once everything is here that describes them.
    fn tell_configured(&mut self, now: Now, key: &LogKey, out: &mut Vec<Action>) {
        let Some(log) = self.logs.get_mut(key).filter(|log| !log.is_forked()) else { return };
        let Some(today) = &log.today else { return };
        let known = |hash: &DictionaryHash| {
            log.dictionary(*hash).or_else(|| self.stored.get(hash).cloned())
        };
        if let Some(dictionaries) = today.iter().map(known).collect::<Option<Vec<_>>>() {
            log.today = None;
            if self.owners.configured(&key.0, &dictionaries) {
                self.ask_for_taken(now, out);
            }
            out.push(Action::Configured { gateway: key.0.clone(), dictionaries });
        }
    }

    fn open(
        &mut self,
        now: Now,
        key: &LogKey,
        open: Open,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if let Some(text) = log::fault_of(&open) {
            return Err(Refusal(DropReason::Refused, Some(text)));
        }
        let in_run = |log: &Log| log.session != Session::None;
        if !self.logs.get(key).is_some_and(in_run) {
            let of_gateway = self.logs.range(logs_of(&key.0));
            let of_gateway = of_gateway.filter(|(_, log)| in_run(log)).count();
            if of_gateway >= LOGS_PER_GATEWAY_MAX || self.logs_opened >= LOGS_MAX {
                return Err(DropReason::TooManyLogs.into());
            }
            self.logs_opened += 1;
        }
        let behind = |log: &&mut Log| open.next < log.next;
        if let Some(log) = self.logs.get_mut(key).filter(behind) {
            // Its new frames would go under sequences that are committed: an ack that reaches the gateway when it has
            // got so far would free them. While it is far from there, the ack tells it that it is not alone.
            let (next, last, watermark) =
                (open.next, Sequence(log.next.0.saturating_sub(1)), log.watermark);
            if next.0.saturating_add(FAR_BEHIND) <= watermark.0 {
                out.push(self.voice.ack(key, Some(log), Tell::Watermark));
            }
            return Err(forked(log, &format!("its next frame is {next}, but {last} was here")));
        }
        let new_here = !self.logs.contains_key(key);
        let log = self.logs.entry(key.clone()).or_insert_with(|| Log::unknown(&open));
        let unaccounted = log.open(open, new_here);
        let (forked, dirty) = (log.is_forked(), log.is_dirty());
        if !forked {
            self.owners.opened(&key.0, log.today.clone(), now.monotonic);
        }
        if dirty {
            self.drafts.holds(now.monotonic);
        }
        if unaccounted > 0 {
            let text = format!("{unaccounted} frames are gone and no loss record names them");
            self.notice(now, &key.0, Some(key.1), NoticeKind::Unaccounted, text, out);
        }
        if !forked {
            out.push(self.voice.ack(key, self.logs.get(key), Tell::Watermark));
        }
        Ok(())
    }

    fn frame(
        &mut self,
        now: Now,
        key: &LogKey,
        bytes: &[u8],
        out: &mut Vec<Action>,
        admitted: &mut dyn FnMut(&AdmittedFrame),
    ) -> Result<(), Refusal> {
        let frame = decode_frame(bytes).map_err(|e| refused(&e))?;
        if frame.bytes.len() != bytes.len() {
            let text = format!("{} bytes follow the frame", bytes.len() - frame.bytes.len());
            return Err(Refusal(DropReason::Refused, Some(text)));
        }
        let log = opened(&mut self.logs, key)?;
        match frame.header.sequence.cmp(&log.next) {
            std::cmp::Ordering::Less => {
                compare_with_last(log, &frame)?;
                return Err(DropReason::Duplicate.into());
            }
            std::cmp::Ordering::Greater => return Err(DropReason::Hole.into()),
            std::cmp::Ordering::Equal => refuse_fork(log, &frame)?,
        }
        if !self.has_room(&key.0, &frame) {
            return Err(DropReason::Bound.into());
        }
        let held = match self.hold(now, key, &frame) {
            Ok(held) => held,
            Err(Refusal(DropReason::Refused, Some(reason))) => {
                return self.put_aside(now, key, &frame, reason, out);
            }
            Err(Refusal(DropReason::NoDictionary, Some(reason)))
                if opened(&mut self.logs, key)?.has_bad_dictionary =>
            {
                return self.put_aside(now, key, &frame, reason, out);
            }
            Err(refusal) => {
                if matches!(refusal.0, DropReason::Bound | DropReason::NoDictionary) {
                    self.wait_for_dictionary(now, key);
                }
                return Err(refusal);
            }
        };
        claim(&mut self.owners, &held, now)?;
        let log = opened(&mut self.logs, key)?;
        let broken = breaks_chain(log, key.1, &frame);
        let weight = held.weight();
        if let Held::Data { frame, .. } = &held {
            admitted(frame);
            self.at_hand.used(key, frame.batch.dictionary, now.monotonic);
        }
        log.admit(held);
        self.weights.entry(key.0.clone()).or_default().add(weight);
        self.total.add(weight);
        self.drafts.holds(now.monotonic);
        self.counters.frames_admitted = self.counters.frames_admitted.saturating_add(1);
        if broken {
            self.counters.chain_breaks = self.counters.chain_breaks.saturating_add(1);
            let text = format!("frame {} does not name the one before it", frame.header.sequence);
            self.notice(now, &key.0, Some(key.1), NoticeKind::ChainBreak, text, out);
        }
        Ok(())
    }

    /// Reads what a frame holds.
    fn hold(&mut self, now: Now, key: &LogKey, frame: &Frame<'_>) -> Result<Held, Refusal> {
        let learnt = match frame.header.record_type {
            RecordType::Dictionary => Some(self.learn(now, key, frame.body)?),
            _ => None,
        };
        let log = opened(&mut self.logs, key)?;
        hold(log, &self.stored, key, frame, learnt, now.wall, &mut self.counters)
    }

    /// INV-5: what is held uncommitted is bounded; the excess comes again. One frame is always let in.
    fn has_room(&self, gateway: &GatewayId, frame: &Frame<'_>) -> bool {
        let weight = self.weights.get(gateway).copied().unwrap_or_default();
        let samples = u64::from(frame.header.samples);
        let sum = self.total.samples.saturating_add(samples);
        weight.frames < GATEWAY_FRAMES_MAX
            && weight.bytes.saturating_add(frame.bytes.len() as u64) <= GATEWAY_BYTES_MAX
            && (self.total.samples == 0 || sum <= self.settings.samples_max)
    }

    fn committed(&mut self, now: Now, out: &mut Vec<Action>) {
        let Some(under_way) = self.drafts.done() else {
            debug_assert!(false, "a commit was reported that nobody asked for");
            return;
        };
        if self.drafts.recovered() {
            out.push(Action::Notice(Notice::commits_again()));
        }
        self.counters.commits = self.counters.commits.saturating_add(1);
        for moved in under_way.moves {
            let c = &mut self.counters;
            c.frames_committed = c.frames_committed.saturating_add(moved.weight.frames);
            c.samples_committed = c.samples_committed.saturating_add(moved.weight.samples);
            c.frames_lost = c.frames_lost.saturating_add(moved.lost_frames);
            c.samples_lost = c.samples_lost.saturating_add(moved.lost_samples);
            self.total.sub(moved.weight);
            if moved.weight.samples > 0 {
                self.establish(now, &moved.key.0);
            }
            if let Some(weight) = self.weights.get_mut(&moved.key.0) {
                weight.sub(moved.weight);
                if *weight == Weight::default() {
                    self.weights.remove(&moved.key.0);
                }
            }
            let Some(log) = self.logs.get_mut(&moved.key) else { continue };
            debug_assert!(
                log.watermark < moved.upto,
                "INV-5: a commit moves its watermarks forward"
            );
            (log.watermark, log.durable_hash) = (moved.upto, moved.hash);
            log.stored = moved.upto;
            log.unsaid.0 = log.unsaid.0.saturating_add(moved.lost_frames);
            log.unsaid.1 = log.unsaid.1.saturating_add(moved.lost_samples);
            if !log.is_forked() {
                let ask = log.behind && !log.refused && !self.waits.has(&moved.key);
                let tell = if ask { Tell::Want(log.next) } else { Tell::Watermark };
                out.push(self.voice.ack(&moved.key, Some(log), tell));
            }
            self.say_lost(now, &moved.key, out);
        }
    }

    fn commit_failed(
        &mut self,
        now: Now,
        error: String,
        watermarks: Option<BTreeMap<LogKey, Watermark>>,
        out: &mut Vec<Action>,
    ) {
        self.counters.commit_failures = self.counters.commit_failures.saturating_add(1);
        let upto = |stored: &BTreeMap<LogKey, Watermark>, key: &LogKey| {
            stored.get(key).map_or(Sequence(0), |mark| mark.durable_upto)
        };
        let went_back = |stored: &BTreeMap<LogKey, Watermark>| {
            self.logs.iter().any(|(key, log)| upto(stored, key) < log.stored)
        };
        if let Some(stored) = watermarks.filter(went_back) {
            return self.rewind(&stored, out);
        }
        if self.drafts.failed(now.monotonic) {
            out.push(Action::Notice(Notice::commits_fail(error)));
        }
    }
}
