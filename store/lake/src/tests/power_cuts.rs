//! A disk that forgets what was not synced: the content of a file since its last sync, the names in a directory since
//! its last. The power is cut at every sync of a run, and the table opened on what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Site, plant, rows};
use crate::disk::{Disk, LocalDisk};
use crate::{Lake, LakeOptions, Snapshot};

type Content = Arc<Vec<u8>>;
/// Names with their content, by directory.
type Durable = BTreeMap<PathBuf, BTreeMap<String, Content>>;

#[derive(Debug, Default)]
struct Memory {
    /// Content of files at their last sync, by inode: a link gives it another name, no other content.
    synced: BTreeMap<u64, Content>,
    durable: Durable,
    /// What a cut would have left, at every sync since this was emptied.
    cuts: Vec<Durable>,
    /// Syncs of directories until one fails; 0 for none.
    fails_in: u32,
    /// Files whose names were to be synced when that failed: held for clean from then on, as Linux does.
    forgotten: BTreeSet<u64>,
}

/// What is below a directory, and what of it is durable.
#[derive(Debug)]
struct PowerDisk(PathBuf, Mutex<Memory>);

impl PowerDisk {
    /// A disk for a table, and the options that put the table on it.
    fn of(site: &Site) -> (Arc<Self>, LakeOptions) {
        let disk = Arc::new(Self(site.path().to_owned(), Mutex::default()));
        let mut options = site.options();
        options.disk = Arc::clone(&disk) as Arc<dyn Disk>;
        (disk, options)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.1.lock().unwrap()
    }
}

impl Disk for PowerDisk {
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        LocalDisk.write(file, bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        let mut memory = self.memory();
        let before = memory.durable.clone();
        memory.cuts.push(before);
        let inode = file.metadata()?.ino();
        let content = fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)))?;
        memory.synced.insert(inode, Arc::new(content));
        // The number of a file that is gone, on a new one.
        memory.forgotten.remove(&inode);
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if !directory.starts_with(&self.0) {
            return Ok(());
        }
        let mut memory = self.memory();
        let before = memory.durable.clone();
        memory.cuts.push(before);
        let fails = memory.fails_in == 1;
        memory.fails_in = memory.fails_in.saturating_sub(1);
        let known = memory.durable.entry(directory.to_owned()).or_default().clone();
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let (name, metadata) = (entry.file_name(), entry.metadata()?);
            let (name, inode) = (name.to_string_lossy().into_owned(), metadata.ino());
            if !metadata.is_file() || memory.forgotten.contains(&inode) {
                continue;
            }
            if fails && !known.contains_key(&name) {
                memory.forgotten.insert(inode);
            }
            names.insert(name, memory.synced.get(&inode).cloned().unwrap_or_default());
        }
        if fails {
            return Err(io::Error::other("the disk failed"));
        }
        memory.durable.insert(directory.to_owned(), names);
        Ok(())
    }
}

/// Makes a directory of what a cut left of `site`.
fn after_cut(site: &Site, left: &Durable) -> Site {
    let cut = Site::new();
    for (directory, names) in left {
        let directory = cut.path().join(directory.strip_prefix(site.path()).unwrap());
        fs::create_dir_all(&directory).unwrap();
        for (name, content) in names {
            fs::write(directory.join(name), content.as_slice()).unwrap();
        }
    }
    cut
}

#[tokio::test]
async fn a_power_cut_leaves_all_of_a_commit_or_nothing() {
    let site = Site::new();
    let (disk, options) = PowerDisk::of(&site);
    let north = plant("north", 1);
    let key = (north.gateway.clone(), north.log_id);
    let mut lake = Lake::open(site.path(), options).await.unwrap();
    let upto =
        |snapshot: &Snapshot| snapshot.watermarks().get(&key).map_or(0, |m| m.durable_upto.0);
    let mut seen_merged = false;
    for sequence in 1..=102_u64 {
        disk.memory().cuts.clear();
        lake.commit(north.draft(sequence, 1)).await.unwrap();
        let returned = disk.memory().durable.clone();
        lake.settle().await.unwrap();
        // The first commits, the first merge, and the checkpoint.
        if ![1, 2, 16, 17, 99, 100, 101, 102].contains(&sequence) {
            continue;
        }
        let cut = after_cut(&site, &returned);
        assert_eq!(upto(&cut.snapshot()), sequence, "INV-5: what was returned is there");
        let (cuts, settled) = {
            let memory = disk.memory();
            (memory.cuts.clone(), memory.durable.clone())
        };
        assert!(cuts.len() >= 4);
        for left in cuts.iter().chain([&settled]) {
            let cut = after_cut(&site, left);
            let mut lake = cut.open().await;
            let snapshot = cut.snapshot();
            let found = upto(&snapshot);
            assert!(found == sequence || found == sequence - 1, "{found} after {sequence}");
            assert_eq!(rows(&snapshot).len(), usize::try_from(found).unwrap() * 3);
            seen_merged |= snapshot.files().len() < usize::try_from(found).unwrap();
            // And the table goes on from there.
            lake.commit(north.draft(sequence + 1, 1)).await.unwrap();
        }
    }
    assert!(seen_merged, "a cut after a merge was among them");
}

/// The sync of a commit fails; the one after it says that all is well, and the frame is acknowledged.
#[tokio::test]
async fn a_commit_is_not_believed_durable_because_a_second_sync_succeeds() {
    for restarts in [false, true] {
        for which in 1..=2 {
            let site = Site::new();
            let (disk, options) = PowerDisk::of(&site);
            let north = plant("north", 1);
            let mut lake = Lake::open(site.path(), options.clone()).await.unwrap();
            lake.commit(north.draft(1, 1)).await.unwrap();
            disk.memory().fails_in = which;
            lake.commit(north.draft(2, 1)).await.unwrap_err();
            if restarts {
                drop(lake);
                lake = Lake::open(site.path(), options).await.unwrap();
            }
            lake.commit(north.draft(2, 1)).await.unwrap();
            let left = disk.memory().durable.clone();
            let found = rows(&after_cut(&site, &left).snapshot());
            assert_eq!(found, rows(&site.snapshot()), "INV-5");
            assert_eq!(found.len(), 6, "INV-4");
        }
    }
}

/// A process died after it made the directories and before it synced the names of all of them.
#[tokio::test]
async fn directories_that_were_there_are_made_durable_too() {
    let site = Site::new();
    let (disk, options) = PowerDisk::of(&site);
    let dir = site.path().join("data/lake");
    fs::create_dir_all(dir.join("_nengliu/dictionaries")).unwrap();
    let mut lake = Lake::open(&dir, options).await.unwrap();
    lake.put_dictionary(&plant("north", 1).dictionary).await.unwrap();
    let memory = disk.memory();
    for above in [site.path(), &site.path().join("data"), &dir, &dir.join("_nengliu")] {
        assert!(memory.durable.contains_key(above), "{}", above.display());
    }
}
