//! What a session opens with: what is held, what is lost, and the dictionaries that the frames to come may name. Must
//! never change what was acknowledged.

use bytes::Bytes;
use model::record::{Loss, LossReason};
use model::wire::Open;
use model::{DestinationId, Epoch, Sequence};
use spool::Spool;

use crate::keeper::OpenInfo;

/// The opening of a session that goes on from `from`; `dictionaries` are those known without looking.
pub(crate) fn open_info(spool: &mut Spool, dictionaries: &[Bytes], from: Sequence) -> OpenInfo {
    let gone = gone_at(spool, from);
    let status = spool.status();
    let watermark = Sequence(from.0.saturating_sub(1));
    let mut losses = spool.losses_above(watermark.min(status.acked));
    losses.extend(gone);
    let open = Open {
        store: None,
        epoch: Epoch(0),
        destination: DestinationId::default(),
        oldest: status.oldest,
        next: status.next,
        losses,
    };
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

/// What a store that is new or older than ours asks for and cannot be read: it was delivered before, so the spool counts
/// no loss. Without it in the opening that store would wait for ever.
fn gone_at(spool: &mut Spool, from: Sequence) -> Option<Loss> {
    let status = spool.status();
    let first = from.max(status.oldest);
    if first > status.acked {
        return None;
    }
    let read = spool.read_from(first, 1);
    let read =
        read.map_err(|e| tracing::warn!(error = %e, "cannot read the spool; tried again")).ok()?;
    let readable = read.first().map_or(status.acked.next(), |frame| frame.header.sequence);
    // A loss that is not acknowledged yet is told as such.
    let told = spool.losses().iter().map(|loss| loss.first).find(|told| *told >= first);
    let end = readable.min(status.acked.next()).min(told.unwrap_or(readable));
    let last = Sequence(end.0.saturating_sub(1));
    (first <= last).then_some(Loss {
        first,
        last,
        samples: None,
        ts_min: None,
        ts_max: None,
        reason: LossReason::Corrupt,
        destinations: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
