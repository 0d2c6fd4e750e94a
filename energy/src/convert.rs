//! Exact conversion between units of one dimension. Must never round: what has no exact decimal factor is refused.

use model::Unit;
use model::unit::Dimension;

use crate::number::Number;

/// How many `to` one `from` is; `None` when they measure different things or the factor is no finite decimal
/// (1 MJ is 0.2777… kWh).
///
/// A normal cubic metre is not a cubic metre: reference conditions differ by up to 7.3 %, so the two convert into each
/// other only by a factor that the site states.
#[must_use]
pub fn factor(from: Unit, to: Unit) -> Option<Number> {
    if from == to {
        return Some(Number::from(1));
    }
    let normal = |unit| {
        matches!(
            unit,
            Unit::NormalCubicMetre
                | Unit::TenThousandNormalCubicMetres
                | Unit::NormalCubicMetrePerHour
        )
    };
    if from.dimension() != to.dimension()
        || normal(from) != normal(to)
        || from.dimension() == Dimension::Temperature
    {
        return None;
    }
    let (over, under) = (from.factor(), to.factor());
    let exponent = i64::from(over.exponent) - i64::from(under.exponent);
    divide_exactly(i128::from(over.mantissa), i128::from(under.mantissa), exponent)
}

/// `top ÷ bottom × 10^exponent` where that is a finite decimal.
fn divide_exactly(top: i128, bottom: i128, mut exponent: i64) -> Option<Number> {
    let common = greatest_common_divisor(top, bottom);
    let (mut top, mut bottom) = (top.checked_div(common)?, bottom.checked_div(common)?);
    for (prime, complement) in [(2, 5), (5, 2)] {
        while bottom % prime == 0 {
            bottom /= prime;
            top = top.checked_mul(complement)?;
            exponent -= 1;
        }
    }
    (bottom == 1).then(|| Number::new(top, exponent))
}

fn greatest_common_divisor(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs() } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_exactly_or_not_at_all() {
        let check = |from, to, expected: Option<&str>| {
            assert_eq!(factor(from, to).map(|f| f.to_string()).as_deref(), expected);
        };
        check(Unit::TenThousandKilowattHours, Unit::KilowattHour, Some("10000"));
        check(Unit::KilowattHour, Unit::TenThousandKilowattHours, Some("0.0001"));
        check(Unit::KilowattHour, Unit::Megajoule, Some("3.6"));
        check(Unit::Megajoule, Unit::KilowattHour, None);
        check(Unit::Tonne, Unit::Kilogram, Some("1000"));
        check(Unit::Kilogram, Unit::CubicMetre, None);
        check(Unit::NormalCubicMetre, Unit::CubicMetre, None);
        check(Unit::NormalCubicMetre, Unit::NormalCubicMetre, Some("1"));
    }
}
