//! Loading a profile: what is good, and every problem of what is not, in its place.

use super::*;

const GOOD: &str = r#"
maker = "Eastron"
model = "SDM630"
protocol = "modbus"
[[source]]
id = "manual"
title = "the manual"
[modbus]
address_base = 0
[[point]]
metric = "e_import"
unit = "kWh"
kind = "counter"
resolution = 0.01
modulus = "unknown"
source = "manual"
register = 72
"#;

/// The problems of `GOOD` after one change.
fn problems_of(from: &str, to: &str) -> String {
    let text = GOOD.replace(from, to);
    assert!(from.is_empty() || text != GOOD, "the change must change something");
    let mut problems = Problems::default();
    let loaded = load("eastron/sdm630", &SourceFile::new("p.toml", text), &mut problems);
    assert_eq!(loaded.is_none(), problems.is_fatal());
    problems.to_string()
}

fn check(from: &str, to: &str, expected: &str) {
    assert_eq!(problems_of(from, to), expected);
}

#[test]
fn a_good_profile_keeps_what_it_says() {
    let mut problems = Problems::default();
    let file = SourceFile::new("p.toml", GOOD);
    let profile = load("eastron/sdm630", &file, &mut problems).unwrap();
    assert_eq!(problems, Problems::default());
    let point = profile.points.first().unwrap();
    assert_eq!((point.metric.as_str(), point.unit), ("e_import", Unit::KilowattHour));
    assert_eq!((point.scale, point.offset), (Decimal::ONE, Decimal::ZERO));
    assert_eq!(point.resolution, Some("0.01".parse().unwrap()));
    assert_eq!((point.modulus, point.unverified), (None, false));
    assert!(point.address.has("register") && !point.address.has("unit"));
    assert!(profile.options.has("address_base"));
}

#[test]
fn the_states_of_an_enumeration_have_names() {
    const STATE: &str = r#"
[[point]]
metric = "mode"
unit = "1"
kind = "state"
source = "manual"
register = 80
states = [{ value = 0, zh = "停机", en = "stopped" }, { value = 1, en = "running" }]
"#;
    let problems_of = |from: &str, to: &str| {
        let text = format!("{GOOD}{}", STATE.replace(from, to));
        let mut problems = Problems::default();
        let file = SourceFile::new("p.toml", text);
        let loaded = load("eastron/sdm630", &file, &mut problems);
        let states = loaded.map(|profile| profile.points[1].states.clone()).unwrap_or_default();
        (states, problems.to_string())
    };
    let (states, problems) = problems_of("", "");
    assert_eq!(problems, "");
    let state = |value, zh: &str, en: &str| PointState { value, zh: zh.into(), en: en.into() };
    assert_eq!(states, [state(0, "停机", "stopped"), state(1, "", "running")]);
    let check = |from: &str, to: &str, expected: &str| {
        let problems = problems_of(from, to).1;
        assert!(problems.contains(expected), "{problems}");
    };
    check("value = 1", "value = 0", "state 0 stands twice; give each value one name");
    check(", en = \"running\"", "", "a state has no name");
    check("stopped", &"s".repeat(81), "`en`: expected at most 80 characters, found 81");
    check("kind = \"state\"", "kind = \"gauge\"", "only a point of `kind = \"state\"` has states");
    check("value = 1", "value = \"on\"", "expected");
    check("value = 1", "number = 1", "value");
    let many: Vec<String> = (0..257).map(|n| format!("{{ value = {n}, en = \"a\" }}")).collect();
    let many = format!("[{}]", many.join(", "));
    let list = "[{ value = 0, zh = \"停机\", en = \"stopped\" }, { value = 1, en = \"running\" }]";
    check(list, &many, "`states`: expected at most 256, found 257");
}

#[test]
fn names_what_is_wrong_and_where() {
    check("kWh", "KWH", "GW-C043 p.toml:12:8: `KWH` is not a unit; did you mean `kWh`?");
    check(
        "\"kWh\"",
        "\"kW\"",
        "GW-C044 p.toml:12:8: a counter cannot be measured in `kW`; a counter counts energy, volume, \
         mass, pieces or time; a momentary value is a `gauge`",
    );
    check(
        "source = \"manual\"",
        "source = \"manaul\"",
        "GW-C047 p.toml:16:10: source `manaul` is not defined; did you mean `manual`?",
    );
    check(
        "modulus = \"unknown\"",
        "modulus = 0",
        "GW-C045 p.toml:15:11: `modulus`: expected a number above 0 or `\"unknown\"`, found `0`; write \
         it in the unit of the point",
    );
    check(
        "resolution = 0.01",
        "resolution = -0.01",
        "GW-C046 p.toml:14:14: `resolution`: expected a number above 0, found `-0.01`; write one step, such as \
         0.01",
    );
    check(
        "[modbus]",
        "[opcua]",
        "GW-C048 p.toml:8:2: `[opcua]` is not a section that exists here; the section of this \
         profile's protocol is `[modbus]`",
    );
    check(
        "e_import",
        "E import",
        "GW-C042 p.toml:11:10: `metric`: `E import` is not an id: expected 1 to 40 characters of a-z \
         0-9 _ -; a metric is one level of a topic, such as `e_import`",
    );
}

#[test]
fn a_counter_without_modulus_is_only_doubtful() {
    let text = problems_of("modulus = \"unknown\"\n", "");
    assert!(text.starts_with("GW-C045 p.toml:13:8: this counter does not say"), "{text}");
}

#[test]
fn a_fact_without_source_must_say_so() {
    let text = problems_of("source = \"manual\"\n", "");
    assert!(text.contains("must say `unverified = true`"), "{text}");
    assert_eq!(problems_of("source = \"manual\"", "unverified = true"), "");
}

#[test]
fn all_problems_come_at_once() {
    let again = "[[point]]\nmetric = \"e_import\"\nunit = \"Mh\"\nkind = \"meter\"\n";
    let text = problems_of("register = 72\n", &format!("register = 72\n{again}"));
    for part in ["stands twice", "`Mh` is not a unit", "`meter` is not a kind", "no source"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(problems_of("maker = \"Eastron\"\n", "makers = 1\n").contains("`maker` is missing"));
}

#[test]
fn any_text_gives_problems_and_never_a_panic() {
    for text in ["", "\u{feff}", "[[point]]", "point = 3", "[[[", "maker = \"x\u{0}\""] {
        let mut problems = Problems::default();
        assert!(load("a/b", &SourceFile::new("p.toml", text), &mut problems).is_none());
        assert!(problems.is_fatal(), "{text:?}");
    }
}

#[test]
fn a_plausible_range_is_stated_or_follows_from_metric_and_unit() {
    let range = |keys: &str| {
        let text = GOOD.replace("register = 72", &format!("register = 72\n{keys}"));
        let mut problems = Problems::default();
        let profile = load("eastron/sdm630", &SourceFile::new("p.toml", text), &mut problems);
        let profile = profile.unwrap_or_else(|| panic!("{problems}"));
        profile.points.first().unwrap().range.to_string()
    };
    assert_eq!(range(""), "0 to 1000000000000");
    assert_eq!(range("max = 999999.99"), "0 to 999999.99");
    assert_eq!(range("min = -5"), "-5 to 1000000000000");
    assert_eq!(range("min = 5\nmax = 5.0"), "5 to 5.0");
    assert_eq!(range("scale = -1"), "-1000000000000 to 0");
    let problem = |keys: &str| problems_of("register = 72", &format!("register = 72\n{keys}"));
    let help = "state both `min` and `max`, in the unit of the point";
    assert_eq!(
        problem("min = 2\nmax = 1"),
        format!(
            "GW-C053 p.toml:19:7: plausible range of `e_import`: expected `min` below `max`, found 2 and 1; {help}"
        )
    );
    assert_eq!(
        problem("max = -1"),
        format!(
            "GW-C053 p.toml:18:7: plausible range of `e_import`: expected `min` below `max`, found 0 and -1; {help}"
        )
    );
    assert!(
        problem("min = \"low\"").starts_with("C003 p.toml:18:7"),
        "{}",
        problem("min = \"low\"")
    );
}
