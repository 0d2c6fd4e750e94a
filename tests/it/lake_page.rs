//! `docs/lake.md`: its queries give the same numbers in `DuckDB`, polars and pandas while `serve` writes, and the table of
//! points that it describes is there and is what `nengliu points` prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lake::{AdmittedFrame, CommitDraft, Lake, LakeOptions, WatermarkMove};
use model::dictionary::{DisplayName, Place};
use model::{
    Batch, Decimal, Dictionary, GatewayId, LogId, PointId, PointIndex, PointInfo, PointKind,
    Quality, Sample, Sequence, Text, Timestamp, Unit, Value, ValueType,
};
use serde_json::Value as Json;
use tests::ours::centre::Centre;
use tests::ours::gateway::Gateway;
use tests::ours::{one_meter, query, run};
use tests::peers::modbus::ModbusServer;
use tests::peers::{free_tcp_port, python};
use tests::programs::workspace_root;
use tests::wait::wait_for;

const SOON: Duration = Duration::from_secs(30);
/// 2026-09-24, midnight in Shanghai.
const START_US: i64 = 1_790_179_200_000_000;
const MINUTE_US: i64 = 60_000_000;
const QUARTERS_PER_DAY: i64 = 96;
/// The day that the page asks about is 2026-10-02, and one day follows.
const DAYS: i64 = 10;
const METERS: [&str; 3] = ["main", "press", "boiler"];
/// Where the register of the press starts again from 0, in kWh; it does so in the night to the day that is asked about.
const MODULUS: i64 = 1_000;

fn point(
    device: &str,
    metric: &str,
    unit: Unit,
    kind: PointKind,
    value_type: ValueType,
) -> PointInfo {
    PointInfo {
        id: PointId::new(format!("acme/nb-1/{device}/{metric}")).unwrap(),
        place: Place {
            enterprise: "acme".into(),
            site: "nb-1".into(),
            area: Some("machining".into()),
            line: None,
        },
        device: device.to_owned(),
        metric: metric.to_owned(),
        device_name: DisplayName { zh: format!("{device} 电表"), en: String::new() },
        unit,
        kind,
        value_type,
        modulus: (device == "press").then_some(Decimal { mantissa: MODULUS, exponent: 0 }),
        states: Vec::new(),
        interval_ms: Some(15 * 60_000),
        profile: Some("acrel/adl400".to_owned()),
    }
}

fn dictionary() -> Arc<Dictionary> {
    let hundredths = ValueType::Decimal { exponent: -2 };
    let counter =
        |device| point(device, "e_import", Unit::KilowattHour, PointKind::Counter, hundredths);
    let mut points: Vec<PointInfo> = METERS.map(counter).into();
    points.push(point("main", "p_total", Unit::Kilowatt, PointKind::Gauge, ValueType::Float));
    points.push(point("press", "program", Unit::One, PointKind::State, ValueType::Text));
    Arc::new(Dictionary::new(points).unwrap())
}

/// The register of a meter after so many quarters of an hour, in hundredths of a kWh: 24, 12 and 6 kWh a day.
fn register(meter: i64, quarters: i64) -> i64 {
    let steady = (25 >> meter) * quarters + 7 * (quarters % 3);
    let start = if meter == 1 { MODULUS * 100 - 8 * 12 * QUARTERS_PER_DAY - 50 } else { 1_000 };
    if meter == 1 { (start + steady) % (MODULUS * 100) } else { start + steady }
}

/// One day: a gap in the afternoon, a failed reading in each hour, and with `again` what a device remembers of the morning.
fn day(day: i64, again: bool) -> Vec<Sample> {
    let mut samples = Vec::new();
    for quarter in day * QUARTERS_PER_DAY..(day + 1) * QUARTERS_PER_DAY {
        let of_day = quarter % QUARTERS_PER_DAY;
        if (again && of_day > 40) || (56..62).contains(&of_day) {
            continue;
        }
        let at = Timestamp(START_US + quarter * 15 * MINUTE_US);
        let good = |point, value| Sample::new(PointIndex(point), at, at, Quality::GOOD, value);
        for meter in 0..3_u32 {
            samples.push(good(meter, Value::Decimal(register(i64::from(meter), quarter))));
        }
        if again {
            continue;
        }
        samples.push(good(3, Value::Float(f64::from(i32::try_from(quarter % 9).unwrap()) / 8.0)));
        samples.push(good(4, Value::Text(Text::new("roughing").unwrap())));
        if of_day % 4 == 1 {
            let late = Timestamp(at.0 + MINUTE_US);
            samples.push(Sample::without_value(PointIndex(0), late, late, Quality::BAD_TIMEOUT));
        }
    }
    samples
}

/// Ten days of one log, and a second log that brings what the meters remember once more.
async fn fill(folder: &Path) {
    let options = LakeOptions::new(Arc::new(program::SystemClock::default()));
    let mut lake = Lake::open(folder, options).await.unwrap();
    let dictionary = dictionary();
    lake.put_dictionary(&dictionary).await.unwrap();
    let gateway = GatewayId::new("gw-9").unwrap();
    for (log, again) in [(1, false), (2, true)] {
        for number in 0..DAYS {
            let (log_id, sequence) = (LogId([log; 16]), u64::try_from(number + 1).unwrap());
            let samples = day(number, again);
            let frame = AdmittedFrame {
                gateway: gateway.clone(),
                log_id,
                sequence: Sequence(sequence),
                dictionary: Arc::clone(&dictionary),
                batch: Batch { dictionary: dictionary.hash(), samples },
            };
            let watermark = WatermarkMove {
                gateway: gateway.clone(),
                log_id,
                stood: Sequence(sequence - 1),
                durable_upto: Sequence(sequence),
                lost_frames: 0,
                lost_samples: 0,
                last_hash: None,
            };
            let draft = CommitDraft { frames: vec![frame], watermarks: vec![watermark] };
            lake.commit(draft).await.unwrap();
        }
    }
    lake.close().await;
}

/// First use, O2, O7 and O9: what everybody asks of the lake was a guess, and each reader gave another answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_the_page_agree_while_serve_writes() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("lake")).await;
    let tcp_port = free_tcp_port().unwrap();
    let mut centre = Centre::start(folder.path(), &format!("tcp_port = {tcp_port}")).unwrap();
    let server = ModbusServer::tcp(folder.path(), &one_meter::counting_registers()).unwrap();
    let port = format!("address = \"tcp://127.0.0.1:{}\"", server.tcp_port().unwrap());
    let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
    let settings = one_meter::modbus_settings(folder.path(), &port, &uplink).unwrap();
    let mut gateway = Gateway::start(folder.path(), &settings).unwrap();
    gateway.wait_until_committed(SOON).unwrap();
    let lake = centre.lake();
    let before = query::samples(&lake).unwrap().len();
    wait_for("the table of points", SOON, || Ok(points_file(&lake).exists().then_some(())))
        .unwrap();

    let mut command = python::script("lake_queries.py").unwrap();
    command.arg(workspace_root().join("docs/lake.md")).arg(&lake).args(["--day", "2026, 10, 2"]);
    let found = python::json(&mut command).unwrap();
    let queries = found.as_object().unwrap();
    assert_eq!(queries.len(), 5, "{:?}", queries.keys());
    for (title, answers) in queries {
        let answers = answers.as_object().unwrap();
        let [duckdb, polars, pandas] = ["duckdb", "polars", "pandas"].map(|name| &answers[name]);
        assert!(!duckdb[1].as_array().unwrap().is_empty(), "{title}: no row");
        assert_eq!(polars, duckdb, "{title}: polars and DuckDB differ");
        assert_eq!(pandas, duckdb, "{title}: pandas and DuckDB differ");
    }
    check_numbers(&found);
    assert!(query::samples(&lake).unwrap().len() > before, "the centre wrote meanwhile");

    gateway.terminate().unwrap();
    centre.terminate().unwrap();
    check_points(&lake);
}

fn points_file(lake: &Path) -> std::path::PathBuf {
    lake.join("_nengliu/points.parquet")
}

/// What the answers must be, from how the registers were made.
fn check_numbers(found: &Json) {
    let rows = |title: &str| found[title]["duckdb"][1].as_array().unwrap().clone();
    // Columns are in the order of their names.
    let energy = |first: i64, last: i64, meter: i64| {
        let risen = register(meter, last) - register(meter, first);
        let risen = if risen < 0 { risen + MODULUS * 100 } else { risen };
        format!("{risen}e-2").parse::<f64>().unwrap()
    };
    let close = |found: &Json, expected: f64| (found.as_f64().unwrap() - expected).abs() < 1e-6;
    // 2026-10-02 is the ninth day; the last reading before it is that of the quarter before midnight.
    let (first, last) = (8 * QUARTERS_PER_DAY - 1, 9 * QUARTERS_PER_DAY - 1);
    let top = rows("Largest consumers of a day");
    let main = top.iter().find(|row| row[2] == "acme/nb-1/main/e_import").unwrap();
    assert!(close(&main[0], energy(first, last, 0)), "{main}");
    assert_eq!(main[1], "main 电表");
    let hourly = rows("Energy per hour and meter");
    let of = |meter: &str| {
        let own = hourly.iter().filter(|row| row[2].as_str().unwrap().contains(meter));
        own.filter_map(|row| row[1].as_f64()).sum::<f64>()
    };
    for (meter, name) in (0..).zip(METERS) {
        let expected = energy(first, last, meter);
        assert!((of(name) - expected).abs() < 1e-6, "{name}: {} for {expected}", of(name));
    }
    let last_values = rows("Last value of each point");
    assert_eq!(last_values.len(), 4, "four points with numbers: {last_values:?}");
    let gaps = rows("Gaps");
    assert_eq!(gaps.len(), 4, "one in the afternoon: {gaps:?}");
    assert!(gaps.iter().all(|gap| close(&gap[2], 105.0)), "{gaps:?}");
}

/// The file is what `nengliu points` prints, by another reader.
fn check_points(lake: &Path) {
    let script = "import json, sys, pandas\n\
                  print(pandas.read_parquet(sys.argv[1]).to_json(orient='records', date_format='iso', date_unit='us'))";
    let mut command = python::interpreter().unwrap();
    command.args(["-c", script]).arg(points_file(lake));
    let file = python::json(&mut command).unwrap();
    let listed = run("nengliu", ["points", "--json", "--lake", lake.to_str().unwrap()]).unwrap();
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let printed: Json = serde_json::from_str(&listed.output).unwrap();
    assert_eq!(printed["schema"], "nengliu.points.v1");
    let by_point = |rows: &Json| -> BTreeMap<String, BTreeMap<String, String>> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| {
            let fields = row.as_object().unwrap().iter().map(|(name, value)| {
                // A list of states is JSON text in the file; a time has its zone written in two ways.
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let text = text.trim_end_matches('Z').trim_end_matches(".0").to_owned();
                (name.clone(), text)
            });
            (row["point"].as_str().unwrap().to_owned(), fields.collect())
        })
        .collect()
    };
    let (file, printed) = (by_point(&file), by_point(&printed["points"]));
    assert_eq!(file, printed, "the file was renewed when `serve` ended");
    assert_eq!(file.len(), 6);
    let press = &file["acme/nb-1/press/e_import"];
    for (column, expected) in [
        ("unit", "kWh"),
        ("kind", "counter"),
        ("modulus", "1000"),
        ("area", "machining"),
        ("gateway", "gw-9"),
        ("profile", "acrel/adl400"),
        ("first_ts", "2026-09-23T16:00:00.000000"),
        ("in_use", "true"),
    ] {
        assert_eq!(press[column], expected, "{column}");
    }
}

/// First use, O14: `query meter-main` sent its user to a list of 105 906 rows, and no list of points existed.
#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_is_not_there_is_answered_with_the_nearest_and_a_day_is_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    fill(&lake).await;
    let lake = lake.to_str().unwrap();
    let ran = |more: &[&str]| {
        let ran = run("nengliu", more.iter().copied().chain(["--lake", lake])).unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran
    };
    for (word, near) in [
        ("main", "did you mean `acme/nb-1/main/e_import`"),
        ("acme/nb-1/pres", "did you mean `acme/nb-1/press/e_import`"),
        ("boilr", "did you mean `acme/nb-1/boiler/e_import`"),
        ("furnace", "`nengliu points --lake"),
    ] {
        // A word that begins an id is no mistake.
        if word == "acme/nb-1/pres" {
            assert!(ran(&["query", word]).output.lines().count() > 100);
            continue;
        }
        let said = ran(&["query", word]).errors;
        assert!(said.contains(&format!("no point begins with `{word}`")), "{said}");
        assert!(said.contains(near), "{word}: {said}");
    }
    let found = ran(&["points", "press", "kwh"]).output;
    assert!(found.contains("acme/nb-1/press/e_import") && !found.contains("boiler"), "{found}");
    assert!(found.contains("press 电表, machining"), "{found}");
    assert!(ran(&["points", "furnace"]).errors.contains("none of the 5 points matches"));

    // A day of the plant, of this host, and with its offset.
    let plant = folder.path().join("plant.toml");
    let text = "[plant]\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\n\
                rule_set = \"GB/T 2589\"\nedition = \"2020\"\n\
                [[energy_kind]]\nid = \"electricity\"\nunit = \"kWh\"\n";
    fs::write(&plant, text).unwrap();
    let main = "acme/nb-1/main/e_import";
    let query = ["query", main, "--from", "2026-10-02", "--to", "2026-10-03"];
    let of_plant = ran(&[&query[..], &["--plant", plant.to_str().unwrap()]].concat());
    let (from, to) = ("2026-10-02T00:00:00+08:00", "2026-10-03T00:00+08:00");
    let with_offset = ran(&["query", main, "--from", from, "--to", to]);
    assert!(with_offset.output.lines().count() > 80, "{}", with_offset.output);
    assert_eq!(of_plant.output, with_offset.output);
    assert!(of_plant.errors.contains("in the time zone of the plant, Asia/Shanghai"));
    assert!(ran(&query).errors.contains("in the time zone of this host"));
    let early = ran(&["query", main, "--to", "2020"]).errors;
    assert!(early.contains("no reading in this range"), "{early}");
}
