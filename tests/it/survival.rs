//! What a site does to a gateway and its centre: cut networks, full disks, two of a kind, files of another version, bad
//! devices. Must never wait for a time to pass instead of a condition.

mod full;
mod put_back;
mod refused;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::fake_clock::FakeClock;
use tests::ours::centre::Centre;
use tests::ours::gateway::Gateway;
use tests::ours::one_meter::{self, counting_registers};
use tests::ours::query;
use tests::ours::run;
use tests::peers::broker::Mosquitto;
use tests::peers::free_tcp_port;
use tests::peers::modbus::ModbusServer;
use tests::skip::long_runs;
use tests::wait::wait_until;
use tests::wire::Wire;

const SOON: Duration = Duration::from_secs(30);

/// A counting meter, its gateway, a broker and the centre; the broker can be out of reach of the gateway.
struct Site {
    server: ModbusServer,
    gateway: Gateway,
    centre: Centre,
    to_gateway: Wire,
    /// A broker that is not the centre's own, and the way from it to the centre.
    broker: Option<(Mosquitto, Wire)>,
}

impl Site {
    /// With Mosquitto.
    fn start(folder: &Path) -> Self {
        Self::start_by(folder, None)
    }

    /// With Mosquitto; the gateway lives by a clock of its own.
    fn start_by(folder: &Path, clock: Option<FakeClock>) -> Self {
        let broker = Mosquitto::start(folder).unwrap();
        let to_centre = Wire::to(broker.tcp_port()).unwrap();
        let url = format!("mqtt://127.0.0.1:{}", to_centre.tcp_port());
        let centre = one_meter::centre(folder, &url).unwrap();
        let to_gateway = Wire::to(broker.tcp_port()).unwrap();
        Self::with(folder, centre, to_gateway, Some((broker, to_centre)), clock)
    }

    /// With the centre's own broker.
    fn start_embedded(folder: &Path) -> Self {
        let tcp_port = free_tcp_port().unwrap();
        let centre = Centre::start(folder, &format!("tcp_port = {tcp_port}")).unwrap();
        Self::with(folder, centre, Wire::to(tcp_port).unwrap(), None, None)
    }

    fn with(
        folder: &Path,
        centre: Centre,
        to_gateway: Wire,
        broker: Option<(Mosquitto, Wire)>,
        clock: Option<FakeClock>,
    ) -> Self {
        let server = ModbusServer::tcp(folder, &counting_registers()).unwrap();
        let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
        let uplink = format!("url = \"mqtt://127.0.0.1:{}\"", to_gateway.tcp_port());
        let settings = one_meter::modbus_settings(folder, &port, &uplink).unwrap();
        let gateway = Gateway::start_by(folder, &settings, clock).unwrap();
        Self { server, gateway, centre, to_gateway, broker }
    }

    /// Waits for the last commit ack, ends the gateway, and compares what is in the lake with what the meter was asked.
    fn check_nothing_is_lost(&mut self) {
        self.gateway.wait_until_committed(SOON).unwrap();
        self.gateway.terminate().unwrap();
        self.check_all_is_committed();
    }

    /// Each request that the meter saw is a sample in the lake.
    fn check_all_is_committed(&self) {
        let rows = query::all_rows(&self.centre.lake()).unwrap();
        let good = rows.iter().filter(|row| row.quality == "Good").count();
        let asked = usize::try_from(self.server.requests_by_now().unwrap()).unwrap();
        // A request without an answer in time is a Bad sample. The last may have been under way at the end.
        assert!(
            (good..=rows.len() + 1).contains(&asked),
            "{asked} requests, {good} Good of {} samples in the lake",
            rows.len()
        );
    }
}

/// Waits until the gateway holds this many more frames than it did.
fn wait_for_frames(gateway: &mut Gateway, more: u64) -> Value {
    let frames = |status: &Value| status["uplink"]["frames_waiting"].as_u64().unwrap();
    let wanted = frames(&gateway.status().unwrap()) + more;
    let what = format!("{wanted} frames that wait for a commit ack");
    gateway.wait_for_status(&what, SOON * 10, |status| frames(status) >= wanted).unwrap()
}

#[test]
fn a_cut_network_loses_nothing_on_either_side_of_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    site.gateway.wait_until_committed(SOON).unwrap();
    // A frame takes 100 ms at least.
    let frames = if long_runs() { 1_200 } else { 40 };

    site.to_gateway.cut();
    let status = wait_for_frames(&mut site.gateway, frames);
    assert_eq!(status["uplink"]["connected"], false);
    assert!(status["uplink"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    site.to_gateway.mend();
    site.gateway.wait_until_committed(SOON).unwrap();

    let (_, to_centre) = site.broker.as_ref().unwrap();
    to_centre.cut();
    let status = wait_for_frames(&mut site.gateway, frames);
    assert_eq!(status["uplink"]["connected"], true);
    to_centre.mend();
    site.check_nothing_is_lost();
}

#[test]
fn a_broker_that_was_never_there_is_named_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = || free_tcp_port().unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", nobody());
    let uplink = format!("url = \"mqtt://127.0.0.1:{}\"", nobody());
    let settings = one_meter::modbus_settings(folder.path(), &port, &uplink).unwrap();
    let gateway = Gateway::start(folder.path(), &settings).unwrap();
    wait_until("the uplink in the log", SOON, || {
        let log = gateway.log()?;
        Ok(log.lines().any(|line| line.contains("uplink not connected") && line.contains("reason")))
    })
    .unwrap();
}

#[test]
fn sigterm_ends_gateway_and_centre_within_five_seconds_with_everything_kept() {
    let folder = tempfile::tempdir().unwrap();
    check_sigterm(Site::start(folder.path()));
}

/// Its sessions are in memory only and end with it.
#[test]
fn sigterm_ends_a_centre_with_its_own_broker_within_five_seconds_with_everything_kept() {
    let folder = tempfile::tempdir().unwrap();
    check_sigterm(Site::start_embedded(folder.path()));
}

fn check_sigterm(mut site: Site) {
    site.gateway.wait_until_committed(SOON).unwrap();
    wait_for_frames(&mut site.gateway, 1);
    let started = Instant::now();
    assert_eq!(site.centre.terminate().unwrap().code(), Some(0));
    eprintln!("centre ended after {:?}", started.elapsed());
    // Without a centre the gateway keeps what it reads, and ends as quickly.
    wait_for_frames(&mut site.gateway, 5);
    let started = Instant::now();
    assert_eq!(site.gateway.terminate().unwrap().code(), Some(0));
    eprintln!("gateway ended after {:?}", started.elapsed());

    site.centre.start_again().unwrap();
    site.gateway.start_again().unwrap();
    site.gateway.wait_until_committed(SOON).unwrap();
    wait_for_frames(&mut site.gateway, 1);
    // With a centre everything that was read is committed when the gateway ends, without waiting for another start.
    assert_eq!(site.gateway.terminate().unwrap().code(), Some(0));
    site.check_all_is_committed();
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = FakeClock::new(folder.path()).unwrap();
    let mut site = Site::start_by(folder.path(), Some(clock.clone()));
    // Two days back, far ahead, and right again; then as much is read and committed as before.
    for offset_s in [0, -172_800, 86_400, 0] {
        clock.jump_to(offset_s).unwrap();
        let asked = site.server.requests().unwrap();
        let watermark = |status: &Value| status["spool"]["acked"].as_u64().unwrap();
        let before = watermark(&site.gateway.status().unwrap());
        let started = Instant::now();
        let goes_on = |status: &Value| watermark(status) >= before + 10;
        site.gateway.wait_for_status("ten frames committed", SOON, goes_on).unwrap();
        wait_until("twenty requests", SOON, || Ok(site.server.requests()? >= asked + 20)).unwrap();
        eprintln!("clock wrong by {offset_s} s: went on in {:?}", started.elapsed());
    }
    site.check_nothing_is_lost();
    // The samples say by which clock they were read.
    let samples = query::samples(&site.centre.lake()).unwrap();
    let times: Vec<i64> = samples.iter().map(|sample| sample.time_us().unwrap()).collect();
    let span_s = (times.last().unwrap() - times[0]) / 1_000_000;
    assert!((259_000..260_000).contains(&span_s), "from first to last {span_s} s");
}

#[test]
fn bad_devices_do_not_slow_down_a_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let mut registers = counting_registers();
    let other = json!({ "unit_id": 2, "holding": [{ "address": 0, "words": [1, 2] }] });
    registers["units"].as_array_mut().unwrap().push(other);
    let server = ModbusServer::tcp(folder.path(), &registers).unwrap();
    // It takes every connection and never says a word.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let nobody = free_tcp_port().unwrap();
    let good = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink = format!("url = \"{}\"", broker.url());
    let settings = one_meter::modbus_settings(folder.path(), &good, &uplink).unwrap();
    // A profile with a wrong address: its unit answers with an exception, on the good one's own port.
    let profile = fs::read_to_string(folder.path().join("profiles/test/meter.toml")).unwrap();
    let wrong = profile.replace("register = 0", "register = 4000");
    Gateway::write_profile(folder.path(), "test/wrong", &wrong).unwrap();
    let device = |id: &str, port: &str, profile: &str, unit: u8| {
        format!(
            "\n[[device]]\nid = \"{id}\"\nport = \"{port}\"\nprofile = \"test/{profile}\"\nunit = {unit}\npoll = \"50ms\"\n"
        )
    };
    let port = |id: &str, tcp_port: u16| {
        format!(
            "\n[[port]]\nid = \"{id}\"\nprotocol = \"modbus\"\naddress = \"tcp://127.0.0.1:{tcp_port}\"\ntimeout = \"1s\"\n"
        )
    };
    let settings = settings
        + &port("silent", silent_port)
        + &port("nobody", nobody)
        + &device("mute", "silent", "meter", 1)
        + &device("gone", "nobody", "meter", 1)
        + &device("misread", "line", "wrong", 2);
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    let told = |status: &Value| {
        let answers = |device: &str| status["devices"][device]["answering"].as_bool();
        ["meter", "mute", "gone"].map(answers) == [Some(true), Some(false), Some(false)]
            && status["points"][3]["quality"].as_str().is_some_and(|quality| quality != "Good")
    };
    let status = gateway.wait_for_status("all faults in the status", SOON, told).unwrap();
    for device in ["mute", "gone"] {
        let message = &status["devices"][device]["message"];
        assert!(message.as_str().is_some_and(|text| !text.is_empty()), "{status:#}");
    }
    // The good one is asked every 50 ms, whatever the others do.
    let answered = |status: &Value| status["devices"]["meter"]["answered"].as_u64().unwrap();
    let (first, started) = (answered(&status), Instant::now());
    let mut last = first;
    wait_until("five seconds of the good meter", SOON, || {
        last = answered(&gateway.status()?);
        Ok(last - first >= 100)
    })
    .unwrap();
    let rate = f64::from(u32::try_from(last - first).unwrap()) / started.elapsed().as_secs_f64();
    eprintln!("the good meter answered {rate:.1} times a second beside a silent one");
    assert!(rate > 14.0, "{rate:.1} answers a second, expected 20");

    let file = gateway.settings_file();
    let told = run("nengliu-gateway", ["status", "-c", file.to_str().unwrap(), "--json"]).unwrap();
    assert_eq!(told.code, Some(7), "{told:?}");
    let told: Value = serde_json::from_str(&told.output).unwrap();
    assert_eq!(told["devices"]["mute"]["answering"], false);
}
