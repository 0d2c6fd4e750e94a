//! A wall clock that a test moves under a running program, by Debian's `faketime`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Where Debian puts the library, below the folder of the architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The clock of one program.
#[derive(Debug, Clone)]
pub struct FakeClock {
    offset: PathBuf,
    library: PathBuf,
}

impl FakeClock {
    /// A clock that goes right, its offset in a file of `folder`.
    pub fn new(folder: &Path) -> Result<Self> {
        let architectures = fs::read_dir("/usr/lib").context("cannot list `/usr/lib`")?;
        let mut libraries = architectures.flatten().map(|entry| entry.path().join(LIBRARY));
        let library = libraries.find(|path| path.is_file());
        let library = library.context("the package `faketime` is not installed")?;
        let clock = Self { offset: folder.join("clock-offset"), library };
        clock.jump_to(0)?;
        Ok(clock)
    }

    /// From now on the clock is wrong by so many seconds.
    pub fn jump_to(&self, offset_s: i64) -> Result<()> {
        // In one step, because the program reads it all the time.
        let partial = self.offset.with_extension("partial");
        fs::write(&partial, format!("{offset_s:+}\n"))
            .context("cannot write the clock's offset")?;
        fs::rename(&partial, &self.offset).context("cannot replace the clock's offset")
    }

    /// Lets a program live by this clock.
    pub(crate) fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}
