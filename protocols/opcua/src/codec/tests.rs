//! Values of servers, as they come.

use std::sync::Arc;

use async_opcua::types::StatusCode;
use config::{Problems, SourceFile, Table};
use device_profiles::ProfilePoint;
use model::{Decimal, PointKind};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
/// 2018-01-01T00:00:00+09:00.
const STEEL: Timestamp = Timestamp(1_514_732_400_000_000);

fn codec(kind: RawKind, resolution: Option<&str>) -> PointCodec {
    let file = SourceFile::new("test.toml", "");
    let point = ProfilePoint {
        metric: "e_import".to_owned(),
        unit: "kWh".parse().unwrap(),
        kind: PointKind::Counter,
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        resolution: resolution.map(|text| text.parse().unwrap()),
        modulus: None,
        source: None,
        unverified: false,
        poll: None,
        address: Table::parse(&Arc::clone(&file), &mut Problems::default()),
    };
    PointCodec { point: PointIndex(3), kind, scaling: Scaling::new(&point, kind).unwrap() }
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

#[test]
fn reads_what_is_configured_and_nothing_else() {
    let check = |kind, value: Variant, expected: Result<Value, Quality>| {
        let decoded = codec(kind, None).live(&data_value(value.clone(), 0, Some(STEEL)), NOW);
        let found = decoded.sample.value.ok_or(decoded.sample.quality);
        assert_eq!(found, expected, "{value:?}");
    };
    let (integer, float) = (RawKind::Integer, RawKind::Float);
    check(integer, Variant::UInt64(7), Ok(Value::Decimal(7)));
    check(integer, Variant::Int16(-7), Ok(Value::Decimal(-7)));
    check(integer, Variant::Boolean(true), Ok(Value::Decimal(1)));
    check(integer, Variant::UInt64(u64::MAX), Err(Quality::BAD_OUT_OF_RANGE));
    check(integer, Variant::Double(7.0), Err(Quality::BAD_TYPE_MISMATCH));
    check(float, Variant::Float(1.5), Ok(Value::Float(1.5)));
    check(float, Variant::Double(f64::NAN), Err(Quality::BAD_OUT_OF_RANGE));
    check(float, Variant::Int32(7), Err(Quality::BAD_TYPE_MISMATCH));
    check(float, Variant::Empty, Err(Quality::BAD_TYPE_MISMATCH));
    check(float, Variant::from("7"), Err(Quality::BAD_TYPE_MISMATCH));
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
