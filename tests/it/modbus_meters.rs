//! Modbus meters that are served by pymodbus, read by a planned port: each value against what the server was given. Must
//! never look at frames.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::Problems;
use device_profiles::Library;
use driver::{EMISSIONS_QUEUED_MAX, Fault, Observer, PortLink};
use gateway::Settings;
use model::{Quality, Sample};
use nengliu_gateway::{host, protocols};
use serde_json::json;
use tests::peers::modbus::{BAUD, ModbusServer};
use tests::peers::serial::SerialLine;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

struct Deaf;

impl Observer for Deaf {
    fn answered(&self, _device: &str, _latency: Duration) {}
    fn failed(&self, _device: &str, _fault: Fault) {}
    fn partly(&self, _device: &str, _fault: Option<Fault>) {}
    fn late(&self, _device: &str) {}
}

/// A port with one device of a profile, running.
struct Reading {
    metrics: Vec<String>,
    emissions: mpsc::Receiver<driver::Emission>,
    summary: Vec<String>,
    stop: CancellationToken,
}

impl Reading {
    fn start(folder: &Path, port: &str, device: &str, profile: &str) -> Self {
        let text = format!(
            "[gateway]\nid = \"gw-1\"\nsite = \"acme/nb-1\"\nprofile_folders = [\"profiles\"]\n\
             [uplink]\nurl = \"mqtt://127.0.0.1\"\n\
             [[port]]\nid = \"hall-1\"\nprotocol = \"modbus\"\ntimeout = \"5s\"\n{port}\n\
             [[device]]\nid = \"meter\"\nport = \"hall-1\"\nprofile = \"{profile}\"\nunit = 1\n{device}\n"
        );
        let mut problems = Problems::default();
        let settings = Settings::read(&text, "gateway.toml", folder, &mut problems);
        let id = settings.devices[0].profile.clone();
        let library = Library::new(settings.profile_folders.clone());
        let profile = library.get(&id, &mut problems).unwrap_or_else(|| panic!("{problems}"));
        let plan = gateway::plan(settings, &protocols(), &mut problems);
        let (_, planned) = plan.unwrap_or_else(|| panic!("{problems}")).ports.remove(0);
        let (sender, emissions) = mpsc::channel(EMISSIONS_QUEUED_MAX);
        let stop = CancellationToken::new();
        let link = PortLink {
            stop: stop.clone(),
            clock: host().clock,
            observer: Arc::new(Deaf),
            marks: Arc::new(HashMap::new()),
            read_back_allowed: watch::channel(true).1,
            explores: false,
            emissions: sender,
        };
        tokio::spawn(planned.port.run(link));
        let metrics = profile.points.iter().map(|point| point.metric.clone()).collect();
        Self { metrics, emissions, summary: planned.summary, stop }
    }

    /// The samples of the next poll, by metric.
    async fn next(&mut self) -> BTreeMap<String, Sample> {
        let emission = tokio::time::timeout(SOON, self.emissions.recv()).await;
        let samples = emission.expect("a poll in time").expect("a running port").samples;
        let named = |sample: Sample| {
            (self.metrics[usize::try_from(sample.point.0).unwrap()].clone(), sample)
        };
        samples.into_iter().map(named).collect()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn number(samples: &BTreeMap<String, Sample>, metric: &str) -> f64 {
    let sample = &samples[metric];
    assert!(sample.quality.is_good(), "{metric}: {sample:?}");
    match &sample.value {
        Some(model::Value::Float(value)) => *value,
        Some(model::Value::Decimal(mantissa)) => mantissa.to_string().parse().unwrap(),
        other => panic!("{metric}: {other:?}"),
    }
}

fn words(hex: &str) -> Vec<u16> {
    hex.split_whitespace().map(|word| u16::from_str_radix(word, 16).unwrap()).collect()
}

/// Registers read from a real PM5330 (firmware 2.1.4; public test data of `SolarNetwork`), as on the wire. Wired without a
/// neutral conductor it has no phase voltages, which is what `has_neutral` changes.
fn pm5330(has_neutral: bool) -> serde_json::Value {
    let block = |address: u16, hex: &str| json!({ "address": address, "words": words(hex) });
    let phase_voltages =
        if has_neutral { "438E 86AF 438E F30F 438E CED0" } else { "8000 8000 8000 8000 8000 8000" };
    json!({ "units": [{ "unit_id": 1, "holding": [
        block(2999, "42DB 6B85 42D8 570A 42DC 6B85 8000 8000 0000 0000 42DB 6A20"),
        block(3019, "43F8 0A73 43F6 C5B1 43F6 EA0F 43F7 3E11"),
        block(3027, phase_voltages),
        block(3033, "8000 8000 438E C2DA"),
        block(3053, "41F5 8370 41FB 2E41 41FD AEF4 42BB 9829 BFDE 601E 4008 8510 BFED 2324"),
        block(3067, "BFBA 7921"),
        block(3109, "4270 070C"),
        block(3203, "0000 0000 046E 73EA 0000 0000 0001 6481 0000 0000 046F D86B"),
        block(3219, "0000 0000 0027 90C1 0000 0000 000F F38A"),
    ] }] })
}

/// What the dump's own tests expect of it.
const PM5330: [(&str, f64); 16] = [
    ("i_l1", 109.71),
    ("i_l2", 108.17),
    ("i_l3", 110.21),
    ("u_l1", 285.052),
    ("u_l2", 285.899),
    ("u_l3", 285.616),
    ("p_l1", 30.689),
    ("p_l2", 31.398),
    ("p_l3", 31.710),
    ("p_total", 93.797),
    ("q_total", -1.457),
    ("f", 60.007),
    ("e_import", 74_347_498.0),
    ("e_export", 91_265.0),
    ("er_import", 2_592_961.0),
    ("er_export", 1_045_386.0),
];

/// Trial int-05: of the meter as it was read, and wired without a neutral conductor.
#[tokio::test]
async fn what_a_pm5330_cannot_measure_is_bad_and_the_rest_is_what_it_shows() {
    for has_neutral in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let server = ModbusServer::tcp(folder.path(), &pm5330(has_neutral)).unwrap();
        let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
        let device = "poll = \"100ms\"";
        let mut reading = Reading::start(folder.path(), &port, device, "schneider/pm5300");
        let samples = reading.next().await;
        assert_eq!(samples.len(), PM5330.len());
        for (metric, expected) in PM5330 {
            if metric.starts_with("u_") && !has_neutral {
                let sample = &samples[metric];
                let found = (sample.quality, &sample.value);
                assert_eq!(found, (Quality::BAD_OUT_OF_RANGE, &None), "{metric}");
            } else {
                let found = number(&samples, metric);
                assert!((found - expected).abs() < 0.0005, "{metric}: {found}, not {expected}");
            }
        }
    }
}

/// Power each tenth of a second, the counter each hour; all three ways to reach the meter.
#[tokio::test]
async fn one_meter_of_two_intervals_over_every_kind_of_link() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/acme")).unwrap();
    let profile = "maker = \"Acme\"\nmodel = \"EM-3\"\nprotocol = \"modbus\"\n\
                   [modbus]\narea = \"holding\"\ntype = \"f32\"\n\
                   [[point]]\nmetric = \"p_total\"\nunit = \"kW\"\nkind = \"gauge\"\nunverified = true\nregister = 10\n\
                   [[point]]\nmetric = \"e_import\"\nunit = \"kWh\"\nkind = \"counter\"\nmodulus = \"unknown\"\n\
                   unverified = true\nregister = 20\ntype = \"u32\"\n";
    fs::write(folder.path().join("profiles/acme/em-3.toml"), profile).unwrap();
    let registers = json!({ "units": [{ "unit_id": 1, "holding": [
        { "address": 10, "float": 230.5 },
        { "address": 20, "words": [18, 54919] },
    ] }] });
    let groups = "poll = \"100ms\"\n[[device.group]]\npoints = [\"e_import\"]\npoll = \"1h\"";
    let tcp = |server: &ModbusServer, more: &str| {
        format!("address = \"tcp://127.0.0.1:{}\"\n{more}", server.tcp_port().unwrap())
    };
    let line = SerialLine::start(folder.path()).unwrap();
    let links = ["tcp", "rtu over tcp", "serial"].map(|name| {
        let folder = folder.path().join(name.replace(' ', "-"));
        fs::create_dir_all(&folder).unwrap();
        match name {
            "tcp" => {
                let server = ModbusServer::tcp(&folder, &registers).unwrap();
                (name, tcp(&server, ""), server)
            }
            "serial" => {
                let server = ModbusServer::rtu(&folder, &line, &registers).unwrap();
                let path = line.master_end.display();
                (name, format!("path = \"{path}\"\nbaud = {BAUD}"), server)
            }
            _ => {
                let server = ModbusServer::rtu_over_tcp(&folder, &registers).unwrap();
                (name, tcp(&server, "framing = \"rtu\""), server)
            }
        }
    });
    for (name, port, _server) in &links {
        let mut reading = Reading::start(folder.path(), port, groups, "acme/em-3");
        let expected = ["meter: holding 10..=11 every 100ms", "meter: holding 20..=21 every 1h"];
        assert_eq!(reading.summary, expected, "{name}");
        let mut counters = 0;
        for _ in 0..8 {
            let samples = reading.next().await;
            if samples.contains_key("e_import") {
                counters += 1;
                assert_eq!(number(&samples, "e_import").to_string(), "1234567", "{name}");
                assert_eq!(samples.len(), 1, "{name}");
            } else {
                assert_eq!(number(&samples, "p_total").to_string(), "230.5", "{name}");
            }
        }
        assert_eq!(counters, 1, "{name}");
    }
}
