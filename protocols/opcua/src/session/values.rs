//! What the subscription brings: values, and the news that some are missing. Must never ask the server.

use std::time::Duration;

use driver::Emission;
use model::{Sample, Timestamp};

use super::{End, Serving, horizon};
use crate::codec::Decoded;
use crate::complaints::Kind;
use crate::error::{PointError, SessionError};
use crate::history::Event;
use crate::inbox::Notice;
use crate::standing::{ClockFault, Known};

impl Serving<'_> {
    pub(super) async fn notice(&mut self, notice: Notice) -> Result<(), End> {
        match notice {
            Notice::Values(values) => self.values(values).await,
            Notice::Gap(reason) => self.values_lost(reason).await,
            Notice::Ended(status) if status.is_bad() => {
                Err(End::Broken(SessionError::SubscriptionEnded { url: self.url(), status }))
            }
            Notice::Ended(_) => Ok(()),
        }
    }

    pub(super) async fn values(&mut self, mut values: Vec<(usize, Decoded)>) -> Result<(), End> {
        self.worker.well();
        let horizon = horizon(self.worker.link.clock.now());
        for (index, value) in &mut values {
            match value.mismatch.take() {
                Some(found) => self.mismatch(*index, found),
                None => self.worker.settle(*index, Kind::Type),
            }
        }
        let mut emission = Emission::default();
        for (index, event) in events(values, horizon) {
            if event == Event::Overflow {
                let reason = "the server's queue of a point ran over";
                self.worker.complain(index, &PointError::ValuesLost { reason });
            }
            let same = match &event {
                Event::Live { sample, timed, .. } => {
                    self.hear(index, sample, *timed, &mut emission)
                }
                _ => false,
            };
            match event {
                Event::Live { sample, .. } if self.worker.trackers[index].is_none() => {
                    emission.samples.extend(Some(sample).filter(|_| !same));
                }
                event => self.step(index, event, &mut emission),
            }
        }
        self.emit(emission).await
    }

    /// The server gives a point this value; gives whether it gave the very same reading before.
    ///
    /// After a break, the same reading is handed over with a time of now: the row is stored already, but what was said of
    /// the point in the meantime, that it has no value, is over.
    pub(super) fn hear(
        &mut self,
        index: usize,
        sample: &Sample,
        timed: bool,
        emission: &mut Emission,
    ) -> bool {
        let was_bad = self.worker.heard_of(index);
        let known = self.known_now(index, sample.gateway_time);
        let standing = &mut self.worker.standing[index];
        let same = standing.hear(sample, timed);
        let (fault, is_news) = standing.clock_news();
        if same && was_bad {
            let again = known.and_then(|known| standing.again(known, sample.gateway_time));
            emission.samples.push(again.unwrap_or_else(|| sample.clone()));
        }
        if is_news {
            self.blame_clock(index, fault, sample);
        }
        same
    }

    /// What is known at this moment of a value that the server just gave; nothing where it is not to be said again.
    pub(super) fn known_now(&self, index: usize, now: Timestamp) -> Option<Known> {
        let behind_micros = self.worker.behind_micros?;
        let point = &self.worker.plan.points[index];
        if !self.worker.plan.devices[point.device].standing {
            return None;
        }
        Some(Known { heard: now, told_within: Duration::ZERO, behind_micros })
    }

    fn blame_clock(&mut self, index: usize, fault: Option<ClockFault>, sample: &Sample) {
        let Some(fault) = fault else { return self.worker.settle(index, Kind::Clock) };
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let far = |micros: i64| {
            let minutes = micros.unsigned_abs() / 60_000_000;
            format!("{} h {} min", minutes / 60, minutes % 60)
        };
        let what = match fault {
            ClockFault::Frozen => {
                format!("stands still at {} while the value changes", sample.source_time)
            }
            ClockFault::Ahead(micros) => format!("is {} ahead of the gateway's clock", far(micros)),
            ClockFault::Behind(micros) => {
                format!("lies {} behind the gateway's clock", far(micros))
            }
        };
        self.worker.complain(index, &PointError::Clock { metric, node, what });
    }

    /// A point is not what the profile says.
    pub(super) fn mismatch(&mut self, index: usize, found: String) {
        let point = &self.worker.plan.points[index];
        let expected = point.codec.content.expected();
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let error = PointError::Mismatch { metric, node, expected, found };
        self.worker.complain(index, &error);
    }

    /// Values of unknown points are missing: what has a memory is read back.
    pub(super) async fn values_lost(&mut self, reason: &'static str) -> Result<(), End> {
        let mut emission = Emission::default();
        for index in 0..self.nodes.len() {
            self.step(index, Event::Overflow, &mut emission);
        }
        self.worker.complain_of_all(&PointError::ValuesLost { reason });
        self.emit(emission).await
    }
}

/// What the values of one notification mean, per point. That a queue ran over comes first: some servers say so with the
/// newest value in it, which stands behind the hole, and no value of the notification may move a mark over it.
fn events(values: Vec<(usize, Decoded)>, horizon: Timestamp) -> Vec<(usize, Event)> {
    let mut over: Vec<usize> =
        values.iter().filter(|(_, value)| value.overflow).map(|(index, _)| *index).collect();
    over.sort_unstable();
    over.dedup();
    let live = |(index, value): (usize, Decoded)| {
        (index, Event::Live { sample: value.sample, timed: value.timed, horizon })
    };
    let over = over.into_iter().map(|index| (index, Event::Overflow));
    over.chain(values.into_iter().map(live)).collect()
}

#[cfg(test)]
mod tests {
    use model::{PointIndex, Quality, Sample, Value};

    use super::*;

    #[test]
    fn an_overflow_told_with_the_newest_value_counts_for_those_before_it() {
        let horizon = Timestamp(100);
        let sample = |time: i64| {
            let time = Timestamp(time);
            Sample::new(PointIndex(0), time, time, Quality::GOOD, Value::Decimal(time.0))
        };
        let value = |time, overflow| Decoded {
            sample: sample(time),
            timed: true,
            overflow,
            mismatch: None,
        };
        let live = |time| Event::Live { sample: sample(time), timed: true, horizon };
        let values = vec![
            (0, value(5, false)),
            (1, value(6, false)),
            (0, value(7, true)),
            (0, value(8, true)),
        ];
        let expected =
            [(0, Event::Overflow), (0, live(5)), (1, live(6)), (0, live(7)), (0, live(8))];
        assert_eq!(events(values, horizon), expected);
    }
}
