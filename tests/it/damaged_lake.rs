//! What a person is told of a lake that is not there, of another version, without a part of its log, or with a damaged
//! data file: by `query`, `kpi`, `explain` and `serve`, each with its own exit code. Must never expect one advice for two
//! reasons.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use contract::conformance::plant::{Plant, START};
use lake::{Lake, LakeOptions, Snapshot};
use model::dictionary::{DisplayName, Place};
use model::{Dictionary, GatewayId, LogId, PointId, PointInfo, PointKind, Unit, ValueType};
use serde_json::Value;
use tempfile::TempDir;
use tests::ours::centre::Centre;
use tests::ours::{Ran, run};
use tests::peers::free_tcp_port;

const COMMITS: u64 = 6;
const HOUR_US: i64 = 3_600_000_000;
/// In which a centre notes what its readers met, on a loaded machine.
const NOTED_WITHIN: Duration = Duration::from_secs(30);
/// Rows of each commit.
const ROWS: u64 = 3;
const EXIT_CONFIG: Option<i32> = Some(3);
const EXIT_DAMAGED: Option<i32> = Some(8);
const EXIT_OTHER_LAKE: Option<i32> = Some(10);

/// A counter of a meter, read by gateway `gw-1`.
fn source() -> Plant {
    let point = PointInfo {
        id: PointId::new("acme/nb-1/main/e_import").unwrap(),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: "main".into(),
        metric: "e_import".into(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type: ValueType::Decimal { exponent: 0 },
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    };
    Plant {
        gateway: GatewayId::new("gw-1").unwrap(),
        log_id: LogId([7; 16]),
        dictionary: Arc::new(Dictionary::new(vec![point]).unwrap()),
    }
}

/// A folder with a lake of some commits, each a data file, and a plant file.
async fn made() -> TempDir {
    made_from(0).await
}

/// The same with the first source time so many microseconds after the start of 2026.
async fn made_from(first_us: i64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(program::SystemClock::default());
    let mut lake = Lake::open(folder.path().join("lake"), LakeOptions::new(clock)).await.unwrap();
    let source = source();
    lake.put_dictionary(&source.dictionary).await.unwrap();
    for sequence in 1..=COMMITS {
        let hour = first_us + i64::try_from(sequence).unwrap() * HOUR_US;
        let samples = [0, 1, 2].map(|step| (0, hour + step * 60_000_000, hour / 1_000_000 + step));
        let draft = source.draft(sequence - 1, vec![source.frame(sequence, &samples)]);
        lake.commit(draft).await.unwrap();
    }
    lake.close().await;
    let plant = "[plant]\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\n\
         rule_set = \"GB/T 2589\"\nedition = \"2020\"\n\n\
         [[energy_kind]]\nid = \"electricity\"\nunit = \"kWh\"\n\n\
         [[meter]]\npoint = \"acme/nb-1/main/e_import\"\nenergy_kind = \"electricity\"\n\
         role = \"incoming\"\nunit = \"kWh\"\n";
    fs::write(folder.path().join("plant.toml"), plant).unwrap();
    folder
}

/// What each command that reads the lake says.
fn readers(folder: &Path) -> Vec<Ran> {
    let (lake, plant) = (folder.join("lake"), folder.join("plant.toml"));
    let (lake, plant) = (lake.to_str().unwrap(), plant.to_str().unwrap());
    let figure = "table1/2026-01/total/equivalent";
    let of_figures = ["--plant", plant, "--lake", lake];
    let query = vec!["query", "--lake", lake];
    let kpi = [&["kpi", "table1", "--period", "2026-01"][..], &of_figures].concat();
    let explain = [&["explain", figure][..], &of_figures].concat();
    [query, kpi, explain].map(|arguments| run("nengliu", arguments).unwrap()).into()
}

/// Expects the same code, words and advice of every reader.
fn all_say(folder: &Path, code: Option<i32>, words: &[&str], never: &str) {
    for ran in readers(folder) {
        assert_eq!(ran.code, code, "{ran:?}");
        for word in words {
            assert!(ran.errors.contains(word), "`{word}` is missing: {}", ran.errors);
        }
        assert!(!ran.errors.contains(never), "{}", ran.errors);
    }
}

/// What `serve` says of it at its start, and its exit code.
fn serve(folder: &Path) -> Ran {
    let settings =
        format!("[lake]\nfolder = \"lake\"\n\n[broker]\ntcp_port = {}\n", free_tcp_port().unwrap());
    let file = folder.join("serve.toml");
    fs::write(&file, settings).unwrap();
    run("nengliu", ["serve", "-c", file.to_str().unwrap()]).unwrap()
}

fn entry(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("lake/_delta_log/{version:020}.json"))
}

#[tokio::test]
async fn a_lake_that_is_not_there_is_to_be_named() {
    let folder = made().await;
    fs::remove_dir_all(folder.path().join("lake")).unwrap();
    let words = ["EN-L001", "no table in", "name the lake with --lake FOLDER"];
    all_say(folder.path(), EXIT_CONFIG, &words, "backup");
    // Neither is a file a lake.
    fs::write(folder.path().join("lake"), "no folder").unwrap();
    all_say(folder.path(), EXIT_CONFIG, &["EN-L001", "--lake FOLDER"], "backup");
}

#[tokio::test]
async fn a_lake_of_another_version_is_not_damaged() {
    let folder = made().await;
    // As the release that made layout 1 began a table: without seals.
    for version in 1..=COMMITS {
        fs::remove_file(entry(folder.path(), version)).unwrap();
    }
    fs::remove_file(folder.path().join("lake/_nengliu/head")).unwrap();
    let first = "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n\
        {\"metaData\":{\"id\":\"x\",\"configuration\":{\"nengliu.layout\":\"1\"}}}\n";
    fs::write(entry(folder.path(), 0), first).unwrap();
    let words = ["EN-L007", "has layout 1", "the release of `nengliu` that wrote it"];
    all_say(folder.path(), EXIT_OTHER_LAKE, &words, "--lake FOLDER");
    let ran = serve(folder.path());
    assert_eq!(ran.code, EXIT_OTHER_LAKE, "{ran:?}");
    assert!(ran.errors.contains("EN-L007"), "{ran:?}");
}

#[tokio::test]
async fn a_gap_in_the_log_names_the_file_to_put_back() {
    let folder = made().await;
    let (gap, aside) = (entry(folder.path(), 3), folder.path().join("aside"));
    fs::rename(&gap, &aside).unwrap();
    let name = gap.file_name().unwrap().to_str().unwrap();
    let words = ["EN-L008", name, "the file is missing", "put this file back from a backup"];
    all_say(folder.path(), EXIT_DAMAGED, &words, "--lake FOLDER");
    let ran = serve(folder.path());
    assert_eq!(ran.code, EXIT_DAMAGED, "{ran:?}");
    assert!(ran.errors.contains("EN-L008") && ran.errors.contains(name), "{ran:?}");
    // A flipped bit is told the same way, and the entry put back ends it.
    let mut bytes = fs::read(&aside).unwrap();
    let sound = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&gap, bytes).unwrap();
    all_say(folder.path(), EXIT_DAMAGED, &["EN-L008", name], "--lake FOLDER");
    fs::write(&gap, sound).unwrap();
    for ran in readers(folder.path()) {
        assert!(!ran.errors.contains("EN-L0"), "{ran:?}");
    }
}

/// The rest stays readable, the lost range is named per gateway and sequence, and counted as lost.
#[tokio::test]
async fn a_damaged_data_file_is_named_with_its_gateway_and_counted_as_lost() {
    let folder = made().await;
    let lake = folder.path().join("lake");
    let file = Snapshot::open(&lake).unwrap().files().remove(2);
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&file, bytes).unwrap();

    let source = source();
    let frames = format!("frames 3 to 3 of gateway `gw-1`, log {}", source.log_id);
    for ran in readers(folder.path()) {
        let words = ["EN-L006", "3 rows of `acme/nb-1/main/e_import`", &frames];
        for word in words {
            assert!(ran.errors.contains(word), "`{word}` is missing: {ran:?}");
        }
        assert_eq!(ran.code, EXIT_DAMAGED, "{ran:?}");
    }
    let ran = &readers(folder.path())[0];
    let rows = ran.output.lines().count() as u64 - 1;
    assert_eq!((ran.code, rows), (EXIT_DAMAGED, (COMMITS - 1) * ROWS), "{ran:?}");

    let broker = format!("tcp_port = {}", free_tcp_port().unwrap());
    let mut centre = Centre::start(folder.path(), &broker).unwrap();
    centre.terminate().unwrap();
    let told = fs::read(lake.join("_nengliu/ingest-status.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    let damage = &told["store_damage"];
    assert_eq!((damage["parts"].as_u64(), damage["rows_lost"].as_u64()), (Some(1), Some(ROWS)));
    let part = &damage["named"][0];
    assert_eq!(part["name"], file.to_str().unwrap(), "{damage:#}");
    let range = &part["frames"][0];
    assert_eq!(range["gateway"], "gw-1", "{damage:#}");
    assert_eq!(range["log_id"], source.log_id.to_string(), "{damage:#}");
    assert_eq!((range["first"].as_u64(), range["last"].as_u64()), (Some(3), Some(3)));
    let log = centre.log().unwrap();
    let alarms = log.matches("damage in the lake: ").count();
    assert_eq!(alarms, 1, "said once: {log}");
    assert!(log.contains(&frames) && log.contains("3 rows count as lost"), "{log}");
    assert!(file.exists(), "nothing is deleted");

    // What was found is noted beside the table, for whoever looks while no centre runs.
    let list = run("nengliu", ["quarantine", "list", "--lake", lake.to_str().unwrap()]).unwrap();
    assert_eq!(list.code, Some(0), "{list:?}");
    let [line] = list.output.lines().collect::<Vec<_>>()[..] else { panic!("{list:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(line.starts_with(name) && line.contains("\t3 rows\t"), "{line}");
    assert!(line.contains(&frames), "{line}");
}

/// An outsider removed the head and the newest entry: readers gave fewer rows with exit code 0 and said nothing.
#[tokio::test]
async fn a_log_whose_end_is_not_proved_is_told_and_no_file_is_touched() {
    let folder = made().await;
    let lake = folder.path().join("lake");
    let (head, newest) = (lake.join("_nengliu/head"), entry(folder.path(), COMMITS));
    let kept = [&head, &newest].map(|path| fs::read(path).unwrap());
    fs::remove_file(&head).unwrap();
    fs::remove_file(&newest).unwrap();
    let files = || fs::read_dir(lake.join("_data")).unwrap().count();
    let before = files();
    let name = head.to_str().unwrap();
    let words = ["EN-L006", name, "may be missing", "from a backup"];
    all_say(folder.path(), EXIT_DAMAGED, &words, "WARN");
    let query = &readers(folder.path())[0];
    assert_eq!(query.output.lines().count() as u64 - 1, (COMMITS - 1) * ROWS, "{query:?}");
    assert_eq!(query.errors.matches(name).count(), 1, "said once: {query:?}");
    let ran = serve(folder.path());
    assert_eq!(ran.code, EXIT_DAMAGED, "{ran:?}");
    for word in ["EN-L008", name, "nothing was deleted or moved", "out of `_data`"] {
        assert!(ran.errors.contains(word), "`{word}` is missing: {ran:?}");
    }
    assert!(!ran.errors.contains("removed"), "{ran:?}");
    assert_eq!(files(), before);
    let listed = run("nengliu", ["quarantine", "list", "--lake", lake.to_str().unwrap()]).unwrap();
    assert!(listed.output.starts_with("head\t-\t0 rows\t"), "{listed:?}");

    // Behind a head that is there, an entry that cannot be read costs no row.
    [&head, &newest].iter().zip(kept).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let behind = entry(folder.path(), COMMITS + 1);
    fs::write(&behind, "").unwrap();
    let words = ["EN-L006", behind.to_str().unwrap()];
    all_say(folder.path(), EXIT_DAMAGED, &words, "WARN");
    let query = &readers(folder.path())[0];
    assert_eq!(query.output.lines().count() as u64 - 1, COMMITS * ROWS, "{query:?}");
    let ran = serve(folder.path());
    assert_eq!(ran.code, EXIT_DAMAGED, "{ran:?}");
    assert!(
        ran.errors.contains("EN-L008") && ran.errors.contains("out of `_delta_log`"),
        "{ran:?}"
    );
}

/// A pipe in the place of a data file, and a bit off in the newest one, whose length is right.
fn harmed(folder: &Path) -> [PathBuf; 2] {
    let files = Snapshot::open(folder.join("lake")).unwrap().files();
    let (pipe, newest) = (files[1].clone(), files[5].clone());
    fs::remove_file(&pipe).unwrap();
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::unistd::mkfifo(&pipe, mode).unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let in_footer = bytes.len() - 40;
    bytes[in_footer] ^= 1;
    fs::write(&newest, bytes).unwrap();
    [pipe, newest]
}

/// An outsider put a pipe into the place of a data file: `query` and `serve` waited for ever, also after SIGTERM.
#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_holds_nothing_up() {
    let folder = made().await;
    let names = harmed(folder.path()).map(|path| path.to_str().unwrap().to_owned());
    for ran in readers(folder.path()) {
        assert_eq!(ran.code, EXIT_DAMAGED, "{ran:?}");
        assert!(ran.errors.contains("it is a pipe, expected a file"), "{ran:?}");
        for name in &names {
            assert_eq!(ran.errors.matches(name).count(), 1, "said once: {ran:?}");
        }
        assert!(!ran.errors.contains("Parquet error"), "{ran:?}");
    }
}

/// The live topics are filled from the lake: what cannot be read there is noted at once, not when its turn comes.
#[tokio::test]
async fn what_a_centre_meets_while_it_reads_is_noted_and_counted() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now_us = i64::try_from(now.as_micros()).unwrap() - START;
    // The newest rows are 5 minutes old.
    let folder = made_from(now_us - i64::try_from(COMMITS).unwrap() * HOUR_US - HOUR_US / 12).await;
    let (files, lake) = (harmed(folder.path()), folder.path().join("lake"));
    let broker = format!("tcp_port = {}", free_tcp_port().unwrap());
    let mut centre = Centre::start(folder.path(), &broker).unwrap();
    let note = lake.join("_nengliu/damaged.json");
    let is_noted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::read_to_string(&note).is_ok_and(|text| text.contains(name))
    };
    let deadline = Instant::now() + NOTED_WITHIN;
    while !files.iter().all(is_noted) {
        assert!(Instant::now() < deadline, "{}", centre.log().unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    centre.terminate().unwrap();
    let told = fs::read(lake.join("_nengliu/ingest-status.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    let damage = &told["store_damage"];
    let counted = (damage["parts"].as_u64(), damage["rows_lost"].as_u64());
    assert_eq!(counted, (Some(2), Some(2 * ROWS)), "{damage:#}");
}

/// Without its dictionary a point looks as if nobody had ever read it; its readings are there.
#[tokio::test]
async fn a_missing_dictionary_is_damage_and_no_meter_that_was_never_read() {
    let folder = made().await;
    let dictionaries = folder.path().join("lake/_nengliu/dictionaries");
    for entry in fs::read_dir(&dictionaries).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for ran in &readers(folder.path())[1..] {
        assert_eq!(ran.code, EXIT_DAMAGED, "{ran:?}");
        assert!(ran.errors.contains("EN-L008"), "{ran:?}");
        assert!(ran.errors.contains("put its file back from a backup"), "{ran:?}");
        assert!(!ran.errors.contains("EN-C106"), "{ran:?}");
        assert!(ran.errors.contains("the file is missing"), "{ran:?}");
    }
    // One with another content is there, and is not said to be missing.
    let hash = source().dictionary.hash();
    fs::write(dictionaries.join(format!("{hash}.json")), "{}").unwrap();
    for ran in &readers(folder.path())[1..] {
        assert_eq!(ran.code, EXIT_DAMAGED, "{ran:?}");
        assert!(ran.errors.contains("does not have its hash"), "{ran:?}");
    }
}
