//! Spikes of a meter without a physical bound: a rise that is taken back at once was none.

use super::*;

/// A register of 32 bits that shows 0xFFFFFFFF once.
#[test]
fn one_wrong_reading_is_not_a_year_of_energy() {
    let energy =
        quarters("modulus = 42949672.96\n", -2, &[100_000, 4_294_967_295, 100_010, 100_020]);
    assert_eq!(text(&energy).as_deref(), Some("0.2"));
    assert_eq!((energy.class, energy.rollovers), (Class::Metered, 0));
    assert!(energy.complete && !energy.coverage.is_full());
    let index = index_of("", 0, quarter_hours(&[100, 9_999_999, 140, 180]));
    assert_eq!((index.counts().untrusted, index.counts().used), (1, 3));
}

#[test]
fn a_spike_is_put_aside_without_a_bound_too() {
    let check = |digits: &[i64], expected: &str| {
        let energy = quarters("", 0, digits);
        assert_eq!(
            (text(&energy).as_deref(), energy.complete),
            (Some(expected), true),
            "{digits:?}"
        );
    };
    check(&[100, 9_999_999, 140, 180], "80");
    check(&[100, 120, 9_999_998, 9_999_999, 9_999_999, 140], "40");
    // Days of it are one change of the register.
    let mut digits = vec![100, 120];
    digits.resize(6000, 9_999_999);
    digits.extend([140, 180]);
    check(&digits, "80");
    // Beside dips.
    check(&[100, 0, 120, 9_999_999, 140, 0, 180], "80");
}

/// Nobody reported that the meter was changed: what it rose by before stays, the rest is for the operator (R4).
#[test]
fn a_register_that_rose_step_by_step_was_no_spike() {
    let check = |digits: &[i64], expected: &str| {
        let energy = quarters("", 0, digits);
        assert_eq!(
            (text(&energy).as_deref(), energy.open_gaps.len()),
            (Some(expected), 1),
            "{digits:?}"
        );
    };
    check(&[100, 200, 300, 400, 500, 110, 120], "410");
    check(&[1000, 1020, 2000, 2010, 0, 10, 20], "1030");
}
