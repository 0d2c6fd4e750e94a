//! `cargo xtask …`: the chores around the product: demo, test, bench, tidy. Must never be needed by the product itself,
//! and must never know how the product does its work.

#![expect(clippy::disallowed_methods, reason = "the chores tell how long they took")]

mod bench;
mod demo;
mod process;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the Nengliu workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the programs and run `nengliu demo`; needs Rust and a C compiler only.
    #[command(disable_help_flag = true)]
    Demo {
        /// Handed to `nengliu demo`, for example `--for 90s --json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Install what the tests need (saying what and why), then build and run all of them.
    Test(test::TestArgs),
    /// Run the benchmarks and print their figures as one table.
    Bench(bench::BenchArgs),
    /// Check the workspace against its own rules: floors, licences, sizes, invariants.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo { args } => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
