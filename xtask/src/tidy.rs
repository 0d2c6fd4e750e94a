//! `cargo xtask tidy`: the workspace's own rules that a machine can check, as a command and as a test. The exceptions
//! stand here by name, each with its reason. Must never change a file.

mod environment;
mod floors;
mod invariants;
mod licences;
mod sources;
mod spdx;
#[cfg(test)]
mod tests;

use std::fmt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cargo_metadata::Metadata;

use crate::process;

/// A rule that does not hold, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    place: String,
    text: String,
}

impl Problem {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// A file or crate that may break one rule: its path or name, and why.
type Exception = (&'static str, &'static str);

/// Code lines that a file may have; half of it is wanted.
const FILE_LINES_MAX: usize = 500;
/// Files over `FILE_LINES_MAX`.
const LONG_FILES: &[Exception] = &[];
/// Code lines that a crate may have.
const CRATE_LINES_MAX: usize = 8_000;
/// Crates over `CRATE_LINES_MAX`.
const LARGE_CRATES: &[Exception] = &[
    (
        "tests",
        "each file is a test or a few that share the peers alone, and nothing depends on them",
    ),
    (
        "energy",
        "to be split: what people write (plant, facts, coefficients) apart from what is computed",
    ),
    (
        "modbus",
        "to be split: how a device is judged (plausibility, doubts) apart from how it is asked",
    ),
];
/// Invariants that ARCHITECTURE.md names and whose code is still to come.
const INVARIANTS_TO_COME: &[Exception] =
    &[("INV-9", "periods are closed by the platform, which is not in the workspace yet")];

/// Prints every problem; fails when there is one.
pub(crate) fn run() -> Result<ExitCode> {
    let problems = check()?;
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{} problems; mend each, or add a named exception with its reason in xtask/src/tidy.rs",
        problems.len()
    );
    Ok(ExitCode::FAILURE)
}

/// All rules over the whole workspace.
pub(crate) fn check() -> Result<Vec<Problem>> {
    let metadata = metadata()?;
    let files = sources::rust_files(&process::workspace_root())?;
    let mut problems = Vec::new();
    problems.extend(floors::check(&metadata)?);
    problems.extend(licences::check(&metadata));
    problems.extend(sources::check(&metadata, &files));
    problems.extend(environment::check(&process::workspace_root(), &files)?);
    let architecture = std::fs::read_to_string(process::workspace_root().join("ARCHITECTURE.md"))
        .context("cannot read `ARCHITECTURE.md`")?;
    problems.extend(invariants::check(&architecture, &files));
    problems.sort();
    Ok(problems)
}

/// The whole graph as this machine would build it.
fn metadata() -> Result<Metadata> {
    let version = std::process::Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run `rustc -vV`; is Rust installed?")?;
    let version = String::from_utf8_lossy(&version.stdout);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` names no host")?;
    cargo_metadata::MetadataCommand::new()
        .current_dir(process::workspace_root())
        .other_options(vec!["--filter-platform".to_owned(), host.to_owned()])
        .exec()
        .context("`cargo metadata` failed; run it by hand to see why")
}
