//! What is wrong with single points while their server answers: what still holds, what is shown of it per device, and
//! what is news. Must never know how it was found out, nor who is told.

use std::collections::BTreeMap;
use std::time::Duration;

use driver::Fault;

use crate::error::PointError;

/// How long a loss is shown after it happened; everything else is shown until it is over.
const LOSS_SHOWN: Duration = Duration::from_mins(10);

/// What a complaint is about, the worst first; a point has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The server does not let us have the point.
    Refused,
    /// Its values are not what the profile says.
    Type,
    /// Its times are not what they should be.
    Clock,
    /// Its history cannot be read.
    History,
    /// Some of its values are missing.
    Loss,
    /// It is read, for it cannot be subscribed to.
    ReadInstead,
}

/// The complaints about the devices of one port.
#[derive(Debug)]
pub(crate) struct Complaints {
    devices: Vec<Device>,
}

#[derive(Debug, Default)]
struct Device {
    /// By kind and point; without a point it is about some point of the device.
    standing: BTreeMap<(Kind, Option<usize>), Standing>,
    news: Vec<Fault>,
    shown: Option<Fault>,
    changed: bool,
}

#[derive(Debug)]
struct Standing {
    fault: Fault,
    until: Option<Duration>,
}

/// What a device's observer is to hear.
#[derive(Debug, PartialEq)]
pub(crate) struct Report {
    /// The device, by its place.
    pub(crate) device: usize,
    /// What is shown from now on.
    pub(crate) shown: Option<Fault>,
    /// Whether that is something else than before.
    pub(crate) changed: bool,
    /// The first complaint of each code that is new and does not come to be shown.
    pub(crate) hidden: Vec<Fault>,
}

impl Complaints {
    pub(crate) fn new(devices: usize) -> Self {
        Self { devices: (0..devices).map(|_| Device::default()).collect() }
    }

    /// Something is wrong at `now` on the monotonic clock.
    pub(crate) fn complain(
        &mut self,
        device: usize,
        point: Option<usize>,
        error: &PointError,
        now: Duration,
    ) {
        let Some(device) = self.devices.get_mut(device) else { return };
        let fault = error.fault();
        let of_kind = device.standing.range((error.kind(), None)..);
        let mut of_kind = of_kind.take_while(|((kind, _), _)| *kind == error.kind());
        if of_kind.all(|(_, standing)| standing.fault.code != fault.code) {
            device.news.push(fault.clone());
        }
        let until = (error.kind() == Kind::Loss).then(|| now.saturating_add(LOSS_SHOWN));
        device.standing.insert((error.kind(), point), Standing { fault, until });
        device.changed = true;
    }

    /// That is over.
    pub(crate) fn settle(&mut self, device: usize, point: Option<usize>, kind: Kind) {
        let Some(device) = self.devices.get_mut(device) else { return };
        device.changed |= device.standing.remove(&(kind, point)).is_some();
    }

    /// What the observer is to hear by now.
    pub(crate) fn reports(&mut self, now: Duration) -> Vec<Report> {
        let devices = self.devices.iter_mut().enumerate();
        devices.filter_map(|(index, device)| device.report(index, now)).collect()
    }
}

impl Device {
    fn report(&mut self, index: usize, now: Duration) -> Option<Report> {
        let before = self.standing.len();
        self.standing.retain(|_, standing| standing.until.is_none_or(|until| now < until));
        if !std::mem::take(&mut self.changed) && self.standing.len() == before {
            return None;
        }
        let shown = self.standing.values().next().map(|first| {
            let code = first.fault.code;
            let same = self.standing.values().filter(|other| other.fault.code == code).count();
            let message = match same - 1 {
                0 => first.fault.message.clone(),
                1 => format!("{}; and 1 more point", first.fault.message),
                more => format!("{}; and {more} more points", first.fault.message),
            };
            Fault { code, message }
        });
        let mut hidden = std::mem::take(&mut self.news);
        hidden.retain(|fault| shown.as_ref().is_none_or(|shown| shown.code != fault.code));
        let changed = self.shown != shown;
        self.shown.clone_from(&shown);
        let something = changed || !hidden.is_empty();
        something.then_some(Report { device: index, shown, changed, hidden })
    }
}

#[cfg(test)]
mod tests {
    use async_opcua::types::StatusCode;

    use super::*;

    const START: Duration = Duration::ZERO;

    fn refused(metric: &str) -> PointError {
        let status = StatusCode::BadNodeIdUnknown;
        PointError::Refused { metric: metric.to_owned(), node: "i=1".to_owned(), status }
    }

    fn no_history() -> PointError {
        let (metric, node) = ("e".to_owned(), "i=1".to_owned());
        PointError::HistoryFailed { metric, node, status: StatusCode::BadTimeout }
    }

    const LOST: PointError = PointError::ValuesLost { reason: "of a test" };

    fn changed(device: usize, shown: Option<(&PointError, &str)>) -> Report {
        let shown = shown.map(|(error, more)| {
            let Fault { code, message } = error.fault();
            Fault { code, message: message + more }
        });
        Report { device, shown, changed: true, hidden: Vec::new() }
    }

    #[test]
    fn a_refused_point_is_said_once_and_not_hidden_by_the_answers_of_others() {
        let mut complaints = Complaints::new(2);
        complaints.complain(1, Some(7), &refused("a"), START);
        assert_eq!(complaints.reports(START), [changed(1, Some((&refused("a"), "")))]);
        for minute in 1..100 {
            // Asked for again each minute; in between, the server answers.
            complaints.complain(1, Some(7), &refused("a"), Duration::from_mins(minute));
            complaints.settle(1, Some(8), Kind::Refused);
            assert_eq!(complaints.reports(Duration::from_mins(minute)), []);
        }
        complaints.complain(1, Some(9), &refused("b"), START);
        let more = changed(1, Some((&refused("a"), "; and 1 more point")));
        assert_eq!(complaints.reports(START), [more]);
        complaints.settle(1, Some(7), Kind::Refused);
        assert_eq!(complaints.reports(START), [changed(1, Some((&refused("b"), "")))]);
        complaints.settle(1, Some(9), Kind::Refused);
        assert_eq!(complaints.reports(START), [changed(1, None)]);
        assert_eq!(complaints.reports(START), []);
    }

    #[test]
    fn the_worst_is_shown_and_the_others_are_told_once_per_code() {
        let mut complaints = Complaints::new(1);
        complaints.complain(0, Some(7), &refused("a"), START);
        for point in 0..100 {
            complaints.complain(0, Some(point), &no_history(), START);
        }
        let hidden = vec![no_history().fault()];
        let first = Report { hidden, ..changed(0, Some((&refused("a"), ""))) };
        assert_eq!(complaints.reports(START), [first]);
        complaints.settle(0, Some(7), Kind::Refused);
        let next = changed(0, Some((&no_history(), "; and 99 more points")));
        assert_eq!(complaints.reports(START), [next]);
    }

    #[test]
    fn a_loss_is_shown_for_a_while() {
        let mut complaints = Complaints::new(1);
        complaints.complain(0, None, &LOST, START);
        assert_eq!(complaints.reports(START), [changed(0, Some((&LOST, "")))]);
        complaints.complain(0, None, &LOST, Duration::from_secs(1));
        assert_eq!(complaints.reports(LOSS_SHOWN), []);
        assert_eq!(complaints.reports(LOSS_SHOWN + Duration::from_secs(1)), [changed(0, None)]);
    }
}
