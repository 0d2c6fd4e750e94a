//! Samples and batches: what a driver produced, ready for the spool.

use serde::{Deserialize, Serialize};

use crate::dictionary::{DictionaryHash, ValueType};
use crate::id::PointIndex;
use crate::quality::Quality;
use crate::text::Text;
use crate::time::Timestamp;

/// Most samples in one batch, and so in one frame.
pub const BATCH_SAMPLES_MAX: usize = 20_000;
/// Most bytes of the different texts in one batch, so that it fits a frame whatever else stands in it.
pub const BATCH_TEXT_BYTES_MAX: usize = 128 * 1024;

/// A value in the engineering unit of its point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// The mantissa; the point's [`crate::ValueType::Decimal`] gives the power of ten.
    Decimal(i64),
    /// A double that is neither NaN nor infinite.
    Float(f64),
    /// On or off.
    Bool(bool),
    /// A text.
    Text(Text),
}

impl Value {
    /// Whether a point of this type has such values.
    #[must_use]
    pub fn fits(&self, value_type: ValueType) -> bool {
        matches!(
            (self, value_type),
            (Self::Decimal(_), ValueType::Decimal { .. })
                | (Self::Float(_), ValueType::Float)
                | (Self::Bool(_), ValueType::Bool)
                | (Self::Text(_), ValueType::Text)
        )
    }

    /// What kind of value this is, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Decimal(_) => "decimal",
            Self::Float(_) => "float",
            Self::Bool(_) => "bool",
            Self::Text(_) => "text",
        }
    }
}

/// What is known about a sample beside its value and quality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleFlags(u8);

impl SampleFlags {
    /// The value was read back from a memory of the device.
    pub const RECOVERED: Self = Self(1);
    /// The gateway's clock was not known to be right when it stamped the sample.
    pub const CLOCK_UNSYNCHRONISED: Self = Self(2);
    const ALL: u8 = Self::RECOVERED.0 | Self::CLOCK_UNSYNCHRONISED.0;

    /// The flags of these bits; `None` if one of them is unknown.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        u8::try_from(bits).ok().filter(|bits| bits & !Self::ALL == 0).map(Self)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One value of one point at one time.
#[doc(alias = "VTQ")]
#[doc(alias = "DataValue")]
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which point, by its place in the batch's dictionary.
    pub point: PointIndex,
    /// When the value was true: the device's own time where it gives one, else the time of its response.
    pub source_time: Timestamp,
    /// When the gateway had it.
    pub gateway_time: Timestamp,
    /// How far it can be trusted.
    pub quality: Quality,
    /// What else is known about it.
    pub flags: SampleFlags,
    /// The value; always `None` when the quality is Bad (INV-1).
    pub value: Option<Value>,
}

impl Sample {
    /// A sample that has a value. A double that is not a finite number becomes a Bad sample without one.
    #[must_use]
    pub fn new(
        point: PointIndex,
        source_time: Timestamp,
        gateway_time: Timestamp,
        quality: Quality,
        value: Value,
    ) -> Self {
        let unusable = quality.is_bad() || matches!(value, Value::Float(v) if !v.is_finite());
        if unusable {
            let quality = if quality.is_bad() { quality } else { Quality::BAD_OUT_OF_RANGE };
            return Self::without_value(point, source_time, gateway_time, quality);
        }
        let flags = SampleFlags::default();
        Self { point, source_time, gateway_time, quality, flags, value: Some(value) }
    }

    /// A sample that says why there is no value. A quality that is not Bad becomes plain Bad.
    #[must_use]
    pub fn without_value(
        point: PointIndex,
        source_time: Timestamp,
        gateway_time: Timestamp,
        quality: Quality,
    ) -> Self {
        let quality = if quality.is_bad() { quality } else { Quality::BAD };
        let flags = SampleFlags::default();
        Self { point, source_time, gateway_time, quality, flags, value: None }
    }

    /// The sample with these flags set too.
    #[must_use]
    pub fn flagged(mut self, flags: SampleFlags) -> Self {
        self.flags = self.flags.with(flags);
        self
    }

    /// Whether this takes the place of `known` as the latest of its point: by source time, so that a value read back
    /// takes no live one's place.
    ///
    /// That there was no answer is the gateway's own word, at its own time. The device's next word ends it even where
    /// its value stood still and is older: there the gateway times decide.
    #[must_use]
    pub fn replaces(&self, known: &Self) -> bool {
        if self.is_gateways_own() == known.is_gateways_own() {
            self.source_time >= known.source_time
        } else {
            (self.gateway_time, self.source_time) >= (known.gateway_time, known.source_time)
        }
    }

    fn is_gateways_own(&self) -> bool {
        self.value.is_none() && self.source_time == self.gateway_time
    }
}

/// Samples of one gateway that travel and are committed together.
///
/// In a batch a point has at most one sample per source time; the samples are in the order (point, source time).
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The dictionary that the point indexes refer to.
    pub dictionary: DictionaryHash,
    /// The samples, sorted by point, then source time.
    pub samples: Vec<Sample>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_a_value_exactly_if_it_is_not_bad() {
        let check = |quality: Quality, value: Option<Value>, expected: (Quality, Option<Value>)| {
            let (point, time) = (PointIndex(0), Timestamp(0));
            let sample = match value {
                Some(value) => Sample::new(point, time, time, quality, value),
                None => Sample::without_value(point, time, time, quality),
            };
            assert_eq!(sample.quality.is_bad(), sample.value.is_none(), "INV-1");
            assert_eq!((sample.quality, sample.value), expected);
        };
        let one = Some(Value::Decimal(1));
        let text = Some(Value::Text(Text::cut("run").0));
        for value in [one.clone(), Some(Value::Bool(false)), text] {
            check(Quality::GOOD, value.clone(), (Quality::GOOD, value.clone()));
            check(Quality::UNCERTAIN, value.clone(), (Quality::UNCERTAIN, value.clone()));
            check(Quality::BAD_TIMEOUT, value, (Quality::BAD_TIMEOUT, None));
        }
        check(Quality::BAD_TIMEOUT, None, (Quality::BAD_TIMEOUT, None));
        check(Quality::GOOD, None, (Quality::BAD, None));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Some(Value::Float(value));
            check(Quality::GOOD, value.clone(), (Quality::BAD_OUT_OF_RANGE, None));
            check(Quality::BAD_TIMEOUT, value, (Quality::BAD_TIMEOUT, None));
        }
    }

    #[test]
    fn a_value_that_stood_still_replaces_the_word_that_there_was_no_answer() {
        let sample = |good: bool, source: i64, gateway: i64| {
            let (point, source, gateway) = (PointIndex(0), Timestamp(source), Timestamp(gateway));
            if good {
                Sample::new(point, source, gateway, Quality::GOOD, Value::Decimal(1))
            } else {
                Sample::without_value(point, source, gateway, Quality::BAD)
            }
        };
        let of = |new: Sample, known: Sample, expected| {
            assert_eq!(new.replaces(&known), expected, "{new:?} over {known:?}");
        };
        let no_answer = sample(false, 14, 14);
        of(sample(true, 10, 15), no_answer.clone(), true);
        of(no_answer.clone(), sample(true, 10, 15), false);
        of(no_answer.clone(), sample(true, 10, 10), true);
        of(sample(true, 10, 10), no_answer.clone(), false);
        // The device's own Bad is the newest word of the device: what is read back is older.
        of(sample(true, 10, 15), sample(false, 13, 14), false);
        of(sample(false, 13, 15), no_answer.clone(), true);
        of(sample(true, 10, 20), sample(true, 11, 15), false);
        of(sample(false, 16, 16), no_answer, true);
    }

    #[test]
    fn a_sample_stays_small() {
        assert_eq!((size_of::<Value>(), size_of::<Sample>()), (16, 48));
    }

    #[test]
    fn unknown_flags_are_none() {
        let both = SampleFlags::RECOVERED.with(SampleFlags::CLOCK_UNSYNCHRONISED);
        assert_eq!(SampleFlags::from_bits(3), Some(both));
        assert!(both.contains(SampleFlags::RECOVERED) && !SampleFlags::RECOVERED.contains(both));
        for bits in [4, 5, 256, u64::MAX] {
            assert_eq!(SampleFlags::from_bits(bits), None);
        }
    }
}
