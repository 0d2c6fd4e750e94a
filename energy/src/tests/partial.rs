//! Trap 4: a figure of a part of its inputs says so wherever it stands.

use super::*;

fn notes(table: &Table1) -> Vec<Option<String>> {
    let row = &table.rows[0];
    let figures = [
        &row.quantity,
        &row.converted.equivalent.as_ref().unwrap().tce,
        table.totals.equivalent.as_ref().unwrap(),
        table.output_value_intensity.equivalent.as_ref().unwrap(),
    ];
    figures.map(|figure| figure.note().map(|note| note.to_string())).to_vec()
}

/// Six months of coal over the output value of twelve are no intensity of the year.
#[test]
fn coal_of_half_a_year_is_flagged_in_every_figure() {
    let plant = METERED.split("[[energy_kind]]").next().unwrap().to_owned()
        + "[[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n";
    let coal = |months: i64| -> String {
        let month = |month| format!("acme,2023-{month:02},purchased:raw_coal,100,t,,\n");
        (1..=months).map(month).collect::<Vec<_>>().concat()
    };
    let output = "acme,2023,gross_output_value,18500,万元,,\n";
    let table = total(&declared(&plant, &(coal(6) + output)), "2023");
    let intensity = table.output_value_intensity.equivalent.as_ref().unwrap();
    assert_eq!((ratio(intensity).as_str(), intensity.complete), ("0.023166", false));
    assert_eq!(intensity.coverage_percent.as_deref(), Some("50.0"));
    assert_eq!(
        notes(&table),
        vec![Some("part of its inputs is missing, 50.0 % is there".to_owned()); 4]
    );
    let table = total(&declared(&plant, &(coal(12) + output)), "2023");
    assert_eq!(notes(&table), vec![None; 4]);
}

/// A register read at both ends of a month counts all of it, and says how little was read.
#[test]
fn a_month_of_two_readings_says_so() {
    let readings = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 10_000)];
    let output = "acme,2018-01,gross_output_value,10,万元,,\n";
    let table = total(&metered(METERED, &readings, output), "2018-01");
    assert_eq!(number(&table.rows[0].quantity), "100");
    assert!(table.rows[0].quantity.complete);
    let note = "readings cover 0.0 % of the time; what lies between them is known as a sum";
    assert_eq!(notes(&table), vec![Some(note.to_owned()); 4]);
}

/// Coverage of a sum was that of its worst part: 0 % for ten months that were invoiced and one that was hardly read (O12).
#[test]
fn coverage_of_a_year_is_in_months_and_says_what_is_missing() {
    let readings = [("2018-11-05 00:00", 0), ("2018-11-05 01:00", 2_500)];
    let bill = |month: i32| format!("acme,2018-{month:02},purchased:electricity,100,kWh,,\n");
    let bills: String = (1..=10).map(bill).collect();
    let table = total(&metered(METERED, &readings, &bills), "2018");
    let quantity = &table.rows[0].quantity;
    assert_eq!((number(quantity).as_str(), quantity.complete), ("1025", false));
    assert_eq!(quantity.coverage_percent.as_deref(), Some("83.3"));
    let note = quantity.note().unwrap();
    assert!(note.contains("10 of 12 months; 2018-11 … 2018-12: 0 of 5856 quarter hours"), "{note}");
}

/// The months of a year add up to it, or the year says what no month holds.
#[test]
fn a_year_names_what_no_month_holds() {
    let readings = [
        ("2018-01-20 00:00", 0),
        ("2018-01-28 00:00", 50_000),
        ("2018-02-04 00:00", 70_000),
        ("2018-02-10 00:00", 90_000),
    ];
    let scenario = metered(METERED, &readings, "");
    let quantity = |period: &str| total(&scenario, period).rows[0].quantity.clone();
    let (january, february, year) = (quantity("2018-01"), quantity("2018-02"), quantity("2018"));
    let numbers = [&january, &february, &year].map(number);
    assert_eq!(numbers.each_ref().map(String::as_str), ["500", "200", "900"]);
    let told = "meter `main`: 200 kWh between the readings at 2018-01-28 00:00 and 2018-02-04 00:00 are in this figure and in \
                that of no month";
    assert!(year.note().unwrap().contains(told), "{:?}", year.note());
    assert!(!january.note().unwrap().contains("no month"));
}
