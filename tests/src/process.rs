//! A child process that cannot outlive its test: started with its output in files, killed when dropped.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::wait::wait_for;

/// Lines of a process's output that a failure shows.
const SHOWN_LINES: usize = 40;

/// A running (or killed) child. Its output is collected in `<folder>/<name>.out` and `.err`, over restarts too; both are
/// shown when the test fails while it lives.
#[derive(Debug)]
pub struct Process {
    name: String,
    out: PathBuf,
    err: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command`. The kernel kills the child when the *thread* that started it ends, so that a killed test leaves
    /// nothing behind: start children on the test's own thread.
    pub fn start(name: &str, command: &Command, folder: &Path) -> Result<Self> {
        let out = folder.join(format!("{name}.out"));
        let err = folder.join(format!("{name}.err"));
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("cannot open `{}`", path.display()))
        };
        // `setpriv` becomes the program itself, so the process id is the program's own.
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
        wrapped.args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        if let Some(current) = command.get_current_dir() {
            wrapped.current_dir(current);
        }
        let child = wrapped
            .stdin(Stdio::null())
            .stdout(open(&out)?)
            .stderr(open(&err)?)
            .spawn()
            .with_context(|| format!("cannot start `{name}` through `setpriv` (util-linux)"))?;
        Ok(Self { name: name.to_owned(), out, err, child })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has printed to standard output, over restarts too.
    pub fn output(&self) -> Result<String> {
        fs::read_to_string(&self.out)
            .with_context(|| format!("cannot read `{}`", self.out.display()))
    }

    /// Everything that it has printed to standard error, over restarts too.
    pub fn errors(&self) -> Result<String> {
        fs::read_to_string(&self.err)
            .with_context(|| format!("cannot read `{}`", self.err.display()))
    }

    /// Fails, showing the output, when the process has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("cannot ask for its state")? {
            bail!("`{}` ended with {status}\n{}", self.name, self.shown());
        }
        Ok(())
    }

    /// Waits until `condition` holds while the process runs; fails at once, showing the output, when it ends.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let waited = wait_for(what, limit, || {
            let holds = condition(self)?;
            if !holds {
                self.expect_running()?;
            }
            Ok(holds.then_some(()))
        });
        waited.with_context(|| format!("`{}` so far:\n{}", self.name, self.shown()))
    }

    /// Sends a signal to it, such as `SIGSTOP`.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("a process id fits 31 bits")?;
        signal::kill(Pid::from_raw(id), signal)
            .with_context(|| format!("cannot send {signal} to `{}`", self.name))
    }

    /// `kill -9`, then reaps it.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill it")?;
        self.child.wait().context("cannot reap it")?;
        Ok(())
    }

    /// Waits for its own end; fails when it does not come.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = format!("the end of `{}`", self.name);
        let ended = wait_for(&name, limit, || self.child.try_wait().context("cannot wait for it"));
        ended.with_context(|| self.shown())
    }

    /// SIGTERM, then waits for the end that it must come to by itself.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(limit)
    }

    /// The end of both outputs, for an error's reader.
    fn shown(&self) -> String {
        [&self.out, &self.err]
            .map(|path| {
                let text = fs::read_to_string(path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let from = lines.len().saturating_sub(SHOWN_LINES);
                format!("--- end of {}\n{}", path.display(), lines[from..].join("\n"))
            })
            .join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("`{}` when the test failed:\n{}", self.name, self.shown());
        }
        // Both fail only when it has ended already, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
