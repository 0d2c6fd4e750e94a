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

/// The value that `words` hold, in the unit of its point, and how far it can be trusted: a float too small for any
/// measurement is most often no float, but an integer or a mark of the device that the profile does not know.
///
/// # Errors
/// `BadOutOfRange` when the device says that it has no value, or when the value does not fit;
/// `BadDecodingError` when there are too few registers.
pub(crate) fn decode(
    words: &[u16],
    address: &Address,
    form: &Form,
) -> Result<(Value, Quality), Quality> {
    let words = words.get(..usize::from(address.count())).ok_or(Quality::BAD_DECODING_ERROR)?;
    match form {
        Form::Number(scaling) => number(words, address, scaling),
        Form::Bool => {
            let bits = gather(words, address);
            if !address.area.is_bits() && address.absent.contains(bits) {
                return Err(Quality::BAD_OUT_OF_RANGE);
            }
            Ok((Value::Bool(bits >> address.bit.unwrap_or(0) & 1 == 1), Quality::GOOD))
        }
        Form::Text => text(words, address),
    }
}

/// A text ends at its first zero byte; blanks behind it, and registers that nobody ever wrote, are no part of it.
fn text(words: &[u16], address: &Address) -> Result<(Value, Quality), Quality> {
    let swapped = address.order.places().next() == Some(1);
    let bytes = words.iter().flat_map(|word| {
        let word = if swapped { word.swap_bytes() } else { *word };
        word.to_be_bytes()
    });
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0xFF));
    let bytes = bytes.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| Quality::BAD_DECODING_ERROR)?;
    let text = Text::new(text).map_err(|_| Quality::BAD_OUT_OF_RANGE)?;
    Ok((Value::Text(text), Quality::GOOD))
}

fn number(
    words: &[u16],
    address: &Address,
    scaling: &Scaling,
) -> Result<(Value, Quality), Quality> {
    let bits = gather(words, address);
    if address.absent.contains(bits) {
        return Err(Quality::BAD_OUT_OF_RANGE);
    }
    let integer = |raw: i64| Ok((scaling.of_integer(raw)?, Quality::GOOD));
    let float = |raw: f64, subnormal: bool| {
        // There is no negative zero of any quantity; adding zero gives the positive one.
        let quality = if subnormal { Quality::UNCERTAIN } else { Quality::GOOD };
        Ok((scaling.of_float(raw + 0.0)?, quality))
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
        DataType::U64 => integer(i64::try_from(bits).map_err(|_| Quality::BAD_OUT_OF_RANGE)?),
        DataType::F32 => {
            let raw = f32::from_bits(bits as u32);
            float(f64::from(raw), raw.is_subnormal())
        }
        DataType::F64 => {
            let raw = f64::from_bits(bits);
            float(raw, raw.is_subnormal())
        }
        DataType::Bool | DataType::Text => Err(Quality::BAD_DECODING_ERROR),
    }
}

/// The bytes of the value put in their order, as the lowest bits of a number.
fn gather(words: &[u16], address: &Address) -> u64 {
    let bytes = address.order.bytes();
    let wire = words.iter().flat_map(|word| word.to_be_bytes());
    wire.zip(address.order.places()).fold(0, |bits, (byte, place)| {
        let shift = bytes.saturating_sub(place).saturating_sub(1).saturating_mul(8);
        bits | u64::from(byte) << shift
    })
}

#[cfg(test)]
mod tests;
