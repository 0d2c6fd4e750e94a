//! Runs a port from the text of a profile and collects what it emits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use config::{Problems, SourceFile, Spanned, Table};
use driver::{
    DeviceSpec, Emission, Fault, Observer, Plan, PointSpec, PortLink, PortSpec, Protocol,
};
use model::host::Clock;
use model::{PointIndex, Sample, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Modbus;

/// Longest time that a test waits for what it expects.
const DEADLINE: Duration = Duration::from_mins(1);

/// The clocks of this machine; the monotonic one can be put forward.
struct TestClock {
    started: Instant,
    ahead_s: Arc<AtomicU64>,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed() + Duration::from_secs(self.ahead_s.load(Ordering::Relaxed))
    }
}

/// What the observer heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) answered: Mutex<HashMap<String, u32>>,
    pub(crate) faults: Mutex<Vec<(String, Fault)>>,
    pub(crate) parts: Mutex<Vec<(String, Option<Fault>)>>,
}

impl Heard {
    pub(crate) fn codes_of(&self, device: &str) -> Vec<&'static str> {
        let faults = self.faults.lock().unwrap();
        faults.iter().filter(|(of, _)| of == device).map(|(_, fault)| fault.code).collect()
    }

    /// What was said of a device that answers; no code when it gave all its points.
    pub(crate) fn partly_codes_of(&self, device: &str) -> Vec<Option<&'static str>> {
        let code = |fault: &Option<Fault>| fault.as_ref().map(|fault| fault.code);
        let parts = self.parts.lock().unwrap();
        parts.iter().filter(|(of, _)| of == device).map(|(_, fault)| code(fault)).collect()
    }
}

impl Observer for Heard {
    fn answered(&self, device: &str, _latency: Duration) {
        *self.answered.lock().unwrap().entry(device.to_owned()).or_default() += 1;
    }
    fn failed(&self, device: &str, fault: Fault) {
        self.faults.lock().unwrap().push((device.to_owned(), fault));
    }
    fn partly(&self, device: &str, fault: Option<Fault>) {
        self.parts.lock().unwrap().push((device.to_owned(), fault));
    }
    fn late(&self, _device: &str) {}
}

/// A table of one file.
pub(crate) fn table(text: &str) -> Table {
    let mut problems = Problems::default();
    let table = Table::parse(&SourceFile::new("gateway.toml", text), &mut problems);
    assert_eq!(problems, Problems::default());
    table
}

/// A device of a port: id, keys, profile.
pub(crate) struct TestDevice<'a> {
    pub(crate) id: &'a str,
    pub(crate) keys: &'a str,
    pub(crate) profile: &'a str,
    pub(crate) poll: Duration,
}

/// The specification of a port with `devices`; points are numbered through.
pub(crate) fn port_spec(keys: &str, devices: &[TestDevice<'_>]) -> PortSpec {
    let named = |name: &str| Spanned {
        value: name.to_owned(),
        file: SourceFile::new("gateway.toml", name),
        span: 0..name.len(),
    };
    let mut next = 0;
    let device = |device: &TestDevice<'_>| {
        let mut problems = Problems::default();
        let file = SourceFile::new("profile.toml", device.profile);
        let profile = device_profiles::load("test/test", &file, &mut problems);
        let profile = Arc::new(profile.unwrap_or_else(|| panic!("{problems}")));
        let points = profile.points.iter().map(|point| {
            next += 1;
            let poll = point.poll.unwrap_or(device.poll);
            let (index, profile) = (PointIndex(next - 1), point.clone());
            PointSpec { index, profile, poll, history: None }
        });
        let points = points.collect();
        let settings = table(device.keys);
        DeviceSpec { id: named(device.id), settings, profile, points }
    };
    let devices = devices.iter().map(device).collect();
    PortSpec { id: named("port-1"), settings: table(keys), devices }
}

pub(crate) fn planned(spec: PortSpec) -> Plan {
    let mut problems = Problems::default();
    Modbus.plan(spec, &mut problems).unwrap_or_else(|| panic!("{problems}"))
}

/// A running port.
pub(crate) struct Running {
    pub(crate) heard: Arc<Heard>,
    emissions: mpsc::Receiver<Emission>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    ahead_s: Arc<AtomicU64>,
}

impl Running {
    pub(crate) fn start(plan: Plan) -> Self {
        let heard = Arc::new(Heard::default());
        let ahead_s = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let (sender, emissions) = mpsc::channel(driver::EMISSIONS_QUEUED_MAX);
        let link = PortLink {
            stop: stop.clone(),
            clock: Arc::new(TestClock { started: Instant::now(), ahead_s: Arc::clone(&ahead_s) }),
            observer: Arc::clone(&heard) as Arc<dyn Observer>,
            marks: Arc::default(),
            read_back_allowed: watch::channel(true).1,
            explores: false,
            emissions: sender,
        };
        let task = tokio::spawn(plan.port.run(link));
        Self { heard, emissions, stop, task, ahead_s }
    }

    /// Puts the monotonic clock of the port forward, so that nothing has to be waited for.
    pub(crate) fn put_forward(&self, time: Duration) {
        self.ahead_s.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    /// The samples of the next poll.
    pub(crate) async fn next(&mut self) -> Vec<Sample> {
        let emission = tokio::time::timeout(DEADLINE, self.emissions.recv()).await;
        emission.expect("a poll in time").expect("a running port").samples
    }

    /// The samples of the first poll that `wanted` accepts.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&[Sample]) -> bool) -> Vec<Sample> {
        let end = Instant::now() + DEADLINE;
        loop {
            let samples = self.next().await;
            if wanted(&samples) {
                return samples;
            }
            assert!(Instant::now() < end, "not in time; last: {samples:?}");
        }
    }

    /// Stops the port, which must end at once.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(2), self.task).await.expect("in time").unwrap();
    }
}

/// A serial line of this machine and the far end of it.
pub(crate) fn terminal_pair() -> (String, std::fs::File, std::os::fd::OwnedFd) {
    let pair = nix::pty::openpty(None, None).unwrap();
    let mut mode = nix::sys::termios::tcgetattr(&pair.slave).unwrap();
    nix::sys::termios::cfmakeraw(&mut mode);
    nix::sys::termios::tcsetattr(&pair.slave, nix::sys::termios::SetArg::TCSANOW, &mode).unwrap();
    let path = nix::unistd::ttyname(&pair.slave).unwrap();
    (path.display().to_string(), std::fs::File::from(pair.master), pair.slave)
}
