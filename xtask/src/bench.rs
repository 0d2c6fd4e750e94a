//! `cargo xtask bench`: runs named steps and prints their figures as one table. Must never know what a figure means;
//! each bench names its own.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::TargetKind;
use clap::Args;

use crate::process;

/// What `cargo xtask bench` takes.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Only these steps; all of them when none is named.
    steps: Vec<String>,
    /// Print the steps and the command of each, and stop.
    #[arg(long)]
    list: bool,
}

/// A thing that can be measured: the command that does it, and how its output is read.
struct Step {
    name: String,
    /// What must be built before; its time is no figure.
    before: Vec<Command>,
    command: Command,
    reads: Reads,
}

/// How a step's figures are found.
enum Reads {
    /// In what it prints: criterion's own lines, and lines `figure: <name> = <value>`.
    Output,
    /// The time that the whole command takes is the figure.
    WallTime,
}

/// One line of the closing table.
#[derive(Debug, PartialEq, Eq)]
struct Figure {
    name: String,
    value: String,
}

/// Every bench target of the workspace is a step of its own name `<crate>/<bench>`; add other steps at the end.
fn steps() -> Result<Vec<Step>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .current_dir(process::workspace_root())
        .exec()
        .context("`cargo metadata` failed; run it by hand to see why")?;
    let mut steps = Vec::new();
    for package in metadata.workspace_packages() {
        for bench in package.targets.iter().filter(|t| t.kind.contains(&TargetKind::Bench)) {
            let mut command = process::cargo();
            // The whole workspace's features, so that one step compiles nothing that another did.
            command.args(["bench", "--workspace", "--bench", &bench.name]);
            let name = format!("{}/{}", package.name, bench.name);
            let before = if package.name.as_str() == "tests" {
                command.args(["--profile", "dev"]);
                builds_of_programs()
            } else {
                Vec::new()
            };
            steps.push(Step { name, before, command, reads: Reads::Output });
        }
    }
    let mut cold = process::cargo();
    cold.args(["build", "--workspace", "--bins", "--target-dir"])
        .arg(process::target_folder()?.join("cold-build"));
    let name = "cold-build".to_owned();
    steps.push(Step { name, before: Vec::new(), command: cold, reads: Reads::WallTime });
    Ok(steps)
}

/// A bench of the end-to-end harness drives programs: the gateway as it is flashed, which it measures, and the
/// centre of the release build, which it does not.
fn builds_of_programs() -> Vec<Command> {
    let build = |arguments: &[&str]| {
        let mut command = process::cargo();
        command.arg("build").args(arguments);
        command
    };
    vec![
        build(&["--profile", "edge", "-p", "nengliu-gateway"]),
        build(&["--release", "--workspace", "--bin", "nengliu"]),
    ]
}

/// Runs the chosen steps, then prints one table.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let mut steps = steps()?;
    if let Some(unknown) = args.steps.iter().find(|name| steps.iter().all(|s| s.name != **name)) {
        bail!("no step `{unknown}`; `cargo xtask bench --list` prints them");
    }
    steps.retain(|step| args.steps.is_empty() || args.steps.contains(&step.name));
    if args.list {
        for step in &steps {
            println!("{:<24} {}", step.name, process::shown(&step.command));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = String::new();
    for step in &mut steps {
        for build in &mut step.before {
            process::run_loudly(build).with_context(|| format!("step `{}`", step.name))?;
        }
        eprintln!("$ {}", process::shown(&step.command));
        let figures = match step.reads {
            Reads::Output => measure_output(&mut step.command),
            Reads::WallTime => measure_wall_time(&mut step.command),
        }
        .with_context(|| format!("step `{}`", step.name))?;
        writeln!(table, "{} ({})", step.name, process::shown(&step.command))?;
        for figure in figures {
            writeln!(table, "  {:<58} {}", figure.name, figure.value)?;
        }
    }
    println!("\n{}", machine());
    print!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn measure_output(command: &mut Command) -> Result<Vec<Figure>> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start")?;
    let output = child.stdout.take().context("the output was not captured")?;
    let mut reader = FigureReader::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read its output")?;
        println!("{line}");
        reader.read(&line);
    }
    let status = child.wait().context("cannot wait for it")?;
    if !status.success() {
        bail!("ended with {status}; what it printed above says why");
    }
    Ok(reader.figures)
}

/// Builds into an empty folder of its own, so that nothing is there from before, and removes it afterwards.
fn measure_wall_time(command: &mut Command) -> Result<Vec<Figure>> {
    let folder = process::target_folder()?.join("cold-build");
    let clear = || match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    clear().with_context(|| format!("cannot empty `{}`", folder.display()))?;
    let started = Instant::now();
    process::run_loudly(command)?;
    let value = process::human(started.elapsed());
    clear().with_context(|| format!("cannot remove `{}`", folder.display()))?;
    Ok(vec![Figure { name: "wall time".to_owned(), value }])
}

/// Finds figures in a bench's output, line by line.
#[derive(Default)]
struct FigureReader {
    figures: Vec<Figure>,
    /// Criterion puts a long name on a line before its times.
    name: String,
}

impl FigureReader {
    fn read(&mut self, line: &str) {
        if let Some((name, value)) = line.strip_prefix("figure: ").and_then(|f| f.split_once(" = "))
        {
            self.push(name.trim(), value.trim());
        } else if let Some((name, times)) = line.split_once("time:   [") {
            if !name.trim().is_empty() {
                name.trim().clone_into(&mut self.name);
            }
            let name = self.name.clone();
            self.push(&name, &middle(times));
        } else if let Some((_, rates)) = line.split_once("thrpt:  [") {
            let name = format!("{}, rate", self.name);
            self.push(&name, &middle(rates));
        } else if !line.starts_with(' ') && !line.trim().is_empty() {
            line.trim().clone_into(&mut self.name);
        }
    }

    fn push(&mut self, name: &str, value: &str) {
        self.figures.push(Figure { name: name.to_owned(), value: value.to_owned() });
    }
}

/// The estimate of criterion's `low estimate high]`, each a number and a unit.
fn middle(interval: &str) -> String {
    let words: Vec<&str> = interval.trim_end_matches(']').split_whitespace().collect();
    words.get(2..4).map_or_else(|| interval.to_owned(), |estimate| estimate.join(" "))
}

/// The machine that the figures belong to.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let commit = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .current_dir(process::workspace_root())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    format!("{model}, {cores} cores, commit {commit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_criterion_and_named_figures() {
        let mut reader = FigureReader::default();
        for line in [
            "Benchmarking encode/2000: Analyzing",
            "encode/2000             time:   [1.20 ms 1.30 ms 1.40 ms]",
            "                        thrpt:  [1.1 Melem/s 1.2 Melem/s 1.3 Melem/s]",
            "a/name/too/long/for/one/line",
            "                        time:   [5.0 µs 6.0 µs 7.0 µs]",
            "figure: bytes per sample at 2 000 = 0.93",
            "Found 3 outliers among 100 measurements (3.00%)",
        ] {
            reader.read(line);
        }
        let found: Vec<(&str, &str)> =
            reader.figures.iter().map(|f| (f.name.as_str(), f.value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("encode/2000", "1.30 ms"),
                ("encode/2000, rate", "1.2 Melem/s"),
                ("a/name/too/long/for/one/line", "6.0 µs"),
                ("bytes per sample at 2 000", "0.93"),
            ]
        );
    }
}
