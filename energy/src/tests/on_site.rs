//! What is bought, made on site, both, or neither: in the total and in the lines.

use super::*;

fn products(edit: impl Fn(String) -> String) -> UnitProduct {
    let scenario = example_with("unit-product", edit);
    unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap()
}

fn equivalent(figures: &PerBasis<Figure>) -> String {
    number(figures.equivalent.as_ref().unwrap())
}

/// C5 with a roof of solar cells: the lines keep what they use, and what was not bought is the rest.
#[test]
fn purchased_energy_stays_in_the_lines_when_some_is_made_too() {
    let result = products(|facts| facts + "acme,2023,own:electricity,1,万kWh,\n");
    assert_eq!(equivalent(&result.lines[0].tce), "222.943");
    let product = result.lines[0].product.as_ref().unwrap();
    assert_eq!(ratio(product.energy_per_product.equivalent.as_ref().unwrap()), "0.232232");
    assert_eq!(equivalent(&result.lines[1].tce), "108.152");
    assert_eq!(equivalent(&result.undistributed), "0");
    let electricity = &result.lines[0].kinds[0].quantity;
    assert!(electricity.note().unwrap().starts_with("bought and made on site"));
}

/// Bought is what is not stated as zero.
#[test]
fn what_is_made_on_site_alone_is_in_the_lines_as_a_quantity() {
    let result = products(|facts| {
        assert!(facts.contains("purchased:electricity,220,"), "{facts}");
        facts.replace("purchased:electricity,220,", "purchased:electricity,0,")
            + "acme,2023,own:electricity,220,万kWh,\n"
    });
    assert_eq!(equivalent(&result.lines[0].tce), "60.715");
    assert!(result.lines[0].kinds[0].converted.equivalent.is_none());
}

/// C5 without the gas bill: the gas of line A came from somewhere (INV-8).
#[test]
fn what_is_used_inside_and_not_bought_makes_the_total_unknown() {
    let without = |facts: String| {
        let kept: Vec<&str> =
            facts.lines().filter(|line| !line.contains("purchased:natural_gas")).collect();
        kept.join("\n") + "\n"
    };
    let scenario = example_with("unit-product", without);
    let table = total(&scenario, "2023");
    let gas = table.rows.iter().find(|row| row.kind.as_str() == "natural_gas").unwrap();
    assert_eq!((gas.source, gas.quantity.value.as_ref()), (fact::Flow::Purchased, None));
    assert_eq!(
        gas.quantity.note().as_deref(),
        Some(
            "unknown: it is used or sold, and no purchase is given: state `purchased:natural_gas`, \
             0 where none is bought, or `own:natural_gas` where it is made on site"
        )
    );
    let sum = table.totals.equivalent.unwrap();
    assert_eq!((sum.value, sum.complete), (None, false));
    let result = products(without);
    assert_eq!(result.undistributed.equivalent.unwrap().value, None);
    // Either statement is enough.
    let none = "acme,2023,purchased:natural_gas,0,万m3,\n";
    let made = "acme,2023,own:natural_gas,5,万m3,\n";
    for stated in [none, made] {
        let scenario = example_with("unit-product", |facts| without(facts) + stated);
        assert_eq!(equivalent(&total(&scenario, "2023").totals), "270.38", "{stated}");
    }
}

#[test]
fn what_is_sold_must_come_from_somewhere() {
    let plant = METERED.split("[[meter]]").next().unwrap();
    let table = total(&declared(plant, "acme,2018,exported:electricity,300,kWh,,\n"), "2018");
    assert_eq!(table.totals.equivalent.unwrap().value, None);
    assert_eq!(table.rows.len(), 2);
}
