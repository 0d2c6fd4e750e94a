//! Frames that could not be read, kept in a folder of bounded size until a person looks at them. Each is one file: a
//! line of JSON that says what it is and what is wrong, then the frame as it came.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use model::{GatewayId, LogId, Sequence, Timestamp};
use serde::{Deserialize, Serialize};

/// Most frames in quarantine; when there are as many, a log waits at the next one that cannot be read.
pub const QUARANTINE_FRAMES_MAX: usize = 1_000;
/// Most bytes of them.
pub const QUARANTINE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
const SUFFIX: &str = ".frame";

/// What is known of a frame in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The gateway it came from.
    pub gateway: GatewayId,
    /// The life of its spool.
    pub log_id: LogId,
    /// Its sequence.
    pub sequence: Sequence,
    /// Samples that its header counts; they count as lost.
    pub samples: u64,
    /// What is wrong with it.
    pub reason: String,
    /// When it was put here.
    pub at: Timestamp,
}

/// A frame that is put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// What is known of it.
    pub label: Label,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Frames.
    pub frames: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Quarantine(PathBuf);

impl Quarantine {
    /// The quarantine in a folder, which need not exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Keeps a frame, durably. One that is here already is written once more.
    pub fn put(&self, frame: &Quarantined) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let Label { gateway, log_id, sequence, .. } = &frame.label;
        let path = self.0.join(format!("{gateway}.{log_id}.{}{SUFFIX}", sequence.0));
        let unfinished = path.with_extension("new");
        let mut file = std::fs::File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(&frame.label)?)?;
        file.write_all(b"\n")?;
        file.write_all(&frame.bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        std::fs::File::open(&self.0)?.sync_all()
    }

    /// What is here, by name. A file that cannot be read, or whose label is damaged, hides no other.
    pub fn list(&self) -> io::Result<Vec<(String, io::Result<Label>)>> {
        let label = |name: String| {
            let label = read(&self.0.join(&name)).map(|frame| frame.label);
            (name, label)
        };
        Ok(self.names()?.into_iter().map(label).collect())
    }

    /// One frame.
    pub fn get(&self, name: &str) -> io::Result<Quarantined> {
        read(&self.path(name)?)
    }

    /// Removes one frame.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name)?)
    }

    /// How much is here.
    pub fn used(&self) -> io::Result<Used> {
        let mut used = Used::default();
        for name in self.names()? {
            used.frames += 1;
            used.bytes += std::fs::metadata(self.0.join(name))?.len();
        }
        Ok(used)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().into_string().unwrap_or_default();
            if name.ends_with(SUFFIX) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The path of a name that [`Self::list`] gave: never one outside the folder.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        if self.names()?.iter().any(|known| known == name) {
            return Ok(self.0.join(name));
        }
        let text = format!("no frame `{name}` in quarantine");
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }
}

fn read(path: &Path) -> io::Result<Quarantined> {
    // To open a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other(format!("{}: expected a file", path.display())));
    }
    let mut bytes = std::fs::read(path)?;
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let frame = bytes.split_off((end + 1).min(bytes.len()));
    let label = serde_json::from_slice(&bytes)
        .map_err(|e| io::Error::other(format!("{}: {e}", path.display())))?;
    Ok(Quarantined { label, bytes: frame })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_there_is_listed_shown_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path().join("quarantine"));
        assert_eq!(quarantine.used().unwrap(), Used::default());
        assert!(quarantine.list().unwrap().is_empty());
        let label = Label {
            gateway: GatewayId::new("g1").unwrap(),
            log_id: LogId([7; 16]),
            sequence: Sequence(9),
            samples: 10,
            reason: "unknown\nversion".to_owned(),
            at: Timestamp(5),
        };
        let frame = Quarantined { label: label.clone(), bytes: b"a\nframe".to_vec() };
        quarantine.put(&frame).unwrap();
        quarantine.put(&frame).unwrap();
        let [(name, found)] = &quarantine.list().unwrap()[..] else { panic!("one frame") };
        assert_eq!(*found.as_ref().unwrap(), label);
        assert_eq!(quarantine.get(name).unwrap(), frame);
        assert_eq!(quarantine.used().unwrap().frames, 1);
        for outside in ["../x", "/etc/passwd", "", "none.frame"] {
            assert!(quarantine.get(outside).is_err());
            assert!(quarantine.remove(outside).is_err());
        }
        std::fs::write(folder.path().join("quarantine/damaged.frame"), b"no label").unwrap();
        let [(damaged, none), (_, whole)] = &quarantine.list().unwrap()[..] else {
            panic!("two frames")
        };
        assert!(none.is_err() && whole.is_ok());
        quarantine.remove(damaged).unwrap();
        std::fs::create_dir(folder.path().join("quarantine/folder.frame")).unwrap();
        let [(_, folder_found), _] = &quarantine.list().unwrap()[..] else { panic!("two names") };
        assert!(folder_found.as_ref().unwrap_err().to_string().contains("expected a file"));
        std::fs::remove_dir(folder.path().join("quarantine/folder.frame")).unwrap();
        quarantine.remove(name).unwrap();
        assert!(quarantine.list().unwrap().is_empty());
    }
}
