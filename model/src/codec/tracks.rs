//! The times of a batch. Points that were read together share their times; each distinct column of times is kept once,
//! as a track.

use std::collections::BTreeMap;

use crate::sample::Sample;
use crate::time::Timestamp;

use super::CodecError;
use super::bits::{BitReader, BitWriter};
use super::column::{self, Guess};

/// Source time and gateway time of one sample.
pub(super) type Times = (Timestamp, Timestamp);

/// The distinct columns of times, and which point has which.
pub(super) struct Tracks {
    times: Vec<Times>,
    /// Where each track lies in `times`.
    spans: Vec<std::ops::Range<usize>>,
    /// Track of each point.
    of_points: Vec<usize>,
}

impl Tracks {
    /// Finds the tracks of `points`; each of them has at least one sample.
    pub(super) fn of(points: &[&[Sample]]) -> Self {
        let mut tracks = Self {
            times: Vec::new(),
            spans: Vec::new(),
            of_points: Vec::with_capacity(points.len()),
        };
        // By length and ends. Two tracks that differ only in between are rare, and then the later one is not shared.
        let mut known = BTreeMap::new();
        let mut before = None;
        for point in points {
            let key = (point.len(), point.first().map(times_of), point.last().map(times_of));
            let candidate = before.filter(|&track| tracks.is(track, point));
            let candidate = candidate
                .or_else(|| known.get(&key).copied().filter(|&track| tracks.is(track, point)));
            let track = candidate.unwrap_or_else(|| {
                let track = tracks.push(point.iter().map(times_of));
                known.insert(key, track);
                track
            });
            tracks.of_points.push(track);
            before = Some(track);
        }
        tracks
    }

    fn push(&mut self, times: impl Iterator<Item = Times>) -> usize {
        let start = self.times.len();
        self.times.extend(times);
        self.spans.push(start..self.times.len());
        self.spans.len().saturating_sub(1)
    }

    fn track(&self, track: usize) -> Option<&[Times]> {
        self.times.get(self.spans.get(track)?.clone())
    }

    fn is(&self, track: usize, point: &[Sample]) -> bool {
        self.track(track).is_some_and(|times| times.iter().copied().eq(point.iter().map(times_of)))
    }

    /// How many tracks there are.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Appends parts 3 to 6 of the layout.
    pub(super) fn write(&self, out: &mut BitWriter) {
        out.runs(self.of_points.iter(), |&track| track as u64);
        out.runs(self.spans.iter().map(ExactSizeIterator::len), |len| len.saturating_sub(1) as u64);
        let source_unit = common_divisor(self.times.iter().map(|&(source, _)| source.0));
        let lag_unit = common_divisor(self.times.iter().map(lag));
        out.number(source_unit.unsigned_abs());
        out.number(lag_unit.unsigned_abs());
        let (mut source_guess, mut lag_guess) = (Guess::default(), Guess::default());
        let mut column: Vec<i64> = Vec::new();
        for track in (0..self.len()).filter_map(|track| self.track(track)) {
            column.clear();
            column.extend(track.iter().map(|(source, _)| in_units(source.0, source_unit)));
            column::write(&column, &mut source_guess, out);
            source_guess.near(&column);
            column.clear();
            column.extend(track.iter().map(|times| in_units(lag(times), lag_unit)));
            column::write(&column, &mut lag_guess, out);
            lag_guess.near(&column);
        }
    }

    /// Reads parts 3 to 6 of the layout.
    pub(super) fn read(
        bits: &mut BitReader<'_>,
        samples: usize,
        points: usize,
        tracks: usize,
    ) -> Result<Self, CodecError> {
        let mut of_points = Vec::with_capacity(points);
        bits.runs(points, |track, run| {
            let track = usize::try_from(track).ok().filter(|&track| track < tracks);
            let track = track.ok_or(CodecError::Damaged { what: "the track of a point" })?;
            of_points.extend(std::iter::repeat_n(track, run));
            Ok(())
        })?;
        let spans = read_spans(bits, samples, tracks)?;
        let length = |&track: &usize| spans.get(track).map_or(0, ExactSizeIterator::len);
        if of_points.iter().map(length).fold(0, usize::saturating_add) != samples {
            return Err(CodecError::Damaged { what: "the number of samples" });
        }
        let unit = |number: u64| i64::try_from(number).ok().filter(|&unit| unit > 0);
        let wrong = CodecError::Damaged { what: "the unit of the times" };
        let source_unit = unit(bits.number()?).ok_or_else(|| wrong.clone())?;
        let lag_unit = unit(bits.number()?).ok_or(wrong)?;
        let (mut sources, mut lags) = (Vec::new(), Vec::new());
        let (mut source_guess, mut lag_guess) = (Guess::default(), Guess::default());
        let mut times = Vec::with_capacity(samples);
        for span in &spans {
            column::read(bits, span.len(), &mut source_guess, &mut sources)?;
            column::read(bits, span.len(), &mut lag_guess, &mut lags)?;
            source_guess.near(&sources);
            lag_guess.near(&lags);
            times.extend(sources.iter().zip(&lags).map(|(source, lag)| {
                let source = source.wrapping_mul(source_unit);
                let gateway = source.wrapping_add(lag.wrapping_mul(lag_unit));
                (Timestamp(source), Timestamp(gateway))
            }));
        }
        Ok(Self { times, spans, of_points })
    }

    /// The times of the point at a place in the batch.
    pub(super) fn of_point(&self, point: usize) -> Result<&[Times], CodecError> {
        let track = self.of_points.get(point).and_then(|&track| self.track(track));
        track.ok_or(CodecError::Damaged { what: "the track of a point" })
    }
}

/// Every track is some point's, so that together they are no longer than the batch: that bounds what is allocated.
fn read_spans(
    bits: &mut BitReader<'_>,
    samples: usize,
    tracks: usize,
) -> Result<Vec<std::ops::Range<usize>>, CodecError> {
    let mut spans = Vec::with_capacity(tracks);
    let mut start = 0_usize;
    bits.runs(tracks, |length, run| {
        for _ in 0..run {
            let length = usize::try_from(length).ok().and_then(|length| length.checked_add(1));
            let end = length.and_then(|length| start.checked_add(length));
            let end = end.filter(|&end| end <= samples);
            let end = end.ok_or(CodecError::Damaged { what: "the length of a track" })?;
            spans.push(start..end);
            start = end;
        }
        Ok(())
    })?;
    Ok(spans)
}

fn times_of(sample: &Sample) -> Times {
    (sample.source_time, sample.gateway_time)
}

fn lag(&(source, gateway): &Times) -> i64 {
    gateway.0.wrapping_sub(source.0)
}

/// How many units a multiple of the unit is.
fn in_units(value: i64, unit: i64) -> i64 {
    value.checked_div(unit).unwrap_or(value)
}

/// The greatest number that divides all values; 1 if there is none, or none that an `i64` holds.
fn common_divisor(values: impl Iterator<Item = i64>) -> i64 {
    let mut divisor = 0_u64;
    for value in values {
        let (mut a, mut b) = (divisor, value.unsigned_abs());
        while let Some(rest) = a.checked_rem(b) {
            (a, b) = (b, rest);
        }
        divisor = a;
        if divisor == 1 {
            break;
        }
    }
    i64::try_from(divisor).ok().filter(|&divisor| divisor > 0).unwrap_or(1)
}
