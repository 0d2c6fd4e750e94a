//! Damage to every file of a table: removed, cut, one bit flipped, replaced by its older self or by its neighbour, with
//! the writer stopped and with it running. Nothing is deleted, no Good row is wrong, each damage is named, and what is not
//! damaged is read. 40 cases in the usual run, all of them with `NENGLIU_LONG`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::{Plant, Row, Site, plant, rows, rows_of_batch};
use crate::{Damage, Keep, Lake, LakeError, Selection, Snapshot};

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
}

impl Harm {
    fn all() -> impl Iterator<Item = Self> {
        let flips = [3, 250, 500, 750, 997].map(Self::Flipped);
        let others = [Self::Removed, Self::Cut, Self::Emptied, Self::Older, Self::Newer];
        others.into_iter().chain(flips)
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
        Self { site, plant, files, older, rows }
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

/// Whether rows of the newest version are in this data file.
fn is_live_file(site: &Site, path: &Path) -> bool {
    site.snapshot().live_files(&Selection::default()).iter().any(|file| file.path() == path)
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
    check_reader(table, &site, &path, &case);
    match Lake::open(site.path(), site.options()).await {
        Err(error) => assert!(is_about(&error, &path), "{case}: {error}"),
        Ok(mut lake) => {
            let mut damage = lake.damage().await.unwrap();
            damage.extend(lake.dictionaries().await.unwrap().damage);
            damage.extend(site.snapshot().verify().unwrap());
            // A head and a hint are written again when the table is opened, so they are whole by now.
            let is_healed = path.ends_with("head") || path.ends_with("_last_checkpoint");
            // A dictionary is kept by its gateway, too; a replaced file may have been deleted by its writer.
            let is_live = is_live_file(&site, &path);
            // A log whose oldest entries are gone, below a checkpoint, is what the clean-up of any Delta writer leaves.
            let is_oldest = name.ends_with("00000000000000000000.json");
            let is_gone = harm == Harm::Removed
                && (is_oldest
                    || name.starts_with("_nengliu")
                    || (name.starts_with("_data") && !is_live));
            assert!(names(&damage, &path) || is_healed || is_gone, "{case}: {damage:?}");
            go_on(table, &site, &mut lake, COMMITS, &case).await;
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
    go_on(table, &site, &mut lake, COMMITS + 1, &case).await;
    assert!(before.is_subset(&data_files(site.path())), "{case}: a data file was deleted");
    drop(lake);
    check_reader(table, &site, &path, &case);
    Some(())
}

/// Commits on, through a merge; what is refused is refused because of damage that is named.
async fn go_on(table: &Table, site: &Site, lake: &mut Lake, from: u64, case: &str) {
    for sequence in from + 1..=from + MORE {
        if let Err(error) = lake.commit(table.plant.draft(sequence, 2)).await {
            let is_damage = matches!(error, LakeError::Damaged { .. } | LakeError::Changed { .. });
            assert!(is_damage, "{case}: {error}");
        }
        if let Err(error) = lake.settle().await {
            assert!(error.path().is_some(), "{case}: {error}");
        }
    }
    let Ok((found, _)) = read(site.path()) else { return };
    let last = i64::try_from(from + MORE).unwrap();
    assert!(found.iter().any(|row| row.8 == last), "{case}: the newest rows are missing");
}

/// A reader gets rows that were written, all but those of files that it names, or an error that names the file.
fn check_reader(table: &Table, site: &Site, path: &Path, case: &str) {
    let (found, damage) = match read(site.path()) {
        Err(error) => {
            assert!(is_about(&error, path), "{case}: {error}");
            return;
        }
        Ok(read) => read,
    };
    // The content of rows follows from sequence and point, so any row of a frame can be checked against its maker.
    let expected: BTreeSet<&Row> = table.rows.iter().collect();
    let first = i64::try_from(COMMITS).unwrap();
    let wrong = found.iter().find(|row| row.8 <= first && !expected.contains(row));
    assert_eq!(wrong, None, "{case}: a row was made up");
    let old = found.iter().filter(|row| row.8 <= first).count();
    let lost: u64 = damage.iter().filter_map(|one| one.lost.as_ref()).map(|lost| lost.rows).sum();
    let all = table.rows.len();
    assert!(old <= all, "{case}: {old} of {all} rows, so some are doubled");
    // A file that came to be merged after the damage may hold newer rows, too.
    let lost = usize::try_from(lost).unwrap();
    assert!(old + lost >= all, "{case}: {old} of {all} rows are read and {lost} are named as lost");
    for one in damage.iter().filter_map(|one| one.lost.as_ref()) {
        assert!(!one.frames.is_empty(), "{case}: the frames that are lost are not named");
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
    let stride = if is_long { 1 } else { (all.len() / 21) | 1 };
    let mut tried = 0;
    for (name, harm) in all.iter().step_by(stride) {
        tried += usize::from(stopped(&table, name, *harm).await.is_some());
        tried += usize::from(running(&table, name, *harm).await.is_some());
    }
    let expected = if is_long { 2_000 } else { 38 };
    assert!(tried >= expected, "{tried} cases");
    println!("{tried} cases of damage in {} files", table.files.len());
}
