//! How many digits of a figure are printed: those of the form, rounded once, half to even. Must never round a value that
//! is computed with again.
//!
//! # Source
//! GB/T 8170-2008 3.2 (half to even, once); digits per unit as in the printed forms: 2 for tce, t, m³ and 万元, 4 for units
//! of ten thousand and for intensities.

use energy::{Figure, FigureValue, Number, Ratio};

/// Digits of a quotient without a form.
const SIGNIFICANT: u32 = 6;
/// Digits of an intensity that the form's four places would leave with one or two.
const SIGNIFICANT_OF_SMALL: u32 = 4;
/// Digits of a quotient that is written in full.
const SIGNIFICANT_ALL: u32 = 15;
/// A quotient below it is shown in the smaller unit, or with significant digits.
const SMALL: &str = "0.01";
/// Places that are looked at to find the first digit of a value.
const PLACES_SEEN: u32 = 40;
/// Fewest and most places of a coefficient.
const COEFFICIENT_PLACES: (u32, u32) = (4, 7);

/// Which digits are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Digits {
    /// Those of the form.
    #[default]
    Form,
    /// All.
    All,
}

/// The unit that a figure is printed in: a smaller one than its own where the number would be very small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scale {
    /// The unit.
    pub(super) unit: String,
    /// How many of it one of the figure's unit is.
    factor: i64,
}

impl Scale {
    /// The unit of a figure itself.
    pub(super) fn own(figure: &Figure) -> Self {
        Self { unit: figure.unit.clone(), factor: 1 }
    }
}

/// A number as it is printed, and its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Printed {
    /// Plain decimal text without separators.
    pub(super) number: String,
    /// The same value with every digit.
    pub(super) exact: String,
    /// The unit.
    pub(super) unit: String,
}

/// The unit that a figure is printed in.
///
/// ```text
/// 0.000176 万kWh/pcs  →  1.76312 kWh/pcs
/// ```
#[must_use]
pub(super) fn scale(figure: &Figure) -> Scale {
    let own = || Scale::own(figure);
    if is_intensity(&figure.unit) || !figure.ratio().is_some_and(is_small) {
        return own();
    }
    let smaller = figure.unit.split_once('/').and_then(|(over, under)| {
        let (smaller, factor) = smaller_unit(over)?;
        Some(Scale { unit: format!("{smaller}/{under}"), factor })
    });
    smaller.unwrap_or_else(own)
}

/// A figure as it is printed; nothing where it has no value.
///
/// ```text
/// 347.6811623045748 tce  →  347.68 tce
/// ```
#[must_use]
pub(super) fn printed(figure: &Figure, digits: Digits) -> Option<Printed> {
    printed_in(figure, &scale(figure), digits)
}

/// A figure as it is printed in a unit, so that a row of several periods has one.
#[must_use]
pub(super) fn printed_in(figure: &Figure, scale: &Scale, digits: Digits) -> Option<Printed> {
    let value = scaled(figure.value.as_ref()?, scale.factor)?;
    let exact = exact(&value);
    let number = match (digits, &value) {
        (Digits::All, _) => exact.clone(),
        (Digits::Form, FigureValue::Exact(number)) => {
            number.rounded(places(&figure.unit).unwrap_or_else(|| number.places()))
        }
        (Digits::Form, FigureValue::Ratio(ratio)) if is_intensity(&figure.unit) => intensity(ratio),
        (Digits::Form, FigureValue::Ratio(ratio)) => significant(ratio, SIGNIFICANT),
    };
    Some(Printed { number, exact, unit: scale.unit.clone() })
}

fn scaled(value: &FigureValue, factor: i64) -> Option<FigureValue> {
    if factor == 1 {
        return Some(value.clone());
    }
    let factor = Number::from(factor);
    Some(match value {
        FigureValue::Exact(number) => FigureValue::Exact(number * &factor),
        FigureValue::Ratio(ratio) => {
            let over = ratio.numerator() * &factor;
            FigureValue::Ratio(Ratio::new(over, ratio.denominator().clone())?)
        }
    })
}

/// A difference in a unit, with so many places.
pub(super) fn rounded_in(ratio: &Ratio, scale: &Scale, places: u32) -> Option<String> {
    match scaled(&FigureValue::Ratio(ratio.clone()), scale.factor)? {
        FigureValue::Ratio(ratio) => Some(ratio.rounded(places)),
        FigureValue::Exact(number) => Some(number.rounded(places)),
    }
}

/// A value with every digit that there is; of a quotient fifteen.
#[must_use]
pub(super) fn exact(value: &FigureValue) -> String {
    match value {
        FigureValue::Exact(number) => number.to_string(),
        FigureValue::Ratio(ratio) => all(ratio),
    }
}

/// Tonnes of coal equivalent per unit: every digit that is used, within what a column holds.
#[must_use]
pub(super) fn coefficient(tce_per_unit: &Number, digits: Digits) -> String {
    let (least, most) = COEFFICIENT_PLACES;
    match digits {
        Digits::All => tce_per_unit.to_string(),
        // Normalized text has no zeros at its end.
        Digits::Form => {
            let used = tce_per_unit.to_string();
            let used = used.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            tce_per_unit.rounded(u32::try_from(used).unwrap_or(most).clamp(least, most))
        }
    }
}

/// The share of a part in percent, one place.
#[must_use]
pub(super) fn percent(part: &Number, whole: &Number) -> Option<String> {
    let hundred = Number::from(100);
    Ratio::new(part * &hundred, whole.clone()).map(|ratio| ratio.rounded(1))
}

/// Places that the forms print of a unit; nothing for a unit that they do not have.
#[must_use]
pub(super) fn places(unit: &str) -> Option<u32> {
    match unit {
        "tce" | "t" | "m3" | "Nm3" | "万元" | "kWh" | "kg" | "kgce" | "GJ" | "MWh" | "MJ" => {
            Some(2)
        }
        unit if unit.starts_with('万') || unit.starts_with('亿') => Some(4),
        _ => None,
    }
}

fn is_intensity(unit: &str) -> bool {
    unit.ends_with("/万元")
}

fn intensity(ratio: &Ratio) -> String {
    if is_small(ratio) { significant(ratio, SIGNIFICANT_OF_SMALL) } else { ratio.rounded(4) }
}

fn smaller_unit(unit: &str) -> Option<(&'static str, i64)> {
    match unit {
        "tce" => Some(("kgce", 1_000)),
        "t" => Some(("kg", 1_000)),
        "m3" => Some(("L", 1_000)),
        "MWh" => Some(("kWh", 1_000)),
        "GJ" => Some(("MJ", 1_000)),
        "万kWh" => Some(("kWh", 10_000)),
        "万m3" => Some(("m3", 10_000)),
        _ => None,
    }
}

fn is_small(ratio: &Ratio) -> bool {
    let limit: Number = SMALL.parse().expect("a constant of ours is a decimal number");
    !ratio.numerator().is_zero() && ratio.numerator().abs() < &ratio.denominator().abs() * &limit
}

fn all(ratio: &Ratio) -> String {
    let text = significant(ratio, SIGNIFICANT_ALL);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A quotient rounded once to so many significant digits; digits before the point all stay.
fn significant(ratio: &Ratio, digits: u32) -> String {
    let seen = ratio.rounded(PLACES_SEEN);
    let (whole, fraction) = seen.split_once('.').unwrap_or((&seen, ""));
    let whole = whole.trim_start_matches(['-', '0']).len();
    let zeros = fraction.len() - fraction.trim_start_matches('0').len();
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let places = match (whole, zeros == fraction.len()) {
        (0, true) => 0,
        (0, false) => count(zeros).saturating_add(digits),
        (whole, _) => digits.saturating_sub(count(whole)),
    };
    ratio.rounded(places.min(PLACES_SEEN))
}

/// The digits before the point in groups of three.
#[must_use]
pub(super) fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut text = sign.to_owned();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    fn figure(value: FigureValue, unit: &str) -> Figure {
        Figure {
            name: "table1/2026/total/equivalent".to_owned(),
            value: Some(value),
            unit: unit.to_owned(),
            period: "2026".parse().unwrap(),
            basis: None,
            coefficient_set: None,
            coverage: None,
            coverage_percent: None,
            class: None,
            price_base: None,
            complete: true,
            notes: Vec::new(),
        }
    }

    fn ratio(over: &str, under: &str) -> Ratio {
        Ratio::new(number(over), number(under)).unwrap()
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in
            [("1857.40", "1,857.40"), ("-1234567", "-1,234,567"), ("999", "999"), ("0.5", "0.5")]
        {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn a_coefficient_keeps_four_to_seven_places() {
        for (used, expected) in [
            ("0.7143", "0.7143"),
            ("1.229", "1.2290"),
            ("3", "3.0000"),
            ("0.0002571", "0.0002571"),
            ("0.0915879748", "0.0915880"),
        ] {
            assert_eq!(coefficient(&number(used), Digits::Form), expected);
            assert_eq!(coefficient(&number(used), Digits::All), used);
        }
    }

    /// Six significant digits, in kWh and kgce where 万kWh and tce would be below 0.01 (first-use O6).
    #[test]
    fn a_small_quotient_keeps_its_digits() {
        let check = |over, unit: &str, expected: (&str, &str)| {
            let figure = figure(FigureValue::Ratio(ratio(over, "53821")), unit);
            let printed = printed(&figure, Digits::Form).unwrap();
            assert_eq!((printed.number.as_str(), printed.unit.as_str()), expected);
        };
        check("9.489134", "万kWh/pcs", ("1.76309", "kWh/pcs"));
        check("11.62", "tce/pcs", ("0.215901", "kgce/pcs"));
        check("25603.5", "tce/t", ("0.475716", "tce/t"));
        check("0", "tce/t", ("0", "tce/t"));
        check("-11.62", "tce/pcs", ("-0.215901", "kgce/pcs"));
        check("6644362000", "t/t", ("123453", "t/t"));
    }

    /// A row of two periods has one unit.
    #[test]
    fn a_figure_is_printed_in_the_unit_of_another() {
        let (old, new) = (ratio("1000", "53821"), ratio("9.489134", "53821"));
        let (old, new) = (
            figure(FigureValue::Ratio(old), "万kWh/pcs"),
            figure(FigureValue::Ratio(new), "万kWh/pcs"),
        );
        let printed = printed_in(&old, &scale(&new), Digits::Form).unwrap();
        assert_eq!((printed.number.as_str(), printed.unit.as_str()), ("185.801", "kWh/pcs"));
    }

    #[test]
    fn quantities_have_the_digits_of_the_form() {
        let check = |value, unit, expected: &str| {
            let figure = figure(FigureValue::Exact(number(value)), unit);
            assert_eq!(printed(&figure, Digits::Form).unwrap().number, expected);
            assert_eq!(printed(&figure, Digits::All).unwrap().number, value);
        };
        check("347.6811623045748", "tce", "347.68");
        check("9.941094", "万kWh", "9.9411");
        check("1857.405", "t", "1857.40");
        check("53821", "pcs", "53821");
    }

    #[test]
    fn an_intensity_has_four_places_or_four_digits() {
        assert_eq!(intensity(&ratio("3042.1564", "18500")), "0.1644");
        assert_eq!(intensity(&ratio("368.7", "100000")), "0.003687");
        // A tie, half to even.
        assert_eq!(intensity(&ratio("0.16445", "1")), "0.1644");
    }

    #[test]
    fn all_digits_of_a_quotient_are_fifteen_at_most() {
        assert_eq!(all(&ratio("1", "3")), "0.333333333333333");
        assert_eq!(all(&ratio("1", "8")), "0.125");
        assert_eq!(all(&ratio("200000", "1")), "200000");
    }
}
