//! What the codec must do, and what it must refuse.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic, and does so at the line that is wrong"
)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::form::{FORMS_OF_DOUBLES, PLACES_MAX};
use super::*;
use crate::sample::{BATCH_TEXT_BYTES_MAX, Value};
use crate::text::{TEXT_BYTES_MAX, Text};
use crate::time::Timestamp;

const DICTIONARY: DictionaryHash = DictionaryHash([7; 32]);

fn sample(point: u32, source: i64, gateway: i64, value: Value) -> Sample {
    Sample {
        point: PointIndex(point),
        source_time: Timestamp(source),
        gateway_time: Timestamp(gateway),
        quality: Quality::GOOD,
        flags: SampleFlags::default(),
        value: Some(value),
    }
}

fn text(text: &str) -> Value {
    Value::Text(Text::new(text).unwrap())
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
        let bits = |value: &Value| match value {
            Value::Float(value) => f64::to_bits(*value),
            _ => 0,
        };
        batch.samples.iter().map(|sample| sample.value.as_ref().map(bits)).collect()
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
    check(column([true, false, false, true].map(Value::Bool)));
    check(column([false; 100].map(Value::Bool)));
    check(column(["", "O1234", "O1234", "", "报警 17\u{0}", "O5"].map(text)));
    check(column([text(&"a".repeat(TEXT_BYTES_MAX))]));
}

#[test]
fn flags_are_kept() {
    let mut samples = column([1, 2, 3, 4].map(Value::Decimal));
    samples[1].flags = SampleFlags::RECOVERED;
    samples[2].flags = SampleFlags::CLOCK_UNSYNCHRONISED.with(SampleFlags::RECOVERED);
    (samples[3].quality, samples[3].value) = (Quality::BAD_TIMEOUT, None);
    samples[3].flags = SampleFlags::CLOCK_UNSYNCHRONISED;
    check(samples);
}

/// A text that many samples and points share is written once.
#[test]
fn a_text_that_stands_costs_next_to_nothing() {
    let alarm = "主轴过热 spindle overheated";
    let standing = |count: usize| check(column(std::iter::repeat_n(text(alarm), count)));
    assert!(standing(10_000) <= standing(2) + 16, "{} {}", standing(10_000), standing(2));
    let point = |index: u32| (0..10).map(move |i| sample(index, i, i, text(alarm)));
    let bytes = check((0..100).flat_map(point).collect());
    assert!(bytes < 33 + alarm.len() + 100 * 2, "{bytes}");
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
    for other in [Value::Float(1.0), Value::Bool(true), text("1")] {
        check(&|s| s[1].value = Some(other.clone()), "MixedValues");
    }
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
    let one = |i: usize| text(&format!("{i:01024}"));
    let full = column((0..BATCH_TEXT_BYTES_MAX / 1_024).map(one));
    check(full);
    let over = column((0..=BATCH_TEXT_BYTES_MAX / 1_024).map(one));
    let found = (BATCH_TEXT_BYTES_MAX + 1_024) as u64;
    let error = encode(&batch(over)).unwrap_err();
    assert!(matches!(error, CodecError::TooMany { found: f, .. } if f == found), "{error}");
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
        let value = if i % 8 == 0 {
            text(&format!("{:07}", i / 8).repeat(7))
        } else {
            Value::Decimal(next())
        };
        let mut sample = sample(i * 200_000 + i % 7, next(), next(), value);
        sample.flags = SampleFlags::from_bits(u64::from(i % 4)).unwrap();
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
    for found in [0, 3, 255] {
        body[0] = found;
        assert_eq!(decode(&body).unwrap_err(), CodecError::Version { found });
    }
    assert_eq!(decode(&[]).unwrap_err(), CodecError::Truncated);
    assert_eq!(decode(&[1; 20]).unwrap_err(), CodecError::Truncated);
}

/// A body of one point of one text, with what stands after the counts and times made by hand.
fn texts(flags: u64, form: u64, place: i64, table: &[&[u8]]) -> Result<Batch, CodecError> {
    decode(&body(|out| {
        for count in [1, 1, 1] {
            out.number(count);
        }
        // Point 0, track 0, its length 1, the units, source time 0, lag 0.
        out.runs([0_u64; 1].into_iter(), |step| step);
        out.runs([0_u64; 1].into_iter(), |track| track);
        out.runs([0_u64; 1].into_iter(), |length| length);
        for unit in [1, 1] {
            out.number(unit);
        }
        column::write(&[0], &mut Guess::default(), out);
        column::write(&[0], &mut Guess::default(), out);
        out.runs([0_u64; 1].into_iter(), |quality| quality);
        out.runs([flags].into_iter(), |flags| flags);
        out.runs([form].into_iter(), |form| form);
        column::write(&[place], &mut Guess::default(), out);
        out.number(table.len() as u64);
        for text in table {
            out.number(text.len() as u64);
            text.iter().for_each(|&byte| out.bits(u64::from(byte), 8));
        }
    }))
}

#[test]
fn refuses_texts_and_bools_that_nobody_wrote() {
    const TEXT: u64 = 28;
    const BOOL: u64 = 27;
    let good = texts(3, TEXT, 0, &[b"run"]).unwrap();
    assert_eq!(good.samples[0].value, Some(text("run")));
    assert_eq!(texts(0, BOOL, 1, &[]).unwrap().samples[0].value, Some(Value::Bool(true)));
    let check = |result: Result<Batch, CodecError>, expected: &str| {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(texts(4, TEXT, 0, &[b"run"]), "flags 4 of a sample are unknown; update this program");
    check(texts(0, TEXT + 1, 0, &[b"run"]), "form 29 of values is unknown");
    check(texts(0, TEXT, 1, &[b"a", b"b"]), "the place of a text");
    check(texts(0, TEXT, -1, &[b"a"]), "the place of a text");
    check(texts(0, TEXT, 0, &[]), "the number of texts");
    check(texts(0, TEXT, 0, &[b"a", b"b"]), "too many texts: found 2, at most 1");
    check(texts(0, BOOL, 1, &[b"a"]), "too many texts: found 1, at most 0");
    check(texts(0, TEXT, 0, &[b"\xFF"]), "a text does not fit the rest");
    check(texts(0, TEXT, 0, &[&[b'a'; 1_025]]), "too many bytes in a text: found 1025");
    check(texts(0, BOOL, 2, &[]), "a value is there exactly if");
}

/// A body of version 1 that names the forms of version 2 is damaged.
#[test]
fn version_1_has_no_texts() {
    let mut body = encode(&batch(column([1, 2].map(Value::Decimal)))).unwrap();
    body[0] = 1;
    assert!(decode(&body).is_err());
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
    let texts = prop_oneof![
        3 => "[A-C]{0,2}".prop_map(|found| text(&found)),
        1 => ".{0,80}".prop_map(|found| text(&found)),
    ];
    prop_oneof![
        vec(any::<bool>().prop_map(Value::Bool), count),
        vec(texts, count),
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
        let flags = prop_oneof![3 => Just(0_u64), 1 => 0..4_u64];
        let flags = vec(flags.prop_map(|bits| SampleFlags::from_bits(bits).unwrap()), times.len());
        (1..2_000_u32, values(times.len()), qualities(times.len()), flags).prop_map(
            move |(step, values, qualities, flags)| {
                let parts = times.iter().zip(values).zip(&qualities).zip(flags);
                let sample = |(((times, value), &quality), flags): (((&Times, _), &Quality), _)| {
                    let (point, (source_time, gateway_time)) = (PointIndex(0), *times);
                    let value = (!quality.is_bad()).then_some(value);
                    Sample { point, source_time, gateway_time, quality, flags, value }
                };
                (step, parts.map(sample).collect())
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
        for known in 1..=CODEC_VERSION {
            if let Some(version) = body.first_mut() {
                *version = known;
            }
            drop(decode(&body));
        }
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

/// No form is ruled out that holds the value: frames have the bytes that they would have if all forms were tried.
fn none_is_ruled_out(value: f64) {
    for form in FORMS_OF_DOUBLES {
        assert!(form.may_hold(value) || form.integer(value).is_none(), "{form:?} of {value:e}");
    }
}

#[test]
fn no_form_is_ruled_out_that_holds_the_value() {
    let tiny = f64::from(f32::MIN_POSITIVE);
    for value in [0.0, tiny, tiny / 2.0, tiny / 8_388_608.0, f64::from(f32::MAX), f64::MAX] {
        [value, -value].into_iter().for_each(none_is_ruled_out);
    }
    // And what a register holds with 24 bits of noise is ruled out by most that have a few places.
    let noisy = f64::from(230.086_98_f32);
    let left = FORMS_OF_DOUBLES.iter().filter(|form| form.may_hold(noisy)).count();
    assert!(left < FORMS_OF_DOUBLES.len() - 8, "{left} forms are left");
}

proptest! {
    #[test]
    fn nor_one_that_holds_any_other_value(
        bits: u64,
        single: u32,
        mantissa: i64,
        places in 0..=PLACES_MAX,
    ) {
        let is_finite = |value: &f64| value.is_finite();
        let of_bits = [f64::from_bits(bits), f64::from(f32::from_bits(single))];
        of_bits.into_iter().filter(is_finite).for_each(none_is_ruled_out);
        for mantissa in [mantissa, mantissa >> 12, mantissa >> 30, mantissa >> 44] {
            for form in [Form::Places64(places), Form::Places32(places), Form::Bits64] {
                form.double(mantissa).into_iter().filter(is_finite).for_each(none_is_ruled_out);
            }
        }
    }
}
