//! What the subscription brings: values, and the news that some are missing.

use std::collections::BTreeMap;
use std::time::Duration;

use driver::Emission;
use model::{Sample, Timestamp};

use super::{End, Serving, horizon};
use crate::codec::{Decoded, Mismatch};
use crate::complaints::Kind;
use crate::error::{PointError, SessionError};
use crate::history::Event;
use crate::inbox::Notice;
use crate::standing::{ClockFault, Known};

/// What a value of the server is to us.
pub(super) struct Heard {
    /// It is the very reading that the server gave last.
    pub(super) same: bool,
    /// The point was Bad by our word before.
    pub(super) was_bad: bool,
}

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
        let (now, told_at) = (self.worker.link.clock.now(), self.now());
        let horizon = horizon(now);
        for (index, value) in &mut values {
            self.checks.told(*index, told_at);
            let mismatch = value.mismatch.take();
            self.judge_content(*index, mismatch);
        }
        let mut emission = Emission::default();
        // Points that were Bad by our word, and the reading that they came back with where it is the one from before.
        let mut back: BTreeMap<usize, Option<Sample>> = BTreeMap::new();
        for (index, event) in events(values, horizon) {
            if event == Event::Overflow {
                let reason = "the server's queue of a point ran over";
                self.worker.complain(index, &PointError::ValuesLost { reason });
            }
            let mut same = false;
            if let Event::Live { sample, timed, .. } = &event {
                let heard = self.hear(index, sample, *timed, &mut emission);
                same = heard.same;
                if heard.was_bad {
                    back.insert(index, same.then(|| sample.clone()));
                } else if let Some(reading) = back.get_mut(&index).filter(|_| !same) {
                    *reading = None;
                }
            }
            match event {
                Event::Live { sample, .. } if self.worker.trackers[index].is_none() => {
                    emission.samples.extend(Some(sample).filter(|_| !same));
                }
                event => self.step(index, event, &mut emission),
            }
        }
        for (index, reading) in back {
            self.came_back(index, reading, now, &mut emission);
        }
        self.emit(emission).await
    }

    /// The server gives a point this value.
    pub(super) fn hear(
        &mut self,
        index: usize,
        sample: &Sample,
        timed: bool,
        emission: &mut Emission,
    ) -> Heard {
        let was_bad = self.worker.heard_of(index);
        let word = self.worker.standing[index].hear(sample, timed);
        let same = word.same;
        if let Some(late_micros) = word.late_micros {
            let device = self.worker.plan.points[index].device;
            self.worker.lateness[device].see(late_micros, sample.gateway_time);
        }
        if !word.corrected.is_empty() {
            emission.samples.extend(word.corrected);
            let count = self.worker.standing[index].corrected();
            let late = Duration::from_micros(word.late_micros.unwrap_or(0).unsigned_abs());
            let point = &self.worker.plan.points[index];
            let (metric, node) = (point.metric.clone(), point.address.to_string());
            let seconds = late.as_secs();
            self.worker.complain(index, &PointError::Late { metric, node, seconds, count });
        }
        let standing = &mut self.worker.standing[index];
        let (fault, is_news) = standing.clock_news();
        if is_news {
            self.blame_clock(index, fault, sample);
        }
        Heard { same, was_bad }
    }

    /// A point that was Bad by our word has a value again. It is handed over with a time of now: its row is older than what
    /// was said of the point in the meantime, that it has no value. Where no such time is known yet, `reading` shows at
    /// least that the point lives, and the value is owed.
    pub(super) fn came_back(
        &mut self,
        index: usize,
        reading: Option<Sample>,
        now: Timestamp,
        emission: &mut Emission,
    ) {
        let known = self.known_now(index, now).filter(|_| self.is_said(index));
        let standing = &mut self.worker.standing[index];
        let again = known.and_then(|known| standing.due(known, now));
        emission.samples.extend(again.or(reading));
    }

    /// Says that a value stands still, where that is to be said now.
    pub(super) fn say_standing(
        &mut self,
        index: usize,
        known: Option<Known>,
        now: Timestamp,
        emission: &mut Emission,
    ) {
        if self.is_said(index) {
            let standing = &mut self.worker.standing[index];
            emission.samples.extend(known.and_then(|known| standing.due(known, now)));
        }
    }

    /// Whether a value that stands still is said at all, with a time that the device did not give.
    pub(super) fn is_said(&self, index: usize) -> bool {
        let device = self.worker.plan.points[index].device;
        self.worker.plan.devices[device].standing
    }

    /// What is known at this moment of a value that the server just gave; nothing before its clock is known.
    pub(super) fn known_now(&self, index: usize, now: Timestamp) -> Option<Known> {
        let behind_micros = self.worker.behind_micros?;
        let shared_late_micros = self.shared_late(index);
        let told_within = Duration::ZERO;
        Some(Known { heard: now, told_within, behind_micros, shared_late_micros, read: None })
    }

    /// How late changes of the point's device come.
    pub(super) fn shared_late(&self, index: usize) -> Option<i64> {
        self.worker.lateness[self.worker.plan.points[index].device].most()
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

    /// Names a point that is not what the profile says.
    pub(super) fn judge_content(&mut self, index: usize, mismatch: Option<Mismatch>) {
        let Some(mismatch) = mismatch else { return self.worker.settle(index, Kind::Type) };
        let point = &self.worker.plan.points[index];
        let (metric, node) = (point.metric.clone(), point.address.to_string());
        let error = match mismatch {
            Mismatch::Type { expected, found } => {
                PointError::Mismatch { metric, node, expected, found }
            }
            Mismatch::Range { expected, found } => {
                PointError::OutOfRange { metric, node, expected, found }
            }
        };
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
