//! The reader's side: one version of the table, for any process, without a lock. Never writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use contract::{DamagedRange, DictionaryUse, LogBook, LogKey, LostFrames, Watermark};
use model::{CommitNumber, Dictionary, DictionaryHash, Timestamp};
use parquet::arrow::arrow_reader::RowSelection;

use crate::chain::{self, Chain, Doubt};
use crate::damage::{Damage, LogNames, frames_of};
use crate::dictionaries::{self, KeptDictionaries};
use crate::entry::Seal;
use crate::facts::FileFacts;
use crate::log::LogState;
use crate::open::bad_files;
use crate::quarantine::{self, Noted};
use crate::selection::Selection;
use crate::suspects::Suspects;
use crate::verified::{Batches, DataReader, RowGroup};
use crate::{LakeError, lock::place};

/// Rows in a batch of [`Snapshot::scan`].
const BATCH_ROWS: usize = 8_192;

/// One version of the table: rows and watermarks that became durable together.
///
/// The files it names stay readable as long as the writer keeps replaced files ([`crate::Keep`]); a reader that works
/// longer opens a new snapshot. "As of commit N" is the filter `commit <= N` on the rows: it gives the same rows from every
/// later snapshot.
///
/// The log was proved whole when it was opened. Data files are verified as they are read: one that is damaged or missing
/// is left out and named, with the rows that it held.
#[derive(Debug, Clone)]
pub struct Snapshot {
    dir: PathBuf,
    chain: Chain,
    book: LogBook,
    names: LogNames,
    suspects: Option<Suspects>,
}

impl Snapshot {
    /// Reads the newest version of the table in `dir`.
    ///
    /// # Errors
    /// When the log has a gap, or one of its files that is needed is damaged; the error names the file.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, LakeError> {
        let dir = std::path::absolute(dir.as_ref()).map_err(LakeError::io("find", dir.as_ref()))?;
        let chain = chain::read(&dir)?;
        let book = read_book(&dir, &chain.state)?;
        let names = LogNames::of(&book);
        Ok(Self { dir, chain, book, names, suspects: None })
    }

    /// Tells the writer of this lake, which runs in this process, of the data files that cannot be read; so do the newer
    /// versions that this one is renewed to.
    #[must_use]
    pub fn telling(self, suspects: Suspects) -> Self {
        Self { suspects: Some(suspects), ..self }
    }

    pub(crate) fn suspects(&self) -> Option<&Suspects> {
        self.suspects.as_ref()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Files of the log that are damaged and were not needed, and why newer versions may be missing, if they may.
    #[must_use]
    pub fn log_damage(&self) -> &[Damage] {
        &self.chain.damage
    }

    /// Why rows that were committed last may be missing: the end of the log is not proved, or something stands behind it
    /// that cannot be followed.
    pub(crate) fn doubt(&self) -> Option<&Damage> {
        self.chain.doubt.as_ref().map(Doubt::damage)
    }

    /// What is damaged beside the data files: log, checkpoints, head and dictionaries; and the data files that are missing
    /// or have another length. Reads no data file.
    ///
    /// # Errors
    /// When the log or the dictionaries cannot be listed.
    pub fn damage_at_a_glance(&self) -> Result<Vec<Damage>, LakeError> {
        let mut chain = self.chain.clone();
        chain.verify_old(&self.dir, u64::MAX)?;
        let mut damage = chain.damage;
        damage.extend(self.dictionaries()?.damage);
        let bad = bad_files(&self.dir, &self.chain.state);
        // A writer may have merged and deleted them meanwhile.
        let newest = if bad.is_empty() { None } else { chain::read(&self.dir).ok() };
        for (name, error) in bad {
            let is_live = |newest: &Chain| newest.state.files.contains_key(&name);
            let Some(facts) = self.chain.state.files.get(&name) else { continue };
            if newest.as_ref().is_none_or(is_live) {
                damage.push(Damage::of_data(&error, facts, &self.names));
            }
        }
        Ok(damage)
    }

    /// Reads the whole log, all dictionaries and every byte of every data file, live or kept for readers of older versions,
    /// and names what is damaged.
    pub fn verify(&self) -> Result<Vec<Damage>, LakeError> {
        let mut chain = self.chain.clone();
        chain.verify_old(&self.dir, u64::MAX)?;
        let mut damage = chain.damage;
        damage.extend(self.dictionaries()?.damage);
        let (_, of_data) = self.verified_files(&Selection::default());
        damage.extend(of_data);
        damage.extend(self.damaged_replaced_files());
        Ok(damage)
    }

    /// Damage of files that were merged into others and are kept for readers of older versions. Their rows are in the file
    /// that they were merged into, so none are lost.
    fn damaged_replaced_files(&self) -> Vec<Damage> {
        let mut oldest: Vec<_> = self.chain.state.removed.iter().collect();
        oldest.sort_by_key(|(_, removed)| removed.when_ms);
        let mut damage = Vec::new();
        let mut is_older_kept = false;
        for (name, removed) in oldest {
            let path = place::data_file(&self.dir, name);
            let verified = DataReader::open(&path, removed.bytes, removed.tail).and_then(|file| {
                let groups = file.groups(&Selection::default());
                let groups: Vec<usize> = groups.into_iter().map(|group| group.index).collect();
                file.verify(&groups, None)
            });
            match verified {
                // The writer deletes what need not be kept any longer, from the oldest on.
                Err(error) if error.is_not_found() && !is_older_kept => continue,
                Err(error) => damage.push(Damage::of_error(&error)),
                Ok(()) => {}
            }
            is_older_kept = true;
        }
        damage
    }

    /// The data files that the writer keeps in quarantine because it could not read them, and since when. It may be wrong
    /// by now: a file that was put back is read without anybody's leave.
    ///
    /// # Errors
    /// When the note of them cannot be read.
    pub fn quarantined(&self) -> Result<Vec<(Timestamp, Damage)>, LakeError> {
        let noted = quarantine::read(&self.dir)?;
        let since = noted.iter().filter(|(name, _)| self.chain.state.files.contains_key(*name));
        let since: Vec<Timestamp> = since.map(|(_, noted)| noted.since).collect();
        let noted = noted.iter().map(|(name, noted)| (name.as_str(), noted));
        let damage = quarantined(&self.dir, &self.chain.state, &self.book, noted);
        Ok(since.into_iter().zip(damage).collect())
    }

    /// The live Parquet files, absolute; their columns are those of [`crate::schema::schema`]. What they hold is not
    /// verified: prefer [`Snapshot::scan`], or [`Snapshot::verified_files`] for a reader of files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.chain.state.files.keys().map(|name| place::data_file(&self.dir, name)).collect()
    }

    /// The live files that may hold rows of the selection, in the order of their first source times.
    pub fn live_files(&self, selection: &Selection) -> Vec<LiveFile> {
        let files = self.chain.state.files.iter();
        let mut files: Vec<LiveFile> = files
            .filter(|(_, facts)| selection.may_hold(&facts.extent))
            .map(|(name, facts)| LiveFile {
                path: place::data_file(&self.dir, name),
                facts: Arc::clone(facts),
                names: self.names.clone(),
            })
            .collect();
        files.sort_by_key(|file| file.facts.extent.ts);
        files
    }

    /// Verifies what a reader of the selection will read, without decoding it: the files that are sound, and what is damaged.
    pub fn verified_files(&self, selection: &Selection) -> (Vec<PathBuf>, Vec<Damage>) {
        let (mut sound, mut damage) = (Vec::new(), Vec::new());
        for file in self.live_files(selection) {
            match file.open().and_then(|open| open.verify(selection).map(|()| file.path)) {
                Ok(path) => sound.push(path),
                Err(found) => damage.push(*found),
            }
        }
        (sound, damage)
    }

    /// The rows of all row groups that may hold rows of the selection, verified, file by file; rows that are not of the
    /// selection are among them.
    pub fn scan(&self, selection: &Selection) -> Scan {
        let mut files = self.live_files(selection);
        files.reverse();
        Scan { files, selection: selection.clone(), open: None, damage: Vec::new(), bytes_read: 0 }
    }

    /// The last ingest commit in this version; 0 when there was none.
    pub fn commit_number(&self) -> CommitNumber {
        self.book.commit
    }

    /// The table's own version: every change of the table counts, also one that moves no rows.
    pub fn table_version(&self) -> u64 {
        self.chain.state.version
    }

    /// The identity of the table.
    pub fn table_id(&self) -> &str {
        &self.chain.state.metadata.id
    }

    /// Of the log entry of this version.
    pub(crate) fn seal(&self) -> Seal {
        self.chain.state.seal
    }

    /// How far each log is durable.
    pub fn watermarks(&self) -> &BTreeMap<LogKey, Watermark> {
        &self.book.logs
    }

    /// All sound dictionaries that are kept beside the table, and those that are damaged.
    pub fn dictionaries(&self) -> Result<KeptDictionaries, LakeError> {
        dictionaries::all(&self.dir, &self.book)
    }

    /// Which dictionary the rows of which frames follow, in the order of commits. Rows of a log before its first use
    /// were written by a program that did not say so yet.
    pub fn dictionary_uses(&self) -> Vec<DictionaryUse> {
        self.book.dictionary_uses()
    }

    /// The newest version of the same table: files that this one names are deleted some time after they were merged.
    pub fn renewed(&self) -> Result<Self, LakeError> {
        Ok(Self { suspects: self.suspects.clone(), ..Self::open(&self.dir)? })
    }

    /// The dictionary of that hash, where it is kept.
    pub fn dictionary(&self, hash: DictionaryHash) -> Result<Option<Dictionary>, LakeError> {
        dictionaries::get(&self.dir, hash)
    }
}

/// The book of logs from the table's transactions.
pub(crate) fn read_book(dir: &Path, state: &LogState) -> Result<LogBook, LakeError> {
    LogBook::from_transactions(&state.transactions).map_err(|name| {
        LakeError::damaged(&place::log(dir), format!("transaction `{name}` is not one of ours"))
    })
}

/// The live files of these names, with what is wrong with them and the rows that they hold.
pub(crate) fn quarantined<'a>(
    dir: &Path,
    state: &LogState,
    book: &LogBook,
    noted: impl Iterator<Item = (&'a str, &'a Noted)>,
) -> Vec<Damage> {
    let names = LogNames::of(book);
    let damage = noted.filter_map(|(name, noted)| {
        let error = LakeError::damaged(&place::data_file(dir, name), noted.what.as_str());
        Some(Damage::of_data(&error, state.files.get(name)?, &names))
    });
    damage.collect()
}

/// A data file of a version, as the log describes it.
#[derive(Debug, Clone)]
pub struct LiveFile {
    path: PathBuf,
    facts: Arc<FileFacts>,
    names: LogNames,
}

impl LiveFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.facts.extent.rows
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.facts.bytes
    }

    /// First and last point, in the order of ids.
    #[must_use]
    pub fn points(&self) -> (&str, &str) {
        (&self.facts.extent.point.0, &self.facts.extent.point.1)
    }

    /// First and last source time.
    #[must_use]
    pub fn times(&self) -> (Timestamp, Timestamp) {
        self.facts.extent.ts
    }

    /// The frames that have rows in it, by log.
    #[must_use]
    pub fn frames(&self) -> Vec<LostFrames> {
        frames_of(&self.facts, &self.names)
    }

    /// The oldest commit that it has rows of.
    pub(crate) fn first_commit(&self) -> CommitNumber {
        CommitNumber(self.facts.extent.commit.0)
    }

    /// The newest commit that it has rows of.
    pub(crate) fn last_commit(&self) -> CommitNumber {
        CommitNumber(self.facts.extent.commit.1)
    }

    /// That none of its rows can be read.
    pub(crate) fn range(&self, what: &str) -> DamagedRange {
        let (first, last) = self.points();
        DamagedRange {
            points: (first.to_owned(), last.to_owned()),
            times: self.times(),
            rows: Some(self.rows()),
            frames: self.frames(),
            reason: format!("`{}`: {what}", self.path.display()),
        }
    }

    /// That its rows make no sense.
    pub(crate) fn damage(&self, error: &dyn std::fmt::Display) -> Box<Damage> {
        let error = LakeError::damaged(&self.path, error.to_string());
        Box::new(Damage::of_data(&error, &self.facts, &self.names))
    }

    /// Opens it and verifies its footer.
    pub fn open(&self) -> Result<OpenFile, Box<Damage>> {
        let reader = DataReader::open(&self.path, self.facts.bytes, self.facts.tail)
            .map_err(|error| Box::new(Damage::of_data(&error, &self.facts, &self.names)))?;
        Ok(OpenFile { reader, facts: Arc::clone(&self.facts), names: self.names.clone() })
    }
}

/// A data file whose footer was verified.
#[derive(Debug, Clone)]
pub struct OpenFile {
    reader: DataReader,
    facts: Arc<FileFacts>,
    names: LogNames,
}

impl OpenFile {
    /// The row groups that may hold rows of the selection.
    #[must_use]
    pub fn groups(&self, selection: &Selection) -> Vec<RowGroup> {
        self.reader.groups(selection)
    }

    /// Reads row groups, by their places in the file, all columns or those named. The rows are verified before they are
    /// handed out; in a group they are in the order of [`crate::schema::schema`].
    pub fn read(
        &self,
        groups: Vec<usize>,
        columns: Option<&[&str]>,
        batch_rows: usize,
    ) -> Result<FileRows, Box<Damage>> {
        let batches = self.reader.read(groups, columns, batch_rows);
        let batches =
            batches.map_err(|error| Box::new(Damage::of_data(&error, &self.facts, &self.names)))?;
        Ok(FileRows { batches, facts: Arc::clone(&self.facts), names: self.names.clone() })
    }

    /// Reads rows of one row group, as [`DataReader::read_rows`] does.
    pub(crate) fn read_rows(
        &self,
        group: usize,
        columns: &[&str],
        rows: Option<RowSelection>,
        batch_rows: usize,
    ) -> Result<FileRows, Box<Damage>> {
        let batches = self.reader.read_rows(group, columns, rows, batch_rows);
        let batches =
            batches.map_err(|error| Box::new(Damage::of_data(&error, &self.facts, &self.names)))?;
        Ok(FileRows { batches, facts: Arc::clone(&self.facts), names: self.names.clone() })
    }

    /// Rows of a row group.
    pub(crate) fn rows_of_group(&self, group: usize) -> usize {
        self.reader.rows_of_group(group)
    }

    /// Verifies what a reader of the selection will read.
    pub fn verify(&self, selection: &Selection) -> Result<(), Box<Damage>> {
        let groups: Vec<usize> =
            self.groups(selection).into_iter().map(|group| group.index).collect();
        self.reader
            .verify(&groups, selection.columns.as_deref())
            .map_err(|error| Box::new(Damage::of_data(&error, &self.facts, &self.names)))
    }

    /// Bytes of the columns of a row group.
    pub(crate) fn bytes_of_group(&self, group: usize, columns: &[&str]) -> u64 {
        self.reader.bytes_of_group(group, columns)
    }

    /// Bytes read of it so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.facts.tail.bytes + self.reader.bytes_read()
    }
}

/// Rows of a data file, batch by batch.
#[derive(Debug)]
pub struct FileRows {
    batches: Batches,
    facts: Arc<FileFacts>,
    names: LogNames,
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, Box<Damage>>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(batch.map_err(|error| Box::new(Damage::of_data(&error, &self.facts, &self.names))))
    }
}

/// The rows of a snapshot, file by file. A file that turns out to be damaged gives no more rows and is named.
#[derive(Debug)]
pub struct Scan {
    /// Files to come, the next one last.
    files: Vec<LiveFile>,
    selection: Selection,
    open: Option<(OpenFile, FileRows)>,
    damage: Vec<Damage>,
    bytes_read: u64,
}

impl Scan {
    /// What could not be read so far. A file that is damaged in the middle has given some of its rows.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Bytes read so far, of the files that are done.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    fn next_file(&mut self, file: &LiveFile) -> Result<(), Box<Damage>> {
        let open = file.open()?;
        let groups = open.groups(&self.selection).into_iter().map(|group| group.index).collect();
        let rows = open.read(groups, self.selection.columns.as_deref(), BATCH_ROWS)?;
        self.open = Some((open, rows));
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        loop {
            if let Some((open, rows)) = &mut self.open {
                match rows.next() {
                    Some(Ok(batch)) => return Some(batch),
                    Some(Err(damage)) => self.damage.push(*damage),
                    None => {}
                }
                self.bytes_read += open.bytes_read();
                self.open = None;
            }
            let file = self.files.pop()?;
            if let Err(damage) = self.next_file(&file) {
                self.damage.push(*damage);
            }
        }
    }
}
