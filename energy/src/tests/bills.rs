//! A bill of the whole time against a meter that was read for a part of it (trial fig-18).

use super::*;

/// Readings every quarter of an hour for so many hours from a local time on, 60 kWh an hour.
fn read_for(plant: &Plant, from: &str, hours: i64) -> MeterReadings {
    let begin: jiff::civil::DateTime = from.parse().unwrap();
    let at = |slot: i64| (begin + jiff::Span::new().minutes(15 * slot)).to_string();
    let times: Vec<String> = (0..=hours * 4).map(at).collect();
    let shown = (0_i64..).map(|slot| 80_988_000 + slot * 1_500);
    let readings: Vec<(&str, i64)> = times.iter().map(String::as_str).zip(shown).collect();
    readings_of(plant, 0, &readings)
}

fn scenario(from: &str, hours: i64, facts: &str) -> Scenario {
    let scenario = declared(METERED, facts);
    let readings = read_for(&scenario.plant, from, hours);
    Scenario { meters: Meters::build(&scenario.plant, &[readings]).unwrap(), ..scenario }
}

fn not_counted(row: &table1::Row) -> Vec<(fact::Source, String, String)> {
    let shown =
        |one: &source::NotCounted| (one.source, one.value.to_string(), one.reason.to_string());
    row.not_counted.iter().map(shown).collect()
}

#[test]
fn a_bill_of_the_month_counts_where_the_meter_was_read_for_a_day() {
    let bill = "acme,2023-02,purchased:electricity,4.032,万kWh,电费单,\n";
    let table = total(&scenario("2023-02-09T22:00", 30, bill), "2023-02");
    let row = &table.rows[0];
    assert_eq!((number(&row.quantity).as_str(), row.quantity.complete), ("40320", true));
    assert_eq!(row.quantity.class, Some(Class::Declared));
    assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), "4.955328");
    let reason = "read for 4.4 % of the time alone, while the declaration is of all of it";
    let expected = [(fact::Source::Metered, "1800".to_owned(), reason.to_owned())];
    assert_eq!(not_counted(row), expected);
    assert_eq!(row.quantity.note(), None);
    let behind = &table.explanations["table1/2023-02/electricity/quantity"];
    assert_eq!((behind.meters.len(), behind.declared.len()), (1, 1));
}

#[test]
fn a_year_takes_the_meter_where_it_is_whole_and_the_bills_elsewhere() {
    // In service from the 15th of October on: the bills of the months up to then, the meter for the rest.
    let bills = (1..=10).fold(String::new(), |text, month| {
        format!("{text}acme,2023-{month:02},purchased:electricity,43200,kWh,,\n")
    });
    let hours = (17 + 30 + 31) * 24;
    let table = total(&scenario("2023-10-15T00:00", hours, &bills), "2023");
    let row = &table.rows[0];
    assert_eq!(number(&row.quantity), (432_000 + 61 * 24 * 60).to_string());
    assert_eq!((row.quantity.complete, row.quantity.class), (true, Some(Class::Mixed)));
    let [(source, value, _)] = not_counted(row).try_into().unwrap();
    assert_eq!((source, value), (fact::Source::Metered, (17 * 24 * 60).to_string()));
    // The bill of the year against a meter of 78 days.
    let year = "acme,2023,purchased:electricity,52.56,万kWh,,\n";
    let table = total(&scenario("2023-10-15T00:00", hours, year), "2023");
    assert_eq!(number(&table.rows[0].quantity), "525600");
    assert_eq!(not_counted(&table.rows[0])[0].1, (78 * 24 * 60).to_string());
}

#[test]
fn a_declaration_for_a_part_is_no_better_than_a_reading_of_a_part() {
    let some = "acme,2023-01,purchased:electricity,43200,kWh,,\n";
    let table = total(&scenario("2023-02-09T22:00", 30, some), "2023");
    assert!(!table.rows[0].quantity.complete);
    assert_eq!(number(&table.rows[0].quantity), "45000");
}

#[test]
fn a_forecast_is_no_better_than_a_reading_of_a_part() {
    let header = "subject,period,measure,value,unit,status\n";
    let row = "acme,2023-02,purchased:electricity,4.032,万kWh,forecast\n";
    let scenario = scenario("2023-02-09T22:00", 30, "");
    let text = SourceFile::new("facts.csv", format!("{header}{row}"));
    let facts = Facts::read(&scenario.plant, &[text]).map_err(|p| p.to_string()).unwrap();
    let scenario = Scenario { facts, ..scenario };
    assert_eq!(number(&total(&scenario, "2023-02").rows[0].quantity), "1800");
    assert_eq!(number(&total(&scenario, "2023-01").rows[0].quantity).get(..4), Some("none"));
}

#[test]
fn an_override_with_its_reason_stays_one() {
    let bill = "acme,2023-02,purchased:electricity,4.032,万kWh,,meter is new\n";
    let table = total(&scenario("2023-02-09T22:00", 30, bill), "2023-02");
    assert_eq!(not_counted(&table.rows[0])[0].2, "overridden: meter is new");
}

#[test]
fn a_bill_that_the_reading_of_a_part_contradicts_is_doubted() {
    let note = |bill: &str| {
        let facts = format!("acme,2023-02,purchased:electricity,{bill},,\n");
        let table = total(&scenario("2023-02-09T22:00", 30, &facts), "2023-02");
        table.rows[0].quantity.note().map(|note| note.to_string()).unwrap_or_default()
    };
    assert!(note("0.15,万kWh").contains("less than what was read in a part of the time, 1800"));
    assert!(note("0.4032,万kWh").contains("more than 5 times off"), "{}", note("0.4032,万kWh"));
    assert!(note("40.32,万kWh").contains("more than 5 times off"));
    assert_eq!(note("9,万kWh"), "");
}

/// The same above a meter of a site.
#[test]
fn a_bill_of_the_enterprise_counts_where_the_meter_of_a_site_was_read_for_a_day() {
    let plant = METERED.replace("role = \"incoming\"", "role = \"incoming\"\nsubject = \"site\"");
    let scenario = declared(&plant, "acme,2023-02,purchased:electricity,4.032,万kWh,,\n");
    let readings = read_for(&scenario.plant, "2023-02-09T22:00", 30);
    let scenario =
        Scenario { meters: Meters::build(&scenario.plant, &[readings]).unwrap(), ..scenario };
    let table = total(&scenario, "2023-02");
    assert_eq!(number(&table.rows[0].quantity), "40320");
    assert_eq!(not_counted(&table.rows[0])[0].1, "1800");
}
