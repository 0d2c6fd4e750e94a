//! A full spool at the edge and a full disk in the centre. Must never fill a disk of the machine itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::ours::gateway::{self, Gateway};
use tests::ours::one_meter::{self, subfolder};
use tests::ours::{query, run};
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::ModbusServer;
use tests::skip::skip;
use tests::wire::Wire;

use super::{SOON, Site, wait_for_frames};
use crate::noisy_meter;

/// Exit code of `nengliu-gateway status` where readings were lost since the start.
const EXIT_LOST: Option<i32> = Some(12);

#[test]
fn a_full_spool_drops_the_oldest_counts_it_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let wire = Wire::to(broker.tcp_port()).unwrap();
    wire.cut();
    let head = gateway::head(&format!("url = \"mqtt://127.0.0.1:{}\"", wire.tcp_port()));
    let head =
        head.replace("16 MiB", "192 KiB").replace("1 MiB", "64 KiB").replace("100ms", "50ms");
    let (server, settings) = noisy_meter::start(folder.path(), &head, "20ms");
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
    let status = gateway.wait_for_held(SOON).unwrap();
    let lost_before_the_end = lost(&status);
    gateway.wait_for_held(SOON).unwrap();
    assert_eq!(gateway.terminate().unwrap().code(), Some(0));
    gateway.start_again().unwrap();
    let status = gateway.wait_for_held(SOON).unwrap();
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
    let asked = server.requests_by_now().unwrap() / 2 * 60;
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

/// brk-09: exit 0 while readings were given up on a full disk.
#[test]
fn a_full_disk_at_the_edge_is_told_as_long_as_the_gateway_lives() {
    let test = "survival::full::a_full_disk_at_the_edge_is_told_as_long_as_the_gateway_lives";
    let folder = tempfile::tempdir().unwrap();
    let spool = subfolder(folder.path(), "spool").unwrap();
    let Some(disk) = SmallDisk::mount(&spool) else {
        return skip(test, "this user may not mount a small file system");
    };
    let broker = Mosquitto::start(folder.path()).unwrap();
    let head = gateway::head(&format!("url = \"{}\"", broker.url()));
    // The disk has room for it, until somebody else takes that.
    let head = head.replace("16 MiB", "3 MiB").replace("= \"1 MiB", "= \"64 KiB");
    let (_server, settings) = noisy_meter::start(folder.path(), &head, "20ms");
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    let reads = |status: &Value| status["points"][0]["durable_source_time_ms"].is_i64();
    gateway.wait_for_status("durable readings", SOON, reads).unwrap();
    disk.fill();
    let lost = |status: &Value| status["spool"]["samples_lost_in_run"].as_u64() > Some(0);
    gateway.wait_for_status("readings that are given up", SOON * 2, lost).unwrap();

    // There is room and a centre again: what was given up is still said.
    disk.free();
    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let told = |status: &Value| status["concerns"].as_array().is_some_and(|all| all.len() == 1);
    let status = gateway.wait_for_status("one concern", SOON, told).unwrap();
    assert_eq!(status["concerns"][0]["kind"], "lost", "{:#}", status["concerns"]);
    let file = gateway.settings_file();
    let told = run("nengliu-gateway", ["status", "-c", file.to_str().unwrap()]).unwrap();
    assert_eq!(told.code, EXIT_LOST, "{told:?}");
    assert!(told.output.contains("were given up"), "{}", told.output);
    gateway.terminate().unwrap();
    drop((gateway, centre, disk));
}
