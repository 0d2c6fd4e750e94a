//! From the registers of one value to the value, for every type and byte order. Must never know where the registers
//! came from.

use driver::Scaling;
use model::{Quality, Text, Value, ValueType};

use crate::address::{Address, DataType};

/// How the registers of a point become its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// A number in the unit of the point.
    Number(Scaling),
    /// On or off.
    Bool,
    /// A text, two characters a register.
    Text,
}

impl Form {
    /// How the values are held.
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Self::Number(scaling) => scaling.value_type(),
            Self::Bool => ValueType::Bool,
            Self::Text => ValueType::Text,
        }
    }
}

/// Smallest and largest number other than 0 that a float register can mean, whatever its unit: below the first lies
/// nothing that a meter tells from 0, and all energy that is used in the world in a year is 6e20 J. In another byte order
/// every second float is smaller than the one or larger than the other.
const MEASURABLE: std::ops::RangeInclusive<f64> = 1e-20..=1e21;
/// Bytes of a text that are shown when it is none.
const TEXT_BYTES_SHOWN: usize = 8;

/// Why registers give no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The device says that it has none: a mark of the profile, or no finite number.
    Absent,
    /// The number does not fit.
    OutOfRange {
        /// What the registers hold.
        found: String,
    },
    /// The bytes of a text are no UTF-8.
    NoText {
        /// The first of them, as hexadecimal digits.
        found: String,
    },
    /// Fewer registers came than the value has.
    TooFew,
}

impl Unusable {
    /// The quality of the point.
    pub(crate) fn quality(&self) -> Quality {
        match self {
            Self::Absent | Self::OutOfRange { .. } => Quality::BAD_OUT_OF_RANGE,
            Self::NoText { .. } => Quality::BAD_TYPE_MISMATCH,
            Self::TooFew => Quality::BAD_DECODING_ERROR,
        }
    }
}

/// The value that `words` hold, in the unit of its point, and how far it can be trusted: a float too small or too large
/// for any measurement is most often no float, but an integer or a mark of the device that the profile does not know.
///
/// # Errors
/// Why there is none.
pub(crate) fn decode(
    words: &[u16],
    address: &Address,
    form: &Form,
) -> Result<(Value, Quality), Unusable> {
    let words = words.get(..usize::from(address.count())).ok_or(Unusable::TooFew)?;
    match form {
        Form::Number(scaling) => number(words, address, scaling),
        Form::Bool => {
            let bits = gather(words, address);
            if !address.area.is_bits() && address.absent.contains(bits) {
                return Err(Unusable::Absent);
            }
            Ok((Value::Bool(bits >> address.bit.unwrap_or(0) & 1 == 1), Quality::GOOD))
        }
        Form::Text => text(words, address),
    }
}

/// A text ends at its first zero byte; blanks behind it, and registers that nobody ever wrote, are no part of it.
fn text(words: &[u16], address: &Address) -> Result<(Value, Quality), Unusable> {
    let swapped = address.order.places().next() == Some(1);
    let bytes = words.iter().flat_map(|word| {
        let word = if swapped { word.swap_bytes() } else { *word };
        word.to_be_bytes()
    });
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0xFF));
    let bytes = bytes.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
    let no_text = |_| {
        let shown: Vec<String> =
            bytes.iter().take(TEXT_BYTES_SHOWN).map(|byte| format!("{byte:02X}")).collect();
        Unusable::NoText { found: shown.join(" ") }
    };
    let text = std::str::from_utf8(bytes).map_err(no_text)?;
    let too_long = |_| Unusable::OutOfRange { found: format!("a text of {} bytes", bytes.len()) };
    let text = Text::new(text).map_err(too_long)?;
    Ok((Value::Text(text), Quality::GOOD))
}

fn number(
    words: &[u16],
    address: &Address,
    scaling: &Scaling,
) -> Result<(Value, Quality), Unusable> {
    let bits = gather(words, address);
    if address.absent.contains(bits) {
        return Err(Unusable::Absent);
    }
    let out_of_range = |found: String| Unusable::OutOfRange { found };
    let integer = |raw: i64| {
        let value = scaling.of_integer(raw).map_err(|_| out_of_range(raw.to_string()))?;
        let quality = scaling.quality_of(&value);
        Ok((value, quality))
    };
    let float = |raw: f64| {
        if !raw.is_finite() {
            return Err(Unusable::Absent);
        }
        // There is no negative zero of any quantity; adding zero gives the positive one.
        let raw = raw + 0.0;
        let value = scaling.of_float(raw).map_err(|_| out_of_range(format!("{raw:e}")))?;
        let is_zero = raw.to_bits() == 0;
        let quality = if is_zero || MEASURABLE.contains(&raw.abs()) {
            scaling.quality_of(&value)
        } else if scaling.is_limited() {
            Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED
        } else {
            Quality::UNCERTAIN
        };
        Ok((value, quality))
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "the lowest bits of the gathered bytes are the value; signed types reuse its bits"
    )]
    match address.data_type {
        DataType::U16 | DataType::U32 | DataType::I64 => integer(bits as i64),
        DataType::I16 => integer(i64::from(bits as u16 as i16)),
        DataType::I32 => integer(i64::from(bits as u32 as i32)),
        DataType::U64 => integer(i64::try_from(bits).map_err(|_| out_of_range(bits.to_string()))?),
        DataType::F32 => float(f64::from(f32::from_bits(bits as u32))),
        DataType::F64 => float(f64::from_bits(bits)),
        DataType::Bool | DataType::Text => Err(Unusable::TooFew),
    }
}

/// The bytes of the value put in their order, as the lowest bits of a number.
pub(crate) fn gather(words: &[u16], address: &Address) -> u64 {
    let bytes = address.order.bytes();
    let wire = words.iter().flat_map(|word| word.to_be_bytes());
    wire.zip(address.order.places()).fold(0, |bits, (byte, place)| {
        let shift = bytes.saturating_sub(place).saturating_sub(1).saturating_mul(8);
        bits | u64::from(byte) << shift
    })
}

#[cfg(test)]
mod tests;
