//! From a raw number of a device to a value in the unit of its point, exactly where the raw number is an integer. Must
//! never know where the number came from.

use config::Problem;
use device_profiles::ProfilePoint;
use model::{Decimal, Quality, Value, ValueType};

/// What the device holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawKind {
    /// An integer.
    Integer,
    /// A binary floating-point number.
    Float,
}

/// How a raw number becomes a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    scale: Decimal,
    offset: Decimal,
    value_type: ValueType,
}

impl Scaling {
    /// The scaling of a profile's point that holds numbers of `kind`.
    ///
    /// # Errors
    /// A problem at the point when resolution, scale and offset do not fit together.
    pub fn new(point: &ProfilePoint, kind: RawKind) -> Result<Self, Problem> {
        let (scale, offset) = (point.scale.normalized(), point.offset.normalized());
        let wrong = |message: String| point.address.problem("GW-C046", message);
        let exponent =
            match (point.resolution.map(Decimal::normalized), kind) {
                (Some(resolution), _) if resolution.mantissa != 1 => {
                    let message = format!(
                        "`resolution` of `{}`: expected a power of ten, found `{resolution}`",
                        point.metric
                    );
                    return Err(wrong(message)
                        .help("write the last digit that the device shows, such as 0.01"));
                }
                (Some(resolution), RawKind::Float) => Some(resolution.exponent),
                (resolution, RawKind::Integer) => {
                    let exact = if offset == Decimal::ZERO {
                        scale.exponent
                    } else {
                        scale.exponent.min(offset.exponent)
                    };
                    if resolution.is_some_and(|resolution| resolution.exponent > exact) {
                        let message = format!(
                            "`resolution` of `{}` is coarser than its scale `{scale}`",
                            point.metric
                        );
                        return Err(wrong(message)
                            .help("leave `resolution` out: an integer register is exact"));
                    }
                    Some(resolution.map_or(exact, |resolution| resolution.exponent))
                }
                (None, RawKind::Float) => None,
            };
        let value_type =
            exponent.map_or(ValueType::Float, |exponent| ValueType::Decimal { exponent });
        Ok(Self { scale, offset, value_type })
    }

    /// How the values are held.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// The value of an integer register, exactly.
    ///
    /// # Errors
    /// `BadOutOfRange` when it does not fit.
    pub fn of_integer(&self, raw: i64) -> Result<Value, Quality> {
        let exact = Decimal { mantissa: raw, exponent: 0 }
            .checked_mul(self.scale)
            .and_then(|scaled| scaled.checked_add(self.offset))
            .ok_or(Quality::BAD_OUT_OF_RANGE)?;
        match self.value_type {
            ValueType::Decimal { exponent } => {
                exact.mantissa_at(exponent).map(Value::Decimal).ok_or(Quality::BAD_OUT_OF_RANGE)
            }
            ValueType::Float => Ok(Value::Float(exact.to_f64())),
        }
    }

    /// The value of a floating-point register, rounded to the point's resolution where it has one.
    ///
    /// # Errors
    /// `BadOutOfRange` when it is no finite number or does not fit.
    pub fn of_float(&self, raw: f64) -> Result<Value, Quality> {
        let plain = self.scale == Decimal::ONE && self.offset == Decimal::ZERO;
        let value = if plain { raw } else { raw * self.scale.to_f64() + self.offset.to_f64() };
        if !value.is_finite() {
            return Err(Quality::BAD_OUT_OF_RANGE);
        }
        let ValueType::Decimal { exponent } = self.value_type else {
            return Ok(Value::Float(value));
        };
        let power = 10_f64.powi(i32::from(exponent.unsigned_abs()));
        let steps = if exponent < 0 { value * power } else { value / power };
        let rounded = steps.round_ties_even();
        // Beyond 2^53 a double no longer holds every integer: the register cannot be exact there.
        if rounded.abs() > 9_007_199_254_740_992.0 {
            return Err(Quality::BAD_OUT_OF_RANGE);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an integer of at most 2^53, checked above"
        )]
        Ok(Value::Decimal(rounded as i64))
    }
}
