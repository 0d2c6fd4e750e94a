//! Words to values and back, in every order and type.

use config::{FromToml, Item};
use model::{Decimal, PointKind, Text, Unit};
use proptest::prelude::*;

use super::*;
use crate::address::{Absent, Area, Order};
use driver::RawKind;

fn order(letters: &str) -> Order {
    Order::from_item(Item::Text(letters.to_owned())).unwrap()
}

fn address(data_type: DataType, letters: &str) -> Address {
    let order = order(letters);
    let count = data_type.registers();
    Address {
        area: Area::Input,
        start: 0,
        count,
        data_type,
        order,
        bit: None,
        absent: Absent::default(),
    }
}

fn form(data_type: DataType) -> Form {
    match data_type {
        DataType::Bool => return Form::Bool,
        DataType::Text => return Form::Text,
        _ => {}
    }
    let point = device_profiles::ProfilePoint {
        metric: "m".to_owned(),
        unit: Unit::One,
        kind: PointKind::Gauge,
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        resolution: None,
        modulus: None,
        range: device_profiles::PlausibleRange::default(),
        states: Vec::new(),
        source: None,
        unverified: true,
        poll: None,
        history: None,
        address: config::Table::empty(&config::SourceFile::new("p", "")),
    };
    let kind = if data_type.is_float() { RawKind::Float } else { RawKind::Integer };
    Form::Number(Scaling::new(&point, kind).unwrap())
}

fn read(data_type: DataType, letters: &str, words: &[u16]) -> Result<Value, Quality> {
    let decoded = decode(words, &address(data_type, letters), &form(data_type));
    let (value, quality) = decoded.map_err(|unusable| unusable.quality())?;
    assert!(quality == Quality::GOOD || data_type.is_float(), "{quality:?}");
    Ok(value)
}

#[test]
fn the_four_orders_of_230_volts() {
    // 230.0 is 43 66 00 00.
    let check = |letters: &str, words: [u16; 2]| {
        assert_eq!(read(DataType::F32, letters, &words), Ok(Value::Float(230.0)), "{letters}");
    };
    check("ABCD", [0x4366, 0x0000]);
    check("CDAB", [0x0000, 0x4366]);
    check("BADC", [0x6643, 0x0000]);
    check("DCBA", [0x0000, 0x6643]);
}

#[test]
fn each_type_has_its_sign_and_width() {
    let check = |data_type, letters: &str, words: &[u16], expected| {
        assert_eq!(read(data_type, letters, words), expected, "{data_type:?}");
    };
    check(DataType::U16, "AB", &[0xFFFE], Ok(Value::Decimal(65_534)));
    check(DataType::I16, "AB", &[0xFFFE], Ok(Value::Decimal(-2)));
    check(DataType::I16, "BA", &[0xFEFF], Ok(Value::Decimal(-2)));
    check(DataType::U32, "ABCD", &[0xFFFF, 0xFFFE], Ok(Value::Decimal(4_294_967_294)));
    check(DataType::I32, "CDAB", &[0xFFFE, 0xFFFF], Ok(Value::Decimal(-2)));
    check(DataType::I64, "ABCDEFGH", &[0xFFFF; 4], Ok(Value::Decimal(-1)));
    check(DataType::U64, "ABCDEFGH", &[0xFFFF; 4], Err(Quality::BAD_OUT_OF_RANGE));
    check(DataType::U64, "GHEFCDAB", &[7, 0, 0, 0], Ok(Value::Decimal(7)));
    check(DataType::F64, "ABCDEFGH", &[0x3FF8, 0, 0, 0], Ok(Value::Float(1.5)));
    check(DataType::F32, "ABCD", &[0x7FC0, 0], Err(Quality::BAD_OUT_OF_RANGE));
    check(DataType::F32, "ABCD", &[0xFF80, 0], Err(Quality::BAD_OUT_OF_RANGE));
    check(DataType::F32, "ABCD", &[0x4366], Err(Quality::BAD_DECODING_ERROR));
}

#[test]
fn a_bit_and_an_absent_value() {
    let mut address = address(DataType::Bool, "AB");
    let form = form(DataType::Bool);
    for (bit, expected) in [(0, true), (1, false), (15, true)] {
        address.bit = Some(bit);
        let good = Ok((Value::Bool(expected), Quality::GOOD));
        assert_eq!(decode(&[0x8001], &address, &form), good);
    }
    let integer = self::form(DataType::I16);
    for number in [-32_768, 0x8000] {
        let absent = Absent::new(&[1, number], 16).unwrap();
        address = Address { absent, data_type: DataType::I16, bit: None, ..address };
        assert_eq!(decode(&[0x8000], &address, &integer), Err(Unusable::Absent));
        let good = Ok((Value::Decimal(-32_767), Quality::GOOD));
        assert_eq!(decode(&[0x8001], &address, &integer), good);
    }
    // A bit of a register that is absent as a whole.
    address = Address { data_type: DataType::Bool, bit: Some(0), ..address };
    assert_eq!(decode(&[0x8000], &address, &form), Err(Unusable::Absent));
}

#[test]
fn a_text_ends_where_the_device_ends_it() {
    let check = |letters: &str, words: &[u16], expected: &str| {
        let mut address = address(DataType::Text, letters);
        address.count = u16::try_from(words.len()).unwrap();
        let text = Value::Text(Text::new(expected).unwrap());
        assert_eq!(decode(words, &address, &Form::Text), Ok((text, Quality::GOOD)), "{expected}");
    };
    check("AB", &[0x534E, 0x3132, 0x3400, 0x5858], "SN124");
    check("BA", &[0x4E53, 0x3231, 0x0034], "SN124");
    check("AB", &[0x534E, 0x2020], "SN");
    check("AB", &[0xFFFF, 0xFFFF], "");
    check("AB", &[0xE58E, 0x8BE7, 0xBCA9], "压缩");
    let mut gbk = address(DataType::Text, "AB");
    gbk.count = 2;
    let no_text = decode(&[0xD1B9, 0xCBF5], &gbk, &Form::Text).unwrap_err();
    assert_eq!(no_text, Unusable::NoText { found: "D1 B9 CB F5".to_owned() });
    assert_eq!(no_text.quality(), Quality::BAD_TYPE_MISMATCH, "no fault of the line");
    assert_eq!(decode(&[0x534E], &gbk, &Form::Text), Err(Unusable::TooFew));
}

#[test]
fn what_a_meter_cannot_measure_is_no_value() {
    let mut float = address(DataType::F32, "ABCD");
    let form = form(DataType::F32);
    let mut read = |words: [u16; 2], absent: &[i64]| {
        float.absent = Absent::new(absent, 32).unwrap();
        decode(&words, &float, &form)
    };
    let schneider = [0x8000_8000];
    assert_eq!(read([0x8000, 0x8000], &schneider), Err(Unusable::Absent));
    assert_eq!(read([0x4366, 0], &schneider), Ok((Value::Float(230.0), Quality::GOOD)));
    // Without the profile's word it is a number that no meter measures.
    let Ok((Value::Float(_), Quality::UNCERTAIN)) = read([0x8000, 0x8000], &[]) else {
        panic!("a subnormal float is no Good value");
    };
    // FLT_MAX, 1e30 and as much as can be; the largest that a register of joules could mean.
    for (words, quality) in [
        ([0x7F7F, 0xFFFF], Quality::UNCERTAIN),
        ([0xFF7F, 0xFFFF], Quality::UNCERTAIN),
        ([0x7149, 0xF2CA], Quality::UNCERTAIN),
        ([0x60AD, 0x78EC], Quality::GOOD),
    ] {
        let Ok((Value::Float(_), found)) = read(words, &[]) else { panic!("{words:?}") };
        assert_eq!(found, quality, "{words:04X?}");
    }
    assert_eq!(read([0x7F80, 0], &[]), Err(Unusable::Absent));
    // A negative zero is zero, with its sign bit gone.
    let Ok((Value::Float(zero), Quality::GOOD)) = read([0x8000, 0], &[]) else { panic!("zero") };
    assert_eq!(zero.to_bits(), 0);
    let all_ones = Absent::new(&[-1], 64).unwrap();
    assert!(all_ones.contains(u64::MAX) && !all_ones.contains(u64::from(u32::MAX)));
}

/// Every way to order `bytes` letters would be 40 320 for eight; any of them is drawn.
fn any_order(bytes: usize) -> impl Strategy<Value = String> {
    let letters: Vec<char> = ('A'..='H').take(bytes).collect();
    Just(letters).prop_shuffle().prop_map(|letters| letters.into_iter().collect())
}

/// Puts the bytes of a value on the wire as `letters` say, letter by letter.
fn on_the_wire(value: &[u8], letters: &str) -> Vec<u16> {
    let bytes: Vec<u8> = letters.bytes().map(|letter| value[usize::from(letter - b'A')]).collect();
    bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

proptest! {
    #[test]
    fn what_is_put_in_comes_out_u32(value: u32, letters in any_order(4)) {
        let words = on_the_wire(&value.to_be_bytes(), &letters);
        prop_assert_eq!(
            read(DataType::U32, &letters, &words),
            Ok(Value::Decimal(i64::from(value)))
        );
    }

    #[test]
    fn what_is_put_in_comes_out_i64(value: i64, letters in any_order(8)) {
        let words = on_the_wire(&value.to_be_bytes(), &letters);
        prop_assert_eq!(read(DataType::I64, &letters, &words), Ok(Value::Decimal(value)));
    }

    #[test]
    fn what_is_put_in_comes_out_i16(value: i16, letters in any_order(2)) {
        let words = on_the_wire(&value.to_be_bytes(), &letters);
        prop_assert_eq!(
            read(DataType::I16, &letters, &words),
            Ok(Value::Decimal(i64::from(value)))
        );
    }

    #[test]
    fn what_is_put_in_comes_out_f64(value in -1e300..1e300_f64, letters in any_order(8)) {
        let words = on_the_wire(&value.to_be_bytes(), &letters);
        prop_assert_eq!(read(DataType::F64, &letters, &words), Ok(Value::Float(value)));
    }

    #[test]
    fn no_words_make_it_panic(words: Vec<u16>, letters in any_order(4), bit in 0..16_u8) {
        for data_type in [DataType::F32, DataType::U32, DataType::I32] {
            prop_assert!(read(data_type, &letters, &words).is_ok() || words.len() < 2 || data_type == DataType::F32);
        }
        let mut address = address(DataType::Bool, "AB");
        address.bit = Some(bit);
        let bit = decode(&words, &address, &form(DataType::Bool));
        prop_assert_eq!(bit.is_ok(), !words.is_empty());
    }
}

/// A counter that stands above what is stored was Bad for ever, and nothing said why.
#[test]
fn a_number_that_does_not_fit_is_named() {
    let check = |data_type, words: &[u16], expected: &str| {
        let unusable =
            decode(words, &address(data_type, "ABCDEFGH"), &form(data_type)).unwrap_err();
        assert_eq!(unusable.quality(), Quality::BAD_OUT_OF_RANGE);
        assert_eq!(unusable, Unusable::OutOfRange { found: expected.to_owned() });
    };
    check(DataType::U64, &[0x8000, 0, 0, 0], "9223372036854775808");
    check(DataType::U64, &[0xFFFF; 4], "18446744073709551615");
}
