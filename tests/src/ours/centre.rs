//! The centre, `nengliu serve`, as a child process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::{STARTS_WITHIN, STOPS_WITHIN};
use crate::process::Process;
use crate::programs::program;

/// What a running centre prints once it has opened lake and broker.
const READY: &str = "centre runs";

/// A centre and its folder.
#[derive(Debug)]
pub struct Centre {
    process: Process,
    folder: PathBuf,
}

impl Centre {
    /// Starts a centre with short intervals and its lake in `folder/lake`; `broker` is the body of `[broker]`.
    pub fn start(folder: &Path, broker: &str) -> Result<Self> {
        Self::start_with(folder, broker, "")
    }

    /// As [`Self::start`], with further sections.
    pub fn start_with(folder: &Path, broker: &str, sections: &str) -> Result<Self> {
        let settings = format!(
            "[lake]\nfolder = \"lake\"\nfree = \"1 MiB\"\n\n\
             [broker]\n{broker}\n\n\
             [ingest]\ncommit_interval = \"200ms\"\nretry_max = \"200ms\"\n\n\
             {sections}"
        );
        fs::write(folder.join("nengliu.toml"), settings).context("cannot write `nengliu.toml`")?;
        let process = spawn(folder, 0)?;
        Ok(Self { process, folder: folder.to_owned() })
    }

    /// Its configuration file.
    #[must_use]
    pub fn settings_file(&self) -> PathBuf {
        self.folder.join("nengliu.toml")
    }

    /// The lake.
    #[must_use]
    pub fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again after its end.
    pub fn start_again(&mut self) -> Result<()> {
        let times = times_ready(&self.process)?;
        self.process = spawn(&self.folder, times)?;
        Ok(())
    }

    /// SIGTERM; fails when it takes longer than it may.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.terminate(STOPS_WITHIN)
    }

    /// Sends it a signal, such as `SIGSTOP`.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// What it has said on standard error, over restarts too.
    pub fn log(&self) -> Result<String> {
        self.process.errors()
    }
}

fn times_ready(process: &Process) -> Result<usize> {
    Ok(process.errors()?.matches(READY).count())
}

fn spawn(folder: &Path, times_before: usize) -> Result<Process> {
    let mut command = Command::new(program("nengliu")?);
    command.arg("serve").arg("-c").arg(folder.join("nengliu.toml"));
    let mut process = Process::start("centre", &command, folder)?;
    process.wait_until("the centre", STARTS_WITHIN, |process| {
        Ok(times_ready(process)? > times_before)
    })?;
    Ok(process)
}
