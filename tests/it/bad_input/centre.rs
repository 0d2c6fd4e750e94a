//! What the program of the centre says to wrong settings, files and arguments, with its exit codes. Must never start
//! anything that goes on.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::programs::{program, workspace_root};

use super::told::{Spoiled, Told};

const SETTINGS: &str = r#"
[lake]
folder = "lake"

[broker]
tcp_port = 1883

[ingest]
commit_interval = "2s"

[analytics]
plant = "plant.toml"
every = "5min"
"#;

const WAYS: &[Spoiled] = &[
    ("a broker of two kinds", "tcp_port = 1883", "tcp_port = 1883\nurl = \"mqtt://10.0.0.5\""),
    ("a broker's address without its scheme", "tcp_port = 1883", "url = \"10.0.0.5:1883\""),
    ("a broker's topic behind the address", "tcp_port = 1883", "url = \"mqtt://10.0.0.5/gw\""),
    ("a key behind a WebSocket", "tcp_port = 1883", "url = \"wss://10.0.0.5/mqtt?key=1\""),
    ("a password in the address", "tcp_port = 1883", "url = \"wss://joe:hunter2@10.0.0.5/mqtt\""),
    ("a password in the settings", "tcp_port = 1883", "tcp_port = 1883\npassword = \"hunter2\""),
    ("a user of the embedded broker", "tcp_port = 1883", "user = \"li\"\npassword_file = \"p\""),
    ("a password without its user", "tcp_port = 1883", "password_file = \"p\""),
    ("a TCP port that does not exist", "tcp_port = 1883", "tcp_port = 70000"),
    ("a commit every hour", "commit_interval = \"2s\"", "commit_interval = \"1h\""),
    ("figures without a pause", "every = \"5min\"", "every = \"0s\""),
    ("a minute as `m`", "folder = \"lake\"", "folder = \"lake\"\nkeep = \"1m\""),
    ("a time without a unit", "every = \"5min\"", "every = 300"),
    ("figures without a plant", "plant = \"plant.toml\"\n", ""),
    ("a section that is misspelt", "[ingest]", "[injest]"),
    (
        "a place that cannot be",
        "[ingest]",
        "[live]\nonly = [\"acme/nb-1\", \"acme/../x\"]\n[ingest]",
    ),
    ("a place with capitals", "[ingest]", "[live]\nonly = [\"Acme/NB-1\"]\n[ingest]"),
    ("a prefix with a space", "[ingest]", "[live]\nprefix = \"plants north\"\n[ingest]"),
    (
        "a user of two lines",
        "tcp_port = 1883",
        "url = \"mqtt://h\"\nuser = \"a\\nb\"\npassword_file = \"p\"",
    ),
    ("full-width quotes", "folder = \"lake\"", "folder = \u{201C}lake\u{201D}"),
];

/// Runs `nengliu` in a folder and tells what it said and how it ended.
fn tell(told: &mut Told, case: &str, input: &str, folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(program("nengliu").unwrap());
    let output = command.current_dir(folder).args(arguments).env("NO_COLOR", "1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let said = said.replace(&format!("{}/", folder.display()), "");
    let code = output.status.code().unwrap();
    assert_ne!(code, 0, "{case}");
    told.row(case, input, &format!("{said}exit code {code}\n"));
}

#[test]
fn settings_that_serve_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Told::new("centre_settings");
    for (case, from, to) in WAYS {
        assert_eq!(SETTINGS.matches(from).count(), 1, "{case}");
        fs::write(folder.path().join("nengliu.toml"), SETTINGS.replace(from, to)).unwrap();
        tell(&mut told, case, "", folder.path(), &["serve", "-c", "nengliu.toml"]);
    }
    tell(
        &mut told,
        "settings that are not there",
        "",
        folder.path(),
        &["serve", "-c", "here.toml"],
    );
    assert!(!folder.path().join("lake").exists(), "refused settings leave nothing behind");
    told.finish();
}

#[test]
fn figures_that_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let example = workspace_root().join("examples/table1-c1-a1");
    for file in ["plant.toml", "facts.csv"] {
        fs::copy(example.join(file), folder.path().join(file)).unwrap();
    }
    let mut told = Told::new("centre_figures");
    let mut kpi = |case: &str, arguments: &str| {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        tell(&mut told, case, &format!("nengliu {arguments}"), folder.path(), &words);
    };
    kpi(
        "a coefficient that is missing",
        "kpi table1 --plant plant.toml --period 2023 --basis both --format json",
    );
    kpi("a plant file that is not there", "kpi table1 --plant plan.toml --period 2023");
    kpi("no plant file at all", "kpi table1 --period 2023");
    kpi("a period that does not exist", "kpi table1 --plant plant.toml --period 2023-13");
    kpi("a lake that is not there", "kpi table1 --plant plant.toml --lake lake --period 2023");
    kpi("the quarantine of a folder that is no lake", "quarantine --lake . list");
    kpi("a day that does not exist", "query --to 2026-02-30");
    kpi(
        "times in the wrong order",
        "query --from 2026-01-02T00:00:00+08:00 --to 2026-01-01T00:00:00+08:00",
    );
    kpi("the day of a plant that is not there", "query --from 2026-01-02 --plant none.toml");
    kpi("a figure that does not exist", "explain table1/2023/sum --plant plant.toml");
    kpi("a name that no figure has", "explain total --plant plant.toml");
    told.finish();
}
