//! A small exact decimal, mantissa × 10^exponent: scales, resolutions, moduli and sample values. Sums and products of
//! figures use wider arithmetic in `analytics`; this type must never round.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Smallest and largest power of ten that is accepted in text and on the wire.
pub const EXPONENT_RANGE: std::ops::RangeInclusive<i8> = -18..=18;

/// `mantissa × 10^exponent`, exactly as given: `1.50` is 150 × 10⁻².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal {
    /// The digits.
    pub mantissa: i64,
    /// The power of ten they are multiplied by.
    pub exponent: i8,
}

/// A text that is no decimal of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a decimal number: expected digits with at most one point, e.g. `0.01`")]
pub struct DecimalError {
    /// What was given.
    pub text: String,
}

impl Decimal {
    /// One.
    pub const ONE: Self = Self { mantissa: 1, exponent: 0 };
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// The same number with trailing zeros of the mantissa moved into the exponent.
    #[must_use]
    pub fn normalized(self) -> Self {
        if self.mantissa == 0 {
            return Self::ZERO;
        }
        let Self { mut mantissa, mut exponent } = self;
        while mantissa % 10 == 0 && exponent < *EXPONENT_RANGE.end() {
            mantissa /= 10;
            exponent += 1;
        }
        Self { mantissa, exponent }
    }

    /// The exact product; `None` when it does not fit.
    #[must_use]
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let mantissa = self.mantissa.checked_mul(other.mantissa)?;
        let exponent = self.exponent.checked_add(other.exponent)?;
        EXPONENT_RANGE.contains(&exponent).then_some(Self { mantissa, exponent })
    }

    /// The exact sum; `None` when it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let mantissa = self.mantissa_at(exponent)?.checked_add(other.mantissa_at(exponent)?)?;
        Some(Self { mantissa, exponent })
    }

    /// Whether it is the larger one of the two.
    #[must_use]
    pub fn is_above(self, other: Self) -> bool {
        let (one, other) = (self.normalized(), other.normalized());
        let exponent = one.exponent.min(other.exponent);
        // At most 19 digits and 36 more: when one does not fit, it is farther from 0 than the other can be.
        let at = |number: Self| {
            let digits = u32::try_from(i16::from(number.exponent) - i16::from(exponent)).ok()?;
            i128::from(number.mantissa).checked_mul(10_i128.checked_pow(digits)?)
        };
        match (at(one), at(other)) {
            (Some(one), Some(other)) => one > other,
            (None, _) => one.mantissa > 0,
            (_, None) => other.mantissa < 0,
        }
    }

    /// The mantissa that the same number has at `exponent`; `None` when digits would be lost or do not fit.
    #[must_use]
    pub fn mantissa_at(self, exponent: i8) -> Option<i64> {
        if exponent <= self.exponent {
            let digits = u32::try_from(i16::from(self.exponent) - i16::from(exponent)).ok()?;
            self.mantissa.checked_mul(10_i64.checked_pow(digits)?)
        } else {
            let digits = u32::try_from(i16::from(exponent) - i16::from(self.exponent)).ok()?;
            let divisor = 10_i64.checked_pow(digits)?;
            (self.mantissa % divisor == 0).then(|| self.mantissa / divisor)
        }
    }

    /// The nearest double, for display and for floating-point points only.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the caller asks for the nearest double")]
    pub fn to_f64(self) -> f64 {
        // Dividing by an exact power of ten gives the nearest double; multiplying by 0.01 would not.
        if self.exponent < 0 {
            self.mantissa as f64 / 10_f64.powi(-i32::from(self.exponent))
        } else {
            self.mantissa as f64 * 10_f64.powi(i32::from(self.exponent))
        }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let wrong = || DecimalError { text: text.to_owned() };
        let (digits, power) = match text.split_once(['e', 'E']) {
            Some((digits, power)) => (digits, power.parse::<i8>().map_err(|_| wrong())?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if unsigned.is_empty() || !all_digits(unsigned) || !all_digits(fraction) {
            return Err(wrong());
        }
        let mantissa = format!("{whole}{fraction}").parse::<i64>().map_err(|_| wrong())?;
        let places = i8::try_from(fraction.len()).map_err(|_| wrong())?;
        let exponent = power.checked_sub(places).ok_or_else(wrong)?;
        if !EXPONENT_RANGE.contains(&exponent) {
            return Err(wrong());
        }
        Ok(Self { mantissa, exponent })
    }
}

impl TryFrom<String> for Decimal {
    type Error = DecimalError;
    fn try_from(text: String) -> Result<Self, DecimalError> {
        text.parse()
    }
}

impl From<Decimal> for String {
    fn from(value: Decimal) -> String {
        value.to_string()
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent >= 0 {
            // Digits that would not be read back as a mantissa stay a power of ten.
            return match self.mantissa_at(0) {
                Some(whole) => write!(f, "{whole}"),
                None => write!(f, "{}e{}", self.mantissa, self.exponent),
            };
        }
        let places = usize::from(self.exponent.unsigned_abs());
        let digits = format!("{:0width$}", self.mantissa.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if self.mantissa < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_exactly() {
        let check = |text: &str, mantissa: i64, exponent: i8, printed: &str| {
            let value: Decimal = text.parse().unwrap();
            assert_eq!(value, Decimal { mantissa, exponent }, "{text}");
            assert_eq!(value.to_string(), printed);
        };
        check("0.01", 1, -2, "0.01");
        check("1.50", 150, -2, "1.50");
        check("-0.5", -5, -1, "-0.5");
        check("1e3", 1, 3, "1000");
        check("1.5e-3", 15, -4, "0.0015");
        check("42", 42, 0, "42");
    }

    #[test]
    fn prints_what_it_can_read() {
        let check = |mantissa: i64, exponent: i8, printed: &str| {
            let value = Decimal { mantissa, exponent };
            assert_eq!(value.to_string(), printed);
            assert_eq!(printed.parse::<Decimal>().unwrap().normalized(), value.normalized());
        };
        check(0, 5, "0");
        check(0, -2, "0.00");
        check(-7, -18, "-0.000000000000000007");
        check(i64::MIN, -18, "-9.223372036854775808");
        check(i64::MAX, 0, "9223372036854775807");
        check(i64::MAX, 18, "9223372036854775807e18");
        check(12, 18, "12e18");
        check(2, 18, "2000000000000000000");
    }

    #[test]
    fn finds_the_nearest_double() {
        let check = |text: &str, expected: f64| {
            let value = text.parse::<Decimal>().unwrap().to_f64();
            assert_eq!(value.to_bits(), expected.to_bits(), "{text}");
        };
        check("0.1", 0.1);
        check("230.17", 230.17);
        check("-0.000001", -0.000_001);
        check("1e18", 1e18);
        check("0", 0.0);
    }

    #[test]
    fn changes_the_exponent_without_rounding() {
        let check = |text: &str, exponent: i8, expected: Option<i64>| {
            assert_eq!(text.parse::<Decimal>().unwrap().mantissa_at(exponent), expected, "{text}");
        };
        check("1.50", -1, Some(15));
        check("1.50", -3, Some(1_500));
        check("1.50", 0, None);
        check("1e18", 0, Some(1_000_000_000_000_000_000));
        check("1e18", -1, None);
        check("0", 18, Some(0));
    }

    #[test]
    fn is_above_what_is_smaller_however_far_apart() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        let ascending = [
            "-9223372036854775807e18",
            "-1e18",
            "-0.000000000000000001",
            "0",
            "0.9999",
            "1",
            "9223372036854775807e-18",
            "9223372036854775807e18",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (beside, other) in ascending.iter().enumerate() {
                assert_eq!(decimal(one).is_above(decimal(other)), at > beside, "{one} {other}");
            }
        }
        assert!(!decimal("1.0").is_above(decimal("1")));
    }

    #[test]
    fn sums_and_products_are_exact_or_refused() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        let sum = |a, b| decimal(a).checked_add(decimal(b)).map(|sum| sum.to_string());
        assert_eq!(sum("0.1", "0.20").as_deref(), Some("0.30"));
        assert_eq!(sum("9223372036854775807", "1"), None);
        assert_eq!(sum("1e18", "0.01"), None);
        let product = |a, b| decimal(a).checked_mul(decimal(b)).map(|product| product.to_string());
        assert_eq!(product("0.1", "-0.2").as_deref(), Some("-0.02"));
        assert_eq!(product("1e-10", "1e-10"), None);
        assert_eq!(product("9223372036854775807", "2"), None);
    }

    proptest::proptest! {
        #[test]
        fn the_text_of_every_decimal_is_read_back(mantissa: i64, exponent in EXPONENT_RANGE) {
            let value = Decimal { mantissa, exponent };
            let back: Decimal = value.to_string().parse().unwrap();
            proptest::prop_assert_eq!(back.normalized(), value.normalized());
            if exponent <= 0 {
                proptest::prop_assert_eq!(back, value);
            }
            proptest::prop_assert_eq!(value.mantissa_at(exponent), Some(mantissa));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+]?[0-9]{0,25}[.]?[0-9]{0,25}(e-?[0-9]{0,4})?") {
            if let Ok(value) = text.parse::<Decimal>() {
                proptest::prop_assert!(EXPONENT_RANGE.contains(&value.exponent));
            }
        }
    }

    #[test]
    fn refuses_what_is_no_decimal() {
        for text in ["", ".", "1.2.3", "0x10", "1e99", "nan", "99999999999999999999", "-", "1,5"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }
}
