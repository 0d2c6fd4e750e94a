//! What stops no centre: frames that it cannot read, and a table that is put back or swapped under it. Each is named, what
//! is gone is counted, and the gateway goes on. The peers that judge are the spool's own frames and the rows of `query`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use model::{RecordType, Sequence, Timestamp};
use serde_json::Value;
use spool::{DestinationIndex, Draft, Spool, SpoolConfig, StoredFrame};
use tests::ours::centre::Centre;
use tests::ours::gateway::Gateway;
use tests::ours::query::{Sample, all_rows};
use tests::ours::{Ran, one_meter, run};
use tests::peers::free_tcp_port;
use tests::peers::modbus::ModbusServer;
use tests::wait::wait_until;

const SOON: Duration = Duration::from_mins(1);
const EXIT_CONFIG: Option<i32> = Some(3);
/// A version of the codec that no program knows.
const CODEC_VERSION_UNKNOWN: u8 = 99;
/// Acks that are waited for where there must be some more.
const SOME: u64 = 10;

/// A site with one meter that counts by itself; the gateway runs, a centre does not.
struct Site {
    root: tempfile::TempDir,
    broker: String,
    _server: ModbusServer,
    gateway: Gateway,
}

impl Site {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let tcp_port = free_tcp_port().unwrap();
        let server = ModbusServer::tcp(root.path(), &one_meter::counting_registers()).unwrap();
        let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
        let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
        let settings = one_meter::modbus_settings(root.path(), &port, &uplink).unwrap();
        let gateway = Gateway::start(root.path(), &settings).unwrap();
        Self { root, broker: format!("tcp_port = {tcp_port}"), _server: server, gateway }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn centre(&self) -> Centre {
        Centre::start(self.path(), &self.broker).unwrap()
    }

    /// Waits until so many more frames are durable here.
    fn wait_for_frames(&mut self, more: u64) {
        let durable = |status: &Value| status["spool"]["durable"].as_u64().unwrap();
        let wanted = durable(&self.gateway.status().unwrap()) + more;
        self.gateway.wait_for_status("frames", SOON, |status| durable(status) >= wanted).unwrap();
    }

    /// Waits until so many more frames have a commit ack; returns how far they have it then.
    fn wait_for_acks(&mut self, more: u64) -> u64 {
        let acked = |status: &Value| status["spool"]["acked"].as_u64().unwrap();
        let wanted = acked(&self.gateway.status().unwrap()) + more;
        acked(
            &self.gateway.wait_for_status("acks", SOON, |status| acked(status) >= wanted).unwrap(),
        )
    }

    /// The spool of the gateway, which must not run.
    fn spool(&self) -> Spool {
        let config = SpoolConfig {
            segment_bytes: 1 << 20,
            ..SpoolConfig::new(self.gateway.spool(), 16 << 20)
        };
        Spool::open_dir(config, &*nengliu_gateway::host().entropy).unwrap().0
    }

    /// Ends the gateway, then the centre; gives all frames that the spool still holds (it frees whole segments only), how
    /// far they have a commit ack, and what the centre says of itself.
    fn end(&mut self, centre: &mut Centre) -> (Vec<StoredFrame>, Sequence, Value) {
        self.gateway.terminate().unwrap();
        centre.terminate().unwrap();
        let mut spool = self.spool();
        let to = DestinationIndex(0);
        let frames = spool.read_from(to, Sequence(1), usize::MAX).unwrap();
        let acked = spool.acked(to);
        spool.close().unwrap();
        let told = fs::read(centre.lake().join("_nengliu/ingest-status.json")).unwrap();
        (frames, acked, serde_json::from_slice(&told).unwrap())
    }
}

/// Rows by the sequence of their frame.
fn by_sequence(rows: &[Sample]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.from.unwrap().1).or_default() += 1;
    }
    counts
}

/// The samples of each DATA frame up to `acked`.
fn samples(frames: &[StoredFrame], acked: Sequence) -> BTreeMap<u64, usize> {
    let held = frames
        .iter()
        .map(|frame| &frame.header)
        .filter(|header| header.record_type == RecordType::Data && header.sequence <= acked);
    held.map(|header| (header.sequence.0, usize::try_from(header.samples).unwrap())).collect()
}

/// What a gateway of a later version, or a faulty one, may have left in its spool: a frame of an unknown version, one that
/// is cut inside, and a dictionary that is none. Each is whole as a frame. Returns sequences, samples and bodies.
fn plant_unreadable(spool: &mut Spool) -> BTreeMap<u64, (u32, Vec<u8>)> {
    let frames = spool.read_from(DestinationIndex(0), Sequence(1), usize::MAX).unwrap();
    let good = frames.iter().rfind(|frame| frame.header.record_type == RecordType::Data).unwrap();
    let mut newer = good.body().to_vec();
    newer[0] = CODEC_VERSION_UNKNOWN;
    let cut = good.body()[..40].to_vec();
    let drafts = [
        (RecordType::Data, good.header.samples, newer),
        (RecordType::Data, good.header.samples, cut),
        (RecordType::Dictionary, 0, b"no dictionary".to_vec()),
    ];
    let planted = drafts.into_iter().map(|(record_type, samples, body)| {
        let (ts_min, ts_max) = (good.header.ts_min, good.header.ts_max);
        let draft = Draft { record_type, samples, ts_min, ts_max, body: body.clone() };
        (spool.append(draft).unwrap().0, (samples, body))
    });
    let planted = planted.collect();
    spool.commit().unwrap();
    planted
}

fn quarantine(centre: &Centre, arguments: &[&str]) -> Ran {
    let lake = centre.lake();
    let head = ["quarantine", "--lake", lake.to_str().unwrap()];
    run("nengliu", head.into_iter().chain(arguments.iter().copied())).unwrap()
}

fn listed(centre: &Centre) -> Vec<Value> {
    let ran = quarantine(centre, &["list", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.output).unwrap()
}

#[test]
fn frames_that_cannot_be_read_are_named_counted_and_passed_by_a_running_centre() {
    let mut site = Site::start();
    site.wait_for_frames(SOME);
    site.gateway.terminate().unwrap();
    let mut spool = site.spool();
    let planted = plant_unreadable(&mut spool);
    spool.close().unwrap();
    site.gateway.start_again().unwrap();
    site.wait_for_frames(SOME);

    let mut centre = site.centre();
    assert!(listed(&centre).is_empty());
    let empty = quarantine(&centre, &["list"]);
    assert_eq!((empty.code, empty.output.as_str()), (Some(0), ""), "{empty:?}");
    assert!(empty.errors.contains("no frames in quarantine"), "{empty:?}");
    site.gateway.wait_for_held(SOON).unwrap();

    // The centre and the gateway go on while a person looks at what is there.
    let list = listed(&centre);
    let sequences: BTreeSet<u64> =
        list.iter().map(|frame| frame["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, planted.keys().copied().collect(), "{list:#?}");
    let words = quarantine(&centre, &["list"]);
    assert_eq!(words.output.lines().count(), planted.len(), "{words:?}");
    for frame in &list {
        check_frame(&centre, frame, &planted[&frame["sequence"].as_u64().unwrap()]);
    }
    assert!(listed(&centre).is_empty());
    site.wait_for_acks(SOME);

    let (frames, acked, told) = site.end(&mut centre);
    let mut expected = samples(&frames, acked);
    let (before, after) =
        (*planted.first_key_value().unwrap().0, *planted.last_key_value().unwrap().0);
    expected.retain(|sequence, _| !planted.contains_key(sequence));
    assert!(expected.keys().any(|one| *one < before) && expected.keys().any(|one| *one > after));
    assert_eq!(by_sequence(&all_rows(&centre.lake()).unwrap()), expected);
    let lost: u32 = planted.values().map(|(samples, _)| samples).sum();
    assert_eq!(told["counters"]["frames_quarantined"], planted.len(), "{told:#}");
    assert_eq!(told["logs"][0]["lost_frames"], planted.len(), "{told:#}");
    assert_eq!(told["logs"][0]["lost_samples"], lost, "{told:#}");
    let log = centre.log().unwrap();
    let said = log.matches("frame cannot be read, is in quarantine and counts as lost").count();
    assert!(said > 0, "{log}");

    let none = run("nengliu", ["quarantine", "--lake", "no-such-lake", "list"]).unwrap();
    assert_eq!(none.code, EXIT_CONFIG, "{none:?}");
    assert!(none.errors.contains("EN-L001"), "{none:?}");
}

/// Shows one frame in all forms, drops it, and finds it gone.
fn check_frame(centre: &Centre, frame: &Value, (samples, body): &(u32, Vec<u8>)) {
    let name = frame["name"].as_str().unwrap();
    assert_eq!(frame["gateway"], "gw-1");
    assert_eq!(frame["samples"], *samples);
    assert!(!frame["reason"].as_str().unwrap().is_empty());
    let output = centre.lake().with_file_name("one.frame");
    let shown = quarantine(centre, &["show", name, "--json", "-o", output.to_str().unwrap()]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let shown: Value = serde_json::from_str(&shown.output).unwrap();
    assert_eq!(shown["name"], name);
    assert_eq!(shown["reason"], frame["reason"]);
    let bytes = fs::read(&output).unwrap();
    assert_eq!(shown["bytes"], bytes.len());
    assert_eq!(model::frame::decode_frame(&bytes).unwrap().body, *body);
    // The settings name the lake as well as `--lake` does.
    let settings = centre.settings_file();
    let by_settings = ["quarantine", "-c", settings.to_str().unwrap(), "show", name];
    let words = run("nengliu", by_settings).unwrap();
    assert!(words.code == Some(0) && words.output.contains("--output FILE"), "{words:?}");

    assert_eq!(quarantine(centre, &["drop", name]).code, Some(0));
    for gone in ["show", "drop"] {
        let ran = quarantine(centre, &[gone, name]);
        assert_eq!(ran.code, EXIT_CONFIG, "{ran:?}");
        assert!(ran.errors.contains("EN-Q001") && ran.errors.contains(name), "{ran:?}");
    }
}

/// A copy as a backup makes it.
fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Waits until the centre has said that the table is not the one that it wrote, and that it asks for what is missing.
fn wait_until_noticed(centre: &Centre) {
    wait_until("the table to be noticed", SOON, || {
        let log = centre.log()?;
        Ok(log.contains("the table changed under its writer") && log.contains("store went back"))
    })
    .unwrap();
}

/// Every sample with an ack is in the lake, or was in the one that is gone and is counted. `earlier` are frames that the
/// gateway may have freed since. Returns how many frames with samples are gone, and how many the centre counts.
fn account(
    site: &mut Site,
    centre: &mut Centre,
    gone: &Path,
    earlier: &[StoredFrame],
) -> (u64, u64) {
    let (frames, acked, told) = site.end(centre);
    let there = by_sequence(&all_rows(&centre.lake()).unwrap());
    let in_the_other = by_sequence(&all_rows(gone).unwrap());
    let (mut held, mut lost) = (samples(earlier, acked), 0);
    held.extend(samples(&frames, acked));
    for (sequence, samples) in held {
        if there.get(&sequence) != Some(&samples) {
            assert_eq!(there.get(&sequence), None, "frame {sequence}");
            assert_eq!(in_the_other.get(&sequence), Some(&samples), "frame {sequence}");
            lost += 1;
        }
    }
    assert_eq!(told["counters"]["rewinds"], 1, "{told:#}");
    let logs = told["logs"].as_array().unwrap();
    let of_log = logs.iter().find(|log| log["gateway"] == "gw-1").unwrap();
    assert_eq!(of_log["watermark"], acked.0, "nothing is acked that the table lacks");
    (lost, of_log["lost_frames"].as_u64().unwrap())
}

/// So many records as begin another segment, so that the one with all frames before is freed once it has its acks.
fn fill_segment(spool: &mut Spool) {
    let body = serde_json::json!({ "event": "test", "text": "x".repeat(200_000) }).to_string();
    for _ in 0..6 {
        let zero = Timestamp(0);
        let (record_type, body) = (RecordType::Audit, body.clone().into_bytes());
        spool.append(Draft { record_type, samples: 0, ts_min: zero, ts_max: zero, body }).unwrap();
    }
    spool.commit().unwrap();
}

/// Trial brk-03: 33 600 samples were missing and nobody counted them.
#[test]
fn a_table_that_goes_back_under_a_running_centre_is_noticed_and_what_is_gone_is_counted() {
    let mut site = Site::start();
    let mut centre = site.centre();
    let (lake, old, gone) =
        (centre.lake(), site.path().join("lake.old"), site.path().join("lake.gone"));
    site.wait_for_acks(SOME);
    centre.signal(nix::sys::signal::Signal::SIGSTOP).unwrap();
    copy_folder(&lake, &old);
    centre.signal(nix::sys::signal::Signal::SIGCONT).unwrap();
    site.wait_for_acks(SOME);
    site.gateway.terminate().unwrap();
    let mut spool = site.spool();
    let earlier = spool.read_from(DestinationIndex(0), Sequence(1), usize::MAX).unwrap();
    fill_segment(&mut spool);
    spool.close().unwrap();
    site.gateway.start_again().unwrap();
    site.wait_for_acks(SOME);
    fs::rename(&lake, &gone).unwrap();
    fs::rename(&old, &lake).unwrap();
    wait_until_noticed(&centre);
    site.wait_for_acks(SOME);
    let (lost, counted) = account(&mut site, &mut centre, &gone, &earlier);
    // Among them are records without samples.
    assert!(lost > 0 && counted >= lost, "{lost} frames are missing, {counted} are counted");
    let log = centre.log().unwrap();
    assert!(log.contains("are gone and no loss record names them"), "{log}");
}

/// A relative of brk-03: the folder of another centre was put there, which has a gateway of its own.
#[test]
fn a_table_that_is_swapped_for_another_under_a_running_centre_is_noticed() {
    let mut site = Site::start();
    let mut first = site.centre();
    let (lake, other, gone) =
        (first.lake(), site.path().join("lake.other"), site.path().join("lake.gone"));
    first.terminate().unwrap();
    fs::rename(&lake, &other).unwrap();
    let mut centre = site.centre();
    site.wait_for_acks(SOME);
    fs::rename(&lake, &gone).unwrap();
    fs::rename(&other, &lake).unwrap();
    wait_until_noticed(&centre);
    site.wait_for_acks(SOME);
    let heard = gw_ack(&site);
    assert_eq!(heard["store"], table_id(&lake), "an ack names the table that has the frames");
    // The gateway still has all frames, so the other table gets them.
    assert_eq!(account(&mut site, &mut centre, &gone, &[]), (0, 0));
    // The dictionary of the rows came along.
    let dictionaries = fs::read_dir(lake.join("_nengliu/dictionaries")).unwrap().count();
    assert!(dictionaries > 0);
}

/// The next commit ack, as anybody at the broker hears it.
fn gw_ack(site: &Site) -> Value {
    let tcp_port = site.broker.trim_start_matches("tcp_port = ");
    let output = Command::new("mosquitto_sub")
        .args(["-p", tcp_port, "-i", "gw-1.listener", "-t", "gw/gw-1/ack", "-C", "1", "-W", "10"])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The identity of a table, by the first entry of its log.
fn table_id(lake: &Path) -> Value {
    let entry = fs::read_to_string(lake.join("_delta_log/00000000000000000000.json")).unwrap();
    let mut actions = entry.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    actions.find_map(|action| action.get("metaData").map(|of| of["id"].clone())).unwrap()
}
