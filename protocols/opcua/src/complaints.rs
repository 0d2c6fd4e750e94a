//! What is wrong with single points while their server answers: what still holds, what is shown of it per device, and
//! what is news.

use std::collections::BTreeMap;
use std::time::Duration;

use driver::Fault;

use crate::error::PointError;

/// How long a loss, or a late change, is shown after it happened; everything else is shown until it is over.
const LOSS_SHOWN: Duration = Duration::from_mins(10);
/// How long it is shown that a subscription does not tell each change, after the last one that it did not tell.
const DEADBAND_SHOWN: Duration = Duration::from_hours(2);
/// How long a wrong value is shown after a right one came: some variables change their type from value to value.
const TYPE_SHOWN: Duration = Duration::from_mins(1);
/// Complaints about a device that are shown at once, so that they fit on a line or two; more are counted.
const SHOWN_MAX: usize = 3;
/// Points that the log names with one code, until no point of the device has it any more.
const NAMED_MAX: usize = 50;

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
    /// It says something else, or nothing, when it is asked.
    Unconfirmed,
    /// Its subscription does not tell each change.
    Deadband,
    /// A change came late.
    Late,
    /// The server keeps fewer values than it samples between two notifications.
    Queue,
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
    /// How many points the log named with each code.
    named: BTreeMap<&'static str, usize>,
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
    /// New complaints that the observer does not come to tell of, each point once; of many points of one code some.
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
        let before = device.standing.get(&(error.kind(), point));
        if before.is_none_or(|before| before.fault.code != fault.code) {
            device.name(&fault);
        }
        let shown_for = match error.kind() {
            Kind::Loss | Kind::Late => Some(LOSS_SHOWN),
            Kind::Deadband => Some(DEADBAND_SHOWN),
            _ => None,
        };
        let until = shown_for.map(|shown_for| now.saturating_add(shown_for));
        device.standing.insert((error.kind(), point), Standing { fault, until });
        device.changed = true;
    }

    /// That is over.
    pub(crate) fn settle(
        &mut self,
        device: usize,
        point: Option<usize>,
        kind: Kind,
        now: Duration,
    ) {
        let Some(device) = self.devices.get_mut(device) else { return };
        match device.standing.get_mut(&(kind, point)) {
            None => {}
            Some(standing) if kind == Kind::Type => {
                standing.until.get_or_insert(now.saturating_add(TYPE_SHOWN));
            }
            // Some servers say the one and the other by turns.
            Some(standing) if kind == Kind::Unconfirmed => {
                standing.until.get_or_insert(now.saturating_add(LOSS_SHOWN));
            }
            Some(_) => {
                device.standing.remove(&(kind, point));
                device.changed = true;
            }
        }
    }

    /// What the observer is to hear by now.
    pub(crate) fn reports(&mut self, now: Duration) -> Vec<Report> {
        let devices = self.devices.iter_mut().enumerate();
        devices.filter_map(|(index, device)| device.report(index, now)).collect()
    }
}

impl Device {
    /// Notes for the log that a point has this fault.
    fn name(&mut self, fault: &Fault) {
        let named = self.named.entry(fault.code).or_default();
        *named += 1;
        if *named <= NAMED_MAX {
            self.news.push(fault.clone());
        } else if *named == NAMED_MAX + 1 {
            let message = format!(
                "{}; further points with this code are not named here, the status counts them",
                fault.message
            );
            self.news.push(Fault::new(fault.code, message));
        }
    }

    /// The worst complaint, then one of each other code, then more of them.
    fn to_shown(&self) -> Option<Fault> {
        let first = &self.standing.values().next()?.fault;
        let (mut codes, mut of_codes, mut more) = (vec![first.code], Vec::new(), Vec::new());
        for standing in self.standing.values().skip(1) {
            let fault = &standing.fault;
            if !codes.contains(&fault.code) {
                codes.push(fault.code);
                of_codes.push(fault);
            } else if more.len() < SHOWN_MAX {
                more.push(fault);
            }
        }
        let others: Vec<&Fault> = of_codes.into_iter().chain(more).take(SHOWN_MAX - 1).collect();
        let also = |other: &&Fault| {
            let code = if other.code == first.code { "" } else { other.code };
            let colon = if code.is_empty() { "" } else { ": " };
            format!("; also {code}{colon}{}", other.message)
        };
        let also: String = others.iter().map(also).collect();
        let rest = match self.standing.len() - 1 - others.len() {
            0 => String::new(),
            1 => "; and 1 more point".to_owned(),
            more => format!("; and {more} more points"),
        };
        let message = format!("{}{also}{rest}", first.message);
        Some(Fault::new(first.code, message))
    }

    fn report(&mut self, index: usize, now: Duration) -> Option<Report> {
        let before = self.standing.len();
        self.standing.retain(|_, standing| standing.until.is_none_or(|until| now < until));
        if !std::mem::take(&mut self.changed) && self.standing.len() == before {
            return None;
        }
        let shown = self.to_shown();
        let mut hidden = std::mem::take(&mut self.news);
        // The observer tells of another code, with the message that is shown then.
        let code = |fault: &Option<Fault>| fault.as_ref().map(|fault| fault.code);
        if let Some(told) = shown.as_ref().filter(|_| code(&shown) != code(&self.shown)) {
            hidden.retain(|fault| !told.message.contains(&*fault.message));
        }
        let standing = &self.standing;
        let stands = |code: &str| standing.values().any(|standing| standing.fault.code == code);
        self.named.retain(|code, _| stands(code));
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
            Fault::new(code, message.to_string() + more)
        });
        Report { device, shown, changed: true, hidden: Vec::new() }
    }

    fn also(error: &PointError) -> String {
        format!("; also {error}")
    }

    #[test]
    fn a_refused_point_is_said_once_and_not_hidden_by_the_answers_of_others() {
        let mut complaints = Complaints::new(2);
        complaints.complain(1, Some(7), &refused("a"), START);
        assert_eq!(complaints.reports(START), [changed(1, Some((&refused("a"), "")))]);
        for minute in 1..100 {
            // Asked for again each minute; in between, the server answers.
            complaints.complain(1, Some(7), &refused("a"), Duration::from_mins(minute));
            complaints.settle(1, Some(8), Kind::Refused, START);
            assert_eq!(complaints.reports(Duration::from_mins(minute)), []);
        }
        complaints.complain(1, Some(9), &refused("b"), START);
        // The log hears of it too, for the code is the one that it knows.
        let more = changed(1, Some((&refused("a"), &also(&refused("b")))));
        let more = Report { hidden: vec![refused("b").fault()], ..more };
        assert_eq!(complaints.reports(START), [more]);
        complaints.settle(1, Some(7), Kind::Refused, START);
        assert_eq!(complaints.reports(START), [changed(1, Some((&refused("b"), "")))]);
        complaints.settle(1, Some(9), Kind::Refused, START);
        assert_eq!(complaints.reports(START), [changed(1, None)]);
        assert_eq!(complaints.reports(START), []);
    }

    /// Each of several kinds of wrong points has its reason in the log and in what is shown.
    #[test]
    fn the_worst_is_shown_first_and_each_point_is_named_once() {
        let mismatch = |metric: &str| PointError::Mismatch {
            metric: metric.to_owned(),
            node: "i=1".to_owned(),
            expected: "an integer".to_owned(),
            found: "a String".to_owned(),
        };
        let mut complaints = Complaints::new(1);
        complaints.complain(0, Some(5), &mismatch("e"), START);
        complaints.complain(0, Some(6), &mismatch("f"), START);
        complaints.complain(0, Some(7), &refused("a"), START);
        let other = |error: &PointError| format!("; also {}: {error}", error.fault().code);
        let all = other(&mismatch("e")) + &other(&mismatch("f"));
        // The observer logs what is shown, so that nothing is left to be named.
        assert_eq!(complaints.reports(START), [changed(0, Some((&refused("a"), &all)))]);
        // It comes and goes from value to value: shown all the time, and named once.
        for second in 1..200 {
            let now = Duration::from_secs(second);
            complaints.settle(0, Some(5), Kind::Type, now);
            assert_eq!(complaints.reports(now), []);
            complaints.complain(0, Some(5), &mismatch("e"), now);
            assert_eq!(complaints.reports(now), []);
        }
        complaints.settle(0, Some(5), Kind::Type, START);
        let over = changed(0, Some((&refused("a"), &other(&mismatch("f")))));
        assert_eq!(complaints.reports(TYPE_SHOWN), [over]);
    }

    #[test]
    fn of_very_many_points_some_are_named_and_all_are_counted() {
        let points = NAMED_MAX * 3;
        let mut complaints = Complaints::new(1);
        for point in 0..points {
            complaints.complain(0, Some(point), &refused(&format!("p{point:03}")), START);
        }
        let reports = complaints.reports(START);
        let [Report { shown: Some(shown), hidden, .. }] = reports.as_slice() else {
            panic!("{reports:?}")
        };
        assert_eq!(shown.message.matches("; also ").count(), SHOWN_MAX - 1);
        assert!(shown.message.ends_with(&format!("; and {} more points", points - SHOWN_MAX)));
        assert_eq!(hidden.len(), NAMED_MAX - SHOWN_MAX + 1);
        assert!(hidden.last().is_some_and(|last| last.message.contains("further points")));
        // All over: the next ones are named again.
        for point in 0..points {
            complaints.settle(0, Some(point), Kind::Refused, START);
        }
        assert_eq!(complaints.reports(START), [changed(0, None)]);
        complaints.complain(0, Some(1), &no_history(), START);
        assert_eq!(complaints.reports(START), [changed(0, Some((&no_history(), "")))]);
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
