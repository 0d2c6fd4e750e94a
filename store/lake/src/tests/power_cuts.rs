//! A disk that forgets what was not synced: the content of a file since its last sync, the names in a directory since
//! its last. The power is cut at every sync of a run, and the table opened on what is left.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Site, plant, rows};
use crate::disk::{Disk, LocalDisk};
use crate::{Lake, Snapshot};

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
}

#[derive(Debug, Default)]
struct PowerDisk(Mutex<Memory>);

impl Disk for PowerDisk {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        LocalDisk.write(file, bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap();
        let before = memory.durable.clone();
        memory.cuts.push(before);
        let inode = file.metadata()?.ino();
        let content = fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)))?;
        memory.synced.insert(inode, Arc::new(content));
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap();
        let before = memory.durable.clone();
        memory.cuts.push(before);
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                let content = memory.synced.get(&metadata.ino()).cloned().unwrap_or_default();
                names.insert(entry.file_name().to_string_lossy().into_owned(), content);
            }
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
    let disk = Arc::new(PowerDisk::default());
    let mut options = site.options();
    options.disk = Arc::clone(&disk) as Arc<dyn Disk>;
    let north = plant("north", 1);
    let key = (north.gateway.clone(), north.log_id);
    let mut lake = Lake::open(site.path(), options).await.unwrap();
    let upto =
        |snapshot: &Snapshot| snapshot.watermarks().get(&key).map_or(0, |m| m.durable_upto.0);
    let mut seen_merged = false;
    for sequence in 1..=102_u64 {
        disk.0.lock().unwrap().cuts.clear();
        lake.commit(north.draft(sequence, 1)).await.unwrap();
        let returned = disk.0.lock().unwrap().durable.clone();
        lake.settle().await.unwrap();
        // The first commits, the first merge, and the checkpoint.
        if ![1, 2, 16, 17, 99, 100, 101, 102].contains(&sequence) {
            continue;
        }
        let cut = after_cut(&site, &returned);
        assert_eq!(upto(&cut.snapshot()), sequence, "INV-5: what was returned is there");
        let (cuts, settled) = {
            let memory = disk.0.lock().unwrap();
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
