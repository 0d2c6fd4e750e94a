//! `nengliu-gateway status` tells the truth and always ends (trials brk-09 and brk-10). Must never take its word for what
//! an exit code can show.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::ours::gateway::{self, Gateway};
use tests::ours::one_meter::{self, counting_registers};
use tests::ours::{Ran, run};
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::ModbusServer;
use tests::skip::skip;
use tests::wait::wait_for;

use crate::noisy_meter;

const SOON: Duration = Duration::from_mins(1);
/// `status` may take so long, whatever the gateway does: its own limit is five seconds.
const STATUS_ENDS_WITHIN: Duration = Duration::from_secs(12);

const EXIT_NO_ACK: Option<i32> = Some(8);
const EXIT_DISK: Option<i32> = Some(11);
const EXIT_NO_ANSWER: Option<i32> = Some(14);

fn status(gateway: &Gateway) -> Ran {
    let file = gateway.settings_file();
    let asked = Instant::now();
    let ran = run("nengliu-gateway", ["status", "-c", file.to_str().unwrap()]).unwrap();
    assert!(asked.elapsed() < STATUS_ENDS_WITHIN, "status took {:?}", asked.elapsed());
    ran
}

/// Waits until `status` ends with this code.
fn wait_for_code(gateway: &Gateway, code: Option<i32>) -> Ran {
    let what = format!("exit code {code:?} of `status`");
    wait_for(&what, SOON, || Ok(Some(status(gateway)).filter(|ran| ran.code == code))).unwrap()
}

/// brk-09: it was exit 0 with a broker and no centre; twenty readers held it up; and it never ended.
#[test]
fn a_broker_without_a_centre_is_not_healthy_and_a_gateway_that_hangs_does_not_hang_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let server = ModbusServer::tcp(folder.path(), &counting_registers()).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink = format!("url = \"{}\"", broker.url());
    let settings = one_meter::modbus_settings(folder.path(), &port, &uplink).unwrap();
    let gateway = Gateway::start(folder.path(), &settings).unwrap();

    let told = wait_for_code(&gateway, EXIT_NO_ACK);
    assert!(told.output.contains("no commit ack for") && told.output.starts_with('◐'), "{told:?}");

    let socket = gateway.spool().join("status.sock");
    let idle: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let asked = Instant::now();
    assert_eq!(status(&gateway).code, EXIT_NO_ACK);
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    drop(idle);

    let id = Pid::from_raw(i32::try_from(gateway.id()).unwrap());
    kill(id, Signal::SIGSTOP).unwrap();
    let told = status(&gateway);
    kill(id, Signal::SIGCONT).unwrap();
    assert_eq!(told.code, EXIT_NO_ANSWER, "{told:?}");
    assert!(told.errors.contains("does not answer"), "{}", told.errors);
}

/// An ext4 file system in a file, which can be made read-only under a running program, as the kernel does after a fault.
struct FailingDisk {
    image: PathBuf,
    at: PathBuf,
    device: String,
}

impl FailingDisk {
    /// `None` where this user may not mount, or the tools are not there.
    fn mount(folder: &Path) -> Option<Self> {
        let (image, at) = (folder.join("image"), folder.join("disk"));
        std::fs::create_dir(&at).ok()?;
        let text = |path: &Path| path.to_str().map(str::to_owned);
        let image_text = text(&image)?;
        output("truncate", &["-s", "40M", &image_text])?;
        output("mkfs.ext4", &["-q", "-F", &image_text])?;
        let device = output("losetup", &["-f", "--show", &image_text])?.trim().to_owned();
        let disk = Self { image, at, device };
        disk.mount_again()?;
        Some(disk)
    }

    fn mount_again(&self) -> Option<()> {
        output("mount", &[&self.device, self.at.to_str()?]).map(drop)
    }

    /// From now on nothing can be written.
    fn fail(&self) {
        output("mount", &["-o", "remount,abort", self.at.to_str().unwrap()]).unwrap();
    }

    /// Repairs it; nothing may be open on it.
    fn repair(&self) {
        output("umount", &[self.at.to_str().unwrap()]).unwrap();
        // Exit code 1: errors were found and corrected.
        Command::new("fsck.ext4").args(["-y", &self.device]).output().unwrap();
        self.mount_again().unwrap();
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        output("umount", &["--lazy", self.at.to_str().unwrap_or_default()]);
        output("losetup", &["-d", &self.device]);
        std::fs::remove_file(&self.image).ok();
    }
}

/// The output of a command that succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(arguments).env("PATH", path).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// brk-10: exit 0 while readings were refused on a read-only file system.
#[test]
fn a_read_only_spool_is_told_at_once_at_the_end_and_to_the_centre() {
    let test = "health::a_read_only_spool_is_told_at_once_at_the_end_and_to_the_centre";
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = FailingDisk::mount(folder.path()) else {
        return skip(test, "this user may not mount an ext4 file system");
    };
    let broker = Mosquitto::start(folder.path()).unwrap();
    std::os::unix::fs::symlink(&disk.at, folder.path().join("spool")).unwrap();
    let head = gateway::head(&format!("url = \"{}\"", broker.url()));
    let head = head.replace("1 MiB", "64 KiB").replace("16 MiB", "8 MiB");
    let (_server, settings) = noisy_meter::start(folder.path(), &head, "20ms");
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    let reads = |status: &Value| status["points"][0]["durable_source_time_ms"].is_i64();
    gateway.wait_for_status("durable readings", SOON, reads).unwrap();
    disk.fail();
    let refused = |status: &Value| status["spool"]["samples_refused"].as_u64().unwrap_or_default();
    let told =
        gateway.wait_for_status("refused readings", SOON, |status| refused(status) > 0).unwrap();
    assert!(told["spool"]["samples_refused_unrecorded"].as_u64() > Some(0), "{:#}", told["spool"]);
    let kinds: Vec<&str> =
        told["concerns"].as_array().unwrap().iter().filter_map(|c| c["kind"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"spool"), Some(&"lost")), "{kinds:?}");
    assert_eq!(status(&gateway).code, EXIT_DISK);
    assert_eq!(gateway.terminate().unwrap().code(), EXIT_DISK);
    let log = gateway.log().unwrap();
    assert!(log.contains("GW-S001") && log.contains("were refused before"), "{log}");
    // On a file system that is still read-only no gateway starts, and says why.
    let file = gateway.settings_file();
    let second = run("nengliu-gateway", ["run", "-c", file.to_str().unwrap()]).unwrap();
    assert_eq!(second.code, EXIT_DISK, "{second:?}");
    disk.repair();
    gateway.start_again().unwrap();
    let told = gateway.wait_for_status("durable readings", SOON, reads).unwrap();
    let skipped = told["spool"]["destinations"][0]["frames_skipped"].as_u64();
    assert!(skipped > Some(0), "the spool remembers that readings are missing: {told:#}");
    let mut centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    gateway.wait_for_held(SOON).unwrap();
    gateway.terminate().unwrap();
    centre.terminate().unwrap();
    let log = centre.log().unwrap();
    assert!(log.contains("an unknown number of readings of a gateway is lost"), "{log}");
    let told = std::fs::read(centre.lake().join("_nengliu/ingest-status.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["counters"]["losses_unknown"], 1, "{told:#}");
    drop(gateway);
}
