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
    let place = Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None };
    Dictionary::new(vec![PointInfo {
        id: PointId::new("acme/nb-1/main/e_import").unwrap(),
        place,
        device: "main".into(),
        metric: "e_import".into(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type: ValueType::Decimal { exponent: -2 },
        modulus: None,
    }])
    .unwrap()
}

/// One commit per batch of (source time, mantissa; none for a Bad sample), all of one log.
fn lake_of(folder: &Path, batches: &[Vec<(i64, Option<i64>)>]) -> Snapshot {
    let dictionary = Arc::new(dictionary());
    let (gateway, log_id) = (GatewayId::new("gw-1").unwrap(), LogId([1; 16]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut lake = Lake::open(folder, LakeOptions::new(Arc::new(StandingClock))).await.unwrap();
        lake.put_dictionary(&dictionary).await.unwrap();
        for (sequence, batch) in (1..).map(Sequence).zip(batches) {
            let sample = |(time, mantissa): &(i64, Option<i64>)| {
                let (point, time) = (PointIndex(0), Timestamp(*time));
                match mantissa {
                    Some(m) => Sample::new(point, time, time, Quality::GOOD, Value::Decimal(*m)),
                    None => Sample::without_value(point, time, time, Quality::BAD_TIMEOUT),
                }
            };
            let mut samples: Vec<Sample> = batch.iter().map(sample).collect();
            samples.sort_by_key(|sample| sample.source_time);
            let batch = Batch { dictionary: dictionary.hash(), samples };
            let frame = AdmittedFrame {
                gateway: gateway.clone(),
                log_id,
                sequence,
                dictionary: Arc::clone(&dictionary),
                batch,
            };
            let watermark = WatermarkMove {
                gateway: gateway.clone(),
                log_id,
                durable_upto: sequence,
                lost_frames: 0,
                lost_samples: 0,
                last_hash: None,
            };
            lake.commit(CommitDraft { frames: vec![frame], watermarks: vec![watermark] })
                .await
                .unwrap();
        }
    });
    Snapshot::open(folder).unwrap()
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

/// Thinning keeps all that a figure is made of: with it and without it the figures are the same.
#[test]
fn thinned_readings_give_the_same_figures_as_all() {
    let plant = match Plant::read(&SourceFile::new("plant.toml", PLANT)) {
        Ok(plant) => plant,
        Err(problems) => panic!("{problems}"),
    };
    let folder = tempfile::tempdir().unwrap();
    // Every minute from an hour before the day to an hour after it, with a missing hour and two Bad samples in it.
    let minute = |at: i64| (YEAR_START.0 + at * 60_000_000, Some(1_000_000 + at * 7 + at % 3));
    let mut samples: Vec<_> =
        (-60..1_500).filter(|at| !(600..660).contains(at)).map(minute).collect();
    for bad in [100, 900] {
        samples[bad].1 = None;
    }
    let all: Vec<energy::Reading> = samples
        .iter()
        .filter_map(|(time, mantissa)| {
            Some(energy::Reading {
                time: Timestamp(*time),
                mantissa: (*mantissa)?,
                quality: Quality::GOOD,
                generation: model::Generation(1),
                sequence: Sequence(1),
            })
        })
        .collect();
    let snapshot = lake_of(folder.path(), &[samples]);
    let view = LakeView::new(&snapshot, None).unwrap();
    let period: Period = "2018-01-01".parse().unwrap();
    let thinned = view.readings(&plant, period).unwrap();
    let slots = usize::try_from(1_560 * 60_000_000 / SLOT_US).unwrap();
    assert!(thinned[0].readings.len() <= 2 * (slots + 2), "{}", thinned[0].readings.len());
    let mut whole = thinned.clone();
    whole[0].readings = all;
    let facts = energy::Facts::read(&plant, &[]).unwrap();
    let quantity = |readings: &[energy::MeterReadings]| {
        let meters = Meters::build(&plant, readings).unwrap();
        let inputs = Inputs { plant: &plant, facts: &facts, meters: &meters, commit: None };
        let table = energy::table1(&inputs, period, BasisChoice::Equivalent).unwrap();
        let figure = table.rows[0].quantity.clone();
        (figure.value.map(|value| value.to_string()), figure.coverage, figure.complete)
    };
    assert_eq!(quantity(&thinned), quantity(&whole));
    assert_eq!(quantity(&thinned).0.as_deref(), Some("100.8"));
}
