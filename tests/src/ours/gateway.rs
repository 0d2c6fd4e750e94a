//! A gateway as a child process, and what it says about itself.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{STARTS_WITHIN, STOPS_WITHIN};
use crate::fake_clock::FakeClock;
use crate::process::Process;
use crate::programs::program;
use crate::wait::wait_for;

/// What a running gateway prints once it reads.
const READY: &str = "gateway runs";

/// Head of a `gateway.toml` of the tests: site `works/plant`, short intervals, profiles beside the file.
#[must_use]
pub fn head(uplink: &str) -> String {
    format!(
        "[gateway]\n\
         id = \"gw-1\"\n\
         site = \"works/plant\"\n\
         profile_folders = [\"profiles\"]\n\
         \n\
         [spool]\n\
         quota = \"16 MiB\"\n\
         segment = \"1 MiB\"\n\
         commit_interval = \"100ms\"\n\
         \n\
         [uplink]\n\
         {uplink}\n\
         resend_after = \"500ms\"\n\
         backoff_max = \"200ms\"\n"
    )
}

/// A gateway and its folder.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    folder: PathBuf,
    clock: Option<FakeClock>,
}

impl Gateway {
    /// Writes a profile, `maker/model` by name, where [`head`] looks for it.
    pub fn write_profile(folder: &Path, name: &str, text: &str) -> Result<()> {
        let path = folder.join("profiles").join(name).with_extension("toml");
        let parent = path.parent().context("a profile lies in a folder")?;
        fs::create_dir_all(parent).context("cannot make the folder of the profile")?;
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Writes `gateway.toml` into `folder` and starts a gateway with it.
    pub fn start(folder: &Path, settings: &str) -> Result<Self> {
        Self::start_by(folder, settings, None)
    }

    /// As [`Self::start`], by a clock that the test moves.
    pub fn start_by(folder: &Path, settings: &str, clock: Option<FakeClock>) -> Result<Self> {
        fs::write(folder.join("gateway.toml"), settings).context("cannot write `gateway.toml`")?;
        let process = spawn(folder, clock.as_ref(), 0)?;
        Ok(Self { process, folder: folder.to_owned(), clock })
    }

    /// Its configuration file.
    #[must_use]
    pub fn settings_file(&self) -> PathBuf {
        self.folder.join("gateway.toml")
    }

    /// Its spool folder.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The certificate (DER) that it shows to OPC UA servers; waits for it.
    pub fn opcua_certificate(&self) -> Result<PathBuf> {
        let path = self.folder.join("opcua-certificates/own/cert.der");
        wait_for("the gateway's certificate", STARTS_WITHIN, || {
            let made = fs::metadata(&path).is_ok_and(|file| file.len() > 0);
            Ok(made.then(|| path.clone()))
        })
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again after its end.
    pub fn start_again(&mut self) -> Result<()> {
        let times = times_ready(&self.process)?;
        self.process = spawn(&self.folder, self.clock.as_ref(), times)?;
        Ok(())
    }

    /// SIGTERM; fails when it takes longer than it may.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.terminate(STOPS_WITHIN)
    }

    /// What it has said on standard error, over restarts too.
    pub fn log(&self) -> Result<String> {
        self.process.errors()
    }

    /// What `status --json` prints, asked as that command asks: at the socket in the spool folder.
    pub fn status(&self) -> Result<Value> {
        status_of(&self.folder)
    }

    /// Waits until its status fulfils a condition, and returns it.
    pub fn wait_for_status(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let waited = self.process.wait_until(what, limit, |_| {
            last = status_of(&self.folder)?;
            Ok(condition(&last))
        });
        waited.with_context(|| format!("the last status:\n{last:#}"))?;
        Ok(last)
    }

    /// Waits until every frame that it holds now, and those that follow, have a commit ack.
    pub fn wait_until_committed(&mut self, limit: Duration) -> Result<Value> {
        self.wait_for_status("a commit ack for every frame", limit, |status| {
            status["uplink"]["frames_waiting"] == 0
        })
    }

    /// Waits until every frame that it holds now has a commit ack; on a busy machine there are always newer ones.
    pub fn wait_for_held(&mut self, limit: Duration) -> Result<Value> {
        let held = status_of(&self.folder)?["spool"]["next"].as_u64().unwrap_or(u64::MAX);
        self.wait_for_status("a commit ack for each frame that is held", limit, |status| {
            status["spool"]["acked"].as_u64().is_some_and(|acked| acked + 1 >= held)
        })
    }

    /// Waits until the history mark of its first point stands at this time, and everything is committed.
    pub fn wait_for_history(&mut self, until_ms: i64, limit: Duration) -> Result<Value> {
        self.wait_for_status("the end of reading back", limit, |status| {
            status["points"][0]["history_mark_ms"].as_i64().is_some_and(|mark| mark >= until_ms)
                && status["uplink"]["frames_waiting"] == 0
        })
    }
}

fn status_of(folder: &Path) -> Result<Value> {
    let mut text = String::new();
    let mut ask = || {
        let mut stream = UnixStream::connect(folder.join("spool/status.sock"))?;
        // Whoever asks for nothing is answered after a second.
        stream.write_all(b"summary\n")?;
        stream.read_to_string(&mut text)
    };
    ask().context("cannot ask the gateway for its status")?;
    serde_json::from_str(&text).context("the status is not JSON")
}

fn times_ready(process: &Process) -> Result<usize> {
    Ok(process.errors()?.matches(READY).count())
}

fn spawn(folder: &Path, clock: Option<&FakeClock>, times_before: usize) -> Result<Process> {
    let mut command = Command::new(program("nengliu-gateway")?);
    if let Some(clock) = clock {
        clock.rule(&mut command);
    }
    command.arg("run").arg("-c").arg(folder.join("gateway.toml"));
    let mut process = Process::start("gateway", &command, folder)?;
    process.wait_until("the gateway", STARTS_WITHIN, |process| {
        Ok(times_ready(process)? > times_before)
    })?;
    Ok(process)
}
