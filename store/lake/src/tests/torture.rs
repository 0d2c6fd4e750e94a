//! Damage to every file of a table: removed, cut, one bit flipped, replaced by its older self, its neighbour, a folder or
//! a pipe, with the writer stopped and with it running. Nothing is deleted, no Good row is wrong, each damage is named,
//! and what is not damaged is read. 40 cases in the usual run, all of them with `NENGLIU_LONG`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nix::sys::stat::Mode;

use super::{Plant, Row, Site, plant, rows, rows_of_batch};
use crate::lock::place;
use crate::{Damage, Keep, Lake, LakeError, LostRows, Selection, Snapshot, chain};

/// Commits before the damage: beyond a checkpoint, and one before a merge is due.
const COMMITS: u64 = 127;
/// Rows of a commit.
const ROWS: usize = 6;
/// Commits that follow on a damaged table; the first one makes a merge due.
const MORE: u64 = 2;

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Removed,
    Cut,
    Emptied,
    /// Bits at this share of the file, in thousandths, flipped.
    Flipped(u64),
    /// By what was there under this name some commits ago, or by the older neighbour of the same kind.
    Older,
    /// By the newer neighbour of the same kind.
    Newer,
    /// By a folder.
    Folder,
    /// By a pipe that nobody writes into.
    Pipe,
}

impl Harm {
    fn all() -> impl Iterator<Item = Self> {
        let flips = [3, 250, 500, 750, 997].map(Self::Flipped);
        let others = [Self::Removed, Self::Cut, Self::Emptied, Self::Older, Self::Newer];
        let others = others.into_iter().chain([Self::Folder, Self::Pipe]);
        others.chain(flips)
    }

    /// What the file becomes; `None` where this harm does not exist for it, or changes nothing.
    fn apply(self, dir: &Path, name: &Path, table: &Table) -> Option<()> {
        let path = dir.join(name);
        let bytes = fs::read(&path).unwrap();
        let other = |other: Option<&PathBuf>| other.map(|other| fs::read(dir.join(other)).unwrap());
        let harmed = match self {
            Self::Removed => {
                fs::remove_file(&path).unwrap();
                return Some(());
            }
            Self::Folder => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                return Some(());
            }
            Self::Pipe => {
                fs::remove_file(&path).unwrap();
                nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
                return Some(());
            }
            Self::Cut => bytes[..bytes.len() * 2 / 3].to_vec(),
            Self::Emptied => Vec::new(),
            Self::Flipped(thousandths) => {
                let mut bytes = bytes.clone();
                let at = bytes.len() * usize::try_from(thousandths).unwrap() / 1_000;
                *bytes.get_mut(at)? ^= 1 << (at % 8);
                bytes
            }
            Self::Older => match table.older.get(name) {
                Some(older) => older.clone(),
                None => other(table.neighbour(name, false))?,
            },
            Self::Newer => other(table.neighbour(name, true))?,
        };
        if harmed == bytes {
            return None;
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, harmed).unwrap();
        Some(())
    }
}

/// A table as it was made, to be copied for each case.
struct Table {
    site: Site,
    plant: Plant,
    files: Vec<PathBuf>,
    /// Files whose content changed, as they were some commits before.
    older: BTreeMap<PathBuf, Vec<u8>>,
    rows: Vec<Row>,
    /// The rows of the frames that are committed after the damage, by sequence, as a table without damage has them.
    newer: BTreeMap<i64, Vec<Row>>,
}

impl Table {
    async fn make() -> Self {
        let (site, plant) = (Site::new(), plant("north", 1));
        site.disk.is_lazy.store(true, Ordering::Relaxed);
        let mut lake = site.open().await;
        lake.put_dictionary(&plant.dictionary).await.unwrap();
        let mut older = BTreeMap::new();
        for sequence in 1..=COMMITS {
            lake.commit(plant.draft(sequence, 2)).await.unwrap();
            lake.settle().await.unwrap();
            if sequence == COMMITS - 7 {
                for name in files_in(site.path()) {
                    older.insert(name.clone(), fs::read(site.path().join(&name)).unwrap());
                }
            }
        }
        drop(lake);
        older.retain(|name, bytes| fs::read(site.path().join(name)).is_ok_and(|now| now != *bytes));
        let snapshot = site.snapshot();
        let rows = rows(&snapshot);
        assert_eq!(rows.len(), usize::try_from(COMMITS).unwrap() * ROWS);
        assert!(snapshot.live_files(&Selection::default()).len() > 5);
        let files = files_in(site.path());
        let mut table = Self { site, plant, files, older, rows, newer: BTreeMap::new() };
        let copy = table.copy();
        let mut lake = copy.open().await;
        for sequence in COMMITS + 1..=COMMITS + 1 + MORE {
            lake.commit(table.plant.draft(sequence, 2)).await.unwrap();
        }
        drop(lake);
        for row in super::rows(&copy.snapshot()).into_iter().filter(|row| row.8 > seq(COMMITS)) {
            table.newer.entry(row.8).or_default().push(without_commit(row));
        }
        assert_eq!(table.newer.len() as u64, 1 + MORE);
        table
    }

    /// The file of the same kind that is next in the order of names.
    fn neighbour(&self, name: &Path, newer: bool) -> Option<&PathBuf> {
        let kind = |name: &Path| {
            let name_text = name.to_string_lossy();
            let ending = name_text.split_once('.').map(|(_, ending)| ending.to_owned());
            (name.parent().map(Path::to_owned), ending)
        };
        let same = self.files.iter().filter(|other| kind(other) == kind(name));
        if newer {
            same.min_by_key(|other| (other.as_path() <= name, (*other).clone()))
                .filter(|other| other.as_path() > name)
        } else {
            same.filter(|other| other.as_path() < name).max()
        }
    }

    /// A copy of the table: names of the same files, as nothing but the head is ever changed in place.
    fn copy(&self) -> Site {
        let mut copy = Site::new();
        // The long form takes longer than replaced files are kept in other tests.
        copy.keep = Keep::default();
        copy.disk.is_lazy.store(true, Ordering::Relaxed);
        copy.clock.forward(std::time::Duration::from_secs(1));
        for name in &self.files {
            let to = copy.path().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            if name.ends_with("head") {
                fs::copy(self.site.path().join(name), to).unwrap();
            } else {
                fs::hard_link(self.site.path().join(name), to).unwrap();
            }
        }
        copy
    }
}

fn seq(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap()
}

/// A commit that was refused leaves its number to the next one, so newer rows are compared without it.
fn without_commit(mut row: Row) -> Row {
    row.9 = 0;
    row
}

/// Every file of a table that can be damaged, by its path in it; links and the lock are none.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["_delta_log", "_data", "_nengliu", "_nengliu/dictionaries"] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() && entry.file_name() != "lock" {
                files.push(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    files.sort();
    files
}

/// Identity and size of each data file: what must not be deleted.
fn data_files(dir: &Path) -> BTreeSet<(PathBuf, u64)> {
    let files = files_in(dir).into_iter().filter(|name| name.starts_with("_data"));
    files.map(|name| (name.clone(), fs::metadata(dir.join(&name)).unwrap().ino())).collect()
}

/// The rows that a reader gets, with what it is told of the rest. `Err` where the table is refused.
fn read(dir: &Path) -> Result<(Vec<Row>, Vec<Damage>), LakeError> {
    let snapshot = Snapshot::open(dir)?;
    let mut scan = snapshot.scan(&Selection::default());
    let mut rows: Vec<Row> = scan.by_ref().flat_map(|batch| rows_of_batch(&batch)).collect();
    rows.sort();
    let mut damage = snapshot.log_damage().to_vec();
    damage.extend(scan.damage().iter().cloned());
    Ok((rows, damage))
}

fn names(damage: &[Damage], path: &Path) -> bool {
    damage.iter().any(|one| one.path == path)
}

/// What is not named, and why that is harmless. Each is a state that a sound table comes to by itself, so to name it
/// would be a false alarm; nothing of any version that can still be read is lost with it.
fn is_what_sound_tables_have(table: &Table, name: &Path, harm: Harm, is_running: bool) -> bool {
    // A head is written after its entry and without a sync: after a power cut it lags behind. It only says where the log
    // does not end before.
    if name.ends_with("head") && harm == Harm::Older {
        return true;
    }
    // A running writer knows what the head says, and writes it whole with each commit, whatever file was there.
    if name.ends_with("head") && is_running && harm != Harm::Folder {
        return true;
    }
    // The clean-up of the log begins with its oldest entry, when a checkpoint covers it.
    if name.ends_with("00000000000000000000.json") && harm == Harm::Removed {
        return true;
    }
    // Replaced files are deleted from the oldest on, when they were kept for long enough or for enough bytes; their rows
    // are in the file that they were merged into.
    let removed = chain::read(table.site.path()).unwrap().state.removed;
    let oldest = removed.iter().min_by_key(|(name, removed)| (removed.when_ms, (*name).clone()));
    harm == Harm::Removed && oldest.is_some_and(|(oldest, _)| name.ends_with(oldest))
}

/// Everything that the writer, its dictionaries and a reader of every byte name.
async fn all_damage(site: &Site, lake: &mut Lake) -> Result<Vec<Damage>, LakeError> {
    let mut damage = lake.damage().await?;
    damage.extend(lake.dictionaries().await?.damage);
    damage.extend(Snapshot::open(site.path())?.verify()?);
    Ok(damage)
}

/// Whether an error is about this file, or about what is missing because of it.
fn is_about(error: &LakeError, path: &Path) -> bool {
    error.path() == Some(path) || error.to_string().contains(&path.display().to_string())
}

/// Harms one file and reads the table; then opens it for writing.
async fn stopped(table: &Table, name: &Path, harm: Harm) -> Option<()> {
    let site = table.copy();
    let path = site.path().join(name);
    harm.apply(site.path(), name, table)?;
    let case = format!("{harm:?} of {} with the writer stopped", name.display());
    let before = data_files(site.path());
    check_reader(table, &site, &path, &BTreeSet::new(), &case);
    match Lake::open(site.path(), site.options()).await {
        Err(error) => assert!(is_about(&error, &path), "{case}: {error}"),
        Ok(mut lake) => {
            let damage = all_damage(&site, &mut lake).await.unwrap();
            let is_harmless = is_what_sound_tables_have(table, name, harm, false);
            assert_ne!(names(&damage, &path), is_harmless, "{case}: {damage:?}");
            let committed = go_on(table, &site, &mut lake, COMMITS, &path, &case).await;
            check_reader(table, &site, &path, &committed, &case);
        }
    }
    assert!(before.is_subset(&data_files(site.path())), "{case}: a data file was deleted");
    Some(())
}

/// Harms one file under a running writer.
async fn running(table: &Table, name: &Path, harm: Harm) -> Option<()> {
    let site = table.copy();
    let mut lake = site.open().await;
    let path = site.path().join(name);
    // So that the writer knows the end of the log by having written it.
    lake.commit(table.plant.draft(COMMITS + 1, 2)).await.unwrap();
    harm.apply(site.path(), name, table)?;
    let case = format!("{harm:?} of {} with the writer running", name.display());
    let before = data_files(site.path());
    let mut committed = go_on(table, &site, &mut lake, COMMITS + 1, &path, &case).await;
    committed.insert(seq(COMMITS + 1));
    match all_damage(&site, &mut lake).await {
        // Whoever opens the table is refused, and told why.
        Err(error) => assert!(is_about(&error, &path), "{case}: {error}"),
        Ok(damage) => {
            let is_harmless = is_what_sound_tables_have(table, name, harm, true);
            assert_ne!(names(&damage, &path), is_harmless, "{case}: {damage:?}");
        }
    }
    assert!(before.is_subset(&data_files(site.path())), "{case}: a data file was deleted");
    drop(lake);
    check_reader(table, &site, &path, &committed, &case);
    Some(())
}

/// Commits on, through a merge; what is refused is refused because of damage that is named. Returns what was committed.
async fn go_on(
    table: &Table,
    site: &Site,
    lake: &mut Lake,
    from: u64,
    path: &Path,
    case: &str,
) -> BTreeSet<i64> {
    let mut committed = BTreeSet::new();
    for sequence in from + 1..=from + MORE {
        match lake.commit(table.plant.draft(sequence, 2)).await {
            Ok(_) => {
                committed.insert(seq(sequence));
            }
            Err(error) => {
                let is_changed = matches!(error, LakeError::Changed { .. });
                assert!(is_changed || is_about(&error, path), "{case}: {error}");
            }
        }
        if let Err(error) = lake.settle().await {
            assert!(is_about(&error, path), "{case}: {error}");
        }
    }
    if Snapshot::open(site.path()).is_ok_and(|snapshot| snapshot.doubt().is_none()) {
        assert!(committed.contains(&seq(from + MORE)), "{case}: the newest rows are missing");
    }
    committed
}

/// A reader gets rows that were written, all but those of files that it names, or an error that names the file. Of the
/// frames that were committed after the damage it gets every row.
fn check_reader(table: &Table, site: &Site, path: &Path, committed: &BTreeSet<i64>, case: &str) {
    let (found, damage) = match read(site.path()) {
        Err(error) => {
            assert!(is_about(&error, path), "{case}: {error}");
            return;
        }
        Ok(read) => read,
    };
    let (old, new): (Vec<Row>, Vec<Row>) = found.into_iter().partition(|row| row.8 <= seq(COMMITS));
    let expected: BTreeSet<&Row> = table.rows.iter().collect();
    let wrong = old.iter().find(|row| !expected.contains(row));
    assert_eq!(wrong, None, "{case}: a row was made up");
    let mut newer: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for row in new {
        newer.entry(row.8).or_default().push(without_commit(row));
    }
    for (sequence, rows) in &newer {
        assert_eq!(Some(rows), table.newer.get(sequence), "{case}: frame {sequence}");
    }
    // Where the newest entry is lost, the reader has the version before it, and is told so.
    let doubt = Snapshot::open(site.path()).unwrap().doubt().cloned();
    let is_short =
        doubt.is_some_and(|doubt| doubt.path == path && path.starts_with(place::log(site.path())));
    let mut missing = committed.iter().filter(|sequence| !newer.contains_key(sequence));
    if is_short && missing.next().is_some() {
        // It was the frame of that entry.
        assert_eq!(missing.next(), None, "{case}: more than one frame is not read");
        return;
    }
    assert_eq!(missing.next(), None, "{case}: a frame that was committed is not read");
    let lost: Vec<&LostRows> = damage.iter().filter_map(|one| one.lost.as_ref()).collect();
    let (read, all) = (old.len(), table.rows.len());
    assert!(read <= all, "{case}: {read} of {all} rows, so some are doubled");
    let rows: u64 = lost.iter().map(|lost| lost.rows).sum();
    let unknown = if is_short { ROWS } else { 0 };
    let rows = usize::try_from(rows).unwrap() + unknown;
    assert_eq!(read + rows, all, "{case}: {read} of {all} rows are read, {rows} are named as lost");
    for frames in lost.iter().map(|lost| &lost.frames) {
        assert!(!frames.is_empty(), "{case}: the frames that are lost are not named");
        let log = Some((table.plant.gateway.clone(), table.plant.log_id));
        assert!(frames.iter().all(|one| one.log == log), "{case}: their gateway is not named");
    }
}

fn cases(table: &Table) -> Vec<(PathBuf, Harm)> {
    let files = table.files.iter();
    files.flat_map(|name| Harm::all().map(|harm| (name.clone(), harm))).collect()
}

/// Trials brk-02 and brk-04: a missing entry made `serve` delete seven committed files; a flipped bit became a Good row.
#[tokio::test]
async fn whatever_file_is_damaged_nothing_is_deleted_or_made_up() {
    let table = Table::make().await;
    let all = cases(&table);
    let is_long = std::env::var_os("NENGLIU_LONG").is_some();
    // A stride that has no factor in common with the number of harms, so that all of them come.
    let mut stride = if is_long { 1 } else { all.len() / 23 };
    while stride.is_multiple_of(2) || stride.is_multiple_of(3) {
        stride -= 1;
    }
    let (mut tried, mut seen) = (0, BTreeSet::new());
    for (name, harm) in all.iter().step_by(stride) {
        let before = tried;
        tried += usize::from(stopped(&table, name, *harm).await.is_some());
        tried += usize::from(running(&table, name, *harm).await.is_some());
        if tried > before {
            seen.insert(*harm);
        }
    }
    let expected = if is_long { 2_000 } else { 40 };
    assert!(tried >= expected, "{tried} cases");
    assert_eq!(seen.len(), Harm::all().count(), "each kind of damage: {seen:?}");
    println!("{tried} cases of damage in {} files", table.files.len());
}
