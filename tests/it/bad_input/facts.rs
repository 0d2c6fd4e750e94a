//! Wrong files of declared facts. Must never compute a figure.

use config::{Problems, SourceFile};
use energy::{Facts, Plant};

use super::told::{Spoiled, Told};

const PLANT: &str = r#"
[plant]
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
[[subject]]
id = "forge"
kind = "line"
[[energy_kind]]
id = "electricity"
unit = "万kWh"
[[energy_kind]]
id = "raw_coal"
unit = "t"
[[product]]
id = "ring"
unit = "t"
line = "forge"
"#;

const GOOD: &str = "\
subject,period,measure,value,unit,note
acme,2023,purchased:raw_coal,1200.5,t,weighed
acme,2023-01,gross_output_value,310,万元,
forge,2023,output:ring,8000,t,
";

const WAYS: &[Spoiled] = &[
    ("a column that is missing", ",value,unit", ",amount,unit"),
    ("a column too many", "note\n", "note,author\n"),
    ("a number with a comma in it", "1200.5", "1,200.5"),
    ("a number in quotes with a comma in it", "1200.5", "\"1,200.5\""),
    ("a number with its unit", "1200.5", "1200.5t"),
    ("a number below zero", "1200.5", "-1200.5"),
    ("no number at all", "1200.5", ""),
    ("a measure that is misspelt", "purchased:", "bought:"),
    ("an energy kind that is not there", "purchased:raw_coal", "purchased:coke"),
    ("an energy kind that is misspelt", "purchased:raw_coal", "purchased:raw_caol"),
    ("a product that is not there", "output:ring", "output:bolt"),
    ("a subject that is misspelt", "forge,", "forgd,"),
    ("a month that does not exist", "2023-01", "2023-13"),
    ("a fact of one day", "2023-01", "2023-01-15"),
    ("a unit that does not convert", "1200.5,t", "1200.5,m3"),
    ("money of another country", "万元", "USD"),
    ("the same fact twice", "forge,2023,output:ring", "acme,2023,purchased:raw_coal"),
    ("a year and one of its months", "forge,2023,output:ring", "acme,2023-05,purchased:raw_coal"),
];

#[test]
fn declared_facts_that_are_wrong() {
    let plant = Plant::read(&SourceFile::new("plant.toml", PLANT)).unwrap();
    let mut told = Told::new("facts");
    told.spoil(GOOD, WAYS, |text| {
        let read = Facts::read(&plant, &[SourceFile::new("facts.csv", text)]);
        read.map_or_else(|problems| problems, |_| Problems::default())
    });
    told.finish();
}
