//! The plainer sister of the product's codec: the same parts, but each residual a zigzag LEB128 varint, so that zstd has
//! bytes to work on. Kept to answer "would varints and zstd not do?".

use model::{Batch, DictionaryHash, PointIndex, Quality, Sample, SampleFlags, Timestamp, Value};

use crate::form::{self, RecentForms};

/// Heads of the columns and residuals apart, which zstd likes better.
#[derive(Default)]
struct Out {
    head: Vec<u8>,
    tail: Vec<u8>,
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn take(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    while let Some((&byte, after)) = rest.split_first() {
        *rest = after;
        value |= u64::from(byte & 0x7F) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

/// First value and order into the head, residuals into the tail.
fn put_column(out: &mut Out, values: &[i64]) {
    let Some((&first, rest)) = values.split_first() else { return };
    put(&mut out.head, zigzag(first));
    if rest.is_empty() {
        return;
    }
    let deltas: Vec<i64> = values.iter().zip(rest).map(|(a, b)| b.wrapping_sub(*a)).collect();
    let mut before = 0;
    let seconds: Vec<i64> =
        deltas.iter().map(|&d| d.wrapping_sub(std::mem::replace(&mut before, d))).collect();
    let bytes = |list: &[i64]| -> u32 {
        list.iter().map(|&v| (64 - (zigzag(v) | 1).leading_zeros()).div_ceil(7)).sum()
    };
    let second_order = bytes(&seconds) < bytes(&deltas);
    out.head.push(u8::from(second_order));
    for &residual in if second_order { &seconds } else { &deltas } {
        put(&mut out.tail, zigzag(residual));
    }
}

fn take_column(head: &mut &[u8], tail: &mut &[u8], count: usize) -> Vec<i64> {
    let mut values = Vec::with_capacity(count);
    if count == 0 {
        return values;
    }
    let mut value = unzigzag(take(head));
    values.push(value);
    let second_order = count > 1 && take(head) == 1;
    let mut step = 0_i64;
    for _ in 1..count {
        let residual = unzigzag(take(tail));
        step = if second_order { step.wrapping_add(residual) } else { residual };
        value = value.wrapping_add(step);
        values.push(value);
    }
    values
}

/// Times in whole milliseconds only, which is all that the plant has.
pub(crate) fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Out::default();
    let points: Vec<&[Sample]> = batch.samples.chunk_by(|a, b| a.point == b.point).collect();
    put(&mut out.head, points.len() as u64);
    let times = |s: &Sample| (s.source_time, s.gateway_time);
    let (mut before, mut index_before): (&[Sample], u32) = (&[], 0);
    for point in points {
        put(&mut out.head, u64::from(point[0].point.0 - index_before));
        index_before = point[0].point.0;
        let shared = point.iter().map(times).eq(before.iter().map(times));
        out.head.push(u8::from(shared));
        if !shared {
            put(&mut out.head, point.len() as u64);
            let column: Vec<i64> = point.iter().map(|s| s.source_time.0 / 1_000).collect();
            put_column(&mut out, &column);
            let lag = |s: &Sample| (s.gateway_time.0 - s.source_time.0) / 1_000;
            put_column(&mut out, &point.iter().map(lag).collect::<Vec<i64>>());
        }
        before = point;
        let mut values = Vec::new();
        put(&mut out.head, RecentForms::of(1).rank(form::write(point, &mut values, &mut |_| 0)));
        put_column(&mut out, &values);
    }
    let mut body = Vec::with_capacity(out.head.len() + out.tail.len() + 16);
    put(&mut body, batch.samples.len() as u64);
    for run in batch.samples.chunk_by(|a, b| a.quality == b.quality) {
        put(&mut body, u64::from(run[0].quality.0));
        put(&mut body, run.len() as u64);
    }
    put(&mut body, out.head.len() as u64);
    body.extend_from_slice(&out.head);
    body.extend_from_slice(&out.tail);
    body
}

/// Trusts the bytes.
pub(crate) fn decode(mut body: &[u8]) -> Batch {
    let small = |number: u64| usize::try_from(number).expect("our own number");
    let rest = &mut body;
    let samples = small(take(rest));
    let mut qualities = Vec::with_capacity(samples);
    while qualities.len() < samples {
        let quality = Quality(u32::try_from(take(rest)).expect("our own quality"));
        qualities.extend(std::iter::repeat_n(quality, small(take(rest))));
    }
    let mut qualities = qualities.as_slice();
    let head_len = small(take(rest));
    let (mut head, mut tail) = rest.split_at(head_len);
    let (head, tail) = (&mut head, &mut tail);
    let mut out = Vec::with_capacity(samples);
    let mut times: Vec<(Timestamp, Timestamp)> = Vec::new();
    let mut index = 0;
    for _ in 0..take(head) {
        index += u32::try_from(take(head)).expect("our own index");
        if take(head) == 0 {
            let count = small(take(head));
            let sources = take_column(head, tail, count);
            let lags = take_column(head, tail, count);
            let both = sources.iter().zip(&lags);
            times = both.map(|(s, l)| (Timestamp(s * 1_000), Timestamp((s + l) * 1_000))).collect();
        }
        let form = RecentForms::of(1).at(take(head)).expect("our own form");
        let (mine, after) = qualities.split_at(times.len());
        qualities = after;
        let count = mine.iter().filter(|quality| !quality.is_bad()).count();
        let mut values = take_column(head, tail, count).into_iter();
        for (&(source_time, gateway_time), &quality) in times.iter().zip(mine) {
            let value = if quality.is_bad() { None } else { values.next() };
            let value: Option<Value> = value.and_then(|value| form.value(value));
            let point = PointIndex(index);
            let flags = SampleFlags::default();
            out.push(Sample { point, source_time, gateway_time, quality, flags, value });
        }
    }
    Batch { dictionary: DictionaryHash([0x5A; 32]), samples: out }
}
