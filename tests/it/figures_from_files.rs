//! The figures of the worked examples from files, through `nengliu kpi`. Must never use a lake: all is declared.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tests::ours::figures::{Figures, row};
use tests::peers::python;
use tests::programs::workspace_root;

fn example(name: &str) -> (PathBuf, Value) {
    let folder = workspace_root().join("examples").join(name);
    let expected = fs::read_to_string(folder.join("expected.json")).unwrap();
    (folder.join("plant.toml"), serde_json::from_str(&expected).unwrap())
}

/// A decimal without trailing zeros, as figures are written.
fn same_number(found: &Value, expected: &Value) {
    let plain = |value: &Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("no number: {value}")).to_owned();
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    };
    assert_eq!(plain(found), plain(expected));
}

/// Table 1 of an example, every figure that its `expected.json` states.
fn check_table1(name: &str) {
    let (plant, expected) = example(name);
    let basis = expected["basis"].as_str().unwrap();
    let period = expected["period"].as_str().unwrap();
    let table =
        Figures { plant: &plant, lake: None }.table1(period, &basis.replace('_', "-")).unwrap();
    for wanted in expected["rows"].as_array().unwrap() {
        let kind = wanted["kind"].as_str().unwrap();
        let tce = &row(&table, kind).unwrap()["converted"][basis]["tce"];
        same_number(&tce["value"], &wanted["tce"]);
        assert_eq!(tce["basis"], basis);
        assert!(tce["coefficient_set"].as_str().is_some_and(|set| !set.is_empty()), "{tce:#}");
    }
    same_number(&table["totals"][basis]["value"], &expected["total"]);
    for (figure, wanted) in [
        ("output_value_intensity", &expected["output_value_intensity"]),
        ("value_added_intensity", &expected["value_added_intensity"]),
    ] {
        same_number(&table[figure][basis]["value"]["value"], wanted);
    }
}

#[test]
fn c1_a1_table_1_in_calorific_value_by_the_edition_of_2008() {
    check_table1("table1-c1-a1");
}

#[test]
fn c1_a2_table_1_in_equal_value_by_the_edition_of_2008() {
    check_table1("table1-c1-a2");
}

#[test]
fn c1_b1_table_1_in_calorific_value_by_the_edition_of_2020() {
    check_table1("table1-c1-b1");
}

#[test]
fn c1_b2_table_1_in_equal_value_by_the_edition_of_2020() {
    check_table1("table1-c1-b2");
}

#[test]
fn c1_b3_table_1_with_superheated_steam() {
    check_table1("table1-c1-b3");
}

#[test]
fn c1_c_table_1_of_the_c_vector() {
    check_table1("table1-c1-c");
}

/// Water of C1 C is in the example as the vector has it; its row alone is what differs.
#[test]
fn a_missing_equal_value_coefficient_is_named_and_the_rest_is_printed() {
    let (plant, expected) = example("table1-c1-a1");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.kpi("table1", "2023", "both").unwrap();
    assert_eq!(ran.code, Some(9), "{ran:?}");
    let table: Value = serde_json::from_str(&ran.output).unwrap();
    same_number(&table["totals"]["equivalent"]["value"], &expected["total"]);
    assert_eq!(table["totals"]["equal_value"]["value"], Value::Null);
    let missing = table["missing_coefficients"].as_array().unwrap();
    assert!(!missing.is_empty());
    // The whole key, and what to add to the plant file.
    for word in ["electricity", "equal_value", "GB/T 2589", "2008", "[[coefficient]]"] {
        assert!(ran.errors.contains(word), "`{word}` is not in:\n{}", ran.errors);
    }
    // As text it is the same: the figures that are there, then what is missing.
    let text = figures.run(&["kpi", "table1", "--period", "2023"]).unwrap();
    assert_eq!(text.code, Some(9));
    assert!(text.output.contains("3042.1564"), "{}", text.output);
}

#[test]
fn c5_unit_product_energy_with_a_shared_compressor() {
    let (plant, expected) = example("unit-product");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.kpi("unit-product", expected["period"].as_str().unwrap(), "both").unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let found: Value = serde_json::from_str(&ran.output).unwrap();
    let bases = ["equivalent", "equal_value"];
    for wanted in expected["lines"].as_array().unwrap() {
        let line = by(&found["lines"], "line", &wanted["line"]);
        for basis in bases {
            same_number(&line["tce"][basis]["value"], &wanted["tce"][basis]);
            if let Some(per_product) = wanted.get("per_product") {
                let ratio = &line["product"]["energy_per_product"][basis]["value"];
                same_number(&ratio["value"], &per_product[basis]);
            }
        }
        for physical in wanted["physical"].as_array().into_iter().flatten() {
            let kind = by(&line["kinds"], "kind", &physical["kind"]);
            same_number(&kind["per_product"]["value"]["value"], &physical["per_product"]);
            assert_eq!(kind["per_product"]["unit"], physical["unit"]);
        }
    }
    for basis in bases {
        same_number(&found["undistributed"][basis]["value"], &expected["undistributed"][basis]);
        same_number(&found["totals"][basis]["value"], &expected["total"][basis]);
    }
}

fn by<'a>(list: &'a Value, key: &str, wanted: &Value) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|entry| entry[key] == *wanted);
    found.unwrap_or_else(|| panic!("no `{key}` {wanted} in {list:#}"))
}

/// The energy per 10k yuan of an example, in all four forms.
#[test]
fn intensity_is_the_same_as_text_json_csv_and_workbook() {
    let (plant, expected) = example("table1-c1-b2");
    let figures = Figures { plant: &plant, lake: None };
    let whole = |arguments: &[&str]| {
        let arguments = [&["kpi", "intensity", "--period", "2023"], arguments].concat();
        let ran = figures.run(&arguments).unwrap();
        assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
        ran.output
    };
    let json: Value = serde_json::from_str(&whole(&["--format", "json"])).unwrap();
    assert_eq!(json["schema"], "nengliu.kpi.v1");
    let per_output = &json["output_value_intensity"]["equal_value"]["value"]["value"];
    same_number(per_output, &expected["output_value_intensity"]);
    let value = per_output.as_str().unwrap();

    let text = whole(&[]);
    let line = text.lines().find(|line| line.starts_with("万元产值综合能耗 (等价值")).unwrap();
    assert!(line.contains(value) && line.contains("100.0 %"), "{line}");

    let csv = whole(&["--format", "csv"]);
    let csv = csv.strip_prefix('\u{feff}').expect("Excel takes it for GBK without this mark");
    let line = csv.lines().find(|line| line.starts_with("万元产值综合能耗 (等价值")).unwrap();
    let cells: Vec<&str> = line.split(',').collect();
    assert_eq!(cells[1..4], [value, "tce/万元", "100.0 %"]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("intensity.xlsx");
    assert_eq!(whole(&["--format", "xlsx", "--output", path.to_str().unwrap()]), "");
    let cells = python::json(python::script("read_workbook.py").unwrap().arg(&path)).unwrap();
    let at = cells_by_first_column(&cells, "万元产值综合能耗 (等价值");
    let number: f64 = value.parse().unwrap();
    assert_eq!(cells[format!("B{at}")]["value"], number);
    let coverage = &cells[format!("D{at}")];
    assert_eq!((&coverage["value"], &coverage["format"]), (&100.0.into(), &"General\" %\"".into()));
}

/// The first row of a sheet whose first cell begins so.
fn cells_by_first_column(cells: &Value, begin: &str) -> u32 {
    let rows = cells.as_object().unwrap().iter().filter_map(|(at, cell)| {
        let begins = cell["value"].as_str().is_some_and(|text| text.starts_with(begin));
        at.strip_prefix('A').filter(|_| begins)?.parse().ok()
    });
    rows.min().unwrap_or_else(|| panic!("no row `{begin}` in {cells:#}"))
}

#[test]
fn coefficients_are_numbers_in_the_workbook_of_table_1() {
    let (plant, _) = example("table1-c1-b2");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table1.xlsx");
    let arguments = ["kpi", "table1", "--period", "2023", "--format", "xlsx", "--output"];
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.run(&[&arguments[..], &[path.to_str().unwrap()]].concat()).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let cells = python::json(python::script("read_workbook.py").unwrap().arg(&path)).unwrap();
    let at = cells_by_first_column(&cells, "电力");
    let cell = |column: &str| &cells[format!("{column}{at}")];
    assert_eq!((&cell("F")["value"], &cell("H")["value"]), (&0.1229.into(), &3000.0.into()));
    assert_eq!(cell("H")["format"], "General\" kgce/万kWh\"");
    assert!(cell("J")["value"].as_str().unwrap().contains("illustrative coefficient"));
}

/// Six months of coal and the output of a year: a figure, marked as what it is in every form.
#[test]
fn an_intensity_of_half_a_year_of_energy_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let plant = folder.path().join("plant.toml");
    let text = "[plant]\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\n\
                rule_set = \"GB/T 2589\"\nedition = \"2020\"\nfacts = [\"facts.csv\"]\n\
                [[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n";
    fs::write(&plant, text).unwrap();
    let months = (1..=6).map(|month| format!("acme,2023-{month:02},purchased:raw_coal,100,t\n"));
    let facts = format!(
        "subject,period,measure,value,unit\n{}acme,2023,gross_output_value,18500,万元\n",
        months.collect::<Vec<_>>().concat()
    );
    fs::write(folder.path().join("facts.csv"), facts).unwrap();
    let figures = Figures { plant: &plant, lake: None };
    for table in ["intensity", "table1"] {
        for format in ["text", "csv"] {
            let arguments = ["kpi", table, "--period", "2023", "--format", format];
            let ran = figures.run(&arguments).unwrap();
            let mut lines = ran.output.lines();
            let line = lines.find(|line| line.starts_with("万元产值") && line.contains("50.0 %"));
            let line = line.unwrap_or_else(|| panic!("{ran:?}"));
            assert!(line.contains("missing"), "{line}");
        }
    }
}

#[test]
fn explain_puts_the_numbers_into_the_formula() {
    let (plant, expected) = example("table1-c1-a1");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.run(&["explain", "table1/2023/electricity/equivalent"]).unwrap();
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
    let electricity = expected["rows"].as_array().unwrap();
    let electricity = by_kind(electricity, "electricity")["tce"].as_str().unwrap();
    for words in [
        format!("table1/2023/electricity/equivalent = {electricity} tce"),
        format!("× 0.1229 kgce/kWh ÷ 1000 = {electricity} tce"),
        "GB/T 2589 2008 · ".to_owned(),
        "evidence ".to_owned(),
        "declared     purchased:electricity 2023 = 850 万kWh (".to_owned(),
    ] {
        assert!(ran.output.contains(&words), "no `{words}` in:\n{}", ran.output);
    }
}

fn by_kind<'a>(rows: &'a [Value], kind: &str) -> &'a Value {
    rows.iter().find(|row| row["kind"] == kind).unwrap()
}

#[test]
fn explain_names_the_coefficient_that_is_missing_and_what_to_add() {
    let (plant, _) = example("table1-c1-a1");
    let figures = Figures { plant: &plant, lake: None };
    let ran = figures.run(&["explain", "table1/2023/electricity/equal_value"]).unwrap();
    assert_eq!(ran.code, Some(9), "{ran:?}");
    for word in ["EN-K002", "energy kind `electricity`, role `equal_value`", "[[coefficient]]"] {
        assert!(ran.errors.contains(word), "no `{word}` in:\n{}", ran.errors);
    }
    assert!(!ran.errors.contains("steam"), "this figure needs none of steam:\n{}", ran.errors);
    let json = figures.run(&["explain", "table1/2023/total/equal_value", "--json"]).unwrap();
    assert_eq!(json.code, Some(9));
    let json: Value = serde_json::from_str(&json.output).unwrap();
    let missing = json["missing_coefficients"].as_array().unwrap();
    assert!(missing.iter().any(|one| one["key"]["energy_kind"] == "electricity"), "{missing:#?}");
}
