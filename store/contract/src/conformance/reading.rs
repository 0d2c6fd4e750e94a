//! Checks of the side that figures, queries and screens read.

use std::sync::Arc;

use arrow_array::Array;
use model::sample::SampleFlags;
use model::text::Text;
use model::{CommitNumber, PointId, Quality, Sample, Timestamp, Value, ValueType};

use super::Engine;
use super::plant::{Plant, START, Wanted, collect, good, rows_in, rows_of};
use crate::draft::CommitDraft;
use crate::readings::{Cancel, Points, Readings, Request, RowChoice, column, schema};
use crate::store::Store;

const DECIMAL: ValueType = ValueType::Decimal { exponent: -2 };

fn all() -> Request {
    Request { choice: RowChoice::All, ..Request::default() }
}

async fn commit(store: &mut dyn Store, plant: &Plant, sequence: u64, samples: Vec<Sample>) {
    store.put_dictionary(&plant.dictionary).await.expect("a dictionary is kept");
    let draft = plant.draft(sequence - 1, vec![plant.frame_of(sequence, samples)]);
    store.commit(draft).await.expect("a commit");
    store.maintain().await.expect("maintenance");
}

pub(super) async fn columns_are_those_of_the_contract(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    commit(store.as_mut(), &plant, 1, vec![good(0, 1, Value::Decimal(1))]).await;
    let readings = engine.readings().await;
    let batches = collect(readings.as_ref(), &Request::default());
    assert_eq!(batches[0].schema(), schema());
    let columns = vec![column::SEQ, column::TS];
    let request = Request { columns, ..Request::default() };
    let batches = collect(readings.as_ref(), &request);
    let names: Vec<_> = batches[0].schema().fields().iter().map(|one| one.name().clone()).collect();
    assert_eq!(names, [column::TS, column::SEQ], "in the order of the contract");
}

pub(super) async fn values_of_each_type_come_back_exactly(engine: &mut dyn Engine) {
    let types = [
        ("m/bool", ValueType::Bool),
        ("m/dec", ValueType::Decimal { exponent: -3 }),
        ("m/flt", ValueType::Float),
        ("m/txt", ValueType::Text),
    ];
    let (plant, mut store) = (Plant::new("gw-1", 1, &types), engine.open().await);
    let text = |text: &str| Value::Text(Text::new(text).expect("a text"));
    let mut recovered = good(1, 3, Value::Decimal(7));
    recovered.flags = SampleFlags::RECOVERED;
    let samples = vec![
        good(0, 1, Value::Bool(false)),
        good(0, 2, Value::Bool(true)),
        good(1, 1, Value::Decimal(i64::MIN)),
        good(1, 2, Value::Decimal(i64::MAX)),
        recovered,
        good(2, 1, Value::Float(0.1)),
        good(2, 2, Value::Float(-0.0)),
        good(2, 3, Value::Float(f64::MIN_POSITIVE)),
        good(3, 1, text("")),
        good(3, 2, text("程序 7, \"quoted\"\nsecond line")),
        good(3, 3, text(&"x".repeat(model::text::TEXT_BYTES_MAX))),
    ];
    commit(store.as_mut(), &plant, 1, samples).await;
    let rows = rows_of(engine.readings().await.as_ref(), &all());
    let of = |point: &str| rows.iter().filter(|row| row.point == point).collect::<Vec<&Wanted>>();
    let bools = of("m/bool");
    assert_eq!([bools[0].value, bools[1].value], [Some(0.0), Some(1.0)]);
    assert!(bools.iter().all(|row| row.decimal.is_none() && row.text.is_none()));
    let decimals: Vec<_> =
        of("m/dec").iter().map(|row| (row.decimal, row.value, row.flags)).collect();
    assert_eq!(decimals[0], (Some((i64::MIN, -3)), Some(-9_223_372_036_854_775.808), 0));
    assert_eq!(decimals[1], (Some((i64::MAX, -3)), Some(9_223_372_036_854_775.807), 0));
    assert_eq!(decimals[2], (Some((7, -3)), Some(0.007), 1));
    let floats: Vec<_> = of("m/flt").iter().map(|row| row.value.map(f64::to_bits)).collect();
    assert_eq!(floats, [0.1, -0.0, f64::MIN_POSITIVE].map(|value: f64| Some(value.to_bits())));
    assert!(of("m/flt").iter().all(|row| row.decimal.is_none()));
    let texts: Vec<_> =
        of("m/txt").iter().map(|row| row.text.clone().unwrap_or_default()).collect();
    assert_eq!(texts[..2], ["", "程序 7, \"quoted\"\nsecond line"]);
    assert_eq!(texts[2].len(), model::text::TEXT_BYTES_MAX);
    assert!(of("m/txt").iter().all(|row| row.value.is_none() && row.text.is_some()));
    assert!(rows.iter().all(|row| row.unit == "kWh"));
}

pub(super) async fn qualities_come_back_as_words_and_codes(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    let time = |at| Timestamp(START + at);
    let with = |at, quality| {
        Sample::new(
            good(0, at, Value::Decimal(1)).point,
            time(at),
            time(at),
            quality,
            Value::Decimal(1),
        )
    };
    let bad = |at, quality| {
        Sample::without_value(good(0, at, Value::Decimal(1)).point, time(at), time(at), quality)
    };
    let uncertain = Quality(0x40A4_0001);
    let samples = vec![
        with(1, Quality::GOOD),
        with(2, Quality(0x0000_0480)),
        with(3, uncertain),
        bad(4, Quality::BAD_TIMEOUT),
        bad(5, Quality(u32::MAX)),
    ];
    commit(store.as_mut(), &plant, 1, samples).await;
    let rows = rows_of(engine.readings().await.as_ref(), &all());
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.quality.as_str(), row.status, row.decimal.is_some(), row.value.is_some()))
        .collect();
    assert_eq!(
        found,
        [
            ("Good", 0, true, true),
            ("Good", 0x0480, true, true),
            ("Uncertain", 0x40A4_0001, true, true),
            ("Bad", 0x800A_0000, false, false),
            ("Bad", 0xFFFF_FFFF, false, false),
        ]
    );
}

pub(super) async fn both_ends_of_time_are_stored(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    let at = |time: Timestamp| Sample {
        source_time: time,
        gateway_time: time,
        ..good(0, 0, Value::Decimal(1))
    };
    commit(
        store.as_mut(),
        &plant,
        1,
        vec![at(Timestamp::MIN), at(Timestamp(0)), at(Timestamp::MAX)],
    )
    .await;
    let readings = engine.readings().await;
    let times = |request: &Request| -> Vec<i64> {
        rows_of(readings.as_ref(), request).iter().map(|row| row.at + START).collect()
    };
    let mut expected = vec![Timestamp::MIN.0, 0, Timestamp::MAX.0];
    expected.dedup();
    let mut found = times(&all());
    found.dedup();
    assert_eq!(found, expected);
    let from = Request { from: Some(Timestamp::MAX), ..all() };
    assert_eq!(times(&from), [Timestamp::MAX.0]);
    let to = Request { to: Some(Timestamp::MAX), ..all() };
    assert!(times(&to).iter().all(|time| *time < Timestamp::MAX.0));
}

pub(super) async fn a_correction_is_chosen_and_both_rows_stay(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    for (sequence, value) in [(1, 100), (2, 250)] {
        let samples =
            vec![good(0, 5, Value::Decimal(value)), good(0, 6 + value, Value::Decimal(1))];
        commit(store.as_mut(), &plant, sequence, samples).await;
    }
    // A newer log wins over a higher sequence, whenever it came.
    let newer = Plant { log_id: model::LogId([2; 16]), ..plant.clone() };
    commit(store.as_mut(), &newer, 1, vec![good(0, 5, Value::Decimal(300))]).await;
    commit(store.as_mut(), &plant, 3, vec![good(0, 5, Value::Decimal(400))]).await;
    let readings = engine.readings().await;
    let at_5 = |request: &Request| -> Vec<i64> {
        let rows = rows_of(readings.as_ref(), request);
        rows.iter().filter(|row| row.at == 5).filter_map(|row| Some(row.decimal?.0)).collect()
    };
    assert_eq!(at_5(&all()), [100, 250, 400, 300]);
    assert_eq!(at_5(&Request::default()), [300]);
    assert_eq!(rows_of(readings.as_ref(), &Request::default()).len(), 3);
}

/// A small generator of noise, the same in every run.
fn noise(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

fn small(number: u64) -> i64 {
    i64::try_from(number).unwrap_or_default()
}

/// Rows of five points over three days, in commits that overlap in time; what was committed, in the order of the table.
pub(super) async fn scattered(engine: &mut dyn Engine) -> (Arc<dyn Readings>, Vec<Wanted>) {
    let names = ["a/e", "a/f", "b", "b/e", "c/e"];
    let plant = Plant::new("gw-1", 1, &names.map(|name| (name, DECIMAL)));
    let mut store = engine.open().await;
    let mut seed = 7;
    let mut expected = Vec::new();
    for sequence in 1..=40_u64 {
        let mut samples: Vec<Sample> = (0..30)
            .map(|_| {
                let point = u32::try_from(noise(&mut seed, 5)).unwrap_or_default();
                let at = small(noise(&mut seed, 3 * 864)) * 100_000_000;
                let mut sample = good(point, at, Value::Decimal(small(noise(&mut seed, 1_000))));
                if noise(&mut seed, 9) == 0 {
                    let (point, time) = (sample.point, sample.source_time);
                    sample = Sample::without_value(point, time, time, Quality::BAD_TIMEOUT);
                }
                sample
            })
            .collect();
        // One frame states each point and time once.
        samples.sort_by_key(|one| (one.point, one.source_time));
        samples.dedup_by_key(|one| (one.point, one.source_time));
        for sample in &samples {
            let decimal = match sample.value {
                Some(Value::Decimal(value)) => Some((value, -2)),
                _ => None,
            };
            expected.push(Wanted {
                point: names[usize::try_from(sample.point.0).unwrap_or_default()].to_owned(),
                at: sample.source_time.0 - START,
                decimal,
                value: decimal.and_then(|(value, _)| format!("{value}e-2").parse().ok()),
                text: None,
                unit: "kWh".to_owned(),
                quality: if decimal.is_some() { "Good" } else { "Bad" }.to_owned(),
                status: i64::from(sample.quality.0),
                flags: 0,
                place: (1, small(sequence), small(sequence)),
            });
        }
        commit(store.as_mut(), &plant, sequence, samples).await;
    }
    expected.sort_by(|a, b| (&a.point, a.at, a.place).cmp(&(&b.point, b.at, b.place)));
    (engine.readings().await, expected)
}

pub(super) async fn late_and_shuffled_rows_come_in_order(engine: &mut dyn Engine) {
    let (readings, expected) = scattered(engine).await;
    assert_eq!(rows_of(readings.as_ref(), &all()), expected);
}

/// The reader's rule, plainly.
fn chosen(rows: &[Wanted]) -> Vec<Wanted> {
    let mut chosen: Vec<Wanted> = Vec::new();
    for row in rows {
        if chosen.last().is_some_and(|last| (&last.point, last.at) == (&row.point, row.at)) {
            chosen.pop();
        }
        chosen.push(row.clone());
    }
    chosen
}

pub(super) async fn as_of_a_commit_nothing_later_is_seen(engine: &mut dyn Engine) {
    let (readings, expected) = scattered(engine).await;
    for commit in [0, 1, 17, 39, 40, 99] {
        let as_of = Some(CommitNumber(commit));
        let then: Vec<Wanted> =
            expected.iter().filter(|row| row.place.2 <= small(commit)).cloned().collect();
        assert_eq!(rows_of(readings.as_ref(), &Request { as_of, ..all() }), then);
        let by_rule = rows_of(readings.as_ref(), &Request { as_of, ..Request::default() });
        assert_eq!(by_rule, chosen(&then));
    }
}

pub(super) async fn a_snapshot_stays_what_it_is(engine: &mut dyn Engine) {
    let (plant, mut store) = (Plant::of_one(), engine.open().await);
    commit(store.as_mut(), &plant, 1, vec![good(0, 1, Value::Decimal(1))]).await;
    let old = engine.readings().await;
    commit(store.as_mut(), &plant, 2, vec![good(0, 2, Value::Decimal(2))]).await;
    assert_eq!(rows_of(old.as_ref(), &all()).len(), 1);
    assert_eq!(old.commit_number().0, 1);
    let new = old.renewed().expect("the newest version");
    assert_eq!((new.commit_number().0, rows_of(new.as_ref(), &all()).len()), (2, 2));
}

pub(super) async fn what_is_handed_down_equals_what_is_filtered_after(engine: &mut dyn Engine) {
    let (readings, expected) = scattered(engine).await;
    let id = |name: &str| PointId::new(format!("acme/nb-1/{name}")).expect("an id");
    let prefix = |name: &str| format!("acme/nb-1/{name}");
    let points = [
        Points::All,
        Points::Prefixes(vec![prefix("b")]),
        Points::Prefixes(vec![prefix("a/"), prefix("c")]),
        Points::Prefixes(vec![prefix("zz")]),
        Points::Exactly(vec![id("b")]),
        Points::Exactly(vec![id("c/e"), id("a/f"), id("d")]),
        Points::Exactly(Vec::new()),
    ];
    let day = 86_400_000_000;
    let times = [
        (None, None),
        (Some(0), Some(day)),
        (Some(day / 2), None),
        (None, Some(1)),
        (Some(day), Some(day)),
    ];
    for points in points {
        for (from, to) in times {
            let time = |at: Option<i64>| at.map(|at| Timestamp(START + at));
            let request =
                Request { points: points.clone(), from: time(from), to: time(to), ..all() };
            let wanted = |row: &&Wanted| {
                points.wants(&prefix(&row.point))
                    && from.is_none_or(|from| from <= row.at)
                    && to.is_none_or(|to| row.at < to)
            };
            let filtered: Vec<Wanted> = expected.iter().filter(wanted).cloned().collect();
            assert_eq!(rows_of(readings.as_ref(), &request), filtered, "{request:?}");
            let by_rule = Request { choice: RowChoice::Chosen, ..request.clone() };
            assert_eq!(rows_of(readings.as_ref(), &by_rule), chosen(&filtered), "{by_rule:?}");
            // Columns that are not wanted change no row.
            let columns = vec![column::TS, column::MANTISSA];
            let narrow = collect(readings.as_ref(), &Request { columns, ..request });
            let count: usize = narrow.iter().map(arrow_array::RecordBatch::num_rows).sum();
            assert_eq!(count, filtered.len());
        }
    }
}

pub(super) async fn the_last_rows_are_the_last_of_all_rows(engine: &mut dyn Engine) {
    let (readings, expected) = scattered(engine).await;
    for (to, as_of) in [(None, None), (Some(1_000_000_000), None), (None, Some(20))] {
        let request = Request {
            to: to.map(|at| Timestamp(START + at)),
            as_of: as_of.map(CommitNumber),
            ..Request::default()
        };
        let wanted = |row: &&Wanted| {
            to.is_none_or(|to| row.at < to) && as_of.is_none_or(|as_of| row.place.2 <= small(as_of))
        };
        let of_all = chosen(&expected.iter().filter(wanted).cloned().collect::<Vec<_>>());
        let mut last: Vec<Wanted> = Vec::new();
        for row in of_all {
            if last.last().is_some_and(|before| before.point == row.point) {
                last.pop();
            }
            last.push(row);
        }
        let rows = readings.last_rows(&request).expect("an answer");
        let found: Vec<Wanted> = rows.flat_map(|batch| rows_in(&batch.expect("a batch"))).collect();
        assert_eq!(found, last);
    }
}

pub(super) async fn many_points_and_commits_come_sorted_once_each(engine: &mut dyn Engine) {
    let names: Vec<String> = (0..500).map(|at| format!("d{at:03}/e")).collect();
    let points: Vec<(&str, ValueType)> =
        names.iter().map(|name| (name.as_str(), DECIMAL)).collect();
    let plant = Plant::new("gw-1", 1, &points);
    let mut store = engine.open().await;
    store.put_dictionary(&plant.dictionary).await.expect("a dictionary is kept");
    let rounds = 24_u64;
    for sequence in 1..=rounds {
        let samples =
            (0..500).map(|point| good(point, small(sequence), Value::Decimal(i64::from(point))));
        let frames = vec![plant.frame_of(sequence, samples.collect())];
        let draft = CommitDraft { frames, watermarks: vec![plant.step(sequence - 1, sequence)] };
        store.commit(Arc::new(draft)).await.expect("a commit");
        store.maintain().await.expect("maintenance");
    }
    let readings = engine.readings().await;
    let rows = rows_of(readings.as_ref(), &Request::default());
    assert_eq!(rows.len() as u64, 500 * rounds);
    let sorted =
        rows.windows(2).all(|pair| (&pair[0].point, pair[0].at) < (&pair[1].point, pair[1].at));
    assert!(sorted, "each (point, time) comes once, in order");
}

pub(super) async fn a_cancelled_stream_ends(engine: &mut dyn Engine) {
    let (readings, expected) = scattered(engine).await;
    assert!(!expected.is_empty());
    let cancel = Cancel::default();
    let request = Request { cancel: cancel.clone(), ..all() };
    let mut rows = readings.rows(&request).expect("an answer");
    cancel.cancel();
    assert!(rows.next().is_none(), "nothing comes after it was cancelled");
    // A stream that is dropped half-way leaves nothing behind.
    let mut rows = readings.rows(&all()).expect("an answer");
    let first = rows.next().expect("a first batch").expect("a batch");
    assert!(first.num_rows() > 0 && first.column(0).null_count() == 0);
    drop(rows);
    assert_eq!(rows_of(readings.as_ref(), &all()), expected);
}
