//! What a site does to a gateway and its centre: cut networks, full disks, two of a kind, files of another version, bad
//! devices. Must never wait for a time to pass instead of a condition.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::fake_clock::FakeClock;
use tests::ours::centre::Centre;
use tests::ours::gateway::{self, Gateway};
use tests::ours::one_meter::{self, counting_registers, subfolder};
use tests::ours::query;
use tests::ours::run;
use tests::peers::broker::Mosquitto;
use tests::peers::free_tcp_port;
use tests::peers::modbus::ModbusServer;
use tests::skip::{long_runs, skip};
use tests::wait::wait_until;
use tests::wire::Wire;

const SOON: Duration = Duration::from_secs(30);
/// Exit code of a program that may not have what another one holds, or must not touch it.
const EXIT_ACCESS: Option<i32> = Some(6);

/// A counting meter, its gateway, Mosquitto and the centre; the broker can be out of reach of either side.
struct Site {
    server: ModbusServer,
    gateway: Gateway,
    centre: Centre,
    to_gateway: Wire,
    to_centre: Wire,
    _broker: Mosquitto,
}

impl Site {
    fn start(folder: &Path) -> Self {
        Self::start_by(folder, None)
    }

    /// The gateway lives by a clock of its own.
    fn start_by(folder: &Path, clock: Option<FakeClock>) -> Self {
        let broker = Mosquitto::start(folder).unwrap();
        let to_gateway = Wire::to(broker.tcp_port()).unwrap();
        let to_centre = Wire::to(broker.tcp_port()).unwrap();
        let url = |wire: &Wire| format!("mqtt://127.0.0.1:{}", wire.tcp_port());
        let centre = one_meter::centre(folder, &url(&to_centre)).unwrap();
        let server = ModbusServer::tcp(folder, &counting_registers()).unwrap();
        let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
        let uplink = format!("url = \"{}\"", url(&to_gateway));
        let settings = one_meter::modbus_settings(folder, &port, &uplink).unwrap();
        let gateway = Gateway::start_by(folder, &settings, clock).unwrap();
        Self { server, gateway, centre, to_gateway, to_centre, _broker: broker }
    }

    /// Ends the gateway, and compares what is in the lake with what the meter was asked for.
    fn check_nothing_is_lost(&mut self) {
        self.gateway.wait_until_committed(SOON).unwrap();
        self.gateway.terminate().unwrap();
        let rows = query::all_rows(&self.centre.lake()).unwrap();
        let good = rows.iter().filter(|row| row.quality == "Good").count();
        let asked = usize::try_from(self.server.requests().unwrap()).unwrap();
        // The last request may have been under way when the gateway stopped.
        assert!(
            asked - good <= 1,
            "{asked} requests, {good} of {} samples in the lake",
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

    site.to_centre.cut();
    let status = wait_for_frames(&mut site.gateway, frames);
    assert_eq!(status["uplink"]["connected"], true);
    site.to_centre.mend();
    site.check_nothing_is_lost();
}

#[test]
fn sigterm_ends_gateway_and_centre_within_five_seconds_with_everything_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
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
    let asked = site.server.requests().unwrap();
    assert_eq!(site.gateway.terminate().unwrap().code(), Some(0));
    // With a centre everything that was read is committed when the gateway ends, without waiting for another start.
    let rows = query::all_rows(&site.centre.lake()).unwrap();
    let good = u64::try_from(rows.iter().filter(|row| row.quality == "Good").count()).unwrap();
    assert!(good + 2 >= asked, "{asked} requests before SIGTERM, {good} samples in the lake");
}

/// Meters enough to fill a spool of three segments of 64 KiB in seconds: noise in every register.
fn noisy_registers() -> (String, Value) {
    let mut points = String::new();
    let mut entries = Vec::new();
    for index in 0..60_u64 {
        let (register, rate) = (index * 4, 1_000_000_007_000_000 + index * 7_919_000_033);
        entries.push(json!({ "address": register,
            "counter": { "start": 0, "per_second": rate, "words": 4 } }));
        points += &format!(
            "[[point]]\nmetric = \"count_{index}\"\nunit = \"kWh\"\nkind = \"counter\"\nmodulus = \"unknown\"\n\
             register = {register}\ntype = \"i64\"\nsource = \"test\"\n\n"
        );
    }
    let profile = format!(
        "maker = \"Test\"\nmodel = \"Noise\"\nprotocol = \"modbus\"\n\n\
         [[source]]\nid = \"test\"\ntitle = \"the server of this test\"\n\n\
         [modbus]\naddress_base = 0\narea = \"holding\"\n\n{points}"
    );
    (profile, json!({ "units": [{ "unit_id": 1, "holding": entries }] }))
}

#[test]
fn a_full_spool_drops_the_oldest_counts_it_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (profile, registers) = noisy_registers();
    let server = ModbusServer::tcp(folder.path(), &registers).unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let wire = Wire::to(broker.tcp_port()).unwrap();
    wire.cut();
    Gateway::write_profile(folder.path(), "test/noise", &profile).unwrap();
    let head = gateway::head(&format!("url = \"mqtt://127.0.0.1:{}\"", wire.tcp_port()));
    let head =
        head.replace("16 MiB", "192 KiB").replace("1 MiB", "64 KiB").replace("100ms", "50ms");
    let settings = format!(
        "{head}\n\
         [[port]]\nid = \"line\"\nprotocol = \"modbus\"\naddress = \"tcp://127.0.0.1:{}\"\n\n\
         [[device]]\nid = \"noise\"\nport = \"line\"\nprofile = \"test/noise\"\nunit = 1\npoll = \"20ms\"\n",
        server.tcp_port().unwrap()
    );
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    let lost = |status: &Value| status["spool"]["samples_lost"].as_u64().unwrap();
    let status = gateway.wait_for_status("a loss", SOON * 4, |status| lost(status) > 0).unwrap();
    let spool = &status["spool"];
    assert!(spool["bytes"].as_u64() <= spool["quota_bytes"].as_u64(), "{spool:#}");
    assert!(spool["oldest"].as_u64() > Some(1), "{spool:#}");
    // People are told, too.
    let file = gateway.settings_file();
    let told = run("nengliu-gateway", ["status", "-c", file.to_str().unwrap()]).unwrap();
    assert!(told.output.contains("lost"), "{}", told.output);
    assert_eq!(told.code, Some(5), "the uplink is not connected");

    // A loss is no reason to stop: the rest arrives, and the watermark passes what is gone.
    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    wire.mend();
    let status = gateway.wait_until_committed(SOON).unwrap();
    let lost_before_the_end = lost(&status);
    gateway.wait_until_committed(SOON).unwrap();
    assert_eq!(gateway.terminate().unwrap().code(), Some(0));
    gateway.start_again().unwrap();
    let status = gateway.wait_until_committed(SOON).unwrap();
    assert_eq!(lost(&status), lost_before_the_end, "a loss is counted for the life of the spool");
    gateway.terminate().unwrap();
    check_losses(&centre.lake(), &server, lost_before_the_end);
}

/// Samples are in the lake, or counted as lost; each point has lost the oldest.
fn check_losses(lake: &Path, server: &ModbusServer, lost: u64) {
    let rows = query::all_rows(lake).unwrap();
    let mut by_point: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.quality == "Good") {
        *by_point.entry(&row.point).or_default() += 1;
    }
    assert_eq!(by_point.len(), 60);
    // 60 points of four registers are asked for in two requests of at most 125 registers.
    let asked = server.requests().unwrap() / 2 * 60;
    let there: u64 = by_point.values().sum();
    assert!(
        (asked.saturating_sub(240)..=asked + 60).contains(&(there + lost)),
        "{there} samples in the lake and {lost} lost, of about {asked}"
    );
}

/// A file system of a few megabytes, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=4m", "nengliu-test"]).arg(at);
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }

    /// Takes all that is free.
    fn fill(&self) {
        let mut size = 4 << 20;
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while size > 0 {
            if std::io::Write::write_all(&mut file, &vec![1; size]).is_err() {
                size /= 2;
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_in_the_centre_withholds_acks_and_the_gateway_keeps() {
    let test = "survival::a_full_disk_in_the_centre_withholds_acks_and_the_gateway_keeps";
    let folder = tempfile::tempdir().unwrap();
    let lake = subfolder(folder.path(), "lake").unwrap();
    let Some(disk) = SmallDisk::mount(&lake) else {
        return skip(test, "this user may not mount a small file system");
    };
    let mut site = Site::start(folder.path());
    site.gateway.wait_until_committed(SOON).unwrap();
    disk.fill();
    // From some moment on nothing is committed any more, and frames only gather.
    let status = wait_for_frames(&mut site.gateway, 30);
    let acked = status["spool"]["acked"].as_u64();
    let status = wait_for_frames(&mut site.gateway, 20);
    assert_eq!(status["spool"]["acked"].as_u64(), acked, "an ack without a commit");
    let log = site.centre.log().unwrap();
    assert!(log.contains("acks are withheld"), "{log}");
    let rows = query::all_rows(&site.centre.lake()).unwrap().len();
    disk.free();
    site.gateway.wait_until_committed(SOON).unwrap();
    assert!(query::all_rows(&site.centre.lake()).unwrap().len() > rows);
    site.check_nothing_is_lost();
    drop(site);
}

#[test]
fn a_second_gateway_on_one_spool_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    let file = site.gateway.settings_file();
    let second = run("nengliu-gateway", ["run", "-c", file.to_str().unwrap()]).unwrap();
    assert_eq!(second.code, EXIT_ACCESS, "{second:?}");
    assert!(second.errors.contains(&site.gateway.id().to_string()), "{}", second.errors);
    site.check_nothing_is_lost();
}

#[test]
fn a_second_centre_on_one_lake_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    let file = site.centre.settings_file();
    let second = run("nengliu", ["serve", "-c", file.to_str().unwrap()]).unwrap();
    assert_eq!(second.code, EXIT_ACCESS, "{second:?}");
    assert!(second.errors.contains(&site.centre.id().to_string()), "{}", second.errors);
    site.check_nothing_is_lost();
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
        let acked = |status: &Value| status["spool"]["acked"].as_u64().unwrap();
        let before = acked(&site.gateway.status().unwrap());
        let started = Instant::now();
        let goes_on = |status: &Value| acked(status) >= before + 10;
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

/// Every file below a folder with its bytes, but for lock files and sockets.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
        if kind.is_dir() {
            files.extend(contents(&path));
        } else if kind.is_file() && !path.ends_with("lock") {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn files_of_another_version_are_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    wait_for_frames(&mut site.gateway, 1);
    site.gateway.wait_until_committed(SOON).unwrap();
    site.gateway.terminate().unwrap();
    site.centre.terminate().unwrap();

    // A spool segment of version 99: both copies of its header say so.
    let spool = site.gateway.spool();
    let mut segments = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.find(|path| path.extension().is_some_and(|ext| ext == "seg")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    for copy in [0, 512] {
        bytes[copy + 8..copy + 12].copy_from_slice(&99_u32.to_le_bytes());
    }
    fs::write(&segment, bytes).unwrap();
    let before = contents(&spool);
    let file = site.gateway.settings_file();
    let refused = run("nengliu-gateway", ["run", "-c", file.to_str().unwrap()]).unwrap();
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    assert!(refused.errors.contains("99"), "{}", refused.errors);
    assert_eq!(contents(&spool), before);

    // A lake of layout `99`.
    let lake = site.centre.lake();
    let log = lake.join("_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&log).unwrap();
    let other = text.replace("\"nengliu.layout\":\"1\"", "\"nengliu.layout\":\"99\"");
    assert_ne!(text, other);
    fs::write(&log, other).unwrap();
    let before = contents(&lake);
    let centre = site.centre.settings_file();
    let query = ["query", "--lake", lake.to_str().unwrap()];
    for arguments in [["serve", "-c", centre.to_str().unwrap()], query] {
        let refused = run("nengliu", arguments).unwrap();
        assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
        assert!(refused.errors.contains("layout `99`"), "{}", refused.errors);
    }
    assert_eq!(contents(&lake), before);
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
    let states = |status: &Value| {
        ["meter", "mute", "gone", "misread"]
            .map(|device| status["devices"][device]["answering"].as_bool())
    };
    let told = |status: &Value| {
        let [meter, mute, gone, _] = states(status);
        [meter, mute, gone] == [Some(true), Some(false), Some(false)]
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
