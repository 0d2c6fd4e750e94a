//! Numbers as people read them: a few significant digits, thousands apart. For display only; what is stored or compared
//! keeps every digit.

/// Significant digits of a number that a device holds in 32 bits.
pub const SIGNIFICANT_DIGITS: usize = 7;

/// Powers of ten in which a number is written with a point; others get an exponent.
const PLAIN_EXPONENTS: std::ops::RangeInclusive<i32> = -5..=14;

/// At most seven significant digits.
///
/// `231.89999389648438` → `231.9`; `1.6972257634912516e-33` → `1.697226e-33`; `15197798.4` → `15197798`
#[must_use]
pub fn rounded(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return if number.is_finite() { "0".to_owned() } else { number.to_string() };
    }
    let text = format!("{number:.*e}", SIGNIFICANT_DIGITS - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    if !PLAIN_EXPONENTS.contains(&exponent) {
        let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}e{exponent}");
    }
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
        return format!("{sign}0.{zeros}{digits}");
    }
    let before_point = usize::try_from(exponent + 1).unwrap_or_default();
    match digits.split_at_checked(before_point) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        // Rounded before the point: the number itself has the digits that are missing.
        None => format!("{number:.0}"),
    }
}

/// Thousands apart, where the whole part has more than four digits.
///
/// `15197798.4` → `15 197 798.4`; `1234.5` → `1234.5`
#[must_use]
pub fn grouped(number: &str) -> String {
    let start = usize::from(number.starts_with('-'));
    let end = number.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(number.len());
    let digits = end.saturating_sub(start);
    if digits <= 4 {
        return number.to_owned();
    }
    let mut text = String::with_capacity(number.len() + digits / 3);
    for (at, c) in number.chars().enumerate() {
        if at > start && at < end && (end - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_digits_are_enough_for_people() {
        let check = |number: f64, expected: &str| assert_eq!(rounded(number), expected);
        check(0.0, "0");
        check(-0.0, "0");
        check(f64::from(231.9_f32), "231.9");
        check(f64::from(0.935_f32), "0.935");
        check(f64::from(-17.25_f32), "-17.25");
        check(f64::from(1.697_225_8e-33_f32), "1.697226e-33");
        check(-7.726_137e36, "-7.726137e36");
        check(15_197_798.4, "15197798");
        check(1e-5, "0.00001");
        check(1.5e-6, "1.5e-6");
        check(2e-9, "2e-9");
        check(99_999_995.0, "99999995");
        check(9.999_999_99, "10");
        check(123_456_789_012_345.0, "123456789012345");
        check(1e15, "1e15");
        check(f64::from(f32::from_bits(1)), "1.401298e-45");
    }

    #[test]
    fn thousands_stand_apart() {
        let check = |number: &str, expected: &str| assert_eq!(grouped(number), expected);
        check("15197798.4", "15 197 798.4");
        check("-2837706.1", "-2 837 706.1");
        check("231.9", "231.9");
        check("1234.56789", "1234.56789");
        check("12345", "12 345");
        check("123456", "123 456");
        check("1.697226e-33", "1.697226e-33");
        check("", "");
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_is_the_number_to_seven_digits(bits: u32) {
            let number = f64::from(f32::from_bits(bits));
            let shown = rounded(number);
            if number.is_finite() {
                let back: f64 = shown.parse().unwrap();
                proptest::prop_assert!((back - number).abs() <= number.abs() * 6e-7, "{} {}", number, shown);
                proptest::prop_assert!(shown.len() <= 17, "{}", shown);
            }
        }
    }
}
