//! Runs a port from the text of a profile and collects what it hands over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use config::{Problems, SourceFile, Spanned, Table};
use driver::{
    DeviceSpec, Emission, Fault, HistoryFrom, Observer, PointSpec, PortLink, PortSpec, Protocol,
};
use model::host::Clock;
use model::{PointIndex, Sample, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::OpcUa;

/// Longest time that a test waits for what it expects.
const DEADLINE: Duration = Duration::from_mins(4);

/// The clocks of this machine; the one on the wall can be put forward.
pub(super) struct TestClock {
    started: Instant,
    ahead_micros: AtomicI64,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Timestamp(micros + self.ahead_micros.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What the observer heard.
#[derive(Debug, Default)]
struct Heard {
    faults: Mutex<Vec<(String, Fault)>>,
    parts: Mutex<HashMap<String, Option<Fault>>>,
    all_parts: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn answered(&self, _: &str, _: Duration) {}
    fn failed(&self, device: &str, fault: Fault) {
        self.faults.lock().unwrap().push((device.to_owned(), fault));
    }
    fn partly(&self, device: &str, fault: Option<Fault>) {
        self.all_parts
            .lock()
            .unwrap()
            .extend(fault.as_ref().map(|fault| fault.message.to_string()));
        self.parts.lock().unwrap().insert(device.to_owned(), fault);
    }
    fn late(&self, _: &str) {}
}

/// A port that runs.
pub(super) struct Rig {
    pub(super) clock: Arc<TestClock>,
    heard: Arc<Heard>,
    samples: Arc<Mutex<Vec<Sample>>>,
    metrics: Vec<String>,
    stop: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A table of one file.
fn table(text: &str) -> Table {
    let mut problems = Problems::default();
    let table = Table::parse(&SourceFile::new("gateway.toml", text), &mut problems);
    assert_eq!(problems, Problems::default());
    table
}

/// A `[[point]]` of a profile: its metric, which is also the name of its node, and further keys.
pub(super) fn point(metric: &str, keys: &str) -> String {
    format!(
        "[[point]]\nmetric = \"{metric}\"\nunit = \"1\"\nkind = \"state\"\nunverified = true\n\
         node = \"s={metric}\"\n{keys}\n"
    )
}

impl Rig {
    /// Runs a port at `url` without security, with short intervals and one device `d`.
    pub(super) fn start(url: &str, keys: &str, device: &str, points: &str) -> Self {
        let settings = format!(
            "url = \"{url}\"\nsecurity = \"none\"\npublish_interval = \"100ms\"\n\
             backoff_min = \"50ms\"\nbackoff_max = \"300ms\"\n{keys}\n{}",
            if keys.contains("keep_alive") { "" } else { "keep_alive = \"1s\"\n" },
        );
        let profile = format!("maker = \"T\"\nmodel = \"T\"\nprotocol = \"opcua\"\n{points}");
        let file = SourceFile::new("profile.toml", &profile);
        let mut problems = Problems::default();
        let profile = device_profiles::load("t/t", &file, &mut problems).expect("a profile");
        let mut keys = format!("namespace = \"urn:nengliu:tests\"\n{device}");
        let history = keys.contains("history = true");
        keys = keys.replace("history = true", "");
        let points: Vec<PointSpec> = profile
            .points
            .iter()
            .zip(0..)
            .map(|(point, index)| PointSpec {
                index: PointIndex(index),
                profile: point.clone(),
                poll: point.poll.unwrap_or(Duration::from_millis(100)),
                history: history.then_some(HistoryFrom::All),
            })
            .collect();
        let metrics = points.iter().map(|point| point.profile.metric.clone()).collect();
        let named = |text: &str| {
            let file = SourceFile::new("gateway.toml", text);
            Spanned { value: text.to_owned(), file, span: 0..0 }
        };
        let spec = PortSpec {
            id: named("p"),
            settings: table(&settings),
            devices: vec![DeviceSpec {
                id: named("d"),
                settings: table(&keys),
                profile: Arc::new(profile),
                points,
            }],
        };
        let plan = OpcUa.plan(spec, &mut problems);
        let plan = plan.unwrap_or_else(|| panic!("{problems}"));
        let (emissions, taken) = mpsc::channel(64);
        let (clock, heard) = (
            Arc::new(TestClock { started: Instant::now(), ahead_micros: AtomicI64::new(0) }),
            Arc::new(Heard::default()),
        );
        let stop = CancellationToken::new();
        let (allowed, read_back_allowed) = watch::channel(true);
        let link = PortLink {
            stop: stop.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            observer: Arc::clone(&heard) as Arc<dyn Observer>,
            marks: Arc::default(),
            read_back_allowed,
            explores: false,
            emissions,
        };
        let samples = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(collect(taken, Arc::clone(&samples), allowed));
        tokio::spawn(plan.port.run(link));
        Self { clock, heard, samples, metrics, stop }
    }

    /// The samples of a point so far.
    pub(super) fn samples(&self, metric: &str) -> Vec<Sample> {
        let index = self.metrics.iter().position(|known| known == metric).expect("a point");
        let index = PointIndex(u32::try_from(index).expect("few points"));
        let samples = self.samples.lock().unwrap();
        samples.iter().filter(|sample| sample.point == index).cloned().collect()
    }

    /// Puts the clock on the wall forward.
    pub(super) fn put_forward(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).expect("a short time");
        self.clock.ahead_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What is shown of the device while it answers.
    pub(super) fn shown(&self) -> Option<Fault> {
        self.heard.parts.lock().unwrap().get("d").cloned().flatten()
    }

    /// Everything that was ever shown of it while it answered.
    pub(super) fn ever_shown(&self) -> Vec<String> {
        self.heard.all_parts.lock().unwrap().clone()
    }

    /// Why it did not answer, each time.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.heard.faults.lock().unwrap().iter().map(|(_, fault)| fault.clone()).collect()
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !is(self) {
            if started.elapsed() > DEADLINE {
                let samples = self.samples.lock().unwrap();
                let last = samples.iter().rev().take(10).collect::<Vec<_>>();
                let (faults, shown) = (self.faults(), self.shown());
                panic!("waited in vain for {what}: {faults:?} {shown:?} {last:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn collect(
    mut taken: mpsc::Receiver<Emission>,
    samples: Arc<Mutex<Vec<Sample>>>,
    _allowed: watch::Sender<bool>,
) {
    while let Some(emission) = taken.recv().await {
        samples.lock().unwrap().extend(emission.samples);
    }
}
