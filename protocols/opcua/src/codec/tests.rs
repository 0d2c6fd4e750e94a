//! Values of servers, as they come.

use std::sync::Arc;

use async_opcua::types::{Array, ByteString, Guid, LocalizedText, StatusCode, VariantScalarTypeId};
use config::{Problems, SourceFile, Table};
use device_profiles::ProfilePoint;
use model::{Decimal, PointKind};

use driver::RawKind;

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
/// 2018-01-01T00:00:00+09:00.
const STEEL: Timestamp = Timestamp(1_514_732_400_000_000);

fn codec(kind: RawKind, resolution: Option<&str>) -> PointCodec {
    let scaling = Scaling::new(&profile_point(resolution), kind).unwrap();
    let content = match kind {
        RawKind::Integer => Content::Integer(scaling),
        RawKind::Float => Content::Float(scaling),
    };
    holding(content)
}

fn holding(content: Content) -> PointCodec {
    PointCodec { point: PointIndex(3), content, element: None, gateway_time: false }
}

fn profile_point(resolution: Option<&str>) -> ProfilePoint {
    let file = SourceFile::new("test.toml", "");
    ProfilePoint {
        metric: "e_import".to_owned(),
        unit: "kWh".parse().unwrap(),
        kind: PointKind::Counter,
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        resolution: resolution.map(|text| text.parse().unwrap()),
        modulus: None,
        range: device_profiles::PlausibleRange::default(),
        states: Vec::new(),
        source: None,
        unverified: false,
        poll: None,
        history: None,
        address: Table::parse(&Arc::clone(&file), &mut Problems::default()),
    }
}

fn data_value(value: Variant, status: u32, time: Option<Timestamp>) -> DataValue {
    DataValue {
        value: Some(value),
        status: Some(StatusCode::from(status)),
        source_timestamp: time.map(to_date_time),
        ..DataValue::default()
    }
}

#[test]
fn a_double_with_a_resolution_becomes_an_exact_integer_at_its_time_of_years_ago() {
    let codec = codec(RawKind::Float, Some("0.01"));
    let decoded = codec.live(&data_value(Variant::Double(959_636.71), 0, Some(STEEL)), NOW);
    assert_eq!(decoded.sample.value, Some(Value::Decimal(95_963_671)));
    assert_eq!((decoded.sample.source_time, decoded.sample.gateway_time), (STEEL, NOW));
    assert!(decoded.timed && !decoded.overflow && decoded.mismatch.is_none());
}

#[test]
fn times_are_exact_to_the_microsecond() {
    for time in [Timestamp(0), Timestamp(1), STEEL, Timestamp(STEEL.0 + 999_999), Timestamp::MAX] {
        assert_eq!(to_timestamp(&to_date_time(time)), time);
    }
}

fn found(codec: &PointCodec, value: Variant) -> Result<Value, Quality> {
    let sample = codec.live(&data_value(value, 0, Some(STEEL)), NOW).sample;
    sample.value.ok_or(sample.quality)
}

#[test]
fn numbers_are_taken_from_each_type_that_holds_them_exactly() {
    let check = |kind, value: Variant, expected: Result<Value, Quality>| {
        assert_eq!(found(&codec(kind, None), value.clone()), expected, "{value:?}");
    };
    let (integer, float) = (RawKind::Integer, RawKind::Float);
    let (mismatch, out_of_range) =
        (Err(Quality::BAD_TYPE_MISMATCH), Err(Quality::BAD_OUT_OF_RANGE));
    check(integer, Variant::UInt64(7), Ok(Value::Decimal(7)));
    check(integer, Variant::Int16(-7), Ok(Value::Decimal(-7)));
    check(integer, Variant::Boolean(true), Ok(Value::Decimal(1)));
    check(integer, Variant::UInt64(u64::MAX), out_of_range.clone());
    check(integer, Variant::Double(7.0), Ok(Value::Decimal(7)));
    check(integer, Variant::Double(-0.0), Ok(Value::Decimal(0)));
    check(integer, Variant::Double(9_007_199_254_740_992.0), Ok(Value::Decimal(1 << 53)));
    check(integer, Variant::Double(9_007_199_254_740_994.0), mismatch.clone());
    check(integer, Variant::Double(7.5), mismatch.clone());
    check(integer, Variant::Double(f64::NAN), mismatch.clone());
    check(integer, Variant::Double(1e300), mismatch.clone());
    check(integer, Variant::Float(16_777_216.0), Ok(Value::Decimal(1 << 24)));
    check(integer, Variant::Float(33_554_432.0), mismatch.clone());
    check(integer, Variant::from(to_date_time(STEEL)), Ok(Value::Decimal(STEEL.0)));
    check(integer, Variant::from("7"), mismatch.clone());
    check(float, Variant::Float(1.5), Ok(Value::Float(1.5)));
    check(float, Variant::Double(f64::NAN), out_of_range.clone());
    check(float, Variant::Int32(7), Ok(Value::Float(7.0)));
    check(float, Variant::UInt64(1 << 53), Ok(Value::Float(9_007_199_254_740_992.0)));
    check(float, Variant::Int64((1 << 53) + 1), out_of_range);
    check(float, Variant::Boolean(true), mismatch.clone());
    check(float, Variant::Empty, mismatch.clone());
    check(float, Variant::from("7"), mismatch);
}

#[test]
fn a_whole_number_that_comes_as_an_integer_has_the_digits_of_the_resolution() {
    let hundredths = codec(RawKind::Float, Some("0.01"));
    assert_eq!(found(&hundredths, Variant::Double(1.5)), Ok(Value::Decimal(150)));
    assert_eq!(found(&hundredths, Variant::Int32(2)), Ok(Value::Decimal(200)));
    // Exact beyond what a double holds.
    let large = (1 << 53) + 1;
    assert_eq!(found(&hundredths, Variant::Int64(large)), Ok(Value::Decimal(large * 100)));
    assert_eq!(found(&hundredths, Variant::Int64(i64::MAX)), Err(Quality::BAD_OUT_OF_RANGE));
    // A resolution that is coarser rounds, as it does for a Double.
    let tens = codec(RawKind::Float, Some("10"));
    assert_eq!(found(&tens, Variant::Double(123.0)), found(&tens, Variant::Int32(123)));
}

#[test]
fn a_value_without_room_is_named_with_what_there_is_room_for() {
    let check = |codec: PointCodec, value: Variant, expected: &str, found: &str| {
        let sample = codec.live(&data_value(value, 0, None), NOW);
        assert_eq!(sample.sample.quality, Quality::BAD_OUT_OF_RANGE);
        let Some(Mismatch::Range { expected: room, found: held }) = sample.mismatch else {
            panic!("{:?}", sample.mismatch)
        };
        assert!(room.contains(expected), "{room}");
        assert_eq!(held, found);
    };
    let (integer, float) = (RawKind::Integer, RawKind::Float);
    let large = Variant::UInt64((1 << 63) + 5);
    let named = "a UInt64 of 9223372036854775813";
    check(codec(integer, None), large.clone(), "to 9223372036854775807", named);
    check(codec(float, Some("0.01")), large.clone(), "to 9223372036854775807e-2", named);
    check(codec(float, None), large, "to 9007199254740992 (a `resolution`", named);
    check(codec(float, None), Variant::Double(f64::NAN), "a finite number", "a Double of NaN");
    check(codec(float, None), Variant::Float(f32::INFINITY), "a finite", "a Float of inf");
}

#[test]
fn states_and_texts_are_taken_and_bytes_are_not() {
    let (state, text) = (holding(Content::Bool), holding(Content::Text));
    let mismatch = Err(Quality::BAD_TYPE_MISMATCH);
    assert_eq!(found(&state, Variant::Boolean(true)), Ok(Value::Bool(true)));
    assert_eq!(found(&state, Variant::Byte(0)), Ok(Value::Bool(false)));
    assert_eq!(found(&state, Variant::Int32(2)), mismatch);
    let is = |expected: &str| Ok(Value::Text(Text::cut(expected).0));
    assert_eq!(found(&text, Variant::from("O1234.NC")), is("O1234.NC"));
    assert_eq!(found(&text, Variant::from(LocalizedText::new("zh", "主轴报警"))), is("主轴报警"));
    assert_eq!(found(&text, Variant::from(to_date_time(STEEL))), is("2017-12-31T15:00:00.000000Z"));
    let guid = Guid::null();
    assert_eq!(found(&text, Variant::from(guid)), is("00000000-0000-0000-0000-000000000000"));
    for value in [Variant::from(ByteString::from(vec![1, 2])), Variant::Int32(7), Variant::Empty] {
        let decoded = text.live(&data_value(value, 0, Some(STEEL)), NOW);
        assert_eq!(decoded.sample.quality, Quality::BAD_TYPE_MISMATCH);
        assert!(decoded.mismatch.is_some());
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_and_uncertain() {
    let long = "号".repeat(500_000);
    let sample = holding(Content::Text).live(&data_value(Variant::from(long), 0, None), NOW).sample;
    assert_eq!(sample.quality, Quality::UNCERTAIN);
    assert_eq!(sample.value, Some(Value::Text(Text::cut(&"号".repeat(341)).0)));
}

#[test]
fn an_element_of_an_array_is_a_value() {
    let array = |values: Vec<f64>| {
        let values = values.into_iter().map(Variant::Double).collect::<Vec<_>>();
        Variant::from(Array::new(VariantScalarTypeId::Double, values).unwrap())
    };
    let phases = array(vec![1.5, 2.5, 3.5]);
    let element = |element| PointCodec { element, ..codec(RawKind::Float, None) };
    assert_eq!(found(&element(Some(0)), phases.clone()), Ok(Value::Float(1.5)));
    assert_eq!(found(&element(Some(2)), phases.clone()), Ok(Value::Float(3.5)));
    assert_eq!(found(&element(Some(3)), phases.clone()), Err(BAD_INDEX_RANGE_NO_DATA));
    let said =
        |codec: PointCodec, value| match codec.live(&data_value(value, 0, None), NOW).mismatch {
            Some(Mismatch::Type { found, .. } | Mismatch::Range { found, .. }) => Some(found),
            None => None,
        };
    assert_eq!(said(element(Some(3)), phases.clone()).unwrap(), "an array of 3");
    assert!(said(element(None), phases).unwrap().contains("an array of 3 (say which element"));
    assert!(said(element(Some(0)), Variant::Double(1.0)).unwrap().contains("is no array"));
    let text =
        Variant::from(Array::new(VariantScalarTypeId::String, vec![Variant::from("a")]).unwrap());
    assert!(said(element(Some(0)), text).unwrap().contains("an array of"));
}

#[test]
fn a_history_says_that_it_is_one_and_gateway_time_leaves_the_device_s_out() {
    let value = data_value(Variant::Double(1.0), 0, Some(STEEL));
    let codec = codec(RawKind::Float, None);
    let flags = |sample: Sample| sample.flags;
    assert_eq!(flags(codec.remembered(&value, NOW).unwrap()), SampleFlags::RECOVERED);
    assert_eq!(flags(codec.live(&value, NOW).sample), SampleFlags::default());
    let decoded = PointCodec { gateway_time: true, ..codec }.live(&value, NOW);
    assert_eq!((decoded.sample.source_time, decoded.timed), (NOW, false));
}

#[test]
fn keeps_the_status_code_and_gives_bad_no_value() {
    let check = |status: u32, has_value: bool, overflow: bool| {
        let value = data_value(Variant::Double(1.0), status, Some(STEEL));
        let decoded = codec(RawKind::Float, None).live(&value, NOW);
        assert_eq!(decoded.sample.quality, Quality(status));
        assert_eq!((decoded.sample.value.is_some(), decoded.overflow), (has_value, overflow));
    };
    check(0, true, false);
    check(0x4090_0000, true, false);
    check(Quality::GOOD_OVERFLOW.0, true, true);
    check(0x0000_0080, true, true); // bit 7 without the info type: async-opcua's server
    check(0x0000_00C0, true, false); // the "good" of OPC DA
    check(0x0096_0000, true, false); // GoodLocalOverride
    check(0x002E_0000, true, false); // GoodClamped, or another that we know nothing of
    check(0x8031_0000, false, false);
    check(0x8031_0480, false, true);
    check(0x4090_0400, true, false);
}

#[test]
fn a_value_without_a_time_gets_ours_when_live_and_is_left_out_of_history() {
    let codec = codec(RawKind::Float, None);
    let mut value = data_value(Variant::Double(1.0), 0, None);
    let decoded = codec.live(&value, NOW);
    assert_eq!((decoded.sample.source_time, decoded.timed), (NOW, false));
    assert_eq!(codec.remembered(&value, NOW), None);
    value.server_timestamp = Some(to_date_time(STEEL));
    assert_eq!(codec.remembered(&value, NOW).unwrap().source_time, STEEL);
    // 1601 means "no time" (OPC 10000-6 §5.2.2.5), and what no store admits is none either.
    for time in [DateTime::null(), DateTime::ymd(1900, 1, 1), DateTime::endtimes()] {
        value.source_timestamp = Some(time);
        assert_eq!(codec.live(&value, NOW).sample.source_time, NOW);
    }
}
