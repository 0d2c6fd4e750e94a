//! Coverage of meters that are read each half hour or hour: it was 0 %.

use super::*;

const MINUTE: i64 = 60_000_000;

/// Readings each `every` minutes over three days, `late` seconds after the full minute.
fn each(every: i64, late: i64) -> Vec<Reading> {
    let from = time("2024-03-09 00:00");
    let readings = (0..3 * 24 * 60 / every).map(|at| {
        let time = Timestamp(from.0 + at * every * MINUTE + late * 1_000_000);
        Reading { time, ..reading("00:00", at * every) }
    });
    readings.collect()
}

fn day(readings: &[Reading]) -> PeriodEnergy {
    let span = from_to("2024-03-10 00:00", "2024-03-11 00:00");
    let streamed = streamed_of(&meter(""), readings).energy(span);
    assert_eq!(index_of("", 0, readings.to_vec()).energy(span), streamed);
    streamed
}

#[test]
fn an_hourly_meter_covers_its_day() {
    for (every, late) in [(30, 0), (60, 0), (60, 107), (1, 0), (15, 0)] {
        let energy = day(&each(every, late));
        assert_eq!(text(&energy).as_deref(), Some("1440"), "{every}");
        assert!(energy.complete && energy.coverage.is_full(), "{every} {:?}", energy.coverage);
    }
    // Two hours without a reading are two hours.
    let mut readings = each(60, 0);
    readings.remove(24 + 10);
    let energy = day(&readings);
    assert_eq!((energy.coverage.covered, energy.coverage.expected), (88, 96));
    // More seldom than each hour nothing is covered: what lies between is known as a sum.
    let energy = day(&each(120, 0));
    assert_eq!((text(&energy).as_deref(), energy.coverage.covered), (Some("1440"), 0));
}

/// What the year holds and no month does is said with the year.
#[test]
fn energy_across_the_end_of_a_month_is_named() {
    let readings = vec![
        reading("2024-01-20 00:00", 1000),
        reading("2024-01-28 00:00", 1500),
        reading("2024-02-04 00:00", 1700),
        reading("2024-02-28 23:00", 1900),
        reading("2024-03-01 01:00", 1950),
    ];
    let index = index_of("", 0, readings);
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    let year = "2024".parse::<crate::Period>().unwrap().span(&zone);
    let across = index.across(&year.months_begin(&zone));
    let listed: Vec<_> = across.iter().map(|one| (one.from, one.energy.to_string())).collect();
    assert_eq!(listed, [(time("2024-01-28 00:00"), "200".to_owned())]);
    let month =
        |text: &str| number(&index.energy(text.parse::<crate::Period>().unwrap().span(&zone)));
    let months = (1..=12).map(|at| month(&format!("2024-{at:02}")));
    let months = months.reduce(|sum, one| sum + one).unwrap();
    assert_eq!(months + across[0].energy.clone(), number(&index.energy(year)));
}
