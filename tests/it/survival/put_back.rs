//! A lake that is new or an old copy, and a spool that is one. Must never put back what is in use.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::ours::gateway::{self, Gateway};
use tests::ours::{one_meter, query};
use tests::peers::broker::Mosquitto;
use tests::wait::wait_until;

use super::{SOON, Site, wait_for_frames};
use crate::noisy_meter;

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
    let broker = Mosquitto::start(folder.path()).unwrap();
    let head = gateway::head(&format!("url = \"{}\"", broker.url())).replace("1 MiB", "64 KiB");
    let (_server, settings) = noisy_meter::start(folder.path(), &head, "20ms");
    let mut centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    let status = gateway.wait_for_held(SOON).unwrap();
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
    gateway.wait_for_held(SOON).unwrap();
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

/// Runs a site, puts back the spool as it was before some frames were committed, and starts it again.
fn with_an_old_spool(frames: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    let (spool, old) = (site.gateway.spool(), folder.path().join("spool.old"));
    site.gateway.wait_until_committed(SOON).unwrap();
    site.gateway.terminate().unwrap();
    copy(&spool, &old);
    site.gateway.start_again().unwrap();
    let far = |status: &Value| number(status, "spool", "acked") > frames;
    let status = site.gateway.wait_for_status("many frames committed", SOON * 4, far).unwrap();
    let log_id = status["spool"]["log_id"].clone();
    site.gateway.terminate().unwrap();
    fs::remove_dir_all(&spool).unwrap();
    fs::rename(&old, &spool).unwrap();

    site.gateway.start_again().unwrap();
    let begun = |status: &Value| status["uplink"]["log_begun"].is_string();
    let status = site.gateway.wait_for_status("a new log", SOON * 2, begun).unwrap();
    let why = status["uplink"]["log_begun"].as_str().unwrap();
    assert!(why.contains("old copy of the spool was put back"), "{why}");
    assert_ne!(status["spool"]["log_id"], log_id);
    assert!(site.gateway.log().unwrap().contains("the log begins again under another name"));
    // All that was asked for is in the lake, what the old log brought and what the new one brings; some of it twice.
    site.gateway.wait_until_committed(SOON).unwrap();
    site.gateway.terminate().unwrap();
    let rows = query::samples(&site.centre.lake()).unwrap();
    let asked = usize::try_from(site.server.requests_by_now().unwrap()).unwrap();
    assert!((rows.len()..=rows.len() + 2).contains(&asked), "{asked} asked, {} there", rows.len());
    // The name of the new log holds over a restart, and nothing is wrong any more.
    site.gateway.start_again().unwrap();
    let again = site.gateway.wait_until_committed(SOON).unwrap();
    assert_eq!(again["spool"]["log_id"], status["spool"]["log_id"]);
    assert!(!again["uplink"]["fault"].is_string() && !begun(&again), "{again:#}");
}

/// Trial brk-01.
#[test]
fn an_old_copy_of_the_spool_begins_a_new_log_by_itself() {
    with_an_old_spool(80);
}

/// The gateway has written as many frames again before anybody can tell it that they are others.
#[test]
fn an_old_copy_of_the_spool_that_is_little_behind_begins_a_new_log_too() {
    with_an_old_spool(12);
}
