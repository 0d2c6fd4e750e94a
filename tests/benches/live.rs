//! What a subscriber sees of the live topics, and what they cost the centre. Everything between is the product: meters that
//! count, gateways as they are flashed, the centre with its embedded broker; the subscribers are `mosquitto_sub`. Only the
//! centre's process is measured. Must never trust a time that the product gives but the source time.
//!
//! ```text
//! cargo build --profile edge -p nengliu-gateway
//! cargo build --release --workspace --bin nengliu
//! cargo bench --profile dev --workspace --bench live -- [latency] [topics]
//! ```

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

#[path = "gateway/light.rs"]
mod light;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::peers::free_tcp_port;
use tests::process::Process;
use tests::programs::profile_folder;

use light::LightServer;

const STARTS_WITHIN: Duration = Duration::from_mins(1);
const WARM_UP: Duration = Duration::from_secs(15);
const MEASURED: Duration = Duration::from_mins(1);
/// Time for the retained topics to be there: 200 000 at the default budget of 5 000 messages a second, and again as much.
const FILLED_WITHIN: Duration = Duration::from_mins(3);
/// Ports of a gateway.
const PORTS: usize = 10;
/// Clock ticks of `/proc/<pid>/stat`; Linux shows them to programs as hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Gateways, their devices and points, and how often each is read.
struct Plant {
    gateways: usize,
    devices: usize,
    points_per_device: usize,
    poll: &'static str,
}

fn main() -> Result<()> {
    let steps: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |step: &str| steps.is_empty() || steps.iter().any(|wanted| wanted == step);
    if wants("latency") {
        latency().context("latency")?;
    }
    if wants("topics") {
        topics().context("topics")?;
    }
    Ok(())
}

/// Source time to subscriber, of 5 000 points at 1 Hz.
fn latency() -> Result<()> {
    let plant = Plant { gateways: 1, devices: 10, points_per_device: 500, poll: "1s" };
    let folder = tempfile::tempdir_in(profile_folder()?).context("cannot make a folder")?;
    let line = Line::start(folder.path(), &plant)?;
    sleep(WARM_UP);
    let values = line.subscribe("values", "v1/+/+/+/+/+/v/+", &["-F", "%U %p"])?;
    sleep(MEASURED);
    ensure!(line.meters.requests() > 0, "no meter was asked");
    drop(line.gateways);
    let text = values.output()?;
    // Those that were retained say how old they are, not how fast they came.
    let mut seen_ms: Vec<f64> = text.lines().skip(5_000).filter_map(latency_ms).collect();
    ensure!(seen_ms.len() > 100_000, "{} values were seen", seen_ms.len());
    seen_ms.sort_by(f64::total_cmp);
    let rate = count(seen_ms.len()) / MEASURED.as_secs_f64();
    println!("figure: live, 5 000 points at 1 Hz, values/s at a subscriber = {rate:.0}");
    for (name, percent) in [("p50", 50), ("p95", 95), ("p99", 99)] {
        let value = seen_ms[(seen_ms.len() - 1) * percent / 100];
        println!(
            "figure: live, 5 000 points at 1 Hz, source time to subscriber, {name} [ms] = {value:.0}"
        );
    }
    Ok(())
}

/// `1795330800.123456789 {"ts":1795330800100,…}` → 23.4
fn latency_ms(line: &str) -> Option<f64> {
    let (seen, payload) = line.split_once(' ')?;
    let ts = payload.strip_prefix("{\"ts\":")?.split(',').next()?;
    Some(seen.parse::<f64>().ok()? * 1_000.0 - ts.parse::<f64>().ok()?)
}

/// What 200 000 retained topics and 200 subscribers cost.
fn topics() -> Result<()> {
    const SUBSCRIBERS: usize = 200;
    let plant = Plant { gateways: 2, devices: 100, points_per_device: 1_000, poll: "20s" };
    let folder = tempfile::tempdir_in(profile_folder()?).context("cannot make a folder")?;
    let line = Line::start(folder.path(), &plant)?;
    let began = Instant::now();
    while line.topics() < 200_000 {
        ensure!(began.elapsed() < FILLED_WITHIN, "{} topics", line.topics());
        // Until a condition holds, with a deadline: whoever asks more often costs what is measured.
        sleep(Duration::from_secs(1));
    }
    let mut subscribers = Vec::new();
    for number in 0..SUBSCRIBERS {
        let (gateway, device) = (number / plant.devices + 1, number % plant.devices + 1);
        let filter = format!("v1/works/plant-{gateway}/_/_/device-{device}/v/+");
        let name = format!("subscriber-{number}");
        subscribers.push(line.subscribe(&name, &filter, &["-F", "%t"])?);
    }
    sleep(WARM_UP);
    let (from, before) = (Instant::now(), cpu_s(line.centre.id())?);
    sleep(MEASURED);
    let cores = (cpu_s(line.centre.id())? - before) / from.elapsed().as_secs_f64();
    let figure = |name: &str, value: String| {
        println!("figure: live, 200 000 topics and 200 subscribers, {name} = {value}");
    };
    figure("processor of the centre [cores]", format!("{cores:.3}"));
    figure("VmRSS of the centre [MiB]", format!("{:.0}", memory(line.centre.id(), "VmRSS")?));
    figure("VmHWM of the centre [MiB]", format!("{:.0}", memory(line.centre.id(), "VmHWM")?));
    let mut least = usize::MAX;
    for subscriber in &subscribers {
        let text = subscriber.output()?;
        least = least.min(text.lines().collect::<BTreeSet<_>>().len());
    }
    figure("topics that the least of them has of its 1 000", least.to_string());
    Ok(())
}

/// Meters, gateways and the centre, running.
struct Line {
    folder: PathBuf,
    tcp_port: u16,
    centre: Process,
    gateways: Vec<Process>,
    meters: LightServer,
}

impl Line {
    fn start(folder: &Path, plant: &Plant) -> Result<Self> {
        let meters = LightServer::start()?;
        let tcp_port = free_tcp_port()?;
        let centre = start_centre(folder, tcp_port)?;
        let start = |number| start_gateway(folder, plant, number, meters.tcp_port(), tcp_port);
        let gateways = (1..=plant.gateways).map(start).collect::<Result<Vec<Process>>>()?;
        Ok(Self { folder: folder.to_owned(), tcp_port, centre, gateways, meters })
    }

    fn subscribe(&self, name: &str, filter: &str, format: &[&str]) -> Result<Process> {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-V", "mqttv5", "-p", &self.tcp_port.to_string(), "-t", filter]);
        command.args(format);
        Process::start(name, &command, &self.folder)
    }

    /// Topics as the centre counts them; it writes that once a minute.
    fn topics(&self) -> u64 {
        let text =
            fs::read(self.folder.join("lake/_nengliu/ingest-status.json")).unwrap_or_default();
        let status: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        status["live_topics"].as_u64().unwrap_or_default()
    }
}

/// A program of another build than the development build that this harness lies in, and the command that makes it.
fn built(place: &str, command: &str) -> Result<PathBuf> {
    let own = profile_folder()?;
    let target = own.parent().context("cargo's profile folder has a parent")?;
    // A first look at the bench itself does with the development build.
    let given = std::env::var_os("LIVE_BENCH_PROGRAMS").map(PathBuf::from);
    let path = match (given, Path::new(place).file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => target.join(place),
    };
    ensure!(path.is_file(), "`{}` is not built; run `{command}`", path.display());
    Ok(path)
}

fn start_centre(folder: &Path, tcp_port: u16) -> Result<Process> {
    let file = folder.join("nengliu.toml");
    fs::write(&file, format!("[lake]\nfolder = \"lake\"\n\n[broker]\ntcp_port = {tcp_port}\n"))?;
    let binary = built("release/nengliu", "cargo build --release --workspace --bin nengliu")?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("-c").arg(&file);
    let mut centre = Process::start("centre", &command, folder)?;
    centre.wait_until("the centre", STARTS_WITHIN, |p| Ok(p.errors()?.contains("centre runs")))?;
    Ok(centre)
}

/// A gateway with the settings that it has when nothing is said.
fn start_gateway(
    folder: &Path,
    plant: &Plant,
    number: usize,
    meters: u16,
    broker: u16,
) -> Result<Process> {
    let folder = folder.join(format!("gateway-{number}"));
    let profiles = folder.join("profiles/bench");
    fs::create_dir_all(&profiles)?;
    fs::write(profiles.join("floats.toml"), profile(plant.points_per_device)?)?;
    let mut settings = format!(
        "[gateway]\nid = \"gw-{number}\"\nsite = \"works/plant-{number}\"\nprofile_folders = [\"profiles\"]\n\n\
         [uplink]\nurl = \"mqtt://127.0.0.1:{broker}\"\n"
    );
    for port in 0..PORTS {
        write!(
            settings,
            "\n[[port]]\nid = \"port-{port}\"\nprotocol = \"modbus\"\naddress = \"tcp://127.0.0.1:{meters}\"\n"
        )?;
    }
    for unit in 1..=plant.devices {
        write!(
            settings,
            "\n[[device]]\nid = \"device-{unit}\"\nport = \"port-{}\"\nprofile = \"bench/floats\"\n\
             unit = {unit}\npoll = \"{}\"\n",
            unit % PORTS,
            plant.poll
        )?;
    }
    let file = folder.join("gateway.toml");
    fs::write(&file, settings)?;
    let program = built("edge/nengliu-gateway", "cargo build --profile edge -p nengliu-gateway")?;
    let mut command = Command::new(program);
    command.arg("run").arg("-c").arg(&file);
    let mut gateway = Process::start("gateway", &command, &folder)?;
    gateway
        .wait_until("the gateway", STARTS_WITHIN, |p| Ok(p.errors()?.contains("gateway runs")))?;
    Ok(gateway)
}

fn profile(points: usize) -> Result<String> {
    let mut text = "maker = \"Bench\"\nmodel = \"Floats\"\nprotocol = \"modbus\"\n\n\
         [[source]]\nid = \"bench\"\ntitle = \"the registers of this bench\"\n\n\
         [modbus]\naddress_base = 0\narea = \"holding\"\ntype = \"f32\"\norder32 = \"ABCD\"\n"
        .to_owned();
    for point in 0..points {
        write!(
            text,
            "\n[[point]]\nmetric = \"u_{point}\"\nunit = \"V\"\nkind = \"gauge\"\nregister = {}\nsource = \"bench\"\n",
            2 * point
        )?;
    }
    Ok(text)
}

/// Processor time of a process so far. `proc_pid_stat(5)`: utime and stime are the 14th and 15th field; the name before
/// them may hold blanks.
fn cpu_s(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks = times.map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// A line of `/proc/<pid>/status` in MiB.
fn memory(process: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find(|line| line.starts_with(name)).context("no such line")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, of a few digits")]
fn count(number: usize) -> f64 {
    number as f64
}
