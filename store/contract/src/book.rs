//! The book of logs: how far each is durable, which dictionaries it followed, and how a draft moves it. Pure; an engine
//! keeps it as named numbers, in the same transaction as the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    CommitNumber, Dictionary, DictionaryHash, FrameHash, GatewayId, Generation, LogId, PointId,
    Sequence,
};

use crate::draft::{CommitDraft, LogKey, Watermark, WatermarkMove};
use crate::error::{DraftError, DraftFault};

/// Names of the application transactions.
const COMMIT: &str = "commit";
const DURABLE_UPTO: &str = "wm";
const GENERATION: &str = "gen";
const LOST_FRAMES: &str = "lost-frames";
const LOST_SAMPLES: &str = "lost-samples";
/// The hash of the last frame, 7 bytes in each number so that it fits a positive one; all 0 where it is not known.
const LAST_HASH: [&str; HASH_PARTS] = ["hash", "hash2", "hash3", "hash4", "hash5"];
const HASH_PARTS: usize = 5;
const HASH_PART_BYTES: usize = 7;
/// `dict/{gateway}/{log_id}/{sequence}/{hash}` = commit: from this frame on the log follows this dictionary.
const DICTIONARY: &str = "dict";

/// From one frame of a log on, its rows follow a dictionary, until the next use of the same log. The rows of a frame are
/// those of its generation and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryUse {
    /// The log.
    pub generation: Generation,
    /// The first frame.
    pub from: Sequence,
    /// The dictionary.
    pub dictionary: DictionaryHash,
    /// The ingest commit that brought that frame.
    pub commit: CommitNumber,
}

/// The hash that [`DictionaryHash`] writes so.
fn hash_of_hex(text: &str) -> Option<DictionaryHash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(DictionaryHash(bytes))
}

/// Where every log stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogBook {
    /// Every log that was committed to.
    pub logs: BTreeMap<LogKey, Watermark>,
    /// The dictionaries that a log followed, by the first frame that did.
    dictionaries: BTreeMap<LogKey, BTreeMap<Sequence, (DictionaryHash, CommitNumber)>>,
    /// The last commit; 0 when there was none.
    pub commit: CommitNumber,
    following: Following,
}

/// The dictionaries that the frames of each log follow now, side by side: one describes whole devices, so a gateway of
/// many has several, and its frames name them by turns. Known of this run alone: after a start each may be noted again.
#[derive(Debug, Clone, Default)]
struct Following(BTreeMap<LogKey, BTreeMap<DictionaryHash, Arc<Dictionary>>>);

impl PartialEq for Following {
    /// It is no part of what the book says.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Following {}

impl Following {
    /// Notes that a log follows a dictionary, which ends those that describe one of its points; whether that is new.
    fn follow(&mut self, key: &LogKey, hash: DictionaryHash, dictionary: &Arc<Dictionary>) -> bool {
        let known = self.0.entry(key.clone()).or_default();
        if known.contains_key(&hash) {
            return false;
        }
        let points: BTreeSet<&PointId> = dictionary.points.iter().map(|point| &point.id).collect();
        known.retain(|_, other| !other.points.iter().any(|point| points.contains(&point.id)));
        known.insert(hash, Arc::clone(dictionary));
        true
    }
}

/// What a draft comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The book after the commit.
    pub after: LogBook,
    /// For each frame of the draft, the generation of its log; `None` for a replay, which is left out.
    pub admitted: Vec<Option<Generation>>,
    /// The transactions to write; empty when the draft changes nothing.
    pub transactions: Vec<(String, i64)>,
}

impl LogBook {
    /// Reads the book from the table's transactions; those of others are left alone. The error is the damaged one.
    pub fn from_transactions(all: &BTreeMap<String, i64>) -> Result<Self, String> {
        let mut book = Self::default();
        for (name, &version) in all {
            let number = u64::try_from(version).map_err(|_| name.clone())?;
            if name == COMMIT {
                book.commit = CommitNumber(number);
                continue;
            }
            let mut parts = name.splitn(3, '/');
            let (Some(kind), Some(gateway), Some(log_id)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if kind == DICTIONARY {
                let (key, from, hash) = begin_of_use(gateway, log_id).ok_or(name.clone())?;
                let of_log = book.dictionaries.entry(key).or_default();
                of_log.insert(from, (hash, CommitNumber(number)));
                continue;
            }
            let part = LAST_HASH.iter().position(|name| *name == kind);
            let numbers = [DURABLE_UPTO, GENERATION, LOST_FRAMES, LOST_SAMPLES];
            if part.is_none() && !numbers.contains(&kind) {
                continue;
            }
            let gateway = GatewayId::new(gateway).map_err(|_| name.clone())?;
            let log_id = LogId::try_from(log_id.to_owned()).map_err(|_| name.clone())?;
            let mark = book.logs.entry((gateway, log_id)).or_insert(UNSEEN);
            if let Some(part) = part {
                mark.last_hash = with_part(mark.last_hash, part, number);
                continue;
            }
            match kind {
                DURABLE_UPTO => mark.durable_upto = Sequence(number),
                GENERATION => mark.generation = Generation(number),
                LOST_FRAMES => mark.lost_frames = number,
                _ => mark.lost_samples = number,
            }
        }
        Ok(book)
    }

    /// The generation that the next new log will get.
    pub fn next_generation(&self) -> Generation {
        self.logs.values().map(|mark| mark.generation).max().unwrap_or_default().next()
    }

    /// Every use of a dictionary, in the order in which they were committed.
    pub fn dictionary_uses(&self) -> Vec<DictionaryUse> {
        let of_log = |(key, uses): (&LogKey, &BTreeMap<Sequence, _>)| {
            let generation = self.logs.get(key)?.generation;
            let all = uses.iter().map(|(from, (dictionary, commit))| DictionaryUse {
                generation,
                from: *from,
                dictionary: *dictionary,
                commit: *commit,
            });
            Some(all.collect::<Vec<_>>())
        };
        let mut uses: Vec<_> = self.dictionaries.iter().filter_map(of_log).flatten().collect();
        uses.sort_by_key(|one| (one.commit, one.generation, one.from));
        uses
    }

    /// Says what a draft changes, or which frame breaks a rule.
    pub fn plan(&self, draft: &CommitDraft) -> Result<Plan, DraftError> {
        let mut after = self.clone();
        for step in &draft.watermarks {
            let generation = after.next_generation();
            self.joins(step)?;
            let mark = after
                .logs
                .entry((step.gateway.clone(), step.log_id))
                .or_insert(Watermark { generation, ..UNSEEN });
            // A replay of an old draft must not take anything back (INV-4).
            if step.durable_upto > mark.durable_upto {
                mark.durable_upto = step.durable_upto;
                mark.last_hash = step.last_hash;
            }
            mark.lost_frames = mark.lost_frames.max(step.lost_frames);
            mark.lost_samples = mark.lost_samples.max(step.lost_samples);
        }
        let admitted = self.admit(draft, &after)?;
        let mut transactions = self.changes(&after);
        if !transactions.is_empty() {
            after.commit = self.commit.next();
            transactions.extend(after.follow_dictionaries(draft, &admitted));
            transactions.push((COMMIT.to_owned(), after.commit.0));
        }
        let transactions = transactions
            .into_iter()
            .map(|(name, number)| (name, i64::try_from(number).unwrap_or(i64::MAX)))
            .collect();
        Ok(Plan { after, admitted, transactions })
    }

    /// A draft that was made for a log that stands further than here would leave a hole without a word.
    fn joins(&self, step: &WatermarkMove) -> Result<(), DraftError> {
        let key = (step.gateway.clone(), step.log_id);
        let durable_upto = self.logs.get(&key).map_or(Sequence(0), |mark| mark.durable_upto);
        if step.stood <= durable_upto {
            return Ok(());
        }
        let (gateway, log_id) = key;
        let fault = DraftFault::DoesNotJoin { stood: step.stood, durable_upto };
        Err(DraftError { gateway, log_id, sequence: step.durable_upto, fault })
    }

    fn admit(
        &self,
        draft: &CommitDraft,
        after: &Self,
    ) -> Result<Vec<Option<Generation>>, DraftError> {
        let mut last: BTreeMap<(&GatewayId, LogId), Sequence> = BTreeMap::new();
        let mut admitted = Vec::with_capacity(draft.frames.len());
        for frame in &draft.frames {
            let fault = |fault| DraftError {
                gateway: frame.gateway.clone(),
                log_id: frame.log_id,
                sequence: frame.sequence,
                fault,
            };
            if i64::try_from(frame.sequence.0).is_err() {
                return Err(fault(DraftFault::TooLarge { found: frame.sequence.0 }));
            }
            let previous = last.insert((&frame.gateway, frame.log_id), frame.sequence);
            if let Some(previous) = previous.filter(|&previous| previous >= frame.sequence) {
                return Err(fault(DraftFault::Order { previous }));
            }
            let key = (frame.gateway.clone(), frame.log_id);
            let stands = |book: &Self| book.logs.get(&key).copied().unwrap_or(UNSEEN);
            if frame.sequence <= stands(self).durable_upto {
                admitted.push(None);
                continue;
            }
            let reached = stands(after);
            if frame.sequence > reached.durable_upto {
                let durable_upto = reached.durable_upto;
                return Err(fault(DraftFault::AboveWatermark { durable_upto }));
            }
            admitted.push(Some(reached.generation));
        }
        Ok(admitted)
    }

    /// Notes where frames that were admitted begin to follow a dictionary. Rows are found by generation and sequence, so
    /// the last use before a row of a dictionary that has its point tells what it means.
    fn follow_dictionaries(
        &mut self,
        draft: &CommitDraft,
        admitted: &[Option<Generation>],
    ) -> Vec<(String, u64)> {
        let mut changes = Vec::new();
        let new = draft.frames.iter().zip(admitted).filter(|(_, generation)| generation.is_some());
        for (frame, _) in new {
            let hash = frame.batch.dictionary;
            let key = (frame.gateway.clone(), frame.log_id);
            if !self.following.follow(&key, hash, &frame.dictionary) {
                continue;
            }
            let uses = self.dictionaries.entry(key).or_default();
            // After a start it goes on.
            if uses.last_key_value().is_some_and(|(_, (last, _))| *last == hash) {
                continue;
            }
            uses.insert(frame.sequence, (hash, self.commit));
            let (gateway, log_id, from) = (&frame.gateway, frame.log_id, frame.sequence.0);
            changes.push((format!("{DICTIONARY}/{gateway}/{log_id}/{from}/{hash}"), self.commit.0));
        }
        changes
    }

    /// Every number that differs in `after`, by the name it is kept under.
    fn changes(&self, after: &Self) -> Vec<(String, u64)> {
        let mut changes = Vec::new();
        for ((gateway, log_id), new) in &after.logs {
            let old = self.logs.get(&(gateway.clone(), *log_id)).copied().unwrap_or(UNSEEN);
            let numbers = [
                (GENERATION, old.generation.0, new.generation.0),
                (DURABLE_UPTO, old.durable_upto.0, new.durable_upto.0),
                (LOST_FRAMES, old.lost_frames, new.lost_frames),
                (LOST_SAMPLES, old.lost_samples, new.lost_samples),
            ];
            let hashes = LAST_HASH.iter().zip(parts(old.last_hash)).zip(parts(new.last_hash));
            let hashes = hashes.map(|((kind, old), new)| (*kind, old, new));
            for (kind, old, new) in numbers.into_iter().chain(hashes) {
                if old != new {
                    changes.push((format!("{kind}/{gateway}/{log_id}"), new));
                }
            }
        }
        changes
    }
}

/// A hash as numbers.
fn parts(hash: Option<FrameHash>) -> [u64; HASH_PARTS] {
    let mut parts = [0; HASH_PARTS];
    let bytes = hash.map_or([0; 32], |hash| hash.0);
    for (part, bytes) in parts.iter_mut().zip(bytes.chunks(HASH_PART_BYTES)) {
        *part = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    }
    parts
}

/// A hash with one of its numbers; none of it where all are 0.
fn with_part(hash: Option<FrameHash>, part: usize, number: u64) -> Option<FrameHash> {
    let mut bytes = hash.map_or([0; 32], |hash| hash.0);
    let of_part = bytes.chunks_mut(HASH_PART_BYTES).nth(part)?;
    let skipped = size_of::<u64>().saturating_sub(of_part.len());
    of_part.copy_from_slice(number.to_be_bytes().get(skipped..)?);
    (bytes != [0; 32]).then_some(FrameHash(bytes))
}

/// Which log follows which dictionary from which frame on, from the name of a transaction.
fn begin_of_use(gateway: &str, rest: &str) -> Option<(LogKey, Sequence, DictionaryHash)> {
    let mut parts = rest.splitn(3, '/');
    let log_id = LogId::try_from(parts.next()?.to_owned()).ok()?;
    let from = Sequence(parts.next()?.parse().ok()?);
    let hash = hash_of_hex(parts.next()?)?;
    Some(((GatewayId::new(gateway).ok()?, log_id), from, hash))
}

const UNSEEN: Watermark = Watermark {
    durable_upto: Sequence(0),
    generation: Generation(0),
    lost_frames: 0,
    lost_samples: 0,
    last_hash: None,
};
