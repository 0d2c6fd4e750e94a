//! The figure of a meter is reproduced from its segments alone: what `explain` shows.

use super::*;

/// `from start → end × ratio (rollovers) = energy`, one line per segment.
fn lines(index: &Index, span: Span) -> Vec<String> {
    let line = |one: Segment| {
        format!(
            "{} → {} × {} ({}) = {}",
            one.start_reading, one.end_reading, one.ratio, one.rollovers, one.energy
        )
    };
    index.segments(span).into_iter().map(line).collect()
}

const CHANGED: &str = "[[meter.ratio]]\nct = 40\n[[meter.ratio]]\nfrom = 2024-03-10T10:15:00+08:00\nct = 60\n\
     [[meter.replacement]]\nat = 2024-03-10T10:15:00+08:00\nold_final = 81250.0\nnew_initial = 5.0\n";

/// R3: the figure is of two meters; a period that ends with the old one shows the old one's last index.
#[test]
fn a_replacement_is_seen_in_the_figure() {
    let index = index_of(CHANGED, -1, vec![reading("10:00", 810_000), reading("10:30", 1300)]);
    assert_eq!(
        lines(&index, from_to("10:00", "10:30")),
        ["81000 → 81250 × 40 (0) = 10000", "5 → 130 × 60 (0) = 7500"]
    );
    let old = index.energy(from_to("10:00", "10:15"));
    assert_eq!(old.end_reading.unwrap().to_string(), "81250");
    let new = index.energy(from_to("10:15", "10:30"));
    assert_eq!(new.start_reading.unwrap().to_string(), "5");
}

/// R11: the time and the index of a change of ratio.
#[test]
fn a_change_of_ratio_is_seen_in_the_figure() {
    let text =
        "[[meter.ratio]]\nct = 40\n[[meter.ratio]]\nfrom = 2024-03-10T10:00:00+08:00\nct = 60\n";
    let readings = vec![reading("09:45", 1000), reading("10:00", 1010), reading("10:15", 1030)];
    let index = index_of(text, -1, readings);
    let span = from_to("09:45", "10:15");
    assert_eq!(lines(&index, span), ["100 → 101 × 40 (0) = 40", "101 → 103 × 60 (0) = 120"]);
    assert_eq!(index.segments(span)[1].from, time("10:00"));
}

/// R1; and one rollover is one, whatever is cut out of it and wherever the ratio changes.
#[test]
fn a_rollover_is_seen_in_the_figure() {
    let text = "modulus = 100000.0\n[[meter.ratio]]\nct = 80\npt = 100\n";
    let index = index_of(text, -1, quarter_hours(&[999_905, 123]));
    assert_eq!(lines(&index, from_to("10:00", "10:15")), ["99990.5 → 12.3 × 8000 (1) = 174400"]);
    assert_eq!(index.modulus().unwrap().to_string(), "100000");
    // Interpolated, the register shows 99997.8 after five minutes and 5 after ten.
    assert_eq!(lines(&index, from_to("10:00", "10:05")), ["99990.5 → 99997.8 × 8000 (0) = 58400"]);
    assert_eq!(lines(&index, from_to("10:10", "10:15")), ["5 → 12.3 × 8000 (0) = 58400"]);

    let text = "modulus = 100000.0\n[[meter.ratio]]\nct = 40\n[[meter.ratio]]\nfrom = 2024-03-10T10:10:00+08:00\nct = 60\n";
    let index = index_of(text, -1, quarter_hours(&[999_905, 123]));
    let span = from_to("10:00", "10:15");
    assert_eq!(lines(&index, span), ["99990.5 → 5 × 40 (1) = 580", "5 → 12.3 × 60 (0) = 438"]);
    let energy = index.energy(span);
    assert_eq!((energy.rollovers, energy.class), (1, Class::Mixed));
}

/// Beside an open gap the segments are those of what is known.
#[test]
fn an_open_gap_is_in_no_segment() {
    let index = index_of("", 0, quarter_hours(&[100, 140, 20, 56]));
    assert_eq!(
        lines(&index, from_to("10:00", "10:45")),
        ["100 → 140 × 1 (0) = 40", "20 → 56 × 1 (0) = 36"]
    );
    assert_eq!(lines(&index, from_to("10:15", "10:30")), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// INV-7: segments are the energy exactly, and each follows from its own readings.
    #[test]
    fn segments_are_the_energy(
        readings in histories(),
        text in proptest::sample::select(LINES),
        (from, length) in (0_i64..40_000, 1_i64..40_000),
    ) {
        let first = readings.iter().map(|one| one.time).min().unwrap();
        let index = index_of(text, 0, readings);
        let at = |seconds: i64| Timestamp(first.0 + seconds * 1_000_000);
        let span = Span { from: at(from), to: at(from + length) };
        let energy = index.energy(span);
        let segments = index.segments(span);
        let sum: Number = segments.iter().map(|one| &one.energy).sum();
        prop_assert_eq!(energy.energy.is_some(), !segments.is_empty());
        prop_assert_eq!(sum, number(&energy));
        let modulus = index.modulus().unwrap_or_else(Number::zero);
        for one in &segments {
            let wrapped = &modulus * &Number::from(i64::try_from(one.rollovers).unwrap());
            let rise = &(&one.end_reading - &one.start_reading) + &wrapped;
            prop_assert_eq!(&rise * &one.ratio, one.energy.clone());
        }
        prop_assert!(segments.windows(2).all(|pair| pair[0].to <= pair[1].from));
        if let (Some(first), Some(last), []) =
            (segments.first(), segments.last(), energy.open_gaps.as_slice())
        {
            prop_assert_eq!(Some(&first.start_reading), energy.start_reading.as_ref());
            prop_assert_eq!(Some(&last.end_reading), energy.end_reading.as_ref());
        }
    }
}
