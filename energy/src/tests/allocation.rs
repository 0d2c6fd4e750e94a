//! Allocation keys that would share out energy twice, and what a key shares out.

use super::coefficients::refused;
use super::*;

/// Two lines, two pieces of equipment in a workshop of their own, an empty site; and keys.
fn plant(keys: &str) -> String {
    let subject = |id: &str, kind: &str, parent: &str| {
        format!("[[subject]]\nid = \"{id}\"\nkind = \"{kind}\"\nparent = \"{parent}\"\n")
    };
    METERED.split("[[energy_kind]]").next().unwrap().to_owned()
        + "[[energy_kind]]\nid = \"electricity\"\nunit = \"万kWh\"\n"
        + &subject("works", "site", "acme")
        + &subject("line-a", "line", "works")
        + &subject("line-b", "line", "works")
        + &subject("utilities", "area", "works")
        + &subject("h1", "equipment", "utilities")
        + &subject("h2", "equipment", "utilities")
        + keys
}

fn key(from: &str, shares: &[(&str, &str)]) -> String {
    let shares: Vec<String> = shares
        .iter()
        .map(|(to, weight)| format!("{{ to = \"{to}\", weight = {weight} }}"))
        .collect();
    let shares = shares.join(", ");
    format!(
        "[[allocation]]\nfrom = \"{from}\"\nenergy_kind = \"electricity\"\nshare = [{shares}]\n"
    )
}

const BOTH: [(&str, &str); 2] = [("line-b", "1"), ("line-a", "2")];

/// A and B came to 141.3 of the enterprise's 122.9 tce.
#[test]
fn a_key_of_what_holds_lines_shares_out_what_the_lines_used() {
    for (from, right) in [("acme", "line-a"), ("works", "line-a")] {
        let text = format!("`{from}` holds the line `{right}` and cannot be allocated");
        refused(&plant(&key(from, &BOTH)), &[&text, "name the shared equipment"]);
    }
    // A plant whose only line is the enterprise's own product counts all of it there.
    let none = plant("").replace("\"line\"", "\"equipment\"") + &key("acme", &[("acme", "1")]);
    refused(&none, &["`acme` is a line and cannot be allocated to it"]);
    // What holds shared equipment alone may be shared out.
    let facts = "acme,2023,purchased:electricity,100,万kWh,,\nline-a,2023,consumed:electricity,30,万kWh,,\n\
                 line-b,2023,consumed:electricity,20,万kWh,,\nh1,2023,consumed:electricity,10,万kWh,,\n\
                 h2,2023,consumed:electricity,5,万kWh,,\n";
    let scenario = declared(&plant(&key("utilities", &BOTH)), facts);
    let found =
        unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap();
    let lines: Vec<String> =
        found.lines.iter().map(|one| number(one.tce.equivalent.as_ref().unwrap())).collect();
    assert_eq!(lines, ["49.16", "30.725"]);
    assert_eq!(number(found.undistributed.equivalent.as_ref().unwrap()), "43.015");
}

#[test]
fn a_key_inside_another_one_shares_out_twice() {
    let both = key("utilities", &BOTH) + &key("h2", &BOTH);
    refused(&plant(&both), &["`h2` lies in `utilities`, whose `electricity` is allocated too"]);
}

#[test]
fn a_key_that_names_a_line_twice_is_refused() {
    for twice in [[("line-a", "1"), ("line-a", "1")], [("line-a", "1"), ("line-a", "3")]] {
        let text = "the allocation key of `h1` names `line-a` twice";
        refused(&plant(&key("h1", &twice)), &[text, "write one share with the sum"]);
    }
    refused(
        &plant(&key("h1", &[("line-a", "1"), ("line-b", "1"), ("line-a", "1")])),
        &["names `line-a` twice"],
    );
}

/// 40 that became 400 beside 60 was seen nowhere.
#[test]
fn the_share_of_a_key_is_explained_in_percent() {
    let facts =
        "acme,2023,purchased:electricity,100,万kWh,,\nh1,2023,consumed:electricity,46,万kWh,,\n";
    for (weight, expected) in [
        ("40", "46 万kWh of `h1` × 40 ÷ 100 (40.0 %) = 18.4 万kWh"),
        ("400", "46 万kWh of `h1` × 400 ÷ 460 (87.0 %) = 40 万kWh"),
    ] {
        let scenario = declared(&plant(&key("h1", &[("line-a", weight), ("line-b", "60")])), facts);
        let found =
            unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent)
                .unwrap();
        let name = "unit-product/2023/line-a/electricity/allocated/h1";
        assert_eq!(found.explanations[name].formula, expected);
    }
}
