//! Keeps the `points` table of the lake up to date, beside everything else: one file, renewed on a timer where something
//! changed.

use std::path::PathBuf;
use std::time::Duration;

use contract::{Cancel, StoreError};
use lake::points::Renewed;
use lake::{PointsTable, Snapshot, Suspects};
use tokio_util::sync::CancellationToken;

/// Time between two renewals of a table of moderate size.
pub(super) const EVERY: Duration = Duration::from_mins(1);
/// Points written per minute on average: a larger table is renewed less often, so its cost per minute stays the same.
const POINTS_PER_MINUTE: usize = 20_000;

/// Renews the table until `stop`, and once more then.
pub(in crate::commands) async fn keep(
    lake: PathBuf,
    suspects: Suspects,
    every: Duration,
    stop: CancellationToken,
) {
    let mut table = PointsTable::default();
    let mut wait = Duration::ZERO;
    let (mut is_failing, mut caught_up) = (false, false);
    loop {
        let is_last = tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = stop.cancelled() => true,
        };
        // A table that has to be made from all rows is not begun at the end.
        if is_last && !caught_up {
            return;
        }
        let cancel = Cancel::default();
        let (lake, suspects, cancelled) = (lake.clone(), suspects.clone(), cancel.clone());
        let mut work = tokio::task::spawn_blocking(move || {
            let renewed = renew(&mut table, lake, suspects, &cancelled);
            (table, renewed)
        });
        let ended = tokio::select! {
            ended = &mut work => ended,
            () = stop.cancelled(), if !is_last => {
                cancel.cancel();
                work.await
            }
        };
        let renewed = match ended {
            Ok((kept, renewed)) => {
                table = kept;
                renewed
            }
            // The panic is that of this task: whoever watches it counts it, and starts it again.
            Err(e) => match e.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(_) => return,
            },
        };
        match renewed {
            Ok(Some(renewed)) => {
                (is_failing, caught_up) = (false, true);
                wait = wait_after(renewed, every);
            }
            Ok(None) => {}
            Err(e) => {
                if !is_failing {
                    let why = model::error_chain(e.as_ref());
                    tracing::warn!("the table of points is not up to date: {why}; tried again");
                }
                (is_failing, wait) = (true, every);
            }
        }
        if is_last {
            return;
        }
    }
}

fn renew(
    table: &mut PointsTable,
    lake: PathBuf,
    suspects: Suspects,
    cancel: &Cancel,
) -> Result<Option<Renewed>, StoreError> {
    let snapshot = Snapshot::open(lake)?.telling(suspects);
    table.renew(&snapshot, cancel)
}

/// Time until the next renewal.
fn wait_after(renewed: Renewed, every: Duration) -> Duration {
    let minutes = u32::try_from(renewed.points / POINTS_PER_MINUTE).unwrap_or(u32::MAX);
    every.max(Duration::from_mins(1).saturating_mul(minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_is_renewed_less_often() {
        let of = |points| Renewed { points, is_written: true, files: 1, damaged: 0 };
        for (points, minutes) in [(0, 1), (5_000, 1), (POINTS_PER_MINUTE, 1), (200_000, 10)] {
            assert_eq!(wait_after(of(points), EVERY), Duration::from_mins(minutes), "{points}");
        }
    }
}
