//! A year of a steel works, read back from a server's history into Table 1: undisturbed, and with readings left out. Must
//! never kill anything.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::ours::figures::{Electricity, Figures};
use tests::ours::one_meter::{self, LIVE_TOPIC, POINT, Reading};
use tests::ours::query::{self, Sample};
use tests::peers::broker::Mosquitto;
use tests::peers::lake;
use tests::steel::{READINGS, SteelYear, kwh};
use tests::wait::wait_for;

/// Undisturbed it takes a few seconds; a loaded machine takes longer.
const READ_BACK_WITHIN: Duration = Duration::from_mins(2);
const READING: Reading = Reading { history: true, page: 1_000 };

/// A register difference as figures show it: all digits, no trailing zeros.
pub(crate) fn plain(register: i64) -> String {
    kwh(register).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A quantity with nothing missing and nothing estimated.
fn whole(register: i64, tce: Option<String>) -> Electricity {
    Electricity {
        energy: Some(plain(register)),
        unit: Some("kWh".to_owned()),
        tce,
        coverage: Some("100.0".to_owned()),
        class: Some("metered".to_owned()),
        complete: true,
    }
}

/// The year and each month of it are the file's, to the last digit.
pub(crate) fn check_year_and_months(figures: &Figures<'_>, year: &SteelYear) {
    // 959 636.71 kWh × 0.1229 kgce/kWh.
    let tce = Some("117.939351659".to_owned());
    assert_eq!(plain(year.sum()), "959636.71");
    assert_eq!(figures.electricity("2018").unwrap(), whole(year.sum(), tce));
    for (number, month) in (1..).zip(year.months) {
        let found = figures.electricity(&format!("2018-{number:02}")).unwrap();
        assert_eq!(found, whole(month, found.tce.clone()), "month {number}");
    }
}

/// What `query` must print for these readings, in the order of time.
pub(crate) fn check_samples(lake: &Path, expected: &[(i64, String)]) {
    let samples = query::samples(lake).unwrap();
    assert_eq!(samples.len(), expected.len(), "one sample per source time");
    for (sample, (time_ms, value)) in samples.iter().zip(expected) {
        assert_eq!(sample.point, POINT);
        assert_eq!(sample.time_ms().unwrap(), *time_ms);
        assert_eq!((&sample.value, sample.quality.as_str()), (value, "Good"), "{}", sample.time);
    }
}

#[test]
fn the_steel_year_gives_its_table_1_to_the_last_digit() {
    let test = "steel_year::the_steel_year_gives_its_table_1_to_the_last_digit";
    let Some(year) = SteelYear::load_or_skip(test).unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path()).unwrap();
    let server = one_meter::opcua_server(folder.path(), year.history(), Duration::ZERO).unwrap();
    let centre = one_meter::centre(folder.path(), &broker.url()).unwrap();
    let uplink = format!("url = \"{}\"", broker.url());
    let mut gateway = one_meter::opcua_gateway(folder.path(), &server, &uplink, READING).unwrap();
    let end = year.readings[READINGS - 1].at.as_millis();
    let status = gateway.wait_for_history(end, READ_BACK_WITHIN).unwrap();
    assert_eq!(status["spool"]["samples_lost"], 0);

    let (plant, lake) = (one_meter::write_plant(folder.path()).unwrap(), centre.lake());
    let figures = one_meter::figures(&plant, &lake);
    check_year_and_months(&figures, &year);
    check_samples(&lake, &year.history());
    check_explanation(&figures, &year);
    check_with_other_tools(&lake, year.sum());

    // The newest source time stands in the live topic, whatever was read last.
    let value = wait_for("the live topic of the meter", Duration::from_secs(20), || {
        let retained = broker.retained("v1/#")?;
        let topic = retained.iter().find_map(|line| line.strip_prefix(LIVE_TOPIC));
        let value: Option<Value> =
            topic.map(|text| serde_json::from_str(text.trim())).transpose()?;
        Ok(value.filter(|value| value["ts"] == end))
    });
    let value = value.unwrap();
    assert_eq!(value["v"].to_string(), "959636.71");
    assert_eq!((&value["unit"], &value["exact"]), (&"kWh".into(), &"959636.71".into()));
}

/// The meter, its first and last reading, the coefficient and the commit stand behind the figure.
fn check_explanation(figures: &Figures<'_>, year: &SteelYear) {
    let explained = figures.explain("table1/2018/electricity/equivalent").unwrap();
    let text = explained.to_string();
    let [first, second, ..] = explained["figures"].as_array().unwrap().as_slice() else {
        panic!("a figure in tce is made from a quantity: {explained:#}");
    };
    assert_eq!(first["figure"]["value"], "117.939351659");
    let formula = first["formula"].as_str().unwrap();
    assert!(formula.contains("959636.71") && formula.contains("0.1229"), "{formula}");
    assert_eq!(first["coefficients"][0]["kgce_per_unit"], "0.1229");
    assert!(first["commit"].as_u64().is_some_and(|commit| commit > 0), "{first:#}");
    let meter = &second["meters"][0];
    assert_eq!(meter["meter"], "main", "{explained:#}");
    assert!(text.contains(POINT) || text.contains("\"main\""), "{explained:#}");
    assert!(text.contains(&plain(year.sum())), "{explained:#}");
}

/// The Python packages `deltalake` and `duckdb` find the rows of `query --all`, and by the reader's rule the same sum.
fn check_with_other_tools(lake: &Path, sum: i64) {
    let rows = query::all_rows(lake).unwrap();
    let columns = "count(*)::VARCHAR, sum(mantissa)::VARCHAR, sum(epoch_ms(ts))::VARCHAR, sum(generation)::VARCHAR,
        sum(seq)::VARCHAR, sum(mantissa::HUGEINT * seq)::VARCHAR";
    let report = lake::read(lake, Some(&format!("SELECT {columns} FROM lake"))).unwrap();
    assert_eq!(report["rows"], rows.len());
    assert_eq!(report["result"], json!([fingerprint(&rows)]));

    let chosen = "(SELECT *, row_number() OVER (PARTITION BY point, ts ORDER BY generation DESC, seq DESC) AS place
        FROM lake) WHERE place = 1";
    let columns = "count(*), sum(mantissa)::VARCHAR, max(mantissa) - min(mantissa), min(exponent), max(exponent)";
    let report = lake::read(lake, Some(&format!("SELECT {columns} FROM {chosen}"))).unwrap();
    let in_all: i128 = query::samples(lake).unwrap().iter().map(hundredths).sum();
    assert_eq!(report["result"], json!([[READINGS, in_all.to_string(), sum, -2, -2]]));
}

/// Sums that no other set of rows is likely to have.
fn fingerprint(rows: &[Sample]) -> Vec<String> {
    let of = |number: fn(&Sample) -> i128| rows.iter().map(number).sum::<i128>().to_string();
    let from = |row: &Sample| row.from.expect("`query --all` prints generation and sequence");
    let generations: i128 = rows.iter().map(|row| i128::from(from(row).0)).sum();
    let sequences: i128 = rows.iter().map(|row| i128::from(from(row).1)).sum();
    let mixed: i128 = rows.iter().map(|row| hundredths(row) * i128::from(from(row).1)).sum();
    vec![
        rows.len().to_string(),
        of(hundredths),
        of(|row| i128::from(row.time_ms().unwrap())),
        generations.to_string(),
        sequences.to_string(),
        mixed.to_string(),
    ]
}

fn hundredths(row: &Sample) -> i128 {
    row.value.replace('.', "").parse().unwrap()
}

/// A part of the year that the meter could not be read.
struct LeftOut<'a> {
    year: &'a SteelYear,
    kept: Vec<bool>,
}

impl LeftOut<'_> {
    fn index_of(&self, local: &str) -> usize {
        let local: jiff::civil::DateTime = local.parse().unwrap();
        let offset = jiff::tz::TimeZone::fixed(jiff::tz::offset(9));
        let at = local.to_zoned(offset).unwrap().timestamp().as_millisecond();
        self.year.readings.iter().position(|reading| reading.at.as_millis() == at).unwrap()
    }

    /// Both ends are left out too.
    fn leave_out(&mut self, from: &str, to: &str) {
        let (from, to) = (self.index_of(from), self.index_of(to));
        self.kept[from..=to].fill(false);
    }

    /// Slots between these readings with a reading at both borders, of all: as the figures print it.
    fn coverage(&self, from: usize, to: usize) -> String {
        let borders = &self.kept[from..=to];
        let covered = borders.windows(2).filter(|pair| pair[0] && pair[1]).count();
        let permille = covered * 1_000 / (to - from);
        format!("{}.{}", permille / 10, permille % 10)
    }

    fn month(&self, number: usize) -> (usize, usize) {
        let next = if number == 12 {
            "2019-01-01T00:00".to_owned()
        } else {
            format!("2018-{:02}-01T00:00", number + 1)
        };
        (self.index_of(&format!("2018-{number:02}-01T00:00")), self.index_of(&next))
    }
}

#[test]
fn months_stay_exact_where_their_boundary_readings_are_there() {
    let test = "steel_year::months_stay_exact_where_their_boundary_readings_are_there";
    let Some(year) = SteelYear::load_or_skip(test).unwrap() else { return };
    let mut left_out = LeftOut { year: &year, kept: vec![true; READINGS] };
    // A few readings in every month but the last, half a day in January, ten days in July.
    for month in 1..=11 {
        let (from, _) = left_out.month(month);
        for at in [100, 101, 733, 1_500] {
            left_out.kept[from + at] = false;
        }
    }
    left_out.leave_out("2018-01-20T00:00", "2018-01-20T12:00");
    left_out.leave_out("2018-07-10T03:00", "2018-07-20T03:00");
    // The boundary of April and May, and four days around that of September and October.
    left_out.leave_out("2018-05-01T00:00", "2018-05-01T00:00");
    left_out.leave_out("2018-09-29T00:00", "2018-10-02T23:45");
    let history = year.history().into_iter().zip(&left_out.kept);
    let history: Vec<(i64, String)> =
        history.filter(|(_, kept)| **kept).map(|(reading, _)| reading).collect();

    let folder = tempfile::tempdir().unwrap();
    let server = one_meter::opcua_server(folder.path(), history.clone(), Duration::ZERO).unwrap();
    let tcp_port = tests::peers::free_tcp_port().unwrap();
    let broker = format!("tcp_port = {tcp_port}");
    let centre = tests::ours::centre::Centre::start(folder.path(), &broker).unwrap();
    let uplink = format!("url = \"mqtt://127.0.0.1:{tcp_port}\"");
    let mut gateway = one_meter::opcua_gateway(folder.path(), &server, &uplink, READING).unwrap();
    let end = year.readings[READINGS - 1].at.as_millis();
    gateway.wait_for_history(end, READ_BACK_WITHIN).unwrap();

    let (plant, lake) = (one_meter::write_plant(folder.path()).unwrap(), centre.lake());
    check_samples(&lake, &history);
    let figures = one_meter::figures(&plant, &lake);
    let all = figures.electricity("2018").unwrap();
    let coverage = Some(left_out.coverage(0, READINGS - 1));
    assert_eq!(all, Electricity { coverage, ..whole(year.sum(), all.tce.clone()) });
    for number in 1..=12 {
        let found = figures.electricity(&format!("2018-{number:02}")).unwrap();
        let (from, to) = left_out.month(number);
        let exact = whole(year.months[number - 1], found.tce.clone());
        let coverage = Some(left_out.coverage(from, to));
        assert_eq!(coverage.as_deref() == Some("100.0"), number == 12);
        match number {
            // Half an hour between the readings around the boundary: the index there is an estimate, and says so.
            4 | 5 => {
                assert_eq!(found.class.as_deref(), Some("estimated"), "month {number}: {found:?}");
                assert_eq!(found.coverage, coverage, "month {number}");
            }
            // Nothing is claimed over more than three days: what is known of the month, marked as a part.
            9 | 10 => {
                assert!(!found.complete, "month {number}: {found:?}");
                assert_eq!(found.coverage, coverage, "month {number}");
            }
            _ => assert_eq!(found, Electricity { coverage, ..exact }, "month {number}"),
        }
    }
}
