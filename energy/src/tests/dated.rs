//! Coefficients of a part of a period, of a batch, or of another year: each applied to its own quantity, or an error that names
//! the key. Never the shipped value in their place.

use super::coefficients::{HEAD, kind, row};
use super::*;

/// The coal of trial fig-01: 0.61 … 0.72 kgce/kg, one certificate a month.
fn monthly(months: std::ops::RangeInclusive<i8>) -> String {
    let each = months.map(|month| {
        let (first, after) = Period::Month(2023, month).days();
        let last = after.yesterday().unwrap();
        let value = 60 + i32::from(month);
        row(
            "raw_coal",
            "equivalent",
            &format!("value = 0.{value}\nunit = \"kg\"\nvalid_from = {first}\nvalid_to = {last}\n"),
        )
    });
    each.collect()
}

fn coal(rows: &str) -> String {
    format!("{HEAD}{}{rows}", kind("raw_coal", "t", ""))
}

fn months(months: std::ops::RangeInclusive<i8>, quantity: &str) -> String {
    let each =
        months.map(|month| format!("acme,2023-{month:02},purchased:raw_coal,{quantity},t,,\n"));
    each.collect::<Vec<_>>().concat()
}

fn tce(plant: &str, facts: &str, period: &str) -> String {
    let table = total(&declared(plant, facts), period);
    assert_eq!(table.missing_coefficients, []);
    number(table.totals.equivalent.as_ref().unwrap())
}

#[track_caller]
fn lacks(plant: &str, facts: &str, period: &str, parts: &[&str]) {
    let table = total(&declared(plant, facts), period);
    let [missing] = table.missing_coefficients.as_slice() else {
        panic!("one is missing, found {:#?}", table.missing_coefficients)
    };
    for part in parts {
        assert!(missing.to_string().contains(part), "expected `{part}`, found:\n{missing}");
    }
    assert_eq!(table.totals.equivalent.unwrap().value, None);
    assert!(missing.message().has(model::Language::Chinese));
}

/// Trial fig-01.
#[test]
fn each_month_is_converted_by_its_own_certificate() {
    let (plant, facts) = (coal(&monthly(1..=12)), months(1..=12, "100"));
    assert_eq!(tce(&plant, &facts, "2023"), "798");
    assert_eq!(tce(&plant, &facts, "2023-01"), "61");
    assert_eq!(tce(&plant, &facts, "2023-Q1"), "186");
    let table = total(&declared(&plant, &facts), "2023");
    let cell = table.rows[0].converted.equivalent.as_ref().unwrap();
    let used = cell.coefficient.as_ref().unwrap();
    assert_eq!((used.kgce_per_unit.to_string().as_str(), used.parts.len()), ("0.665", 12));
    assert_eq!(cell.tce_per_unit.as_ref().unwrap().to_string(), "0.665");
    assert_eq!(used.parts[4].period.to_string(), "2023-05");
    let behind = &table.explanations["table1/2023/raw_coal/equivalent"];
    assert_eq!(behind.coefficients.len(), 12);
    assert!(
        behind.formula.starts_with("100 t × 1000 kg/t × 0.61 kgce/kg ÷ 1000 (2023-01) + 100 t")
    );
    assert!(behind.formula.ends_with("(2023-12) = 798 tce"), "{}", behind.formula);
    // Another certificate in any month is another set.
    let other = coal(&monthly(1..=12).replace("0.65", "0.66"));
    let other = total(&declared(&other, &facts), "2023");
    assert_ne!(table.coefficient_sets.equivalent, other.coefficient_sets.equivalent);
}

#[test]
fn months_that_were_not_declared_need_no_certificate() {
    let plant = coal(&monthly(1..=6));
    let table = total(&declared(&plant, &months(1..=6, "100")), "2023");
    assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), "381");
    assert!(!table.totals.equivalent.unwrap().complete);
    // None was used in the others.
    let facts = months(1..=6, "100") + &months(7..=12, "0");
    assert_eq!(tce(&plant, &facts, "2023"), "381");
}

#[test]
fn a_month_without_a_row_is_named() {
    let rows = monthly(1..=4) + &monthly(6..=12);
    let no_may =
        ["no row of the plant file fits 2023-05", "the printed value is not taken instead"];
    lacks(&coal(&rows), &months(1..=12, "100"), "2023", &no_may);
    lacks(&coal(&rows), &months(5..=5, "100"), "2023-05", &no_may);
    // Where the printed value is to hold in May, that is a row with its origin.
    let may = row(
        "raw_coal",
        "equivalent",
        "value = 0.7143\nunit = \"kg\"\nvalid_from = 2023-05-01\nvalid_to = 2023-05-31\n",
    );
    assert_eq!(tce(&coal(&(rows + &may)), &months(1..=12, "100"), "2023"), "804.43");
}

#[test]
fn a_quantity_of_the_whole_year_cannot_be_converted_by_the_month() {
    let parts =
        ["other coefficients hold in 12 parts of 2023 (`2023-01`, `2023-02`, `2023-03`, …)"];
    lacks(&coal(&monthly(1..=12)), "acme,2023,purchased:raw_coal,1200,t,,\n", "2023", &parts);
}

#[test]
fn rows_that_overlap_are_named() {
    let rows = monthly(1..=12)
        + &row(
            "raw_coal",
            "equivalent",
            "value = 0.70\nunit = \"kg\"\nvalid_from = 2023-03-15\nvalid_to = 2023-03-31\n",
        );
    let found = total(&declared(&coal(&rows), &months(1..=12, "100")), "2023");
    assert!(found.missing_coefficients[0].reason.contains("more than one row fits"));
    // One for all beside those of months.
    let all = monthly(1..=12) + &row("raw_coal", "equivalent", "value = 0.70\nunit = \"kg\"\n");
    let found = total(&declared(&coal(&all), &months(1..=12, "100")), "2023");
    assert!(found.missing_coefficients[0].reason.contains("more than one row fits"));
}

/// Trial fig-01: the same silent fall-back.
#[test]
fn a_row_that_fits_in_part_is_never_replaced_by_the_printed_one() {
    let with = |keys: &str| {
        coal(&row("raw_coal", "equivalent", &format!("value = 0.61\nunit = \"kg\"\n{keys}\n")))
    };
    let facts = "acme,2023,purchased:raw_coal,1200,t,,\n";
    let check = |keys: &str, part: &str| {
        lacks(&with(keys), facts, "2023", &[part, "the printed value is not taken instead"]);
    };
    check(
        "valid_from = 2023-01-02",
        "no row of the plant file fits 2023-01-01: `plant.toml:11`: `valid_from` is 2023-01-02",
    );
    check(
        "valid_to = 2023-12-30",
        "no row of the plant file fits 2023-12-31: `plant.toml:11`: `valid_to` is 2023-12-30",
    );
    check("valid_from = 2024-01-01", "`valid_from` is 2024-01-01, after 2023-01-01");
    check("data_year = 2022", "`data_year` is 2022, expected 2023");
    check("batch = \"b\"", "it is for batch `b`");
    // A primary fuel has one value on both bases, so the other basis lacks it too.
    let table = table1(
        &declared(&with("data_year = 2022"), facts).inputs(),
        "2023".parse().unwrap(),
        BasisChoice::EqualValue,
    );
    assert_eq!(table.unwrap().missing_coefficients.len(), 1);
    assert_eq!(tce(&with("data_year = 2023\nregion = \"CN\""), facts, "2023"), "732");
}

#[test]
fn a_batch_is_converted_by_its_own_row() {
    let batch = |name: &str, value: &str| {
        row(
            "raw_coal",
            "equivalent",
            &format!("value = {value}\nunit = \"kg\"\nbatch = \"{name}\"\n"),
        )
    };
    let plant = coal(&(batch("a", "0.60") + &batch("b", "0.70")));
    let read = |rows: &str| {
        let plant = Plant::read(&SourceFile::new("plant.toml", plant.as_str())).unwrap();
        let text = format!("subject,period,measure,value,unit,batch\n{rows}");
        let facts = Facts::read(&plant, &[SourceFile::new("facts.csv", text)]).unwrap();
        let meters = Meters::default();
        let inputs = Inputs { plant: &plant, facts: &facts, meters: &meters, commit: None };
        table1(&inputs, "2023".parse().unwrap(), BasisChoice::Both).unwrap()
    };
    let table = read(
        "acme,2023-01,purchased:raw_coal,100,t,a\nacme,2023-01,purchased:raw_coal,50,t,b\nacme,2023-02,purchased:raw_coal,10,t,a\n",
    );
    assert_eq!(table.missing_coefficients, []);
    assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), "101");
    assert_eq!(number(table.totals.equal_value.as_ref().unwrap()), "101");
    let behind = &table.explanations["table1/2023/raw_coal/equivalent"];
    assert_eq!(
        behind.formula,
        "110 t × 1000 kg/t × 0.6 kgce/kg ÷ 1000 (2023-01..2023-02, a) + 50 t × 1000 kg/t × 0.7 kgce/kg ÷ 1000 (2023-01, b) = 101 tce"
    );
    // A quantity without a batch has no coefficient.
    let table = read("acme,2023,purchased:raw_coal,100,t,\n");
    let missing = table.missing_coefficients[0].to_string();
    assert!(missing.contains("it is for batch `a`"), "{missing}");
    assert_eq!(table.totals.equivalent.unwrap().value, None);
    // A batch that is misspelt is a problem of the file; one of a site without rows per batch stands beside the figure.
    let facts = |plant: &str| {
        let plant = Plant::read(&SourceFile::new("plant.toml", plant)).unwrap();
        let text =
            "subject,period,measure,value,unit,batch\nacme,2023,purchased:raw_coal,100,t,c\n";
        Facts::read(&plant, &[SourceFile::new("facts.csv", text)])
    };
    let problems = facts(&plant).map(|_| ()).unwrap_err().to_string();
    assert!(problems.contains("no `[[coefficient]]` of `raw_coal` has batch `c`"), "{problems}");
    let plain = Plant::read(&SourceFile::new("plant.toml", coal(""))).unwrap();
    let (facts, meters) = (facts(&coal("")).unwrap(), Meters::default());
    let inputs = Inputs { plant: &plain, facts: &facts, meters: &meters, commit: None };
    let table = table1(&inputs, "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap();
    let notes = table.totals.equivalent.unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("has no coefficient of its own")), "{notes:?}");
}

/// Readings know each day, so a certificate may change inside a month.
#[test]
fn a_metered_quantity_is_divided_on_the_day_on_which_the_row_changes() {
    let plant = format!(
        "{HEAD}{}[[meter]]\nid = \"main\"\npoint = \"acme/main\"\nenergy_kind = \"natural_gas\"\nrole = \"incoming\"\nunit = \"m3\"\n{}{}",
        kind("natural_gas", "m3", ""),
        row("natural_gas", "equivalent", "value = 1.20\nunit = \"m3\"\nvalid_to = 2023-01-14\n"),
        row("natural_gas", "equivalent", "value = 1.30\nunit = \"m3\"\nvalid_from = 2023-01-15\n"),
    );
    let plant =
        Plant::read(&SourceFile::new("plant.toml", plant)).map_err(|p| p.to_string()).unwrap();
    let mut readings = readings_of(
        &plant,
        0,
        &[
            ("2023-01-01 00:00", 0),
            ("2023-01-15 00:00", 1_000_000),
            ("2023-02-01 00:00", 3_000_000),
        ],
    );
    readings.unit = Unit::CubicMetre;
    let meters = Meters::build(&plant, &[readings]).unwrap();
    let facts = Facts::default();
    let inputs = Inputs { plant: &plant, facts: &facts, meters: &meters, commit: None };
    let table = table1(&inputs, "2023-01".parse().unwrap(), BasisChoice::Equivalent).unwrap();
    assert_eq!(table.missing_coefficients, []);
    // 10 000 m³ at 1.20 and 20 000 m³ at 1.30.
    assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), "38");
}

/// A line's own coal and its share of the boiler house, by the month.
#[test]
fn a_line_is_converted_by_the_month_too() {
    let plant = coal(&monthly(1..=12))
        + "[[subject]]\nid = \"line-a\"\nkind = \"line\"\n[[subject]]\nid = \"boiler\"\nkind = \"equipment\"\n\
           [[allocation]]\nfrom = \"boiler\"\nenergy_kind = \"raw_coal\"\nshare = [{ to = \"line-a\", weight = 1 }, { to = \"line-b\", weight = 2 }]\n\
           [[subject]]\nid = \"line-b\"\nkind = \"line\"\n";
    let of = |subject: &str, flow: &str, quantity: &str| {
        months(1..=12, quantity).replace("acme,", &format!("{subject},")).replace("purchased", flow)
    };
    let facts = of("acme", "purchased", "100")
        + &of("line-a", "consumed", "10")
        + &of("boiler", "consumed", "90");
    let scenario = declared(&plant, &facts);
    let made =
        unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap();
    assert_eq!(made.missing_coefficients, []);
    let of_line = |at: usize| number(made.lines[at].tce.equivalent.as_ref().unwrap());
    // 40 and 60 t a month of 7.98 t of coal equivalent for each tonne a month.
    assert_eq!((of_line(0), of_line(1)), ("319.2".to_owned(), "478.8".to_owned()));
    assert_eq!(number(made.undistributed.equivalent.as_ref().unwrap()), "0");
}

/// Trial fig-12: coefficient, year and notice beside every 等价 figure.
#[test]
fn a_figure_by_equal_value_says_whose_coefficient_it_is() {
    let scenario = example("unit-product");
    let made =
        unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Both).unwrap();
    let said = "equal value (等价值) of 电力: 3 tce/万kWh, data year 2023, 示例, illustrative: not for a report";
    let product =
        made.lines[0].product.as_ref().unwrap().energy_per_product.equal_value.as_ref().unwrap();
    let equal = [
        product,
        made.totals.equal_value.as_ref().unwrap(),
        made.undistributed.equal_value.as_ref().unwrap(),
    ];
    for figure in equal {
        assert!(
            figure.notes.iter().any(|note| **note == *said),
            "{}: {:?}",
            figure.name,
            figure.notes
        );
    }
    let equivalent =
        made.lines[0].product.as_ref().unwrap().energy_per_product.equivalent.as_ref().unwrap();
    assert_eq!(equivalent.notes, []);
    let listed: Vec<(&str, Basis)> =
        made.coefficients.iter().map(|one| (one.kind.as_str(), one.basis)).collect();
    assert!(listed.contains(&("electricity", Basis::EqualValue)), "{listed:?}");
    assert_eq!(made.coefficients[1].coefficient.data_year, Some(2023));
    let table =
        table1(&example("table1-c1-b2").inputs(), "2023".parse().unwrap(), BasisChoice::Both)
            .unwrap();
    let intensity = table.output_value_intensity.equal_value.unwrap();
    assert!(
        intensity.notes.iter().any(|note| note.contains("data year 2022")),
        "{:?}",
        intensity.notes
    );
}

/// What is in stock is of a day, and so is its coefficient.
#[test]
fn stock_is_converted_by_the_row_of_its_day() {
    let facts = months(1..=12, "100")
        + "acme,2023-01,opening_stock:raw_coal,50,t,,\nacme,2023-12,closing_stock:raw_coal,20,t,,\n";
    // 798 and 50 t at January's 0.61, less 20 t at December's 0.72.
    assert_eq!(tce(&coal(&monthly(1..=12)), &facts, "2023"), "814.1");
}
