//! One frame on its way into its log: what it holds is read here. Must never know bounds or acks.

use std::sync::Arc;

use lake::{AdmittedFrame, LogKey};
use model::frame::hash_of_log_start;
use model::{Dictionary, Frame, LogId, RecordType, Sequence, Timestamp};
use sha2::{Digest as _, Sha256};

use super::log::{Held, Log};
use super::{Counters, DropReason, Refusal, contents, refused};

/// Reads what a frame holds, so that the store can take it.
pub(super) fn hold(
    log: &mut Log,
    key: &LogKey,
    frame: &Frame<'_>,
    wall: Timestamp,
    counters: &mut Counters,
) -> Result<Held, Refusal> {
    let (bytes, sequence) = (frame.bytes.len() as u64, frame.header.sequence);
    if i64::try_from(sequence.0).is_err() {
        return Err(Refusal(
            DropReason::Refused,
            Some(format!("sequence {sequence} is too large")),
        ));
    }
    match frame.header.record_type {
        RecordType::Data => {
            let batch = contents::batch(frame).map_err(|e| refused(&e))?;
            let dictionary = log.dictionary(batch.dictionary).ok_or(DropReason::NoDictionary)?;
            contents::check(&batch, &dictionary).map_err(|e| refused(&e))?;
            let suspect = contents::suspect_clock(&batch, wall);
            counters.suspect_clock = counters.suspect_clock.saturating_add(suspect);
            let (gateway, log_id) = key.clone();
            let frame = AdmittedFrame { gateway, log_id, sequence, dictionary, batch };
            return Ok(Held::Data { bytes, frame });
        }
        RecordType::Dictionary => learn(log, frame.body)?,
        // What was lost is told by the opening of the session; marks and boots concern the gateway alone.
        RecordType::History | RecordType::Loss | RecordType::Boot => {}
    }
    Ok(Held::Record { bytes, sequence })
}

pub(super) fn learn(log: &mut Log, record: &[u8]) -> Result<(), Refusal> {
    let record_hash: [u8; 32] = Sha256::digest(record).into();
    if !log.has_record(&record_hash) {
        let (dictionary, hash) = Dictionary::from_record(record).map_err(|e| refused(&e))?;
        log.learn(record_hash, hash, Arc::new(dictionary));
    }
    Ok(())
}

/// Whether the frame names another frame before it than the one that was admitted. After a loss, and at the start of a
/// run, there is nothing to compare with.
pub(super) fn breaks_chain(log: &Log, log_id: LogId, frame: &Frame<'_>) -> bool {
    let first = (frame.header.sequence == Sequence(1)).then(|| hash_of_log_start(log_id));
    first.or(log.last_hash).is_some_and(|expected| expected != frame.prev_hash)
}
