//! The figures of the worked examples from files, through `nengliu kpi`. Must never use a lake: all is declared.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tests::ours::figures::{Figures, row};
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
