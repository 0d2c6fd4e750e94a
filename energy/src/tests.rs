//! The vectors C1, C5 and trap 25, from the files under `examples/`, and what happens when something is missing.

use std::path::Path;

use config::SourceFile;
use model::{CommitNumber, Generation, Quality, Sequence, Timestamp, Unit};

use crate::*;

mod allocation;
mod bills;
mod coefficients;
mod dated;
mod flows;
mod forecast;
mod made;
mod nested;
mod on_site;
mod partial;
mod physical;
mod products;
mod site_rules;
mod sources;
mod stock;

fn file(path: &Path) -> std::sync::Arc<SourceFile> {
    let text = std::fs::read_to_string(path).unwrap();
    SourceFile::new(path.display().to_string(), text)
}

struct Scenario {
    plant: Plant,
    facts: Facts,
    meters: Meters,
    expected: serde_json::Value,
}

impl Scenario {
    fn inputs(&self) -> Inputs<'_> {
        let commit = Some(CommitNumber(17));
        Inputs { plant: &self.plant, facts: &self.facts, meters: &self.meters, commit }
    }
}

/// Reads an example as the command line does: plant, declared facts, no readings.
fn example(name: &str) -> Scenario {
    example_with(name, |facts| facts)
}

/// The same with other facts.
fn example_with(name: &str, edit: impl Fn(String) -> String) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let plant = Plant::read(&file(&folder.join("plant.toml"))).map_err(|p| p.to_string()).unwrap();
    let edited = |name: &String| {
        let file = file(&folder.join(name));
        SourceFile::new(file.name.clone(), edit(file.text.clone()))
    };
    let files: Vec<_> = plant.fact_files.iter().map(edited).collect();
    let facts = Facts::read(&plant, &files).map_err(|p| p.to_string()).unwrap();
    let expected = file(&folder.join("expected.json"));
    let expected = serde_json::from_str(&expected.text).unwrap();
    Scenario { plant, facts, meters: Meters::default(), expected }
}

fn number(figure: &Figure) -> String {
    figure
        .exact()
        .map_or_else(|| format!("none: {:?}", figure.note().as_deref()), ToString::to_string)
}

fn ratio(figure: &Figure) -> String {
    figure
        .ratio()
        .map_or_else(|| format!("none: {:?}", figure.note().as_deref()), |ratio| ratio.rounded(6))
}

fn c1(name: &str) {
    let scenario = example(name);
    let expected = &scenario.expected;
    let basis: Basis = expected["basis"].as_str().unwrap().parse().unwrap();
    let choice: BasisChoice = basis.word().parse().unwrap();
    let table = table1(&scenario.inputs(), "2023".parse().unwrap(), choice).unwrap();
    let rows: Vec<(String, String)> = table
        .rows
        .iter()
        .map(|row| (row.kind.to_string(), number(&row.converted.get(basis).unwrap().tce)))
        .collect();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let wanted: Vec<(String, String)> = expected["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["kind"]), text(&row["tce"])))
        .collect();
    assert_eq!(rows, wanted);
    assert_eq!(number(table.totals.get(basis).unwrap()), text(&expected["total"]));
    let intensity = |figures: &PerBasis<Figure>| ratio(figures.get(basis).unwrap());
    assert_eq!(intensity(&table.output_value_intensity), text(&expected["output_value_intensity"]));
    assert_eq!(intensity(&table.value_added_intensity), text(&expected["value_added_intensity"]));
    assert_eq!(table.missing_coefficients, []);
    for figure in table.explanations.values().map(|one| &one.figure) {
        assert!(figure.complete && figure.coverage.unwrap().is_full(), "{}", figure.name);
        assert_eq!(figure.class, Some(Class::Declared), "{}", figure.name);
    }
}

#[test]
fn c1_a1() {
    c1("table1-c1-a1");
}

#[test]
fn c1_a2() {
    c1("table1-c1-a2");
}

#[test]
fn c1_b1() {
    c1("table1-c1-b1");
}

#[test]
fn c1_b2() {
    c1("table1-c1-b2");
}

#[test]
fn c1_b3() {
    c1("table1-c1-b3");
}

#[test]
fn c1_c() {
    c1("table1-c1-c");
}

#[test]
fn c5() {
    let scenario = example("unit-product");
    let expected = &scenario.expected;
    let result =
        unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Both).unwrap();
    for basis in [Basis::Equivalent, Basis::EqualValue] {
        let word = basis.word();
        assert_eq!(result.lines.len(), 2);
        for (line, wanted) in result.lines.iter().zip(expected["lines"].as_array().unwrap()) {
            assert_eq!(line.line.as_str(), wanted["line"]);
            assert_eq!(number(line.tce.get(basis).unwrap()), wanted["tce"][word]);
            if let Some(product) = &line.product {
                let figure = product.energy_per_product.get(basis).unwrap();
                assert_eq!(ratio(figure), wanted["per_product"][word]);
                assert_eq!(figure.unit, "tce/t");
                assert_eq!(number(&product.qualified_output), "960");
            }
        }
        assert_eq!(
            number(result.undistributed.get(basis).unwrap()),
            expected["undistributed"][word]
        );
        assert_eq!(number(result.totals.get(basis).unwrap()), expected["total"][word]);
    }
    for (kind, wanted) in
        result.lines[0].kinds.iter().zip(expected["lines"][0]["physical"].as_array().unwrap())
    {
        let figure = kind.per_product.as_ref().unwrap();
        assert_eq!(kind.kind.as_str(), wanted["kind"]);
        assert_eq!(ratio(figure), wanted["per_product"]);
        assert_eq!(figure.unit, wanted["unit"]);
    }
    let shared = &result.explanations["unit-product/2023/line-a/electricity/allocated/compressor"];
    assert_eq!(shared.formula, "20 万kWh of `compressor` × 60 ÷ 100 (60.0 %) = 12 万kWh");
}

/// INV-8.
#[test]
fn a_missing_equal_value_stops_that_basis_alone() {
    let scenario = example("table1-c1-a1");
    let table = table1(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Both).unwrap();
    assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), "3042.1564");
    let total = table.totals.equal_value.as_ref().unwrap();
    assert_eq!((total.value.as_ref(), total.complete), (None, false));
    assert_eq!(
        total.note().as_deref(),
        Some("unknown: table1/2023/electricity/equal_value, table1/2023/steam/equal_value")
    );
    let missing: Vec<String> =
        table.missing_coefficients.iter().map(|one| one.key.to_string()).collect();
    assert_eq!(
        missing,
        [
            "rule set `GB/T 2589`, edition `2008`, energy kind `electricity`, role `equal_value`, region `CN`, data year `2023`",
            "rule set `GB/T 2589`, edition `2008`, energy kind `steam_low_pressure`, role `equal_value`, region `CN`, data year `2023`",
        ]
    );
    let coal = table.rows[0].converted.equal_value.as_ref().unwrap();
    assert_eq!(number(&coal.tce), "857.16");
}

#[test]
fn a_figure_is_explained_down_to_its_facts_and_coefficients() {
    let scenario = example("table1-c1-a1");
    let table =
        table1(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap();
    let chain = explain(&table.explanations, "table1/2023/output_value_intensity/equivalent");
    let formulas: Vec<&str> = chain.iter().map(|one| one.formula.as_str()).collect();
    assert_eq!(
        formulas[..4],
        [
            "3042.1564 tce ÷ 18500 万元 = 0.164441 tce/万元",
            "857.16 + 1044.65 + 364.29 + 4.4564 + 771.6 = 3042.1564 tce",
            "1200 t × 1000 kg/t × 0.7143 kgce/kg ÷ 1000 = 857.16 tce",
            formulas[3],
        ]
    );
    assert!(formulas[3].starts_with("1200 t (") && formulas[3].ends_with("facts.csv:2) = 1200 t"));
    let coal = &table.explanations["table1/2023/raw_coal/equivalent"];
    assert_eq!(coal.coefficients[0].rows[0].notice, "GB/T 2589-2008 Annex A");
    assert_eq!(coal.commit, Some(CommitNumber(17)));
    let set = table.coefficient_sets.equivalent.as_deref().unwrap();
    assert_eq!(coal.figure.coefficient_set.as_deref(), Some(set));
    assert!(set.starts_with("cs-") && set.len() == 15, "{set}");
}

#[test]
fn json_has_decimals_as_text() {
    let scenario = example("table1-c1-a1");
    let table =
        table1(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap();
    let json = serde_json::to_value(&table).unwrap();
    assert_eq!(json["totals"]["equivalent"]["value"], "3042.1564");
    assert_eq!(json["output_value_intensity"]["equivalent"]["value"]["value"], "0.164441");
    assert_eq!(json["output_value_intensity"]["equivalent"]["value"]["denominator"], "18500");
    assert_eq!(
        json["rows"][1]["converted"]["equivalent"]["coefficient"]["kgce_per_unit"],
        "0.1229"
    );
    assert_eq!(json["totals"]["equivalent"]["coverage_percent"], "100.0");
    assert_eq!(json["commit"], 17);
    assert!(json["totals"].get("equal_value").is_none());
}

const METERED: &str = r#"
[plant]
enterprise = "acme"
time_zone = "Asia/Seoul"
rule_set = "GB/T 2589"
edition = "2020"
[[subject]]
id = "site"
kind = "site"
[[energy_kind]]
id = "electricity"
unit = "kWh"
[[meter]]
id = "main"
point = "acme/main"
energy_kind = "electricity"
role = "incoming"
unit = "kWh"
"#;

/// A plant with one meter that shows `digits` × 0.01 kWh at the given local times, and declared facts.
fn metered(plant: &str, readings: &[(&str, i64)], facts: &str) -> Scenario {
    let scenario = declared(plant, facts);
    let one = readings_of(&scenario.plant, 0, readings);
    let meters = Meters::build(&scenario.plant, &[one]).unwrap();
    Scenario { meters, ..scenario }
}

/// Readings of the meter at a position in the plant file.
fn readings_of(plant: &Plant, meter: usize, readings: &[(&str, i64)]) -> MeterReadings {
    let reading = |(at, mantissa): &(&str, i64)| {
        let local: jiff::civil::DateTime = at.parse().unwrap();
        let instant = local.to_zoned(plant.time_zone.clone()).unwrap().timestamp();
        Reading {
            time: Timestamp(instant.as_microsecond()),
            mantissa: *mantissa,
            quality: Quality::GOOD,
            generation: Generation(1),
            sequence: Sequence(1),
        }
    };
    MeterReadings {
        meter: plant.meters[meter].id.clone(),
        exponent: -2,
        unit: Unit::KilowattHour,
        modulus: None,
        readings: readings.iter().map(reading).collect(),
    }
}

/// A plant that only declares.
fn declared(plant: &str, facts: &str) -> Scenario {
    let plant =
        Plant::read(&SourceFile::new("plant.toml", plant)).map_err(|p| p.to_string()).unwrap();
    let header = "subject,period,measure,value,unit,note,override_reason\n";
    let facts = SourceFile::new("facts.csv", format!("{header}{facts}"));
    let facts = Facts::read(&plant, &[facts]).map_err(|p| p.to_string()).unwrap();
    Scenario { plant, facts, meters: Meters::default(), expected: serde_json::Value::Null }
}

fn total(scenario: &Scenario, period: &str) -> Table1 {
    table1(&scenario.inputs(), period.parse().unwrap(), BasisChoice::Equivalent).unwrap()
}

#[test]
fn a_year_of_a_meter_is_exact() {
    let readings = [
        ("2018-01-01 00:00", 0),
        ("2018-02-01 00:00", 8_000_001),
        ("2019-01-01 00:00", 95_963_671),
    ];
    let table = total(&metered(METERED, &readings, ""), "2018");
    let row = &table.rows[0];
    assert_eq!(number(&row.quantity), "959636.71");
    assert_eq!(number(&row.converted.equivalent.as_ref().unwrap().tce), "117.939351659");
    assert_eq!((row.quantity.complete, row.quantity.class), (true, Some(Class::Metered)));
    assert_eq!(row.quantity.coverage, Some(Coverage { covered: 0, expected: 35_040 }));
    let behind = &table.explanations["table1/2018/electricity/quantity"].meters[0];
    let energy = behind.energy.as_ref().unwrap();
    assert_eq!(energy.end_reading.as_ref().unwrap().to_string(), "959636.71");
    assert_eq!(energy.end.unwrap(), index::Border::Exact { at: Timestamp(1_546_268_400_000_000) });
}

/// Metered 100, declared 103: 100 enters the total, 103 is kept and shown with its difference of 3.
#[test]
fn trap_25() {
    let readings = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 10_000)];
    let check = |declared: &str, counted: &str, source, other: &str, difference: &str| {
        let facts = format!("acme,2018-01,purchased:electricity,103,kWh,{declared}\n");
        let table = total(&metered(METERED, &readings, &facts), "2018-01");
        assert_eq!(number(&table.rows[0].quantity), counted);
        let [shown] = table.rows[0].not_counted.as_slice() else { panic!("one is shown") };
        assert_eq!((shown.source, shown.value.to_string().as_str()), (source, other));
        assert_eq!(shown.difference.to_string(), difference);
    };
    check(",", "100", fact::Source::Declared, "103", "3");
    check(",meter was being calibrated", "103", fact::Source::Metered, "100", "-3");
}

#[test]
fn trap_25_in_one_month_of_a_year() {
    let readings =
        [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 10_000), ("2019-01-01 00:00", 110_000)];
    let facts = "acme,2018-01,purchased:electricity,103,kWh,,seal was broken\n";
    let table = total(&metered(METERED, &readings, facts), "2018");
    // 103 declared for January, and the meter's 1000 from February on.
    assert_eq!(number(&table.rows[0].quantity), "1103");
    assert_eq!(table.rows[0].quantity.class, Some(Class::Mixed));
    assert!(table.rows[0].quantity.complete);
    assert_eq!(table.rows[0].not_counted.len(), 1);
}

#[test]
fn a_declaration_above_a_meter_is_shown_and_not_added() {
    let plant = METERED.replace("role = \"incoming\"", "role = \"incoming\"\nsubject = \"site\"");
    let readings = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 10_000)];
    let facts = "acme,2018-01,purchased:electricity,103,kWh,,\n";
    let table = total(&metered(&plant, &readings, facts), "2018-01");
    assert_eq!(number(&table.rows[0].quantity), "100");
    assert_eq!(table.rows[0].not_counted[0].difference.to_string(), "3");
    // Two declarations on one way up the plant would be counted twice.
    let facts = "acme,2018-01,purchased:electricity,103,kWh,,\nsite,2018-01,purchased:electricity,99,kWh,,\n";
    let plant = METERED.split("[[meter]]").next().unwrap().to_owned();
    let twice = Scenario { meters: Meters::default(), ..metered(METERED, &readings, facts) };
    let twice =
        Scenario { plant: Plant::read(&SourceFile::new("plant.toml", plant)).unwrap(), ..twice };
    let refused = table1(&twice.inputs(), "2018-01".parse().unwrap(), BasisChoice::Equivalent);
    assert_eq!(
        refused.map(|_| ()).unwrap_err().to_string(),
        "purchased:electricity for 2018-01 is given for `acme` and for `site` inside it: give it at one level"
    );
}

#[test]
fn no_data_is_not_zero() {
    let table = total(&metered(METERED, &[], ""), "2018-01");
    assert_eq!(table.rows[0].quantity.value, None);
    let sum = table.totals.equivalent.unwrap();
    assert_eq!((&sum.value, sum.complete), (&None, false));
    assert_eq!(sum.note().as_deref(), Some("unknown: table1/2018-01/electricity/equivalent"));
}

/// Water measured in m³, converted by mass: another stated factor is another figure and another set.
#[test]
fn the_set_id_changes_with_a_stated_factor() {
    let table = |factor: &str| {
        let plant = METERED.split("[[energy_kind]]").next().unwrap().to_owned()
            + "[[energy_kind]]\nid = \"water\"\nunit = \"m3\"\ncoefficient = \"fresh_water\"\n"
            + &format!("conversion = [{{ from = \"m3\", to = \"t\", factor = {factor} }}]\n");
        total(&declared(&plant, "acme,2023,purchased:water,1000,m3,,\n"), "2023")
    };
    let (one, other) = (table("1"), table("0.998"));
    assert_eq!(number(one.totals.equivalent.as_ref().unwrap()), "0.2571");
    assert_eq!(number(other.totals.equivalent.as_ref().unwrap()), "0.2565858");
    assert_ne!(one.coefficient_sets.equivalent, other.coefficient_sets.equivalent);
    let used = &other.explanations["table1/2023/water/equivalent"].coefficients[0];
    assert_eq!(used.conversions[0].factor.to_string(), "0.998");
}

#[test]
fn a_denominator_that_is_not_above_zero_makes_no_figure() {
    let readings = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 10_000)];
    let note = |facts: &str| {
        let table = total(&metered(METERED, &readings, facts), "2018-01");
        let figure = table.value_added_intensity.equivalent.unwrap();
        assert_eq!(figure.value, None);
        figure.note().unwrap().to_string()
    };
    assert_eq!(note(""), "undefined: `table1/2018-01/value_added` is missing");
    assert_eq!(
        note("acme,2018-01,value_added,-5,万元,,\n"),
        "undefined: `table1/2018-01/value_added` is -5 万元, not above zero"
    );
    assert_eq!(
        note("acme,2018-01,value_added,0,万元,,\n"),
        "undefined: `table1/2018-01/value_added` is 0 万元, not above zero"
    );
}

#[test]
fn what_is_made_on_site_enters_no_total_and_what_is_sold_is_taken_off() {
    let plant = METERED.split("[[meter]]").next().unwrap().to_owned()
        + "[[energy_kind]]\nid = \"steam\"\nunit = \"t\"\ncoefficient = \"raw_coal\"\n";
    let facts = "acme,2018,purchased:electricity,1000,kWh,,\nacme,2018,exported:electricity,300,kWh,,\nacme,2018,own:steam,50,t,,\n";
    let table = total(&declared(&plant, facts), "2018");
    let total = table.totals.equivalent.unwrap();
    assert_eq!(number(&total), "0.08603");
    assert_eq!(table.explanations[&total.name].formula, "0.1229 − 0.03687 = 0.08603 tce");
    let own = table.rows.iter().find(|row| row.source == fact::Flow::Own).unwrap();
    assert_eq!((number(&own.quantity).as_str(), own.converted.equivalent.is_none()), ("50", true));
}
