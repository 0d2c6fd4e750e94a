//! A meter inside a metered subject without a parent would be counted twice (trial fig-11).

use super::*;

const SUBJECTS: &str = "[[subject]]\nid = \"line-a\"\nkind = \"line\"\n\
                        [[subject]]\nid = \"oven\"\nkind = \"equipment\"\nparent = \"line-a\"\n";

fn meter(id: &str, subject: &str, role: &str, more: &str) -> String {
    format!(
        "[[meter]]\nid = \"{id}\"\npoint = \"acme/{id}\"\nenergy_kind = \"electricity\"\nsubject = \"{subject}\"\n\
         role = \"{role}\"\nunit = \"kWh\"\n{more}\n"
    )
}

fn read(meters: &[(&str, &str, &str, &str)]) -> Result<Plant, String> {
    let meters: String =
        meters.iter().map(|(id, subject, role, more)| meter(id, subject, role, more)).collect();
    let text = METERED.split("[[meter]]").next().unwrap().to_owned() + SUBJECTS + &meters;
    Plant::read(&SourceFile::new("plant.toml", text)).map_err(|problems| problems.to_string())
}

fn good(meters: &[(&str, &str, &str, &str)]) -> Plant {
    read(meters).unwrap_or_else(|problems| panic!("{meters:?}: {problems}"))
}

fn bad(meters: &[(&str, &str, &str, &str)], expected: &str) {
    let problems = read(meters).map(|_| ()).unwrap_err();
    assert!(problems.contains(expected) && problems.contains("EN-C122"), "{problems}");
}

#[test]
fn a_meter_inside_a_metered_subject_names_its_parent_or_is_independent() {
    let main = ("main", "acme", "incoming", "");
    for role in ["incoming", "sub"] {
        bad(
            &[main, ("a", "line-a", role, "")],
            "meter `a` stands at `line-a`, and meter `main` counts `electricity` of all of `acme`",
        );
        // Whichever stands first in the file.
        bad(&[("a", "line-a", role, ""), main], "meter `a` stands at `line-a`");
        good(&[main, ("a", "line-a", role, "parent = \"main\"")]);
        good(&[main, ("a", "line-a", role, "independent = true")]);
    }
    // Two sub-meters at nested subjects: the line would be the sum of both.
    bad(&[("a", "line-a", "sub", ""), ("o", "oven", "sub", "")], "meter `o` stands at `oven`");
    good(&[("a", "line-a", "sub", ""), ("o", "oven", "sub", "parent = \"a\"")]);
    // Two feeders of one subject, and two lines beside each other.
    good(&[main, ("second", "acme", "incoming", "")]);
    good(&[("a", "line-a", "sub", ""), ("a2", "line-a", "sub", "")]);
    bad(&[main, ("second", "acme", "sub", "")], "meter `second` stands at `acme`");
    bad(
        &[main, ("a", "line-a", "sub", "parent = \"main\"\nindependent = true")],
        "it cannot be both",
    );
}

#[test]
fn each_flow_is_counted_once() {
    for role in ["own", "generated", "export"] {
        bad(&[("all", "acme", role, ""), ("part", "line-a", role, "")], "meter `part` stands at");
        good(&[("all", "acme", role, ""), ("part", "line-a", role, "parent = \"all\"")]);
        good(&[("all", "acme", role, ""), ("part", "line-a", role, "independent = true")]);
        // What comes in and what is made or sold are different energies.
        good(&[("main", "acme", "incoming", ""), ("roof", "line-a", role, "")]);
        bad(
            &[("main", "acme", "incoming", ""), ("roof", "line-a", role, "parent = \"main\"")],
            "cannot lie behind `main`, whose role is `incoming`",
        );
    }
    good(&[("roof", "acme", "generated", ""), ("a", "line-a", "sub", "parent = \"roof\"")]);
    bad(
        &[("sold", "acme", "export", ""), ("a", "line-a", "sub", "parent = \"sold\"")],
        "cannot lie behind `sold`, whose role is `export`",
    );
}

#[test]
fn a_sub_meter_of_the_enterprise_itself_is_doubtful() {
    let plant =
        good(&[("main", "acme", "incoming", ""), ("sold", "acme", "sub", "parent = \"main\"")]);
    let warnings = plant.warnings.to_string();
    assert!(warnings.contains("no line or equipment gets its energy"), "{warnings}");
}

/// The readings of a main meter and of two lines behind it in kWh over 31 days, and what is said of the main one's.
fn said(main: i64, lines: [i64; 2]) -> String {
    let plant = good(&[
        ("main", "acme", "incoming", ""),
        ("a", "line-a", "sub", "parent = \"main\""),
        ("o", "oven", "sub", "parent = \"main\""),
    ]);
    let readings = |at: usize, energy: i64| {
        let shown = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", energy * 100)];
        readings_of(&plant, at, &shown)
    };
    let all = [readings(0, main), readings(1, lines[0]), readings(2, lines[1])];
    let meters = Meters::build(&plant, &all).unwrap();
    let scenario =
        Scenario { plant, facts: Facts::default(), meters, expected: serde_json::Value::Null };
    let figure = total(&scenario, "2018-01").rows[0].quantity.clone();
    assert_eq!(number(&figure), main.to_string());
    figure.note().map(|note| note.to_string()).unwrap_or_default()
}

#[test]
fn meters_that_count_more_than_the_one_before_them_are_named() {
    assert!(!said(1_000, [500, 540]).contains("behind it"));
    let note = said(1_000, [500, 560]);
    assert!(note.contains("those behind it, `a`, `o`, count 1060 kWh"), "{note}");
    // The ratio of the main meter was typed ten times too small.
    assert!(said(100, [500, 300]).contains("meter `main` counts 100 kWh"));
}

/// The trial's two meters: the same energy once.
#[test]
fn a_line_behind_the_main_meter_is_counted_once() {
    let plant = good(&[
        ("main", "acme", "incoming", ""),
        ("line-a", "line-a", "incoming", "parent = \"main\""),
    ]);
    let readings = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 16_694_900)];
    let of_line = [("2018-01-01 00:00", 0), ("2018-02-01 00:00", 16_654_556)];
    let readings = [readings_of(&plant, 0, &readings), readings_of(&plant, 1, &of_line)];
    let meters = Meters::build(&plant, &readings).unwrap();
    let scenario =
        Scenario { plant, facts: Facts::default(), meters, expected: serde_json::Value::Null };
    assert_eq!(number(&total(&scenario, "2018-01").rows[0].quantity), "166949");
}
