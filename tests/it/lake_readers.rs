//! A lake seen by the readers that people have: the Python packages `deltalake` and `duckdb`, with a filter on every column
//! that people ask for. Never uses our own reader for an expected value.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lake::{AdmittedFrame, CommitDraft, Lake, LakeOptions, WatermarkMove};
use model::dictionary::{DisplayName, Place};
use model::{
    Batch, Dictionary, GatewayId, LogId, PointId, PointIndex, PointInfo, PointKind, Quality,
    Sample, SampleFlags, Sequence, Text, Timestamp, Unit, Value, ValueType,
};
use serde_json::{Value as Json, json};
use tests::ours::centre::Centre;
use tests::ours::run;
use tests::peers::{free_tcp_port, lake as readers};

/// The first source time, 2026-01-01.
const START: i64 = 1_767_225_600_000_000;
/// Enough for a merge, a checkpoint and some files that are not merged yet.
const COMMITS: i64 = 105;

fn dictionary() -> Arc<Dictionary> {
    let point = |metric: &str, unit, kind, value_type| PointInfo {
        id: PointId::new(format!("acme/nb-1/main/{metric}")).unwrap(),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: "main".into(),
        metric: metric.to_owned(),
        device_name: DisplayName::default(),
        unit,
        kind,
        value_type,
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    };
    let hundredths = ValueType::Decimal { exponent: -2 };
    Arc::new(
        Dictionary::new(vec![
            point("energy", Unit::KilowattHour, PointKind::Counter, hundredths),
            point("power", Unit::Kilowatt, PointKind::Gauge, ValueType::Float),
            point("running", Unit::One, PointKind::State, ValueType::Bool),
            point("program", Unit::One, PointKind::State, ValueType::Text),
        ])
        .unwrap(),
    )
}

/// Five rows for each number: one of each point, and a Bad one.
fn samples(number: i64) -> Vec<Sample> {
    let at = Timestamp(START + number * 60_000_000);
    let got = Timestamp(at.0 + 250_000);
    let good = |index, value| Sample::new(PointIndex(index), at, got, Quality::GOOD, value);
    let text = Text::new(if number % 2 == 0 { "roughing" } else { "finishing" }).unwrap();
    let late = Timestamp(at.0 + 1);
    vec![
        good(0, Value::Decimal(100 * number)),
        good(1, Value::Float(0.5)).flagged(SampleFlags::RECOVERED),
        good(2, Value::Bool(number % 4 == 0)),
        good(3, Value::Text(text)),
        Sample::without_value(PointIndex(1), late, got, Quality::BAD_TIMEOUT),
    ]
}

async fn make(folder: &Path) {
    let options = LakeOptions::new(Arc::new(program::SystemClock::default()));
    let mut lake = Lake::open(folder, options).await.unwrap();
    let dictionary = dictionary();
    lake.put_dictionary(&dictionary).await.unwrap();
    let (gateway, log_id) = (GatewayId::new("gw-1").unwrap(), LogId([1; 16]));
    for number in 1..=COMMITS {
        let sequence = Sequence(u64::try_from(number).unwrap());
        let frame = AdmittedFrame {
            gateway: gateway.clone(),
            log_id,
            sequence,
            dictionary: Arc::clone(&dictionary),
            batch: Batch { dictionary: dictionary.hash(), samples: samples(number) },
        };
        let watermark = WatermarkMove {
            gateway: gateway.clone(),
            log_id,
            stood: Sequence(0),
            durable_upto: sequence,
            lost_frames: 0,
            lost_samples: 0,
            last_hash: None,
        };
        let draft = CommitDraft { frames: vec![frame], watermarks: vec![watermark] };
        lake.commit(draft).await.unwrap();
        lake.settle().await.unwrap();
    }
}

/// First use, O2: `quality = 0`, `seq > 0` and each other filter gave no rows in pandas and `DuckDB`; and trial int-07's
/// glob counted merged files beside their sources.
#[tokio::test(flavor = "multi_thread")]
async fn every_filter_finds_its_rows_in_deltalake_and_duckdb() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path()).await;
    let half = "\"2026-01-01T00:52:00+00:00\"";
    let cases = [
        ("point", "=", "\"acme/nb-1/main/energy\"", COMMITS),
        ("ts", ">=", half, (COMMITS - 51) * 5),
        ("gateway_ts", "<", half, 51 * 5),
        ("value", ">=", "100.0", 6),
        ("value", "=", "0.5", COMMITS),
        ("text", "=", "\"roughing\"", COMMITS / 2),
        ("unit", "=", "\"kWh\"", COMMITS),
        ("quality", "=", "\"Good\"", COMMITS * 4),
        ("quality", "=", "\"Bad\"", COMMITS),
        ("status", "=", "0", COMMITS * 4),
        ("mantissa", ">", "0", COMMITS),
        ("exponent", "=", "-2", COMMITS),
        ("flags", "=", "1", COMMITS),
        ("generation", "=", "1", COMMITS * 5),
        ("seq", ">", "100", (COMMITS - 100) * 5),
        ("commit", "<=", "7", 35),
    ];
    let filters = cases.map(|(column, operator, value, _)| (column, operator, value));
    let report = readers::filter(folder.path(), &filters).unwrap();
    assert_eq!(report["rows"], COMMITS * 5);
    assert!(report["files"].as_array().unwrap().len() > 5);
    for (case, found) in cases.iter().zip(report["filtered"].as_array().unwrap()) {
        let (column, operator, value, expected) = case;
        assert_eq!(found, &json!(vec![*expected; 5]), "{column} {operator} {value}");
    }
    // First use, O7: no column said what it is.
    assert!(report["description"].as_str().unwrap().contains("docs/lake.md"), "{report}");
    let comments = report["comments"].as_object().unwrap();
    assert_eq!(comments.len(), report["columns"].as_object().unwrap().len());
    for (column, comment) in comments {
        assert!(comment.as_str().is_some_and(|comment| comment.len() > 20), "{column}: {comment}");
    }
    assert_eq!(report["glob"], json!([COMMITS * 5, COMMITS * 5]));
    check_exported(folder.path());
}

/// What `query` writes as Parquet is read by polars.
fn check_exported(lake: &Path) {
    let file = lake.with_extension("parquet");
    let (lake, file) = (lake.to_str().unwrap(), file.to_str().unwrap());
    let energy = "acme/nb-1/main/energy";
    for (more, columns) in [(None, 7), (Some("--all"), 14)] {
        let words = ["query", energy, "--lake", lake, "--format", "parquet", "--output", file];
        let ran = run("nengliu", words.into_iter().chain(more)).unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let found = readers::read_parquet(Path::new(file)).unwrap();
        fs::remove_file(file).unwrap();
        assert_eq!(found["rows"], COMMITS, "{found}");
        // The register stands at 1 kWh, 2 kWh, and so on.
        let sum = i32::try_from(COMMITS * (COMMITS + 1) / 2).unwrap();
        assert_eq!(found["value"].as_f64(), Some(f64::from(sum)));
        assert_eq!(found["columns"].as_array().unwrap().len(), columns, "{found}");
    }
}

/// What the newest description of a table says of a property.
fn property(lake: &Path, key: &str) -> Option<String> {
    let entries = fs::read_dir(lake.join("_delta_log")).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    entries.sort();
    let described = |path| {
        let text = fs::read_to_string(path).unwrap();
        let actions = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let mut stated = actions.map(|action| action["metaData"]["configuration"][key].clone());
        stated.find_map(|stated| stated.as_str().map(str::to_owned))
    };
    entries.iter().rev().find_map(described)
}

/// Trial int-07: nothing in `nengliu.toml` made the time longer.
#[test]
fn how_long_replaced_files_stay_is_a_setting_that_the_table_tells_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let broker = format!("tcp_port = {}", free_tcp_port().unwrap());
    let mut centre = Centre::start(folder.path(), &broker).unwrap();
    let stated = |expected: &str| {
        for key in ["delta.deletedFileRetentionDuration", "delta.logRetentionDuration"] {
            let found = property(&folder.path().join("lake"), key);
            assert_eq!(found.as_deref(), Some(expected), "{key}");
        }
    };
    stated("interval 86400 seconds");
    centre.terminate().unwrap();
    let settings = fs::read_to_string(centre.settings_file()).unwrap();
    let settings = settings.replacen("[lake]\n", "[lake]\nkeep = \"7d\"\n", 1);
    fs::write(centre.settings_file(), settings).unwrap();
    centre.start_again().unwrap();
    stated("interval 604800 seconds");
    centre.terminate().unwrap();
}
