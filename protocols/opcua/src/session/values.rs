//! What the subscription brings: values, and the news that some are missing. Must never ask the server.

use async_opcua::types::DataValue;
use driver::Emission;
use model::Timestamp;

use super::{End, Serving, horizon, index};
use crate::codec::Decoded;
use crate::complaints::Kind;
use crate::error::{PointError, SessionError};
use crate::history::Event;
use crate::inbox::Notice;

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

    pub(super) async fn values(&mut self, values: Vec<(u32, DataValue)>) -> Result<(), End> {
        self.worker.well();
        let gateway_time = self.worker.link.clock.now();
        let horizon = horizon(gateway_time);
        let mut decoded = Vec::with_capacity(values.len());
        for (item, value) in values {
            let Some(index) = index(item).filter(|index| *index < self.nodes.len()) else {
                continue;
            };
            let mut value = self.worker.plan.points[index].codec.live(&value, gateway_time);
            self.worker.heard_of(index);
            match value.mismatch.take() {
                Some(found) => self.mismatch(index, found),
                None => self.worker.settle(index, Kind::Type),
            }
            decoded.push((index, value));
        }
        let mut emission = Emission::default();
        for (index, event) in events(decoded, horizon) {
            if event == Event::Overflow {
                let reason = "the server's queue of a point ran over";
                self.worker.complain(index, &PointError::ValuesLost { reason });
            }
            match event {
                Event::Live { sample, .. } if self.worker.trackers[index].is_none() => {
                    emission.samples.push(sample);
                }
                event => self.step(index, event, &mut emission),
            }
        }
        self.emit(emission).await
    }

    /// A point is not what the profile says.
    pub(super) fn mismatch(&mut self, index: usize, found: String) {
        let point = &self.worker.plan.points[index];
        let expected = match point.codec.kind {
            driver::RawKind::Integer => "an integer",
            driver::RawKind::Float => "a Float or Double",
        };
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
