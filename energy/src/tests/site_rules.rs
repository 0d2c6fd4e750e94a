//! What the site chooses: a kind that is not converted, steam by contract.

use super::*;

/// C1 C: water is no energy item, so nobody needs to know how much of it there was.
#[test]
fn water_that_is_not_converted_may_be_unknown() {
    let without = |facts: String| {
        let kept: Vec<&str> = facts.lines().filter(|line| !line.contains(":water")).collect();
        assert_eq!(kept.len() + 1, facts.lines().count());
        kept.join("\n") + "\n"
    };
    let table = total(&example_with("table1-c1-c", without), "2023");
    let sum = table.totals.equivalent.unwrap();
    assert_eq!((number(&sum).as_str(), sum.complete), ("2867.536376", true));
    assert!(sum.coverage.unwrap().is_full());
    let water = table.rows.iter().find(|row| row.kind.as_str() == "water").unwrap();
    let cell = &water.converted.equivalent.as_ref().unwrap().tce;
    assert_eq!(water.quantity.value, None);
    assert_eq!(
        (number(cell).as_str(), cell.note().as_deref()),
        ("0", Some("not converted by the site's rule"))
    );
    assert!(table.subtotals.iter().all(|one| one.class != coefficient::EnergyClass::Medium));
}

/// Six thousand tonnes by contract: the edition's fixed value is not what was agreed.
#[test]
fn steam_by_contract_needs_the_value_that_was_agreed() {
    let plant = |rows: &str| {
        METERED.split("[[energy_kind]]").next().unwrap().replace("2020", "2008")
            + "[[energy_kind]]\nid = \"steam\"\ncoefficient = \"steam_low_pressure\"\nunit = \"t\"\n"
            + "steam_rule = \"contract\"\n"
            + rows
    };
    let facts = "acme,2023,purchased:steam,6000,t,,\n";
    let table = |rows: &str| {
        let scenario = declared(&plant(rows), facts);
        table1(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Both).unwrap()
    };
    let without = table("");
    assert_eq!(without.totals.equivalent.unwrap().value, None);
    let missing: Vec<&str> =
        without.missing_coefficients.iter().map(|one| one.key.role.word()).collect();
    assert_eq!(missing, ["equivalent", "equal_value"]);
    assert!(without.missing_coefficients[0].reason.contains("the steam rule is `contract`"));
    let row = "[[coefficient]]\nenergy_kind = \"steam_low_pressure\"\nrole = \"equivalent\"\nvalue = 0.1100\n\
               unit = \"kg\"\nnotice = \"contract\"\nevidence = \"measured\"\n";
    assert_eq!(number(table(row).totals.equivalent.as_ref().unwrap()), "660");
}

/// Trial fig-16: years of a works from 1959 on, declared; and those at the ends of what is read.
#[test]
fn a_year_before_1971_is_converted() {
    let plant = METERED.split("[[energy_kind]]").next().unwrap().replace("2020", "2008")
        + "[[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n";
    let facts = "acme,1900,purchased:raw_coal,10,t,,\nacme,1959,purchased:raw_coal,30236,t,,\n\
                 acme,1970-12,purchased:raw_coal,10,t,,\nacme,1978,purchased:raw_coal,354219,t,,\n";
    let scenario = declared(&plant, facts);
    let check = |period: &str, tce: &str| {
        assert_eq!(number(total(&scenario, period).totals.equivalent.as_ref().unwrap()), tce);
    };
    check("1978", "253018.6317");
    check("1959", "21597.5748");
    check("1900", "7.143");
    check("1970-12", "7.143");
}
