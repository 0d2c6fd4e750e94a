//! Which samples at and after its mark a point has in the spool already: reading back begins at the mark, after a
//! crash at one that was written some time before, and what it brings again must not be stored again. Must never say
//! so of a sample that the spool may not have.
//!
//! What is remembered is bounded. A sample that is no longer remembered may be stored twice, which costs a row and
//! changes no figure (INV-4).

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use model::{
    Cursor, Dictionary, DictionaryHash, HistoryMarks, PointId, PointIndex, RecordType, Sample,
    Timestamp, Value,
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
    /// Only points that are read back.
    points: HashMap<PointIndex, BTreeSet<Fingerprint>>,
    count: usize,
}

impl Stored {
    /// Remembers samples of these points, which are read back.
    pub(super) fn new(points: impl IntoIterator<Item = PointIndex>) -> Self {
        let points = points.into_iter().map(|point| (point, BTreeSet::new())).collect();
        Self { points, count: 0 }
    }

    /// Whether the spool has this very sample.
    pub(super) fn has(&self, sample: &Sample) -> bool {
        let known = self.points.get(&sample.point).filter(|known| !known.is_empty());
        known.is_some_and(|known| known.contains(&fingerprint(sample)))
    }

    /// The spool will have this sample, or [`Self::forget`] is told.
    pub(super) fn add(&mut self, sample: &Sample) {
        let Some(known) = self.points.get_mut(&sample.point) else { return };
        if self.count < OF_ALL_MAX && known.insert(fingerprint(sample)) {
            self.count += 1;
        }
    }

    /// Looks for samples at and after the marks where the spool may have some: in the segment that was the newest. All
    /// that are older are before the marks at its start.
    pub(super) fn find(
        &mut self,
        spool: &mut Spool,
        recovery: &Recovery,
        points: &PointTable,
        marks: &HistoryMarks,
    ) {
        if self.points.is_empty() {
            return;
        }
        let mut names = Names::new(points, &recovery.dictionaries, self.points.keys().copied());
        let floor = |(point, mark): (&PointId, &Cursor)| {
            names.by_id.get(point.as_str()).copied().zip(mark.time())
        };
        let floors: HashMap<PointIndex, Timestamp> = marks.marks.iter().filter_map(floor).collect();
        let mut at = recovery.newest_segment;
        loop {
            let frames = match spool.read_from(DestinationIndex(0), at, READ_BYTES) {
                Ok(frames) => frames,
                Err(e) => {
                    tracing::warn!(error = %e, "cannot look for samples in the spool; some may be stored twice");
                    return;
                }
            };
            let Some(last) = frames.last() else { return };
            at = last.header.sequence.next();
            for frame in frames.iter().filter(|frame| frame.header.record_type == RecordType::Data)
            {
                let Ok(batch) = model::codec::decode(frame.body()) else { continue };
                let now = names.of(batch.dictionary);
                for mut sample in batch.samples {
                    let place = usize::try_from(sample.point.0).ok();
                    let Some(point) = place.and_then(|at| *now.get(at)?) else { continue };
                    sample.point = point;
                    if floors.get(&point).is_none_or(|mark| sample.source_time >= *mark) {
                        self.add(&sample);
                    }
                }
            }
        }
    }

    /// The sample was refused.
    pub(super) fn forget(&mut self, sample: &Sample) {
        let Some(known) = self.points.get_mut(&sample.point) else { return };
        self.count -= usize::from(known.remove(&fingerprint(sample)));
    }

    /// The mark of the point is here now, and reading will never begin before it.
    pub(super) fn pass(&mut self, point: PointIndex, mark: &Cursor) {
        let (Some(known), Some(mark)) = (self.points.get_mut(&point), mark.time()) else { return };
        let later = known.split_off(&(mark, 0));
        self.count -= known.len();
        *known = later;
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
