//! Frames, dictionaries and messages for the tests of this crate.

use model::fixtures::{dictionary, gateway};
use model::frame::encode_frame;
use model::wire::{Open, UpMessage};
use model::{
    Batch, DestinationId, Dictionary, Epoch, FrameHeader, Lane, LogId, Loss, LossReason,
    PointIndex, Quality, RecordType, Sample, Sequence, StoreId, Timestamp, Value,
};

use super::Event;

/// The store of these tests.
pub(crate) fn store() -> (StoreId, Epoch) {
    (StoreId::new("store-1").unwrap(), Epoch(0))
}

/// Points of a gateway with texts of about so many bytes.
pub(crate) fn points_of(gateway: &str, first: u32, count: u32, text_bytes: usize) -> Dictionary {
    let mut one = dictionary().points.remove(0);
    one.id = model::PointId::new(format!("{gateway}/{first:06}")).unwrap();
    one.metric = format!("m{first:06}");
    let short = serde_json::to_vec(&one).unwrap().len();
    let fill = text_bytes.saturating_sub(short + r#""en":"""#.len());
    one.device_name.en = "n".repeat(fill);
    let point = |n: u32| {
        let mut point = one.clone();
        point.id = model::PointId::new(format!("{gateway}/{n:06}")).unwrap();
        point.metric = format!("m{n:06}");
        point
    };
    Dictionary::new((first..first + count).map(point).collect()).unwrap()
}

pub(crate) fn batch(value: i64) -> Batch {
    let time = Timestamp(1_795_392_000_000_000 + value * 1_000);
    let sample = Sample::new(PointIndex(0), time, time, Quality::GOOD, Value::Decimal(value));
    Batch { dictionary: dictionary().hash(), samples: vec![sample] }
}

pub(crate) fn frame(sequence: u64, prev_hash: [u8; 32], batch: &Batch) -> Vec<u8> {
    let body = model::codec::encode(batch).unwrap();
    let samples = u32::try_from(batch.samples.len()).unwrap();
    frame_of(RecordType::Data, sequence, samples, prev_hash, &body)
}

pub(crate) fn frame_of(
    record_type: RecordType,
    sequence: u64,
    samples: u32,
    prev_hash: [u8; 32],
    body: &[u8],
) -> Vec<u8> {
    let (ts_min, ts_max) = (Timestamp(0), Timestamp(0));
    let sequence = Sequence(sequence);
    let header =
        FrameHeader { record_type, sequence, samples, ts_min, ts_max, salt: 7, body_len: 0 };
    let mut out = Vec::new();
    encode_frame(&header, &prev_hash, body, &mut out).unwrap();
    out
}

pub(crate) const LOG: LogId = LogId([7; 16]);

pub(crate) fn up(name: &str, log_id: LogId, message: &UpMessage<'_>) -> Event {
    Event::Up { gateway: gateway(name), message: message.encode(log_id, Lane::Backlog).into() }
}

pub(crate) fn open_of(oldest: u64, next: u64, losses: Vec<Loss>) -> Open {
    let (oldest, next) = (Sequence(oldest), Sequence(next));
    Open {
        store: None,
        epoch: Epoch(0),
        destination: DestinationId::default(),
        oldest,
        next,
        losses,
        dictionaries: None,
    }
}

pub(crate) fn lost(first: u64, last: u64, samples: u64) -> Loss {
    let (first, last) = (Sequence(first), Sequence(last));
    let (reason, destinations) = (LossReason::DropOldest, vec![]);
    Loss { first, last, samples: Some(samples), ts_min: None, ts_max: None, reason, destinations }
}
