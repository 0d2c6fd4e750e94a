//! A plant file is read whole, or every problem of it is named.

use model::topic::LivePath;

use super::*;

const GOOD: &str = r#"
[plant]
name = "示例"
enterprise = "acme"
time_zone = "Asia/Shanghai"
rule_set = "GB/T 2589"
edition = "2020"
facts = ["facts.csv"]
interpolation_max = "24h"

[[subject]]
id = "line-a"
kind = "line"

[[subject]]
id = "compressor"
kind = "equipment"

[[energy_kind]]
id = "electricity"
name = "电力"
unit = "万kWh"

[[energy_kind]]
id = "water"
unit = "t"
coefficient = "fresh_water"
conversion = [{ from = "m3", to = "t", factor = 1 }]

[[meter]]
id = "main"
point = "acme/nb-1/main/e_import"
energy_kind = "electricity"
role = "incoming"
unit = "kWh"
modulus = 100000.0
rise_per_hour_max = 20000
[[meter.ratio]]
ct = 80
pt = 100
[[meter.ratio]]
from = 2024-03-10T10:00:00+08:00
ct = 60
[[meter.replacement]]
at = 2024-05-01T00:00:00+08:00
old_final = 81250.0
new_initial = 5.0

[[meter]]
point = "acme/nb-1/line-a/water"
energy_kind = "water"
subject = "line-a"
role = "sub"
unit = "m3"

[[product]]
id = "steel"
unit = "t"
line = "line-a"

[[allocation]]
from = "compressor"
energy_kind = "electricity"
share = [{ to = "line-a", weight = 60 }]

[[coefficient]]
energy_kind = "electricity"
role = "equal_value"
value = 3.00
value_unit = "tce"
unit = "万kWh"
region = "CN"
data_year = 2022
coal_rate_kind = "gross"
notice = "示例"
evidence = "illustrative"
"#;

fn read(text: &str) -> Result<Plant, Problems> {
    Plant::read(&SourceFile::new("plant.toml", text))
}

#[test]
fn reads_a_whole_plant() {
    let plant = read(GOOD).map_err(|problems| problems.to_string()).unwrap();
    assert_eq!(plant.subjects.len(), 3);
    assert_eq!(plant.interpolation_max_micros, 86_400_000_000);
    let main = &plant.meters[0];
    let ratios: Vec<String> = main.ratios.iter().map(|change| change.ratio.to_string()).collect();
    assert_eq!(ratios, ["8000", "60"]);
    assert_eq!(main.replacements.len(), 1);
    assert_eq!(main.subject.as_str(), "acme");
    assert_eq!(plant.meters[1].id.as_str(), "acme/nb-1/line-a/water");
    assert_eq!(plant.kinds[1].class, EnergyClass::Medium);
    assert_eq!(plant.kinds[1].factor_from(Unit::Litre).unwrap().to_string(), "0.001");
    let site = plant.coefficients.rows().last().unwrap();
    assert_eq!(site.kgce_per_unit().to_string(), "3000");
    assert_eq!(site.place, "plant.toml:68");
    assert_eq!(plant.warnings, Problems::default());
}

#[test]
fn a_point_that_nobody_read_is_named_in_its_place() {
    let plant = read(GOOD).unwrap();
    let problems = plant.check_points(|point| point.as_str().ends_with("water"), |_| Vec::new());
    assert_eq!(problems.0.len(), 1);
    assert_eq!(problems.0[0].place().as_deref(), Some("plant.toml:32:9"));
}

/// Replaces a text that stands once in the good file and expects the one problem that it causes.
fn bad(from: &str, to: &str, expected: &str) {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    let problems = read(&GOOD.replace(from, to)).map(|_| ()).unwrap_err().to_string();
    assert!(problems.contains(expected), "expected `{expected}`, found:\n{problems}");
}

#[test]
fn names_what_is_wrong() {
    bad(
        "Asia/Shanghai",
        "Asia/Shangai",
        "EN-C101 plant.toml:5:13: `plant.time_zone`: `Asia/Shangai` is not a time zone",
    );
    bad(
        "role = \"sub\"",
        "role = \"sub\"\nparent = \"mian\"",
        "there is no meter `mian`; did you mean `main`?",
    );
    bad(
        "subject = \"line-a\"",
        "subject = \"line-b\"",
        "EN-C102 plant.toml:52:11: there is no subject `line-b`",
    );
    bad("unit = \"kWh\"", "unit = \"kwh\"", "EN-C104 plant.toml:35:8: `unit`: `kwh` is not a unit");
    bad("unit = \"m3\"", "unit = \"Nm3\"", "its unit `Nm3` does not convert exactly into `t`");
    bad(
        "unit = \"t\"\ncoefficient",
        "unit = \"GJ\"\ncoefficient",
        "its unit `GJ` does not convert exactly into `t`",
    );
    bad(
        "role = \"incoming\"",
        "role = \"purchased\"",
        "`purchased` is not known here: expected one of incoming, sub, own, generated, export",
    );
    bad("ct = 80", "ct = 0", "`ct`: expected a number above zero, found `0`");
    bad(
        "id = \"main\"",
        "id = \"acme/nb-1/line-a/water\"",
        "there is another meter `acme/nb-1/line-a/water` above",
    );
    bad("line = \"line-a\"", "line = \"line-z\"", "there is no subject `line-z`");
    bad("to = \"line-a\"", "to = \"acme\"", "cannot be allocated to it");
    // In a line that gets no share, its energy is that line's.
    bad(
        "id = \"compressor\"\nkind = \"equipment\"\n",
        "id = \"line-b\"\nkind = \"line\"\n[[subject]]\nid = \"compressor\"\nkind = \"equipment\"\nparent = \"line-b\"\n",
        "`compressor` lies in `line-b` and cannot be allocated to others",
    );
    bad(
        "value_unit = \"tce\"\n",
        "",
        "found `3`; `3` would fit in tce per 万kWh: write `value_unit = \"tce\"`",
    );
    bad(
        "coal_rate_kind = \"gross\"",
        "coal_rate_kind = \"net\"",
        "cannot come from a net coal rate",
    );
    bad(
        "data_year = 2022\n",
        "",
        "EN-C105 plant.toml:66:1: an `equal_value` of electricity is a dated number per authority",
    );
    bad(
        "id = \"water\"",
        "id = \"water\"\nedition = \"2021\"",
        "no coefficient has rule set `GB/T 2589` and edition `2021`",
    );
    bad(
        "kind = \"line\"",
        "kind = \"line\"\nparent = \"line-a\"",
        "subject `line-a` does not lie in the enterprise",
    );
    bad("modulus", "modulo", "did you mean `modulus`?");
    bad("from = 2024-03-10T10:00:00+08:00\n", "", "expected exactly one without `from`");
}

#[test]
fn names_all_problems_at_once() {
    let text = "[plant]\nenterprise = \"A\"\n[[meter]]\npoint = \"x\"\nrole = \"sub\"\n";
    let problems = read(text).map(|_| ()).unwrap_err();
    assert!(problems.0.len() >= 2, "{problems}");
}

#[test]
fn a_word_that_is_no_interval_of_resets_is_named() {
    let with = |word: &str| format!("modulus = 100000.0\nresets = \"{word}\"");
    for word in ["daily", "monthly"] {
        let text = GOOD.replacen("modulus = 100000.0", &with(word), 1);
        let plant = Plant::read(&SourceFile::new("plant.toml", text)).unwrap();
        let resets = plant.meters[0].resets.clone().unwrap();
        assert_eq!(resets.interval.word(), word);
        assert_eq!(resets.time_zone.iana_name(), Some("Asia/Shanghai"));
    }
    bad(
        "modulus = 100000.0",
        &with("midnight"),
        "EN-C101 plant.toml:37:10: `resets`: `midnight` is not known here: expected one of daily, monthly",
    );
}

/// What stands where in the tree of live topics.
#[test]
fn a_subject_has_the_path_of_the_devices_at_its_place() {
    let line = "id = \"line-a\"\nkind = \"line\"\n";
    let compressor = "id = \"compressor\"\nkind = \"equipment\"\n";
    let site = "enterprise = \"acme\"\nsite = \"nb-1\"\n";
    let more = "[[subject]]\nid = \"nb-2\"\nkind = \"site\"\n[[subject]]\nid = \"oven\"\nkind = \"equipment\"\nparent = \"nb-2\"\n\
                place = \"machining/line-a\"\n[[subject]]\nid = \"office\"\nkind = \"area\"\n[[energy_kind]]\nid = \"electricity\"";
    let text = GOOD
        .replacen("enterprise = \"acme\"\n", site, 1)
        .replacen(line, &format!("{line}place = \"machining/line-a\"\n"), 1)
        .replacen(compressor, &format!("{compressor}place = \"machining/line-a\"\n"), 1)
        .replacen("[[energy_kind]]\nid = \"electricity\"", more, 1);
    let plant = Plant::read(&SourceFile::new("plant.toml", text.clone())).unwrap();
    let path = |id: &str| plant.live_path(&id.parse().unwrap()).map(|path| path.to_string());
    assert_eq!(path("acme").as_deref(), Some("v1/acme/_/_/_/_"));
    assert_eq!(path("nb-2").as_deref(), Some("v1/acme/nb-2/_/_/_"));
    assert_eq!(path("line-a").as_deref(), Some("v1/acme/nb-1/machining/line-a/_"));
    assert_eq!(path("compressor").as_deref(), Some("v1/acme/nb-1/machining/line-a/compressor"));
    assert_eq!(path("oven").as_deref(), Some("v1/acme/nb-2/machining/line-a/oven"));
    assert_eq!(path("office"), None);
    let devices = |area: &'static str| {
        let at = LivePath::enterprise("acme").with_site("nb-1");
        [LivePath { area: Some(area), line: Some("line-a"), ..at }]
    };
    let named = |area| plant.check_places(&devices(area)).0;
    // The oven's site has no device at all, the other two subjects have this one.
    let found: Vec<String> = named("machining").iter().map(|one| one.message.to_string()).collect();
    let oven = "no device of `acme/nb-2` stands at `machining/line-a`, the place of subject `oven`";
    assert_eq!(found, [oven]);
    assert_eq!(named("utilities").len(), 3);
    assert!(named("utilities").iter().all(|one| one.warning && one.place().is_some()));
    let wrong = |from: &str, to: &str, expected: &str| {
        let text = text.replacen(from, to, 1);
        let problems = Plant::read(&SourceFile::new("plant.toml", text)).unwrap_err().to_string();
        assert!(problems.starts_with(expected), "expected `{expected}`, found:\n{problems}");
    };
    wrong(
        "place = \"machining/line-a\"",
        "place = \"machining/line-a/m1\"",
        "EN-C101 plant.toml:15:9: `place`: expected `area` or `area/line`, found `machining/line-a/m1`",
    );
    wrong(
        site,
        "enterprise = \"acme\"\n",
        "EN-C101 plant.toml:14:9: `place`: it is not known in which site subject `line-a` lies",
    );
    wrong(
        "kind = \"area\"",
        "kind = \"area\"\nplace = \"machining/line-a\"",
        "EN-C103 plant.toml:33:9: `place`: `machining/line-a` is that of subject `line-a` above",
    );
    wrong(
        "kind = \"site\"",
        "kind = \"site\"\nplace = \"machining\"",
        "EN-C101 plant.toml:25:9: `place`: an enterprise or site has no place inside a site",
    );
}

const STRIKE: &str = "[[strike]]\nmeter = \"main\"\nfrom = 2024-03-10T10:00:00\nto = 2024-03-10T11:00:00+08:00\nreason = \"wrong address\"\n";

#[test]
fn readings_of_a_time_are_struck_out() {
    let plant = read(&format!("{GOOD}{STRIKE}")).map_err(|problems| problems.to_string()).unwrap();
    let [strike] = plant.meters[0].strikes.as_slice() else { panic!("one strike") };
    // A time without an offset is one of the plant's zone.
    assert_eq!(strike.to.micros_since(strike.from), 3_600_000_000);
    assert_eq!(strike.reason, "wrong address");
    assert!(plant.meters[1].strikes.is_empty());
    let by_point = STRIKE.replace("meter = \"main\"", "point = \"acme/nb-1/line-a/water\"");
    let plant =
        read(&format!("{GOOD}{by_point}")).map_err(|problems| problems.to_string()).unwrap();
    assert_eq!(plant.meters[1].strikes.len(), 1);
}

#[test]
fn a_strike_that_cannot_be_is_named() {
    let bad = |from: &str, to: &str, expected: &str| {
        assert_eq!(STRIKE.matches(from).count(), 1, "{from}");
        let text = format!("{GOOD}{}", STRIKE.replace(from, to));
        let problems = read(&text).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains(expected), "expected `{expected}`, found:\n{problems}");
    };
    bad("meter = \"main\"", "meter = \"mian\"", "there is no meter `mian`; did you mean `main`?");
    bad(
        "meter = \"main\"",
        "point = \"acme/nb-1/main/e_inport\"",
        "did you mean `acme/nb-1/main/e_import`?",
    );
    bad("meter = \"main\"\n", "", "a strike names either `meter` or `point`");
    bad("reason = \"wrong address\"\n", "", "`strike[1].reason` is missing");
    bad("\"wrong address\"", "\" \"", "`reason` is empty");
    bad("T11:00:00+08:00", "T10:00:00", "`to` is not after `from`");
    bad("2024-03-10T10:00:00", "\"yesterday\"", "found the text `yesterday`");
}

/// What lies further from a period than this is not read.
#[test]
fn a_gap_beyond_what_is_read_is_refused() {
    bad("\"24h\"", "\"961h\"", "`interpolation_max`: expected at most 40 days");
    assert!(read(&GOOD.replace("\"24h\"", "\"960h\"")).is_ok());
}
