//! Own steam, compressed air and electricity in the lines that use them (trial fig-05).

use super::*;
use unit_product::Line;

/// A plant without meters: a boiler, a compressor, two lines; steam of 2 768.30 kJ/kg.
fn plant(more: &str) -> String {
    let subjects: String =
        ["boiler equipment", "compressor equipment", "line-a line", "line-b line"]
            .map(|one| {
                let (id, kind) = one.split_once(' ').unwrap();
                format!("[[subject]]\nid = \"{id}\"\nkind = \"{kind}\"\n")
            })
            .concat();
    METERED.split("[[energy_kind]]").next().unwrap().to_owned()
        + &subjects
        + "[[energy_kind]]\nid = \"raw_coal\"\nunit = \"t\"\n\
           [[energy_kind]]\nid = \"steam\"\nunit = \"t\"\nsteam_rule = \"enthalpy\"\nsteam_kj_per_kg = 2768.30\n\
           [[energy_kind]]\nid = \"electricity\"\nunit = \"万kWh\"\n\
           [[energy_kind]]\nid = \"air\"\nunit = \"m3\"\ncoefficient = \"compressed_air\"\nclass = \"medium\"\n\
           [[product]]\nid = \"p\"\nunit = \"t\"\nline = \"line-b\"\n"
        + more
}

/// `made_by` of a kind of the plant above.
fn made_by(kind: &str, makers: &str) -> String {
    let id = format!("id = \"{kind}\"\n");
    let text = plant("");
    assert!(text.contains(&id));
    text.replacen(&id, &format!("{id}made_by = [{makers}]\n"), 1)
}

const FIG_05: [&str; 7] = [
    "acme purchased:raw_coal,1200,t",
    "acme purchased:electricity,100,万kWh",
    "boiler consumed:raw_coal,1200,t",
    "acme own:steam,6000,t",
    "line-b consumed:steam,6000,t",
    "line-b consumed:electricity,50,万kWh",
    "line-b qualified_output:p,1000,t",
];

fn facts(rows: &[&str]) -> String {
    rows.iter().fold(String::new(), |text, row| {
        let (subject, rest) = row.split_once(' ').unwrap();
        format!("{text}{subject},2023,{rest},,\n")
    })
}

/// The plant without the kinds of which the rows say nothing, and without a line that has nothing.
fn needed(plant: &str, rows: &[&str]) -> String {
    let rows = rows.join("\n");
    let idle = |section: &str| {
        let id = section.split("id = \"").nth(1).and_then(|rest| rest.split('"').next());
        let kind = section.starts_with("energy_kind");
        let line = section.starts_with("subject") && section.contains("\"line-a\"");
        id.is_some_and(|id| {
            (kind && !rows.contains(&format!(":{id},")))
                || (line && !rows.contains(id) && !plant.contains("[[allocation]]"))
        })
    };
    let sections = plant.split("[[").filter(|section| !idle(section));
    sections.collect::<Vec<_>>().join("[[")
}

fn products(plant: &str, rows: &[&str]) -> UnitProduct {
    let scenario = declared(&needed(plant, rows), &facts(rows));
    unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap()
}

fn line<'a>(found: &'a UnitProduct, id: &str) -> &'a Line {
    found.lines.iter().find(|line| line.line.as_str() == id).unwrap()
}

fn tce(figures: &PerBasis<Figure>) -> String {
    number(figures.equivalent.as_ref().unwrap())
}

fn per_product(found: &UnitProduct) -> (String, bool, String) {
    let product = line(found, "line-b").product.as_ref().unwrap();
    let figure = product.energy_per_product.equivalent.as_ref().unwrap();
    let note = figure.note().map(|note| note.to_string()).unwrap_or_default();
    (ratio(figure), figure.complete, note)
}

/// The lines and the rest are the enterprise, exactly.
fn sums_up(found: &UnitProduct) {
    let figures = found.lines.iter().map(|line| &line.tce).chain([&found.undistributed]);
    let all: Number =
        figures.filter_map(|figures| figures.equivalent.as_ref().unwrap().exact().cloned()).sum();
    assert_eq!(all.to_string(), tce(&found.totals));
}

#[test]
fn a_product_made_with_own_steam_has_the_coal_of_the_steam() {
    for (plant, rows) in [
        (made_by("steam", "\"boiler\""), FIG_05.to_vec()),
        // The steam is given where it is made.
        (plant(""), [&["boiler own:steam,6000,t"], &FIG_05[..3], &FIG_05[4..]].concat()),
    ] {
        let found = products(&plant, &rows);
        assert_eq!(per_product(&found), ("0.918610".to_owned(), true, String::new()));
        assert_eq!(tce(&line(&found, "line-b").tce), "918.61");
        assert_eq!(tce(&found.undistributed), "61.45");
        sums_up(&found);
        let coal = &line(&found, "line-b").kinds[0];
        assert_eq!((coal.kind.as_str(), number(&coal.quantity).as_str()), ("raw_coal", "1200"));
        let through = &found.explanations["unit-product/2023/line-b/raw_coal/through/steam"];
        assert_eq!(through.formula, "1200 t ÷ 6000 t of `steam` × 6000 t = 1200 t");
        assert_eq!(through.declared[0].subject.as_str(), "boiler");
        let steam = &line(&found, "line-b").kinds[1];
        assert!(steam.converted.equivalent.is_none());
    }
}

#[test]
fn own_steam_of_unknown_makers_leaves_the_line_incomplete() {
    let found = products(&plant(""), &FIG_05);
    let (value, complete, note) = per_product(&found);
    assert_eq!((value.as_str(), complete), ("0.061450", false));
    assert!(note.contains("what made `own:steam` is not stated"), "{note}");
    let total = line(&found, "line-b").tce.equivalent.as_ref().unwrap();
    assert!(!total.complete && total.note().unwrap().contains("write `made_by`"));
    assert!(!found.undistributed.equivalent.as_ref().unwrap().complete);
    sums_up(&found);
    // The boiler is named, and what it used is not given.
    let rows = [&FIG_05[..2], &FIG_05[3..]].concat();
    let (_, complete, note) = per_product(&products(&made_by("steam", "\"boiler\""), &rows));
    assert!(
        !complete && note.contains("what `boiler` used to make `steam` is not given"),
        "{note}"
    );
    // Steam of recovered heat carries nothing, as the file says.
    let (value, complete, _) = per_product(&products(&made_by("steam", ""), &FIG_05));
    assert_eq!((value.as_str(), complete), ("0.061450", true));
}

const KEY: &str = "[[allocation]]\nfrom = \"boiler\"\nenergy_kind = \"raw_coal\"\n\
                   share = [{ to = \"line-b\", weight = 1 }, { to = \"line-a\", weight = 1 }]\n";

#[test]
fn an_allocation_key_divides_the_coal_of_the_steam_where_there_is_one() {
    let check = |plant: String, stated: bool, remark: &str| {
        let found = products(&plant, &FIG_05);
        // Half of the coal, whatever was used of the steam.
        let (value, complete, _) = per_product(&found);
        assert_eq!((value.as_str(), complete), ("0.490030", stated));
        assert_eq!(tce(&line(&found, "line-a").tce), "428.58");
        let steam = line(&found, "line-b").kinds.iter().find(|one| one.kind.as_str() == "steam");
        assert!(steam.unwrap().quantity.note().unwrap().contains(remark));
        sums_up(&found);
    };
    check(made_by("steam", "\"boiler\"") + KEY, true, "made on site");
    // A key names who shares the coal, not what the coal makes.
    check(plant(KEY), false, "what made `own:steam` is not stated");
    // A compressor's electricity cannot have made the steam.
    let other = KEY.replace("boiler", "compressor").replace("raw_coal", "electricity");
    let rows = [&FIG_05[..], &["compressor consumed:electricity,20,万kWh"]].concat();
    assert!(!per_product(&products(&plant(&other), &rows)).1);
}

/// A forge whose diesel is divided was taken for what made the air: 0.981430 tce/t, complete. It is 0.4898.
#[test]
fn a_key_of_other_equipment_does_not_make_it_the_maker() {
    let forge = KEY.replace("raw_coal", "diesel").replace(", { to = \"line-a\", weight = 1 }", "");
    let kinds = |text: String| {
        let diesel = "[[energy_kind]]\nid = \"diesel\"\nunit = \"t\"\n";
        text.replacen("[[energy_kind]]", &format!("{diesel}[[energy_kind]]"), 1) + &forge
    };
    let rows = [
        "acme purchased:electricity,100,万kWh",
        "acme purchased:diesel,10,t",
        "acme own:air,1000000,m3",
        "boiler consumed:diesel,10,t",
        "boiler consumed:electricity,60,万kWh",
        "compressor consumed:electricity,10,万kWh",
        "line-a consumed:electricity,0,万kWh",
        "line-b consumed:air,800000,m3",
        "line-b consumed:electricity,20,万kWh",
        "line-b qualified_output:p,100,t",
    ];
    let found = products(&kinds(plant("")), &rows);
    let (value, complete, note) = per_product(&found);
    assert_eq!((value.as_str(), complete), ("0.391510", false));
    let energy =
        line(&found, "line-b").tce.equivalent.as_ref().unwrap().note().unwrap().to_string();
    for said in [note, energy] {
        assert!(said.contains("what made `own:air` is not stated"), "{said}");
        assert!(said.contains("write `made_by`"), "{said}");
    }
    sums_up(&found);
    let found = products(&kinds(made_by("air", "\"compressor\"")), &rows);
    let (value, complete, _) = per_product(&found);
    assert_eq!((value.as_str(), complete), ("0.489830", true));
    sums_up(&found);
}

#[test]
fn steam_that_two_lines_use_is_divided_by_use_and_what_is_lost_stays_undistributed() {
    let rows = [
        &FIG_05[..4],
        &["line-b consumed:steam,2000,t", "line-a consumed:steam,1000,t", FIG_05[5], FIG_05[6]],
    ]
    .concat();
    let found = products(&made_by("steam", "\"boiler\""), &rows);
    assert_eq!(tce(&line(&found, "line-b").tce), "347.17");
    assert_eq!(tce(&line(&found, "line-a").tce), "142.86");
    sums_up(&found);
    // Three lines' thirds sum to the whole.
    let thirds = [
        &FIG_05[..3],
        &["acme own:steam,3000,t", "line-b consumed:steam,1000,t", "line-a consumed:steam,2000,t"],
    ]
    .concat();
    let found = products(&made_by("steam", "\"boiler\""), &with_1000_t(&thirds));
    let coal = |id: &str| number(&line(&found, id).kinds[0].quantity);
    assert_eq!(
        (coal("line-a").as_str(), coal("line-b").as_str()),
        ("666.666666666667", "333.333333333333")
    );
    sums_up(&found);
    // More than was made is doubted.
    let rows = [&FIG_05[..4], &["line-b consumed:steam,7000,t", FIG_05[5], FIG_05[6]]].concat();
    let (_, complete, note) = per_product(&products(&made_by("steam", "\"boiler\""), &rows));
    assert!(
        !complete && note.contains("the lines use 7000 t of `steam`, and there is 6000 t"),
        "{note}"
    );
}

/// The same with 1 000 t of coal.
fn with_1000_t(rows: &[&'static str]) -> Vec<&'static str> {
    let other = |row: &&'static str| match *row {
        "acme purchased:raw_coal,1200,t" => "acme purchased:raw_coal,1000,t",
        "boiler consumed:raw_coal,1200,t" => "boiler consumed:raw_coal,1000,t",
        row => row,
    };
    rows.iter().map(other).collect()
}

/// Half of the steam is bought: 0.094454396 tce/t; the other half is the boiler's.
#[test]
fn steam_that_is_bought_and_made_is_divided_by_what_there_is_of_both() {
    let rows = [
        &FIG_05[..4],
        &["acme purchased:steam,6000,t", "line-b consumed:steam,6000,t", FIG_05[5], FIG_05[6]],
    ]
    .concat();
    let found = products(&made_by("steam", "\"boiler\""), &rows);
    // 3000 × 0.094454396 + 600 × 0.7143 + 61.45
    assert_eq!(tce(&line(&found, "line-b").tce), "773.393188");
    sums_up(&found);
    let counted = &found.explanations["unit-product/2023/line-b/steam/counted"];
    assert_eq!(counted.formula, "6000 t × 6000 ÷ 12000 bought or generated = 3000 t");
    // Export of own steam leaves less of it inside.
    let sold = [&rows[..], &["acme exported:steam,3000,t"]].concat();
    let found = products(&made_by("steam", "\"boiler\""), &sold);
    // 6000 × 6000 ÷ 9000 bought, and 2000 of the 6000 that took 1 200 t of coal
    assert_eq!(tce(&line(&found, "line-b").tce), "724.987584");
    sums_up(&found);
}

/// A compressor that runs on electricity, of which a CHP plant makes a part, of coal.
#[test]
fn what_is_made_of_something_made_reaches_the_lines_through_both() {
    let text = made_by("electricity", "\"boiler\"").replacen(
        "id = \"air\"\n",
        "id = \"air\"\nmade_by = [\"compressor\"]\n",
        1,
    );
    let rows = [
        "acme purchased:raw_coal,1000,t",
        "boiler consumed:raw_coal,1000,t",
        "acme purchased:electricity,100,万kWh",
        "acme own:electricity,300,万kWh",
        "compressor consumed:electricity,40,万kWh",
        "acme own:air,1000,m3",
        "line-b consumed:air,250,m3",
        "line-b consumed:electricity,90,万kWh",
        "line-b qualified_output:p,1000,t",
    ];
    let found = products(&text, &rows);
    // 100 万kWh, a quarter of them bought, and a quarter of the coal.
    assert_eq!(tce(&line(&found, "line-b").tce), "209.3");
    assert!(per_product(&found).1);
    sums_up(&found);
}

/// A boiler and a turbine that feed each other: it is said, and nothing is invented.
#[test]
fn kinds_that_are_made_of_each_other_leave_the_line_incomplete() {
    let text = made_by("steam", "\"boiler\"").replacen(
        "id = \"electricity\"\n",
        "id = \"electricity\"\nmade_by = [\"compressor\"]\n",
        1,
    );
    let rows = [
        &FIG_05[..4],
        &["boiler consumed:electricity,1,万kWh", "compressor consumed:steam,3000,t"],
        &["acme own:electricity,20,万kWh", "line-b consumed:steam,3000,t", FIG_05[5], FIG_05[6]],
    ]
    .concat();
    let found = products(&text, &rows);
    let (_, complete, note) = per_product(&found);
    assert!(!complete && note.contains("are made of each other"), "{note}");
    sums_up(&found);
}

/// C2's coal is divided between electricity and heat by their heat content.
#[test]
fn a_maker_of_two_kinds_gives_each_its_part_by_heat_content() {
    let heat = "[[energy_kind]]\nid = \"heat\"\nunit = \"GJ\"\nmade_by = [\"boiler\"]\n";
    let text = made_by("electricity", "\"boiler\"") + heat;
    let rows = [
        "acme purchased:raw_coal,10000,t",
        "boiler consumed:raw_coal,10000,t",
        "acme purchased:electricity,200,万kWh",
        "acme own:electricity,1500,万kWh",
        "acme exported:electricity,300,万kWh",
        "acme own:heat,60000,GJ",
        "acme exported:heat,12000,GJ",
        "line-a consumed:electricity,1400,万kWh",
        "line-b consumed:heat,48000,GJ",
    ];
    let found = products(&text, &rows);
    assert_eq!(tce(&found.totals), "6610.66");
    // 7143 × 0.8 of the coal is used inside, and 200 万kWh were bought; what was lost in making what was sold stays.
    let number = |figures| tce(figures).parse::<Number>().unwrap();
    let lines: Number = found.lines.iter().map(|line| number(&line.tce)).sum();
    assert_eq!(lines.to_string(), "5960.2");
    // 2047.2 of 3890.7 of the coal made the heat, four fifths of it used
    assert!(tce(&line(&found, "line-b").tce).starts_with("3006.790469"), "{lines}");
    sums_up(&found);
}

#[test]
fn a_boiler_inside_a_line_counts_there() {
    let text = made_by("steam", "\"boiler\"").replacen(
        "id = \"boiler\"\nkind = \"equipment\"\n",
        "id = \"boiler\"\nkind = \"equipment\"\nparent = \"line-b\"\n",
        1,
    );
    let found = products(&text, &FIG_05);
    let (value, complete, _) = per_product(&found);
    assert_eq!((value.as_str(), complete), ("0.918610", true));
    let rows = [&FIG_05[..], &["line-a consumed:steam,100,t"]].concat();
    let other = products(&text, &rows);
    let figure = line(&other, "line-a").tce.equivalent.as_ref().unwrap();
    assert!(figure.note().unwrap().contains("is made by `boiler` in `line-b`"), "{figure:?}");
}

#[test]
fn makers_are_checked() {
    let bad = |makers: &str, expected: &str| {
        let file = SourceFile::new("plant.toml", made_by("steam", makers));
        let problems = Plant::read(&file).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
    };
    bad("\"boilr\"", "did you mean `boiler`?");
    bad("\"acme\"", "`acme` holds the line `line-a`");
    bad("\"boiler\", \"boiler\"", "which is named too");
}

/// Coal of two halves of a year at two measured values: the coal of the steam has that of both, by what was burnt.
#[test]
fn coal_of_own_steam_has_the_coefficients_of_the_months_in_which_it_was_burnt() {
    let row = |value: &str, from: &str, to: &str| {
        format!(
            "[[coefficient]]\nenergy_kind = \"raw_coal\"\nrole = \"equivalent\"\nvalue = {value}\nunit = \"kg\"\n\
             valid_from = {from}\nvalid_to = {to}\nnotice = \"lab\"\nevidence = \"measured\"\n"
        )
    };
    let text = made_by("steam", "\"boiler\"")
        + &row("0.6", "2023-01-01", "2023-06-30")
        + &row("0.7", "2023-07-01", "2023-12-31");
    let rows = ["acme purchased:steam,0,t", "line-b consumed:steam,500,t", FIG_05[6]];
    let rows = [&rows[..], &["acme own:steam,1000,t", "line-a consumed:steam,250,t"]].concat();
    let months = (1..=12).fold(facts(&rows), |text, month| {
        let coal = if month <= 6 { 20 } else { 30 };
        format!(
            "{text}acme,2023-{month:02},purchased:raw_coal,{coal},t,,\nboiler,2023-{month:02},consumed:raw_coal,{coal},t,,\n"
        )
    });
    let names = [&rows[..], &["acme purchased:raw_coal,1,t"]].concat();
    let scenario = declared(&needed(&text, &names), &months);
    let found =
        unit_product(&scenario.inputs(), "2023".parse().unwrap(), BasisChoice::Equivalent).unwrap();
    // 120 t at 0.6 and 180 t at 0.7, half and a quarter of them.
    assert_eq!(tce(&found.totals), "198");
    assert_eq!(tce(&line(&found, "line-b").tce), "99");
    assert_eq!(tce(&line(&found, "line-a").tce), "49.5");
    assert!(per_product(&found).1);
    sums_up(&found);
}
