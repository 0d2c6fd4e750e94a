//! The rows of a version in the order (point, source time, generation, sequence), read as they are asked for. Knows
//! nothing of what they mean.
//!
//! Row groups are read in the order of their first (point, time), several at once on all cores. What was read is a set of
//! *parts*: rows of one point in the order of time. A part is handed out once no row group that is still to come can have
//! an earlier row. Where more row groups lie over one another than may be held, the later parts are dropped and read
//! again when their turn comes, so that memory has a bound whatever a table looks like.

mod decode;
mod output;
mod part;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use contract::{Cost, DamagedRange, Request, Rows, StoreError};

use crate::Snapshot;
use crate::damage::Damage;
use crate::selection::Selection;
use crate::snapshot::{LiveFile, OpenFile};
use crate::suspects::Suspects;
use crate::verified::RowGroup;
use decode::{Wanted, decode};
use output::Output;
use part::{Part, emit};

pub(crate) use decode::selection_of;
pub(crate) use output::ends_of_points;

/// Rows that are held, some 60 to 110 bytes each.
const HELD_ROWS_MAX: usize = 2_000_000;
/// Rows of a batch that is handed out.
const BATCH_ROWS: usize = 16_384;

/// A place in the order of rows.
type Key = (Arc<str>, i64);

/// A row group, or a file whose row groups are not known yet.
#[derive(Clone)]
struct Unit {
    file: LiveFile,
    open: Option<Arc<OpenFile>>,
    group: Option<RowGroup>,
    /// Rows before it were handed out or are held.
    bound: Option<Key>,
    /// Runs that begin from here on are another unit's.
    limit: Option<Key>,
}

impl Unit {
    /// Whether all rows of this point were handed out, or are another unit's.
    fn is_elsewhere(&self, point: &str) -> bool {
        self.bound.as_ref().is_some_and(|(first, _)| point < &**first)
            || self.limit.as_ref().is_some_and(|(limit, _)| point > &**limit)
    }
}

/// Names of units and parts, in the order in which they came.
type Id = u64;

/// See the module.
pub(crate) struct OrderedRows {
    dir: PathBuf,
    request: Request,
    selection: Selection,
    wanted: Arc<Wanted>,
    pending: BTreeMap<(Key, Id), Unit>,
    parts: BTreeMap<(Key, Id), Part>,
    /// Rows held in parts.
    held: Arc<AtomicUsize>,
    /// Parts from here on are not held.
    ceiling: Option<Key>,
    /// The last place that was handed out, with all of its rows.
    position: Option<Key>,
    output: Output,
    next_id: Id,
    renewed: bool,
    damaged: Vec<DamagedRange>,
    suspects: Option<Suspects>,
    cost: Cost,
    held_max: usize,
}

impl OrderedRows {
    pub(crate) fn new(snapshot: &Snapshot, request: &Request) -> Self {
        Self::holding(snapshot, request, HELD_ROWS_MAX)
    }

    /// With another bound for what is held, for tests.
    pub(crate) fn holding(snapshot: &Snapshot, request: &Request, held_max: usize) -> Self {
        let newest = snapshot.commit_number();
        let as_of = Some(request.as_of.unwrap_or(newest).min(newest));
        // What is as of an older commit than the newest one that can be read lacks nothing.
        let doubt = snapshot.doubt().filter(|_| as_of == Some(newest));
        let doubt = doubt.map(|damage| DamagedRange::of_end(damage.to_string()));
        let request = Request { as_of, ..request.clone() };
        let wanted = Arc::new(Wanted::new(&request));
        let selection = selection_of(&request, &wanted.columns);
        let mut rows = Self {
            dir: snapshot.dir().to_owned(),
            selection,
            output: Output::new(&request),
            request,
            wanted,
            pending: BTreeMap::new(),
            parts: BTreeMap::new(),
            held: Arc::default(),
            ceiling: None,
            position: None,
            next_id: 0,
            renewed: false,
            damaged: doubt.into_iter().collect(),
            suspects: snapshot.suspects().cloned(),
            cost: Cost::default(),
            held_max,
        };
        rows.enlist(snapshot);
        rows
    }

    /// Puts the files of a version in order.
    fn enlist(&mut self, snapshot: &Snapshot) {
        self.pending.clear();
        self.parts.clear();
        self.ceiling = None;
        let bound = self.position.clone().map(|(point, ts)| (point, ts.saturating_add(1)));
        for file in snapshot.live_files(&self.selection) {
            let unit = Unit { file, open: None, group: None, bound: bound.clone(), limit: None };
            self.pend(unit);
        }
    }

    fn pend(&mut self, unit: Unit) {
        let (point, ts) = match &unit.group {
            Some(RowGroup { points: Some(points), times: Some(times), .. }) => {
                (points.0.as_str(), times.0)
            }
            _ => (unit.file.points().0, unit.file.times().0),
        };
        let first: Key = (Arc::from(point), ts.0);
        let key = unit.bound.clone().map_or(first.clone(), |bound| bound.max(first));
        self.next_id += 1;
        self.pending.insert((key, self.next_id), unit);
    }

    /// The first place that a row to come may have.
    fn frontier(&self) -> Option<&Key> {
        self.pending.first_key_value().map(|((key, _), _)| key)
    }

    /// Hands parts over to the output until it is full or something must be read first.
    fn advance(&mut self) {
        while self.output.rows() < BATCH_ROWS {
            let Some(((first, _), _)) = self.parts.first_key_value() else { return };
            let frontier = self.frontier().cloned();
            if frontier.as_ref().is_some_and(|frontier| first >= frontier) {
                return;
            }
            let point = Arc::clone(&first.0);
            // Parts of one point that lie over one another, up to the frontier.
            let end = frontier.filter(|(of, _)| *of == point).map(|(_, ts)| ts);
            let mut group: Vec<Part> = Vec::new();
            let mut last = i64::MIN;
            while let Some(entry) = self.parts.first_entry() {
                let (of, from) = &entry.key().0;
                let over = group.is_empty() || *from <= last;
                if *of != point || !over || end.is_some_and(|end| *from >= end) {
                    break;
                }
                let (part, rest) = entry.remove().split_at(end);
                if let Some(rest) = rest {
                    self.hold(Arc::clone(&point), rest);
                }
                last = last.max(part.last_ts());
                group.push(part);
            }
            self.position = Some((Arc::clone(&point), last));
            emit(&point, group, self.request.choice, &mut self.output);
        }
    }

    fn hold(&mut self, point: Arc<str>, part: Part) {
        self.next_id += 1;
        self.parts.insert(((point, part.first_ts()), self.next_id), part);
    }

    /// Reads the next row groups; `false` when there are none.
    fn load(&mut self) -> bool {
        if self.held.load(Ordering::Relaxed) > self.held_max {
            self.spill();
        }
        if self.parts.is_empty() {
            self.ceiling = None;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut units: Vec<Unit> = Vec::new();
        while units.len() < 2 * cores {
            let Some(((key, _), _)) = self.pending.first_key_value() else { break };
            // What lies behind everything that is held is read when its turn comes.
            if !units.is_empty() && self.ceiling.as_ref().is_some_and(|ceiling| key >= ceiling) {
                break;
            }
            let Some((_, unit)) = self.pending.pop_first() else { break };
            if unit.group.is_some() {
                units.push(unit);
            } else if let Some(unit) = self.open(unit) {
                units.push(unit);
            }
            if self.renewed {
                break;
            }
            if self.request.cancel.is_cancelled() {
                return false;
            }
        }
        if std::mem::take(&mut self.renewed) {
            return true;
        }
        if units.is_empty() {
            return false;
        }
        let (wanted, held) = (self.wanted.as_ref(), &self.held);
        let share = units.len().div_ceil(cores);
        let decoded: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = units
                .chunks(share)
                .map(|units| {
                    scope.spawn(move || {
                        units.iter().map(|unit| decode(unit, wanted, held)).collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
        for (unit, decoded) in units.into_iter().zip(decoded) {
            match decoded {
                Ok((parts, bytes)) => {
                    self.cost.bytes += bytes;
                    self.keep(&unit, parts);
                }
                Err(damage) => {
                    if self.was_merged(&unit) {
                        self.renewed = false;
                        return true;
                    }
                    self.damage(&unit, &damage);
                }
            }
        }
        true
    }

    /// Opens a file and puts its row groups in order; the only one of a file is given back.
    fn open(&mut self, unit: Unit) -> Option<Unit> {
        let open = match unit.file.open() {
            Ok(open) => Arc::new(open),
            Err(damage) => {
                if !self.was_merged(&unit) {
                    self.damage(&unit, &damage);
                }
                return None;
            }
        };
        self.cost.files += 1;
        self.cost.bytes += open.bytes_read();
        let mut groups = open.groups(&self.selection);
        if groups.len() == 1 {
            let group = groups.pop();
            return Some(Unit { open: Some(open), group, ..unit });
        }
        for group in groups {
            self.pend(Unit { open: Some(Arc::clone(&open)), group: Some(group), ..unit.clone() });
        }
        None
    }

    /// Whether the file went away because it was merged into others: then the newest version is read on from here.
    fn was_merged(&mut self, unit: &Unit) -> bool {
        if unit.file.path().exists() {
            return false;
        }
        let Ok(newest) = Snapshot::open(&self.dir) else { return false };
        if newest.live_files(&self.selection).iter().any(|file| file.path() == unit.file.path()) {
            return false;
        }
        tracing::debug!(file = %unit.file.path().display(), "file was merged while it was read");
        self.renewed = true;
        self.enlist(&newest);
        true
    }

    fn damage(&mut self, unit: &Unit, damage: &Damage) {
        let whole = || {
            let (first, last) = unit.file.points();
            ((first.to_owned(), last.to_owned()), unit.file.times(), unit.file.rows())
        };
        let (points, times, rows) = match &unit.group {
            Some(RowGroup { points: Some(points), times: Some(times), rows, .. }) => {
                (points.clone(), *times, *rows)
            }
            _ => whole(),
        };
        let reason = format!("`{}`: {}", damage.path.display(), damage.what);
        let frames = unit.file.frames();
        let range = DamagedRange { points, times, rows: Some(rows), frames, reason };
        if !self.damaged.contains(&range) {
            tracing::debug!("{range}");
            if let Some(suspects) = &self.suspects {
                suspects.tell(&self.dir, unit.file.path());
            }
            self.damaged.push(range);
        }
    }

    /// Holds what lies below the ceiling, and puts the rest back.
    fn keep(&mut self, unit: &Unit, parts: Vec<(Arc<str>, Part)>) {
        let is_above = |key: &Key| self.ceiling.as_ref().is_some_and(|ceiling| key >= ceiling);
        let first = |(point, part): &(Arc<str>, Part)| (Arc::clone(point), part.first_ts());
        let above = parts.iter().map(first).filter(is_above).min();
        // An open file is held for what is still to come alone: what is held is opened again where it is read again.
        let limit = above.clone().or_else(|| unit.limit.clone());
        let again = Arc::new(Unit { open: None, limit, ..unit.clone() });
        let below =
            |part: &(Arc<str>, Part)| above.as_ref().is_none_or(|above| first(part) < *above);
        for (point, part) in parts.into_iter().filter(below) {
            self.next_id += 1;
            self.parts.insert(((point, part.first_ts()), self.next_id), part.of(&again));
        }
        if above.is_some() {
            self.pend(Unit { open: None, bound: above, ..unit.clone() });
        }
    }

    /// Drops the later half of what is held; it is read again when its turn comes.
    fn spill(&mut self) {
        let mut rows = 0;
        let mut ceiling = None;
        let first = self.parts.first_key_value().map(|((first, _), _)| first.clone());
        for ((key, _), part) in &self.parts {
            if first.as_ref() != Some(key) && rows >= self.held_max / 2 {
                ceiling = Some(key.clone());
                break;
            }
            rows += part.rows();
        }
        let Some(ceiling) = ceiling else { return };
        let dropped = self.parts.split_off(&(ceiling.clone(), 0));
        let mut again: BTreeMap<(PathBuf, usize), (Key, Unit)> = BTreeMap::new();
        for ((key, _), part) in dropped {
            let Some(unit) = part.unit() else { continue };
            let group = unit.group.as_ref().map_or(0, |group| group.index);
            let name = (unit.file.path().to_owned(), group);
            // Parts come in order: the first one of a unit is its earliest.
            again.entry(name).or_insert((key, unit.clone()));
        }
        for (bound, unit) in again.into_values() {
            self.pend(Unit { open: None, bound: Some(bound), ..unit });
        }
        // What stays is copied out of the groups that it was read with, so that these are let go.
        for part in self.parts.values_mut() {
            part.compact();
        }
        self.ceiling = Some(ceiling);
    }
}

impl Iterator for OrderedRows {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.request.cancel.is_cancelled() {
                return None;
            }
            self.advance();
            if self.output.rows() >= BATCH_ROWS {
                return Some(self.output.take());
            }
            if !self.load() && self.parts.is_empty() {
                if self.request.cancel.is_cancelled() || self.output.rows() == 0 {
                    return None;
                }
                return Some(self.output.take());
            }
        }
    }
}

impl Rows for OrderedRows {
    fn damaged(&self) -> Vec<DamagedRange> {
        self.damaged.clone()
    }

    fn cost(&self) -> Cost {
        self.cost
    }
}
