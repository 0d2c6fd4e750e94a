//! The manifests: folder name = crate name, dependencies go down the floors, foreign versions stand in the workspace
//! manifest only.

use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package};
use toml::{Table, Value};

use super::Problem;
use crate::process;

/// The floors of ARCHITECTURE.md from the ground up; a crate may use those before it.
const FLOORS: &[&str] = &[
    "model",
    "config",
    "device-profiles",
    "driver",
    "modbus",
    "opcua",
    "simulator",
    "spool",
    "keeper",
    "broker-link",
    "gateway",
    "contract",
    "lake-files",
    "lake",
    "energy",
    "analytics",
    "broker-guard",
    "live",
    "live-store",
    "ingest",
    "program",
    "nengliu-gateway",
    "nengliu",
    "tests",
    "xtask",
];

const WEB_AND_QUEUES: &[&str] =
    &["axum", "hyper", "mqtt5", "reqwest", "rumqttc", "rumqttd", "tokio-tungstenite", "ureq"];

/// What a crate may not name as a dependency of its own, though it lies below it; a `*` at the end stands for any rest.
const BANS: &[(&str, &[&str])] = &[
    ("gateway", &["modbus", "opcua", "simulator", "polars*", "lake*", "analytics", "energy"]),
    // The centre and the edge are two programs; each starts, and is replaced, without the other.
    ("nengliu", &["gateway", "keeper", "nengliu-gateway", "spool"]),
    ("broker-link", &["driver", "keeper", "spool", "mqtt5"]),
    ("broker-guard", &["contract", "lake*", "ingest", "analytics"]),
    ("live-store", &["broker-guard", "lake*", "mqtt5", "rumqttc"]),
    ("live", &["broker-guard", "lake*", "mqtt5", "rumqttc", "tokio"]),
    ("program", &["gateway", "lake*", "ingest", "analytics"]),
    ("lake", &["mqtt5", "rumqttc", "rumqttd"]),
    ("analytics", WEB_AND_QUEUES),
    ("energy", WEB_AND_QUEUES),
    ("energy", &["polars*", "tokio"]),
    ("keeper", &["device-profiles", "modbus", "opcua", "mqtt5", "rumqttc"]),
    ("spool", &["keeper", "gateway", "mqtt5", "rumqttc"]),
    ("model", &["tokio", "mqtt5", "rumqttc"]),
];

/// What must not even be linked into a crate, however deep.
const TREE_BANS: &[(&str, &[&str])] = &[
    (
        "nengliu-gateway",
        &[
            "polars*",
            "deltalake*",
            "aws-lc-*",
            "async-opcua-server",
            "contract",
            "lake*",
            "analytics",
            "simulator",
        ],
    ),
    ("energy", &["polars*", "hyper", "tokio", "contract", "lake*", "deltalake*"]),
    ("nengliu", &["gateway", "keeper", "nengliu-gateway", "spool"]),
    // Which store there is, the composition roots alone decide.
    ("ingest", &["lake*", "deltalake*", "parquet"]),
    ("analytics", &["lake*", "deltalake*", "polars*"]),
];

/// Sections of a manifest that list dependencies.
const SECTIONS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];
/// What every crate takes from `[workspace.package]`.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license"];

/// All rules about manifests.
pub(super) fn check(metadata: &Metadata) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for package in metadata.workspace_packages() {
        let text = fs::read_to_string(&package.manifest_path)
            .with_context(|| format!("cannot read `{}`", package.manifest_path))?;
        let table: Table = text.parse().context("cargo read this manifest, so it is TOML")?;
        problems.extend(check_folder(package));
        problems.extend(check_versions(&package.name, &table));
        let dependencies: Vec<&str> =
            package.dependencies.iter().map(|d| d.name.as_str()).collect();
        problems.extend(check_floor(&package.name, &dependencies));
        problems.extend(check_trees(&package.name)?);
    }
    Ok(problems)
}

fn check_folder(package: &Package) -> Option<Problem> {
    let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
    (folder != Some(package.name.as_str())).then(|| {
        let folder = folder.unwrap_or_default();
        Problem::new(
            folder,
            format!("folder name = crate name, but the crate is `{}`", package.name),
        )
    })
}

/// The floors and the bans, for the dependencies (of any kind) that a crate names itself.
pub(super) fn check_floor(package: &str, dependencies: &[&str]) -> Vec<Problem> {
    let floor = |name: &str| FLOORS.iter().position(|crate_name| *crate_name == name);
    let Some(own) = floor(package) else {
        let help = "a new crate needs its floor in ARCHITECTURE.md and in xtask/src/tidy/floors.rs";
        return vec![Problem::new(package, help)];
    };
    let banned = |name: &str| {
        BANS.iter().any(|(who, what)| *who == package && what.iter().any(|ban| matches(ban, name)))
    };
    let mut problems = Vec::new();
    for name in dependencies {
        // A crate whose tests switch on a feature of its own names itself.
        if *name != package && floor(name).is_some_and(|other| other >= own) {
            let text = format!("depends on `{name}`, which does not lie below it");
            problems.push(Problem::new(package, text));
        }
        if banned(name) {
            problems.push(Problem::new(package, format!("must never know `{name}`")));
        }
    }
    problems
}

/// Asks `cargo tree`, because `cargo metadata` shows features that other members switched on.
fn check_trees(package: &str) -> Result<Vec<Problem>> {
    let Some((_, bans)) = TREE_BANS.iter().find(|(who, _)| *who == package) else {
        return Ok(Vec::new());
    };
    let output = process::cargo()
        .args(["tree", "-p", package, "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}"])
        .output()
        .context("cannot run `cargo tree`")?;
    if !output.status.success() {
        anyhow::bail!("`cargo tree -p {package}`: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    let mut problems: Vec<Problem> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| bans.iter().any(|ban| matches(ban, name)))
        .map(|name| {
            let help = format!("`cargo tree -p {package} -i {name}` shows how it gets in");
            Problem::new(package, format!("links `{name}`, which it must never; {help}"))
        })
        .collect();
    problems.sort();
    problems.dedup();
    Ok(problems)
}

/// Versions stand in the workspace manifest; a member says `workspace = true`.
pub(super) fn check_versions(package: &str, manifest: &Table) -> Vec<Problem> {
    let inherits = |value: Option<&Value>| {
        value.and_then(|v| v.get("workspace")).and_then(Value::as_bool) == Some(true)
    };
    let mut problems = Vec::new();
    let mut report =
        |text: String| problems.push(Problem::new(format!("{package}/Cargo.toml"), text));
    for key in INHERITED {
        if !inherits(manifest.get("package").and_then(|section| section.get(key))) {
            report(format!("write `{key}.workspace = true`"));
        }
    }
    if !inherits(manifest.get("lints")) {
        report("write `[lints] workspace = true`".to_owned());
    }
    let mut tables: Vec<&Table> = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let sections = tables
        .iter()
        .flat_map(|table| SECTIONS.iter().filter_map(|name| table.get(*name)))
        .filter_map(Value::as_table);
    for (name, value) in sections.flatten() {
        if !inherits(Some(value)) {
            report(format!("dependency `{name}`: write `{name}.workspace = true`, version above"));
        }
    }
    problems
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
