//! When the next commit is due, what goes into it, and what became of the one under way: at most one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contract::{CommitDraft, LogKey, WatermarkMove};
use model::{DictionaryHash, FrameHash, Sequence};

use contract::Dictionaries;

use super::Work;
use super::log::{Held, Log, Weight};
use crate::quarantine::Quarantined;

/// Samples after which a draft is full; the rest waits for the next one.
const DRAFT_SAMPLES: u64 = 1_000_000;
/// A gateway that waits for acks with a full window hastens the commit to this part of the interval.
const HASTE: u32 = 8;
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Hashes of dictionaries known to be durable; all are forgotten, and written once more, when there are more.
const STORED_MAX: usize = 10_000;

/// How urgent a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    AtOnce,
    /// A gateway cannot send on before.
    Soon,
    AfterInterval,
}

/// How one log moves with the commit under way.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) key: LogKey,
    pub(super) upto: Sequence,
    pub(super) hash: Option<FrameHash>,
    pub(super) weight: Weight,
    pub(super) lost_frames: u64,
    pub(super) lost_samples: u64,
}

/// The commit under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    work: Arc<Work>,
    pub(super) moves: Vec<Moved>,
}

/// State of committing.
#[derive(Debug)]
pub(super) struct Drafts {
    interval: Duration,
    retry_max: Duration,
    under_way: Option<UnderWay>,
    /// When the first of what is held now was admitted.
    gathering_since: Option<Duration>,
    started_at: Option<Duration>,
    /// When to try the failed draft again; `None` while an attempt is under way.
    retry_at: Option<Duration>,
    /// The last wait for that.
    retry_wait: Duration,
    /// The store failed since the last commit that went well.
    failing: bool,
    flushing: bool,
    /// The log that the last full draft ended with: the next one begins behind it.
    last_log: Option<LogKey>,
    stored: BTreeSet<DictionaryHash>,
}

impl Drafts {
    pub(super) fn new(interval: Duration, retry_max: Duration, stored: &Dictionaries) -> Self {
        Self {
            interval,
            retry_max,
            under_way: None,
            gathering_since: None,
            started_at: None,
            retry_at: None,
            retry_wait: Duration::ZERO,
            failing: false,
            flushing: false,
            last_log: None,
            stored: stored.keys().copied().collect(),
        }
    }

    /// Something is held.
    pub(super) fn holds(&mut self, now: Duration) {
        self.gathering_since.get_or_insert(now);
    }

    /// From now on whatever is held is due at once.
    pub(super) fn flush(&mut self) {
        self.flushing = true;
        self.retry_at = self.retry_at.and(Some(Duration::ZERO));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.gathering_since.is_none()
    }

    /// When the next attempt to commit is due; `None` when there is nothing to commit, or a commit is under way.
    pub(super) fn due(&self, urgency: Due) -> Option<Duration> {
        if self.under_way.is_some() {
            return self.retry_at;
        }
        let since = self.gathering_since?;
        if self.flushing || urgency == Due::AtOnce {
            return Some(Duration::ZERO);
        }
        let regular = since.saturating_add(self.interval);
        let hastened = self.started_at.unwrap_or_default().saturating_add(self.interval / HASTE);
        Some(if urgency == Due::Soon { regular.min(hastened) } else { regular })
    }

    /// The failed draft once more, or a new one of what is held.
    pub(super) fn next(&mut self, now: Duration, logs: &mut BTreeMap<LogKey, Log>) -> Arc<Work> {
        if let Some(under_way) = &self.under_way {
            self.retry_at = None;
            return Arc::clone(&under_way.work);
        }
        let under_way = self.take(logs);
        let work = Arc::clone(&under_way.work);
        self.under_way = Some(under_way);
        self.started_at = Some(now);
        if !logs.values().any(Log::is_dirty) {
            self.gathering_since = None;
        }
        work
    }

    /// Gives the draft under way up: it does not fit the store any more.
    pub(super) fn abandon(&mut self, logs: &BTreeMap<LogKey, Log>) {
        self.under_way = None;
        self.retry_at = None;
        self.retry_wait = Duration::ZERO;
        self.failing = false;
        // The store may have lost what it had of them.
        self.stored.clear();
        if !logs.values().any(Log::is_dirty) {
            self.gathering_since = None;
        }
    }

    /// The draft under way is durable.
    pub(super) fn done(&mut self) -> Option<UnderWay> {
        let under_way = self.under_way.take()?;
        self.retry_at = None;
        self.retry_wait = Duration::ZERO;
        if self.stored.len() > STORED_MAX {
            self.stored.clear();
        }
        self.stored.extend(under_way.work.dictionaries.iter().map(|(hash, _)| *hash));
        Some(under_way)
    }

    /// The draft under way failed; `true` when the attempt before it had not.
    pub(super) fn failed(&mut self, now: Duration) -> bool {
        self.retry_wait = self.retry_wait.saturating_mul(2).max(RETRY_MIN).min(self.retry_max);
        self.retry_at = Some(now.saturating_add(self.retry_wait));
        !std::mem::replace(&mut self.failing, true)
    }

    /// Whether the store failed before and does no longer.
    pub(super) fn recovered(&mut self) -> bool {
        std::mem::take(&mut self.failing)
    }

    fn take(&mut self, logs: &mut BTreeMap<LogKey, Log>) -> UnderWay {
        let mut keys: Vec<LogKey> =
            logs.iter().filter(|(_, log)| log.is_dirty()).map(|(key, _)| key.clone()).collect();
        // Each draft begins behind the log that the last one ended with, so that none waits forever.
        let start =
            self.last_log.as_ref().map_or(0, |last| keys.partition_point(|key| key <= last));
        if start < keys.len() {
            keys.rotate_left(start);
        }
        let (mut draft, mut moves) = (CommitDraft::default(), Vec::new());
        let mut quarantined = Vec::new();
        let mut dictionaries = Dictionaries::new();
        let mut room = DRAFT_SAMPLES;
        for key in keys {
            let Some(log) = logs.get_mut(&key) else { continue };
            match take_log(key, log, &mut room, &mut draft, &mut dictionaries) {
                Some(of_log) => {
                    let is_in = |frame: &mut Quarantined| frame.label.sequence <= of_log.upto;
                    quarantined.extend(log.aside.extract_if(.., is_in));
                    self.last_log = Some(of_log.key.clone());
                    moves.push(of_log);
                }
                None => break,
            }
        }
        dictionaries.retain(|hash, _| !self.stored.contains(hash));
        let dictionaries = dictionaries.into_iter().collect();
        let work = Work { draft: Arc::new(draft), dictionaries, quarantined };
        UnderWay { work: Arc::new(work), moves }
    }
}

/// Moves what a log holds into the draft, as long as there is room; `None` when there was none at all.
fn take_log(
    key: LogKey,
    log: &mut Log,
    room: &mut u64,
    draft: &mut CommitDraft,
    dictionaries: &mut Dictionaries,
) -> Option<Moved> {
    let mut weight = Weight::default();
    let (mut upto, mut last_hash) = (None, None);
    let (mut lost_frames, mut lost_samples) = (0_u64, 0_u64);
    while let Some(held) = log.held.pop_front() {
        let this = held.weight();
        if *room == 0 {
            log.held.push_front(held);
            break;
        }
        *room = room.saturating_sub(this.samples);
        weight.add(this);
        (upto, last_hash) = (Some(held.last()), held.hash());
        match held {
            Held::Data { frame, .. } => {
                dictionaries
                    .entry(frame.batch.dictionary)
                    .or_insert_with(|| Arc::clone(&frame.dictionary));
                draft.frames.push(frame);
            }
            // Its frames may come in another run, and nobody would send it again then.
            Held::Record { dictionary, .. } => dictionaries.extend(dictionary),
            Held::Lost { frames, samples, .. } => {
                lost_frames = lost_frames.saturating_add(frames);
                lost_samples = lost_samples.saturating_add(samples);
            }
        }
    }
    let upto = upto?;
    log.lost_frames = log.lost_frames.saturating_add(lost_frames);
    log.lost_samples = log.lost_samples.saturating_add(lost_samples);
    let (gateway, log_id) = key.clone();
    draft.watermarks.push(WatermarkMove {
        gateway,
        log_id,
        stood: log.stored,
        durable_upto: upto,
        lost_frames: log.lost_frames,
        lost_samples: log.lost_samples,
        last_hash,
    });
    Some(Moved { key, upto, hash: last_hash, weight, lost_frames, lost_samples })
}

#[cfg(test)]
mod tests {
    use contract::AdmittedFrame;
    use model::LogId;
    use model::fixtures::{dictionary, gateway};

    use super::*;
    use crate::admit::fixtures::batch;

    #[test]
    fn a_log_that_fills_every_draft_makes_no_other_wait_for_ever() {
        let held = |name: &str, samples: usize| {
            let (gateway, log_id, sequence) = (gateway(name), LogId([1; 16]), Sequence(1));
            let mut batch = batch(1);
            batch.samples = vec![batch.samples[0].clone(); samples];
            let dictionary = Arc::new(dictionary());
            let frame = AdmittedFrame { gateway, log_id, sequence, dictionary, batch };
            Held::Data { bytes: 1, hash: FrameHash([1; 32]), frame }
        };
        let mark = |upto: u64| contract::Watermark {
            durable_upto: Sequence(upto),
            generation: model::Generation(1),
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        };
        let full = usize::try_from(DRAFT_SAMPLES).unwrap();
        let mut logs = BTreeMap::new();
        for name in ["a", "k"] {
            let mut log = Log::known(mark(0));
            log.held.push_back(held(name, if name == "a" { full } else { 1 }));
            logs.insert((gateway(name), LogId([1; 16])), log);
        }
        let mut drafts = Drafts::new(Duration::ZERO, Duration::ZERO, &Dictionaries::new());
        let mut taken = Vec::new();
        for _ in 0..2 {
            let work = drafts.next(Duration::ZERO, &mut logs);
            taken.push(work.draft.frames[0].gateway.to_string());
            drafts.done();
            // It goes on sending.
            let of_a = logs.get_mut(&(gateway("a"), LogId([1; 16]))).unwrap();
            of_a.held.push_back(held("a", full));
        }
        assert_eq!(taken, ["a", "k"]);
    }
}
