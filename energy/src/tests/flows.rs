//! Own primary energy, export and what it is taken off, and totals that cannot be (trial fig-04).

use super::*;

/// A plant without meters that has these kinds.
fn plant(kinds: &[&str]) -> String {
    let begin = METERED.split("[[energy_kind]]").next().unwrap().to_owned();
    kinds.iter().fold(begin, |text, kind| {
        let (id, unit) = kind.split_once(' ').unwrap();
        let (unit, more) = unit.split_once(' ').unwrap_or((unit, ""));
        format!("{text}[[energy_kind]]\nid = \"{id}\"\nunit = \"{unit}\"\n{more}\n")
    })
}

const ELECTRICITY: &str = "electricity 万kWh";

fn facts(rows: &[&str]) -> String {
    rows.iter().fold(String::new(), |text, row| format!("{text}acme,2023,{row},,\n"))
}

/// Both totals of 2023 in calorific value.
fn totals(plant: &str, rows: &[&str]) -> (Figure, Figure) {
    let table = total(&declared(plant, &facts(rows)), "2023");
    (table.totals.equivalent.unwrap(), table.totals_without_generated.equivalent.unwrap())
}

fn check(plant: &str, rows: &[&str], with: &str, without: &str) {
    let (all, bought) = totals(plant, rows);
    assert_eq!((number(&all).as_str(), number(&bought).as_str()), (with, without), "{rows:?}");
}

/// Neither total has a value, and both say why.
fn refused(plant: &str, rows: &[&str], why: &str) {
    let (all, bought) = totals(plant, rows);
    for figure in [all, bought] {
        assert_eq!((&figure.value, figure.complete), (&None, false), "{rows:?}");
        let note = figure.note().unwrap();
        assert!(note.contains(why), "{note}");
        assert!(note.get(model::Language::Chinese).contains('：'), "{note:?}");
    }
}

#[test]
fn own_photovoltaic_power_enters_the_total_and_its_surplus_is_taken_off_it() {
    let plant = plant(&[ELECTRICITY]);
    let rows = |bought, made, sold| {
        [
            format!("purchased:electricity,{bought},万kWh"),
            format!("generated:electricity,{made},万kWh"),
            format!("exported:electricity,{sold},万kWh"),
        ]
    };
    let check = |bought, made, sold, with, without| {
        let rows = rows(bought, made, sold);
        check(&plant, &rows.each_ref().map(String::as_str), with, without);
    };
    check(500, 100, 30, "700.53", "614.5");
    check(20, 200, 60, "196.64", "24.58");
    check(500, 100, 100, "614.5", "614.5");
    check(0, 200, 60, "172.06", "0");
    let much = rows(500, 50, 60);
    refused(
        &plant,
        &much.each_ref().map(String::as_str),
        "`exported:electricity` is 60 万kWh, more than `generated:electricity` that it is taken off, 50 万kWh",
    );
}

/// fig-04 as it was typed: 577.63 must never come out.
#[test]
fn photovoltaic_power_typed_as_own_is_refused_where_nothing_can_have_made_it() {
    let rows = [
        "purchased:electricity,500,万kWh",
        "own:electricity,100,万kWh",
        "exported:electricity,30,万kWh",
        "gross_output_value,18500,万元",
    ];
    let alone = plant(&[ELECTRICITY]);
    let why =
        "nothing that is counted can have made `own:electricity`: write `generated:electricity`";
    refused(&alone, &rows, why);
    refused(&alone, &[rows[0], rows[1]], why);
    let table = total(&declared(&alone, &facts(&rows)), "2023");
    assert_eq!(table.output_value_intensity.equivalent.unwrap().value, None);
    let explained = &table.explanations["table1/2023/total/equivalent"];
    assert!(!explained.formula.contains("577.63"), "{}", explained.formula);
    // A little diesel cannot have made it either, and water is no energy.
    let others = plant(&[ELECTRICITY, "diesel t", "water t coefficient = \"fresh_water\""]);
    let little = [&rows[..], &["purchased:diesel,10,t", "purchased:water,9000,t"]].concat();
    refused(&others, &little, "`own:electricity` holds more energy than all other kinds");
    let kept = [rows[0], rows[1], "purchased:diesel,10,t"];
    let (figure, _) = totals(&plant(&[ELECTRICITY, "diesel t"]), &kept);
    assert!(!figure.complete && figure.note().unwrap().contains("holds more energy"));
    // Where something may have made it, the total says that it is not stated.
    let coal = [&rows[..], &["purchased:raw_coal,2000,t"]].concat();
    let (figure, _) = totals(&plant(&[ELECTRICITY, "raw_coal t"]), &coal);
    assert_eq!(number(&figure), "2006.23");
    assert!(figure.note().unwrap().contains("what made `own:electricity` is not stated"));
}

/// C2: a plant that makes electricity and heat of coal and sells some of both. The boundary form.
#[test]
fn electricity_and_heat_of_a_chp_plant_are_taken_off_the_total_where_they_are_sold() {
    let plant = plant(&["raw_coal t", ELECTRICITY, "heat GJ"]).replace("2020", "2008");
    let rows = [
        "purchased:raw_coal,10000,t",
        "purchased:electricity,200,万kWh",
        "own:electricity,1500,万kWh",
        "exported:electricity,300,万kWh",
        "own:heat,60000,GJ",
        "exported:heat,12000,GJ",
    ];
    check(&plant, &rows, "6610.66", "6610.66");
    let more = [&rows[..3], &["exported:electricity,1600,万kWh"], &rows[4..]].concat();
    refused(&plant, &more, "more than `own:electricity` that it is taken off, 1500 万kWh");
}

#[test]
fn what_is_bought_and_sold_on_is_taken_off_what_was_bought() {
    let plant = plant(&[ELECTRICITY]);
    let bought = "purchased:electricity,500,万kWh";
    check(&plant, &[bought, "exported:electricity,30,万kWh"], "577.63", "577.63");
    refused(
        &plant,
        &[bought, "exported:electricity,501,万kWh"],
        "more than `purchased:electricity`",
    );
    // The same plant may make power, and sell what it buys.
    let stated =
        plant.replace("unit = \"万kWh\"", "unit = \"万kWh\"\nexported_from = \"purchased\"");
    let made = [bought, "generated:electricity,100,万kWh", "exported:electricity,30,万kWh"];
    check(&stated, &made, "700.53", "577.63");
    let stated = plant.replace("unit = \"万kWh\"", "unit = \"万kWh\"\nexported_from = \"own\"");
    refused(&stated, &made, "is taken off `own:electricity`, and there is none");
}

#[test]
fn a_total_is_never_negative() {
    // Electricity is made of little coal and sold at an equal value far above it.
    let row = "[[coefficient]]\nenergy_kind = \"electricity\"\nrole = \"equal_value\"\nvalue = 4.04\nvalue_unit = \"tce\"\n\
               unit = \"万kWh\"\nregion = \"CN\"\ndata_year = 2022\nnotice = \"test\"\nevidence = \"illustrative\"\n\
               coal_rate_kind = \"gross\"\n";
    let plant = plant(&[ELECTRICITY, "raw_coal t"]) + row;
    let rows =
        ["purchased:raw_coal,400,t", "own:electricity,200,万kWh", "exported:electricity,200,万kWh"];
    let scenario = declared(&plant, &facts(&rows));
    let table = table1(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Both).unwrap();
    assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), "39.92");
    let total = table.totals.equal_value.unwrap();
    assert_eq!(total.value, None);
    assert!(total.note().unwrap().contains("so that it would be negative"), "{:?}", total.note());
}

#[test]
fn it_is_asked_which_of_two_sources_is_exported() {
    let rows = [
        "purchased:electricity,500,万kWh",
        "generated:electricity,100,万kWh",
        "own:electricity,100,万kWh",
        "exported:electricity,30,万kWh",
        "purchased:raw_coal,2000,t",
    ];
    let kinds = plant(&[ELECTRICITY, "raw_coal t"]);
    let file = SourceFile::new("plant.toml", kinds.clone());
    let read = |file| Plant::read(&file).map_err(|problems| problems.to_string()).unwrap();
    let header = "subject,period,measure,value,unit,note,override_reason\n";
    let text = SourceFile::new("facts.csv", format!("{header}{}", facts(&rows)));
    let problems = Facts::read(&read(file), std::slice::from_ref(&text)).unwrap_err().to_string();
    assert!(problems.contains("EN-C121 facts.csv:5:1"), "{problems}");
    let stated =
        |source: &str| kinds.replacen("unit", &format!("exported_from = \"{source}\"\nunit"), 1);
    check(&stated("own"), &rows, "2129.13", "2006.23");
    check(&stated("generated"), &rows, "2129.13", "2043.1");
    // Meters alone ask as well.
    let meters: String = ["incoming", "generated", "own", "export"]
        .map(|role| format!("[[meter]]\npoint = \"acme/{role}\"\nenergy_kind = \"electricity\"\nrole = \"{role}\"\nunit = \"kWh\"\n"))
        .concat();
    let problems = Plant::read(&SourceFile::new("plant.toml", kinds.clone() + &meters));
    assert!(problems.unwrap_err().to_string().contains("EN-C121"));
    assert!(Plant::read(&SourceFile::new("plant.toml", stated("own") + &meters)).is_ok());
}

#[test]
fn a_medium_is_no_primary_energy_and_steam_is_doubtful() {
    let water = plant(&["water t coefficient = \"fresh_water\"\nclass = \"medium\""]);
    let plant_file = Plant::read(&SourceFile::new("plant.toml", water)).unwrap();
    let header = "subject,period,measure,value,unit,note,override_reason\n";
    let text = SourceFile::new("facts.csv", format!("{header}acme,2023,generated:water,9,t,,\n"));
    let problems = Facts::read(&plant_file, &[text]).unwrap_err().to_string();
    assert!(problems.contains("no primary energy"), "{problems}");
    let steam =
        plant(&["raw_coal t", "steam t steam_rule = \"enthalpy\"\nsteam_kj_per_kg = 2768.30"]);
    let rows = ["purchased:raw_coal,1200,t", "purchased:steam,0,t", "generated:steam,6000,t"];
    let (figure, _) = totals(&steam, &rows);
    assert!(figure.note().unwrap().contains("what was made of other energy, as in a boiler"));
    let boiler = "[[subject]]\nid = \"boiler\"\nkind = \"equipment\"\n";
    let facts = "acme,2023,purchased:raw_coal,1200,t,,\nboiler,2023,consumed:raw_coal,1200,t,,\n\
                 boiler,2023,purchased:steam,6000,t,,\n";
    let table = total(&declared(&format!("{steam}{boiler}"), facts), "2023");
    let note = table.totals.equivalent.unwrap().note().unwrap();
    assert!(note.contains("stands at `boiler`, which uses a fuel"), "{note}");
    let (figure, _) = totals(&plant(&[ELECTRICITY]), &["generated:electricity,100,万kWh"]);
    assert!(figure.note().unwrap().contains("no purchase of it is given"));
}

/// 500 万kWh bought, 100 of PV, 30 of it sold; 90 t of coal: the PV stood in the subtotal of secondary energy.
#[test]
fn own_primary_energy_is_in_the_subtotal_of_primary_energy() {
    let plant = METERED.split("[[energy_kind]]").next().unwrap().to_owned()
        + "[[energy_kind]]\nid = \"electricity\"\nunit = \"万kWh\"\n\
           [[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n";
    let bought =
        "acme,2023,purchased:electricity,500,万kWh,,\nacme,2023,purchased:raw_coal,90,t,,\n";
    let check = |more: &str, expected: [&str; 3]| {
        let table = total(&declared(&plant, &format!("{bought}{more}")), "2023");
        let subtotals = table.subtotals.iter().map(|one| one.tce.equivalent.as_ref().unwrap());
        let found: Vec<String> = subtotals.map(number).collect();
        assert_eq!(found, expected[..2]);
        assert_eq!(number(table.totals.equivalent.as_ref().unwrap()), expected[2]);
        table
    };
    // 90 × 0.7143 + 70 × 1.229, and 500 × 1.229
    let sold =
        "acme,2023,generated:electricity,100,万kWh,,\nacme,2023,exported:electricity,30,万kWh,,\n";
    let table = check(sold, ["150.317", "614.5", "764.817"]);
    let classes: Vec<(fact::Flow, coefficient::EnergyClass)> =
        table.rows.iter().map(|row| (row.source, row.class)).collect();
    assert!(classes.contains(&(fact::Flow::Generated, coefficient::EnergyClass::Primary)));
    assert!(classes.contains(&(fact::Flow::Exported, coefficient::EnergyClass::Primary)));
    // What is sold of what was bought is secondary.
    check("acme,2023,exported:electricity,30,万kWh,,\n", ["64.287", "577.63", "641.917"]);
}
