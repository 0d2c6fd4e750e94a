//! Puts the status of a running gateway together. Always gives one within a few seconds: what cannot be asked now is
//! shown as it was known last. Must never change anything.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::host::Clock;
use model::{HistoryMarks, PointId, Timestamp, ValueType};
use tokio::sync::watch;

use crate::health::HealthBoard;
use crate::keeper::{KeeperHandle, KeeperStatus};
use crate::points::PointTable;
use crate::status::{GatewayStatus, PointStatus, STATUS_SCHEMA, SpoolStatus, UplinkStatus};
use crate::supervise::TaskBoard;
use crate::verdict::concerns;

/// A keeper that does not answer for so long waits for its disk.
const KEEPER_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What a status is made of.
pub(crate) struct StatusView {
    pub(crate) gateway: String,
    pub(crate) started: Timestamp,
    pub(crate) resend_after: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Arc<HealthBoard>,
    pub(crate) tasks: TaskBoard,
    pub(crate) keeper: KeeperHandle,
    pub(crate) uplinks: Vec<watch::Receiver<UplinkStatus>>,
    pub(crate) point_table: Arc<PointTable>,
    /// What the keeper said last.
    pub(crate) known: Mutex<KeeperStatus>,
}

impl StatusView {
    pub(crate) async fn status(&self) -> GatewayStatus {
        let asked = tokio::time::timeout(KEEPER_ANSWER_TIMEOUT, self.keeper.status()).await;
        let silence = match asked {
            Ok(Ok(known)) => {
                *self.known() = known;
                None
            }
            Ok(Err(closed)) => Some(closed.to_string()),
            Err(_) => Some(format!(
                "the spool has not answered for {} s: its disk hangs",
                KEEPER_ANSWER_TIMEOUT.as_secs()
            )),
        };
        let known = self.known();
        let KeeperStatus { spool, clock, last, marks } = &*known;
        let spool = SpoolStatus { fault: silence.or_else(|| spool.fault.clone()), ..spool.clone() };
        let points = self.point_table.iter().zip(last.iter());
        let points = points.map(|((_, point), (sample, durable))| PointStatus {
            point: point.id.to_string(),
            value: sample
                .as_ref()
                .and_then(|sample| sample.value.as_ref())
                .map(|value| in_text(value, point.value_type)),
            unit: point.unit.to_string(),
            quality: sample.as_ref().map(|sample| sample.quality.to_string()),
            source_time_ms: sample.as_ref().map(|sample| sample.source_time.as_millis()),
            durable_source_time_ms: durable.map(Timestamp::as_millis),
            history_mark_ms: mark_of(marks, point.id),
        });
        let uplinks = self.uplinks(&spool);
        let mut status = GatewayStatus {
            schema: STATUS_SCHEMA.to_owned(),
            gateway: self.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started.as_millis(),
            now_ms: self.clock.now().as_millis(),
            devices: self.health.snapshot(),
            points: points.collect(),
            spool,
            uplink: UplinkStatus::worst(&uplinks),
            uplinks,
            tasks: self.tasks.snapshot(),
            clock: *clock,
            concerns: Vec::new(),
        };
        status.concerns = concerns(&status, self.resend_after);
        status
    }

    fn uplinks(&self, spool: &SpoolStatus) -> Vec<UplinkStatus> {
        let each = self.uplinks.iter().enumerate().map(|(index, uplink)| {
            let known = spool.destinations.get(index).cloned().unwrap_or_default();
            UplinkStatus {
                frames_waiting: spool.next.saturating_sub(1).saturating_sub(known.acked),
                frames_lost: known.frames_lost,
                samples_lost: known.samples_lost,
                frames_skipped: known.frames_skipped,
                ..uplink.borrow().clone()
            }
        });
        each.collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KeeperStatus> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark_of(marks: &HistoryMarks, id: &str) -> Option<i64> {
    if marks.marks.is_empty() {
        return None;
    }
    let mark = marks.marks.get(&PointId::new(id).ok()?)?;
    mark.time().map(Timestamp::as_millis)
}

/// A value as people write it, with every digit that it has.
fn in_text(value: &model::Value, value_type: ValueType) -> String {
    match (value, value_type) {
        (model::Value::Decimal(mantissa), ValueType::Decimal { exponent }) => {
            model::Decimal { mantissa: *mantissa, exponent }.to_string()
        }
        (model::Value::Decimal(mantissa), _) => mantissa.to_string(),
        (model::Value::Float(value), _) => value.to_string(),
        (model::Value::Bool(value), _) => value.to_string(),
        (model::Value::Text(value), _) => value.to_string(),
    }
}
