//! From a raw number of a device to a value in the unit of its point, exactly where the raw number is an integer. Must
//! never know where the number came from.

use config::Problem;
use device_profiles::ProfilePoint;
use model::{Decimal, Quality, Value, ValueType};

/// Largest integer below which a double holds every integer: 2^53.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;
/// Steps up to which a double tells each decimal from its neighbours: it holds every decimal of 15 digits, and not every
/// one of 16.
const EVERY_DECIMAL_MAX: f64 = 1e15;

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
            _ => Ok(Value::Float(exact.to_f64())),
        }
    }

    /// The value of a floating-point register, rounded to the point's resolution where it has one.
    ///
    /// # Errors
    /// `BadOutOfRange` when it is no finite number, does not fit, or is so large that more than one decimal, or none, is
    /// the one that the device means.
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
        if rounded.abs() > INTEGER_MAX {
            return Err(Quality::BAD_OUT_OF_RANGE);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an integer of at most 2^53, checked above"
        )]
        let mantissa = rounded as i64;
        if rounded.abs() <= EVERY_DECIMAL_MAX {
            return Ok(Value::Decimal(mantissa));
        }
        let is_value = |mantissa: &i64| {
            Decimal { mantissa: *mantissa, exponent }.to_f64().to_bits() == value.to_bits()
        };
        let mut exact = (mantissa - 1..=mantissa + 1).filter(is_value);
        match (exact.next(), exact.next()) {
            (Some(only), None) => Ok(Value::Decimal(only)),
            _ => Err(Quality::BAD_OUT_OF_RANGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundredths() -> Scaling {
        let value_type = ValueType::Decimal { exponent: -2 };
        Scaling { scale: Decimal::ONE, offset: Decimal::ZERO, value_type }
    }

    /// What comes out for the double that is nearest to each of so many decimals up to `limit`.
    fn of_doubles(scaling: &Scaling, limit: i64) -> Vec<(i64, Result<Value, Quality>)> {
        let ValueType::Decimal { exponent } = scaling.value_type else { return Vec::new() };
        let mantissas = (0..20_000).map(|n| limit - n * 99_991);
        let of_double =
            |mantissa| (mantissa, scaling.of_float(Decimal { mantissa, exponent }.to_f64()));
        mantissas.map(of_double).collect()
    }

    #[test]
    fn a_double_with_a_resolution_is_never_off_by_one_step() {
        let mut exact = 0;
        for top in [9_007_199_254_740_000, 5_000_000_000_000_000, 2_000_000_000_000_000] {
            for (mantissa, found) in of_doubles(&hundredths(), top) {
                exact += usize::from(found.is_ok());
                match found {
                    Ok(value) => assert_eq!(value, Value::Decimal(mantissa)),
                    Err(quality) => assert_eq!(quality, Quality::BAD_OUT_OF_RANGE),
                }
            }
        }
        assert!(exact > 20_000, "{exact} of 60000");
    }

    #[test]
    fn a_double_with_up_to_fifteen_digits_is_exact() {
        for (mantissa, found) in of_doubles(&hundredths(), 1_000_000_000_000_000) {
            assert_eq!(found, Ok(Value::Decimal(mantissa)));
        }
        let whole = Scaling { value_type: ValueType::Decimal { exponent: 0 }, ..hundredths() };
        for (mantissa, found) in of_doubles(&whole, (1 << 53) - 1) {
            assert_eq!(found, Ok(Value::Decimal(mantissa)));
        }
        // One more is held as the same double.
        assert_eq!(whole.of_float(INTEGER_MAX), Err(Quality::BAD_OUT_OF_RANGE));
    }
}
