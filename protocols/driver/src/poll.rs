//! The poll loop of a port on which one request is under way at a time: which devices are due, who may wait for whom, and
//! one emission a round. Must never know what a request looks like.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{Quality, Sample, Timestamp};

use crate::contract::{Emission, PortLink};
use crate::schedule::Schedule;

/// Share of a port's time that devices which do not answer may take from those that do: one part of so many.
const SILENT_SHARE: u32 = 10;

/// A poll of a longer interval that brought nothing is tried again after this time: a moment's silence at the full hour
/// must not cost an hour.
const MISSED_RETRY: Duration = Duration::from_mins(1);

/// Devices that have points of one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollGroup {
    /// How often it is polled.
    pub interval: Duration,
    /// Places of its devices in the list of the port, in its order.
    pub devices: Vec<usize>,
}

/// The poll groups of devices whose points have these intervals, shortest interval first.
///
/// All groups are due at the start and then on the grid of their interval, without jitter: an hourly group of a device
/// is read right after the group of each second.
pub fn poll_groups<I: IntoIterator<Item = Duration>>(
    devices: impl IntoIterator<Item = I>,
) -> Vec<PollGroup> {
    let mut groups: Vec<PollGroup> = Vec::new();
    for (device, intervals) in devices.into_iter().enumerate() {
        for interval in intervals {
            match groups.iter_mut().find(|group| group.interval == interval) {
                Some(group) if group.devices.last() == Some(&device) => {}
                Some(group) => group.devices.push(device),
                None => groups.push(PollGroup { interval, devices: vec![device] }),
            }
        }
    }
    groups.sort_by_key(|group| group.interval);
    groups
}

/// How the poll of a device went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered; `back` when it had not before.
    Answered {
        /// It was silent before.
        back: bool,
    },
    /// It did not answer, which took so long.
    Silent {
        /// Time that others had to wait for it.
        cost: Duration,
    },
    /// It was not asked, or could not be.
    Rested,
}

/// What a device uses while it is polled.
pub struct Round<'a, L> {
    /// The poll group that is due.
    pub interval: Duration,
    /// What all devices of the port share: the connection or the serial line.
    pub line: &'a mut L,
    /// The gateway side.
    pub link: &'a PortLink,
    /// Whether another device of the port answers.
    pub others_answer: bool,
    /// Takes exactly one sample for each point of the poll group.
    pub samples: &'a mut Vec<Sample>,
}

/// A device that is polled.
#[async_trait]
pub trait Polled: Send {
    /// What all devices of a port share.
    type Line: Send;

    /// Its name.
    fn id(&self) -> &str;
    /// Whether it answered at its last poll.
    fn is_answering(&self) -> bool;
    /// Whether it is asked only now and then.
    fn is_resting(&self) -> bool;
    /// What kept it silent may be over, since another device came back: ask it soon.
    fn wake(&mut self);
    /// Gives one sample for each point of the poll group without asking.
    fn rest(&self, interval: Duration, now: Timestamp, samples: &mut Vec<Sample>);
    /// Reads a poll group once and gives exactly one sample for each of its points.
    async fn poll(&mut self, round: &mut Round<'_, Self::Line>) -> Outcome;
    /// Ends a round of all devices, before its samples are handed over: the places of those that are Bad after all, though
    /// their devices gave values. `spare` is the time until the next round is due.
    async fn end_round(_line: &mut Self::Line, _spare: Duration) -> Vec<(Range<usize>, Quality)> {
        Vec::new()
    }
}

/// Polls until the gateway stops.
pub async fn poll_until_stopped<D: Polled>(
    devices: Vec<D>,
    groups: Vec<PollGroup>,
    line: D::Line,
    link: PortLink,
) {
    let stop = link.stop.clone();
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = poll_forever(devices, groups, line, link) => {}
    }
}

async fn poll_forever<D: Polled>(
    devices: Vec<D>,
    groups: Vec<PollGroup>,
    line: D::Line,
    link: PortLink,
) {
    let clock = Arc::clone(&link.clock);
    let intervals = groups.iter().map(|group| group.interval);
    let mut schedule = Schedule::new(intervals, clock.monotonic());
    let (share, missed) = (SilentShare::default(), BTreeMap::new());
    let mut poller = Poller { devices, line, link, share, missed };
    while let Some(due) = schedule.next_due() {
        let due = due.min(poller.missed.values().min().copied().unwrap_or(due));
        tokio::time::sleep(due.saturating_sub(clock.monotonic())).await;
        let now = clock.monotonic();
        let mut emission = match schedule.take(now) {
            Some(due) => match groups.get(due.group) {
                Some(group) => poller.round(group, due.skipped > 0).await,
                None => continue,
            },
            None => poller.retry(now).await,
        };
        let next = schedule.next_due().unwrap_or_default();
        let spare = next.saturating_sub(clock.monotonic());
        for (places, quality) in D::end_round(&mut poller.line, spare).await {
            for sample in emission.samples.get_mut(places).into_iter().flatten() {
                let Sample { point, source_time, gateway_time, .. } = *sample;
                *sample = Sample::without_value(point, source_time, gateway_time, quality);
            }
        }
        if !emission.samples.is_empty() && poller.link.emit(emission).await.is_err() {
            return;
        }
    }
    // A port without devices has nothing to do but to wait for its end.
    poller.link.stop.cancelled().await;
}

struct Poller<D: Polled> {
    devices: Vec<D>,
    line: D::Line,
    link: PortLink,
    share: SilentShare,
    /// Interval and device of polls that brought nothing, with the time of the next try.
    missed: BTreeMap<(Duration, usize), Duration>,
}

impl<D: Polled> Poller<D> {
    async fn round(&mut self, group: &PollGroup, late: bool) -> Emission {
        let mut samples = Vec::new();
        for index in &group.devices {
            if late && let Some(device) = self.devices.get(*index) {
                self.link.observer.late(device.id());
            }
            let outcome = self.poll(group.interval, *index, &mut samples).await;
            let key = (group.interval, *index);
            if matches!(outcome, Outcome::Answered { .. }) || group.interval <= MISSED_RETRY {
                self.missed.remove(&key);
            } else {
                self.missed.insert(key, self.link.clock.monotonic() + MISSED_RETRY);
            }
        }
        Emission { samples, ..Emission::default() }
    }

    /// Polls once more what was missed and is due; what still brings nothing was said already.
    async fn retry(&mut self, now: Duration) -> Emission {
        let due = self.missed.iter().find(|(_, at)| **at <= now).map(|(key, _)| *key);
        let Some((interval, index)) = due else { return Emission::default() };
        let mut samples = Vec::new();
        if matches!(self.poll(interval, index, &mut samples).await, Outcome::Answered { .. }) {
            self.missed.remove(&(interval, index));
            return Emission { samples, ..Emission::default() };
        }
        self.missed.insert((interval, index), self.link.clock.monotonic() + MISSED_RETRY);
        Emission::default()
    }

    async fn poll(
        &mut self,
        interval: Duration,
        index: usize,
        samples: &mut Vec<Sample>,
    ) -> Outcome {
        let answers = |(other, device): (usize, &D)| other != index && device.is_answering();
        let others_answer = self.devices.iter().enumerate().any(answers);
        let now = self.link.clock.monotonic();
        let Some(device) = self.devices.get_mut(index) else { return Outcome::Rested };
        let was_resting = device.is_resting();
        if was_resting && others_answer && !self.share.allows(now) {
            device.rest(interval, self.link.clock.now(), samples);
            return Outcome::Rested;
        }
        let (line, link) = (&mut self.line, &self.link);
        let mut round = Round { interval, line, link, others_answer, samples };
        let outcome = device.poll(&mut round).await;
        match outcome {
            Outcome::Silent { cost } if was_resting => {
                self.share.spend(self.link.clock.monotonic(), cost);
            }
            Outcome::Answered { back: true } => {
                self.share = SilentShare::default();
                self.devices.iter_mut().for_each(D::wake);
            }
            _ => {}
        }
        outcome
    }
}

/// Keeps the time that silent devices cost within their share, all of them together.
#[derive(Debug, Default)]
struct SilentShare {
    next: Duration,
}

impl SilentShare {
    fn allows(&self, now: Duration) -> bool {
        now >= self.next
    }

    fn spend(&mut self, now: Duration, cost: Duration) {
        self.next = now + cost.saturating_mul(SILENT_SHARE - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_one_interval_are_one_group() {
        let s = Duration::from_secs;
        let groups: Vec<(Duration, Vec<usize>)> =
            poll_groups([vec![s(5)], vec![s(1), s(3_600)], vec![s(5), s(5), s(1)]])
                .into_iter()
                .map(|group| (group.interval, group.devices))
                .collect();
        assert_eq!(groups, [(s(1), vec![1, 2]), (s(5), vec![0, 2]), (s(3_600), vec![1])]);
    }

    #[test]
    fn silent_devices_get_a_tenth_of_the_time() {
        let ms = Duration::from_millis;
        let mut share = SilentShare::default();
        assert!(share.allows(ms(0)));
        share.spend(ms(1_000), ms(300));
        assert!(!share.allows(ms(3_699)));
        assert!(share.allows(ms(3_700)));
    }
}
