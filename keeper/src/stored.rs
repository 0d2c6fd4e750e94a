//! Which samples at and after its mark a point has in the spool already: reading back begins at the mark, after a crash
//! at one that was written some time before, and what it brings again must not be stored again.
//!
//! What is remembered is bounded. A sample that is no longer remembered may be stored twice, which costs a row and
//! changes no figure (INV-4).

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use model::{
    Cursor, Dictionary, DictionaryHash, HistoryMarks, PointId, PointIndex, RecordType, Sample,
    Sequence, Timestamp, Value,
};
use spool::{DestinationIndex, Recovery, Spool};

use crate::points::PointTable;

/// Samples that are remembered of all points. None makes room for another: reading again goes from the oldest on, and
/// each would push out the next one that it will meet.
const OF_ALL_MAX: usize = 1 << 20;

/// Bytes of frames that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Source time, and a digest of quality and value.
type Fingerprint = (Timestamp, u64);

/// The samples at and after the marks.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Only points that are read back. With a sample that is behind the mark stands a sequence that is not after its own.
    points: HashMap<PointIndex, BTreeMap<Fingerprint, Option<Sequence>>>,
    count: usize,
    /// How many samples behind their marks have this sequence.
    behind: BTreeMap<Sequence, usize>,
}

impl Stored {
    /// Remembers samples of these points, which are read back.
    pub(super) fn new(points: impl IntoIterator<Item = PointIndex>) -> Self {
        let points = points.into_iter().map(|point| (point, BTreeMap::new())).collect();
        Self { points, ..Self::default() }
    }

    /// Whether the spool has this very sample.
    pub(super) fn has(&self, sample: &Sample) -> bool {
        let known = self.points.get(&sample.point).filter(|known| !known.is_empty());
        known.is_some_and(|known| known.contains_key(&fingerprint(sample)))
    }

    /// The spool will have this sample, in a frame at `from` or after it, or [`Self::forget`] is told.
    pub(super) fn add(&mut self, sample: &Sample, from: Sequence) {
        self.insert(sample, Some(from));
    }

    fn insert(&mut self, sample: &Sample, from: Option<Sequence>) {
        let Some(known) = self.points.get_mut(&sample.point) else { return };
        let fingerprint = fingerprint(sample);
        if self.count < OF_ALL_MAX && !known.contains_key(&fingerprint) {
            known.insert(fingerprint, from);
            self.count += 1;
            if let Some(from) = from {
                *self.behind.entry(from).or_default() += 1;
            }
        }
    }

    /// No sample behind its mark stands in a frame before this, as far as samples are remembered.
    pub(super) fn from(&self, spool: &Spool) -> Sequence {
        self.behind.keys().next().copied().unwrap_or_else(|| spool.newest_segment())
    }

    /// Looks for samples at and after the marks where the spool may have some: from where the marks say, in frames of
    /// about `bytes_max` at most.
    pub(super) fn find(
        &mut self,
        spool: &mut Spool,
        recovery: &Recovery,
        points: &PointTable,
        marks: &HistoryMarks,
        bytes_max: usize,
    ) {
        if self.points.is_empty() {
            return;
        }
        let mut names = Names::new(points, &recovery.dictionaries, self.points.keys().copied());
        let floor = |(point, mark): (&PointId, &Cursor)| {
            names.by_id.get(point.as_str()).copied().zip(mark.time())
        };
        let floors: HashMap<PointIndex, Timestamp> = marks.marks.iter().filter_map(floor).collect();
        let newest = recovery.newest_segment;
        let mut at = marks.from.unwrap_or(newest).min(newest);
        let mut bytes = 0_usize;
        loop {
            let frames = match spool.read_from(DestinationIndex(0), at, READ_BYTES) {
                Ok(frames) => frames,
                Err(e) => {
                    tracing::warn!(error = %e, "cannot look for samples in the spool; some may be stored twice");
                    return;
                }
            };
            let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
            if bytes >= bytes_max {
                tracing::warn!(
                    bytes,
                    "too much of the spool is behind history marks; some samples may be stored twice"
                );
                return;
            }
            let from = first.header.sequence;
            at = last.header.sequence.next();
            bytes += frames.iter().map(|frame| frame.bytes.len()).sum::<usize>();
            for frame in frames.iter().filter(|frame| frame.header.record_type == RecordType::Data)
            {
                let Ok(batch) = model::codec::decode(frame.body()) else { continue };
                let now = names.of(batch.dictionary);
                for mut sample in batch.samples {
                    let place = usize::try_from(sample.point.0).ok();
                    let Some(point) = place.and_then(|at| *now.get(at)?) else { continue };
                    sample.point = point;
                    let mark = floors.get(&point);
                    if mark.is_none_or(|mark| sample.source_time >= *mark) {
                        // The mark says itself what stands at it.
                        let is_behind = mark.is_none_or(|mark| sample.source_time > *mark);
                        self.insert(&sample, is_behind.then_some(from));
                    }
                }
            }
        }
    }

    /// The sample was refused.
    pub(super) fn forget(&mut self, sample: &Sample) {
        let Some(known) = self.points.get_mut(&sample.point) else { return };
        if let Some(from) = known.remove(&fingerprint(sample)) {
            self.count -= 1;
            caught_up(&mut self.behind, from);
        }
    }

    /// The mark of the point is here now, and reading will never begin before it.
    pub(super) fn pass(&mut self, point: PointIndex, mark: &Cursor) {
        let (Some(known), Some(mark)) = (self.points.get_mut(&point), mark.time()) else { return };
        let later = known.split_off(&(mark, 0));
        self.count -= known.len();
        for from in std::mem::replace(known, later).into_values() {
            caught_up(&mut self.behind, from);
        }
        for (_, from) in known.range_mut((mark, 0)..=(mark, u64::MAX)) {
            caught_up(&mut self.behind, from.take());
        }
    }
}

/// A sample is no longer behind its mark.
fn caught_up(behind: &mut BTreeMap<Sequence, usize>, from: Option<Sequence>) {
    let Some(from) = from else { return };
    if let Some(count) = behind.get_mut(&from) {
        *count -= 1;
        if *count == 0 {
            behind.remove(&from);
        }
    }
}

/// Which points of this run the points of a dictionary are.
struct Names<'a> {
    points: &'a PointTable,
    /// The points that are read back.
    by_id: HashMap<&'a str, PointIndex>,
    found: HashMap<DictionaryHash, Dictionary>,
    known: HashMap<DictionaryHash, Vec<Option<PointIndex>>>,
}

impl<'a> Names<'a> {
    fn new(
        points: &'a PointTable,
        found: &[Vec<u8>],
        read_back: impl Iterator<Item = PointIndex>,
    ) -> Self {
        let by_id = read_back.filter_map(|index| Some((points.point(index)?.id, index))).collect();
        let ours: Vec<DictionaryHash> =
            points.dictionaries().iter().map(|dictionary| dictionary.hash).collect();
        let found = found.iter().filter_map(|record| Dictionary::from_record(record).ok());
        let found = found.filter(|(_, hash)| !ours.contains(hash));
        let found = found.map(|(dictionary, hash)| (hash, dictionary)).collect();
        Self { points, by_id, found, known: HashMap::new() }
    }

    /// By the place in the dictionary; those that are read back now.
    fn of(&mut self, hash: DictionaryHash) -> &[Option<PointIndex>] {
        let Self { points, by_id, found, known } = self;
        known.entry(hash).or_insert_with(|| {
            let here = |id: &str| by_id.get(id).copied();
            if let Some(at) = points.dictionaries().iter().position(|known| known.hash == hash) {
                let first = |at: usize| points.dictionaries().get(at).map(|known| known.first.0);
                let end = first(at + 1).unwrap_or(u32::MAX);
                let all = first(at).unwrap_or(end)..end;
                let points = all.map_while(|index| points.point(PointIndex(index)));
                return points.map(|point| here(point.id)).collect();
            }
            let found = found.get(&hash).map(|found| found.points.as_slice());
            found.unwrap_or_default().iter().map(|point| here(point.id.as_str())).collect()
        })
    }
}

fn fingerprint(sample: &Sample) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    sample.quality.hash(&mut hasher);
    match &sample.value {
        None => 0_u8.hash(&mut hasher),
        Some(Value::Decimal(mantissa)) => (1_u8, mantissa).hash(&mut hasher),
        Some(Value::Float(value)) => (2_u8, value.to_bits()).hash(&mut hasher),
        Some(Value::Bool(value)) => (3_u8, value).hash(&mut hasher),
        Some(Value::Text(text)) => (4_u8, text).hash(&mut hasher),
    }
    (sample.source_time, hasher.finish())
}
