//! Reading tables: every problem of a file, each in its place.

use std::time::Duration;

use model::Decimal;

use super::*;
use crate::value::{ByteSize, written};

fn read(text: &str, read: impl FnOnce(&mut Table, &mut Problems)) -> Vec<String> {
    let mut problems = Problems::default();
    let mut table = Table::parse(&SourceFile::new("gateway.toml", text), &mut problems);
    read(&mut table, &mut problems);
    table.finish(&mut problems);
    problems.0.iter().map(ToString::to_string).collect()
}

#[test]
fn reads_values_with_units_exactly() {
    let text = "a = \"500ms\"\nb = \"64 MiB\"\nc = 0.10\nd = [1, 2]\ne = 0x1F\n";
    let problems = read(text, |table, problems| {
        assert_eq!(table.or("a", Duration::ZERO, problems), Duration::from_millis(500));
        assert_eq!(table.or("b", ByteSize(0), problems), ByteSize(64 << 20));
        assert_eq!(table.or("c", Decimal::ZERO, problems), Decimal { mantissa: 10, exponent: -2 });
        assert_eq!(table.or("d", Vec::<u8>::new(), problems), [1, 2]);
        assert_eq!(table.or("e", 0_u16, problems), 31);
    });
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn names_every_problem_at_once() {
    let text = "poll = 5\n[[device]]\nunit = 300\nporrt = \"rs485-1\"\n";
    let problems = read(text, |table, problems| {
        assert_eq!(table.optional::<Duration>("poll", problems), None);
        for mut device in table.tables("device", problems) {
            assert_eq!(device.required::<u8>("unit", problems), None);
            assert_eq!(device.required::<String>("port", problems), None);
            device.finish(problems);
        }
    });
    let expected = [
        "C003 gateway.toml:1:8: `poll`: expected a duration such as `\"500ms\"`, `\"15min\"` or `\"1d\"`, found `5`; \
         a whole number and its unit: `ms`, `s`, `min`, `h` or `d`",
        "C003 gateway.toml:3:8: `device[1].unit`: expected a whole number from 0 to 255, found `300`",
        "C002 gateway.toml:2:1: `device[1].port` is missing: expected a text in quotes; add `port = …` here",
        "C004 gateway.toml:4:1: `device[1].porrt` is not a key that exists here; did you mean `port`?",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_minute_is_not_m_and_a_section_may_have_no_keys() {
    let problems = read("keep = \"1m\"\n[options]\nx = 1\n", |table, problems| {
        assert_eq!(table.optional::<Duration>("keep", problems), None);
        table.optional::<Table>("options", problems).unwrap().value.finish(problems);
    });
    let expected = [
        "C003 gateway.toml:1:8: `keep`: expected a duration such as `\"500ms\"`, `\"15min\"` or `\"1d\"`, found the text \
         `1m`; a minute is `min`: `\"1min\"`; a millisecond is `ms`",
        "C004 gateway.toml:3:1: `options.x` is not a key that exists here; remove it: this section has no keys",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn an_integer_that_is_too_large_is_told_as_it_was_written() {
    let problems = read("a = 0xFFFFFFFFFFFFFFFF\nb = 0x9999999999999999\n", |table, problems| {
        assert_eq!(table.optional::<i64>("a", problems), None);
        // Not the decimal number of these digits.
        assert_eq!(table.optional::<Decimal>("b", problems), None);
    });
    assert!(problems[0].ends_with("found `0xFFFFFFFFFFFFFFFF`"), "{problems:?}");
    assert!(problems[1].ends_with("found `0x9999999999999999`"), "{problems:?}");
}

#[test]
fn goes_on_after_a_syntax_error() {
    let problems = read("a = \nb = 1\n", |table, problems| {
        assert_eq!(table.or("b", 0_u8, problems), 1);
        let _ = table.optional::<Item>("a", problems);
    });
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("C001 gateway.toml:1:"), "{problems:?}");
}

#[test]
fn says_how_a_section_is_written() {
    let problems = read("[port]\nid = \"a\"\n[[spool]]\n", |table, problems| {
        assert!(table.tables("port", problems).is_empty());
        assert!(table.optional::<Table>("spool", problems).is_none());
        assert!(table.required::<Table>("gateway", problems).is_none());
    });
    let expected = [
        "C003 gateway.toml:1:1: `port`: expected a list of sections, found one section; write \
         `[[port]]`, in two pairs of brackets: there may be several",
        "C003 gateway.toml:3:1: `spool`: expected a table, found a list of 1; write it as one \
         section, `[spool]`",
        "C002 gateway.toml:1:1: `gateway` is missing: expected a table; add the section `[gateway]`",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn finds_the_word_that_was_meant() {
    let check = |word: &str, expected: Option<&'static str>| {
        assert_eq!(nearest(word, &["main", "boiler", "press-line"]), expected, "{word}");
    };
    check("mian", Some("main"));
    check("mani", Some("main"));
    check("gain", Some("main"));
    check("boyelr", Some("boiler"));
    check("presline", Some("press-line"));
    check("nima", None);
    check("", None);
    assert_eq!(meant("x", &["a", "b"], "known:"), "known: `a`, `b`");
}

#[test]
fn durations_and_sizes_are_printed_as_they_are_written() {
    let check = |millis, text: &str| assert_eq!(written(Duration::from_millis(millis)), text);
    check(0, "0ms");
    check(1_500, "1500ms");
    check(90_000, "90s");
    check(120_000, "2min");
    check(86_400_000, "1d");
    let check = |bytes, text: &str| assert_eq!(ByteSize(bytes).to_string(), text);
    check(12 << 20, "12 MiB");
    check(1536 << 20, "1536 MiB");
    check(3 << 30, "3 GiB");
    check(1000, "1000 B");
    check(0, "0 B");
}

/// One missing quote brought "`gateway` is missing" and more, and full-width quotes were not named.
#[test]
fn a_file_that_is_not_toml_has_one_problem_for_each_line_that_is_not() {
    let check = |text: &str, expected: &[&str]| {
        let file = SourceFile::new("gateway.toml", text);
        let mut problems = Problems::default();
        let mut table = Table::parse(&file, &mut problems);
        table.required::<String>("site", &mut problems);
        table.finish(&mut problems);
        // Of another file, or of none, it says nothing.
        problems.push(Problem::new("GW-C1", "other").at(&SourceFile::new("x", ""), 0..0));
        problems.push(Problem::new("GW-C2", "none"));
        let told: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), expected.len() + 2, "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told}");
        }
    };
    check("id = \"gw-1\n", &["stand in \"quotes\""]);
    check("id = \u{201C}gw-1\u{201D}\n", &["`\u{201C}` (U+201C) is not `\"`"]);
    check("id \u{FF1D} \"gw-1\"\n", &["`\u{FF1D}` (U+FF1D) is not `=`"]);
    check("id = \"a\"\nx =\ny = \u{2018}b\u{2019}\n", &["gateway.toml:2", "is not `'`"]);
    // A key that stands twice is told with the rest.
    check("id = 1\nid = 2\n", &["duplicate key", "`site` is missing", "`id` is not a key"]);
    // In a text they are what they are.
    check("id = \"\u{201C}\"\n", &["`site` is missing", "`id` is not a key"]);
}
