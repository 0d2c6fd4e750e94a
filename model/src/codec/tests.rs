//! What the codec must do, and what it must refuse.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic, and does so at the line that is wrong"
)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::sample::Value;
use crate::time::Timestamp;

const DICTIONARY: DictionaryHash = DictionaryHash([7; 32]);

fn sample(point: u32, source: i64, gateway: i64, value: Value) -> Sample {
    Sample {
        point: PointIndex(point),
        source_time: Timestamp(source),
        gateway_time: Timestamp(gateway),
        quality: Quality::GOOD,
        value: Some(value),
    }
}

fn batch(samples: Vec<Sample>) -> Batch {
    Batch { dictionary: DICTIONARY, samples }
}

fn check(samples: Vec<Sample>) -> usize {
    let batch = batch(samples);
    let body = encode(&batch).unwrap();
    let back = decode(&body).unwrap();
    assert!(same(&back, &batch), "expected {batch:?}, found {back:?}");
    body.len()
}

/// Equality that tells 0.0 from -0.0.
fn same(a: &Batch, b: &Batch) -> bool {
    let bits = |batch: &Batch| -> Vec<Option<u64>> {
        let bits = |value| match value {
            Value::Float(value) => f64::to_bits(value),
            Value::Decimal(_) => 0,
        };
        batch.samples.iter().map(|sample| sample.value.map(bits)).collect()
    };
    a == b && bits(a) == bits(b)
}

fn column(values: impl IntoIterator<Item = Value>) -> Vec<Sample> {
    let at = |i: usize| 1_700_000_000_000_000 + i64::try_from(i).unwrap() * 1_000_000;
    let values = values.into_iter().enumerate();
    values.map(|(i, value)| sample(0, at(i), at(i) + 3_000, value)).collect()
}

fn decimals(values: &[i64]) -> usize {
    check(column(values.iter().copied().map(Value::Decimal)))
}

fn floats(values: &[f64]) -> usize {
    check(column(values.iter().copied().map(Value::Float)))
}

#[test]
fn what_is_written_is_read() {
    check(vec![]);
    decimals(&[0]);
    decimals(&[1, 2, 3, 5, 8]);
    decimals(&[i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN]);
    decimals(&[-1; 100]);
    floats(&[0.0, -0.0]);
    floats(&[f64::MIN_POSITIVE, 5e-324, -5e-324, f64::MAX, f64::MIN]);
    floats(&[0.1, 0.2, 0.1 + 0.2]);
    floats(&[230.1, 229.9, 230.0]);
    floats(&[f64::from(230.1_f32), f64::from(229.9_f32)]);
    floats(&[f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX), f64::from(1e-45_f32)]);
    floats(&[9_007_199_254_740_993.0, -1e15, 1e15]);
}

#[test]
fn times_of_every_kind_are_kept() {
    let one = |source, gateway| check(vec![sample(0, source, gateway, Value::Decimal(0))]);
    one(0, 0);
    one(i64::MIN, i64::MAX);
    one(i64::MAX, i64::MIN);
    one(1_700_000_000_000_000, 1_699_999_999_999_999);
    check((0..5).map(|i| sample(i, i64::MIN, i64::MIN, Value::Decimal(0))).collect());
    check(vec![
        sample(1, i64::MIN, i64::MAX, Value::Decimal(0)),
        sample(1, i64::MAX, i64::MIN, Value::Decimal(0)),
        sample(u32::MAX, -5, 5, Value::Decimal(0)),
    ]);
}

#[test]
fn bad_samples_have_no_value() {
    let mut samples = column([1, 2, 3, 4].map(Value::Decimal));
    samples[1].quality = Quality::BAD_TIMEOUT;
    samples[1].value = None;
    samples[2].quality = Quality::UNCERTAIN_LAST_USABLE_VALUE;
    check(samples.clone());
    for sample in &mut samples {
        (sample.quality, sample.value) = (Quality::BAD_NOT_CONNECTED, None);
    }
    check(samples);
}

#[test]
fn points_that_were_read_together_share_their_times() {
    let at =
        |i: i64| (1_700_000_000_000_000 + i * 1_003_000, 1_700_000_000_000_000 + i * 1_007_000);
    let read = |points: u32| {
        let one = |point| (0..10).map(move |i| sample(point, at(i).0, at(i).1, Value::Decimal(5)));
        check((0..points).flat_map(one).collect())
    };
    // Only a first value of two bytes and a byte of order and parameter come with each further point.
    assert!(read(200) < read(100) + 100 * 3, "{} {}", read(200), read(100));
}

#[test]
fn device_floats_cost_no_more_than_their_digits() {
    let noise = |i: i64| 2_300 + (i * i * 7) % 13;
    let places: Vec<i64> = (0..100).map(noise).collect();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let doubles: Vec<f64> = places.iter().map(|&m| m as f64 / 10.0).collect();
    #[expect(clippy::cast_possible_truncation, reason = "what a 32-bit register does")]
    let singles: Vec<f64> = doubles.iter().map(|&v| f64::from(v as f32)).collect();
    let least = decimals(&places);
    assert!(floats(&doubles) <= least + 2);
    assert!(floats(&singles) <= least + 2);
}

#[test]
fn refuses_to_encode_what_breaks_the_rules() {
    let good = column([1, 2].map(Value::Decimal));
    let check = |change: &dyn Fn(&mut Vec<Sample>), expected: &str| {
        let mut samples = good.clone();
        change(&mut samples);
        let error = encode(&batch(samples)).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        assert!(!error.to_string().is_empty());
    };
    check(&|s| s.swap(0, 1), "Order");
    check(&|s| s[1].source_time = s[0].source_time, "Order");
    check(&|s| s[0].point = PointIndex(1), "Order");
    check(&|s| s[0].quality = Quality::BAD, "ValueAgainstQuality");
    check(&|s| s[0].value = None, "ValueAgainstQuality");
    check(&|s| (s[0].value, s[0].quality) = (None, Quality::UNCERTAIN), "ValueAgainstQuality");
    check(&|s| s[0].value = Some(Value::Float(f64::NAN)), "NotFinite");
    check(&|s| s[0].value = Some(Value::Float(f64::INFINITY)), "NotFinite");
    check(&|s| s[1].value = Some(Value::Float(1.0)), "MixedValues");
}

/// A body with a hand-made stream of bits.
fn body(write: impl FnOnce(&mut BitWriter)) -> Vec<u8> {
    let mut out = vec![CODEC_VERSION];
    out.extend_from_slice(&DICTIONARY.0);
    let mut out = BitWriter::after(out);
    write(&mut out);
    out.finish()
}

#[test]
fn each_limit_holds_to_the_unit() {
    let too_many = |result: Result<Vec<u8>, CodecError>| matches!(result, Err(CodecError::TooMany { found, max, .. }) if found == max + 1);
    let full = column((0..BATCH_SAMPLES_MAX).map(|_| Value::Decimal(1)));
    assert!(check(full.clone()) < 100, "a constant column of any length costs next to nothing");
    let over = column((0..=BATCH_SAMPLES_MAX).map(|_| Value::Decimal(1)));
    assert!(too_many(encode(&batch(over))));

    let decoded = |counts: [usize; 3]| {
        decode(&body(|out| counts.iter().for_each(|&count| out.number(count as u64))))
            .map(|_| vec![])
    };
    assert!(too_many(decoded([BATCH_SAMPLES_MAX + 1, 1, 1])));
    assert!(too_many(decoded([10, 11, 1])));
    assert!(too_many(decoded([10, 5, 6])));
    assert!(too_many(decode(&vec![CODEC_VERSION; BODY_BYTES_MAX + 1]).map(|_| vec![])));
    assert!(!too_many(decode(&vec![CODEC_VERSION; BODY_BYTES_MAX]).map(|_| vec![])));
    // A run that goes on beyond the points there are.
    let run = |repeats: u64| {
        body(|out| {
            for count in [10, 5, 1] {
                out.number(count);
            }
            out.rice(0, 2);
            out.rice(repeats, 2);
        })
    };
    assert!(too_many(decode(&run(5)).map(|_| vec![])));
    assert_eq!(decode(&run(4)).unwrap_err(), CodecError::Truncated);
}

#[test]
fn the_worst_batch_still_fits_a_frame() {
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed ^ (seed >> 31)).cast_signed()
    };
    let count = u32::try_from(BATCH_SAMPLES_MAX).unwrap();
    let samples = (0..count).map(|i| {
        let mut sample = sample(i * 200_000 + i % 7, next(), next(), Value::Decimal(next()));
        sample.quality = Quality(u32::try_from(next() & 0x3FFF_FFFF).unwrap());
        sample
    });
    let bytes = check(samples.collect());
    assert!(bytes < BODY_BYTES_MAX, "{bytes}");
}

#[test]
fn refuses_other_versions_and_left_over_bytes() {
    let mut body = encode(&batch(column([1, 2].map(Value::Decimal)))).unwrap();
    body.push(0);
    assert_eq!(decode(&body).unwrap_err(), CodecError::Trailing);
    body[0] = 2;
    assert_eq!(decode(&body).unwrap_err(), CodecError::Version { found: 2 });
    assert_eq!(decode(&[]).unwrap_err(), CodecError::Truncated);
    assert_eq!(decode(&[1; 20]).unwrap_err(), CodecError::Truncated);
}

fn values(count: usize) -> impl Strategy<Value = Vec<Value>> {
    let decimals = prop_oneof![any::<i64>(), -300..300_i64, Just(i64::MIN), Just(i64::MAX)];
    let scaled = (-100_000..100_000_i32).prop_map(f64::from);
    let floats = prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        proptest::num::f64::SUBNORMAL,
        any::<f32>().prop_filter("finite", |value| value.is_finite()).prop_map(f64::from),
        scaled.clone().prop_map(|value| value / 100.0),
        Just(-0.0),
    ];
    #[expect(clippy::cast_possible_truncation, reason = "what a 32-bit register does")]
    let singles = scaled.clone().prop_map(|value| f64::from((value / 10.0) as f32));
    prop_oneof![
        vec(decimals.prop_map(Value::Decimal), count),
        vec((0..3_i64).prop_map(Value::Decimal), count),
        vec(floats.prop_map(Value::Float), count),
        vec(scaled.prop_map(|value| Value::Float(value / 1_000.0)), count),
        vec(singles.prop_map(Value::Float), count),
    ]
}

fn times(count: usize) -> impl Strategy<Value = Vec<Times>> {
    let any_time = (any::<i64>(), any::<i64>());
    let usual = (0..100_000_000_000_i64, -90_000..90_000_i64)
        .prop_map(|(ms, lag_ms)| (ms * 1_000, (ms + lag_ms) * 1_000));
    let times = prop_oneof![1 => vec(any_time, count), 3 => vec(usual, count)];
    times.prop_map(|times| {
        let times: std::collections::BTreeMap<i64, i64> = times.into_iter().collect();
        times.into_iter().map(|(source, gateway)| (Timestamp(source), Timestamp(gateway))).collect()
    })
}

type Times = (Timestamp, Timestamp);

fn qualities(count: usize) -> impl Strategy<Value = Vec<Quality>> {
    let odd = prop_oneof![any::<u32>().prop_map(Quality), Just(Quality::BAD_TIMEOUT)];
    prop_oneof![
        3 => Just(vec![Quality::GOOD; count]),
        1 => vec(prop_oneof![5 => Just(Quality::GOOD), 1 => odd], count),
    ]
}

/// Points of one device share their times.
fn device() -> impl Strategy<Value = Vec<(u32, Vec<Sample>)>> {
    let point = |times: Vec<Times>| {
        (1..2_000_u32, values(times.len()), qualities(times.len())).prop_map(
            move |(step, values, qualities)| {
                let parts = times.iter().zip(&values).zip(&qualities);
                let samples = parts.map(|((&(source_time, gateway_time), &value), &quality)| {
                    let value = (!quality.is_bad()).then_some(value);
                    Sample { point: PointIndex(0), source_time, gateway_time, quality, value }
                });
                (step, samples.collect())
            },
        )
    };
    (1..30_usize).prop_flat_map(times).prop_flat_map(move |times| vec(point(times), 0..6))
}

fn batches() -> impl Strategy<Value = Batch> {
    (any::<[u8; 32]>(), vec(device(), 0..5)).prop_map(|(hash, devices)| {
        let mut index = 0;
        let mut samples = Vec::new();
        for (step, point) in devices.into_iter().flatten() {
            index += step;
            samples.extend(point.into_iter().map(|s| Sample { point: PointIndex(index), ..s }));
        }
        Batch { dictionary: DictionaryHash(hash), samples }
    })
}

proptest! {
    #[test]
    fn every_batch_comes_back(batch in batches()) {
        let body = encode(&batch).unwrap();
        prop_assert!(same(&decode(&body).unwrap(), &batch));
    }

    #[test]
    fn no_bytes_make_it_panic(mut body in vec(any::<u8>(), 0..400)) {
        drop(decode(&body));
        // Past the version, too; small first numbers get further.
        if let Some(version) = body.first_mut() {
            *version = CODEC_VERSION;
        }
        drop(decode(&body));
    }

    #[test]
    fn damaged_bytes_make_an_error_or_a_valid_batch(
        batch in batches(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut body = encode(&batch).unwrap();
        let at = at.index(body.len());
        prop_assert!(decode(&body[..at]).is_err(), "cut at {}", at);
        body[at] ^= 1 << bit;
        if let Ok(batch) = decode(&body) {
            prop_assert_eq!(rules::check(&batch.samples), Ok(()));
        }
    }
}
