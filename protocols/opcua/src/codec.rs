//! From a `DataValue` of a server to a sample, exactly.
//!
//! What the profile calls `integer`, `float`, `bool` or `text` is taken from each type that holds it without loss, for
//! servers give 1.5 as a Double and 2 as an Int32 of one and the same variable:
//!
//! | `type` | taken |
//! |---|---|
//! | `integer` | all integers, Boolean, enumerations; Float and Double that are whole; DateTime as microseconds since 1970 |
//! | `float` | Float, Double; integers that a double holds exactly, and any with a `resolution` |
//! | `bool` | Boolean; the integers 0 and 1 |
//! | `text` | String, LocalizedText, QualifiedName, Guid; DateTime as ISO 8601 in UTC |

use async_opcua::types::{DataValue, DateTime, Variant};
use driver::Scaling;
use model::{PointIndex, Quality, Sample, SampleFlags, Text, Timestamp, Value, ValueType};

/// Ticks of 100 ns from 1601-01-01, where OPC UA begins to count, to 1970-01-01.
///
/// # Source
/// OPC 10000-6 §5.2.2.5 (`DateTime`).
const TICKS_TO_1970: i64 = 116_444_736_000_000_000;
const TICKS_PER_MICROSECOND: i64 = 10;

/// The server's queue ran over before or after this value.
///
/// # Source
/// OPC 10000-4 §7.39.1, table of the `DataValue` info bits.
const OVERFLOW_BIT: u32 = 0x0080;
/// The info bits of a status say something of a `DataValue`.
const INFO_DATA_VALUE: u32 = 0x0400;
const INFO_BITS: u32 = 0xFFFF;

/// Integers up to here are exact in a double, and in a float.
const DOUBLE_EXACT_MAX: u64 = 1 << 53;
const FLOAT_EXACT_MAX: f32 = 16_777_216.0;

/// How the values of one point are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointCodec {
    pub(crate) point: PointIndex,
    pub(crate) content: Content,
    /// Which element of an array; `None` for a value that is none.
    pub(crate) element: Option<usize>,
    /// Whether the device's own times are not to be used.
    pub(crate) gateway_time: bool,
}

/// What a node holds, as the profile says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    Integer(Scaling),
    Float(Scaling),
    Bool,
    Text,
}

impl Content {
    /// How its values are held.
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Self::Integer(scaling) | Self::Float(scaling) => scaling.value_type(),
            Self::Bool => ValueType::Bool,
            Self::Text => ValueType::Text,
        }
    }

    /// The quality of a value that the server calls good: Uncertain where it is not plausible for its point.
    fn judged(&self, value: &Value, quality: Quality) -> Quality {
        let (Self::Integer(scaling) | Self::Float(scaling)) = self else { return quality };
        let judged = scaling.quality_of(value);
        if judged.is_good() { quality } else { judged }
    }

    /// What is expected, for people.
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a Float or Double",
            Self::Bool => "a Boolean",
            Self::Text => "a String or LocalizedText",
        }
    }

    /// What there is room for, for people.
    fn range(&self) -> String {
        let of_exponent = |exponent: i8| match exponent {
            0 => format!("a number from {} to {}", i64::MIN, i64::MAX),
            _ => format!("a number from {}e{exponent} to {}e{exponent}", i64::MIN, i64::MAX),
        };
        match self.value_type() {
            ValueType::Decimal { exponent } => of_exponent(exponent),
            ValueType::Float => format!(
                "a finite number, and an integer from -{DOUBLE_EXACT_MAX} to {DOUBLE_EXACT_MAX} (a `resolution` gives room for larger ones)"
            ),
            ValueType::Bool | ValueType::Text => self.expected().to_owned(),
        }
    }
}

/// What a `DataValue` said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) sample: Sample,
    /// Whether the time is the server's and not our own.
    pub(crate) timed: bool,
    /// Whether values before or after this one were lost in the server's queue.
    pub(crate) overflow: bool,
    /// Why it has no value, where that is for what the server holds.
    pub(crate) mismatch: Option<Mismatch>,
}

/// What a server holds that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// It is none of the types that the profile's holds.
    Type {
        /// What was looked for, for people.
        expected: String,
        /// What the server holds.
        found: String,
    },
    /// It is one of them, and there is no room for this value.
    Range {
        /// What was looked for, for people.
        expected: String,
        /// What the server holds.
        found: String,
    },
}

impl PointCodec {
    /// A value as subscribed to or read now: its source time, or `gateway_time` where the server gives none.
    pub(crate) fn live(&self, value: &DataValue, gateway_time: Timestamp) -> Decoded {
        let time = storable(value.source_timestamp.as_ref()).filter(|_| !self.gateway_time);
        self.decode(value, time, gateway_time)
    }

    /// A value as remembered by the server: its source time, else the server's own. `None` when it has neither, for a
    /// memory without a time cannot be placed.
    pub(crate) fn remembered(&self, value: &DataValue, gateway_time: Timestamp) -> Option<Sample> {
        let time = storable(value.source_timestamp.as_ref())
            .or_else(|| storable(value.server_timestamp.as_ref()))?;
        Some(self.decode(value, Some(time), gateway_time).sample.flagged(SampleFlags::RECOVERED))
    }

    fn decode(
        &self,
        value: &DataValue,
        time: Option<Timestamp>,
        gateway_time: Timestamp,
    ) -> Decoded {
        let quality = Quality(value.status.map_or(0, |status| status.bits()));
        let overflow = is_overflow(quality) && time.is_some();
        let source_time = time.unwrap_or(gateway_time);
        let bad = |quality| Sample::without_value(self.point, source_time, gateway_time, quality);
        let mut mismatch = None;
        let sample = if quality.is_bad() {
            bad(quality)
        } else {
            match self.element_of(value.value.as_ref()).and_then(|found| self.value(found)) {
                Ok((value, whole)) => {
                    let quality = match quality.is_good() {
                        true if !whole => Quality::UNCERTAIN,
                        true => self.content.judged(&value, quality),
                        false => quality,
                    };
                    Sample::new(self.point, source_time, gateway_time, quality, value)
                }
                Err(quality) => {
                    mismatch = self.mismatch(quality, value.value.as_ref());
                    bad(quality)
                }
            }
        };
        Decoded { sample, timed: time.is_some(), overflow, mismatch }
    }

    /// The value itself, or the element of an array that is wanted.
    fn element_of<'a>(&self, value: Option<&'a Variant>) -> Result<&'a Variant, Quality> {
        let found = match (value, self.element) {
            (Some(Variant::Array(array)), Some(element)) => {
                array.values.get(element).ok_or(BAD_INDEX_RANGE_NO_DATA)?
            }
            (Some(value), None) => value,
            _ => return Err(Quality::BAD_TYPE_MISMATCH),
        };
        Ok(if let Variant::Variant(inner) = found { inner } else { found })
    }

    /// The value, and whether it is the whole of it.
    fn value(&self, found: &Variant) -> Result<(Value, bool), Quality> {
        let value = match &self.content {
            Content::Integer(scaling) => scaling.of_integer(integer(found)?)?,
            Content::Float(scaling) => float(scaling, found)?,
            Content::Bool => match integer(found)? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(Quality::BAD_TYPE_MISMATCH),
            },
            Content::Text => {
                let (text, cut) = text(found)?;
                return Ok((Value::Text(text), !cut));
            }
        };
        Ok((value, true))
    }

    /// Why a value is refused with this quality.
    fn mismatch(&self, quality: Quality, value: Option<&Variant>) -> Option<Mismatch> {
        match (quality, value, self.element) {
            (Quality::BAD_TYPE_MISMATCH, ..) => {
                let expected = self.content.expected().to_owned();
                Some(Mismatch::Type { expected, found: self.found(value) })
            }
            (BAD_INDEX_RANGE_NO_DATA, Some(Variant::Array(array)), Some(element)) => {
                let expected = format!("an array with an element at `index = {element}`");
                let found = format!("an array of {}", array.values.len());
                Some(Mismatch::Range { expected, found })
            }
            (Quality::BAD_OUT_OF_RANGE, Some(value), _) => {
                let found = number(self.element_of(Some(value)).unwrap_or(value));
                Some(Mismatch::Range { expected: self.content.range(), found })
            }
            _ => None,
        }
    }

    fn found(&self, value: Option<&Variant>) -> String {
        match (value, self.element) {
            (None | Some(Variant::Empty), _) => "no value".to_owned(),
            (Some(Variant::Array(array)), None) => {
                format!("an array of {} (say which element: `index = 0`)", array.values.len())
            }
            (Some(Variant::Array(array)), Some(element)) => {
                let held = array.values.get(element).map(type_name);
                format!("an array of {}", held.unwrap_or_default())
            }
            (Some(value), Some(_)) => format!("a value of {} that is no array", type_name(value)),
            (Some(Variant::Double(raw)), None) => format!("a Double of {raw}"),
            (Some(value), None) => format!("a value of {}", type_name(value)),
        }
    }
}

/// The name of a type as the standard has it.
fn type_name(value: &Variant) -> String {
    let name = format!("{:?}", value.type_id());
    let inner = name.strip_prefix("Scalar(").and_then(|name| name.strip_suffix(')'));
    inner.unwrap_or(&name).to_owned()
}

/// A number for people.
fn number(value: &Variant) -> String {
    let name = type_name(value);
    match value {
        Variant::UInt64(raw) => format!("a {name} of {raw}"),
        Variant::Int64(raw) => format!("an {name} of {raw}"),
        Variant::Float(raw) => format!("a {name} of {raw}"),
        Variant::Double(raw) => format!("a {name} of {raw}"),
        _ => format!("a value of {name}"),
    }
}

/// The array is shorter than the element that is wanted.
const BAD_INDEX_RANGE_NO_DATA: Quality = Quality(0x8037_0000);

/// Whether values before or after this one are missing. The bit counts without the info type too where it stands alone:
/// some servers leave the type out. With others beside it it does not: 0x00C0 is the "good" of OPC DA.
fn is_overflow(quality: Quality) -> bool {
    let info = quality.0 & INFO_BITS;
    info == OVERFLOW_BIT
        || info & (INFO_DATA_VALUE | OVERFLOW_BIT) == INFO_DATA_VALUE | OVERFLOW_BIT
}

/// The status without the word that values beside it are missing.
pub(crate) fn without_overflow(quality: Quality) -> Quality {
    if is_overflow(quality) { Quality(quality.0 & !INFO_BITS) } else { quality }
}

fn integer(value: &Variant) -> Result<i64, Quality> {
    Ok(match value {
        Variant::Boolean(raw) => i64::from(*raw),
        Variant::SByte(raw) => i64::from(*raw),
        Variant::Byte(raw) => i64::from(*raw),
        Variant::Int16(raw) => i64::from(*raw),
        Variant::UInt16(raw) => i64::from(*raw),
        Variant::Int32(raw) => i64::from(*raw),
        Variant::UInt32(raw) => i64::from(*raw),
        Variant::Int64(raw) => *raw,
        Variant::UInt64(raw) => i64::try_from(*raw).map_err(|_| Quality::BAD_OUT_OF_RANGE)?,
        Variant::Float(raw) if raw.abs() <= FLOAT_EXACT_MAX => whole(f64::from(*raw))?,
        Variant::Double(raw) => whole(*raw)?,
        Variant::DateTime(time) => to_timestamp(time).0,
        _ => return Err(Quality::BAD_TYPE_MISMATCH),
    })
}

/// The integer that a double is, exactly.
fn whole(raw: f64) -> Result<i64, Quality> {
    #[expect(clippy::cast_possible_truncation, reason = "what is no whole number is refused")]
    let integer = raw as i64;
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53, where each integer is exact")]
    let back = integer as f64;
    let exact = integer.unsigned_abs() <= DOUBLE_EXACT_MAX && back.total_cmp(&(raw + 0.0)).is_eq();
    if exact { Ok(integer) } else { Err(Quality::BAD_TYPE_MISMATCH) }
}

/// A number that may come as an integer where it is whole.
fn float(scaling: &Scaling, value: &Variant) -> Result<Value, Quality> {
    let raw = match value {
        Variant::Double(raw) => return scaling.of_float(*raw),
        Variant::Float(raw) => return scaling.of_float(f64::from(*raw)),
        Variant::Boolean(_) | Variant::DateTime(_) => return Err(Quality::BAD_TYPE_MISMATCH),
        value => integer(value)?,
    };
    let exact = raw.unsigned_abs() <= DOUBLE_EXACT_MAX;
    match scaling.value_type() {
        ValueType::Decimal { .. } => match scaling.of_integer(raw) {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
            Err(_) if exact => scaling.of_float(raw as f64),
            value => value,
        },
        _ if exact => scaling.of_integer(raw),
        _ => Err(Quality::BAD_OUT_OF_RANGE),
    }
}

/// The text, and whether some of it was cut off.
fn text(value: &Variant) -> Result<(Text, bool), Quality> {
    Ok(match value {
        Variant::String(text) => Text::cut(text.as_ref()),
        Variant::LocalizedText(text) => Text::cut(text.text.as_ref()),
        Variant::QualifiedName(name) => Text::cut(name.name.as_ref()),
        Variant::Guid(guid) => Text::cut(&guid.to_string()),
        Variant::DateTime(time) => Text::cut(&to_timestamp(time).to_string()),
        _ => return Err(Quality::BAD_TYPE_MISMATCH),
    })
}

/// The time, if it is one that a store admits.
pub(crate) fn storable(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time.filter(|time| !time.is_null()).map(to_timestamp)?;
    time.is_storable().then_some(time)
}

/// The microsecond in which a time of OPC UA lies.
fn to_timestamp(time: &DateTime) -> Timestamp {
    Timestamp((time.ticks() - TICKS_TO_1970).div_euclid(TICKS_PER_MICROSECOND))
}

/// The first tick of a microsecond.
pub(crate) fn to_date_time(time: Timestamp) -> DateTime {
    DateTime::from(time.0.saturating_mul(TICKS_PER_MICROSECOND).saturating_add(TICKS_TO_1970))
}

#[cfg(test)]
mod tests;
