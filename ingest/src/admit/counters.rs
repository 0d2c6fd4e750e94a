//! What admission counted, each drop with its reason (INV-6).

use serde::Serialize;

/// Why a message was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// Already committed, or admitted and waiting for its commit.
    Duplicate,
    /// Frames before it are missing; the gateway sends again from the first of them.
    Hole,
    /// Its log was not opened in this run of ingest.
    NotOpened,
    /// The dictionary that it names has not arrived.
    NoDictionary,
    /// As much is held uncommitted as may be, for this gateway or for all; or as many dictionaries are at hand, or were
    /// read lately.
    Bound,
    /// Damaged, of an unknown version, or against the rules of a batch.
    Refused,
    /// Of a spool that goes on differently from what is committed of it.
    Forked,
    /// Another gateway writes one of its points.
    PointTaken,
    /// More logs than one ingest looks after.
    TooManyLogs,
    /// The queue between broker and admission was full.
    QueueFull,
    /// Its topic names no gateway.
    NoGateway,
}

/// Dropped messages by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "described at `DropReason`")]
pub struct Dropped {
    pub duplicate: u64,
    pub hole: u64,
    pub not_opened: u64,
    pub no_dictionary: u64,
    pub bound: u64,
    pub refused: u64,
    pub forked: u64,
    pub point_taken: u64,
    pub too_many_logs: u64,
    pub queue_full: u64,
    pub no_gateway: u64,
}

impl Dropped {
    pub(crate) fn count(&mut self, reason: DropReason) {
        let counter = match reason {
            DropReason::Duplicate => &mut self.duplicate,
            DropReason::Hole => &mut self.hole,
            DropReason::NotOpened => &mut self.not_opened,
            DropReason::NoDictionary => &mut self.no_dictionary,
            DropReason::Bound => &mut self.bound,
            DropReason::Refused => &mut self.refused,
            DropReason::Forked => &mut self.forked,
            DropReason::PointTaken => &mut self.point_taken,
            DropReason::TooManyLogs => &mut self.too_many_logs,
            DropReason::QueueFull => &mut self.queue_full,
            DropReason::NoGateway => &mut self.no_gateway,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Counts of this run of ingest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Messages that came from gateways.
    pub messages: u64,
    /// Frames admitted, of any record type.
    pub frames_admitted: u64,
    /// Frames committed, of any record type.
    pub frames_committed: u64,
    /// Samples in them: the rows of this run.
    pub samples_committed: u64,
    /// Commits of this run.
    pub commits: u64,
    /// Attempts to commit that failed.
    pub commit_failures: u64,
    /// Commit acks handed to the broker's side, announcements included.
    pub acks: u64,
    /// Messages that were not admitted.
    pub dropped: Dropped,
    /// Frames that the gateways gave up and whose loss was committed in this run.
    pub frames_lost: u64,
    /// Samples in them, as far as they are known.
    pub samples_lost: u64,
    /// Sequences that the gateways passed over after an unclean end. No frame ever had them: nothing is lost by that.
    pub frames_skipped: u64,
    /// Losses of which nobody knows how many readings they took: a gateway did not end in order, so what it had read and not yet
    /// written is gone; or frames are gone from the store that the gateway no longer has.
    pub losses_unknown: u64,
    /// Frames that could not be read and are in quarantine; they count as lost.
    pub frames_quarantined: u64,
    /// Times that the store went back to an earlier state of itself under this run.
    pub rewinds: u64,
    /// Frames whose `prev_hash` does not name the frame before them.
    pub chain_breaks: u64,
    /// Connections to the embedded broker whose task panicked: a fault of the program.
    pub connections_failed: u64,
    /// Samples whose gateway time is more than 400 days old or more than 10 minutes ahead (delivery limits).
    pub suspect_clock: u64,
}
