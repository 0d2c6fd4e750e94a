//! Several meters and declarations of one quantity: a part that is unknown is not zero, and a year is its months.

use super::*;

fn with_second_meter(subject: &str) -> String {
    METERED.to_owned()
        + "[[meter]]\nid = \"second\"\npoint = \"acme/second\"\nenergy_kind = \"electricity\"\n"
        + &format!(
            "role = \"incoming\"\nunit = \"kWh\"\nsubject = \"{subject}\"\nindependent = true\n"
        )
}

fn quantity(scenario: &Scenario, period: &str) -> Figure {
    total(scenario, period).rows[0].quantity.clone()
}

/// INV-8: 100 kWh of one meter are not the sum of two.
#[test]
fn a_meter_without_readings_makes_the_sum_unknown() {
    let readings = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 10_000)];
    let check = |facts: &str, expected: &str| {
        let scenario = metered(&with_second_meter("acme"), &readings, facts);
        let found = quantity(&scenario, "2018-01");
        assert_eq!(number(&found), expected);
        assert_eq!(
            number(total(&scenario, "2018-01").totals.equivalent.as_ref().unwrap())
                .starts_with("none"),
            expected.starts_with("none")
        );
    };
    check("", "none: Some(\"unknown: no energy of meter `second`\")");
    // A declaration stands for what nobody read.
    check("acme,2018-01,purchased:electricity,103,kWh,,\n", "103");
}

/// The only meter stands at the site, has no readings, and the enterprise declares.
#[test]
fn a_declaration_above_a_meter_without_readings_counts() {
    let plant = METERED.replace("role = \"incoming\"", "role = \"incoming\"\nsubject = \"site\"");
    let facts = "acme,2018-01,purchased:electricity,103,kWh,,\n";
    let table = total(&metered(&plant, &[], facts), "2018-01");
    let row = &table.rows[0];
    assert_eq!(
        (number(&row.quantity).as_str(), row.quantity.class),
        ("103", Some(Class::Declared))
    );
    assert!(row.quantity.complete);
    let behind = &table.explanations["table1/2018-01/electricity/quantity"];
    assert_eq!((behind.declared.len(), behind.meters.len()), (1, 1));
}

/// What one subject declares for other years hides nothing that is known of this one.
#[test]
fn a_declaration_of_another_year_is_no_gap_of_this_one() {
    let plant = METERED.replace("role = \"incoming\"", "role = \"incoming\"\nsubject = \"site\"");
    let readings = [("2018-01-01 00:00", 0), ("2019-01-01 00:00", 10_000)];
    let facts = "acme,2017,purchased:electricity,103,kWh,,\n";
    let scenario = metered(&plant, &readings, facts);
    let found = quantity(&scenario, "2018");
    assert_eq!((number(&found).as_str(), found.complete), ("100", true));
    assert_eq!(number(&quantity(&scenario, "2017")), "103");
    // A sibling that stopped declaring is a gap.
    let plant = METERED.split("[[meter]]").next().unwrap().to_owned()
        + "[[subject]]\nid = \"site-2\"\nkind = \"site\"\n";
    let facts =
        "site,2018,purchased:electricity,100,kWh,,\nsite-2,2017,purchased:electricity,9,kWh,,\n";
    assert_eq!(
        number(&quantity(&declared(&plant, facts), "2018")),
        "none: Some(\"unknown: `purchased:electricity` of `site-2` is declared for other periods\")"
    );
}

/// Readings at the beginning of each month from the `first` on, of a meter that counts 100 kWh a month.
fn monthly(plant: &Plant, meter: usize, first: i64) -> MeterReadings {
    let at =
        |month: i64| format!("{}-{:02}-01 00:00", 2018 + (month - 1) / 12, (month - 1) % 12 + 1);
    let readings: Vec<(String, i64)> =
        (first..=13).map(|month| (at(month), (month - first) * 10_000)).collect();
    let readings: Vec<(&str, i64)> =
        readings.iter().map(|(at, shown)| (at.as_str(), *shown)).collect();
    readings_of(plant, meter, &readings)
}

/// A meter of the enterprise that was first read in February, one of the site, and declared facts.
fn two_levels(facts: &str) -> Scenario {
    let scenario = declared(&with_second_meter("site"), facts);
    let readings = [monthly(&scenario.plant, 0, 2), monthly(&scenario.plant, 1, 1)];
    Scenario { meters: Meters::build(&scenario.plant, &readings).unwrap(), ..scenario }
}

#[test]
fn a_year_is_the_sum_of_its_months_whatever_was_declared() {
    let scenario = two_levels("acme,2018-01,purchased:electricity,103,kWh,,\n");
    // The enterprise says 103 of a January of which its own meter knows nothing.
    assert_eq!(number(&quantity(&scenario, "2018-01")), "103");
    let months: Number = (1..=12)
        .map(|month| quantity(&scenario, &format!("2018-{month:02}")).exact().unwrap().clone())
        .sum();
    let year = quantity(&scenario, "2018");
    assert_eq!((year.exact(), year.complete), (Some(&months), true));
    assert_eq!(months.to_string(), "2303");
}

#[test]
fn a_year_that_was_declared_at_two_levels_is_refused() {
    let facts = "acme,2018-01,purchased:electricity,103,kWh,,\nsite,2018,purchased:electricity,9,kWh,,at the site\n";
    let scenario = two_levels(facts);
    let refused = table1(&scenario.inputs(), "2018".parse().unwrap(), BasisChoice::Equivalent);
    assert!(matches!(refused, Err(SourceError::TwoLevels { .. })));
}
