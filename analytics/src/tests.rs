//! Queries and readings over a real lake in a temporary folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::SourceFile;
use energy::plant::Plant;
use energy::{BasisChoice, Inputs, Meters, Period};
use lake::{AdmittedFrame, CommitDraft, Lake, LakeOptions, Snapshot, WatermarkMove};
use model::dictionary::DisplayName;
use model::host::Clock;
use model::{
    Batch, CommitNumber, Dictionary, GatewayId, LogId, Place, PointId, PointIndex, PointInfo,
    PointKind, Quality, Sample, Sequence, Timestamp, Unit, Value, ValueType,
};

mod changes;
mod reports;
mod windows;

use crate::query::{QueryFormat, query};
use crate::readings::LakeView;
use crate::rows::{RowFilter, rows_sharing_identity};

const SLOT_US: i64 = 900_000_000;
/// 2018-01-01T00:00 in Seoul.
const YEAR_START: Timestamp = Timestamp(1_514_732_400_000_000);

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        YEAR_START
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn dictionary() -> Dictionary {
    Dictionary::new(vec![point()]).unwrap()
}

fn point() -> PointInfo {
    let place = Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None };
    PointInfo {
        id: PointId::new("acme/nb-1/main/e_import").unwrap(),
        place,
        device: "main".into(),
        metric: "e_import".into(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type: ValueType::Decimal { exponent: -2 },
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    }
}

/// One commit per batch of (source time, mantissa; none for a Bad sample), all of one log.
fn lake_of(folder: &Path, batches: &[Vec<(i64, Option<i64>)>]) -> Snapshot {
    let dictionary = Arc::new(dictionary());
    let decimal = |&(time, mantissa): &(i64, Option<i64>)| (time, mantissa.map(Value::Decimal));
    let frames = batches
        .iter()
        .map(|batch| (Arc::clone(&dictionary), batch.iter().map(decimal).collect::<Vec<_>>()));
    lake_of_frames(folder, &frames.collect::<Vec<_>>())
}

/// What a frame holds: the dictionary it follows; source time and value, none for a Bad sample.
type Frame = (Arc<Dictionary>, Vec<(i64, Option<Value>)>);

/// One commit per frame, all of one log.
fn lake_of_frames(folder: &Path, frames: &[Frame]) -> Snapshot {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut lake = Lake::open(folder, LakeOptions::new(Arc::new(StandingClock))).await.unwrap();
        for (sequence, frame) in (1..).map(Sequence).zip(frames) {
            commit(&mut lake, sequence, frame).await;
        }
    });
    Snapshot::open(folder).unwrap()
}

async fn commit(lake: &mut Lake, sequence: Sequence, (dictionary, samples): &Frame) {
    let (gateway, log_id) = (GatewayId::new("gw-1").unwrap(), LogId([1; 16]));
    lake.put_dictionary(dictionary).await.unwrap();
    let sample = |(time, value): &(i64, Option<Value>)| {
        let (point, time) = (PointIndex(0), Timestamp(*time));
        match value {
            Some(value) => Sample::new(point, time, time, Quality::GOOD, value.clone()),
            None => Sample::without_value(point, time, time, Quality::BAD_TIMEOUT),
        }
    };
    let mut samples: Vec<Sample> = samples.iter().map(sample).collect();
    samples.sort_by_key(|sample| sample.source_time);
    let frame = AdmittedFrame {
        gateway: gateway.clone(),
        log_id,
        sequence,
        dictionary: Arc::clone(dictionary),
        batch: Batch { dictionary: dictionary.hash(), samples },
    };
    let watermark = WatermarkMove {
        gateway,
        log_id,
        stood: Sequence(0),
        durable_upto: sequence,
        lost_frames: 0,
        lost_samples: 0,
        last_hash: None,
    };
    let draft = CommitDraft { frames: vec![frame], watermarks: vec![watermark] };
    lake.commit(draft).await.unwrap();
}

fn csv(snapshot: &Snapshot, filter: &RowFilter, all: bool) -> Vec<String> {
    let mut out = Vec::new();
    query(snapshot, filter, all, QueryFormat::Csv, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect()
}

/// INV-4: both rows stay; the reader's rule takes the one of the higher sequence.
#[test]
fn of_two_values_for_one_time_the_later_sequence_is_read_and_both_stay() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot =
        lake_of(folder.path(), &[vec![(1_000_000, Some(100))], vec![(1_000_000, Some(250))]]);
    let by_rule = csv(&snapshot, &RowFilter::default(), false);
    assert_eq!(by_rule, ["acme/nb-1/main/e_import,1970-01-01T00:00:01.000000Z,2.50,kWh,Good"]);
    assert_eq!(csv(&snapshot, &RowFilter::default(), true).len(), 2);
    assert_eq!(rows_sharing_identity(&snapshot.files()).unwrap(), 0);
    let as_of = RowFilter { as_of: Some(CommitNumber(1)), ..RowFilter::default() };
    assert_eq!(
        csv(&snapshot, &as_of, false),
        ["acme/nb-1/main/e_import,1970-01-01T00:00:01.000000Z,1.00,kWh,Good"]
    );
}

#[test]
fn a_query_takes_a_prefix_and_a_half_open_time() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = lake_of(folder.path(), &[vec![(1, Some(1)), (2, Some(2)), (3, None)]]);
    let count = |filter: &RowFilter| csv(&snapshot, filter, false).len();
    assert_eq!(
        count(&RowFilter { points: vec!["acme/nb-1/main".into()], ..RowFilter::default() }),
        3
    );
    assert_eq!(count(&RowFilter { points: vec!["acme/nb-2".into()], ..RowFilter::default() }), 0);
    let span =
        RowFilter { from: Some(Timestamp(2)), to: Some(Timestamp(3)), ..RowFilter::default() };
    assert_eq!(
        csv(&snapshot, &span, false),
        ["acme/nb-1/main/e_import,1970-01-01T00:00:00.000002Z,0.02,kWh,Good"]
    );
    let bad = RowFilter { from: Some(Timestamp(3)), ..RowFilter::default() };
    assert_eq!(
        csv(&snapshot, &bad, false),
        ["acme/nb-1/main/e_import,1970-01-01T00:00:00.000003Z,,kWh,BadTimeout"]
    );
}

#[test]
fn parquet_and_json_hold_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = lake_of(folder.path(), &[vec![(1, Some(1)), (2, Some(2))]]);
    let mut parquet = Vec::new();
    let filter = RowFilter::default();
    assert_eq!(query(&snapshot, &filter, false, QueryFormat::Parquet, &mut parquet).unwrap(), 2);
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let mut json = Vec::new();
    query(&snapshot, &filter, true, QueryFormat::Json, &mut json).unwrap();
    let first = json.split(|byte| *byte == b'\n').next().unwrap();
    let first: serde_json::Value = serde_json::from_slice(first).unwrap();
    assert_eq!(first["value"], "0.01");
    assert_eq!(first["sequence"], 1);
}

const PLANT: &str = r#"
[plant]
name = "Thinning"
enterprise = "acme"
time_zone = "Asia/Seoul"
rule_set = "GB/T 2589"
edition = "2020"

[[energy_kind]]
id = "electricity"
name = "电力"
unit = "kWh"

[[meter]]
id = "main"
point = "acme/nb-1/main/e_import"
energy_kind = "electricity"
role = "incoming"
unit = "kWh"
"#;

fn plant(text: &str) -> Plant {
    match Plant::read(&SourceFile::new("plant.toml", text)) {
        Ok(plant) => plant,
        Err(problems) => panic!("{problems}"),
    }
}

/// What a day's row of electricity says of these readings.
fn quantity(plant: &Plant, readings: &[energy::MeterReadings], day: Period) -> energy::Figure {
    let facts = energy::Facts::read(plant, &[]).unwrap();
    let meters = Meters::build(plant, readings).unwrap();
    let inputs = Inputs { plant, facts: &facts, meters: &meters, commit: None };
    energy::table1(&inputs, day, BasisChoice::Equivalent).unwrap().rows[0].quantity.clone()
}

/// Thinning keeps all that a figure is made of: with it and without it the figures are the same.
fn check_thinning(
    plant: &Plant,
    samples: Vec<(i64, Option<i64>)>,
    rows_max: usize,
    expected: &str,
) {
    let reading = |(time, mantissa): &(i64, Option<i64>)| {
        Some(energy::Reading {
            time: Timestamp(*time),
            mantissa: (*mantissa)?,
            quality: Quality::GOOD,
            generation: model::Generation(1),
            sequence: Sequence(1),
        })
    };
    let all: Vec<energy::Reading> = samples.iter().filter_map(reading).collect();
    let folder = tempfile::tempdir().unwrap();
    let snapshot = lake_of(folder.path(), &[samples]);
    let period: Period = "2018-01-01".parse().unwrap();
    let thinned = LakeView::new(&snapshot, None).unwrap().readings(plant, period).unwrap();
    assert!(thinned[0].readings.len() <= rows_max, "{}", thinned[0].readings.len());
    let mut whole = thinned.clone();
    whole[0].readings = all;
    let [thinned, whole] = [thinned, whole].map(|readings| quantity(plant, &readings, period));
    assert_eq!(thinned, whole);
    assert_eq!(thinned.exact().map(ToString::to_string).as_deref(), Some(expected));
}

#[test]
fn thinned_readings_give_the_same_figures_as_all() {
    // Every minute from an hour before the day to an hour after it, with a missing hour and two Bad samples in it.
    let minute = |at: i64| (YEAR_START.0 + at * 60_000_000, Some(1_000_000 + at * 7 + at % 3));
    let mut samples: Vec<_> =
        (-60..1_500).filter(|at| !(600..660).contains(at)).map(minute).collect();
    for bad in [100, 900] {
        samples[bad].1 = None;
    }
    let slots = usize::try_from(1_560 * 60_000_000 / SLOT_US).unwrap();
    check_thinning(&plant(PLANT), samples, 2 * (slots + 2), "100.8");
}

/// Current transformers are changed at 10:05 with the power off: 1 kWh before it at 40, nothing at 60.
#[test]
fn a_change_of_ratio_inside_a_slot_counts_what_came_before_it_at_the_old_ratio() {
    let ratios = r#"
[[meter.ratio]]
ct = "40"

[[meter.ratio]]
from = "2018-01-01T10:05:00+09:00"
ct = "60"
"#;
    let minute = |at: i64| {
        let kwh = 10_000 + 20 * (at - 600).clamp(0, 5);
        (YEAR_START.0 + at * 60_000_000, Some(kwh))
    };
    let samples = (-15..1_455).map(minute).collect();
    check_thinning(&plant(&format!("{PLANT}{ratios}")), samples, 2 * 99 + 13, "40");
}
