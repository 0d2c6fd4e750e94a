//! One year of a steel works' electricity as a cumulative register: 35 041 readings in 0.01 kWh, exact. The file is not
//! ours and not copied.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, offset};
use model::time::Timestamp;

use crate::programs::workspace_root;
use crate::skip::skip;

/// Readings of the year: one at its start and one at the end of each of its 35 040 quarter hours.
pub const READINGS: usize = 35_041;
/// Length of an interval.
const QUARTER_HOUR_US: i64 = 900_000_000;

/// A value of the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SteelReading {
    /// When the meter showed it.
    pub at: Timestamp,
    /// What it showed, in 0.01 kWh.
    pub register: i64,
}

/// The year as readings, and what each month of the *file* adds up to.
#[derive(Debug, Clone)]
pub struct SteelYear {
    /// In the order of time, 15 minutes apart.
    pub readings: Vec<SteelReading>,
    /// January to December in 0.01 kWh, summed from the file's rows by their dates, not from the readings.
    pub months: [i64; 12],
}

impl SteelYear {
    /// The year, or `None` after noting that `test` is skipped because `../shared` is not there.
    pub fn load_or_skip(test: &str) -> Result<Option<Self>> {
        let path = file();
        if !path.exists() {
            skip(test, "`../shared/data/steel-2018.csv` is not there");
            return Ok(None);
        }
        Self::load(&path).map(Some)
    }

    /// Reads the file, checking that its intervals follow each other without a hole.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let mut readings =
            vec![SteelReading { at: label_to_utc("01/01/2018", "00:00")?, register: 0 }];
        let mut months = [0; 12];
        for (index, row) in reader.records().enumerate() {
            let row = row.with_context(|| format!("row {}", index + 1))?;
            let (label, usage) = row.get(0).zip(row.get(1)).context("a row has two columns")?;
            let (date, time) = label.split_once(' ').context("a label is a date and a time")?;
            let end = label_to_utc(date, if time == "00:00" { "24:00" } else { time })?;
            let last = *readings.last().context("the first reading is always there")?;
            ensure!(
                end.micros_since(last.at) == QUARTER_HOUR_US,
                "row {}: `{label}` does not follow the row before by 15 minutes",
                index + 1
            );
            let usage = hundredths(usage).with_context(|| format!("row {}", index + 1))?;
            let month: usize = date.get(3..5).context("a date is DD/MM/YYYY")?.parse()?;
            *months.get_mut(month.wrapping_sub(1)).context("a month is 1 to 12")? += usage;
            readings.push(SteelReading { at: end, register: last.register + usage });
        }
        ensure!(readings.len() == READINGS, "{} readings, expected {READINGS}", readings.len());
        Ok(Self { readings, months })
    }

    /// The year's sum in 0.01 kWh.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.readings.last().map_or(0, |last| last.register)
    }

    /// The readings as an OPC UA server takes them: source time in ms, and kWh with two decimals.
    #[must_use]
    pub fn history(&self) -> Vec<(i64, String)> {
        self.readings.iter().map(|r| (r.at.as_millis(), kwh(r.register))).collect()
    }
}

/// 0.01 kWh as a decimal text in kWh.
#[must_use]
pub fn kwh(register: i64) -> String {
    format!("{}.{:02}", register / 100, register % 100)
}

/// Where the file lies beside the project.
fn file() -> PathBuf {
    workspace_root().join("../shared/data/steel-2018.csv")
}

/// `DD/MM/YYYY` and `HH:MM` (24:00 is the end of that day) in Korea, which has kept UTC+9 all year round since 1988.
fn label_to_utc(date: &str, time: &str) -> Result<Timestamp> {
    let (time, next_day) = if time == "24:00" { ("00:00", true) } else { (time, false) };
    let label = format!("{date} {time}");
    let local = DateTime::strptime("%d/%m/%Y %H:%M", &label)
        .with_context(|| format!("`{label}` is not DD/MM/YYYY HH:MM"))?;
    let local = if next_day { local.tomorrow()? } else { local };
    let zoned = local.to_zoned(TimeZone::fixed(offset(9)))?;
    Ok(Timestamp(zoned.timestamp().as_microsecond()))
}

/// `3.17`, `3.4` or `4` as a whole number of hundredths.
fn hundredths(text: &str) -> Result<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 2 || !digits(whole) || !digits(part) {
        bail!("`{text}` is not a number with at most two decimals");
    }
    Ok(format!("{whole}{part:0<2}").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steel_year_adds_up_to_the_sums_of_its_readme() {
        let Some(year) = SteelYear::load_or_skip("steel::the_steel_year").unwrap() else { return };
        assert_eq!(year.readings.len(), READINGS);
        assert_eq!(year.readings[0].at.to_string(), "2017-12-31T15:00:00.000000Z");
        assert_eq!(year.readings[READINGS - 1].at.to_string(), "2018-12-31T15:00:00.000000Z");
        assert_eq!(year.sum(), 95_963_671);
        assert_eq!(year.months.iter().sum::<i64>(), 95_963_671);
        assert_eq!(
            (year.months[0], year.months[5], year.months[11]),
            (12_623_829, 6_540_464, 5_943_678)
        );
    }

    /// The other way to a month: the difference of the register between its first and its last moment.
    #[test]
    fn a_month_of_the_register_is_the_month_of_the_file() {
        let Some(year) = SteelYear::load_or_skip("steel::a_month").unwrap() else { return };
        let register_at = |date: &str| {
            let at = label_to_utc(date, "00:00").unwrap();
            year.readings.iter().find(|reading| reading.at == at).unwrap().register
        };
        for month in 1..=12 {
            let from = register_at(&format!("01/{month:02}/2018"));
            let to = register_at(&if month == 12 {
                "01/01/2019".to_owned()
            } else {
                format!("01/{:02}/2018", month + 1)
            });
            assert_eq!(to - from, year.months[month - 1], "month {month}");
        }
    }

    #[test]
    fn hundredths_are_read_exactly() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(hundredths(text).ok(), expected);
        check("3.17", Some(317));
        check("3.4", Some(340));
        check("4", Some(400));
        check("0.05", Some(5));
        check("3.175", None);
        check("-1", None);
        check("1e2", None);
        check("", None);
        check(".5", None);
        check("1.", Some(100));
    }

    #[test]
    fn registers_are_written_with_two_decimals() {
        assert_eq!(kwh(0), "0.00");
        assert_eq!(kwh(95_963_671), "959636.71");
        assert_eq!(kwh(105), "1.05");
    }
}
