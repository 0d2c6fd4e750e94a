//! Declared facts are read exactly, or each wrong line is named.

use super::*;

const PLANT: &str = r#"
[plant]
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2008"
[[subject]]
id = "line-a"
kind = "line"
[[energy_kind]]
id = "electricity"
unit = "万kWh"
[[energy_kind]]
id = "gas"
unit = "m3"
coefficient = "gasfield_gas"
[[product]]
id = "steel"
unit = "t"
line = "line-a"
"#;
const HEADER: &str = "subject,period,measure,value,unit,note,override_reason\n";

fn read(rows: &str) -> Result<Facts, Problems> {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    Facts::read(&plant, &[SourceFile::new("facts.csv", format!("{HEADER}{rows}"))])
}

fn value(rows: &str, measure: &str, period: &str) -> Option<(String, bool)> {
    let facts = read(rows).map_err(|problems| problems.to_string()).unwrap();
    let acme = SubjectId::new("acme").unwrap();
    let declared = facts.declared(&acme, &measure.parse().unwrap(), period.parse().unwrap())?;
    Some((declared.value().to_string(), declared.is_complete()))
}

#[test]
fn converts_into_the_unit_of_the_kind() {
    let rows = "acme,2023,purchased:electricity,8500.5,MWh,,\nacme,2023-02,gross_output_value,1234567,元,,\n";
    assert_eq!(value(rows, "purchased:electricity", "2023"), Some(("850.05".to_owned(), true)));
    assert_eq!(value(rows, "gross_output_value", "2023-02"), Some(("123.4567".to_owned(), true)));
    assert_eq!(value(rows, "purchased:electricity", "2023-02"), None);
    assert_eq!(value(rows, "purchased:gas", "2023"), None);
}

#[test]
fn months_add_up_to_a_year_and_say_how_many_there_are() {
    let rows = "acme,2023-01,value_added,-5,万元,,\nacme,2023-03,value_added,7,万元,,\n";
    assert_eq!(value(rows, "value_added", "2023"), Some(("2".to_owned(), false)));
}

#[test]
fn names_file_and_line_of_what_is_wrong() {
    let bad = |row: &str, expected: &str| {
        let rows = format!("acme,2023,purchased:gas,1,m3,,\n{row}\n");
        let problems = read(&rows).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains(expected), "expected `{expected}`, found {problems}");
        assert!(problems.contains("facts.csv:3:1"), "{problems}");
    };
    bad("acne,2023,purchased:gas,1,m3,,", "there is no subject `acne`; did you mean `acme`?");
    bad("acme,2023-13,purchased:gas,1,m3,,", "`2023-13` is not a period");
    bad("acme,2023-01-01,own:gas,1,m3,,", "found the day `2023-01-01`");
    bad("acme,2023-Q1,own:gas,1,m3,,", "found the range `2023-01..2023-03`");
    bad("acme,2023,bought:gas,1,m3,,", "`bought:gas` is not a measure");
    bad("acme,2023,purchased:coal,1,t,,", "there is no energy kind `coal`");
    bad("acme,2023,output:iron,1,t,,", "there is no product `iron`");
    bad("acme,2023,own:gas,\"1,200\",m3,,", "`1,200` is not a decimal number");
    bad("acme,2023,own:gas,-1,m3,,", "expected a number not below zero");
    bad("acme,2023,own:gas,1,t,,", "`own:gas` is counted in `m3`");
    bad("acme,2023,value_added,1,USD,,", "`value_added` is counted in `万元`");
    bad("acme,2023,own:gas,,m3,,", "`value` is blank; every row needs it");
    bad("acme,2023,own:gas,1", "expected 7 fields");
    bad("acme,2023,purchased:gas,2,m3,,", "declared already for 2023, in facts.csv:2");
    bad("acme,2023-05,purchased:gas,2,m3,,", "declared already for 2023, in facts.csv:2");
}

#[test]
fn an_unknown_column_is_named() {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let file = SourceFile::new("facts.csv", "\u{feff}subject,period,measure,amount,unit\n");
    let problems = Facts::read(&plant, &[file]).map(|_| ()).unwrap_err().to_string();
    assert!(problems.contains("`amount` is not a column"), "{problems}");
    assert!(problems.contains("column `value` is missing"), "{problems}");
}

#[test]
fn batches_of_one_month_stand_beside_each_other() {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let read = |rows: &str| {
        let text = format!("subject,period,measure,value,unit,batch\n{rows}");
        Facts::read(&plant, &[SourceFile::new("facts.csv", text)])
    };
    let facts = read("acme,2023-01,own:gas,3,m3,a\nacme,2023-01,own:gas,4,m3,b\n").unwrap();
    let acme = SubjectId::new("acme").unwrap();
    let measure = "own:gas".parse().unwrap();
    let check = |period: &str, months| {
        let declared = facts.declared(&acme, &measure, period.parse().unwrap()).unwrap();
        assert_eq!((declared.value().to_string().as_str(), declared.months), ("7", months));
    };
    check("2023-01", 1);
    check("2023", 1);
    // The same batch again, or the month without a batch, may be the same gas.
    for twice in ["a", ""] {
        let rows = format!("acme,2023-01,own:gas,3,m3,a\nacme,2023-01,own:gas,4,m3,{twice}\n");
        let problems = read(&rows).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains("declared already for 2023-01"), "{problems}");
    }
}

/// A clerk enters the years of a works from its beginning; none of them needs time zone data.
#[test]
fn years_before_1971_are_declared_like_others() {
    let rows = "acme,1959,purchased:gas,30236,m3,,\nacme,1970,purchased:gas,7,m3,,\n";
    assert_eq!(value(rows, "purchased:gas", "1959"), Some(("30236".to_owned(), true)));
    assert_eq!(value(rows, "purchased:gas", "1970"), Some(("7".to_owned(), true)));
}
const STATED: &str = "subject,period,measure,value,unit,note,status,price_base,batch,source\n";

fn stated(rows: &str) -> Result<Facts, String> {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let file = SourceFile::new("facts.csv", format!("{STATED}{rows}"));
    Facts::read(&plant, &[file]).map_err(|problems| problems.to_string())
}

#[test]
fn a_fact_states_its_status_prices_batch_and_source() {
    let facts = stated(
        "acme,2023,gross_output_value,1,万元,,预计,2020年不变价,,form B204\n\
         acme,2023,purchased:gas,5,m3,,,,B-1,\nacme,2023,purchased:gas,7,m3,,actual,,B-2,\n",
    )
    .unwrap();
    assert_eq!(facts.warnings.to_string(), "");
    let acme = SubjectId::new("acme").unwrap();
    let year = Period::Year(2023);
    let money = facts.declared(&acme, &Measure::GrossOutputValue, year).unwrap();
    assert!(money.is_forecast());
    assert_eq!(money.price_base(), Some(PriceBase::Constant(2020)));
    assert_eq!(money.facts[0].document.as_deref(), Some("form B204"));
    let gas = facts.declared(&acme, &"purchased:gas".parse().unwrap(), year).unwrap();
    assert!(!gas.is_forecast() && gas.is_complete());
    assert_eq!(gas.value().to_string(), "12");
    let batches: Vec<_> = gas.facts.iter().map(|fact| fact.batch.as_deref().unwrap()).collect();
    assert_eq!(batches, ["B-1", "B-2"]);
}

#[test]
fn what_a_column_states_is_checked() {
    let refused = |rows: &str, expected: &str| {
        let problems = stated(rows).map(|_| ()).unwrap_err();
        assert!(problems.contains(expected), "expected `{expected}`, found {problems}");
    };
    refused("acme,2023,own:gas,1,m3,,plan,,,\n", "`plan` is not a status: expected `actual`");
    refused("acme,2023,value_added,1,万元,,,cheap,,\n", "`cheap` is not a price base");
    refused("acme,2023,own:gas,1,m3,,,2020,,\n", "`price_base` belongs to `gross_output_value`");
    refused("acme,2023,value_added,1,万元,,,,B-1,\n", "`batch` belongs to energy");
    refused(
        "acme,2023,own:gas,1,m3,,,,B-1,\nacme,2023,own:gas,2,m3,,,,B-1,\n",
        "declared already for 2023, in facts.csv:2",
    );
    refused(
        "acme,2023,own:gas,1,m3,,,,B-1,\nacme,2023,own:gas,2,m3,,,,,\n",
        "give every row of the period its `batch`, or none",
    );
    refused(
        "acme,2023,own:gas,1,m3,,,,B-1,\nacme,2023-05,own:gas,2,m3,,,,B-2,\n",
        "declared already for 2023, in facts.csv:2",
    );
    refused(
        "acme,2023,own:gas,1,m3,,预计,,,\nacme,2023,own:gas,2,m3,,实际,,,\n",
        "delete the forecast once the actual figure is there",
    );
    refused(
        "acme,2023-01,value_added,1,万元,,,2020,,\nacme,2023-02,value_added,2,万元,,,current,,\n",
        "`current` for 2023-02, and `2020` in facts.csv:2: these do not add up to a year",
    );
    assert!(
        stated("acme,2022,value_added,1,万元,,,2020,,\nacme,2023,value_added,2,万元,,,current,,\n")
            .is_ok()
    );
}

/// Trial fig-13: a note changes no figure, so it is told which column does.
#[test]
fn a_note_that_says_what_a_column_is_for_is_told() {
    let told = |row: &str, expected: &str| {
        let facts = stated(row).unwrap();
        let told = facts.warnings.to_string();
        assert!(told.contains(expected), "expected `{expected}`, found `{told}`");
        assert_eq!(facts.iter().all(|fact| fact.remarks.is_empty()), expected.is_empty());
    };
    told("acme,2027,own:gas,900,m3,预计,,,,\n", "write `forecast` in the column `status`");
    told("acme,2027,own:gas,900,m3,a Forecast of ours,,,,\n", "write `forecast`");
    told(
        "acme,2022,value_added,1,万元,2020年不变价,,,,\n",
        "write `2020` in the column `price_base`",
    );
    told("acme,2022,value_added,1,万元,2022年当年价,,,,\n", "write `current` in the column");
    for row in
        ["acme,2027,own:gas,900,m3,预计,forecast,,,\n", "acme,2022,own:gas,1,m3,不变价,,,,\n"]
    {
        assert_eq!(stated(row).unwrap().warnings.to_string(), "");
    }
}
