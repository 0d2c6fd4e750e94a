//! The board: which tasks run, and how those that failed did.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::task::JoinError;

/// Longest message of a panic that is kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// The tasks and how they do. Cheap to clone; all clones show the same.
#[derive(Clone)]
pub struct TaskBoard {
    clock: Arc<dyn model::host::Clock>,
    tasks: Arc<Mutex<BTreeMap<String, TaskStatus>>>,
}

impl TaskBoard {
    /// A board without tasks.
    #[must_use]
    pub fn new(clock: Arc<dyn model::host::Clock>) -> Self {
        Self { clock, tasks: Arc::default() }
    }

    /// A copy of the board.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, TaskStatus> {
        self.lock().clone()
    }

    /// A task runs from now on.
    pub fn runs(&self, name: &str) {
        self.change(name, |task, now_ms| {
            task.state = TaskState::Running;
            task.since_ms = now_ms;
        });
    }

    /// A task failed; `next` says what becomes of it.
    pub fn failed(&self, name: &str, failure: &Failure, next: TaskState) {
        tracing::error!(task = name, ?next, "task failed: {failure}");
        self.change(name, |task, now_ms| {
            task.state = next;
            task.since_ms = now_ms;
            task.failures = task.failures.saturating_add(1);
            task.last_failure = Some(failure.to_string());
            task.last_failure_ms = Some(now_ms);
        });
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut TaskStatus, i64)) {
        let now_ms = self.clock.now().as_millis();
        change(self.lock().entry(name.to_owned()).or_default(), now_ms);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, TaskStatus>> {
        // Plain counters: nothing in them can be broken by a panic.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a task failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It panicked.
    #[error("panicked: {0}")]
    Panic(String),
    /// It returned although nobody had asked it to.
    #[error("ended without being stopped")]
    Ended,
}

impl Failure {
    /// From what a panic carries.
    pub fn of_panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no message".to_owned());
        Self::Panic(text.chars().take(MESSAGE_CHARS_MAX).collect())
    }

    /// From how a spawned task ended; `None` when it was aborted by us.
    pub fn of_task(ended: Result<(), JoinError>) -> Option<Self> {
        match ended {
            Ok(()) => Some(Self::Ended),
            Err(e) => e.try_into_panic().ok().map(|payload| Self::of_panic(&*payload)),
        }
    }
}

/// One task of the gateway: a port, the keeper, the uplink, the status server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Whether it runs.
    pub state: TaskState,
    /// Since when, milliseconds since the epoch.
    pub since_ms: i64,
    /// How often it panicked, or ended without being stopped, in this run.
    pub failures: u64,
    /// Why it did so last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_ms: Option<i64>,
}

/// Whether a task runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It runs.
    #[default]
    Running,
    /// It failed and is started again in a moment.
    Restarting,
    /// It failed and stays so until the gateway is started again.
    Dead,
}
