//! What gateways and people are told, and how often.

use std::time::Duration;

use contract::LogKey;
use model::ack::ACK_VERSION;
use model::ack::{AckFault, TWO_GATEWAYS};
use model::{
    Ack, DurabilityClass, Epoch, GatewayId, Lane, LogId, Sequence, SequenceRange, StoreId,
};

use super::frame::FORKED;
use super::log::Log;
use super::{
    Action, Admit, DropReason, GATEWAY_FRAMES_MAX, LOGS_PER_GATEWAY_MAX, Notice, NoticeKind, Now,
    Refusal,
};

/// Shortest and longest time between two messages that ask one log for the same.
pub(super) const ASK_MIN: Duration = Duration::from_millis(50);
pub(super) const ASK_MAX: Duration = Duration::from_secs(1);
/// A gateway is named in the log once a minute for one reason.
pub(super) const NOTICE_INTERVAL: Duration = Duration::from_mins(1);

/// What an ack says beside the watermark.
#[derive(Debug, Clone)]
pub(super) enum Tell {
    Watermark,
    Want(Sequence),
    Open,
    /// Why the log does not go on, for programs and for people.
    Fault(&'static str, String),
}

/// Who speaks: this run of ingest, and the store behind it.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) ingest: String,
    pub(super) store: StoreId,
    pub(super) epoch: Epoch,
}

impl Voice {
    /// What a gateway is told about a log; about one that is not looked after, that nothing of it is durable.
    pub(super) fn ack(&self, key: &LogKey, log: Option<&Log>, tell: Tell) -> Action {
        let (durable_upto, hash) =
            log.map_or((Sequence(0), None), |log| (log.watermark, log.durable_hash));
        let last_held = log.map_or(Sequence(0), |log| Sequence(log.next.0.saturating_sub(1)));
        let want = if let Tell::Want(want) = tell { SequenceRange::new(want, want) } else { None };
        let open = matches!(tell, Tell::Open);
        let fault = if let Tell::Fault(code, text) = tell {
            Some(AckFault { code: code.to_owned(), text })
        } else {
            None
        };
        let ack = Ack {
            v: ACK_VERSION,
            log_id: key.1,
            store: self.store.clone(),
            epoch: self.epoch,
            ingest: self.ingest.clone(),
            durable_upto,
            hash,
            class: DurabilityClass::D2,
            have: SequenceRange::new(durable_upto.next(), last_held).into_iter().collect(),
            want: want.into_iter().collect(),
            lane: Lane::Backlog,
            open,
            slow_ms: 0,
            fault,
        };
        Action::Ack { gateway: key.0.clone(), ack }
    }
}

impl Admit {
    /// Tells the gateway what to do about a message of an existing log that was dropped, now and then.
    pub(super) fn answer_drop(
        &mut self,
        now: Now,
        key: &LogKey,
        (reason, text): (DropReason, Option<&str>),
        out: &mut Vec<Action>,
    ) {
        let log = self.logs.get_mut(key);
        // Asking while nothing may be read would only bring the same frames again.
        let waits = self.waits.has(key);
        let tell = match (reason, log) {
            (DropReason::Forked, _) => Tell::Fault("forked", FORKED.to_owned()),
            (_, Some(log)) if log.is_forked() => Tell::Fault("forked", FORKED.to_owned()),
            (DropReason::NotOpened | DropReason::NoDictionary, log) => {
                if let Some(log) = log {
                    log.behind = true;
                }
                if waits && reason == DropReason::NoDictionary {
                    return;
                }
                Tell::Open
            }
            // The gateway may have missed the ack for it.
            (DropReason::Duplicate, _) => Tell::Watermark,
            (DropReason::Hole, Some(log)) => {
                log.behind = true;
                // Asking while there is no room would only bring the same frames again.
                if log.refused
                    || waits
                    || self.weights.get(&key.0).is_some_and(|w| w.frames >= GATEWAY_FRAMES_MAX)
                {
                    return;
                }
                Tell::Want(log.next)
            }
            (DropReason::Bound, Some(log)) => {
                log.behind = true;
                return;
            }
            (DropReason::PointTaken, Some(log)) => {
                (log.behind, log.point_taken) = (true, true);
                Tell::Fault("point_taken", text.unwrap_or_default().to_owned())
            }
            (DropReason::Refused, Some(log)) => {
                log.refused = true;
                return;
            }
            _ => return,
        };
        if self.asked.allows(key.clone(), now.monotonic) {
            out.push(self.voice.ack(key, self.logs.get(key), tell));
        }
    }

    /// Asks a log for the frames that were put off for their dictionaries.
    pub(super) fn ask_again(&mut self, now: Now, key: &LogKey, out: &mut Vec<Action>) {
        let Some(log) = self.logs.get(key).filter(|log| log.is_open() && log.behind) else {
            return;
        };
        self.asked.allows(key.clone(), now.monotonic);
        out.push(self.voice.ack(key, Some(log), Tell::Want(log.next)));
    }

    /// A gateway gave points up: those that wait for one send again now, and not when they next try.
    pub(super) fn ask_for_taken(&mut self, now: Now, out: &mut Vec<Action>) {
        let waits = |log: &Log| log.point_taken && log.is_open() && !log.is_forked();
        for (key, log) in self.logs.iter().filter(|(_, log)| waits(log)) {
            self.asked.allows(key.clone(), now.monotonic);
            out.push(self.voice.ack(key, Some(log), Tell::Want(log.next)));
        }
    }

    pub(super) fn drop_message(
        &mut self,
        now: Now,
        gateway: &GatewayId,
        log_id: Option<LogId>,
        refusal: Refusal,
        out: &mut Vec<Action>,
    ) {
        let Refusal(reason, text) = refusal;
        self.counters.dropped.count(reason);
        match (reason, text) {
            (DropReason::Refused, Some(text)) => {
                self.notice(now, gateway, log_id, NoticeKind::Refused, text, out);
            }
            (DropReason::PointTaken, Some(text)) => {
                self.notice(now, gateway, log_id, NoticeKind::PointTaken, text, out);
            }
            (DropReason::Forked, Some(text)) => {
                self.notice(now, gateway, log_id, NoticeKind::Forked, text, out);
            }
            (DropReason::Bound, Some(text)) => {
                self.notice(now, gateway, log_id, NoticeKind::NoRoom, text, out);
            }
            (DropReason::NoDictionary, Some(text)) => {
                self.notice(now, gateway, log_id, NoticeKind::NoDictionary, text, out);
            }
            (DropReason::TooManyLogs, _) => {
                let text = format!("more than {LOGS_PER_GATEWAY_MAX} logs of one gateway");
                self.notice(now, gateway, log_id, NoticeKind::TooManyLogs, text, out);
            }
            _ => {}
        }
    }

    /// Tells people, now and then.
    pub(super) fn notice(
        &mut self,
        now: Now,
        gateway: &GatewayId,
        log_id: Option<LogId>,
        kind: NoticeKind,
        text: String,
        out: &mut Vec<Action>,
    ) {
        if !self.noticed.allows((gateway.clone(), kind), now.monotonic) {
            return;
        }
        // Whoever may connect may do so under any id: those of which the store has nothing share a few lines.
        let is_known = self.at_hand.is_established(gateway);
        let held_back = if is_known { Some(0) } else { self.strangers.tells(now.monotonic) };
        if let Some(held_back) = held_back {
            let text = match held_back {
                0 => text,
                more => {
                    format!("{text}; {more} more about gateways that are new here were not told")
                }
            };
            let log = log_id.and_then(|log_id| self.logs.get(&(gateway.clone(), log_id)));
            let waits_for = log.map(|log| log.next);
            let gateway = Some(gateway.clone());
            out.push(Action::Notice(Notice { gateway, log_id, waits_for, kind, text }));
        }
    }

    /// Tells people what a log has lost since they were told last.
    pub(super) fn say_lost(&mut self, now: Now, key: &LogKey, out: &mut Vec<Action>) {
        let (gateway, kind) = (key.0.clone(), NoticeKind::Lost);
        self.say_lost_unknown(now, key, out);
        self.say_passed_over(now, key, out);
        // Readings that were refused before they got a sequence are of no frame.
        let is_new = |log: &&mut Log| log.unsaid != (0, 0);
        let Some(log) = self.logs.get_mut(key).filter(is_new) else { return };
        if self.noticed.allows((gateway.clone(), kind), now.monotonic) {
            let (frames, samples) = std::mem::take(&mut log.unsaid);
            let text = match samples {
                0 => format!("{frames} frames; how many samples they had is not known"),
                _ => format!("{frames} frames with {samples} samples, as far as known"),
            };
            let (gateway, log_id, waits_for) = (Some(gateway), Some(key.1), Some(log.next));
            out.push(Action::Notice(Notice { gateway, log_id, waits_for, kind, text }));
        }
    }

    /// Tells people that a log lost readings, and that nobody knows how many.
    fn say_lost_unknown(&mut self, now: Now, key: &LogKey, out: &mut Vec<Action>) {
        let Some(log) = self.logs.get_mut(key).filter(|log| log.unsaid_unknown > 0) else { return };
        let times = std::mem::take(&mut log.unsaid_unknown);
        self.counters.losses_unknown = self.counters.losses_unknown.saturating_add(times);
        let text = format!(
            "{times} times it did not end in order, or frames are gone that it no longer has"
        );
        self.notice(now, &key.0, Some(key.1), NoticeKind::LostUnknown, text, out);
    }

    /// Tells people of sequences that are missing and are no loss.
    fn say_passed_over(&mut self, now: Now, key: &LogKey, out: &mut Vec<Action>) {
        let Some(log) = self.logs.get_mut(key).filter(|log| log.passed_over > 0) else { return };
        let skipped = std::mem::take(&mut log.passed_over);
        self.counters.frames_skipped = self.counters.frames_skipped.saturating_add(skipped);
        let text = format!("{skipped} that no frame ever had");
        self.notice(now, &key.0, Some(key.1), NoticeKind::PassedOver, text, out);
    }

    /// Notes which log of a gateway sends. A new spool follows an old one; by turns they come only from two devices.
    pub(super) fn note_live(&mut self, now: Now, key: &LogKey, out: &mut Vec<Action>) {
        let (gateway, log_id) = key;
        let opened = self.logs.get(key).is_some_and(Log::is_open);
        let known = self.live.get(gateway).copied();
        if !opened || known.is_some_and(|(last, _)| last == *log_id) {
            return;
        }
        let before = known.map(|(last, _)| last);
        self.live.insert(gateway.clone(), (*log_id, before));
        if let Some((other, Some(earlier))) = known
            && earlier == *log_id
        {
            let text = format!("and {other}: was the device cloned?");
            self.notice(now, gateway, Some(*log_id), NoticeKind::TwoLogs, text, out);
            // The one that speaks now is the one that listens; the other is told at its turn.
            if self.told.allows(key.clone(), now.monotonic) {
                let text = format!(
                    "another gateway sends under the id `{gateway}`, by turns with this one (its log is {other}): give each \
                     an `id` of its own"
                );
                let tell = Tell::Fault(TWO_GATEWAYS, text);
                out.push(self.voice.ack(key, self.logs.get(key), tell));
            }
        }
    }
}
