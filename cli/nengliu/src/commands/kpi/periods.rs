//! The periods of `nengliu kpi`: as people write them, their parts, several in one document.

use analytics::KpiFigures;
use analytics::report;
use energy::Period;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::host::Clock as _;
use model::text;
use serde_json::{Value, json};

use crate::cli::PartArg;
use crate::commands::{output, source};
use crate::exit;

/// A period as it is typed; `2026-YTD` is the year up to the last complete month.
pub(super) fn period(text: &str, zone: &TimeZone) -> Result<Period, u8> {
    let Some(year) = text.strip_suffix("-YTD") else { return source::period(text) };
    let now = program::SystemClock::default().now();
    let now = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
    let today = now.to_zoned(zone.clone()).date();
    match source::period(year)? {
        Period::Year(year) => to_date(year, today).ok_or_else(|| {
            let words = text!(
                en: "`{text}`: no month of that year is complete",
                zh: "`{text}`：该年尚无完整月份",
            );
            let help = text!(en: "name a month that is over", zh: "请给出已结束的月份");
            output::say("EN-C008", &words, &help);
            exit::CONFIG
        }),
        other => Ok(other),
    }
}

/// The complete months of a year, up to a day.
fn to_date(year: i16, today: Date) -> Option<Period> {
    let Period::Year(_) = Period::Year(year) else { return None };
    let (first, after) = Period::Year(year).days();
    let end = after.min(today.first_of_month());
    (end > first).then(|| Period::between(first, end))
}

/// The months, quarters or years that a period is made of.
pub(super) fn parts(period: Period, part: PartArg) -> Result<Vec<Period>, u8> {
    let months = period.months();
    let size = match part {
        PartArg::Month => 1,
        PartArg::Quarter => 3,
        PartArg::Year => 12,
    };
    let joined = |months: &[Period]| {
        let (first, last) = (months.first()?, months.last()?);
        Some(Period::between(first.days().0, last.days().1))
    };
    let begins = months.first().map(|first| (i16::from(first.days().0.month()) - 1) % size == 0);
    let size = usize::from(size.unsigned_abs());
    if begins == Some(true) && months.len().is_multiple_of(size) {
        return Ok(months.chunks(size).filter_map(joined).collect());
    }
    let words = text!(
        en: "`--by`: {period} is not made of such parts",
        zh: "`--by`：{period} 不能这样划分",
    );
    let help = text!(
        en: "for example --period 2025 --by month, or --period 2023..2025 --by year",
        zh: "例如 --period 2025 --by month，或 --period 2023..2025 --by year",
    );
    output::say("EN-C008", &words, &help);
    Err(exit::CONFIG)
}

/// Says in one line that nothing is known of a period, and returns the exit code.
pub(super) fn nothing_known(period: Period) -> u8 {
    let words = text!(
        en: "nothing is known for {period}: no reading and no fact of it is there",
        zh: "{period} 无数据：没有该时段的读数和填报",
    );
    let help = text!(
        en: "name a period that lies in the data; `--format json` names what is missing",
        zh: "请给出有数据的时段；`--format json` 列出缺少的数据",
    );
    output::say("EN-K005", &words, &help);
    exit::UNKNOWN_TOTAL
}

/// Figures of several periods as one object.
pub(super) fn json(figures: &[&KpiFigures], compare: bool) -> Value {
    let periods: Vec<&Value> = figures.iter().map(|one| &one.json).collect();
    match figures {
        [before, after] if compare => json!({
            "periods": periods,
            "comparison": report::comparison(&before.report, &after.report),
        }),
        _ => json!({ "periods": periods }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_to_date_ends_with_the_last_complete_month() {
        let check = |today: &str, expected: Option<&str>| {
            let found = to_date(2026, today.parse().unwrap()).map(|period| period.to_string());
            assert_eq!(found.as_deref(), expected, "{today}");
        };
        check("2026-11-30", Some("2026-01..2026-10"));
        check("2026-02-01", Some("2026-01"));
        check("2026-01-31", None);
        check("2027-01-05", Some("2026"));
        check("2025-12-31", None);
    }

    #[test]
    fn parts_of_a_period_are_whole() {
        let check = |period: &str, part, expected: &[&str]| {
            let found = parts(period.parse().unwrap(), part).unwrap_or_default();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{period}");
        };
        check("2025-Q1", PartArg::Month, &["2025-01", "2025-02", "2025-03"]);
        check("2025-01..2025-06", PartArg::Quarter, &["2025-01..2025-03", "2025-04..2025-06"]);
        check("2024..2025", PartArg::Year, &["2024", "2025"]);
        check("2025-02..2025-04", PartArg::Quarter, &[]);
        check("2025-01", PartArg::Month, &[]);
    }
}
