//! One frame on its way into its log: what it holds is read here.

use std::sync::Arc;

use contract::{AdmittedFrame, LogKey};
use model::frame::{hash_of_frame, hash_of_log_start};
use model::record::JsonRecord as _;
use model::{Dictionary, Frame, FrameHash, LogId, Loss, RecordType, Sequence, Timestamp};

use super::log::{Held, Log, Named, Session};
use contract::Dictionaries;

use super::{Counters, DropReason, Refusal, contents, refused};

/// Reads what a frame holds, so that the store can take it; `learnt` is what was read of a DICT record.
pub(super) fn hold(
    log: &mut Log,
    stored: &Dictionaries,
    key: &LogKey,
    frame: &Frame<'_>,
    learnt: Option<(Named, u64)>,
    wall: Timestamp,
    counters: &mut Counters,
) -> Result<Held, Refusal> {
    let (mut bytes, sequence) = (frame.bytes.len() as u64, frame.header.sequence);
    if i64::try_from(sequence.0).is_err() {
        return Err(Refusal(
            DropReason::Refused,
            Some(format!("sequence {sequence} is too large")),
        ));
    }
    let hash = FrameHash(hash_of_frame(frame.bytes));
    let mut dictionary = None;
    match frame.header.record_type {
        RecordType::Data => {
            let batch = contents::batch(frame).map_err(|e| refused(&e))?;
            let wanted = batch.dictionary;
            let dictionary = log.dictionary(wanted).or_else(|| stored.get(&wanted).cloned());
            let dictionary = dictionary.ok_or_else(|| {
                let text = format!("no dictionary {wanted}: its gateway must send it");
                Refusal(DropReason::NoDictionary, Some(text))
            })?;
            contents::check(&batch, &dictionary).map_err(|e| refused(&e))?;
            let suspect = contents::suspect_clock(&batch, wall);
            counters.suspect_clock = counters.suspect_clock.saturating_add(suspect);
            let (gateway, log_id) = key.clone();
            let frame = AdmittedFrame { gateway, log_id, sequence, dictionary, batch };
            return Ok(Held::Data { bytes, hash, frame });
        }
        RecordType::Dictionary => {
            if let Some((named, text_bytes)) = learnt {
                dictionary = Some(named);
                // Unpacked it may be far larger than on the wire, and it is held until the commit.
                bytes = bytes.max(text_bytes);
            }
        }
        // What had sequences is told by the opening of the session; what never had one is told only here, and counts once
        // because this record does.
        RecordType::Loss => {
            if let Some(loss) = never_numbered(frame.body) {
                if loss.samples.is_none() {
                    log.unsaid_unknown = log.unsaid_unknown.saturating_add(1);
                }
                let samples = loss.samples.unwrap_or_default();
                return Ok(Held::Lost { last: sequence, frames: 0, samples, hash: Some(hash) });
            }
        }
        // These concern the gateway alone.
        RecordType::History
        | RecordType::Boot
        | RecordType::Clock
        | RecordType::Audit
        | RecordType::Checkpoint => {}
    }
    Ok(Held::Record { bytes, hash, sequence, dictionary })
}

/// The loss of readings that the gateway refused before they got a sequence; one with a range is not of these.
fn never_numbered(record: &[u8]) -> Option<Loss> {
    Loss::from_record(record).ok().filter(|loss| loss.range().is_none())
}

/// Text that can be read in the time in which the longest one is unpacked.
const UNPACKED_IN_VAIN_BYTES: u64 = 256 * 1024;

/// Reads the body of a DICT record. Returns with it the bytes of text that were read for it, also in vain.
pub(super) fn read_dictionary(record: &[u8]) -> (u64, Result<Named, Refusal>) {
    let text = match Dictionary::text_of_record(record) {
        Ok(text) => text,
        Err(e) => return (UNPACKED_IN_VAIN_BYTES, Err(refused(&e))),
    };
    let read = Dictionary::from_json(&text).map_err(|e| refused(&e));
    (text.len() as u64, read.map(|(dictionary, hash)| (hash, Arc::new(dictionary))))
}

/// Whether the frame names another frame before it than the one that was admitted. After a loss there is nothing to
/// compare with.
pub(super) fn breaks_chain(log: &Log, log_id: LogId, frame: &Frame<'_>) -> bool {
    let first = (frame.header.sequence == Sequence(1)).then(|| hash_of_log_start(log_id));
    let expected = first.map(FrameHash).or(log.last_hash);
    expected.is_some_and(|expected| expected.0 != frame.prev_hash)
}

/// A frame comes again: the last one that was admitted must be the same.
pub(super) fn compare_with_last(log: &mut Log, frame: &Frame<'_>) -> Result<(), Refusal> {
    let last_hash = log.last_hash.filter(|_| frame.header.sequence.next() == log.next);
    let Some(last_hash) = last_hash else { return Ok(()) };
    if last_hash.0 != hash_of_frame(frame.bytes) {
        let sequence = frame.header.sequence;
        return Err(forked(log, &format!("its frame {sequence} is not the one that was here")));
    }
    log.session = Session::Open;
    Ok(())
}

/// The next frame must go on where the log stands; one that does not is of another spool. A gateway that lost the frame
/// before it says so in a loss, and then there is nothing to compare with.
pub(super) fn refuse_fork(log: &mut Log, frame: &Frame<'_>) -> Result<(), Refusal> {
    let forks = match log.last_hash {
        Some(last_hash) if last_hash.0 == frame.prev_hash => false,
        Some(_) => log.is_forked() || log.is_joint,
        None => log.is_forked(),
    };
    if forks {
        let sequence = frame.header.sequence;
        return Err(forked(log, &format!("its frame {sequence} does not follow the one before")));
    }
    Ok(())
}

/// What is the matter with such a log, for gateways and people.
pub(super) const FORKED: &str = "the spool is an old copy or a second one; its gateway begins a new log by itself and sends what it holds. If two gateways run with this id, give one of them another";

/// Closes a log whose spool is another one than before.
pub(super) fn forked(log: &mut Log, evidence: &str) -> Refusal {
    log.session = Session::Refused;
    Refusal(DropReason::Forked, Some(format!("{evidence}: {FORKED}")))
}
