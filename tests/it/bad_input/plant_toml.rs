//! Wrong plant files. Must never compute a figure.

use config::{Problems, SourceFile};
use energy::Plant;

use super::told::{Spoiled, Told};

const GOOD: &str = r#"
[plant]
name = "示例工厂"
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"

[[subject]]
id = "forge"
kind = "line"

[[subject]]
id = "compressor"
kind = "equipment"

[[energy_kind]]
id = "electricity"
unit = "kWh"

[[energy_kind]]
id = "water"
unit = "t"
coefficient = "fresh_water"
conversion = [{ from = "m3", to = "t", factor = 1 }]

[[energy_kind]]
id = "steam"
unit = "t"
steam_rule = "enthalpy"
steam_kj_per_kg = 2768.3

[[meter]]
id = "main"
point = "acme/nb-1/main/e_import"
energy_kind = "electricity"
role = "incoming"
unit = "kWh"
[[meter.ratio]]
ct = 80

[[meter]]
id = "forge-e"
point = "acme/nb-1/forge/e_import"
energy_kind = "electricity"
subject = "forge"
role = "sub"
unit = "kWh"
parent = "main"

[[meter]]
id = "forge-w"
point = "acme/nb-1/forge/water"
energy_kind = "water"
subject = "forge"
role = "sub"
unit = "m3"

[[product]]
id = "ring"
unit = "t"
line = "forge"

[[allocation]]
from = "compressor"
energy_kind = "electricity"
share = [{ to = "forge", weight = 60 }]

[[coefficient]]
energy_kind = "electricity"
role = "equal_value"
value = 0.300
unit = "kWh"
region = "CN"
data_year = 2022
coal_rate_kind = "gross"
notice = "示例"
evidence = "illustrative"
"#;

const NAMES: &[Spoiled] = &[
    ("no enterprise", "enterprise = \"acme\"\n", ""),
    ("a time zone that does not exist", "Asia/Shanghai", "China/Beijing"),
    ("a kind of subject that does not exist", "kind = \"line\"", "kind = \"workshop\""),
    ("a second enterprise", "kind = \"line\"", "kind = \"enterprise\""),
    ("a subject that is defined twice", "id = \"compressor\"", "id = \"forge\""),
    ("a subject that lies in itself", "kind = \"line\"", "kind = \"line\"\nparent = \"forge\""),
    ("a line in a line", "kind = \"equipment\"", "kind = \"line\"\nparent = \"forge\""),
    (
        "a subject that is misspelt",
        "subject = \"forge\"\nrole = \"sub\"\nunit = \"kWh\"",
        "subject = \"froge\"\nrole = \"sub\"\nunit = \"kWh\"",
    ),
    ("a subject that is not there", "line = \"forge\"", "line = \"melting\""),
    (
        "an energy kind that is not there",
        "energy_kind = \"electricity\"\nrole = \"incoming\"",
        "energy_kind = \"coal\"\nrole = \"incoming\"",
    ),
    ("an energy kind with a reserved name", "id = \"steam\"", "id = \"total\""),
    (
        "a rule set's edition that does not exist",
        "coefficient = \"fresh_water\"",
        "coefficient = \"fresh_water\"\nedition = \"2021\"",
    ),
    ("a parent meter that does not exist", "parent = \"main\"", "parent = \"mian\""),
    ("a parent of another energy", "unit = \"m3\"", "unit = \"m3\"\nparent = \"main\""),
    ("meters in a circle", "role = \"incoming\"", "role = \"incoming\"\nparent = \"forge-e\""),
    ("a meter that is defined twice", "id = \"forge-w\"", "id = \"forge-e\""),
    ("a point that two meters count", "acme/nb-1/forge/e_import", "acme/nb-1/main/e_import"),
    ("a point that is no point's name", "acme/nb-1/forge/water", "forge water"),
    ("a role that does not exist", "role = \"incoming\"", "role = \"main\""),
    ("energy that is allocated to where it is", "to = \"forge\"", "to = \"acme\""),
    ("an allocation without shares", "share = [{ to = \"forge\", weight = 60 }]\n", ""),
];

const NUMBERS: &[Spoiled] = &[
    (
        "a unit with other capitals",
        "role = \"incoming\"\nunit = \"kWh\"",
        "role = \"incoming\"\nunit = \"kwh\"",
    ),
    ("a unit that does not convert", "unit = \"m3\"", "unit = \"Nm3\""),
    (
        "a kind's unit that has no coefficient",
        "unit = \"t\"\ncoefficient",
        "unit = \"GJ\"\ncoefficient",
    ),
    ("a ratio of zero", "ct = 80", "ct = 0"),
    ("a ratio without a beginning", "ct = 80", "ct = 80\nfrom = 2024-03-10T10:00:00+08:00"),
    ("a weight below zero", "weight = 60", "weight = -60"),
    ("steam without its enthalpy", "steam_kj_per_kg = 2768.3\n", ""),
    ("a coefficient per 万kWh", "value = 0.300", "value = 3.00"),
    ("an equal value without its year", "data_year = 2022\n", ""),
    ("an equal value from a net coal rate", "\"gross\"", "\"net\""),
    (
        "a coefficient's role that does not exist",
        "role = \"equal_value\"",
        "role = \"equivalent_value\"",
    ),
    ("a coefficient without its document", "notice = \"示例\"\n", ""),
    (
        "a coefficient that ends before it begins",
        "data_year = 2022",
        "data_year = 2022\nvalid_from = 2022-06-01\nvalid_to = 2022-01-01",
    ),
    (
        "a day that does not exist",
        "data_year = 2022",
        "data_year = 2022\nvalid_from = \"2022-02-30\"",
    ),
];

fn read(text: &str) -> Problems {
    match Plant::read(&SourceFile::new("plant.toml", text)) {
        Ok(plant) => plant.warnings,
        Err(problems) => problems,
    }
}

#[test]
fn a_plant_file_whose_names_do_not_fit() {
    let mut told = Told::new("plant_names");
    told.spoil(GOOD, NAMES, read);
    told.finish();
}

#[test]
fn a_plant_file_whose_numbers_do_not_fit() {
    let mut told = Told::new("plant_numbers");
    told.spoil(GOOD, NUMBERS, read);
    told.finish();
}
