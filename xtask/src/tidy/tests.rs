//! The rules against small cases, and against the workspace itself.

use super::sources::{RustFile, check_file, check_length};
use super::{Problem, check, environment, floors, invariants, licences};

#[test]
fn the_workspace_keeps_its_own_rules() {
    let problems: Vec<String> = check().unwrap().iter().map(Problem::to_string).collect();
    assert!(problems.is_empty(), "run `cargo xtask tidy`:\n{}", problems.join("\n"));
}

#[test]
fn dependencies_go_down_the_floors() {
    let check = |package: &str, dependencies: &[&str], expected: &[&str]| {
        let found = floors::check_floor(package, dependencies);
        let found: Vec<String> = found.iter().map(Problem::to_string).collect();
        assert_eq!(found, expected);
    };
    check("gateway", &["model", "spool", "driver", "serde"], &[]);
    check("model", &["config"], &["model: depends on `config`, which does not lie below it"]);
    check("gateway", &["modbus"], &["gateway: must never know `modbus`"]);
    check("energy", &["polars-core"], &["energy: must never know `polars-core`"]);
    check("nengliu", &["gateway"], &["nengliu: must never know `gateway`"]);
    check("lake", &["rumqttc"], &["lake: must never know `rumqttc`"]);
    check(
        "newcomer",
        &[],
        &[
            "newcomer: a new crate needs its floor in ARCHITECTURE.md and in xtask/src/tidy/floors.rs",
        ],
    );
}

#[test]
fn versions_stand_in_the_workspace_manifest() {
    let check = |dependencies: &str, expected: &[&str]| {
        let manifest = format!(
            "package = {{ version.workspace = true, edition.workspace = true, \
             rust-version.workspace = true, license.workspace = true }}\n\
             lints.workspace = true\n{dependencies}"
        );
        let found = floors::check_versions("a", &manifest.parse().unwrap());
        let found: Vec<String> = found.iter().map(Problem::to_string).collect();
        assert_eq!(found, expected);
    };
    let complaint = |name: &str| {
        format!("a/Cargo.toml: dependency `{name}`: write `{name}.workspace = true`, version above")
    };
    check("[dependencies]\nserde.workspace = true", &[]);
    check("[dependencies]\nserde = { workspace = true, features = ['rc'] }", &[]);
    check("[dependencies]\nserde = '1'", &[&complaint("serde")]);
    check("[dev-dependencies]\nrand = { version = '0.9' }", &[&complaint("rand")]);
    check("[target.'cfg(unix)'.dependencies]\nnix = '0.1'", &[&complaint("nix")]);
}

#[test]
fn licence_expressions_are_read_to_their_end() {
    let check = |name: &str, expression: &str, expected: Option<bool>| {
        assert_eq!(licences::judge(name, expression), expected, "{name}: {expression}");
    };
    check("a", "MIT", Some(true));
    check("a", "MIT OR Apache-2.0", Some(true));
    check("a", "MIT/Apache-2.0", Some(true));
    check("a", "Apache-2.0 / MIT", Some(true));
    check("a", "MIT OR GPL-3.0-only", Some(true));
    check("a", "MIT AND GPL-3.0-only", Some(false));
    check("a", "GPL-3.0-only", Some(false));
    check("a", "AGPL-3.0 OR SSPL-1.0", Some(false));
    // AND binds tighter than OR.
    check("a", "GPL-2.0 AND MIT OR GPL-3.0", Some(false));
    check("a", "GPL-2.0 AND GPL-3.0 OR MIT", Some(true));
    check("a", "GPL-2.0 AND (GPL-3.0 OR MIT)", Some(false));
    check("a", "(MIT OR Apache-2.0) AND Unicode-3.0", Some(true));
    check("a", "ISC AND (Apache-2.0 OR ISC) AND (GPL-2.0 OR (MIT AND BSD-3-Clause))", Some(true));
    check("a", "Apache-2.0 WITH LLVM-exception", Some(true));
    check("a", "GPL-2.0 WITH Classpath-exception-2.0", Some(false));
    check("a", "MIT WITH LLVM-exception", Some(false));
    check("serialport", "MPL-2.0", Some(true));
    check("a", "MPL-2.0", Some(false));
    check("a", "", None);
    check("a", "MIT OR", None);
    check("a", "(MIT", None);
    check("a", "MIT Apache-2.0", None);
    check("a", "MIT)", None);
}

#[test]
fn files_are_checked_line_by_line() {
    let check = |path: &str, text: &str, expected: &[&str]| {
        let file = RustFile { path: path.to_owned(), text: text.to_owned() };
        let found: Vec<String> = check_file(&file).iter().map(Problem::to_string).collect();
        assert_eq!(found, expected);
    };
    let header = "a/src/a.rs: opens with `//!`: what it does";
    check("a/src/a.rs", "//! A.\nfn a() {}\n", &[]);
    check("a/src/a.rs", "fn a() {}\n", &[header]);
    check("a/src/a.rs", "//! A.\n\n    todo!()\n", &["a/src/a.rs:3: `todo!` may not stay"]);
    check("a/src/a.rs", "//! A.\nmy_dbg!(1);\n", &[]);
    check("a/src/a.rs", "//! A.\n// println!(1)\n", &[]);
    let printing = "a/src/a.rs:2: `println!`: programs use `program::print`, libraries log";
    check("a/src/a.rs", "//! A.\nprintln!();\n", &[printing]);
    let of_program = printing.replace("a/src", "cli/a/src");
    check("cli/a/src/a.rs", "//! A.\nprintln!();\n", &[&of_program]);
    check("xtask/src/a.rs", "//! A.\nprintln!();\n", &[]);
    check("a/src/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\nprintln!();\n}\n", &[]);
    let buffered =
        "a/src/a.rs:3: `serde(flatten…` beside a raw type: serde buffers it, spans go wrong";
    check("a/src/a.rs", "//! A.\nstruct RawA {\n#[serde(flatten)]\n}\n", &[buffered]);
    check("a/src/a.rs", "//! A.\nstruct A {\n#[serde(flatten)]\n}\n", &[]);
}

/// INV-10.
#[test]
fn only_named_modules_reach_the_machine() {
    let check = |path: &str, text: &str, expected: usize| {
        let file = RustFile { path: path.to_owned(), text: text.to_owned() };
        let found = environment::check_files(&[file], &["gateway/src/socket.rs"]);
        assert_eq!(found.len(), expected, "{path}: {found:?}");
    };
    let silenced = "//! A.\n#[expect(clippy::disallowed_methods, reason = \"a\")]\nfn a() {}\n";
    check("gateway/src/a.rs", silenced, 1);
    check("cli/nengliu/src/a.rs", &silenced.replace("expect(", "allow("), 1);
    check("gateway/src/socket.rs", silenced, 0);
    check("gateway/src/socket.rs", "//! A.\n", 1);
    check("gateway/src/a/tests.rs", silenced, 0);
    check("spool/benches/a.rs", silenced, 0);
    let tests = "//! A.\n#![cfg_attr(\n    test,\n    allow(clippy::disallowed_methods, reason = \"a\")\n)]\n";
    check("gateway/src/lib.rs", tests, 0);
    check("gateway/src/lib.rs", &format!("{tests}{silenced}"), 1);
    check("gateway/src/lib.rs", &tests.replace("cfg_attr(\n    test,", "cfg_attr(\n    unix,"), 1);
}

/// INV-10: without its list or its level the lint finds nothing.
#[test]
fn the_list_of_banned_calls_is_in_force() {
    let read =
        |name: &str| std::fs::read_to_string(crate::process::workspace_root().join(name)).unwrap();
    let (clippy, workspace) = (read("clippy.toml"), read("Cargo.toml"));
    let check = |clippy: &str, workspace: &str, expected: &[&str]| {
        let found = environment::check_list(clippy, workspace).unwrap();
        let found: Vec<String> = found.iter().map(Problem::to_string).collect();
        assert_eq!(found, expected);
    };
    check(&clippy, &workspace, &[]);
    let shorter = clippy.replace("\"jiff::Zoned::now\"", "\"jiff::Zoned::later\"");
    check(&shorter, &workspace, &["clippy.toml: does not ban `jiff::Zoned::now` (INV-10)"]);
    let allowed =
        workspace.replace("disallowed_methods = \"deny\"", "disallowed_methods = \"allow\"");
    check(&clippy, &allowed, &["Cargo.toml: write `disallowed_methods = \"deny\"` (INV-10)"]);
}

#[test]
fn lengths_have_bounds_and_exceptions_do_not_outlive_their_need() {
    let exceptions = &[("long.rs", "a table"), ("was_long.rs", "a table")];
    let check = |place: &str, lines: usize, expected: Option<&str>| {
        let found = check_length(place, lines, 500, exceptions).map(|p| p.to_string());
        assert_eq!(found.as_deref(), expected);
    };
    check("a.rs", 500, None);
    check("a.rs", 501, Some("a.rs: 501 code lines, at most 500: split it"));
    check("long.rs", 501, None);
    check(
        "was_long.rs",
        7,
        Some("was_long.rs: is short enough: remove its exception from tidy.rs"),
    );
}

#[test]
fn invariants_are_cited_in_code_and_in_tests() {
    let check = |text: &str, expected: &[&str]| {
        let file = RustFile { path: "a/src/a.rs".to_owned(), text: text.to_owned() };
        let found = invariants::check("INV-1 and INV-9", &[file]);
        let found: Vec<String> = found.iter().map(Problem::to_string).collect();
        assert_eq!(found, expected);
    };
    let test = "#[cfg(test)]\nmod tests {\n";
    check(&format!("// INV-1\n{test}// INV-1\n}}"), &[]);
    check("// INV-1", &["INV-1: ARCHITECTURE.md names it, no test cites it"]);
    check(
        &format!("{test}// INV-1\n}}"),
        &["INV-1: ARCHITECTURE.md names it, no code cites it: say where it is asserted"],
    );
    check(
        &format!("// INV-1 INV-12\n{test}// INV-1\n}}"),
        &["INV-12: is cited in code, but ARCHITECTURE.md does not name it"],
    );
    check(
        &format!("// INV-1 INV-9\n{test}// INV-1\n}}"),
        &["INV-9: is cited now: remove it from INVARIANTS_TO_COME in tidy.rs"],
    );
}
