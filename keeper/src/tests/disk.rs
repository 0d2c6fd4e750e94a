//! A disk in memory that fails and heals when told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use spool::{Disk, DiskFile, LockError};

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Default)]
struct State {
    files: BTreeMap<String, Bytes>,
    is_broken: bool,
    capacity_bytes: u64,
}

/// A handle; clones share the disk.
#[derive(Clone)]
pub(super) struct TestDisk(Arc<Mutex<State>>);

struct TestFile {
    disk: TestDisk,
    bytes: Bytes,
}

impl State {
    fn used_bytes(&self) -> u64 {
        let used: usize = self.files.values().map(|bytes| bytes.lock().unwrap().len()).sum();
        u64::try_from(used).unwrap()
    }
}

impl TestDisk {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { capacity_bytes: 1 << 30, ..State::default() })))
    }

    /// From now on nothing can be written, or all again.
    pub(super) fn set_broken(&self, is_broken: bool) {
        self.state().is_broken = is_broken;
    }

    /// Damages the last frame of the newest segment.
    pub(super) fn damage_last_frame(&self) {
        let state = self.state();
        let segment = state.files.iter().rfind(|(name, _)| name.strip_suffix(".seg").is_some());
        let mut bytes = segment.unwrap().1.lock().unwrap();
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[last] ^= 1;
    }

    /// Others leave so many bytes free.
    pub(super) fn set_free(&self, bytes: u64) {
        let mut state = self.state();
        state.capacity_bytes = state.used_bytes() + bytes;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn working(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_broken { Err(io::Error::from_raw_os_error(5)) } else { Ok(state) }
    }

    fn file(&self, bytes: &Bytes) -> Box<dyn DiskFile> {
        Box::new(TestFile { disk: self.clone(), bytes: Arc::clone(bytes) })
    }
}

impl Disk for TestDisk {
    fn lock(&self) -> Result<Box<dyn Send>, LockError> {
        Ok(Box::new(()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let bytes = Bytes::default();
        self.working()?.files.insert(name.to_owned(), Arc::clone(&bytes));
        Ok(self.file(&bytes))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let bytes = self.state().files.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(&bytes))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.working()?;
        let bytes = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.working()?.files.remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.working().map(drop)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity_bytes.saturating_sub(state.used_bytes()))
    }
}

impl DiskFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.bytes.lock().unwrap().len()).unwrap())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes.lock().unwrap();
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, piece: &[u8], offset: u64) -> io::Result<()> {
        drop(self.disk.working()?);
        let mut bytes = self.bytes.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let end = bytes.len().max(offset + piece.len());
        bytes.resize(end, 0);
        bytes[offset..offset + piece.len()].copy_from_slice(piece);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.working().map(drop)
    }
}
