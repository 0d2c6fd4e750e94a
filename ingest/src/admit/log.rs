//! One log of one gateway: what is durable, what is held for the next commit, what will never arrive. Sequences here
//! run without a hole (INV-2).

use std::collections::VecDeque;
use std::sync::Arc;

use contract::{AdmittedFrame, Watermark};
use model::record::LossReason;
use model::wire::Open;

use model::{Dictionary, DictionaryHash, FrameHash, Loss, Sequence};

use super::dictionaries::DICTIONARIES_MAX;
use crate::quarantine::Quarantined;

/// Losses that one opening may name; a gateway of ours joins them at 64.
const LOSSES_MAX: usize = 256;

/// What waits for a commit, in the order of the log.
#[derive(Debug)]
pub(super) enum Held {
    /// A DATA frame.
    Data {
        /// Its bytes on the wire.
        bytes: u64,
        /// Its hash.
        hash: FrameHash,
        /// What the store gets.
        frame: AdmittedFrame,
    },
    /// A frame of another type: its sequence counts, it brings no rows.
    Record {
        /// Its bytes on the wire.
        bytes: u64,
        /// Its hash.
        hash: FrameHash,
        /// Its sequence.
        sequence: Sequence,
        /// What it holds, if it is a dictionary.
        dictionary: Option<Named>,
    },
    /// A range that will never arrive.
    Lost {
        /// The end of the range.
        last: Sequence,
        /// Frames in it that the gateway gave up.
        frames: u64,
        /// Samples in them.
        samples: u64,
        /// Hash of the frame at its end, where it was here.
        hash: Option<FrameHash>,
    },
}

impl Held {
    /// The sequence up to which the log is complete with this.
    pub(super) fn last(&self) -> Sequence {
        match self {
            Self::Data { frame, .. } => frame.sequence,
            Self::Record { sequence, .. } => *sequence,
            Self::Lost { last, .. } => *last,
        }
    }

    /// Hash of the frame at its end, where there is one.
    pub(super) fn hash(&self) -> Option<FrameHash> {
        match self {
            Self::Data { hash, .. } | Self::Record { hash, .. } => Some(*hash),
            Self::Lost { hash, .. } => *hash,
        }
    }

    /// Frames, bytes and samples that it weighs.
    pub(super) fn weight(&self) -> Weight {
        let (bytes, samples) = match self {
            Self::Data { bytes, frame, .. } => (*bytes, frame.batch.samples.len() as u64),
            Self::Record { bytes, .. } => (*bytes, 0),
            Self::Lost { .. } => return Weight::default(),
        };
        Weight { frames: 1, bytes, samples }
    }
}

/// How much is held uncommitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) samples: u64,
}

impl Weight {
    pub(super) fn add(&mut self, other: Self) {
        self.frames = self.frames.saturating_add(other.frames);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.samples = self.samples.saturating_add(other.samples);
    }

    pub(super) fn sub(&mut self, other: Self) {
        self.frames = self.frames.saturating_sub(other.frames);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.samples = self.samples.saturating_sub(other.samples);
    }
}

/// A dictionary and the hash by which frames name it.
pub(super) type Named = (DictionaryHash, Arc<Dictionary>);

/// A dictionary that frames of this log may name.
#[derive(Debug)]
struct Known {
    record_hash: [u8; 32],
    named: Named,
}

/// Whether the gateway of a log is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// It did not open the log in this run.
    None,
    /// It did.
    Open,
    /// The spool that was opened goes on differently from what was admitted: nothing is admitted or acknowledged.
    Refused,
    /// It was opened once more since; a frame must show that it is the same spool before anything is acknowledged.
    Doubted,
}

/// State of one log.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about one log")]
#[derive(Debug)]
pub(super) struct Log {
    /// Everything up to here is in the store.
    pub(super) watermark: Sequence,
    /// The sequence that is admitted next.
    pub(super) next: Sequence,
    /// Where it stands in the store; 0 where the store never saw it.
    pub(super) stored: Sequence,
    /// Frames that were put aside and are in no commit yet.
    pub(super) aside: Vec<Quarantined>,
    /// A dictionary of it could not be read: frames that name an unknown one are not waited for.
    pub(super) has_bad_dictionary: bool,
    /// Another gateway writes one of the points of the frame that it waits for.
    pub(super) point_taken: bool,
    /// Admitted and in no commit yet.
    pub(super) held: VecDeque<Held>,
    /// Frames lost, in all, as the store will know with the commit that was made last.
    pub(super) lost_frames: u64,
    /// Samples in them.
    pub(super) lost_samples: u64,
    /// Lost frames and samples that are durable as such and were not yet told to people.
    pub(super) unsaid: (u64, u64),
    /// Sequences passed over after an unclean end, that no frame ever had; not yet counted and told.
    pub(super) passed_over: u64,
    /// Losses of which the gateway cannot say how many readings they took, not yet told and counted.
    pub(super) unsaid_unknown: u64,
    /// Whether its gateway is listened to.
    pub(super) session: Session,
    /// A frame was dropped since the last one that was admitted: the gateway must send again from `next`.
    pub(super) behind: bool,
    /// A frame was refused since then: sending it again would bring the same refusal.
    pub(super) refused: bool,
    /// Hash of the frame before `next`, where it is known.
    pub(super) last_hash: Option<FrameHash>,
    /// Hash of the frame at the watermark, where there is one.
    pub(super) durable_hash: Option<FrameHash>,
    /// No frame was admitted since the opening.
    pub(super) is_joint: bool,
    /// Losses that reach to `next` or above, ascending.
    losses: VecDeque<Loss>,
    dictionaries: Vec<Known>,
    /// The dictionaries that its gateway has today, until all of them are known here.
    pub(super) today: Option<Vec<DictionaryHash>>,
}

impl Log {
    /// A log that the store knows.
    pub(super) fn known(watermark: Watermark) -> Self {
        Self {
            lost_frames: watermark.lost_frames,
            lost_samples: watermark.lost_samples,
            last_hash: watermark.last_hash,
            durable_hash: watermark.last_hash,
            stored: watermark.durable_upto,
            ..Self::starting_behind(watermark.durable_upto)
        }
    }

    fn starting_behind(watermark: Sequence) -> Self {
        Self {
            watermark,
            next: watermark.next(),
            stored: Sequence(0),
            aside: Vec::new(),
            has_bad_dictionary: false,
            point_taken: false,
            held: VecDeque::new(),
            lost_frames: 0,
            lost_samples: 0,
            unsaid: (0, 0),
            unsaid_unknown: 0,
            passed_over: 0,
            session: Session::None,
            behind: false,
            refused: false,
            last_hash: None,
            durable_hash: None,
            is_joint: true,
            losses: VecDeque::new(),
            dictionaries: Vec::new(),
            today: None,
        }
    }

    /// A log that no store of ours has seen: it starts with the oldest frame that the gateway has or says it lost. What
    /// lies below was delivered to another centre, and is none of our losses.
    pub(super) fn unknown(open: &Open) -> Self {
        let losses = open.losses.iter().filter_map(model::Loss::range);
        let first = losses.map(|loss| loss.first).fold(open.oldest, Sequence::min);
        Self::starting_behind(Sequence(first.0.saturating_sub(1)))
    }

    /// Takes an opening that was checked by [`fault_of`]. In a log that is new here, what no loss names was delivered to
    /// another centre. Returns the frames that the gateway no longer has and names in no loss.
    pub(super) fn open(&mut self, open: Open, new_here: bool) -> u64 {
        self.is_joint = true;
        self.session = if self.is_forked() { Session::Doubted } else { Session::Open };
        self.refused = false;
        self.today = open.dictionaries.filter(|today| today.len() <= DICTIONARIES_MAX);
        let mut losses = open.losses;
        losses.retain(|loss| loss.range().is_some());
        losses.retain(|loss| loss.last >= self.next && loss.first < open.next);
        for loss in &mut losses {
            clip_end(loss, Sequence(open.next.0.saturating_sub(1)));
        }
        losses.sort_by_key(|loss| loss.first);
        self.losses = losses.into();
        if self.session == Session::Doubted {
            // A spool that may be another one moves nothing.
            return 0;
        }
        self.skip_losses();
        let mut unaccounted = 0_u64;
        while self.next < open.oldest {
            let end = self.losses.front().map_or(open.oldest, |loss| loss.first.min(open.oldest));
            let frames = end.0.saturating_sub(self.next.0);
            unaccounted = unaccounted.saturating_add(frames);
            let last = Sequence(end.0.saturating_sub(1));
            self.pass(last, if new_here { 0 } else { frames }, 0);
            self.skip_losses();
        }
        if new_here {
            return 0;
        }
        if unaccounted > 0 {
            // Nobody has counted their samples.
            self.unsaid_unknown = self.unsaid_unknown.saturating_add(1);
        }
        unaccounted
    }

    /// Holds what stands at `next`, and passes the losses behind it.
    pub(super) fn admit(&mut self, held: Held) {
        debug_assert_eq!(held.last(), self.next, "INV-2: frames of a log are admitted in sequence");
        self.next = held.last().next();
        self.last_hash = held.hash();
        self.held.push_back(held);
        self.point_taken = false;
        self.behind = false;
        self.refused = false;
        self.session = Session::Open;
        self.is_joint = false;
        self.skip_losses();
    }

    /// Passes the frame at `next`, which cannot be read, and keeps it for the quarantine.
    pub(super) fn put_aside(&mut self, frame: Quarantined, at: FrameHash) {
        debug_assert_eq!(frame.label.sequence, self.next, "INV-2: in sequence");
        self.pass(self.next, 1, frame.label.samples);
        self.last_hash = Some(at);
        if let Some(Held::Lost { hash, .. }) = self.held.back_mut() {
            *hash = Some(at);
        }
        self.aside.push(frame);
        self.behind = false;
        self.refused = false;
        self.session = Session::Open;
        self.is_joint = false;
        self.skip_losses();
    }

    /// Stands where the store stands, which is not where it stood: what was admitted since is asked for again.
    pub(super) fn rewind(&mut self, stored: Option<&Watermark>) {
        let upto = stored.map_or(Sequence(0), |mark| mark.durable_upto);
        let dictionaries = std::mem::take(&mut self.dictionaries);
        let session = self.session;
        *self = stored.map_or_else(|| Self::starting_behind(upto), |mark| Self::known(*mark));
        self.dictionaries = dictionaries;
        // The gateway must say anew what it has: only then what is gone can be counted.
        self.session = if session == Session::Refused { session } else { Session::None };
    }

    /// Whether the gateway opened it in this run, and is listened to.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.session, Session::Open | Session::Doubted)
    }

    /// Whether nothing must be acknowledged, because the spool may be another one.
    pub(super) fn is_forked(&self) -> bool {
        matches!(self.session, Session::Refused | Session::Doubted)
    }

    /// Whether a commit would change the store.
    pub(super) fn is_dirty(&self) -> bool {
        !self.held.is_empty()
    }

    /// The dictionary with this hash.
    pub(super) fn dictionary(&self, hash: DictionaryHash) -> Option<Arc<Dictionary>> {
        let known = self.dictionaries.iter().find(|known| known.named.0 == hash)?;
        Some(Arc::clone(&known.named.1))
    }

    /// The dictionary of a DICT record with this hash over its bytes, if it was read already.
    pub(super) fn of_record(&self, record_hash: &[u8; 32]) -> Option<Named> {
        let known = self.dictionaries.iter().find(|known| known.record_hash == *record_hash)?;
        Some(known.named.clone())
    }

    /// Learns a dictionary; [`super::dictionaries`] bounds them.
    pub(super) fn learn(&mut self, record_hash: [u8; 32], named: Named) {
        self.dictionaries.push(Known { record_hash, named });
    }

    /// Gives a dictionary up.
    pub(super) fn forget_dictionary(&mut self, hash: DictionaryHash) {
        self.dictionaries.retain(|known| known.named.0 != hash);
    }

    fn skip_losses(&mut self) {
        while let Some(loss) = self.losses.pop_front_if(|loss| loss.first <= self.next) {
            if loss.last >= self.next {
                let frames = loss.last.0.saturating_sub(self.next.0).saturating_add(1);
                // Sequences that were passed over held nothing that is lost. What the gateway had read and not yet
                // written at that end, it tells of in a LOSS record without a sequence.
                let is_skipped = loss.reason == LossReason::Skipped;
                let (lost, skipped) = if is_skipped { (0, frames) } else { (frames, 0) };
                self.passed_over = self.passed_over.saturating_add(skipped);
                self.pass(loss.last, lost, share(&loss, lost));
            }
        }
    }

    fn pass(&mut self, to: Sequence, more_frames: u64, more_samples: u64) {
        self.next = to.next();
        self.last_hash = None;
        // One entry for all that is lost between two frames, so that what is held stays bounded (INV-5).
        if let Some(Held::Lost { last, frames, samples, hash }) = self.held.back_mut() {
            (*last, *hash) = (to, None);
            *frames = frames.saturating_add(more_frames);
            *samples = samples.saturating_add(more_samples);
        } else {
            let (last, frames, samples) = (to, more_frames, more_samples);
            self.held.push_back(Held::Lost { last, frames, samples, hash: None });
        }
    }
}

/// What is wrong with an opening in itself.
pub(super) fn fault_of(open: &Open) -> Option<String> {
    let (oldest, next, losses) = (open.oldest, open.next, open.losses.len());
    if losses > LOSSES_MAX {
        return Some(format!("opening names {losses} losses: at most {LOSSES_MAX} are accepted"));
    }
    let sound = oldest.0 > 0 && oldest <= next;
    (!sound).then(|| format!("opening contradicts itself: oldest {oldest} of next {next}"))
}

/// The part of a loss's samples that falls to its last `frames` frames. Where a gateway joined a loss that was counted
/// with a newer one, only the sum is known; it is shared evenly, rounded up, so that samples never become none.
fn share(loss: &Loss, frames: u64) -> u64 {
    let all = u128::from(loss.last.0.saturating_sub(loss.first.0)) + 1;
    let samples = loss.samples.unwrap_or_default();
    let part = (u128::from(samples) * u128::from(frames)).div_ceil(all);
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Ends a loss at `last`, if it reaches beyond.
fn clip_end(loss: &mut Loss, last: Sequence) {
    if loss.last > last {
        let frames = last.0.saturating_sub(loss.first.0).saturating_add(1);
        loss.samples = loss.samples.is_some().then(|| share(loss, frames));
        loss.last = last;
    }
}
