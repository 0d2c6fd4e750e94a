//! Keeps the tasks beside ingest alive: one that panics, or ends without being asked to, is logged with its message, counted,
//! and started again after a wait that grows. Must never touch what ingest needs: without that the centre ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ingest::IngestHost;
use serde::Serialize;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Wait before the first restart, and the longest one.
const RESTART_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// A task that ran this long before it failed waits briefly again.
const RAN_WELL_AFTER: Duration = Duration::from_mins(5);
/// Longest message of a panic that is kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// How often a task failed in this run, and why last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct TaskStatus {
    pub(super) failures: u64,
    pub(super) last_failure: Option<String>,
    /// Milliseconds since the epoch.
    pub(super) last_failure_ms: Option<i64>,
}

/// The tasks and how they do. All clones show the same.
#[derive(Clone)]
pub(super) struct Tasks {
    host: IngestHost,
    board: Arc<Mutex<BTreeMap<&'static str, TaskStatus>>>,
}

impl Tasks {
    pub(super) fn new(host: IngestHost) -> Self {
        Self { host, board: Arc::default() }
    }

    pub(super) fn snapshot(&self) -> BTreeMap<&'static str, TaskStatus> {
        self.lock().clone()
    }

    /// Runs the tasks that `make` gives, one after the other, until `stop`.
    pub(super) async fn keep_alive<T>(
        self,
        name: &'static str,
        stop: CancellationToken,
        mut make: impl FnMut() -> T + Send,
    ) where
        T: Future<Output = ()> + Send + 'static,
    {
        drop(self.lock().insert(name, TaskStatus::default()));
        let (first, longest) = RESTART_WAITS;
        let mut wait = first;
        loop {
            let started = self.host.clock.monotonic();
            // A set of one: unlike a handle it aborts its task when it is dropped.
            let mut running = JoinSet::new();
            running.spawn(make());
            let Some(ended) = running.join_next().await else { return };
            if ended.is_ok() && stop.is_cancelled() {
                return;
            }
            self.failed(name, ended);
            let ran = self.host.clock.monotonic().saturating_sub(started);
            if ran >= RAN_WELL_AFTER {
                wait = first;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            wait = (wait * 2).min(longest);
        }
    }

    fn failed(&self, name: &'static str, ended: Result<(), JoinError>) {
        let why = ended.map_or_else(|e| e.to_string(), |()| "ended without being stopped".into());
        let why: String = why.chars().take(MESSAGE_CHARS_MAX).collect();
        tracing::error!(task = name, "task failed and is started again: {why}");
        let now_ms = self.host.clock.now().as_millis();
        let mut board = self.lock();
        let task = board.entry(name).or_default();
        task.failures = task.failures.saturating_add(1);
        (task.last_failure, task.last_failure_ms) = (Some(why), Some(now_ms));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, TaskStatus>> {
        // Plain counters: nothing in them can be broken by a panic.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
