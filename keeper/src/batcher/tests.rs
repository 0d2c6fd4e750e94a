//! What becomes one batch, and in which order batches are numbered.

use model::dictionary::DisplayName;
use model::{
    Place, PointId, PointInfo, PointKind, Quality, Text, Timestamp, Unit, ValueType, codec,
};
use proptest::prelude::*;

use super::*;
use crate::points::PointTableBuilder;

/// Two dictionaries: points 0 to 2 of one device, and those of another, which has so many that it has one of its own.
fn table(value_type: ValueType) -> PointTable {
    let mut table = PointTableBuilder::default();
    for device in ["a", "b"] {
        let point = |metric| PointInfo {
            id: PointId::new(format!("acme/nb/{device}/u{metric}")).unwrap(),
            place: Place { enterprise: "acme".into(), site: "nb".into(), area: None, line: None },
            device: device.to_owned(),
            metric: format!("u{metric}"),
            device_name: DisplayName::default(),
            unit: Unit::Volt,
            kind: PointKind::Gauge,
            value_type,
            modulus: None,
            states: Vec::new(),
            interval_ms: None,
            profile: None,
        };
        let points = if device == "a" { 3 } else { 4_095 };
        table.add_device((0..points).map(point).collect()).unwrap();
    }
    table.finish().unwrap()
}

fn sample_of(point: u32, time: i64, value: Value) -> Sample {
    let (point, time) = (PointIndex(point), Timestamp(time));
    Sample::new(point, time, time, Quality::GOOD, value)
}

fn sample(point: u32, time: i64, value: i64) -> Sample {
    sample_of(point, time, Value::Decimal(value))
}

/// The batches, with the points counted over the gateway.
fn batches(samples: impl IntoIterator<Item = Sample>) -> Vec<Vec<Sample>> {
    let table = table(ValueType::Decimal { exponent: 0 });
    let mut batcher = Batcher::default();
    samples.into_iter().for_each(|sample| batcher.push(sample));
    let cut = batcher.cut(&table).into_iter().map(|cut| {
        codec::encode(&cut.batch).unwrap();
        assert_eq!(cut.batch.dictionary, table.dictionaries()[cut.dictionary].hash);
        let wide = |sample: &Sample| Sample { point: cut.point(sample), ..sample.clone() };
        cut.batch.samples.iter().map(wide).collect()
    });
    cut.collect()
}

#[test]
fn an_equal_sample_is_dropped_and_a_different_one_opens_the_next_batch() {
    let (a, b, c) = (|| sample(1, 10, 5), || sample(1, 10, 6), || sample(0, 10, 1));
    assert_eq!(batches([a(), a(), c()]), [vec![c(), a()]]);
    assert_eq!(batches([a(), b(), c()]), [vec![c(), a()], vec![b()]]);
    assert_eq!(batches([a(), b(), a()]), [vec![a()], vec![b()], vec![a()]]);
}

#[test]
fn a_batch_has_points_of_one_dictionary() {
    let of = |point| sample(point, 10, 5);
    assert_eq!(batches([of(4), of(0), of(2)]), [vec![of(0), of(2)], vec![of(4)]]);
    let other = sample(4, 10, 6);
    assert_eq!(batches([of(4), of(0), other.clone()]), [vec![of(0)], vec![of(4)], vec![other]]);
}

#[test]
fn a_batch_holds_no_more_than_a_frame_may() {
    let many = i64::try_from(BATCH_SAMPLES_MAX).unwrap() + 1;
    let cut = batches((0..many).map(|time| sample(0, time, 1)));
    assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH_SAMPLES_MAX, 1]);
}

#[test]
fn a_batch_holds_no_more_text_than_a_frame_may() {
    let table = table(ValueType::Text);
    let mut batcher = Batcher::default();
    for time in 0..300 {
        let text = Text::new(format!("{time:01024}")).unwrap();
        batcher.push(sample_of(0, time, Value::Text(text)));
    }
    // A text that stands is written once.
    let standing = Value::Text(Text::new("s".repeat(1_024)).unwrap());
    for time in 300..3_000 {
        batcher.push(sample_of(0, time, standing.clone()));
    }
    let cut = batcher.cut(&table);
    let sizes: Vec<usize> = cut.iter().map(|cut| cut.batch.samples.len()).collect();
    assert_eq!(sizes, [128, 128, 2_744]);
    for cut in cut {
        let body = codec::encode(&cut.batch).unwrap();
        assert_eq!(codec::decode(&body).unwrap(), cut.batch);
    }
}

proptest! {
    #[test]
    fn keeps_every_different_value_in_its_order(
        pushed in proptest::collection::vec((0..6_u32, 0..3_i64, 0..3_i64), 0..60),
    ) {
        let samples: Vec<Sample> = pushed.iter().map(|(p, t, v)| sample(*p, *t, *v)).collect();
        let cut = batches(samples.clone());
        for batch in &cut {
            let keys: Vec<_> = batch.iter().map(key).collect();
            prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(batch.iter().all(|s| s.point.0 / 3 == batch[0].point.0 / 3));
        }
        for point in 0..6 {
            for time in 0..3 {
                let is_key = |s: &&Sample| s.point.0 == point && s.source_time.0 == time;
                let values = |s: &Sample| s.value.clone();
                let mut expected: Vec<_> = samples.iter().filter(is_key).map(values).collect();
                expected.dedup();
                let kept: Vec<_> = cut.iter().flatten().filter(is_key).map(values).collect();
                prop_assert_eq!(kept, expected);
            }
        }
    }
}
