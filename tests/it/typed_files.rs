//! Files as people type and save them, through `nengliu kpi`: understood, or refused with the place and what to do.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tests::ours::figures::Figures;
use tests::ours::{Ran, run};

const PLANT: &str = r#"
[plant]
name = "T"
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
facts = ["facts.csv"]
[[energy_kind]]
id = "electricity"
name = "电力"
unit = "万kWh"
"#;

struct Typed {
    _folder: TempDir,
    plant: PathBuf,
}

impl Typed {
    fn new(facts: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plant = folder.path().join("plant.toml");
        fs::write(&plant, PLANT).unwrap();
        fs::write(folder.path().join("facts.csv"), facts).unwrap();
        Self { _folder: folder, plant }
    }

    fn kpi(&self, period: &str) -> Ran {
        let figures = Figures { plant: &self.plant, lake: None };
        figures.kpi("table1", period, "equivalent").unwrap()
    }

    fn table(&self, period: &str) -> Value {
        let ran = self.kpi(period);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.output).unwrap()
    }
}

fn refused(facts: impl AsRef<[u8]>, expected: &[&str]) {
    let ran = Typed::new(facts).kpi("2023");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for part in expected {
        assert!(ran.errors.contains(part), "expected `{part}`, told {}", ran.errors);
    }
}

const ROWS: &str = "subject,period,measure,value,unit,note\n\
                    acme,2023,purchased:electricity,500,万kWh,合同一\n\
                    acme,2023,exported:electricity,30,万kWh,转供\n";

/// Trial fig-06: 614.5 tce, as the row below the open quote was lost in it.
#[test]
fn an_open_quote_swallows_no_rows() {
    let total = |facts: &str| {
        Typed::new(facts).table("2023")["totals"]["equivalent"]["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(total(ROWS), "577.63");
    assert_eq!(total(&ROWS.replace("合同一", "\"合同一\"")), "577.63");
    refused(ROWS.replace("合同一", "\"合同一"), &["EN-C301", "never closed", "facts.csv:2:44"]);
    // Relatives: a line break in a field, and the quote in the header.
    refused(
        ROWS.replace("合同一", "\"合同\n一\""),
        &["goes on in the next line", "facts.csv:2:44"],
    );
    refused(ROWS.replace(",note", ",\"note"), &["never closed", "facts.csv:1:35"]);
}

/// Trial fig-13, as it is and with the columns that say the same.
#[test]
fn a_forecast_and_a_price_base_are_marked() {
    let trial = "subject,period,measure,value,unit,note\n\
                 acme,2022,purchased:electricity,850,万kWh,\n\
                 acme,2022,gross_output_value,18500,万元,2020年不变价\n\
                 acme,2023,purchased:electricity,850,万kWh,\n\
                 acme,2023,gross_output_value,25000,万元,当年价\n\
                 acme,2027,purchased:electricity,900,万kWh,预计\n\
                 acme,2027,gross_output_value,30000,万元,预计\n";
    let columns = trial
        .replace("note\n", "价格基准,状态\n")
        .replace("万kWh,\n", "万kWh,,\n")
        .replace("价\n", "价,\n")
        .replace("预计\n", ",预计\n");
    for facts in [trial, &columns] {
        let files = Typed::new(facts);
        for (period, value, class, base) in [
            ("2022", "0.056468", "declared", Some("2020")),
            ("2023", "0.041786", "declared", Some("current")),
            ("2027", "0.036870", "assumed", None),
        ] {
            let table = files.table(period);
            let figure = &table["output_value_intensity"]["equivalent"];
            assert_eq!(figure["value"]["value"], value);
            assert_eq!(figure["class"], class, "{figure:#}");
            assert_eq!(figure["price_base"].as_str(), base, "{figure:#}");
            let total = &table["totals"]["equivalent"];
            assert_eq!(total["class"], class, "{total:#}");
        }
    }
    let told = Typed::new(trial).kpi("2027").errors;
    assert!(told.contains("write `forecast` in the column `status`"), "{told}");
    let told = Typed::new(columns).kpi("2027").errors;
    assert!(!told.contains("EN-C308"), "{told}");
}

#[test]
fn files_in_another_encoding_or_with_another_separator_are_told_how_to_save() {
    let utf16: Vec<u8> =
        "\u{feff}subject\tperiod\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(utf16, &["EN-C001", "UTF-16", "CSV UTF-8", "Unicode Text"]);
    refused(b"subject,period\n\xb5\xe7\xc1\xa6,2023\n", &["probably GBK", "line 2", "CSV UTF-8"]);
    refused(b"PK\x03\x04", &["an Excel workbook (.xlsx)", "CSV UTF-8"]);
    refused(ROWS.replace(',', ";"), &["separated by `;`", "list separator"]);
    refused(ROWS.replace(",note", ",value"), &["column `value` is there twice", "facts.csv:1:35"]);
}

#[test]
fn a_value_of_another_size_is_marked_beside_each_figure() {
    let facts = "对象,期间,指标,数值,单位\nacme,2022,外购:电力,850,万千瓦时\nacme,2023,外购:电力,8600000,万千瓦时\n";
    let table = Typed::new(facts).table("2023");
    let note = "8600000 万千瓦时 declared for 2023 is about 10000 times the 850 万千瓦时 of 2022: check value and unit";
    for figure in [&table["rows"][0]["quantity"], &table["totals"]["equivalent"]] {
        assert!(figure["notes"].as_array().unwrap().contains(&note.into()), "{figure:#}");
    }
}

/// First use, O9: how to begin with figures. The files of either language give a Table 1 at once, and are never written over.
#[test]
fn init_writes_files_that_give_a_table_1() {
    for (language, created) in [("en", "next: nengliu kpi"), ("zh", "下一步：nengliu kpi")] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("my-plant");
        let arguments = ["init", place.to_str().unwrap(), "--lang", language];
        let ran = run("nengliu", arguments).unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.output.contains(created), "{ran:?}");
        let plant = place.join("plant.toml");
        let figures = Figures { plant: &plant, lake: None };
        let ran = figures.kpi("table1", "2025", "both").unwrap();
        assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""), "{ran:?}");
        let table: Value = serde_json::from_str(&ran.output).unwrap();
        assert_eq!(table["totals"]["equivalent"]["value"], "4211.545");
        let again = run("nengliu", arguments).unwrap();
        assert_eq!(again.code, Some(3), "{again:?}");
        assert!(again.errors.contains("EN-A007"), "{again:?}");
    }
}
