//! Coefficients as people type them, through `nengliu kpi` and `explain`: of a month, of a batch, computed from a heat value,
//! or refused with the key that is wrong.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tests::ours::figures::{Figures, row};
use tests::programs::workspace_root;

const HEAD: &str = r#"
[plant]
name = "T"
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
facts = ["facts.csv"]
[[energy_kind]]
id = "raw_coal"
name = "原煤"
unit = "t"
"#;

struct Site {
    _folder: TempDir,
    plant: PathBuf,
}

impl Site {
    fn new(rows: &str, facts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plant = folder.path().join("plant.toml");
        fs::write(&plant, format!("{HEAD}{rows}")).unwrap();
        fs::write(folder.path().join("facts.csv"), facts).unwrap();
        Self { _folder: folder, plant }
    }

    fn figures(&self) -> Figures<'_> {
        Figures { plant: &self.plant, lake: None }
    }
}

fn coal(keys: &str) -> String {
    format!(
        "[[coefficient]]\nenergy_kind = \"raw_coal\"\nrole = \"equivalent\"\nunit = \"kg\"\nnotice = \"化验单\"\nevidence = \"measured\"\n{keys}\n"
    )
}

fn certificates(months: std::ops::RangeInclusive<u8>) -> String {
    let days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut rows = String::new();
    for month in months {
        let last = days[usize::from(month) - 1];
        rows += &coal(&format!(
            "value = 0.{}\nvalid_from = 2023-{month:02}-01\nvalid_to = 2023-{month:02}-{last}",
            60 + month
        ));
    }
    rows
}

fn each_month() -> String {
    let mut facts = "subject,period,measure,value,unit\n".to_owned();
    for month in 1..=12 {
        writeln!(facts, "acme,2023-{month:02},purchased:raw_coal,100,t").unwrap();
    }
    facts
}

/// Trial fig-01: 857.16 tce by the shipped value, without a word.
#[test]
fn coal_with_a_certificate_each_month() {
    let site = Site::new(&certificates(1..=12), &each_month());
    let table = site.figures().table1("2023", "equivalent").unwrap();
    assert_eq!(table["totals"]["equivalent"]["value"], "798");
    let used = &row(&table, "raw_coal").unwrap()["converted"]["equivalent"]["coefficient"];
    assert_eq!(
        (used["rule"].as_str(), used["kgce_per_unit"].as_str()),
        (Some("mean"), Some("0.665"))
    );
    assert_eq!(used["parts"].as_array().map(Vec::len), Some(12));
    let ran = site.figures().run(&["explain", "table1/2023/raw_coal/equivalent"]).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.output.contains("    0.65 kgce/kg × 100 t of 2023-05 (GB/T 2589 2020 · 化验单"),
        "{}",
        ran.output
    );
    let may = site.figures().table1("2023-05", "equivalent").unwrap();
    assert_eq!(may["totals"]["equivalent"]["value"], "65");
}

#[test]
fn a_month_without_a_certificate_is_named_and_the_total_is_unknown() {
    let site = Site::new(&(certificates(1..=4) + &certificates(6..=12)), &each_month());
    let ran = site.figures().kpi("table1", "2023", "equivalent").unwrap();
    assert_eq!(ran.code, Some(9), "{ran:?}");
    let table: Value = serde_json::from_str(&ran.output).unwrap();
    assert_eq!(table["totals"]["equivalent"]["value"], Value::Null);
    for part in [
        "no row of the plant file fits 2023-05",
        "the printed value is not taken instead",
        "valid_from = 2023-05-01\n",
        "value = 0.7143, notice = \"GB/T 2589-2020 Annex A\"",
    ] {
        assert!(ran.errors.contains(part), "no `{part}` in:\n{}", ran.errors);
    }
}

#[test]
fn rows_that_fit_nothing_are_refused() {
    let refused = |rows: &str, parts: &[&str]| {
        let ran =
            Site::new(rows, &each_month()).figures().kpi("table1", "2023", "equivalent").unwrap();
        assert_eq!(ran.code, Some(3), "{ran:?}");
        for part in parts {
            assert!(ran.errors.contains(part), "no `{part}` in:\n{}", ran.errors);
        }
    };
    refused(
        &coal("value = 0.61\nregion = \"Zhejiang\""),
        &["EN-C105", "`region`: the region of the plant is `CN`"],
    );
    refused(
        &coal("value = 0.61\nedition = \"2008\""),
        &["EN-C105", "`edition`: energy kind `raw_coal`"],
    );
    refused(&coal("value = 6.1"), &["EN-C105", "`0.61` would fit: `6.1` is 10 times that"]);
    let heat = coal("heat_value = 20.93\nheat_unit = \"kJ/kg\"");
    refused(&heat, &["÷ 29307.6 kJ/kgce", "`20.93` would fit in MJ/kg"]);
    let steam = "[[energy_kind]]\nid = \"steam\"\nunit = \"t\"\nsteam_rule = \"enthalpy\"\nsteam_kj_per_kg = 661.2\n";
    refused(
        steam,
        &["steam holds 2500 to 3600 kJ/kg", "`661.2` looks like kcal/kg, which is 2768.31 kJ/kg"],
    );
}

#[test]
fn a_measured_heat_value_is_shown_with_the_constant_that_divides_it() {
    let site = Site::new(&coal("heat_value = 20.93\nheat_unit = \"MJ/kg\""), &each_month());
    let table = site.figures().table1("2023", "equivalent").unwrap();
    assert_eq!(table["totals"]["equivalent"]["value"], "856.9790770992");
    let used = &row(&table, "raw_coal").unwrap()["converted"]["equivalent"]["coefficient"];
    assert_eq!(used["heat"]["kj_per_kgce"], "29307.6");
    let ran = site.figures().run(&["explain", "table1/2023/raw_coal/equivalent"]).unwrap();
    assert!(ran.output.contains("· 20.93 MJ/kg ÷ 29307.6 kJ/kgce ·"), "{}", ran.output);
}

/// Trial fig-12.
#[test]
fn unit_product_energy_by_equal_value_names_its_coefficient() {
    let plant = workspace_root().join("examples/unit-product/plant.toml");
    let figures = Figures { plant: &plant, lake: None };
    let said = "3 tce/万kWh, data year 2023, 示例, illustrative: not for a report";
    for format in ["text", "csv", "json"] {
        let ran = figures
            .run(&[
                "kpi",
                "unit-product",
                "--period",
                "2023",
                "--basis",
                "both",
                "--format",
                format,
            ])
            .unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.output.contains(said), "{format}:\n{}", ran.output);
    }
    let ran = figures.kpi("unit-product", "2023", "equivalent").unwrap();
    assert!(!ran.output.contains("illustrative"), "{}", ran.output);
    let ran = figures.kpi("intensity", "2023", "equal-value").unwrap();
    assert!(ran.output.contains(said), "{}", ran.output);
}
