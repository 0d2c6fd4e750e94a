//! What the gateway costs: its processor time and memory at 1 000, 10 000 and 100 000 float points at 1 Hz over 10
//! connections, with spool and uplink on. The device is pymodbus, or beyond 20 000 points a [lighter one](light); either
//! counts requests. The broker is Mosquitto; the centre is `nengliu serve`, so commit acks flow and the spool is freed.
//! Only the gateway's process is measured. Must never trust the gateway's own count of requests.
//!
//! ```text
//! cargo build --profile edge -p nengliu-gateway
//! cargo build --release --workspace --bin nengliu
//! cargo bench --profile dev --workspace --bench gateway -- [points...]
//! ```
//!
//! The harness comes from the development build that the tests use; the centre is a release build, which keeps up with
//! 100 000 points; the gateway is the one that is flashed.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

#[path = "gateway/light.rs"]
mod light;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::ModbusServer;
use tests::process::Process;
use tests::programs::profile_folder;

use light::LightServer;

const CONNECTIONS: usize = 10;
/// Most points of one unit: more are several devices behind one connection.
const POINTS_PER_DEVICE_MAX: usize = 1_000;
/// Most points that pymodbus serves at 1 Hz on one core.
const PYMODBUS_POINTS_MAX: usize = 20_000;
const WARM_UP: Duration = Duration::from_secs(15);
const MEASURED: Duration = Duration::from_mins(1);
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// 125 registers fit one answer (MODBUS Application Protocol V1.1b3, §6.3 and §6.4): 62 floats of two registers each.
const FLOATS_PER_REQUEST: usize = 62;
/// Clock ticks of `/proc/<pid>/stat`; Linux shows them to programs as hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;
/// The bits of 230.0 as an f32: a register pair that counts up from here is a float that rises slowly.
const BITS_OF_230: u32 = 0x4366_0000;

fn main() -> Result<()> {
    let binary = built("edge/nengliu-gateway", "cargo build --profile edge -p nengliu-gateway")?;
    let megabytes = number(fs::metadata(&binary)?.len()) / 1e6;
    println!("figure: gateway, binary [MB] = {megabytes:.1}");
    let mut sizes: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 100_000];
    }
    for points in sizes {
        measure(&binary, points).with_context(|| format!("at {points} points"))?;
    }
    Ok(())
}

/// A program of another build than the development build that this harness lies in, and the command that makes it.
fn built(place: &str, command: &str) -> Result<PathBuf> {
    let own = profile_folder()?;
    let target = own.parent().context("cargo's profile folder has a parent")?;
    let path = target.join(place);
    ensure!(path.is_file(), "`{}` is not built; run `{command}`", path.display());
    Ok(path)
}

/// What answers the gateway's requests.
enum Device {
    Pymodbus(ModbusServer),
    Light(LightServer),
}

impl Device {
    fn start(folder: &Path, shape: Shape) -> Result<Self> {
        if shape.points() > PYMODBUS_POINTS_MAX {
            return LightServer::start().map(Self::Light);
        }
        ModbusServer::tcp(folder, &registers(shape)).map(Self::Pymodbus)
    }

    fn tcp_port(&self) -> Result<u16> {
        match self {
            Self::Pymodbus(server) => server.tcp_port(),
            Self::Light(server) => Ok(server.tcp_port()),
        }
    }

    fn requests(&self) -> Result<u64> {
        match self {
            Self::Pymodbus(server) => server.requests(),
            Self::Light(server) => Ok(server.requests()),
        }
    }
}

/// Devices behind each connection, and points of each.
#[derive(Clone, Copy)]
struct Shape {
    devices: usize,
    per_device: usize,
}

impl Shape {
    fn of(points: usize) -> Self {
        let per_connection = points / CONNECTIONS;
        let devices = per_connection.div_ceil(POINTS_PER_DEVICE_MAX);
        Self { devices, per_device: per_connection / devices.max(1) }
    }

    fn points(self) -> usize {
        CONNECTIONS * self.devices * self.per_device
    }
}

/// Runs the whole line for a while and prints the gateway's figures.
fn measure(binary: &Path, points: usize) -> Result<()> {
    let folder = tempfile::tempdir_in(profile_folder()?).context("cannot make a folder")?;
    let folder = folder.path();
    let shape = Shape::of(points);
    let device = Device::start(folder, shape)?;
    let broker = Mosquitto::start(folder)?;
    let _centre = start_centre(folder, &broker.url())?;
    let gateway = start_gateway(binary, folder, shape, device.tcp_port()?, &broker.url())?;
    sleep(WARM_UP);

    let (status_before, requests_before) = (status(binary, folder)?, device.requests()?);
    let (from, cpu_before) = (Instant::now(), Cpu::of(gateway.id())?);
    sleep(MEASURED);
    let (cpu_after, took) = (Cpu::of(gateway.id())?, from.elapsed().as_secs_f64());
    let requests = device.requests()? - requests_before;
    let status_after = status(binary, folder)?;

    let rate = |name: &str| -> Result<f64> {
        let of = |status: &Value| status["spool"][name].as_u64().context("a count");
        Ok(number(of(&status_after)? - of(&status_before)?) / took)
    };
    let cores = (cpu_after.all - cpu_before.all) / took;
    let expected = CONNECTIONS * shape.devices * shape.per_device.div_ceil(FLOATS_PER_REQUEST);
    let figure = |name: &str, value: String| {
        println!("figure: gateway, {points} float points at 1 Hz, {name} = {value}");
    };
    figure("processor [cores]", format!("{cores:.4}"));
    figure("of it in the kernel", format!("{:.4}", (cpu_after.kernel - cpu_before.kernel) / took));
    figure(
        "context switches per second",
        format!("{:.0}", (cpu_after.switches - cpu_before.switches) / took),
    );
    figure("VmRSS [MiB]", format!("{:.1}", memory(gateway.id(), "VmRSS")?));
    figure("VmHWM [MiB]", format!("{:.1}", memory(gateway.id(), "VmHWM")?));
    figure("samples/s on disk", format!("{:.1}", rate("samples_appended")?));
    figure("frames/s with a commit ack", format!("{:.2}", rate("acked")?));
    figure(
        "requests/s counted by the device",
        format!("{:.1} (at one read of each: {expected})", number(requests) / took),
    );
    let waiting = &status_after["uplink"]["frames_waiting"];
    figure("frames without a commit ack at the end", waiting.to_string());
    let lost = &status_after["spool"]["samples_lost"];
    figure("samples lost", lost.to_string());
    figure("cycles begun late, warm-up included", late_cycles(&status_after).to_string());
    ensure!(status_after["uplink"]["connected"] == true, "the uplink broke: {status_after:#}");
    Ok(())
}

/// A cycle begins late when the device had not answered all of the one before.
fn late_cycles(status: &Value) -> u64 {
    let devices = status["devices"].as_object().into_iter().flatten();
    devices.filter_map(|(_, device)| device["late"].as_u64()).sum()
}

/// One unit per connection; each float rises at a pace of its own.
fn registers(shape: Shape) -> Value {
    let entry = |point: usize| {
        let counter =
            json!({ "start": BITS_OF_230, "per_second": 100 + 37 * (point % 50), "words": 2 });
        json!({ "address": 2 * point, "counter": counter })
    };
    let holding: Vec<Value> = (0..shape.per_device).map(entry).collect();
    let unit = |number: usize| json!({ "unit_id": number, "holding": holding.clone() });
    let units = CONNECTIONS * shape.devices;
    json!({ "units": (1..=units).map(unit).collect::<Vec<Value>>() })
}

fn start_centre(folder: &Path, broker: &str) -> Result<Process> {
    let file = folder.join("nengliu.toml");
    fs::write(&file, format!("[lake]\nfolder = \"lake\"\n\n[broker]\nurl = \"{broker}\"\n"))?;
    let binary = built("release/nengliu", "cargo build --release --workspace --bin nengliu")?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("-c").arg(&file);
    let mut centre = Process::start("centre", &command, folder)?;
    centre.wait_until("the centre", STARTS_WITHIN, |p| Ok(p.errors()?.contains("centre runs")))?;
    Ok(centre)
}

/// A gateway with the settings that it has when nothing is said, and one connection per device.
fn start_gateway(
    binary: &Path,
    folder: &Path,
    shape: Shape,
    tcp_port: u16,
    broker: &str,
) -> Result<Process> {
    let profiles = folder.join("profiles/bench");
    fs::create_dir_all(&profiles)?;
    fs::write(profiles.join("floats.toml"), profile(shape.per_device)?)?;
    let mut settings = format!(
        "[gateway]\nid = \"gw-1\"\nsite = \"works/plant\"\nprofile_folders = [\"profiles\"]\n\n\
         [uplink]\nurl = \"{broker}\"\n"
    );
    for number in 0..CONNECTIONS {
        write!(
            settings,
            "\n[[port]]\nid = \"port-{number}\"\nprotocol = \"modbus\"\n\
             address = \"tcp://127.0.0.1:{tcp_port}\"\n"
        )?;
        for unit in (1..).skip(number * shape.devices).take(shape.devices) {
            write!(
                settings,
                "\n[[device]]\nid = \"device-{unit}\"\nport = \"port-{number}\"\n\
                 profile = \"bench/floats\"\nunit = {unit}\npoll = \"1s\"\n"
            )?;
        }
    }
    let file = folder.join("gateway.toml");
    fs::write(&file, settings)?;
    let mut command = Command::new(binary);
    command.arg("run").arg("-c").arg(&file);
    let mut gateway = Process::start("gateway", &command, folder)?;
    gateway
        .wait_until("the gateway", STARTS_WITHIN, |p| Ok(p.errors()?.contains("gateway runs")))?;
    Ok(gateway)
}

fn profile(per_device: usize) -> Result<String> {
    let mut text = "maker = \"Bench\"\nmodel = \"Floats\"\nprotocol = \"modbus\"\n\n\
         [[source]]\nid = \"bench\"\ntitle = \"the registers of this bench\"\n\n\
         [modbus]\naddress_base = 0\narea = \"holding\"\ntype = \"f32\"\norder32 = \"ABCD\"\n"
        .to_owned();
    for point in 0..per_device {
        write!(
            text,
            "\n[[point]]\nmetric = \"u_{point}\"\nunit = \"V\"\nkind = \"gauge\"\n\
             register = {}\nsource = \"bench\"\n",
            2 * point
        )?;
    }
    Ok(text)
}

fn status(binary: &Path, folder: &Path) -> Result<Value> {
    let mut command = Command::new(binary);
    command.args(["status", "--json", "-c"]).arg(folder.join("gateway.toml"));
    let output = command.output().context("cannot ask for the status")?;
    serde_json::from_slice(&output.stdout).context("the status is not JSON")
}

/// Processor time of a process so far, in seconds, and how often its threads were switched.
struct Cpu {
    all: f64,
    kernel: f64,
    switches: f64,
}

impl Cpu {
    /// `proc_pid_stat(5)`: utime and stime are the 14th and 15th field; the name before them may hold blanks.
    fn of(process: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
        let field = |place: usize| -> Result<f64> {
            let word = fields.split_whitespace().nth(place - 3).context("a field is missing")?;
            Ok(word.parse::<f64>()? / TICKS_PER_SECOND)
        };
        let (user, kernel) = (field(14)?, field(15)?);
        Ok(Self { all: user + kernel, kernel, switches: switches(process)? })
    }
}

fn switches(process: u32) -> Result<f64> {
    let mut all = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        let counts = text.lines().filter(|line| line.contains("ctxt_switches"));
        all += counts
            .filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok())
            .sum::<f64>();
    }
    Ok(all)
}

/// A line of `/proc/<pid>/status` in MiB.
fn memory(process: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find(|line| line.starts_with(name)).context("no such line")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, of a few digits")]
fn number(count: u64) -> f64 {
    count as f64
}
