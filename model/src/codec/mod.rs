//! The codec of a DATA record's body: a [`Batch`] as few bytes, readable years later with nothing but the dictionary
//! that it names. This module must never know a frame, a point's meaning or a configuration.
//!
//! # Shape
//! ```text
//! version u8 | dictionary hash [32] | bits
//! ```
//! The bits fill each byte from its lowest one; the last byte is filled up with zeros. In them stand, in this order:
//!
//! 1. the *numbers* of samples, points and tracks. A **track** is a column of times that one or more points share: the
//!    points of one device are read together, so that their times are kept once;
//! 2. *runs* over the points: step to the point's index from the one before (the first from -1), less 1;
//! 3. *runs* over the points: number of the point's track. The length of the track is the point's count of samples;
//! 4. *runs* over the tracks: length, less 1;
//! 5. the unit of the source times and the unit of the lags (both *numbers*, in µs): the greatest common divisors, so
//!    that times known to the millisecond cost milliseconds;
//! 6. for each track: *column* of source times, *column* of lags (gateway time less source time), both in their units;
//! 7. *runs* over the samples, in the batch's order: quality;
//! 8. *runs* over the samples, in the same order: [flags](SampleFlags);
//! 9. *runs* over the points: rank of the form of the point's values among the [forms](form), by last use;
//! 10. for each point that has values: *column* of them. A sample of Bad quality has none;
//! 11. the *number* of texts, then for each, in the order of first use, its length in bytes (a *number*) and its bytes.
//!
//! How each of these is written, where z is the zigzag of a signed integer (0, -1, 1, -2 … become 0, 1, 2, 3 …):
//! - *Rice code* of z with parameter k: z >> k ones and a zero, then the k low bits of z; or, where that would be
//!   [`bits::ESCAPE`] ones or more, so many ones and z as a number;
//! - *number*: 6 bits, the place n of its highest set bit, then the n bits below that one (for n = 0: 1 bit, the number
//!   itself, 0 or 1);
//! - *runs*: pairs of a value and how often it repeats, less 1; both Rice codes with k = 2;
//! - *column*: its first value; if there are more, 2 bits of [order](column) and what the order asks for, which mostly
//!   is a parameter k (a Rice code with k = 1) and a Rice code with k for each further value. The first value is a number
//!   as above, but in place of the 6 bits stands the Rice code (k = 1) of the change of n since the first value of the
//!   column before it of the same kind (source times, lags or values); of a time it is z of the change since that value.
//!
//! All arithmetic wraps at 64 bits, so that every batch has a form.
//!
//! Version 1, which is still read, has no part 8 and 11, and not the last two forms.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod bits;
mod column;
mod error;
mod form;
mod rules;
#[cfg(test)]
mod tests;
mod texts;
mod tracks;

use crate::dictionary::DictionaryHash;
use crate::frame::BODY_BYTES_MAX;
use crate::id::PointIndex;
use crate::quality::Quality;
use crate::sample::{BATCH_SAMPLES_MAX, Batch, Sample, SampleFlags};

use bits::{BitReader, BitWriter};
use column::Guess;
use form::{Form, RecentForms};
use texts::{TextsRead, TextsWritten};
use tracks::Tracks;

pub use error::CodecError;

/// The layout above. A change that an older program cannot read takes the next number.
pub const CODEC_VERSION: u8 = 2;

/// Encodes a batch.
///
/// # Errors
/// When the batch breaks its own rules: order, duplicates, values and qualities that contradict each other, limits.
pub fn encode(batch: &Batch) -> Result<Vec<u8>, CodecError> {
    let samples = batch.samples.as_slice();
    rules::check(samples)?;
    let points: Vec<&[Sample]> = samples.chunk_by(|a, b| a.point == b.point).collect();
    let tracks = Tracks::of(&points);

    let mut head = Vec::with_capacity(samples.len().saturating_add(64));
    head.push(CODEC_VERSION);
    head.extend_from_slice(&batch.dictionary.0);
    let mut out = BitWriter::after(head);
    for count in [samples.len(), points.len(), tracks.len()] {
        out.number(count as u64);
    }
    let mut expected = 0;
    let steps = points.iter().filter_map(|point| point.first()).map(|sample| {
        let index = u64::from(sample.point.0);
        let step = index.wrapping_sub(expected);
        expected = index.wrapping_add(1);
        step
    });
    out.runs(steps, |step| step);
    tracks.write(&mut out);
    out.runs(samples.iter().map(|sample| sample.quality), |quality| u64::from(quality.0));
    out.runs(samples.iter().map(|sample| sample.flags), |flags| u64::from(flags.bits()));
    write_values(&points, &mut out);
    Ok(out.finish())
}

fn write_values(points: &[&[Sample]], out: &mut BitWriter) {
    let (mut columns, mut texts) = (Vec::new(), TextsWritten::default());
    let forms: Vec<Form> = points
        .iter()
        .map(|point| form::write(point, &mut columns, &mut |text| texts.place(text)))
        .collect();
    let mut recent = RecentForms::of(CODEC_VERSION);
    out.runs(forms.iter(), |&form| recent.rank(form));
    let mut guess = Guess::default();
    let mut rest = columns.as_slice();
    for point in points {
        let count = point.iter().filter(|sample| sample.value.is_some()).count();
        let (values, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        column::write(values, &mut guess, out);
        rest = after;
    }
    texts.write(out);
}

/// Decodes a batch. What it returns keeps the rules that [`encode`] asks for.
///
/// # Errors
/// When the bytes are of another version, damaged, or not a batch that keeps the rules.
pub fn decode(body: &[u8]) -> Result<Batch, CodecError> {
    if body.len() > BODY_BYTES_MAX {
        let (found, max) = (body.len() as u64, BODY_BYTES_MAX as u64);
        return Err(CodecError::TooMany { what: "bytes", found, max });
    }
    let (&version, body) = body.split_first().ok_or(CodecError::Truncated)?;
    if !(1..=CODEC_VERSION).contains(&version) {
        return Err(CodecError::Version { found: version });
    }
    let (hash, body) = body.split_first_chunk().ok_or(CodecError::Truncated)?;
    let mut bits = BitReader::new(body);
    let samples = bits.count("samples", BATCH_SAMPLES_MAX)?;
    let points = bits.count("points", samples)?;
    let tracks = bits.count("tracks", points)?;

    let indexes = read_indexes(&mut bits, points)?;
    let tracks = Tracks::read(&mut bits, samples, points, tracks)?;
    let marks = read_marks(&mut bits, samples, version)?;
    let mut forms = Vec::with_capacity(points);
    let mut recent = RecentForms::of(version);
    bits.runs(points, |rank, run| {
        let form = recent.at(rank).ok_or(CodecError::Form { found: rank })?;
        forms.extend(std::iter::repeat_n(form, run));
        Ok(())
    })?;

    let mut out = Vec::with_capacity(samples);
    let mut marks = marks.as_slice();
    let (mut column, mut guess, mut texts) = (Vec::new(), Guess::default(), TextsRead::default());
    for (point, (index, form)) in indexes.into_iter().zip(forms).enumerate() {
        let times = tracks.of_point(point)?;
        let (mine, rest) =
            marks.split_at_checked(times.len()).ok_or(CodecError::Damaged { what: "a track" })?;
        marks = rest;
        let count = mine.iter().filter(|(quality, _)| !quality.is_bad()).count();
        column::read(&mut bits, count, &mut guess, &mut column)?;
        if (form == Form::None) != (count == 0) {
            return Err(CodecError::Damaged { what: "the form of a point's values" });
        }
        let mut values = column.iter();
        for (&(source_time, gateway_time), &(quality, flags)) in times.iter().zip(mine) {
            let integer = if quality.is_bad() { None } else { values.next().copied() };
            let value = match integer {
                Some(place) if form == Form::Text => {
                    texts.used_by(out.len(), place)?;
                    None
                }
                Some(integer) => form.value(integer),
                None => None,
            };
            out.push(Sample { point: index, source_time, gateway_time, quality, flags, value });
        }
    }
    if version > 1 {
        texts.read(&mut bits, &mut out)?;
    }
    bits.finish()?;
    rules::check(&out)?;
    Ok(Batch { dictionary: DictionaryHash(*hash), samples: out })
}

/// Quality and flags of each sample.
fn read_marks(
    bits: &mut BitReader<'_>,
    samples: usize,
    version: u8,
) -> Result<Vec<(Quality, SampleFlags)>, CodecError> {
    let mut marks = Vec::with_capacity(samples);
    bits.runs(samples, |code, run| {
        let code = u32::try_from(code).map_err(|_| CodecError::Damaged { what: "a quality" })?;
        marks.extend(std::iter::repeat_n((Quality(code), SampleFlags::default()), run));
        Ok(())
    })?;
    if version == 1 {
        return Ok(marks);
    }
    let mut rest = marks.iter_mut();
    bits.runs(samples, |found, run| {
        let flags = SampleFlags::from_bits(found).ok_or(CodecError::Flags { found })?;
        rest.by_ref().take(run).for_each(|mark| mark.1 = flags);
        Ok(())
    })?;
    Ok(marks)
}

fn read_indexes(bits: &mut BitReader<'_>, points: usize) -> Result<Vec<PointIndex>, CodecError> {
    let mut indexes = Vec::with_capacity(points);
    let mut expected = 0_u64;
    bits.runs(points, |step, run| {
        for _ in 0..run {
            let wrong = CodecError::Damaged { what: "a point's index" };
            let index = expected.checked_add(step).and_then(|index| u32::try_from(index).ok());
            let index = index.ok_or(wrong)?;
            indexes.push(PointIndex(index));
            expected = u64::from(index).wrapping_add(1);
        }
        Ok(())
    })?;
    Ok(indexes)
}
