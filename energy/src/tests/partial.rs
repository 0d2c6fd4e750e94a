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
