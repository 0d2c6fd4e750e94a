//! Keeps the tasks of a gateway alive: one that panics, or ends without being asked to, is logged with its message,
//! counted, shown in `status`, and started again after a wait that grows. The keeper's thread is watched by
//! [`crate::keeper`] and only listed here: without it nothing can be kept, so its end is the end of the process.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use driver::Backoff;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::run::Host;
use crate::status::{TaskState, TaskStatus};

/// Wait before the first restart, and the longest one.
const RESTART_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// A task that ran this long before it failed waits briefly again.
const RAN_WELL_AFTER: Duration = Duration::from_mins(5);
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
    pub(crate) fn runs(&self, name: &str) {
        self.change(name, |task, now_ms| {
            task.state = TaskState::Running;
            task.since_ms = now_ms;
        });
    }

    /// A task failed; `next` says what becomes of it.
    pub(crate) fn failed(&self, name: &str, failure: &Failure, next: TaskState) {
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
pub(crate) enum Failure {
    /// It panicked.
    #[error("panicked: {0}")]
    Panic(String),
    /// It returned although nobody had asked it to.
    #[error("ended without being stopped")]
    Ended,
}

impl Failure {
    /// From what a panic carries.
    pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no message".to_owned());
        Self::Panic(text.chars().take(MESSAGE_CHARS_MAX).collect())
    }

    /// From how a spawned task ended; `None` when it was aborted by us.
    pub(crate) fn of_task(ended: Result<(), JoinError>) -> Option<Self> {
        match ended {
            Ok(()) => Some(Self::Ended),
            Err(e) => e.try_into_panic().ok().map(|payload| Self::of_panic(&*payload)),
        }
    }
}

/// Starts and watches tasks.
#[derive(Clone)]
pub(crate) struct Supervisor {
    pub(crate) board: TaskBoard,
    pub(crate) host: Host,
}

impl Supervisor {
    /// Watches a task of this name until `stop`.
    pub(crate) fn watch(&self, name: impl Into<String>, stop: CancellationToken) -> Watched {
        let (floor, ceiling) = RESTART_WAITS;
        let backoff = Backoff::new(floor, ceiling);
        Watched { supervisor: self.clone(), name: name.into(), stop, backoff, ran: Duration::ZERO }
    }

    /// Runs the tasks that `make` gives, one after the other, until `stop`.
    pub(crate) async fn keep_alive<T>(
        self,
        name: impl Into<String>,
        stop: CancellationToken,
        mut make: impl FnMut() -> T + Send,
    ) where
        T: Future<Output = ()> + Send + 'static,
    {
        let mut watched = self.watch(name, stop);
        while watched.run(make()).await.is_some() && watched.pause().await {}
    }
}

/// One task and its restarts.
pub(crate) struct Watched {
    supervisor: Supervisor,
    name: String,
    stop: CancellationToken,
    backoff: Backoff,
    /// How long the last run lasted.
    ran: Duration,
}

impl Watched {
    /// Runs the task to its end. Gives the failure, which the board shows, or nothing when it was stopped. Dropping
    /// this aborts the task.
    pub(crate) async fn run(
        &mut self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Failure> {
        let Supervisor { board, host } = &self.supervisor;
        board.runs(&self.name);
        let started = host.clock.monotonic();
        // A set of one: unlike a handle it aborts its task when it is dropped.
        let mut running = JoinSet::new();
        running.spawn(task);
        let ended = running.join_next().await?;
        self.ran = host.clock.monotonic().saturating_sub(started);
        let failure = Failure::of_task(ended)?;
        if failure == Failure::Ended && self.stop.is_cancelled() {
            return None;
        }
        board.failed(&self.name, &failure, TaskState::Restarting);
        Some(failure)
    }

    /// Waits before the next run; false when there must be none.
    pub(crate) async fn pause(&mut self) -> bool {
        if self.ran >= RAN_WELL_AFTER {
            self.backoff.reset();
        }
        let mut chance = [0; 8];
        self.supervisor.host.entropy.fill(&mut chance);
        tokio::select! {
            () = tokio::time::sleep(self.backoff.after_failure(u64::from_le_bytes(chance))) => true,
            () = self.stop.cancelled() => false,
        }
    }
}

#[cfg(test)]
mod tests;
