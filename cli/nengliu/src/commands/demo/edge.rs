//! The gateway of the demo: the program `nengliu-gateway`, started, asked and stopped as a person would. Must never know
//! more of it than its command line and its JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::process::{Child, Command};

/// The program, which lies beside `nengliu`.
const PROGRAM: &str = "nengliu-gateway";
/// How long a started gateway may take to answer, and each answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a gateway that starts is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// What a stopping gateway may take besides its last acks.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub(super) enum EdgeError {
    #[error("the program `{}` is not there", path.display())]
    Missing { path: PathBuf },
    #[error("the program `{}` cannot be run", path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the gateway ended by itself: {0}")]
    Ended(std::process::ExitStatus),
    #[error("the gateway does not answer: {0}")]
    Silent(String),
}

/// What the demo reads of a gateway's status.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) points: Vec<Reading>,
    pub(super) spool: Spool,
    pub(super) uplink: Uplink,
}

#[derive(Debug, Deserialize)]
pub(super) struct Device {
    /// `None` before the first answer or failure.
    pub(super) answering: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reading {
    pub(super) point: String,
    pub(super) value: Option<String>,
    pub(super) unit: String,
    #[serde(default)]
    pub(super) history_mark_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Spool {
    #[serde(rename = "samples_appended")]
    pub(super) appended: u64,
    #[serde(rename = "samples_lost")]
    pub(super) lost: u64,
    #[serde(rename = "samples_refused")]
    pub(super) refused: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Uplink {
    pub(super) frames_waiting: u64,
}

/// A running gateway. It ends with this value, and with this process: then its standard input ends.
#[derive(Debug)]
pub(super) struct Edge {
    program: PathBuf,
    settings: PathBuf,
    child: Child,
}

/// The gateway's program, in the folder of `own`.
fn program_beside(own: &Path) -> Result<PathBuf, EdgeError> {
    let path = own.with_file_name(PROGRAM);
    if path.is_file() { Ok(path) } else { Err(EdgeError::Missing { path }) }
}

/// The gateway's program, where it is there.
pub(super) fn program() -> Result<PathBuf, EdgeError> {
    let own = std::env::current_exe()
        .map_err(|source| EdgeError::Run { path: PROGRAM.into(), source })?;
    program_beside(&own)
}

impl Edge {
    /// Starts it with these settings, and waits for its first answer. When told to stop it goes on sending for `drain`.
    pub(super) async fn start(
        program: PathBuf,
        settings: &Path,
        drain: Duration,
    ) -> Result<Self, EdgeError> {
        let mut command = Command::new(&program);
        command
            .args(["run", "--json", "--stop-with-stdin", "--drain"])
            .arg(format!("{}s", drain.as_secs()));
        command.arg("-c").arg(settings).stdin(Stdio::piped()).stdout(Stdio::piped());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", program::QUIET_LOG);
        }
        let child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| EdgeError::Run { path: program.clone(), source })?;
        let mut edge = Self { program, settings: settings.to_owned(), child };
        let mut said = String::new();
        let answers = async {
            loop {
                match edge.ask().await {
                    Ok(_) => return Ok(()),
                    Err(EdgeError::Silent(why)) => said = why,
                    Err(e) => return Err(e),
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let answers = tokio::time::timeout(ANSWER_TIMEOUT, answers).await;
        answers.unwrap_or(Err(EdgeError::Silent(said)))?;
        Ok(edge)
    }

    /// How it does. One question that gets no answer from a gateway that lives is no reason to end the demo: it is asked
    /// once more.
    pub(super) async fn status(&mut self) -> Result<Status, EdgeError> {
        match self.ask().await {
            Err(EdgeError::Silent(why)) => {
                tracing::warn!(why, "the gateway did not answer; it is asked again");
                tokio::time::sleep(ASK_EVERY).await;
                self.ask().await
            }
            answer => answer,
        }
    }

    async fn ask(&mut self) -> Result<Status, EdgeError> {
        let failed = |source| EdgeError::Run { path: self.program.clone(), source };
        if let Some(ended) = self.child.try_wait().map_err(failed)? {
            return Err(EdgeError::Ended(ended));
        }
        let mut command = Command::new(&self.program);
        command.args(["status", "--json", "-c"]).arg(&self.settings).stdin(Stdio::null());
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, command.kill_on_drop(true).output()).await;
        let Ok(asked) = asked else {
            return Err(EdgeError::Silent(format!("no answer within {ANSWER_TIMEOUT:?}")));
        };
        // Its exit code tells the gateway's health; what it prints is an answer all the same.
        let output = asked.map_err(failed)?;
        serde_json::from_slice(&output.stdout).map_err(|e| {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            EdgeError::Silent(if said.is_empty() { e.to_string() } else { said.to_owned() })
        })
    }

    /// Stops it and returns its last status.
    pub(super) async fn stop(mut self, drain: Duration) -> Result<Status, EdgeError> {
        // Open until it has ended: without its standard input it would not wait for its last acks.
        let _stdin = self.child.stdin.take();
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let path = self.program.clone();
            kill(Pid::from_raw(pid), Signal::SIGTERM)
                .map_err(|e| EdgeError::Run { path, source: e.into() })?;
        }
        let path = self.program;
        let limit = drain + STOP_TIMEOUT;
        let output = tokio::time::timeout(limit, self.child.wait_with_output()).await;
        let Ok(output) = output else {
            return Err(EdgeError::Silent(format!("it did not end within {limit:?}")));
        };
        let output = output.map_err(|source| EdgeError::Run { path, source })?;
        serde_json::from_slice(&output.stdout).map_err(|_| EdgeError::Ended(output.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_gateways_program_there_is_no_demo() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("nengliu");
        let error = program_beside(&own).unwrap_err().to_string();
        assert!(error.ends_with("nengliu-gateway` is not there"), "{error}");
        let gateway = folder.path().join(PROGRAM);
        std::fs::write(&gateway, "").unwrap();
        assert_eq!(program_beside(&own).unwrap(), gateway);
    }

    /// A status query failed once under load, and the demo ended with it.
    #[tokio::test]
    async fn a_gateway_that_does_not_answer_once_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = folder.path().join("gateway");
        let answer = r#"{"devices":{},"points":[],"uplink":{"frames_waiting":0},"spool":
            {"samples_appended":7,"samples_lost":0,"samples_refused":0}}"#;
        // Every other question fails. Another process writes it, so that nothing here has it open when it is run.
        let script = format!(
            "#!/bin/sh\n[ $1 = run ] && exec cat\necho >> $0.asked\n\
             [ $(( $(wc -l < $0.asked) % 2 )) = 1 ] && {{ echo reset >&2; exit 14; }}\necho '{answer}'\n"
        );
        let made = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$2\" > $1 && chmod +x $1", "sh"])
            .args([gateway.as_os_str(), script.as_ref()])
            .status();
        assert!(made.unwrap().success());
        let mut edge = Edge::start(gateway, folder.path(), Duration::ZERO).await.unwrap();
        assert!(matches!(edge.ask().await, Err(EdgeError::Silent(why)) if why == "reset"));
        // That was the third question; the fourth is answered, the fifth is not.
        assert!(edge.ask().await.is_ok());
        assert_eq!(edge.status().await.unwrap().spool.appended, 7);
    }

    #[tokio::test]
    async fn a_gateway_that_ends_by_itself_is_told_with_its_exit_code() {
        let folder = tempfile::tempdir().unwrap();
        // Any program that ends at once, whatever its arguments.
        let error = Edge::start("/bin/false".into(), folder.path(), Duration::ZERO).await;
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "the gateway ended by itself: exit status: 1");
    }
}
