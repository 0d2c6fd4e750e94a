//! A task that fails is told and runs again; one that is stopped is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Timestamp;
use model::host::{Clock, Entropy};

use super::*;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(7)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn supervisor() -> Supervisor {
    let host = Host { clock: Arc::new(Still), entropy: Arc::new(Still) };
    Supervisor { board: TaskBoard::new(Arc::clone(&host.clock)), host }
}

#[tokio::test]
async fn a_task_that_panics_is_told_and_starts_again() {
    let (supervisor, stop) = (supervisor(), CancellationToken::new());
    let board = supervisor.board.clone();
    let runs = Arc::new(AtomicU64::new(0));
    let (counted, ended) = (Arc::clone(&runs), stop.clone());
    let kept = supervisor.keep_alive("t", stop.clone(), move || {
        let (run, stop) = (counted.fetch_add(1, Ordering::Relaxed), ended.clone());
        async move {
            assert_ne!(run, 0, "planted");
            stop.cancelled().await;
        }
    });
    let kept = tokio::spawn(kept);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while runs.load(Ordering::Relaxed) < 2 && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    kept.await.unwrap();
    let task = board.snapshot().remove("t").unwrap();
    assert_eq!(
        (task.failures, task.last_failure_ms, runs.load(Ordering::Relaxed)),
        (1, Some(7), 2)
    );
    assert!(task.last_failure.unwrap().starts_with("panicked: "), "the message is kept");
}

#[tokio::test]
async fn a_task_that_returns_unasked_has_failed_and_one_that_is_stopped_has_not() {
    let (supervisor, stop) = (supervisor(), CancellationToken::new());
    let mut watched = supervisor.watch("t", stop.clone());
    assert_eq!(watched.run(async {}).await, Some(Failure::Ended));
    assert_eq!(supervisor.board.snapshot()["t"].state, TaskState::Restarting);
    stop.cancel();
    assert!(!watched.pause().await, "no more runs after the stop");
    assert_eq!(watched.run(async {}).await, None);
    assert_eq!(supervisor.board.snapshot()["t"].failures, 1);
}

#[tokio::test]
async fn the_message_of_a_panic_is_bounded() {
    let mut watched = supervisor().watch("t", CancellationToken::new());
    let failure = watched.run(async { panic!("{}", "x".repeat(100_000)) }).await.unwrap();
    assert!(failure.to_string().len() < 1_000);
    // Payloads that are no text.
    let failure = watched.run(async { std::panic::panic_any(5) }).await.unwrap();
    assert_eq!(failure, Failure::Panic("no message".to_owned()));
}
