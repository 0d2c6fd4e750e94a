//! What a session opens with: what is held, what is lost, and the dictionaries that the frames to come may name.

use bytes::Bytes;
use model::record::{Loss, LossReason};
use model::wire::Open;
use model::{Epoch, Sequence};
use spool::{DestinationIndex, Spool};

use crate::command::OpenInfo;

/// The opening of a session at `to` that goes on from `from`; `dictionaries` are those known without looking.
pub(crate) fn open_info(
    spool: &mut Spool,
    dictionaries: &[Bytes],
    to: DestinationIndex,
    from: Sequence,
) -> OpenInfo {
    let gone = gone_at(spool, to, from);
    let status = spool.status();
    let watermark = Sequence(from.0.saturating_sub(1));
    let mut losses = spool.losses_above(to, watermark.min(spool.acked(to)));
    losses.extend(gone);
    // What lies behind it waits for the acks of what lies before, so this log ends here for now.
    let deliverable = spool.deliverable(to);
    losses.retain(|loss| loss.first <= deliverable);
    let next = if deliverable < status.durable { deliverable.next() } else { status.next };
    let store = spool.store(to).cloned();
    let (store, epoch) = store.map_or((None, Epoch(0)), |(store, epoch)| (Some(store), epoch));
    let destination = spool.destinations().nth(to.0).cloned().unwrap_or_default();
    let oldest = spool.oldest_for(to).min(next);
    let open = Open { store, epoch, destination, oldest, next, losses, dictionaries: None };
    let mut dictionaries = dictionaries.to_vec();
    match spool.dictionaries_at(from) {
        Ok(needed) => {
            // Last, so that no centre forgets them for the others.
            dictionaries.retain(|known| !needed.iter().any(|body| body == known));
            dictionaries.extend(needed.into_iter().map(Bytes::from));
        }
        Err(e) => tracing::warn!(error = %e, "dictionary not read from the spool; tried again"),
    }
    OpenInfo { log_id: status.log_id, open, dictionaries }
}

/// What a store asks for and cannot be had, although no LOSS record that is known tells of it. Without it in the opening
/// that store would wait forever.
///
/// What was acked before is asked for by a store that is new or older than ours; the spool counts no loss of it. Behind
/// what is acked there may be sequences that were passed over: their LOSS record was acked, or is gone, and the disk
/// forgot the cursor or the record that said so.
fn gone_at(spool: &mut Spool, to: DestinationIndex, from: Sequence) -> Option<Loss> {
    let acked = spool.acked(to);
    let first = from.max(spool.oldest_for(to));
    let was_acked = first <= acked;
    let losses = spool.losses(to);
    if !was_acked && losses.iter().any(|loss| loss.first <= first && first <= loss.last) {
        return None;
    }
    // Behind what is acked: only where nothing else is held before it, else an ack could free that without proof.
    let read = spool.read_from(to, first.min(acked.next()), 1);
    let read =
        read.map_err(|e| tracing::warn!(error = %e, "cannot read the spool; tried again")).ok()?;
    let readable = read.first().map(|frame| frame.header.sequence);
    let end = if was_acked {
        readable.map_or(acked.next(), |readable| readable.min(acked.next()))
    } else {
        readable?
    };
    // A loss that is not acknowledged yet is told as such.
    let told = losses.iter().map(|loss| loss.first).find(|told| *told >= first);
    let last = Sequence(told.map_or(end, |told| end.min(told)).0.saturating_sub(1));
    if first > last {
        return None;
    }
    // Of sequences that were passed over the list may know nothing any more: their LOSS record was acked.
    let is_damage = was_acked && !spool.is_passed_over(first, last);
    Some(Loss {
        first,
        last,
        samples: None,
        ts_min: None,
        ts_max: None,
        reason: if is_damage { LossReason::Corrupt } else { LossReason::Skipped },
        destinations: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
