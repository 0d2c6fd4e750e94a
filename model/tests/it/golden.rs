//! Bytes that were written once and must be read for ever. If a test here fails, the reader is wrong: never change a
//! fixture; a new layout gets a new version, a new fixture and a reader beside the old one.

use model::{
    Batch, DictionaryHash, PointIndex, Quality, Sample, SampleFlags, Text, Timestamp, Value, codec,
};

const BATCH_V1: &str = include_str!("../fixtures/batch_v1.hex");
const BATCH_V2: &str = include_str!("../fixtures/batch_v2.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Every form of values, every order of columns, both kinds of times, every severity.
fn batch_v1() -> Batch {
    let decimals = |values: [i64; 6]| values.map(Value::Decimal);
    let doubles = |values: [f64; 6]| values.map(Value::Float);
    let singles = |values: [f32; 6]| values.map(|value| Value::Float(f64::from(value)));
    let columns = [
        (0, decimals([7; 6])),
        (1, decimals([100, 103, 106, 109, 112, 115])),
        (
            2,
            decimals([
                123_456_789,
                123_456_790,
                123_456_790,
                123_456_793,
                123_456_795,
                123_456_796,
            ]),
        ),
        (3, decimals([0, 10, 21, 31, 42, 52])),
        (4, decimals([i64::MIN, i64::MAX, 0, -1, 1, i64::MAX])),
        (9, decimals([0, 0, 0, 0, 9_999, 0])),
        (10, doubles([230.1, 229.9, 230.0, 230.4, 229.8, 230.2])),
        (11, doubles([0.0, -0.0, 5e-324, f64::MAX, f64::MIN, 1.0 / 3.0])),
        (12, singles([49.98, 50.01, 50.0, 49.99, 50.02, 50.0])),
        (13, singles([1.0e-45, 3.402_823_5e38, -0.1, 0.3, 1.0 / 3.0, -2.0e-20])),
        (4_000_000_000, decimals([-5, 5, -5, 5, -5, 5])),
        (u32::MAX, decimals([1, 2, 4, 8, 16, 32])),
    ];
    let mut samples = Vec::new();
    for (index, values) in columns {
        for (i, value) in (0_i64..).zip(values) {
            // From point 10 on, another device, whose clock knows microseconds and is ahead of ours.
            let (source, gateway) = if index < 10 {
                let source = 1_735_689_600_012_000 + i * 1_000_000 + (i * i % 5) * 1_000;
                (source, source + 2_000 + i % 2 * 1_000)
            } else {
                (1_735_689_600_500_001 + i * 250_000, 1_735_689_600_400_000 + i * 250_007)
            };
            let (source, gateway) = (Timestamp(source), Timestamp(gateway));
            let point = PointIndex(index);
            samples.push(match (index, i) {
                (9, 2) => Sample::without_value(point, source, gateway, Quality::BAD_TIMEOUT),
                (4_000_000_000, _) => Sample::without_value(point, source, gateway, Quality::BAD),
                (10, 5) => Sample::new(point, source, gateway, Quality(0x4090_0000), value),
                _ => Sample::new(point, source, gateway, Quality::GOOD, value),
            });
        }
    }
    Batch { dictionary: DictionaryHash(std::array::from_fn(|i| u8::try_from(i).unwrap())), samples }
}

/// What version 2 adds, beside all that version 1 had.
fn batch_v2() -> Batch {
    let mut batch = batch_v1();
    for (i, sample) in (0_u64..).zip(&mut batch.samples) {
        sample.flags = SampleFlags::from_bits(i / 7 % 4).unwrap();
    }
    let text = |text: &str| Value::Text(Text::new(text).unwrap());
    let columns = [
        (20, [true, false, false, true, true, false].map(Value::Bool)),
        (21, [true; 6].map(Value::Bool)),
        (22, ["O1000", "O1000", "", "主轴过热", "O1000", "M30"].map(text)),
        (23, ["M30", "M30", "M30", "M30", "SN-4711", "M30"].map(text)),
    ];
    for (index, values) in columns {
        for (i, value) in (0_i64..).zip(values) {
            let source = Timestamp(1_735_689_600_012_000 + i * 1_000_000);
            let (point, gateway) = (PointIndex(index), Timestamp(source.0 + 2_000));
            let flags = SampleFlags::from_bits(u64::from(i == 4)).unwrap();
            let sample = match (index, i) {
                (20, 5) => Sample::without_value(point, source, gateway, Quality::BAD_TIMEOUT),
                (22, 1) => Sample::new(point, source, gateway, Quality::UNCERTAIN, value),
                _ => Sample::new(point, source, gateway, Quality::GOOD, value),
            };
            batch.samples.push(sample.flagged(flags));
        }
    }
    batch.samples.sort_by_key(|sample| (sample.point, sample.source_time));
    batch
}

#[test]
fn a_batch_of_version_2_is_read_and_written() {
    assert_eq!(codec::decode(&bytes(BATCH_V2)).unwrap(), batch_v2());
    // Not a promise, but a change here is a new version or a mistake.
    assert_eq!(codec::encode(&batch_v2()).unwrap(), bytes(BATCH_V2));
}

#[test]
fn a_batch_of_version_1_is_still_read() {
    let batch = codec::decode(&bytes(BATCH_V1)).unwrap();
    assert_eq!(batch, batch_v1());
    // What `==` does not tell apart.
    let negative_zero = batch.samples.iter().any(
        |sample| matches!(sample.value, Some(Value::Float(value)) if value.to_bits() == 1 << 63),
    );
    assert!(negative_zero);
}
