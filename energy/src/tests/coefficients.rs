//! Site coefficients in whole plant files: what their size, role and key may be.

use super::*;

pub(super) const HEAD: &str = "[plant]\nenterprise = \"acme\"\ntime_zone = \"Asia/Shanghai\"\nrule_set = \"GB/T 2589\"\nedition = \"2020\"\n";

pub(super) fn kind(id: &str, unit: &str, more: &str) -> String {
    format!("[[energy_kind]]\nid = \"{id}\"\nunit = \"{unit}\"\n{more}")
}

/// A row of the site; `keys` are the rest of it.
pub(super) fn row(energy_kind: &str, role: &str, keys: &str) -> String {
    format!(
        "[[coefficient]]\nenergy_kind = \"{energy_kind}\"\nrole = \"{role}\"\nnotice = \"n\"\nevidence = \"measured\"\n{keys}\n"
    )
}

/// The problems of a plant file, warnings too; empty when there is none.
pub(super) fn problems(plant: &str) -> String {
    match Plant::read(&SourceFile::new("plant.toml", plant)) {
        Ok(plant) => plant.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

#[track_caller]
pub(super) fn refused(plant: &str, parts: &[&str]) {
    let found = problems(plant);
    for part in parts {
        assert!(found.contains(part), "expected `{part}`, found:\n{found}");
    }
    assert_eq!(found.matches("EN-C").count(), 1, "one problem, found:\n{found}");
}

const DATED: &str = "region = \"CN\"\ndata_year = 2022\n";

/// Trial fig-08.
#[test]
fn the_calorific_value_of_electricity_and_heat_is_fixed_by_physics() {
    let electricity = |keys: &str| {
        let row = row("electricity", "equivalent", keys);
        format!("{HEAD}{}{row}", kind("electricity", "万kWh", ""))
    };
    refused(
        &electricity("value = 1.229\nunit = \"kWh\""),
        &[
            "the calorific value (当量值) of electricity is fixed by physics, 0.1229 kgce/kWh; found `1.229`",
            "`1.229` would fit in tce per 万kWh",
            "`0.1229` would fit: `1.229` is 10 times that",
        ],
    );
    refused(&electricity("value = 0.3\nunit = \"kWh\""), &["`0.3` would fit as `equal_value`"]);
    // Cut off, not rounded; and rounded to two digits, which is 2.4 % off.
    for value in ["0.122", "0.12", "0.125"] {
        refused(&electricity(&format!("value = {value}\nunit = \"kWh\"")), &["0.1229 kgce/kWh"]);
    }
    for right in [
        "value = 0.1229\nunit = \"kWh\"",
        "value = 0.1230\nunit = \"kWh\"",
        "value = 0.123\nunit = \"kWh\"",
        "value = 1.229\nvalue_unit = \"tce\"\nunit = \"万kWh\"",
        "value = 0.086\nvalue_unit = \"kgoe\"\nunit = \"kWh\"",
    ] {
        assert_eq!(problems(&electricity(right)), "", "{right}");
    }
    let heat = |keys: &str| {
        let row = row("heat", "equivalent", keys);
        format!("{HEAD}{}{row}", kind("heat", "GJ", ""))
    };
    refused(&heat("value = 0.03412\nunit = \"GJ\""), &["34.12 kgce/GJ", "`0.03412` would fit"]);
    refused(&heat("value = 3.412\nunit = \"GJ\""), &["`34.12` would fit: `3.412` is a tenth of"]);
    for right in ["value = 0.0341\nunit = \"MJ\"", "value = 34.16\nunit = \"GJ\""] {
        assert_eq!(problems(&heat(right)), "", "{right}");
    }
}

/// Trial fig-08 and relatives.
#[test]
fn an_equal_value_is_never_below_what_is_contained() {
    let electricity = |keys: &str| {
        let row = row("electricity", "equal_value", &format!("{DATED}{keys}"));
        format!("{HEAD}{}{row}", kind("electricity", "万kWh", ""))
    };
    refused(
        &electricity("value = 0.1229\nunit = \"kWh\""),
        &["electricity is 0.18 to 0.8 kgce/kWh", "`0.1229` would fit as `equivalent`"],
    );
    refused(&electricity("value = 300\nunit = \"kWh\""), &["`0.3` would fit: `300` is 1000 times"]);
    assert_eq!(problems(&electricity("value = 0.300\nunit = \"kWh\"")), "");
    // Steam of 2768.3 kJ/kg holds 94.454 kgce/t.
    let steam = "steam_rule = \"enthalpy\"\nsteam_kj_per_kg = 2768.3\n";
    let steam = |value: &str| {
        let row = row("steam", "equal_value", &format!("value = {value}\nunit = \"t\""));
        format!("{HEAD}{}{row}", kind("steam", "t", steam))
    };
    refused(
        &steam("91"),
        &["91 kgce/t as `equal_value` is less than the unit contains, 94.454396"],
    );
    for right in ["94.454396", "94.45", "108.57"] {
        assert_eq!(problems(&steam(right)), "", "{right}");
    }
    // Coke: 0.9714 is contained.
    let coke = |value: &str| {
        let row = row("coke", "equal_value", &format!("value = {value}\nunit = \"kg\""));
        format!("{HEAD}{}{row}", kind("coke", "t", ""))
    };
    refused(&coke("0.9"), &["less than the unit contains, 0.9714 kgce/kg"]);
    assert_eq!(problems(&coke("1.1")), "");
}

#[test]
fn a_fuel_is_compared_with_its_kind_in_its_role() {
    let coal = |keys: &str| {
        format!("{HEAD}{}{}", kind("raw_coal", "t", ""), row("raw_coal", "equivalent", keys))
    };
    refused(&coal("value = 6.1\nunit = \"kg\""), &["`0.61` would fit: `6.1` is 10 times that"]);
    refused(
        &coal("value = 714.3\nunit = \"kg\""),
        &["`714.3` would fit in kgce per t: write `value_unit = \"kgce\"` and `unit = \"t\"`"],
    );
    refused(&coal("value = 0.0007143\nunit = \"kg\""), &["would fit in tce per kg"]);
    for right in ["value = 0.35\nunit = \"kg\"", "value = 0.95\nunit = \"kg\""] {
        assert_eq!(problems(&coal(right)), "", "{right}");
    }
    // Of a kind that no table has, physics is all that is known.
    let straw = |value: &str| {
        let keys = format!("value = {value}\nunit = \"kg\"");
        format!("{HEAD}{}{}", kind("straw", "t", ""), row("straw", "equivalent", &keys))
    };
    assert_eq!(problems(&straw("0.5")), "");
    refused(&straw("500"), &["as `equivalent`, straw is 0.02 to 4.5 kgce/kg", "kgce per t"]);
    // Gas by its heat, gross as it is billed.
    let gas = |value: &str| {
        let keys = format!("value = {value}\nunit = \"GJ\"");
        format!(
            "{HEAD}{}{}",
            kind("natural_gas", "GJ", ""),
            row("natural_gas", "equivalent", &keys)
        )
    };
    // The shipped row is per m3, and a kind counts in one unit alone.
    assert!(
        problems(&gas("30.8")).contains("does not convert exactly"),
        "{}",
        problems(&gas("30.8"))
    );
}

/// 20.93 MJ/kg is 0.714149 by the 29 307.6 of GB/T 2589-2020, and 0.715037 by the 29 271.2 of its heat column of 2008.
#[test]
fn a_coefficient_is_computed_from_a_measured_heat_value() {
    let coal = |edition: &str, keys: &str| {
        let head = HEAD.replace("2020", edition);
        format!("{head}{}{}", kind("raw_coal", "t", ""), row("raw_coal", "equivalent", keys))
    };
    let tce = |edition: &str, keys: &str| {
        let scenario = declared(&coal(edition, keys), "acme,2023,purchased:raw_coal,1000,t,,\n");
        number(total(&scenario, "2023").totals.equivalent.as_ref().unwrap())
    };
    let certificate = "heat_value = 20.93\nheat_unit = \"MJ/kg\"\nunit = \"kg\"";
    assert_eq!(tce("2020", certificate), "714.149230916");
    assert_eq!(tce("2008", certificate), "715.037306294");
    assert_eq!(
        tce("2020", "heat_value = 20930\nheat_unit = \"kJ/kg\"\nunit = \"t\""),
        "714.149230916213"
    );
    // 29.3 MJ by the platform standard.
    let platform = kind("raw_coal", "t", "rule_set = \"T/ZJREA\"\nedition = \"draft\"\n");
    let of_platform = format!("rule_set = \"T/ZJREA\"\nedition = \"draft\"\n{certificate}");
    let plant = format!("{HEAD}{platform}{}", row("raw_coal", "equivalent", &of_platform));
    let table = total(&declared(&plant, "acme,2023,purchased:raw_coal,1000,t,,\n"), "2023");
    assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), "714.33447099");
    // A stated value counts, and is compared with the heat value.
    assert_eq!(tce("2020", &format!("value = 0.7140\n{certificate}")), "714");
    refused(&coal("2020", &format!("value = 0.61\n{certificate}")), &["does not fit `value` 0.61"]);
    let bad = |keys: &str, parts: &[&str]| refused(&coal("2020", keys), parts);
    bad(
        "heat_value = 20.93\nheat_unit = \"kJ/kg\"\nunit = \"kg\"",
        &["`20.93` would fit in MJ/kg"],
    );
    bad("heat_value = 209.3\nheat_unit = \"MJ/kg\"\nunit = \"kg\"", &["`20.93` would fit"]);
    bad(
        "heat_value = 5000\nheat_unit = \"kJ/kg\"\nunit = \"kg\"",
        &["`5000` would fit in kcal/kg"],
    );
    bad(
        "heat_value = 5000\nheat_unit = \"kcal/kg\"\nunit = \"kg\"",
        &["5000 kcal/kg × 4.1868 is `heat_value = 20934` with `heat_unit = \"kJ/kg\"`"],
    );
    bad("heat_value = 20.93\nunit = \"kg\"", &["`heat_value` without `heat_unit`"]);
    let unknown =
        coal("2020", certificate).replace("[[coefficient]]", "[[coefficient]]\nedition = \"2021\"");
    refused(
        &unknown,
        &["how many kJ are one kgce by rule set `GB/T 2589`, edition `2021`, is not known"],
    );
}

/// Trial fig-01: a row that no energy kind can use was dropped without a word.
#[test]
fn a_row_that_fits_no_energy_kind_names_the_key() {
    let kinds = kind("raw_coal", "t", "") + &kind("water", "t", "coefficient = \"fresh_water\"\n");
    let value = "value = 0.61\nunit = \"kg\"";
    let with = |row: &str| format!("{HEAD}{kinds}{row}");
    let check = |row: String, parts: &[&str]| refused(&with(&row), parts);
    check(
        row("raw_cola", "equivalent", value),
        &[
            "`energy_kind`: no energy kind of this plant is converted by `raw_cola`",
            "did you mean `raw_coal`?",
        ],
    );
    check(
        row("water", "medium", "value = 0.2\nunit = \"t\""),
        &[
            "energy kind `water` is converted by `fresh_water`: write `energy_kind = \"fresh_water\"`",
        ],
    );
    check(
        row("raw_coal", "equivalent", &format!("{value}\nedition = \"2008\"")),
        &[
            "`edition`: energy kind `raw_coal` is converted by `GB/T 2589`, edition `2020`; this row is of",
        ],
    );
    check(
        row("raw_coal", "equivalent", &format!("{value}\nrule_set = \"GBT 2589\"")),
        &["`rule_set`: energy kind `raw_coal`"],
    );
    check(
        row("raw_coal", "equivalent", &format!("{value}\nregion = \"Zhejiang\"")),
        &["`region`: the region of the plant is `CN`, found `Zhejiang`"],
    );
    check(row("raw_coal", "medium", value), &["`role`: `raw_coal` is looked for as `equivalent`"]);
    check(
        row("fresh_water", "equivalent", "value = 0.2\nunit = \"t\""),
        &["`role`: `fresh_water` is looked for as `medium`, found `equivalent`"],
    );
    check(
        row("raw_coal", "coal_rate_gross", value),
        &["`role`: a coal rate by itself converts nothing"],
    );
    check(
        row("raw_coal", "equivalent", &format!("{value}\ndata_year = 20230")),
        &["`data_year`: expected a year from 1900 to 2199, found `20230`"],
    );
    // The coefficient of heat belongs to steam by enthalpy; an equivalent row of the steam itself does not.
    let steam = kind("steam", "t", "steam_rule = \"enthalpy\"\nsteam_kj_per_kg = 2768.3\n");
    let heat = row("heat", "equivalent", "value = 34.12\nunit = \"GJ\"");
    assert_eq!(problems(&format!("{HEAD}{steam}{heat}")), "");
    let unused = row("steam", "equivalent", "value = 0.1\nunit = \"kg\"");
    refused(&format!("{HEAD}{steam}{unused}"), &["`steam` is converted by its enthalpy"]);
}
