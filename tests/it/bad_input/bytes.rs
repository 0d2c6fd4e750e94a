//! Wrong bytes: frames, messages, batches, dictionaries and commit acks, cut, damaged or of a later version. Must never
//! reach a disk.

use model::dictionary::{DisplayName, Place};
use model::frame::{BODY_BYTES_MAX, HEADER_BYTES, decode_frame, encode_frame};
use model::wire::{self, MESSAGE_BYTES_MAX, Open, UpMessage};
use model::{
    Ack, Batch, DestinationId, Dictionary, Epoch, FrameHeader, Lane, LogId, PointId, PointIndex,
    PointInfo, PointKind, Quality, RecordType, Sample, Sequence, Text, Timestamp, Unit, Value,
    ValueType, codec,
};

use super::told::Told;

const BODY: &[u8] = b"not read here";
/// 2026-01-01.
const TIME: Timestamp = Timestamp(1_767_225_600_000_000);

fn frame() -> Vec<u8> {
    let header = FrameHeader {
        record_type: RecordType::Data,
        sequence: Sequence(7),
        samples: 1,
        ts_min: TIME,
        ts_max: TIME,
        salt: 1,
        body_len: 0,
    };
    let mut out = Vec::new();
    encode_frame(&header, &[9; 32], BODY, &mut out).unwrap();
    out
}

/// The bytes with the one at `place` replaced.
fn with(mut bytes: Vec<u8>, place: usize, byte: u8) -> Vec<u8> {
    bytes[place] = byte;
    bytes
}

/// The frame with a header of its own and the checksum that belongs to it.
fn with_header(place: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = frame();
    bytes[place..place + new.len()].copy_from_slice(new);
    let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn frames_that_are_cut_damaged_or_unknown() {
    let good = frame();
    assert!(decode_frame(&good).is_ok());
    let too_long = u32::try_from(BODY_BYTES_MAX + 1).unwrap().to_le_bytes();
    let (header, body) = (HEADER_BYTES, good.len());
    let mut told = Told::new("frames");
    let mut tell = |case: &str, bytes: &[u8]| {
        told.error(case, "", &decode_frame(bytes).unwrap_err());
    };
    tell("no bytes at all", &[]);
    tell("a header that is cut", &good[..header - 1]);
    tell("a body that is cut", &good[..body - 1]);
    tell(
        "something else, such as a picture",
        b"\x89PNG\r\n\x1a\n and so on, for more than a header",
    );
    tell("a frame of a later version", &with_header(2, &[2]));
    tell("a bit of the header that flipped", &with(good.clone(), 9, 1));
    tell("a record type of a later version", &with_header(3, &[9]));
    tell("a body that is too long", &with_header(4, &too_long));
    tell("a bit of the body that flipped", &with(good.clone(), header + 32, b'N'));
    tell("padding that is not zero", &with(good, body - 1, 1));
    told.finish();
}

#[test]
fn messages_that_are_cut_or_unknown() {
    let open = Open {
        store: None,
        epoch: Epoch(0),
        destination: DestinationId::default(),
        oldest: Sequence(1),
        next: Sequence(5),
        losses: Vec::new(),
        dictionaries: None,
    };
    let good = UpMessage::Open(open).encode(LogId([1; 16]), Lane::Backlog);
    assert!(wire::decode(&good).is_ok());
    let mut told = Told::new("wire");
    let mut tell = |case: &str, bytes: &[u8]| {
        told.error(case, "", &wire::decode(bytes).unwrap_err());
    };
    tell("a message that is cut", &good[..20]);
    tell("a message that is too long", &vec![0; MESSAGE_BYTES_MAX + 1]);
    tell("a message of another program", b"{\"temperature\": 21.5, \"unit\": \"C\"}");
    tell("a wire version of a later program", &with(good.clone(), 3, 3));
    tell("a wire version of an earlier gateway", &with(good.clone(), 3, 1));
    tell("a lane of a later program", &with(good.clone(), 5, 2));
    tell("a kind of message of a later program", &with(good.clone(), 4, 9));
    tell("an opening that is cut", &good[..good.len() - 1]);
    tell("an opening without its sequences", &[&good[..22], b"{}"].concat());
    told.finish();
}

fn batch(samples: Vec<Sample>) -> Batch {
    Batch { dictionary: dictionary().hash(), samples }
}

fn sample(point: u32, value: Value) -> Sample {
    Sample::new(PointIndex(point), TIME, TIME, Quality::GOOD, value)
}

#[test]
fn batches_that_are_cut_damaged_or_unknown() {
    let good = codec::encode(&batch(vec![
        sample(0, Value::Decimal(123_456)),
        sample(1, Value::Float(21.5)),
    ]))
    .unwrap();
    assert!(codec::decode(&good).is_ok());
    let mut told = Told::new("codec");
    let mut tell = |case: &str, bytes: &[u8]| {
        told.error(case, "", &codec::decode(bytes).unwrap_err());
    };
    tell("a batch of a later version", &with(good.clone(), 0, 3));
    tell("a batch that is cut", &good[..good.len() - 1]);
    tell("a batch with something behind it", &[good.as_slice(), &[0]].concat());
    tell("a batch that says it is huge", &with(good.clone(), 33, 0xFF));
    tell("a batch that is too long", &vec![0; BODY_BYTES_MAX + 1]);

    let mut refuse = |case: &str, samples: Vec<Sample>| {
        told.error(case, "", &codec::encode(&batch(samples)).unwrap_err());
    };
    let one = sample(0, Value::Decimal(1));
    refuse("two samples of one point and time", vec![one.clone(), one.clone()]);
    let nan = Some(Value::Float(f64::NAN));
    refuse("a value that is no number", vec![Sample { value: nan, ..one.clone() }]);
    refuse(
        "a Bad sample with a value",
        vec![Sample { quality: Quality::BAD_TIMEOUT, ..one.clone() }],
    );
    let later = Sample { source_time: Timestamp(TIME.0 + 1), ..sample(0, Value::Float(1.0)) };
    refuse("a point with decimals and doubles", vec![one, later]);
    let text = |at: i64| {
        let text = Value::Text(Text::cut(&format!("{at:01024}")).0);
        Sample { source_time: Timestamp(TIME.0 + at), ..sample(0, text) }
    };
    refuse("more text than a frame holds", (0..129).map(text).collect());
    told.finish();
}

fn dictionary() -> Dictionary {
    let point = PointInfo {
        id: PointId::new("acme/nb-1/main/e_import").unwrap(),
        place: Place { enterprise: "acme".into(), site: "nb-1".into(), area: None, line: None },
        device: "main".into(),
        metric: "e_import".into(),
        device_name: DisplayName::default(),
        unit: Unit::KilowattHour,
        kind: PointKind::Counter,
        value_type: ValueType::Decimal { exponent: -2 },
        modulus: None,
        states: Vec::new(),
        interval_ms: None,
        profile: None,
    };
    Dictionary::new(vec![point]).unwrap()
}

#[test]
fn dictionaries_that_are_damaged_or_unknown() {
    let good = String::from_utf8(dictionary().to_json()).unwrap();
    assert!(Dictionary::from_json(good.as_bytes()).is_ok());
    let mut told = Told::new("dictionary");
    let mut tell = |case: &str, from: &str, to: &str| {
        assert_eq!(good.matches(from).count(), 1, "{case}");
        let error = Dictionary::from_json(good.replace(from, to).as_bytes()).unwrap_err();
        told.error(case, &format!("- {from}\n+ {to}"), &error);
    };
    tell("a dictionary of a later version", "\"version\":2", "\"version\":3");
    tell("a unit that this program does not know", "\"kWh\"", "\"BTU\"");
    tell("a point's name that is none", "acme/nb-1/main/e_import", "Main Meter");
    tell("a kind of point that this program does not know", "\"counter\"", "\"histogram\"");
    tell("a place that is no level of a topic", "\"site\":\"nb-1\"", "\"site\":\"Site 1\"");
    tell("a metric that ends a topic", "\"metric\":\"e_import\"", "\"metric\":\"e\\u0000\"");
    tell("more digits than a value may have", "\"exponent\":-2", "\"exponent\":-128");
    let mut twice = dictionary();
    twice.points.push(twice.points[0].clone());
    let twice = Dictionary::from_record(&twice.to_record()).unwrap_err();
    told.error("a point that stands twice", "", &twice);
    let damaged = Dictionary::from_record(b"not compressed").unwrap_err();
    told.error("a record that is damaged", "", &damaged);
    told.finish();
}

#[test]
fn commit_acks_that_are_not_followed() {
    const GOOD: &str = r#"{"v":2,"log_id":"000102030405060708090a0b0c0d0e0f","store":"t","epoch":0,"ingest":"a1","durable_upto":7,"class":"D2"}"#;
    assert!(Ack::from_json(GOOD.as_bytes()).is_ok());
    let mut told = Told::new("ack");
    let mut tell = |case: &str, from: &str, to: &str| {
        assert_eq!(GOOD.matches(from).count(), 1, "{case}");
        let error = Ack::from_json(GOOD.replace(from, to).as_bytes()).unwrap_err();
        told.error(case, &format!("- {from}\n+ {to}"), &error);
    };
    tell("an ack of a later version", "\"v\":2", "\"v\":3");
    tell("an ack of an earlier centre", "\"v\":2", "\"v\":1");
    tell("an ack without its store", ",\"store\":\"t\"", "");
    tell("an ack without its watermark", ",\"durable_upto\":7", "");
    tell("a watermark below zero", "upto\":7", "upto\":-7");
    tell("a log's name that is cut", "0d0e0f", "0d0e");
    tell("a durability that does not exist", "\"D2\"", "\"D9\"");
    tell("a text that is no JSON", "{", "");
    told.finish();
}
