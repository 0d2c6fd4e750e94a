//! Checks of what a store says of its points.

use std::collections::BTreeMap;

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use model::{LogId, Timestamp, Value, ValueType};

use super::Engine;
use super::plant::{Plant, START, good};
use super::reading::scattered;
use crate::points::{FirstAndLast, schema, stored_points, table};
use crate::readings::Cancel;

pub(super) async fn first_and_last_readings_are_those_of_all_rows(engine: &mut dyn Engine) {
    let (readings, rows) = scattered(engine).await;
    let mut expected: BTreeMap<String, FirstAndLast> = BTreeMap::new();
    // A Bad sample is no reading.
    for row in rows.iter().filter(|row| row.decimal.is_some()) {
        let at = Timestamp(START + row.at);
        let known = expected.entry(format!("acme/nb-1/{}", row.point)).or_insert((at, at));
        *known = (known.0.min(at), known.1.max(at));
    }
    let found = readings.point_times(&Cancel::default()).expect("an answer");
    assert_eq!((found.times, found.damaged), (expected, Vec::new()));
}

pub(super) async fn points_are_described_by_the_newest_dictionary_of_their_device(
    engine: &mut dyn Engine,
) {
    let decimal = ValueType::Decimal { exponent: -2 };
    let old = Plant::new("gw-1", 1, &[("m/e", decimal), ("m/old", decimal), ("n/e", decimal)]);
    let new = Plant::new("gw-1", 1, &[("m/e", ValueType::Float), ("m/new", decimal)]);
    let other = Plant { log_id: LogId([2; 16]), ..Plant::new("gw-2", 2, &[("o/e", decimal)]) };
    let announced = Plant::new("gw-3", 3, &[("p/e", decimal)]);
    let mut store = engine.open().await;
    for plant in [&old, &new, &other, &announced] {
        store.put_dictionary(&plant.dictionary).await.expect("a dictionary is kept");
    }
    let sample = |value| vec![good(0, 1, value)];
    let decimals = || sample(Value::Decimal(1));
    for draft in [
        old.draft(0, vec![old.frame_of(1, decimals())]),
        new.draft(1, vec![new.frame_of(2, sample(Value::Float(1.0)))]),
        other.draft(0, vec![other.frame_of(1, decimals())]),
    ] {
        store.commit(draft).await.expect("a commit");
    }
    let readings = engine.readings().await;
    let (points, damaged) = stored_points(readings.as_ref(), &Cancel::default()).expect("points");
    assert_eq!(damaged, []);
    let found: Vec<_> = points
        .iter()
        .map(|point| {
            let described = point.described.as_ref().expect("each is described");
            let gateway = described.gateway.as_ref().map_or("", |gateway| gateway.as_str());
            let kind = described.info().value_type.kind();
            (point.id.as_str(), kind, gateway, described.is_current, point.times.is_some())
        })
        .collect();
    let expected = [
        ("acme/nb-1/m/e", "float", "gw-1", true, true),
        ("acme/nb-1/m/new", "decimal", "gw-1", true, false),
        ("acme/nb-1/m/old", "decimal", "gw-1", false, false),
        // The newer dictionary is of another device.
        ("acme/nb-1/n/e", "decimal", "gw-1", true, false),
        ("acme/nb-1/o/e", "decimal", "gw-2", true, true),
        ("acme/nb-1/p/e", "decimal", "", true, false),
    ];
    assert_eq!(found, expected);
    let table = table(&points);
    assert_eq!((table.schema(), table.num_rows()), (schema(), expected.len()));
    let units = table.column_by_name("unit").expect("a column").as_string::<i32>();
    assert!(units.iter().all(|unit| unit == Some("kWh")));
    let first = table.column_by_name("first_ts").expect("a column");
    assert_eq!(first.null_count(), 4);
}
