//! Puts the status of a running gateway together. Always gives one within a few seconds: what cannot be asked now is
//! shown as it was known last. Must never change anything.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keeper::{KeeperHandle, KeeperStatus, LastSamples, PointTable, TablePoint, TaskBoard};
use model::host::Clock;
use model::{HistoryMarks, PointId, PointIndex, Quality, Sample, Timestamp, ValueType};
use tokio::sync::watch;

use crate::health::HealthBoard;
use crate::status::{
    GatewayStatus, POINTS_SHOWN_MAX, PointCounts, PointStatus, STATUS_SCHEMA, SpoolStatus,
    UplinkStatus,
};
use crate::status_socket::StatusSource;
use crate::verdict::concerns;

/// A keeper that does not answer for so long waits for its disk.
const KEEPER_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What a status is made of.
pub(crate) struct StatusView {
    pub(crate) gateway: String,
    pub(crate) started: Timestamp,
    /// As the monotonic clock has it.
    pub(crate) started_at: Duration,
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
    /// The status with at most so many points; where there are more, with the worst of them.
    pub(crate) async fn status_of(&self, points_max: usize) -> GatewayStatus {
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
        let counted = counted(&self.point_table, last, points_max);
        let points = counted.shown.iter();
        let points = points.filter_map(|point| self.point(*point, last, marks)).collect();
        let uplinks = self.uplinks(&spool);
        let up = self.clock.monotonic().saturating_sub(self.started_at);
        let mut status = GatewayStatus {
            schema: STATUS_SCHEMA.to_owned(),
            gateway: self.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started.as_millis(),
            now_ms: self.clock.now().as_millis(),
            up_ms: u64::try_from(up.as_millis()).unwrap_or(u64::MAX),
            devices: self.health.snapshot(),
            points,
            point_counts: counted.all,
            spool,
            uplink: UplinkStatus::worst(&uplinks),
            uplinks,
            tasks: self.tasks.snapshot(),
            clock: *clock,
            concerns: Vec::new(),
        };
        for (device, counts, first_bad) in counted.of_devices {
            if let Some(shown) = status.devices.get_mut(device) {
                shown.points = counts;
                shown.first_bad = first_bad.map(|quality| quality.to_string());
            }
        }
        status.concerns = concerns(&status, self.resend_after);
        status
    }

    fn point(
        &self,
        at: PointIndex,
        last: &LastSamples,
        marks: &HistoryMarks,
    ) -> Option<PointStatus> {
        let point = self.point_table.point(at)?;
        let (sample, durable) = last.get(at);
        Some(PointStatus {
            durable_source_time_ms: durable.map(Timestamp::as_millis),
            history_mark_ms: mark_of(marks, point.id),
            ..shown(&point, sample)
        })
    }

    fn uplinks(&self, spool: &SpoolStatus) -> Vec<UplinkStatus> {
        let each = self.uplinks.iter().enumerate().map(|(index, uplink)| {
            let known = spool.destinations.get(index).cloned().unwrap_or_default();
            UplinkStatus {
                frames_waiting: known.frames_waiting,
                no_ack_for_ms: known.no_ack_for_ms,
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

impl StatusSource for Arc<StatusView> {
    fn status(&self) -> impl Future<Output = GatewayStatus> + Send {
        self.status_of(POINTS_SHOWN_MAX)
    }

    fn points(&self, from: usize, max: usize) -> Vec<PointStatus> {
        let known = self.known();
        let points = (from..self.point_table.len()).take(max);
        let points = points.filter_map(|at| u32::try_from(at).ok().map(PointIndex));
        points.filter_map(|at| self.point(at, &known.last, &known.marks)).collect()
    }
}

/// A point and its last sample, of which nothing is kept.
pub(crate) fn shown(point: &TablePoint<'_>, sample: Option<&Sample>) -> PointStatus {
    PointStatus {
        point: point.id.to_string(),
        value: sample
            .and_then(|sample| sample.value.as_ref())
            .map(|value| in_text(value, point.value_type)),
        unit: point.unit.to_string(),
        is_float: point.value_type == ValueType::Float,
        quality: sample.map(|sample| sample.quality.to_string()),
        source_time_ms: sample.map(|sample| sample.source_time.as_millis()),
        durable_source_time_ms: None,
        history_mark_ms: None,
    }
}

/// The points in numbers.
#[derive(Default)]
struct Counted<'a> {
    all: PointCounts,
    /// Each with the quality of the first of its points that is Bad.
    of_devices: Vec<(&'a str, PointCounts, Option<Quality>)>,
    shown: Vec<PointIndex>,
}

/// Counts the points, and chooses those that are shown.
fn counted<'a>(table: &'a PointTable, last: &LastSamples, points_max: usize) -> Counted<'a> {
    let mut counted = Counted::default();
    let mut devices = table.devices().peekable();
    let mut worst: [Vec<PointIndex>; RANKS] = Default::default();
    for (point, _) in table.iter() {
        if let Some((_, device)) = devices.next_if(|(first, _)| *first <= point) {
            counted.of_devices.push((device, PointCounts::default(), None));
        }
        let quality = last.get(point).0.map(|sample| sample.quality);
        counted.all.note(quality);
        if let Some((_, counts, first_bad)) = counted.of_devices.last_mut() {
            counts.note(quality);
            *first_bad = first_bad.or(quality.filter(|quality| quality.is_bad()));
        }
        if let Some(ranked) = rank(quality).and_then(|rank| worst.get_mut(rank))
            && ranked.len() < points_max
        {
            ranked.push(point);
        }
    }
    counted.shown = if table.len() <= points_max {
        table.iter().map(|(point, _)| point).collect()
    } else {
        worst.into_iter().flatten().take(points_max).collect()
    };
    counted.shown.sort_unstable();
    counted
}

/// Qualities of values that cannot be right, and of those beside them that may not be.
const IMPLAUSIBLE: [Quality; 2] =
    [Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED, Quality::UNCERTAIN_CONFIGURATION_ERROR];
/// Ranks of points that are not Good.
const RANKS: usize = 3;

/// How bad the last sample of a point is, worst first; `None` for a good one.
fn rank(quality: Option<Quality>) -> Option<usize> {
    match quality {
        Some(quality) if quality.is_bad() => Some(0),
        None => Some(1),
        Some(quality) if !quality.is_good() => Some(2),
        Some(_) => None,
    }
}

impl PointCounts {
    /// Counts a point by the quality of its last sample.
    pub(crate) fn note(&mut self, quality: Option<Quality>) {
        self.all += 1;
        match rank(quality) {
            Some(0) => self.bad += 1,
            Some(1) => self.unread += 1,
            Some(_) => self.uncertain += 1,
            None => self.good += 1,
        }
        let is_implausible = quality.is_some_and(|quality| IMPLAUSIBLE.contains(&quality));
        self.implausible += u64::from(is_implausible);
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

#[cfg(test)]
mod tests;
