//! Several products of one line, and output that cannot be.

use super::*;

fn plant(weights: [&str; 3]) -> String {
    let products: String = ["p", "q", "r"]
        .iter()
        .zip(weights)
        .map(|(id, weight)| {
            format!("[[product]]\nid = \"{id}\"\nunit = \"t\"\nline = \"line\"\n{weight}\n")
        })
        .collect::<Vec<_>>()
        .concat();
    METERED.split("[[meter]]").next().unwrap().to_owned()
        + "[[subject]]\nid = \"line\"\nkind = \"line\"\n"
        + &products
}

const WEIGHTS: [&str; 3] = ["weight = 1", "weight = 2", "weight = 0.5"];
const OUTPUTS: &str = "line,2023,qualified_output:p,2000,t,,\nline,2023,qualified_output:q,500,t,,\n\
                       line,2023,qualified_output:r,0,t,,\nline,2023,output:p,2100,t,,\n";
const ENERGY: &str =
    "acme,2023,purchased:electricity,1000000,kWh,,\nline,2023,consumed:electricity,900000,kWh,,\n";

fn found(weights: [&str; 3], facts: &str) -> UnitProduct {
    let scenario = declared(&plant(weights), facts);
    unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap()
}

fn parts(found: &UnitProduct) -> Vec<(String, String)> {
    let line = &found.lines[0];
    assert!(line.product.is_none());
    let part = |one: &unit_product::ProductPart| {
        let quotient = one.product.energy_per_product.equivalent.as_ref().unwrap();
        (number(one.energy.equivalent.as_ref().unwrap()), ratio(quotient))
    };
    line.products.iter().map(part).collect()
}

#[test]
fn the_energy_of_a_line_is_divided_among_its_products_by_weight_and_output() {
    let found = found(WEIGHTS, &format!("{ENERGY}{OUTPUTS}"));
    // 110.61 tce over 2000 × 1 + 500 × 2 + 0 × 0.5
    let text = |pairs: [(&str, &str); 2]| pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    assert_eq!(parts(&found)[..2], text([("73.74", "0.036870"), ("36.87", "0.073740")]));
    let kinds = &found.lines[0].products[1].kinds[0];
    assert_eq!((ratio(kinds).as_str(), kinds.unit.as_str()), ("600.000000", "kWh/t"));
    let explained = &found.explanations["unit-product/2023/line/product/q/energy/equivalent"];
    assert_eq!(explained.formula, "110.61 tce × 1000 ÷ 3000 = 36.87 tce");
    assert!(found.explanations.contains_key("unit-product/2023/line/product/q/equivalent"));
}

#[test]
fn products_sum_to_their_line_exactly() {
    for output in ["1", "7", "0.3", "333.333"] {
        let facts = format!("{ENERGY}{OUTPUTS}")
            .replace("qualified_output:r,0,", &format!("qualified_output:r,{output},"));
        let found = found(["weight = 3", "weight = 0.7", "weight = 11"], &facts);
        let sum: Number =
            parts(&found).iter().map(|(energy, _)| energy.parse::<Number>().unwrap()).sum();
        assert_eq!(Some(&sum), found.lines[0].tce.equivalent.as_ref().unwrap().exact());
    }
}

#[test]
fn products_without_weights_are_asked_for_them() {
    let check = |found: &UnitProduct, expected: &str| {
        for one in &found.lines[0].products {
            let figure = one.product.energy_per_product.equivalent.as_ref().unwrap();
            assert_eq!((&figure.value, figure.complete), (&None, false));
            let energy = one.energy.equivalent.as_ref().unwrap();
            assert!(energy.note().unwrap().contains(expected), "{:?}", energy.note());
        }
    };
    let all = format!("{ENERGY}{OUTPUTS}");
    check(&found(["weight = 1", "", ""], &all), "state `weight` in the `[[product]]` of `q`, `r`");
    // One of them was not made in that year, as far as anybody says.
    let without = all.replace("line,2023,qualified_output:r,0,t,,\n", "");
    check(&found(WEIGHTS, &without), "`qualified_output:r` is missing");
    // The only one that was made needs no weight.
    let one = all.replace("qualified_output:q,500,", "qualified_output:q,0,");
    let energy = &parts(&found(["", "", ""], &one))[0];
    assert_eq!(energy, &("110.61".to_owned(), "0.055305".to_owned()));
}

#[test]
fn more_good_output_than_output_is_named() {
    let facts = format!("{ENERGY}{OUTPUTS}").replace("output:p,2100,", "output:p,1900,");
    let found = found(WEIGHTS, &facts);
    let product = &found.lines[0].products[0].product;
    let expected = "qualified output, 2000 t, is more than output, 1900 t: check both";
    for figure in
        [&product.qualified_output, product.energy_per_product.equivalent.as_ref().unwrap()]
    {
        assert_eq!(figure.note().as_deref(), Some(expected));
    }
}

#[test]
fn more_added_value_than_output_value_is_named() {
    let facts = "acme,2023,purchased:electricity,1000,kWh,,\nacme,2023,gross_output_value,4200,万元,,\n\
                 acme,2023,value_added,18500,万元,,\n";
    let table = total(&declared(METERED, facts), "2023");
    for figure in [&table.value_added, table.value_added_intensity.equivalent.as_ref().unwrap()] {
        let note = figure.note().unwrap();
        assert!(
            note.contains("value added, 18500 万元, is more than gross output value"),
            "{note}"
        );
    }
}
