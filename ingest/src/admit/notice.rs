//! What people are told, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{GatewayId, LogId, Sequence};

/// Most entries that a limiter remembers; it forgets all when there are more.
const ENTRIES_MAX: usize = 10_000;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeKind {
    /// A message cannot be read, or breaks the rules; the watermark stays below it.
    Refused,
    /// A frame cannot be read and is in quarantine; its log goes on.
    Quarantined,
    /// The store stands lower than it did: it was put back. The gateways are asked for what it lacks.
    StoreWentBack,
    /// A frame does not name the one before it.
    ChainBreak,
    /// A spool goes on differently from what is committed of it: an old copy, or a second one. Nothing of it is
    /// admitted or acknowledged.
    Forked,
    /// Frames are gone and no loss names them.
    Unaccounted,
    /// Frames that a gateway gave up will never be here; that is durable now.
    Lost,
    /// A gateway did not end in order: it lost readings, and nobody knows how many.
    LostUnknown,
    /// Sequences that a gateway passed over after an unclean end: nothing is lost by that.
    PassedOver,
    /// Two spools of one gateway are sent by turns: a device was cloned, or an old card is in use again.
    TwoLogs,
    /// A frame names a dictionary that is nowhere here; the log waits for it.
    NoDictionary,
    /// The dictionaries in use leave no room for one of this gateway; its log waits.
    NoRoom,
    /// Two gateways write one point; the second one waits.
    PointTaken,
    /// More logs than one ingest looks after.
    TooManyLogs,
    /// The store does not commit: acks are withheld.
    CommitsFail,
    /// The store commits again.
    CommitsAgain,
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The gateway that it is about; `None` for the store.
    pub gateway: Option<GatewayId>,
    /// The log that it is about, where it is about one.
    pub log_id: Option<LogId>,
    /// The sequence that this log waits for, where it is looked after.
    pub waits_for: Option<Sequence>,
    /// What it is about.
    pub kind: NoticeKind,
    /// The words.
    pub text: String,
}

impl Notice {
    pub(super) fn commits_fail(error: String) -> Self {
        Self::of_store(NoticeKind::CommitsFail, error)
    }

    pub(super) fn store_went_back(text: String) -> Self {
        Self::of_store(NoticeKind::StoreWentBack, text)
    }

    pub(super) fn commits_again() -> Self {
        Self::of_store(NoticeKind::CommitsAgain, String::new())
    }

    fn of_store(kind: NoticeKind, text: String) -> Self {
        Self { gateway: None, log_id: None, waits_for: None, kind, text }
    }
}

/// Lets something through once per interval and key.
#[derive(Debug)]
pub(super) struct Limiter<K> {
    interval: Duration,
    last: BTreeMap<K, Duration>,
}

impl<K: Ord> Limiter<K> {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last: BTreeMap::new() }
    }

    pub(super) fn allows(&mut self, key: K, now: Duration) -> bool {
        let recent = self.last.get(&key).is_some_and(|at| now.saturating_sub(*at) < self.interval);
        if !recent {
            if self.last.len() >= ENTRIES_MAX {
                self.last.clear();
            }
            self.last.insert(key, now);
        }
        !recent
    }
}
