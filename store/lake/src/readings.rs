//! A version of the lake as [`Readings`]: what figures, queries and screens read. Knows nothing of who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use contract::{
    BoxedRows, Cancel, Cost, DamagedRange, Dictionaries, DictionaryUse, LogKey, PointTimes, Points,
    Readings, Request, RowChoice, Rows, StoreError, Watermark, column,
};
use model::{CommitNumber, DictionaryHash};

use crate::ordered::OrderedRows;
use crate::snapshot::Snapshot;
use crate::{dictionaries, points};

impl Readings for Snapshot {
    fn commit_number(&self) -> CommitNumber {
        Self::commit_number(self)
    }

    fn watermarks(&self) -> BTreeMap<LogKey, Watermark> {
        Self::watermarks(self).clone()
    }

    fn dictionaries(&self) -> Result<Dictionaries, StoreError> {
        Ok(Self::dictionaries(self)?.sound)
    }

    fn dictionary_fault(&self, hash: DictionaryHash) -> Option<String> {
        dictionaries::fault(self.dir(), hash).map(|damage| damage.to_string())
    }

    fn dictionary_uses(&self) -> Vec<DictionaryUse> {
        Self::dictionary_uses(self)
    }

    fn rows(&self, request: &Request) -> Result<BoxedRows, StoreError> {
        Ok(Box::new(OrderedRows::new(self, request)))
    }

    fn last_rows(&self, request: &Request) -> Result<BoxedRows, StoreError> {
        Ok(Box::new(LastRows::new(self, request)))
    }

    fn point_times(&self, cancel: &Cancel) -> Result<PointTimes, StoreError> {
        Ok(points::times_of(self, cancel))
    }

    fn renewed(&self) -> Result<Arc<dyn Readings>, StoreError> {
        Ok(Arc::new(Self::renewed(self)?))
    }
}

/// The last row of each point: looked for from the newest files on, as far as some point may have a later row.
struct LastRows {
    /// In the order of points, one row each, once they are found.
    found: Option<std::vec::IntoIter<RecordBatch>>,
    snapshot: Snapshot,
    request: Request,
    damaged: Vec<DamagedRange>,
    cost: Cost,
}

impl LastRows {
    fn new(snapshot: &Snapshot, request: &Request) -> Self {
        let request = Request { choice: RowChoice::Chosen, ..request.clone() };
        Self {
            found: None,
            snapshot: snapshot.clone(),
            request,
            damaged: Vec::new(),
            cost: Cost::default(),
        }
    }

    /// Points are looked for day by day backwards while there are files further back and points without a row.
    fn find(&mut self) -> Result<Vec<RecordBatch>, StoreError> {
        let mut last: BTreeMap<String, RecordBatch> = BTreeMap::new();
        let mut open: Option<BTreeSet<String>> = match &self.request.points {
            Points::Exactly(ids) => Some(ids.iter().map(ToString::to_string).collect()),
            Points::All | Points::Prefixes(_) => None,
        };
        let selection = crate::ordered::selection_of(&self.request, &[]);
        // The first source time of each step, newest first: files are taken together that lie in one day or overlap.
        let mut bounds: Vec<i64> =
            self.snapshot.live_files(&selection).iter().map(|file| file.times().0.0).collect();
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        bounds.dedup_by(|older, newer| *newer - *older < STEP_US);
        let mut upto = self.request.to;
        for from in bounds.into_iter().chain([i64::MIN]) {
            let from = model::Timestamp(from);
            let from = self.request.from.map_or(from, |wanted| wanted.max(from));
            if upto.is_some_and(|upto| upto <= from) {
                continue;
            }
            let points = match &open {
                Some(open) if open.is_empty() => break,
                Some(open) => Points::Exactly(
                    open.iter().filter_map(|id| model::PointId::new(id.as_str()).ok()).collect(),
                ),
                None => self.request.points.clone(),
            };
            let columns = with_point(&self.request.columns);
            let request =
                Request { points, from: Some(from), to: upto, columns, ..self.request.clone() };
            let mut rows = OrderedRows::new(&self.snapshot, &request);
            let mut here: BTreeMap<String, RecordBatch> = BTreeMap::new();
            for batch in rows.by_ref() {
                for (point, row) in crate::ordered::ends_of_points(&batch?)? {
                    here.insert(point, row);
                }
            }
            let cost = rows.cost();
            self.cost.files += cost.files;
            self.cost.bytes += cost.bytes;
            let new = rows.damaged().into_iter().filter(|range| !self.damaged.contains(range));
            let new: Vec<DamagedRange> = new.collect();
            self.damaged.extend(new);
            for (point, row) in here {
                if let Some(open) = &mut open {
                    open.remove(&point);
                }
                last.entry(point).or_insert(row);
            }
            upto = Some(from);
        }
        let schema = self.request.schema();
        let wanted = |row: RecordBatch| {
            let places: Result<Vec<usize>, _> =
                schema.fields().iter().map(|field| row.schema().index_of(field.name())).collect();
            Ok::<_, StoreError>(row.project(&places?)?)
        };
        last.into_values().map(wanted).collect()
    }
}

/// Source times that are looked through together.
const STEP_US: i64 = 86_400_000_000;

fn with_point(columns: &[&'static str]) -> Vec<&'static str> {
    if columns.is_empty() {
        return Vec::new();
    }
    let mut columns = columns.to_vec();
    columns.push(column::POINT);
    columns
}

impl Iterator for LastRows {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.found.is_none() {
            match self.find() {
                Ok(found) => self.found = Some(found.into_iter()),
                Err(error) => {
                    self.found = Some(Vec::new().into_iter());
                    return Some(Err(error));
                }
            }
        }
        if self.request.cancel.is_cancelled() {
            return None;
        }
        self.found.as_mut()?.next().map(Ok)
    }
}

impl Rows for LastRows {
    fn damaged(&self) -> Vec<DamagedRange> {
        self.damaged.clone()
    }

    fn cost(&self) -> Cost {
        self.cost
    }
}
