//! Queries, readings and figures over the store in memory.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use config::SourceFile;
use contract::conformance::plant::Plant as Source;
use contract::memory::MemoryStore;
use contract::{Cancel, Points, Readings, Request, RowChoice, Store, column};
use energy::plant::Plant;
use energy::{BasisChoice, Facts, Figure, Inputs, Meters, Period};
use model::dictionary::DisplayName;
use model::{
    CommitNumber, Dictionary, GatewayId, LogId, Place, PointId, PointIndex, PointInfo, PointKind,
    Quality, Sample, Timestamp, Unit, Value, ValueType,
};

mod changes;
mod reports;
mod scale;
mod services;
mod slots;
mod standing;
mod wrong;

use crate::query::{QueryFormat, query};
use crate::readings::StoreView;

const SLOT_US: i64 = 900_000_000;
/// 2018-01-01T00:00 in Seoul.
const YEAR_START: Timestamp = Timestamp(1_514_732_400_000_000);

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
        states: vec![],
        interval_ms: None,
        profile: None,
    }
}

/// One commit per batch of (source time, mantissa; none for a Bad sample), all of one log.
fn store_of(batches: &[Vec<(i64, Option<i64>)>]) -> MemoryStore {
    let dictionary = Arc::new(dictionary());
    let decimal = |&(time, mantissa): &(i64, Option<i64>)| (time, mantissa.map(Value::Decimal));
    let frames = batches
        .iter()
        .map(|batch| (Arc::clone(&dictionary), batch.iter().map(decimal).collect::<Vec<_>>()));
    store_of_frames(&frames.collect::<Vec<_>>())
}

/// What a frame holds: the dictionary it follows; source time and value, none for a Bad sample.
type Frame = (Arc<Dictionary>, Vec<(i64, Option<Value>)>);

/// One commit per frame, all of one log.
fn store_of_frames(frames: &[Frame]) -> MemoryStore {
    let mut store = MemoryStore::default();
    for (sequence, (dictionary, samples)) in (1..).zip(frames) {
        let sample = |(time, value): &(i64, Option<Value>)| {
            let (point, time) = (PointIndex(0), Timestamp(*time));
            match value {
                Some(value) => Sample::new(point, time, time, Quality::GOOD, value.clone()),
                None => Sample::without_value(point, time, time, Quality::BAD_TIMEOUT),
            }
        };
        commit(&mut store, sequence, dictionary, samples.iter().map(sample).collect());
    }
    store
}

fn commit(store: &mut MemoryStore, sequence: u64, of: &Arc<Dictionary>, samples: Vec<Sample>) {
    let source = Source {
        gateway: GatewayId::new("gw-1").unwrap(),
        log_id: LogId([1; 16]),
        dictionary: Arc::clone(of),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        store.put_dictionary(of).await.unwrap();
        let draft = source.draft(sequence - 1, vec![source.frame_of(sequence, samples)]);
        store.commit(draft).await.unwrap();
    });
}

fn csv(readings: &dyn Readings, request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    query(readings, request, QueryFormat::Csv, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect()
}

/// INV-4: both rows stay; the reader's rule takes the one of the higher sequence.
#[test]
fn of_two_values_for_one_time_the_later_sequence_is_read_and_both_stay() {
    let store = store_of(&[vec![(1_000_000, Some(100))], vec![(1_000_000, Some(250))]]);
    let readings = store.readings();
    let by_rule = csv(readings.as_ref(), &Request::default());
    assert_eq!(by_rule, ["acme/nb-1/main/e_import,1970-01-01T00:00:01.000000Z,2.50,,kWh,Good,0"]);
    let all = Request { choice: RowChoice::All, ..Request::default() };
    assert_eq!(csv(readings.as_ref(), &all).len(), 2);
    assert_eq!(crate::soundness::rows_sharing_identity(readings.as_ref()).unwrap(), 0);
    let as_of = Request { as_of: Some(CommitNumber(1)), ..Request::default() };
    assert_eq!(
        csv(readings.as_ref(), &as_of),
        ["acme/nb-1/main/e_import,1970-01-01T00:00:01.000000Z,1.00,,kWh,Good,0"]
    );
}

#[test]
fn a_row_that_is_there_twice_is_found() {
    let twice = vec![(1, Some(1)), (1, Some(2)), (2, Some(3))];
    let store = store_of(&[twice, vec![(1, Some(1))]]);
    assert_eq!(crate::soundness::rows_sharing_identity(store.readings().as_ref()).unwrap(), 1);
}

#[test]
fn a_query_takes_a_prefix_and_a_half_open_time() {
    let store = store_of(&[vec![(1, Some(1)), (2, Some(2)), (3, None)]]);
    let readings = store.readings();
    let beginning = |prefix: &str| Request {
        points: Points::Prefixes(vec![prefix.to_owned()]),
        ..Request::default()
    };
    assert_eq!(csv(readings.as_ref(), &beginning("acme/nb-1/main")).len(), 3);
    assert_eq!(csv(readings.as_ref(), &beginning("acme/nb-2")).len(), 0);
    let span = Request { from: Some(Timestamp(2)), to: Some(Timestamp(3)), ..Request::default() };
    assert_eq!(
        csv(readings.as_ref(), &span),
        ["acme/nb-1/main/e_import,1970-01-01T00:00:00.000002Z,0.02,,kWh,Good,0"]
    );
    let bad = Request { from: Some(Timestamp(3)), ..Request::default() };
    assert_eq!(
        csv(readings.as_ref(), &bad),
        ["acme/nb-1/main/e_import,1970-01-01T00:00:00.000003Z,,,kWh,Bad,2148139008"]
    );
}

/// First use, O7: three shapes of one thing. Every format has the same columns and the same rows.
#[test]
fn every_format_has_the_same_columns_and_rows() {
    let store = store_of(&[vec![(1, Some(1)), (2, Some(250)), (3, None)], vec![(2, Some(300))]]);
    let readings = store.readings();
    let all = Request { choice: RowChoice::All, ..Request::default() };
    for (request, columns, rows) in
        [(Request::default(), crate::query::COLUMNS.to_vec(), 3), (all, column::ALL.to_vec(), 4)]
    {
        let written = |format| {
            let mut out = Vec::new();
            let queried = query(readings.as_ref(), &request, format, &mut out).unwrap();
            assert_eq!(queried.rows, rows);
            out
        };
        let parquet = bytes_of(written(QueryFormat::Parquet));
        let parquet = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet, 100);
        let from_parquet: Vec<_> = parquet.unwrap().map(Result::unwrap).collect();
        let arrow = std::io::Cursor::new(written(QueryFormat::Arrow));
        let stream = arrow_ipc::reader::StreamReader::try_new(arrow, None).unwrap();
        let from_arrow: Vec<_> = stream.map(Result::unwrap).collect();
        assert_eq!(from_parquet[0].columns(), from_arrow[0].columns());
        let schema = from_arrow[0].schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, columns);
        let values = from_parquet[0].column_by_name("value").unwrap();
        let values: Vec<_> =
            values.as_primitive::<arrow_array::types::Float64Type>().iter().collect();

        let csv = String::from_utf8(written(QueryFormat::Csv)).unwrap();
        assert_eq!(csv.lines().next().unwrap(), columns.join(","));
        let json = String::from_utf8(written(QueryFormat::Json)).unwrap();
        let objects: Vec<serde_json::Value> =
            json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (object, value) in objects.iter().zip(&values) {
            assert_eq!(object["value"].as_f64(), *value, "{object}");
            assert_eq!(object.as_object().unwrap().len(), columns.len());
        }
        let places = columns.iter().map(|name| json.find(&format!("\"{name}\":")).unwrap());
        assert!(places.is_sorted(), "in the order of the columns");
        // A decimal with all its digits, as the register has them.
        assert!(
            json.contains("\"value\":3.00,") && csv.contains(",3.00,,kWh,Good,0"),
            "{json}{csv}"
        );
        assert!(json.contains("\"value\":null,\"text\":null"), "{json}");
    }
}

fn bytes_of(bytes: Vec<u8>) -> bytes::Bytes {
    bytes.into()
}

/// Someone who has seen enough.
struct Pipe {
    bytes: usize,
}

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes += bytes.len();
        if self.bytes > 9_000 {
            Err(std::io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_closes_its_pipe_ends_the_query() {
    // More than any buffer on the way holds.
    let store = store_of(&[(0..600).map(|at| (at, Some(at))).collect()]);
    for format in [QueryFormat::Csv, QueryFormat::Json] {
        let mut pipe = Pipe { bytes: 0 };
        let error =
            query(store.readings().as_ref(), &Request::default(), format, &mut pipe).unwrap_err();
        let crate::query::QueryError::Write(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
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

/// The row of electricity in Table 1 of these meters.
fn quantity(plant: &Plant, meters: &Meters, period: Period) -> Figure {
    let facts = Facts::read(plant, &[]).unwrap();
    let inputs = Inputs { plant, facts: &facts, meters, commit: None };
    energy::table1(&inputs, period, BasisChoice::Equivalent).unwrap().rows[0].quantity.clone()
}

/// The same, of what a store holds.
fn figure(store: &MemoryStore, plant: &Plant, period: &str) -> Figure {
    let period: Period = period.parse().unwrap();
    let view = StoreView::new(store.readings(), None).unwrap();
    let span = period.span(&plant.time_zone);
    quantity(plant, &view.meters(plant, span, &Cancel::default()).unwrap().meters, period)
}
