//! A disk in memory that forgets at a crash whatever was not synced, tears writes at sectors, fails when told to, and,
//! when told to, forgets its last blocks although it said that they are durable.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, LockError};
use crate::guard::Mark;
use crate::segment::Versioned;

const SECTOR: usize = 512;
const BLOCK: usize = 4096;

/// Most blocks and changes of the directory that the disk forgets at [`SimDisk::crash_forgetting`].
pub const FORGOTTEN_MAX: usize = crate::guard::GUARD_COPIES - 1;

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails.
    Eio,
    /// The call fails as on a full disk.
    Enospc,
    /// A write stops in the middle.
    Short,
    /// The call and the three after it fail.
    EioFour,
    /// The call and all after it fail, until [`SimDisk::crash`].
    Crash,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum DirChange {
    Link(String, usize),
    Rename(String, String),
    Remove(String),
}

type Names = BTreeMap<String, usize>;

/// Something that the disk said is durable.
#[derive(Debug, Clone)]
enum Kept {
    /// A block as it was before.
    Block { inode: usize, block: usize, before: Vec<u8>, after: Vec<u8> },
    /// The directory as it was before.
    Names(Names),
}

#[derive(Debug, Clone, Default)]
struct State {
    /// The last things that became durable, oldest first.
    kept: VecDeque<Kept>,
    inodes: Vec<Inode>,
    names: Names,
    durable_names: Names,
    changes: Vec<DirChange>,
    is_locked: bool,
    epoch: u64,
    runs: u8,
    capacity: usize,
    calls: u64,
    fault: Option<(u64, Fault)>,
}

/// A handle; clones share the disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct SimFile {
    disk: SimDisk,
    inode: usize,
    epoch: u64,
}

struct SimLock {
    disk: SimDisk,
    epoch: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.is_locked = false;
        }
    }
}

fn apply(names: &mut Names, change: &DirChange) {
    match change {
        DirChange::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        DirChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        DirChange::Remove(name) => {
            names.remove(name);
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, piece: &[u8]) {
    let end = offset + piece.len();
    if bytes.len() < end {
        bytes.extend_from_slice(&vec![0; end - bytes.len()]);
    }
    bytes[offset..end].copy_from_slice(piece);
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl State {
    fn change(&mut self, change: DirChange) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn keep(&mut self, kept: Kept) {
        if self.kept.len() >= FORGOTTEN_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(kept);
    }

    /// Makes a write durable, block by block.
    fn make_durable(&mut self, inode: usize, offset: usize, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let block = (offset + at) / BLOCK;
            let end = bytes.len().min((block + 1) * BLOCK - offset);
            let durable = &mut self.inodes[inode].durable;
            let image = |durable: &Vec<u8>| {
                let end = durable.len().min((block + 1) * BLOCK);
                durable.get(block * BLOCK..end).unwrap_or_default().to_vec()
            };
            let before = image(durable);
            put(durable, offset + at, &bytes[at..end]);
            let after = image(durable);
            self.keep(Kept::Block { inode, block, before, after });
            at = end;
        }
    }

    /// Forgets some of the last `count` things that were durable; `survives` decides for each.
    fn forget(&mut self, count: usize, survives: &mut impl FnMut() -> bool) {
        let from = self.kept.len().saturating_sub(count);
        let last: Vec<Kept> = self.kept.drain(from..).collect();
        let mut first: BTreeMap<(usize, usize), Vec<u8>> = BTreeMap::new();
        let mut newest = BTreeMap::new();
        let mut names = None;
        for kept in last {
            match kept {
                Kept::Block { inode, block, before, after } => {
                    first.entry((inode, block)).or_insert(before);
                    if survives() {
                        newest.insert((inode, block), after);
                    }
                }
                // A journal that lost an entry ends there.
                Kept::Names(before) => {
                    if names.is_none() && !survives() {
                        names = Some(before);
                    }
                }
            }
        }
        for (place, before) in first {
            let image = newest.remove(&place).unwrap_or(before);
            let (inode, block) = place;
            let durable = &mut self.inodes[inode].durable;
            // A block that was never there reads as zeros.
            let end = durable.len().min((block + 1) * BLOCK);
            if let Some(place) = durable.get_mut(block * BLOCK..end) {
                place.fill(0);
                let length = place.len().min(image.len());
                place[..length].copy_from_slice(&image[..length]);
            }
        }
        if let Some(names) = names {
            self.durable_names = names;
            self.changes.clear();
        }
        self.kept.clear();
    }

    /// Counts a call; says which fault meets it.
    fn call(&mut self) -> Result<Option<Fault>, io::Error> {
        self.calls += 1;
        let Some((at, fault)) = self.fault else { return Ok(None) };
        let is_hit = match fault {
            Fault::EioFour => (at..at + 4).contains(&self.calls),
            Fault::Crash => self.calls >= at,
            _ => self.calls == at,
        };
        match fault {
            _ if !is_hit => Ok(None),
            Fault::Eio | Fault::EioFour | Fault::Crash => Err(eio()),
            Fault::Enospc => Err(io::ErrorKind::StorageFull.into()),
            Fault::Short => Ok(Some(fault)),
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].current.len()).sum()
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        let state = State { capacity: 1 << 30, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    /// A disk of its own with the same contents.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Counts the runs of the program on this disk.
    pub fn runs(&self) -> u8 {
        let mut state = self.state();
        state.runs = state.runs.wrapping_add(1);
        state.runs
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Sets its size.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = crate::to_usize(bytes);
    }

    /// Leaves not a byte free; what is removed later makes room again.
    pub fn fill(&self) {
        let mut state = self.state();
        state.capacity = state.used();
    }

    /// Lets `fault` happen at the `n`-th call from now, counted from 1.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls + n, fault));
    }

    /// Lets it work again.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// The power fails. `survives` decides for each sector of each unsynced write, and for each change of the
    /// directory in turn until the first that does not.
    pub fn crash(&self, survives: impl FnMut() -> bool) {
        self.crash_forgetting(0, survives);
    }

    /// The power fails, and the disk loses up to `count` of the last blocks that it had said are durable.
    pub fn crash_forgetting(&self, count: usize, mut survives: impl FnMut() -> bool) {
        let mut state = self.state();
        let state = &mut *state;
        state.forget(count.min(FORGOTTEN_MAX), &mut survives);
        for inode in &mut state.inodes {
            for (offset, bytes) in std::mem::take(&mut inode.unsynced) {
                let mut at = 0;
                while at < bytes.len() {
                    let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                    if survives() {
                        put(&mut inode.durable, offset + at, &bytes[at..end]);
                    }
                    at = end;
                }
            }
            inode.current.clone_from(&inode.durable);
        }
        for change in std::mem::take(&mut state.changes) {
            if !survives() {
                break;
            }
            apply(&mut state.durable_names, &change);
        }
        state.names.clone_from(&state.durable_names);
        for (index, inode) in state.inodes.iter_mut().enumerate() {
            if !state.names.values().any(|known| *known == index) {
                *inode = Inode::default();
            }
        }
        state.epoch += 1;
        state.is_locked = false;
        state.fault = None;
    }

    /// Kills the process: what it wrote stays in the page cache.
    pub fn kill(&self) {
        let mut state = self.state();
        state.epoch += 1;
        state.is_locked = false;
        state.fault = None;
    }

    /// Plants the old fault: nothing tells any more which sequences may have left.
    pub fn lower_guard(&self) {
        let name = crate::guard::GUARD_NAME;
        if !self.names().iter().any(|known| known == name) {
            return;
        }
        self.alter(name, |bytes| {
            let marks = bytes.chunks(BLOCK).find_map(|copy| match Mark::decode(copy) {
                Versioned::Valid(mark) => Some(mark),
                _ => None,
            });
            if let Some(mark) = marks {
                *bytes = Mark { bound: model::Sequence(0), ..mark }.encode();
            }
        });
    }

    /// The names of the files.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// What a file holds.
    pub fn bytes_of(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[name]].current.clone()
    }

    /// Changes the bytes of a file behind the program's back.
    pub fn alter(&self, name: &str, alter: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let index = state.names[name];
        let inode = &mut state.inodes[index];
        assert!(inode.unsynced.is_empty(), "alter files at rest only");
        alter(&mut inode.current);
        inode.durable.clone_from(&inode.current);
    }
}

impl Disk for SimDisk {
    fn lock(&self) -> Result<Box<dyn Send>, LockError> {
        let mut state = self.state();
        if state.is_locked {
            return Err(LockError::Held { holder: "4711".to_owned() });
        }
        state.is_locked = true;
        Ok(Box::new(SimLock { disk: self.clone(), epoch: state.epoch }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.call()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.call()?;
        let inode = if let Some(inode) = state.names.get(name) {
            *inode
        } else {
            let inode = state.inodes.len();
            state.inodes.push(Inode::default());
            state.change(DirChange::Link(name.to_owned(), inode));
            inode
        };
        // A truncation may reach the disk at once.
        state.inodes[inode] = Inode::default();
        let epoch = state.epoch;
        Ok(Box::new(SimFile { disk: self.clone(), inode, epoch }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.call()?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode, epoch: state.epoch }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(DirChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(DirChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        if !state.changes.is_empty() {
            state.changes.clear();
            let names = state.names.clone();
            let before = std::mem::replace(&mut state.durable_names, names);
            state.keep(Kept::Names(before));
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let mut state = self.state();
        state.call()?;
        Ok(crate::to_u64(state.capacity.saturating_sub(state.used())))
    }
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.epoch == self.epoch {
            Ok(state)
        } else {
            Err(io::Error::other("before the crash"))
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.call()?;
        Ok(crate::to_u64(state.inodes[self.inode].current.len()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        state.call()?;
        let bytes = &state.inodes[self.inode].current;
        let rest = bytes.get(crate::to_usize(offset)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let offset = crate::to_usize(offset);
        let fault = state.call()?;
        let growth = (offset + bytes.len()).saturating_sub(state.inodes[self.inode].current.len());
        let is_full = growth > 0 && state.used() + growth > state.capacity;
        let is_short = fault == Some(Fault::Short) || is_full;
        let bytes = if is_short { &bytes[..bytes.len() / 2] } else { bytes };
        let inode = &mut state.inodes[self.inode];
        put(&mut inode.current, offset, bytes);
        inode.unsynced.push((offset, bytes.to_vec()));
        if is_full {
            Err(io::ErrorKind::StorageFull.into())
        } else if is_short {
            Err(io::ErrorKind::WriteZero.into())
        } else {
            Ok(())
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let result = state.call();
        if matches!(state.fault, Some((_, Fault::Crash))) && result.is_err() {
            return result.map(|_| ());
        }
        let writes = std::mem::take(&mut state.inodes[self.inode].unsynced);
        // As Linux does: the pages are marked clean, so that the next fsync says nothing. They are not on disk.
        result?;
        for (offset, bytes) in &writes {
            state.make_durable(self.inode, *offset, bytes);
        }
        Ok(())
    }
}
