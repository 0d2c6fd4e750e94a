//! Follows the readings for the `points` table: first and last reading of each point from the file beside the table and
//! from what was committed after it.
//!
//! **Cost.** Times up to a commit are known from the file; a newer version reads the columns it needs of the data files
//! with later commits, and no others. A merged file is read again when it has a later commit, so a row is read at most once
//! for each level that it passes, as by the merges themselves.
//!
//! A file of another history than the log, as where a lake was put back, counts as missing.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use contract::points::{Described, FirstAndLast, described, has_value, joined, table};
use contract::{Cancel, DamagedRange, DictionaryUse, PointTimes, StoreError};
use lake_files::points::KnownTimes;
use model::{CommitNumber, Timestamp};

use crate::chain::read_entry;
use crate::damage::Damage;
use crate::lock::place;
use crate::quarantine::{self, Look};
use crate::schema::column;
use crate::snapshot::LiveFile;
use crate::{Selection, Snapshot};

/// Columns that are read of a data file.
const COLUMNS: [&str; 4] = [column::POINT, column::TS, column::STATUS, column::COMMIT];
/// Rows read at a time.
const BATCH_ROWS: usize = 8_192;

/// What is known, and what it took.
#[derive(Debug, Default)]
struct Known {
    of: KnownTimes,
    /// Data files read so far.
    files_read: usize,
}

impl Known {
    fn read(dir: &Path) -> Self {
        Self { of: KnownTimes::read(dir).unwrap_or_default(), files_read: 0 }
    }

    /// Whether a version continues the history that this was made of. An entry that has expired can prove nothing; then the
    /// identity of the table and the order of versions and commits decide.
    fn is_before(&self, snapshot: &Snapshot) -> bool {
        let goes_on = self.of.table == snapshot.table_id()
            && self.of.version <= snapshot.table_version()
            && self.of.commit <= snapshot.commit_number();
        let same_entry = || {
            if self.of.version == snapshot.table_version() {
                return self.of.seal == snapshot.seal().to_string();
            }
            match read_entry(&place::entry(snapshot.dir(), self.of.version)) {
                Ok(entry) => entry.info.seal.to_string() == self.of.seal,
                Err(error) => error.is_not_found(),
            }
        };
        goes_on && same_entry()
    }

    /// Brings the times up to a version. Returns what could not be read, and `None` where it was cancelled: then what was
    /// known before still holds.
    fn follow(&mut self, snapshot: &Snapshot, cancel: &Cancel) -> Option<Vec<DamagedRange>> {
        if !self.is_before(snapshot) {
            self.of = KnownTimes::default();
        }
        let noted = quarantine::read(snapshot.dir()).unwrap_or_default();
        let mut files: BTreeMap<String, LiveFile> = BTreeMap::new();
        for file in snapshot.live_files(&Selection::default()) {
            if let Some(name) = file.path().file_name() {
                files.insert(name.to_string_lossy().into_owned(), file);
            }
        }
        let (still, again): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.of.unread)
            .into_iter()
            .partition(|(name, _)| noted.contains_key(name) && files.contains_key(name));
        // A file that was put back, or merged after it was: its rows are read from wherever they are.
        let base = again.values().map(|first| first.saturating_sub(1)).min();
        let base = base.map_or(self.of.commit.0, |base| base.min(self.of.commit.0));
        let mut damaged: Vec<DamagedRange> = Vec::new();
        damaged.extend(snapshot.doubt().map(|doubt| DamagedRange::of_end(doubt.to_string())));
        for (name, file) in files {
            let reason = if still.contains_key(&name) {
                noted.get(&name).map(|noted| noted.what.clone())
            } else if file.last_commit().0 > base {
                let taken = self.take(&file, base, cancel);
                if cancel.is_cancelled() {
                    self.of.unread.extend(still.into_iter().chain(again));
                    return None;
                }
                taken.err().map(|damage| damage.what)
            } else {
                None
            };
            let Some(reason) = reason else { continue };
            if let Some(suspects) = snapshot.suspects() {
                suspects.tell(snapshot.dir(), file.path());
            }
            self.of.unread.insert(name, file.first_commit().0);
            damaged.push(file.range(&reason));
        }
        snapshot.table_id().clone_into(&mut self.of.table);
        (self.of.version, self.of.seal) = (snapshot.table_version(), snapshot.seal().to_string());
        self.of.commit = snapshot.commit_number();
        Some(damaged)
    }

    /// Takes the rows of a file that came after commit `base`.
    fn take(&mut self, file: &LiveFile, base: u64, cancel: &Cancel) -> Result<(), Box<Damage>> {
        self.files_read += 1;
        let open = file.open()?;
        let groups = open.groups(&Selection::default());
        let groups = groups.into_iter().map(|group| group.index).collect();
        for batch in open.read(groups, Some(&COLUMNS), BATCH_ROWS)? {
            self.take_batch(&batch?, base)
                .ok_or_else(|| file.damage(&"a column is missing or of another type"))?;
            if cancel.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    fn take_batch(&mut self, batch: &RecordBatch, base: u64) -> Option<()> {
        let points = batch.column_by_name(column::POINT)?.as_string_opt::<i32>()?;
        let ts =
            batch.column_by_name(column::TS)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        let longs = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let (status, commit) = (longs(column::STATUS)?, longs(column::COMMIT)?);
        // Rows of one point follow one another.
        let mut run: Option<(&str, FirstAndLast)> = None;
        for row in 0..batch.num_rows() {
            let is_new = u64::try_from(commit.value(row)).is_ok_and(|commit| commit > base);
            if !is_new || !has_value(status.value(row)) {
                continue;
            }
            let (point, at) = (points.value(row), Timestamp(ts.value(row)));
            match &mut run {
                Some((of, (first, last))) if *of == point => {
                    (*first, *last) = ((*first).min(at), (*last).max(at));
                }
                _ => {
                    if let Some((of, times)) = run.replace((point, (at, at))) {
                        self.of.widen(of, times);
                    }
                }
            }
        }
        run.inspect(|(of, times)| self.of.widen(of, *times));
        Some(())
    }
}

/// The times of points at a version: from the file, where it proves itself, and from the data files after it.
pub(crate) fn times_of(snapshot: &Snapshot, cancel: &Cancel) -> PointTimes {
    let mut known = Known::read(snapshot.dir());
    let damaged = known.follow(snapshot, cancel).unwrap_or_default();
    PointTimes { times: known.of.times, damaged }
}

/// The newest commit whose readings count, and the data files that could not be read.
type State = (CommitNumber, BTreeMap<String, u64>);

/// Keeps the file `_nengliu/points.parquet` of one lake up to date. One process does, beside the writer.
#[derive(Debug, Default)]
pub struct PointsTable {
    known: Option<Known>,
    described: BTreeMap<String, Described>,
    uses: Option<Vec<DictionaryUse>>,
    /// What the file was made of, and how it looked then.
    written: Option<(State, Look)>,
    /// Points in it.
    points: usize,
}

/// How a [`PointsTable::renew`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// Points in the table.
    pub points: usize,
    /// Whether the file was written.
    pub is_written: bool,
    /// Data files that were read for it.
    pub files: usize,
    /// Parts of the lake that could not be read; readings in them are not taken into account.
    pub damaged: usize,
}

impl PointsTable {
    /// Brings the file up to a version, where something changed or the file is not the one that was written last. `None`
    /// when it was cancelled.
    ///
    /// # Errors
    /// When dictionaries or data files cannot be read, or the file cannot be written. The next call tries again.
    pub fn renew(
        &mut self,
        snapshot: &Snapshot,
        cancel: &Cancel,
    ) -> Result<Option<Renewed>, StoreError> {
        let path = place::points(snapshot.dir());
        let known = self.known.get_or_insert_with(|| Known::read(snapshot.dir()));
        let read_before = known.files_read;
        let Some(damaged) = known.follow(snapshot, cancel) else { return Ok(None) };
        let (files, damaged) = (known.files_read - read_before, damaged.len());
        let state = (known.of.commit, known.of.unread.clone());
        let is_there = |(of, look): &(State, Look)| *of == state && Look::at(&path) == Some(*look);
        if self.written.as_ref().is_some_and(is_there) {
            return Ok(Some(Renewed { points: self.points, is_written: false, files, damaged }));
        }
        let uses = snapshot.dictionary_uses();
        if self.uses.as_ref() != Some(&uses) {
            self.described = described(snapshot)?;
            self.uses = Some(uses);
        }
        let points = joined(&self.described, &known.of.times);
        known.of.write(snapshot.dir(), &table(&points))?;
        self.written = Look::at(&path).map(|look| (state, look));
        self.points = points.len();
        Ok(Some(Renewed { points: self.points, is_written: true, files, damaged }))
    }
}
