//! A lake that is new or an old copy, and a spool that is one. Must never put back what is in use.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::ours::gateway::{self, Gateway};
use tests::ours::{one_meter, query};
use tests::peers::broker::Mosquitto;
use tests::peers::modbus::ModbusServer;
use tests::wait::wait_until;

use super::full::noisy_registers;
use super::{SOON, Site, wait_for_frames};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (to.join(entry.file_name()), entry.file_type().unwrap());
        if kind.is_dir() {
            copy(&entry.path(), &path);
        } else if kind.is_file() {
            fs::copy(entry.path(), path).unwrap();
        }
    }
}

fn number(status: &Value, section: &str, key: &str) -> u64 {
    status[section][key].as_u64().unwrap()
}

/// Waits until the lake has as many samples as were asked for when the wait began.
fn wait_for_all(site: &mut Site) {
    let asked = usize::try_from(site.server.requests_by_now().unwrap()).unwrap();
    wait_until("everything in the lake", SOON * 2, || {
        Ok(query::all_rows(&site.centre.lake())?.len() >= asked)
    })
    .unwrap();
}

#[test]
fn a_lake_that_is_new_or_an_old_copy_gets_all_that_the_gateway_still_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    let (lake, old) = (site.centre.lake(), folder.path().join("lake.old"));
    site.gateway.wait_until_committed(SOON).unwrap();
    site.centre.terminate().unwrap();
    copy(&lake, &old);
    site.centre.start_again().unwrap();
    let more = |status: &Value| number(status, "spool", "acked") > 20;
    site.gateway.wait_for_status("frames that the copy lacks", SOON, more).unwrap();
    wait_for_all(&mut site);

    // One segment holds it all, since a segment is given back as a whole.
    let status = site.gateway.status().unwrap();
    assert_eq!(number(&status, "spool", "oldest"), 1, "{status:#}");
    assert!(number(&status, "spool", "acked") > 10, "{status:#}");
    for put_back in [None, Some(&old)] {
        site.centre.terminate().unwrap();
        fs::remove_dir_all(&lake).unwrap();
        if let Some(old) = put_back {
            fs::rename(old, &lake).unwrap();
        }
        site.centre.start_again().unwrap();
        wait_for_all(&mut site);
    }
    site.check_nothing_is_lost();
}

#[test]
fn an_old_lake_counts_what_the_gateway_no_longer_holds_and_gets_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (profile, registers) = noisy_registers();
    let server = ModbusServer::tcp(folder.path(), &registers).unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    Gateway::write_profile(folder.path(), "test/noise", &profile).unwrap();
    let head = gateway::head(&format!("url = \"{}\"", broker.url())).replace("1 MiB", "64 KiB");
    let settings = format!(
        "{head}\n\
         [[port]]\nid = \"line\"\nprotocol = \"modbus\"\naddress = \"tcp://127.0.0.1:{}\"\n\n\
         [[device]]\nid = \"noise\"\nport = \"line\"\nprofile = \"test/noise\"\nunit = 1\npoll = \"20ms\"\n",
        server.tcp_port().unwrap()
    );
    let mut centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    let status = gateway.wait_until_committed(SOON).unwrap();
    let early = number(&status, "spool", "acked");
    centre.terminate().unwrap();
    let (lake, old) = (centre.lake(), folder.path().join("lake.old"));
    copy(&lake, &old);
    centre.start_again().unwrap();
    let gone = |status: &Value| number(status, "spool", "oldest") > early + 50;
    gateway.wait_for_status("segments that are given back", SOON * 2, gone).unwrap();

    centre.terminate().unwrap();
    wait_for_frames(&mut gateway, 3);
    fs::remove_dir_all(&lake).unwrap();
    fs::rename(&old, &lake).unwrap();
    centre.start_again().unwrap();
    // More than the gateway held at any moment since: the rest follows what was passed.
    gateway.wait_until_committed(SOON).unwrap();
    let log = centre.log().unwrap();
    assert!(log.contains("frames are gone and no loss record names them"), "{log}");
    let status = gateway.status().unwrap();
    let held = number(&status, "spool", "oldest")..=number(&status, "spool", "acked");
    gateway.terminate().unwrap();
    let rows = query::all_rows(&lake).unwrap();
    let there: std::collections::BTreeSet<u64> =
        rows.iter().filter_map(|row| row.from.map(|(_, sequence)| sequence)).collect();
    // Few frames are records without samples: start, dictionary, and those at the start of a segment.
    let missing = held.clone().filter(|sequence| !there.contains(sequence)).count();
    assert!(missing < 12, "{missing} of the frames {held:?} are missing");
}

#[test]
fn an_old_copy_of_the_spool_stops_the_uplink_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    let (spool, old) = (site.gateway.spool(), folder.path().join("spool.old"));
    site.gateway.wait_until_committed(SOON).unwrap();
    site.gateway.terminate().unwrap();
    copy(&spool, &old);
    site.gateway.start_again().unwrap();
    let far = |status: &Value| number(status, "spool", "acked") > 80;
    let status = site.gateway.wait_for_status("many frames committed", SOON * 4, far).unwrap();
    let committed = number(&status, "spool", "acked");
    site.gateway.terminate().unwrap();
    site.centre.terminate().unwrap();
    fs::remove_dir_all(&spool).unwrap();
    fs::rename(&old, &spool).unwrap();

    site.gateway.start_again().unwrap();
    site.centre.start_again().unwrap();
    let halted = |status: &Value| status["uplink"]["fault"].is_string();
    let status = site.gateway.wait_for_status("a fault of the uplink", SOON, halted).unwrap();
    let fault = status["uplink"]["fault"].as_str().unwrap();
    assert!(fault.contains("move") && fault.contains("start again"), "{fault}");
    assert!(site.gateway.log().unwrap().contains("uplink halted"));
    // It gets as far as the centre is, and frees nothing for it; a restart does not forget.
    site.gateway.terminate().unwrap();
    site.gateway.start_again().unwrap();
    let passed = |status: &Value| number(status, "spool", "durable") > committed + 20;
    let status = site.gateway.wait_for_status("as many frames again", SOON * 4, passed).unwrap();
    assert!(halted(&status), "{status:#}");
    assert!(number(&status, "spool", "acked") < 80, "{status:#}");

    site.gateway.terminate().unwrap();
    fs::rename(&spool, folder.path().join("spool.aside")).unwrap();
    site.gateway.start_again().unwrap();
    let believed = |status: &Value| number(status, "spool", "acked") > 0;
    let status = site.gateway.wait_for_status("a commit ack", SOON, believed).unwrap();
    assert!(!halted(&status), "{status:#}");
}
