//! What the log knows of each place that it delivers to, and the only way in which anything is freed.

use model::{DestinationId, Epoch, FrameHash, Loss, Sequence, StoreId};

use crate::Spool;
use crate::error::SpoolError;
use crate::losses::LossList;

/// Most destinations of one log: each of them may hold up all that the quota allows.
pub const DESTINATIONS_MAX: usize = 4;

/// The place of a destination in [`crate::SpoolConfig::destinations`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationIndex(pub usize);

/// How far one destination has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) id: DestinationId,
    /// Everything up to it is durable there.
    pub(crate) acked: Sequence,
    /// Everything up to it was acked when this log began with frames of another one: there is no need to send it again.
    pub(crate) floor: Sequence,
    /// Identity of its store, as it was told last.
    pub(crate) store: Option<(StoreId, Epoch)>,
}

impl Destination {
    pub(crate) fn new(id: DestinationId, acked: Sequence) -> Self {
        Self { id, acked, floor: Sequence(0), store: None }
    }
}

impl Spool {
    /// Records the acknowledgement of a store: everything up to `upto` is durable there. Frees segments that no
    /// destination needs. The cursor goes to disk when a segment is freed, and at [`Self::close`]: a lost cursor costs
    /// a re-send only. Returns what is acked now.
    ///
    /// `hash` must be that of the frame at `upto`, which only somebody can know who has it (INV-3). At the end of a lost
    /// range there is no frame: such an ack frees nothing yet, and the next frame, which always comes, since the LOSS
    /// record itself is one, frees it all.
    ///
    /// # Errors
    /// [`SpoolError::AckBeyondDurable`], [`SpoolError::AckWithoutHash`], [`SpoolError::AckOfAnotherLog`],
    /// [`SpoolError::AckOfUnsent`]: nothing is freed. [`SpoolError::Io`] when the frame cannot be read, or the cursor not
    /// be written, at the moment.
    pub fn ack(
        &mut self,
        to: DestinationIndex,
        upto: Sequence,
        hash: Option<FrameHash>,
    ) -> Result<Sequence, SpoolError> {
        let acked = self.acked(to);
        if upto <= acked {
            return Ok(acked);
        }
        if upto > self.durable {
            return Err(SpoolError::AckBeyondDurable { upto, durable: self.durable });
        }
        let deliverable = self.deliverable(to);
        if upto > deliverable {
            return Err(SpoolError::AckOfUnsent { upto, deliverable });
        }
        let Some(expected) = self.hash_at(to, upto)? else {
            if upto == deliverable && !self.holds_between(to, acked, upto)? {
                self.pass_barrier(to, upto)?;
                return Ok(upto);
            }
            return Ok(acked);
        };
        match hash {
            Some(found) if found.0 == expected => {}
            Some(_) => return Err(SpoolError::AckOfAnotherLog { upto }),
            // A centre that began behind these frames, and has no more to say of them.
            None if upto == deliverable && deliverable < self.durable => {
                return Err(SpoolError::AckOfUnsent { upto, deliverable });
            }
            None => return Err(SpoolError::AckWithoutHash { upto }),
        }
        if upto == deliverable && deliverable < self.durable {
            self.pass_barrier(to, upto)?;
        }
        self.acknowledge(to, upto);
        Ok(upto)
    }

    /// Last sequence that this destination may be sent and may ack. What is durable, but for frames behind a range that is
    /// lost: these wait until the frames before it are acked by their hash.
    ///
    /// An ack from behind such a range would free what stands before it without proof. The centre passes the range on the
    /// word of this spool, and where the spool is an old copy that was put back, the centre may have frames of its own
    /// there, and lack those that the copy wrote.
    #[must_use]
    pub fn deliverable(&self, to: DestinationIndex) -> Sequence {
        let Some(list) = self.losses.get(to.0) else { return self.durable };
        let from = self.oldest_for(to).max(self.acked(to).next());
        let mut ends = list.iter().filter_map(|loss| {
            let before = Sequence(loss.first.0.saturating_sub(1));
            list.uncovered(from, before).last().map(|(_, end)| *end)
        });
        ends.next().unwrap_or(self.durable)
    }

    /// Sequences above [`Self::deliverable`] that are lost: the destination is not to hear of them yet.
    #[must_use]
    pub fn untold(&self, to: DestinationIndex) -> u64 {
        let deliverable = self.deliverable(to);
        let untold = self.losses.get(to.0).into_iter().flat_map(LossList::iter);
        let untold = untold.filter(|loss| loss.first > deliverable);
        untold
            .map(|loss| (loss.last.0 - loss.first.0).saturating_add(1))
            .fold(0, u64::saturating_add)
    }

    /// Whether any frame stands above `acked` and up to `upto`.
    fn holds_between(
        &mut self,
        to: DestinationIndex,
        acked: Sequence,
        upto: Sequence,
    ) -> Result<bool, SpoolError> {
        let frames = self.read_from(to, acked.next(), 1)?;
        Ok(frames.first().is_some_and(|frame| frame.header.sequence <= upto))
    }

    /// Makes durable that everything before a lost range is acked, before the destination hears of it: a
    /// later start must not take a centre that is beyond the range for one that has frames of another spool.
    fn pass_barrier(&mut self, to: DestinationIndex, upto: Sequence) -> Result<(), SpoolError> {
        let Some(destination) = self.destinations.get_mut(to.0) else { return Ok(()) };
        let before = std::mem::replace(&mut destination.acked, upto);
        self.write_cursor().inspect_err(|_| {
            if let Some(destination) = self.destinations.get_mut(to.0) {
                destination.acked = before;
            }
        })
    }

    pub(crate) fn acknowledge(&mut self, to: DestinationIndex, upto: Sequence) {
        if let Some(destination) = self.destinations.get_mut(to.0) {
            destination.acked = destination.acked.max(upto.min(self.durable));
        }
        self.retire();
        if let Err(error) = self.reclaim() {
            tracing::warn!(error = error.full_text(), "acked segments not freed yet");
        }
    }

    /// The hash that an ack of `upto` must have; `None` where `upto` is lost.
    fn hash_at(
        &mut self,
        to: DestinationIndex,
        upto: Sequence,
    ) -> Result<Option<[u8; 32]>, SpoolError> {
        if self.is_lost(to, upto) {
            return Ok(None);
        }
        if upto == self.last_frame {
            return Ok(Some(self.last_hash));
        }
        // Damage that is met now becomes a loss.
        let frames = self.read_from(to, upto, 1)?;
        let frame = frames.first().filter(|frame| frame.header.sequence == upto);
        Ok(frame.map(|frame| model::frame::hash_of_frame(&frame.bytes)))
    }

    pub(crate) fn is_lost(&self, to: DestinationIndex, sequence: Sequence) -> bool {
        self.losses.get(to.0).is_some_and(|losses| losses.covering(sequence).is_some())
    }

    /// The destinations, in the order of their indices.
    pub fn destinations(&self) -> impl Iterator<Item = &DestinationId> {
        self.destinations.iter().map(|destination| &destination.id)
    }

    /// Everything up to it is durable at this destination.
    pub fn acked(&self, to: DestinationIndex) -> Sequence {
        self.destinations.get(to.0).map_or(Sequence(0), |destination| destination.acked)
    }

    /// What every destination has.
    pub(crate) fn acked_by_all(&self) -> Sequence {
        self.destinations.iter().map(|destination| destination.acked).min().unwrap_or_default()
    }

    /// Oldest sequence that this destination may be sent; the next one when there is none.
    pub fn oldest_for(&self, to: DestinationIndex) -> Sequence {
        let floor = self.destinations.get(to.0).map_or(Sequence(0), |known| known.floor);
        self.oldest().max(floor.next())
    }

    /// The store that this destination was last known to have.
    pub fn store(&self, to: DestinationIndex) -> Option<&(StoreId, Epoch)> {
        self.destinations.get(to.0)?.store.as_ref()
    }

    /// Notes the identity of a destination's store. It goes to disk with the cursor.
    pub fn note_store(&mut self, to: DestinationIndex, store: StoreId, epoch: Epoch) {
        if let Some(destination) = self.destinations.get_mut(to.0) {
            destination.store = Some((store, epoch));
        }
    }

    /// The ranges that this destination lost and whose LOSS record it has not acked yet, oldest first.
    pub fn losses(&self, to: DestinationIndex) -> Vec<Loss> {
        let acked = self.acked(to);
        self.losses.get(to.0).into_iter().flat_map(|list| list.unacked(acked)).cloned().collect()
    }

    /// Those of [`Self::losses`] that reach above `watermark`: what the destination must hear of to pass them.
    pub fn losses_above(&self, to: DestinationIndex, watermark: Sequence) -> Vec<Loss> {
        let mut losses = self.losses(to);
        losses.retain(|loss| loss.last > watermark);
        losses
    }
}
