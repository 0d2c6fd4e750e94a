//! What physics lets a plant file state: enthalpies and conversions.

use super::coefficients::{HEAD, kind, problems, refused};
use super::*;

fn steam(keys: &str) -> String {
    format!("{HEAD}{}", kind("steam", "t", &format!("steam_rule = \"enthalpy\"\n{keys}")))
}

/// Trial fig-09: 661.2 kcal/kg and 2.7683 MJ/kg were taken as kJ/kg.
#[test]
fn an_enthalpy_in_another_unit_is_named() {
    let check = |value: &str, help: &str| {
        let keys = format!("steam_kj_per_kg = {value}\n");
        refused(&steam(&keys), &["`steam_kj_per_kg`: steam holds 2500 to 3600 kJ/kg", help]);
    };
    check("661.2", "`661.2` looks like kcal/kg, which is 2768.31 kJ/kg");
    check("2.7683", "`2.7683` looks like MJ/kg, which is 2768.30 kJ/kg");
    check("926", "`926` looks like kWh/t, which is 3333.60 kJ/kg");
    check("94.454", "`94.454` looks like kgce/t");
    check("27683", "take it from a steam table");
    check("84.01", "take it from a steam table");
    for right in ["2500", "2768.3", "3333.47", "3600"] {
        assert_eq!(problems(&steam(&format!("steam_kj_per_kg = {right}\n"))), "");
    }
    let figure =
        declared(&steam("steam_kj_per_kg = 2768.31\n"), "acme,2023,purchased:steam,6000,t,,\n");
    assert_eq!(number(total(&figure, "2023").totals.equivalent.as_ref().unwrap()), "566.7284232");
}

#[test]
fn an_enthalpy_of_feed_water_has_bounds_too() {
    let with = |feed: &str| steam(&format!("steam_kj_per_kg = 2768.3\nfeed_kj_per_kg = {feed}\n"));
    for right in ["20", "84.01", "334.99", "436", "450"] {
        assert_eq!(problems(&with(right)), "", "{right}");
    }
    refused(&with("8.401"), &["feed water holds 20 to 1090 kJ/kg, found `8.401`"]);
    refused(&with("0.08401"), &["`0.08401` looks like MJ/kg, which is 84.01 kJ/kg"]);
    refused(&with("2768.3"), &["feed water holds 20 to 1090 kJ/kg"]);
    // Right for a power boiler: said, not refused.
    let warned = with("840.1");
    assert!(problems(&warned).contains("is feed water above 107 °C"), "{}", problems(&warned));
    assert!(Plant::read(&SourceFile::new("plant.toml", warned)).is_ok());
}

#[test]
fn a_conversion_that_is_no_density_is_refused() {
    let check = |coefficient: &str, unit: &str, stated: &str| {
        let keys = format!("coefficient = \"{coefficient}\"\nconversion = [{stated}]\n");
        let gas = super::coefficients::row(coefficient, "equivalent", "value = 1.3\nunit = \"m3\"");
        let gas = if coefficient == "natural_gas" { gas } else { String::new() };
        format!("{HEAD}{}{gas}", kind("k", unit, &keys))
    };
    let water = |factor: &str| {
        check("fresh_water", "m3", &format!("{{ from = \"m3\", to = \"t\", factor = {factor} }}"))
    };
    for right in ["1", "0.998", "0.958"] {
        assert_eq!(problems(&water(right)), "", "{right}");
    }
    refused(&water("10"), &["1 m3 as 10 t is no density of fresh_water, 910–1010 kg/m³"]);
    refused(&water("1000"), &["is no density of fresh_water"]);
    refused(&water("0.1"), &["is no density of fresh_water"]);
    let diesel = |from: &str, to: &str, factor: &str| {
        check("diesel", from, &format!("{{ from = \"{from}\", to = \"{to}\", factor = {factor} }}"))
    };
    assert_eq!(problems(&diesel("m3", "t", "0.84")), "");
    assert_eq!(problems(&diesel("t", "m3", "1.19")), "");
    refused(
        &diesel("t", "m3", "0.84"),
        &["the other way round it would fit: exchange `from` and `to`"],
    );
    let gas = |from: &str, to: &str, factor: &str| {
        check(
            "natural_gas",
            "Nm3",
            &format!("{{ from = \"{from}\", to = \"{to}\", factor = {factor} }}"),
        )
    };
    assert_eq!(problems(&gas("Nm3", "m3", "1.073")), "");
    let line = gas("Nm3", "m3", "0.2");
    assert!(
        problems(&line).contains("is more than the 7.3 % between 0 °C and 20 °C"),
        "{}",
        problems(&line)
    );
    let exact = water("1, },{ from = \"t\", to = \"kg\", factor = 100");
    refused(&exact, &["1 t is 1000 kg, whatever is measured; found `100`"]);
    // Gas that is billed by heat: 35.5 MJ a cubic metre.
    let billed = |factor: &str| {
        let keys = format!("conversion = [{{ from = \"m3\", to = \"MJ\", factor = {factor} }}]\n");
        format!(
            "{HEAD}{}{}",
            kind("natural_gas", "m3", &keys),
            super::coefficients::row("natural_gas", "equivalent", "value = 1.2143\nunit = \"m3\"")
        )
    };
    assert_eq!(problems(&billed("35.5")), "");
    refused(&billed("3550"), &["is far from the heat that natural_gas holds"]);
}

/// 1 m³ of water as 1 t did not let a fact in t through, and the help advised to state the conversion.
#[test]
fn a_stated_conversion_is_used_backwards_too() {
    let water = |factor: &str| {
        let keys = format!(
            "coefficient = \"fresh_water\"\nconversion = [{{ from = \"m3\", to = \"t\", factor = {factor} }}]\n"
        );
        format!("{HEAD}{}", kind("water", "m3", &keys))
    };
    let check = |factor: &str, value: &str, expected: &str| {
        let facts = format!("acme,2023,purchased:water,{value},,\n");
        let table = total(&declared(&water(factor), &facts), "2023");
        assert_eq!(number(&table.rows[0].quantity), expected);
    };
    check("1", "1000,t", "1000");
    check("1", "1000000,kg", "1000");
    check("1", "1000,m3", "1000");
    // 1 ÷ 0.998 has no end: it is asked for, and the conversion that is there is named.
    let plant = Plant::read(&SourceFile::new("plant.toml", water("0.998"))).unwrap();
    let text = "subject,period,measure,value,unit\nacme,2023,purchased:water,1000,t\n";
    let found = Facts::read(&plant, &[SourceFile::new("facts.csv", text)]).map(|_| ()).unwrap_err();
    let found = found.to_string();
    assert!(
        found.contains("the `conversion` of 1 m3 as 0.998 t cannot be turned round exactly"),
        "{found}"
    );
    assert!(
        found.contains("give it in `m3`, or add one with `from = \"t\", to = \"m3\"`"),
        "{found}"
    );
}
