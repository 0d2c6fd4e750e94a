//! Forecasts, price bases and doubts stand beside each figure that is made from them (trial fig-13).

use super::*;

const PLANT: &str = r#"
[plant]
name = "T"
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
[[energy_kind]]
id = "electricity"
unit = "万kWh"
"#;

fn table(facts: &str, period: &str) -> Table1 {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let header = "subject,period,measure,value,unit,note,status,price_base\n";
    let file = SourceFile::new("facts.csv", format!("{header}{facts}"));
    let facts = Facts::read(&plant, &[file]).map_err(|p| p.to_string()).unwrap();
    let meters = Meters::default();
    let inputs = Inputs { plant: &plant, facts: &facts, meters: &meters, commit: None };
    table1(&inputs, period.parse().unwrap(), BasisChoice::Equivalent).unwrap()
}

fn intensity(table: &Table1) -> (String, Option<Class>, Option<String>, String) {
    let figure = table.output_value_intensity.equivalent.as_ref().unwrap();
    let base = figure.price_base.map(|base| base.to_string());
    (ratio(figure), figure.class, base, figure.note().as_deref().unwrap_or_default().to_owned())
}

const YEARS: &str = "\
acme,2022,purchased:electricity,850,万kWh,,,
acme,2022,gross_output_value,18500,万元,,,2020
acme,2023,purchased:electricity,850,万kWh,,,
acme,2023,gross_output_value,25000,万元,,,current
acme,2027,purchased:electricity,900,万kWh,,forecast,
acme,2027,gross_output_value,30000,万元,,预计,当年价
";

#[test]
fn a_forecast_is_assumed_and_an_intensity_names_its_prices() {
    let declared = Some(Class::Declared);
    let (value, class, base, note) = intensity(&table(YEARS, "2022"));
    assert_eq!((value.as_str(), class, base.as_deref()), ("0.056468", declared, Some("2020")));
    assert_eq!(note, "at constant prices of 2020");
    let (value, class, base, note) = intensity(&table(YEARS, "2023"));
    assert_eq!((value.as_str(), class, base.as_deref()), ("0.041786", declared, Some("current")));
    assert_eq!(note, "at current prices");
    let forecast = table(YEARS, "2027");
    let (value, class, _, note) = intensity(&forecast);
    assert_eq!((value.as_str(), class), ("0.036870", Some(Class::Assumed)));
    assert_eq!(note, "forecast; at current prices");
    for figure in [&forecast.rows[0].quantity, forecast.totals.equivalent.as_ref().unwrap()] {
        assert_eq!(figure.class, Some(Class::Assumed), "{}", figure.name);
        assert_eq!(figure.note().as_deref(), Some("forecast"), "{}", figure.name);
    }
}

#[test]
fn an_intensity_of_an_actual_and_an_expected_part_says_so() {
    let facts = "acme,2023,purchased:electricity,850,万kWh,,,\n\
                 acme,2023,gross_output_value,25000,万元,,forecast,\n";
    let (_, class, _, note) = intensity(&table(facts, "2023"));
    assert_eq!(class, Some(Class::Assumed));
    assert!(note.contains("`table1/2023/gross_output_value` is a forecast"), "{note}");
    assert!(note.contains("`table1/2023/total/equivalent` is actual"), "{note}");
}

#[test]
fn months_that_are_expected_make_the_year_partly_a_forecast() {
    let row = |month: u8| {
        let status = if month > 10 { "forecast" } else { "" };
        format!("acme,2026-{month:02},purchased:electricity,70,万kWh,,{status},\n")
    };
    let facts: Vec<String> = (1..=12).map(row).collect();
    let table = table(&facts.concat(), "2026");
    let total = table.totals.equivalent.as_ref().unwrap();
    assert_eq!(number(total), "1032.36");
    assert_eq!(total.class, Some(Class::Assumed));
    assert_eq!(total.note().as_deref(), Some("partly forecast: 2026-11, 2026-12"));
}

/// As in the trial, where the remarks stand in `note` alone.
#[test]
fn a_note_that_a_column_should_state_stands_beside_the_figure() {
    let facts = "acme,2027,purchased:electricity,900,万kWh,预计,,\n\
                 acme,2027,gross_output_value,30000,万元,2020年不变价,,\n";
    let (_, class, base, note) = intensity(&table(facts, "2027"));
    assert_eq!((class, base.as_deref()), (Some(Class::Assumed), Some("2020")));
    assert!(note.contains("forecast") && note.contains("at constant prices of 2020"), "{note}");
    let facts = "acme,2027,purchased:electricity,900,万kWh,初步预计,,\n\
                 acme,2027,gross_output_value,30000,万元,按2020年不变价,,\n";
    let (.., note) = intensity(&table(facts, "2027"));
    assert!(note.contains("says `初步预计`, which the column `status` does not state"), "{note}");
    assert!(note.contains("says `按2020年不变价`, which the column `price_base`"), "{note}");
}
