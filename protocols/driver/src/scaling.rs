//! From a raw number of a device to a value in the unit of its point, exactly where the raw number is an integer. Must
//! never know where the number came from.

use config::Problem;
use device_profiles::{PlausibleRange, ProfilePoint};
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
    plausible: Plausible,
}

/// The plausible values of a point, as its values are held: each value is compared with them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Plausible {
    All,
    Decimals { min: i64, max: i64, or_zero: bool },
    Floats { min: f64, max: f64, or_zero: bool },
}

impl Plausible {
    fn of(range: PlausibleRange, value_type: ValueType) -> Self {
        let PlausibleRange { min, max, or_zero } = range;
        match value_type {
            _ if !range.is_limited() => Self::All,
            ValueType::Decimal { exponent } => Self::Decimals {
                min: min.map_or(i64::MIN, |min| steps_at_least(min, exponent)),
                max: max.map_or(i64::MAX, |max| steps_at_most(max, exponent)),
                or_zero,
            },
            _ => Self::Floats {
                min: min.map_or(f64::NEG_INFINITY, Decimal::to_f64),
                max: max.map_or(f64::INFINITY, Decimal::to_f64),
                or_zero,
            },
        }
    }
}

/// The most steps of `10^exponent` that are not above `limit`.
fn steps_at_most(limit: Decimal, exponent: i8) -> i64 {
    if let Some(steps) = limit.mantissa_at(exponent) {
        return steps;
    }
    let digits = i16::from(exponent) - i16::from(limit.exponent);
    match u32::try_from(digits) {
        // A limit between two steps.
        Ok(digits) => {
            10_i64.checked_pow(digits).map_or(if limit.mantissa < 0 { -1 } else { 0 }, |step| {
                limit.mantissa.div_euclid(step)
            })
        }
        // More steps than there are values.
        Err(_) if limit.mantissa < 0 => i64::MIN,
        Err(_) => i64::MAX,
    }
}

fn steps_at_least(limit: Decimal, exponent: i8) -> i64 {
    let mirrored = limit.mantissa.checked_neg().map(|mantissa| Decimal { mantissa, ..limit });
    match mirrored.map(|mirrored| steps_at_most(mirrored, exponent)) {
        None | Some(i64::MAX) => i64::MIN,
        Some(steps) => steps.saturating_neg(),
    }
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
        let plausible = Plausible::of(point.range, value_type);
        Ok(Self { scale, offset, value_type, plausible })
    }

    /// How the values are held.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// Whether only some values are plausible.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.plausible != Plausible::All
    }

    /// The quality of a value that was read well: Uncertain where it is not plausible for its point.
    #[must_use]
    pub fn quality_of(&self, value: &Value) -> Quality {
        let is_plausible = match (self.plausible, value) {
            (Plausible::Decimals { min, max, or_zero }, Value::Decimal(steps)) => {
                (min..=max).contains(steps) || (or_zero && *steps == 0)
            }
            (Plausible::Floats { min, max, or_zero }, Value::Float(number)) => {
                (min..=max).contains(number) || (or_zero && number.abs() <= 0.0)
            }
            _ => true,
        };
        if is_plausible { Quality::GOOD } else { Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED }
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
        let plausible = Plausible::All;
        Scaling { scale: Decimal::ONE, offset: Decimal::ZERO, value_type, plausible }
    }

    fn limited(min: &str, max: &str, or_zero: bool, value_type: ValueType) -> Scaling {
        let limit = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let range = PlausibleRange { min: limit(min), max: limit(max), or_zero };
        Scaling { value_type, plausible: Plausible::of(range, value_type), ..hundredths() }
    }

    #[test]
    fn a_value_outside_of_its_range_is_uncertain() {
        let check = |min: &str, max: &str, exponent: i8, steps: i64, good: bool| {
            let scaling = limited(min, max, false, ValueType::Decimal { exponent });
            let quality = scaling.quality_of(&Value::Decimal(steps));
            assert_eq!(quality.is_good(), good, "{steps}e{exponent} in {min} to {max}");
            assert_eq!(quality == Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED, !good);
        };
        check("0", "1000", -2, 100_000, true);
        check("0", "1000", -2, 100_001, false);
        check("0", "1000", -2, -1, false);
        check("-1", "1", -3, -1_000, true);
        check("-1", "1", -3, 1_001, false);
        // A limit between two steps, on both sides of 0.
        check("0.5", "2.5", 0, 0, false);
        check("0.5", "2.5", 0, 1, true);
        check("0.5", "2.5", 0, 3, false);
        check("-2.5", "-0.5", 0, -2, true);
        check("-2.5", "-0.5", 0, -3, false);
        check("-2.5", "-0.5", 0, 0, false);
        check("-0.000000000000000001", "0.000000000000000001", 18, 0, true);
        check("-0.000000000000000001", "0.000000000000000001", 18, -1, false);
        // Limits beyond what a value can be.
        check("0", "1000000000000", -18, i64::MAX, true);
        check("-9223372036854775807e18", "", 0, i64::MIN, true);
        check("9223372036854775807e18", "", 0, i64::MAX - 1, false);
        check("", "-9223372036854775807e18", 0, i64::MIN + 1, false);
    }

    #[test]
    fn the_frequency_of_a_mains_that_is_off_is_zero() {
        let mains = limited("45", "65", true, ValueType::Float);
        let good = |value: f64| mains.quality_of(&Value::Float(value)).is_good();
        assert!([45.0, 50.01, 65.0, 0.0, -0.0].into_iter().all(good));
        assert!(![44.9, 65.1, -50.0, 1.7e-33, 5e-324].into_iter().any(good));
        let hundredths = limited("45", "65", true, ValueType::Decimal { exponent: -2 });
        let good = |steps: i64| hundredths.quality_of(&Value::Decimal(steps)).is_good();
        assert!(good(5_000) && good(0) && !good(1) && !good(6_501));
        assert!(!limited("", "", false, ValueType::Float).is_limited());
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
