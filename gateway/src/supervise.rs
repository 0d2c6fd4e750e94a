//! Keeps the tasks of a gateway alive: one that panics, or ends without being asked to, is logged with its message,
//! counted, shown in `status`, and started again after a wait that grows. The keeper's thread is watched by
//! [`keeper`] and only listed here: without it nothing can be kept, so its end is the end of the process.

use std::time::Duration;

use driver::Backoff;
use keeper::{Failure, Host, TaskBoard, TaskState};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Wait before the first restart, and the longest one.
const RESTART_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// A task that ran this long before it failed waits briefly again.
const RAN_WELL_AFTER: Duration = Duration::from_mins(5);

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
