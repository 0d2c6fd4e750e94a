//! `cargo xtask test`: set-up, build, all tests, and a plain account of what was skipped. Must never let a skipped test
//! pass unseen.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::{process, setup};

/// What `cargo xtask test` takes.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// Also the long fault runs (sets `NENGLIU_LONG=1`); minutes become tens of minutes.
    #[arg(long)]
    long: bool,
    /// Install what the tests need, then stop.
    #[arg(long)]
    setup_only: bool,
    /// Handed to `cargo test --workspace`, for example a part of a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// How many tests of one program run at once, as the test harness knows it.
const THREADS: &str = "RUST_TEST_THREADS";

/// Sets up, builds and runs the tests; fails when one failed.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let target = process::target_folder()?;
    let started = Instant::now();
    let python = setup::prepare(&target)?;
    let setup_time = started.elapsed();
    eprintln!("set-up done in {}", process::human(setup_time));
    if args.setup_only {
        return Ok(ExitCode::SUCCESS);
    }

    // Programs and tests in one cargo call: the end-to-end tests start the programs, and one call resolves one set of
    // features, so nothing is compiled twice.
    let started = Instant::now();
    process::run_loudly(process::cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    let build_time = started.elapsed();

    let skip_log = target.join("skipped-tests.txt");
    fs::write(&skip_log, "").with_context(|| format!("cannot write `{}`", skip_log.display()))?;
    let mut command = process::cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(&args.args)
        .env("NENGLIU_PEERS_PYTHON", &python)
        .env("NENGLIU_SKIP_LOG", &skip_log)
        // What the programs say is compared in English, whatever the tester speaks.
        .env("LC_ALL", "C.UTF-8")
        .stdout(Stdio::piped());
    if args.long {
        command.env("NENGLIU_LONG", "1");
    }
    if std::env::var_os(THREADS).is_none() {
        // Most tests wait for a peer, and not for a core.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, (cores + 1).to_string());
    }
    eprintln!("$ {}", process::shown(&command));
    let started = Instant::now();
    let mut child = command.spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo's output was not captured")?;
    let mut account = Account::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the tests print")?;
        writeln!(std::io::stdout(), "{line}").context("cannot print")?;
        account.read(&line);
    }
    let status = child.wait().context("cannot wait for cargo")?;
    account.read_skip_log(&fs::read_to_string(&skip_log).unwrap_or_default());
    eprintln!(
        "\nset-up {}, build {}, tests {}",
        process::human(setup_time),
        process::human(build_time),
        process::human(started.elapsed())
    );
    print!("{}", account.report());
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    if account.failed.is_empty() {
        eprintln!("the tests did not run to their end; the first error above says why");
    }
    Ok(ExitCode::FAILURE)
}

/// What the test binaries said, summed over all of them.
#[derive(Default)]
struct Account {
    passed: u64,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Account {
    /// Takes one line of a test binary's output.
    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test ")
            && let Some((name, outcome)) = rest.split_once(" ... ")
        {
            if outcome == "FAILED" {
                self.failed.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                let reason = if reason.is_empty() { "ignored in the code" } else { reason };
                self.skipped.push(format!("{name}: {reason}"));
            }
        } else if let Some(summary) = line.strip_prefix("test result: ") {
            let passed = summary.split_once(". ").and_then(|(_, counts)| counts.split_once(' '));
            self.passed += passed.and_then(|(count, _)| count.parse().ok()).unwrap_or(0);
        }
    }

    /// Takes the file in which tests note that they skipped themselves; their binaries counted those as passed.
    fn read_skip_log(&mut self, log: &str) {
        for line in log.lines() {
            self.skipped.push(line.to_owned());
            self.passed = self.passed.saturating_sub(1);
        }
    }

    /// What was skipped, what failed, and the closing line.
    fn report(&self) -> String {
        let (passed, failed, skipped) = (self.passed, self.failed.len(), self.skipped.len());
        let mut lines: Vec<String> = self.skipped.iter().map(|s| format!("SKIPPED: {s}")).collect();
        lines.extend(self.failed.iter().map(|name| format!("FAILED: {name}")));
        lines.push(format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_outcome_over_all_test_binaries() {
        let mut account = Account::default();
        for line in [
            "running 3 tests",
            "test frame::tests::round_trip ... ok",
            "test steel::tests::sums ... FAILED",
            "test lib.rs - (line 3) ... ignored",
            "test slow ... ignored, needs a day",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out",
            "test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            account.read(line);
        }
        account.read_skip_log("steel_year: no ../shared\n");
        assert_eq!(
            account.report(),
            "SKIPPED: lib.rs - (line 3): ignored in the code\n\
             SKIPPED: slow: needs a day\n\
             SKIPPED: steel_year: no ../shared\n\
             FAILED: steel::tests::sums\n\
             41 passed, 1 failed, 3 skipped\n"
        );
    }
}
