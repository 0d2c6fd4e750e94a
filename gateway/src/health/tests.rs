//! One refused address of a device: seen in the status, and not a line in the log at every poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use driver::{Fault, Observer as _};
use model::Timestamp;
use model::host::Clock;

use super::HealthBoard;

/// A clock that goes on by a second whenever it is read.
#[derive(Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1_000_000, Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Counts the lines of a log.
struct Lines(Arc<AtomicUsize>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn fault(code: &'static str) -> Fault {
    Fault::new(code, format!("meter: {code}"))
}

fn board() -> HealthBoard {
    HealthBoard::new(Arc::new(TestClock::default()), ["meter".to_owned()])
}

#[test]
fn a_refused_address_is_logged_once_and_stays_in_status() {
    let lines = Arc::new(AtomicUsize::new(0));
    // With one listener alone, a line that another test meets first is off for all threads.
    let _second = tracing::Dispatch::new(Lines(Arc::default()));
    tracing::subscriber::with_default(Lines(Arc::clone(&lines)), || {
        let board = board();
        board.answered("meter", Duration::from_millis(3));
        let since_ms = board.snapshot()["meter"].since_ms;
        for _ in 0..50 {
            board.partly("meter", Some(fault("GW-M204")));
            board.answered("meter", Duration::from_millis(3));
            let status = &board.snapshot()["meter"];
            assert_eq!(status.code.as_deref(), Some("GW-M204"));
            assert_eq!(status.message.as_deref(), Some("meter: GW-M204"));
            assert_eq!((status.answering, status.since_ms), (Some(true), since_ms));
        }
        assert_eq!(lines.load(Ordering::Relaxed), 2, "it answers; it refuses an address");
        board.partly("meter", None);
        board.partly("meter", None);
        let status = &board.snapshot()["meter"];
        assert_eq!((status.answering, &status.code, &status.message), (Some(true), &None, &None));
    });
    assert_eq!(lines.load(Ordering::Relaxed), 3, "and that it is over");
}

#[test]
fn what_keeps_a_device_silent_stands_before_what_it_refuses() {
    let board = board();
    board.partly("meter", Some(fault("GW-M204")));
    board.failed("meter", fault("GW-M101"));
    let status = &board.snapshot()["meter"];
    assert_eq!((status.answering, status.code.as_deref()), (Some(false), Some("GW-M101")));
    board.answered("meter", Duration::ZERO);
    let status = &board.snapshot()["meter"];
    assert_eq!((status.answering, status.code.as_deref()), (Some(true), Some("GW-M204")));
}
