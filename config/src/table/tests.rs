//! Reading tables: every problem of a file, each in its place.

use std::time::Duration;

use model::Decimal;

use super::*;
use crate::value::ByteSize;

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
        "C003 gateway.toml:1:8: `poll`: expected a duration such as `\"500ms\"`, `\"5s\"` or `\"15min\"`, found `5`",
        "C003 gateway.toml:3:8: `device[1].unit`: expected a whole number from 0 to 255, found `300`",
        "C002 gateway.toml:2:1: `device[1].port` is missing: expected a text in quotes; add `port = …` here",
        "C004 gateway.toml:4:1: `device[1].porrt` is not a key that exists here; did you mean `port`?",
    ];
    assert_eq!(problems, expected);
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
