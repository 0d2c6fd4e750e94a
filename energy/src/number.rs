//! Exact decimals for sums and products, and quotients that stay quotients until they are printed. Must never know what
//! a number means.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};
use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::{Euclid, Signed, Zero};
use bigdecimal::{BigDecimal, RoundingMode};
use model::Decimal;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// Digits after the point to which a quotient is compared and written in machine-readable output.
pub const RATIO_DIGITS: u32 = 6;
/// Longest text that is read as a number.
const TEXT_CHARS_MAX: usize = 60;

/// A text that is not a number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a decimal number: expected digits with at most one point, e.g. `1200.5`")]
pub struct NumberError {
    /// What was given.
    pub text: String,
}

/// A decimal number of any length. Adding and multiplying never round; only printing does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(BigDecimal);

impl Number {
    /// Zero.
    #[must_use]
    pub fn zero() -> Self {
        Self(BigDecimal::zero())
    }

    /// `mantissa × 10^exponent`.
    #[must_use]
    pub fn new(mantissa: i128, exponent: i64) -> Self {
        Self(BigDecimal::new(BigInt::from(mantissa), exponent.saturating_neg()))
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is above zero.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.0.is_positive()
    }

    /// The number with `digits` digits after the point, as GB/T 8170-2008 3.2 rounds: half to even.
    #[must_use]
    pub fn rounded(&self, digits: u32) -> String {
        self.0.with_scale_round(i64::from(digits), RoundingMode::HalfEven).to_plain_string()
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(&self) -> Self {
        Self(self.0.abs())
    }

    /// Half a unit of the last digit that was written: what rounding may have taken away.
    #[must_use]
    pub fn half_last_digit(&self) -> Self {
        Self(BigDecimal::new(BigInt::from(5), self.0.fractional_digit_count().saturating_add(1)))
    }

    /// Digits written after the point.
    #[must_use]
    pub fn places(&self) -> u32 {
        u32::try_from(self.0.fractional_digit_count()).unwrap_or(0)
    }

    /// Numerator and denominator as whole numbers; the denominator is a power of ten.
    fn to_fraction(&self) -> (BigInt, BigInt) {
        let (digits, scale) = self.0.as_bigint_and_exponent();
        let power = u32::try_from(scale.unsigned_abs()).expect("scales of read numbers are small");
        let ten = BigInt::from(10).pow(power);
        if scale >= 0 { (digits, ten) } else { (digits * ten, BigInt::from(1)) }
    }
}

/// `share / whole` of a number, rounded half to even at `digits` digits after the point.
///
/// Callers that split a quantity round the *running total* with this and take differences, so that the parts sum to the
/// whole exactly.
#[must_use]
pub fn portion(number: &Number, share: &Number, whole: &Number, digits: u32) -> Option<Number> {
    let product = Number(&number.0 * &share.0);
    Ratio::new(product, whole.clone()).map(|ratio| ratio.to_number(digits))
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let wrong = || NumberError { text: text.to_owned() };
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || text.len() > TEXT_CHARS_MAX
            || !all_digits(whole)
            || !all_digits(fraction)
        {
            return Err(wrong());
        }
        BigDecimal::from_str(text).map(Self).map_err(|_| wrong())
    }
}

impl From<Decimal> for Number {
    fn from(value: Decimal) -> Self {
        Self::new(i128::from(value.mantissa), i64::from(value.exponent))
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::new(i128::from(value), 0)
    }
}

impl fmt::Display for Number {
    /// All digits, no trailing zeros, never in powers of ten.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.normalized().to_plain_string())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! operator {
    ($($trait:ident $method:ident $sign:tt;)*) => {$(
        impl $trait for &Number {
            type Output = Number;
            fn $method(self, other: &Number) -> Number {
                Number(&self.0 $sign &other.0)
            }
        }
        impl $trait for Number {
            type Output = Number;
            fn $method(self, other: Number) -> Number {
                Number(self.0 $sign other.0)
            }
        }
    )*};
}

operator! {
    Add add +;
    Sub sub -;
    Mul mul *;
}

impl Neg for Number {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Number {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::zero(), |sum, number| sum + number)
    }
}

impl<'a> Sum<&'a Number> for Number {
    fn sum<I: Iterator<Item = &'a Number>>(numbers: I) -> Self {
        numbers.fold(Self::zero(), |sum, number| &sum + number)
    }
}

/// A quotient, kept exactly. Its denominator is never zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ratio {
    numerator: Number,
    denominator: Number,
}

impl Ratio {
    /// `numerator ÷ denominator`; `None` when the denominator is zero.
    #[must_use]
    pub fn new(numerator: Number, denominator: Number) -> Option<Self> {
        (!denominator.is_zero()).then_some(Self { numerator, denominator })
    }

    /// What is divided.
    #[must_use]
    pub fn numerator(&self) -> &Number {
        &self.numerator
    }

    /// What it is divided by.
    #[must_use]
    pub fn denominator(&self) -> &Number {
        &self.denominator
    }

    /// The quotient with `digits` digits after the point, rounded once, half to even (GB/T 8170-2008 3.2).
    #[must_use]
    pub fn rounded(&self, digits: u32) -> String {
        self.to_number(digits).rounded(digits)
    }

    fn to_number(&self, digits: u32) -> Number {
        let (top, top_below) = self.numerator.to_fraction();
        let (bottom, bottom_below) = self.denominator.to_fraction();
        let mut dividend = top * bottom_below * BigInt::from(10).pow(digits);
        let mut divisor = bottom * top_below;
        if divisor.is_negative() {
            dividend = -dividend;
            divisor = -divisor;
        }
        Number(BigDecimal::new(divide_half_even(&dividend, &divisor), i64::from(digits)))
    }
}

/// Division of whole numbers, `divisor` above zero, rounded half to even.
fn divide_half_even(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let (quotient, rest) = dividend.div_rem_euclid(divisor);
    let odd = !(&quotient % 2_u8).is_zero();
    let twice = rest * 2_u8;
    if &twice > divisor || (&twice == divisor && odd) { quotient + 1_u8 } else { quotient }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rounded(RATIO_DIGITS))
    }
}

impl Serialize for Ratio {
    /// `{"numerator": "222.943", "denominator": "960", "value": "0.232232"}`
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut ratio = serializer.serialize_struct("Ratio", 3)?;
        ratio.serialize_field("numerator", &self.numerator)?;
        ratio.serialize_field("denominator", &self.denominator)?;
        ratio.serialize_field("value", &self.rounded(RATIO_DIGITS))?;
        ratio.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn multiplies_without_rounding() {
        assert_eq!((&number("959636.71") * &number("0.1229")).to_string(), "117939.351659");
        assert_eq!((&number("52000") * &number("0.0857")).to_string(), "4456.4");
        assert_eq!(number("1200").to_string(), "1200");
        assert_eq!(Number::new(12, 2).to_string(), "1200");
        assert_eq!(number("-0.50").to_string(), "-0.5");
    }

    #[test]
    fn rounds_half_to_even_once() {
        let check = |text: &str, digits, expected: &str| {
            assert_eq!(number(text).rounded(digits), expected);
            let ratio = Ratio::new(number(text), number("1")).unwrap();
            assert_eq!(ratio.rounded(digits), expected);
        };
        check("0.1645", 3, "0.164");
        check("0.1655", 3, "0.166");
        check("0.16450001", 3, "0.165");
        check("-0.1645", 3, "-0.164");
        check("2.5", 0, "2");
        check("7", 2, "7.00");
    }

    #[test]
    fn keeps_quotients_until_printed() {
        let check = |top, bottom, expected: &str| {
            assert_eq!(Ratio::new(number(top), number(bottom)).unwrap().rounded(6), expected);
        };
        check("3042.1564", "18500", "0.164441");
        check("222.943", "960", "0.232232");
        check("-1", "3", "-0.333333");
        check("1", "-3", "-0.333333");
        assert_eq!(Ratio::new(number("1"), number("0.00")), None);
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", ".", "1,5", "1e5", "nan", "1.2.3", "٣", "--1", &"9".repeat(70)] {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn portions_by_running_total_conserve_the_whole(
            mantissa in 0_i64..1_000_000_000,
            weights in proptest::collection::vec(1_i64..1000, 1..8),
        ) {
            let total = Number::new(i128::from(mantissa), -2);
            let whole = Number::from(weights.iter().sum::<i64>());
            let mut running = 0;
            let mut before = Number::zero();
            let mut sum = Number::zero();
            for weight in weights {
                running += weight;
                let upto = portion(&total, &Number::from(running), &whole, 6).unwrap();
                sum = sum + (&upto - &before);
                before = upto;
            }
            prop_assert_eq!(sum, total);
        }
    }
}
