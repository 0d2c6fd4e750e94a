//! The history marks: which are justified by records of the spool, which of those moved since a HISTORY record named
//! them, and when the next one is due.
//!
//! ```text
//! taken ─▶ held (the samples that justify it have sequences) ─▶ moved ─▶ in a HISTORY record, or at the start of a segment
//! ```
//!
//! A record behind each commit would cost more bytes than the samples. So only marks that moved are written, at most
//! every [`MARK_INTERVAL`], and later where that would be more than one byte in [`OTHER_BYTES_PER_MARK_BYTE`] of all
//! that is written. A crash leaves marks that are behind their samples, which are then read again; [`super::stored`]
//! knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::record::JsonRecord;
use model::{Cursor, HistoryMarks, PointId, PointIndex, RecordType, Sequence};
use spool::{Draft, MarkSource};

use super::keeping::small;

/// Marks that moved are written at most so often.
pub(super) const MARK_INTERVAL: Duration = Duration::from_secs(10);
/// And after so long whatever they cost.
pub(super) const MARK_INTERVAL_MAX: Duration = Duration::from_mins(5);
/// Before that, so many bytes of other records are written for each byte of marks.
const OTHER_BYTES_PER_MARK_BYTE: u64 = 6;
/// Bytes of a HISTORY record around its marks, frame included, or more.
const RECORD_BYTES: u64 = 160;

/// The marks of a gateway.
pub(super) struct Marks {
    /// From emissions whose samples wait to be cut.
    taken: BTreeMap<PointIndex, Cursor>,
    held: SharedMarks,
    /// Held, and in no record of the newest segment.
    moved: BTreeSet<PointId>,
    /// Held, and not known to be durable.
    undurable: BTreeSet<PointId>,
    durable: HistoryMarks,
    /// When marks were written last, and how many bytes the spool had written by then.
    written: Option<(Duration, u64)>,
    /// First sequence of the segment that was the newest.
    segment: Sequence,
}

/// The marks that records of the spool justify; the spool asks for them at the start of a segment.
#[derive(Clone)]
pub(super) struct SharedMarks(Arc<Mutex<Held>>);

struct Held {
    marks: BTreeMap<PointId, Cursor>,
    /// Bytes of all of them in records.
    bytes: u64,
    body_bytes_max: usize,
    /// No sample behind its mark stands in a frame before this.
    from: Sequence,
    /// The first that did not fit the start of the newest segment.
    left_out: Option<PointId>,
}

impl SharedMarks {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Says whether the mark moved.
    fn insert(&mut self, point: PointId, cursor: Cursor) -> bool {
        let more = bytes_of(&point, &cursor);
        let known = self.marks.get(&point);
        if known == Some(&cursor) {
            return false;
        }
        let less = known.map_or(0, |known| bytes_of(&point, known));
        self.bytes = (self.bytes + more).saturating_sub(less);
        self.marks.insert(point, cursor);
        true
    }
}

impl MarkSource for SharedMarks {
    fn bytes(&self) -> u64 {
        let held = self.lock();
        let body = u64::try_from(held.body_bytes_max).unwrap_or(u64::MAX).max(1);
        // Each record but the last is more than half full: a mark is shorter than that.
        held.bytes + RECORD_BYTES * (held.bytes / body * 2 + 1)
    }

    fn records(&self, bytes_max: u64) -> Vec<Draft> {
        let mut held = self.lock();
        let all = HistoryMarks { full: true, from: Some(held.from), marks: held.marks.clone() };
        let (mut records, mut bytes) = (Vec::new(), 0);
        held.left_out = None;
        for part in all.split(held.body_bytes_max) {
            let body = part.to_record();
            bytes += frame_bytes(&body);
            if bytes > bytes_max {
                held.left_out = part.marks.into_keys().next();
                break;
            }
            records.push(small(RecordType::History, body));
        }
        records
    }
}

fn frame_bytes(body: &[u8]) -> u64 {
    u64::try_from(model::frame::frame_bytes(body.len())).unwrap_or(u64::MAX)
}

fn bytes_of(point: &PointId, cursor: &Cursor) -> u64 {
    u64::try_from(HistoryMarks::bytes_of(point, cursor)).unwrap_or(u64::MAX)
}

impl Marks {
    /// Goes on with what was found in the newest segment, which begins at `segment`.
    pub(super) fn new(found: HistoryMarks, body_bytes_max: usize, segment: Sequence) -> Self {
        let bytes = found.marks.iter().map(|(point, cursor)| bytes_of(point, cursor)).sum();
        let marks = found.marks.clone();
        let held = Held { marks, bytes, body_bytes_max, from: segment, left_out: None };
        Self {
            taken: BTreeMap::new(),
            held: SharedMarks(Arc::new(Mutex::new(held))),
            moved: BTreeSet::new(),
            undurable: BTreeSet::new(),
            durable: found,
            written: None,
            segment,
        }
    }

    /// For the spool.
    pub(super) fn source(&self) -> SharedMarks {
        self.held.clone()
    }

    /// No sample behind its mark stands in a frame before `from`.
    pub(super) fn stand_from(&mut self, from: Sequence) {
        self.held.lock().from = from;
    }

    /// An emission was taken, with its samples.
    pub(super) fn take(&mut self, point: PointIndex, mark: Cursor) {
        self.taken.insert(point, mark);
    }

    /// A sample of the point was refused: its mark stays where the spool justifies it.
    pub(super) fn take_back(&mut self, point: PointIndex) {
        self.taken.remove(&point);
    }

    /// Where reading goes on.
    pub(super) fn of(&self, point: PointIndex, id: &PointId) -> Option<Cursor> {
        let taken = self.taken.get(&point).cloned();
        taken.or_else(|| self.held.lock().marks.get(id).cloned())
    }

    /// Those whose samples are durable.
    pub(super) fn durable(&self) -> &HistoryMarks {
        &self.durable
    }

    /// The spool took all samples that justify what was taken; `newest_segment` is the first sequence of its newest
    /// segment. Gives the marks that moved.
    pub(super) fn hold(
        &mut self,
        newest_segment: Sequence,
        now: Duration,
        written_bytes: u64,
        id: impl Fn(PointIndex) -> Option<PointId>,
    ) -> Vec<(PointIndex, Cursor)> {
        let mut held = self.held.lock();
        if self.segment != newest_segment {
            // It begins with all that were held until now, as far as they fitted.
            self.segment = newest_segment;
            self.moved.clear();
            if let Some(first) = held.left_out.take() {
                self.moved.extend(held.marks.range(first..).map(|(point, _)| point.clone()));
            }
            if self.moved.is_empty() {
                self.written = Some((now, written_bytes));
            }
        }
        let mut passed = Vec::new();
        for (index, cursor) in std::mem::take(&mut self.taken) {
            let Some(point) = id(index) else { continue };
            if held.insert(point.clone(), cursor.clone()) {
                passed.push((index, cursor));
                self.undurable.insert(point.clone());
                self.moved.insert(point);
            }
        }
        passed
    }

    /// The marks to write now, in parts of a record each. `at_once` for the last time.
    pub(super) fn due(
        &self,
        now: Duration,
        written_bytes: u64,
        at_once: bool,
    ) -> Vec<HistoryMarks> {
        if self.moved.is_empty() {
            return Vec::new();
        }
        let held = self.held.lock();
        let marks = self.moved.iter().filter_map(|point| held.marks.get_key_value(point));
        if let Some((at, bytes)) = self.written.filter(|_| !at_once) {
            let since = now.saturating_sub(at);
            if since < MARK_INTERVAL {
                return Vec::new();
            }
            let cost: u64 = marks.clone().map(|(point, cursor)| bytes_of(point, cursor)).sum();
            let others = written_bytes.saturating_sub(bytes);
            if since < MARK_INTERVAL_MAX && others / OTHER_BYTES_PER_MARK_BYTE < cost {
                return Vec::new();
            }
        }
        let marks = marks.map(|(point, cursor)| (point.clone(), cursor.clone())).collect();
        HistoryMarks { marks, ..HistoryMarks::default() }.split(held.body_bytes_max)
    }

    /// The spool took a record of these.
    pub(super) fn note_written(&mut self, part: &HistoryMarks, now: Duration, written_bytes: u64) {
        part.marks.keys().for_each(|point| {
            self.moved.remove(point);
        });
        self.written = Some((now, written_bytes));
    }

    /// All that the spool took is durable.
    pub(super) fn note_durable(&mut self) {
        let held = self.held.lock();
        for point in std::mem::take(&mut self.undurable) {
            if let Some(cursor) = held.marks.get(&point) {
                self.durable.marks.insert(point, cursor.clone());
            }
        }
    }
}
