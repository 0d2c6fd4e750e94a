//! The commands of `nengliu-gateway`: run, check, status. Prints and chooses exit codes; nothing below does.

mod check;
mod exit;
mod output;
mod run;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use exit::*;
pub use run::run_on;

/// Reads a factory's devices, keeps every reading on disk and forwards it until the store has it.
/// 边缘网关：读取设备，先落盘，待中心入库确认后才释放。
#[derive(Debug, Parser)]
#[command(name = "nengliu-gateway", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Language of messages, `zh` or `en`; that of the environment (`LC_ALL`, `LANG`) when left out. 语言
    #[arg(long, global = true, value_name = "LANGUAGE", value_parser = program::parse_language)]
    lang: Option<model::Language>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read, keep and forward, in the foreground, until stopped. 运行网关
    Run(RunArgs),
    /// Check the configuration and its profiles; opens nothing. 检查配置
    Check(CheckArgs),
    /// Show how a running gateway does. 查看运行状态
    Status(StatusArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(short, long, default_value = "/etc/nengliu/gateway.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How long a gateway that is stopped goes on sending what it has (for example 30s).
    #[arg(long, value_name = "DURATION", value_parser = program::parse_duration)]
    drain: Option<Duration>,
    /// Stop also when standard input ends, as it does when the program that started this one dies, however it dies.
    #[arg(long)]
    stop_with_stdin: bool,
    /// When stopped, print the last status as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Show every point, also where there are more than 200; with `--json` one object a line, the first without points.
    #[arg(long)]
    all: bool,
}

impl Cli {
    /// The language that was asked for.
    #[must_use]
    pub fn language(&self) -> Option<model::Language> {
        self.lang
    }

    /// Carries the command out and returns the exit code.
    pub async fn run(self) -> u8 {
        match self.command {
            Command::Run(args) => {
                let usual = run::Ending::default();
                let drain = args.drain.unwrap_or(usual.drain);
                let (with_stdin, json) = (args.stop_with_stdin, args.json);
                run::run(&args.config.config, &run::Ending { drain, with_stdin, json }).await
            }
            Command::Check(args) => check::check(&args.config.config, args.json),
            Command::Status(args) => status::status(&args.config.config, args.json, args.all).await,
        }
    }
}
